"""Requests as no SDK sends them: framing, heads, pipelines, any cut; and what cannot be a request at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tests.replay.bench import Case, Play
from tests.replay.client import Connection
from tests.replay.corpus.bodies import CHAT, MESSAGES, RESPONSES, body_for

TRACE = "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def chat(
    p: Play, *fields: str, version: str = "1.1", more: dict | None = None, client: Connection | None = None
) -> bytes:
    made = client or p.clients[-1]
    return made.form("POST", CHAT, body_for(CHAT, "gpt-4o", p.said, **(more or {})), *fields, version=version)


def fields(*lines: str, stream: bool = False, version: str = "1.1", path: str = CHAT):
    """One request with these, and an ordinary one after it."""

    def play(p: Play) -> None:
        client = p.client()
        more = {"stream": True} if stream else {}
        plain = path.partition("?")[0]
        model = "claude-sonnet-5" if plain == MESSAGES else "gpt-4o"
        got = client.ask("POST", path, body_for(plain, model, p.said, **more), *lines, version=version)
        if not got.trouble and "close" not in got.value("connection"):
            client.post(path, body_for(plain, model, p.said))

    return play


def raw(*pieces: bytes, answers: int = 1, method: str = "POST"):
    def play(p: Play) -> None:
        client = p.client()
        for piece in pieces:
            client.send(piece)
            if len(pieces) > 1:
                time.sleep(0.01)
        client.all_answers(answers, method)

    return play


def body_in_chunks(p: Play, size: int, tail: bytes = b"0\r\n\r\n") -> bytes:
    body = body_for(CHAT, "gpt-4o", p.said)
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + tail
    return p.clients[-1].form("POST", CHAT, framed, "transfer-encoding: chunked")


def in_chunks(size: int, tail: bytes = b"0\r\n\r\n"):
    def play(p: Play) -> None:
        client = p.client()
        client.send(body_in_chunks(p, size, tail))
        client.answer()
        client.post(CHAT, body_for(CHAT, "gpt-4o", p.said))

    return play


def pipelined(count: int, stream: bool, size: int = 0):
    """So many at once, in segments of `size` bytes."""

    def play(p: Play) -> None:
        client = p.client()
        data = b"".join(chat(p, more={"stream": True} if stream and n % 2 else {}) for n in range(count))
        for at in range(0, len(data), size or len(data)):
            client.send(data[at : at + (size or len(data))])
            if size:
                time.sleep(0.0005)
        client.all_answers(count)

    return play


def split_at(place: int):
    def play(p: Play) -> None:
        client = p.client()
        data = chat(p) + chat(p)
        client.send(data[:place])
        time.sleep(0.002)
        client.send(data[place:])
        client.all_answers(2)

    return play


def expects(continued: bool, value: str = "100-continue"):
    def play(p: Play) -> None:
        client = p.client()
        data = chat(p, f"expect: {value}")
        head, _, rest = data.partition(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n" + (b"" if continued else rest))
        if continued and client.until(b"100 Continue"):
            client.send(rest)
        client.answer()

    return play


def mixed(p: Play) -> None:
    """Requests of all kinds in one segment."""
    client = p.client()
    data = client.form("GET", "/health/live", None) + chat(p) + client.form("GET", "/v1/nothing", None)
    data += client.form("POST", CHAT, b"{") + chat(p, more={"stream": True}) + client.form("OPTIONS", "*", None)
    client.send(data + chat(p))
    client.all_answers(7)


def bad_behind_good(p: Play) -> None:
    client = p.client()
    client.send(chat(p) + b"GARBAGE\r\n\r\n")
    client.all_answers(2)


def plain_cases() -> Iterator[tuple[str, Callable[[Play], None]]]:
    yield from {
        "trace": fields(TRACE),
        "trace-odd": fields("traceparent: 00-zz-1-01"),
        "trace-with-state": fields(TRACE, "tracestate: a=b"),
        "id-odd": fields("x-request-id: not/an id"),
        "id-long": fields(f"x-request-id: {'a' * 65}"),
        "http-1.0": fields(version="1.0"),
        "http-1.0-kept": fields("connection: keep-alive", version="1.0"),
        "http-1.0-stream": fields(stream=True, version="1.0"),
        "http-1.0-stream-kept": fields("connection: keep-alive", stream=True, version="1.0"),
        "http-2.0": fields(version="2.0"),
        "close": fields("connection: close"),
        "close-stream": fields("Connection: Close", stream=True),
        "keep-alive": fields("connection: keep-alive"),
        "upgrade": fields("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAB"),
        "timeout-odd": fields("x-edge-timeout-ms: soon"),
        "timeout-long": fields("x-edge-timeout-ms: 20000"),
        "timeout-zero": fields("x-edge-timeout-ms: 0"),
        "ttl-odd": fields("x-edge-cache-ttl: -1"),
        "compressed": fields("content-encoding: gzip"),
        "identity": fields("content-encoding: identity"),
        "no-type": fields("content-type:"),
        "form": fields("content-type: application/x-www-form-urlencoded"),
        "multipart": fields("content-type: multipart/form-data; boundary=x"),
        "charset": fields("content-type: application/json; charset=utf-8"),
        "origin": fields("origin: https://evil.example"),
        "origin-own": fields("origin: http://localhost"),
        "cookies": fields(
            "cookie: a=b", "x-forwarded-for: 1.2.3.4", "user-agent: u", "accept: text/plain", "te: trailers"
        ),
        "openai-fields": fields("openai-beta: assistants=v2", "openai-organization: o", "idempotency-key: i"),
        "stainless": fields("x-stainless-lang: python", "x-stainless-retry-count: 0", "authorization: Bearer unused"),
        "anthropic-fields": fields(
            *("anthropic-version: 2023-06-01", "anthropic-beta: a-1", "anthropic-beta: b-2", "anthropic-future: 1"),
            "x-api-key: unused",
            path=MESSAGES,
        ),
        "anthropic-fields-to-openai": fields("anthropic-version: 2023-06-01", "anthropic-beta: a-1"),
        "spaces": fields("anthropic-beta:   a-1  ", "Accept:\tapplication/json"),
        "query": fields(path=f"{CHAT}?beta=true&api-version=1&other=x"),
        "query-messages": fields(path=f"{MESSAGES}?beta=true&x=y"),
        "expect": expects(True),
        "expect-at-once": expects(False),
        "expect-odd": expects(False, "the-spanish-inquisition"),
        "chunks-1": in_chunks(1),
        "chunks-7": in_chunks(7),
        "chunks-whole": in_chunks(100_000),
        "chunks-trailers": in_chunks(50, b"0\r\nx-trailer: 1\r\n\r\n"),
        "chunks-extension": in_chunks(50, b"0;x=1\r\n\r\n"),
        "pipelined-2": pipelined(2, False),
        "pipelined-9": pipelined(9, True),
        "pipelined-bytes": pipelined(2, True, 1),
        "pipelined-17-bytes": pipelined(5, True, 17),
        "pipelined-mixed": mixed,
        "pipelined-bad": bad_behind_good,
    }.items()


HOST = b"host: localhost\r\n"
POST = b"POST " + CHAT.encode() + b" HTTP/1.1\r\n" + HOST
LINES: dict[str, bytes] = {
    "no-host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET /v1/models HTTP/1.1\r\n" + HOST * 2 + b"\r\n",
    "odd-host": b"GET /v1/models HTTP/1.1\r\nhost: local host\r\n\r\n",
    "other-host": b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "host-with-port": b"GET /health HTTP/1.1\r\nhost: 127.0.0.1:80\r\n\r\n",
    "no-host-1.0": b"GET /health HTTP/1.0\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "lower-method": b"get /health HTTP/1.1\r\n" + HOST + b"\r\n",
    "unknown-method": b"BREW /health HTTP/1.1\r\n" + HOST + b"\r\n",
    "no-version": b"GET /health\r\n\r\n",
    "version-0.9": b"GET /health HTTP/0.9\r\n" + HOST + b"\r\n",
    "version-3": b"GET /health HTTP/3.0\r\n" + HOST + b"\r\n",
    "lf-only": b"GET /health HTTP/1.1\nhost: localhost\n\n",
    "leading-lines": b"\r\n\r\nGET /health HTTP/1.1\r\n" + HOST + b"\r\n",
    "folded": b"GET /health HTTP/1.1\r\n" + HOST + b"x-a: 1\r\n 2\r\n\r\n",
    "space-before-colon": b"GET /health HTTP/1.1\r\n" + HOST + b"x-a : 1\r\n\r\n",
    "empty-name": b"GET /health HTTP/1.1\r\n" + HOST + b": 1\r\n\r\n",
    "odd-name": b"GET /health HTTP/1.1\r\n" + HOST + b"x(a): 1\r\n\r\n",
    "nul": b"GET /health HTTP/1.1\r\n" + HOST + b"x-a: \x00\r\n\r\n",
    "connect": b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
    "absolute": b"GET http://localhost/health HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute-other": b"GET http://evil.example/v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /health#x HTTP/1.1\r\n" + HOST + b"\r\n",
    "percent": b"GET /v1/%6dodels HTTP/1.1\r\n" + HOST + b"\r\n",
    "latin-target": b"GET /v1/caf\xe9 HTTP/1.1\r\n" + HOST + b"\r\n",
    "space-in-target": b"GET /v1/a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "long-target": b"GET /v1/" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "many-fields": b"GET /health HTTP/1.1\r\n" + HOST + b"x-a: 1\r\n" * 101 + b"\r\n",
    "large-field": b"GET /health HTTP/1.1\r\n" + HOST + b"x-a: " + b"1" * 33_000 + b"\r\n\r\n",
    "cl-and-te": POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "cl-twice": POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "cl-differ": POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "cl-list": POST + b"content-length: 2, 2\r\n\r\n{}",
    "cl-plus": POST + b"content-length: +2\r\n\r\n{}",
    "cl-negative": POST + b"content-length: -2\r\n\r\n{}",
    "cl-huge": POST + b"content-length: 99999999999999999999999\r\n\r\n{}",
    "te-other": POST + b"transfer-encoding: gzip\r\n\r\n",
    "te-twice": POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "te-1.0": b"POST " + CHAT.encode() + b" HTTP/1.0\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-odd-size": POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "te-long-chunk": POST + b"transfer-encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "no-length": POST + b"content-type: application/json\r\n\r\n",
    "get-with-body": b"GET /health HTTP/1.1\r\n" + HOST + b"content-length: 2\r\n\r\n{}",
}
BARE = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE")
TARGETS = {
    "root": "/", "v1": "/v1", "star": "*", "health": "/health", "ready": "/health/ready", "healthz": "/healthz",
    "livez": "/livez", "models": "/v1/models", "models-openai": "/openai/v1/models", "models-anthropic": "/anthropic/v1/models",
    "model": "/v1/models/gpt-4o", "model-alias": "/v1/models/smart", "no-model": "/v1/models/nope", "chat": CHAT,
    "messages": MESSAGES, "nothing": "/nothing", "files": "/v1/files", "twice": "/v1/v1/chat/completions",
    "double-slash": "//v1/chat/completions", "hello": "/api/hello", "savings": "/admin/api/savings", "docs": "/docs",
    "batches": "/v1/messages/batches", "responses-id": "/v1/responses/resp_1",
}  # fmt: skip


def bare(method: str, target: str):
    def play(p: Play) -> None:
        p.volatile.append(r'\\?"since\\?": ?\\?"([^"\\]+)')
        client = p.client()
        client.ask(method, target, b"{}" if method in ("POST", "PUT", "PATCH") else None)

    return play


def other(path: str, stream: bool):
    """A path that the edge only passes on."""

    def play(p: Play) -> None:
        p.client().post(path, body_for(CHAT, "gpt-4o", p.said, **({"stream": True} if stream else {})))

    return play


def kept(p: Play) -> None:
    client = p.client()
    client.post(RESPONSES, body_for(RESPONSES, "gpt-5-mini", p.said, store=True))
    client.post(RESPONSES, body_for(RESPONSES, "gpt-5-mini", p.said, previous_response_id="resp_1"))
    client.post(CHAT, body_for(CHAT, "claude-sonnet-5", p.said, previous_response_id="resp_1"))
    client.post(MESSAGES, body_for(MESSAGES, "gpt-4o", p.said, thread={"id": "t"}))
    client.post(MESSAGES, body_for(MESSAGES, "claude-sonnet-5", p.said, container="c"))


def cases() -> Iterator[Case]:
    for name, play in plain_cases():
        yield Case("plain", f"requests/{name}", play)
    for name, data in LINES.items():
        yield Case("plain", f"lines/{name}", raw(data))
        yield Case("plain", f"lines-apart/{name}", raw(data[:9], data[9:30], data[30:]), ("lane", "pure"))
    for name, target in TARGETS.items():
        for method in BARE:
            yield Case("plain", f"targets/{name}/{method}", bare(method, target))
    for path in ("/v1/images/generations", "/v1/moderations", "/openai/v1/audio/speech", "/anthropic/v1/images"):
        for stream in (False, True):
            yield Case("plain", f"other{path}{'-stream' * stream}", other(path, stream))
    for place in range(1, 420, 3):
        yield Case("plain", f"split/{place:03}", split_at(place), ("lane", "pure"))
    for place in range(2, 420, 29):
        yield Case("plain", f"split/{place:03}-also", split_at(place), ("asgi", "uvicorn"))
    yield Case("plain", "requests/kept-by-a-provider", kept)
