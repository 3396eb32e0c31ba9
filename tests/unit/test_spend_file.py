"""What was spent and used is in memory that workers share and, a second later, in a file that outlives them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from types import SimpleNamespace

import pytest

import edge.server.keeper
from edge.guard.limits import shared_spend
from edge.money.spend_file import SpendFile, SpendFileError, default_path
from edge.money.usage_table import OTHER, ROWS, Row, UsageTable, Used
from edge.server.keeper import DAY_S, KEPT_DAYS, Keeper

TODAY = int(time.time()) // DAY_S
ROW = Row(TODAY, "key", "tenant", "model")
MARK = 0xFEDC_BA98_7654 << 16 | TODAY & 0xFFFF


class Log:
    def __init__(self):
        self.said = []

    def error(self, event, **_):
        self.said.append(event)

    info = error


def table(regions=2):
    memory = bytearray(UsageTable.size(regions))
    return [UsageTable(memory, regions, region) for region in range(regions + 1)]


def add(table, row, used):
    table.enter(table.line(row), *used)


def keeper(path, spend=None, usage=None, *, begins=True):
    usage = table()[0] if usage is None else usage
    return Keeper(shared_spend(2) if spend is None else spend, usage, path, Log(), begins=begins)


def test_each_worker_adds_to_rows_of_its_own_and_whoever_looks_sees_the_sum():
    looks, first, second = table()
    add(first, ROW, Used(1, 10, 20, 300))
    add(second, ROW, Used(1, 1, 2, 3))
    add(second, Row(TODAY, "other", "", "ü" * 40), Used(1, 0, 0, 0))
    assert looks.unwritten() == {
        ROW: Used(2, 11, 22, 303),
        Row(TODAY, "other", "", "ü" * 40): Used(1, 0, 0, 0),
    }


def test_what_is_in_the_file_is_unwritten_no_more():
    looks, first, _ = table()
    add(first, ROW, Used(1, 10, 20, 300))
    changes = looks.changes()
    add(first, ROW, Used(1, 1, 1, 1))
    looks.written(changes)
    assert looks.unwritten() == {ROW: Used(1, 1, 1, 1)}
    assert [used for _, _, used in looks.changes()] == [Used(1, 1, 1, 1)]
    assert looks.changes() == [], "nothing has changed since"
    looks.again()
    assert len(looks.changes()) == 1


def test_whoever_looks_can_tell_that_what_is_new_is_being_written():
    looks, first, _ = table()
    assert (looks.changes(), looks.writes) == ([], 0)
    add(first, ROW, Used(1, 1, 1, 1))
    changes = looks.changes()
    assert looks.writes == 1
    looks.again()
    assert looks.writes == 2
    changes = looks.changes()
    looks.written(changes)
    assert looks.writes == 4


def test_who_takes_the_place_of_a_killed_worker_goes_on_with_its_rows():
    memory = bytearray(UsageTable.size(1))
    add(UsageTable(memory, 1, 1), ROW, Used(1, 1, 1, 1))
    after = UsageTable(memory, 1, 1)
    add(after, ROW, Used(1, 1, 1, 1))
    assert UsageTable(memory, 1).unwritten() == {ROW: Used(2, 2, 2, 2)}


def test_whoever_remembers_a_row_can_tell_that_it_has_become_anothers():
    looks, first, _ = table()
    lines = [first.line(Row(TODAY, f"k{number}", "t", "m")) for number in range(ROWS - 1)]
    assert {line.day for line in lines} == {TODAY}
    assert first.line(lines[0].row) is lines[0]
    beyond = Row(TODAY, "one more", "t", "m")
    assert first.line(beyond).row == Row(TODAY, OTHER, OTHER, OTHER) != beyond
    add(first, Row(TODAY + 2, "k", "t", "m"), Used(1, 0, 0, 0))
    assert [line.day for line in lines] == [-1, *[TODAY] * (ROWS - 2)]
    assert looks.unwritten() == {Row(TODAY + 2, "k", "t", "m"): Used(1, 0, 0, 0)}


def test_rows_are_bounded_and_those_of_days_that_are_over_are_used_again():
    looks, first, _ = table()
    for number in range(ROWS + 10):
        add(first, Row(TODAY, f"k{number}", "t", "m"), Used(1, 0, 0, 0))
    found = looks.unwritten()
    assert len(found) == ROWS
    assert found[Row(TODAY, OTHER, OTHER, OTHER)] == Used(11, 0, 0, 0)
    assert sum(used.requests for used in found.values()) == ROWS + 10
    add(first, Row(TODAY + 1, "k", "t", "m"), Used(1, 0, 0, 0))
    assert looks.unwritten()[Row(TODAY, OTHER, OTHER, OTHER)] == Used(12, 0, 0, 0), "what is not in the file stays"
    add(first, Row(TODAY + 2, "k", "t", "m"), Used(1, 0, 0, 0))
    assert looks.unwritten()[Row(TODAY, OTHER, OTHER, OTHER)] == Used(13, 0, 0, 0), "nor is any of the others"
    changes = looks.changes()
    add(first, Row(TODAY, "k0", "t", "m"), Used(1, 0, 0, 0))
    add(first, Row(TODAY + 3, "k", "t", "m"), Used(1, 0, 0, 0))
    looks.written(changes)
    add(first, Row(TODAY + 3, "k2", "t", "m"), Used(1, 0, 0, 0))
    found = looks.unwritten()
    assert found[Row(TODAY + 3, "k2", "t", "m")] == found[Row(TODAY, "k0", "t", "m")] == Used(1, 0, 0, 0)
    looks.written(looks.changes())
    add(first, Row(TODAY + 4, "k", "t", "m"), Used(1, 0, 0, 0))
    assert looks.unwritten() == {Row(TODAY + 4, "k", "t", "m"): Used(1, 0, 0, 0)}
    written = sum(used.requests for _, _, used in changes)
    assert written + sum(used.requests for used in found.values()) == ROWS + 15, "nothing is lost"


def test_what_was_spent_outlives_the_edge(tmp_path):
    path = tmp_path / "state" / "spend.sqlite"
    spend, (looks, first, _) = shared_spend(2), table()
    spend.add(MARK, 10**17 + 1, TODAY)
    spend.add(5 << 16 | (TODAY - 2) & 0xFFFF, 3, TODAY)
    add(first, ROW, Used(1, 10, 20, 10**17 + 1))
    kept = keeper(path, spend, looks)
    kept.look()
    assert path.stat().st_mode & 0o777 == 0o600
    add(first, ROW, Used(1, 1, 1, 1))
    spend.add(MARK, 1, TODAY)
    kept.look()
    assert SpendFile(path).usage(TODAY) == {ROW: Used(1, 10, 20, 10**17 + 1)}, "once a second at most"
    kept.write()
    assert SpendFile(path).usage(TODAY) == {ROW: Used(2, 11, 21, 10**17 + 2)}
    assert SpendFile(path).usage(TODAY + 1) == {}
    later = shared_spend(2)
    keeper(path, later).open()
    assert later.spent(MARK) == 10**17 + 2
    assert later.cells(TODAY) == {MARK: 10**17 + 2}


def test_an_edge_that_began_while_its_clock_was_ahead_goes_on_with_what_was_spent(tmp_path, monkeypatch):
    path, now = tmp_path / "spend.sqlite", [TODAY * DAY_S]
    monkeypatch.setattr(edge.server.keeper, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: 0.0))
    spend, (looks, first, _) = shared_spend(2), table()
    spend.add(MARK, 100, TODAY)
    add(first, ROW, Used(1, 0, 0, 100))
    keeper(path, spend, looks).write()
    now[0] += 3 * DAY_S
    spend, (looks, first, _) = shared_spend(2), table()
    kept = keeper(path, spend, looks)
    kept.open()
    assert spend.spent(MARK) == 0
    other = 9 << 16 | (TODAY + 3) & 0xFFFF
    spend.add(other, 1, TODAY + 3)
    add(first, ROW, Used(1, 0, 0, 1))
    kept.write()
    now[0] -= 3 * DAY_S
    for cost in (5, 2):
        spend.add(MARK, cost, TODAY)
        add(first, ROW, Used(1, 0, 0, cost))
        kept.write()
    assert spend.spent(MARK) == SpendFile(path).budgets()[MARK] == 107


def test_what_is_in_the_file_of_a_budget_never_becomes_less(tmp_path):
    file = SpendFile(tmp_path / "spend.sqlite")
    file.open()
    for spent, kept in ((7, 7), (3, 7), (9, 9)):
        file.write([], {MARK: spent})
        assert file.budgets() == {MARK: kept}


def test_budgets_that_are_over_for_long_go_from_the_file_whichever_edge_had_them(tmp_path, monkeypatch):
    path, now = tmp_path / "spend.sqlite", [TODAY * DAY_S]
    monkeypatch.setattr(edge.server.keeper, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: 0.0))
    for days, kept_days in ((0, 1), (10, 2), (KEPT_DAYS + 5, 2)):
        now[0] = (TODAY + days) * DAY_S
        spend, (looks, first, _) = shared_spend(2), table()
        kept = keeper(path, spend, looks)
        spend.add(5 << 16 | (TODAY + days) & 0xFFFF, 1, TODAY + days)
        add(first, ROW, Used(1, 0, 0, 1))
        kept.write()
        assert len(SpendFile(path).budgets()) == kept_days


def test_memory_that_was_taken_over_has_what_the_file_has_already(tmp_path):
    path = tmp_path / "spend.sqlite"
    spend, (looks, first, _) = shared_spend(2), table()
    spend.add(MARK, 7, TODAY)
    add(first, ROW, Used(1, 0, 0, 7))
    keeper(path, spend, looks).write()
    keeper(path, spend, looks, begins=False).open()
    assert spend.spent(MARK) == 7


def test_what_cannot_be_written_now_is_written_later_and_told_once(tmp_path):
    path = tmp_path / "spend.sqlite"
    spend, (looks, first, _) = shared_spend(2), table()
    kept = keeper(path, spend, looks)
    kept.open()
    add(first, ROW, Used(1, 1, 1, 1))
    with closing(sqlite3.connect(path)) as holds, holds:
        holds.execute("BEGIN IMMEDIATE")
        kept.write()
        kept.write()
        assert kept._log.said == ["what was spent cannot be kept"]
        holds.rollback()
    kept.write()
    assert kept._log.said == ["what was spent cannot be kept", "what was spent is kept again"]
    assert SpendFile(path).usage(TODAY) == {ROW: Used(1, 1, 1, 1)}


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "spend.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(SpendFileError, match=r"limits\.file"):
        SpendFile(path).open()
    with pytest.raises(SpendFileError, match="cannot be used"):
        SpendFile(path / "below").open()
    newer = tmp_path / "newer.sqlite"
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(SpendFileError, match="another version"):
        SpendFile(newer).open()


def test_a_file_that_cannot_be_used_is_tried_again_without_end(tmp_path):
    path = tmp_path / "spend.sqlite"
    path.write_bytes(b"no database" * 1000)
    looks, first, _ = table()
    kept = keeper(path, None, looks)
    add(first, ROW, Used(1, 1, 1, 1))
    kept.write()
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        kept.write()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    path.unlink()
    kept.write()
    assert SpendFile(path).usage(TODAY) == {ROW: Used(1, 1, 1, 1)}


def test_a_file_is_one_edge_s(tmp_path):
    path = tmp_path / "spend.sqlite"
    file = SpendFile(path)
    file.open()
    other = (
        f"from pathlib import Path; from edge.money.spend_file import SpendFile; SpendFile(Path({str(path)!r})).open()"
    )
    got = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
    assert got.returncode == 1
    assert "another edge's" in got.stderr
    os.close(file._lock)
    subprocess.run([sys.executable, "-c", other], check=True)


def test_the_file_is_in_the_folder_for_state(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge:/other")
    assert str(default_path()) == "/var/lib/edge/spend.sqlite"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "llm-edge-agent" / "spend.sqlite"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path() == tmp_path / ".local" / "state" / "llm-edge-agent" / "spend.sqlite"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)  # as in a container: a user that nobody knows
    assert str(default_path()) == "/var/lib/llm-edge-agent/spend.sqlite"


class Unread:
    """A module that is to be read when it is first asked for something, and cannot be."""

    def __init__(self, error):
        self._error = error

    def __getattr__(self, name):
        raise self._error


@pytest.mark.parametrize("error", [ImportError("No module named '_sqlite3'"), OSError(24, "Too many open files")])
def test_that_the_library_cannot_be_read_ends_nothing_and_what_was_spent_is_kept_later(tmp_path, monkeypatch, error):
    looks, first, _ = table()
    add(first, ROW, Used(1, 10, 20, 300))
    kept, file = keeper(tmp_path / "spend", usage=looks), SpendFile(tmp_path / "spend")
    with monkeypatch.context() as patch:
        patch.setattr("edge.money.spend_file.sqlite3", Unread(error))
        kept.look()
        with pytest.raises(SpendFileError, match=str(error.args[-1])):
            file.usage(TODAY)
    kept.write()
    assert kept._log.said == ["what was spent cannot be kept", "what was spent is kept again"]
    assert file.usage(TODAY) == {ROW: Used(1, 10, 20, 300)}
