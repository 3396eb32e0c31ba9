"""Which upstream takes the next request: a :class:`Balancer` picks among members by one of six strategies.

The dice follow from a seed and `now` is the caller's, so the same events give the same picks, in both builds. `now` is
as the members have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._member_c import Member
    from cython.cimports.libc.math import exp, log
else:
    from math import exp, log

    from edge._fast._member import Member

__all__ = ["STRATEGIES", "Balancer"]

STRATEGIES = ("round_robin", "failover", "latency", "cost", "least_busy", "affinity")

MAX_MEMBERS = 64
"""Of one balancer: `exclude` has a bit for each."""

_MASK = 0xFFFFFFFFFFFFFFFF

_ROUND_ROBIN = cython.declare(cython.Py_ssize_t, 0)
_FAILOVER = cython.declare(cython.Py_ssize_t, 1)
_LATENCY = cython.declare(cython.Py_ssize_t, 2)
_COST = cython.declare(cython.Py_ssize_t, 3)
_LEAST_BUSY = cython.declare(cython.Py_ssize_t, 4)

# The length of answer for which latencies are compared: a few sentences.
_ANSWER_TOKENS = cython.declare(cython.double, 200.0)
# After so many decay times a measurement is old, and loses no more of its weight (e^-2: one part in seven is left), so
# that a member coming back draws at most seven times its share before it is measured again.
_OLD = cython.declare(cython.double, 2.0)
# An old measurement is refreshed at the cost of at most one pick in so many, however rare the requests.
_TRIAL_EVERY = cython.declare(cython.Py_ssize_t, 20)
# The load of a member never measured while its first answer is outstanding, as Finagle has it.
_PENALTY = cython.declare(cython.double, 1e9)


@cython.cfunc
@cython.exceptval(check=False)
def _mix(value: cython.ulonglong) -> cython.ulonglong:
    """A bijection of 64 bits in which each bit hangs on all: SplitMix64's (Steele, Lea, Flood, OOPSLA 2014)."""
    mask: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
    first: cython.ulonglong = 0xBF58476D1CE4E5B9
    second: cython.ulonglong = 0x94D049BB133111EB
    value = ((value ^ (value >> 30)) * first) & mask
    value = ((value ^ (value >> 27)) * second) & mask
    return value ^ (value >> 31)


@cython.cfunc
@cython.exceptval(check=False)
def _count(mask: cython.ulonglong) -> cython.ulonglong:
    """How many bits are set."""
    count: cython.ulonglong = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@cython.cfunc
@cython.exceptval(check=False)
def _nth(mask: cython.ulonglong, n: cython.ulonglong) -> cython.Py_ssize_t:
    """Where the bit is that has `n` set bits below it; there are more than `n`."""
    at: cython.Py_ssize_t = 0
    while n:
        mask &= mask - 1
        n -= 1
    while not mask & 1:
        mask >>= 1
        at += 1
    return at


@cython.cfunc
@cython.exceptval(check=False)
def _left(member: Member, at: cython.double, now: cython.double) -> cython.double:
    """What is left now of a measurement made at `at`."""
    return exp(-min(max(now - at, 0.0) / member._decay_s, _OLD))


@cython.cfunc
@cython.exceptval(check=False)
def _is_for_trial(member: Member, now: cython.double) -> cython.bint:
    """Whether what was measured is old, and nothing in flight will renew it."""
    latest: cython.double = max(member._ttfc_at, member._pace_at)
    return member._measured != 0 and member._in_flight == 0 and now - latest > _OLD * member._decay_s


@cython.cfunc
@cython.exceptval(check=False)
def _load(member: Member, by: cython.Py_ssize_t, now: cython.double) -> cython.double:
    """Seconds an answer takes, by the measurements `by`: for each request there would be, over again for errors."""
    busy: cython.double = member._in_flight + 1
    seconds: cython.double = 0.0
    if not member._measured:
        return _PENALTY * busy if member._in_flight else 0.0
    if by & 1:
        seconds += member._ttfc * _left(member, member._ttfc_at, now)
    if by & 2:
        seconds += member._pace * _ANSWER_TOKENS * _left(member, member._pace_at, now)
    return max(seconds, 1e-6) * busy / max(1.0 - member._error_rate, 0.05)


