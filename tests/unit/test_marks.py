"""What makes a chunk worth decoding is found by one pass as by a search for each."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import BUILDS, load

ENDING = re.compile(rb'"finish_reason"\s*:\s*"|"index"\s*:\s*[1-9]')
PARTS = (b'"', b"error", b"usage", b"finish_reason", b"index", b":", b" ", b"\n", b"\x0b", b"\x1c", b"0", b"1", b"x")
PIECES = st.lists(st.sampled_from((*PARTS, b'"error"', b'"usage"', b'"finish_reason":"', b'"index":', b'"index": 2')))


def marks(data: bytes) -> int:
    return (b'"error"' in data) | (b'"usage"' in data) << 1 | (ENDING.search(data) is not None) << 2


@given(PIECES)
def test_one_pass_finds_what_each_search_finds(pieces):
    data = b"".join(pieces)
    for build in BUILDS:
        assert load("marks", build).chunk_marks(data) == marks(data)


@pytest.mark.parametrize("build", BUILDS)
def test_a_chunk_that_ends_anywhere_is_read_to_its_end(build):
    data = b'{"error":1,"usage":{},"choices":[{"index": 1,"finish_reason" : "stop"}]}'
    for end in range(len(data) + 1):
        assert load("marks", build).chunk_marks(data[:end]) == marks(data[:end])
