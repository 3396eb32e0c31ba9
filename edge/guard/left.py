"""What is left of a limit on tokens or money, for who looks on."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time

import msgspec

from edge.guard.counts import Counts
from edge.guard.quotas import DAY_S, Quota
from edge.money.pricing import PICO

__all__ = ["Left", "left_of"]


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """Of one limit of a key, a tenant or a model; None where there is none of that kind, or nobody counts.
    ``resets_at`` is when the budget's next period begins.
    """

    scope: str
    name: str
    tokens_per_minute: int | None
    tokens_left: int | None
    budget_usd: float | None
    per: str | None
    spent_usd: float | None
    reserved_usd: float | None
    left_usd: float | None
    resets_at: str | None


def left_of(quota: Quota, counts: Counts | None) -> Left:
    """As this machine counts it."""
    today = int(time()) // DAY_S if counts is None else counts.today()
    budgeted = quota.budget >= 0
    spent = held = None
    if counts is not None and budgeted:
        mark = quota.mark(today)
        spent, held = counts.spend.spent(mark), counts.spend.held(mark)
    return Left(
        scope=quota.scope,
        name=quota.name,
        tokens_per_minute=quota.tokens or None,
        tokens_left=counts.tokens_left(quota) if counts is not None and quota.tokens else None,
        budget_usd=quota.budget / PICO if budgeted else None,
        per=quota.per if budgeted else None,
        spent_usd=None if spent is None else spent / PICO,
        reserved_usd=None if held is None else held / PICO,
        left_usd=None if spent is None or held is None else max(0, quota.budget - spent - held) / PICO,
        resets_at=datetime.fromtimestamp(quota.ends(today) * DAY_S, UTC).isoformat() if budgeted else None,
    )
