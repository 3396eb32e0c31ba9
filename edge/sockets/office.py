"""What all relays of one worker have in common, and what is counted of them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from edge._fast import Series
from edge.guard.counts import Counts
from edge.hooks import Meter
from edge.money.accounting import Accounts
from edge.upstreams.desk import Desk

__all__ = ["Counters", "Office", "Reason", "particulars"]

Reason = Literal["client", "provider", "left", "broken", "violation", "idle", "expired", "drain", "refused", "failed"]
"""Why a connection ended: its client closed it, or its provider did; its client left without a word, or its provider
did; either broke the protocol; nothing was said for too long, or it was open for too long; this edge ends; its key may
not go on; a defect of ours.
"""
ENDED_AS = b',"ended_by":"%b","close_code":%d,"responses":%d,"messages_in":%d,"messages_out":%d'


def particulars(reason: Reason, code: int, responses: int, taken: int, given: int) -> bytes:
    """What a line of the log, and a trace, tell of a connection that has ended."""
    return ENDED_AS % (reason.encode(), code, responses, taken, given)


class Counters:
    """By endpoint and direction, which is ``in`` from clients and ``out`` to them."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._open: dict[str, int] = {}
        self._bound: dict[tuple[str, str], tuple[Series, Series]] = {}

    def opened(self, endpoint: str) -> None:
        self._tell(endpoint, 1)

    def ended(self, endpoint: str, reason: Reason) -> None:
        self._tell(endpoint, -1)
        self._meter.count("edge_websocket_ends_total", endpoint, reason)

    def message(self, endpoint: str, direction: str, size: int) -> None:
        found = self._bound.get((endpoint, direction))
        if found is None:
            bind = self._meter.bind
            found = self._bound[endpoint, direction] = (
                bind("edge_websocket_messages_total", endpoint, direction),
                bind("edge_websocket_bytes_total", endpoint, direction),
            )
        found[0].tell(1.0)
        found[1].tell(float(size))

    def _tell(self, endpoint: str, more: int) -> None:
        self._open[endpoint] = self._open.get(endpoint, 0) + more
        self._meter.level("edge_websockets", self._open[endpoint], endpoint)


class Office(NamedTuple):
    """What all relays of one worker have in common."""

    desk: Desk
    accounts: Accounts
    counts: Counts
    counters: Counters
