"""Upstreams of which one is picked, and whom of them a dispatch asks, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge._fast import Attempt, Balancer, Member
from edge.inquiry import Inquiry
from edge.upstreams.likeness import prefix_of, price_of, size_of
from edge.upstreams.ties import FREE, NAMES, Target, leans, targets_of, tie_of

if TYPE_CHECKING:
    from edge.config import Strategy
    from edge.upstreams.gate import Gate
    from edge.upstreams.provider import Account
    from edge.upstreams.router import Upstream

SLACK = 4.0
"""Requests in flight that an upstream may have beyond its bound (`Balancer`) for the sake of affinity."""
__all__ = ["Candidates", "Choice", "Group"]

BITS = 0xFFFFFFFFFFFFFFFF
"""A group has 64 upstreams at most."""
ONE = 1
"""The lowest of these bits. Where this is compiled a literal 1 has 32 bits, and no place beyond the 31st."""


class Group:
    """Upstreams of which one is picked: those of an alias, or the one that a name leads to, whose ``alias`` is "".
    ``members`` are how they do, over all configurations that have them, and what ``balancer`` picks among.
    """

    def __init__(
        self,
        alias: str,
        upstreams: tuple[Upstream, ...],
        strategy: Strategy = "failover",
        weights: list[float] | None = None,
        seed: int = 1,
    ) -> None:
        self.alias = alias
        self.strategy: Strategy = strategy
        self.weights = [1.0] * len(upstreams) if weights is None else weights
        self.upstreams = upstreams
        self.members: tuple[Member, ...] = tuple(
            [upstream.provider.site.member(upstream.model) for upstream in upstreams]
        )
        gates = tuple([upstream.provider.gate(upstream.model) for upstream in upstreams])
        self.gates: tuple[Gate | None, ...] = gates if any(gates) else ()
        self.balancer = Balancer(self.members, strategy, self.weights, None, seed, slack=SLACK)
        self._priced = 0
        self._prices: dict[int, list[float]] = {}

    def reprice(self, size: int) -> None:
        """What a request of this size (`size_of`), which is to be sent next, would cost at each upstream."""
        if size == self._priced:
            return
        prices = self._prices.get(size)
        if prices is None:
            prices = self._prices[size] = [price_of(upstream.price, size) for upstream in self.upstreams]
        self._priced = size
        self.balancer.reprice(prices)


class Choice:
    """A group, and in ``mask`` a bit for each of its upstreams that may be asked, the lowest for the first. ``heeds``:
    there are several, and its strategy goes by what the request says.
    """

    def __init__(self, group: Group, mask: int = BITS) -> None:
        self.group = group
        self.members = group.members
        self.strategy = group.strategy
        self.gates = group.gates
        self.mask = mask & (BITS >> (64 - len(group.upstreams)))
        self.heeds = (self.mask & (self.mask - 1)) != 0 and group.strategy in ("affinity", "cost")
        self._balancer = group.balancer
        self._barred = BITS & ~self.mask

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        return tuple([upstream for n, upstream in enumerate(self.group.upstreams) if self.mask >> n & 1])

    def only(self, may: Callable[[Upstream], bool]) -> Choice:
        """Of those, the ones that `may` be asked."""
        mask = 0
        for n, upstream in enumerate(self.group.upstreams):
            if self.mask >> n & 1 and may(upstream):
                mask |= 1 << n
        return Choice(self.group, mask)

    def pick(self, now: float, tried: int = 0, prefix: int = 0) -> int:
        """The place in the group of the upstream to ask, -1 where none lets a request through; `tried` has the bits of
        those that are not to be asked again. `prefix` is for affinity, as in `Balancer.pick`.
        """
        return self._balancer.pick(now, prefix, self._barred | tried)

    def least_bad(self, now: float, tried: int = 0) -> int:
        """The same where none does: whom to ask all the same, -1 where it is not for their breakers alone."""
        return self._balancer.least_bad(now, self._barred | tried)

    def limited(self, now: float) -> int:
        """The bits of those whose keys are all at a limit: others had better be asked first."""
        bits, upstreams = 0, self.group.upstreams
        for n in range(len(upstreams)):
            upstream = upstreams[n]
            provider = upstream.provider
            if provider.limited(upstream.model, now):
                bits |= ONE << n
        return bits

    def unsealing(self) -> int:
        """The bits of those that can make nothing of a thought of OpenAI's."""
        bits = 0
        for n, upstream in enumerate(self.group.upstreams):
            if not upstream.seals:
                bits |= ONE << n
        return bits

    def full(self) -> int:
        """The bits of those that have as many requests in flight as they may."""
        full = 0
        for n, gate in enumerate(self.gates):
            if gate is not None and gate.full:
                full |= ONE << n
        return full & self.mask


