"""The keys of a tokens' issuer, fetched beside the requests: one at a time, bounded in time and size.

Like all that goes out: certificates are verified, no redirect is followed, and no proxy is taken from the environment.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from edge.config import is_metadata
from edge.guard.tokens import Tokens

__all__ = ["Fetching", "fetch"]

LOOK_S = 1.0
TIMEOUT_S = 5.0
TOTAL_S = 15.0
MAX_BYTES = 1 << 20


class Fetching:
    """Keeps the keys of ``current()`` fresh, from ``start`` to ``stop``."""

    def __init__(self, current: Callable[[], Tokens | None], log: Any) -> None:
        self._current = current
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            tokens = self._current()
            if tokens is not None and tokens.settings.jwks_url is not None and tokens.keys.is_due(monotonic()):
                await self._renew(tokens, tokens.settings.jwks_url)
            await asyncio.sleep(LOOK_S)

    async def _renew(self, tokens: Tokens, url: str) -> None:
        try:
            tokens.take(await asyncio.to_thread(fetch, url))
        except (OSError, ValueError) as error:
            self._failed(tokens, error)
        except (
            http.client.HTTPException
        ) as error:  # asked for behind the others, of which one is that it cannot be read
            self._failed(tokens, error)
        else:
            tokens.keys.fetched(failed=False)
            if self._failing:
                self._log.info("the keys of auth.jwt are fetched again", keys=len(tokens.keys))
            self._failing = False

    def _failed(self, tokens: Tokens, error: Exception) -> None:
        tokens.keys.fetched(failed=True)
        if not self._failing:
            self._log.error(
                "the keys of auth.jwt cannot be fetched, those before stay",
                keys=len(tokens.keys),
                error=f"{type(error).__name__}: {error}"[:200],
            )
        self._failing = True


def fetch(url: str) -> bytes:
    """The document at an address. Waits for it; raises OSError, HTTPException, and ValueError for an answer that is
    none, or too large.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    if any(is_metadata(str(found[4][0])) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)):
        raise ValueError("the address is of a kind that is never asked")
    until = monotonic() + TOTAL_S
    try:
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request("GET", target, headers={"accept": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"the answer's status is {answer.status}")
        document = bytearray()
        while part := answer.read1(65536):
            document += part
            if len(document) > MAX_BYTES:
                raise ValueError(f"the answer is larger than {MAX_BYTES} bytes")
            if monotonic() > until:
                raise TimeoutError(f"the answer takes longer than {TOTAL_S:g} s")
        return bytes(document)
    finally:
        connection.close()
