"""One Redis server as we see it: a bounded pool of connections to it, and whether it is worth asking.

A connection carries one command at a time and goes back to the pool only after the whole of its reply, with nothing
behind it. Whatever else happens, a cancelled caller included, it is closed: the reply that is still to come would be
taken for the next caller's (CVE-2023-28858).
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["REASONS", "Command", "Link", "LinkBroken", "Log", "Node", "RedisUnavailable", "Refused"]

Command = tuple[bytes | str | int, ...]

REASONS = ("unready", "open", "timeout", "busy", "error")
"""Why a command was not answered: never reached a usable server, its server's breaker is open, the deadline passed,
no connection was free, or the server or the network failed."""

POOL = 64
"""Connections to one server, opened as needed. A command takes a fraction of a millisecond, so few carry tens of
thousands a second; the others are for those that come together after either side has stalled."""
FAILURES = 5
"""So many failures in a row take a server out of service; deadlines, if they were missed for as long as one lasts. All
calls under way miss theirs together when either side stalls once."""
REVIVE_S = 2.0
BACKOFF_S = (0.2, 2.0)
CALM_S = 10.0
"""A server that was up for so long begins its backoff anew. One that falters again at once is tried less and less."""
SICK = frozenset({"LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS"})
"""Error replies that say that the server as a whole is of no use to us now."""

UNREADY, UP, OPEN = "unready", "up", "open"


class RedisUnavailable(Exception):
    """A command was not answered; ``reason`` is one of `REASONS`. ``code`` is that of an error reply, or ""."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class LinkBroken(Exception):
    """The connection failed, or what came over it is not the protocol."""


class Refused(Exception):
    """A whole error reply; the connection is in step. ``code`` is its first word, ``detail`` the rest."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class Log(Protocol):
    """What structlog's loggers do."""

    def info(self, event: str, **fields: Any) -> None: ...

    def warning(self, event: str, **fields: Any) -> None: ...


class Link(Protocol):
    """One connection. ``open`` and ``ask`` raise LinkBroken or Refused."""

    @property
    def usable(self) -> bool:
        """Open, and nothing has come that was not asked for."""

    async def open(self) -> None: ...

    async def ask(self, command: Command, until: float | None) -> Any:
        """The reply to a command. Raises TimeoutError when it is `until`, a time of the loop's."""

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""


