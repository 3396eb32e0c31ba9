"""The answer of an upstream call that others may have asked for too, or may come to ask for.

Where it is not on its way, Redis is asked, once for all who want to know the same at that time. What is not there is
fetched by a `Flight`, for which providers are asked as for any call, but which is nobody's.
"""

from __future__ import annotations

from edge.cache.answers import Answers
from edge.cache.asking import Look, Turns
from edge.cache.flight import Flight, Follower
from edge.cache.memory import Held
from edge.cache.policy import Lookup
from edge.call import Call
from edge.clock import perf_counter
from edge.dispatch import Dispatch
from edge.errors import ClientClosedRequest, EdgeError, InternalError, NotCached
from edge.inquiry import Asker, Inquiry
from edge.ledger import JOINED, MEMORY, MISS, REDIS, Verdict
from edge.money.accounting import Accounts
from edge.paced import Paced
from edge.redis.pipe import RedisUnavailable
from edge.replies import error_event, serve, serve_flight
from edge.upstreams.clocks import Deadline, Timed
from edge.upstreams.desk import Desk

__all__ = ["Joining", "Table"]


class Table:
    """What all who share have in common; ``desk`` what attempts do."""

    def __init__(self, answers: Answers, accounts: Accounts, desk: Desk) -> None:
        self.answers = answers
        self.accounts = accounts
        self.desk = desk


class Joining(Timed):
    """The way of a call that has a plan, and for which nothing is in memory. Tells who asks, once."""

    def __init__(self, table: Table, call: Call, lookup: Lookup, asker: Asker) -> None:
        self._table = table
        self._call = call
        self._plan = lookup.plan
        self._held = lookup.held
        self._asker: Asker | None = asker
        self._streams = True
        self._look: Look | None = None
        self._since = 0.0
        self._paced: Paced | None = None
        self._flight: Flight | None = None
        self._follower: Follower | None = None
        self._deadline = Deadline(table.desk.sweep, call.state.resilience, self, call.payload.deadline_ms)
        self._deadline.keep_alive(call)

    def start(self) -> None:
        """Join a flight, or ask Redis, or begin a flight. JSON may wait for a stream."""
        call = self._call
        try:
            held = self._held
            flight = self._find() if held is None else None
            if held is not None:
                self._give(held, b"", MEMORY)  # it is to be replayed
            elif flight is not None:
                self._join(flight)
            else:
                self._since = perf_counter()
                self._look = self._table.answers.look(call, self._plan, self._looked)
                if self._look is None:
                    self._go_without(True)
                else:
                    self._deadline.start()
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            self._finish(error)

    def cancel(self) -> None:
        self._leave(None)
        self._end()

    def expired(self, deadline: Deadline, error: EdgeError) -> None:
        self._leave(error)
        self._finish(error)

    def _find(self) -> Flight | None:
        call = self._call
        joins = self._plan.look and call.state.settings.cache.join
        return self._table.answers.flights.find(call, self._plan, self._streams) if joins else None

    # What Redis has.

    def _looked(self, held: Held | None, trouble: RedisUnavailable | None) -> None:
        self._look = None
        self._deadline.stop()
        call = self._call
        call.ledger.waited(self._since)
        try:
            form = held.form_for(call.payload) if held is not None else None
            if held is not None and form is not None:
                self._give(held, form, REDIS)
                return
            flight = self._find()
            if flight is not None:
                self._join(flight)
            else:
                # After trouble it has waited for Redis once, and is not to wait again.
                self._go_without(trouble is None)
        except Exception as error:  # noqa: BLE001 - as in `start`
            self._finish(error)

    def _give(self, held: Held, form: bytes, tier: Verdict) -> None:
        """A stored answer, in its form or, where streams are to be replayed, in the time it took."""
        call = self._call
        accounts = self._table.accounts
        if not (call.payload.stream and call.state.replay == "paced"):
            serve(call, held, form, tier)
            accounts.saved_by(call, held.entry.cost)
            self._finish(None)
            return

        def given(error: Exception | None) -> None:
            if error is None:
                accounts.saved_by(call, held.entry.cost)
            self._finish(error)

        self._paced = Paced(call, held, tier, self._deadline, given)
        self._paced.start()

    # A flight.

    def _join(self, flight: Flight) -> None:
        self._call.ledger.cache = JOINED
        self._call.ledger.leader = flight.trace
        self._table.desk.meter.count("edge_cache_joined_total")
        self._follow(flight)

    def _go_without(self, turns: bool) -> None:
        call, answers = self._call, self._table.answers
        plan = self._plan
        if plan.look and (found := answers.recall(plan, call.payload)) is not None:
            # A flight has landed between the look at the end of the body and this.
            self._give(*found, MEMORY)
            return
        flight = answers.new_flight(Flight(call, plan))
        flight.turns = turns and not call.head.route.counts  # the answer is due before a turn may come
        if plan.look and call.state.settings.cache.join and not plan.only:
            answers.flights.add(flight)
        self._follow(flight)
        Flying(self._table, flight).start()

    def _follow(self, flight: Flight) -> None:
        """Take what a flight brings, to its end."""
        self._flight = flight
        self._deadline.start()
        self._follower = follower = flight.add(self._call, self._deadline, self._landed)
        follower.go_on()

    def _landed(self, failure: BaseException | None) -> None:
        call, flight = self._call, self._flight
        assert flight is not None  # noqa: S101 - it is what landed
        self._leave(failure if isinstance(failure, EdgeError) else None)
        self._deadline.stop()
        if failure is not None:
            self._finish(failure)
            return
        try:
            told = call.reply.over() or serve_flight(call, flight)
        except Exception as error:  # noqa: BLE001 - as in `start`
            self._finish(error)
            return
        if not told:
            # It waited for a stream that cannot be told as JSON. All who did share one more call, for JSON.
            call.ledger.attempt = call.ledger.usage = None
            call.ledger.cache = MISS
            self._streams = False
            self.start()
            return
        if call.ledger.cache is not MISS and call.reply.status == 200:
            cost = flight.ledger.cost if flight.held is None else flight.held.entry.cost
            self._table.accounts.saved_by(call, cost)
        self._finish(None)

    def _leave(self, cause: EdgeError | None) -> None:
        """Follow no more; the last who leaves a flight that is in flight ends it."""
        flight, follower = self._flight, self._follower
        self._flight = self._follower = None
        if flight is None or follower is None:
            return
        if flight.leave(follower):
            # It is nobody's from here on. What it cost is still to be in this one's record.
            flight.ledger.error = self._call.ledger.error or cause or ClientClosedRequest()
            flight.cancel()
        follower.call.ledger.accounts_for(flight.ledger)

    # Its end.

    def _finish(self, error: BaseException | None) -> None:
        asker = self._asker
        self._end()
        if asker is not None:
            asker.fetched(self._call, error)

    def _end(self) -> None:
        self._asker = None
        self._deadline.close()
        look, paced, self._look, self._paced = self._look, self._paced, None, None
        if look is not None:
            self._call.ledger.waited(self._since)
            look.cancel()
        if paced is not None:
            paced.cancel()


