"""Is an answer complete, and worth keeping? Asked of every answer with status 200 before it is stored.

A failed or truncated answer that is stored would be given out until it expires. So this says yes only to what it has
seen the end of: every choice finished, the terminal event there, no error. What it does not know it does not keep.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge._fast import SSEDecoder
from edge.errors import UNREADABLE

__all__ = ["storable"]

BAD_FINISH = frozenset({"content_filter", "error", "abort", "insufficient_system_resource"})
"""Ends of a choice that another try may not have: filtered (OpenAI), the upstream of a router failed (OpenRouter,
https://openrouter.ai/docs/api-reference/errors), the server gave up (vLLM's ``v1/engine/__init__.py``, DeepSeek,
https://api-docs.deepseek.com/api/create-chat-completion).
"""
BAD_STOP = frozenset({"refusal", "pause_turn"})
"""Anthropic's: refused by a classifier, and a turn that its client is to continue:
https://docs.anthropic.com/en/api/handling-stop-reasons.
"""

TERMINAL = {
    "chat": b'"finish_reason"',
    "completions": b'"finish_reason"',
    "messages": b"message_stop",
    "responses": b"response.completed",
}
"""What a complete stream has in it: without it a stream need not be read."""


class _Choice(msgspec.Struct):
    index: int | None = None
    finish_reason: str | None = None
    error: Any = None


class _Chunk(msgspec.Struct):
    """A chunk of chat or completions, or their whole answer."""

    choices: list[_Choice] | None = None
    error: Any = None
    usage: Any = None


class _Delta(msgspec.Struct):
    """``container`` is a machine with its files, in which whoever has its id goes on: no two clients may have it."""

    stop_reason: str | None = None
    container: Any = None


class _Started(msgspec.Struct):
    container: Any = None


class _Message(msgspec.Struct):
    type: str
    content: list[msgspec.Raw]
    stop_reason: str | None = None
    container: Any = None
    error: Any = None


class _MessageEvent(msgspec.Struct):
    type: str
    index: int | None = None
    delta: _Delta | None = None
    message: _Started | None = None


class _Response(msgspec.Struct):
    status: str
    output: list[msgspec.Raw]
    error: Any = None


class _ResponseEvent(msgspec.Struct):
    type: str = ""


class _ResponseEnd(msgspec.Struct):
    type: str
    response: _Response


class _Embeddings(msgspec.Struct):
    data: list[msgspec.Raw]
    error: Any = None


class _Reranked(msgspec.Struct):
    results: list[msgspec.Raw]
    error: Any = None


class _Count(msgspec.Struct):
    input_tokens: int
    estimated: bool = False
    error: Any = None


_chunk = msgspec.json.Decoder(_Chunk).decode
_message = msgspec.json.Decoder(_Message).decode
_message_event = msgspec.json.Decoder(_MessageEvent).decode
_response = msgspec.json.Decoder(_Response).decode
_response_event = msgspec.json.Decoder(_ResponseEvent).decode
_response_end = msgspec.json.Decoder(_ResponseEnd).decode
_embeddings = msgspec.json.Decoder(_Embeddings).decode
_reranked = msgspec.json.Decoder(_Reranked).decode
_count = msgspec.json.Decoder(_Count).decode


def storable(entry_api: str, body: bytes, streamed: bool, choices: int = 1) -> bool:
    """Whether this body of a 200 is a complete, successful answer.

    `entry_api` is the ``Route.api`` it was asked by; of one that is not known here, nothing is storable. `choices` is
    how many were asked for (``n``, for completions times the prompts): a body does not tell that one is missing.

    A stream must end with its terminal event: only comments may follow. Never raises.
    """
    try:
        if streamed:
            return _stream(entry_api, body, choices)
        return _whole(entry_api, body, choices)
    except UNREADABLE:
        return False


def _whole(api: str, body: bytes, choices: int) -> bool:
    if api in ("chat", "completions"):
        answer = _chunk(body)
        found = answer.choices or []
        return answer.error is None and len(found) >= max(1, choices) and all(map(_finished, found))
    if api == "messages":
        message = _message(body)
        if message.type != "message" or message.error is not None or message.container is not None:
            return False
        return _stopped(message.stop_reason)
    if api == "responses":
        return _completed(_response(body))
    if api == "embeddings":
        embeddings = _embeddings(body)
        return embeddings.error is None and bool(embeddings.data)
    if api == "rerank":
        reranked = _reranked(body)
        return reranked.error is None and bool(reranked.results)
    if api == "count_tokens":
        count = _count(body)
        return count.error is None and count.input_tokens >= 0 and not count.estimated  # a provider may know better
    return False


def _finished(choice: _Choice) -> bool:
    return bool(choice.finish_reason) and choice.finish_reason not in BAD_FINISH and choice.error is None


def _stopped(reason: str | None) -> bool:
    return bool(reason) and reason not in BAD_STOP


def _completed(response: _Response) -> bool:
    return response.status == "completed" and response.error is None


def _stream(api: str, body: bytes, choices: int) -> bool:
    terminal = TERMINAL.get(api)
    if terminal is None or terminal not in body:
        return False
    decoder = SSEDecoder()
    events = decoder.feed(body)
    cut = decoder.begun
    last = decoder.finish()  # its blank line may be missing; if more is, it cannot be read
    events += last
    if not events or (cut and not last):
        return False
    if api in ("chat", "completions"):
        return _chunks(events, choices)
    if api == "messages":
        return _messages(events)
    return _responses(events)


def _chunks(events: list[tuple[bytes, bytes]], choices: int) -> bool:
    """Every choice that appeared has its finish reason, and the last event is ``[DONE]`` or, from servers that leave
    that out, the one that counts the tokens.
    """
    appeared: dict[int, bool] = {}
    if events[-1][1] == b"[DONE]":
        events.pop()
    elif _chunk(events[-1][1]).usage is None:
        return False
    for name, data in events:
        chunk = _chunk(data)
        if name == b"error" or chunk.error is not None:
            return False
        for choice in chunk.choices or ():
            index = choice.index or 0
            if choice.finish_reason or choice.error is not None:
                if not _finished(choice):
                    return False
                appeared[index] = True
            else:
                appeared.setdefault(index, False)
    return len(appeared) >= max(1, choices) and all(appeared.values())


def _messages(events: list[tuple[bytes, bytes]]) -> bool:
    """From ``message_start`` to ``message_stop``, and every block that began has ended."""
    if _message_event(events.pop()[1]).type != "message_stop":
        return False
    reason: str | None = None
    begun = False
    open_blocks: set[int | None] = set()
    for name, data in events:
        event = _message_event(data)
        kind = event.type
        if kind in ("error", "message_stop") or name == b"error":
            return False
        told = event.message if event.message is not None else event.delta
        if told is not None and told.container is not None:
            return False
        if kind == "message_start":
            begun = True
        elif kind == "content_block_start":
            open_blocks.add(event.index)
        elif kind == "content_block_stop":
            open_blocks.discard(event.index)
        elif kind == "message_delta" and event.delta is not None:
            reason = event.delta.stop_reason or reason
    return begun and not open_blocks and _stopped(reason)


def _responses(events: list[tuple[bytes, bytes]]) -> bool:
    """``response.completed`` is the last event, and none before it is another end."""
    end = _response_end(events.pop()[1])
    if end.type != "response.completed" or not _completed(end.response):
        return False
    for name, data in events:
        kind = _response_event(data).type
        if name == b"error" or kind in ("error", "response.failed", "response.incomplete", "response.completed"):
            return False
    return True
