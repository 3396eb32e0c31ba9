"""The transport over httpx2: HTTP/1.1 and, with the extra ``http2``, HTTP/2.

httpx2's transport is used below its client, since the client adds headers of its own, keeps cookies, follows redirects
and reads proxies from the environment; none of that may happen to what passes through a gateway.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import httpx2

from edge import config
from edge.errors import (
    EdgeError,
    Headers,
    UpstreamBadResponse,
    UpstreamStreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from edge.upstreams.transport import Inflater, Response, Transport, UpstreamRequest

__all__ = ["HttpxTransport", "open_transport"]

MAX_BLOCK = 64 << 20
KEEPALIVE_S = 60.0


def open_transport(settings: config.Provider, connect_s: float) -> Transport:
    """The transport to a provider's origin. Raises OSError for a CA file that cannot be read."""
    url = urlsplit(settings.base_url)
    return HttpxTransport(
        f"{url.scheme}://{url.netloc}",
        connect_s=connect_s,
        max_connections=settings.max_connections,
        ca_file=settings.ca_file,
        http2=settings.http2,
    )


class HttpxTransport:
    """A connection pool to one origin. Deadlines other than connecting belong to the caller."""

    def __init__(
        self,
        origin: str,
        *,
        connect_s: float,
        max_connections: int,
        ca_file: str | None = None,
        http2: bool = False,
    ) -> None:
        """`origin` is scheme, host and port. Raises OSError or ssl.SSLError for a CA file that cannot be read."""
        context = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._origin = origin
        self._timeout = {"connect": connect_s, "pool": connect_s, "read": None, "write": None}
        self._transport = httpx2.AsyncHTTPTransport(
            verify=context,
            trust_env=False,
            http2=http2,
            limits=httpx2.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=KEEPALIVE_S,
            ),
        )

    async def send(self, request: UpstreamRequest) -> Response:
        outgoing = httpx2.Request(
            request.method,
            self._origin + request.target.decode("latin-1"),
            headers=request.headers,
            content=request.body,
            extensions={"timeout": self._timeout},
        )
        try:
            answer = await self._transport.handle_async_request(outgoing)
        except Exception as error:
            raise _translated(error) from error
        try:
            return _HttpxResponse(answer)
        except EdgeError:
            await answer.stream.aclose()  # type: ignore[union-attr]
            raise

    async def close(self) -> None:
        await self._transport.aclose()


class _HttpxResponse:
    def __init__(self, answer: httpx2.Response) -> None:
        self.status = answer.status_code
        self.headers: Headers = [(name.lower(), value) for name, value in answer.headers.raw]
        self.framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
        self.framed = self.framed or answer.extensions.get("http_version") == b"HTTP/2"
        self._answer = answer
        self._chunks: AsyncIterator[bytes] = answer.stream.__aiter__()  # type: ignore[union-attr]
        self._inflater: Inflater | None = None
        for name, value in self.headers:
            if name == b"content-encoding" and value.lower() not in (b"", b"identity"):
                self._inflater = Inflater(value.lower(), MAX_BLOCK)

    async def read(self) -> bytes:
        try:
            while True:
                chunk = await anext(self._chunks, b"")
                if not chunk:
                    _refuse_surplus(self._answer)
                if self._inflater is None:
                    return chunk
                if not chunk:
                    if not self._inflater.complete:
                        raise UpstreamStreamBroken
                    return b""
                if out := self._inflater.feed(chunk):
                    return out
        except EdgeError:
            raise
        except Exception as error:
            raise _translated(error) from error

    async def close(self) -> None:
        # The iterator first: an asynchronous generator left open would be closed by the loop at some later time,
        # and the connection with it.
        chunks: Any = self._chunks
        async with aclosing(chunks):
            pass
        await self._answer.stream.aclose()  # type: ignore[union-attr]


def _refuse_surplus(answer: httpx2.Response) -> None:
    """See to it that a connection with bytes after its answer is not used again.

    Whoever asked next on it would get them as an answer, and they may be somebody else's. httpcore looks for readable
    sockets when it takes a connection out of its pool, but not at what h11 has already read; a failed h11 state makes
    it close the connection.
    """
    stream: Any = answer.stream
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state"):
        stream = getattr(stream, name, None)
    if stream is not None and stream.trailing_data[0]:
        stream.send_failed()


def _translated(error: Exception) -> EdgeError:
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return UpstreamUnreachable()
    if isinstance(error, httpx2.PoolTimeout):
        return UpstreamUnreachable("All connections to the provider are busy.")
    if isinstance(error, httpx2.TimeoutException):
        return UpstreamTimeout()
    if isinstance(error, httpx2.RemoteProtocolError):
        text = str(error)
        broken = "disconnected" in text or "incomplete" in text or "closed" in text
        return UpstreamStreamBroken() if broken else UpstreamBadResponse()
    if isinstance(error, httpx2.NetworkError):
        return UpstreamStreamBroken()
    return UpstreamBadResponse()
