"""How many requests may be in flight at one upstream, and who waits for the next place.

A :class:`Gate` has so many places: as many as the configuration says, or as many as an :class:`Adaptive` finds the
upstream can serve at a time. Who finds none waits in a short queue, the higher priority first; where that is full, the
lowest is turned away at once. `now` is a monotonic clock's seconds; who waits watches its own time.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

__all__ = ["Adaptive", "Gate", "Place", "median"]

FIRST = 4
"""The limit that an adaptive gate begins with: the first answers tell how long they take unhindered."""
MAX_LIMIT = 1000
SAMPLES = 32
WINDOW_S = 0.5
"""A window ends when it has so many samples, and has lasted for so long."""
SMOOTH = 0.3
"""The share of the latest window in what is taken for the time answers take now."""
DOWN, UP = 0.2, 0.005
"""The share of the latest window in the base, where it is below that, and above."""
LOW, HIGH = 0.02, 0.06
"""The share of the limit that may stand in the upstream's own queue."""
STEP = 0.05
"""How far the limit moves after a window. At first, until there are too many for once, it doubles."""
BACK_OFF = 0.9
"""What of the limit is left once the upstream has refused a request as one too many: multiplicative decrease, as TCP's,
by the factor of Netflix's concurrency-limits (AIMDLimit)."""
DIP_EVERY_S = 30.0
"""So often one window runs at half the limit, to see again how fast answers are unhindered."""


FEW = SAMPLES // 4
"""A median of fewer says nothing; they wait for the next window."""


class Pace:
    """How long answers of one form take: ``base`` seconds unhindered, ``recent`` now, both 0.0 before they are known;
    ``samples`` are those of the window.
    """

    __slots__ = ("base", "recent", "samples")

    def __init__(self) -> None:
        self.base = self.recent = 0.0
        self.samples: list[float] = []

    def rebase(self) -> None:
        """The samples were taken with nothing in the way."""
        self.base = median(self.samples)
        self.samples.clear()

    def move(self, smooth: float) -> None:
        """The samples' median, since prompts differ, moves the base, and by the share `smooth` what is recent."""
        seconds = median(self.samples)
        base, recent = self.base or seconds, self.recent or seconds
        self.base = base + (seconds - base) * (DOWN if seconds < base else UP)
        self.recent = recent + (seconds - recent) * smooth
        self.samples.clear()

    @property
    def waiting(self) -> float:
        """The share of an answer's time that it waits for others."""
        return 1.0 - self.base / self.recent if self.recent > self.base else 0.0


