"""A server of a test's own: threads, and sockets."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

__all__ = ["Listening", "read_head"]


class Listening:
    """Who is connected to: each connection has a thread of its own, in which it is talked to, and ends with that."""

    def listen(self, buffer: int = 0) -> None:
        """`buffer`: the bytes that the system keeps of what has come on a connection, 0 for as many as usual."""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        if buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def converse(self, connection: socket.socket) -> None:
        """An OSError ends it, as its end does."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connected, args=(connection,), daemon=True).start()

    def _connected(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.converse(connection)


def read_head(connection: socket.socket, buffer: bytes = b"") -> tuple[bytes, bytes] | None:
    """The next head, without the empty line behind it, and what has come behind that; None where the connection ends."""
    while b"\r\n\r\n" not in buffer:
        data = connection.recv(65536)
        if not data:
            return None
        buffer += data
    head, _, rest = buffer.partition(b"\r\n\r\n")
    return head, rest
