"""A connection that knows heads does as one that scans each, and as one whose parser reads each: its calls, its
replies, its deadlines, its end.
"""

from __future__ import annotations

import gc
import logging
import re
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Auth, Key
from edge.guard.auth import new_key
from edge.server import lane, patience, request_head
from tests.unit.echoing import CHAT, Counting, Echo, Forgetful, Parsing, facts, head_of
from tests.unit.lanes import BODY, OTHER, field, post, said, settled

TOKEN, DIGEST = new_key("a")
MADE_ID = re.compile(rb"\b[0-9a-f]{32}\b")


SCAN = request_head.HEAD


def ways(known: Counting) -> list[tuple]:
    """How a head is read: known, scanned, parsed."""
    return [(known, SCAN), (Forgetful(), SCAN), (Forgetful(), Parsing())]


def goes(patch, way: tuple) -> None:
    patch.setattr(lane, "HEADS", way[0])
    patch.setattr(request_head, "HEAD", way[1])


@pytest.fixture(autouse=True)
def known(monkeypatch):
    made = Counting()
    monkeypatch.setattr(lane, "HEADS", made)
    return made


@pytest.fixture
def make():
    made = []

    def one(**options):
        made.append(Echo(**options))
        return made[-1]

    yield one
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make):
    return make()


def stage(made) -> tuple:
    """Where a connection stands."""
    left = "never" if made.deadline == patience.NEVER else round(made.deadline - made.loop.time())
    wire = made.transport
    told = [settled(MADE_ID.sub(b"<id>", one)) for one in said(made)]
    return told, made.idle(), wire.closing, wire.reads, left


STARTS = [CHAT] * 4 + [
    "POST /v1/messages HTTP/1.1",
    "POST /anthropic/v1/chat/completions?a HTTP/1.1",
    "POST http://localhost/v1/embeddings?b HTTP/1.1",
    "POST /v1/uploads HTTP/1.1",
    "POST /v1/chat/completions HTTP/1.0",
    "PUT /v1/chat/completions HTTP/1.1",
    "GET /nothing HTTP/1.1",
    "POST nothing HTTP/1.1",
]
FIELDS = [
    f"authorization: Bearer {TOKEN}",
    f"X-Api-Key: {TOKEN}",
    "anthropic-version: 2023-06-01",
    "content-type: application/json; charset=utf-8",
    "Content-Type: multipart/form-data",
    "x-request-id: mine",
    "x-request-id: not fit",
    "cache-control: no-store",
    "origin: http://elsewhere",
    "connection: close",
    "Connection: keep-alive",
    "connection: Keep-Alive",
    "connection: keep-alive, x-request-id",
    "connection: upgrade\r\nupgrade: h2c",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-forwarded-for: a, b",
    "x-forwarded-for:",
    "expect: 100-continue",
    "transfer-encoding: chunked",
    "x-length: 5",
    "x-edge-timeout-ms: nothing",
    "content-length: 5",
]
bodies = st.sampled_from([BODY, OTHER, b"", b"{", b'{"model":"none"}', BODY * 40, post(), post()[:-1]]) | st.binary(
    max_size=20
)


@st.composite
def requests(draw) -> bytes:
    body = draw(bodies)
    size = draw(st.sampled_from(["%d"] * 6 + ["00%d", "%d0", " %d", "+%d", "%d "])) % len(body)
    lines = draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique=True))
    if draw(st.integers(0, 7)):
        lines.append("content-type: application/json")
    name = draw(st.sampled_from(["content-length"] * 3 + ["Content-Length", "CONTENT-LENGTH"]))
    lines.insert(draw(st.integers(0, len(lines))), f"{name}: {size}")
    before = draw(st.sampled_from([b""] * 5 + [b"\r\n", b"\r\n\r\n"]))
    return before + head_of("host: localhost", *lines, start=draw(st.sampled_from(STARTS))) + body


sent = st.lists(st.tuples(requests(), st.sampled_from([0, 0, 0, 1, 2]), st.integers(0, 400), st.booleans()), max_size=5)


def segments(script) -> list[tuple[bytes, bool]]:
    """Each request alone, cut in two, or with the next; and whether what it asks for comes to its end before more."""
    made: list[tuple[bytes, bool]] = []
    left = b""
    for request, way, cut, ends in script:
        if way == 2:
            left += request
            continue
        whole, left = left + request, b""
        at = len(whole) if way == 0 else min(cut, len(whole))
        made += [(whole[:at], ends), (whole[at:], ends)]
    return [(segment, ends) for segment, ends in [*made, (left, True)] if segment]


