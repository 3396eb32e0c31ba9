"""The requests of a connection are its turns: one is answered at a time, in their order, and none is begun while the
client does not take what was written for those before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from edge.certificates import credentials_of
from edge.errors import EdgeError, RequestTimeout
from edge.server.crowd import Crowd, Door
from edge.server.patience import (
    BODY_IDLE_S,
    BODY_RATE,
    FIRST_BYTE_S,
    GOODBYE_S,
    HEAD_S,
    KEEP_ALIVE_S,
    LINGER_S,
    LOOK_S,
    NEVER,
    WRITE_STALL_S,
    has_left,
)
from edge.server.turn import Turn
from edge.telemetry.logs import where

__all__ = ["Turns"]


class Turns:
    """A connection, of a ``crowd`` if that is set: then it enters that by its ``door``, if it has one. Whoever keeps it
    looks at its ``deadline``, a reading of the loop's clock, every `SWEEP_S` seconds, and calls `expire` when it is
    over.
    """

    def __init__(self, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.logger = logging.getLogger("uvicorn.error")
        self.server_state = server_state
        self.crowd: Crowd | None = None
        self.door: Door | None = None
        self.group: str | None = None
        self.client: tuple[str, int] | None = None
        self.certificate: tuple[bytes, ...] = ()
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.flow: FlowControl = None  # type: ignore[assignment]
        self._running: Turn | None = None
        self._reading: Turn | None = None
        self._waiting: deque[Turn] = deque()
        self._pipelined = 0
        self._advancing = False
        self._refusal: bytes | None = None
        self._lingering = False
        self._in_head = False
        self._begun_at = 0.0
        self._body_size = 0
        self._served = False
        self._full = False
        self._held_at = 0.0
        self._looking: asyncio.TimerHandle | None = None
        self.deadline = NEVER

    # asyncio's side.

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.server_state.connections.add(self)  # type: ignore[arg-type]
        self.transport = transport
        self.flow = FlowControl(transport)
        self.client = get_remote_addr(transport)
        self.certificate = credentials_of(transport.get_extra_info("peercert"))
        self.deadline = self.loop.time() + FIRST_BYTE_S
        crowd, door, self.door = self.crowd, self.door, None
        if crowd is not None and not (door or crowd).enter(self, self.client[0] if self.client else ""):
            self.server_state.connections.discard(self)
            crowd.turn_away(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        if self.crowd is not None:
            self.crowd.leave(self)
        turns = [self._running, *self._waiting]
        self._running = self._reading = None
        self._waiting.clear()
        for turn in turns:
            if turn is not None:
                turn.lost()
        self.flow.resume_writing()

    def eof_received(self) -> None:
        """The client sends no more: the transport closes."""

    def answered(self) -> None:
        """The answer to the running turn is written."""
        turn = self._running
        self.done(turn is not None and turn.closes)

    def done(self, closes: bool) -> None:
        """The same. `closes`: the connection ends with it, if that has not ended before."""
        self._served = True
        turn, self._running = self._running, None
        if turn is not None and closes:
            self._finish()
        elif self._waiting or self._refusal is not None or self._pipelined:
            self._advance()
        elif not self._full:
            if self.flow.read_paused:  # by a body whose last part the application has left
                self.flow.resume_reading()
            self.deadline = self.loop.time() + KEEP_ALIVE_S

    def _advance(self) -> None:
        """Let the next turns begin, until one has to wait for something."""
        if self._advancing:
            return  # a turn that ended as soon as it began
        self._advancing = True
        # What was not read meanwhile, or waited to be asked for, has its time from here.
        self._begun_at = self.loop.time()
        try:
            while self._running is None and self._waiting and not self._lingering and not self._full:
                turn = self._running = self._waiting.popleft()
                turn.waited()
                turn.begin()
        except Exception as error:  # noqa: BLE001 - it is not that of the turn that has just ended, and calls us
            self.logger.error("internal error: %s", where(error))
            self.transport.abort()
            return
        finally:
            self._advancing = False
        if self._running is None and not self._waiting and self._refusal is not None and not self._lingering:
            self.transport.write(self._refusal)
            self._finish()
        if not self._waiting:
            self._pipelined = 0
            self.flow.resume_reading()
        if self.idle():
            self.deadline = self.loop.time() + KEEP_ALIVE_S
        else:
            self._clock()

    def _finish(self) -> None:
        """Close, once what the client is still sending can no longer hurt."""
        waiting = list(self._waiting)
        self._waiting.clear()
        for turn in waiting:
            turn.lost()
        if self._lingering or self.transport.is_closing():
            return
        if self._reading is None and self._refusal is None:
            self.close()
            return
        self._lingering = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():  # TLS cannot
            self.transport.write_eof()
        self.deadline = self.loop.time() + LINGER_S

    def close(self) -> None:
        """Close when all is written, or when the client has not taken it for too long."""
        self._lingering = True
        left = self.transport.get_write_buffer_size()
        self.transport.close()
        self.deadline = self.loop.time() + (WRITE_STALL_S if left else GOODBYE_S)

    def shutdown(self) -> None:
        """The worker drains: close when what is running is answered."""
        if self._running is not None:
            self._running.closes = True
        elif not self._waiting and not self._lingering:
            self.close()

    def idle(self) -> bool:
        """Whether there is no request on it, not even a part of one, and what was written is taken."""
        return (
            self._running is None
            and self._reading is None
            and not self._in_head
            and not self._waiting
            and not self._lingering
            and self._refusal is None
            and not self._full
        )

    @property
    def idle_since(self) -> float | None:
        """When the last answer was written, or when it was made, if nothing has come since."""
        if not self.idle():
            return None
        return self.deadline - (KEEP_ALIVE_S if self._served else FIRST_BYTE_S)

    def give_up(self) -> None:
        """Close at once: it is idle, and its place is wanted."""
        self._lingering = True
        self.transport.abort()

    # Deadlines.

    def _clock(self) -> None:
        """Set the deadline of what is awaited from the client."""
        if self._lingering or self._full:
            return
        if self._in_head:
            self.deadline = self._begun_at + HEAD_S
        elif self._waiting and self._waiting[-1] is self._reading:
            self.deadline = NEVER  # it may be waiting for its turn, as one that expects a 100 (Continue)
        elif self._reading is not None:
            latest = self._begun_at + BODY_IDLE_S + self._body_size / BODY_RATE
            self.deadline = min(self.loop.time() + BODY_IDLE_S, latest)
        elif self._running is not None:
            self.deadline = NEVER

    def hold_back(self, back: bool) -> None:
        """Read nothing more of the client's, whose body is not taken as fast as it comes; or read on. What it waited
        for that is not time of its own.
        """
        if back:
            self._held_at = self.loop.time()
            self.flow.pause_reading()
            if self._looking is None:
                self._looking = self.loop.call_later(LOOK_S, self._look)
        elif not self.transport.is_closing():
            self._waited_for_us()
            self.flow.resume_reading()
            self._clock()

    def _waited_for_us(self) -> None:
        now = self.loop.time()
        self._begun_at += now - self._held_at
        self._held_at = now

    def _look(self) -> None:
        """Nobody reads, so nobody would be told that the client has left."""
        self._looking = None
        if not self.flow.read_paused or self.transport.is_closing():
            return
        self._waited_for_us()
        if has_left(self.transport.get_extra_info("socket")):
            self.transport.abort()
        else:
            self._looking = self.loop.call_later(LOOK_S, self._look)

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        self._full = True
        self.deadline = self.loop.time() + WRITE_STALL_S

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        self._full = False
        self.deadline = self.loop.time() + KEEP_ALIVE_S
        if self._running is None and self._waiting:
            self._advance()
            return
        if self._running is None:
            self.flow.resume_reading()
        self._clock()

    def expire(self) -> None:
        """The deadline is over."""
        if self.transport.is_closing() or self._full:
            self.transport.abort()
        elif self._lingering:
            self.close()
        # A body that is not read because the application does not take it is not the client's fault.
        elif self.flow.read_paused or self._refusal is not None:
            return
        elif self._in_head or (self._reading is not None and not self._reading.ended):
            self.refuse(RequestTimeout())
        else:
            self.close()

    def refuse(self, error: EdgeError) -> None:
        """Answer with an error, after the answers that are due before it, and close."""
        raise NotImplementedError
