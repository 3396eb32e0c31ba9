"""The clocks of the limits, which compiled modules call straight."""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.time import monotonic_ns as machine_ns
    from cython.cimports.cpython.time import time as machine_time
    from cython.cimports.cpython.time import time_ns as machine_time_ns
else:
    from time import monotonic_ns as machine_ns
    from time import time as machine_time
    from time import time_ns as machine_time_ns

__all__ = ["monotonic_ns", "today", "wall"]

DAY_NS = 86_400_000_000_000


def monotonic_ns() -> int:
    """As `time.monotonic_ns`: all processes of a machine have the same."""
    now: int = machine_ns()
    return now


def today() -> int:
    """The day by UTC, since 1970-01-01."""
    now: int = machine_time_ns()
    return now // DAY_NS


def wall() -> float:
    """As `time.time`."""
    now: float = machine_time()
    return now
