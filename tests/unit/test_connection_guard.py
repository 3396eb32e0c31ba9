"""The protocol on a transport that does what a test says: ends, errors and deadlines at moments no socket can be made
to hit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from edge.server import patience
from edge.server.protocol import EdgeProtocol


class Wire:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = self.aborted = self.ended = False
        self.reads = True
        self.half_closes = True

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        assert not self.ended, "nothing can be written after the end"
        self.written.append(data)

    def can_write_eof(self) -> bool:
        return self.half_closes

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return len(b"".join(self.written))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Answering:
    """A turn that is answered when its request is whole, or raises where it is told to."""

    def __init__(self, guard: Guard, target: bytes, closes: bool) -> None:
        self.guard, self.target, self.closes = guard, target, closes
        self.ended = self.is_lost = self.is_begun = self.is_whole = False

    @property
    def begun(self) -> bool:
        return self.ended  # it is sent whole

    def _step(self, where: bytes) -> None:
        if where in self.target:
            raise RuntimeError("no edge error")
        if self.is_begun and (self.is_whole or b"refused" in self.target) and b"hangs" not in self.target:
            self.answer()

    def answer(self) -> None:
        self.guard.transport.write(b"to " + self.target)
        self.ended = True
        self.guard.answered()

    def waited(self) -> None:
        pass

    def begin(self) -> None:
        self.is_begun = True
        self._step(b"begin")

    def take(self, data: bytes) -> None:
        self._step(b"take")

    def whole(self) -> None:
        self.is_whole = True
        self._step(b"whole")

    def lost(self) -> None:
        self.is_lost = True


class Guard(EdgeProtocol):
    def turn_for(self, index: dict[bytes, bytes], version: str, keeps_alive: bool) -> Any:
        turn = Answering(self, self.url, not keeps_alive)
        self.turns.append(turn)
        return turn


@pytest.fixture
def guard():
    async def app(_scope, _receive, _send): ...

    loop = asyncio.new_event_loop()
    made = Guard(uvicorn.Config(app, log_config=None), ServerState(), {}, loop)
    made.turns = []
    made.connection_made(Wire())
    yield made
    loop.close()


def get(target: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET /{target} HTTP/1.1", "host: localhost", *headers, "", ""]).encode()


def post(target: str, *headers: str) -> bytes:
    lines = [f"POST /{target} HTTP/1.1", "host: localhost", "content-length: 2", *headers, "", "ab"]
    return "\r\n".join(lines).encode()


def expire(guard: Guard, monkeypatch) -> None:
    """What the sweep does once the connection's deadline is over."""
    assert guard.deadline < patience.NEVER
    over = guard.deadline
    monkeypatch.setattr(guard.loop, "time", lambda: over)
    guard.expire()


@pytest.mark.parametrize("how", ["connection: close", "connection: keep-alive"])
def test_a_client_that_never_takes_the_end_of_its_answer_is_cut_off(guard, monkeypatch, how):
    """However little is left to be written, so that the transport does not even say that it is full."""
    guard.data_received(get("x", how))
    assert guard.transport.written == [b"to /x"]
    if how.endswith("keep-alive"):
        expire(guard, monkeypatch)
    assert guard.transport.closing
    assert not guard.transport.aborted
    expire(guard, monkeypatch)
    assert guard.transport.aborted


def test_what_a_client_still_sends_over_tls_is_read_off_too(guard, monkeypatch):
    guard.transport.half_closes = False
    guard.data_received(b"POST /refused HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 9\r\n\r\na")
    assert guard.transport.written == [b"to /refused"]
    assert not guard.transport.closing
    guard.data_received(b"bcdefghi" + get("after"))
    assert len(guard.turns) == 1
    expire(guard, monkeypatch)
    assert guard.transport.closing
    expire(guard, monkeypatch)
    assert guard.transport.aborted


@pytest.mark.parametrize("where", ["begin", "take", "whole"])
def test_an_error_in_a_turn_is_a_500_and_the_end(guard, where):
    guard.data_received(post(where) + post("after"))
    assert [data[:13] for data in guard.transport.written] == [b"HTTP/1.1 500 "]
    assert guard.turns[0].is_lost
    assert len(guard.turns) == 1
    assert guard.transport.ended or guard.transport.closing


@pytest.mark.parametrize("where", ["begin", "take", "whole"])
def test_an_error_in_a_turn_that_waits_does_not_reach_the_one_before_it(guard, where):
    guard.data_received(post("hangs") + post(where) + post("after"))
    first = guard.turns[0]
    first.answer()
    assert guard.transport.written[0] == b"to /hangs"
    assert not any(b"to /after" in data for data in guard.transport.written)
    assert guard.transport.ended or guard.transport.closing
    guard.connection_lost(None)
    assert first.ended
    assert not first.is_lost
    assert all(turn.is_lost for turn in guard.turns[1:])


def test_the_time_of_a_body_begins_with_its_turn(guard, monkeypatch):
    now = [guard.loop.time()]
    monkeypatch.setattr(guard.loop, "time", lambda: now[0])
    guard.data_received(get("hangs") + post("x")[:-1])
    assert guard.deadline == patience.NEVER
    now[0] += 100
    guard.turns[0].answer()
    assert guard.deadline == now[0] + patience.BODY_IDLE_S
