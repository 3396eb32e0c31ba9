"""A load and its upstream in one process, which take turns with the server between them.

What a server reads at a time decides what it does, so that must not be left to the machine's mood: the next event of a
stream is sent when its client has read the one before it, and the next request when its answer has been read.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

__all__ = ["Asked", "Upstream", "ask", "chunk", "post"]

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
STREAM = re.compile(rb"stream-(\d+)-of-(\d+)-events")
"""In a prompt: which stream this is, and how many events of content it has."""
LAST_CHUNK = b"0\r\n\r\n"
PATIENCE_S = 60.0
"""How long all answers together may stand still."""

CHAT_ANSWER = json.dumps(
    {
        "id": "chatcmpl-2ed757253b61205c16c0dfd7",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "gpt-4o-2024-11-20",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "To tokens after a until is the the every a measured depends but so can each.",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 42,
            "completion_tokens": 16,
            "total_tokens": 58,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }
).encode()
MESSAGE_ANSWER = json.dumps(
    {
        "id": "msg_efdd000a6ffff532d3847573",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": "After another in a steady rhythm until the thought is"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 42,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 10,
            "service_tier": "standard",
        },
    }
).encode()


TEXT = {"type": "output_text", "text": "To tokens after a until is the the every.", "annotations": [], "logprobs": []}
ITEM = {"id": "msg_68e1", "type": "message", "status": "completed", "role": "assistant", "content": [TEXT]}
RESPONSE = {
    "id": "resp_2ed757253b61205c16c0dfd7",
    "object": "response",
    "created_at": 1760000000,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "model": "gpt-4o-2024-11-20",
    "output": [ITEM],
    "parallel_tool_calls": True,
    "service_tier": "default",
    "store": False,
    "usage": {
        "input_tokens": 42,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 16,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 58,
    },
}


def event(data: dict, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


def chat_event(delta: dict, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {"id": "chatcmpl-2ed757253b61205c16c0dfd7", "object": "chat.completion.chunk", "created": 1760000000}
    return event({**chunk, "model": "gpt-4o-2024-11-20", "system_fingerprint": "fp_simulator", "choices": [choice]})


def message_event(kind: str, **more: object) -> bytes:
    return event({"type": kind, **more}, kind)


@dataclass(frozen=True)
class Dialect:
    """``first`` goes out at once, with the first content; ``content`` is each event after it; ``last`` is the end."""

    answer: bytes
    first: bytes
    content: bytes
    last: bytes


MESSAGE = {**json.loads(MESSAGE_ANSWER), "content": [], "stop_reason": None}
BEGUN = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
PLACE = {"item_id": ITEM["id"], "output_index": 0, "content_index": 0}
WORD = message_event("response.output_text.delta", **PLACE, sequence_number=4, delta=" another", logprobs=[])
DELTA = message_event("content_block_delta", index=0, delta={"type": "text_delta", "text": " another"})
DIALECTS = {
    b"/v1/chat/completions": Dialect(
        CHAT_ANSWER,
        chat_event({"role": "assistant", "content": "", "refusal": None}) + chat_event({"content": "To"}),
        chat_event({"content": " tokens"}),
        chat_event({}, "stop") + b"data: [DONE]\n\n",
    ),
    b"/v1/messages": Dialect(
        MESSAGE_ANSWER,
        message_event("message_start", message=MESSAGE)
        + message_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + DELTA,
        DELTA,
        message_event("content_block_stop", index=0)
        + message_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 10})
        + message_event("message_stop"),
    ),
    b"/v1/responses": Dialect(
        json.dumps(RESPONSE).encode(),
        message_event("response.created", response=BEGUN, sequence_number=0)
        + message_event("response.output_item.added", output_index=0, item={**ITEM, "content": []}, sequence_number=1)
        + message_event("response.content_part.added", **PLACE, part={**TEXT, "text": ""}, sequence_number=2)
        + WORD,
        WORD,
        message_event("response.output_item.done", output_index=0, item=ITEM, sequence_number=5)
        + message_event("response.completed", response=RESPONSE, sequence_number=6),
    ),
}


def post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A request as a client writes it."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream:
    """Answers both dialects as fixed bytes. A stream's next event goes out when its client calls `step`."""

    def __init__(self) -> None:
        self._steps: dict[int, Callable[[], None]] = {}
        self.url = ""

    async def start(self) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(lambda: _Provider(self._steps), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    def step(self, stream: int) -> None:
        """The client of this stream has read another event."""
        if step := self._steps.get(stream):
            step()


class _Provider(asyncio.Protocol):
    def __init__(self, steps: dict[int, Callable[[], None]]) -> None:
        self._steps = steps
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(body) < int(length[1] if length else 0):
            return
        self._buffer = b""
        dialect = DIALECTS[head.split(b" ", 2)[1].partition(b"?")[0]]
        if stream := STREAM.search(body):
            self._stream(dialect, int(stream[1]), int(stream[2]))
        else:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_upstream\r\n"
            length = b"content-length: %d\r\n\r\n" % len(dialect.answer)
            self._transport.write(head + length + dialect.answer)

    def _stream(self, dialect: Dialect, stream: int, events: int) -> None:
        left = iter(range(events - 1))
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_upstream\r\n"

        def step() -> None:
            if next(left, None) is None:
                del self._steps[stream]
                self._transport.write(chunk(dialect.last) + LAST_CHUNK)
            else:
                self._transport.write(chunk(dialect.content))

        self._steps[stream] = step
        self._transport.write(head + b"transfer-encoding: chunked\r\n\r\n" + chunk(dialect.first))


@dataclass
class Asked:
    """What a load asks, and of whom. ``requests`` is taken from for as long as there are any."""

    port: int
    requests: Iterator[bytes]
    status: bytes = b"200"
    stepped: Callable[[int], None] = lambda stream: None
    error: str = ""
    moved: int = field(default=0, init=False)


class _Client(asyncio.Protocol):
    """Asks, reads the answer to its end, asks again."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._buffer = b""
        request = next(self._asked.requests, None)
        if request is None:
            self._transport.close()
            return
        found = STREAM.search(request)
        self._stream = int(found[1]) if found else -1
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        asked = self._asked
        asked.moved += 1
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        if head[9:12] != asked.status:
            asked.error = f"answers {(head[:200] + b' ' + body[:200])!r}"
            self._transport.close()
        elif length := LENGTH.search(head):
            if len(body) >= int(length[1]):
                self._ask()
        elif body.endswith(LAST_CHUNK):
            self._ask()
        elif data.endswith(b"\n\n\r\n"):
            asked.stepped(self._stream)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def ask(asked: Asked, number: int, connections: int) -> int:
    """Ask that many requests over kept connections; returns in how many reads the answers came. Raises RuntimeError if
    one is not as it should be.
    """
    asked = replace(asked, requests=islice(asked.requests, number))
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(lambda: _Client(asked), "127.0.0.1", asked.port) for _ in range(connections)]
    waiting = {client.done for _, client in pairs}
    while waiting:
        moved = asked.moved
        _, waiting = await asyncio.wait(waiting, timeout=PATIENCE_S)
        if waiting and moved == asked.moved:
            asked.error = asked.error or "does not answer any more"
            break
    for transport, _ in pairs:
        transport.abort()
    if asked.error or next(asked.requests, None) is not None:
        raise RuntimeError(asked.error or "ends its connections")
    return asked.moved
