"""Upstreams that keep every byte of what they are asked: each answers as its case says, or hands on to the simulator."""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.harness import answer

__all__ = ["Exchange", "Reply", "Upstream"]

WAIT_S = 12.0
RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
BEFORE_RESET_S = 0.03
"""What was written gets a moment to arrive: a reset may overtake it."""


class Link:
    """One connection of the edge to an upstream. ``ended`` is set when the edge has closed it; ``gone`` says that the
    upstream did.
    """

    def __init__(self, upstream: Upstream, sock: socket.socket, number: int) -> None:
        self.upstream = upstream
        self.sock = sock
        self.number = number
        self.ended = threading.Event()
        self.gone = False
        self.exchanges: list[Exchange] = []
        self._beyond: socket.socket | None = None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        buffer = b""
        try:
            if self.upstream.script is None and self.upstream.relay_to is not None:
                self._beyond = socket.create_connection(self.upstream.relay_to)
                threading.Thread(target=self._pump, args=(self._beyond,), daemon=True).start()
            while data := self.sock.recv(65536):
                if self._beyond is not None:
                    self._beyond.sendall(data)
                buffer = self._split(buffer + data)
        except OSError:
            pass
        self.ended.set()
        if self._beyond is not None:
            self._beyond.close()

    def _split(self, buffer: bytes) -> bytes:
        """Note the requests in what has come, and answer them; returns what is no whole one yet."""
        while True:
            open_one = self.exchanges[-1] if self.exchanges and not self.exchanges[-1].whole else None
            if open_one is None:
                head, mark, rest = buffer.partition(b"\r\n\r\n")
                if not mark:
                    return buffer
                open_one = Exchange(self, head, time.monotonic())
                self.exchanges.append(open_one)
                self.upstream.note(open_one)
                buffer = rest
            buffer = open_one.feed(buffer)
            if not open_one.whole:
                return buffer

    def _pump(self, beyond: socket.socket) -> None:
        """What the simulator says, and how it ends."""
        try:
            while data := beyond.recv(65536):
                self.sock.sendall(data)
            self.close()
        except ConnectionResetError:
            self.reset()
        except OSError:
            pass

    def close(self) -> None:
        self.gone = self.gone or not self.ended.is_set()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self) -> None:
        time.sleep(BEFORE_RESET_S)
        self.gone = self.gone or not self.ended.is_set()
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.sock.shutdown(socket.SHUT_RD)
            self.sock.close()
        except OSError:
            pass

    def closed_by_the_edge(self) -> bool:
        if self.gone:
            return False
        if self.ended.is_set():
            return True
        poll = select.poll()
        try:
            poll.register(self.sock, select.POLLRDHUP)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True


@dataclass
class Exchange:
    """One request, as it came, and the means to answer it. ``done`` says that its reply was written to the end."""

    link: Link
    head: bytes
    at: float
    body: bytes = b""
    whole: bool = False
    done: bool = False

    def feed(self, data: bytes) -> bytes:
        """Take of `data` what is the body's; returns the rest."""
        if CHUNKED.search(self.head):
            self.body += data
            end = self.body.find(b"0\r\n\r\n")
            if end < 0:
                return b""
            self.body, rest = self.body[: end + 5], self.body[end + 5 :]
        else:
            match = LENGTH.search(self.head)
            missing = (int(match[1]) if match else 0) - len(self.body)
            self.body, rest = self.body + data[:missing], data[missing:]
            if len(data) < missing:
                return b""
        self.whole = True
        self.link.upstream.asked(self)
        return rest

    def send(self, data: bytes) -> None:
        try:
            self.link.sock.sendall(data)
        except OSError:
            pass

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def wait(self, event: threading.Event) -> bool:
        """Until the case says so or the edge has left; whether the edge is still here."""
        deadline = time.monotonic() + WAIT_S
        while not event.is_set() and not self.link.ended.is_set() and time.monotonic() < deadline:
            event.wait(0.002)
        return not self.link.ended.is_set()

    def hold(self) -> None:
        """Silence until the edge leaves."""
        self.link.ended.wait(WAIT_S)

    def finish(self, data: bytes = b"") -> None:
        """The last that is sent: then the connection ends, whoever is first to close it."""
        self.link.gone = not self.link.ended.is_set()
        self.send(data)
        self.link.close()

    def reset(self) -> None:
        self.link.reset()


Reply = bytes | Callable[[Exchange], None]


class Upstream:
    """``script`` has the replies to a case's next requests, the last of them to all that follow; ``early`` says that they
    do not wait for bodies. Without one everything goes to `relay_to`. ``watched``: when the edge leaves matters.
    """

    def __init__(self, name: str, relay_to: tuple[str, int] | None = None) -> None:
        self.name = name
        self.relay_to = relay_to
        self.script: list[Reply] | None = None
        self.early = False
        self.watched = False
        self.exchanges: list[Exchange] = []
        self.links: list[Link] = []
        self._lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> None:
        """A new case: no script, and nothing seen."""
        self.script, self.early, self.watched = None, False, False
        self.exchanges, self.links = [], []

    def finish(self) -> None:
        """Close all connections, so that every case begins without one."""
        for link in self.links:
            link.gone = True
            try:
                link.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            link.sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self._lock:
                self.links.append(Link(self, sock, len(self.links) + 1))

    def note(self, exchange: Exchange) -> None:
        with self._lock:
            self.exchanges.append(exchange)
        if self.early:
            self._reply(exchange)

    def asked(self, exchange: Exchange) -> None:
        if not self.early:
            self._reply(exchange)

    def _reply(self, exchange: Exchange) -> None:
        if self.script is None:
            if self.relay_to is None:
                exchange.send(answer(b'{"error":{"message":"The case has no reply."}}', 500))
            return
        place = self.exchanges.index(exchange)
        reply = self.script[min(place, len(self.script) - 1)]
        if isinstance(reply, bytes):
            exchange.send(reply)
            exchange.done = True
            return

        def play() -> None:
            reply(exchange)
            exchange.done = True

        threading.Thread(target=play, daemon=True).start()
