"""What is kept in Redis, so that a conversation goes on where its provider keeps nothing: Anthropic's API, chat
completions. Here it is responses, which the next request names as ``previous_response_id``.

Each is kept with all of the conversation before it, so going on takes one look, and none is lost with another. Places
tell nothing, what is kept is encrypted, and both are bound to the tenant (`edge.strongbox`). Trouble with Redis is an
error for who goes on with something, and a counter for who had something kept: a conversation is never another one, nor
a part of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from edge.call import Call
from edge.clock import perf_counter
from edge.config import Redis
from edge.errors import UNREADABLE, EdgeError, Overloaded
from edge.hooks import Meter
from edge.redis.pipe import Command, RedisUnavailable, pack
from edge.redis.resp import Reply
from edge.slices import LARGE, Slices, Steps, Work, finished
from edge.strongbox import Strongbox, strongbox_of
from edge.upstreams.desk import Buffers

if TYPE_CHECKING:
    from edge.redis.client import RedisClient

__all__ = ["Conversations", "Deleting", "Kept", "Looking", "tenant_of"]

KIND = b"response"
AGAIN_S = (0.1, 0.4)
"""One that was just made may still be on its way to Redis, from another worker: it is looked for again after these."""
GONE = b"-"
"""What stands for a while where one was to be deleted that was not there: it may be on its way, and is put nowhere."""
GONE_S = 60.0
"""Longer than anything is on its way."""
DELETE = b"""
if redis.call('STRLEN', KEYS[1]) > 1 then return redis.call('DEL', KEYS[1]) end
if ARGV[1] ~= '0' then redis.call('SET', KEYS[1], '-', 'PX', ARGV[1]) end
return 0"""
MOST_LOOKS, LOOK_S = 200, 0.005
"""How often an end looks whether anything is still under way, and how many seconds are between two looks."""
COPIES = 2
"""Of what is kept, as long as it is on its way: as it is, and as it is hidden."""
UNREAD = "What this request goes on with cannot be read at the moment; ask again."


class Kept(msgspec.Struct):
    """``items`` are the whole input, ``response`` is what came of it."""

    items: msgspec.Raw
    response: msgspec.Raw


_kept = msgspec.json.Decoder(Kept).decode
Replied = Callable[[Reply, RedisUnavailable | None], None]
Told = Callable[["Kept | None", "EdgeError | None"], None]
"""Is told what is kept, None for nothing; or why that is not known."""
Opened = Callable[["bytes | None", "Overloaded | None"], None]
"""Is told what something reads, None for what was never put there; or that no more can be held."""


class _Ask(Command):
    """One of those that are `asked`, until it is over."""

    __slots__ = ("_asked", "_told")

    def __init__(self, data: bytes, use: str, told: Replied, asked: set[Command]) -> None:
        super().__init__(data, use)
        self._told = told
        self._asked = asked

    def replied(self, reply: Reply) -> None:
        self._told(reply, None)

    def failed(self, trouble: RedisUnavailable) -> None:
        self._told(None, trouble)

    def end(self) -> None:
        super().end()
        self._asked.discard(self)


class Conversations:
    """Of one worker. ``buffers`` counts what that holds."""

    def __init__(self, meter: Meter, buffers: Buffers) -> None:
        self._meter = meter
        self.buffers = buffers
        self._slices = Slices()
        self._asked: set[Command] = set()
        self._client: RedisClient | None = None
        self._prefix = b""

    async def share(self, client: RedisClient | None, settings: Redis | None) -> None:
        """From now on by this client, or by none, once what is under way is put down, for a second at most: who has
        been told of a response goes on with it at another worker.
        """
        if client is None:
            for _ in range(MOST_LOOKS):
                if not self._asked and not self._slices.busy:
                    break
                await asyncio.sleep(LOOK_S)
        self._client = client
        self._prefix = settings.prefix.encode() if settings is not None else b""

    def put(self, call: Call, named: str, record: bytes) -> None:
        """Keep what has come of a call, under the name that its client knows it by."""
        if len(record) > call.state.settings.responses.max_bytes:
            self.count("put", "too_large")
            return
        size = COPIES * len(record)
        if not self.buffers.lend(size, call.state.max_buffered_bytes):
            self.count("put", "overloaded")
            return
        box = strongbox_of(call.state.salt)
        place = box.place(tenant_of(call), named)
        hidden = partial(self._hidden, place, call.state.settings.responses.ttl_s, size)
        work = Work(box.close(place, record))
        if len(record) <= LARGE:
            while not work.step():
                pass
            hidden(work, None)
        else:
            self._slices.add(work.step, partial(hidden, work))

    def _hidden(self, place: bytes, ttl_s: float, size: int, work: Work[bytes], error: Exception | None) -> None:
        if error is not None:
            self._was_put(size, "error")
            return
        # Where there is something already, it was deleted in the meantime: no id is used twice.
        key = self.key(KIND, place)
        data = pack(b"SET", key, work.result, b"PX", max(1, int(ttl_s * 1000)), b"NX")
        if self.send(data, "write", key, partial(self._told, size)) is None:
            self._was_put(size, "unavailable")

    def _told(self, size: int, reply: Reply, trouble: RedisUnavailable | None) -> None:
        result = "ok" if reply == b"OK" else "deleted" if reply is None else "error"
        self._was_put(size, result if trouble is None else "unavailable")

    def _was_put(self, size: int, result: str) -> None:
        self.buffers.give_back(size)
        self.count("put", result)

    # What is asked of Redis.

    def send(self, data: bytes, use: str, key: bytes, told: Replied) -> Command | None:
        """Ask for something about a key. None where nobody can be asked now, and nothing is told."""
        command = _Ask(data, use, told, self._asked)
        if self._client is None or self._client.send(command, key):
            return None
        self._asked.add(command)
        return command

    def get(self, place: bytes, told: Replied) -> Command | None:
        """What is kept there."""
        key = self.key(KIND, place)
        return self.send(pack(b"GET", key), "read", key, told)

    def delete(self, place: bytes, told: Replied, *, last: bool) -> Command | None:
        """The reply is how many there were; `last`: where there was none, none is put there any more."""
        gone_ms, key = int(GONE_S * 1000) if last else 0, self.key(KIND, place)
        return self.send(pack(b"EVAL", DELETE, 1, key, gone_ms), "write", key, told)

    def hold(self, call: Call, size: int) -> None:
        """So many bytes more for a call. Raises Overloaded."""
        self.buffers.hold(call, size)

    def open(self, call: Call, box: Strongbox, place: bytes, hidden: bytes, opened: Opened) -> None:
        """What is hidden at a place is opened for a call, which holds it from now on, as it is and as it reads."""
        try:
            self.hold(call, COPIES * len(hidden))
        except Overloaded as error:
            opened(None, error)
            return
        self.work(box.open(place, hidden), lambda text: opened(text, None), len(hidden))

    def work(self, steps: Steps[bytes | None], done: Callable[[bytes | None], None], size: int) -> None:
        """Do what takes long a step at a time."""
        if size <= LARGE:
            done(finished(steps))
            return
        work = Work(steps)
        self._slices.add(work.step, lambda error: done(None if error is not None else work.result))

    def count(self, operation: str, result: str) -> None:
        self._meter.count("edge_kept_responses_total", operation, result)

    def key(self, kind: bytes, place: bytes) -> bytes:
        """The name of what is kept of a kind at a place."""
        return b"%b:%b:%b" % (self._prefix, kind, place)


class Look:
    """At a place, and again where what is looked for may be on its way there; until it is told or cancelled."""

    def __init__(self, store: Conversations, call: Call, name: str) -> None:
        self._store = store
        self._call = call
        self._box: Strongbox = strongbox_of(call.state.salt)
        self._place = self._box.place(tenant_of(call), name)
        self._looks = 0
        self._over = False
        self._command: Command | None = None
        self._since = perf_counter()
        # Whoever makes it holds it before it tells anything.
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(0, self._look)

    def cancel(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._command is not None:
            self._command.cancel()

    def _look(self) -> None:
        self._timer = None
        self._command = self._ask(self._looks == len(AGAIN_S))
        if self._command is None:
            self._replied(None, RedisUnavailable("unready"))

    def _ask(self, last: bool) -> Command | None:
        """None where nobody can be asked now."""
        raise NotImplementedError

    def _replied(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        self._command = None
        if self._over:
            return
        if trouble is None and self._looks < len(AGAIN_S) and self._unsure(reply):
            self._timer = asyncio.get_running_loop().call_later(AGAIN_S[self._looks], self._look)
            self._looks += 1
        else:
            self._found(reply, trouble)

    def _unsure(self, reply: Reply) -> bool:
        """Whether it may be another a little later."""
        return not reply

    def _found(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        raise NotImplementedError

    def _ends(self, operation: str, result: str) -> bool:
        """Whether anybody is to be told; once."""
        if self._over:
            return False
        self._over = True
        self._store.count(operation, result)
        if not self._call.settled:
            self._call.ledger.waited(self._since)
        return True


class Looking(Look):
    """For what is kept."""

    def __init__(self, store: Conversations, call: Call, name: str, told: Told) -> None:
        super().__init__(store, call, name)
        self._told = told

    def _ask(self, last: bool) -> Command | None:
        return self._store.get(self._place, self._replied)

    def _found(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        if trouble is not None:
            self._tell("unavailable", None, Overloaded(UNREAD))
        elif not isinstance(reply, bytes) or reply == GONE:
            self._tell("miss", None, None)
        else:
            self._store.open(self._call, self._box, self._place, reply, self._opened)

    def _opened(self, text: bytes | None, error: Overloaded | None) -> None:
        try:
            kept = _kept(text) if text is not None else None
        except UNREADABLE:
            kept = None
        self._tell("overloaded" if error is not None else "unsound" if kept is None else "ok", kept, error)

    def _tell(self, result: str, kept: Kept | None, error: EdgeError | None) -> None:
        if self._ends("get", result):
            self._told(kept, error)


class Deleting(Look):
    """What is kept, or on its way there: `told` is told how many there were, None where that is not known."""

    def __init__(self, store: Conversations, call: Call, name: str, told: Callable[[int | None], None]) -> None:
        super().__init__(store, call, name)
        self._told = told

    def _ask(self, last: bool) -> Command | None:
        return self._store.delete(self._place, self._replied, last=last)

    def _found(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        known = trouble is None and isinstance(reply, int)
        if self._ends("delete", "unavailable" if not known else "ok" if reply else "miss"):
            self._told(reply if known and isinstance(reply, int) else None)


def tenant_of(call: Call) -> str:
    """Whose it is: the tenant's, or the key's where that has none."""
    return call.key.tenant or call.key.id
