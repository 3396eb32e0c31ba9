"""The HTTP/1.1 connection pool: what this product spends its time in.

One pool per provider, bounded, with a waiting line. A connection takes one request at a time and goes back to the pool
as soon as its answer is complete, if nothing speaks against it: the peer keeps it alive, our request is written whole,
and not one byte came after the answer. Whoever asked next would take such a byte for the beginning of its own answer.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import cast

from edge.clock import perf_counter
from edge.errors import EdgeError, UpstreamStreamBroken, UpstreamUnreachable
from edge.memo import keep
from edge.upstreams.connection import Connection, Owner, Sending
from edge.upstreams.origin import Origin
from edge.upstreams.receiver import Receiver
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.wire import Connections

__all__ = ["Pool"]

IDLE_S = 60.0
MOST_STARTS = 256
SWEEP_S = 15.0


class Pool(Owner):
    """Connections to one origin. Deadlines other than of connecting and of waiting for a place are the caller's."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        connect_s: float,
        max_connections: int,
    ) -> None:
        """`connect_s` bounds connecting, TLS included, and the wait for a place in a pool that is full."""
        self._origin = Origin(host, port, tls, connect_s)
        self._connect_s = connect_s
        self._max = max_connections
        self._authority = self._origin.authority
        self._starts: dict[bytes, bytes] = {}
        self._keeps = True
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening = 0
        self._waiting: dict[Sending, asyncio.TimerHandle] = {}
        self._connecting: dict[Sending, asyncio.Task[object]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def send(self, request: UpstreamRequest, receiver: Receiver) -> Sending:
        """Send by a kept connection or a fresh one, once there is a place for it.

        A kept connection that turns out to be closed before it gave a byte is replaced by a fresh one, once: most
        likely the peer was closing it and never saw the request (RFC 9110, section 9.2.2, leaves it to who knows what
        the request does). One that is to be sent `once` is sent again only where nothing of it was written. The
        receiver is told of UpstreamUnreachable, UpstreamStreamBroken, UpstreamBadResponse, Overloaded.
        """
        sending = Sending.__new__(Sending)
        sending.begin(self, request, receiver)
        connection = self._take_idle()
        if connection is not None:
            connection.send(sending)
        else:
            self._open_or_wait(sending)
        return sending

    def start_of(self, request: UpstreamRequest) -> bytes:
        """The first lines of a request, up to the length of its body, where it is to have one."""
        rest = request.rest
        posts = request.method == b"POST" and (rest is None or rest.size >= 0)
        start = self._starts.get(request.target) if posts else None
        if start is None:
            start = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (request.method, request.target, self._authority)
            if posts:
                start = keep(self._starts, request.target, start + b"content-length: ", MOST_STARTS)
        return start

    def stale(self, sending: Sending) -> None:
        request = sending.request
        if sending.again or request.is_gone() or (request.once and request.sent):
            sending.fail(UpstreamStreamBroken())
            return
        request.sent = False
        sending.connection = None
        sending.again = True
        if sending.receiver is not None:
            self._open_or_wait(sending)

    def withdraw(self, sending: Sending) -> None:
        timer = self._waiting.pop(sending, None)
        if timer is not None:
            timer.cancel()
        connecting = self._connecting.pop(sending, None)
        if connecting is not None:
            connecting.cancel()

    def connections(self) -> Connections:
        idle = len(self._idle)
        return Connections(len(self._all) - idle, idle, self._opening, len(self._waiting))

    def retire(self) -> None:
        """Keep no connection beyond its answer from now on."""
        self._keeps = False
        for connection in list(self._idle):
            connection.abort()

    async def close(self) -> None:
        """Close every connection."""
        if self._sweep is not None:
            self._sweep.cancel()
        self.retire()
        for connection in list(self._all):
            connection.abort()
        for sending, timer in list(self._waiting.items()):
            timer.cancel()
            sending.fail(UpstreamUnreachable("The gateway is closing its connections."))
        self._waiting.clear()
        for sending, connecting in list(self._connecting.items()):
            connecting.cancel()
            sending.fail(UpstreamUnreachable("The gateway is closing its connections."))

    # Taking.

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and perf_counter() - connection.idle_since < IDLE_S:
                connection.reused = True
                return connection
            connection.abort()
        return None

    def _open_or_wait(self, sending: Sending) -> None:
        if len(self._all) + self._opening < self._max:
            self._open(sending)
        elif sending.again and self._idle:
            self._idle.pop(0).abort()  # its place is wanted
            self._open(sending)
        else:
            loop = asyncio.get_running_loop()
            self._waiting[sending] = loop.call_later(self._connect_s, self._give_up, sending)

    def _give_up(self, sending: Sending) -> None:
        if self._waiting.pop(sending, None) is not None:
            error = UpstreamUnreachable(
                "All connections to the provider are busy.", status=503, headers=[(b"retry-after", b"1")]
            )
            error.ours = True
            sending.fail(error)

    # Giving back.

    def give_back(self, connection: Connection) -> None:
        """A connection whose answer is complete, and that is fit for another. One that was lost since is nobody's."""
        if not connection.usable:
            return
        if self._hand_over(connection):
            return
        if not self._keeps:
            connection.abort()
            return
        connection.idle_since = perf_counter()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = connection.loop.call_later(SWEEP_S, self._expire)

    def forget(self, connection: Connection) -> None:
        """A connection that is closed: its place is free."""
        self._all.discard(connection)
        try:
            self._idle.remove(connection)
        except ValueError:
            pass  # it was in use
        self._offer_place()

    def _offer_place(self) -> None:
        if self._waiting and len(self._all) + self._opening < self._max:
            self._open(self._first_in_line())

    def _hand_over(self, connection: Connection) -> bool:
        """Give a connection to who waits for one; whether somebody did."""
        if not self._waiting:
            return False
        sending = self._first_in_line()
        if sending.again:
            connection.abort()
            self._open(sending)
        else:
            connection.reused = True
            connection.send(sending)
        return True

    def _first_in_line(self) -> Sending:
        sending = next(iter(self._waiting))
        self._waiting.pop(sending).cancel()
        return sending

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = perf_counter()
        while self._idle and now - self._idle[0].idle_since >= IDLE_S:
            self._idle.pop(0).abort()
        self._sweep = loop.call_later(SWEEP_S, self._expire) if self._idle else None

    # Opening.

    def _open(self, sending: Sending) -> None:
        """Open a connection, whose place is taken from now on, for a request."""
        self._opening += 1
        loop = asyncio.get_running_loop()
        made = partial(Connection, self, loop)
        connecting = self._connecting[sending] = loop.create_task(self._origin.connect(made))  # type: ignore[type-var]
        connecting.add_done_callback(partial(self._connected, sending))

    def _connected(self, sending: Sending, connecting: asyncio.Task[object]) -> None:
        """Nothing is being opened in that place any more; one that came to nothing is the next one's in line. (Not at
        the end of the task itself: one that is cancelled before its first step never comes there.)
        """
        self._opening -= 1
        self._connecting.pop(sending, None)
        error = None if connecting.cancelled() else connecting.exception()
        connection = None if error is not None or connecting.cancelled() else cast("Connection", connecting.result())
        if connection is not None and connection.usable:  # else it is lost already, and was never one of them
            self._all.add(connection)
        self._offer_place()
        if error is not None:
            # UnicodeError, for one: a host name that no look-up can be made for.
            sending.fail(error.bare() if isinstance(error, EdgeError) else UpstreamUnreachable())
        elif connection is not None and sending.receiver is None:
            self.give_back(connection)
        elif connection is not None:
            connection.send(sending)
