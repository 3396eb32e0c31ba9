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
LARGEST = cython.declare(cython.longlong, 10**18)
"""Beyond it, Python's own whole numbers count."""


def hundredths(value: cython.double) -> bytes:
    """A number with two decimals, rounded: ``12.30``."""
    rounded: cython.longlong
    if not 0 <= value < 1e15:
        return b"%.2f" % value
    rounded = cython.cast(cython.longlong, value * 100 + 0.5) if cython.compiled else int(value * 100 + 0.5)
    if cython.compiled:
        text = cython.declare(cython.char[24])
        at: cython.Py_ssize_t = 24
        while rounded or at > 20:
            at -= 1
            if at == 21:
                text[at] = ord(".")
                continue
            text[at] = ord("0") + rounded % 10
            rounded //= 10
        return PyBytes_FromStringAndSize(text + at, 24 - at)
    return b"%d.%02d" % (rounded // 100, rounded % 100)


def usd(cost: object) -> bytes:
    """A cost in 1e-12 USD as exact decimal text, without an exponent: ``0.00001234``. Raises ValueError below 0."""
    if cost < 0:  # type: ignore[operator]
        raise ValueError("no cost")
    if cython.compiled and cost < LARGEST:
        left: cython.longlong = cost
        part: cython.longlong = left % PICO
        text = cython.declare(cython.char[32])
        at: cython.Py_ssize_t = 32
        end: cython.Py_ssize_t = 32
        left //= PICO
        if part:
            while at > 20:
                at -= 1
                text[at] = ord("0") + part % 10
                part //= 10
            while text[end - 1] == ord("0"):
                end -= 1
            at -= 1
            text[at] = ord(".")
        while left or at == end or text[at] == ord("."):
            at -= 1
            text[at] = ord("0") + left % 10
            left //= 10
            if not left:
                break
        return PyBytes_FromStringAndSize(text + at, end - at)
    digits = str(cost).zfill(13)
    return f"{digits[:-12]}.{digits[-12:]}".rstrip("0").rstrip(".").encode()
