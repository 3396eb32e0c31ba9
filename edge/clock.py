"""The clock by which requests are timed: ``time.perf_counter()``, which compiled modules call straight."""

from __future__ import annotations

from collections.abc import Callable

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.time import perf_counter as machine_time
else:
    from time import perf_counter as machine_time

__all__ = ["perf_counter"]

reading: Callable[[], float] | None = None
"""In its place, where that is set: by who tests what takes time."""


def perf_counter() -> float:
    """Seconds since some moment, which never go back."""
    return machine_time() if reading is None else reading()
