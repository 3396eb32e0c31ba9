r"""One pass over a JSON request body: is it strict JSON, how deep, and where do its top-level values lie?

RFC 8259, read strictly, because what is forwarded is the client's own bytes and every other parser on the way must read
the same thing in them:

* an object at the top, nesting at most `max_depth`, a number at most `max_number` bytes long;
* valid UTF-8, no control characters in strings, no lone surrogate escapes, no NaN, Infinity, BOM or trailing data;
* no key twice in the top-level object, nor in any object below the keys of `CHECKED` (or anywhere, where that is asked
  for). Keys are compared after their escapes are resolved: a second ``"mod\u0065l"`` would carry a model past an
  allow-list that looked at the first.
"""

from __future__ import annotations

import json
import re

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

__all__ = ["JSONError", "scan_json"]

CHECKED = frozenset({"messages", "input", "system"})
"""Top-level keys whose whole value is checked for duplicate keys: what the model is told, in every dialect."""

MAX_TOP_KEYS = 1000
MAX_ODD_KEYS = 50_000
"""Bounds on what costs more than a glance; no honest request comes near them."""

# The pure build's way through strings and numbers at C speed; the byte loops below name the reason of what these
# refuse. No possessive quantifiers: CPython before 3.11.4 mishandles them. The repetition is bounded, since each turn
# of it takes memory; a longer string takes several matches.
_STRING = re.compile(rb'[^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*){0,100}')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.eE])")
_SPACE = re.compile(rb"[ \t\n\r]*")


class JSONError(ValueError):
    """The body is refused. ``reason`` is a phrase for people, ``offset`` a byte position,
    ``duplicate`` the repeated key if that is the reason.
    """

    def __init__(self, reason: str, offset: int, duplicate: str | None = None) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset
        self.duplicate = duplicate


