"""Who waits for a provider's answer."""

from __future__ import annotations

from edge._fast import Fields
from edge.errors import EdgeError

__all__ = ["Receiver"]


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
