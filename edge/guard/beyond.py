"""What a request is told that is beyond its quotas: whose they are, how much that is, and when to come again."""

from __future__ import annotations

from math import ceil

from edge._fast import EXHAUSTED
from edge.errors import BudgetExceeded, EdgeError, RateLimited
from edge.guard.counts import Counts
from edge.guard.quotas import DAY_S, Quota, begins
from edge.money.pricing import PICO

__all__ = ["too_dear", "too_fast", "too_long"]

SECOND_NS = 1_000_000_000


def too_long(quota: Quota, tokens: int) -> EdgeError:
    allowed = f"{quota.whose} may use {quota.tokens} tokens a minute (tokens_per_minute)"
    return RateLimited(f"{allowed}; the request alone has about {tokens}.", wait_ns=0)


def too_fast(quota: Quota, wait_ns: int) -> EdgeError:
    seconds = max(1, ceil(wait_ns / SECOND_NS))
    allowed = f"{quota.whose} may use {quota.tokens} tokens a minute (tokens_per_minute)"
    return RateLimited(f"{allowed}; try again in {seconds} s.", wait_ns=wait_ns)


def too_dear(counts: Counts, quota: Quota, answer: int) -> EdgeError:
    """`answer` is that of `Spend.reserve`."""
    allowed = f"{quota.whose} may spend {quota.budget / PICO:g} USD a {quota.per} (budget)"
    if answer != EXHAUSTED:
        return BudgetExceeded(f"{allowed}; requests in flight may need the rest.", wait_s=1)
    ends = quota.ends(counts.today())
    wait_s = max(1, ceil(ends * DAY_S - counts.wall()))
    return BudgetExceeded(f"{allowed}; the next begins at {begins(ends)}.", wait_s=wait_s)
