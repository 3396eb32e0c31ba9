"""Tokens and money that several machines count together, in Redis or a Redis Cluster.

Each quota is four keys with one hash tag, so that one script reads and changes them in one step wherever they are: the
theoretical arrival time of its tokens (GCRA, in microseconds of the server's clock), what was spent in the period, what
is reserved, and by whom until when. A reservation that nobody settles expires. Settling takes it out, so that what is
sent twice counts once; what cannot be sent now is sent when Redis is back. Money whose reservation is no longer there
(Redis' clock was set forward, or it has lost its data) counts where it is settled for the first time.

Keys are made of fingerprints: they name no key, tenant or model.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.config import Redis
from edge.guard.quotas import DAY_S, Quota
from edge.redis.pipe import Command, RedisUnavailable, pack
from edge.redis.resp import Reply

if TYPE_CHECKING:
    from edge.redis.client import RedisClient

__all__ = ["SharedQuotas", "Taken", "Told"]

MAX_PENDING = 10_000
"""Settlements that wait for Redis to be back. What is beyond is lost there, but not in this machine's own count."""
RESENT = 200
FLUSH_S = 1.0
"""At the end, as for what the cache has still to write."""
SEEN_MS = 5000
"""Machines that were there in this time share what is left when Redis is gone."""
KEPT_MS = 3_600_000
ONCE_MS = 900_000
"""So long what was used without being reserved there is known by its name, so that what is sent twice counts once."""

