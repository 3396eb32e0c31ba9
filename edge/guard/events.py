"""The texts of a stream of events, each of which goes through a filter piece by piece.

What a filter holds back of a text waits for the next piece of it, or for the event that ends it, before which it goes
out in an event of its own. Where events have numbers (``sequence_number``), those after it have higher ones. Texts are
those of the three dialects' deltas; what an event has beside them is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from edge.errors import UNREADABLE

__all__ = ["Delta", "Events", "Filter", "deltas_of", "is_json"]

EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
"""Lines end in any of three ways, an event's two last ones in two that need not be the same."""
EVENT = re.compile(rb"(?s).+?(?:%b|\Z)" % EVENT_END.pattern)
NUMBER = "sequence_number"
COMMENTS = re.compile(rb"(?::[^\r\n]*+(?:\r\n|\n|\r|\Z))++")
BOM = b"\xef\xbb\xbf"
BLANK = b"\n\n"
LINES = re.compile(r"(\r\n|\n|\r)")
TEXTS = frozenset(
    {"content", "refusal", "reasoning_content", "reasoning", "text", "summary", "transcript", "input", "arguments"}
)
"""Keys of pieces in a delta of Chat Completions, wherever in it they are: a content may be a list of parts."""
DEEPEST = 6
Path = tuple[Any, ...]
"""Keys in a delta, and for an element of a list the key of that, the element's index, or else its type."""
GO_ON = frozenset({"ping", "keepalive", "message_start", "content_block_start", "content_block_delta"})
GOING_ON = (".delta", ".added", ".created", ".queued", ".in_progress")
"""Events by whose type, or its end, texts may go on after them."""
ALL = object()
"""In place of the index of a choice, a block or an item: any."""
Channel = tuple[object, ...]
"""A text: its key, path or its event's type, the index of its choice, block or item, and what else tells it apart."""
Delta = tuple[dict[str, Any], str, Channel, bool | None, bool]
"""A piece: the object it is in and its key there; its text; whether that is JSON, None for unknown; if it ends here."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Filter:
    """What is done to one text. It is ``idle`` while another may go on in its place."""

    idle = False

    def take(self, piece: str, last: bool) -> str:
        """What can go out, now that this has come; all, with the `last` piece."""
        raise NotImplementedError


class _Text:
    """``event`` are the lines before, in and after the data of the latest event with it."""

    __slots__ = ("event", "filter")

    def __init__(self, made: Filter) -> None:
        self.filter = made
        self.event: tuple[str, bytes, str] = ("", b"", "")


class Events:
    """A stream of one answer: `feed` it, `end` it. It is ``over`` where a filter says that nothing more goes out."""

    def __init__(self) -> None:
        self.over = False
        self._waiting = b""
        self._begun = False
        self._texts: dict[Channel, _Text] = {}
        # The number that the event at hand came with, and how many events of our own with numbers went before it.
        self._number = -1
        self._more = 0

    # Who it is for says what is done.

    def passes(self, event: bytes) -> bool:
        """Whether there is nothing to be done about an event before which nothing is held."""
        return False

    def filter(self, *, nested: bool) -> Filter:
        """A new text's, which is JSON if it is `nested`."""
        raise NotImplementedError

    def whole(self, data: bytes) -> bytes:
        """What becomes of the data of an event that has no piece of a text."""
        return data

    def beside(self, told: dict[str, Any], deltas: list[Delta], data: bytes) -> bool:
        """Change what an event has beside its pieces of texts; whether there was anything."""
        return False

    # Bytes.

    def feed(self, data: bytes) -> bytes:
        """What of it can go out: whole events."""
        if not self._waiting and COMMENTS.fullmatch(data):
            return data  # which no blank line need follow
        data = self._waiting + data
        if not self._begun and len(data) >= len(BOM):
            self._begun = True
            data = data.removeprefix(BOM)  # clients leave it out too: what comes after it is a line as any
        parts: list[bytes] = []
        at = 0
        for match in EVENT_END.finditer(data):
            if self.over:
                break
            parts.append(self._event(data[at : match.end()]))
            at = match.end()
        self._waiting = data[at:]
        return b"".join(parts)

    def end(self) -> bytes:
        data, self._waiting = self._waiting, b""
        if self.over or not data:
            self._number += 1
            return self._let_go(ALL)
        last = self._event(data + BLANK)  # no blank line need follow the last event, which is one all the same
        self._number += 1
        rest = self._let_go(ALL)
        return last + rest if rest or self.over else last.removesuffix(BLANK)

    def numbered(self, events: bytes) -> bytes:
        """Events that go past this one, with numbers as what has gone out would have them."""
        if not self._more:
            return events
        parts = [events[match.start() : match.end()] for match in EVENT.finditer(events)]
        return b"".join(map(self._renumbered, parts))

    def _renumbered(self, event: bytes) -> bytes:
        before, data, after = _data_of(event)
        if data is None or not self._more:
            return event
        try:
            told = _decode(data)
        except UNREADABLE:
            return event
        return _joined(before, _encode(told), after) if self._renumber(told) else event

    def _renumber(self, told: Any) -> bool:
        """Give an event the number that it has after those of our own; whether that is another."""
        number = told.get(NUMBER) if isinstance(told, dict) else None
        if not self._more or not isinstance(number, int):
            return False
        told[NUMBER] = number + self._more
        return True

    def _event(self, event: bytes) -> bytes:
        if not self._texts and not self._more and self.passes(event):
            return event
        before, data, after = _data_of(event)
        if data is None:
            return event
        try:
            told = _decode(data)
        except UNREADABLE:
            told = None
        if isinstance(told, dict) and isinstance(told.get(NUMBER), int):
            self._number = told[NUMBER]
        deltas = list(deltas_of(told)) if isinstance(told, dict) else []
        if not deltas:
            released = b"".join([self._let_go(place) for place in _ended(told)])
            whole = data if self.over else self.whole(data)
            if self.over:
                return released
            return released + self._renumbered(event if whole is data else _joined(before, whole, after))
        changed = self.beside(told, deltas, data)
        if self.over:
            return b""
        for holder, key, channel, nested, last in deltas:
            piece = holder[key]
            text = self._texts.get(channel)
            if text is None:
                if not piece:
                    continue
                is_nested = piece.startswith(("{", "[{", '["')) if nested is None else nested
                text = self._texts[channel] = _Text(self.filter(nested=is_nested))
            holder[key] = made = text.filter.take(piece, last)
            changed = changed or made != piece
            if self.over:  # what comes before it in this text is the last of all
                self._renumber(told)
                return _joined(before, _encode(_only(told, channel, made)), after) if made else b""
            text.event = (before, data, after)
            if last or text.filter.idle:
                del self._texts[channel]
        released = b"".join([self._let_go(place) for place in _ended(told)])
        changed = self._renumber(told) or changed
        return released + (_joined(before, _encode(told), after) if changed else event)

    def _let_go(self, place: object) -> bytes:
        """Events with what is held of the texts at that place, which have ended."""
        parts: list[bytes] = []
        for channel, text in list(self._texts.items()):
            if self.over:
                break
            if place is not ALL and channel[1] != place:
                continue
            del self._texts[channel]
            if rest := text.filter.take("", True):
                before, data, after = text.event
                told = _only(_decode(data), channel, rest)
                if isinstance(told.get(NUMBER), int):
                    told[NUMBER] = self._number + self._more
                    self._more += 1
                parts.append(_joined(before, _encode(told), after))
        return b"".join(parts)


