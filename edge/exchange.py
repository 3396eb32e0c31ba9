"""One request and its reply, as the gateway sees them: no server, no sockets.

A front (``edge/server``) makes an exchange at the end of a request's head, sets ``body`` at its end, and implements
the sink. The gateway writes the stages' results into it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from edge._fast import JSONScanner
from edge.errors import EdgeError, Headers
from edge.head import Head, Varying
from edge.hooks import NO_WARNINGS, RequestRecord, Usage
from edge.payload import Payload

__all__ = ["Errand", "Exchange", "Tried"]

REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")
"""A client's ``x-request-id`` that is taken over; others are replaced."""
UNREAD = Payload(b"", JSONScanner(b""), "", False, False, 0)


class Tried(Protocol):
    """What of an attempt is for the reply and the record: `edge.upstreams.tried.Tried`."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """The client's fields that did not cross."""
        ...

    @property
    def warnings(self) -> frozenset[str]:
        """What of the answer could not be made sense of."""
        ...

    @property
    def broke(self) -> bool:
        """Whether the answer is a stream that told of a failure."""
        ...

    def error_event(self, error: EdgeError, request_id: str) -> bytes | None:
        """An error inside the stream that the answer is; None where it is none."""
        ...


class Errand(Protocol):
    """What is under way for an exchange."""

    def cancel(self) -> None:
        """Nobody waits for it any more: it ends, and tells nothing."""
        ...


class Exchange:
    """``varying`` is what of the head is this request's alone (`edge.head.varying_of`), ``peer`` the client's address
    or "", ``received_at`` a reading of ``time.perf_counter()`` at the end of the head.

    ``started`` and ``ended`` say how far the reply is, ``latest`` is what was last written of it; ``early``: nothing
    but a head that says "a stream" and keep-alives has gone out, so another upstream may still answer, and an error has
    to be an event. ``gone``: the client left. ``errand`` is what is under way for it,
    and ``answered`` is called when it is over, with what should not have happened if it did.

    ``body`` is what has come of its body, ``payload`` what that says, once it is read. ``buffered`` counts the bytes
    that are held for it, of its own body and of the answer's.

    ``attempt`` is the one at hand, or the last one; that of a flight, where one gives the answer. ``usage`` are the
    tokens of its answer, ``cost`` (1e-12 USD, -1 unknown) and ``estimated`` are those of all attempts. ``cache``: how
    the cache was involved, as in `edge.hooks.RequestRecord`.
    """

    def __init__(self, head: Head, varying: Varying, peer: str, received_at: float) -> None:
        self.blank()
        self.head = head
        self.varying = varying
        self.peer = peer
        self.received_at = received_at
        given = varying.get(b"x-request-id")
        if given is not None and REQUEST_ID.fullmatch(given):
            self.request_id = given.decode("ascii")
        else:
            self.request_id = random.randbytes(16).hex()

    def blank(self) -> None:
        """As nothing is known of it, and nothing has come of it."""
        self.body = b""
        # What the stages find out. It is typed where it is made, above this module: gateway.State, guard.auth.Key,
        # guard.limits.Lease, grant.Grant, cache.policy.Lookup, upstreams.router.Upstream, cache.entry.Entry.
        self.state: Any = None
        self.key: Any = None
        self.lease: Any = None
        self.payload = UNREAD
        self.grant: Any = None
        self.lookup: Any = None
        self.upstream: Any = None
        self.attempts = 0
        self.attempt: Tried | None = None
        self.stored: Any = None
        self.usage: Usage | None = None
        self.cost = -1
        self.estimated = False
        self.cache = ""
        self.content_at = 0.0
        self.upstream_s = 0.0
        # The reply so far.
        self.status = 0
        self.error: EdgeError | None = None
        self.admitted = False
        self.buffered = 0
        self.errand: Errand | None = None
        self.answered: Callable[[Exception | None], None] | None = None
        # Whether its reply goes to others' exchanges, which have heads of their own.
        self.shares = False
        self.started = False
        self.early = False
        self.latest = b""
        # The kind of a failure that was told inside a stream.
        self.kind = ""
        self.ended = False
        self.gone = False
        self.settled = False

    # Time spent upstream, so that overhead can be told from it.

    def waited(self, since: float) -> None:
        """Since this reading of ``time.perf_counter()`` there was nothing to do but to wait upstream."""
        self.upstream_s += perf_counter() - since

    def overhead_s(self) -> float:
        """Seconds this request has taken so far, without what was spent upstream."""
        return max(0.0, perf_counter() - self.received_at - self.upstream_s)

    # What became of it.

    def record(self, kind: str) -> RequestRecord:
        """The record of a finished request that failed in the way of `kind`, "" if it did not."""
        error, attempt, upstream, key = self.error, self.attempt, self.upstream, self.key
        duration_s = perf_counter() - self.received_at
        stored, grant, payload = self.stored, self.grant, self.payload
        model = payload.model
        # In the order of the record's fields: by name they would cost eight times as much.
        return RequestRecord(
            self.request_id,
            self.head.route.endpoint,
            self.head.dialect,
            upstream.provider.name if upstream is not None else "",
            grant.label if grant is not None else "",
            upstream.model if upstream is not None else "",
            self.attempts,
            key.id if key is not None else "",
            key.tenant if key is not None else "",
            self.status or (error.status if error is not None else 0),
            payload.stream,
            "cancelled" if kind == "client_cancelled" else "error" if kind else "ok",
            error.code if error is not None else "",
            kind,
            duration_s,
            self.upstream_s,
            max(0.0, duration_s - self.upstream_s),
            self.content_at - self.received_at if self.content_at else 0.0,
            self.usage,
            attempt.warnings if attempt is not None else NO_WARNINGS,
            self.cost,
            self.estimated,
            self.cache,
            stored.provider if stored is not None else "",
            stored.model if stored is not None else "",
            model,
            model if model and model in self.state.settings.models else "",
            self.peer,
        )

    # The sink. A front overrides these (a compiled class has no abstract methods); none of the first four waits.

    def start(self, status: int, headers: Headers, size: int | None = None) -> None:
        """Begin the reply. `size` is that of its body in bytes, None for a stream. Takes `headers` over."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Add to the reply's body."""
        raise NotImplementedError

    def end(self) -> None:
        """The reply is complete."""
        raise NotImplementedError

    def abort(self) -> None:
        """Break the connection off: the client must not take what it has for a complete reply."""
        raise NotImplementedError

    def interject(self, data: bytes) -> None:
        """Write while the fetching task is waiting for something else; nothing where the client takes nothing."""
        if not self.congested():
            self.write(data)

    def congested(self) -> bool:
        """Whether more is to be written only when there is room."""
        raise NotImplementedError

    def when_room(self, room: Callable[[], None] | None) -> None:
        """Call `room`, once, as soon as the client takes more, never before this has returned; None to forget it."""
        raise NotImplementedError