KEEP = b"""
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end
"""
"""What is kept for others, who may need it for longer, is never kept for a shorter time."""
TAKE = (
    KEEP
    + b"""
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local gone = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 100)
for _, each in ipairs(gone) do
  redis.call('ZREM', KEYS[4], each)
  redis.call('DECRBY', KEYS[3], string.match(each, ':(%d+)$'))
end
local wanted, rate, cost, budget = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local tat = 0
if rate > 0 then
  tat = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
  tat = math.min(tat, now + 3660000000) + wanted * 60000000 / rate
  local wait = tat - now - 60000000
  if wait > 0 then return 'tokens ' .. string.format('%.0f', math.ceil(wait)) end
end
local total = 0
if budget >= 0 then
  local spent = tonumber(redis.call('GET', KEYS[2]) or '0')
  local held = tonumber(redis.call('GET', KEYS[3]) or '0')
  total = spent + math.max(0, held) + cost
  if spent >= budget or spent + cost > budget then return 'budget ' .. string.format('%.0f', spent) end
  if total > budget then return 'crowded ' .. string.format('%.0f', spent) end
  if held < 0 then redis.call('SET', KEYS[3], '0') end
  redis.call('INCRBY', KEYS[3], ARGV[4])
  keep(KEYS[3], ARGV[6] + 60000)
end
redis.call('ZADD', KEYS[4], now + ARGV[6] * 1000, ARGV[1])
keep(KEYS[4], ARGV[6] + 60000)
if rate > 0 then redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', 3720000) end
local left = rate > 0 and math.floor((now + 60000000 - tat) * rate / 60000000) or 0
return 'taken ' .. string.format('%.0f %.0f %.0f', tat, total, left)
"""
)
SETTLE = (
    KEEP
    + b"""
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local held = true
if ARGV[9] == '0' then
  held = redis.call('ZREM', KEYS[4], ARGV[1]) == 1
  if not held and ARGV[10] == '0' then return 0 end
  if held and tonumber(ARGV[2]) > 0 then redis.call('DECRBY', KEYS[3], ARGV[2]) end
else
  if redis.call('ZADD', KEYS[4], 'NX', now + ARGV[9] * 1000, ARGV[1]) == 0 then return 0 end
  keep(KEYS[4], tonumber(ARGV[9]))
end
local rate = tonumber(ARGV[6])
if rate > 0 and held then
  local more = (tonumber(ARGV[4]) - tonumber(ARGV[3])) * 60000000 / rate
  local tat = tonumber(redis.call('GET', KEYS[1]) or '0')
  if more < 0 then
    tat = tat - math.min(-more, math.max(0, tonumber(ARGV[5]) - now))
  else
    tat = math.max(tat, now) + math.min(more, 3600000000)
  end
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', 3720000)
end
if tonumber(ARGV[7]) > 0 then
  redis.call('INCRBY', KEYS[2], ARGV[7])
  redis.call('PEXPIREAT', KEYS[2], ARGV[8])
end
return 1
"""
)
MEET = b"""
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


class Taken:
    """What is reserved in Redis: ``member`` names it there, and is of no use after ``expires`` (of the monotonic
    clock); ``until`` is when its tokens are back, in microseconds of the server's clock. When it was taken, ``total``
    was spent and reserved, this among it, and ``left`` tokens were left.
    """

    def __init__(self, quota: Quota, day: int, tokens: int, money: int, hold_ms: int) -> None:
        self.quota = quota
        self.day = day
        self.tokens = tokens
        self.money = money
        self.member = b"%b:%d" % (os.urandom(8).hex().encode(), money)
        self.expires = time.monotonic() + hold_ms / 1000
        self.until = 0
        self.total = 0
        self.left = 0


Told = Callable[["Taken", "list[bytes] | None"], None]
"""Is told what Redis said of what was to be taken: its words, None where it said nothing."""


class _Take(Command):
    __slots__ = ("_taken", "_told")

    def __init__(self, data: bytes, taken: Taken, told: Told) -> None:
        super().__init__(data, "write")
        self._taken = taken
        self._told = told

    def fits(self, reply: Reply) -> bool:
        return type(reply) is bytes

    def replied(self, reply: Reply) -> None:
        assert isinstance(reply, bytes)  # noqa: S101 - it fits
        self._told(self._taken, reply.split(b" "))

    def failed(self, trouble: RedisUnavailable) -> None:
        self._told(self._taken, None)


Keys = tuple[bytes, bytes, bytes, bytes]
Words = tuple[bytes | int, ...]


class _Settle(Command):
    """What `SETTLE` is told. `words` name a reservation until it `expires`; from then on it is no more in Redis, and
    `late` is sent, which names none. `again`: it was sent before, and may have been carried out.
    """

    __slots__ = ("again", "expires", "keys", "late", "shared", "words")

    def __init__(
        self, shared: SharedQuotas, keys: Keys, words: Words, late: Words, expires: float, again: bool
    ) -> None:
        super().__init__(pack(b"EVAL", SETTLE, 4, *keys, *words, int(not again)), "write")
        self.shared = shared
        self.keys = keys
        self.words = words
        self.late = late
        self.expires = expires
        self.again = again

    def replied(self, reply: Reply) -> None:
        self.shared.told(None)

    def failed(self, trouble: RedisUnavailable) -> None:
        self.shared.told(self.once_more(True))

    def once_more(self, again: bool) -> _Settle:
        """To be sent now: a reservation that has expired meanwhile is named no more."""
        late = time.monotonic() >= self.expires
        return _Settle(self.shared, self.keys, self.late if late else self.words, self.late, self.expires, again)


class SharedQuotas:
    """Of one worker. `machine` is the same for all workers of a machine; ``machines`` is how many were there last that
    count anything, as `counts` says of this one.
    """

    def __init__(self, client: RedisClient, settings: Redis, machine: bytes, counts: Callable[[], bool]) -> None:
        self._client = client
        self._prefix = settings.prefix.encode()
        self._machine = machine
        self._counts = counts
        self.machines = 1
        self.pending: deque[_Settle] = deque(maxlen=MAX_PENDING)
        self._under_way = 0
        self._all_told: asyncio.Future[None] | None = None
        client.watch(self._meet)

    def take(self, taken: Taken, told: Told) -> bool:
        """Reserve it, within the deadline of Redis; `told` is called once. False where nobody can be asked."""
        quota = taken.quota
        keys = self._keys(quota, taken.day)
        numbers = (taken.tokens, quota.tokens, taken.money, quota.budget, self._left_ms(taken))
        command = _Take(pack(b"EVAL", TAKE, 4, *keys, taken.member, *numbers), taken, told)
        return not self._client.send(command, keys[0])

    def settle(self, taken: Taken, used: int, cost: int) -> None:
        """What became of it."""
        self._settle(taken.quota, taken.day, taken, used, cost)

    def add(self, quota: Quota, day: int, used: int, cost: int) -> None:
        """What was used without being reserved there."""
        if (used and quota.tokens) or (cost > 0 and quota.budget >= 0):
            self._settle(quota, day, None, used, cost)

    def _settle(self, quota: Quota, day: int, taken: Taken | None, used: int, cost: int) -> None:
        keys = self._keys(quota, day)
        ends_ms = quota.ends(day) * DAY_S * 1000 + KEPT_MS
        spent = max(0, cost) if quota.budget >= 0 else 0
        late: Words = (b"%b:0" % os.urandom(8).hex().encode(), 0, 0, used, 0, quota.tokens, spent, ends_ms, ONCE_MS)
        words, expires = late, 0.0
        if taken is not None:
            words = (taken.member, taken.money, taken.tokens, used, taken.until, quota.tokens, spent, ends_ms, 0)
            expires = taken.expires
        self._send(_Settle(self, keys, words, late, expires, False))

    def _send(self, command: _Settle) -> bool:
        reason = self._client.send(command, command.keys[0])
        if reason:
            self.pending.append(command)
        else:
            self._under_way += 1
        return not reason

    def told(self, again: _Settle | None) -> None:
        """A settlement was carried out, or is to be sent `again`."""
        self._under_way -= 1
        if again is not None:
            self.pending.append(again)
        if self._all_told is not None and not self._under_way and not self._all_told.done():
            self._all_told.set_result(None)

    def _keys(self, quota: Quota, day: int) -> Keys:
        tag = b"%b:{limit-%016x}:" % (self._prefix, quota.tokens_mark)
        period = b"%b-%d" % (quota.per.encode(), quota.ends(day))
        return tag + b"tokens", tag + b"spent:" + period, tag + b"held:" + period, tag + b"taken:" + period

    def _left_ms(self, taken: Taken) -> int:
        return max(1, int((taken.expires - time.monotonic()) * 1000))

    async def _meet(self) -> None:
        """About once a second: how many machines are there? And what is still to be told."""
        if not (self._counts() or self.pending):
            return
        try:
            reply = await self._client.call(b"EVAL", MEET, 1, self._prefix + b":machines", self._machine, SEEN_MS)
        except RedisUnavailable:
            return
        if isinstance(reply, int):
            self.machines = max(1, reply)
        self._resend(RESENT)

    def _resend(self, most: int) -> None:
        for _ in range(min(most, len(self.pending))):
            command = self.pending.popleft()
            if not self._send(command.once_more(command.again)):
                return

    async def close(self) -> None:
        """Have Redis told what is still to be told, and what it has been sent carried out: for `FLUSH_S` at most, and
        no longer than it listens.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + FLUSH_S
        while loop.time() < until:
            self._resend(MAX_PENDING)
            if not self._under_way:
                return
            self._all_told = loop.create_future()
            await asyncio.wait([self._all_told], timeout=until - loop.time())
