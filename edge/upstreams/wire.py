"""What the gateway asks of a wire to a provider.

``transport.py`` is our own HTTP/1.1 pool, ``http2.py`` speaks HTTP/2 over httpx2. Whatever
a transport meets it tells by the errors of `edge.errors`, so that nothing above it knows which was underneath.
"""

from __future__ import annotations

import asyncio
import errno
from typing import NamedTuple, Protocol

from edge._fast import Fields
from edge.codings import CodingError, Layer
from edge.errors import EdgeError, Headers, UpstreamBadResponse
from edge.upstreams.receiver import Receiver, Transport
from edge.upstreams.request import UpstreamRequest

__all__ = [
    "GZIP_BEGINS",
    "NO_DESCRIPTORS",
    "Inflater",
    "Wire",
    "inflater_for",
    "unlabelled",
    "whole",
]

MAX_BLOCK = 64 << 20
MAX_CODINGS = 3
ANSWERED = frozenset({b"gzip", b"x-gzip", b"deflate"})
"""What servers answer in although nobody asked. Who compresses by a newer coding was asked to."""
GZIP_BEGINS = b"\x1f"
"""The first byte of gzip's (RFC 1952, section 2.3.1). Neither JSON nor events begin so."""
NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
"""Why a connection cannot be made that are no fault of the provider's."""


class Wire(Protocol):
    """A request on its way, and its answer on the way back."""

    def pause(self) -> None:
        """Take nothing more from the provider: the client cannot take it. What has come already is still told."""
        ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        """Let go: nothing more is told, and a connection whose answer is not complete is closed at once."""
        ...


class Connections(NamedTuple):
    """Of a pool: with a request, without one, being opened; and how many requests wait for one."""

    busy: int
    idle: int
    opening: int
    waiting: int


class _Whole(Receiver):
    def __init__(self, done: asyncio.Future[tuple[int, bytes]], limit: int) -> None:
        self._done = done
        self._limit = limit
        self._status = 0
        self._body = bytearray()

    def head(self, status: int, fields: Fields, framed: bool) -> None:
        self._status = status

    def body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._limit:
            self.failed(UpstreamBadResponse("The provider's answer is too long."))

    def ended(self) -> None:
        if not self._done.done():
            self._done.set_result((self._status, bytes(self._body)))

    def failed(self, error: EdgeError) -> None:
        if not self._done.done():
            self._done.set_exception(error)


async def whole(transport: Transport, request: UpstreamRequest, limit: int) -> tuple[int, bytes]:
    """The status and body of an answer that nobody waits for on the data path. Raises what `Receiver.failed` is told,
    and UpstreamBadResponse for a body of more than `limit` bytes.
    """
    done: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    wire = transport.send(request, _Whole(done, limit))
    try:
        return await done
    finally:
        wire.cancel()


def inflater_for(headers: Headers) -> Inflater | None:
    """What decompresses a body by its Content-Encoding (RFC 9110, section 8.4), None for one that is not compressed.

    Raises UpstreamBadResponse for codings that are not known here.
    """
    values = b",".join(value for name, value in headers if name == b"content-encoding")
    codings = [coding for part in values.lower().split(b",") if (coding := part.strip()) not in (b"", b"identity")]
    return Inflater(codings) if codings else None


def unlabelled(fields: Fields) -> Inflater | None:
    """The same for a body that begins as gzip does, and does not say that it is compressed."""
    media_type = (fields.get(b"content-type") or b"").lower()
    text = not media_type or media_type.startswith(b"text/") or b"json" in media_type
    return Inflater([b"gzip"]) if text else None


class Inflater:
    """Decompresses an answer that came compressed although ``accept-encoding: identity`` was asked for.

    Bounded: at most `MAX_BLOCK` bytes come out of one call, and what a bomb would give beyond that is an error.
    """

    def __init__(self, codings: list[bytes]) -> None:
        """`codings` in the order in which they were applied. Raises UpstreamBadResponse."""
        if len(codings) > MAX_CODINGS or not ANSWERED.issuperset(codings):
            raise UpstreamBadResponse("The provider's answer has a content encoding that was not asked for.")
        self._layers = [Layer(coding) for coding in reversed(codings)]

    def feed(self, data: bytes) -> bytes:
        """Raises UpstreamBadResponse."""
        for layer in self._layers:
            out = bytearray()
            try:
                for piece in layer.pieces(data):
                    out += piece
                    if len(out) > MAX_BLOCK:
                        raise UpstreamBadResponse("The provider's answer is too large once decompressed.")
            except CodingError as error:
                raise UpstreamBadResponse(f"The provider's answer {error}.") from None
            data = bytes(out)
        return data

    @property
    def complete(self) -> bool:
        """Whether the body may end here: also one of which nothing has come, as that of a 204."""
        return all(layer.complete for layer in self._layers)
