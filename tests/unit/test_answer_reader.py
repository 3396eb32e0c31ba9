"""Answers of the common form, read where they are; from what is odd in one on, llhttp goes on."""

from __future__ import annotations

import random

import httptools
import pytest

from tests.conftest import load
from tests.fuzz.heads import Reader
from tests.unit.heads import ANSWERS, on_the_wire

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
COMMON = {
    "length": (SIZED, b"hello"),
    "length 0": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "chunks": (CHUNKED, b"3\r\nabc\r\n1F\r\n%b\r\n0\r\n\r\n" % (b"x" * 31)),
    "a chunk with an extension": (CHUNKED, b"3;a=b\r\nabc\r\n0\r\n\r\n"),
    "no chunk": (CHUNKED, b"0\r\n\r\n"),
    "a body that looks like chunks": (CHUNKED, b"b\r\n\r\n0\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
}
ODD = {
    "a trailer": (CHUNKED, b"3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n"),
    "a trailer and no chunk": (CHUNKED, b"0\r\nX-Late: 1\r\n\r\n"),
    "a quoted extension": (CHUNKED, b'3;a="b"\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'),
    "a quoted extension behind others": (CHUNKED, b'3\r\nabc\r\n2;n;a="b;"\r\nde\r\n0\r\n\r\n'),
}
WRONG = {
    "no number": (CHUNKED, b"3\r\nabc\r\nzz\r\nde\r\n0\r\n\r\n"),
    "a chunk of more than it says": (CHUNKED, b"3\r\nabcd\r\n0\r\n\r\n"),
    "a chunk of less than it says": (CHUNKED, b"4\r\nabc\r\n0\r\n\r\n"),
    "line ends": (CHUNKED, b"3\nabc\n0\n\n"),
    "a number too large": (CHUNKED, b"3\r\nabc\r\n10000000000000000\r\nx"),
}


class Whole(Reader):
    """llhttp, without the trailers."""

    def __init__(self, kind: type) -> None:
        self.told: list[tuple[bytes, bytes]] = []
        super().__init__(kind)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.told = list(self.fields)


def told(module, *pieces: bytes):
    """All that is read of one answer: by the reader, and by llhttp where that goes on."""
    head = load("head", "compiled" if module.__name__.endswith("_c") else "pure").ResponseHead()
    reader, parts, status, fields = module.AnswerReader(head), [], 0, None
    other, before = None, 0
    for piece in pieces:
        more = reader.read(piece, parts)
        if reader.headed and fields is None:
            assert more
            status, fields = head.status, head.fields()
        if reader.odd:
            assert more
            if other is None:
                other = Whole(httptools.HttpResponseParser).feed(reader.before)
                assert (reader.before == b"") == (fields is None)
                assert not other.refused
                before = len(other.body)
            else:
                assert reader.before == b""
                assert reader.rest == piece
            other.feed(reader.rest)
    if other is None:
        return status, fields, b"".join(parts), bool(reader.whole), bool(reader.whole and reader.keeps_alive), False
    assert not reader.whole
    if fields is None:
        status, fields = (other.parser.get_status_code() if other.head else 0), other.told
    body = b"".join(parts) + other.body[before:]
    return status, fields, body, other.whole, other.whole and other.keeps_alive, other.refused


def by_llhttp(data: bytes):
    reader = Whole(httptools.HttpResponseParser).feed(data)
    status = reader.parser.get_status_code() if reader.head else 0
    return status, reader.told, reader.body, reader.whole, reader.whole and reader.keeps_alive, reader.refused


def splits(data: bytes) -> list[list[bytes]]:
    cut = [[data[:at], data[at:]] for at in range(1, len(data))]
    return [[data], *cut, [bytes([byte]) for byte in data], [data[:80], *(bytes([byte]) for byte in data[80:])]]


@pytest.mark.parametrize("name", [*COMMON, *ODD])
def test_an_answer_is_what_llhttp_reads_however_it_is_cut(answer_module, name):
    head, body = {**COMMON, **ODD}[name]
    expected = by_llhttp(head + body)
    assert expected[3:] == (True, True, False)
    for pieces in splits(head + body):
        assert told(answer_module, *pieces) == expected, pieces


@pytest.mark.parametrize("name", WRONG)
def test_what_llhttp_refuses_is_refused_however_it_is_cut(answer_module, name):
    head, body = WRONG[name]
    expected = by_llhttp(head + body)
    assert expected[3:] == (False, False, True)
    for pieces in splits(head + body):
        assert told(answer_module, *pieces)[-1], pieces


@pytest.mark.parametrize("name", COMMON)
def test_nothing_of_the_common_form_is_left_to_llhttp(answer_module, name):
    head = load("head", "compiled" if answer_module.__name__.endswith("_c") else "pure").ResponseHead()
    reader = answer_module.AnswerReader(head)
    start, body = COMMON[name]
    for pieces in ([start + body], [start, body], [start, *(bytes([byte]) for byte in body)]):
        reader.begin()
        parts: list[bytes] = []
        told = [reader.read(piece, parts) for piece in pieces if piece]
        assert told == [place in (0, len(told) - 1) for place in range(len(told))]
        assert (reader.whole, reader.odd, reader.keeps_alive) == (True, False, True)
        assert b"".join(parts) == by_llhttp(start + body)[2]


@pytest.mark.parametrize("name", ANSWERS)
def test_what_providers_answer_is_of_the_common_form(answer_module, name):
    """But for those of HTTP/1.0, and those that end with their connection."""
    head = load("head", "compiled" if answer_module.__name__.endswith("_c") else "pure").ResponseHead()
    reader = answer_module.AnswerReader(head)
    assert reader.read(on_the_wire(ANSWERS[name]), [])
    assert not reader.odd


@pytest.mark.parametrize("name", COMMON)
@pytest.mark.parametrize("surplus", [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_connection_on_which_more_has_come_does_not_go_on(answer_module, name, surplus):
    start, body = COMMON[name]
    head = load("head", "compiled" if answer_module.__name__.endswith("_c") else "pure").ResponseHead()
    for pieces in ([start + body + surplus], [start, body + surplus]):
        reader = answer_module.AnswerReader(head)
        parts: list[bytes] = []
        for piece in pieces:
            reader.read(piece, parts)
        assert reader.whole or not body
        assert not reader.keeps_alive or not body
        assert b"".join(parts) == by_llhttp(start + body)[2]


def test_one_head_serves_many_connections(answer_module):
    """What one has read of its answer does not depend on what another reads meanwhile."""
    head = load("head", "compiled" if answer_module.__name__.endswith("_c") else "pure").ResponseHead()
    answers = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n" % (size, b"Connection: close\r\n" * (size % 2)), b"y" * size, size % 2 == 0)
        for size in range(1, 40)
    ] + [(CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"y" * size), True) for size in range(1, 40)]  # fmt: skip
    readers = [(answer_module.AnswerReader(head), [], *each) for each in answers]
    waiting = [(reader, parts, [start, *(bytes([byte]) for byte in body)]) for reader, parts, start, body, _ in readers]
    rnd = random.Random(7)
    while waiting:
        reader, parts, pieces = rnd.choice(waiting)
        reader.read(pieces.pop(0), parts)
        if not pieces:
            waiting.remove((reader, parts, pieces))
    for reader, parts, start, body, keeps in readers:
        assert (bool(reader.whole), bool(reader.keeps_alive)) == (True, keeps)
        assert b"".join(parts) == by_llhttp(start + body)[2]


def test_any_answer_is_what_llhttp_reads(answer_module):
    """Of chunks put together at random, cut at random, with odd ones among them."""
    rnd = random.Random(3)
    chunks = [b"1\r\nx\r\n", b"0a\r\n0123456789\r\n", b"3;a\r\nabc\r\n", b'2;a="\t;"\r\nde\r\n', b"1 \r\nz\r\n"]
    refused = odd = 0
    for _ in range(3000):
        data = CHUNKED + b"".join(rnd.choices(chunks, [9, 9, 3, 1, 1], k=rnd.randrange(6)))
        data += rnd.choice([b"0\r\n\r\n", b"0\r\na: b\r\n\r\n"])
        expected = by_llhttp(data)
        cuts = sorted(rnd.sample(range(1, len(data)), rnd.randrange(4)))
        got = told(answer_module, *(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)))
        assert got[-1] == expected[-1]
        if not expected[-1]:
            assert got == expected
        refused += expected[-1]
        odd += b'"' in data or b"b\r\n" in data
    assert 100 < refused < 1000 < odd