class Flying(Asker):
    """A flight in flight; nobody's, so nobody is told how it ends but its followers."""

    def __init__(self, table: Table, flight: Flight) -> None:
        self._table = table
        self._flight = flight
        self._dispatch: Dispatch | None = None
        self._turns: Turns | None = None

    def start(self) -> None:
        """Fetch the answer: from who has the right to, or by it."""
        flight = self._flight
        flight.on_cancel = self._cancel
        self._turns = self._table.answers.turns(flight, self._turned) if flight.turns else None
        if self._turns is not None:
            self._turns.start()
        else:
            self._turned()

    def _turned(self) -> None:
        self._turns = None
        flight = self._flight
        if flight.held is not None:
            self._land(None)
        elif flight.plan.only:
            self._land(NotCached())
        else:
            self._dispatch = Dispatch(self._table.desk, flight, self)
            self._dispatch.start()

    def fetched(self, inquiry: Inquiry, error: BaseException | None) -> None:
        try:
            if error is None:
                self._table.answers.keep(self._flight)
        except Exception as defect:  # noqa: BLE001 - of ours: its followers must not wait for ever
            error = defect
        self._land(error)

    def _cancel(self) -> None:
        """The last of its followers has left."""
        if self._turns is not None:
            self._turns.cancel()
        if self._dispatch is not None:
            self._dispatch.cancel()
        self._land(self._flight.ledger.error or ClientClosedRequest())

    def _land(self, failure: BaseException | None) -> None:
        flight, answers = self._flight, self._table.answers
        self._dispatch = self._turns = None
        flight.on_cancel = None
        if failure is not None:
            self._lose(failure)
        answers.flights.remove(flight)
        answers.let_go(flight)
        flight.land()

    def _lose(self, failure: BaseException) -> None:
        """End a flight that failed: its followers get the error, in the reply or as it."""
        flight = self._flight
        if isinstance(failure, EdgeError):
            error = flight.failure = failure.bare()
        else:
            error = InternalError()
            flight.failure = failure
        flight.ledger.error = error
        if flight.reply.begun():
            flight.reply.write(error_event(flight, error))
            flight.reply.end()
