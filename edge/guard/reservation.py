"""What a request may come to is reserved before a provider is asked, and settled by what it came to.

A `Reservation` is told three things: `take`, before anybody is asked; `used`, by the accounts, of each answer that is
charged; `end`, once, when the request is settled, whatever became of it. So what was reserved is given back on every
way, and what was charged counts on every way, each once: an answer that is charged after the end, of a flight whose
first client has left, or of an attempt that was given up, counts by itself.

Tokens are a rate (GCRA), so what was reserved comes back by itself with time, first come first back. What the request
did not need is given back as far as it has not come back so, and what it needed beyond is taken then. Money is counted:
what is spent is added before what was reserved is let go of.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from time import monotonic_ns, time

from edge._fast import ADMITTED, CROWDED, NEVER, TABLE_FULL, UNCOUNTED, Limits, Spend
from edge.dialects.rate_limit_headers import openai_to_anthropic
from edge.errors import BudgetExceeded, EdgeError, Headers, RateLimited
from edge.guard.quotas import DAY_S, Quota, Quotas, begins
from edge.hooks import Meter, Usage
from edge.money.pricing import PICO
from edge.money.usage_table import Row, UsageTable, Used
from edge.routes import Dialect

__all__ = ["Counts", "Reservation"]

DECISIONS = "edge_limit_decisions_total"
SECOND_NS = 1_000_000_000
MOST = 10**16
"""In 1e-12 USD, 10,000 USD: what one request is taken to cost at most."""
MOST_TOKENS = 1 << 40
ANSWERED = Used(1, 0, 0, 0)

# The states, and the events by which one follows the other.
NEW, HELD, ENDED = 0, 1, 2
FOLLOWS = {
    NEW: (HELD, ENDED),
    HELD: (ENDED,),
    ENDED: (),
}
MAY_FOLLOW = bytes(new in FOLLOWS[state] for state in FOLLOWS for new in FOLLOWS)  # a row of each state


class Counts:
    """Where one worker counts: the rates, the money and the books of all workers, its number there, and two clocks."""

    def __init__(
        self,
        limits: Limits,
        spend: Spend,
        usage: UsageTable,
        worker: int,
        meter: Meter,
        now_ns: Callable[[], int] = monotonic_ns,
        wall: Callable[[], float] = time,
    ) -> None:
        self.limits = limits
        self.spend = spend
        self.usage = usage
        self.worker = worker
        self.count = meter.count
        self.now_ns = now_ns
        self.wall = wall

    def today(self) -> int:
        """The day by UTC, since 1970-01-01."""
        return int(self.wall()) // DAY_S

    def tokens_left(self, quota: Quota) -> int:
        """How many may be used at once now."""
        left: int = self.limits.remaining(quota.tokens_mark, quota.interval_ns, quota.tokens, self.now_ns())[0]
        return left

    def book(self, quotas: Quotas, used: Used) -> None:
        """What was used today."""
        self.usage.add(Row(self.today(), quotas.key, quotas.tenant, quotas.model), used)


class Part:
    """What is reserved of one quota: tokens, which are back at ``until_ns`` at the latest, and money, by ``mark``."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.tokens = 0
        self.until_ns = 0
        self.mark = 0
        self.money = 0


