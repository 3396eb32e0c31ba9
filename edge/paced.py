"""A stored stream as it came, with the pauses it had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import perf_counter

from edge.cache.memory import Held
from edge.call import Call
from edge.ledger import Verdict
from edge.replies import start_stored
from edge.upstreams.clocks import Deadline

__all__ = ["Paced"]


class Paced:
    """Tells `done` when all is written, or what kept it from that. ``deadline`` runs meanwhile."""

    def __init__(
        self, call: Call, held: Held, tier: Verdict, deadline: Deadline, done: Callable[[Exception | None], None]
    ) -> None:
        self._call = call
        self._held = held
        self._deadline = deadline
        self._done: Callable[[Exception | None], None] | None = done
        self._timer: asyncio.TimerHandle | None = None
        self._begun = 0.0
        self._events: Iterator[tuple[int, bytes]] = iter(())
        self._next: tuple[int, bytes] | None = None
        self._tier = tier

    def start(self) -> None:
        call = self._call
        self._deadline.start()
        start_stored(call, self._held, self._tier)
        self._begun = perf_counter()
        self._events = iter(self._held.events(include_usage=call.payload.include_usage))
        self._go_on()

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._done = None
        self._stop()

    def _go_on(self) -> None:
        """Write what is due, and wait for what is next: the client, or the time."""
        call = self._call
        while self._done is not None:
            if call.reply.congested():
                self._deadline.taken()
                call.reply.when_room(self._room)
                return
            try:
                self._next = self._next or next(self._events, None)
            except Exception as error:  # noqa: BLE001 - called by the loop: a defect of ours must not leave a client waiting
                self._finish(error)
                return
            if self._next is None:
                call.reply.end()
                self._finish(None)
                return
            wait_s = self._begun + self._next[0] / 1000 - perf_counter()
            if wait_s > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._go_on)
                return
            call.reply.write(self._next[1])
            self._next = None

    def _room(self) -> None:
        self._deadline.whole()
        self._go_on()

    def _finish(self, error: Exception | None) -> None:
        done, self._done = self._done, None
        self._stop()
        if done is not None:
            done(error)

    def _stop(self) -> None:
        self._deadline.stop()
        self._call.reply.when_room(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
