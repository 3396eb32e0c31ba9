r"""One pass over a JSON request body: is it strict JSON, how deep, and where do its top-level values lie?

RFC 8259, read strictly, because what is forwarded is the client's own bytes and every other parser on the way must read
the same thing in them:

* an object at the top, nesting at most `max_depth`, a number at most `max_number` bytes long;
* valid UTF-8, no control characters in strings, no lone surrogate escapes, no NaN, Infinity, BOM or trailing data;
* no key twice in the top-level object, nor in any object below the keys of `CHECKED`; of one anywhere else it is told.
  Keys are compared after their escapes are resolved: a second ``"mod\u0065l"`` would carry a model past an allow-list
  that looked at the first;
* at most `MAX_TOP_KEYS` keys at the top, `MAX_KEYS` below it and `MAX_VALUES` values in all, no key longer than
  `MAX_KEY` bytes. What comes after the scan takes time for each, so this is where that is bounded.

The pass is made in steps, so that a large body does not hold up whatever else its thread does. What is refused, and
why, does not depend on the steps: it is always the first byte that is wrong.
"""

from __future__ import annotations

import re

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._json_scanned_c import Scanned
    from cython.cimports.edge._fast._json_strings_c import give_back, key_text, spare_keys, text_end
    from cython.cimports.edge._fast._json_values_c import literal_end, number_end
    from cython.cimports.libc.string import memchr, memcmp

    from edge._fast._json_strings_c import MAX_KEY, JSONError
    from edge._fast._json_values_c import MAX_NUMBER
else:
    from edge._fast._json_scanned import Scanned
    from edge._fast._json_strings import MAX_KEY, JSONError, give_back, key_text, spare_keys, text_end
    from edge._fast._json_values import MAX_NUMBER, literal_end, number_end

__all__ = ["MAX_KEYS", "MAX_VALUES", "JSONError", "JSONScanner", "scan_json"]

CHECKED = frozenset({"messages", "input", "system"})
"""Top-level keys whose whole value is checked for duplicate keys: what the model is told, in every dialect."""
_CHECKED = cython.declare(tuple, tuple([key.encode() for key in sorted(CHECKED)]))

MAX_TOP_KEYS = 1000
MAX_KEYS = 100_000
MAX_VALUES = 1_000_000
"""Bounds that no honest request comes near. OpenAI takes 300,000 tokens, each a number, in a request for embeddings
(https://platform.openai.com/docs/api-reference/embeddings/create); a message of a long talk has ten keys or so."""

STEP_BYTES = 262144
STEP_VALUES = 16384 if cython.compiled else 1024
"""What a step looks at: a millisecond or two, on either build."""

_SPACE = re.compile(rb"[ \t\n\r]*")  # the pure build's way through spaces at C speed

# What may come next.
_START, _ELEMENT, _COLON, _VALUE, _AFTER, _END, _IN_KEY, _IN_STRING, _DONE = range(9)

_KEY_LIMIT, _TOP_LIMIT = MAX_KEY, MAX_TOP_KEYS
_NUMBER_LIMIT, _VALUE_LIMIT, _NAME_LIMIT = MAX_NUMBER, MAX_VALUES, MAX_KEYS


@cython.cfunc
def _space_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    c: cython.uchar
    if not cython.compiled:
        return max(i, _SPACE.match(data, min(i, stop), stop).end())  # type: ignore[union-attr]
    while i < stop:
        c = data[i]
        if c > 0x20 or (c != 0x20 and c != 0x0A and c != 0x0D and c != 0x09):
            break
        i += 1
    return i


_NOTHING = cython.declare(list, [])
"""In place of lists that nothing is added to."""
_DEPTH = cython.declare(cython.Py_ssize_t, 128)
"""Levels that a scanner has room for in itself."""


