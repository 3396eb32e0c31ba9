"""Fields: lists of (name, value) pairs of bytes, collected from a parser, looked up, and joined into a head.

Their lines are those of RFC 9112, section 5. Nothing here checks a value: what may stand in one is the business of
whoever makes it.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
    from cython.cimports.libc.stdio import snprintf
    from cython.cimports.libc.string import memcpy

__all__ = ["FieldCollector", "FieldLimitError", "index_fields", "join_fields", "select_fields", "stored_reply"]


class FieldLimitError(ValueError):
    """More fields than the collector allows."""


@cython.cclass
class FieldCollector:
    """Takes the fields of one head after the other; names are lower-cased.

    What comes between `take` and the next `begin` (trailers) is dropped. `add` raises :class:`FieldLimitError` beyond
    `max_fields`.
    """

    _fields: list
    _max_fields: cython.Py_ssize_t

    def __init__(self, max_fields: int) -> None:
        self._fields = None  # type: ignore[assignment]
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
    for field in fields:
        name = field[0]
        if name in names or (prefixes and name.startswith(prefixes)):
            selected.append(field)
    return selected


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


def stored_reply(
    start: bytes,
    fields: bytes,
    age_s: cython.double,
    ttl_s: cython.double,
    request_id: bytes,
    took_s: cython.double,
    body: bytes,
) -> bytes:
    """The reply to a request whose answer was stored: `start`, the lines of `fields`, those that are never the same
    twice, and `body`.

    Age and time to live are cut to whole seconds from 0 on, what it took is given in hundredths of milliseconds.
    """
    age: cython.longlong = _whole(age_s)
    ttl: cython.longlong = _whole(ttl_s)
    took: cython.longlong = _whole(took_s * 100000.0 + 0.5)
    reply: bytes
    if cython.compiled:
        fresh = cython.declare(cython.char[256])
        size: cython.Py_ssize_t = snprintf(
            fresh,
            256,
            b"age: %lld\r\ncache-status: edge; hit; ttl=%lld\r\nx-edge-overhead-ms: %lld.%02lld\r\n"
            b"server-timing: edge;dur=%lld.%02lld, upstream;dur=0.00\r\nx-request-id: ",
            age,
            ttl,
            took // 100,
            took % 100,
            took // 100,
            took % 100,
        )
        starts: cython.Py_ssize_t = PyBytes_GET_SIZE(start)
        fixed: cython.Py_ssize_t = PyBytes_GET_SIZE(fields)
        ours: cython.Py_ssize_t = PyBytes_GET_SIZE(request_id)
        rest: cython.Py_ssize_t = PyBytes_GET_SIZE(body)
        reply = PyBytes_FromStringAndSize(cython.NULL, starts + fixed + size + ours + 4 + rest)
        to: cython.p_char = PyBytes_AS_STRING(reply)
        memcpy(to, PyBytes_AS_STRING(start), starts)
        to += starts
        memcpy(to, PyBytes_AS_STRING(fields), fixed)
        to += fixed
        memcpy(to, fresh, size)
        to += size
        memcpy(to, PyBytes_AS_STRING(request_id), ours)
        to += ours
        memcpy(to, b"\r\n\r\n", 4)
        memcpy(to + 4, PyBytes_AS_STRING(body), rest)
    else:
        edge = b"%d.%02d" % divmod(took, 100)
        reply = (
            b"%b%bage: %d\r\ncache-status: edge; hit; ttl=%d\r\nx-edge-overhead-ms: %b\r\n"
            b"server-timing: edge;dur=%b, upstream;dur=0.00\r\nx-request-id: %b\r\n\r\n%b"
        ) % (start, fields, age, ttl, edge, edge, request_id, body)
    return reply


@cython.cfunc
@cython.exceptval(check=False)
def _whole(value: cython.double) -> cython.longlong:
    """Cut to a whole number from 0 to 1e15."""
    if not value > 0.0:
        return 0
    return int(min(value, 1e15)) if not cython.compiled else cython.cast(cython.longlong, min(value, 1e15))
