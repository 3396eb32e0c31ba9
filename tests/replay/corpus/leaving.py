"""Clients that leave at each phase, by FIN and by RST; slow ones; and what the upstream sees of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tests.harness import chunked
from tests.http.streams import PREAMBLE, STREAMS
from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, MESSAGES, RESPONSES, body_for
from tests.replay.upstream import Exchange

HEAD = chunked([], end=False)
OURS = ("lane", "asgi", "pure")
"""Where connections are the edge's: uvicorn's own take what is half closed or pipelined in another way each time."""
FORMS: dict[str, tuple[str, str, str, str, dict[str, Any]]] = {
    "chat": (CHAT, "gpt-4o", "openai", "chat", {}),
    "chat-stream": (CHAT, "gpt-4o", "openai", "chat", {"stream": True}),
    "messages-stream": (MESSAGES, "claude-sonnet-5", "anthropic", "messages", {"stream": True}),
    "chat-stream-translated": (CHAT, "claude-sonnet-5", "anthropic", "messages", {"stream": True}),
    "messages-stream-translated": (MESSAGES, "gpt-4o", "openai", "chat", {"stream": True}),
    "responses-stream": (RESPONSES, "gpt-5-mini", "openai", "responses", {"stream": True}),
}


def sends(*pieces: bytes):
    """These, then silence until the edge leaves."""

    def reply(exchange: Exchange) -> None:
        for piece in pieces:
            exchange.send(piece)
        exchange.hold()

    return reply


def framed(*events: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)


def leaves(form: str, phase: str, how: str, setup: str):
    path, model, upstream, api, more = FORMS[form]
    events, first = STREAMS[api], PREAMBLE[api]

    def play(p: Play) -> None:
        client = p.client("any" if setup == "cached" else "")
        data = client.form("POST", path, body_for(path, model, p.said, **more))
        end = data.index(b"\r\n\r\n") + 4
        if phase in ("half-a-head", "head", "half-a-body"):
            client.send(data[: {"half-a-head": 40, "head": end, "half-a-body": end + 20}[phase]])
            p.accepted()  # of one that is reset before, nobody knows the peer
            time.sleep(0.05)
            client.leave(how)
            return
        pieces = {
            "before-the-head": (),
            "after-the-head": (HEAD,),
            "before-content": (HEAD, framed(*events[:first])),
            "in-an-event": (HEAD, framed(*events[: first + 1]), b"40\r\ndata: {"),
            "in-the-stream": (HEAD, framed(*events[: first + 1])),
            "in-json": (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{",),
        }[phase]
        p.script(upstream, sends(*pieces))
        client.send(data)
        p.asked(upstream)
        if phase in ("in-the-stream", "in-an-event"):
            client.until(b"\n\r\n")
            client.until(b'"a"' if api != "responses" else b'"hi"')
        else:
            time.sleep(0.05)
        client.leave(how)
        p.left(upstream)

    return play


def half_closed(form: str):
    """A client that says that it will send no more, once its request is in flight, and waits."""
    path, model, upstream, _, more = FORMS[form]

    def play(p: Play) -> None:
        p.script(upstream, sends())
        client = p.client()
        client.send(client.form("POST", path, body_for(path, model, p.said, **more)))
        p.asked(upstream)
        client.half_close()
        client.answer()
        p.left(upstream)

    return play


def slow_body(p: Play) -> None:
    client = p.client()
    data = client.form("POST", CHAT, body_for(CHAT, "gpt-4o", p.said))
    for at in range(0, len(data), 37):
        client.send(data[at : at + 37])
        time.sleep(0.02)
    client.answer()


def with_more_waiting(how: str):
    def play(p: Play) -> None:
        p.script("openai", sends())
        client = p.client()
        one = client.form("POST", CHAT, body_for(CHAT, "gpt-4o", p.said))
        client.send(one + client.form("POST", CHAT, body_for(CHAT, "gpt-4o", p.said)))
        p.asked("openai")
        client.leave(how)
        p.left("openai")

    return play


def deadline(milliseconds: int, form: str, phase: str):
    """The client's own clock ends it."""
    path, model, upstream, api, more = FORMS[form]
    events, first = STREAMS[api], PREAMBLE[api]

    def play(p: Play) -> None:
        pieces = () if phase == "before-the-head" else (HEAD, framed(*events[: first + 1]))
        p.script(upstream, sends(*pieces))
        p.client().post(path, body_for(path, model, p.said, **more), f"x-edge-timeout-ms: {milliseconds}")
        p.left(upstream)

    return play


def cases() -> Iterator[Case]:
    early = ("half-a-head", "head", "half-a-body", "before-the-head")
    for how in ("fin", "rst"):
        for form, (*_, more) in FORMS.items():
            late = ("after-the-head", "before-content", "in-an-event", "in-the-stream") if more else ("in-json",)
            for phase in (*early, *late):
                for setup in ("plain", "cached"):
                    yield Case(setup, f"leaving/{form}/{phase}/{how}", leaves(form, phase, how, setup))
        yield Case("plain", f"leaving/with-more-waiting/{how}", with_more_waiting(how), OURS)
    for form in ("chat", "chat-stream", "messages-stream-translated"):
        yield Case("plain", f"leaving/half-closed/{form}", half_closed(form), OURS)
    yield Case("plain", "requests/slow-body", slow_body)
    for form in FORMS:
        yield Case("plain", f"timeout/{form}/before-the-head", deadline(400, form, "before-the-head"))
        if form != "chat":
            yield Case("plain", f"timeout/{form}/in-the-stream", deadline(600, form, "in-the-stream"))
