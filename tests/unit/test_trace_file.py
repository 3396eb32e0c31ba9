"""The file with a line for each request: its bound, and who writes to it."""

from __future__ import annotations

import json
import os
from threading import Thread

from edge.telemetry.trace_file import RotatedFile


def lines(path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_full_file_takes_the_place_of_the_one_before(tmp_path):
    path, old = tmp_path / "trace", tmp_path / "trace.1"
    file = RotatedFile(str(path), 100)
    for number in range(60):
        file.write(f"{number:09}\n")
        assert path.stat().st_size <= 100
    assert [int(line) for line in lines(old) + lines(path)] == list(range(40, 60))
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["trace", "trace.1"]


def test_one_write_that_is_longer_than_the_bound_is_written(tmp_path):
    path = tmp_path / "trace"
    RotatedFile(str(path), 10).write("x" * 20 + "\n")
    assert path.stat().st_size == 21


def test_a_file_that_was_taken_away_is_made_again(tmp_path):
    path = tmp_path / "trace"
    file = RotatedFile(str(path), 1000)
    file.write("one\n")
    path.rename(tmp_path / "elsewhere")
    file.write("two\n")
    assert lines(path) == ["two"]


def test_several_writers_lose_no_line_and_tear_none(tmp_path):
    path, old = tmp_path / "trace", tmp_path / "trace.1"
    writers = [RotatedFile(str(path), 40_000) for _ in range(4)]

    def write(number: int) -> None:
        for line in range(300):
            writers[number].write(json.dumps({"by": number, "line": line, "x": "x" * 20}) + "\n")

    threads = [Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [json.loads(line) for line in lines(old) + lines(path)]
    for number in range(4):
        mine = [each["line"] for each in found if each["by"] == number]
        assert mine == list(range(300 - len(mine), 300))
    assert sum(map(len, lines(old) + lines(path))) > 1200 * 46 // 2
