"""The quick look, by which most bodies are left alone, never misses what looking at each of their texts finds."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge import config
from edge.guard import pii
from edge.guard.policy import Policy
from edge.slices import finished
from tests.unit.test_scan import FOUND, NOT_FOUND

POLICY = Policy("mask", config.Pii())
VALUES = [value for each in FOUND.values() for value in each] + NOT_FOUND.replace("\n", "|").split("|")
AROUND = "[|]|x[|(|)|)[|a[1|: |::|word |phone|ssn |Tel: |card |order |version |Bearer | |-|.|/|+|4|12|@|=|:|é|_|\n|sk-".split(
    "|"
)
"""What stands beside what is found, and in a string before it could be taken for a reason that it is nothing."""
KEYS = ["content", "input", "arguments", "metadata", "text", "phone", "ssn", "id", "user_id", "data"]


@st.composite
def pieces(draw, more=()):
    """Of what is found, what looks like it, and what is beside it: a piece of one, or two run into each other."""
    value = draw(st.sampled_from(VALUES))
    begin = draw(st.integers(0, 30))
    how = draw(st.integers(0, 3))
    if how == 0:
        return draw(st.sampled_from([*AROUND, *more]))
    return [value, value[:begin] + draw(st.sampled_from([*AROUND, *more])) + value[begin:], value[begin:]][how - 1]


def texts(more=()):
    return st.lists(pieces(more), max_size=4).map("".join)


NUMBERS = st.sampled_from(VALUES).map(lambda value: int("0" + "".join(c for c in value if c in "0123456789")))
JSON = st.recursive(
    st.one_of(texts(), NUMBERS, NUMBERS.map(lambda number: -number), st.floats(0, 1e9)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | texts(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module", autouse=True)
def _the_look_can_be_replaced():
    """Else nothing is compared here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pii, "may_be_in", lambda body, policy: False)
        assert pii.redact_now(POLICY, b'{"content":"a@example.com"}').told == ""


def thoroughly(steps):
    """What is found without the quick look."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pii, "may_be_in", lambda body, policy: True)
        return finished(steps).told


@given(value=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4), tight=st.booleans())
@example(value={"metadata": {"metadata": "x[::/"}, "input": "2001:db8::"}, tight=True)
@example(value={"messages": ["12x["], "input": "::1 x"}, tight=True)
@settings(max_examples=400)
def test_a_request_that_the_look_leaves_alone_has_nothing(value, tight):
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":") if tight else None).encode()
    assert pii.redact_now(POLICY, body).told == thoroughly(pii.redact(POLICY, body))


@given(text=texts(["\\", "\\n", '\\"', '"', "\\d", "\\4", "\\/"]))
@example(text="\\d@x.com")
@example(text="\\::2:3:4:5:6:7:8")
@example(text="\\4111111111111111")
@settings(max_examples=400)
def test_an_answer_that_is_no_json_and_that_the_look_leaves_alone_has_nothing(text):
    body = text.encode()
    assert finished(pii.looked_through(POLICY, body)).told == thoroughly(pii.looked_through(POLICY, body))


@given(value=JSON)
def test_an_answer_of_json_that_the_look_leaves_alone_has_nothing(value):
    body = json.dumps({"choices": value}).encode()
    assert finished(pii.looked_through(POLICY, body)).told == thoroughly(pii.looked_through(POLICY, body))