def is_json(text: str) -> bool:
    if text[:1] not in ("{", "["):
        return False
    try:
        _decode(text)
    except UNREADABLE:
        return False
    return True


def _data_of(event: bytes) -> tuple[str, bytes | None, str]:
    """The lines before an event's data, the data, and the lines after; None where there is no data."""
    before: list[str] = []
    data: list[str] = []
    after: list[str] = []
    parts = LINES.split(event.decode("utf-8", "surrogateescape"))
    for line, ending in zip(parts[::2], [*parts[1::2], ""], strict=True):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
            after = [ending]
        else:
            (after if data else before).append(line + ending)
    if not data:
        return "", None, ""
    return "".join(before), "\n".join(data).encode("utf-8", "surrogateescape"), "".join(after)


def _joined(before: str, data: bytes, after: str) -> bytes:
    return b"%bdata: %b%b" % (before.encode("utf-8", "surrogateescape"), data, after.encode("utf-8", "surrogateescape"))


def deltas_of(told: dict[str, Any]) -> Iterator[Delta]:
    """The pieces of texts in an event."""
    kind = told.get("type")
    delta = told.get("delta")
    if kind == "content_block_delta" and isinstance(delta, dict):
        for key in ("text", "partial_json"):
            if isinstance(delta.get(key), str):
                yield delta, key, (key, told.get("index")), True if key == "partial_json" else None, False
    elif isinstance(kind, str) and kind.endswith(".delta") and isinstance(delta, str):
        place = (told.get("output_index"), told.get("item_id"), told.get("content_index"), told.get("summary_index"))
        yield told, "delta", (kind, *place), True if "arguments" in kind else None, False
    choices = told.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            yield from _of_choice(choice)


