"""Tokens and money that several machines count together, in Redis or a Redis Cluster.

Each quota is five keys with one hash tag, so that one script reads and changes them in one step wherever they are: the
theoretical arrival time of its tokens (GCRA, in microseconds of the server's clock), what was spent in the period, what
is reserved, by whom until when, and which settlements have counted. A reservation that nobody settles expires; what was
used counts all the same.

A settlement counts once, whatever becomes of its replies and however late it is sent again. Each worker numbers its
own, and says with each which of them is the lowest that may come again: for a worker, Redis keeps that number and those
above it that have counted, for as long as what they have counted in. So what is kept is a few numbers a worker.

Keys are made of fingerprints: they name no key, tenant or model.
"""

from __future__ import annotations

import asyncio
import os
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
SETTLE = b"""
local lowest, above = nil, {}
for each in string.gmatch(redis.call('HGET', KEYS[5], ARGV[1]) or '0', '%d+') do
  if lowest == nil then
    lowest = tonumber(each)
    if tonumber(ARGV[2]) < lowest then return 0 end
  elseif each == ARGV[2] then return 0
  elseif tonumber(each) >= tonumber(ARGV[3]) then above[#above + 1] = each end
end
lowest = string.format('%.0f ', math.max(lowest, tonumber(ARGV[3])))
redis.call('HSET', KEYS[5], ARGV[1], lowest .. table.concat(above, ' ') .. ' ' .. ARGV[2])
redis.call('PEXPIREAT', KEYS[5], ARGV[11])
local held = redis.call('ZREM', KEYS[4], ARGV[4]) == 1
if held and tonumber(ARGV[5]) > 0 then redis.call('DECRBY', KEYS[3], ARGV[5]) end
local rate, more = tonumber(ARGV[9]), tonumber(ARGV[7]) - tonumber(ARGV[6])
if rate > 0 and (held or more > 0) then
  local t = redis.call('TIME')
  local now = t[1] * 1000000 + t[2]
  local tat = tonumber(redis.call('GET', KEYS[1]) or '0')
  more = more * 60000000 / rate
  if more < 0 then
    tat = tat - math.min(-more, math.max(0, tonumber(ARGV[8]) - now))
  else
    tat = math.max(tat, now) + math.min(more, 3600000000)
  end
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', 3720000)
end
if tonumber(ARGV[10]) > 0 then
  redis.call('INCRBY', KEYS[2], ARGV[10])
  redis.call('PEXPIREAT', KEYS[2], ARGV[11])
end
return 1
"""
"""What a worker, ARGV[1], has settled: its number, the lowest that may come again, the reservation with its money and
tokens, the tokens used and when those reserved are back, the tokens a minute, the money spent, and when the period is
long over. 0: it has counted before.
"""
MEET = b"""
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


class Taken:
    """What is reserved in Redis for ``hold_ms``: ``member`` names it there; ``until`` is when its tokens are back, in
    microseconds of the server's clock. When it was taken, ``total`` was spent and reserved, this among it, and ``left``
    tokens were left.
    """

    def __init__(self, quota: Quota, day: int, tokens: int, money: int, hold_ms: int) -> None:
        self.quota = quota
        self.day = day
        self.tokens = tokens
        self.money = money
        self.member = b"%b:%d" % (os.urandom(8).hex().encode(), money)
        self.hold_ms = hold_ms
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


Keys = tuple[bytes, bytes, bytes, bytes, bytes]
Words = tuple[bytes | int, ...]


class Settlement:
    """What `SETTLE` is told by one number, as often as it takes: ``words`` are what follows the numbers. After
    ``ends_ms`` (of the clock that people look at) nothing is there any more that it could count in.
    """

    __slots__ = ("ends_ms", "keys", "number", "words")

    def __init__(self, keys: Keys, number: int, words: Words, ends_ms: int) -> None:
        self.keys = keys
        self.number = number
        self.words = words
        self.ends_ms = ends_ms


class _Settle(Command):
    """A settlement on its way; `least` is the lowest number of its quota that may come again."""

    __slots__ = ("_settlement", "_shared")

    def __init__(self, shared: SharedQuotas, settlement: Settlement, least: int) -> None:
        numbers = (shared.name, settlement.number, least)
        data = pack(b"EVAL", SETTLE, 5, *settlement.keys, *numbers, *settlement.words, settlement.ends_ms)
        super().__init__(data, "write")
        self._shared = shared
        self._settlement = settlement

    def replied(self, reply: Reply) -> None:
        self._shared.told(self._settlement, True)

    def failed(self, trouble: RedisUnavailable) -> None:
        self._shared.told(self._settlement, False)


class SharedQuotas:
    """Of one worker. `machine` is the same for all workers of a machine; ``machines`` is how many were there last that
    count anything, as `counts` says of this one. `wall` is the clock that people look at.
    """

    def __init__(
        self,
        client: RedisClient,
        settings: Redis,
        machine: bytes,
        counts: Callable[[], bool],
        wall: Callable[[], float],
    ) -> None:
        self._client = client
        self._prefix = settings.prefix.encode()
        self._machine = machine
        self._counts = counts
        self._wall = wall
        self.machines = 1
        self.name = os.urandom(8).hex().encode()
        self.pending: deque[Settlement] = deque()
        self._number = 0
        # By quota, in their order: the numbers that may be sent once more.
        self._open: dict[bytes, dict[int, None]] = {}
        self._under_way = 0
        self._all_told: asyncio.Future[None] | None = None
        client.watch(self._meet)

    def take(self, taken: Taken, told: Told) -> bool:
        """Reserve it, within the deadline of Redis; `told` is called once. False where nobody can be asked."""
        quota = taken.quota
        keys = self._keys(quota, taken.day)
        numbers = (taken.tokens, quota.tokens, taken.money, quota.budget, taken.hold_ms)
        command = _Take(pack(b"EVAL", TAKE, 4, *keys[:4], taken.member, *numbers), taken, told)
        return not self._client.send(command, keys[0])

    def settle(self, taken: Taken, used: int, cost: int) -> None:
        """What became of it."""
        self._settle(taken.quota, taken.day, taken, used, cost)

    def add(self, quota: Quota, day: int, used: int, cost: int) -> None:
        """What was used without being reserved there."""
        if (used and quota.tokens) or (cost > 0 and quota.budget >= 0):
            self._settle(quota, day, None, used, cost)

    def _settle(self, quota: Quota, day: int, taken: Taken | None, used: int, cost: int) -> None:
        reserved: Words = (b"", 0, 0) if taken is None else (taken.member, taken.money, taken.tokens)
        until = 0 if taken is None else taken.until
        words = (*reserved, used, until, quota.tokens, max(0, cost) if quota.budget >= 0 else 0)
        self._number += 1
        made = Settlement(self._keys(quota, day), self._number, words, quota.ends(day) * DAY_S * 1000 + KEPT_MS)
        self._open.setdefault(made.keys[0], {})[made.number] = None
        if not self._send(made):
            self._wait(made)

    def _send(self, made: Settlement) -> bool:
        """Whether it is on its way."""
        key = made.keys[0]
        if self._client.send(_Settle(self, made, next(iter(self._open[key]))), key):
            return False
        self._under_way += 1
        return True

    def _wait(self, made: Settlement) -> None:
        """To be sent when Redis is back."""
        if len(self.pending) >= MAX_PENDING:
            self._close(self.pending.popleft())
        self.pending.append(made)

    def _close(self, made: Settlement) -> None:
        """It is sent no more."""
        numbers = self._open[made.keys[0]]
        del numbers[made.number]
        if not numbers:
            del self._open[made.keys[0]]

    def told(self, made: Settlement, done: bool) -> None:
        """A settlement is known to be carried out, or may be."""
        self._under_way -= 1
        if done:
            self._close(made)
        else:
            self._wait(made)
        if self._all_told is not None and not self._under_way and not self._all_told.done():
            self._all_told.set_result(None)

    def _keys(self, quota: Quota, day: int) -> Keys:
        tag = b"%b:{limit-%016x}:" % (self._prefix, quota.tokens_mark)
        period = b"%b-%d" % (quota.per.encode(), quota.ends(day))
        spent, held, taken, settled = b"spent:" + period, b"held:" + period, b"taken:" + period, b"settled:" + period
        return tag + b"tokens", tag + spent, tag + held, tag + taken, tag + settled

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
            made = self.pending.popleft()
            if self._wall() * 1000 >= made.ends_ms:
                self._close(made)
            elif not self._send(made):
                self._wait(made)  # behind those of other servers of a cluster

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
