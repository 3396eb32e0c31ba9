"""What a decision was made by: of whom a dispatch could ask, how each stood just then. For the log, of few requests."""

from __future__ import annotations

import random

import msgspec

from edge.clock import perf_counter
from edge.inquiry import Inquiry
from edge.upstreams.choice import Choice
from edge.upstreams.likeness import prefix_of, size_of

__all__ = ["Decision", "Standing", "begun", "decision_of"]

MOST = 16
"""Upstreams that are told of, so that a line stays short."""


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """``score`` is what the strategy compares, the lowest of which it takes. ``state`` is "" for one that lets requests
    through, else why it does not: not the key's to use, drained, resting (as its provider has asked for), its breaker
    (open or half_open), or full; or avoided, which is asked where no other can be.
    """

    upstream: str
    score: float
    under_way: int
    state: str = ""
    fallback: bool = False


class Decision(msgspec.Struct, omit_defaults=True):
    """``first`` is whom the strategy picked, "" for nobody; ``more`` counts the upstreams that are left out."""

    strategy: str
    upstreams: list[Standing]
    more: int = 0
    first: str = ""


def begun(inquiry: Inquiry) -> float:
    """Note when the first decision is taken, and, of ``telemetry.log.route_sample`` of the requests, by what; gives the
    reading of ``time.perf_counter()``.
    """
    now = inquiry.ledger.asked_at = perf_counter()
    share = inquiry.state.route_sample
    if share and random.random() < share:
        inquiry.ledger.decision = decision_of(inquiry, now)
    return now


def decision_of(inquiry: Inquiry, now: float) -> Decision:
    """How the upstreams of an inquiry stand, at a reading of ``time.perf_counter()``, before one is picked."""
    choices = inquiry.grant.choices
    every = [each for n, choice in enumerate(choices) for each in _standings(inquiry, choice, n > 0, now)]
    return Decision(choices[0].strategy, every[:MOST], max(0, len(every) - MOST))


def _standings(inquiry: Inquiry, choice: Choice, fallback: bool, now: float) -> list[Standing]:
    group = choice.group
    if group.strategy == "cost":
        group.reprice(size_of(inquiry))
    scores = group.balancer.scores(now, prefix_of(inquiry) if group.strategy == "affinity" else 0)
    return [
        Standing(
            upstream.names[0],
            round(scores[place], 6),
            group.members[place].in_flight,
            _state(choice, place, now),
            fallback,
        )
        for place, upstream in enumerate(group.upstreams)
    ]


def _state(choice: Choice, place: int, now: float) -> str:
    member, upstream = choice.members[place], choice.group.upstreams[place]
    if not choice.mask >> place & 1:
        return "key"
    if member.drained:
        return "drained"
    if upstream.provider.resting(upstream.model, now)[0]:
        return "resting"
    if not member.allows(now):
        return str(member.state)
    if choice.full() >> place & 1:
        return "full"
    return "avoided" if upstream.provider.limited(upstream.model, now) else ""
