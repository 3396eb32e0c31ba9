"""What the gateway asks of a wire to a provider.

`Transport` is an interface: ``transport.py`` is our own HTTP/1.1 pool, ``http2.py`` speaks HTTP/2 over httpx2. Whatever
a transport meets it tells by the errors of `edge.errors`, so that nothing above it knows which was underneath.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from edge.errors import Headers, UpstreamBadResponse

__all__ = ["Inflater", "Response", "Sink", "Transport", "UpstreamRequest"]


class UpstreamRequest(Struct):
    """``target`` is the path and query below the provider's origin; ``headers`` are complete but for Host and
    Content-Length, which the transport sets. ``sent``, which the transport sets too: it has been written to a
    connection, so the provider may be at work on it.
    """

    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    sent: bool = False


Sink = Callable[[bytes], bool]


class Response(Protocol):
    """An answer whose head is here. Header names are lower-case, and no value has control characters; ``index`` has the
    first value of each.

    ``framed``: the body's end is known by its length or framing; without, a broken connection looks like the end.
    ``complete``: the body's end is here, and the next read gives all that is left of it.
    """

    status: int
    headers: Headers
    index: dict[bytes, bytes]
    framed: bool
    complete: bool

    async def read(self) -> bytes:
        """The next bytes of the body as they come, b"" at its proper end.

        Raises UpstreamStreamBroken if the connection ends before the body does.
        """
        ...

    async def pump(self, sink: Sink) -> bool:
        """Give `sink` the bytes of the body as they come, without waking the caller for each. Returns True as soon as
        the sink does not return True, False at the body's proper end. Raises what `read` and the sink raise.
        """
        ...

    async def close(self) -> None:
        """Let go: the connection returns to its pool if the body was read to its end, else it is closed at once."""
        ...


class Transport(Protocol):
    """A pool of connections to one origin."""

    async def send(self, request: UpstreamRequest) -> Response:
        """Send, and wait for the head of the answer. Raises UpstreamUnreachable, UpstreamTimeout, UpstreamStreamBroken,
        UpstreamBadResponse.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class Inflater:
    """Decompresses an answer that came compressed although ``accept-encoding: identity`` was asked for.

    Bounded: at most `limit` bytes come out of one call, and what a bomb would give beyond that is an error.
    """

    def __init__(self, encoding: bytes, limit: int) -> None:
        if encoding not in (b"gzip", b"x-gzip", b"deflate"):
            raise UpstreamBadResponse("The provider's answer has a content encoding that was not asked for.")
        self._wbits = 47 if encoding != b"deflate" else 15
        self._inflate = zlib.decompressobj(self._wbits)
        self._limit = limit

    def feed(self, data: bytes) -> bytes:
        """Raises UpstreamBadResponse."""
        out = bytearray()
        while data:
            if self._inflate.eof:
                # RFC 1952, section 2.2: a gzip file may have several members.
                self._inflate = zlib.decompressobj(self._wbits)
            try:
                out += self._inflate.decompress(data, self._limit - len(out) + 1)
            except zlib.error:
                raise UpstreamBadResponse("The provider's answer is not validly compressed.") from None
            if len(out) > self._limit:
                raise UpstreamBadResponse("The provider's answer is too large once decompressed.")
            data = self._inflate.unused_data
        return bytes(out)

    @property
    def complete(self) -> bool:
        return self._inflate.eof
