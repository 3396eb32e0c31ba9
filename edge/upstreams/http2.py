"""The transport over httpx2, for providers with ``http2: true``.

httpx2's transport is used below its client, since the client adds headers of its own, keeps cookies, follows redirects
and reads proxies from the environment; none of that may happen to what passes through a gateway.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import httpx2

from edge._fast import Fields
from edge.config import is_metadata
from edge.errors import (
    EdgeError,
    Headers,
    Overloaded,
    UpstreamBadResponse,
    UpstreamStreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from edge.upload import Taker, Upload
from edge.upstreams.receiver import Receiver, Transport
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.wire import GZIP_BEGINS, NO_DESCRIPTORS, inflater_for, unlabelled

__all__ = ["HttpxTransport"]

KEEPALIVE_S = 60.0
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class HttpxTransport(Transport):
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
        self._sending: set[asyncio.Task[None]] = set()
        self._keeps = True
        self._closing: asyncio.Task[None] | None = None
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

    def send(self, request: UpstreamRequest, receiver: Receiver) -> Stream:
        async def note(event: str, told: Any) -> None:
            if event.endswith("send_request_headers.complete"):
                request.sent = True
            elif event.endswith("connect_tcp.complete"):
                address = told["return_value"].get_extra_info("server_addr")
                if address is not None and is_metadata(str(address[0])):
                    await told["return_value"].aclose()
                    raise UpstreamUnreachable

        stream = Stream(receiver)
        rest, headers = request.rest, request.headers
        if rest is not None and rest.size >= 0:
            headers = [*headers, (b"content-length", b"%d" % (len(request.body) + rest.size))]
        outgoing = httpx2.Request(
            request.method.decode("ascii"),
            self._origin + request.target.decode("latin-1"),
            headers=headers,
            content=request.body if rest is None else stream.parts(request.body, rest),
            extensions={"timeout": self._timeout, "trace": note},
        )
        sending = stream.task = asyncio.get_running_loop().create_task(stream.run(self._transport, outgoing))
        self._sending.add(sending)
        sending.add_done_callback(self._sent)
        return stream

    def connections(self) -> None:
        """httpx2 does not say."""

    def retire(self) -> None:
        self._keeps = False
        self._close_if_over()

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._sending.discard(sending)
        if not self._keeps:
            self._close_if_over()

    def _close_if_over(self) -> None:
        if not self._sending:
            self._closing = asyncio.get_running_loop().create_task(self.close())

    async def close(self) -> None:
        await self._transport.aclose()


class Stream(Taker):
    """One request and its answer: httpx2's coroutines, told by calls."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver: Receiver | None = receiver
        self._comes = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self.task: asyncio.Task[None] | None = None

    def pause(self) -> None:
        self._reads.clear()

    def resume(self) -> None:
        self._reads.set()

    def cancel(self) -> None:
        self._receiver = None
        if self.task is not None:
            self.task.cancel()

    def more(self) -> None:
        self._comes.set()

    async def parts(self, opening: bytes, rest: Upload) -> AsyncIterator[bytes]:
        """A body that goes on while it comes."""
        rest.begin(self)
        yield opening
        while not rest.taken():
            self._comes.clear()
            if data := rest.take():
                yield data
            elif not rest.taken():
                await self._comes.wait()

    async def run(self, transport: httpx2.AsyncHTTPTransport, outgoing: httpx2.Request) -> None:
        """Send, and tell the receiver what comes, until it is complete or cancelled."""
        failure: EdgeError | None = None
        try:
            answer = await transport.handle_async_request(outgoing)
            try:
                await self._tell(answer)
            finally:
                await answer.stream.aclose()  # type: ignore[union-attr]
        except EdgeError as error:
            failure = error.bare()
        except Exception as error:  # noqa: BLE001 - whatever httpx2 meets
            failure = _translated(error)
        finally:
            self.task = None
            receiver, self._receiver = self._receiver, None
        if receiver is not None:
            if failure is None:
                receiver.ended()
            else:
                receiver.failed(failure)

    async def _tell(self, answer: httpx2.Response) -> None:
        headers: Headers = [(name.lower(), value) for name, value in answer.headers.raw if not CONTROL.search(value)]
        fields = Fields(headers)
        framed = b"content-length" in fields or b"transfer-encoding" in fields
        inflater = inflater_for(headers)
        if self._receiver is not None:
            framed = framed or answer.extensions.get("http_version") == b"HTTP/2"
            self._receiver.head(answer.status_code, fields, framed)
        begun = False
        chunks: Any = answer.stream.__aiter__()  # type: ignore[union-attr]
        # The iterator is closed first: an asynchronous generator left open would be closed by the loop at some later
        # time, and the connection with it.
        async with aclosing(chunks):
            try:
                while chunk := await anext(chunks, b""):
                    if not begun:
                        begun = True
                        if inflater is None and chunk.startswith(GZIP_BEGINS):
                            inflater = unlabelled(fields)
                    if inflater is not None:
                        chunk = inflater.feed(chunk)
                    if chunk and self._receiver is not None:
                        self._receiver.body(chunk)
                    if not self._reads.is_set():
                        await self._reads.wait()
            except httpx2.RemoteProtocolError as error:
                # Inside a body every breach is a broken answer: a reset stream, a connection that ended.
                raise UpstreamStreamBroken from error
        if inflater is not None and not inflater.complete:
            raise UpstreamStreamBroken


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
        busy = UpstreamUnreachable("All connections to the provider are busy.")
        busy.ours = True
        return busy
    if isinstance(error, httpx2.TimeoutException):
        return UpstreamTimeout()
    if isinstance(error, httpx2.RemoteProtocolError):
        text = str(error)
        broken = "disconnected" in text or "incomplete" in text or "closed" in text
        return UpstreamStreamBroken() if broken else UpstreamBadResponse()
    if isinstance(error, httpx2.NetworkError):
        return UpstreamStreamBroken()
    return UpstreamBadResponse()
