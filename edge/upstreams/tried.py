"""What an attempt is made of, and what comes of it: written by the attempt alone, and there to be read after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge._fast import Fields
from edge.clock import perf_counter
from edge.hooks import Usage
from edge.ledger import Answered
from edge.trace_context import span_id
from edge.upstreams.cooling import ANY
from edge.upstreams.provider import PRESENT
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.rules import REFUSED_S, RULES

if TYPE_CHECKING:
    from edge._fast import Attempt as Trial
    from edge.dialects.crossing import Crossing
    from edge.errors import EdgeError
    from edge.inquiry import Inquiry
    from edge.upstreams.gate import Gate
    from edge.upstreams.provider import Account, Provider
    from edge.upstreams.relay import Watch
    from edge.upstreams.rescue import Rescue
    from edge.upstreams.router import Upstream

__all__ = ["NEVER", "UNDECIDED", "Tried"]

UNDECIDED, NEVER = -1.0, -2.0
"""In place of the seconds after which an upstream is asked again."""

OF_KEYS = frozenset([status for status, rule in RULES.items() if rule.key])
NO_WARNINGS: frozenset[str] = frozenset()


class Tried(Answered):
    """``upstream``, a model of ``provider``, is asked by the credentials of ``account``, None for those whose turn it
    is. ``trial`` takes the outcome, for the upstream's breaker; None where that is not heard. ``names``: the request
    names what an account keeps, so others do not know it (`edge.upstreams.ties`). ``begun`` is when it was picked.

    Who can be asked if it fails: ``left``, another upstream; ``following``, this one by another account; ``delay`` is
    after how many seconds this one by the same, `UNDECIDED` before that is known and `NEVER` where it is not;
    ``quiet``: what it fails with is not for the client; ``others_left``: any of these. ``spent``: this one has been
    asked as often as may be. ``turns``: the refusals (`edge.upstreams.retry`) for which there are upstreams to turn to.

    ``crossing`` is how the request and its answer cross, None before that is known; ``request`` what is sent, None
    before; ``status`` that of the answer, 0 before; ``content_s`` how long the inquiry had waited upstream when a
    stream's first content came, ``first_s`` how long that was from sending, both -1.0 before, and ``content_at`` when
    that was; ``usage`` what a whole answer said of its tokens, ``span_id`` that of its span, where the inquiry is in a
    trace. ``charged``: they are in the books. ``gate``: where it has a place, until that is given back. ``watch``: over
    what is told of the answer, None where nobody looks for personal data. ``rescue`` is told what a client is sent of
    it, None where that cannot be continued.

    ``refused_at`` is when the head of an answer of 400 or above came. Once it is over: ``ended`` is when, ``health``
    and ``seconds`` what `conclude` was told; ``asked_s`` the seconds for which the provider has asked to be left alone,
    ``rested_at`` when the time had come to ask it again, 0.0 for never; ``code`` and ``kind`` its failure's, "" for
    none, as in `edge.hooks.FailedAttempt`; ``turned`` the refusal after which others are turned to, 0 for none.
    """

    def __init__(
        self,
        upstream: Upstream,
        account: Account | None,
        trial: Trial | None,
        names: bool = False,
        left: bool = False,
        begun: float = 0.0,
    ) -> None:
        self.begin(upstream, account, trial, names, left, begun)

    def begin(
        self, upstream: Upstream, account: Account | None, trial: Trial | None, names: bool, left: bool, begun: float
    ) -> None:
        """As it is made: nothing has come of it."""
        self.upstream = upstream
        self.provider: Provider = upstream.provider
        self.account = account
        self.trial = trial
        self.names = names
        self.left = left
        self.quiet = False
        self.rescue: Rescue | None = None
        self.begun = begun
        self.delay = UNDECIDED
        self.crossing: Crossing | None = None
        self.request: UpstreamRequest | None = None
        self.status = 0
        self.turns = 0
        self.spent = False
        self.following: Account | None = None
        self.content_s = self.first_s = self.seconds = -1.0
        self.content_at = self.refused_at = self.ended = self.rested_at = self.asked_s = 0.0
        self.health = self.code = self.kind = self.span_id = ""
        self.turned = 0
        self.usage: Usage | None = None
        self.charged = False
        self.watch: Watch | None = None
        self.gate: Gate | None = None

    def has_content(self, now: float, upstream_s: float, since: float) -> None:
        """The first content of a stream that was asked for `since` is here."""
        self.content_s, self.content_at = upstream_s, now
        self.first_s = now - since
        if self.trial is not None:
            self.trial.first_content(now)
            self.trial.took(True, now - self.begun)

    def cross(self, inquiry: Inquiry) -> None:
        """Find how the request and its answer cross. Raises InvalidRequest."""
        if inquiry.trace is not None:
            self.span_id = span_id()
        if self.rescue is not None and self.rescue.begun is not None:
            self.crossing = self.rescue.crossing(self.upstream)
        else:
            upstream = self.upstream
            self.crossing = self.provider.crossing(inquiry, upstream.model, upstream.facts, upstream.plain)
        self.watch = inquiry.grant.watch()

    def ready(self) -> Account:
        """The account that is asked, by how matters stood when the upstream was picked. Raises what `Provider.usable`
        does.
        """
        self.account = self.provider.usable(self.account, self.upstream.model, self.begun)
        return self.account

    def heed(self, fields: Fields, now: float = PRESENT) -> None:
        """The headers of the answer say when to ask next by the account, and whether another may do better."""
        if self.status >= 400:
            now = self.refused_at = perf_counter() if now == PRESENT else now
        if self.account is not None:
            self.asked_s = self.provider.heed(self.account, self.upstream.model, self.status, fields, now)
            if self.status >= 400 and self.status in OF_KEYS:
                self._follow(now)

    def refuse(self, now: float) -> None:
        """The account is of no use, whatever the status of the answer that says so; for this model alone where that is
        a 403: what a key may do is a matter of the model.
        """
        if self.account is not None:
            self.account.cooling.avoid(self.upstream.model if self.status == 403 else ANY, now + REFUSED_S, now)
            if self.following is None:
                self._follow(now)

    def _follow(self, now: float) -> None:
        if self.provider.takes_turns and not self.names:
            self.following = self.provider.fresh(self.upstream.model, now)

    def conclude(self, health: str, now: float, tokens: float = 0.0, seconds: float = -1.0) -> None:
        """It is over, and says so much of the upstream's health: ``ok``, an answer of so many tokens, which came in so
        many seconds after its first content, below 0 for what the clock says; ``failed``; ``neutral``; or nothing
        (``none``).
        """
        self.ended, self.health, self.seconds = now, health, seconds
        trial = self.trial
        if trial is None:
            return
        if health == "ok":
            trial.finished(now, tokens, seconds)
        elif health == "failed":
            trial.failed(now)
        elif health == "neutral":
            trial.neutral(now)
        else:
            trial.cancelled(now)

    def others_left(self) -> bool:
        if self.request is not None and self.request.is_gone():
            return False
        return self.left or self.quiet or self.following is not None or self.delay >= 0.0

    def sent(self) -> bool:
        """Whether the provider may be at work on the request."""
        return self.request is not None and self.request.sent

    # What of it is for the reply and the record.

    def found(self) -> str:
        return "" if self.watch is None else self.watch.told

    def dropped(self) -> tuple[str, ...]:
        crossing = self.crossing
        return crossing.dropped if crossing is not None else ()

    def warnings(self) -> frozenset[str]:
        crossing = self.crossing
        return crossing.warnings() if crossing is not None else NO_WARNINGS

    def broke(self) -> bool:
        crossing = self.crossing
        return crossing is not None and crossing.stream is not None and crossing.stream.failed

    def error_event(self, error: EdgeError, request_id: str) -> bytes | None:
        crossing, watch = self.crossing, self.watch
        if self.rescue is not None and self.rescue.begun is not None:
            return self.rescue.begun.error_event(error, request_id)
        if crossing is None or crossing.stream is None:
            return None
        event = crossing.error_event(error, request_id)
        return event if watch is None else watch.numbered(event)
