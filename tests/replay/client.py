"""A client's connection, of which all that comes is kept."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass, field

from tests.harness import Client

__all__ = ["Answer", "Connection"]

WAIT_S = 12.0
"""Longer than any deadline of an edge under test: what has not come by then does not come."""


@dataclass
class Answer:
    """``interim`` are the status lines of 1xx before it. ``framing`` tells how its body ends; ``trouble`` is why it is
    not whole, or "".
    """

    status: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    framing: str = "none"
    body: bytes = b""
    interim: list[str] = field(default_factory=list)
    trouble: str = ""

    def value(self, name: str) -> str:
        return next((value for key, value in self.fields if key.lower() == name), "")


class Ended(Exception):
    """No more comes; the argument says why."""


class Connection(Client):
    """``host`` stands in every request that `ask` makes, and ``fields`` in each before its own."""

    def __init__(self, port: int, *fields: str, id: str = "", host: str = "localhost") -> None:  # noqa: A002
        super().__init__(port)
        self.sock.settimeout(WAIT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fields = fields
        self.id = id
        self.host = host
        self.asked = 0
        self.answers: list[Answer] = []
        self.left = False

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # the edge has closed: its answer tells why

    def form(self, method: str, target: str, body: bytes | None, *fields: str, version: str = "1.1") -> bytes:
        """The bytes of a request, with an identifier of its own where the connection has one."""
        self.asked += 1
        lines = [f"{method} {target} HTTP/{version}", f"host: {self.host}", *self.fields]
        if self.id:
            lines.append(f"x-request-id: {self.id}-{self.asked}")
        if body is not None and not any(line.lower().startswith("content-type:") for line in fields):
            lines.append("content-type: application/json")
        lines += fields
        chunked = any(line.lower().startswith("transfer-encoding:") for line in fields)
        if body is not None and not chunked and not any(line.lower().startswith("content-length:") for line in fields):
            lines.append(f"content-length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")

    def ask(self, method: str, target: str, body: bytes | None = None, *fields: str, version: str = "1.1") -> Answer:
        self.send(self.form(method, target, body, *fields, version=version))
        return self.answer(method)

    def post(self, path: str, body: bytes, *headers: str) -> Answer:
        return self.ask("POST", path, body, *headers)

    def until(self, mark: bytes) -> bool:
        """Wait until `mark` is among what has come and is not read; False if it does not come."""
        try:
            while mark not in self.buffer:
                self._fill()
        except Ended:
            return False
        return True

    def answer(self, method: str = "POST") -> Answer:
        """The next answer, also where it is cut off."""
        got = Answer()
        self.answers.append(got)
        try:
            self._read(got, method)
        except Ended as end:
            got.trouble = str(end)
            if got.framing != "chunked":
                got.body, self.buffer = got.body + self.buffer, b""
        return got

    def all_answers(self, count: int, method: str = "POST") -> list[Answer]:
        return [self.answer(method) for _ in range(count)]

    def leave(self, how: str = "fin") -> None:
        """Close, in the middle of an answer too, of which what has come is kept."""
        self.left = True
        if self.buffer:
            self.answer()
        self.reset() if how == "rst" else self.sock.close()

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def state(self) -> str:
        """What became of the connection: "left" by the client, "closed" by the edge, "open", or what else came."""
        if self.left:
            return "left"
        while select.select([self.sock], [], [], 0)[0]:
            try:
                data = self.sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                return self._beside("closed")
            self.buffer += data
        return self._beside("open")

    def _beside(self, state: str) -> str:
        return f"{state}, with {self.buffer!r} unread" if self.buffer else state

    def _fill(self) -> None:
        if self.left:
            raise Ended("the client left")
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            raise Ended(f"nothing for {WAIT_S:g} s") from None
        except OSError:
            data = b""
        if not data:
            raise Ended("the connection ended")
        self.buffer += data

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _line(self, mark: bytes = b"\r\n") -> bytes:
        while mark not in self.buffer:
            self._fill()
        line, _, self.buffer = self.buffer.partition(mark)
        return line

    def _read(self, got: Answer, method: str) -> None:
        while True:
            first, *rest = self._line(b"\r\n\r\n").decode("latin-1").split("\r\n")
            code = first.split(" ")[1]
            if not code.startswith("1") or code == "101":
                break
            got.interim.append(first)
        got.status = first
        got.fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest)]
        if method == "HEAD" or code in ("204", "304"):
            got.framing = f"none, length {got.value('content-length') or 'not told'}"
        elif got.value("transfer-encoding") == "chunked":
            got.framing = "chunked"
            self._chunks(got)
        elif length := got.value("content-length"):
            got.framing = "length"
            got.body = self._take(int(length))
        else:
            got.framing = "close"
            try:
                while True:
                    self._fill()
            except Ended as end:
                if str(end) != "the connection ended":
                    raise
            got.body, self.buffer = self.buffer, b""

    def _chunks(self, got: Answer) -> None:
        while size := int(self._line(), 16):
            got.body += self._take(size)
            if self._take(2) != b"\r\n":
                raise Ended("a chunk without its end")
        trailer = self._line()
        if trailer:
            raise Ended(f"a trailer: {trailer!r}")
