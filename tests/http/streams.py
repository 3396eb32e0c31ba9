"""Whole streams of each API, asked for by their models, and an edge in front of upstreams that follow a script."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.harness import PATIENT, Client, Edge

APIS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", "openai", {"messages": [{"role": "user", "content": "hi"}]}),
    "completions": ("/v1/completions", "openai", {"prompt": "hi"}),
    "responses": ("/v1/responses", "openai", {"input": "hi", "store": False}),
    "messages": (
        "/v1/messages",
        "anthropic",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50},
    ),
}
"""Path, dialect, and the body but for its model."""


def event(data: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return b"%bdata: %b\n\n" % (head, json.dumps(data, separators=(",", ":")).encode())


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    )


def typed(data: dict[str, Any]) -> bytes:
    return event(data, data["type"])


START = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
RESPONSE = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
ITEM = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
}
TOKENS = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 13,
}
COMPLETED = RESPONSE | {"status": "completed", "output": [ITEM], "usage": TOKENS}

STREAMS: dict[str, list[bytes]] = {
    "chat": [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "a"}),
        chunk({"content": "b"}),
        chunk({}, "stop", usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}),
        b"data: [DONE]\n\n",
    ],
    "completions": [
        event({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "a", "finish_reason": None}]}),
        event({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}),
        b"data: [DONE]\n\n",
    ],
    "messages": [
        typed({"type": "message_start", "message": START | {"usage": {"input_tokens": 5, "output_tokens": 1}}}),
        typed({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        typed({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
        typed({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}}),
        typed({"type": "content_block_stop", "index": 0}),
        typed(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 2},
            }
        ),
        typed({"type": "message_stop"}),
    ],
    "responses": [
        typed({"type": "response.created", "sequence_number": 0, "response": RESPONSE}),
        typed({"type": "response.output_text.delta", "sequence_number": 1, "delta": "hi"}),
        typed({"type": "response.completed", "sequence_number": 2, "response": COMPLETED}),
    ],
}
"""Complete streams, by their events."""
PREAMBLE = {"chat": 1, "completions": 0, "messages": 2, "responses": 1}
"""How many events come before the first content."""
FAULTS = tuple(f"fault-{number}" for number in range(40))
COMMENT = b": keep-alive\n"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def alive(api: str) -> bytes:
    """The keep-alive that the clients of an API get."""
    return PING if api == "messages" else COMMENT


def ask(edge: Edge, api: str, model: str, stream: bool = True, **more: Any) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer; the body of a broken one as far as it came."""
    path, _, body = APIS[api]
    with Client(edge.port) as client:
        client.sock.settimeout(30)
        client.post(path, json.dumps({"model": model, "stream": stream, **body, **more}).encode())
        status, headers = client.head()
        return status, headers, client.body(headers)


def at_once(check: Callable[..., None], cases: Iterable[tuple[Any, ...]]) -> None:
    """Make one check of many cases, all at a time: nearly all of what they take is waiting."""
    cases = list(cases)
    with ThreadPoolExecutor(len(cases)) as pool:
        running = [pool.submit(check, *case) for case in cases]
    failed = []
    for case, done in zip(cases, running, strict=True):
        if (error := done.exception()) is not None:
            text = traceback.format_exception(error, limit=-1)
            failed.append(f"{case}: {''.join(text)[-1500:]}")
    assert not failed, "\n".join(failed)


def scripted_edge(folder: Path, front: str, first: str, second: str, **settings: Any) -> Edge:
    """An edge before two upstreams by address. Models are ``a/x``, ``b/x`` (OpenAI's dialect), ``a-anthropic/x``,
    ``b-anthropic/x``; each of `FAULTS`, and these with ``-anthropic``, asks the first, then the second, for a model of
    that name, and so does ``joined``, which is cached.
    """
    made: dict[str, Any] = {}
    for name, url in (("a", first), ("b", second)):
        made[name] = {"dialect": "openai", "base_url": f"{url}/v1", "models": []}
        made[f"{name}-anthropic"] = {"dialect": "anthropic", "base_url": f"{url}/v1", "models": []}
    models = {}
    for kind in ("", "-anthropic"):
        for alias in (*FAULTS, "joined"):
            to = [{"to": f"{name}{kind}/{alias}{kind}"} for name in ("a", "b")]
            models[alias + kind] = {"strategy": "failover", "upstreams": to}
        models[f"joined{kind}"]["cache"] = "all"
    resilience = {**PATIENT, **settings.pop("resilience", {})}
    config = {"providers": made, "models": models, "resilience": resilience, **settings}
    return Edge(folder, config, front=front)
