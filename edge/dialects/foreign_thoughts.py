"""What another vendor's model has thought does not go to OpenAI: its API refuses the whole conversation.

Such thoughts come from our own translated answers, in envelopes (`edge.dialects.sealed`): an alias that asks Claude
first, and a model of OpenAI's when that fails, has both kinds in one conversation of Responses. This is the counterpart
of `edge.dialects.thinking`, and like that it is looked for cheaply: mostly nothing is decoded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge._fast import JSONError
from edge.dialects.sealed import is_sealed
from edge.dialects.thinking import _cuts, _spans

__all__ = ["without_sealed"]

NEEDLE = b'"edge1t.'


class _Item(msgspec.Struct):
    type: Any = None
    encrypted_content: Any = None


_item = msgspec.json.Decoder(_Item).decode


def without_sealed(body: bytes, start: int, end: int) -> bytes | None:
    """The input that stands in `body` from `start` to `end` without reasoning in envelopes; None where none is."""
    if body.find(NEEDLE, start, end) < 0 or not body.startswith(b"[", start):
        return None
    items = body[start:end]
    try:
        found = _spans(items)
        gone = [_is_foreign(items[at:until]) for at, until in found]
    except (msgspec.DecodeError, JSONError, RecursionError):
        return None  # no input that the API would take: it says so in its own words
    kept, at = [], 0
    for first, last in _cuts(found, gone):
        kept.append(items[at:first])
        at = last
    return b"".join([*kept, items[at:]]) if kept else None


def _is_foreign(raw: bytes) -> bool:
    if NEEDLE not in raw or not raw.startswith(b"{"):
        return False
    item = _item(raw)
    return item.type == "reasoning" and is_sealed(item.encrypted_content)
