"""How long nearly all answers took, against the exact quantiles, on both builds."""

from __future__ import annotations

import math
import random

import pytest

SHAPES = {
    "even": lambda dice: dice.uniform(0.05, 0.4),
    "long tail": lambda dice: 0.02 + dice.paretovariate(2.0) / 50,
    "normal in its logarithm": lambda dice: dice.lognormvariate(-1.0, 0.8),
    "two heaps": lambda dice: dice.gauss(2.0, 0.1) if dice.random() < 0.2 else dice.gauss(0.1, 0.01),
    "minutes": lambda dice: dice.uniform(60, 240),
    "milliseconds": lambda dice: dice.uniform(0.001, 0.009),
}


def exact(samples, share):
    return sorted(samples)[math.ceil(share * len(samples)) - 1]


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_off_by_less_than_a_tenth(quantile_module, shape, share):
    dice = random.Random(7)
    found = quantile_module.Quantile(share)
    samples = [SHAPES[shape](dice) for _ in range(900)]
    for sample in samples:
        found.add(sample)
    assert found.value() == pytest.approx(exact(samples, share), rel=0.1)


def test_of_a_few_it_says_nothing(quantile_module):
    found = quantile_module.Quantile(0.95)
    for _ in range(quantile_module.LEAST_SAMPLES - 1):
        found.add(0.1)
    assert found.value() == -1.0
    found.add(0.1)
    assert found.value() == pytest.approx(0.1, rel=0.1)


def test_it_is_that_of_the_latest(quantile_module):
    found = quantile_module.Quantile(0.95)
    for _ in range(5000):
        found.add(0.1)
    for _ in range(2 * quantile_module.MOST_SAMPLES):
        found.add(2.0)
    assert found.value() == pytest.approx(2.0, rel=0.1)
    for _ in range(5 * quantile_module.MOST_SAMPLES):
        found.add(0.1)
    assert found.value() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("sample", [math.nan, math.inf, -1.0])
def test_what_is_no_duration_is_not_taken(quantile_module, sample):
    found = quantile_module.Quantile(0.95)
    for _ in range(100):
        found.add(sample)
    assert found.value() == -1.0


@pytest.mark.parametrize(("sample", "told"), [(0.0, 0.0005), (1e8, 1050.0)])
def test_what_is_beyond_the_buckets_counts_as_the_last_of_them(quantile_module, sample, told):
    found = quantile_module.Quantile(0.95)
    for _ in range(100):
        found.add(sample)
    assert found.value() == pytest.approx(told, rel=0.1)
