"""Heads in the form that nearly all have: read as llhttp reads them; what is otherwise is left to it."""

from __future__ import annotations

import random
from pathlib import Path

import httptools
import pytest

from edge._fast.head_tables import ASKED, HOLES, METHODS, NAMES, NUMBERS, SECRETS, TOKEN_BYTES
from tests.conftest import BUILDS, load
from tests.fuzz.heads import Reader
from tests.unit.heads import ANSWERS, REQUESTS, SDK, on_the_wire

ROOT = Path(__file__).parents[2]
ODD, MORE = -1, 0
HOST = b"Host: a\r\n"


@pytest.mark.parametrize("name", REQUESTS)
def test_what_clients_send_is_read(head_module, name):
    data = on_the_wire(REQUESTS[name])
    head = head_module.RequestHead()
    reader = Reader(httptools.HttpRequestParser).feed(data)
    assert head.read(data + b"body") == len(data) == head.end
    assert (METHODS[head.method], head.target) == (reader.parser.get_method(), reader.url)
    assert head.fields() == reader.fields
    assert head.count == len(reader.fields)
    assert head.keeps_alive
    index = dict(reversed(reader.fields))
    assert head.content_length == int(index.get(b"content-length", -1))
    assert head.chunked == (b"transfer-encoding" in index)
    for field, number in NUMBERS.items():
        assert head.value(number) == index.get(field)


@pytest.mark.parametrize("name", ANSWERS)
def test_what_providers_answer_is_read(head_module, name):
    data = on_the_wire(ANSWERS[name])
    head = head_module.ResponseHead()
    reader = Reader(httptools.HttpResponseParser).feed(data)
    assert head.read(data + b"body") == len(data)
    assert head.status == reader.parser.get_status_code()
    assert head.fields() == reader.fields
    assert head.keeps_alive == reader.keeps_alive
    index = dict(reversed(reader.fields))
    assert head.content_length == int(index.get(b"content-length", -1))
    assert head.chunked == (b"transfer-encoding" in index)


@pytest.mark.parametrize("data", [*map(on_the_wire, REQUESTS.values())])
def test_of_a_request_every_beginning_needs_more(head_module, data):
    head = head_module.RequestHead()
    for size in range(len(data)):
        assert head.read(data[:size]) == MORE
    for seen in range(1, len(data)):
        assert head.read(data, 0, seen) == len(data)
        assert head.read(data[:-1], 0, seen) == MORE
    assert head.read(b"GET" + data, 3) == len(data) + 3
    assert head.start == 3


@pytest.mark.parametrize("data", [*map(on_the_wire, ANSWERS.values())])
def test_of_an_answer_every_beginning_needs_more(head_module, data):
    head = head_module.ResponseHead()
    for size in range(len(data)):
        assert head.read(data[:size]) == MORE
    for seen in range(1, len(data)):
        assert head.read(data, 0, seen) == len(data)


