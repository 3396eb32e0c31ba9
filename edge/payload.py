"""The body of a request, as it was read and found sound."""

from __future__ import annotations

from edge._fast import Scanned
from edge.digests import digest_of

__all__ = ["Payload"]


class Payload:
    """What a body says, before anybody does anything about it. It never changes: what is to go on with another body has
    another payload.

    ``scan`` tells of ``body`` where the values of its top-level keys stand. ``model``, ``stream`` and ``include_usage``
    (a stream of chunks is to tell its tokens) are what it asks for; ``deadline_ms`` is the client's own deadline, 0 for
    none.
    """

    def __init__(
        self,
        body: bytes,
        scan: Scanned,
        model: str,
        stream: bool,
        include_usage: bool,
        deadline_ms: int,
        digest: bytes = b"",
    ) -> None:
        """`digest` is the body's SHA-256, where that was found already."""
        self.begin(body, scan, model, stream, include_usage, deadline_ms, digest)

    def begin(
        self,
        body: bytes,
        scan: Scanned,
        model: str,
        stream: bool,
        include_usage: bool,
        deadline_ms: int,
        digest: bytes,
    ) -> None:
        """As it is made."""
        self.body = body
        self.scan = scan
        self.model = model
        self.stream = stream
        self.include_usage = include_usage
        self.deadline_ms = deadline_ms
        self._digest = digest

    @property
    def digest(self) -> bytes:
        """The body's SHA-256."""
        return self._digest or digest_of(self.body)

    @property
    def values(self) -> int:
        """How many values the body has, objects and arrays included."""
        return self.scan.values

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Where the values of all top-level keys stand."""
        return self.scan.spans

    def span(self, name: bytes) -> tuple[int, int] | None:
        """Where the value of a top-level key stands."""
        return self.scan.span(name)

    def says(self, name: bytes, value: bytes) -> bool:
        """Whether the value of a top-level key is written as `value`."""
        said: bool = self.scan.says(name, value)
        return said
