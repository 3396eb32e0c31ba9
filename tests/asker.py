"""A cheap client: one kept connection, one request at a time, and what came of it. For loads of thousands a second."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from dataclasses import dataclass
from time import monotonic

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
LINGER_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
CACHE = re.compile(rb"\r\nx-edge-cache: (\w+)\r\n")
STREAM_ENDS = {"chat": b"data: [DONE]\n\n", "messages": b'data: {"type":"message_stop"}\n\n'}
JSON_MARKS = {"chat": b'"object":"chat.completion"', "messages": b'"type":"message"'}


@dataclass(slots=True)
class Answer:
    """``status`` 0: the connection ended before all of it had come. Times are of ``time.monotonic()``."""

    status: int
    head: bytes
    body: bytes
    asked_at: float
    took_s: float

    @property
    def cache(self) -> str:
        """Where it came from, as its head says: memory, redis, joined, miss, bypass, or nothing."""
        found = CACHE.search(self.head)
        return found[1].decode() if found else ""

    def complete(self, api: str, *, stream: bool) -> bool:
        """Whether it is a whole answer in the form that was asked for."""
        if self.status != 200:
            return False
        return self.body.endswith(STREAM_ENDS[api]) if stream else JSON_MARKS[api] in self.body


def request(api: str, model: str, said: str, *, stream: bool = False, key: str = "", **more: object) -> bytes:
    """The bytes of a request that says `said`."""
    body = {
        "model": model,
        "max_tokens": 900,
        "messages": [{"role": "user", "content": said}],
        "stream": stream,
        **more,
    }
    content = json.dumps(body).encode()
    head = f"POST {PATHS[api]} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += f"x-api-key: {key}\r\n" if key else ""
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


class Line(asyncio.Protocol):
    """One connection. ``open`` until either side has ended it."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer | None] | None = None
        self._buffer = b""
        self._body_at = self._size = -1
        self._asked_at = 0.0

    def ask(self, request: bytes) -> asyncio.Future[Answer | None]:
        self._buffer, self._body_at, self._size = b"", -1, -1
        self._answer = asyncio.get_running_loop().create_future()
        self._asked_at = monotonic()
        self._transport.write(request)
        return self._answer

    def leave(self, reset: bool = False) -> None:
        """Go, by FIN or by RST, whatever is under way."""
        if not self.open:
            return
        self.open = False
        self._settle(None)
        if reset:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self._transport.abort()

    def _settle(self, answer: Answer | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        if not self.open:
            return
        self._buffer = buffer = self._buffer + data if self._buffer else data
        if self._body_at < 0:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._body_at = end + 4
            found = LENGTH.search(buffer, 0, end + 2)
            self._size = int(found[1]) if found else -1
        if self._size < 0:
            body = dechunked(buffer, self._body_at) if buffer.endswith(b"\r\n0\r\n\r\n") else None
        else:
            body = buffer[self._body_at :] if len(buffer) >= self._body_at + self._size else None
        if body is None:
            return
        head = buffer[: self._body_at]
        answer = Answer(int(head[9:12]), head, body, self._asked_at, monotonic() - self._asked_at)
        self._settle(answer)
        if b"\r\nconnection: close\r\n" in head:
            self.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._settle(Answer(0, b"", self._buffer, self._asked_at, monotonic() - self._asked_at))


class Asker:
    """One client: a connection that is made anew where there is none."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._line = Line()

    async def ask(self, request: bytes, leave_s: float | None = None, *, reset: bool = False) -> Answer | None:
        """The answer; None where the client left, which it does after `leave_s`, if the answer is not complete then."""
        loop = asyncio.get_running_loop()
        if not self._line.open:
            _, self._line = await loop.create_connection(Line, "127.0.0.1", self.port)
        timer = loop.call_later(leave_s, self._line.leave, reset) if leave_s is not None else None
        try:
            return await self._line.ask(request)
        finally:
            if timer is not None:
                timer.cancel()

    def leave(self) -> None:
        self._line.leave()


def dechunked(buffer: bytes, at: int) -> bytes | None:
    """The body that is chunked from `at` to the end of `buffer`; None if that is not all of it."""
    pieces = []
    while True:
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(buffer[at:end], 16)
        if size == 0:
            return b"".join(pieces)
        pieces.append(buffer[end + 2 : end + 2 + size])
        at = end + 4 + size


@dataclass
class Steady:
    """Requests that are due by the clock, `rate` a second, over as many connections as that takes; ``answers`` has the
    answer to each, with its request's number. A connection that breaks is an answer of status 0.
    """

    port: int
    rate: float
    make: object
    """``make(number)`` gives the bytes of a request."""

    def __post_init__(self) -> None:
        self.answers: list[tuple[int, Answer]] = []
        self.stopped = False
        self._idle: list[Asker] = []

    async def _one(self, number: int) -> None:
        asker = self._idle.pop() if self._idle else Asker(self.port)
        answer = await asker.ask(self.make(number))
        self.answers.append((number, answer))
        self._idle.append(asker)

    async def run(self) -> None:
        """Until ``stopped``, and until all answers are here."""
        tasks: set[asyncio.Task[None]] = set()
        begun, count = monotonic(), 0
        while not self.stopped:
            while count < (monotonic() - begun) * self.rate:
                task = asyncio.ensure_future(self._one(count))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                count += 1
            await asyncio.sleep(0.003)
        if tasks:
            await asyncio.wait(tasks, timeout=30)
        assert not tasks, f"{len(tasks)} requests without an answer"
        for asker in self._idle:
            asker.leave()

    def between(self, first: float, last: float) -> list[tuple[int, Answer]]:
        """What was asked in that time."""
        return [row for row in self.answers if first <= row[1].asked_at < last]
