"""One connection to Redis that carries many commands at a time.

What is asked in one turn of the event loop goes out in one write, and a reply is that of the oldest command without
one. Who does not want a reply any more leaves its place behind, so that this is not taken for the next command's
(CVE-2023-28858).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from hiredis import pack_command

from edge.redis.resp import Refused, Reply, ReplyReader

__all__ = ["MAX_WAITING", "Command", "Link", "Owner", "Pipe", "RedisUnavailable", "pack"]

MAX_WAITING = 1024
"""Commands without a reply on one connection."""


def pack(*words: bytes | str | int) -> bytes:
    """A command as it goes out."""
    data: bytes = pack_command(words)  # type: ignore[arg-type]
    return data


class RedisUnavailable(Exception):
    """A command was not answered; ``reason`` is one of `REASONS`. ``code`` is that of an error reply, or ""."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Command:
    """A command in flight, and who waits for it: exactly one of ``replied`` and ``failed`` is called, once, and never
    before whoever asked has gone on. After ``cancel``, neither.

    ``data`` is what goes out; ``use`` is "read" for a GET, "write" for what is answered by a word or a number, or
    "probe"; ``until`` is its deadline on the loop's clock, ``moved`` says that it was redirected. ``took`` is told what
    became of it, "ok" or a reason, and how many seconds after it was `asked`; None for nobody.
    """

    __slots__ = ("_asked_at", "data", "live", "moved", "owner", "pipe", "took", "until", "use")

    def __init__(self, data: bytes, use: str) -> None:
        self.data = data
        self.use = use
        self.live = True
        self.moved = False
        self.until = 0.0
        self._asked_at = 0.0
        self.took: Callable[[str, str, float], None] | None = None
        self.owner: Owner | None = None
        self.pipe: Pipe | None = None

    def fits(self, reply: Reply) -> bool:
        """Whether it can be answered by this. Else it is another's reply, and the connection out of step."""
        return reply is None or (type(reply) is bytes) is (self.use == "read")

    def replied(self, reply: Reply) -> None:
        """It was carried out."""

    def failed(self, trouble: RedisUnavailable) -> None:
        """It was not, or that is not known."""

    def refused(self, owner: Owner, refused: Refused) -> None:
        """The server answered with an error."""
        owner.turned_down(self, refused)

    def asked(self, took: Callable[[str, str, float], None]) -> None:
        """It is about to go out."""
        self._asked_at, self.took = perf_counter(), took

    def answer(self, reply: Reply) -> None:
        """It was carried out: end it, and tell who waits."""
        self.end()
        if self.took is not None:
            self.took(self.use, "ok", perf_counter() - self._asked_at)
        self.replied(reply)

    def fail(self, trouble: RedisUnavailable) -> None:
        """It was not: the same."""
        self.end()
        if self.took is not None:
            self.took(self.use, trouble.reason, perf_counter() - self._asked_at)
        self.failed(trouble)

    def end(self) -> None:
        """Nothing is to be told to it any more."""
        self.live = False
        self.data = b""  # which may be long, while its clock still runs

    def cancel(self) -> None:
        """Nobody waits for it any more. Whether it is carried out is not known."""
        self.end()
        if self.pipe is not None and self.pipe.retired:
            self.pipe.tidy()


class Owner(Protocol):
    """Whose connection it is; a Node."""

    def replied(self, pipe: Pipe, command: Command, reply: Reply | Refused) -> None: ...

    def turned_down(self, command: Command, refused: Refused) -> None: ...

    def missed(self, command: Command) -> None:
        """It was not answered by its deadline."""

    def lost(self, pipe: Pipe, sent: list[Command], unsent: list[Command]) -> None:
        """It is closed. The replies to `sent` will not come; `unsent` has not gone out."""


class Link(Protocol):
    """What opens a connection. ``open`` raises LinkBroken or Refused."""

    async def open(self) -> asyncio.Transport: ...

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""


class Pipe(asyncio.Protocol):
    """``retired``: it takes no more commands, and closes when nobody waits for a reply."""

    def __init__(self, link: Link, transport: asyncio.Transport, owner: Owner) -> None:
        self._link = link
        self._transport = transport
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._unsent: list[Command] = []
        self._sent: deque[Command] = deque()
        self.open = True
        self.retired = False

    @property
    def usable(self) -> bool:
        return self.open and not self.retired and not self._transport.is_closing()

    @property
    def waiting(self) -> int:
        return len(self._unsent) + len(self._sent)

    def send(self, *commands: Command) -> None:
        """Have commands sent, one directly after the other."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        for command in commands:
            command.pipe = self
            self._unsent.append(command)

    def _flush(self) -> None:
        # One that was given up in the turn it was asked in does not go out, and no reply is to be awaited for it.
        unsent, self._unsent = [command for command in self._unsent if command.live], []
        if unsent and self.open:
            # Only now: what comes before a command went out is no reply to it.
            self._sent.extend(unsent)
            self._transport.write(unsent[0].data if len(unsent) == 1 else b"".join([each.data for each in unsent]))

    def data_received(self, data: bytes) -> None:
        for reply in self._reader.feed(data):
            if not self._sent:
                self.close()  # what nobody waits for must not be the next one's reply
            if not self.open:
                return
            command = self._sent.popleft()
            if command.live:
                try:
                    self._owner.replied(self, command, reply)
                except Exception as error:  # noqa: BLE001 - who was told; the other replies are others'
                    self._loop.call_exception_handler({"message": "a reply of Redis", "exception": error})
        if self._reader.broken or (not self._sent and not self._reader.between):
            self.close()
        if self.retired:
            self.tidy()

    def eof_received(self) -> bool:
        self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    def close(self) -> None:
        """At once: no reply is to come any more."""
        if self.open:
            sent, unsent = list(self._sent), list(self._unsent)
            self.abort()
            self._owner.lost(self, sent, unsent)

    def retire(self) -> None:
        self.retired = True
        self.tidy()

    def tidy(self) -> None:
        """Close it if nobody waits for what may still come."""
        if not any(command.live for command in (*self._sent, *self._unsent)):
            self.close()

    def abort(self) -> None:
        self.open = False
        self._sent.clear()
        self._unsent.clear()
        self._link.abort()
