"""Whether an upstream that has failed is asked again, and when."""

from __future__ import annotations

import random

from edge.config import Resilience
from edge.upstreams.budget import RetryBudget
from edge.upstreams.retry import may_follow
from edge.upstreams.rules import RULES
from edge.upstreams.tried import NEVER, Tried

__all__ = ["delay_s"]

BACKOFF_S, MAX_BACKOFF_S = 0.25, 2.0
"""Before the same upstream is asked again: any time up to the first, which doubles up to the second. "Full jitter":
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""
LATE_S = 0.005
"""Clocks differ: so much later than it has asked for is an upstream asked again."""


def delay_s(
    tried: Tried, status: int, retries: int, settings: Resilience, budget: RetryBudget, left_s: float, now: float
) -> float:
    """The seconds after which the upstream of an attempt is asked again, whose failure has this status (0: no answer
    came), `NEVER` where it is not: it would be in vain, the `retries` so far are all that there may be, nothing is left
    of the `budget`, or less than that wait of the request's own time. In the second and third case it is ``spent``.
    """
    rule = RULES.get(status)
    if not settings.retries or (status and (rule is None or not rule.again)):
        return NEVER
    if tried.request is None or tried.following is not None or not may_follow(tried, rule is None or rule.taken):
        return NEVER
    rest = tried.provider.resting(tried.upstream.model, now)[0]
    delay = random.uniform(0.0, min(BACKOFF_S * 2**retries, MAX_BACKOFF_S))
    if rest:
        delay += rest + LATE_S
    tried.spent = retries >= settings.retries
    if tried.spent or rest > settings.retry_wait_s or delay >= left_s:
        return NEVER
    if not budget.take(settings.retry_budget, now):
        tried.spent = True
        return NEVER
    return delay
