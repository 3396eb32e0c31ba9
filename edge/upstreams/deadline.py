"""The clocks of one request to a provider.

``connect_s`` belongs to the transport. A stream must show its first content within ``first_content_s`` and its next
bytes within ``idle_s``; everything must be over within ``total_s``, or earlier if the client said so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from edge.config import Resilience
from edge.errors import ClientClosedRequest, UpstreamTimeout

__all__ = ["Deadline"]

T = TypeVar("T")
WRITE_STALL_S = 30.0
"""A client that takes nothing of its answer for this long has left, whatever its socket says."""


class Deadline:
    """Starts when it is made."""

    __slots__ = ("_first_content", "_idle_s", "_loop", "_total", "_total_s")

    def __init__(self, settings: Resilience, *, stream: bool, client_ms: int | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._total_s = settings.total_s if client_ms is None else min(settings.total_s, client_ms / 1000)
        self._total = now + self._total_s
        self._first_content = now + settings.first_content_s if stream else self._total
        self._idle_s = settings.idle_s

    async def first(self, step: Awaitable[T]) -> T:
        """Wait for a step on the way to the first content. Raises UpstreamTimeout."""
        return await self._until(min(self._first_content, self._total), step, "no content")

    async def next(self, step: Awaitable[T]) -> T:
        """Wait for the next bytes of a running stream. Raises UpstreamTimeout."""
        return await self._until(min(self._loop.time() + self._idle_s, self._total), step, "nothing more")

    async def taken(self, drain: Awaitable[None]) -> None:
        """Wait for the client to take what was written. Raises ClientClosedRequest."""
        try:
            async with asyncio.timeout_at(min(self._loop.time() + WRITE_STALL_S, self._total)):
                await drain
        except TimeoutError:
            raise ClientClosedRequest("The client stopped reading its answer.") from None

    async def whole(self, step: Awaitable[T]) -> T:
        """Wait for a part of an answer that is no stream. Raises UpstreamTimeout."""
        return await self._until(self._total, step, "no complete answer")

    async def _until(self, when: float, step: Awaitable[T], missing: str) -> T:
        try:
            async with asyncio.timeout_at(when):
                return await step
        except TimeoutError:
            raise UpstreamTimeout(f"The provider gave {missing} in time.") from None
