"""One client connection of the simulator: an asyncio protocol on httptools that plays prebuilt answers, in order."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from edge.simulator.answers import Answer, whole
from edge.simulator.ledger import Entry
from edge.simulator.openai import error
from edge.simulator.sockets import Socket

if TYPE_CHECKING:
    from edge.simulator.server import Simulator

__all__ = ["Connection"]

LINGER_RESET = struct.pack("ii", 1, 0)
TICK_S = 0.001
"""uvloop's timers count whole milliseconds and may fire before their time: what is due within one is due now, or the
rest of the millisecond would be spent setting timers of none."""


class Connection(asyncio.Protocol):
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.loop = asyncio.get_running_loop()
        self.transport: Any = None
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.plan = b""
        self.answered_early = False
        self.asked = b""
        self.spoken: Socket | None = None
        self.waiting: deque[tuple[Entry, Answer]] = deque()
        self.paused = False
        # The answer in flight.
        self.entry: Entry | None = None
        self.answer: Answer | None = None
        self.next_piece = 0
        self.begun_at = 0.0
        self.timer: asyncio.TimerHandle | None = None

    # Reading.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.spoken is not None:
            self.spoken.received(data)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.spoken = Socket(self, self.asked, self.headers)
            self.spoken.begin()
            if rest := data[upgrade.args[0] :]:
                self.spoken.received(rest)
        except httptools.HttpParserError:
            self.transport.write(whole(400, error(400, "Bad request."), b"connection: close\r\n"))
            self.transport.close()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.body = b""
        self.plan = b""
        self.answered_early = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        if value == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif name == b"x-sim-plan":
            self.plan = value

    def on_headers_complete(self) -> None:
        if self.plan or self.simulator.scripts:
            answer = self.simulator.early_answer(self.url, self.plan)
            if answer is not None:
                self.answered_early = True
                self.transport.write(answer.head)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        url, self.url = self.url, b""
        method = self.parser.get_method()
        if self.parser.should_upgrade():
            self.asked = url
            return
        simulator = self.simulator
        path, _, query = url.decode("latin-1").partition("?")
        if simulator.kept.is_about(path):
            entry = simulator.ledger.open(self.loop.time(), url, self.headers, self.body, True, method.decode())
            entry.status, told = simulator.kept.answer(method.decode(), path, query, self.headers, self.body)
            entry.done_at = self.loop.time()
            self.transport.write(told)
            return
        if method != b"POST" or url.startswith(b"/script"):
            self.transport.write(simulator.control(method.decode(), path, query, self.headers, self.body))
            return
        body = self.body
        now = self.loop.time()
        if self.answered_early:
            simulator.ledger.add(now, url, self.headers, body, 200, 0)
            return
        headers = self.headers
        plain = not self.plan and not simulator.scripts
        known = simulator.known.get((url, body)) if plain else None
        if known is not None:
            # The ledger keeps the first request's bytes for all that equal them: what came just now is free again.
            answer, url, body, same = known
            headers = same if same == headers else headers
        else:
            answer = simulator.answer(url, headers, body, self.plan)
            if plain:
                simulator.remember(url, body, headers, answer)
        if answer.at_once and self.entry is None:
            self.transport.write(answer.head)
            simulator.ledger.add(now, url, headers, body, answer.status, answer.size)
            return
        entry = simulator.ledger.open(now, url, headers, body, complete=True)
        if self.entry is None:
            self._begin(entry, answer)
        else:
            self.waiting.append((entry, answer))

    # Answering.

    def _begin(self, entry: Entry, answer: Answer) -> None:
        self.entry = entry
        self.answer = answer
        self.next_piece = -1
        self.begun_at = self.loop.time()
        self._play()

    def _play(self) -> None:
        """Write what is due, as long as the client takes it."""
        self.timer = None
        entry, answer = self.entry, self.answer
        if entry is None or answer is None:
            return
        if self.next_piece < 0:
            if answer.first_s and self.begun_at + answer.first_s - self.loop.time() > TICK_S:
                self.timer = self.loop.call_at(self.begun_at + answer.first_s, self._play)
                return
            entry.status = answer.status
            if answer.head:
                self.transport.write(answer.head)
                entry.generated = answer.size
            self.next_piece = 0
        while self.next_piece < len(answer.pieces):
            if self.paused:
                return
            if answer.step_s:
                due = self.begun_at + answer.first_s + self.next_piece * answer.step_s
                if due - self.loop.time() > TICK_S:
                    self.timer = self.loop.call_at(due, self._play)
                    return
            piece = answer.pieces[self.next_piece]
            if piece.data:
                self.transport.write(piece.data)
            entry.generated += piece.size
            entry.events += piece.events
            self.next_piece += 1
        self._end(entry, answer)

    def _end(self, entry: Entry, answer: Answer) -> None:
        if answer.end == "close":
            self.transport.close()
        elif answer.end == "reset":
            # What was written gets a moment to arrive: a reset may overtake it.
            self.loop.call_later(0.01, self.reset)
        elif answer.end == "done":
            entry.done_at = self.loop.time()
            self.entry = self.answer = None
            if self.waiting:
                self._begin(*self.waiting.popleft())

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self.transport.abort()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.timer is None:
            self._play()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.spoken is not None:
            self.spoken.lost()
        now = self.loop.time()
        entry = self.entry
        if entry is None and self.url and self.parser.get_method() == b"POST":
            entry = self.simulator.ledger.open(now, self.url, self.headers, self.body, complete=False)
        if entry is not None and entry.done_at is None:
            entry.left = "rst" if isinstance(exc, ConnectionResetError) else "fin"
            entry.left_at = now
        self.entry = self.answer = None
