"""Conversations that are kept in Redis, for responses whose providers keep none: what was said, and whose turn it is.

Each is one hash there. ``v`` is all of it, hidden as `edge.strongbox` does it; ``turn`` is a number of the response
that is being made in it, and ``until`` when nobody waits for that any more, in milliseconds of Redis's clock. So none
goes on without what was said last: who comes meanwhile is told that it is taken, in the words after which OpenAI's
clients ask again. What is changed is put back only where nobody else has changed it meanwhile; else that is done again.

Shapes: openai-python 3.57, ``types/conversations/*.py``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edge.call import Call
from edge.clock import perf_counter
from edge.conversations import AGAIN_S, COPIES, UNREAD, Conversations, Look, tenant_of
from edge.errors import UNREADABLE, EdgeError, InvalidRequest, Overloaded, RequestTooLarge
from edge.redis.pipe import Command, RedisUnavailable, pack
from edge.redis.resp import Reply
from edge.state import HELD_S
from edge.strongbox import TAG, Strongbox, strongbox_of

__all__ = ["TOO_LARGE", "Change", "Conversation", "Item", "Place", "Turn", "delete", "is_sent", "no_conversation"]
__all__ += ["place_of", "release"]

KIND = b"conversation"
TAKEN = b"!"
TAKE = b"""
local there = redis.call('HMGET', KEYS[1], 'v', 'until')
if not there[1] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if there[2] and tonumber(there[2]) > now then return '!' end
redis.call('HSET', KEYS[1], 'turn', ARGV[1], 'until', now + ARGV[2])
return there[1]"""
"""Somebody's turn begins, for so many milliseconds at most."""
READ = b"""
local there = redis.call('HMGET', KEYS[1], 'v', 'until')
if not there[1] then return false end
local time = redis.call('TIME')
local taken = there[2] and tonumber(there[2]) > time[1] * 1000 + math.floor(time[2] / 1000)
return (taken and '!' or '-') .. there[1]"""
"""What was said, behind `TAKEN` while somebody has a turn."""
RELEASE = b"""
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'turn', 'until')"""
PUT = b"""
if ARGV[1] ~= '' then
  local there = redis.call('HGET', KEYS[1], 'v')
  if not there then return -1 end
  if string.sub(there, 1, 16) ~= ARGV[1] then return 0 end
end
redis.call('HSET', KEYS[1], 'v', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if redis.call('HGET', KEYS[1], 'turn') == ARGV[4] then redis.call('HDEL', KEYS[1], 'turn', 'until') end
return 1"""
"""In place of what has the tag that is given, of nothing where none is; whose turn it was has had it."""
MOST_TIMES = 32
"""A change is tried so often: of those who change a conversation at a time, one is through with each."""
TOO_LARGE = "With this, the conversation is larger than the {} bytes that are kept of one ('responses.max_bytes')."
UNSURE = "Whether the conversation was changed is not known: look at it before you ask again."
LOCKED = "Another process is currently operating on this conversation. Please retry in a few seconds."


class Item(msgspec.Struct):
    """What was ``said``, as it was, and the id by which it is asked for."""

    id: str
    said: msgspec.Raw


class Conversation(msgspec.Struct):
    created_at: int
    metadata: dict[str, str]
    items: list[Item]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Conversation).decode
Told = Callable[[Conversation | None, EdgeError | None], None]
"""Is told of a conversation as it is, None and why for none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation is kept, for how long since it was changed, and how large it may be; ``most`` bytes may be
    held in memory.
    """

    named: str
    place: bytes
    box: Strongbox
    ttl_ms: int
    max_bytes: int
    most: int


def place_of(call: Call, named: str) -> Place:
    """That of a conversation of the call's tenant."""
    box, settings = strongbox_of(call.state.salt), call.state.settings.responses
    sizes = max(1, int(settings.ttl_s * 1000)), settings.max_bytes, call.state.max_buffered_bytes
    return Place(named, box.place(tenant_of(call), named), box, *sizes)


