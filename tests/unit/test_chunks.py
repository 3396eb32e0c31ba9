"""Bodies in chunks, decoded in place."""

from __future__ import annotations

import pytest

from tests.fuzz.heads import decoded

ODD, MORE, END = -1, 0, 2
STREAM = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in [b"data: %d\n\n" % (10**n) for n in range(30)])


def told(module, *pieces: bytes) -> tuple[bytes, int, int, bool]:
    return decoded(module, pieces)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
        (b"3\r\n\r\n\x00\r\n2\r\n0\r\r\n0\r\n\r\n", b"\r\n\x000\r"),
        (b"3;a=b\r\nabc\r\n0;c;d=e\r\n\r\n", b"abc"),
        (b"10\r\n0123456789abcdef\r\n0\r\n\r\n", b"0123456789abcdef"),
        (b"1F\r\n%b\r\n0\r\n\r\n" % (b"x" * 31), b"x" * 31),
    ],
)
def test_a_body_is_the_same_however_it_is_cut(chunks_module, data, body):
    expected = (body, END, len(data), True)
    assert told(chunks_module, data) == expected
    assert told(chunks_module, data + b"HTTP/1.1 200 OK\r\n") == expected
    assert told(chunks_module, *[bytes([byte]) for byte in data]) == expected
    for cut in range(len(data)):
        assert told(chunks_module, data[:cut], data[cut:]) == expected
        assert told(chunks_module, data[:cut])[1] == MORE


def test_a_stream(chunks_module):
    body, said, size, complete = told(chunks_module, STREAM)
    assert body.count(b"data: ") == 30
    assert (said, size, complete) == (MORE, len(STREAM), False)
    assert told(chunks_module, STREAM, b"0\r\n\r\n") == (body, END, len(STREAM) + 5, True)


def test_the_pieces_are_spans_of_what_came(chunks_module):
    chunks = chunks_module.Chunks()
    data = b"xx3\r\nabc\r\n4\r\nde"
    assert (chunks.read(data, 2), chunks.at, chunks.end) == (1, 5, 8)
    assert (chunks.read(data, 8), chunks.at, chunks.end) == (1, 13, 15)
    assert (chunks.read(data, 15), chunks.end) == (0, 15)
    assert (chunks.read(b"f", 0), chunks.at, chunks.end) == (1, 0, 1)
    assert (chunks.read(b"", 0), chunks.read(b"g\r", 0)) == (0, 1)
    assert chunks.read(b"\n", 0) == ODD
    chunks.begin()
    assert (chunks.read(b"0\r\n\r\n", 0), chunks.end) == (END, 5)
    assert (chunks.read(b"0\r\n\r\n", 0), chunks.end) == (END, 0)


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"\r\nabc", 0),
        (b"g\r\n", 0),
        (b" 3\r\n", 0),
        (b"3 \r\n", 1),
        (b"-3\r\n", 0),
        (b"0x3\r\n", 1),
        (b"3\nabc", 1),
        (b"3\r\rabc", 2),
        (b"3\r\nabcd\r\n", 6),
        (b"3\r\nabc\n", 6),
        (b"3\r\nabc0\r\n", 6),
        (b"3\r\nabc\rx", 7),
        (b"3;\r\nabc", 2),
        (b"3;a=\r\nabc", 4),
        (b"3;=b\r\nabc", 2),
        (b"3;a b\r\nabc", 3),
        (b'3;a="b"\r\nabc', 4),
        (b"10000000000000000\r\n", 16),
        (b"fffffffffffffff0\r\n", 15),
        (b"00000000000000001\r\n", 16),
    ],
)
def test_what_is_odd(chunks_module, data, at):
    body, said, end, complete = told(chunks_module, data + b"x" * 20)
    assert (said, end, complete) == (ODD, at, False)
    assert told(chunks_module, *[bytes([byte]) for byte in data + b"x" * 20]) == (body, said, end, complete)


def test_what_was_odd_stays_so_until_the_next_body(chunks_module):
    chunks = chunks_module.Chunks()
    assert [chunks.read(data, 0) for data in (b"g", b"0\r\n\r\n", b"")] == [ODD] * 3
    chunks.begin()
    assert chunks.read(b"0\r\n\r\n", 0) == END


def test_after_the_last_chunk_the_body_is_complete_whatever_comes(chunks_module):
    for trailer in (b"a: b\r\n\r\n", b"\n", b"\rx"):
        body, said, _, complete = told(chunks_module, b"3\r\nabc\r\n0\r\n" + trailer)
        assert (body, said, complete) == (b"abc", ODD, True)


def test_what_stands_around_the_pieces_is_bounded(chunks_module):
    extension = b";" + b"a" * 1000
    least = b"3" + extension * 16
    assert told(chunks_module, least + b"\r\nabc")[:2] == (b"abc", MORE)
    assert told(chunks_module, least + extension)[1] == ODD
    assert told(chunks_module, *[least[i : i + 100] for i in range(0, len(least), 100)], extension)[1] == ODD
    assert told(chunks_module, *[least + b"\r\nabc\r\n"] * 20)[:2] == (b"abc" * 20, MORE)
