"""The buffer that log lines are written into."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import EACH_BUILD, load


def test_lines_are_taken_whole(line_module):
    lines = line_module.Lines()
    lines.add(b"one")
    lines.end()
    lines.add(b"two ")
    assert (lines.size, lines.count) == (4, 1)
    assert lines.take() == b"one\n"
    assert (lines.size, lines.count) == (0, 0)
    assert lines.take() == b""
    lines.whole(2)
    lines.end()
    assert lines.take() == b"two 2\n"


def test_a_line_that_has_not_ended_can_be_taken_back(line_module):
    lines = line_module.Lines()
    lines.add(b"kept")
    lines.end()
    lines.add(b"not kept")
    assert lines.back() == b"not kept"
    assert lines.back() == b""
    assert lines.take() == b"kept\n"


def test_it_grows(line_module):
    lines = line_module.Lines()
    for _ in range(100):
        lines.add(b"x" * 999)
        lines.end()
    lines.add(b"y" * 1_000_000)
    assert lines.take() == (b"x" * 999 + b"\n") * 100
    assert lines.back() == b"y" * 1_000_000


@pytest.mark.parametrize("build", EACH_BUILD)
@given(st.text() | st.text(st.characters(codec=None)), st.integers(-(2**63), 2**63 - 1))
def test_texts_and_numbers_are_jsons(build, text, number):
    lines = load("line", build).Lines()
    lines.add(b'["')
    lines.text(text)
    lines.add(b'",')
    lines.whole(number)
    lines.add(b"]")
    assert json.loads(lines.back()) == [text, number]


def test_digits_are_padded(line_module):
    lines = line_module.Lines()
    for value, count in ((7, 6), (1_234_567, 6), (0, 1), (10**18 - 1, 18)):
        lines.digits(value, count)
        lines.add(b" ")
    assert lines.back() == b"000007 234567 0 999999999999999999 "
