"""One connection to Redis: opened by redis-py, with its login and database, and from then on a protocol of its own.

Commands are packed and replies parsed by hiredis. Nothing but a future lies between the socket and who asks: the
library's streams cost more than Redis takes to answer.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import hiredis
from redis._parsers import _AsyncHiredisParser
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError

from edge.redis.node import LinkBroken, Refused

__all__ = ["RedisLink"]

MAX_REPLY = 4 << 20
"""Bytes of one reply. The largest that is wanted, a cached answer, has 1 MiB."""
READ = 65536


class _ErrorReply(Refused, ResponseError):
    """An error reply, in the library's tree so that its handshake raises it."""


def error_reply(text: str) -> _ErrorReply:
    code, _, detail = text.partition(" ")
    return _ErrorReply(code, detail[:256])


def wanted(data: bytes) -> bool:
    """Whether a reply may begin like this. Those in RESP2 are simple, arrays excepted, and nothing here asks for one:
    their headers make hiredis reserve room for as many elements as they say.
    """
    if data[0] == 36:  # "$", and the size, which has up to seven digits
        return len(data) < 10 or data.find(b"\r\n", 0, 10) > 0
    return data[0] in b"+-:"


class _Parser(_AsyncHiredisParser):
    """What reads the replies of the handshake: hiredis, fed with no more than `MAX_REPLY`."""

    _reader: Any
    _stream: Any
    _left = 0

    @property
    def clean(self) -> bool:
        """Open, and not one byte has come since the last reply."""
        stream = self._stream
        return bool(self._connected and not (self._reader.has_data() or stream.at_eof() or stream._buffer))

    async def read_response(self, disable_decoding: bool = False, push_request: bool = False) -> Any:
        self._left = MAX_REPLY
        return await super().read_response(disable_decoding, push_request)

    async def read_from_socket(self) -> bool:
        data = await self._stream.read(self._read_size)
        if not data:
            raise RedisConnectionError("closed")
        if self._left == MAX_REPLY and not wanted(data):
            raise InvalidResponse
        self._left -= len(data)
        if self._left < 0:
            raise InvalidResponse
        self._reader.feed(data)
        return True

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        return error_reply(response)


class _Wire(asyncio.Protocol):
    """The connection after its handshake: one command at a time. ``broken``: what came makes no sense, or nothing will
    come any more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=error_reply, notEnoughData=...)
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Any] | None = None
        self._size = 0
        self.broken = False

    async def ask(self, command: Any, until: float | None) -> Any:
        """Send a command, and wait for its reply. Raises LinkBroken, Refused, TimeoutError."""
        if self.broken or self._answer is not None:
            raise LinkBroken
        answer = self._answer = self._loop.create_future()
        self._size = 0
        self._transport.write(hiredis.pack_command(command))
        # Cheaper than asyncio.timeout, which has a task to cancel.
        timer = self._loop.call_at(until, self._break, TimeoutError) if until is not None else None
        try:
            return await answer
        finally:
            if timer is not None:
                timer.cancel()
            del answer  # its exception would hold this frame, which holds it

    def data_received(self, data: bytes) -> None:
        answer, reader = self._answer, self._reader
        if answer is None or self.broken:
            self._break()
            return
        try:
            if self._size == 0 and not wanted(data):
                raise InvalidResponse
            self._size += len(data)
            if self._size > MAX_REPLY:
                raise InvalidResponse
            reader.feed(data)
            reply = reader.gets()
            if reply is ...:
                return
        except Exception:  # noqa: BLE001 - whatever it is that came, it is no reply
            self._break()
            return
        self._answer = None
        if answer.done() or reader.has_data():
            self._break()  # what nobody waits for must not be the next one's reply
        if answer.done():
            return
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._break()

    def _break(self, why: type[Exception] = LinkBroken) -> None:
        """What may still come is nobody's: the connection is of no use any more."""
        self.broken = True
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(why())
        self._transport.abort()


class RedisLink(Connection):
    """A `edge.redis.node.Link` to an address that was looked up before.

    Opening it has no time limits of its own: the one around that covers all of it, and the library's costs a task each.
    """

    _parser: _Parser
    _writer: Any

    def __init__(self, host: str, address: str, port: int, tls: ssl.SSLContext | None, login: dict[str, Any]) -> None:
        super().__init__(
            host=host,
            port=port,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            protocol=2,
            driver_info=None,
            parser_class=_Parser,
            socket_read_size=READ,
            **login,
        )
        self._address = address
        self._tls = tls
        self._transport: Any = None
        self._wire: _Wire | None = None

    def _connection_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"host": self._address, "port": self.port}
        if self._tls is not None:
            arguments |= {"ssl": self._tls, "server_hostname": self.host}
        return arguments

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        self._transport = self._writer.transport

    @property
    def usable(self) -> bool:
        return self._wire is not None and not self._wire.broken and not self._transport.is_closing()

    async def open(self) -> None:
        try:
            await self.connect()  # type: ignore[no-untyped-call]
        except _ErrorReply:
            raise
        except Exception:  # noqa: BLE001 - whatever a server makes the library raise, it cannot be used
            raise LinkBroken from None
        if not self._parser.clean or self._transport.is_closing():
            raise LinkBroken
        self._wire = _Wire(self._transport)
        self._transport.set_protocol(self._wire)

    async def ask(self, command: Any, until: float | None) -> Any:
        if self._wire is None:
            raise LinkBroken
        return await self._wire.ask(command, until)

    def abort(self) -> None:
        # The library closes in order, which waits for ever for a server that takes nothing.
        if self._transport is not None:
            self._transport.abort()
        self._parser.on_disconnect()  # type: ignore[no-untyped-call]
        self._close()  # type: ignore[no-untyped-call]
