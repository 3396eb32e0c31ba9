"""The way of a request, top to bottom.

``open`` at the end of the headers and ``admit`` at the end of the body are synchronous: what can be refused or answered
there is answered there. ``fetch`` is what must wait, without a task: what it waits for calls back. After each of the
three, an exchange that has ``ended`` is answered.

The gateway knows no server: a front makes an `Exchange`, calls these three in order, and ``cancel`` when its client
leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import cast

from edge import config
from edge.cache.answers import Answers
from edge.cache.flight import Flight
from edge.cache.policy import Lookup, caches_for
from edge.dispatch import Dispatch
from edge.errors import (
    ClientClosedRequest,
    EdgeError,
    InternalError,
    InvalidApiKey,
    Overloaded,
    kind_of_status,
)
from edge.exchange import Exchange
from edge.guard.auth import refuse_model
from edge.guard.key_table import KeyTable
from edge.guard.limits import KeyLimits
from edge.guard.validate import Reading, check_body
from edge.hooks import Hooks, Meter
from edge.joining import Joining, Table
from edge.money.accounting import Accounts
from edge.own_answers import Listing
from edge.replies import fail, keep_alive, reply, serve, start_stream
from edge.slices import LARGE, Slices
from edge.state import State, build_state
from edge.upstreams.clocks import Sweep
from edge.upstreams.desk import Begin, Buffers, Desk, Replies, Tell

__all__ = ["Gateway"]

NO_KEY = InvalidApiKey()
Load = Callable[[], tuple[config.Config, KeyTable | None]]
"""Reads a configuration, and the table of its keys where they stand in one."""


class Gateway:
    """Serves exchanges by a `State`, tells `hooks` of each, and `meter` what it cost."""

    def __init__(self, state: State, hooks: Hooks, meter: Meter, answers: Answers, limits: KeyLimits) -> None:
        self.state = state
        self.hooks = hooks
        self.answers = answers
        self.accounts = Accounts(meter)
        self.limits = limits
        self._sweep = Sweep()
        self._slices = Slices()
        self._buffers = Buffers()
        common = (self._buffers, self._slices, self._sweep)
        replies = Replies(cast("Begin", start_stream), cast("Tell", reply), keep_alive)
        self._desk = Desk(hooks, meter, self.accounts, replies, *common)
        shared = Replies(cast("Begin", Flight.start), cast("Tell", Flight.whole), keep_alive)
        flights = Desk(hooks, meter, self.accounts, shared, *common)
        self._in_flight = 0
        self._tell_in_flight = meter.bind("edge_requests_in_flight")
        self._tell_in_flight(0.0)
        self._hit = meter.bind("edge_cache_requests_total", "memory", "hit")
        self._missed = meter.bind("edge_cache_requests_total", "memory", "miss")
        self._changing = asyncio.Lock()
        self._table = Table(answers, self.accounts, self._desk, flights)

    async def reload(self, load: Load, prepared: Callable[[config.Config], None] = lambda _: None) -> None:
        """Serve new requests by another configuration, in one step. Raises what `load` does, OSError as `build_state`.

        `load` and whatever takes long is done in a thread of its own, whose steps are short, so that the loop serves
        meanwhile; `prepared` is called on the loop just before.
        """
        async with self._changing:
            old = self.state

            def build() -> State:
                settings, keys = load()
                return build_state(settings, keys, loopback_only=old.auth.loopback_only, old=old)

            state = await asyncio.to_thread(build)
            prepared(state.settings)
            self.state = state
            state.fleet.succeed(old.fleet)
            await self.answers.adjust(state.settings.cache)

    async def close(self) -> None:
        """Close the connections to all providers."""
        await self.state.fleet.close()

    # At the end of the headers.

    def open(self, exchange: Exchange) -> None:
        """Who is asking, and for what? Refuses an unknown key before it has sent its body."""
        # A pipelined request may have waited behind an answer of minutes: what holds for it is what holds now.
        state = exchange.state = self.state
        head = exchange.head
        try:
            # A browser asks for the methods without a key.
            if not head.asks_methods or state.auth.open:
                key = state.auth.identify(head, exchange.varying)
                if key is None:
                    self.refuse(exchange, NO_KEY)
                    return
                exchange.key = key
            if head.objection is not None:
                self.refuse(exchange, head.objection)
                return
            if head.asks_methods:
                reply(exchange, 200, [(b"allow", ", ".join((*head.route.methods, "OPTIONS")).encode())], b"")
                self._settle(exchange)
                return
            if self._in_flight >= state.max_in_flight:
                raise Overloaded
            exchange.admitted = True
            self._in_flight += 1
            self._tell_in_flight(self._in_flight)
            if exchange.key.limited and head.route.api != "models":
                exchange.lease = self.limits.lease(exchange.key)
                exchange.lease.take()
        except EdgeError as error:
            self.refuse(exchange, error)

    # While the body comes, and at its end.

    def hold(self, exchange: Exchange, size: int) -> None:
        """So many more bytes of a body are kept in memory until the exchange is settled. Raises Overloaded."""
        self._buffers.hold(exchange, size)

    def admit(self, exchange: Exchange) -> None:
        """Is the request sound, may this key ask this model, and is its answer here? A large one is left to `fetch`."""
        if len(exchange.body) <= LARGE and exchange.head.route.api != "models":
            self._admit(exchange, Reading(exchange.body))

    def _admit(self, exchange: Exchange, reading: Reading) -> None:
        try:
            check_body(exchange, reading)
            payload, state = exchange.payload, exchange.state
            grant = exchange.grant = state.grant(exchange.key, payload.model, exchange.head.route)
            if not grant.upstreams:
                raise refuse_model(payload.model)
            if caches_for(exchange):
                plan = self.answers.plan(exchange, grant.cache, grant.identity)
                exchange.cache = "bypass" if plan is None else "miss"
                if plan is not None:
                    exchange.lookup = Lookup(plan)
                    self._recall(exchange, exchange.lookup)
        except EdgeError as error:
            self.refuse(exchange, error)

    def _recall(self, exchange: Exchange, lookup: Lookup) -> None:
        """Answer from memory, if it is there."""
        payload = exchange.payload
        if not lookup.plan.look:
            return
        found = self.answers.recall(lookup.plan, payload)
        (self._missed if found is None else self._hit)(1.0)
        if found is None:
            return
        held, form = found
        lookup.held = held
        if payload.stream and exchange.state.settings.cache.replay == "paced":
            return
        serve(exchange, held, form, "memory")
        self.accounts.saved_by(exchange, held.entry.cost)
        self._settle(exchange)

    # What must wait.

    def fetch(self, exchange: Exchange, answered: Callable[[Exception | None], None]) -> None:
        """Get the answer. `answered` is called when the exchange is settled, at once or later, with what should not
        have happened if it did. The front calls `cancel` when the client leaves, which closes the upstream.
        """
        exchange.answered = answered
        if len(exchange.body) > LARGE and exchange.head.route.api != "models":
            reading = Reading(exchange.body)
            read = partial(self._read_large, exchange, reading)
            exchange.errand = reading.in_slices(self._slices, read, digest=caches_for(exchange))
        else:
            self._send(exchange)

    def _read_large(self, exchange: Exchange, reading: Reading, error: Exception | None) -> None:
        if error is not None:
            self._fetched(exchange, error)
            return
        try:
            self._admit(exchange, reading)
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self._fetched(exchange, defect)
            return
        if exchange.ended:
            self._over(exchange, None)
        else:
            self._send(exchange)

    def _send(self, exchange: Exchange) -> None:
        fetched = partial(self._fetched, exchange)
        errand: Listing | Joining | Dispatch
        try:
            if exchange.head.route.api == "models":
                errand = Listing(exchange, fetched)
            elif exchange.lookup is not None:
                errand = Joining(self._table, exchange, exchange.lookup, fetched)
            else:
                errand = Dispatch(self._desk, exchange, fetched)
            exchange.errand = errand
            errand.start()
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            self._fetched(exchange, error)

    def _fetched(self, exchange: Exchange, error: BaseException | None) -> None:
        if exchange.settled:
            return
        if error is not None:
            fail(exchange, error if isinstance(error, EdgeError) else InternalError())
        self._settle(exchange)
        self._over(exchange, error if isinstance(error, Exception) and not isinstance(error, EdgeError) else None)

    def _over(self, exchange: Exchange, error: Exception | None) -> None:
        answered, exchange.answered, exchange.errand = exchange.answered, None, None
        if answered is not None:
            answered(error)

    def cancel(self, exchange: Exchange, error: EdgeError) -> None:
        """End an exchange, whatever is under way for it: for ClientClosedRequest without a word, since nobody is there
        to read it.
        """
        if exchange.settled:
            return
        exchange.error = error
        if exchange.errand is not None:
            exchange.errand.cancel()
        self._settle(exchange)
        if not isinstance(error, ClientClosedRequest):
            fail(exchange, error)
        self._over(exchange, None)

    # Replies.

    def refuse(self, exchange: Exchange, error: EdgeError) -> None:
        """Answer an exchange that goes no further."""
        fail(exchange, error)
        self._settle(exchange)

    # The books.

    def _settle(self, exchange: Exchange) -> None:
        """Tell the hooks of a finished exchange, once."""
        if exchange.settled:
            return
        exchange.settled = True
        self._buffers.let_go(exchange, 0)
        if exchange.admitted:
            self._in_flight -= 1
            self._tell_in_flight(self._in_flight)
        if exchange.lease is not None:
            exchange.lease.end()
        kind = exchange.error.kind if exchange.error is not None else exchange.kind or kind_of_status(exchange.status)
        if not kind and exchange.attempt is not None and exchange.attempt.broke:
            kind = "provider_stream_broken"
        self.hooks.request_done(exchange.record(kind))
