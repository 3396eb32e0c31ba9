"""Incremental decoder for server-sent events: bytes in, events out, split anywhere.

WHATWG HTML, section 9.2 "Server-sent events": https://html.spec.whatwg.org/multipage/server-sent-events.html.
Works on bytes only. A line ends at CR, LF or CRLF and at nothing else: U+2028, U+0085 and their like are legal inside
JSON strings and must not end one.

Two departures from the specification, because a relay must not lose what the sender meant:

* an event whose final blank line is missing is delivered by :meth:`SSEDecoder.finish`, not dropped;
* an event without data but with a name is dropped, as the specification says, but its end still counts as a boundary.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING
    from cython.cimports.libc.string import memchr

__all__ = ["SSEDecoder", "SSELimitError"]

BOM = b"\xef\xbb\xbf"


class SSELimitError(ValueError):
    """A line or an event is longer than the decoder allows."""


@cython.cfunc
@cython.inline
def _find(block: bytes, byte: cython.uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Index of `byte` in ``block[start:end]``, or -1."""
    if cython.compiled:
        # memchr instead of bytes.find: no argument boxing; start <= end <= len(block) at both call sites.
        base: cython.p_const_char = PyBytes_AS_STRING(block)
        found: cython.p_const_char = cython.cast(cython.p_const_char, memchr(base + start, byte, end - start))
        if found == cython.NULL:
            return -1
        return found - base
    return block.find(byte, start, end)


