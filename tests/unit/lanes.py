"""A gateway and its lanes without sockets: what comes in, and what is written, is as a test says."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import uvicorn
from uvicorn.server import ServerState

from edge.config import Cache, CacheMode, Config, Log, Provider, Server, Telemetry
from edge.ledger import MEMORY
from edge.reply_fields import FIELDS
from edge.server.asgi import EdgeApplication
from edge.server.compose import Shared, compose
from edge.server.lane import Lane

BODY = b'{"model":"gpt-4o","messages":[]}'
OTHER = b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}'
ANSWER = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
FRESH = (b"date", *[field.name for field in FIELDS.values() if field.varies])


QUIET = Telemetry(log=Log(level="error"))


class Wire:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False
        self.reads = True

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class OffLoop(Lane):
    """A lane that a test may call while its loop stands still: it believes that it is called by the loop."""

    @contextmanager
    def _in_loop(self) -> Iterator[None]:
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(running)

    def data_received(self, data: bytes) -> None:
        with self._in_loop():
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        with self._in_loop():
            super().connection_lost(exc)

    def resume_writing(self) -> None:
        with self._in_loop():
            super().resume_writing()


class Worker:
    """One worker's gateway, asked without sockets. ``hits``: answers from memory."""

    def __init__(self, upstream: str, mode: CacheMode = "all", **server: int) -> None:
        providers = {name: Provider(dialect=name, base_url=f"{upstream}/v1") for name in ("openai", "anthropic")}
        self.serve(Config(server=Server(**server), providers=providers, cache=Cache(mode=mode), telemetry=QUIET))

    def serve(self, settings: Config, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = asyncio.new_event_loop() if loop is None else loop
        self.config = settings
        shared = Shared()
        self.generation = shared.generation
        edge = compose(self.config, shared=shared)
        self.gateway, self.metrics = edge.gateway, edge.metrics
        # BlackSheep keeps every application for ever, to know whose a router is, and looks through the whole stack for it.
        with patch("blacksheep.server.application.validate_router"):
            self.app = EdgeApplication(edge)
        self.uvicorn = uvicorn.Config(self.app, http=Lane, log_config=None)
        self.server_state = ServerState()
        self.hits = 0
        admit = self.gateway.admit

        def counting(call: Any) -> None:
            admit(call)
            self.hits += call.ledger.cache is MEMORY

        self.gateway.admit = counting

    def connect(self) -> Lane:
        lane = OffLoop(self.uvicorn, self.server_state, {}, self.loop)
        lane.connection_made(Wire())
        return lane

    def wait_for(self, lane: Lane, answers: int) -> list[bytes]:
        """The answers on a connection, once there are so many."""
        until = time.monotonic() + 5
        while len(found := said(lane)) < answers and time.monotonic() < until:
            self.loop.run_until_complete(asyncio.sleep(0.005))
        assert len(found) == answers
        return found

    def remember(self, *requests: bytes) -> None:
        """Have each answered from memory the ordinary way, once."""
        for request in requests:
            for _ in range(2):
                lane = self.connect()
                lane.data_received(request)
                (reply,) = self.wait_for(lane, 1)
                if b"x-edge-cache: memory" in reply:
                    break
            else:
                raise AssertionError(reply)
        self.hits = 0


def said(lane: Lane) -> list[bytes]:
    """The answers on a connection so far."""
    return re.split(rb"(?<!^)(?=HTTP/1\.1 \d\d\d )", b"".join(lane.transport.written)) if lane.transport.written else []


def post(body: bytes = BODY, *headers: str, start: str = "POST /v1/chat/completions HTTP/1.1") -> bytes:
    lines = [start, "host: localhost", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def fields(reply: bytes) -> list[bytes]:
    return reply.partition(b"\r\n\r\n")[0].split(b"\r\n")


def field(reply: bytes, name: bytes) -> list[bytes]:
    return [line.partition(b": ")[2] for line in fields(reply)[1:] if line.startswith(name + b": ")]


def settled(reply: bytes) -> tuple[bytes, list[bytes], list[bytes], bytes]:
    """What of a reply stays the same: its status line, its fields, the names of the fresh ones, and its body."""
    start, *lines = fields(reply)
    fresh = sorted(line.partition(b":")[0] for line in lines if line.partition(b":")[0] in FRESH)
    same = sorted(line for line in lines if line.partition(b":")[0] not in FRESH)
    return start, same, fresh, reply.partition(b"\r\n\r\n")[2]
