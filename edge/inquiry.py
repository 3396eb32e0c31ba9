"""What is asked of providers, and where the answer goes: to a client, or to all who have asked for the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge._fast import JSONScanner
from edge.errors import EdgeError, Headers
from edge.head import Head, Varying
from edge.hooks import Usage
from edge.ledger import Ledger
from edge.payload import Payload
from edge.reply import Reply, Sink

if TYPE_CHECKING:
    from edge.dialects.kept_response import KeptResponse
    from edge.grant import Grant
    from edge.guard.auth import Key
    from edge.guard.reservation import Reservation
    from edge.state import State
    from edge.trace_context import TraceContext
    from edge.upload import Upload
    from edge.upstreams.tried import Tried

__all__ = ["Asker", "Books", "Inquiry", "Reserved"]

UNREAD = Payload(b"", JSONScanner(b""), "", False, False, 0)


class Books:
    """Where what answers cost is kept: `edge.money.accounting.Accounts`."""

    def settle(self, inquiry: Inquiry, tried: Tried, error: Exception | None, answer: bytes | None = None) -> None:
        """Charge the answer of an attempt, once. `error` is what ended it, None where it ended well; `answer` its body,
        where it is whole and of status 200.
        """
        raise NotImplementedError


class Reserved:
    """What an inquiry may come to, where that counts: an `edge.guard.reservation.Reservation`."""

    def used(self, usage: Usage, cost: int) -> None:
        """An answer was charged: its tokens, and its cost in 1e-12 USD, -1 where that is not known."""
        raise NotImplementedError

    def more(self, told: Callable[[EdgeError | None], None]) -> None:
        """Reserve the same once more. `told` is called once, with what refuses that, or None."""
        raise NotImplementedError

    def end(self) -> None:
        """The inquiry is settled."""
        raise NotImplementedError


class Asker:
    """Who has an answer fetched."""

    def fetched(self, inquiry: Inquiry, error: BaseException | None) -> None:
        """It is answered, or has met this `error`, which nobody could mend. Called once."""
        raise NotImplementedError


class Inquiry(Sink):
    """``state`` is the configuration that it is answered by, ``key`` who asks. ``varying`` is what of the head is this
    request's alone (`edge.head.varying_of`), ``payload`` what the body says, once it is read, ``grant`` what its key
    gets for that. ``trace`` is its place in a trace, None where it is in none. ``ledger`` is what has become of it,
    ``reply`` what is told of that, of which this is the sink; ``reservation`` what it may come to, where that counts.
    ``buffered`` counts the bytes that are held for it, of the request's body and of the answer's; ``upload`` is what
    follows its payload's body while that still comes, None where it is whole; ``keep`` is the response that comes of
    it where that is kept here, else None.
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
        self.trace: TraceContext | None = None
        ledger = self.ledger = Ledger.__new__(Ledger)
        ledger.begin()
        self.reservation: Reservation | None = None
        self.buffered = 0
        self.upload: Upload | None = None
        self.keep: KeptResponse | None = None
        reply = self.reply = Reply.__new__(Reply)
        reply.attach(self)

    # What providers have answered: who it is for overrides these.

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """All of an answer."""
        raise NotImplementedError

    def begin_answer(self, status: int, headers: Headers, size: int) -> None:
        """The head of an answer; `size` as in `Sink.start`."""
        raise NotImplementedError
