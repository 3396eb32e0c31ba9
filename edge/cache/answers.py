"""All a worker knows of answers: what it has, what Redis has, what is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from edge import config
from edge._fast import select_fields
from edge.cache.asking import Look, Question, Told, Turns
from edge.cache.entry import Entry
from edge.cache.flight import Flight, Flights
from edge.cache.key import NAMED, NAMED_PREFIXES, Keys, decode_body, owner_of
from edge.cache.memory import Generation, Held, MemoryCache
from edge.cache.policy import Lookup, Plan, caches_for, plan_for
from edge.cache.recent import Recent
from edge.cache.remote import RemoteCache
from edge.cache.storable import storable
from edge.call import Call
from edge.config import CacheMode
from edge.digests import digest_of
from edge.hooks import Meter
from edge.inquiry import Inquiry
from edge.payload import Payload
from edge.redis.node import Log
from edge.redis.pipe import RedisUnavailable

if TYPE_CHECKING:
    from edge.redis.client import RedisClient

__all__ = ["Answers", "Exact"]

MAX_PLANS = 8192
MAX_EXACT = 2048
"""Bytes by which a body, or what a head says, is known as it is; longer ones by digests."""
SAYING = NAMED | {b"cache-control", b"x-edge-cache-ttl"}
"""Headers that have a part in what a request is answered with, beside its body."""
Exact = tuple[object, ...]
Asked = tuple[bytes, bool, bool, int]
"""A key, the form its answer is to have, and how often the caches had been cleared."""


class Answers:
    """The caches and flights of one worker. `generation` is shared by all workers; `log` gets a line when Redis comes
    or goes. ``shares`` is told which client there is, with its settings, None for none.
    """

    def __init__(self, settings: config.Cache, meter: Meter, generation: Generation, log: Log | None = None) -> None:
        self._settings = settings
        self._meter = meter
        self._generation = generation
        self._log = log
        self._plans = Recent(MAX_PLANS)
        self.memory = MemoryCache(settings.memory, meter, generation, self.forget_plans)
        self.flights = Flights()
        self._client: RedisClient | None = None
        self.shares: Callable[[RedisClient | None, config.Redis | None], Awaitable[None]] = nobody
        self._remote: RemoteCache | None = None
        self._redis: config.Redis | None = None
        self._changing = asyncio.Lock()
        self._keys = Keys()
        self._questions: dict[Asked, Question] = {}

    # Beginning, changing, ending.

    async def start(self) -> None:
        """Connect to Redis, if there is one. Never raises: without it, nothing is found there."""
        redis = self._redis = self._settings.redis
        if redis is None:
            return
        # A sixth of what an edge would import otherwise. At the start it is here already: launched with Redis.
        await asyncio.to_thread(import_module, "edge.redis.client")
        from edge.redis.client import RedisClient

        try:
            client = RedisClient(redis, self._meter, self._log)
        except OSError as error:
            if self._log is not None:
                self._log.warning("the certificates to trust for redis cannot be read", error=type(error).__name__)
            return
        self._client, self._remote = client, RemoteCache(client, redis, self._meter, self._generation.bump)
        await self.shares(client, redis)
        await client.start()

    def forget_plans(self) -> None:
        """A value of Python's, which a method of `Recent` is not where both are compiled."""
        self._plans.clear()

    async def adjust(self, settings: config.Cache) -> None:
        """Go on by other settings. What is stored stays where its own settings stay; what was asked under another
        configuration is forgotten, and with it that configuration's keys.
        """
        old, self._settings = self._settings, settings
        self._plans.clear()
        if settings.memory != old.memory:
            self.memory = MemoryCache(settings.memory, self._meter, self._generation, self.forget_plans)
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
            await asyncio.gather(self.shares(None, None), remote.close())
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
        self.memory.clear()
        return result

    @property
    def queued(self) -> int:
        """Answers that are still to be written to Redis."""
        return 0 if self._remote is None else int(self._remote.queued)

    # Finding.

    def knows(self, call: Call, body: bytes) -> bool:
        """Whether a body came before, with the same head and key and under the same configuration: then it is read,
        and the call has its payload and its plan.
        """
        head, key = call.head, call.key
        if not caches_for(call) or head.form is None or len(body) > MAX_EXACT:
            return False
        plan = self._plans.find((head, key.rights, len(body), body), call.state)
        if plan is None or plan.payload is None:
            return False
        call.payload, call.lookup = plan.payload, Lookup(plan)
        return True

    def exact(self, call: Call) -> Exact:
        """The request as it came, in what matters. Equal for equal bytes of a key with the same rights: tokens of one
        subject may be of several tenants, and have models of their own.
        """
        head, key, body = call.head, call.key, call.payload.body
        size = len(body)
        known = body if size <= MAX_EXACT else call.payload.digest
        if head.form is not None:  # all that say the same share it
            return (head, key.rights, size, known)
        said = (head.target, *[b"%b: %b" % field for field in select_fields(head.headers, SAYING, NAMED_PREFIXES)])
        if sum([len(part) for part in said]) > MAX_EXACT:
            # Clients choose how long these are. Digests of each leave their number and their order as they are.
            said = tuple([digest_of(part) for part in said])
        return (*said, key.rights, size, known)

    def plan(self, call: Call, mode: CacheMode, identity: bytes) -> Plan | None:
        """What the caches may do for a request; None for nothing. Whoever sends the same bytes with the same key, under
        the same configuration, asks the same. Raises InvalidRequest, NotCached.
        """
        lookup = call.lookup
        if lookup is not None:
            return lookup.plan
        exact, use_s = self.exact(call), self._settings.memory.ttl_s
        known = self._plans.find(exact, call.state)
        if known is not None:
            if call.head.form is not None and call.grant.pii is None and len(call.payload.body) <= MAX_EXACT:
                known.payload = call.payload
                self._plans.keep(exact, known, call.state, use_s)  # by the payload's own bytes: they are held once
            return known
        body = decode_body(call.payload)
        plan = plan_for(call, mode, body)
        if body is None or plan is None:
            return None
        try:
            plan.digest = self._keys.key(call, identity, body)
        except ValueError:
            return None  # a number of thousands of digits
        if plan.look:
            self._plans.keep(exact, plan, call.state, use_s)
        return plan

    def recall(self, plan: Plan, payload: Payload) -> tuple[Held, bytes] | None:
        """The answer in memory, and its form for this request."""
        held = self.memory.get(plan.digest)
        form = held.form_for(payload) if held is not None else None
        if held is None or form is None:
            return None
        return held, form

    def look(self, call: Call, plan: Plan, told: Told) -> Look | None:
        """Ask Redis for the answer of a call with that plan, together with whoever asks for the same; `told` is
        called with what is there, once. None where nobody is to be asked, or can be.
        """
        payload, remote = call.payload, self._remote
        if remote is None or not plan.look or not remote.ready:
            return None
        # Who comes after a clearing must not get what was asked for before it.
        asked = (plan.digest, payload.stream, payload.include_usage, self._generation.value)
        question = self._questions.get(asked)
        if question is None:
            fit = partial(self._fit, plan, payload, call.head.route.api, asked[-1])
            question = Question(fit, partial(self._questions.pop, asked, None))
            if not question.ask(remote, plan.digest, self._owner(call)):
                return None
            self._questions[asked] = question
        return question.join(told)

    def turns(self, flight: Flight, done: Callable[[], None]) -> Turns | None:
        """Wait for the right to fetch the answer of a flight, if others may have it; `done` is called when that is
        over.
        """
        remote, plan = self._remote, flight.plan
        if remote is None or not plan.look or plan.only or not self._settings.join or not remote.ready:
            return None
        fit = partial(self._fit, plan, flight.payload, flight.head.route.api, flight.generation)
        return Turns(remote, flight, self._owner(flight), fit, done)

    def _owner(self, inquiry: Inquiry) -> str:
        return owner_of(self._settings.scope, inquiry.key.tenant, inquiry.key.id)

    def _fit(self, plan: Plan, payload: Payload, api: str, generation: int, entry: Entry | None) -> Held | None:
        """What Redis has, if that can tell what was asked. Kept in memory, unless that was cleared since
        `generation`.
        """
        if entry is None or entry.api != api:
            return None
        held = Held(entry)
        if held.form_for(payload) is None:
            return None
        if generation == self._generation.value:
            self.memory.put(plan.digest, held)
        return held

    # Keeping.

    def keep(self, flight: Flight) -> None:
        """Store the answer of a flight that ended well, if it is one to be stored."""
        plan, settings = flight.plan, self._settings
        if (
            not plan.store
            or flight.ledger.rescued  # what two have written is an answer of neither
            or not flight.short
            or flight.reply.status != 200
            or flight.generation != self._generation.value
        ):
            return
        ttl_s = settings.memory.ttl_s if settings.redis is None else max(settings.memory.ttl_s, settings.redis.ttl_s)
        if plan.ttl_s is not None:
            ttl_s = min(ttl_s, plan.ttl_s)
        entry = flight.entry(ttl_s)
        if not storable(entry.api, entry.body, entry.streamed, plan.choices):
            return
        self.memory.put(plan.digest, Held(entry))
        self._meter.count("edge_cache_writes_total", "memory", "stored")
        if self._remote is not None and self._remote.put(plan.digest, self._owner(flight), entry, flight.lease):
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


async def nobody(_client: RedisClient | None, _settings: config.Redis | None) -> None:
    """Nobody else has to do with Redis."""
