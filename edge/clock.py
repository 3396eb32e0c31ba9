"""The clocks: ``time.perf_counter()``, by which requests are timed, and that on the wall. Compiled modules call them
straight.
"""

from __future__ import annotations

from collections.abc import Callable

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.time import perf_counter as machine_time
    from cython.cimports.cpython.time import time as machine_wall
    from cython.cimports.edge._fast._ticks import TICKS, ticks
else:
    from time import perf_counter as machine_time
    from time import time as machine_wall

    TICKS, ticks = False, machine_time

__all__ = ["perf_counter", "wall"]

reading: Callable[[], float] | None = None
"""In its place, where that is set: by who tests what takes time."""


def perf_counter() -> float:
    """Seconds since some moment, which never go back."""
    if reading is not None:
        return reading()
    return float(ticks() if TICKS else machine_time())


def wall() -> float:
    """``time.time()``."""
    return float(machine_wall())
