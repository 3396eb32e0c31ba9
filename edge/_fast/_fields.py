"""Fields: lists of (name, value) pairs of bytes, collected from a parser, looked up, and joined into a message.

Their lines are those of RFC 9112, section 5. Nothing here checks a value: what may stand in one is the business of
whoever makes it.
"""

from __future__ import annotations

from typing import Any

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
    from cython.cimports.cpython.list import PyList_GET_ITEM, PyList_GET_SIZE
    from cython.cimports.cpython.tuple import PyTuple_GET_ITEM
    from cython.cimports.libc.string import memcmp, memcpy

__all__ = ["JOINER", "FieldCollector", "FieldLimitError", "Fields", "index_fields", "join_fields", "select_fields"]


class FieldLimitError(ValueError):
    """More fields than the collector allows."""


@cython.cclass
class FieldCollector:
    """Takes the fields of one head after the other; names are lower-cased.

    What comes between `take` and the next `begin` (trailers) is dropped. `add` raises :class:`FieldLimitError` beyond
    `max_fields`.
    """

    def __init__(self, max_fields: int) -> None:
        self._fields: list[Any] = None  # type: ignore[assignment]
        self._max_fields = max_fields

    def begin(self) -> None:
        self._fields = []

    def add(self, name: bytes, value: bytes) -> None:
        fields: list = self._fields
        if fields is None:
            return
        if len(fields) >= self._max_fields:
            raise FieldLimitError(f"there are more than {self._max_fields} fields")
        fields.append((name.lower(), value))

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """What has come so far of a head that is not complete."""
        return [] if self._fields is None else self._fields

    def take(self) -> list[tuple[bytes, bytes]]:
        """The fields of the head, which is complete."""
        fields: list = self._fields
        self._fields = None  # type: ignore[assignment]
        return fields


@cython.final
@cython.cclass
class Fields:
    """The fields of a head that is asked for a few of them: making an index takes longer."""

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Names in small letters."""
        self.pairs = pairs

    @cython.ccall
    def get(self, name: bytes) -> bytes | None:
        """The first value of a name, None where there is none."""
        pair: tuple
        if cython.compiled:
            pairs: list = self.pairs
            i: cython.Py_ssize_t
            for i in range(PyList_GET_SIZE(pairs)):
                pair = cython.cast(tuple, PyList_GET_ITEM(pairs, i))
                if _is(cython.cast(bytes, PyTuple_GET_ITEM(pair, 0)), name):
                    return cython.cast(bytes, PyTuple_GET_ITEM(pair, 1))
            return None
        for pair in self.pairs:
            if pair[0] == name:
                return pair[1]
        return None

    def __contains__(self, name: bytes) -> bool:
        return self.get(name) is not None


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _is(one: bytes, other: bytes) -> cython.bint:
    """Whether they are equal."""
    if not cython.compiled:
        return one == other
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(one)
    return size == PyBytes_GET_SIZE(other) and memcmp(PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), size) == 0


def index_fields(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The first value of each name."""
    index: dict[bytes, bytes] = {}
    if cython.compiled:
        for name, value in fields:
            index.setdefault(name, value)
    else:
        index = dict(fields)
        if len(index) != len(fields):
            index = {}
            for name, value in fields:
                index.setdefault(name, value)
    return index


def select_fields(
    fields: list[tuple[bytes, bytes]], names: frozenset[bytes], prefixes: tuple[bytes, ...] = ()
) -> list[tuple[bytes, bytes]]:
    """The fields whose name is one of `names` or begins with one of `prefixes`, in their order."""
    selected: list = []
    name: bytes
    for field in fields:
        name = field[0]
        if name in names or (prefixes and _begins(name, prefixes)):
            selected.append(field)
    return selected


@cython.cfunc
@cython.exceptval(-1, check=False)
def _begins(name: bytes, prefixes: tuple) -> cython.bint:
    """Whether a name begins with one of these."""
    if not cython.compiled:
        return name.startswith(prefixes)
    prefix: bytes
    for prefix in prefixes:
        size: cython.Py_ssize_t = PyBytes_GET_SIZE(prefix)
        if size <= PyBytes_GET_SIZE(name) and memcmp(PyBytes_AS_STRING(name), PyBytes_AS_STRING(prefix), size) == 0:
            return True
    return False


