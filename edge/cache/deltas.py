"""Streams of deltas: read as events, and put together into the values they are the pieces of.

The rules are those of openai-python's ``lib/streaming/_deltas.py``: strings are concatenated, lists of indexed objects
merged by ``index``, other lists extended, objects merged key by key. Where these would guess (two different numbers
under one name, a name in pieces, an id that changes) there is no value but `Unclear`: an answer that cannot be put
together for certain is asked for again.
"""

from __future__ import annotations

from typing import Any

from edge._fast import SSEDecoder, SSELimitError
from edge.dialects.translation import decode_answer, encode
from edge.errors import UpstreamBadResponse

__all__ = ["Unclear", "dictionary", "event", "listing", "merge", "parse", "read", "settle"]

SAME = frozenset({"role", "type", "id", "format"})
"""Strings that some servers repeat in every delta, and none sends in pieces."""
ONCE = frozenset({"name"})
"""Strings that are sent once. A second one could be a repetition or the rest of the first: clients differ on it."""
MAX_ITEMS = 1024
"""Of one indexed list (tool calls, details of reasoning). Each is looked for among the others."""


class Unclear(ValueError):
    """It cannot be told what this answer would be in the other form."""


class Text:
    """A string that is still coming. Its pieces are joined once: adding them up would cost their number squared."""

    __slots__ = ("pieces",)

    def __init__(self, piece: str) -> None:
        self.pieces = [piece]


def read(body: bytes) -> list[tuple[bytes, bytes]]:
    """The events of a complete stream, as ``(name, data)``; the last need not have its blank line. Raises Unclear."""
    decoder = SSEDecoder()
    try:
        events: list[tuple[bytes, bytes]] = decoder.feed(body)
        events += decoder.finish()
    except SSELimitError as error:
        raise Unclear(str(error)) from None
    return events


def parse(data: bytes) -> dict[str, Any]:
    """A JSON object, its numbers exact. Raises Unclear."""
    try:
        return decode_answer(data)
    except UpstreamBadResponse as error:
        raise Unclear(error.message) from None


def event(value: dict[str, Any], name: str = "") -> bytes:
    """One event of a stream."""
    head = f"event: {name}\n".encode() if name else b""
    return b"%bdata: %b\n\n" % (head, encode(value))


def dictionary(value: Any) -> dict[str, Any]:
    """`value` if it is an object. Raises Unclear."""
    if not isinstance(value, dict):
        raise Unclear("not an object")
    return value


def listing(value: Any) -> list[Any]:
    """`value` if it is an array. Raises Unclear."""
    if not isinstance(value, list):
        raise Unclear("not an array")
    return value


def merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta to what has come so far; `settle` finishes it. A null says nothing. Raises Unclear."""
    for key, value in delta.items():
        known = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif known is None:
            into[key] = _first(key, value)
        elif isinstance(known, Text) and isinstance(value, str):
            if key == "data" and (len(known.pieces[-1]) % 4 or known.pieces[-1].endswith("=")):
                raise Unclear("pieces of base64 that cannot be joined")
            known.pieces.append(value)
        elif isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            _extend(known, value)
        elif known == "" and isinstance(value, str):
            into[key] = value
        elif value != "" and (known != value or type(known) is not type(value) or key in ONCE):
            raise Unclear("a field that changes")


def settle(value: Any) -> Any:
    """`value` with its texts joined, in place."""
    if isinstance(value, Text):
        return "".join(value.pieces)
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, Text | dict | list):
                value[key] = settle(item)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                settle(item)
    return value


def _first(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return value if key in SAME or key in ONCE else Text(value)
    if isinstance(value, dict):
        fresh: dict[str, Any] = {}
        merge(fresh, value)
        return fresh
    if isinstance(value, list):
        items: list[Any] = []
        _extend(items, value)
        return items
    return value


def _extend(into: list[Any], new: list[Any]) -> None:
    if not any(isinstance(item, dict) and "index" in item for item in new):
        into.extend(new)
        return
    for item in new:
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or index < 0:
            raise Unclear("an indexed list with an item that has no index")
        for known in reversed(into):  # most deltas go on with the latest
            if isinstance(known, dict) and known.get("index") == index:
                merge(known, item)
                break
        else:
            if len(into) >= MAX_ITEMS:
                raise Unclear("more items than are looked through")
            into.append(_first("", item))
