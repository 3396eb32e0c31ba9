"""Every route, as JSON and as a stream, passed through and translated, by each spelling of its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, COMPLETIONS, COUNT, EMBEDDINGS, MESSAGES, RESPONSES, body_for

STREAM = {"stream": True}
TOLD = {"stream": True, "stream_options": {"include_usage": True}}
ROUTES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": (CHAT, "gpt-4o", {}),
    "chat-stream": (CHAT, "gpt-4o", STREAM),
    "chat-stream-usage": (CHAT, "gpt-4o", TOLD),
    "chat-translated": (CHAT, "claude-sonnet-5", {}),
    "chat-stream-translated": (CHAT, "claude-sonnet-5", STREAM),
    "chat-stream-usage-translated": (CHAT, "claude-sonnet-5", TOLD),
    "messages": (MESSAGES, "claude-sonnet-5", {}),
    "messages-stream": (MESSAGES, "claude-sonnet-5", STREAM),
    "messages-translated": (MESSAGES, "gpt-4o", {}),
    "messages-stream-translated": (MESSAGES, "gpt-4o", STREAM),
    "count": (COUNT, "claude-sonnet-5", {}),
    "count-translated": (COUNT, "gpt-4o", {}),
    "embeddings": (EMBEDDINGS, "text-embedding-3-small", {}),
    "embeddings-base64": (EMBEDDINGS, "text-embedding-3-small", {"encoding_format": "base64"}),
    "embeddings-wrong-dialect": (EMBEDDINGS, "claude-sonnet-5", {}),
    "responses": (RESPONSES, "gpt-5-mini", {}),
    "responses-stream": (RESPONSES, "gpt-5-mini", STREAM),
    "responses-stored": (RESPONSES, "gpt-5-mini", {"store": True}),
    "responses-translated": (RESPONSES, "claude-sonnet-5", {}),
    "responses-stream-translated": (RESPONSES, "claude-sonnet-5", STREAM),
    "completions": (COMPLETIONS, "gpt-4o", {}),
    "completions-stream": (COMPLETIONS, "gpt-4o", STREAM),
}
SPELLINGS = ("", "/openai", "/anthropic")


def one(path: str, model: str, more: dict[str, Any], *fields: str):
    def play(p: Play) -> None:
        p.client().post(path, body_for(path, model, p.said, **more), *fields)

    return play


def again(path: str, model: str, more: dict[str, Any]):
    """Three times over one connection, then over a new one: what is known already is answered the same."""

    def play(p: Play) -> None:
        first = p.client(own_id=False)
        for _ in range(3):
            first.post(path, body_for(path, model, p.said, **more))
        p.client(own_id=False).post(path, body_for(path, model, p.said, **more))

    return play


def cases() -> Iterator[Case]:
    for name, (path, model, more) in ROUTES.items():
        yield Case("plain", f"routes/{name}", one(path, model, more))
        yield Case("plain", f"again/{name}", again(path, model, more))
        for prefix in SPELLINGS:
            for version in ("", "/v1"):
                spelled = f"{prefix}{version}{path.removeprefix('/v1')}"
                if spelled != path:

                    def play(p: Play, spelled=spelled, path=path, model=model, more=more) -> None:
                        p.client().post(spelled, body_for(path, model, p.said, **more))

                    yield Case("plain", f"spelled{spelled}/{name}", play)
    for alias in ("smart", "wise", "openai/gpt-4o", "anthropic/claude-haiku-4-5"):
        for name, path in (("chat", CHAT), ("messages", MESSAGES)):
            for form in ({}, STREAM):
                title = f"alias/{alias.replace('/', '-')}/{name}{'-stream' * bool(form)}"
                yield Case("plain", title, one(path, alias, form))