@cython.cfunc
def _hex4(body: bytes, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Value of the four hex digits at `i`, or -1."""
    value: cython.Py_ssize_t = 0
    j: cython.Py_ssize_t
    c: cython.uchar
    if i + 4 > size:
        return -1
    for j in range(i, i + 4):
        c = body[j]
        if 0x30 <= c <= 0x39:
            value = value * 16 + (c - 0x30)
        elif 0x61 <= (c | 0x20) <= 0x66:
            value = value * 16 + ((c | 0x20) - 0x57)
        else:
            return -1
    return value


@cython.cfunc
def _escape_end(body: bytes, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """`i` is at a backslash inside a string; return the index after its escape."""
    c: cython.uchar
    unit: cython.Py_ssize_t
    if i + 1 >= size:
        raise JSONError("unterminated string", i)
    c = body[i + 1]
    if c == 0x75:
        unit = _hex4(body, i + 2, size)
        if unit < 0:
            raise JSONError("invalid \\u escape", i)
        if 0xD800 <= unit <= 0xDFFF:
            low: cython.Py_ssize_t = -1
            if unit < 0xDC00 and i + 7 < size and body[i + 6] == 0x5C and body[i + 7] == 0x75:
                low = _hex4(body, i + 8, size)
            if low < 0xDC00 or low > 0xDFFF:
                raise JSONError("lone surrogate escape", i)
            return i + 12
        return i + 6
    if c in (0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74):
        return i + 2
    raise JSONError("invalid escape", i)


@cython.cfunc
def _string_end(body: bytes, start: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """`start` is at the opening quote; return the index after the closing one."""
    i: cython.Py_ssize_t = start + 1
    c: cython.uchar
    while i < size:
        if not cython.compiled:
            i = _STRING.match(body, i).end()  # type: ignore[union-attr]
            if i >= size:
                break
        c = body[i]
        if c == 0x22:
            return i + 1
        if c == 0x5C:
            i = _escape_end(body, i, size)
        elif c < 0x20:
            raise JSONError("control character in a string", i)
        else:
            i += 1
    raise JSONError("unterminated string", start)


@cython.cfunc
def _digits_end(body: bytes, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    c: cython.uchar
    while i < size:
        c = body[i]
        if c < 0x30 or c > 0x39:
            break
        i += 1
    return i


@cython.cfunc
def _number_end(
    body: bytes, start: cython.Py_ssize_t, size: cython.Py_ssize_t, limit: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """`start` is at a minus sign or a digit; return the index after the number."""
    i: cython.Py_ssize_t = start
    j: cython.Py_ssize_t
    if not cython.compiled:
        match = _NUMBER.match(body, start)
        if match is not None:
            i = match.end()
            if i - start > limit:
                raise JSONError(f"number longer than {limit} bytes", start)
            return i
    if body[i] == 0x2D:
        i += 1
    j = _digits_end(body, i, size)
    if j == i or (body[i] == 0x30 and j > i + 1):
        raise JSONError("invalid number", start)
    i = j
    if i < size and body[i] == 0x2E:
        j = _digits_end(body, i + 1, size)
        if j == i + 1:
            raise JSONError("invalid number", start)
        i = j
    if i < size and (body[i] == 0x65 or body[i] == 0x45):
        i += 1
        if i < size and (body[i] == 0x2B or body[i] == 0x2D):
            i += 1
        j = _digits_end(body, i, size)
        if j == i:
            raise JSONError("invalid number", start)
        i = j
    if i - start > limit:
        raise JSONError(f"number longer than {limit} bytes", start)
    return i


@cython.cfunc
def _skip_space(body: bytes, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    c: cython.uchar
    if not cython.compiled:
        return _SPACE.match(body, i).end()  # type: ignore[union-attr]
    while i < size:
        c = body[i]
        if c != 0x20 and c != 0x0A and c != 0x0D and c != 0x09:
            break
        i += 1
    return i


@cython.cfunc
def _scalar_end(
    body: bytes, i: cython.Py_ssize_t, size: cython.Py_ssize_t, limit: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """End of the string, number or literal at `i`."""
    c: cython.uchar = body[i]
    if c == 0x22:
        return _string_end(body, i, size)
    if c == 0x2D or 0x30 <= c <= 0x39:
        return _number_end(body, i, size, limit)
    if c == 0x74 and body[i : i + 4] == b"true":
        return i + 4
    if c == 0x66 and body[i : i + 5] == b"false":
        return i + 5
    if c == 0x6E and body[i : i + 4] == b"null":
        return i + 4
    raise JSONError("a value was expected", i)


@cython.cfunc
def _key(body: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The key between the quotes at `start` and ``end - 1``, escapes resolved."""
    raw: bytes = body[start + 1 : end - 1]
    if b"\\" in raw:
        text: str = json.loads(raw.join((b'"', b'"')))
        return text
    return raw.decode()


def scan_json(
    body: bytes, max_depth: int = 128, max_number: int = 1000, everywhere: bool = False
) -> dict[str, tuple[int, int]]:
    """Check `body` and return, for each top-level key, the byte span of its value.

    Spans are ``(start, end)`` with ``body[start:end]`` the value without white space around it. `everywhere` extends
    the check for repeated keys to all objects. Linear in ``len(body)``. Raises JSONError.
    """
    size: cython.Py_ssize_t = len(body)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise JSONError("invalid UTF-8", error.start) from None
    depth_limit: cython.Py_ssize_t = max_depth
    number_limit: cython.Py_ssize_t = max_number
    spans: dict = {}
    # One entry per open container: the keys seen so far of an object that is checked (the only one, or a set of them),
    # None for one that is not, False for an array.
    frames: list = [None]
    seen: set
    top_key: str = ""
    key: str = ""
    earlier: object
    odd_keys: cython.Py_ssize_t = 0
    top_start: cython.Py_ssize_t = 0
    checked: cython.bint = False
    all_checked: cython.bint = everywhere
    depth: cython.Py_ssize_t = 1
    in_object: cython.bint = True
    first: cython.bint = True
    end: cython.Py_ssize_t
    c: cython.uchar

    i: cython.Py_ssize_t = _skip_space(body, 0, size)
    if i >= size:
        raise JSONError("the body is empty", i)
    if body[i] != 0x7B:
        raise JSONError("a JSON object was expected", i)
    i += 1
    while True:
        # Here an element of the innermost container may begin, or, if it is its first, the container may end.
        i = _skip_space(body, i, size)
        if i >= size:
            raise JSONError("unexpected end of the body", i)
        c = body[i]
        if first and c == (0x7D if in_object else 0x5D):
            pass
        else:
            if in_object:
                if c != 0x22:
                    raise JSONError("a key was expected", i)
                end = _string_end(body, i, size)
                if depth == 1 or checked:
                    key = _key(body, i, end)
                    # A key that is shorter than it is written had an escape (or a letter of several bytes).
                    if len(key) != end - i - 2:
                        odd_keys += 1
                        if odd_keys > MAX_ODD_KEYS:
                            raise JSONError("too many keys with escapes", i)
                if depth == 1:
                    top_key = key
                    if top_key in spans:
                        raise JSONError("duplicate key", i, top_key)
                    if len(spans) >= MAX_TOP_KEYS:
                        raise JSONError("too many keys", i)
                elif checked:
                    earlier = frames[depth - 1]
                    if first:
                        # Most objects have few keys: a set is made for the second one.
                        frames[depth - 1] = key
                    elif isinstance(earlier, str):
                        if key == earlier:
                            raise JSONError("duplicate key", i, key)
                        frames[depth - 1] = {earlier, key}
                    else:
                        seen = earlier  # type: ignore[assignment]
                        if key in seen:
                            raise JSONError("duplicate key", i, key)
                        seen.add(key)
                i = _skip_space(body, end, size)
                if i >= size or body[i] != 0x3A:
                    raise JSONError("a colon was expected", i)
                i = _skip_space(body, i + 1, size)
                if i >= size:
                    raise JSONError("unexpected end of the body", i)
                c = body[i]
                if depth == 1:
                    top_start = i
                    checked = all_checked or top_key in CHECKED
            if c == 0x7B or c == 0x5B:
                depth += 1
                if depth > depth_limit:
                    raise JSONError(f"nested deeper than {depth_limit} levels", i)
                in_object = c == 0x7B
                frames.append(None if in_object else False)
                first = True
                i += 1
                continue
            i = _scalar_end(body, i, size, number_limit)
            if depth == 1:
                spans[top_key] = (top_start, i)
            c = 0
        # Here an element has ended (c is 0), or an empty container ends (c is its closing bracket).
        while True:
            if c == 0:
                i = _skip_space(body, i, size)
                if i >= size:
                    raise JSONError("unexpected end of the body", i)
                c = body[i]
            if c == 0x2C:
                i += 1
                first = False
                break
            if c != (0x7D if in_object else 0x5D):
                raise JSONError("a comma or the end of the container was expected", i)
            i += 1
            depth -= 1
            if depth == 0:
                i = _skip_space(body, i, size)
                if i < size:
                    raise JSONError("data after the end of the JSON object", i)
                return spans
            frames.pop()
            in_object = frames[depth - 1] is not False
            if depth == 1:
                spans[top_key] = (top_start, i)
            c = 0
