"""What is asked of providers, and where the answer goes: to a client, or to all who have asked for the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge._fast import JSONScanner
from edge.errors import Headers
from edge.head import Head, Varying
from edge.ledger import Ledger
from edge.payload import Payload

if TYPE_CHECKING:
    from edge.grant import Grant
    from edge.guard.auth import Key
    from edge.guard.reservation import Reservation
    from edge.state import State

__all__ = ["Inquiry"]

UNREAD = Payload(b"", JSONScanner(b""), "", False, False, 0)


class Inquiry:
    """``state`` is the configuration that it is answered by, ``key`` who asks. ``varying`` is what of the head is this
    request's alone (`edge.head.varying_of`), ``payload`` what the body says, once it is read, ``grant`` what its key
    gets for that. ``ledger`` is what has become of it; ``reservation`` what it may come to, where that
    counts. ``buffered`` counts the bytes that are held for it, of the
    request's body and of the answer's.

    ``started`` and ``ended`` say how far the reply is; ``early``: nothing but a head that says "a stream" and
    keep-alives has gone out, so another upstream may still answer, and an error has to be an event.
    """

    def asks(
        self, head: Head, varying: Varying, request_id: str, state: State, key: Key, payload: Payload, grant: Grant
    ) -> None:
        """Begin, as it is made: nothing has come of it."""
        self.head = head
        self.varying = varying
        self.request_id = request_id
        self.state = state
        self.key = key
        self.payload = payload
        self.grant = grant
        self.ledger = Ledger()
        self.reservation: Reservation | None = None
        self.buffered = 0
        # The reply so far.
        self.status = 0
        self.started = False
        self.early = False
        self.ended = False

    # The sink. Who it is for overrides these (a compiled class has no abstract methods); none of the first four waits.

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

    def congested(self) -> bool:
        """Whether more is to be written only when there is room."""
        raise NotImplementedError

    def when_room(self, room: Callable[[], None] | None) -> None:
        """Call `room`, once, as soon as the client takes more, never before this has returned; None to forget it."""
        raise NotImplementedError
