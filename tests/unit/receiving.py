"""A receiver of a provider's answer that keeps what it is told."""

from __future__ import annotations

import asyncio

from edge._fast import Fields
from edge.errors import EdgeError, Headers
from edge.upstreams.receiver import Receiver
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.wire import Transport


class Heard(Receiver):
    """``over``: nothing more is due; ``failure`` is why, if the answer is not complete."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.framed = False
        self.data = bytearray()
        self.failure: EdgeError | None = None
        self.began = asyncio.Event()
        self.over = asyncio.Event()

    def head(self, status: int, fields: Fields, framed: bool) -> None:
        assert not self.began.is_set()
        self.status, self.headers, self.framed = status, fields.pairs, framed
        self.began.set()

    def body(self, data: bytes) -> None:
        assert data
        assert self.began.is_set()
        assert not self.over.is_set()
        self.data += data

    def ended(self) -> None:
        assert self.began.is_set()
        assert not self.over.is_set()
        self.over.set()

    def failed(self, error: EdgeError) -> None:
        assert not self.over.is_set()
        self.failure = error
        self.over.set()

    async def whole(self) -> bytes:
        """The body, once it is complete. Raises `failure`."""
        await self.over.wait()
        if self.failure is not None:
            raise self.failure
        return bytes(self.data)


async def ask(transport: Transport, request: UpstreamRequest) -> Heard:
    """The whole of an answer. Raises what the transport tells; cancelled, it lets go."""
    heard = Heard()
    wire = transport.send(request, heard)
    try:
        await heard.whole()
    finally:
        wire.cancel()
    return heard
