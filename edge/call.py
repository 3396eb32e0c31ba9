"""One request and its reply, as the gateway sees them: no server, no sockets.

A front (``edge/server``) makes a call at the end of a request's head, sets ``body`` at its end, and implements
the sink. The gateway writes the stages' results into it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Protocol

from edge.clock import perf_counter
from edge.head import Head, Varying
from edge.inquiry import UNREAD, Inquiry
from edge.trace_context import fresh, given

if TYPE_CHECKING:
    from edge.cache.policy import Lookup
    from edge.guard.limits import Lease
    from edge.guard.pii import Redacted
    from edge.intake import Intake
    from edge.slices import Work
    from edge.state import State

__all__ = ["Call", "Errand"]

REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")
"""A client's ``x-request-id`` that is taken over; others are replaced."""


class Ids:
    """16 random bytes each, in hex, by which a request is known, or its trace; the system is asked for those of many at
    once.
    """

    def __init__(self) -> None:
        self._drawn = ""
        self._at = 0

    def next(self) -> str:
        at = self._at
        if at >= len(self._drawn):
            self._drawn = os.urandom(IDS_AT_ONCE * 16).hex()
            at = 0
        self._at = at + 32
        return self._drawn[at : at + 32]

    def forget(self) -> None:
        """A process that was forked has ids of its own."""
        self._drawn = ""
        self._at = 0


IDS_AT_ONCE = 256
IDS = Ids()
os.register_at_fork(after_in_child=IDS.forget)


class Errand(Protocol):
    """What is under way for a call."""

    def cancel(self) -> None:
        """Nobody waits for it any more: it ends, and tells nothing."""
        ...


class Call(Inquiry):
    """``peer`` is the client's address or "", ``certificate`` the `credentials_of` what it has shown, ``received_at`` a
    reading of ``time.perf_counter()`` at the end of the head, ``body`` what has come of its body.

    ``declared`` is the size that its head gives for the body, 0 where there is none, None for one in chunks.
    ``form`` takes in a body that is one, None for any other; ``body`` is the opening of one that is served while it
    comes. ``unseen`` is the work that is left of looking its body through. ``pii`` says what was found in it
    (``email=2,card=1``). ``errand`` is what is under way for it. ``closes``: the connection ends with it.
    """

    def __init__(self, head: Head, varying: Varying, peer: str, received_at: float, state: State) -> None:
        self.arrive(head, varying, peer, received_at, state)

    def arrive(self, head: Head, varying: Varying, peer: str, received_at: float, state: State) -> None:
        """It has come, and nothing has come of it yet: whose it is, what it says and what it gets is not known."""
        asked = varying.get(b"x-request-id")
        if asked is not None and REQUEST_ID.fullmatch(asked):
            request_id = asked.decode("ascii")
            drawn = False
        else:
            request_id = IDS.next()
            drawn = True
        self.asks(head, varying, request_id, state, state.nobody, UNREAD, state.nothing)
        traceparent = varying.get(b"traceparent")
        if traceparent is not None and b"traceparent" not in head.repeated:
            self.trace = given(traceparent, varying.get(b"tracestate") if b"tracestate" not in head.repeated else None)
        if self.trace is None and state.sampling is not None:
            # An id that was drawn for the request is that of its trace too.
            self.trace = fresh(request_id if drawn else IDS.next(), state.sampling)
        self.peer = peer
        self.certificate: tuple[bytes, ...] = ()
        self.received_at = received_at
        self.body = b""
        self.declared: int | None = 0
        self.form: Intake | None = None
        self.lease: Lease | None = None
        self.lookup: Lookup | None = None
        self.pii = ""
        self.unseen: Work[Redacted] | None = None
        self.admitted = False
        self.errand: Errand | None = None
        self.closes = False
        self.settled = False

    def over(self, error: Exception | None) -> None:
        """What was fetched for it has come to its end; `error` is what should not have happened, if it did. Who answers
        overrides this.
        """
        raise NotImplementedError

    def overhead_s(self) -> float:
        """Seconds this request has taken so far, without what was spent upstream."""
        spent: float = perf_counter()
        spent -= self.received_at + self.ledger.upstream_s + self.ledger.upload_s
        return max(0.0, spent)

    def found(self) -> str:
        """What was found of personal data, in the request and, as far as it has come, in the answer."""
        attempt = self.ledger.attempt
        answered = attempt.found() if attempt is not None else ""
        return f"{self.pii},{answered}" if self.pii and answered else self.pii or answered

    def hold_back(self, back: bool) -> None:
        """Read nothing of its body, or read on. Who answers overrides this."""
        raise NotImplementedError

    def keep_alive(self) -> None:
        """Tell a client that waits for a stream that it will go on. Who answers overrides this."""
        raise NotImplementedError