@cython.cclass
class SSEDecoder:
    """Decodes one stream.

    `max_line` and `max_event` are in bytes; what is longer raises :class:`SSELimitError`.

    ``last_event_id`` is the value of the latest ``id`` field, b"" before the first; ``retry_ms`` the latest valid
    ``retry`` field in milliseconds, None before the first. ``pending`` is how many of the bytes fed so far come after
    the latest blank line, and after the comments that follow it directly: an event that is not whole yet.
    """

    def __init__(self, max_line: int = 16 << 20, max_event: int = 16 << 20) -> None:
        self._partial = bytearray()
        self._data: list = []
        self._event = b""
        self._data_size = 0
        self.pending = 0
        self._max_line = max_line
        self._max_event = max_event
        self._skip_lf = False
        self._first_line = True
        self._begun = False
        self.last_event_id = b""
        self.retry_ms: int | None = None

    @property
    def begun(self) -> bool:
        """Whether anything but comments has come of that event."""
        return self._begun or (len(self._partial) > 0 and self._partial[0] != 0x3A)

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def between(self) -> cython.bint:
        """Whether what comes next is the beginning of an event, and not of the first."""
        return not (self.pending or self._skip_lf or self._first_line)

    @cython.ccall
    def feed(self, chunk: bytes) -> list:
        """Take the next bytes of the stream; return the events they complete.

        An event is ``(name, data)``; name is b"message" where the stream gives none; several data lines are joined
        by LF. Raises SSELimitError.
        """
        events: list = []
        block: bytes = chunk
        size: cython.Py_ssize_t = len(block)
        start: cython.Py_ssize_t = 0
        if size == 0:
            return events
        if self.between() and self._plain(block, events):
            return events
        if self._skip_lf:
            self._skip_lf = False
            if block[0] == 0x0A:
                # The second half of a CRLF whose CR ended the previous chunk: part of that line. After a blank line
                # it is part of the boundary too, so it is not pending.
                start = 1
                if self.pending:
                    self.pending += 1
        fresh: cython.Py_ssize_t = size - start
        if _find(block, 0x0A, start, size) < 0 and _find(block, 0x0D, start, size) < 0:
            self._partial += block[start:]
            self.pending += fresh
            if len(self._partial) > self._max_line:
                raise SSELimitError(f"a line is longer than {self._max_line} bytes")
            self._check_pending()
            return events
        held: cython.Py_ssize_t = len(self._partial)
        if held:
            self._partial += block[start:]
            block = bytes(self._partial)
            self._partial = bytearray()
            size = len(block)
            start = 0
        boundary: cython.Py_ssize_t = -1
        newline: cython.Py_ssize_t = -2
        end: cython.Py_ssize_t
        while start < size:
            # The next LF is looked up once and kept: a block of CR-ended lines stays linear.
            if newline != -1 and newline < start:
                newline = _find(block, 0x0A, start, size)
            end = _find(block, 0x0D, start, size if newline < 0 else newline)
            if end < 0:
                end = newline
            if end < 0:
                break
            if end - start > self._max_line:
                raise SSELimitError(f"a line is longer than {self._max_line} bytes")
            if end == start:
                self._dispatch(events)
            else:
                self._line(block[start:end])
            boundary_line: cython.bint = not self._begun
            start = end + 1
            if block[end] == 0x0D:
                if start == size:
                    self._skip_lf = True
                elif block[start] == 0x0A:
                    start += 1
            if boundary_line:
                boundary = start
        if start < size:
            self._partial += block[start:]
            if size - start > self._max_line:
                raise SSELimitError(f"a line is longer than {self._max_line} bytes")
        if boundary >= 0:
            self.pending = size - boundary
        else:
            self.pending += fresh
        self._check_pending()
        return events

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _plain(self, block: bytes, events: list) -> cython.bint:
        """Between two events: whether `block` is whole events of one line of data each, and perhaps one with a name
        before it, all ended by LF. Then they are in `events`, else it is as if nothing had been fed.
        """
        size: cython.Py_ssize_t = len(block)
        i: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        name: bytes = b"message"
        named: cython.bint = False
        if _find(block, 0x0D, 0, size) >= 0:
            return False
        while i < size:
            end = _find(block, 0x0A, i, size)
            if end - i < 5 or end - i > self._max_line or end - i >= self._max_event or block[i + 4] != 0x3A:
                if named or end - i < 6 or not block.startswith(b"event:", i) or end - i > self._max_line:
                    break
                named = True
                name = block[(i + 7 if block[i + 6] == 0x20 else i + 6) : end] or b"message"
                i = end + 1
                continue
            if end + 1 >= size or block[end + 1] != 0x0A or not block.startswith(b"data", i):
                break
            events.append((name, block[(i + 6 if block[i + 5] == 0x20 else i + 5) : end]))
            name = b"message"
            named = False
            i = end + 2
        if i == size and not named:
            return True
        events.clear()
        return False

    def finish(self) -> list[tuple[bytes, bytes]]:
        """The stream has ended: return the event that lacks its blank line, if there is one."""
        events: list = []
        if self._partial:
            self._line(bytes(self._partial))
            self._partial = bytearray()
        self._dispatch(events)
        self.pending = 0
        return events

    @cython.cfunc
    def _check_pending(self) -> object:
        # Comments and fields without data count too: whoever relays has to hold them.
        if self.pending > self._max_event + 65536:
            raise SSELimitError(f"an event is longer than {self._max_event} bytes")
        return None

    @cython.cfunc
    def _dispatch(self, events: list) -> object:
        self._first_line = False
        if self._data:
            data: bytes = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append((self._event or b"message", data))
            self._data = []
            self._data_size = 0
        self._event = b""
        self._begun = False
        return None

    @cython.cfunc
    def _line(self, line: bytes) -> object:
        if self._first_line:
            self._first_line = False
            if line.startswith(BOM):
                line = line[3:]
                if not line:
                    return None
        value: bytes
        if line.startswith(b"data:"):
            self._begun = True
            value = line[6:] if line.startswith(b"data: ") else line[5:]
            self._data_line(value)
            return None
        colon: cython.Py_ssize_t = _find(line, 0x3A, 0, len(line))
        if colon == 0:
            return None
        self._begun = True
        name: bytes = line
        value = b""
        if colon > 0:
            name = line[:colon]
            value = line[colon + 1 :]
            if value.startswith(b" "):
                value = value[1:]
        if name == b"event":
            self._event = value
        elif name == b"data":
            self._data_line(value)
        elif name == b"id":
            if b"\x00" not in value:
                self.last_event_id = value
        elif name == b"retry" and value.isdigit():
            self.retry_ms = int(value[:18])
        return None

    @cython.cfunc
    def _data_line(self, value: bytes) -> object:
        self._data_size += len(value) + 1
        if self._data_size > self._max_event:
            raise SSELimitError(f"an event is longer than {self._max_event} bytes")
        self._data.append(value)
        return None
