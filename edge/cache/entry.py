"""A stored answer. What memory holds, and what goes to Redis in an envelope."""

from __future__ import annotations

import msgspec

from edge.hooks import Usage

__all__ = ["Entry"]


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A complete, successful answer as its client got it: status 200, all of the body.

    ``api`` is the ``Route.api`` it was asked by, and with it the dialect it is in. Of a stream, ``body`` is the bytes
    of its events and ``chunks`` says how they came: (milliseconds since the first, end in ``body``) of each write, in
    their order. ``chunks`` is empty for a whole (JSON) answer.

    ``provider`` and ``model`` say who answered, ``cost`` what that cost in 1e-12 USD (-1 where no price is known),
    ``stored_at`` and ``expires_at`` are seconds of the wall clock.
    """

    api: str
    body: bytes
    chunks: tuple[tuple[int, int], ...]
    usage: Usage | None
    provider: str
    model: str
    cost: int
    stored_at: float
    expires_at: float

    @property
    def streamed(self) -> bool:
        return bool(self.chunks)
