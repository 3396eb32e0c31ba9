"""Thinking that no Anthropic model has signed does not go back to one: its API refuses the whole conversation.

Such blocks come from our own translated streams: an alias that asks another vendor's model first, and Claude when that
fails, has both kinds in one conversation. A signature is what Anthropic gave; a block that is signed and empty is as
good as any, for there are models that keep their thinking to themselves
(https://platform.claude.com/docs/en/build-with-claude/thinking). Where such a block goes from a turn that has called
tools, the API does without thinking for that request by itself.

This is the one exception to passing a body on as it came, so it is looked for cheaply: mostly nothing is decoded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge._fast import JSONError, scan_json
from edge.dialects.sealed import is_sealed

__all__ = ["is_signed", "without_unsigned"]

NEEDLE = b'thinking"'
KEY = b'"signature"'
SEALED = b'"edge'
"""How the envelopes of `edge.dialects.sealed` begin, in which another vendor's thoughts are."""
SLICE = 4 << 20
"""Bytes that are looked through in one step, so that other threads get their turn."""
BLANK = b" \t\r\n"
Span = tuple[int, int]


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Block(msgspec.Struct):
    type: Any = None
    signature: Any = None
    data: Any = None


_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_message = msgspec.json.Decoder(_Message).decode
_block = msgspec.json.Decoder(_Block).decode


def is_signed(kind: Any, signature: Any, data: Any) -> bool:
    """Whether a block of this ``type`` may go to Anthropic: all may, but thinking without a proof that it is its."""
    if kind == "thinking":
        return isinstance(signature, str) and signature != "" and not is_sealed(signature)
    return kind != "redacted_thinking" or (isinstance(data, str) and data != "" and not is_sealed(data))


def without_unsigned(body: bytes, start: int, end: int) -> bytes | None:
    """The messages that stand in `body` from `start` to `end` without unsigned thinking, None where there is none.

    A message that consisted of it alone goes whole: one without content would be refused.
    """
    if not _suspicious(body, start, end):
        return None
    messages = body[start:end]
    try:
        found = _spans(messages)
        cuts: list[Span] = []
        gone = []
        for at, until in found:
            inside = _cuts_in(messages[at:until])
            gone.append(inside is None)
            cuts += [(at + first, at + last) for first, last in inside or ()]
    except (msgspec.DecodeError, JSONError, RecursionError):
        return None  # no messages that the API would take: it says so in its own words
    cuts += _cuts(found, gone)
    if not cuts:
        return None
    kept, end = [], 0
    for first, last in sorted(cuts):
        kept.append(messages[end:first])
        end = last
    return b"".join([*kept, messages[end:]])


def _cuts_in(message: bytes) -> list[Span] | None:
    """What goes from a message, None for all of it."""
    if NEEDLE not in message:
        return []
    if not bytes(_message(message).content).startswith(b"["):
        return []
    start, end = scan_json(message)["content"]
    content = message[start:end]
    blocks = _spans(content)
    gone = [not _is_signed(content[first:last]) for first, last in blocks]
    if blocks and all(gone):
        return None
    return [(start + first, start + last) for first, last in _cuts(blocks, gone)]


def _spans(array: bytes) -> list[Span]:
    """Where the elements of a JSON array begin and end."""
    spans = []
    end = 1
    for raw in _elements(array):
        element = bytes(raw)
        start = array.index(element, end)  # between elements there are but commas and blanks
        end = start + len(element)
        spans.append((start, end))
    return spans


def _cuts(spans: list[Span], gone: list[bool]) -> list[Span]:
    """What to cut out of an array, each element with a comma, for all but those `gone` to be left."""
    last = max((number for number, each in enumerate(gone) if not each), default=-1)
    cuts = []
    for number, (start, end) in enumerate(spans):
        if gone[number] and number < last:
            cuts.append((start, spans[number + 1][0]))
        elif gone[number]:
            cuts.append((spans[number - 1][1] if number else start, end))
    return cuts


def _is_signed(raw: bytes) -> bool:
    if not raw.startswith(b"{"):
        return True
    block = _block(raw)
    return is_signed(block.type, block.signature, block.data)


def _suspicious(body: bytes, start: int, end: int) -> bool:
    """Whether there may be an unsigned block: fewer filled signatures than blocks, or one that is not filled."""
    blocks = 0
    for at in _occurrences(body, NEEDLE, start, end):
        if body[at - 10 : at] == b'"redacted_':
            return True  # rare, and its proof is called as other things are
        if body[at - 1 : at] == b'"' and _is_type(body, at - 1):
            blocks += 1
    if not blocks:
        return False
    for at in _occurrences(body, KEY, start, end):
        after = body[at + len(KEY) : at + len(KEY) + 16].lstrip(BLANK)
        value = after[1:].lstrip(BLANK)
        if after.startswith(b":"):
            if not value.startswith(b'"') or value.startswith((b'""', SEALED)):
                return True
            blocks -= 1
    return blocks > 0


def _is_type(body: bytes, at: int) -> bool:
    """Whether the string that begins at `at` is the value of a key ``type``."""
    before = body[max(0, at - 32) : at].rstrip(BLANK)
    return before.endswith(b":") and before[:-1].rstrip(BLANK).endswith(b'"type"')


def _occurrences(body: bytes, needle: bytes, start: int, end: int) -> list[int]:
    found = []
    while start < end:
        until = min(end, start + SLICE)
        at = body.find(needle, start, min(end, until + len(needle) - 1))
        if at < 0:
            start = until
        else:
            found.append(at)
            start = at + len(needle)
    return found