def _of_choice(choice: dict[str, Any]) -> Iterator[Delta]:
    index, last, delta = choice.get("index"), choice.get("finish_reason") is not None, choice.get("delta")
    if isinstance(choice.get("text"), str):
        yield choice, "text", ("text", index), None, last
    if not isinstance(delta, dict):
        return
    yield from _of_delta(delta, (), index, last)


def _of_delta(holder: dict[str, Any], path: Path, index: object, last: bool) -> Iterator[Delta]:
    for key, value in holder.items():
        if isinstance(value, str):
            if key in TEXTS:
                yield holder, key, ((*path, key), index), True if key == "arguments" else None, last
        elif len(path) >= DEEPEST:
            continue
        elif isinstance(value, dict):
            yield from _of_delta(value, (*path, key), index, last)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    number = each.get("index")
                    step = (key, number, each.get("type") if number is None else None)
                    yield from _of_delta(each, (*path, step), index, last)


def _only(told: dict[str, Any], channel: Channel, text: str) -> dict[str, Any]:
    """An event with that text and nothing else: clients add up what comes again, names and roles too."""
    if "choices" not in told:
        for holder, key, _, _, _ in deltas_of(told):
            holder[key] = text
        if "logprobs" in told:
            told["logprobs"] = []
        return told
    name, index = channel
    choice: dict[str, Any] = {"index": index, "finish_reason": None}
    if isinstance(name, tuple):
        made: Any = text
        for step in reversed(name):
            if isinstance(step, str):
                made = {step: made}
            else:
                key, number, kind = step
                of_it = {"index": number} if number is not None else {} if kind is None else {"type": kind}
                made = {key: [of_it | made]}
        choice["delta"] = made
    else:
        choice["text"] = text
    told.pop("usage", None)
    return {**told, "choices": [choice]}


def _ended(told: Any) -> Iterator[object]:
    """Where texts end with an event: the indexes of choices, blocks or items."""
    if not isinstance(told, dict):
        yield ALL
        return
    choices = told.get("choices")
    if choices is not None:
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("finish_reason") is not None:
                yield choice.get("index")
        return
    kind = str(told.get("type"))
    if kind in GO_ON or kind.endswith(GOING_ON):
        return
    if kind == "content_block_stop":
        yield told.get("index")
    else:
        yield told.get("output_index", ALL)
