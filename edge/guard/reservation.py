"""What a request may come to is reserved before a provider is asked, and settled by what it came to.

A `Reservation` is told three things: `take`, before anybody is asked; `used`, by the accounts, of each answer that is
charged; `end`, once, when the request is settled, whatever became of it. So what was reserved is given back on every
way, and what was charged counts on every way, each once: an answer that is charged after the end, of a flight whose
first client has left, or of an attempt that was given up, counts by itself. `more` reserves the same once more, where
one more answer may be charged than that.

Tokens are a rate (GCRA), so what was reserved comes back by itself with time, first come first back. What the request
did not need is given back as far as it has not come back so, and what it needed beyond is taken then. Money is counted:
what is spent is added before what was reserved is let go of.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edge._fast import ADMITTED, CROWDED, EXHAUSTED, NEVER, TABLE_FULL, UNCOUNTED, Lines
from edge.errors import EdgeError, Overloaded
from edge.guard.beyond import too_dear, too_fast, too_long
from edge.guard.counts import Counts
from edge.guard.decisions import Decisions
from edge.guard.limit_fields import TOKENS, USD, write_dollars
from edge.guard.quotas import DAY_S, Quota, Quotas
from edge.guard.shared_quotas import Taken
from edge.hooks import Usage
from edge.inquiry import Inquiry, Reserved

__all__ = ["Reservation", "reservation_of", "reserve"]

Told = Callable[["EdgeError | None"], None]
UNKNOWN = "Whether the request is within its limits cannot be looked up now; ask again."

SECOND_NS = 1_000_000_000
MOST = 10**16
"""In 1e-12 USD, 10,000 USD: what one request is taken to cost at most, and one answer to have cost, whatever its
provider has counted."""
MOST_TOKENS = 1 << 40
"""The same of tokens."""
AT_MOST = MOST_TOKENS
LIMITLESS = 1 << 60
NO_TOKENS = Usage()
NO_QUOTA = Quota("", "", 0, -1, "day")

# The states, and the events by which one follows the other.
NEW, ASKED, HELD, ENDED = 0, 1, 2, 3
FOLLOWS = {
    NEW: (ASKED, HELD, ENDED),
    ASKED: (HELD, ENDED),
    HELD: (ENDED,),
    ENDED: (),
}
MAY_FOLLOW = bytes(new in FOLLOWS[state] for state in FOLLOWS for new in FOLLOWS)  # a row of each state


class Part:
    """What is reserved of one quota: tokens, which are back at ``until_ns`` at the latest, and money, by ``mark``.
    ``taken`` is what is asked of Redis, None where that counts nothing; ``held``: it is reserved.
    """

    def __init__(self, quota: Quota) -> None:
        self.begin(quota)

    def begin(self, quota: Quota) -> None:
        """As it is made: nothing is reserved."""
        self.quota = quota
        self.tokens = 0
        self.until_ns = 0
        self.interval_ns = quota.interval_ns
        self.mark = 0
        self.money = 0
        self.taken: Taken | None = None
        self.held = False


class Reservation(Reserved):
    """Of one request, by the quotas of its grant."""

    def __init__(self, counts: Counts, quotas: Quotas) -> None:
        self.begin(counts, quotas)

    def begin(self, counts: Counts, quotas: Quotas) -> None:
        """As it is made: nothing is reserved."""
        self._counts = counts
        self._quotas = quotas
        self._state = NEW
        self._parts: list[Part] = []
        self._more: list[Reservation] = []
        self._least = 0
        self._output = 0
        self._tokens = 0
        self._cost = 0
        self._used = 0
        self._spent = 0
        self._waiting = 0
        self._refusal: EdgeError | None = None
        self._told: Told | None = None

    def take(self, input_tokens: int, output_tokens: int, told: Told | None) -> bool:
        """Reserve what the request may come to: True where it is. Where Redis has to be asked, False, and `told` is
        called once, with what refuses the request or None. Raises RateLimited, BudgetExceeded, Overloaded. Where the
        request is refused nothing is reserved.
        """
        counts, quotas = self._counts, self._quotas
        price = quotas.price
        if quotas.budgeted and price is not None:
            cost = price.plain(input_tokens, output_tokens)
            if cost < 0:
                cost = min(price.cost(bare(input_tokens, output_tokens)), MOST)
            self._cost = min(cost, MOST)
        self._least, self._output = input_tokens, output_tokens
        self._tokens = min(input_tokens + output_tokens, AT_MOST)
        shared = counts.shared
        if shared is None:
            for quota in quotas.all:
                part = Part.__new__(Part)
                part.begin(quota)
                self._parts.append(part)
                self._count(part, 1)
                if self._refusal is not None:
                    break
            self._decide()
            return True
        self._enter(ASKED)
        self._told = told
        today = counts.today()
        for quota in quotas.all:
            counts.limited = True
            part = Part(quota)
            self._parts.append(part)
            if quota.tokens and input_tokens > quota.tokens:
                self._refuse(too_long(quota, input_tokens), counts.tokens)
                continue
            wanted = min(self._tokens, quota.tokens)
            taken = Taken(quota, today, wanted, self._cost if quota.budget >= 0 else 0, quotas.hold_ms)
            if shared.take(taken, partial(self._answered, part)):
                part.taken = taken
                self._waiting += 1
            else:
                self._go_alone(part)
        if self._waiting:
            return False
        self._told = None
        self._decide()
        return True

    def cancel(self) -> None:
        """Nobody waits for it any more; its end follows."""
        self._told = None

    def more(self, told: Told) -> None:
        """Reserve the same once more, since one more answer may be charged. `told` is called once, at once or when
        Redis has been asked, with what refuses that, or None. It is given back with the end of this reservation, by
        which all that was used is settled; after that, nothing more can be reserved.
        """
        refusal: EdgeError | None = None
        if self._state == ENDED:
            refusal = Overloaded(UNKNOWN)
        else:
            extra = Reservation(self._counts, self._quotas)
            self._more.append(extra)
            try:
                if not extra.take(self._least, self._output, told):
                    return
            except EdgeError as error:
                refusal = error
        told(refusal)

    def _answered(self, part: Part, taken: Taken, words: list[bytes] | None) -> None:
        """What Redis says, None for nothing."""
        counts, quota, shared = self._counts, part.quota, self._counts.shared
        self._waiting -= 1
        if words is None or self._state == ENDED:
            # If it was done and the word of it lost, it is undone; as is what nobody waits for any more.
            part.taken = None
            if shared is not None and (words is None or words[0] == b"taken"):
                taken.until = int(words[1]) if words is not None else 0
                shared.settle(taken, 0, 0)
            if self._state == ENDED:
                return
            self._go_alone(part)
        elif words[0] == b"taken":
            taken.until, taken.total, taken.left = int(words[1]), int(words[2]), int(words[3])
            self._hold(part, taken)
        else:
            part.taken = None
            if words[0] == b"tokens":
                self._refuse(too_fast(quota, int(words[1]) * 1000), counts.tokens)
            else:
                self._refuse(too_dear(counts, quota, CROWDED if words[0] == b"crowded" else EXHAUSTED), counts.budget)
        told = self._told
        if self._waiting or told is None:
            return
        self._told = None
        try:
            self._decide()
        except EdgeError as refusal:
            told(refusal)
        else:
            told(None)

    def _hold(self, part: Part, taken: Taken) -> None:
        """What is reserved in Redis counts here too, for the time when that is gone."""
        counts, quota = self._counts, part.quota
        part.held = True
        if quota.tokens:
            now = counts.now_ns()
            part.tokens = taken.tokens
            counts.limits.settle(quota.tokens_mark, quota.interval_ns, taken.tokens, now)
            part.until_ns = now + counts.limits.ahead(quota.tokens_mark, now)
            counts.tokens.admitted()
        if quota.budget >= 0:
            part.mark, part.money = quota.mark(taken.day), taken.money
            counts.spend.reserve(counts.worker, part.mark, part.money, LIMITLESS, counts.today())
            counts.heard(part.mark, quota.budget, taken.total)
            counts.budget.admitted()

    def _go_alone(self, part: Part) -> None:
        """Without Redis: a machine's part of the limit, or nothing."""
        counts = self._counts
        if self._quotas.refuses:
            self._refuse(Overloaded(UNKNOWN), counts.redis)
        elif self._refusal is None:
            counts.redis.other("alone")
            self._count(part, counts.shared.machines if counts.shared is not None else 1)

    def _refuse(self, refusal: EdgeError, decisions: Decisions, decision: str = "refused") -> None:
        decisions.other(decision)
        if self._refusal is None:
            self._refusal = refusal

    def _decide(self) -> None:
        """All have said what they say. Raises what one of them has refused it by, and gives all back."""
        refusal, self._refusal = self._refusal, None
        if refusal is None:
            self._enter(HELD)
            return
        self._enter(ENDED)
        parts, self._parts = self._parts, []
        for part in parts:
            self._settle(part)
        raise refusal

    def _count(self, part: Part, machines: int) -> None:
        """Reserve here, of the limits as so many machines share them."""
        quota = part.quota
        if quota.tokens:
            self._take_tokens(part, machines)
        if quota.budget >= 0 and self._refusal is None:
            limit = quota.budget
            if self._counts.shared is not None:
                limit = self._counts.alone(quota.mark(self._counts.today()), limit)
            self._take_money(part, limit)
        part.held = True

    def _take_tokens(self, part: Part, machines: int) -> None:
        """At most what the quota has, if the input alone is not more."""
        counts, quota = self._counts, part.quota
        if self._least > quota.tokens:
            self._refuse(too_long(quota, self._least), counts.tokens)
            return
        limit = quota.tokens
        if machines > 1:
            limit = max(1, limit // machines)
        interval_ns, wanted, now = quota.interval_ns * machines, min(self._tokens, limit), counts.now_ns()
        wait_ns = counts.limits.take(quota.tokens_mark, interval_ns, limit, wanted, now)
        if wait_ns:
            full = wait_ns in (TABLE_FULL, NEVER)
            refusal = too_fast(quota, SECOND_NS if full else wait_ns)
            self._refuse(refusal, counts.tokens, "full" if full else "refused")
            return
        counts.tokens.admitted()
        part.tokens, part.interval_ns = wanted, interval_ns
        part.until_ns = now + counts.limits.ahead(quota.tokens_mark, now)

    def _take_money(self, part: Part, limit: int) -> None:
        counts, quota = self._counts, part.quota
        today = counts.today()
        mark = quota.mark(today)
        answer = counts.spend.reserve(counts.worker, mark, self._cost, limit, today)
        if answer != ADMITTED:
            refusal = too_dear(counts, quota, answer)
            self._refuse(refusal, counts.budget, "full" if answer == UNCOUNTED else "refused")
            return
        counts.budget.admitted()
        part.mark, part.money = mark, self._cost

    def used(self, usage: Usage, cost: int) -> None:
        """An answer was charged: its tokens, and its cost in 1e-12 USD, -1 where that is not known."""
        counts, quotas = self._counts, self._quotas
        tokens, spent = min(tokens_of(usage), AT_MOST), min(cost, MOST)
        output = min(max(usage.output, 0), tokens)
        if usage.output > 0:
            quotas.usual.note(usage.output)
        if spent > 0 and quotas.budgeted:
            today = counts.today()
            for quota in quotas.all:
                if quota.budget >= 0:
                    counts.spend.add(self._mark(quota, today), spent, today)
        # Last, since it is what has the whole written.
        counts.book(quotas, 0, tokens - output, output, max(spent, 0))
        if self._state != ENDED:
            self._used = min(self._used + tokens, LIMITLESS)
            self._spent = min(self._spent + max(spent, 0), LIMITLESS)
            return
        now = counts.now_ns()
        for quota in quotas.all:
            if quota.tokens:
                counts.limits.settle(quota.tokens_mark, quota.interval_ns, tokens, now)
            if counts.shared is not None:
                counts.shared.add(quota, counts.today(), tokens, spent)

    def _mark(self, quota: Quota, today: int) -> int:
        """The period that a cost belongs to: that in which it was reserved, else today's."""
        for part in self._parts:
            if part.quota is quota and part.mark:
                return part.mark
        return quota.mark(today)

    def end(self) -> None:
        """The request is settled."""
        if self._state == ENDED:
            return
        self._enter(ENDED)
        self._counts.book(self._quotas, 1, 0, 0, 0)
        for part in self._parts:
            self._settle(part)
        for extra in self._more:
            extra.give_back()

    def give_back(self) -> None:
        """Nothing was used of it. Who still waits for it is told so."""
        if self._state == ENDED:
            return
        self._enter(ENDED)
        for part in self._parts:
            self._settle(part)
        told, self._told = self._told, None
        if told is not None:
            told(Overloaded(UNKNOWN))

    def _settle(self, part: Part) -> None:
        """What was used counts, and what was reserved does not any more: here, and in Redis."""
        quota, counts, shared = part.quota, self._counts, self._counts.shared
        if not part.held:
            return
        if part.tokens:
            more, now = self._used - part.tokens, counts.now_ns()
            if more < 0:
                more = -min(-more, max(0, part.until_ns - now) // part.interval_ns)
            if more:
                counts.limits.settle(quota.tokens_mark, part.interval_ns, more, now)
        if part.money:
            counts.spend.release(counts.worker, part.mark, part.money)
        if shared is not None:
            if part.taken is not None:
                shared.settle(part.taken, self._used, self._spent)
            else:
                shared.add(quota, counts.today(), self._used, self._spent)

    def _enter(self, state: int) -> None:
        assert MAY_FOLLOW[self._state * (ENDED + 1) + state], (self._state, state)  # noqa: S101 - a defect of ours
        self._state = state

    # What is told.

    def _taken(self, quota: Quota) -> Taken | None:
        for part in self._parts:
            if part.quota is quota:
                return part.taken
        return None

    def kinds(self) -> int:
        """Which limits `write` tells of, as bits of `edge.guard.limit_fields`."""
        found = 0
        for quota in self._quotas.all:
            if quota.tokens:
                found |= TOKENS
            if quota.budget >= 0:
                found |= USD
        return found

    def write(self, to: Lines, anthropic: bool) -> None:
        """What is left, in Anthropic's words or in OpenAI's: of the quota that has the least left, as a part of what it
        may.
        """
        counts, scarcest, poorest = self._counts, NO_QUOTA, NO_QUOTA
        today, now, wall = counts.today(), counts.now_ns(), counts.wall()
        second = int(wall)
        left = full_ns = rest = 0
        least_part = poorest_part = 0.0
        for quota in self._quotas.all:
            taken = self._taken(quota)
            if quota.tokens:
                ahead = counts.limits.ahead(quota.tokens_mark, now)
                each = counts.limits.left(quota.interval_ns, quota.tokens, ahead)
                if taken is not None and taken.left < each:
                    each = taken.left
                    ahead = (quota.tokens - each) * quota.interval_ns
                part = each / quota.tokens
                if scarcest is NO_QUOTA or part < least_part:
                    least_part, scarcest, left, full_ns = part, quota, each, ahead
            if quota.budget >= 0:
                mark = quota.mark(today)
                each = max(0, quota.budget - counts.spend.spent(mark) - counts.spend.held(mark))
                if taken is not None:
                    each = max(0, min(each, quota.budget - taken.total))
                part = each / (quota.budget or 1)
                if poorest is NO_QUOTA or part < poorest_part:
                    poorest_part, poorest, rest = part, quota, each
        if scarcest is not NO_QUOTA:
            scarcest.tokens_fields.begin(to, anthropic)
            to.whole(left)
            scarcest.tokens_fields.end(to, anthropic, (full_ns + SECOND_NS - 1) // SECOND_NS, wall)
        if poorest is not NO_QUOTA:
            poorest.money_fields.begin(to, anthropic)
            write_dollars(to, rest)
            poorest.money_fields.end(to, anthropic, max(1, poorest.ends(today) * DAY_S - second), wall)


def bare(input_tokens: int, output_tokens: int) -> Usage:
    """So many tokens and nothing else."""
    usage = NO_TOKENS.bare()
    usage.input, usage.output = input_tokens, output_tokens
    return usage


def reservation_of(counts: Counts, quotas: Quotas) -> Reservation:
    """One that has reserved nothing."""
    reservation = Reservation.__new__(Reservation)
    reservation.begin(counts, quotas)
    return reservation


def reserve(inquiry: Inquiry, told: Told) -> None:
    """Where one more answer to an inquiry may be charged: as `Reservation.more`, and nothing where nothing counts."""
    if inquiry.reservation is None:
        told(None)
    else:
        inquiry.reservation.more(told)


def tokens_of(usage: Usage) -> int:
    """All tokens that a provider counted, those of its prompt cache too."""
    return max(usage.input, 0) + max(usage.output, 0) + max(usage.cache_read, 0) + max(usage.cache_write, 0)
