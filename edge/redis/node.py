"""One Redis server as we see it: the connection to it, and whether it is worth asking.

A connection on which a command missed its deadline takes no more; it lasts for those that are still in time. Where one
was lost, the next command has another opened, and waits for it as for a reply.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections.abc import Callable
from typing import Any, Protocol

from edge.redis.pipe import MAX_WAITING, Command, Link, Owner, Pipe, RedisUnavailable, pack
from edge.redis.resp import LinkBroken, Refused, Reply

__all__ = ["REASONS", "Awaited", "Log", "Node"]

REASONS = ("unready", "open", "timeout", "busy", "error")
"""Why a command was not answered: never reached a usable server, its server's breaker is open, the deadline passed,
too many were in flight, or the server or the network failed."""

FAILURES = 5
"""So many failures in a row take a server out of service; deadlines, if they were missed for as long as one lasts. All
calls in flight miss theirs together when either side stalls once."""
REVIVE_S = 2.0
BACKOFF_S = (0.2, 2.0)
CALM_S = 10.0
"""A server that was up for so long begins its backoff anew. One that falters again at once is tried less and less."""
SICK = frozenset({"LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS"})
"""Error replies that say that the server as a whole is of no use to us now."""

UNREADY, UP, OPEN = "unready", "up", "open"
PING, ASKING = pack("PING"), pack("ASKING")


class Log(Protocol):
    """What structlog's loggers do."""

    def info(self, event: str, **fields: Any) -> None: ...

    def warning(self, event: str, **fields: Any) -> None: ...