def no_conversation(named: str, param: str = "conversation_id") -> InvalidRequest:
    """The error for one that is not there."""
    return InvalidRequest(f"Conversation with id '{named}' not found.", status=404, param=param)


class Turn(Look):
    """A response of a conversation takes its turn: `told` gets what was said, and nobody else has a turn until that is
    over, by `Change` or `release`.
    """

    def __init__(self, store: Conversations, call: Call, named: str, told: Told) -> None:
        super().__init__(store, call, named)
        self.number = os.urandom(8).hex().encode()
        self._at = place_of(call, named)
        self._told = told
        self._hold_ms = int((call.state.resilience.total_s + HELD_S) * 1000)

    def cancel(self) -> None:
        if not self._over:
            release(self._store, self._at, self.number)  # behind what was asked, on the same way
        super().cancel()

    def _ask(self, last: bool) -> Command | None:
        key = self._store.key(KIND, self._at.place)
        return self._store.send(pack(b"EVAL", TAKE, 1, key, self.number, self._hold_ms), "read", key, self._replied)

    def _unsure(self, reply: Reply) -> bool:
        return (
            reply == TAKEN
        )  # who had the turn may have told its client already, and is about to put down what was said

    def _found(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        if trouble is not None:
            self._tell("unavailable", None, Overloaded(UNREAD))
        elif reply == TAKEN:
            self._tell("taken", None, InvalidRequest(LOCKED, param="conversation", code="conversation_locked"))
        elif not isinstance(reply, bytes):
            self._tell("miss", None, no_conversation(self._at.named, "conversation"))
        else:
            self._store.open(self._call, self._box, self._place, reply, self._opened)

    def _opened(self, text: bytes | None, error: Overloaded | None) -> None:
        found = read(text)
        if error is not None:
            self._tell("overloaded", None, error)
        elif found is None:
            self._tell("unsound", None, no_conversation(self._at.named, "conversation"))
        else:
            self._tell("ok", found, None)

    def _tell(self, result: str, found: Conversation | None, error: EdgeError | None) -> None:
        if self._ends("turn", result):
            if error is not None:
                release(self._store, self._at, self.number)
            self._told(found, error)


def release(store: Conversations, at: Place, number: bytes) -> None:
    """A turn is over, and nothing has come of it."""
    key = store.key(KIND, at.place)
    store.send(pack(b"EVAL", RELEASE, 1, key, number), "write", key, lambda _reply, _trouble: None)


def delete(store: Conversations, at: Place, told: Callable[[int | None], None]) -> Command | None:
    """`told` is told how many there were, None where that is not known; None where nobody can be asked now."""

    def replied(reply: Reply, trouble: RedisUnavailable | None) -> None:
        known = trouble is None and isinstance(reply, int)
        store.count("delete", "unavailable" if not known else "ok" if reply else "miss")
        told(reply if known and isinstance(reply, int) else None)

    key = store.key(KIND, at.place)
    command = store.send(pack(b"DEL", key), "write", key, replied)
    if command is None:
        store.count("delete", "unavailable")
    return command


class Change:
    """A conversation is read, and put back where `change` says that it has changed it, which may raise InvalidRequest.
    With that, the turn of that `number` is over; who has none waits a moment for who has, since a client that was told
    of its response expects what was said in it. `told` is told how it is now, unless it is cancelled before.
    """

    def __init__(
        self, store: Conversations, at: Place, change: Callable[[Conversation], bool], told: Told, number: bytes = b""
    ) -> None:
        self._store, self._at, self._change, self._told, self._number = store, at, change, told, number
        self._key = store.key(KIND, at.place)
        self._left, self._lent, self._over = MOST_TIMES, 0, False
        self._looks = len(AGAIN_S) if number else 0
        self._timer: asyncio.TimerHandle | None = None
        self._found: Conversation | None = None
        self._tag = b""
        self._command: Command | None = None
        self.since = perf_counter()

    def start(self) -> None:
        """Tells nothing before this has returned."""
        self._timer = None
        self._send(pack(b"EVAL", READ, 1, self._key), "read", self._read)

    def make(self, made: Conversation) -> None:
        """Put a new one there, at a place of its own. May tell at once."""
        self._found = made
        self._write(made)

    def cancel(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._command is not None:
            self._command.cancel()
        self._let_go()

    def _send(self, data: bytes, use: str, replied: Callable[[Reply, RedisUnavailable | None], None]) -> None:
        self._command = self._store.send(data, use, self._key, replied)
        if self._command is None:
            asyncio.get_running_loop().call_soon(replied, None, RedisUnavailable("unready"))

    def _read(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        self._command = None
        if self._over:
            return
        if trouble is not None:
            self._end("unavailable", Overloaded(UNREAD))
        elif not isinstance(reply, bytes):
            self._end("miss", no_conversation(self._at.named))
        elif reply.startswith(TAKEN) and self._looks < len(AGAIN_S):
            self._timer = asyncio.get_running_loop().call_later(AGAIN_S[self._looks], self.start)
            self._looks += 1
        elif not self._lend(2 * COPIES * len(reply)):
            self._end("overloaded", Overloaded(UNREAD))
        else:
            hidden = reply[1:]
            self._tag = hidden[:TAG]
            self._store.work(self._at.box.open(self._at.place, hidden), self._opened, len(hidden))

    def _opened(self, text: bytes | None) -> None:
        if self._over:
            return
        found = self._found = read(text)
        if found is None:
            self._end("unsound", no_conversation(self._at.named))
            return
        try:
            if not self._change(found):
                self._end("ok", None)
                return
        except InvalidRequest as error:
            self._end("miss", error)
            return
        self._write(found)

    def _write(self, changed: Conversation) -> None:
        record = _encode(changed)
        if len(record) > self._at.max_bytes:
            self._end("too_large", RequestTooLarge(TOO_LARGE.format(self._at.max_bytes)))
            return
        self._store.work(self._at.box.close(self._at.place, record), self._hidden, len(record))

    def _hidden(self, data: bytes | None) -> None:
        if self._over:
            return
        if data is None:
            self._end("error", Overloaded(UNREAD))
            return
        words = (PUT, 1, self._key, self._tag, data, self._at.ttl_ms, self._number or b"-")
        self._send(pack(b"EVAL", *words), "write", self._put)

    def _put(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        self._command = None
        if self._over:
            return
        self._left -= 1
        if trouble is not None and self._tag and is_sent(trouble):
            # An SDK would ask again by itself, and items would be there twice.
            self._end("unavailable", Overloaded(UNSURE, headers=[(b"x-should-retry", b"false")]))
        elif trouble is not None or (reply == 0 and not self._left):
            self._end("unavailable", Overloaded(UNREAD))
        elif reply == 0:
            self._let_go()
            self.start()
        else:
            self._end("ok" if reply == 1 else "miss", None if reply == 1 else no_conversation(self._at.named))

    def _lend(self, size: int) -> bool:
        lent = self._store.buffers.lend(size, self._at.most)
        self._lent += size if lent else 0
        return lent

    def _let_go(self) -> None:
        self._store.buffers.give_back(self._lent)
        self._lent = 0

    def _end(self, result: str, error: EdgeError | None) -> None:
        self._over = True
        self._store.count("change", result)
        self._let_go()
        if error is not None and self._number:
            release(self._store, self._at, self._number)
        self._told(self._found if error is None else None, error)


def is_sent(trouble: RedisUnavailable) -> bool:
    """Whether a command that was not answered may have been carried out."""
    return trouble.reason == "timeout" or (trouble.reason == "error" and not trouble.code)


def read(text: bytes | None) -> Conversation | None:
    """What was kept, None for what is none."""
    try:
        return _decode(text) if text is not None else None
    except UNREADABLE:
        return None
