"""Answers whose heads, framing or events are unusual, as they come at once, in halves and byte by byte."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator

from tests.harness import answer, chunked
from tests.http.streams import STREAMS
from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, MESSAGES, RESPONSES, body_for, compact
from tests.replay.upstream import Exchange, Reply

COMPLETION = compact(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
)
MESSAGE = compact(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
)
ASKED = {
    "chat": (CHAT, "gpt-4o", "openai", COMPLETION),
    "messages": (MESSAGES, "claude-sonnet-5", "anthropic", MESSAGE),
    "messages-translated": (MESSAGES, "gpt-4o", "openai", COMPLETION),
    "chat-translated": (CHAT, "claude-sonnet-5", "anthropic", MESSAGE),
}
JSON = "content-type: application/json"


def ends(data: bytes) -> Reply:
    """An answer after which the connection ends."""

    def reply(exchange: Exchange) -> None:
        exchange.finish(data)

    return reply


def slowly(*pieces: bytes) -> Reply:
    """In segments of their own."""

    def reply(exchange: Exchange) -> None:
        for piece in pieces:
            exchange.send(piece)
            time.sleep(0.002)

    return reply


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1")


def replies(body: bytes) -> dict[str, Reply]:
    """Ways to send one body of JSON; some are no HTTP."""
    length = f"content-length: {len(body)}"
    usual = head(JSON, length) + body
    zipped, deflated = gzip.compress(body, mtime=0), zlib.compress(body)
    one_chunk = b"%x\r\n%b\r\n" % (len(body), body)
    two_chunks = b"%X;ext=1\r\n%b\r\n%x\r\n%b\r\n" % (10, body[:10], len(body) - 10, body[10:])
    chunks = head(JSON, "transfer-encoding: chunked")
    many = [f"x-{number}: {number}" for number in range(150)]
    limits = [
        *("x-ratelimit-limit-requests: 10", "x-ratelimit-remaining-tokens: 7", "x-ratelimit-reset-tokens: 6m0s"),
        *("anthropic-ratelimit-requests-limit: 10", "anthropic-ratelimit-requests-remaining: 9"),
        "anthropic-ratelimit-tokens-reset: 2026-01-01T00:00:00Z",
    ]
    return {
        "usual": usual,
        "names-in-capitals": head("CONTENT-TYPE: application/json", f"Content-Length:{len(body)}") + body,
        "no-reason": head(JSON, length, status="HTTP/1.1 200 ") + body,
        "no-reason-no-space": head(JSON, length, status="HTTP/1.1 200") + body,
        "http-1.0": ends(head(JSON, status="HTTP/1.0 200 OK") + body),
        "http-1.0-length": head(JSON, length, status="HTTP/1.0 200 OK") + body,
        "http-1.0-kept": head(JSON, length, "connection: keep-alive", status="HTTP/1.0 200 OK") + body,
        "to-the-end": ends(head(JSON, "connection: close") + body),
        "to-the-end-cut": ends(head(JSON, "connection: close") + body[:-5]),
        "closes": ends(head(JSON, length, "connection: close") + body),
        "says-close": head(JSON, length, "Connection: Close") + body,
        "keep-alive": head(JSON, length, "connection: keep-alive", "keep-alive: timeout=5") + body,
        "chunked": chunks + one_chunk + b"0\r\n\r\n",
        "chunk-extensions": chunks + two_chunks + b"0;last\r\n\r\n",
        "trailers": chunks + one_chunk + b"0\r\nx-trailer: 1\r\n\r\n",
        "chunk-cut": ends(chunks + one_chunk),
        "chunk-odd-size": chunks + b"zz\r\n" + one_chunk + b"0\r\n\r\n",
        "gzip": head(JSON, "content-encoding: gzip", f"content-length: {len(zipped)}") + zipped,
        "gzip-x": head(JSON, "content-encoding: x-gzip", f"content-length: {len(zipped)}") + zipped,
        "gzip-chunked": head(JSON, "content-encoding: gzip", "transfer-encoding: chunked")
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(zipped), zipped),
        "gzip-two": head(JSON, "content-encoding: gzip", f"content-length: {2 * len(zipped)}") + zipped * 2,
        "gzip-cut": head(JSON, "content-encoding: gzip", f"content-length: {len(zipped) - 4}") + zipped[:-4],
        "deflate": head(JSON, "content-encoding: deflate", f"content-length: {len(deflated)}") + deflated,
        "br": head(JSON, "content-encoding: br", length) + body,
        "identity": head(JSON, "content-encoding: identity", length) + body,
        "continue": head(status="HTTP/1.1 100 Continue") + usual,
        "early-hints": head("link: </x>", status="HTTP/1.1 103 Early Hints") * 3 + usual,
        "switching": head("upgrade: h2c", status="HTTP/1.1 101 Switching Protocols"),
        "lines-by-lf": usual.replace(b"\r\n", b"\n"),
        "folded": head(JSON, length, "x-folded: a\r\n b") + body,
        "space-before-colon": head(JSON, f"content-length : {len(body)}") + body,
        "length-twice": head(JSON, length, length) + body,
        "lengths-differ": head(JSON, length, "content-length: 3") + body,
        "length-and-chunks": head(JSON, length, "transfer-encoding: chunked") + one_chunk + b"0\r\n\r\n",
        "length-plus": head(JSON, f"content-length: +{len(body)}") + body,
        "length-negative": head(JSON, "content-length: -1") + body,
        "length-huge": ends(head(JSON, "content-length: 99999999999999999999") + body),
        "length-zero": head(JSON, "content-length: 0"),
        "shorter-than-said": ends(head(JSON, f"content-length: {len(body) + 9}") + body),
        "longer-than-said": usual + b"surplus",
        "twice": usual * 2,
        "gzip-transfer": head(JSON, "transfer-encoding: gzip, chunked") + one_chunk + b"0\r\n\r\n",
        "no-type": head(length) + body,
        "type-in-capitals": head("Content-Type: Application/JSON; Charset=UTF-8", length) + body,
        "type-text": head("content-type: text/plain", length) + body,
        "type-html": head("content-type: text/html", length) + body,
        "type-of-streams": head("content-type: text/event-stream", length) + body,
        "201": head(JSON, length, status="HTTP/1.1 201 Created") + body,
        "204": head(status="HTTP/1.1 204 No Content"),
        "205": head("content-length: 0", status="HTTP/1.1 205 Reset"),
        "304": head(status="HTTP/1.1 304 Not Modified"),
        "301": head("location: /v1/elsewhere", "content-length: 0", status="HTTP/1.1 301 Moved"),
        "999": head(JSON, length, status="HTTP/1.1 999 X") + body,
        "600": head(JSON, length, status="HTTP/1.1 600 X") + body,
        "http-2.0": head(JSON, length, status="HTTP/2.0 200 OK") + body,
        "icy": head(JSON, length, status="ICY 200 OK") + body,
        "garbage": ends(b"\x00\x01\x02 not http\r\n\r\n"),
        "nothing": ends(b""),
        "half-a-head": ends(b"HTTP/1.1 200 OK\r\ncontent-ty"),
        "head-only": ends(head(JSON, length)),
        "many-fields": head(JSON, length, *many) + body,
        "long-field": head(JSON, length, f"x-long: {'x' * 70_000}") + body,
        "nul-in-value": head(JSON, length, "x-request-id: a\x00b") + body,
        "control-in-value": head(JSON, length, "x-request-id: a\x1bb") + body,
        "latin-in-value": head(JSON, length, "x-request-id: caf\xe9") + body,
        "long-id": head(JSON, length, f"x-request-id: {'r' * 500}") + body,
        "rate-limits": head(JSON, length, *limits) + body,
        "retry-advice": head(JSON, length, "retry-after: 9", "x-should-retry: false") + body,
        "refused-with-advice": head(
            JSON, "content-length: 2", *limits, "retry-after: 9", "x-should-retry: true", status="HTTP/1.1 429 Slow"
        )
        + b"{}",
        "own-fields": head(JSON, length, "x-edge-cost-usd: 9", "x-edge-cache: memory", "age: 3", "set-cookie: a=b")
        + body,
        "byte-order-mark": answer(b"\xef\xbb\xbf" + body),
        "white-space": answer(b"  \r\n\t" + body + b"\n"),
        "no-json": answer(body[:-1]),
        "array": answer(b"[]"),
        "null": answer(b"null"),
        "broken-utf-8": answer(body.replace(b"hi", b"\xff\xfe")),
        "error-in-200": answer(b'{"error":{"message":"Overloaded","type":"server_error","code":null}}'),
        "anthropic-error-in-200": answer(
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
        ),
        "no-usage": answer(compact({k: v for k, v in json.loads(body).items() if k != "usage"})),
        "odd-usage": answer(compact({**json.loads(body), "usage": {"prompt_tokens": "many", "input_tokens": -3}})),
        "in-halves": slowly(usual[:40], usual[40 : len(usual) - 20], usual[-20:]),
        "bytes-of-the-head": slowly(*(usual[i : i + 1] for i in range(70)), usual[70:]),
    }


def streams(events: list[bytes]) -> dict[str, Reply]:
    """Ways to send one stream; some break it."""
    whole = b"".join(events)
    typed = "content-type: text/event-stream"
    framed = chunked(events)
    middle = len(framed) // 2
    return {
        "usual": framed,
        "one-chunk": chunked([whole]),
        "length": head(typed, f"content-length: {len(whole)}") + whole,
        "to-the-end": ends(head(typed, "connection: close") + whole),
        "to-the-end-1.0": ends(head(typed, status="HTTP/1.0 200 OK") + whole),
        "charset": chunked(events, "text/event-stream; charset=utf-8"),
        "type-json": chunked(events, "application/json"),
        "no-type": framed.replace(b"content-type: text/event-stream\r\n", b""),
        "crlf": chunked([whole.replace(b"\n", b"\r\n")]),
        "cr": chunked([whole.replace(b"\n", b"\r")]),
        "comments": chunked([b": hello\n\n", *(b": a\n" + event for event in events), b": bye\n\n"]),
        "pings": chunked([event + b'event: ping\ndata: {"type":"ping"}\n\n' for event in events]),
        "no-space": chunked([whole.replace(b"data: ", b"data:")]),
        "ids": chunked([b"id: 7\nretry: 10\n" + event for event in events]),
        "byte-order-mark": chunked([b"\xef\xbb\xbf" + whole]),
        "in-two": slowly(framed[:middle], framed[middle:]),
        "each-alone": slowly(*framed.replace(b"\r\n\r\n", b"\r\n\r\n\x00").split(b"\x00")),
        "bytes": slowly(framed[:100], *(framed[i : i + 7] for i in range(100, len(framed), 7))),
        "no-end": chunked(events[:-1]),
        "no-end-no-finish": chunked(events[:-2]),
        "cut": ends(chunked(events[:-1], end=False)),
        "cut-in-event": ends(chunked([whole[: len(whole) - len(events[-1]) - 9]], end=False)),
        "end-without-blank-line": chunked([whole.removesuffix(b"\n")]),
        "end-without-any-line": chunked([whole.rstrip(b"\n")]),
        "more-after-the-end": chunked([*events, *events]),
        "trailers": chunked(events, end=False) + b"0\r\nx-trailer: 1\r\n\r\n",
        "open-after-the-end": chunked(events, end=False),
        "nothing": chunked([]),
        "only-comments": chunked([b": hello\n\n"] * 3),
        "garbage-event": chunked([*events[:2], b"data: {nope\n\n", *events[2:]]),
        "unknown-event": chunked([events[0], b'event: new\ndata: {"type":"new","object":"new"}\n\n', *events[1:]]),
        "error-first": chunked([b'data: {"error":{"message":"Overloaded","type":"server_error","code":429}}\n\n']),
        "typed-error-first": chunked(
            [b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n']
        ),
        "error-late": chunked([*events[:3], b'data: {"error":{"message":"Sorry","type":"server_error"}}\n\n']),
        "typed-error-late": chunked(
            [*events[:4], b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Sorry"}}\n\n']
        ),
        "large-event": chunked([*events[:2], b'data: {"pad":"' + b"x" * 200_000 + b'"}\n\n', *events[2:]]),
        "json-instead": answer(COMPLETION),
        "message-instead": answer(MESSAGE),
        "gzip": head(typed, "content-encoding: gzip", f"content-length: {len(gzip.compress(whole, mtime=0))}")
        + gzip.compress(whole, mtime=0),
    }


STREAMED = {
    "chat": (CHAT, "gpt-4o", "openai", STREAMS["chat"]),
    "messages": (MESSAGES, "claude-sonnet-5", "anthropic", STREAMS["messages"]),
    "responses": (RESPONSES, "gpt-5-mini", "openai", STREAMS["responses"]),
    "messages-translated": (MESSAGES, "gpt-4o", "openai", STREAMS["chat"]),
    "chat-translated": (CHAT, "claude-sonnet-5", "anthropic", STREAMS["messages"]),
}


def answered(path: str, model: str, upstream: str, reply: Reply, stream: bool = False, times: int = 1):
    def play(p: Play) -> None:
        if times > 1:
            p.volatile.append(r"\b8\d{3}\b")  # milliseconds that are left of nine seconds
        p.script(upstream, reply)
        more = {"stream": True} if stream else {}
        client = p.client()
        for _ in range(times):
            client.post(path, body_for(path, model, p.said, **more))

    return play


def cases() -> Iterator[Case]:
    for form, (path, model, upstream, body) in ASKED.items():
        for name, reply in replies(body).items():
            # A key rests for one model: what comes after would find that out.
            own = f"{upstream}/{model}-{form}" if name == "refused-with-advice" else model
            yield Case("plain", f"answers/{form}/{name}", answered(path, own, upstream, reply))
    path, model, upstream, body = ASKED["chat"]
    for name, reply in replies(body).items():
        own = f"{upstream}/{model}-again" if name == "refused-with-advice" else model
        yield Case("plain", f"answers-again/chat/{name}", answered(path, own, upstream, reply, times=2))
    for form, (path, model, upstream, events) in STREAMED.items():
        for name, reply in streams(events).items():
            yield Case("plain", f"streams/{form}/{name}", answered(path, model, upstream, reply, stream=True))
