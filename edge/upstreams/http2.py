"""The transport over httpx2, for providers with ``http2: true``.

httpx2's transport is used below its client, since the client adds headers of its own, keeps cookies, follows redirects
and reads proxies from the environment; none of that may happen to what passes through a gateway.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import httpx2

from edge._fast import index_fields
from edge.errors import (
    EdgeError,
    Headers,
    Overloaded,
    UpstreamBadResponse,
    UpstreamStreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from edge.upstreams.wire import NO_DESCRIPTORS, Response, Sink, UpstreamRequest, inflater_for, unlabelled

__all__ = ["HttpxTransport"]

KEEPALIVE_S = 60.0
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class HttpxTransport:
    """A connection pool to one origin. Deadlines other than connecting belong to the caller."""

    def __init__(
        self,
        origin: str,
        *,
        connect_s: float,
        max_connections: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        """`origin` is scheme, host and port."""
        _tell_peers_of_departures()
        self._origin = origin
        self._timeout = {"connect": connect_s, "pool": connect_s, "read": None, "write": None}
        self._transport = httpx2.AsyncHTTPTransport(
            verify=tls or True,
            trust_env=False,
            http2=True,
            limits=httpx2.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=KEEPALIVE_S,
            ),
        )

    async def send(self, request: UpstreamRequest) -> Response:
        async def note(event: str, _: Any) -> None:
            if event.endswith("send_request_headers.complete"):
                request.sent = True

        outgoing = httpx2.Request(
            request.method.decode("ascii"),
            self._origin + request.target.decode("latin-1"),
            headers=request.headers,
            content=request.body,
            extensions={"timeout": self._timeout, "trace": note},
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
        self.complete = False
        self.headers: Headers = [
            (name.lower(), value) for name, value in answer.headers.raw if not CONTROL.search(value)
        ]
        self.index = index_fields(self.headers)
        self.framed = b"content-length" in self.index or b"transfer-encoding" in self.index
        self.framed = self.framed or answer.extensions.get("http_version") == b"HTTP/2"
        self._answer = answer
        self._chunks: AsyncIterator[bytes] = answer.stream.__aiter__()  # type: ignore[union-attr]
        self._inflater = inflater_for(self.headers)
        self._begun = False

    async def read(self) -> bytes:
        try:
            while True:
                chunk = await anext(self._chunks, b"")
                if chunk and not self._begun:
                    self._begun = True
                    self._inflater = self._inflater or unlabelled(self.index, chunk)
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
        except httpx2.RemoteProtocolError as error:
            # Inside a body every breach is a broken answer: a reset stream, a connection that ended.
            raise UpstreamStreamBroken from error
        except Exception as error:
            raise _translated(error) from error

    async def pump(self, sink: Sink) -> bool:
        while chunk := await self.read():
            if not sink(chunk):
                return True
        return False

    async def close(self) -> None:
        # The iterator first: an asynchronous generator left open would be closed by the loop at some later time,
        # and the connection with it.
        chunks: Any = self._chunks
        async with aclosing(chunks):
            pass
        await self._answer.stream.aclose()  # type: ignore[union-attr]


def _tell_peers_of_departures() -> None:
    """Make httpcore2 send RST_STREAM for a stream that is given up before its end.

    It only forgets such a stream; the provider would go on generating, and billing, for nobody. Its class is private:
    this is done once, where an HTTP/2 provider is first opened, and a test with a real HTTP/2 server holds it.
    """
    from h2.errors import ErrorCodes
    from h2.exceptions import H2Error
    from httpcore2._async.http2 import AsyncHTTP2Connection

    forget = AsyncHTTP2Connection._response_closed
    if getattr(forget, "tells_peer", False):
        return

    async def reset_and_forget(self: Any, stream_id: int) -> None:
        try:
            self._h2_state.reset_stream(stream_id, ErrorCodes.CANCEL)
            await self._write_outgoing_data(SimpleNamespace(extensions={}))
        except (H2Error, KeyError):
            pass  # the stream had ended properly
        except Exception:  # noqa: BLE001, S110 - the connection is broken, so the peer knows
            pass
        await forget(self, stream_id)

    reset_and_forget.tells_peer = True  # type: ignore[attr-defined]
    AsyncHTTP2Connection._response_closed = reset_and_forget  # type: ignore[method-assign]


def _translated(error: Exception) -> EdgeError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in NO_DESCRIPTORS:
            return Overloaded("This edge has too many connections open; ask again.")
        cause = cause.__cause__ or cause.__context__
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
