"""How much may be used: tokens in a minute, money in a day or a month, by a key, by a tenant, by whoever asks an alias.

Days and months are those of UTC: a day begins at 00:00, a month on its first day. Money is in whole 1e-12 USD.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import xxhash

from edge import config
from edge.guard.auth import Key
from edge.guard.limit_fields import TOKENS, USD, LimitFields, dollars
from edge.money.pricing import PICO, ModelPrice
from edge.money.usage_table import Line

__all__ = ["DAY_S", "Quota", "Quotas", "Usual", "quotas_of"]

MINUTE_NS = 60_000_000_000
DAY_S = 86400
EPOCH = date(1970, 1, 1)
FIRST_GUESS = 500
"""Output tokens of an answer, before any has come: about the mean of the recorded calls (`tests/replay`)."""
LATEST = 8
"""The mean goes by about so many answers."""
LONGEST = 1 << 17
"""No answer counts as longer: about the most that models write at once."""


class Quota:
    """What one may use. ``scope`` is key, tenant or model, and ``name`` whose. ``tokens`` are those of a minute, 0 for
    any number; ``interval_ns`` is what one of them takes to come back, ``tokens_mark`` their fingerprint. ``budget``
    is the money of a ``per`` (day or month), -1 for any. ``tokens_fields`` and ``money_fields`` tell what is left.
    """

    def __init__(self, scope: str, name: str, tokens: int, budget: int, per: str) -> None:
        self.scope = scope
        self.name = name
        self.tokens = tokens
        self.budget = budget
        self.per = per
        named = f"{scope}:{name}".encode()
        self.tokens_mark = xxhash.xxh3_64_intdigest(b"tokens:" + named)
        self.interval_ns = max(1, MINUTE_NS // (tokens or 1))
        self.tokens_fields = LimitFields(TOKENS, b"%d" % tokens)
        self.money_fields = LimitFields(USD, dollars(budget))
        self._fingerprint = xxhash.xxh3_64_intdigest(b"budget:%b:%b" % (per.encode(), named)) & ~0xFFFF or 1 << 16
        self._day = -1
        self._mark = 0
        self._ends = 0

    def mark(self, day: int) -> int:
        """What its money is counted by, in the period that a day (since 1970-01-01) is in: `Spend` says what it is."""
        if day != self._day:
            self._day = day
            self._ends = last_day(day, self.per) + 1
            self._mark = self._fingerprint | (self._ends - 1 & 0xFFFF)
        return self._mark

    def ends(self, day: int) -> int:
        """The first day of the next period."""
        self.mark(day)
        return self._ends

    @property
    def whose(self) -> str:
        """For people."""
        return f"The {self.scope} '{self.name}'"


class Usual:
    """How many tokens the answers have, of late, that say nothing of how many they may have."""

    def __init__(self) -> None:
        self.output = FIRST_GUESS

    def note(self, output: int) -> None:
        self.output += (min(output, LONGEST) - self.output) // LATEST


class Quotas:
    """All that a grant's requests count against, ``all``; it may be nothing, where they are to be booked alone.
    ``price`` is that of the dearest upstream that is asked first, None where none is known; ``key``, ``tenant`` and
    ``model`` are the names in the books. A reservation lasts for ``hold_ms`` in Redis; ``refuses``: nothing is
    let through without that. ``usual`` is what its answers have, as far as this worker knows, and ``line`` is where
    its requests were booked last.
    """

    def __init__(
        self,
        every: tuple[Quota, ...],
        price: ModelPrice | None,
        key: str,
        tenant: str,
        model: str,
        hold_s: float = 660.0,
        refuses: bool = False,
    ) -> None:
        self.all = every
        self.price = price
        self.budgeted = max([quota.budget for quota in every], default=-1) >= 0
        self.key = key
        self.tenant = tenant
        self.model = model
        self.hold_ms = int(hold_s * 1000)
        self.refuses = refuses
        self.usual = Usual()
        self.line: Line | None = None


def quotas_of(settings: config.Config, key: Key, alias: str) -> tuple[Quota, ...]:
    """What a key's requests for an alias count against."""
    found: list[Quota] = []
    tenant, model = settings.auth.tenants.get(key.tenant), settings.models.get(alias) if alias else None
    for scope, name, tokens, budget in (
        ("key", key.id, key.tokens_per_minute, key.budget),
        ("tenant", key.tenant, *of(tenant)),
        ("model", alias, *of(model)),
    ):
        if tokens is not None or budget is not None:
            dollars = -1 if budget is None else int(Decimal(str(budget.usd)) * PICO)
            found.append(Quota(scope, name, tokens or 0, dollars, "day" if budget is None else budget.per))
    return tuple(found)


def of(settings: config.Tenant | config.Model | None) -> tuple[int | None, config.Budget | None]:
    return (None, None) if settings is None else (settings.tokens_per_minute, settings.budget)


def last_day(day: int, per: str) -> int:
    """The last day of the period that a day (since 1970-01-01) is in."""
    if per == "day":
        return day
    first = (EPOCH + timedelta(days=day)).replace(day=28) + timedelta(days=4)
    return (first.replace(day=1) - EPOCH).days - 1


def begins(day: int) -> str:
    """When a day begins, for people."""
    return datetime.fromtimestamp(day * DAY_S, UTC).strftime("%Y-%m-%d %H:%M UTC")