class Node:
    """``state`` is unready (not reached so far), up, or open. Only `revive` makes it up."""

    def __init__(
        self,
        host: str,
        port: int,
        make: Callable[[str, str, int], Link],
        changed: Callable[[Node, str], None],
        refused: Callable[[Node, Command, Refused], None],
        *,
        open_s: float,
        stall_s: float,
    ) -> None:
        """`make(host, address, port)` gives a new connection; `open_s` bounds the opening of one, `stall_s` is the
        deadline of commands. `changed(node, why)` is told of each change of state, and of the first failure to reach
        a server; `refused` of an error reply, by which the command has not ended.
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
        self._refused = refused
        self._address = ""
        self._pipe: Pipe | None = None
        self._pipes: set[Pipe] = set()
        self._waiting: list[Command] = []
        self._opening: asyncio.Task[None] | None = None
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
        """How many are open or being opened: one, and those whose last replies are still in time."""
        return len(self._pipes) + (self._opening is not None)

    # Commands.

    def send(self, command: Command, *, asking: bool = False) -> str:
        """Have a command carried out; "", or one of `REASONS` why not. A connection that was lost is opened again, and
        what is asked meanwhile waits for that. `asking` says first that this is a redirection (Redis Cluster
        specification, "ASK redirection").
        """
        command.owner = self
        pipe = self._pipe
        commands = [Command(ASKING, "probe"), command] if asking else [command]
        if pipe is not None and pipe.usable:
            if pipe.waiting >= MAX_WAITING:
                return "busy"
            pipe.send(*commands)
            return ""
        if self.state != UP:
            return self.state
        if len(self._waiting) >= MAX_WAITING:
            return "busy"
        self._waiting += commands
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._reopen())
        return ""

    async def ask(self, *words: bytes) -> Reply:
        """What a server itself answers, for the probe. Raises RedisUnavailable, and Refused as it comes."""
        inquiry = (Ping if words == (b"PING",) else Inquiry)(pack(*words), "probe")
        if reason := self.send(inquiry):
            raise RedisUnavailable(reason)
        return await inquiry.reply()

    async def _reopen(self) -> None:
        try:
            async with asyncio.timeout(self._open_s):
                pipe = self._pipe = await self._reach(self._address)
        except Refused as refused:
            self._fail(RedisUnavailable("error", refused.code if refused.code in SICK else ""))
            self.fault(refused.code if refused.code in SICK else "refused")
        except (LinkBroken, TimeoutError):
            self._fail(RedisUnavailable("error"))
            self.fault("broken")
        else:
            waiting, self._waiting = [each for each in self._waiting if each.live], []
            if waiting:
                pipe.send(*waiting)
        finally:
            self._opening = None

    def _fail(self, trouble: RedisUnavailable) -> None:
        """Whoever waits for a connection gets none."""
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            _tell(command, trouble)

    # What a connection tells.

    def replied(self, pipe: Pipe, command: Command, reply: Reply | Refused) -> None:
        if not isinstance(reply, Refused):
            if not command.fits(reply):
                pipe.close()  # another's: it is out of step
                _tell(command, RedisUnavailable("error"))
                self.fault("out of step")
                return
            if command.use != "probe":
                self._failures = 0
            if self.refuses:
                self.refuses.discard(command.use)
            command.answer(reply)
            return
        if reply.code in SICK:
            pipe.retire()
            self.fault(reply.code)
        else:
            self._failures = 0
        command.refused(self, reply)

    def turned_down(self, command: Command, refused: Refused) -> None:
        self._refused(self, command, refused)

    def lost(self, pipe: Pipe, sent: list[Command], unsent: list[Command]) -> None:
        self._pipes.discard(pipe)
        current = self._pipe is pipe
        if current:
            self._pipe = None
        sent = [command for command in sent if command.live]
        for command in sent:
            _tell(command, RedisUnavailable("error"))
        if sent and current:
            self.fault("broken")
        for command in unsent:
            if command.live and (reason := self.send(command)):
                _tell(command, RedisUnavailable(reason))

    def missed(self, command: Command) -> None:
        """A command was not answered by its deadline: nothing more is asked where that happened."""
        if command.pipe is not None and command.pipe.open:
            command.pipe.retire()
        self.fault("timeout")

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
        self._leave()
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
        pipe: Pipe | None = None
        try:
            async with asyncio.timeout(REVIVE_S):
                addresses = await self.resolve()
                for address in addresses:
                    try:
                        async with asyncio.timeout(REVIVE_S / len(addresses)):
                            pipe = await self._reach(address)
                        break
                    except (LinkBroken, TimeoutError) as error:
                        why = "timeout" if isinstance(error, TimeoutError) else "broken"
        except Refused as refused:
            why = refused.code if refused.code in SICK else "refused"
        except TimeoutError:
            pass
        except (OSError, UnicodeError):  # UnicodeError: a host name that no look-up can be made for
            why = "no address"
        if pipe is not None:
            self.state = UP
            self._failures = 0
            self._since = asyncio.get_running_loop().time()
            self._told = self.seen = False
            self.refuses.clear()
            self._pipe = pipe
            self._changed(self, "reached")
            return
        self._put_off()
        if not self._told:
            self._told = True
            self._changed(self, why)

    async def _reach(self, address: str) -> Pipe:
        """A new connection on which it has answered."""
        link = self._make(self.host, address, self.port)
        pipe: Pipe | None = None
        try:
            transport = await link.open()
            pipe = Pipe(link, transport, self)
            self._pipes.add(pipe)
            transport.set_protocol(pipe)
            ping = Ping(PING, "probe")
            pipe.send(ping)
            await ping.reply()
        except BaseException as error:
            if pipe is not None:
                pipe.abort()
                self._pipes.discard(pipe)
            link.abort()
            if isinstance(error, RedisUnavailable):
                raise LinkBroken from None
            raise
        self._address = address
        return pipe

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

    def retire(self) -> None:
        """It does not belong to the cluster now: keep nothing open to it."""
        self.state = UNREADY
        self._leave()

    def _leave(self) -> None:
        """Ask nothing more. What was asked may still be answered."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.retire()
        if self._opening is not None:
            self._opening.cancel()
        self._fail(RedisUnavailable(self.state))

    async def close(self) -> None:
        """Close every connection; commands in flight fail."""
        self.state = UNREADY
        self._leave()
        tasks = [task for task in (self._opening, self._lookup) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pipe in list(self._pipes):
            pipe.close()


class Awaited(Command):
    """A command that a coroutine waits for."""

    __slots__ = ("_answer",)

    def __init__(self, data: bytes, use: str) -> None:
        super().__init__(data, use)
        self._answer: asyncio.Future[Reply | Exception] = asyncio.get_running_loop().create_future()

    def replied(self, reply: Reply | Exception) -> None:
        if not self._answer.done():
            self._answer.set_result(reply)

    def failed(self, trouble: RedisUnavailable) -> None:
        self.replied(trouble)

    async def reply(self) -> Reply:
        """Raises RedisUnavailable."""
        try:
            answer = await self._answer
        finally:
            self.cancel()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Inquiry(Awaited):
    """One of the probe's. ``reply`` raises Refused too, as it comes."""

    __slots__ = ()

    def fits(self, reply: Reply) -> bool:
        return type(reply) is bytes

    def refused(self, owner: Owner, refused: Refused) -> None:
        self.end()
        self.replied(refused)


class Ping(Inquiry):
    __slots__ = ()

    def fits(self, reply: Reply) -> bool:
        return reply == b"PONG"


def _tell(command: Command, trouble: RedisUnavailable) -> None:
    if command.live:
        command.fail(trouble)
