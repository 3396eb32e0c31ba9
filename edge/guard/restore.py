"""Pseudonyms in an answer, put back into what they stand for, for the client alone, as the last thing.

A pseudonym is put back wherever it stands in a string of the answer's JSON, once it is whole: a stream's texts come in
pieces, and the end of one that may be the beginning of a pseudonym waits for the next of the same text, or for whatever
ends it. Within JSON in a string, such as a tool's arguments, what it stands for is escaped once more. Thinking keeps
the pseudonyms: it is signed, and comes back with the next request.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import msgspec

from edge.errors import UNREADABLE
from edge.guard.pii import PSEUDONYM

__all__ = ["Restorer"]

EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
LINES = re.compile(r"(\r\n|\n|\r)")
TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
"""Of a delta in Chat Completions."""
SIGNED = frozenset({"thinking", "signature", "encrypted_content"})
NESTED = frozenset({"arguments", "partial_json"})
"""Keys of strings that are JSON."""

IN_BYTES = re.compile(PSEUDONYM.pattern.encode())
Channel = tuple[object, ...]
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Text:
    """A text that comes in pieces: ``held`` is the end of what came, ``event`` the lines before, in and after the data
    of the latest event with it, and ``nested`` whether it is JSON, None for not known.
    """

    __slots__ = ("event", "held", "nested")

    def __init__(self, nested: bool | None) -> None:
        self.nested = nested
        self.held = ""
        self.event: tuple[str, bytes, str] = ("", b"", "")


class Restorer:
    """Of one answer. ``feed`` what is written, as whole events where it is a stream; ``end`` has the rest."""

    def __init__(self, originals: dict[str, str], *, stream: bool = False) -> None:
        """`originals` are what the pseudonyms stand for."""
        self.stream = stream
        self._originals = originals
        self._sorted = sorted(originals)
        self._plainly = all(_encode(each)[1:-1] == each.encode() for each in originals.values())
        self._longest = max(map(len, originals))
        self._waiting = b""
        self._texts: dict[Channel, _Text] = {}

    def whole(self, body: bytes, *, stream: bool) -> bytes:
        """An answer that is there at once."""
        self.stream = stream
        return self.feed(body) + self.end()

    def feed(self, data: bytes) -> bytes:
        """What of it can go out."""
        if not self.stream:
            self._waiting += data
            return b""
        if data.startswith(b":") and not self._waiting and not EVENT_END.search(data):
            return data  # a comment, which no blank line need follow
        data = self._waiting + data
        parts: list[bytes] = []
        at = 0
        for match in EVENT_END.finditer(data):
            parts.append(self._event(data[at : match.end()]))
            at = match.end()
        self._waiting = data[at:]
        return b"".join(parts)

    def end(self) -> bytes:
        data, self._waiting = self._waiting, b""
        if self.stream:
            return self._let_go() + data
        return self._restored(data) if self._is_in(data) else data

    def _is_in(self, data: bytes) -> bool:
        """Whether one of the pseudonyms is."""
        return any(match[0].decode() in self._originals for match in IN_BYTES.finditer(data))

    # Whole strings.

    def _restored(self, data: bytes) -> bytes:
        """JSON, byte for byte but for the pseudonyms, if what they stand for is written in the same way everywhere."""
        if self._plainly and not any(b'"%b"' % key.encode() in data for key in SIGNED):
            return IN_BYTES.sub(self._written, data)
        try:
            return _encode(self._value(_decode(data)))
        except (*UNREADABLE, OverflowError):
            return IN_BYTES.sub(self._written, data)

    def _written(self, match: re.Match[bytes]) -> bytes:
        original = self._originals.get(match[0].decode())
        return match[0] if original is None else _encode(original)[1:-1]

    def _plain(self, match: re.Match[str]) -> str:
        return self._originals.get(match[0], match[0])

    def _escaped(self, match: re.Match[str]) -> str:
        original = self._originals.get(match[0])
        return match[0] if original is None else _encode(original)[1:-1].decode()

    def _value(self, value: Any, key: str = "") -> Any:
        """A value with what is meant in all its strings."""
        if isinstance(value, str):
            if key in SIGNED or "[" not in value:
                return value
            nested = key in NESTED or _is_json(value)
            return PSEUDONYM.sub(self._escaped if nested else self._plain, value)
        if isinstance(value, list):
            return [self._value(each, key) for each in value]
        if isinstance(value, dict):
            return {self._value(name): self._value(each, name) for name, each in value.items()}
        return value

    # Events.

    def _event(self, event: bytes) -> bytes:
        if b"[" not in event and not self._texts and self._plainly:
            return event
        before, data, after = _data_of(event)
        if data is None:
            return event if event.startswith(b":") else self._let_go() + event
        try:
            told = _decode(data)
        except UNREADABLE:
            return self._let_go() + event
        deltas = list(_deltas(told)) if isinstance(told, dict) else []
        released = b"" if _goes_on(told) else self._let_go()
        if not deltas and self._is_in(data):
            event = _joined(before, self._restored(data), after)
        changed = False
        for holder, key, channel, nested, last in deltas:
            text = self._texts.get(channel) or _Text(nested)
            whole = text.held + holder[key]
            if text.nested is None and whole:
                text.nested = whole.startswith(("{", "[{", '["'))
            done, held = (whole, "") if last else self._cut(whole)
            made = PSEUDONYM.sub(self._escaped if text.nested else self._plain, done)
            changed = changed or made != holder[key]
            holder[key] = made
            text.held = held
            text.event = (before, data, after)
            if last:
                self._texts.pop(channel, None)
            elif held or not self._plainly:
                self._texts[channel] = text
            else:
                self._texts.pop(channel, None)
        for index in _ended(told):
            released += self._let_go(index)
        return released + (_joined(before, _encode(told), after) if changed else event)

    def _cut(self, text: str) -> tuple[str, str]:
        """A text up to what may be the beginning of a pseudonym, and that."""
        at = text.rfind("[", max(0, len(text) - self._longest + 1))
        if at < 0:
            return text, ""
        begun = text[at:]
        place = bisect_left(self._sorted, begun)
        if place == len(self._sorted) or not self._sorted[place].startswith(begun) or self._sorted[place] == begun:
            return text, ""
        return text[:at], begun

    def _let_go(self, index: object = None) -> bytes:
        """Events with what is held of all texts, or of those with that index, which have ended."""
        parts: list[bytes] = []
        for channel, text in list(self._texts.items()):
            if index is not None and channel[1] != index:
                continue
            del self._texts[channel]
            if text.held:
                before, data, after = text.event
                parts.append(_joined(before, _encode(_only(_decode(data), channel, text.held)), after))
        return b"".join(parts)


def _is_json(text: str) -> bool:
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


Delta = tuple[dict[str, Any], str, Channel, bool | None, bool]


def _deltas(told: dict[str, Any]) -> Iterator[Delta]:
    """The pieces of texts in an event: the object it is in and its key there; which text, with the index of its choice
    or block; whether that is JSON, None for not known; and whether it ends here.
    """
    kind = told.get("type")
    delta = told.get("delta")
    if kind == "content_block_delta" and isinstance(delta, dict):
        for key in ("text", "partial_json"):
            if isinstance(delta.get(key), str):
                yield delta, key, (key, told.get("index")), True if key in NESTED else None, False
    elif isinstance(kind, str) and kind.endswith(".delta") and isinstance(delta, str):
        place = (told.get("output_index"), told.get("content_index"), told.get("summary_index"))
        yield told, "delta", (kind, told.get("item_id"), *place), True if "arguments" in kind else None, False
    choices = told.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            yield from _deltas_of(choice)


def _deltas_of(choice: dict[str, Any]) -> Iterator[Delta]:
    index, last, delta = choice.get("index"), choice.get("finish_reason") is not None, choice.get("delta")
    if isinstance(choice.get("text"), str):
        yield choice, "text", ("text", index), None, last
    if not isinstance(delta, dict):
        return
    for key in TEXTS:
        if isinstance(delta.get(key), str):
            yield delta, key, (key, index), None, last
    calls = delta.get("tool_calls")
    for call in [*(calls if isinstance(calls, list) else ()), {"function": delta.get("function_call")}]:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            yield function, "arguments", ("arguments", index, call.get("index")), True, last


def _only(told: dict[str, Any], channel: Channel, text: str) -> dict[str, Any]:
    """An event with that text and nothing else: clients add up what comes again, names and roles too."""
    if "choices" not in told:
        for holder, key, _, _, _ in _deltas(told):
            holder[key] = text
        return told
    name, index, *call = channel
    key = str(name)
    choice: dict[str, Any] = {"index": index, "finish_reason": None}
    if key == "text":
        choice["text"] = text
    elif call and call[0] is not None:
        choice["delta"] = {"tool_calls": [{"index": call[0], "function": {"arguments": text}}]}
    else:
        choice["delta"] = {"function_call": {"arguments": text}} if call else {key: text}
    told.pop("usage", None)
    return {**told, "choices": [choice]}


def _goes_on(told: Any) -> bool:
    """Whether texts may go on after an event; all others end those before them."""
    if not isinstance(told, dict):
        return False
    kind = told.get("type")
    return "choices" in told or kind in ("ping", "content_block_delta") or str(kind).endswith(".delta")


def _ended(told: Any) -> Iterator[object]:
    """The indexes of choices that end with an event."""
    choices = told.get("choices") if isinstance(told, dict) else ()
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("finish_reason") is not None:
            yield choice.get("index")