@cython.final
@cython.cclass
class JSONScanner(Scanned):  # type: ignore[misc]
    """The scan of one body. `step` until it says that it is done, and all is found; ``values`` counts those so far.

    With `long_bytes`, ``elements`` are the top-level values and the elements of those that are arrays, in their order,
    each as where it begins and the number of values before it; and ``strings`` are the strings of so many bytes or
    more, each as ``(key start, key end, cuts)``: where its key stands, between its quotes (0, 0 in an array), and
    places from its beginning to its end, a step apart, at which neither a character nor an escape is cut.
    """

    def __init__(
        self,
        body: bytes,
        max_depth: int = 128,
        max_number: int = MAX_NUMBER,
        max_values: int = MAX_VALUES,
        max_keys: int = MAX_KEYS,
        long_bytes: int = 0,
    ) -> None:
        """At most `max_depth` levels, `max_number` bytes of a number, `max_values` values, and `max_keys` keys below
        the top.
        """
        self.begin(body, max_depth, long_bytes)
        self._number_limit, self._value_limit, self._key_limit = max_number, max_values, max_keys

    @cython.ccall
    def begin(self, body: bytes, max_depth: cython.Py_ssize_t = 128, long_bytes: cython.Py_ssize_t = 0) -> object:
        """As it is made, with the limits of a request's body: nothing has been read."""
        self.of(body)
        self.elements: list[tuple[int, int]] = [] if long_bytes else _NOTHING
        self.strings: list[tuple[int, int, list[int]]] = [] if long_bytes else _NOTHING
        self._long = long_bytes
        self._cuts: list[int] = _NOTHING
        self._keys = spare_keys(max_depth)
        self._keys.begin(body)
        # Whether each open container is an array.
        if cython.compiled:
            if max_depth > _DEPTH:
                self._deep = PyByteArray_FromStringAndSize(cython.NULL, max_depth + 2)
        else:
            self._arrays = bytearray(max_depth + 2)
        self._depth_limit = max_depth
        self._number_limit, self._value_limit, self._key_limit = _NUMBER_LIMIT, _VALUE_LIMIT, _NAME_LIMIT
        self._names = self._at = self._depth = self._string = 0
        self._key_start = self._key_end = self._top_start = self._name_start = self._name_end = 0
        self._checked = False
        self._first = True
        self._state = _START
        return None

    def step(
        self, max_bytes: cython.Py_ssize_t = STEP_BYTES, max_values: cython.Py_ssize_t = STEP_VALUES
    ) -> cython.bint:
        """Go on, for about so many bytes or values; True when all is read. Raises JSONError, and then is not to be
        called again.
        """
        body: bytes = self._body
        size: cython.Py_ssize_t = len(body)
        data: cython.p_const_uchar
        arrays: cython.p_uchar
        if cython.compiled:
            data = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body))
            if self._deep is None:
                arrays = self._arrays
            else:
                arrays = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._deep))
        else:
            data, arrays = body, self._arrays
        i: cython.Py_ssize_t = self._at
        most: cython.Py_ssize_t = max(1, max_bytes)
        stop: cython.Py_ssize_t = size if size - i <= most else i + most
        left: cython.Py_ssize_t = max(1, max_values)
        state: cython.Py_ssize_t = self._state
        depth: cython.Py_ssize_t = self._depth
        first: cython.bint = self._first
        in_array: cython.bint = depth > 0 and arrays[depth] != 0
        end: cython.Py_ssize_t
        c: cython.uchar
        if state == _DONE:
            return True
        while True:
            if state >= _IN_KEY:
                i = text_end(data, i, stop, size)
                if i >= stop:
                    if i >= size:
                        raise JSONError("unterminated string", self._string - 1)
                    if self._long and state == _IN_STRING:
                        self._cuts = [*self._cuts, i]
                    break
                end = i
                i += 1
                if state == _IN_STRING:
                    state = _AFTER
                    if self._long:
                        self._note(end, in_array)
                    if depth == 1:
                        self.keep(self._name_start, self._name_end, self._top_start, i)
                    continue
                self._name(end, depth)
                state = _COLON
                if i < stop and data[i] == 0x3A:
                    state, i = _VALUE, i + 1
            i = _space_end(data, i, stop)
            if i >= stop:
                if stop < size:
                    break
                if state == _END:
                    self._state = _DONE
                    give_back(self._keys)
                    self._keys = None
                    return True
                if state == _START:
                    raise JSONError("the body is empty", i)
                raise JSONError("a colon was expected" if state == _COLON else "unexpected end of the body", i)
            c = data[i]
            if state == _AFTER:
                if c == 0x2C:
                    i += 1
                    first = False
                    state = _ELEMENT
                    continue
                if c != (0x5D if in_array else 0x7D):
                    raise JSONError("a comma or the end of the container was expected", i)
            elif state == _COLON:
                if c != 0x3A:
                    raise JSONError("a colon was expected", i)
                i += 1
                state = _VALUE
                continue
            elif state == _ELEMENT and first and c == (0x5D if in_array else 0x7D):
                pass  # an empty container ends
            elif state == _ELEMENT and not in_array:
                if c != 0x22:
                    raise JSONError("a key was expected", i)
                if left <= 0:
                    break
                i += 1
                self._string = i
                state = _IN_KEY
                continue
            elif state == _START:
                if c != 0x7B:
                    raise JSONError("a JSON object was expected", i)
                i += 1
                depth = 1
                arrays[1] = 0
                self._keys.open()
                state = _ELEMENT
                continue
            elif state == _END:
                raise JSONError("data after the end of the JSON object", i)
            else:
                if left <= 0:
                    break
                left -= 1
                self.values += 1
                if self.values > self._value_limit:
                    raise JSONError(f"more than {self._value_limit} values", i, limit=True)
                if self._long and (depth == 1 or (depth == 2 and in_array)):
                    self.elements.append((i, self.values - 1))
                if depth == 1:
                    self._top_start = i
                    self._checked = (c == 0x7B or c == 0x5B) and self._is_checked()
                if c == 0x22:
                    i += 1
                    self._string = i
                    state = _IN_STRING
                    continue
                if c == 0x7B or c == 0x5B:
                    depth += 1
                    if depth > self._depth_limit:
                        raise JSONError(f"nested deeper than {self._depth_limit} levels", i)
                    in_array = c == 0x5B
                    arrays[depth] = in_array
                    if not in_array:
                        self._keys.open()
                    first = True
                    i += 1
                    state = _ELEMENT
                    continue
                if c == 0x2D or 0x30 <= c <= 0x39:
                    i = number_end(data, i, size, self._number_limit)
                else:
                    i = literal_end(data, i, size)
                state = _AFTER
                if depth == 1:
                    self.keep(self._name_start, self._name_end, self._top_start, i)
                continue
            # The container ends whose closing bracket is here.
            i += 1
            if not in_array:
                self._keys.close()
            depth -= 1
            if depth == 0:
                state = _END
                continue
            in_array = arrays[depth] != 0
            state = _AFTER
            if depth == 1:
                self.keep(self._name_start, self._name_end, self._top_start, i)
        self._at = i
        self._state = state
        self._depth = depth
        self._first = first
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def _is_checked(self) -> cython.bint:
        """Whether the latest top-level key is one of `CHECKED`."""
        start: cython.Py_ssize_t = self._name_start
        size: cython.Py_ssize_t = self._name_end - start
        if cython.compiled:
            name: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(self._body)) + start
            if memchr(name, 0x5C, size) == cython.NULL:
                for checked in _CHECKED:
                    if PyBytes_GET_SIZE(checked) == size and memcmp(PyBytes_AS_STRING(checked), name, size) == 0:
                        return True
                return False
        return key_text(self._body, start, start + size) in CHECKED

    @cython.cfunc
    def _note(self, end: cython.Py_ssize_t, in_array: cython.bint) -> object:
        """The string between ``_string`` and `end` has been read."""
        if end - self._string >= self._long:
            cuts = [self._string, *self._cuts, end]
            self.strings.append((0, 0, cuts) if in_array else (self._key_start, self._key_end, cuts))
        if self._cuts:
            self._cuts = []
        return None

    @cython.cfunc
    def _name(self, end: cython.Py_ssize_t, depth: cython.Py_ssize_t) -> object:
        """The key between ``_string`` and `end` has been read."""
        start: cython.Py_ssize_t = self._string
        if end - start > _KEY_LIMIT:
            raise JSONError(f"a key longer than {MAX_KEY} bytes", start - 1, limit=True)
        self._key_start, self._key_end = start, end
        if depth == 1:
            if self._keys.add(start, end):
                raise JSONError("duplicate key", start - 1, key_text(self._body, start, end))
            if self._count >= _TOP_LIMIT:
                raise JSONError(f"more than {MAX_TOP_KEYS} keys at the top level", start - 1, limit=True)
            self._name_start, self._name_end = start, end
            return None
        self._names += 1
        if self._names > self._key_limit:
            raise JSONError(f"more than {self._key_limit} keys below the top level", start - 1, limit=True)
        if (self._checked or not self.repeated) and self._keys.add(start, end):  # type: ignore[has-type]
            if self._checked:
                raise JSONError("duplicate key", start - 1, key_text(self._body, start, end))
            self.repeated = True
        return None


def scan_json(body: bytes, max_depth: int = 128, max_number: int = MAX_NUMBER) -> dict[str, tuple[int, int]]:
    """The ``spans`` of a `JSONScanner`, in one go. Raises JSONError."""
    scanner: JSONScanner = JSONScanner(body, max_depth, max_number)
    while not scanner.step():
        pass
    return scanner.spans
