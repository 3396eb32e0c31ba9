"""The way of a request, top to bottom.

``open`` at the end of the headers and ``admit`` at the end of the body are synchronous: what can be refused or answered
there is answered there. ``fetch`` is what must wait, without a task: what it waits for calls back. After each of the
three, a call whose reply is over is answered.

The gateway knows no server: a front makes a `Call`, calls these three in order, and ``cancel`` when its client leaves,
which closes the upstream. For a WebSocket it calls ``open``, and then `edge.relaying.relay`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from edge import config
from edge.cache.answers import Answers
from edge.cache.policy import Lookup, caches_for
from edge.call import Call
from edge.clock import perf_counter
from edge.conversation_answers import answer_here
from edge.conversations import Conversations
from edge.dispatch import Dispatch
from edge.errors import ClientClosedRequest, EdgeError, InternalError, Overloaded, RouteNotAllowed
from edge.going_on import begin, keep
from edge.grant import Grant
from edge.guard.auth import refuse_model
from edge.guard.counts import Counts
from edge.guard.expected import check_known, expected_input, expected_output
from edge.guard.forms import FormReading, check_form
from edge.guard.inflating import inflated
from edge.guard.limits import KeyLimits
from edge.guard.logins import FailedLogins
from edge.guard.pii import Redacted, redact
from edge.guard.reservation import reservation_of
from edge.guard.restore import Restorer
from edge.guard.validate import Reading, check_body, reading_of
from edge.head import COMPRESSED
from edge.hooks import Hooks, Meter, RequestRecord
from edge.inquiry import Asker, Inquiry
from edge.intake import Intake
from edge.joining import Joining, Table
from edge.ledger import BYPASS, MEMORY, MISS
from edge.money.accounting import Accounts
from edge.own_answers import Listing
from edge.record import record_of
from edge.replies import fail, serve
from edge.slices import LARGE, Slices, Work
from edge.sockets.office import Counters, Office
from edge.state import Load, State, rebuilt
from edge.upstreams.budget import HedgeBudget, RetryBudget
from edge.upstreams.clocks import Sweep
from edge.upstreams.desk import Buffers, Desk

__all__ = ["Gateway"]

Witness = Callable[[Call, RequestRecord], None]
"""Is told of each finished call, on the event loop: must not wait and must not raise."""


class Gateway(Asker):
    """Serves calls by a `State`, tells `hooks` and `witnesses` of each, and `meter` its cost. ``draining``: no more."""

    def __init__(
        self,
        state: State,
        hooks: Hooks,
        meter: Meter,
        answers: Answers,
        limits: KeyLimits,
        counts: Counts,
        conversations: Conversations,
        witnesses: tuple[Witness, ...] = (),
    ) -> None:
        self.state = state
        self._witnesses = witnesses
        self.hooks = hooks
        self.answers = answers
        self.accounts = Accounts(meter)
        self.limits = limits
        self.counts = counts
        self._sweep, self._slices = Sweep(), Slices()
        self._buffers: Buffers = conversations.buffers
        common = (self._buffers, self._slices, self._sweep, RetryBudget(), HedgeBudget())
        self._desk = Desk(hooks, meter, self.accounts, *common)
        self.under_way: set[Call] = set()  # those that something is fetched for
        self._in_flight, self.draining = 0, False
        self._now_in_flight = meter.bind("edge_requests_in_flight")
        self._now_in_flight.tell(0.0)
        self._hit = meter.bind("edge_cache_requests_total", "memory", "hit")
        self._missed = meter.bind("edge_cache_requests_total", "memory", "miss")
        self._scanned = meter.bind("edge_pii_scan_duration_seconds", "request")
        self._count = meter.count
        self._changing = asyncio.Lock()
        self.logins = FailedLogins()
        self._conversations = conversations
        self._table = Table(answers, self.accounts, self._desk)
        self.office = Office(self._desk, self.accounts, counts, Counters(meter))

    async def reload(self, load: Load, prepared: Callable[[config.Config], None] = lambda _: None) -> None:
        """Serve new requests by another configuration, in one step. Raises what `load` does, OSError as `build_state`.

        `load` and whatever takes long is done in a thread of its own, whose steps are short, so that the loop serves
        meanwhile; `prepared` is called on the loop just before.
        """
        async with self._changing:
            old = self.state
            state = await asyncio.to_thread(rebuilt, load, old)
            prepared(state.settings)
            self.state = state
            self.counts.heed(state.settings)
            state.fleet.succeed(old.fleet)
            await self.answers.adjust(state.settings.cache)

    async def close(self) -> None:
        """Close the connections to all providers."""
        await self.state.fleet.close()

    # At the end of the headers.

    def open(self, call: Call) -> None:
        """Who is asking, and for what? Refuses an unknown key before it has sent its body."""
        # A pipelined request may have waited behind an answer of minutes: what holds for it is what holds now.
        state = call.state = self.state
        head, key = call.head, state.nobody
        try:
            # A browser asks for the methods without a key.
            if not head.asks_methods or state.auth.open:
                found = state.auth.identify(head, call.varying, call.certificate)
                if found is None:
                    self.refuse(call, self.logins.no_key(call))
                    return
                key = call.key = found
            if head.objection is not None:
                self.refuse(call, head.objection)
                return
            if head.coding and not state.settings.server.request_compression:
                self.refuse(call, COMPRESSED)
                return
            route = head.route
            if head.asks_methods:
                call.answer(200, [(b"allow", ", ".join((*route.methods, "OPTIONS")).encode())], b"")
                self._settle(call)
                return
            if key.routes is not None and route.endpoint not in key.routes:
                raise RouteNotAllowed
            if self._in_flight >= state.max_in_flight:
                raise Overloaded
            call.admitted = True
            self._in_flight += 1
            self._now_in_flight.tell(self._in_flight)
            if key.limited and not route.lists:
                lease = call.lease = self.limits.lease(key)
                lease.take()
            if head.boundary:
                call.form = Intake(self, call, self._buffers)
        except EdgeError as error:
            self.refuse(call, error)

    # While the body comes, and at its end.

    def hold(self, call: Call, size: int) -> None:
        """So many more bytes of a body are kept in memory until the call is settled. Raises Overloaded."""
        self._buffers.hold(call, size)

    def admit(self, call: Call) -> None:
        """Is it sound, may its key ask this, is its answer here? What is large or compressed is left to `fetch`."""
        if not call.head.coding and len(call.body) <= LARGE and not call.head.route.lists:
            self._admit(call, reading_of(call.body))

    def _admit(self, call: Call, reading: Reading) -> None:
        try:
            grant = self._grant(call, reading)
            if grant.pii is not None:
                work = Work(redact(grant.pii, call.payload.body, call.key.tenant))
                try:
                    seen = work.step()
                except Exception as defect:
                    raise InternalError from defect  # what has not been looked through is not sent
                if not seen or len(work.result.body) > LARGE:
                    call.unseen = work  # that takes longer, and is left to `fetch`
                    return
                if self._is_changed(call, work):
                    check_body(call, reading_of(work.result.body))
        except EdgeError as error:
            self.refuse(call, error)
        else:
            self._look_up(call)

    def _grant(self, call: Call, reading: Reading) -> Grant:
        """Set the call's payload and its grant. Raises what is wrong with the body, and what the key may not."""
        if call.state is not self.state:
            self.state.auth.identify_anew(call.head, call.varying, call.certificate, call.key)
        if call.head.boundary:
            check_form(call, reading)
        elif not self.answers.knows(call, reading.body):
            check_body(call, reading)
        state, model, head = call.state, call.payload.model, call.head
        if head.route.kept:
            kept = call.grant = state.kept_grant(call.key, head, call.payload)
            return kept
        grant = call.grant = state.grant(call.key, model, head.route)
        if not grant.upstreams:
            raise refuse_model(model)
        return grant

    def _is_changed(self, call: Call, work: Work[Redacted]) -> bool:
        """Tell what was found in the call's body; whether another is to be its payload, whole. Raises PiiBlocked."""
        self._scanned.tell(work.took_s)
        redacted = work.result
        call.pii = redacted.told
        for kind, found in redacted.findings():
            self._count("edge_pii_findings_total", "request", kind, redacted.policy.mode, amount=found)
        refusal = redacted.refusal()
        if refusal is not None:
            raise refusal
        if redacted.body is call.payload.body:
            return False
        if redacted.originals:
            call.reply.restorer = Restorer(redacted.originals)
        self.hold(call, len(redacted.body))
        return True

    def _look_up(self, call: Call) -> None:
        """Is its answer here?"""
        grant, route = call.grant, call.head.route
        try:
            if grant.quotas is not None and not route.counts:
                check_known(call)
                call.reservation = reservation_of(self.counts, grant.quotas)
            if caches_for(call):
                plan = self.answers.plan(call, grant.cache, grant.identity)
                call.ledger.cache = BYPASS if plan is None else MISS
                if plan is not None:
                    call.lookup = Lookup(plan)
                    self._recall(call, call.lookup)
        except EdgeError as error:
            self.refuse(call, error)

    def _recall(self, call: Call, lookup: Lookup) -> None:
        """Answer from memory, if it is there."""
        payload = call.payload
        if not lookup.plan.look:
            return
        found = self.answers.recall(lookup.plan, payload)
        (self._missed if found is None else self._hit).tell(1.0)
        if found is None:
            return
        held, form = found
        lookup.held = held
        if payload.stream and call.state.replay == "paced":
            return
        serve(call, held, form, MEMORY)
        self.accounts.saved_by(call, held.entry.cost)
        self._settle(call)

    # What must wait.

    def fetch(self, call: Call) -> None:
        """Get the answer. The call is told that it is ``over`` when it is settled, at once or later."""
        self.under_way.add(call)
        if call.head.coding:
            work = Work(inflated(call.head.coding, call.body, call.state.max_body_bytes, partial(self.hold, call)))
            call.errand = self._slices.add(work.step, partial(self._inflated, call, work))
        else:
            self._begin(call)

    def _inflated(self, call: Call, work: Work[bytes], error: Exception | None) -> None:
        try:
            if error is not None:
                raise error
            call.body = work.result
            if call.form is not None:
                call.form.read(self._slices, call.body)
                return
            if len(call.body) <= LARGE:
                self._admit(call, reading_of(call.body))
        except Exception as defect:  # noqa: BLE001 - of ours, if it is not an EdgeError: no client is left waiting
            self.fetched(call, defect)
            return
        self._begin(call)

    def _begin(self, call: Call) -> None:
        """With a body that is here as it was meant."""
        if call.reply.over():
            self._over(call, None)
        elif len(call.body) > LARGE and not call.head.route.lists:
            reading = reading_of(call.body)
            read = partial(self._read_large, call, reading, False)
            call.errand = reading.in_slices(self._slices, read, digest=caches_for(call))
        elif call.unseen is not None:
            unseen = call.unseen
            call.errand = self._slices.add(unseen.step, partial(self._redacted_large, call, unseen))
        else:
            self._send(call)

    def go_along(self, call: Call, reading: FormReading) -> None:
        """With a form that has been read, or the opening of one, whose rest goes where that went."""
        self.under_way.add(call)
        try:
            self._admit(call, reading)
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self.fetched(call, defect)
            return
        self._send(call)

    def _read_large(self, call: Call, reading: Reading, seen: bool, error: Exception | None) -> None:
        """`seen`: it has been looked through, and this is what came of it."""
        try:
            if error is not None:
                raise error
            if seen:
                check_body(call, reading)
            policy = None if seen else self._grant(call, reading).pii
        except Exception as defect:  # noqa: BLE001 - of ours, if it is not an EdgeError: no client is left waiting
            self.fetched(call, defect)
            return
        if policy is not None:
            work = Work(redact(policy, call.payload.body, call.key.tenant))
            call.errand = self._slices.add(work.step, partial(self._redacted_large, call, work))
        else:
            self._go_on(call)

    def _redacted_large(self, call: Call, work: Work[Redacted], error: Exception | None) -> None:
        try:
            if error is not None:
                raise error
            if self._is_changed(call, work):
                reading = Reading(work.result.body)
                reread = partial(self._read_large, call, reading, True)
                call.errand = reading.in_slices(self._slices, reread, digest=caches_for(call))
                return
        except Exception as defect:  # noqa: BLE001 - of ours, if it is not an EdgeError
            self.fetched(call, defect)
            return
        self._go_on(call)

    def _go_on(self, call: Call) -> None:
        """With a large body that has been read."""
        try:
            self._look_up(call)
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self.fetched(call, defect)
            return
        self._send(call)

    def _send(self, call: Call) -> None:
        """Unless it is answered, once it is within its limits, which Redis may have to tell."""
        if call.reply.over():
            self._over(call, None)
            return
        if call.state.keeps and begin(self._conversations, call, self._slices, partial(self._read_large, call)):
            return
        reservation = call.reservation
        try:
            if reservation is not None:
                told = None if self.counts.shared is None else partial(self._reserved, call, perf_counter())
                if not reservation.take(expected_input(call), expected_output(call), told):
                    call.errand = reservation
                    return
        except Exception as error:  # noqa: BLE001 - a refusal, or a defect of ours
            self.fetched(call, error)
            return
        self._ask(call)

    def _reserved(self, call: Call, since: float, refusal: EdgeError | None) -> None:
        """Redis has told; it was asked `since`."""
        if not call.settled:
            call.ledger.waited(since)
        if refusal is not None:
            self.fetched(call, refusal)
        elif not call.settled:
            self._ask(call)

    def _ask(self, call: Call) -> None:
        try:
            if call.head.route.lists:
                listing = call.errand = Listing(call, self)
                listing.start()
            elif not call.grant.upstreams:
                answer_here(call, self._conversations, self)
            elif call.lookup is not None:
                joining = call.errand = Joining(self._table, call, call.lookup, self)
                joining.start()
            else:
                dispatch = Dispatch.__new__(Dispatch)
                dispatch.begin(self._desk, call, self)
                call.errand = dispatch
                dispatch.start()
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            self.fetched(call, error)

    def fetched(self, inquiry: Inquiry, error: BaseException | None) -> None:
        assert isinstance(inquiry, Call)  # noqa: S101 - of flights it asks for none
        call = inquiry
        if call.settled:
            return
        if error is not None:
            fail(call, error if isinstance(error, EdgeError) else InternalError())
        self._settle(call)
        self._over(call, error if isinstance(error, Exception) and not isinstance(error, EdgeError) else None)

    def _over(self, call: Call, error: Exception | None) -> None:
        call.errand = None
        if call in self.under_way:
            self.under_way.remove(call)
            call.over(error)

    def cancel(self, call: Call, error: EdgeError) -> None:
        """End a call, whatever is under way for it: for ClientClosedRequest, whom nobody reads, without a word."""
        if call.settled:
            return
        call.ledger.error = error
        if call.errand is not None:
            call.errand.cancel()
        self._settle(call)
        if not isinstance(error, ClientClosedRequest):
            fail(call, error)
        self._over(call, None)

    def refuse(self, call: Call, error: EdgeError) -> None:
        """Answer a call that goes no further."""
        fail(call, error)
        self._settle(call)

    # The books.

    def _settle(self, call: Call) -> None:
        """Tell the hooks of a finished call, once."""
        if call.settled:
            return
        call.settled = True
        if call.form is not None:
            call.form.close()
        if call.keep is not None:
            keep(self._conversations, call)
        self._buffers.let_go(call, 0)
        if call.admitted:
            self._in_flight -= 1
            self._now_in_flight.tell(self._in_flight)
        lease = call.lease
        if lease is not None:
            lease.end()
        if call.reservation is not None:
            call.reservation.end()
        record = record_of(call)
        self.hooks.request_done(record)
        for witness in self._witnesses:
            witness(call, record)