@cython.final
@cython.cclass
class Joiner:
    """Joins what is sent. An object, since compiled modules call its methods straight and functions of this one not."""

    @cython.ccall
    def chunk(self, data: bytes) -> bytes:
        """One chunk of a body (RFC 9112, section 7.1)."""
        if not cython.compiled:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if data is None:
            raise TypeError("a chunk is made of bytes")
        size: cython.Py_ssize_t = PyBytes_GET_SIZE(data)
        rest: cython.Py_ssize_t = size
        digits: cython.Py_ssize_t = 0
        while True:
            digits += 1
            rest >>= 4
            if rest == 0:
                break
        made: bytes = PyBytes_FromStringAndSize(cython.NULL, digits + size + 4)
        to: cython.p_char = PyBytes_AS_STRING(made) + digits
        to[0] = 0x0D
        to[1] = 0x0A
        memcpy(to + 2, PyBytes_AS_STRING(data), size)
        to[size + 2] = 0x0D
        to[size + 3] = 0x0A
        i: cython.Py_ssize_t
        for i in range(1, digits + 1):
            rest = size & 15
            to[-i] = 0x30 + rest if rest < 10 else 0x57 + rest
            size >>= 4
        return made

    @cython.ccall
    @cython.cdivision(True)
    def message(self, start: bytes, length: cython.Py_ssize_t, fields: bytes, own: bytes, body: bytes) -> bytes:
        """A request or a reply: `start`, which ends where `length` is to stand if that is not negative, the lines of
        `fields` and of `own`, the empty line, and `body`.
        """
        if not cython.compiled:
            told = b"%d\r\n" % length if length >= 0 else b""
            return b"".join([start, told, fields, own, b"\r\n", body])
        if start is None or fields is None or own is None or body is None:
            raise TypeError("a message is made of bytes")
        rest: cython.Py_ssize_t = length
        digits: cython.Py_ssize_t = 0
        while length >= 0:
            digits += 1
            rest //= 10
            if rest == 0:
                break
        size: cython.Py_ssize_t = PyBytes_GET_SIZE(start) + PyBytes_GET_SIZE(fields) + PyBytes_GET_SIZE(own)
        size += PyBytes_GET_SIZE(body) + 2 + (digits + 2 if digits else 0)
        made: bytes = PyBytes_FromStringAndSize(cython.NULL, size)
        to: cython.p_char = PyBytes_AS_STRING(made)
        memcpy(to, PyBytes_AS_STRING(start), PyBytes_GET_SIZE(start))
        to += PyBytes_GET_SIZE(start)
        if digits:
            to += digits
            i: cython.Py_ssize_t
            for i in range(1, digits + 1):
                to[-i] = 0x30 + length % 10
                length //= 10
            to[0] = 0x0D
            to[1] = 0x0A
            to += 2
        memcpy(to, PyBytes_AS_STRING(fields), PyBytes_GET_SIZE(fields))
        to += PyBytes_GET_SIZE(fields)
        memcpy(to, PyBytes_AS_STRING(own), PyBytes_GET_SIZE(own))
        to += PyBytes_GET_SIZE(own)
        to[0] = 0x0D
        to[1] = 0x0A
        memcpy(to + 2, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        return made


JOINER = Joiner()


def join_fields(start: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """``start``, a line for each field, the empty line, and ``body``."""
    head: bytes
    if cython.compiled:
        size: cython.Py_ssize_t = PyBytes_GET_SIZE(start) + PyBytes_GET_SIZE(body) + 2
        name: bytes
        value: bytes
        for pair in fields:
            name, value = pair
            if name is None or value is None:
                raise TypeError("a field is a pair of bytes")
            size += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + 4
        head = PyBytes_FromStringAndSize(cython.NULL, size)
        to: cython.p_char = PyBytes_AS_STRING(head)
        memcpy(to, PyBytes_AS_STRING(start), PyBytes_GET_SIZE(start))
        to += PyBytes_GET_SIZE(start)
        for pair in fields:
            name, value = pair
            memcpy(to, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
            to += PyBytes_GET_SIZE(name)
            to[0] = 0x3A
            to[1] = 0x20
            memcpy(to + 2, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
            to += PyBytes_GET_SIZE(value) + 2
            to[0] = 0x0D
            to[1] = 0x0A
            to += 2
        to[0] = 0x0D
        to[1] = 0x0A
        memcpy(to + 2, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    else:
        head = b"".join([start, *[b"%b: %b\r\n" % pair for pair in fields], b"\r\n", body])
    return head
