"""Until when one of a provider's keys is left alone.

A key *rests* when its provider has asked for that (``retry-after`` with a 429, 503 or 529): nothing is asked by it
before that time. It is *avoided* where asking may be in vain: nothing is left of a quota, or the key was refused; then
it is asked where no other key can be. It is *crowded* where it met a 429 that says nothing of a wait: then it is asked
where no other key can be, nor another upstream. Limits are a model's, so each model has times of its own; what was
refused is so for all of them.

A refusal turns nobody to other upstreams: a client may bring it about, by asking for what a key may not do.
"""

from __future__ import annotations

__all__ = ["ANY", "AVOIDED", "RESTING", "Cooling"]

RESTING, AVOIDED = "resting", "avoided"
ANY = ""
"""In place of a model: all of them."""
MAX_MODELS = 256
"""Clients name the models, where these pass through."""


class Cooling:
    """One key's. Times are those of a monotonic clock, in seconds. It outlives configurations, as a site does.
    ``noted``: something was ever noted, so that there can be anything to ask it.
    """

    def __init__(self) -> None:
        self.noted = False
        self._resting: dict[str, tuple[float, int]] = {}
        self._avoided: dict[str, float] = {}
        self._crowded: dict[str, float] = {}

    def rest(self, model: str, until: float, status: int, now: float) -> None:
        """Ask nothing before `until`, which came with this status. The later of two times stands."""
        if until > self._resting.get(model, (now, 0))[0]:
            make_room(self._resting, {name for name, (end, _) in self._resting.items() if end <= now})
            self._resting[model] = until, status
            self.noted = True

    def avoid(self, model: str, until: float, now: float) -> None:
        """Ask others first, before `until`."""
        if until > self._avoided.get(model, now):
            make_room(self._avoided, {name for name, end in self._avoided.items() if end <= now})
            self._avoided[model] = until
            self.noted = True

    def crowd(self, model: str, until: float, now: float) -> None:
        """Ask others first, and other upstreams, before `until`."""
        if until > self._crowded.get(model, now):
            make_room(self._crowded, {name for name, end in self._crowded.items() if end <= now})
            self._crowded[model] = until
            self.noted = True

    def resting(self, model: str, now: float) -> tuple[float, int]:
        """Seconds for which nothing is to be asked, and the status that asked for it; ``(0.0, 0)`` for none."""
        until, status = self._resting.get(model, (0.0, 0))
        return (until - now, status) if until > now else (0.0, 0)

    def avoided(self, model: str, now: float) -> bool:
        return self._avoided.get(model, 0.0) > now or self._avoided.get(ANY, 0.0) > now

    def limited(self, model: str, now: float) -> bool:
        """Whether it rests or is crowded."""
        return self.noted and (self._crowded.get(model, 0.0) > now or self.resting(model, now)[0] > 0.0)

    def usual(self, model: str, now: float) -> bool:
        """Whether it neither rests nor had better be avoided, nor is crowded."""
        return not self.noted or not (self.limited(model, now) or self.avoided(model, now))

    def state(self, now: float) -> str:
        """`RESTING` or `AVOIDED` where the key is so for any model, "" where it is for none; forgets what is over."""
        if not self.noted:
            return ""
        for name in [name for name, (end, _) in self._resting.items() if end <= now]:
            del self._resting[name]
        for times in (self._avoided, self._crowded):
            for name in [name for name, end in times.items() if end <= now]:
                del times[name]
        self.noted = bool(self._resting or self._avoided or self._crowded)
        return RESTING if self._resting else AVOIDED if self.noted else ""

    def answered(self, model: str) -> None:
        """It was not in vain to ask."""
        self._avoided.pop(ANY, None)
        self._avoided.pop(model, None)
        self._crowded.pop(model, None)


def make_room(times: dict[str, tuple[float, int]] | dict[str, float], over: set[str]) -> None:
    """What is over is forgotten; of too many, the oldest."""
    for name in over:
        del times[name]
    if len(times) >= MAX_MODELS:
        del times[next(iter(times))]
