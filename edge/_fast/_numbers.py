"""Numbers as text: digits are written one by one, since ``%`` and ``repr`` cost ten times as much."""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize

__all__ = ["hundredths", "usd"]

PICO = cython.declare(cython.longlong, 10**12)
"""One US dollar."""
MICRO = cython.declare(cython.longlong, 10**6)
LARGEST = cython.declare(cython.longlong, 10**18)
"""Beyond it, Python's own whole numbers count."""


@cython.cfunc
@cython.cdivision(True)
def put_hundredths(end: cython.p_char, value: cython.double) -> cython.Py_ssize_t:
    """Write a number from 0 to 1e15 with two decimals before `end`, where there are 24 bytes; how many it takes."""
    rounded: cython.longlong = cython.cast(cython.longlong, value * 100 + 0.5)
    size: cython.Py_ssize_t = 0
    while rounded or size < 4:
        size += 1
        if size == 3:
            end[-size] = ord(".")
            continue
        end[-size] = ord("0") + rounded % 10
        rounded //= 10
    return size


@cython.cfunc
@cython.cdivision(True)
def put_usd(end: cython.p_char, cost: cython.longlong) -> cython.Py_ssize_t:
    """Write a cost from 0 to `LARGEST`, without last zeros, before `end`, which has room for 32; how many it takes."""
    part: cython.longlong = cost % PICO
    size: cython.Py_ssize_t = 0
    places: cython.Py_ssize_t = 12
    cost //= PICO
    if part:
        if part % MICRO == 0:  # as most are
            part //= MICRO
            places = 6
        while part % 10 == 0:
            part //= 10
            places -= 1
        while size < places:
            size += 1
            end[-size] = ord("0") + part % 10
            part //= 10
        size += 1
        end[-size] = ord(".")
    while True:
        size += 1
        end[-size] = ord("0") + cost % 10
        cost //= 10
        if not cost:
            return size


def hundredths(value: cython.double) -> bytes:
    """A number with two decimals, rounded: ``12.30``."""
    if not 0 <= value < 1e15:
        return b"%.2f" % value
    if cython.compiled:
        text = cython.declare(cython.char[24])
        size: cython.Py_ssize_t = put_hundredths(text + 24, value)
        return PyBytes_FromStringAndSize(text + 24 - size, size)
    rounded = int(value * 100 + 0.5)
    return b"%d.%02d" % (rounded // 100, rounded % 100)


def usd(cost: object) -> bytes:
    """A cost in 1e-12 USD as exact decimal text, without an exponent: ``0.00001234``. Raises ValueError below 0."""
    if cost < 0:  # type: ignore[operator]
        raise ValueError("no cost")
    if cython.compiled and cost < LARGEST:
        text = cython.declare(cython.char[32])
        took: cython.Py_ssize_t = put_usd(text + 32, cost)
        return PyBytes_FromStringAndSize(text + 32 - took, took)
    digits = str(cost).zfill(13)
    return f"{digits[:-12]}.{digits[-12:]}".rstrip("0").rstrip(".").encode()