@pytest.fixture(scope="module", params=["open", "keys"])
def alike(request):
    """Three workers."""
    auth = (
        Auth(keys=[Key(id="a", digests=[DIGEST])], failures_per_minute=1_000_000) if request.param == "keys" else None
    )
    made = [Echo(auth=auth, max_body_bytes=1024) for _ in range(3)]
    yield made
    for worker in made:
        worker.close()


@pytest.mark.slow
@settings(max_examples=200)
@given(script=sent)
def test_a_connection_that_knows_heads_does_as_one_that_reads_them(alike, script):
    each = ways(Counting())
    knowing = alike[0]
    with pytest.MonkeyPatch.context() as patch:
        goes(patch, each[0])
        for request, *_ in script:
            knowing.ask(request).connection_lost(None)
        for worker in alike:
            worker.seen.clear()
        ends = [worker.connect() for worker in alike]
        for segment, comes_to_its_end in segments(script):
            for worker, way, made in zip(alike, each, ends, strict=True):
                goes(patch, way)
                if not made.transport.closing:
                    made.data_received(segment)
                if comes_to_its_end:
                    worker.run()
            assert stage(ends[0]) == stage(ends[1]) == stage(ends[2])
        for worker, made in zip(alike, ends, strict=True):
            made.connection_lost(None)
            worker.run()
        told = [[facts(one) for one in worker.seen] for worker in alike]
        assert told[0] == told[1] == told[2]
        assert [worker.gateway._in_flight for worker in alike] == [0, 0, 0]


