"""Heads that came before: what is learned, and what is found."""

from __future__ import annotations

import pytest

from edge.server import heads, lane
from tests.unit.echoing import Counting, Echo, facts, head_of
from tests.unit.lanes import BODY, OTHER, post, said, settled

PLAIN = "POST /v1/chat/completions HTTP/1.0"


@pytest.fixture(autouse=True)
def known(monkeypatch):
    made = Counting()
    monkeypatch.setattr(lane, "HEADS", made)
    return made


@pytest.fixture
def worker():
    made = Echo()
    yield made
    made.close()


LEARNED = {
    "lower case": post(),
    "as most clients write it": post().replace(b"content-length", b"Content-Length"),
    "upper case": post().replace(b"content-length", b"CONTENT-LENGTH"),
    "the size first": head_of("content-length: 32", "host: a") + BODY,
    "the size last": head_of("host: a", "content-length: 32") + BODY,
    "zeros before the size": head_of("host: a", "content-length: 000000032") + BODY,
    "eighteen digits": head_of("host: a", "content-length: 000000000000000032") + BODY,
    "no space before the size": post().replace(b"length: ", b"length:"),
    "two spaces before the size": post().replace(b"length: ", b"length:  "),
    "a tab before the size": post().replace(b"length: ", b"length:\t"),
    "no body": head_of("host: a", "content-length: 0"),
    "no size": head_of("host: a"),
    "a query": post(start="POST /v1/chat/completions?a=b HTTP/1.1"),
    "an unknown route": post(start="POST /v1/uploads HTTP/1.1"),
    "the size's name in the body": post(b"\r\n\r\ncontent-length: 5\r\n\r\n"),
    "a list in one line": post(BODY, "x-a: b, c"),
    "a field given twice": post(BODY, "x-a: b", "x-a: c"),
    "another name that ends so, before": head_of("host: a", "x-content-length: 9", "content-length: 32") + BODY,
    "another name that ends so, behind": post(BODY, "x-content-length: 9"),
    "another name that ends so, alone": head_of("host: a", "x-content-length: 32"),
    "a shorter name that ends so": head_of("host: a", "x-length: 32", "content-length: 32") + BODY,
    "a value that says so": head_of("host: a", "x-a: length: 9", "content-length: 32") + BODY,
    "a target that says so": post(start="POST /v1/chat/completions?content-length HTTP/1.1"),
    "a trace": post(BODY, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=b"),
    "an empty value where another could be": post(BODY, "x-request-id:"),
}

NOT_LEARNED = {
    "the size twice": post(BODY, "content-length: 32"),
    "two sizes": post(BODY, "content-length: 5"),
    "the size in two cases": post(BODY, "Content-Length: 32"),
    "a space behind the size": post().replace(b"length: 32", b"length: 32 "),
    "a plus": post().replace(b"length: 32", b"length: +32"),
    "a minus": post().replace(b"length: 32", b"length: -32"),
    "an empty size": post().replace(b"length: 32", b"length: "),
    "a list of sizes": post().replace(b"length: 32", b"length: 32, 32"),
    "nineteen digits": post().replace(b"length: 32", b"length: 0000000000000000032"),
    "a folded line": post().replace(b"length: 32\r\n", b"length: 32\r\n 1\r\n"),
    "chunks": head_of("host: a", "transfer-encoding: chunked") + b"0\r\n\r\n",
    "chunks and a size": post(BODY, "transfer-encoding: chunked"),
    "an expectation": post(BODY, "expect: 100-continue"),
    "a word about the connection": post(BODY, "connection: close"),
    "an upgrade that is not wished for": post(BODY, "upgrade: h2c"),
    "a wish for an upgrade": post(BODY, "connection: upgrade", "upgrade: h2c"),
    "HTTP/1.0": post(start=PLAIN),
    "HTTP/1.0 that is kept": post(BODY, "connection: keep-alive", start=PLAIN),
    "another method": post(start="PUT /v1/chat/completions HTTP/1.1"),
    "a read": head_of("host: a", "content-length: 0", start="GET /v1/models HTTP/1.1"),
    "a page": post(start="POST /admin/api/cache/clear HTTP/1.1"),
    "an absolute target": post(start="POST http://localhost/v1/chat/completions HTTP/1.1"),
    "a target that is no path": post(start="POST * HTTP/1.1"),
    "no host": head_of("content-length: 32") + BODY,
    "two hosts": post(BODY, "host: b"),
    "a host that is none": post().replace(b"host: localhost", b"host: a/b"),
    "an empty line before": b"\r\n" + post(),
    "two empty lines before": b"\r\n\r\n" + post(),
    "too many fields": post(BODY, *(f"x-{number}: a" for number in range(100))),
    "bare line feeds": post().replace(b"\r\n", b"\n"),
    "a trace given twice": post(BODY, "traceparent: a", "traceparent: b"),
    "more bytes than are kept": post(BODY, "x-a: " + "b" * 8192),
}


@pytest.mark.parametrize("name", LEARNED)
def test_a_head_of_the_common_form_is_known_the_second_time(worker, known, name):
    request = LEARNED[name]
    first = worker.ask(request)
    assert known.used == 0
    second = worker.ask(request)
    assert known.used == 1
    assert [settled(one) for one in said(second)] == [settled(one) for one in said(first)]
    assert facts(worker.seen[1]) == facts(worker.seen[0])


@pytest.mark.parametrize("name", NOT_LEARNED)
def test_any_other_is_read_each_time(worker, known, name):
    for _ in range(3):
        worker.ask(NOT_LEARNED[name])
    assert known.used == 0
    assert known.by_key == {}


def test_another_size_is_known_and_every_other_byte_tells(worker, known):
    worker.ask(post())
    worker.ask(post(OTHER))
    assert known.used == 1
    request = post()
    size = request.index(b"length: ") + 8
    for at in range(request.index(b"\r\n\r\n") + 4):
        altered = request[:at] + bytes([request[at] ^ 1]) + request[at + 1 :]
        assert known.has(altered) == (at in (size, size + 1)), altered


SIZE_FORMS = (b"", b" 32", b"32 ", b"+32", b"-32", b"32,32", b"0x20", b"3_2", b"\xb3\xb2", b"0" * 17 + b"32")


@pytest.mark.parametrize("size", SIZE_FORMS)
def test_a_size_that_is_not_plainly_one_is_not_found(worker, known, size):
    worker.ask(post())
    assert not known.has(post().replace(b"length: 32", b"length: " + size))


VARYING = ["traceparent", "X-Request-Id", "x-forwarded-for", "idempotency-key"]


def test_what_differs_each_time_is_read_each_time(worker, known):
    """The call has its own value, not that of the request the head was learned from."""
    for number in range(4):
        worker.ask(post(BODY + b" " * number, "x-a: b", *(f"{name}: {number}{name}" for name in VARYING)))
    assert (known.used, len(known.by_key)) == (3, 1)
    for number, call in enumerate(worker.seen):
        assert call.declared == len(BODY) + number
        for name in ("traceparent", "X-Request-Id"):
            assert call.varying[name.lower().encode()] == f"{number}{name}".encode()
        assert call.head is worker.seen[0].head
        assert call.head.index == {b"host": b"localhost", b"content-type": b"application/json", b"x-a": b"b"}


def test_what_decides_is_never_taken_from_another_request(worker, known):
    """A key, a type, a version, a host: a head with another is another."""
    for name in ("authorization", "x-api-key", "content-type", "anthropic-version", "x-edge-timeout-ms"):
        for value in ("1", "2", "1"):
            worker.ask(post(BODY, f"{name}: {value}"))
            call = worker.seen[-1]
            told = [*call.head.headers, *call.varying.items()]
            assert (name.encode(), value.encode()) in told


SIZES = [*range(60, 130), *range(1000, 1300)]
"""Among them those that are as long as a part of the head that gives them."""
FORMS = [
    head_of("host: localhost", "content-type: application/json", "content-length: %d").decode(),
    head_of("host: localhost", "content-length: %d", "content-type: application/json").decode(),
]


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_head_is_taken_for_a_request(worker, known, form):
    request = (form % 32).encode() + BODY
    worker.ask(request)
    assert known.has(request)
    for size in SIZES:
        head = (form % size).encode()
        assert all(not known.has(head[:at]) for at in range(len(head)))


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_head_that_is_as_long_as_the_size_it_gives_is_read_on(worker, form):
    worker.ask((form % 32).encode() + BODY)
    for size in SIZES:
        head, body = (form % size).encode(), b"x" * size
        for at in (len(head) - 5, len(head) - 3, len(head) - 2):
            worker.seen.clear()
            made = worker.ask(head[:at], head[at:] + body)
            assert len(said(made)) == 1
            assert [call.received for call in worker.seen] == [size]


@pytest.mark.parametrize(("spare", "used"), [(0, 1), (1, 0)])
def test_a_large_head_is_not_kept(worker, known, spare, used):
    size = len(post(BODY, "x-a: ")) - len(BODY)
    for _ in range(2):
        worker.ask(post(BODY, "x-a: " + "b" * (8192 + spare - size)))
    assert known.used == used


def test_the_head_of_a_large_request_is_known_too(worker, known):
    request = post(BODY + b" " * 200_000)
    for _ in range(2):
        worker.ask(request[:70_000], request[70_000:150_000], request[150_000:])
    assert known.used == 1
    assert facts(worker.seen[1]) == facts(worker.seen[0])


def test_a_head_in_two_segments_is_not_learned(worker, known):
    request = post()
    for at in range(1, request.index(b"\r\n\r\n") + 4):
        worker.ask(request[:at], request[at:])
        assert not known.has(request), at


def test_a_head_whose_body_comes_later_is_learned(worker, known):
    request = post()
    at = request.index(b"\r\n\r\n") + 4
    worker.ask(request[:at], request[at:])
    worker.ask(request)
    assert known.used == 1


@pytest.mark.parametrize("first", [head_of("host: a", start="GET /health HTTP/1.1"), post(OTHER, "x-a: b")])
def test_of_several_requests_in_a_segment_only_the_first_can_be_learned(worker, known, first):
    worker.ask(first + post())
    assert not known.has(post())
    assert known.has(first) == first.startswith(b"POST")


def test_a_head_is_not_taken_to_say_what_one_behind_it_says(worker, known):
    first = post(BODY, "x-a: b")
    worker.ask(first + post(BODY, "x-c: d"))
    worker.ask(first)
    assert known.used == 1
    assert facts(worker.seen[2]) == facts(worker.seen[0])


def test_a_request_behind_one_that_runs_is_neither_learned_from_nor_looked_for(worker, known):
    worker.ask(post())
    made = worker.connect()
    made.data_received(post(OTHER, "x-a: b"))
    made.data_received(post())
    made.data_received(post(BODY, "x-b: c"))
    worker.run()
    assert (len(said(made)), known.used) == (3, 0)
    assert not known.has(post(BODY, "x-b: c"))


def test_what_is_known_is_bounded_and_the_first_goes_first(worker, known, monkeypatch):
    monkeypatch.setattr(heads, "MAX_KNOWN", 8)
    requests = [post(BODY, f"x-a: {number}") for number in range(40)]
    for request in requests:
        worker.ask(request)
    assert [known.has(request) for request in requests] == [False] * 32 + [True] * 8


def test_what_is_learned_again_takes_no_others_place(worker, known, monkeypatch):
    monkeypatch.setattr(heads, "MAX_KNOWN", 8)
    requests = [post(BODY, f"x-a: {number}") for number in range(8)]
    for request in requests:
        worker.ask(request)
    for _ in range(3):
        worker.ask(requests[7][:-1], requests[7][-1:])
    assert all(known.has(request) for request in requests)
