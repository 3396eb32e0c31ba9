"""Where the first turn of a conversation ends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import BUILDS, load

BLOCK = 40
TEXT = st.text(st.sampled_from('x"\\[]{},: ' + "é"), max_size=30)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant"]), "content": st.one_of(TEXT, st.lists(TEXT))},
    optional={"name": TEXT, "more": st.just({"role": "system"})},
)


def written(messages: list, spaced: bool) -> list[bytes]:
    return [json.dumps(each, separators=None if spaced else (",", ":")).encode() for each in messages]


def expected(messages: list, parts: list[bytes], comma: bytes) -> int:
    """By the list as it is: the end of the first message that is somebody's, and no more of it than a block."""
    begun = end = 1
    for n, (message, part) in enumerate(zip(messages, parts, strict=True)):
        end += len(part) + (len(comma) if n else 0)
        if message["role"] not in ("system", "developer"):
            return min(end, begun + BLOCK)
        begun = end
    return min(begun + BLOCK, end + 1)


@given(st.lists(MESSAGE, max_size=5), st.booleans())
def test_it_is_that_of_the_first_message_that_is_somebodys(messages, spaced):
    parts, comma = written(messages, spaced), b", " if spaced else b","
    body = b"[" + comma.join(parts) + b"]"
    for build in BUILDS:
        found = load("turns", build).first_turn_end(b"!" + body + b"?", 1, 1 + len(body), BLOCK)
        assert found == 1 + expected(messages, parts, comma)


@given(st.lists(MESSAGE, min_size=1, max_size=3), st.data())
def test_where_the_list_is_cut_off_both_builds_stay_within_it_and_say_the_same(messages, data):
    body = json.dumps(messages).encode()
    stop = data.draw(st.integers(0, len(body)))
    ends = {load("turns", build).first_turn_end(body, 0, stop, BLOCK) for build in BUILDS}
    assert len(ends) == 1
    assert 0 <= ends.pop() <= stop


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    ("value", "end"),
    [
        (b'"a text"', 8),
        (b'"' + b"x" * 100 + b'"', BLOCK),
        (b"[]", 2),
        (b"[1,2,3]", 7),
        (b'[ {"role" : "system" , "content":"s"} , {"role":"user","content":"u"} , {"role":"user"}]', 69),
        (b'[{"content":"\\\\","role":"user"},{"role":"user"}]', 31),
        (b'[{"role":"systems","content":"s"},{"role":"user"}]', 33),
        (b'[["a"],["b"]]', 6),
    ],
)
def test_of_what_is_no_list_it_is_a_block(build, value, end):
    assert load("turns", build).first_turn_end(value, 0, len(value), BLOCK) == end
