"""A worker without sockets whose clocks a test sets, and providers that answer when, and as, it says."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

import edge.clock
from edge._fast import Fields
from edge.config import Config
from edge.config.file import parse
from edge.errors import UpstreamUnreachable
from edge.hooks import Hooks
from edge.server.lane import Lane
from edge.upstreams.receiver import Transport
from tests.unit.lanes import Worker, post, said

JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream")]
STEP_S = 0.05


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time a test sets: ``now``."""

    now = 1000.0

    def time(self) -> float:
        return self.now


class Sent:
    """A request on its way: ``did`` is what was asked of it."""

    def __init__(self, request: Any, receiver: Any) -> None:
        self.request = request
        self.receiver = receiver
        self.did: list[str] = []

    def pause(self) -> None:
        self.did.append("pause")

    def resume(self) -> None:
        self.did.append("resume")

    def cancel(self) -> None:
        self.did.append("cancel")

    @property
    def open(self) -> bool:
        return "cancel" not in self.did

    def answers(self, status: int, headers: list[tuple[bytes, bytes]], *pieces: bytes, ends: bool = True) -> None:
        self.receiver.head(status, Fields(headers), True)
        for piece in pieces:
            if self.open:
                self.receiver.body(piece)
        if ends and self.open:
            self.receiver.ended()

    def breaks(self) -> None:
        self.receiver.failed(UpstreamUnreachable())


class Scripted(Transport):
    """A transport without a network."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def send(self, request: Any, receiver: Any) -> Sent:
        request.sent = True
        self.sent.append(Sent(request, receiver))
        return self.sent[-1]

    def retire(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Kept(Hooks):
    """The hooks, which keep what they are told of requests."""

    def __init__(self, hooks: Any, records: list[Any]) -> None:
        self._hooks = hooks
        self._records = records

    def request_done(self, record: Any) -> None:
        self._records.append(record)
        self._hooks.request_done(record)

    def attempt_failed(self, attempt: Any) -> None:
        self._hooks.attempt_failed(attempt)


class Timed(Worker):
    """``providers`` are what each has been sent, by its name; ``records`` the finished requests."""

    def __init__(self, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock()
        monkeypatch.setattr(edge.clock, "reading", clock.time)
        self.serve(parsed(settings), clock)
        self.clock = clock
        self.providers: dict[str, Scripted] = {}
        for name, provider in self.gateway.state.providers.items():
            provider.transport = self.providers[name] = Scripted()
        self.records: list[Any] = []
        self.gateway.hooks = Kept(self.gateway.hooks, self.records)

    def ask(self, model: str, *headers: str, **fields: Any) -> Lane:
        """A client that has asked."""
        body = msgspec.json.encode({"model": model, "messages": [], **fields})
        lane = self.connect()
        lane.data_received(post(body, *headers))
        self.run()
        return lane

    def run(self, step: Any = None, *arguments: Any, **named: Any) -> None:
        """Call something as the loop would, and what follows from it."""

        async def call() -> None:
            if step is not None:
                step(*arguments, **named)
            for _ in range(3):
                await asyncio.sleep(0)

        self.loop.run_until_complete(call())

    def after(self, seconds: float) -> None:
        """So much time passes."""
        until = self.clock.now + seconds
        while self.clock.now < until - 1e-9:
            self.clock.now = min(until, self.clock.now + STEP_S)
            self.run()

    def sent(self, name: str, number: int = -1) -> Sent:
        return self.providers[name].sent[number]

    def count(self, name: str) -> int:
        """How often a provider was asked."""
        return len(self.providers[name].sent)

    def idle(self) -> bool:
        """Whether nothing is left of any request."""
        gateway = self.gateway
        return (gateway._in_flight, gateway._buffers.held, gateway._sweep.active) == (0, 0, False)

    def close(self) -> None:
        self.loop.run_until_complete(self.gateway.close())
        self.loop.close()


def parsed(settings: dict[str, Any]) -> Config:
    quiet = {"telemetry": {"log": {"level": "error"}}}
    return parse(msgspec.json.encode({**quiet, **settings}).decode(), "test.json", {})


def told(lane: Lane) -> bytes:
    """All that a client has been sent."""
    return b"".join(said(lane))