REFUSED = {
    "401": post(BODY, "x-api-key: lea_a_no"),
    "404": post(BODY, f"x-api-key: {TOKEN}", start="POST /v1/uploads HTTP/1.1"),
    "403 of a model": post(b'{"model":"none","messages":[]}', f"x-api-key: {TOKEN}"),
    "400": post(b"{", f"x-api-key: {TOKEN}"),
    "413": post(b"x" * 1025, f"x-api-key: {TOKEN}"),
    "415": post(BODY, f"x-api-key: {TOKEN}", "content-encoding: br"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("prefix", ["", "/anthropic"])
def test_a_refusal_of_a_known_head_is_that_of_one_that_is_read(make, known, name, prefix):
    worker = make(auth=Auth(keys=[Key(id="a", digests=[DIGEST], models=["gpt-4o"])]), max_body_bytes=1024)
    request = REFUSED[name].replace(b"POST /v1", b"POST " + prefix.encode() + b"/v1")
    first, second = worker.ask(request), worker.ask(request)
    assert known.used == 1
    assert said(second)[0].startswith(b"HTTP/1.1 " + name[:3].encode())
    assert stage(second) == stage(first)
    second.data_received(post(BODY, f"x-api-key: {TOKEN}"))
    worker.run()
    assert said(second)[1].endswith(BODY)
    assert worker.gateway._in_flight == 0


@pytest.mark.parametrize("part", ["open", "admit"])
@pytest.mark.parametrize("start", [CHAT, "POST /anthropic/v1/messages HTTP/1.1"])
def test_a_failure_of_the_gateway_is_told_as_on_the_ordinary_way(worker, known, monkeypatch, caplog, part, start):
    def fails(call):
        raise RuntimeError("secret")

    worker.ask(post(start=start))
    monkeypatch.setattr(worker.gateway, part, fails)
    seen = []
    for way in ways(known):
        goes(monkeypatch, way)
        caplog.clear()
        with caplog.at_level(logging.ERROR, "uvicorn.error"):
            made = worker.ask(post(start=start))
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith("internal error: RuntimeError")
        assert "secret" not in line
        seen.append((stage(made), worker.gateway._in_flight))
    assert known.used == 1
    assert seen[0] == seen[1] == seen[2]
    (((_, _, _, body),), *_), in_flight = seen[0]
    assert said(made)[0].startswith(b"HTTP/1.1 500 ")
    assert body.startswith(b'{"type":"error"') == (start != CHAT)
    assert in_flight == 0


SDK = """accept: application/json
accept-encoding: gzip, deflate
connection: keep-alive
content-type: application/json
user-agent: OpenAI/Python 2.14.0
x-stainless-arch: x64
x-stainless-async: false
x-stainless-lang: python
x-stainless-os: Linux
x-stainless-package-version: 2.14.0
x-stainless-read-timeout: 600
x-stainless-retry-count: 0
x-stainless-runtime: CPython
x-stainless-runtime-version: 3.11.7""".splitlines()
"""What the OpenAI SDK sends, by httpx."""


@pytest.mark.parametrize("saying", ["keep-alive", "Keep-Alive", "close", "keep-alive, x-stainless-os"])
def test_the_heads_of_the_sdks_are_known(worker, known, saying):
    fields = [line if not line.startswith("connection") else f"connection: {saying}" for line in SDK]
    for size in (1, 2, 3):
        body = BODY + b" " * size
        made = worker.ask(head_of("host: localhost", *fields, f"content-length: {len(body)}") + body)
        assert said(made)[0].endswith(body)
    assert known.used == (2 if saying.lower() == "keep-alive" else 0)


@pytest.mark.parametrize("follows", [post(OTHER), post() * 2, post(OTHER)[:50], b"\r\n", b"junk", post()[:-3]])
def test_what_follows_a_known_head_that_waits_comes_after_its_answer(worker, known, monkeypatch, follows):
    worker.ask(post())
    seen = []
    for way in ways(known):
        goes(monkeypatch, way)
        made = worker.connect()
        made.data_received(post())
        assert said(made) == []
        made.data_received(follows)
        assert said(made) == []
        worker.run()
        seen.append(stage(made))
    assert known.used == 1
    assert seen[0] == seen[1] == seen[2]
    assert said(made)[0].endswith(BODY)


def test_a_request_that_runs_has_no_deadline_and_the_idle_connection_has_its_time_after_it(worker, known):
    worker.ask(post())
    made = worker.connect()
    made.deadline = worker.loop.time()  # that of the first byte is about to pass
    made.data_received(post())
    assert (known.used, made.deadline) == (1, patience.NEVER)
    worker.run()
    assert made.deadline == pytest.approx(worker.loop.time() + patience.KEEP_ALIVE_S, abs=1)
    made.expire()
    assert made.transport.closing
    made.data_received(post())
    assert (len(said(made)), known.used) == (1, 1)


def test_a_client_that_takes_nothing_has_its_known_request_wait(worker, known):
    worker.ask(post())
    made = worker.connect()
    made.pause_writing()
    made.data_received(post())
    worker.run()
    assert (said(made), known.used) == ([], 0)
    made.resume_writing()
    worker.run()
    assert said(made)[0].endswith(BODY)


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_leaves_ends_what_is_fetched_for_it(worker, known, begun):
    worker.ask(post())
    worker.holds = True
    made = worker.connect()
    made.data_received(post())
    if begun:
        worker.run()
    made.connection_lost(None)
    worker.run()
    call = worker.seen[-1]
    assert known.used == 1
    assert (call.reply.broken(), call.settled, call in worker.gateway.under_way) == (True, True, False)
    assert worker.gateway._in_flight == 0


@pytest.mark.parametrize("body", [BODY, b"{"])
def test_a_worker_that_drains_closes_behind_a_known_head(worker, known, body):
    worker.ask(post(body))
    worker.app.drain()
    made = worker.ask(post(body))
    assert known.used == 1
    assert field(said(made)[0], b"connection") == [b"close"]
    assert made.transport.closing


def test_what_is_done_to_a_request_is_not_done_to_the_next(worker):
    worker.ask(post())
    for _ in range(3):
        for call in worker.seen:
            call.varying.clear()
        worker.ask(post(OTHER, f"authorization: Bearer {TOKEN}"))
        last = worker.seen[-1]
        assert last.head is worker.seen[1].head
        assert last.varying == {b"authorization": f"Bearer {TOKEN}".encode()}


def test_a_request_with_a_known_head_leaves_nothing_behind(worker, known):
    made = worker.ask(post())
    for _ in range(3):
        made.data_received(post())
        worker.run()
    gc.disable()
    try:
        left = weakref.ref(worker.seen[-1])
        worker.seen.clear()
        assert left() is None
    finally:
        gc.enable()
    assert (known.used, len(known.by_key)) == (3, 1)
