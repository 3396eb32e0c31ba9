"""What was found out about requests, so that it need not be found out again."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic

from edge.cache.policy import Plan

__all__ = ["Recent"]

LOOKS = 2
"""Old ones that are looked at for each that comes: memory is given back faster than it is taken."""


class Recent:
    """The plans of the latest `most`, all found under one configuration, ``state``; another's are forgotten. What has
    been here for longer than it can be of use is found still, if it is asked for, but it goes when others come.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._state: object = None
        self._found: OrderedDict[tuple[object, ...], tuple[float, Plan]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def find(self, key: tuple[object, ...], state: object) -> Plan | None:
        if self._state is not state:
            return None
        kept = self._found.get(key)
        return None if kept is None else kept[1]

    def keep(self, key: tuple[object, ...], found: Plan, state: object, use_s: float) -> None:
        """It can be of use for `use_s` seconds, and is kept by this very key: an equal one of before goes, with all the
        bytes in it.
        """
        if self._state is not state:
            self.clear()
            self._state = state
        kept = self._found
        kept.pop(key, None)
        now = monotonic()
        kept[key] = (now + use_s, found)
        for _ in range(min(LOOKS, len(kept))):
            oldest = next(iter(kept))
            if kept[oldest][0] > now and len(kept) <= self.most:
                break
            del kept[oldest]

    def clear(self) -> None:
        self._state = None
        self._found.clear()
