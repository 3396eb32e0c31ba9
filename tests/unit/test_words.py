"""Words that begin with a quote are found by one pass as by a search for each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import BUILDS, load

WORDS = (b'"file_id"', b'"file_ids"', b'"audio"', b'"code_execution_')
PIECES = st.lists(st.sampled_from((b'"', b"file_id", b"s", b"audio", b"code_execution_", b"x", b"\xff", *WORDS)))


def searched(data: bytes) -> list[tuple[int, int]]:
    """The places among the words, and the ends, of all that stand in `data`."""
    found = []
    for at in range(len(data)):
        found += [(n, at + len(word)) for n, word in enumerate(WORDS) if data.startswith(word, at)]
    return found


def told(module, data: bytes) -> list[tuple[int, int]]:
    words, found, at = module.Words(WORDS), [], 0
    while (at := words.find(data, at)) >= 0:
        found.append((words.which, at))
        at -= 1  # a quote may end one word and begin the next
    return found


@given(PIECES)
def test_one_pass_finds_what_each_search_finds(pieces):
    data = b"".join(pieces)
    for build in BUILDS:
        assert told(load("words", build), data) == searched(data)


@pytest.mark.parametrize("build", BUILDS)
def test_a_body_that_ends_anywhere_is_read_to_its_end(build):
    data = b'{"a":"file_id","file_ids":1,"x":"code_execution_2","audio":"audio"}'
    for end in range(len(data) + 1):
        assert told(load("words", build), data[:end]) == searched(data[:end])


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("words", [(), (b'"',), (b"x",), (b'"ab', b'"abc'), tuple(b'"%d"' % n for n in range(33))])
def test_what_cannot_be_looked_for_is_refused(build, words):
    with pytest.raises(ValueError, match="word"):
        load("words", build).Words(words)
