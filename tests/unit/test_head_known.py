"""Heads that came before: another with other values in the holes fits, and nothing else does."""

from __future__ import annotations

import pytest

from edge._fast.head_tables import HOLES
from tests.conftest import load
from tests.unit.heads import REQUESTS, SDK, on_the_wire


def known(module, data: bytes, start: int = 0):
    head = load("head", "compiled" if module.__name__.endswith("_c") else "pure").RequestHead()
    assert head.read(data, start) > 0
    return module.KnownHead(head)


def fields_of(module, data: bytes) -> list:
    head = load("head", "compiled" if module.__name__.endswith("_c") else "pure").RequestHead()
    assert head.read(data) > 0
    return head.fields()


TRACED = on_the_wire(
    SDK.replace(
        b"Content-Length: 89\n",
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nX-Request-Id: one\nContent-Length: 89\n",
    )
)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_head_fits_itself_and_no_part_of_it_does(head_known_module, name):
    data = on_the_wire(REQUESTS[name])
    one = known(head_known_module, data)
    assert one.head == data
    assert one.match(data + b"body") == len(data)
    assert one.match(b"body" + data, 4) == len(data) + 4
    assert known(head_known_module, b"body" + data, 4).match(data) == len(data)
    assert not any(one.match(data[:size]) for size in range(len(data)))


def test_what_is_in_the_holes_is_told(head_known_module):
    one = known(head_known_module, TRACED)
    assert one.holes == 4  # and the SDK's count of tries
    other = (
        TRACED.replace(b"t-Length: 89", b"t-Length: 123456789012345678")
        .replace(b"b7ad6b7169203331", b"00f067aa0ba902b7")
        .replace(b"one", "zwölf, 12\t".encode())
        .replace(b"count: 0", b"count: 2")
    )
    assert one.match(other) == len(other)
    assert one.content_length == 123456789012345678
    assert one.key == known(head_known_module, other).key
    fields, index = one.take()
    assert fields == fields_of(head_known_module, other)
    assert index == dict(fields)
    assert index[b"x-request-id"] == "zwölf, 12\t".encode()
    assert one.match(TRACED) == len(TRACED)
    fields.clear()
    index.clear()
    assert one.take() == (fields_of(head_known_module, TRACED), dict(fields_of(head_known_module, TRACED)))


def test_of_a_name_that_comes_twice_the_first_value_counts(head_known_module):
    data = b"GET / HTTP/1.1\r\na: 1\r\nx-request-id: 5\r\nA: 2\r\nhost: h\r\na: 3\r\n\r\n"
    one = known(head_known_module, data)
    assert one.match(data.replace(b"5", b"66")) == len(data) + 1
    fields, index = one.take()
    assert fields == [(b"a", b"1"), (b"x-request-id", b"66"), (b"a", b"2"), (b"host", b"h"), (b"a", b"3")]
    assert index == {b"a": b"1", b"x-request-id": b"66", b"host": b"h"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POST", b"PUT"),
        (b"/chat/", b"/chat2/"),
        (b"sk-0", b"sk-1"),
        (b"Content-Length", b"content-length"),
        (b"Length: 89", b"Length: "),
        (b"Length: 89", b"Length:  89"),
        (b"Length: 89", b"Length: 89 "),
        (b"Length: 89", b"Length: +89"),
        (b"Length: 89", b"Length: 8,9"),
        (b"Length: 89", b"Length: 1234567890123456789"),
        (b"Length: 89", b"Length: 89\r\nContent-Length: 90"),
        (b"Length: 89", b"Length: 89\r\nTransfer-Encoding: chunked"),
        (b"Id: one", b"Id: "),
        (b"Id: one", b"Id:  one"),
        (b"Id: one", b"Id: \tone"),
        (b"Id: one", b"Id: o\x00e"),
        (b"Id: one", b"Id: o\x7fe"),
        (b"Id: one", b"Id: o\re"),
        (b"Id: one", b"Id: o\ne"),
        (b"Id: one", b"Id: one\r\nX-Request-Id: two"),
        (b"Id: one", b"Id: one\r\n two"),
        (b"Id: one", b"Id: " + b"1" * 513),
        (b"\r\n\r\n", b"\r\na: b\r\n\r\n"),
        (b"\r\n\r\n", b"\r\n \r\n"),
    ],
)
def test_what_does_not_fit(head_known_module, old, new):
    one = known(head_known_module, TRACED)
    assert TRACED.count(old) == 1 or old == b"Content-Length"
    assert one.match(TRACED.replace(old, new) + b" " * 89) == 0
    assert one.match(TRACED) == len(TRACED)


def test_a_value_in_a_hole_may_be_long(head_known_module):
    one = known(head_known_module, TRACED)
    assert one.match(TRACED.replace(b"Id: one", b"Id: " + b"1" * 512)) > 0


def test_a_head_without_a_size_keeps_its_own(head_known_module):
    data = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n"
    one = known(head_known_module, data)
    assert (one.holes, one.match(data), one.content_length) == (0, len(data), -1)


def test_heads_that_are_not_kept(head_known_module):
    data = b"GET / HTTP/1.1\r\nhost: a\r\n"
    for more in (b"x-request-id: 1\r\nX-Request-ID: 2\r\n", b"a: " + b"x" * 8192 + b"\r\n"):
        with pytest.raises(ValueError, match="kept"):
            known(head_known_module, data + more + b"\r\n")
    empty = data + b"x-request-id:\r\n\r\n"
    one = known(head_known_module, empty)
    assert (one.holes, one.match(empty), one.match(empty.replace(b"id:", b"id:1"))) == (0, len(empty), 0)
    every = data + b"".join(b"%b: 1\r\n" % name for name in HOLES) + b"\r\n"
    assert known(head_known_module, every).match(every) == len(every)