@cython.cfunc
@cython.exceptval(check=False)
def _rendezvous(member: Member, prefix_hash: cython.ulonglong, weight: cython.double) -> cython.double:
    """The score of a member for a prefix, of which the highest wins."""
    bits: cython.ulonglong = _mix(prefix_hash ^ _mix(member._key)) >> 12
    return -weight / log((bits + 0.5) / 4503599627370496.0)


@cython.final
@cython.cclass
class Balancer:
    """Picks a member for the next request by one of `STRATEGIES`.

    ``round_robin``
        By weight, smoothly (nginx, commit 52327e0627f4): each pick adds to each member its weight, takes the one that
        has most, and from that one the sum of the weights.
    ``failover``
        The first.
    ``latency``
        The less loaded of two taken at random (Mitzenmacher, The Power of Two Choices, 2001), the load being what
        Finagle's peak EWMA makes it. A member never measured is taken while nothing is in flight there, and one whose
        measurement is old is tried by one pick in twenty.
    ``cost``
        The lowest price; of the same price the least busy.
    ``least_busy``
        The fewest requests in flight, by weight.
    ``affinity``
        Rendezvous hashing of `prefix_hash` (Thaler, Ravishankar, 1998) with scores ``-weight / ln(h)`` (Schindelhauer,
        Schomaker, 2005): members that come and go move no keys but their own. None has more than `load_factor` times
        its share of what is in flight (Mirrokni, Thorup, Zadimoghaddam, Consistent Hashing with Bounded Loads, 2018),
        and `slack` more: of a few requests chance alone gives one member more than that.

    `weights` are 1.0 each unless given, `prices` 0.0 (any unit; ``inf`` where unknown). `seed` should differ from
    process to process. The types of its fields are in ``_balancer_c.pxd``. Raises ValueError.
    """

    def __init__(
        self,
        members: Sequence[Member],
        strategy: str,
        weights: Sequence[float] | None = None,
        prices: Sequence[float] | None = None,
        seed: int = 1,
        load_factor: float = 1.25,
        slack: float = 0.0,
    ) -> None:
        known: list = list(members)
        size: cython.Py_ssize_t = len(known)
        if not 1 <= size <= MAX_MEMBERS or not all(isinstance(member, Member) for member in known):
            raise ValueError(f"1 to {MAX_MEMBERS} members are needed")
        if strategy not in STRATEGIES:
            raise ValueError(f"the strategies are {', '.join(STRATEGIES)}")
        shares: Any = [1.0] * size if weights is None else list(weights)
        costs: Any = [0.0] * size if prices is None else list(prices)
        if len(shares) != size or not all(1e-6 <= share <= 1e6 for share in shares):
            raise ValueError("a weight for each member, from 1e-6 to 1e6")
        if len(costs) != size or not all(cost >= 0.0 for cost in costs):
            raise ValueError("a price for each member, none below 0")
        if not (1.0 <= load_factor <= 1e6 and 0.0 <= slack <= 1e6):
            raise ValueError("load_factor is at least 1, slack at least 0")
        if not cython.compiled:
            self._weights, self._prices, self._turns = [0.0] * size, [0.0] * size, [0.0] * size
        self._members = known
        self._size = size
        self._strategy = STRATEGIES.index(strategy)
        i: cython.Py_ssize_t
        # At most MAX_MEMBERS, the arrays' length, as everywhere below.
        for i in range(size):
            self._weights[i] = shares[i]
            self._prices[i] = costs[i]
            self._turns[i] = 0.0
        self._load_factor = load_factor
        self._slack = slack
        # The generator's state is never 0.
        self._dice = _mix(seed & _MASK) or 0x9E3779B97F4A7C15
        self._since_trial = 0

    def pick(self, now: cython.double, prefix_hash: cython.ulonglong = 0, exclude: cython.ulonglong = 0) -> int:
        """The index of the member to send to; -1 where none lets a request through.

        Bit i of `exclude` leaves member i out. `prefix_hash`, of what prompts have in common, matters to affinity; 0 is
        a prompt like no other. Both are 64 bits, else OverflowError. After -1, a `retry_after` above 0 says that it is
        not for `exclude` alone.
        """
        if not cython.compiled and (prefix_hash | exclude) >> 64:
            raise OverflowError("64 bits, unsigned")
        mask: cython.ulonglong = self._eligible(now, exclude)
        if mask == 0:
            return -1
        if self._strategy == _ROUND_ROBIN:
            return self._by_turns(mask)
        if self._strategy == _FAILOVER:
            return _nth(mask, 0)
        if self._strategy == _LATENCY:
            return self._by_latency(mask, now)
        if self._strategy == _COST:
            return self._least_busy(mask, by_price=True)
        if self._strategy == _LEAST_BUSY:
            return self._least_busy(mask, by_price=False)
        return self._by_affinity(mask, prefix_hash)

    def reprice(self, prices: Sequence[float]) -> None:
        """Other prices, one for each member: what the next request would cost there."""
        if len(prices) != self._size:
            raise ValueError("a price for each member")
        for i in range(self._size):
            self._prices[i] = prices[i]

    def peek(self, now: cython.double, prefix_hash: cython.ulonglong = 0, exclude: cython.ulonglong = 0) -> int:
        """What `pick` would give now; changes nothing."""
        turns: list = [self._turns[i] for i in range(self._size)]
        dice: cython.ulonglong = self._dice
        since: cython.Py_ssize_t = self._since_trial
        try:
            return self.pick(now, prefix_hash, exclude)
        finally:
            self._dice = dice
            self._since_trial = since
            for i in range(self._size):
                self._turns[i] = turns[i]

    def scores(self, now: cython.double, prefix_hash: cython.ulonglong = 0) -> list[float]:
        """What the strategy compares of each member, the lowest of which it takes: its place (failover), what it has of
        turns below 0 (round_robin), its load in seconds (latency), its price (cost), what is in flight by weight
        (least_busy), its score below 0 (affinity).
        """
        found: list = []
        for i in range(self._size):
            member: Member = self._members[i]
            weight: cython.double = self._weights[i]
            if self._strategy == _ROUND_ROBIN:
                found.append(-(self._turns[i] + weight))
            elif self._strategy == _FAILOVER:
                found.append(float(i))
            elif self._strategy == _LATENCY:
                found.append(_load(member, member._measured, now) / weight)
            elif self._strategy == _COST:
                found.append(self._prices[i])
            elif self._strategy == _LEAST_BUSY:
                found.append((member._in_flight + 1) / weight)
            else:
                found.append(-_rendezvous(member, prefix_hash, weight))
        return found

    def least_bad(self, now: cython.double, exclude: cython.ulonglong = 0) -> int:
        """The index of the member to send to where `pick` gives none: of those that only a breaker holds up, and that
        `exclude` leaves, the one that fails least, of these the one that would be let through first. -1: none.
        """
        best: cython.Py_ssize_t = -1
        bit: cython.ulonglong = 1
        member: Member
        for i in range(self._size):
            member = self._members[i]
            if not exclude & bit and member._may_try(now):
                if best < 0:
                    best = i
                else:
                    known: Member = self._members[best]
                    if member._error_rate < known._error_rate or (
                        member._error_rate == known._error_rate and member._ready < known._ready
                    ):
                        best = i
            bit <<= 1
        return best

    def retry_after(self, now: cython.double) -> float:
        """Seconds after which some member may let a request through, 0.0 if one does now."""
        return min([member.retry_after(now) for member in self._members])

    @cython.cfunc
    @cython.exceptval(check=False)
    def _eligible(self, now: cython.double, exclude: cython.ulonglong) -> cython.ulonglong:
        """The members that let a request through and are not excluded, as bits."""
        mask: cython.ulonglong = 0
        bit: cython.ulonglong = 1
        member: Member
        for member in self._members:
            if not exclude & bit and member._allows(now):
                mask |= bit
            bit <<= 1
        return mask

    @cython.cfunc
    @cython.exceptval(check=False)
    def _roll(self) -> cython.ulonglong:
        """64 random bits, by xorshift64* (Vigna, ACM TOMS 42(4), 2016)."""
        mask: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
        factor: cython.ulonglong = 0x2545F4914F6CDD1D
        bits: cython.ulonglong = self._dice
        bits ^= bits >> 12
        bits ^= (bits << 25) & mask
        bits ^= bits >> 27
        self._dice = bits
        return (bits * factor) & mask

    @cython.cfunc
    @cython.exceptval(check=False)
    def _by_turns(self, mask: cython.ulonglong) -> cython.Py_ssize_t:
        best: cython.Py_ssize_t = -1
        total: cython.double = 0.0
        i: cython.Py_ssize_t
        for i in range(self._size):
            if (mask >> i) & 1:
                self._turns[i] += self._weights[i]
                total += self._weights[i]
                if best < 0 or self._turns[i] > self._turns[best]:
                    best = i
        self._turns[best] -= total
        return best

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _by_latency(self, mask: cython.ulonglong, now: cython.double) -> cython.Py_ssize_t:
        count: cython.ulonglong = _count(mask)
        if count == 1:
            return _nth(mask, 0)
        roll: cython.ulonglong = self._roll()
        # The product of 32 random bits and a small number, its upper part: Lemire, Fast Random Integer Generation in an
        # Interval, 2019; the bias is below one part in 2**26.
        low: cython.ulonglong = 0xFFFFFFFF
        first: cython.ulonglong = ((roll >> 32) * count) >> 32
        second: cython.ulonglong = ((roll & low) * (count - 1)) >> 32
        if second >= first:
            second += 1
        i: cython.Py_ssize_t = _nth(mask, first)
        j: cython.Py_ssize_t = _nth(mask, second)
        one: Member = self._members[i]
        other: Member = self._members[j]
        self._since_trial += 1
        if self._since_trial >= _TRIAL_EVERY:
            if _is_for_trial(other, now) and not _is_for_trial(one, now):
                one, i = other, j
            if _is_for_trial(one, now):
                self._since_trial = 0
                return i
        # Compared by what is known of both, else one that has shown its first content alone seems the faster.
        both: cython.Py_ssize_t = one._measured & other._measured
        load: cython.double = _load(one, both or one._measured, now) / self._weights[i]
        other_load: cython.double = _load(other, both or other._measured, now) / self._weights[j]
        return i if load <= other_load else j

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _least_busy(self, mask: cython.ulonglong, by_price: cython.bint) -> cython.Py_ssize_t:
        """Of those that are equal, the first from a random one on."""
        best: cython.Py_ssize_t = -1
        best_price: cython.double = 0.0
        best_load: cython.double = 0.0
        i: cython.Py_ssize_t = _nth(mask, ((self._roll() >> 32) * _count(mask)) >> 32)
        for _ in range(self._size):
            if (mask >> i) & 1:
                member: Member = self._members[i]
                price: cython.double = self._prices[i] if by_price else 0.0
                load: cython.double = (member._in_flight + 1) / self._weights[i]
                if best < 0 or price < best_price or (price == best_price and load < best_load):
                    best = i
                    best_price = price
                    best_load = load
            i += 1
            if i == self._size:
                i = 0
        return best

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _by_affinity(self, mask: cython.ulonglong, prefix_hash: cython.ulonglong) -> cython.Py_ssize_t:
        best: cython.Py_ssize_t = -1
        best_score: cython.double = 0.0
        busy: cython.double = 1.0
        weights: cython.double = 0.0
        member: Member
        i: cython.Py_ssize_t
        if prefix_hash == 0:
            prefix_hash = self._roll()
        for i in range(self._size):
            if (mask >> i) & 1:
                member = self._members[i]
                busy += member._in_flight
                weights += self._weights[i]
        share: cython.double = self._load_factor * busy / weights
        for i in range(self._size):
            if (mask >> i) & 1:
                member = self._members[i]
                # Below the bound means below the bound rounded up, for a whole number. The bounds add up to at least
                # one more than what is in flight, so one member at least is below its own.
                if member._in_flight < share * self._weights[i] + self._slack:
                    score: cython.double = _rendezvous(member, prefix_hash, self._weights[i])
                    if score > best_score:
                        best = i
                        best_score = score
        return best
