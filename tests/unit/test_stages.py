"""What `make test` runs: no test falls between its stages."""

from __future__ import annotations

import re

from tests.stages import ROOT, UNIT_TESTS, Stage, named, stages, together

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
