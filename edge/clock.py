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
else:
    from time import perf_counter as machine_time
    from time import time as machine_wall

__all__ = ["perf_counter", "wall"]

reading: Callable[[], float] | None = None
"""In its place, where that is set: by who tests what takes time."""


def perf_counter() -> float:
    """Seconds since some moment, which never go back."""
    return machine_time() if reading is None else reading()


def wall() -> float:
    """``time.time()``."""
    return float(machine_wall())