REQUEST = b"POST / HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "data",
    [
        # The line.
        b"get / HTTP/1.1\r\n" + HOST,
        b"BREW / HTTP/1.1\r\n" + HOST,
        b"CONNECT a:1 HTTP/1.1\r\n" + HOST,
        b"\r\nPOST / HTTP/1.1\r\n" + HOST,
        b"POST  / HTTP/1.1\r\n" + HOST,
        b"POST /  HTTP/1.1\r\n" + HOST,
        b"POST\t/ HTTP/1.1\r\n" + HOST,
        b"POST / HTTP/1.0\r\n" + HOST,
        b"POST / HTTP/1.1 \r\n" + HOST,
        b"POST / HTTP/1.1\n" + HOST,
        b"POST / http/1.1\r\n" + HOST,
        b"POST /\r\n" + HOST,
        b"POST http://a/ HTTP/1.1\r\n" + HOST,
        b"OPTIONS * HTTP/1.1\r\n" + HOST,
        b"POST /#a HTTP/1.1\r\n" + HOST,
        b"POST /\x7f HTTP/1.1\r\n" + HOST,
        b"POST /\xff HTTP/1.1\r\n" + HOST,
        b"POST /\x00 HTTP/1.1\r\n" + HOST,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        # Fields.
        REQUEST + HOST + b"a : b\r\n",
        REQUEST + HOST + b"a b: c\r\n",
        REQUEST + HOST + b"a\r\n",
        REQUEST + HOST + b": b\r\n",
        REQUEST + HOST + b"a: b\r\n c\r\n",
        REQUEST + HOST + b"a: b\r\n\tc\r\n",
        REQUEST + b" " + HOST,
        REQUEST + HOST + b"a: b\n",
        REQUEST + HOST + b"a: b\rc\r\n",
        REQUEST + HOST + b"a: \x00\r\n",
        REQUEST + HOST + b"a: \x0b\r\n",
        REQUEST + HOST + b"a: \x7f\r\n",
        REQUEST + HOST + b"\xe4: b\r\n",
        REQUEST + HOST + b'"a": b\r\n',
        REQUEST + HOST + b"content-length\r: 1\r\n",
        REQUEST + HOST + b"Content-Length\r 2\r\n",
        # The framing.
        REQUEST + HOST + b"content-length: 1\r\ncontent-length: 1\r\n",
        REQUEST + HOST + b"content-length: 1, 1\r\n",
        REQUEST + HOST + b"content-length: +1\r\n",
        REQUEST + HOST + b"content-length: -1\r\n",
        REQUEST + HOST + b"content-length: 0x1\r\n",
        REQUEST + HOST + b"content-length: 1 \r\n",
        REQUEST + HOST + b"content-length:\r\n",
        REQUEST + HOST + b"content-length: 1234567890123456789\r\n",
        REQUEST + HOST + b"content-length: 1\r\ntransfer-encoding: chunked\r\n",
        REQUEST + HOST + b"transfer-encoding: chunked\r\nContent-Length: 1\r\n",
        REQUEST + HOST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        REQUEST + HOST + b"transfer-encoding: gzip, chunked\r\n",
        REQUEST + HOST + b"transfer-encoding: chunked \r\n",
        REQUEST + HOST + b"transfer-encoding: identity\r\n",
        REQUEST + HOST + b"transfer-encoding:\r\n",
        # What more follows from.
        REQUEST,
        REQUEST + HOST + HOST,
        REQUEST + HOST + b"connection: close\r\n",
        REQUEST + HOST + b"connection: upgrade\r\n",
        REQUEST + HOST + b"connection: keep-alive, te\r\n",
        REQUEST + HOST + b"connection:\r\n",
        REQUEST + HOST + b"connection: keep-alive\r\nconnection: keep-alive\r\n",
        REQUEST + HOST + b"proxy-connection: keep-alive\r\n",
        REQUEST + HOST + b"upgrade: h2c\r\n",
        REQUEST + HOST + b"EXPECT: 100-continue\r\n",
        REQUEST + HOST + b"te: trailers\r\n",
        REQUEST + HOST + b"trailer: a\r\n",
    ],
)
def test_what_is_left_to_a_whole_parser(head_module, data):
    assert head_module.RequestHead().read(data + b"\r\n") == ODD


OK = b"HTTP/1.1 200 OK\r\n"
SIZED = b"content-length: 1\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\n" + SIZED,
        b"HTTP/1.1 100 Continue\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.1 204 No Content\r\n" + SIZED,
        b"HTTP/1.1 304 Not Modified\r\n" + SIZED,
        b"HTTP/1.1 600 What\r\n" + SIZED,
        b"HTTP/1.1 099 What\r\n" + SIZED,
        b"HTTP/1.1 20 OK\r\n" + SIZED,
        b"HTTP/1.1 2000 OK\r\n" + SIZED,
        b"HTTP/1.1 200OK\r\n" + SIZED,
        b"HTTP/1.1  200 OK\r\n" + SIZED,
        b"HTTP/1.1 200 O\x00K\r\n" + SIZED,
        b"http/1.1 200 OK\r\n" + SIZED,
        b"HTTP/1.1 200 OK\n" + SIZED,
        OK,
        OK + b"connection: close\r\n",
        OK + SIZED + SIZED,
        OK + SIZED + b"transfer-encoding: chunked\r\n",
        OK + b"transfer-encoding: gzip\r\n",
        OK + SIZED + b"connection: upgrade\r\n",
        OK + SIZED + b"connection: close\r\nconnection: close\r\n",
        OK + SIZED + b"upgrade: h2\r\n",
        OK + SIZED + b"trailer: a\r\n",
        OK + SIZED + b"proxy-connection: close\r\n",
        OK + SIZED + b"a: b\r\n c\r\n",
    ],
)
def test_answers_that_are_left_to_a_whole_parser(head_module, data):
    assert head_module.ResponseHead().read(data + b"\r\n") == ODD


