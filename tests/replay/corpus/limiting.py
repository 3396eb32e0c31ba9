"""Limits of keys: requests per minute and at a time, in both dialects, and what is given back."""

from __future__ import annotations

from collections.abc import Iterator

from tests.harness import answer
from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, MESSAGES, body_for
from tests.replay.corpus.odd_answers import COMPLETION, MESSAGE
from tests.replay.setups import LIMITED
from tests.replay.upstream import Exchange

WAITS = (
    r"(?:again in|after|wait) (\d+(?:\.\d+)?)",
    r"(\d+(?:\.\d+)?) ?(?:s|ms|seconds|milliseconds)\b",
    r"^(\d{4,5})$",
)


def often(name: str):
    path, model = (MESSAGES, "claude-sonnet-5") if name == "anthropic" else (CHAT, "gpt-4o")
    more = {"stream": True} if name == "stream" else {}

    def play(p: Play) -> None:
        p.volatile += WAITS
        client = p.client(f"often-{name}")
        if name == "refused":
            client.post(path, b"{")
        for _ in range(4):
            client.post(path, body_for(path, model, p.said, **more))
        client.ask("GET", "/v1/models/smart")

    return play


def many(name: str):
    path, model, upstream = (MESSAGES, "wise", "anthropic") if name == "anthropic" else (CHAT, "smart", "openai")
    more = {"stream": True} if name == "stream" else {}

    def play(p: Play) -> None:
        p.volatile += WAITS
        go = p.event()

        def reply(exchange: Exchange) -> None:
            if exchange.wait(go):
                exchange.send(answer(MESSAGE if upstream == "anthropic" else COMPLETION))

        p.script(upstream, reply)
        who = f"many-{name}"
        held, other = p.client(who), p.client(who)
        held.send(held.form("POST", path, body_for(path, model, p.said, **more)))
        p.asked(upstream)
        other.post(path, body_for(path, model, p.said, **more))
        if name == "again":
            held.leave()
            p.left(upstream)
        go.set()
        if not held.left:
            held.answer()
        other.post(path, body_for(path, model, p.said, **more))

    return play


def cases() -> Iterator[Case]:
    for name in LIMITED:
        yield Case("keyed", f"limits/often/{name}", often(name))
        yield Case("keyed", f"limits/at-a-time/{name}", many(name))
