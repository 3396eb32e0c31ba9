"""Who asks a provider, and who waits for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge._fast import Fields
from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.upstreams.request import UpstreamRequest
    from edge.upstreams.wire import Connections, Wire

__all__ = ["Receiver", "Transport"]


class Transport:
    """A pool of connections to one origin. (A compiled class has no abstract methods.)"""

    def send(self, request: UpstreamRequest, receiver: Receiver) -> Wire:
        """Send, and tell `receiver` what comes of it."""
        raise NotImplementedError

    def connections(self) -> Connections | None:
        """How many there are; None where that is not known."""
        raise NotImplementedError

    def retire(self) -> None:
        """Serve whoever still sends, but keep no connection beyond its answer."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection."""
        raise NotImplementedError


class Receiver:
    """Who waits for an answer. What it overrides is called on the loop, never while the request is being sent: `head`
    once, `body` as often as bytes come, then `ended` or `failed` once. After `Wire.cancel` nothing is called.

    When `ended` is called the connection serves others already.
    """

    def head(self, status: int, fields: Fields, framed: bool) -> None:
        """No value has control characters. `framed`: the body's end is known by its length or framing; without it, a
        broken connection looks like the end.
        """

    def body(self, data: bytes) -> None:
        """The next bytes of the body, decompressed."""

    def ended(self) -> None:
        """The body is complete."""

    def failed(self, error: EdgeError) -> None:
        """There will be no end: UpstreamUnreachable, UpstreamTimeout, UpstreamStreamBroken, UpstreamBadResponse,
        Overloaded.
        """
