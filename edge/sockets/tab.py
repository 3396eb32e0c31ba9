"""What the responses of a connection may cost, and do: each is reserved for, and settled by what its provider tells.

Where a provider has told nothing, since the connection ended before, a response that had begun is charged by an
estimate, as a stream is that breaks off (`edge.money.accounting`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edge.call import Call
from edge.errors import EdgeError, RateLimited
from edge.grant import Grant
from edge.guard.counts import Counts
from edge.guard.reservation import Reservation
from edge.hooks import Meter, Usage
from edge.ledger import Source
from edge.money.accounting import Accounts
from edge.sockets.rights import Rights

__all__ = ["MOST_UNDER_WAY", "Due", "Tab"]

MOST_UNDER_WAY = 16
"""Responses that were asked for on one connection and have not ended."""
Told = Callable[["Due", "EdgeError | None"], None]
Failed = Callable[[BaseException], None]


class Due:
    """A response that was asked for under a grant, or has begun by itself. ``event_id`` is what the client calls its
    wish, ``lane`` the part of the connection that it was asked for on, "" for none of its own; ``id`` is that of the
    response, "" before it has begun. ``input`` is an estimate of what it reads, ``written`` of what the model has
    written so far, both in tokens; ``spoken`` those of the latter that are sound. ``doubted``: an error was told since
    it has begun, by which it has ended, or which is about something else. ``sent``: a provider may have heard of it.
    """

    def __init__(self, upstream: Source, grant: Grant, expected: int, event_id: str = "", lane: str = "") -> None:
        self.upstream = upstream
        self.grant = grant
        self.input = expected
        self.event_id = event_id
        self.lane = lane
        self.id = ""
        self.written = 0.0
        self.spoken = 0.0
        self.doubted = False
        self.sent = True
        self.reservation: Reservation | None = None

    @property
    def usual(self) -> int:
        """Tokens that a response under this grant usually has."""
        quotas = self.grant.quotas
        return quotas.usual.output if quotas is not None else 0

    def estimate(self) -> Usage:
        if not self.id:
            return Usage(self.input)  # nobody knows whether it has begun: the input, as of any that was sent
        return Usage(self.input, int(self.written), audio_output=int(self.spoken))


class Tab:
    """``under_way`` are in the order in which they were asked for; ``responses`` counts those that were settled,
    ``context`` is the input of the latest, in tokens.
    """

    def __init__(
        self, call: Call, rights: Rights, accounts: Accounts, counts: Counts, meter: Meter, failed: Failed
    ) -> None:
        """`failed` is called with a defect of ours, met where Redis's reply is heard."""
        self._call = call
        self._rights = rights
        self._accounts = accounts
        self._counts = counts
        self._meter = meter
        self._failed = failed
        self.under_way: list[Due] = []
        self._asking: list[Due] = []
        self.responses = 0
        self.context = 0

    def open(self, due: Due, output: int, told: Told) -> bool:
        """A response is asked for that may write so many tokens: True where it is within the limits. Where Redis has
        to be asked, False, and `told` is called once, with what refuses it or None. Raises RateLimited,
        BudgetExceeded, Overloaded.
        """
        self._admit()
        if not self._reserve(due, output, told):
            return False
        self.under_way.append(due)
        return True

    def begin(self, due: Due, output: int, told: Told) -> None:
        """The same of one that has begun by itself: what comes of it is charged, whatever refuses it."""
        try:
            self._admit()
        finally:
            self.under_way.append(due)
        self._reserve(due, output, told)

    def _admit(self) -> None:
        if len(self.under_way) >= MOST_UNDER_WAY:
            raise RateLimited(f"A connection may have {MOST_UNDER_WAY} responses in flight.")
        if self._rights.lease is not None:
            self._rights.lease.again()

    def _reserve(self, due: Due, output: int, told: Told) -> bool:
        quotas = due.grant.quotas
        if quotas is None:
            return True
        reservation = due.reservation = Reservation(self._counts, quotas)
        self._asking.append(due)
        try:
            if not reservation.take(due.input, output, partial(self._told, due, told)):
                return False
        except EdgeError:
            self._asking.remove(due)
            raise
        self._asking.remove(due)
        return True

    def _told(self, due: Due, told: Told, refusal: EdgeError | None) -> None:
        self._asking.remove(due)
        if refusal is None and due not in self.under_way:
            self.under_way.append(due)
        try:
            told(due, refusal)
        except Exception as defect:  # noqa: BLE001 - of ours: Redis's reply would leave a client waiting
            self._failed(defect)

    def named(self, response_id: str, lane: str = "") -> Due | None:
        """The one that is called so, or else the oldest that has no name yet on that lane."""
        for due in self.under_way:
            if due.id == response_id and response_id:
                return due
        return next((due for due in self.under_way if not due.id and due.lane == lane), None)

    def current(self, lane: str) -> Due | None:
        """The one that goes on on that lane."""
        return next((due for due in self.under_way if due.id and due.lane == lane), None)

    def drop(self, due: Due) -> None:
        """Nothing comes of it, and nothing is charged."""
        if due in self.under_way:
            self.under_way.remove(due)
        if due.reservation is not None:
            due.reservation.give_back()

    def refuse(self) -> None:
        """The provider takes no more: nothing comes of those that have not begun."""
        for due in [due for due in self.under_way if not due.id]:
            self.drop(due)

    def settle(self, due: Due, usage: Usage | None) -> None:
        """It has ended, with this usage, None where its provider tells none."""
        self.under_way.remove(due)
        self.responses += 1
        if due in self._asking and due.reservation is not None:
            # Redis has not told yet whether it may be: what it used counts as what comes late.
            self._asking.remove(due)
            due.reservation.cancel()
            due.reservation.end()
        if usage is not None:
            self.context = max(0, usage.input) + max(0, usage.cache_read)
        self.charge(
            due.upstream, due.grant.label, due.estimate() if usage is None else usage, due.reservation, usage is None
        )
        if due.reservation is not None:
            due.reservation.end()

    def give_up(self, due: Due) -> None:
        """Nothing more is told of it: it is charged by an estimate, but where an error has ended it before anything, or
        nobody has heard of it.
        """
        if not due.sent or (due.doubted and not due.written):
            self.drop(due)
        else:
            self.settle(due, None)

    def charge(
        self, upstream: Source, label: str, usage: Usage, reservation: Reservation | None, estimated: bool = False
    ) -> None:
        """What an answer used, once."""
        ledger = self._call.ledger
        charge = self._accounts.charge(upstream, label, self._call.key.tenant, usage)
        if charge is None:
            return
        counts, cost = charge
        if reservation is not None:
            reservation.used(counts, cost)
        ledger.usage = counts if ledger.usage is None else ledger.usage.plus(counts)
        if estimated:
            ledger.estimated = True
            self._meter.count("edge_estimated_requests_total", upstream.name)
        if cost >= 0:
            ledger.cost = cost if ledger.cost < 0 else cost + ledger.cost

    def close(self) -> None:
        """The connection has ended."""
        self._failed = unheard
        asking, self._asking = self._asking, []
        for due in asking:
            if due.reservation is not None:
                due.reservation.cancel()
                due.reservation.give_back()
        for due in list(self.under_way):
            self.give_up(due)


def unheard(defect: BaseException) -> None:
    """Nobody waits any more."""