class Reservation:
    """Of one request, by the quotas of its grant."""

    def __init__(self, counts: Counts, quotas: Quotas) -> None:
        self._counts = counts
        self._quotas = quotas
        self._state = NEW
        self._parts: list[Part] = []
        self._used = 0

    def take(self, input_tokens: int, output_tokens: int) -> None:
        """Reserve what the request may come to. Raises RateLimited, BudgetExceeded, and then nothing is reserved."""
        quotas = self._quotas
        cost = 0
        if quotas.budgeted and quotas.price is not None:
            cost = min(quotas.price.cost(Usage(input_tokens, output_tokens)), MOST)
        tokens = min(input_tokens + output_tokens, MOST_TOKENS)
        refusal: EdgeError | None = None
        for quota in quotas.all:
            part = Part(quota)
            if quota.tokens:
                refusal = self._take_tokens(part, input_tokens, tokens)
            if quota.budget >= 0 and refusal is None:
                refusal = self._take_money(part, cost)
                if refusal is not None:
                    self._settle_tokens(part, 0)
            if refusal is not None:
                for taken in self._parts:
                    self._settle_tokens(taken, 0)
                    self._let_go(taken)
                self._parts = []
                self._enter(ENDED)
                raise refusal
            self._parts.append(part)
        self._enter(HELD)

    def _take_tokens(self, part: Part, least: int, tokens: int) -> EdgeError | None:
        """At most what the quota has, if the input alone is not more."""
        counts, quota = self._counts, part.quota
        if least > quota.tokens:
            counts.count(DECISIONS, "tokens", "refused")
            asked = f"{quota.whose} may use {quota.tokens} tokens a minute (tokens_per_minute)"
            return RateLimited(f"{asked}; the request alone has about {least}.", wait_ns=0)
        wanted, now = min(tokens, quota.tokens), counts.now_ns()
        wait_ns = counts.limits.take(quota.tokens_mark, quota.interval_ns, quota.tokens, wanted, now)
        if not wait_ns:
            counts.count(DECISIONS, "tokens", "admitted")
            part.tokens = wanted
            part.until_ns = now + counts.limits.remaining(quota.tokens_mark, quota.interval_ns, quota.tokens, now)[1]
            return None
        full = wait_ns in (TABLE_FULL, NEVER)
        counts.count(DECISIONS, "tokens", "full" if full else "refused")
        wait_ns = SECOND_NS if full else wait_ns
        seconds = max(1, ceil(wait_ns / SECOND_NS))
        allowed = f"{quota.whose} may use {quota.tokens} tokens a minute (tokens_per_minute)"
        return RateLimited(f"{allowed}; try again in {seconds} s.", wait_ns=wait_ns)

    def _take_money(self, part: Part, cost: int) -> EdgeError | None:
        counts, quota = self._counts, part.quota
        today = counts.today()
        mark = quota.mark(today)
        answer = counts.spend.reserve(counts.worker, mark, cost, quota.budget, today)
        if answer == ADMITTED:
            counts.count(DECISIONS, "budget", "admitted")
            part.mark, part.money = mark, cost
            return None
        counts.count(DECISIONS, "budget", "full" if answer == UNCOUNTED else "refused")
        allowed = f"{quota.whose} may spend {quota.budget / PICO:g} USD a {quota.per} (budget)"
        if answer in (CROWDED, UNCOUNTED):
            return BudgetExceeded(f"{allowed}; requests under way may need the rest.", wait_s=1)
        ends = quota.ends(today)
        return BudgetExceeded(
            f"{allowed}; the next begins at {begins(ends)}.", wait_s=max(1, ceil(ends * DAY_S - counts.wall()))
        )

    def used(self, usage: Usage, cost: int) -> None:
        """An answer was charged: its tokens, and its cost in 1e-12 USD, -1 where that is not known."""
        counts, quotas = self._counts, self._quotas
        tokens = tokens_of(usage)
        output = max(usage.output, 0)
        counts.book(quotas, Used(0, tokens - output, output, max(cost, 0)))
        if usage.output > 0:
            quotas.usual.note(usage.output)
        if cost > 0 and quotas.budgeted:
            today = counts.today()
            for quota in quotas.all:
                if quota.budget >= 0:
                    counts.spend.add(self._mark(quota, today), cost, today)
        if self._state != ENDED:
            self._used += tokens
            return
        now = counts.now_ns()
        for quota in quotas.all:
            if quota.tokens:
                counts.limits.settle(quota.tokens_mark, quota.interval_ns, tokens, now)

    def _mark(self, quota: Quota, today: int) -> int:
        """The period that a cost belongs to: that in which it was reserved, else today's."""
        for part in self._parts:
            if part.quota is quota:
                return part.mark
        return quota.mark(today)

    def end(self) -> None:
        """The request is settled."""
        if self._state == ENDED:
            return
        self._enter(ENDED)
        self._counts.book(self._quotas, ANSWERED)
        for part in self._parts:
            self._settle_tokens(part, self._used)
            self._let_go(part)

    def _settle_tokens(self, part: Part, used: int) -> None:
        quota, counts = part.quota, self._counts
        if not quota.tokens or not part.tokens:
            return
        more, now = used - part.tokens, counts.now_ns()
        if more > 0:
            counts.limits.settle(quota.tokens_mark, quota.interval_ns, more, now)
        elif more < 0:
            back = min(-more, max(0, part.until_ns - now) // quota.interval_ns)
            counts.limits.settle(quota.tokens_mark, quota.interval_ns, -back, now)

    def _let_go(self, part: Part) -> None:
        if part.quota.budget >= 0:
            self._counts.spend.release(self._counts.worker, part.mark, part.money)

    def _enter(self, state: int) -> None:
        assert MAY_FOLLOW[self._state * (ENDED + 1) + state], (self._state, state)  # noqa: S101 - a defect of ours
        self._state = state

    # What is told.

    def headers(self, dialect: Dialect) -> Headers:
        """What is left, in the words of a dialect: of the quota that has the least left, as a part of what it may."""
        counts = self._counts
        told: Headers = []
        least: tuple[float, Quota, int, int] | None = None
        poorest: tuple[float, Quota, int] | None = None
        today = counts.today()
        for quota in self._quotas.all:
            if quota.tokens:
                left, full_ns = counts.limits.remaining(
                    quota.tokens_mark, quota.interval_ns, quota.tokens, counts.now_ns()
                )
                if least is None or left / quota.tokens < least[0]:
                    least = (left / quota.tokens, quota, left, full_ns)
            if quota.budget >= 0:
                mark = quota.mark(today)
                rest = max(0, quota.budget - counts.spend.spent(mark) - counts.spend.held(mark))
                part = rest / (quota.budget or 1)
                if poorest is None or part < poorest[0]:
                    poorest = (part, quota, rest)
        if least is not None:
            told += [
                (b"x-ratelimit-limit-tokens", b"%d" % least[1].tokens),
                (b"x-ratelimit-remaining-tokens", b"%d" % least[2]),
                (b"x-ratelimit-reset-tokens", b"%ds" % ceil(least[3] / SECOND_NS)),
            ]
        if poorest is not None:
            seconds = max(1, ceil(poorest[1].ends(today) * DAY_S - counts.wall()))
            told += [
                (b"x-ratelimit-limit-usd", dollars(poorest[1].budget)),
                (b"x-ratelimit-remaining-usd", dollars(poorest[2])),
                (b"x-ratelimit-reset-usd", b"%ds" % seconds),
            ]
        return openai_to_anthropic(told, counts.wall()) if dialect == "anthropic" else told


def tokens_of(usage: Usage) -> int:
    """All tokens that a provider counted, those of its prompt cache too."""
    return max(usage.input, 0) + max(usage.output, 0) + max(usage.cache_read, 0) + max(usage.cache_write, 0)


def dollars(amount: int) -> bytes:
    """Whole 1e-12 USD as USD, to the millionth, rounded down."""
    return b"%d.%06d" % (amount // PICO, amount % PICO // 1_000_000)
