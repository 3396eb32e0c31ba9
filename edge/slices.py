"""Work on large bodies that is done a slice at a time, so that the other requests of the loop do not wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from time import perf_counter
from typing import Generic, TypeVar

__all__ = ["LARGE", "Done", "Job", "Slices", "Steps", "Work", "finished", "in_thread"]

LARGE = 262144
"""Bytes of a body that is looked at in one go: a millisecond or two."""
STEP_S = 0.002
T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work that is written as a generator: between two yields is at most a few milliseconds' work, and what is returned is
its result.
"""


def finished(steps: Steps[T]) -> T:
    """What comes of work that is done in one go."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        made: T = end.value
        return made


Step = Callable[[], bool]
Done = Callable[[Exception | None], None]
"""Is told how it ended: None for well."""


class Slices:
    """One for each loop. However many bodies there are, one step of one of them is taken in each turn of the loop, in
    turns, so that what a turn takes does not grow with their number.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def add(self, step: Step, done: Done) -> Job:
        """Call `step`, which is to take at most a few milliseconds, until it returns True; then call `done`, with what
        it raised if it did.
        """
        job = Job(step, done)
        self._jobs.append(job)
        if len(self._jobs) == 1:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._turn, loop)
        return job

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._jobs)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        job, more = self._jobs[0], False  # left there: whoever adds one meanwhile finds that there is a turn
        try:
            more = job.take_step()
        finally:  # whatever who waits for this one makes of it: the others go on
            self._jobs.popleft()
            if more:
                self._jobs.append(job)
            if self._jobs:
                loop.call_soon(self._turn, loop)


class Job:
    """Work that is under way, a step at a time or in a thread, until it is done or nobody waits for it."""

    __slots__ = ("_done", "_step")

    def __init__(self, step: Step | None, done: Done) -> None:
        self._step = step
        self._done: Done | None = done

    def cancel(self) -> None:
        self._step = self._done = None

    def finish(self, error: Exception | None) -> None:
        done, self._done, self._step = self._done, None, None
        if done is not None:
            done(error)

    def take_step(self) -> bool:
        """Whether there is more to do."""
        if self._step is None:
            return False
        try:
            if not self._step():
                return True
        except Exception as error:  # noqa: BLE001 - it is told to who waits
            self.finish(error)
        else:
            self.finish(None)
        return False


class Work(Generic[T]):
    """``result`` is there once `step` has returned True: it is ``done``. ``took_s`` are the seconds spent on it."""

    result: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self.done = False
        self.took_s = 0.0

    def step(self) -> bool:
        """Go on for about two milliseconds; True when all is done. Raises what the work raises, and then is not to be
        called again.
        """
        begun = perf_counter()
        until = begun + STEP_S
        try:
            while not self.done:
                next(self._steps)
                if perf_counter() >= until:
                    return False
        except StopIteration as end:
            self.result = end.value
            self.done = True
        finally:
            self.took_s += perf_counter() - begun
        return True


def in_thread(work: Callable[[], None], done: Done) -> Job:
    """Do what holds the loop too long in another thread, and call `done` on the loop as `Slices.add` does."""
    job = Job(None, done)

    def tell(ended: asyncio.Future[None]) -> None:
        error = None if ended.cancelled() else ended.exception()
        job.finish(error if isinstance(error, Exception) else None)

    asyncio.get_running_loop().run_in_executor(None, work).add_done_callback(tell)
    return job
