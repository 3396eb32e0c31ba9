"""Where a provider is: its host's addresses, and connections to them."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from edge.config import is_metadata
from edge.errors import Overloaded, UpstreamUnreachable
from edge.upstreams.wire import NO_DESCRIPTORS

__all__ = ["Origin"]

RESOLVED_S = 60.0
P = TypeVar("P", bound=asyncio.BaseProtocol)


class Origin:
    """``authority`` is what a request's Host says of it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, connect_s: float) -> None:
        """`connect_s` bounds connecting, TLS included."""
        self._host = host
        self._port = port
        self._tls = tls
        self._connect_s = connect_s
        name = f"[{host}]" if ":" in host else host
        default = 443 if tls else 80
        self.authority = (name if port == default else f"{name}:{port}").encode("ascii")
        self._addresses: list[str] = []
        self._resolved_at = 0.0

    async def connect(self, protocol: Callable[[], P]) -> P:
        """A connection for a protocol that is made for it. Raises UpstreamUnreachable, Overloaded."""
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        try:
            async with asyncio.timeout(self._connect_s):
                for address in await self._resolve():
                    try:
                        _, connection = await loop.create_connection(
                            protocol,
                            address,
                            self._port,
                            ssl=self._tls,
                            server_hostname=self._host if self._tls else None,
                        )
                    except OSError as error:
                        if error.errno in NO_DESCRIPTORS:
                            raise Overloaded("This edge has too many connections open; ask again.") from error
                        failure = error
                        continue
                    return connection
        except (TimeoutError, OSError) as error:
            self._resolved_at = 0.0
            raise UpstreamUnreachable from error
        # No address answers: ask anew next time, it may have moved.
        self._resolved_at = 0.0
        raise UpstreamUnreachable from failure

    async def _resolve(self) -> list[str]:
        """The host's addresses, remembered for a minute."""
        loop = asyncio.get_running_loop()
        if not self._addresses or loop.time() - self._resolved_at > RESOLVED_S or not self._resolved_at:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            named = dict.fromkeys(str(address[0]) for _, _, _, _, address in found)
            self._addresses = [each for each in named if not is_metadata(each)]
            if not self._addresses:
                raise OSError(errno.EADDRNOTAVAIL, "the host's addresses are of a kind that is never asked")
            self._resolved_at = loop.time()
        return self._addresses
