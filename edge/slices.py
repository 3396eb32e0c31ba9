"""Work on large bodies that is done a slice at a time, so that the other requests of the loop do not wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["LARGE", "Slices"]

LARGE = 262144
"""Bytes of a body that is looked at in one go: a millisecond or two."""

Step = Callable[[], bool]


class Slices:
    """One for each loop. However many bodies there are, one step of one of them is taken in each turn of the loop, in
    turns, so that what a turn takes does not grow with their number.
    """

    def __init__(self) -> None:
        self._jobs: deque[tuple[Step, asyncio.Future[None]]] = deque()

    async def run(self, step: Step) -> None:
        """Call `step`, which is to take at most a few milliseconds, until it returns True. Raises what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._jobs.append((step, done))
        if len(self._jobs) == 1:
            loop.call_soon(self._turn, loop)
        await done

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        step, done = self._jobs[0]
        finished = True
        if not done.done():  # or whoever waited has left
            try:
                finished = step()
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                done.set_exception(error)
            else:
                if finished:
                    done.set_result(None)
        self._jobs.popleft()
        if not finished:
            self._jobs.append((step, done))
        if self._jobs:
            loop.call_soon(self._turn, loop)