def median(samples: list[float]) -> float:
    """As `statistics` tells it, which would have to be imported: on the event loop, when the first window ends."""
    ordered = sorted(samples)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class Adaptive:
    """Finds how many requests an upstream serves at a time, by the time to first content.

    TCP Vegas (Brakmo, O'Malley, Peterson, SIGCOMM 1994), as Netflix's concurrency-limits (VegasLimit) has it for
    services: with answers that take `base` seconds unhindered and `now` take `m`, ``limit * (1 - base / m)`` requests
    stand in the upstream's queue. Up to `LOW` of the limit there is room for more, above `HIGH` there are too many. The
    base is measured anew every 30 seconds, at half the limit, as in the minRTT window of Envoy's adaptive concurrency.

    A whole answer takes as long as a stream's first content and all that follows it, so each form has a pace of its
    own; they count by the number of their samples.
    """

    def __init__(self, most: int = MAX_LIMIT) -> None:
        self.most = most
        self.limit = min(FIRST, most)
        self._paces = (Pace(), Pace())
        self._slow_start = True
        self._refused = False
        self._used = 0
        self._since = -1.0
        self._dip_at = 0.0
        self.before_dip = 0

    def sample(self, now: float, seconds: float, in_flight: int, streamed: bool) -> None:
        """An answer's first content came after `seconds`, or all of one that is not `streamed`, while so many requests
        were in flight.
        """
        self._begin(now)
        self._paces[streamed].samples.append(seconds)
        self._used = max(self._used, in_flight)
        taken = sum([len(pace.samples) for pace in self._paces])
        if taken >= (4 * SAMPLES if self.before_dip else SAMPLES) and now - self._since >= WINDOW_S:
            self._close(now)

    def refused(self, now: float) -> None:
        """The upstream turned a request away as one too many (429, 503, 529), or did not answer in time."""
        self._begin(now)
        if not self._refused:
            self._refused = True
            self._slow_start = False
            self.limit = max(1, int(self.limit * BACK_OFF))

    def _begin(self, now: float) -> None:
        if self._since < 0.0:
            self._since = now
            self._dip_at = self._dip_at or now + DIP_EVERY_S

    def _close(self, now: float) -> None:
        known = [pace for pace in self._paces if len(pace.samples) >= FEW]
        if self.before_dip:
            for pace in known:
                pace.rebase()
            self.limit, self.before_dip = self.before_dip, 0
        else:
            self._move(known)
            if now >= self._dip_at and self.limit > FIRST:
                self.before_dip, self.limit = self.limit, max(FIRST, self.limit // 2)
                self._dip_at = now + DIP_EVERY_S
        self._refused, self._used, self._since = False, 0, now

    def _move(self, known: list[Pace]) -> None:
        counts = [len(pace.samples) for pace in known]
        for pace in known:
            pace.move(1.0 if self._slow_start else SMOOTH)
        waiting = sum([pace.waiting * count for pace, count in zip(known, counts, strict=True)]) / sum(counts)
        queued = self.limit * waiting
        step = max(1, round(self.limit * STEP))
        if self._refused:
            return  # the limit went down when that came
        if queued > max(2.0, self.limit * HIGH):
            self._slow_start = False
            self.limit = max(1, self.limit - step)
        elif self._used < self.limit:
            return  # nobody has asked for more
        elif self._slow_start:
            self.limit = min(self.most, self.limit * 2)
        elif queued < max(1.0, self.limit * LOW):
            self.limit = min(self.most, self.limit + step)


class Place:
    """One who waits at a gate. `come` is called once: with True when there is a place, which it takes on the spot if it
    still wants it, with False when it has to make room for a higher priority; and with the moment of that.
    """

    __slots__ = ("_gate", "come", "order", "priority")

    def __init__(self, gate: Gate, priority: int, order: int, come: Callable[[bool, float], None]) -> None:
        self._gate = gate
        self.priority = priority
        self.order = order
        self.come = come

    def leave(self) -> None:
        """It waits no longer. Changes nothing once it was told."""
        self._gate.forget(self)

    def __lt__(self, other: Place) -> bool:
        return (-self.priority, self.order) < (-other.priority, other.order)


class Gate:
    """The places at one upstream. `max_waiting` is how many may wait for one, for `max_wait_s` each. Use from one
    thread.
    """

    def __init__(self, max_in_flight: int | None, adaptive: bool, max_waiting: int, max_wait_s: float) -> None:
        self.in_flight = 0
        self._telling = False
        self.adaptive: Adaptive | None = None
        self.configure(max_in_flight, adaptive, max_waiting, max_wait_s)
        self._waiting: list[Place] = []
        self._order = 0

    def configure(self, max_in_flight: int | None, adaptive: bool, max_waiting: int, max_wait_s: float) -> None:
        """Other settings. What is in flight stays, and so does what an adaptive one has found."""
        self.most = max_in_flight or MAX_LIMIT
        self.max_waiting = max_waiting
        self.max_wait_s = max_wait_s
        if not adaptive:
            self.adaptive = None
        elif self.adaptive is None:
            self.adaptive = Adaptive(self.most)
        else:
            self.adaptive.most = self.most
            self.adaptive.limit = min(self.adaptive.limit, self.most)
            self.adaptive.before_dip = min(self.adaptive.before_dip, self.most)

    @property
    def limit(self) -> int:
        return self.most if self.adaptive is None else self.adaptive.limit

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether there is no place, or somebody waits for it."""
        return bool(self._waiting) or self.in_flight >= self.limit

    def enter(self) -> None:
        """Take a place: one of those that there are, or one more for what nobody else can be asked."""
        self.in_flight += 1

    def wait(self, priority: int, now: float, come: Callable[[bool, float], None]) -> Place | None:
        """Wait for a place; None where there is no room to wait. The lowest and latest makes room for a higher one."""
        if len(self._waiting) >= self.max_waiting:
            if not self._waiting or self._waiting[-1].priority >= priority:
                return None
            self._waiting.pop().come(False, now)
        self._order += 1
        place = Place(self, priority, self._order, come)
        insort(self._waiting, place)
        return place

    def forget(self, place: Place) -> None:
        """It waits no longer, if it did."""
        if place in self._waiting:
            self._waiting.remove(place)

    def leave(self, now: float, seconds: float = 0.0, streamed: bool = False, refused: bool = False) -> None:
        """A request is over, and its place goes to the first in the queue. Its first content came after `seconds`, or
        all of an answer that is not `streamed`, 0.0 if none did; `refused`: the upstream turned it away as one too
        many, or did not answer in time.
        """
        if self.adaptive is not None:
            if refused:
                self.adaptive.refused(now)
            elif seconds > 0.0:
                self.adaptive.sample(now, seconds, self.in_flight, streamed)
        self.in_flight -= 1
        if self._telling:  # who was told has left again on the spot; the loop that tells goes on
            return
        self._telling = True
        try:
            while self._waiting and self.in_flight < self.limit:
                self._waiting.pop(0).come(True, now)
        finally:
            self._telling = False
