"""All a worker knows of answers: what it has, what Redis has, what is on its way."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, TypeVar

from edge import config
from edge._fast import select_fields
from edge.cache.entry import Entry
from edge.cache.flight import Flight, Flights
from edge.cache.key import NAMED, NAMED_PREFIXES, decode_body, owner_of, request_key
from edge.cache.memory import Generation, Held, MemoryCache
from edge.cache.policy import Plan, plan_for
from edge.cache.remote import RemoteCache
from edge.cache.storable import storable
from edge.config import CacheMode
from edge.exchange import Exchange
from edge.hooks import Meter
from edge.redis.client import RedisClient
from edge.redis.node import Log
from edge.redis.pipe import Command, RedisUnavailable

__all__ = ["Answers", "Exact", "Repeat"]

MAX_REPEATS = 16384
MAX_EXACT = 512
"""Bytes by which a repeat is known as it is; longer ones by digests."""
SAYING = NAMED | {b"cache-control", b"x-edge-cache-ttl"}
"""Headers that have a part in what a request is answered with, beside its body."""
LEASE_S = 2.0
"""How long an answer is left to another worker or machine that has asked for it first."""
LEASE_STREAM_S = 0.3
"""The same for a stream, whose client expects a first word soon and would get all of them late."""
POLL_S = 0.025

Exact = tuple[bytes, ...]
Result = TypeVar("Result")
Asked = tuple[bytes, bool, bool, int]
"""A key, the form its answer is to have, and how often the caches had been cleared."""
Told = tuple[Held | None] | RedisUnavailable | None
"""What came of asking Redis; None where who asked has left before."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """What was found out about a request before: whoever sends the same bytes with the same key asks the same."""

    plan: Plan
    model: str
    label: str
    stream: bool


class Awaiting(Generic[Result]):
    """Where coroutines wait for what Redis tells."""

    def __init__(self) -> None:
        self._told: asyncio.Future[Result | RedisUnavailable] = asyncio.get_running_loop().create_future()

    def found(self, told: Result) -> None:
        if not self._told.done():
            self._told.set_result(told)

    def not_told(self, trouble: RedisUnavailable) -> None:
        if not self._told.done():
            self._told.set_result(trouble)

    async def by(self, command: Command | None) -> Result:
        """What comes of `command`. Raises RedisUnavailable."""
        if command is None:
            raise RedisUnavailable("unready")
        try:
            told = await self._told
        finally:
            command.cancel()
        if isinstance(told, RedisUnavailable):
            raise told
        return told


class Answers:
    """The caches and flights of one worker. `generation` is shared by all workers; `log` gets a line when Redis comes
    or goes.
    """

    def __init__(self, settings: config.Cache, meter: Meter, generation: Generation, log: Log | None = None) -> None:
        self._settings = settings
        self._meter = meter
        self._generation = generation
        self._log = log
        self.memory = MemoryCache(settings.memory, meter, generation)
        self.flights = Flights()
        self._client: RedisClient | None = None
        self._remote: RemoteCache | None = None
        self._redis: config.Redis | None = None
        self._changing = asyncio.Lock()
        self._repeats: OrderedDict[Exact, Repeat] = OrderedDict()
        self._state: Any = None
        self._looking: dict[Asked, list[asyncio.Future[Told]]] = {}

    # Beginning, changing, ending.

    async def start(self) -> None:
        """Connect to Redis, if there is one. Never raises: without it, nothing is found there."""
        redis = self._redis = self._settings.redis
        if redis is None:
            return
        try:
            client = RedisClient(redis, self._meter, self._log)
        except OSError as error:
            if self._log is not None:
                self._log.warning("the certificates to trust for redis cannot be read", error=type(error).__name__)
            return
        self._client, self._remote = client, RemoteCache(client, redis, self._meter, self._generation.bump)
        await client.start()

    async def adjust(self, settings: config.Cache) -> None:
        """Go on by other settings. What is stored stays where its own settings stay."""
        old, self._settings = self._settings, settings
        if settings.memory != old.memory:
            self.memory = MemoryCache(settings.memory, self._meter, self._generation)
        # One after the other: of two at a time, each would connect, and one of the clients be forgotten.
        async with self._changing:
            if self._settings.redis != self._redis:
                await self.close()
                await self.start()

    async def close(self) -> None:
        """Write what is still to be written to Redis, and leave it."""
        client, remote = self._client, self._remote
        self._client = self._remote = None
        if client is not None and remote is not None:
            await remote.close()
            await client.close()

    async def clear(self) -> str:
        """Forget everything: all workers, before they answer again; in Redis, all who share it, within a second.
        Returns what became of Redis: cleared, failed, or none.
        """
        remote = self._remote
        result = "none"
        if remote is not None:
            try:
                await remote.clear()
                result = "cleared"
            except RedisUnavailable:
                result = "failed"
        self._generation.bump()
        return result

    # Finding.

    def exact(self, exchange: Exchange) -> Exact:
        """The request as it came, in what matters. Equal for equal bytes of an equal key."""
        digest = exchange.body_digest or hashlib.sha256(exchange.body).digest()
        exact: Exact = (digest, exchange.target, exchange.key.id.encode())
        exact += tuple([b"%b: %b" % field for field in select_fields(exchange.headers, SAYING, NAMED_PREFIXES)])
        if sum(map(len, exact)) <= MAX_EXACT:
            return exact
        # Clients choose how long these are. Digests of each leave their number and their order as they are.
        return (digest, *(hashlib.sha256(part).digest() for part in exact[1:]))

    def repeat(self, exchange: Exchange, exact: Exact) -> Repeat | None:
        """What is known of this request under the configuration in force."""
        if self._state is not exchange.state:
            self._state = exchange.state
            self._repeats.clear()
        return self._repeats.get(exact)

    def plan(self, exchange: Exchange, exact: Exact, mode: CacheMode, identity: bytes) -> Plan | None:
        """What the caches may do for a request; None for nothing. Raises InvalidRequest, NotCached."""
        body = decode_body(exchange)
        plan = plan_for(exchange, mode, body)
        if body is None or plan is None:
            return None
        try:
            plan.digest = request_key(exchange, identity, body)
        except ValueError:
            return None  # a number of thousands of digits
        if plan.look:
            if len(self._repeats) >= MAX_REPEATS:
                self._repeats.popitem(last=False)
            self._repeats[exact] = Repeat(plan, exchange.model, exchange.model_label, exchange.stream)
        return plan

    def recall(self, plan: Plan, *, stream: bool) -> tuple[Held, bytes] | None:
        """The answer in memory, and its form for this request."""
        held = self.memory.get(plan.digest)
        form = held.form(stream=stream, include_usage=plan.include_usage) if held is not None else None
        if held is None or form is None:
            return None
        return held, form

    def looks_for(self, plan: Plan) -> bool:
        """Whether Redis is to be asked for an answer."""
        return plan.look and self._remote is not None and self._remote.ready

    async def look_up(self, exchange: Exchange) -> tuple[Held, bytes] | None:
        """The answer in Redis, and its form for this request. Whoever asks for the same meanwhile gets it too.

        Raises RedisUnavailable where that cannot be told: the request has waited, and is to go on without.
        """
        plan: Plan = exchange.plan
        remote = self._remote
        if remote is None or not remote.ready or not plan.look:
            return None
        held: Held | None = None
        # Who comes after a clearing must not get what was asked for before it.
        asked = (plan.digest, exchange.stream, plan.include_usage, self._generation.value)
        others = self._looking.get(asked)
        tired = monotonic() + remote.timeout_s if others is not None else 0.0
        while others is not None:
            waiter: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
            others.append(waiter)
            told = await waiter
            if isinstance(told, RedisUnavailable):
                raise RedisUnavailable(told.reason, told.code)
            if told is not None:
                held = told[0]
                break
            if monotonic() >= tired:
                raise RedisUnavailable("timeout")
            others = self._looking.get(asked)  # who asked for us has left before there was a reply
        else:
            held = await self._ask_for_all(exchange, remote, asked)
        if held is None:
            return None
        form = held.form(stream=exchange.stream, include_usage=plan.include_usage)
        return None if form is None else (held, form)

    async def _ask_for_all(self, exchange: Exchange, remote: RemoteCache, asked: Asked) -> Held | None:
        others = self._looking[asked] = []
        told: Told = None
        try:
            held = await self._look(exchange, remote, asked[-1])
            told = (held,)
            return held
        except RedisUnavailable as trouble:
            told = RedisUnavailable(trouble.reason, trouble.code)
            raise
        finally:
            del self._looking[asked]
            for waiter in others:
                if not waiter.done():
                    waiter.set_result(told)

    def takes_turns(self, flight: Flight) -> bool:
        """Whether others may have the right to fetch the answer of a flight."""
        return self.looks_for(flight.plan) and not flight.plan.only and self._settings.join

    async def take_turns(self, flight: Flight) -> None:
        """Get the right to fetch the answer of a flight, or the answer from who has that right, as its ``held``, or
        tired of waiting.
        """
        remote, plan = self._remote, flight.plan
        if remote is None or not remote.ready or not plan.look or plan.only or not self._settings.join:
            return
        until = monotonic() + (LEASE_STREAM_S if flight.stream else LEASE_S)
        token = os.urandom(16)
        waited = False
        try:
            while True:
                flight.lease = token  # from now on: a flight that is cancelled inside gives it back too
                told = Awaiting[bool | None]()
                taken = await told.by(remote.lease(plan.digest, token, int(LEASE_S * 1000), told.found))
                if taken is not False:
                    break
                flight.lease = b""
                if monotonic() >= until:
                    return
                waited = True
                await asyncio.sleep(POLL_S)
                flight.held = await self._look(flight, remote, flight.generation)
                if flight.held is not None:
                    return
            if waited and taken:
                # It may have been put there just before the lease was given back.
                flight.held = await self._look(flight, remote, flight.generation)
        except RedisUnavailable:
            pass  # it has waited for long enough

    async def _look(self, exchange: Exchange, remote: RemoteCache, generation: int) -> Held | None:
        """What Redis has, if that can tell this exchange's answer. Kept in memory, unless that was cleared since
        `generation`.
        """
        plan: Plan = exchange.plan
        owner = owner_of(self._settings.scope, exchange.key.tenant, exchange.key.id)
        told = Awaiting[Entry | None]()
        entry = await told.by(remote.get(plan.digest, owner, told))
        if entry is None or entry.api != exchange.route.api:
            return None
        held = Held(entry)
        if held.form(stream=exchange.stream, include_usage=plan.include_usage) is None:
            return None
        if generation == self._generation.value:
            self.memory.put(plan.digest, held)
        return held

    # Keeping.

    def keep(self, flight: Flight) -> None:
        """Store the answer of a flight that ended well, if it is one to be stored."""
        plan, settings = flight.plan, self._settings
        if not plan.store or not flight.short or flight.status != 200 or flight.generation != self._generation.value:
            return
        ttl_s = settings.memory.ttl_s if settings.redis is None else max(settings.memory.ttl_s, settings.redis.ttl_s)
        if plan.ttl_s is not None:
            ttl_s = min(ttl_s, plan.ttl_s)
        entry = flight.entry(ttl_s)
        if not storable(entry.api, entry.body, entry.streamed, plan.choices):
            return
        self.memory.put(plan.digest, Held(entry))
        self._meter.count("edge_cache_writes_total", "memory", "stored")
        owner = owner_of(self._settings.scope, flight.key.tenant, flight.key.id)
        if self._remote is not None and self._remote.put(plan.digest, owner, entry, flight.lease):
            flight.lease = b""

    def let_go(self, flight: Flight) -> None:
        """Give the lease on an answer back that will not be stored: whoever waits for it need not wait longer."""
        token, flight.lease = flight.lease, b""
        if token and self._remote is not None:
            self._remote.release(flight.plan.digest, token)

    def new_flight(self, flight: Flight) -> Flight:
        """Note when a flight began: an answer from before a clearing is not stored after it."""
        flight.generation = self._generation.value
        return flight