def test_limits(head_module):
    def fields(count: int) -> bytes:
        return REQUEST + HOST + b"a: b\r\n" * (count - 1) + b"\r\n"

    head = head_module.RequestHead(10, 200, 20)
    assert head.read(fields(10)) > 0
    assert head.read(fields(11)) == ODD
    assert head.read(fields(11)[:-4]) == MORE
    assert head.read(fields(11)[:-2]) == ODD
    for size, verdict in ((200, 200), (201, ODD)):
        data = REQUEST + HOST + b"a: "
        data += b"x" * (size - len(data) - 4) + b"\r\n\r\n"
        assert head.read(data) == verdict
        assert head.read(data[:-1]) == MORE
        assert head.read(data + b"more", 0, 3) == verdict
    endless = REQUEST + HOST + b"a: " + b"x" * 300
    assert head.read(endless[:200]) == MORE
    assert head.read(endless[:201]) == ODD
    assert head.read(endless[:200], 0, 100) == MORE
    assert head.read(endless[:201], 0, 100) == ODD
    for size, verdict in ((20, True), (21, False)):
        target = b"/" + b"x" * (size - 1)
        assert (head.read(b"POST " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n") > 0) == verdict
    assert head.read(b"POST /" + b"x" * 40) == ODD
    assert head_module.RequestHead(256).read(fields(256)) > 0
    with pytest.raises(ValueError, match="256"):
        head_module.RequestHead(257)


def test_nothing_that_was_said_before_is_left(head_module):
    head = head_module.RequestHead()
    first = on_the_wire(REQUESTS["node's fetch"])
    head.read(first)
    assert head.chunked
    bare = b"GET / HTTP/1.1\r\nhost: b\r\n\r\n"
    assert head.read(bare) == len(bare)
    assert (head.chunked, head.content_length, head.count, head.value(NUMBERS[b"user-agent"])) == (False, -1, 1, None)
    answer = head_module.ResponseHead()
    answer.read(on_the_wire(ANSWERS["nginx error"]))
    assert not answer.keeps_alive
    answer.read(on_the_wire(ANSWERS["uvicorn"]))
    assert answer.keeps_alive
    head.forget()
    assert (head.fields(), head.value(NUMBERS[b"host"])) == ([], None)
    assert [head.value(number) for number in (-1, 0, len(NAMES), 128, 1 << 30)] == [None] * 5


def test_what_comes_again_is_one_object_unless_it_is_secret(head_module):
    head = head_module.RequestHead()
    head.read(on_the_wire(SDK))
    first = dict(head.fields())
    head.read(on_the_wire(SDK))
    again = dict(head.fields())
    assert first == again
    kept = {name for name in first if first[name] is again[name]}
    assert b"user-agent" in kept or head_module.__name__.endswith("_head")
    assert not kept & SECRETS


def test_the_tables_are_sound():
    assert len(NAMES) == len(set(NAMES)) <= 128
    assert all(name == name.lower() and set(name) <= TOKEN_BYTES and len(name) <= 48 for name in NAMES)
    assert set(HOLES) | SECRETS <= set(NAMES)
    assert len(HOLES) <= 32
    assert set(HOLES) >= SECRETS - {b"set-cookie"}  # which is an answer's
    assert set(HOLES) >= ASKED


def test_compiled_modules_know_the_names_by_the_same_numbers():
    text = (ROOT / "edge/_fast/_head_fields_c.pxd").read_text()
    numbers = {}
    for line in text.splitlines():
        name, equals, number = line.strip().partition(" = ")
        if equals and number.isdigit():
            numbers[name] = int(number)
    assert (numbers.pop("MOST_FIELDS"), numbers.pop("KNOWN_NAMES")) == (256, 128)
    methods = (ROOT / "edge/_fast/_head_c.pxd").read_text()
    assert all(f"{method.decode()} = {number}" in methods for number, method in enumerate(METHODS) if method)
    assert len(numbers) == 30
    for name, number in numbers.items():
        assert NAMES[number].decode().upper().replace("-", "_") == name


def test_each_name_is_known_in_any_spelling_and_near_misses_are_not():
    rnd = random.Random(1)
    compiled, pure = (load("head", build).RequestHead() for build in reversed(BUILDS))
    for name in NAMES[10:]:
        for spelt in (name, name.upper(), name.title(), bytes(rnd.choice([c, ord(chr(c).upper())]) for c in name)):
            for end in (b"\r\n\r\n", b"\r\nx: y\r\n\r\n"):
                data = b"GET / HTTP/1.1\r\nhost: a\r\n" + spelt + b": v" + end
                for head in (pure, compiled):
                    assert head.read(data) == len(data)
                    assert head.fields()[1] == (name, b"v")
                    assert head.value(NUMBERS[name]) == b"v"
        for at in range(len(name)):
            for byte in (name[at] ^ 0x20, name[at] ^ 0x40, name[at] ^ 1, 0x5F):
                near = name[:at] + bytes([byte]) + name[at + 1 :]
                data = b"GET / HTTP/1.1\r\nhost: a\r\n" + near + b": v\r\n\r\n"
                assert compiled.read(data) == pure.read(data)
                if pure.end == len(data) and pure.read(data) > 0:
                    assert compiled.fields() == pure.fields()
                    assert compiled.value(NUMBERS[name]) == pure.value(NUMBERS[name])
