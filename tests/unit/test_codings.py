"""Codings are taken off a bounded piece at a time."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.codings import CODINGS, MOST, CodingError, Layer
from edge.errors import InvalidRequest, Overloaded, RequestTooLarge
from edge.guard.inflating import inflated
from edge.slices import finished

zstd = pytest.importorskip("backports.zstd")

PACK = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"zstd": zstd.compress,
}
TEXT = b'{"model":"m","messages":[]}'
RANDOM = random.Random(1).randbytes(100_000)


def held_nowhere(size: int) -> None:
    """As many bytes as one likes."""


def unpacked(coding: bytes, body: bytes) -> bytes:
    return finished(inflated(coding, body, 1 << 20, held_nowhere))


@pytest.mark.parametrize("coding", sorted(CODINGS))
@pytest.mark.parametrize("body", [b"", TEXT, RANDOM, TEXT * 10_000, bytes(1 << 20)], ids=len)
def test_what_was_packed_comes_out(coding, body):
    assert unpacked(coding, PACK[coding](body)) == body


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.sampled_from(sorted(CODINGS - {b"deflate"})))
def test_several_members_are_one_body(parts, coding):
    assert unpacked(coding, b"".join(map(PACK[coding], parts))) == b"".join(parts)


@pytest.mark.once
@pytest.mark.parametrize("coding", sorted(CODINGS))
def test_between_two_pieces_there_is_little_work(coding):
    packed = PACK[coding](bytes(50 << 20))
    assert max(map(len, Layer(coding).pieces(packed))) <= MOST
    assert sum(map(len, Layer(coding).pieces(packed))) == 50 << 20


@pytest.mark.once
@pytest.mark.parametrize("coding", sorted(CODINGS))
def test_a_bomb_costs_what_may_come_out_of_it(coding):
    packed = PACK[coding](bytes(200 << 20))
    held = []
    with pytest.raises(RequestTooLarge) as caught:
        finished(inflated(coding, packed, 1 << 20, held.append))
    assert sum(held) <= (1 << 20) + MOST
    assert caught.value.details == {"error_code": "request_body_too_large_after_decoding"}


@pytest.mark.parametrize("coding", sorted(CODINGS))
@pytest.mark.parametrize("cut", [1, 5, -1, -9])
def test_a_part_of_it_is_refused(coding, cut):
    with pytest.raises(InvalidRequest):
        unpacked(coding, PACK[coding](RANDOM)[:cut])


@pytest.mark.parametrize("coding", sorted(CODINGS))
@pytest.mark.parametrize("body", [TEXT, b"\x1f\x8b\x08nonsense", b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff"])
def test_other_bytes_are_refused(coding, body):
    with pytest.raises(InvalidRequest):
        unpacked(coding, body)


@pytest.mark.parametrize("coding", sorted(CODINGS - {b"deflate"}))
def test_members_of_nothing_keep_nobody_busy(coding):
    with pytest.raises(CodingError):
        list(Layer(coding).pieces(PACK[coding](b"") * 100_000))


def test_a_window_that_nobody_has_to_have_is_refused():
    large = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=large)
    packed = compressor.compress(RANDOM * 200) + compressor.flush()
    with pytest.raises(CodingError):
        list(Layer(b"zstd").pieces(packed))


def test_who_holds_too_much_is_told_before_the_end():
    def hold(size: int) -> None:
        raise Overloaded

    with pytest.raises(Overloaded):
        finished(inflated(b"gzip", gzip.compress(TEXT), 1 << 20, hold))
