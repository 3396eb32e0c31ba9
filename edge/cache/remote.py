"""Answers in Redis, shared by all workers and machines. Trouble is a miss and a counter, never an error.

Keys have a fixed length and tell nothing: no prompt, tenant or API key is in them, nor can one be guessed from them
where ``cache.redis.hmac_key`` is set. A generation is part of every key; clearing the cache is counting it up, and the
old generation's answers, which nobody asks for any more, expire by themselves.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import msgspec

from edge.cache.entry import Entry
from edge.cache.envelope import TooLarge, decode, encode
from edge.config import Redis
from edge.hooks import Meter
from edge.redis.pipe import Command, RedisUnavailable, pack
from edge.redis.resp import Reply

if TYPE_CHECKING:
    from edge.redis.client import RedisClient

__all__ = ["Inquirer", "RemoteCache"]

QUEUED = 256
QUEUED_BYTES = 16 << 20
WRITTEN_BYTES = 1 << 20
"""So much of answers goes out at a time; what is asked meanwhile comes after it."""
FLUSH_S = 1.0
GENERATIONS = 10**11
"""A generation has eleven digits in a key, so that all keys have one length."""
CONFIRMED_S = 30.0
"""A generation that was not confirmed for so long may have been cleared behind our back: nothing is looked up then. It
outlives the failover of the server that has it."""

UNWRITTEN = {"unready": "dropped", "open": "dropped", "busy": "dropped"}
RESULTS = {"unready": "unready", "open": "unready", "timeout": "timeout", "busy": "busy", "error": "error"}

RAISE = b"""
local there = tonumber(redis.call('GET', KEYS[1]) or '0')
local wanted = tonumber(ARGV[1])
if there >= wanted then return there end
redis.call('SET', KEYS[1], ARGV[1])
return wanted
"""
RELEASE = b"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Inquirer(Protocol):
    """Who looks for an answer. One of these is called, once, unless the look-up was cancelled before."""

    def found(self, entry: Entry | None) -> None:
        """What Redis has."""

    def not_told(self, trouble: RedisUnavailable) -> None:
        """Redis has been waited for, and whether it has anything is not known."""


class _Look(Command):
    """A look-up."""

    __slots__ = ("_cache", "began", "digest", "inquirer", "tenant")

    def __init__(self, cache: RemoteCache, key: bytes, digest: bytes, tenant: str, inquirer: Inquirer) -> None:
        super().__init__(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key), "read")
        self._cache = cache
        self.digest = digest
        self.tenant = tenant
        self.inquirer = inquirer
        self.began = perf_counter()

    def replied(self, reply: Reply) -> None:
        self.inquirer.found(self._cache.open(self, reply))

    def failed(self, trouble: RedisUnavailable) -> None:
        self._cache.looked(self.began, RESULTS[trouble.reason])
        self.inquirer.not_told(trouble)


class _Store(Command):
    """An answer on its way. ``back`` is the lease to give back after it."""

    __slots__ = ("_cache", "back", "began", "size")

    def __init__(self, cache: RemoteCache, data: bytes, back: tuple[bytes, bytes] | None) -> None:
        super().__init__(data, "write")
        self._cache = cache
        self.back = back
        self.size = len(data)
        self.began = perf_counter()

    def replied(self, reply: Reply) -> None:
        self._cache.wrote(self, "stored" if reply == b"OK" else "error")

    def failed(self, trouble: RedisUnavailable) -> None:
        self._cache.wrote(self, UNWRITTEN.get(trouble.reason, "error"))


class _Lease(Command):
    """Of a lease: what is sent to take it or to give it back, and the reply by which that was done."""

    __slots__ = ("_done", "_told")

    def __init__(self, data: bytes, done: bytes | int, told: Callable[[bool | None], None] | None) -> None:
        super().__init__(data, "write")
        self._done = done
        self._told = told

    def replied(self, reply: Reply) -> None:
        if self._told is not None:
            self._told(reply == self._done)

    def failed(self, trouble: RedisUnavailable) -> None:
        if self._told is not None:
            self._told(None)


class RemoteCache:
    """The answers of one prefix. Made before its client is started, which then learns the generation."""

    def __init__(
        self, client: RedisClient, settings: Redis, meter: Meter, cleared: Callable[[], None] | None = None
    ) -> None:
        """`cleared` is called when somebody else has cleared the cache, since what was found before is to be forgotten
        wherever it was put.
        """
        self._client = client
        self._cleared = cleared
        self._meter = meter
        self._hit = meter.bind("edge_cache_requests_total", "redis", "hit")
        self._took = meter.bind("edge_cache_operation_duration_seconds", "redis", "get")
        self._prefix = settings.prefix
        self._ttl_s = settings.ttl_s
        self._secret = settings.hmac_key.reveal().encode() if settings.hmac_key is not None else None
        self._generation: int | None = None
        self._confirmed = 0.0
        self._queue: deque[tuple[bytes, bytes, float, tuple[bytes, bytes] | None]] = deque()
        self._bytes = 0
        self._out = 0
        self._emptied: asyncio.Future[None] | None = None
        self._closed = False
        self._bulk = f"{self._prefix}:".encode()
        client.watch(self._learn)

    @property
    def ready(self) -> bool:
        """Whether `get` would ask anyone."""
        return self._client.ready and self._current() is not None

    @property
    def generation(self) -> int | None:
        """The generation of keys in use; None while it is not known."""
        return self._current()

    def get(self, digest: bytes, tenant: str, inquirer: Inquirer) -> Command | None:
        """Look for the answer stored under `digest` (32 bytes) by `tenant`: the look-up, which can be cancelled. None
        where nobody can be asked now, and nothing is told. It takes ``timeout_ms`` at most.
        """
        generation = self._current()
        reason = "unready"
        if generation is not None:
            key = self._key(b"answer", digest, generation)
            look = _Look(self, key, digest, tenant, inquirer)
            reason = self._client.send(look, key)
            if not reason:
                return look
        self.looked(perf_counter(), RESULTS[reason])
        return None

    def open(self, look: _Look, value: Reply) -> Entry | None:
        """What a look-up has brought, if that can be believed."""
        entry = decode(value, look.digest, look.tenant, self._secret, time.time()) if value is not None else None
        self.looked(look.began, "miss" if value is None else "corrupt" if entry is None else "hit")
        return entry

    def looked(self, began: float, result: str) -> None:
        """Count a look-up."""
        self._took.tell(perf_counter() - began)
        if result == "hit":
            self._hit.tell(1.0)
        else:
            self._meter.count("edge_cache_requests_total", "redis", result)

    def put(self, digest: bytes, tenant: str, entry: Entry, lease: bytes = b"") -> bool:
        """Have the answer written, some time soon, or drop it: whether it will be tried. It is kept until it expires,
        at most ``ttl_s``. The lease whose token `lease` is goes back after that, so that who waits for it finds it.
        """
        generation = self._current()
        now = time.time()
        expires_at = min(entry.expires_at, now + self._ttl_s)
        if generation is None or self._closed or not self._client.ready or not expires_at - now >= 0.001:
            self._written("dropped")
            return False
        if len(self._queue) >= QUEUED or self._bytes + len(entry.body) > QUEUED_BYTES:
            self._written("dropped")
            return False
        try:
            value = encode(digest, tenant, msgspec.structs.replace(entry, expires_at=expires_at), self._secret)
        except TooLarge:
            self._written("too_large")
            return False
        except (ValueError, OverflowError, TypeError, msgspec.EncodeError):  # no entry of ours; a count beyond 64 bits
            self._written("error")
            return False
        back = (digest, lease) if lease else None
        self._queue.append((self._key(b"answer", digest, generation), value, expires_at, back))
        self._bytes += len(value)
        self._write()
        return True

    def _write(self) -> None:
        """Send what is queued, as far as it may be on its way."""
        while self._queue and (not self._out or self._out + len(self._queue[0][1]) <= WRITTEN_BYTES):
            key, value, expires_at, back = self._queue.popleft()
            self._bytes -= len(value)
            left_ms = int((expires_at - time.time()) * 1000)
            if left_ms <= 0:
                self._written("dropped")
                continue
            store = _Store(self, pack(b"SET", key, value, b"PX", left_ms), back)
            if reason := self._client.send(store, key):
                self._written(UNWRITTEN[reason])
            else:
                self._out += store.size
        if self._emptied is not None and not self._out and not self._emptied.done():
            self._emptied.set_result(None)

    def wrote(self, store: _Store, result: str) -> None:
        """An answer has gone out, or has not: the next may."""
        self._written(result)
        self._meter.observe("edge_cache_operation_duration_seconds", perf_counter() - store.began, "redis", "set")
        if store.back is not None:
            self.release(*store.back)
        self._out -= store.size
        self._write()

    def _written(self, result: str) -> None:
        self._meter.count("edge_cache_writes_total", "redis", result)

    @property
    def queued(self) -> int:
        """Answers that are still to be written."""
        return len(self._queue)

    async def close(self) -> None:
        """Write what is queued, for a second at most. The client is closed after this, by its owner."""
        self._closed = True
        if self._out:
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._emptied], timeout=FLUSH_S)
        for _ in self._queue:
            self._written("dropped")
        self._queue.clear()
        self._bytes = 0

    # One flight for all workers and machines.

    def lease(self, digest: bytes, token: bytes, ttl_ms: int, told: Callable[[bool | None], None]) -> Command | None:
        """Take the right to fetch the answer of `digest`, for `ttl_ms`. `told` is called with False if another has it,
        with None for trouble, by which whether it was taken is not known. None where nobody can be asked now, and
        nothing is told. `token` is the holder's own, and random.
        """
        key = self._lease_key(digest)
        lease = _Lease(pack(b"SET", key, token, b"NX", b"PX", ttl_ms), b"OK", told)
        return None if self._client.send(lease, key) else lease

    def release(self, digest: bytes, token: bytes, told: Callable[[bool | None], None] | None = None) -> Command | None:
        """Give it back, if it is still held under `token`. `told` is called with False if it was not."""
        key = self._lease_key(digest)
        release = _Lease(pack(b"EVAL", RELEASE, 1, key, token), 1, told)
        return None if self._client.send(release, key) else release

    # Generations and keys.

    async def clear(self) -> int:
        """Forget all answers, on all machines within about a second. The new generation. Raises RedisUnavailable."""
        generation = await self._client.call(b"INCR", self._generation_key())
        known = self._generation
        if known is not None and isinstance(generation, int) and generation <= known:
            generation = await self._client.call(b"EVAL", RAISE, 1, self._generation_key(), known + 1)
        if not isinstance(generation, int) or not 0 < generation < GENERATIONS:
            raise RedisUnavailable("error")
        self._adopt(generation)
        return generation

    async def _learn(self) -> None:
        """Read the generation. One that is less than ours was lost in a failover, or thrown out with others: ours is
        written back, or what was cleared would return.
        """
        try:
            reply = await self._client.call(b"GET", self._generation_key())
            generation = _number(reply)
            known = self._generation
            if generation is not None and known is not None and generation < known:
                generation = _number(await self._client.call(b"EVAL", RAISE, 1, self._generation_key(), known))
        except RedisUnavailable:
            return
        if generation is not None:
            self._adopt(generation)

    def _adopt(self, generation: int) -> None:
        known = self._generation
        if known is None or generation >= known:
            self._generation = generation
            self._confirmed = time.monotonic()
            if known is not None and generation > known and self._cleared is not None:
                self._cleared()

    def _current(self) -> int | None:
        return self._generation if time.monotonic() - self._confirmed < CONFIRMED_S else None

    def _generation_key(self) -> bytes:
        return f"{self._prefix}:gen".encode()

    def _lease_key(self, digest: bytes) -> bytes:
        return self._key(b"lease", digest, 0)  # none of the generations: it has to be found again to be given back

    def _key(self, use: bytes, digest: bytes, generation: int) -> bytes:
        """40 bytes behind the prefix: the generation, and 160 bits that stand for the digest in it."""
        number = b"%011d" % generation
        if self._secret is not None:
            name = hmac.digest(self._secret, use + number + digest, "sha256")
        else:
            name = sha256(use + number + digest).digest()
        return b"%b%b:%b" % (self._bulk, number, base64.urlsafe_b64encode(name[:20]).rstrip(b"="))


def _number(reply: object) -> int | None:
    """A generation as Redis gives it; None for what is none."""
    if reply is None:
        return 0
    if isinstance(reply, bytes):
        reply = int(reply) if reply.isdigit() and len(reply) <= 11 else -1
    return reply if isinstance(reply, int) and 0 <= reply < GENERATIONS else None
