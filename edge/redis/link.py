"""Opens connections to Redis by redis-py, with their login and database; `edge/redis/pipe.py` has them from then on."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from redis._parsers import _AsyncHiredisParser
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError

from edge.redis.resp import MAX_REPLY, LinkBroken, Refused

__all__ = ["RedisLink"]

READ = 65536


class _ErrorReply(Refused, ResponseError):
    """An error reply, in the library's tree so that its handshake raises it."""


class _Parser(_AsyncHiredisParser):
    """What reads the replies of the handshake: hiredis, fed with no more than `MAX_REPLY`, and with no arrays."""

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
        if self._left == MAX_REPLY and data[0] not in b"+-:":
            raise InvalidResponse
        self._left -= len(data)
        if self._left < 0:
            raise InvalidResponse
        self._reader.feed(data)
        return True

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        code, _, detail = response.partition(" ")
        return _ErrorReply(code, detail[:256])


class RedisLink(Connection):
    """A `edge.redis.pipe.Link` to an address that was looked up before.

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

    def _connection_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"host": self._address, "port": self.port}
        if self._tls is not None:
            arguments |= {"ssl": self._tls, "server_hostname": self.host}
        return arguments

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        self._transport = self._writer.transport

    async def open(self) -> asyncio.Transport:
        try:
            await self.connect()  # type: ignore[no-untyped-call]
        except _ErrorReply as refused:
            raise Refused(refused.code, refused.detail) from None  # the frames of the old would be kept in a circle
        except Exception:  # noqa: BLE001 - whatever a server makes the library raise, it cannot be used
            raise LinkBroken from None
        transport: asyncio.Transport = self._transport
        if not self._parser.clean or transport.is_closing():
            raise LinkBroken
        return transport

    def abort(self) -> None:
        # The library closes in order, which waits for ever for a server that takes nothing.
        if self._transport is not None:
            self._transport.abort()
        self._parser.on_disconnect()  # type: ignore[no-untyped-call]
        self._close()  # type: ignore[no-untyped-call]
