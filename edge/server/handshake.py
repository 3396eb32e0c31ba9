"""Connections on which TLS is not agreed yet: each has its place in the crowd from the beginning, like plain ones."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from edge.server.crowd import Connection, Crowd
from edge.server.protocol import EdgeProtocol
from edge.server.tls import HANDSHAKE_S, Meeting

__all__ = ["Doorman"]

AT_ONCE = 64
"""So many are accepted before anything else has its turn."""
RETRY_S = 1.0
"""When the system has nothing left to accept with, it is asked again after so long, as asyncio does."""


class Doorman:
    """Accepts connections, meets them with TLS, and hands those that agree on it over to the protocols that `front`
    makes. asyncio's servers would tell of a connection only then. ``tasks`` are the handshakes in flight.
    """

    def __init__(
        self, tls: Meeting, crowd: Crowd, front: Callable[[], EdgeProtocol], tasks: set[asyncio.Task[None]]
    ) -> None:
        self.tls = tls
        self.crowd = crowd
        self.front = front
        self.tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._stopped = False

    def watch(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._loop.add_reader(listener.fileno(), self.accept, listener)

    def stop(self, listener: socket.socket) -> None:
        """Accept no more. What is in its queue is lost with it."""
        self._stopped = True
        self._loop.remove_reader(listener.fileno())
        listener.close()

    def accept(self, listener: socket.socket) -> bool:
        """Take what has come; False where there is nothing left to take."""
        for _ in range(AT_ONCE):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except ConnectionAbortedError:
                continue
            except OSError:
                self._loop.remove_reader(listener.fileno())
                self._loop.call_later(RETRY_S, self._again, listener)
                return False
            connection.setblocking(False)
            Handshake(self, connection).begin(address[0] if isinstance(address, tuple) else "")
        return True

    def _again(self, listener: socket.socket) -> None:
        if not self._stopped:
            self.watch(listener)


class Handshake:
    """One connection meanwhile. It is idle, so it goes where its place is wanted. One for which there is no room is
    told why like any other, and that takes a handshake too.
    """

    group: str | None = None

    def __init__(self, doorman: Doorman, connection: socket.socket) -> None:
        self._doorman = doorman
        self._connection = connection
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._refused = False
        self.idle_since = asyncio.get_running_loop().time()

    def begin(self, address: str) -> None:
        doorman = self._doorman
        crowd = doorman.crowd
        if not crowd.enter(self, address):
            if not crowd.tells_why:
                self._connection.close()
                return
            self._refused = True
            crowd.turned_away += 1
        self._task = task = asyncio.get_running_loop().create_task(self._agree())
        doorman.tasks.add(task)
        task.add_done_callback(self._over)

    def give_up(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def enter(self, connection: Connection, address: str) -> bool:
        """It is agreed: the place, if there is one, is that connection's."""
        crowd = self._doorman.crowd
        if self._refused:
            self._refused = False
            crowd.turned_away -= 1
            return False
        crowd.leave(self)
        return crowd.enter(connection, address)

    async def _agree(self) -> None:
        self._begun = True
        doorman = self._doorman
        try:
            await asyncio.get_running_loop().connect_accepted_socket(  # type: ignore[type-var]
                self._front, self._connection, ssl=doorman.tls.context, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError:
            pass  # it was no TLS, or too slow, or the client has left

    def _front(self) -> EdgeProtocol:
        front = self._doorman.front()
        front.door = self
        return front

    def _over(self, task: asyncio.Task[None]) -> None:
        crowd = self._doorman.crowd
        self._doorman.tasks.discard(task)
        if not self._begun:
            self._connection.close()  # else it is its transport's
        crowd.leave(self)
        if self._refused:
            crowd.turned_away -= 1
