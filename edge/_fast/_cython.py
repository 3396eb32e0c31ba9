"""The ``cython`` module as the pure build needs it: every decorator and type is a no-op.

Used when Cython is not installed. ``IS_STAND_IN`` lets a test prove that this file, and not Cython's own shadow module,
was in force.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F")

IS_STAND_IN = True
compiled = False

Py_ssize_t = int
int = int  # noqa: A001 - as Cython calls it
p_char = bytes
p_const_char = bytes
bint = bool
uchar = int
double = float
longlong = int
ulonglong = int


def _decorator(function: F) -> F:
    return function


def _decorator_factory(*_args: Any, **_kwargs: Any) -> Callable[[F], F]:
    return _decorator


cfunc = cclass = ccall = inline = final = _decorator
boundscheck = wraparound = cdivision = exceptval = freelist = _decorator_factory


def declare(_type: Any = None, value: Any = None, **_kwargs: Any) -> Any:
    """A typed variable: its value, or ``None`` until it is set."""
    return value