class Candidates:
    """Whom a dispatch may ask: of each choice of its grant what its strategy picks, the name's own first, an upstream
    as often as it stands there. Once `next`, `again` or `come` say so they are ``upstream``, ``account`` (None: whose
    turn it is) and ``trial``, which takes the outcome (None: its breaker is not heard); ``gate`` has given the request
    its place, which the outcome gives back (None: there is no bound), and ``strategy`` what has picked it, "" where it
    was named. ``size`` is how many there were to be asked.

    ``full``: where they have said no, the gate of ``upstream``, which lets requests through but has as many in flight
    as it may; None where there is nobody to wait for.

    ``names``: the request names what an account keeps, so its accounts are asked in their order, whatever the breakers
    say: nobody else knows it. ``tied``: it goes by those accounts which its tenant always has.
    """

    def __init__(self, inquiry: Inquiry) -> None:
        self.begin(inquiry)

    def begin(self, inquiry: Inquiry) -> None:
        """As they are made: nobody has been named."""
        grant = inquiry.grant
        self._inquiry = inquiry
        self._choices = grant.choices
        self._asked: list[tuple[Choice, int]] = []
        self._tenant = ""
        self._targets: list[Target] = []
        self._waits: tuple[Choice, int] | None = None
        self.upstream: Upstream | None = None
        self.account: Account | None = None
        self.trial: Attempt | None = None
        self.gate: Gate | None = None
        self.full: Gate | None = None
        self.strategy = ""
        self.names = self.tied = self._leans = False
        if grant.alone and not (grant.context_length or grant.content_policy):
            self.size = 1
            return
        self.size = len(grant.upstreams)
        tie = self.tie()
        self.names = tie == NAMES
        if tie != FREE:
            self._tenant = inquiry.key.tenant or inquiry.key.id
            self.tied = True
            self._leans = leans(inquiry)
        if self.names:
            self._targets = targets_of(inquiry, self._tenant)
            self.size = len(self._targets)

    def next(self, now: float, panic: bool = False) -> bool:
        """Whom to ask now; False where nobody is left. In `panic` the least bad is asked where no breaker lets a
        request through: better than nobody.
        """
        self.full = self._waits = None
        if self.names:
            if not self._targets:
                return False
            self.upstream, self.account = self._targets.pop(0)
            return self._begin(now)
        if self._leans and not self._asked:
            choice = self._choices[0]
            place = self._pick(choice, now, self._barred(choice) | choice.unsealing())
            if place >= 0:
                return self._take(choice, place, now)
        if self.size > 1:
            for choice in self._choices:
                place = self._pick(choice, now, self._barred(choice) | choice.limited(now))
                if place >= 0:
                    return self._take(choice, place, now)
        for choice in self._choices:
            place = self._pick(choice, now, self._barred(choice))
            if place >= 0:
                return self._take(choice, place, now)
        if panic:
            for choice in self._choices:
                place = choice.least_bad(now, self._barred(choice))
                if place >= 0:
                    return self._take(choice, place, now)
        for choice in self._choices:
            place = self._pick(choice, now, self._tried(choice)) if choice.gates else -1
            if place >= 0:
                self._waits = choice, place
                self.upstream, self.full = choice.group.upstreams[place], choice.gates[place]
                break
        return False

    def turn_to(self, choices: tuple[Choice, ...]) -> None:
        """Ask only those of `choices` from here on, which are for what the last one has refused."""
        self._choices = choices
        self.size = sum([len(choice.upstreams) for choice in choices])

    def leads(self, choices: tuple[Choice, ...], now: float) -> bool:
        """Whether one of `choices` can be asked; changes nothing."""
        places = [choice.least_bad(now, self._barred(choice)) for choice in choices]
        return max(places, default=-1) >= 0

    def come(self, now: float) -> bool:
        """The gate that was full has a place. False where its upstream lets nothing through any more: then the place is
        not taken, and whom to ask is to be found anew.
        """
        waits, self.full, self._waits = self._waits, None, None
        if waits is None:
            return self._begin(now, True)
        choice, place = waits
        return choice.members[place].allows(now) and self._take(choice, place, now)

    def beside(self, now: float) -> bool:
        """Another one of those that the last was picked among, to be asked at the same time; False where none lets a
        request through, or has a place.
        """
        if self.names or not self._asked:
            return False
        choice = self._asked[-1][0]
        place = self._pick(choice, now, self._barred(choice) | choice.limited(now))
        return place >= 0 and self._take(choice, place, now)

    def continues(self, now: float) -> bool:
        """Another one of the name's own upstreams that can continue a text; False where none of these lets a request
        through, or has a place.
        """
        if self.names:
            return False
        choice = self._choices[0]
        barred = self._barred(choice)
        for n, upstream in enumerate(choice.group.upstreams):
            if not upstream.continues:
                barred |= 1 << n
        place = self._pick(choice, now, barred)
        return place >= 0 and self._take(choice, place, now)

    def give_back(self, now: float) -> None:
        """The one that was picked is not asked."""
        if self.trial is not None:
            self.trial.cancelled(now)
        if self.gate is not None:
            self.gate.leave(now)

    def again(self, upstream: Upstream, account: Account | None, now: float) -> bool:
        """One that was asked once more, by this account, None: whose turn it is. False where it has no place for it, or
        lets nothing through.
        """
        self._waits = None
        self.upstream, self.account = upstream, account
        return self._begin(now)

    def left(self, now: float) -> bool:
        """Whether another upstream can be asked if this one fails."""
        if self.names:
            return bool(self._targets)
        for choice in self._choices:
            free = choice.mask & ~self._tried(choice)
            if not free:
                continue
            for n, member in enumerate(choice.members):
                if free >> n & 1 and member.allows(now):
                    return True
        return False

    def _begin(self, now: float, came: bool = False) -> bool:
        """Ask ``upstream``, whoever else could be. ``came``: its gate has called this one, which does not wait anew
        behind those who wait still.
        """
        assert self.upstream is not None  # noqa: S101 - one was named
        provider, model = self.upstream.provider, self.upstream.model
        self.strategy = ""
        gate = self.gate = provider.gate(model)
        self.full = gate if gate is not None and gate.full and not came else None
        if self.full is not None:
            return False
        self.trial = provider.site.member(model).begin(now, not self.names)
        if self.trial is None and not self.names:
            return False
        if gate is not None:
            gate.enter()
        return True

    def _take(self, choice: Choice, place: int, now: float) -> bool:
        upstream, member = choice.group.upstreams[place], choice.members[place]
        self._asked.append((choice, place))
        self.upstream = upstream
        self.strategy = choice.strategy
        self.account = upstream.provider.accounts_of(self._tenant)[0] if self._tenant else None
        self.trial = member.begin(now, True)
        self.gate = choice.gates[place] if choice.gates else None
        if self.gate is not None:
            self.gate.enter()
        return True

    def _pick(self, choice: Choice, now: float, barred: int) -> int:
        prefix = 0
        if choice.heeds:
            if choice.strategy == "affinity":
                prefix = self.prefix()
            else:
                choice.group.reprice(self.tokens())
        return choice.pick(now, barred, prefix)

    # What the request says. Whoever has not got the request itself overrides these.

    def tie(self) -> int:
        """As `edge.upstreams.ties.tie_of`."""
        return tie_of(self._inquiry)

    def prefix(self) -> int:
        """As `edge.upstreams.likeness.prefix_of`."""
        return prefix_of(self._inquiry)

    def tokens(self) -> int:
        """As `edge.upstreams.likeness.size_of`."""
        return size_of(self._inquiry)

    def _barred(self, choice: Choice) -> int:
        return self._tried(choice) | (choice.full() if choice.gates else 0)

    def _tried(self, choice: Choice) -> int:
        """The bits of those that were asked in their place, or as upstreams of another choice."""
        tried = 0
        for other, place in self._asked:
            if other is choice:
                tried |= ONE << place
            else:
                for n, member in enumerate(choice.members):
                    if member is other.members[place]:
                        tried |= ONE << n
        return tried
