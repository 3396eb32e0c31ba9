"""How long nearly all of the latest answers took: a running quantile of durations.

A :class:`Quantile` counts samples in buckets that grow by a factor of 2^(1/8), from half a millisecond to about a
quarter of an hour, and finds the quantile by going through the counts, in between by the logarithm: it is off by less
than a tenth of itself. After 1000 samples all counts are halved, so that it is one of the last 500 to 1000.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.libc.math import exp, log
else:
    from math import exp, log

__all__ = ["BUCKETS", "LEAST_SAMPLES", "MOST_SAMPLES", "Quantile"]

BUCKETS = 168
LEAST_SAMPLES = 20
"""Of fewer, the slowest one in twenty is not known."""
MOST_SAMPLES = 1000

_BUCKETS = cython.declare(cython.Py_ssize_t, BUCKETS)
_LEAST_SAMPLES = cython.declare(cython.Py_ssize_t, LEAST_SAMPLES)
_MOST_SAMPLES = cython.declare(cython.Py_ssize_t, MOST_SAMPLES)
_LEAST_S = cython.declare(cython.double, 0.0005)
# The logarithm of the factor: log(2) / 8.
_STEP = cython.declare(cython.double, 0.08664339756999316)


@cython.cclass
class Quantile:
    """The one at `share`, 0 to 1. The types of its fields are in ``_quantile_c.pxd``."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._total = 0
        if not cython.compiled:
            self._counts = [0] * BUCKETS

    def add(self, seconds: cython.double) -> None:
        """Take a sample. One that is no duration is not taken."""
        if not 0.0 <= seconds <= 1e9:
            return
        place: cython.Py_ssize_t = 0
        if seconds > _LEAST_S:
            place = min(int(log(seconds / _LEAST_S) / _STEP), _BUCKETS - 1)
        self._counts[place] += 1
        self._total += 1
        if self._total >= _MOST_SAMPLES:
            self._total = 0
            for i in range(_BUCKETS):
                self._counts[i] >>= 1
                self._total += self._counts[i]

    def value(self) -> float:
        """In seconds; -1.0 while there are too few samples."""
        if self._total < _LEAST_SAMPLES:
            return -1.0
        rank: cython.double = self._share * self._total
        below: cython.double = 0.0
        for i in range(_BUCKETS):
            count: cython.double = self._counts[i]
            if count and below + count >= rank:
                return float(_LEAST_S * exp((i + (rank - below) / count) * _STEP))
            below += count
        return -1.0
