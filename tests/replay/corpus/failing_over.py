"""Several upstreams of an alias: which failures lead to the next, at which phase, and what the client is told at last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.harness import answer, chunked
from tests.http.streams import PREAMBLE, STREAMS, alive
from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, COUNT, MESSAGES, RESPONSES, body_for
from tests.replay.corpus.leaving import HEAD, framed
from tests.replay.corpus.odd_answers import COMPLETION, MESSAGE, ends
from tests.replay.setups import RESTING
from tests.replay.upstream import Exchange, Reply

OPENAI = b'{"error":{"message":"No luck.","type":"server_error","param":null,"code":"%d"}}'
ANTHROPIC = b'{"type":"error","error":{"type":"api_error","message":"No luck %d."}}'
STATUSES = (400, 401, 402, 403, 404, 405, 408, 409, 413, 422, 425, 429, 500, 501, 502, 503, 504, 520, 529)
PAIRS: dict[str, tuple[str, str, str, str]] = {
    "chat": (CHAT, "duo", "chat", "chat"),
    "messages": (MESSAGES, "duo-anthropic", "messages", "messages"),
    "chat-over": (CHAT, "over", "messages", "chat"),
    "messages-back": (MESSAGES, "back", "chat", "messages"),
    "responses": (RESPONSES, "duo", "responses", "responses"),
}
"""Path, alias, and the API of the first and of the second upstream."""
AVOIDED_S = 1.1
"""Longer than an upstream is avoided for that has met a 429 (docs/routing.md)."""
WHOLE = {"chat": COMPLETION, "messages": MESSAGE}


def silence(exchange: Exchange) -> None:
    exchange.hold()


def resets(exchange: Exchange) -> None:
    exchange.reset()


def then_silence(data: bytes) -> Reply:
    def reply(exchange: Exchange) -> None:
        exchange.send(data)
        exchange.hold()

    return reply


def failures(api: str) -> dict[str, Reply]:
    """What the first upstream does, JSON or stream."""
    error = ANTHROPIC if api == "messages" else OPENAI
    events, first = STREAMS[api], PREAMBLE[api]
    return {
        **{str(status): answer(error % status, status) for status in STATUSES},
        "429-advice": answer(error % 429, 429, retry_after="9"),
        "404-path": answer(b'{"error":{"message":"Invalid URL (POST /v1/x)","type":"invalid_request_error"}}', 404),
        "404-model": answer(b'{"error":{"message":"The model does not exist","code":"model_not_found"}}', 404),
        "302": answer(b"", 302, location="/elsewhere"),
        "html": answer(b"<html>Sorry</html>", 200, "text/html"),
        "empty": answer(b""),
        "no-json": answer(b"{nope"),
        "error-in-200": answer(error % 500),
        "credentials": answer(
            b'{"error":{"message":"Incorrect API key provided: sk-1","code":"invalid_api_key"}}', 401
        ),
        "reset": resets,
        "nothing": ends(b""),
        "no-http": ends(b"SSH-2.0-x\r\n\r\n"),
        "head-only": ends(HEAD),
        "cut-before-content": ends(HEAD + framed(*events[:first])),
        "cut-after-content": ends(HEAD + framed(*events[: first + 1])),
        "error-event": chunked([b'event: error\ndata: {"type":"error","error":{"message":"No luck","code":429}}\n\n']),
        "error-after-content": chunked([*events[: first + 1], b"event: error\ndata: " + error % 500 + b"\n\n"]),
        "no-content": chunked(events[:first]),
    }


def silences(api: str) -> dict[str, Reply]:
    events, first = STREAMS[api], PREAMBLE[api]
    return {
        "silence": silence,
        "silence-after-head": then_silence(HEAD),
        "silence-before-content": then_silence(HEAD + framed(*events[:first])),
        "silence-after-content": then_silence(HEAD + framed(*events[: first + 1])),
    }


def good(api: str, stream: bool) -> Reply:
    return chunked(STREAMS[api]) if stream or api not in WHOLE else answer(WHOLE[api])


def pair(form: str, fault: Reply, second: Reply, stream: bool, rests: str = "", **more: Any):
    """`rests` is the status, or whatever else, by which a key is left alone then."""
    path, model, _, _ = PAIRS[form]
    resting = f"{form}{'-stream' * stream}-{rests}"
    if resting in RESTING:
        model = f"{model}-{resting}"

    def play(p: Play) -> None:
        p.script("a", fault)
        p.script("b", second)
        p.client().post(path, body_for(path, model, p.said, **({"stream": True} if stream else {}), **more))

    return play


def scripted(path: str, model: str, a: list[Reply], b: list[Reply], times: int = 1, **more: Any):
    def play(p: Play) -> None:
        p.script("a", *a)
        p.script("b", *b)
        client = p.client()
        for _ in range(times):
            client.post(path, body_for(path, model, p.said, **more))

    return play


def crowded(name: str, play: Callable[[Play], None]) -> Callable[[Play], None]:
    """A case in which an upstream may say 429 and nothing of a wait: it is avoided for a second then, which no other case
    is to meet.
    """

    def plays(p: Play) -> None:
        play(p)
        if name == "429":
            time.sleep(AVOIDED_S)

    return plays


def kept_and_closed(exchange: Exchange) -> None:
    """Nothing: the kept connection ends as the second request is on it."""
    exchange.finish()


def silent_until_alive(form: str, phase: str):
    """An upstream that waits until the client has been sent a keep-alive, then goes on."""
    path, model, api, second = PAIRS[form]
    events, first = STREAMS[api], PREAMBLE[api]
    mark = alive("messages" if path == MESSAGES else "chat").split(b"\n")[0]

    def play(p: Play) -> None:
        p.volatile.append(r"((?:: keep-alive\n|event: ping\ndata: \{\"type\": \"ping\"\}\n\n)+)")
        go = p.event()

        def reply(exchange: Exchange) -> None:
            sent = {"before-the-head": 0, "before-content": first, "after-content": first + 1, "then-fails": 0}[phase]
            if sent:
                exchange.send(HEAD + framed(*events[:sent]))
            exchange.wait(go)
            if phase == "then-fails":
                exchange.send(answer(OPENAI % 503, 503))
                return
            exchange.send((b"" if sent else HEAD) + framed(*events[sent:]) + b"0\r\n\r\n")

        p.script("a", reply)
        p.script("b", answer(OPENAI % 500, 500) if phase == "then-fails" else good(second, True))
        client = p.client()
        client.send(client.form("POST", path, body_for(path, model, p.said, stream=True)))
        client.until(mark)
        go.set()
        client.answer()

    return play


def cases() -> Iterator[Case]:
    for form, (_, _, first, second) in PAIRS.items():
        for stream in (False, True):
            kind = f"{form}{'-stream' * stream}"
            for name, fault in failures(first).items():
                if form in ("chat", "messages") or not name.isdigit() or int(name) in (400, 429, 500):
                    play = pair(form, fault, good(second, stream), stream, name[4:])
                    yield Case("quick", f"failover/{kind}/{name}", crowded(name, play))
            if form != "responses":
                for name, fault in list(silences(first).items())[: 4 if stream else 1]:
                    play = pair(form, fault, good(second, stream), stream)
                    yield Case(
                        "quick", f"failover/{kind}/{name}", play, ("lane", "pure") if stream else ("lane", "asgi")
                    )
            yield Case("quick", f"failover/{kind}/none", pair(form, good(first, stream), b"", stream))
        for status in (400, 401, 404, 429, 500, 503):
            error = answer((ANTHROPIC if second == "messages" else OPENAI) % status, status, retry_after="4")
            fault = failures(first)["503"]
            yield Case("quick", f"all-fail/{form}/{status}", pair(form, fault, error, False, str(status)))
            yield Case("quick", f"all-fail/{form}-stream/{status}", pair(form, fault, error, True, str(status)))
    stored = scripted(RESPONSES, "duo", [failures("chat")["500"]], [answer(b'{"id":"resp_2"}')], store=True)
    yield Case("quick", "failover/responses-stored/500", stored)
    stored = scripted(RESPONSES, "duo", [failures("chat")["429"]], [answer(b'{"id":"resp_2"}')], store=True)
    yield Case("quick", "failover/responses-stored/429", crowded("429", stored))
    for name, model in (("gone", "gone"), ("fallbacks", "first"), ("thrice", "thrice")):
        busy = failures("chat")["503"]
        yield Case("quick", f"failover/{name}", scripted(CHAT, model, [busy], [answer(COMPLETION)]))
    for name, more in (("chat", {}), ("chat-stream", {"stream": True}), ("chat-stored", {"store": True})):
        first = chunked(STREAMS["chat"]) if "stream" in more else answer(COMPLETION)
        play = scripted(CHAT, "a/m", [first, kept_and_closed, first], [], times=2, **more)
        yield Case("quick", f"kept-connection/{name}", play)
    for name in ("500", "404-path", "empty", "no-json", "429", "401"):
        for model in ("a-anthropic/m", "duo-anthropic", "over"):
            play = scripted(COUNT, model, [failures("messages")[name]], [answer(b'{"input_tokens":4711}')])
            yield Case("quick", f"count/{model.replace('/', '-')}/{name}", crowded(name, play))
    for form in ("chat", "messages", "chat-over", "messages-back"):
        for phase in ("before-the-head", "before-content", "after-content", "then-fails"):
            yield Case("alive", f"alive/{form}/{phase}", silent_until_alive(form, phase))
