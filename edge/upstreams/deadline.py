"""The clocks of one request to a provider, all read by one sweep per worker.

``connect_s`` belongs to the transport. A stream must show its first content within ``first_content_s`` and its next
bytes within ``idle_s``; everything must be over within ``total_s``, or earlier if the client said so. A client that
takes nothing of its answer has ``WRITE_STALL_S``.

A timer per wait would cost more than the wait; here waiting costs the setting of a number, and every tenth of a second
one look at the numbers of all requests cancels the tasks whose time is over.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from edge.config import Resilience
from edge.errors import ClientClosedRequest, UpstreamTimeout

__all__ = ["Clocks", "Deadline", "Sweep"]

SWEEP_S = 0.1
WRITE_STALL_S = 30.0
"""A client that takes nothing of its answer for this long has left, whatever its socket says."""


class Sweep:
    """The deadlines of one event loop; looks at them while there are any."""

    def __init__(self) -> None:
        self._active: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deadline: Deadline, loop: asyncio.AbstractEventLoop) -> None:
        self._active.add(deadline)
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_S, self._look, loop)

    def remove(self, deadline: Deadline) -> None:
        self._active.discard(deadline)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for deadline in list(self._active):
            if deadline.when <= now:
                self._active.discard(deadline)
                deadline.expire()
        self._timer = loop.call_later(SWEEP_S, self._look, loop) if self._active else None


class Clocks:
    """What the attempts of one request have in common: the settings, and when all must be over."""

    __slots__ = ("loop", "settings", "stream", "total")

    def __init__(self, settings: Resilience, *, stream: bool, client_ms: int | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.settings = settings
        self.stream = stream
        total_s = settings.total_s if client_ms is None else min(settings.total_s, client_ms / 1000)
        self.total = self.loop.time() + total_s

    def over(self) -> bool:
        return self.loop.time() >= self.total


class Deadline:
    """``with Deadline(...) as deadline:`` bounds what the current task awaits inside; it starts with the wait for the
    first content. Raises UpstreamTimeout, or ClientClosedRequest where it was the client that did not take its answer.
    """

    __slots__ = ("_cancelling", "_expired", "_idle_s", "_loop", "_phase", "_sweep", "_task", "_total", "when")

    def __init__(self, sweep: Sweep, clocks: Clocks) -> None:
        self._sweep = sweep
        self._loop = clocks.loop
        self._total = clocks.total
        self.when = clocks.total
        if clocks.stream:
            self.when = min(self._loop.time() + clocks.settings.first_content_s, clocks.total)
        self._idle_s = clocks.settings.idle_s
        self._phase = "no content" if clocks.stream else "no complete answer"
        self._expired = False
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0

    def next_bytes(self) -> None:
        """From here on the next bytes of a running stream are awaited."""
        self._phase = "nothing more"
        self.when = min(self._loop.time() + self._idle_s, self._total)

    def taken(self) -> None:
        """From here on the client is awaited, which has to take what was written."""
        self._phase = ""
        self.when = min(self._loop.time() + WRITE_STALL_S, self._total)

    def expire(self) -> None:
        self._expired = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None  # noqa: S101 - a coroutine runs in a task
        self._cancelling = self._task.cancelling()
        self._sweep.add(self, self._loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._sweep.remove(self)
        task, self._task = self._task, None
        # As asyncio.timeout does: the cancellation is ours alone only if nobody else has asked for one.
        ours = self._expired and task is not None and task.uncancel() <= self._cancelling
        if ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            if not self._phase:
                raise ClientClosedRequest("The client stopped reading its answer.") from None
            raise UpstreamTimeout(f"The provider gave {self._phase} in time.") from None
