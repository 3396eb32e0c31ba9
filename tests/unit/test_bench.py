"""``edge bench`` judges what it has measured, and nothing else."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from edge.bench import targets
from edge.bench.load import Seen
from edge.bench.processes import free_share
from edge.bench.targets import Measured, Row, hits, milliseconds


@pytest.mark.parametrize(
    ("ours", "said", "met"),
    [
        (1.25, "1.250 ms", True),
        (5.0, "5.000 ms", False),
        (-0.2, "lost in the noise", None),
        (0.0, "lost in the noise", None),
        (math.nan, "not measured", None),
    ],
)
def test_a_time_is_met_only_where_it_was_measured(ours, said, met):
    row = milliseconds("what", 5, ours)
    assert (row.ours, row.met) == (said, met)


@pytest.mark.parametrize(("found", "met"), [(100, True), (90, True), (89, None), (0, None)])
def test_a_figure_of_hits_is_one_of_hits(found, met):
    seen = Seen(Counter({200: 100}), [0.0005] * 100, caches=Counter({"redis": found, "miss": 100 - found}))
    assert hits("what", "redis", 1, seen).met is met


def test_on_a_busy_machine_nothing_is_judged():
    assert not Measured([], targets.QUIET - 0.01).quiet
    assert Measured([Row("what", "", "", True)], 0.99).quiet


def test_the_share_that_others_leave_is_one_of_time():
    assert 0 < free_share() <= 1.05
