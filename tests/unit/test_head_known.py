"""Heads that came before: another with other values in the holes fits, and nothing else does."""

from __future__ import annotations

import pytest

from edge._fast.head_tables import ASKED, HOLES, SECRETS
from tests.conftest import load
from tests.unit.heads import REQUESTS, SDK, on_the_wire


def known(module, data: bytes, start: int = 0):
    head = load("head", "compiled" if module.__name__.endswith("_c") else "pure").RequestHead()
    assert head.read(data, start) > 0
    return module.KnownHead(head)


def asked(module, data: bytes) -> dict:
    head = load("head", "compiled" if module.__name__.endswith("_c") else "pure").RequestHead()
    assert head.read(data) > 0
    return {name: value for name, value in head.fields() if name in ASKED}


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
    assert one.match(data + b"body") == len(data)
    assert one.match(b"body" + data, 4) == len(data) + 4
    assert known(head_known_module, b"body" + data, 4).match(data) == len(data)
    assert not any(one.match(data[:size]) for size in range(len(data)))


def test_what_is_in_the_holes_is_told(head_known_module):
    one = known(head_known_module, TRACED)
    assert one.holes == 5  # and the SDK's key, and its count of tries
    other = (
        TRACED.replace(b"t-Length: 89", b"t-Length: 123456789012345678")
        .replace(b"b7ad6b7169203331", b"00f067aa0ba902b7")
        .replace(b"one", "zwölf, 12\t".encode())
        .replace(b"count: 0", b"count: 2")
    )
    assert one.match(other) == len(other)
    assert one.content_length == 123456789012345678
    assert one.key == known(head_known_module, other).key
    found = one.take()
    assert found == asked(head_known_module, other)
    assert found[b"x-request-id"] == "zwölf, 12\t".encode()
    assert one.match(TRACED) == len(TRACED)
    found.clear()
    assert one.take() == asked(head_known_module, TRACED)


def test_nothing_secret_is_kept_and_another_secret_fits(head_known_module):
    names = sorted(SECRETS - {b"set-cookie"})  # which is an answer's
    data = b"GET / HTTP/1.1\r\nhost: h\r\n" + b"".join(b"%b: sk-one\r\n" % name for name in names) + b"\r\n"
    one = known(head_known_module, data)
    assert b"sk-one" not in one.key
    other = data.replace(b"sk-one", b"another")
    assert one.match(other) == len(other)
    assert one.take() == dict.fromkeys((b"authorization", b"x-api-key"), b"another")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POST", b"PUT"),
        (b"/chat/", b"/chat2/"),
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
