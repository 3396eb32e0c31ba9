"""Numbers as text, in both builds, against Python's own."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conftest import load

BUILDS = ("pure", "compiled")


@given(st.integers(0, 10**20) | st.integers(0, 10**14))
@example(0)
@example(1)
@example(10**12)
@example(10**12 - 1)
@example(10 * 10**12)
@example(10**18 - 1)
@example(10**18)
@example(123_400_000)
def test_a_cost_is_its_exact_decimal_text(cost):
    exact = f"{Decimal(cost).scaleb(-12):f}"
    expected = exact.rstrip("0").rstrip(".") if "." in exact else exact
    for build in BUILDS:
        assert load("numbers", build).usd(cost).decode() == expected


@pytest.mark.parametrize("build", BUILDS)
def test_there_is_no_cost_below_nothing(build):
    with pytest.raises(ValueError, match="no cost"):
        load("numbers", build).usd(-1)


@given(st.floats(0, 1e9, allow_nan=False))
@example(0.0)
@example(0.005)
@example(0.994999)
@example(9.999)
@example(1e14)
def test_hundredths_are_the_nearest(value):
    for build in BUILDS:
        text = load("numbers", build).hundredths(value).decode()
        whole, _, part = text.partition(".")
        assert whole.isdigit()
        assert len(part) == 2
        assert abs(Decimal(text) - Decimal(value)) <= Decimal("0.00501")


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("value", [-1.5, 1e300, float("inf"), float("nan")])
def test_what_is_no_time_is_written_as_python_does(build, value):
    assert load("numbers", build).hundredths(value) == b"%.2f" % value
