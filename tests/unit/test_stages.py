"""What `make test` runs: no test falls between its stages, and none that hangs holds up the rest."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.harness import until
from tests.stages import BOUNDED, FILES, LENGTHS, PYTEST, ROOT, TEST_S, UNIT_TESTS, Stage, named, run, stages, together

pytestmark = pytest.mark.once

CHECK = {stage.name: stage.arguments[2:] for stage in stages("check")}
TEST = {stage.name: stage.arguments[2:] for stage in stages("test")}


def expression(name: str) -> str:
    """By which a stage chooses its tests."""
    arguments = TEST[name]
    return arguments[arguments.index("-m") + 1] if "-m" in arguments else ""


def marked(mark: str) -> set[str]:
    """The files of tests that have such a mark."""
    found = (ROOT / "tests").rglob("test_*.py")
    return {str(file.relative_to(ROOT)) for file in found if re.search(rf"pytest\.mark\.{mark}\b", file.read_text())}


def test_what_the_live_stage_leaves_out_has_a_stage_of_its_own():
    live = TEST["live"]
    assert {each for each, before in zip(live[1:], live, strict=False) if before == "--ignore"} == set(UNIT_TESTS)
    assert set(UNIT_TESTS) <= set(TEST["units"])
    assert expression("units") == ""
    marks = re.findall(r"not (\w+)", expression("live"))
    assert marks
    for mark in marks:
        (stage,) = (name for name in TEST if expression(name) == mark)
        assert set() != marked(mark) <= set(named(mark)) <= set(TEST[stage])
        assert not [file for file in marked(mark) if file.startswith(UNIT_TESTS)], "the stage of units would run it too"


def test_what_make_check_leaves_out_make_test_runs():
    (quick,) = CHECK.values()
    left_out = set(re.findall(r"not (\w+)", quick[quick.index("-m") + 1]))
    assert left_out - {"alone", "pure"} == {"slow"}
    assert "slow" not in " ".join(expression(name) for name in TEST)
    assert marked("slow")


def test_what_runs_beside_a_skipped_stage_does_not_run_beside_the_one_before_it():
    plan = (Stage("alone", ()), Stage("fuzzing", (), skipped="no fuzzer"), Stage("instructions", (), beside=True))
    assert [[stage.name for stage in group] for group in together(plan)] == [["alone"], ["instructions"]]
    assert [[stage.name for stage in group] for group in together((plan[1], plan[0]))] == [["alone"]]


def test_what_yields_runs_at_the_least_priority(logs):
    told = ("-c", "import os; print(os.nice(0), 'passed')")
    assert run(Stage("yielding", told, yields=True)).passed == 19
    assert run(Stage("usual", told)).passed == os.nice(0)


def test_nothing_runs_beside_deadlines_that_does_not_yield_to_them():
    first: list[Stage] = []
    for stage in stages("test"):
        if stage.beside:
            assert (first[-1].name, stage.yields) == ("in pairs", True)
        else:
            first.append(stage)
            assert not stage.yields
    assert "alone" in [stage.name for stage in first]


HANGING = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("its child is", child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def logs(tmp_path, monkeypatch) -> Path:
    """Where stages write here, and not over the output of those that run this test."""
    monkeypatch.setattr("tests.stages.ROOT", tmp_path)
    monkeypatch.setattr("tests.stages.LOGS", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_stage_that_hangs_is_killed_with_all_that_it_has_started_and_says_so(logs, capsys):
    result = run(Stage("hanging", ("-c", HANGING), within_s=2))
    assert result.code == -signal.SIGKILL
    assert "hanging has hung: it was killed after 2 s" in capsys.readouterr().out
    child = int((logs / "hanging.log").read_text().split()[-1])
    until(lambda: not alive(child))


def test_what_a_stage_leaves_behind_does_not_hold_it_up(logs, capsys):
    """A child has its output too, and would keep it open."""
    begun = time.monotonic()
    result = run(Stage("leaving", ("-c", HANGING.replace("time.sleep(600)\n", "print('1 passed')\n")), within_s=300))
    assert (result.code, result.passed) == (0, 1)
    assert time.monotonic() - begun < 300
    child = int((logs / "leaving.log").read_text().splitlines()[0].split()[-1])
    until(lambda: not alive(child))


def alive(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has waited for."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return shown not in ("", "Z")


HANGS = """
import asyncio, threading, time
import pytest, uvloop

@pytest.fixture
def started():
    yield
    print("stopped")

@pytest.fixture
def hanging():
    yield
    time.sleep(600)

def test_before(): pass
def test_sleeps(started): time.sleep(600)
def test_waits_for_a_thread(): threading.Event().wait()
def test_runs_a_loop(): asyncio.run(asyncio.sleep(600))
def test_runs_another_loop(): uvloop.run(asyncio.sleep(600))
def test_is_not_torn_down(hanging): pass
def test_behind(): pass
"""


@pytest.mark.slow
def test_a_test_that_hangs_fails_shows_where_it_stood_and_is_torn_down(tmp_path):
    (tmp_path / "test_it.py").write_text(HANGS)
    bounds = [each.replace(str(TEST_S), "1") for each in BOUNDED]
    command = [sys.executable, *PYTEST, "-p", "no:cacheprovider", *bounds, "-n", "1", *FILES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    said = done.stdout
    assert done.returncode == 1, said
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S+::test_(\w+)", said, re.MULTILINE))
    assert failed == {"sleeps", "waits_for_a_thread", "runs_a_loop", "runs_another_loop", "is_not_torn_down"}, said
    assert "3 passed" in said
    raised = Counter(re.findall(r"^E +([\w.]+): it hangs: this took", said, re.MULTILINE))
    assert raised == {"asyncio.exceptions.CancelledError": 2, "Failed": 3}, "what a loop runs is cancelled"
    assert "in test_sleeps" in said
    assert "stopped" in said


def test_every_stage_of_tests_bounds_each_of_them_unless_they_are_to_take_long(monkeypatch):
    for name in LENGTHS:
        monkeypatch.delenv(name, raising=False)
    for plan in ("check", "test"):
        for stage in stages(plan):
            assert stage.within_s is not None
            if stage.arguments[: len(PYTEST)] == PYTEST:
                assert stage.arguments[len(PYTEST) :][: len(BOUNDED)] == BOUNDED
    monkeypatch.setenv(LENGTHS[0], "50000")
    assert not any(stage.within_s or BOUNDED[-1] in stage.arguments for stage in stages("test"))
