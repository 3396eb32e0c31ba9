"""A request to a provider, as it is sent."""

from __future__ import annotations

from edge.errors import Headers
from edge.upload import Upload

__all__ = ["UpstreamRequest", "lines_of"]


class UpstreamRequest:
    """``target`` is the path and query below the provider's origin; ``fields`` and ``own`` are the lines of the header,
    each with its end, but for Host and Content-Length, which the transport sets: what was taken over of the client's,
    and the provider's own. ``once``: the provider may keep what it makes of it, so it is not written twice. ``sent``,
    which the transport sets too: it has been written to a connection, so the provider may be at work on it. ``rest`` is
    what follows the body, of which only the opening is here then; None where it is whole.
    """

    def __init__(
        self, method: bytes, target: bytes, fields: bytes, body: bytes, once: bool = False, own: bytes = b""
    ) -> None:
        self.begin(method, target, fields, body, once, own)

    def begin(self, method: bytes, target: bytes, fields: bytes, body: bytes, once: bool, own: bytes) -> None:
        """As it is made: nothing has been sent."""
        self.method = method
        self.target = target
        self.fields = fields
        self.own = own
        self.body = body
        self.once = once
        self.sent = False
        self.rest: Upload | None = None

    def is_gone(self) -> bool:
        """Whether it cannot be sent again, since a part of its body is not here any more."""
        return self.rest is not None and not self.rest.repeatable

    @property
    def headers(self) -> Headers:
        """The fields as pairs, names in lower case."""
        pairs = (line.partition(b": ") for line in (self.fields + self.own).split(b"\r\n")[:-1])
        return [(name, value) for name, _, value in pairs]


def lines_of(headers: Headers) -> bytes:
    """The lines of fields, each with its end."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])
