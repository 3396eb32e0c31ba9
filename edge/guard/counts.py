"""Where one worker counts what is used: in memory that all workers share, and in Redis where machines share that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge import config
from edge._fast import Limits, Spend
from edge.guard import moments
from edge.guard.decisions import Decisions
from edge.guard.quotas import DAY_S, Quota, Quotas
from edge.guard.shared_quotas import SharedQuotas
from edge.hooks import Meter
from edge.money.usage_table import Row, UsageTable

if TYPE_CHECKING:
    from edge.redis.client import RedisClient

__all__ = ["Counts"]

MAX_HEARD = 65536


class Counts:
    """Where one worker counts: the rates, the money and the books of all workers, its number there, and two clocks."""

    def __init__(
        self,
        limits: Limits,
        spend: Spend,
        usage: UsageTable,
        worker: int,
        meter: Meter,
        machine: bytes,
        now_ns: Callable[[], int] | None = None,
        wall: Callable[[], float] | None = None,
    ) -> None:
        """The two clocks are the machine's, in ns and in seconds, unless others are given."""
        self.limits = limits
        self.spend = spend
        self.usage = usage
        self.worker = worker
        self.tokens = Decisions(meter, "tokens")
        self.budget = Decisions(meter, "budget")
        self.redis = Decisions(meter, "redis")
        self.machine = machine
        self.shared: SharedQuotas | None = None
        self.limited = False
        self._shares: dict[int, tuple[int, int]] = {}
        self._now_ns = now_ns
        self._wall = wall

    def heed(self, settings: config.Config) -> None:
        """From now on, ``limited`` says whether anything is to be counted with other machines. Keys are in a table, or
        in a file that changes: of these it is known as soon as one of them is asked for what it may use.
        """
        parts: list[config.Tenant | config.Model] = [*settings.auth.tenants.values(), *settings.models.values()]
        quotas = [part for part in parts if part.budget is not None or part.tokens_per_minute is not None]
        self.limited = self.limited or bool(quotas)

    def counts_with_others(self) -> bool:
        return self.limited

    async def share(self, client: RedisClient | None, settings: config.Redis | None) -> None:
        """From now on count in Redis as well, or here alone. Returns when what was counted there before is told."""
        before, self.shared = self.shared, None
        if client is not None and settings is not None:
            self.shared = SharedQuotas(client, settings, self.machine, self.counts_with_others, self.wall)
        if before is not None:
            await before.close()

    def heard(self, mark: int, budget: int, total: int) -> None:
        """Redis has told that so much is spent and reserved: of the rest, each machine may spend a part without it."""
        if len(self._shares) >= MAX_HEARD:
            self._shares.clear()
        self._shares[mark] = self.spend.spent(mark) + self.spend.held(mark), max(0, budget - total)

    def alone(self, mark: int, budget: int) -> int:
        """What this machine may spend without Redis, of a budget."""
        # How many machines there are is known best now: some may have come since.
        own, rest = self._shares.get(mark, (0, budget))
        return min(own + rest // (self.shared.machines if self.shared is not None else 1), budget)

    def now_ns(self) -> int:
        """By the clock that never goes back."""
        return moments.monotonic_ns() if self._now_ns is None else self._now_ns()

    def wall(self) -> float:
        """By the clock that people look at."""
        return moments.wall() if self._wall is None else self._wall()

    def today(self) -> int:
        """The day by UTC, since 1970-01-01."""
        return moments.today() if self._wall is None else int(self._wall()) // DAY_S

    def tokens_left(self, quota: Quota) -> int:
        """How many may be used at once now."""
        left: int = self.limits.remaining(quota.tokens_mark, quota.interval_ns, quota.tokens, self.now_ns())[0]
        return left

    def book(self, quotas: Quotas, requests: int, input_tokens: int, output_tokens: int, cost: int) -> None:
        """What was used today."""
        today, line = self.today(), quotas.line
        if line is None or line.day != today:
            row = Row(today, quotas.key, quotas.tenant, quotas.model)
            line = self.usage.line(row)
            # Not where others of which there are too many are booked: there may be room soon.
            quotas.line = line if line.row == row else None
        self.usage.enter(line, requests, input_tokens, output_tokens, cost)
