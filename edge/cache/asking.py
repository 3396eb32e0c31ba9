"""What Redis is asked for an answer, and whose turn it is to fetch one that is not there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import monotonic

from edge.cache.entry import Entry
from edge.cache.flight import Flight
from edge.cache.memory import Held
from edge.cache.remote import RemoteCache
from edge.redis.pipe import Command, RedisUnavailable

__all__ = ["Look", "Question", "Told", "Turns"]

LEASE_S = 2.0
"""How long an answer is left to another worker or machine that has asked for it first."""
LEASE_STREAM_S = 0.3
"""The same for a stream, whose client expects a first word soon and would get all of them late."""
POLL_S = 0.025

Fit = Callable[["Entry | None"], "Held | None"]
"""What an entry is as an answer to what was asked; None where it is none."""
Told = Callable[["Held | None", "RedisUnavailable | None"], None]


class Look:
    """One who waits for the answer to a question. `told` is called once, unless it is cancelled before."""

    __slots__ = ("_question", "told")

    def __init__(self, question: Question, told: Told) -> None:
        self._question: Question | None = question
        self.told: Told | None = told

    def cancel(self) -> None:
        question = self._question
        self.forget()
        if question is not None:
            question.leave(self)

    def forget(self) -> None:
        self._question = self.told = None


class Question:
    """What Redis is asked once for all who want to know the same at that time; it is nobody's, and `over` is called
    when it is answered, or nobody waits for it any more.
    """

    __slots__ = ("_command", "_fit", "_looks", "_over")

    def __init__(self, fit: Fit, over: Callable[[], object]) -> None:
        self._fit = fit
        self._over = over
        self._looks: list[Look] = []
        self._command: Command | None = None

    def ask(self, remote: RemoteCache, digest: bytes, tenant: str) -> bool:
        """Whether there is somebody to ask."""
        self._command = remote.get(digest, tenant, self)
        return self._command is not None

    def join(self, told: Told) -> Look:
        look = Look(self, told)
        self._looks.append(look)
        return look

    def leave(self, look: Look) -> None:
        if look in self._looks:
            self._looks.remove(look)
        if not self._looks and self._command is not None:
            self._command.cancel()
            self._end()

    # As an inquirer.

    def found(self, entry: Entry | None) -> None:
        held: Held | None = None
        try:
            held = self._fit(entry)
        finally:  # also if that is a defect of ours: they go on without
            self._tell(held, None)

    def not_told(self, trouble: RedisUnavailable) -> None:
        self._tell(None, trouble)

    def _tell(self, held: Held | None, trouble: RedisUnavailable | None) -> None:
        looks, self._looks = self._looks, []
        self._end()
        for look in looks:
            told = look.told
            look.forget()
            if told is not None:
                told(held, trouble)

    def _end(self) -> None:
        self._command = None
        self._over()


class Turns:
    """The wait for the right to fetch the answer of a flight, or for the answer from who has that right, which becomes
    its ``held``. `done` is called once, also when it is tired of waiting.
    """

    __slots__ = ("_command", "_done", "_fit", "_flight", "_remote", "_tenant", "_timer", "_token", "_until", "_waited")

    def __init__(self, remote: RemoteCache, flight: Flight, tenant: str, fit: Fit, done: Callable[[], None]) -> None:
        self._remote = remote
        self._flight = flight
        self._tenant = tenant
        self._fit = fit
        self._done: Callable[[], None] | None = done
        self._until = monotonic() + (LEASE_STREAM_S if flight.payload.stream else LEASE_S)
        self._token = os.urandom(16)
        self._waited = False
        self._command: Command | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Ask for the lease."""
        flight = self._flight
        self._timer = None
        flight.lease = self._token  # from now on: a flight that is cancelled meanwhile gives it back too
        self._send(self._remote.lease(flight.plan.digest, self._token, int(LEASE_S * 1000), self._leased))

    def cancel(self) -> None:
        self._done = None
        self._end()

    def _send(self, command: Command | None) -> None:
        self._command = command
        if command is None:
            self._end()  # nobody can be asked: it goes on without

    def _leased(self, taken: bool | None) -> None:
        self._command = None
        if taken is not False:
            if taken and self._waited:
                self._look()  # it may have been put there just before the lease was given back
            else:
                self._end()
            return
        self._flight.lease = b""
        if monotonic() >= self._until:
            self._end()
            return
        self._waited = True
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._look)

    def _look(self) -> None:
        self._timer = None
        self._send(self._remote.get(self._flight.plan.digest, self._tenant, self))

    # As an inquirer.

    def found(self, entry: Entry | None) -> None:
        self._command = None
        flight = self._flight
        try:
            flight.held = self._fit(entry)
        except Exception:
            self._end()  # a defect of ours: it goes on without
            raise
        if flight.held is not None or flight.lease:
            self._end()
        else:
            self.start()

    def not_told(self, _: RedisUnavailable) -> None:
        self._command = None
        self._end()  # it has waited for long enough

    def _end(self) -> None:
        done, self._done = self._done, None
        if self._timer is not None:
            self._timer.cancel()
        if self._command is not None:
            self._command.cancel()
        self._timer = self._command = None
        if done is not None:
            done()
