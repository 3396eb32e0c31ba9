"""How often one address may fail to show a valid key: what it asks beyond that is told to wait.

A guess at a key of 190 bits is no danger; a client that tries on and on with a wrong one costs log lines and answers.
Who has a valid key is served whatever others at the same address do: it may be the proxy that everybody comes through.
So a guess that is right is told from one that is wrong beyond the limit as well as below it.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from edge.call import Call
from edge.clock import perf_counter
from edge.errors import EdgeError, InvalidApiKey, TooManyFailedLogins

__all__ = ["NO_KEY", "FailedLogins", "group_of"]

NO_KEY = InvalidApiKey().for_all()

MAX_ADDRESSES = 4096
"""A worker remembers so many, those that failed last."""
MINUTE_S = 60.0


@lru_cache(maxsize=4096)
def group_of(address: str) -> str:
    """Who is counted together: an IPv4 address, or the 64 bits of an IPv6 address that its owner does not choose."""
    if ":" not in address:
        return address
    try:
        known = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(known.ipv4_mapped or ipaddress.IPv6Network((known, 64), strict=False))


class Failures:
    """Those of one address, which will have failed no more than it may at ``until``, by a monotonic clock."""

    def __init__(self) -> None:
        self.until = 0.0


class FailedLogins:
    """Counts by GCRA: an address may fail ``per_minute`` times at once, and so often in each minute from then on."""

    def __init__(self) -> None:
        self._known: dict[str, Failures] = {}
        """By who is counted together; the last to fail is last."""
        self._address = ""
        self._latest: Failures | None = None
        """The last, and the address that it failed from: mostly it fails again."""

    def no_key(self, call: Call) -> EdgeError:
        """What a request without a valid key is told: the same for one that never was and one that is no more. Its
        connection ends where its address has failed too often.
        """
        error = self.refusal(call.peer, call.state.auth.failures_per_minute, perf_counter())
        call.closes = call.closes or error is not NO_KEY
        return error

    def refusal(self, address: str, per_minute: int, now: float) -> EdgeError:
        """What is told of a failure of this address, "" where that is not known."""
        wait_s = self.failed(address, per_minute, now) if address else 0.0
        return TooManyFailedLogins(wait_s) if wait_s else NO_KEY

    def failed(self, address: str, per_minute: int, now: float) -> float:
        """Count a failure; the seconds that the address is to wait, 0 while it is within its limit."""
        failures = self._latest
        if failures is None or address != self._address:
            failures = self._of(group_of(address))
            self._address, self._latest = address, failures
        each_s = MINUTE_S / per_minute
        until = max(failures.until, now)
        wait = until + each_s - now - MINUTE_S
        if wait <= 1e-9:
            wait, until = 0.0, until + each_s
        failures.until = until
        return wait

    def _of(self, group: str) -> Failures:
        known = self._known
        failures = known.pop(group, None) or Failures()
        known[group] = failures
        if len(known) > MAX_ADDRESSES:
            del known[next(iter(known))]
        return failures
