"""The client connections of a worker: how many there may be, in all and of an address, and who goes when it is full.

Descriptors are bounded, and what clients take is not there for providers: connections beyond a bound close the idlest
one, and are turned away where none is idle.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from edge.config import Server
from edge.guard.logins import group_of
from edge.hooks import Meter

__all__ = ["Connection", "Crowd", "Door", "bounds"]

RESERVED = 64
"""Descriptors that clients never get, whatever is configured: listeners, the log, Redis, a few providers."""
ONE_ADDRESS = 0.9
"""Of all connections, what one address may have by default: it may be the proxy that everybody comes through, and if it
is not, a tenth is left for everybody else."""
BATCH = 64
"""The idlest connections are looked for so many at a time: a look at all is dear where there are thousands."""
PATIENCE_S = 0.2
"""When none was idle, nobody looks again for so long."""
REPORT_S = 10.0
"""Between two lines of the log that say the same."""
TURNED_AWAY = 16
"""So many connections beyond the bound, or an eighth of it, are told why; those beyond are closed at once."""


class Connection(Protocol):
    """As far as a crowd knows one. ``group`` is the crowd's; ``idle_since`` is None while it is not idle."""

    group: str | None

    @property
    def idle_since(self) -> float | None: ...

    def give_up(self) -> None:
        """Close at once, as nothing is under way."""
        ...


class Door(Protocol):
    """By which connections enter: a crowd's own, or one before it."""

    def enter(self, connection: Connection, address: str) -> bool: ...


def bounds(server: Server, descriptors: int) -> tuple[int, int]:
    """How many connections a worker that may open so many descriptors takes, in all and of one address."""
    most = max(descriptors - RESERVED, descriptors // 2, 1)
    total = min(server.max_connections or max(descriptors // 2, 1), most)
    return total, min(server.max_connections_per_address or max(int(total * ONE_ADDRESS), 1), total)


class Crowd:
    """``open`` is how many connections are in it."""

    def __init__(self, total: int, per_address: int, meter: Meter, log: Any, turn_away: Callable[[Any], None]) -> None:
        """`turn_away` is called with each connection that may not stay, by whoever asked."""
        self.total = total
        self.per_address = per_address
        self.open = 0
        self.turned_away = 0
        self._members: dict[str, set[Connection]] = {}
        self._idlest: dict[str | None, list[tuple[float, int, Connection]]] = {}
        self._fruitless: dict[str | None, float] = {}
        self.turn_away = turn_away
        self._meter = meter
        self._log = log
        self._reported = float("-inf")
        self._closed = self._refused = 0

    def enter(self, connection: Connection, address: str) -> bool:
        """Whether a connection that has come may stay; `address` is empty for one over a socket of the file system,
        which is bounded by the total alone.
        """
        group = group_of(address)
        members = self._members.get(group, ())
        if (address and len(members) >= self.per_address and not self._make_room(group, members)) or (
            self.open >= self.total and not self._make_room(None, self._all())
        ):
            self._refused += 1
            self._meter.count("edge_connections_shed_total", "refused")
            self._report()
            return False
        connection.group = group
        self._members.setdefault(group, set()).add(connection)
        self.open += 1
        return True

    def leave(self, connection: Connection) -> None:
        """It is closed, or as good as."""
        group, connection.group = connection.group, None
        if group is None:
            return
        self.open -= 1
        members = self._members[group]
        members.discard(connection)
        if not members:
            del self._members[group]
            self._idlest.pop(group, None)
            self._fruitless.pop(group, None)

    @property
    def tells_why(self) -> bool:
        """Whether there is room for one more that is told why it is turned away."""
        return self.turned_away < max(TURNED_AWAY, self.total // 8)

    def _all(self) -> Iterable[Connection]:
        return (each for members in self._members.values() for each in members)

    def _make_room(self, key: str | None, candidates: Iterable[Connection]) -> bool:
        """Close the idlest of `candidates`, if one is idle."""
        victim = self._known_idlest(key)
        if victim is None:
            now = asyncio.get_running_loop().time()
            if now < self._fruitless.get(key, 0.0):
                return False
            idle = [(since, id(each), each) for each in candidates if (since := each.idle_since) is not None]
            self._idlest[key] = heapq.nsmallest(BATCH, idle)[::-1]
            victim = self._known_idlest(key)
            if victim is None:
                self._fruitless[key] = now + PATIENCE_S
                return False
        self.leave(victim)
        victim.give_up()
        self._closed += 1
        self._meter.count("edge_connections_shed_total", "closed_idle")
        self._report()
        return True

    def _known_idlest(self, key: str | None) -> Connection | None:
        known = self._idlest.get(key, [])
        while known:
            since, _, connection = known.pop()
            if connection.group is not None and connection.idle_since == since:
                return connection
        return None

    def _report(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._reported < REPORT_S:
            return
        self._reported = now
        self._log.warning(
            "connections are at their bound",
            open=self.open,
            max_connections=self.total,
            max_connections_per_address=self.per_address,
            closed_idle=self._closed,
            refused=self._refused,
        )
        self._closed = self._refused = 0