class Node:
    """``state`` is unready (not reached so far), up, or open. Only `revive` makes it up."""

    def __init__(
        self,
        host: str,
        port: int,
        make: Callable[[str, str, int], Link],
        *,
        open_s: float,
        stall_s: float,
        changed: Callable[[Node, str], None],
    ) -> None:
        """`make(host, address, port)` gives a new connection; `open_s` bounds the opening of one, `stall_s` is the
        deadline of commands. `changed(node, why)` is told of each change of state, and of the first failure to reach
        a server.
        """
        self.host = host
        self.port = port
        self.state = UNREADY
        self.due = 0.0
        self.stale = False
        """Its name is to be looked up again: it says that it is not what it was."""
        self.refuses: set[str] = set()
        """What it would not do the last time: read, write."""
        self.seen = False
        """Whether it was looked at since it was reached: is it a cluster's?"""
        self._make = make
        self._open_s = open_s
        self._stall_s = stall_s
        self._changed = changed
        self._address = ""
        self._idle: list[Link] = []
        self._links: set[Link] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._lookup: asyncio.Task[list[str]] | None = None
        self._failures = 0
        self._failing_since = 0.0
        self._tries = 0
        self._since = 0.0
        self._told = False

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open or being opened; at most `POOL`, and one while it is being revived."""
        return len(self._links) + len(self._opening)

    # Commands.

    async def ask(self, command: Command, until: float | None, *, asking: bool = False) -> Any:
        """The reply to one command. Raises RedisUnavailable (busy), LinkBroken, Refused, and TimeoutError when it is
        `until`, a time of the loop's.

        `asking` says first that this is a redirection (Redis Cluster specification, "ASK redirection").
        """
        link = self._take()
        if link is None:
            async with asyncio.timeout_at(until):
                link = await self._open_one()
        try:
            if asking:
                await link.ask((b"ASKING",), until)
            reply = await link.ask(command, until)
        except Refused as refused:
            if refused.code in SICK:
                self._drop(link)
                self.fault(refused.code)
            else:
                self._keep(link)
                self._failures = 0
            raise
        except BaseException:
            self._drop(link)
            raise
        self._keep(link)
        self._failures = 0
        return reply

    def _take(self) -> Link | None:
        """A pooled connection, if there is one."""
        while self._idle:
            link = self._idle.pop()
            if link.usable:
                return link
            self._drop(link)
        return None

    async def _open_one(self) -> Link:
        """A new connection. A task of its own connects, so that a caller who has to leave does not throw away a
        handshake that is nearly done.
        """
        if self.connections >= POOL:
            raise RedisUnavailable("busy")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Link] = loop.create_future()
        self._opening.add(loop.create_task(self._open(waiter)))
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._keep(waiter.result())
            raise

    async def _open(self, waiter: asyncio.Future[Link]) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        link = self._make(self.host, self._address, self.port)
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._open_s):
                await link.open()
            self._links.add(link)
        except Refused as refused:
            failure = Refused(
                refused.code, refused.detail
            )  # a new one: the frames of the old would be kept in a circle
        except (LinkBroken, TimeoutError):
            failure = LinkBroken()
        finally:
            self._opening.discard(task)
            if link not in self._links:
                link.abort()
        if waiter.done():
            if failure is None:
                self._keep(link)
        elif failure is None:
            waiter.set_result(link)
        else:
            waiter.set_exception(failure)

    def _keep(self, link: Link) -> None:
        if self.state == UP and link in self._links and link.usable:
            self._idle.append(link)
        else:
            self._drop(link)

    def _drop(self, link: Link) -> None:
        self._links.discard(link)
        link.abort()

    # The breaker.

    def fault(self, why: str) -> None:
        """Count a failure: of the connection, by a deadline, or an error reply that is in `SICK`."""
        now = asyncio.get_running_loop().time()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        if self._failures >= FAILURES and (why != "timeout" or now - self._failing_since >= self._stall_s):
            self.trip(why)

    def trip(self, why: str) -> None:
        """Take it out of service until `revive` has reached it."""
        if self.state != UP:
            return
        if asyncio.get_running_loop().time() - self._since > CALM_S:
            self._tries = 0
        self.state = OPEN
        self._put_off()
        self._drop_idle()
        self._told = True
        self._changed(self, why)

    def _put_off(self) -> None:
        low, high = BACKOFF_S
        ceiling = min(high, low * 2 ** min(self._tries, 8))
        self._tries += 1
        self.due = asyncio.get_running_loop().time() + random.uniform(low, ceiling)

    async def revive(self) -> None:
        """One attempt to reach it, within `REVIVE_S`; raises nothing. The connection it was reached by is kept."""
        why = "timeout"
        link: Link | None = None
        try:
            async with asyncio.timeout(REVIVE_S):
                addresses = await self.resolve()
                for address in addresses:
                    try:
                        async with asyncio.timeout(REVIVE_S / len(addresses)):
                            link = await self._reach(address)
                        break
                    except (LinkBroken, TimeoutError) as error:
                        why = "timeout" if isinstance(error, TimeoutError) else "broken"
        except Refused as refused:
            why = refused.code if refused.code in SICK else "refused"
        except TimeoutError:
            pass
        except (OSError, UnicodeError):  # UnicodeError: a host name that no look-up can be made for
            why = "no address"
        if link is not None:
            self._links.add(link)
            self.state = UP
            self._failures = 0
            self._since = asyncio.get_running_loop().time()
            self._told = self.seen = False
            self.refuses.clear()
            self._keep(link)
            self._changed(self, "reached")
            return
        self._put_off()
        if not self._told:
            self._told = True
            self._changed(self, why)

    async def _reach(self, address: str) -> Link:
        """A new connection on which it has answered."""
        link = self._make(self.host, address, self.port)
        try:
            await link.open()
            if await link.ask((b"PING",), None) != b"PONG":
                raise LinkBroken
        except BaseException:
            link.abort()
            raise
        self._address = address
        return link

    async def resolve(self) -> list[str]:
        """Its addresses, at most four. Raises OSError, UnicodeError. Commands use the one it was reached at: they never
        wait for a name server. A look-up that hangs holds its thread, so there is one at a time.
        """
        self.stale = False
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            pass
        else:
            return [self.host]
        if self._lookup is None:
            self._lookup = asyncio.get_running_loop().create_task(self._look_up())
            self._lookup.add_done_callback(self._looked_up)
        return await asyncio.shield(self._lookup)

    async def refresh(self) -> None:
        """Look its name up again, and reach it anew if that leads elsewhere by now. Raises OSError, UnicodeError."""
        if self._address not in await self.resolve():
            self.trip("address changed")

    async def _look_up(self) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))[:4]

    def _looked_up(self, task: asyncio.Task[list[str]]) -> None:
        self._lookup = None
        if not task.cancelled():
            task.exception()  # seen, also where nobody waits for it any more

    def _drop_idle(self) -> None:
        while self._idle:
            self._drop(self._idle.pop())

    def retire(self) -> None:
        """It does not belong to the cluster now: keep nothing open to it."""
        self.state = UNREADY
        self._drop_idle()

    async def close(self) -> None:
        """Close every connection, those in use too."""
        self.state = UNREADY
        self._idle.clear()
        tasks = [*self._opening, *([self._lookup] if self._lookup else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._opening.clear()
        for link in list(self._links):
            self._drop(link)
