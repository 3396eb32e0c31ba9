"""The clocks of the limits, which compiled modules call straight."""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.time import monotonic_ns as machine_ns
    from cython.cimports.cpython.time import time as machine_time
else:
    from time import monotonic_ns as machine_ns
    from time import time as machine_time

__all__ = ["monotonic_ns", "wall"]


def monotonic_ns() -> int:
    """As `time.monotonic_ns`: all processes of a machine have the same."""
    now: int = machine_ns()
    return now


def wall() -> float:
    """As `time.time`."""
    now: float = machine_time()
    return now
