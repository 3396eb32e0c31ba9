"""What has to hold of each hot module, and of what reads frames, for any bytes whatever. A target raises AssertionError where it does not.

A target is given the module's builds, the pure one first, and an input. What one build says, the other has to say: the
differences between the two are what fuzzing finds best.
"""

from __future__ import annotations

import importlib
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from edge._fast import UsualAnswer
from edge.dialects.failures import SHAPES
from tests.fuzz import frames, heads
from tests.fuzz.cuts import parts
from tests.unit.key_forms import decode, plain, read

__all__ = ["CORPUS", "TARGETS", "builds", "corpus", "here"]

FAST = Path(__file__).parents[2] / "edge" / "_fast"
CORPUS = Path(__file__).with_name("corpus")

# Beyond these the decimal module refuses, which is its caller's business.
HUGE_EXPONENT = re.compile(rb"[eE][+-]?0*[1-9][0-9]{17}")


ELSEWHERE = {"frames": "edge.sockets.peer"}
"""Modules that are not compiled."""


def builds(name: str) -> list[ModuleType]:
    """The pure build, and the compiled one if it is here."""
    if name in ELSEWHERE:
        return [importlib.import_module(ELSEWHERE[name])]
    found = [importlib.import_module(f"edge._fast._{name}")]
    try:
        found.append(importlib.import_module(f"edge._fast._{name}_c"))
    except ImportError:
        pass
    return found


def here(name: str) -> bool:
    return name in ELSEWHERE or (FAST / f"_{name}.py").exists()


def corpus(name: str) -> list[Path]:
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def one(answers: Sequence[Any]) -> Any:
    """The answer, which all builds give."""
    for answer in answers[1:]:
        assert answer == answers[0], f"{answers[0]!r:.300} of the pure build, {answer!r:.300} of the compiled one"
    return answers[0]


def refuse(constant: str) -> None:
    raise ValueError(constant)


def verdict(module: ModuleType, body: bytes, *limits: int) -> Any:
    try:
        return module.scan_json(body, *limits)
    except module.JSONError as error:
        assert 0 <= error.offset <= len(body)
        return error.reason, error.offset, error.duplicate


def stepped(module: ModuleType, body: bytes, step: int) -> Any:
    """The verdict of a scan in steps, and what else it tells."""
    scanner = module.JSONScanner(body, long_bytes=3)
    try:
        while not scanner.step(step, step):
            pass
    except module.JSONError as error:
        return (error.reason, error.offset, error.duplicate), scanner.values
    for _, _, cuts in scanner.strings:
        pieces = [json.loads(b'"%b"' % body[start:end]) for start, end in pairwise(cuts)]
        assert "".join(pieces) == json.loads(body[cuts[0] - 1 : cuts[-1] + 1])
    strings = [(start, end, cuts[0], cuts[-1]) for start, end, cuts in scanner.strings]
    return scanner.spans, scanner.values, bool(scanner.repeated), scanner.elements, strings


def check_remembered(module: ModuleType, scan: Any, body: bytes) -> None:
    """What is known of a body without a scan, because `scan` was that of one like it, is what a scan would say. The
    other is made of this one, by its last bytes.
    """
    suffix = "_c" if module.__name__.endswith("_c") else ""
    bodies = importlib.import_module(f"edge._fast._body_known{suffix}").KnownBodies()
    assert bodies.find(body) is None
    bodies.learn(scan, False, False)
    other = bytearray(body)
    for at, byte in zip(body[-8::2], body[-7::2], strict=False):
        other[at * len(other) // 256] = byte
    for same in (body, bytes(other)):
        known = bodies.find(same)
        if known is not None:
            assert known.scan(same).spans == verdict(module, same)


def fuzz_json(modules: Sequence[ModuleType], data: bytes) -> None:
    """Both builds give one verdict, in steps of any size; what they accept, strict parsers accept, and the spans hold
    the values.
    """
    one([verdict(module, data, 3, 5) for module in modules])
    spans = one([verdict(module, data) for module in modules])
    for step in (1, 2 + len(data) % 5, 1 << 20):
        assert one([stepped(module, data, step) for module in modules])[0] == spans
    if not isinstance(spans, dict):
        return
    for module in modules:
        scanner = module.JSONScanner(data)
        while not scanner.step():
            pass
        check_remembered(module, scanner, data)
    whole = json.loads(data, parse_constant=refuse)
    assert whole.keys() == spans.keys()
    try:
        decoded = decode(data)
    except InvalidOperation:
        assert HUGE_EXPONENT.search(data), "a number is refused that is not huge"
        decoded = None
    for key, (start, end) in spans.items():
        part = data[start:end]
        assert part == part.strip(b" \t\n\r")
        assert json.loads(part) == whole[key]
        if decoded is not None:
            assert decode(part) == decoded[key]
    assert list(spans.values()) == sorted(spans.values())


def events(module: ModuleType, pieces: Sequence[bytes], *limits: int) -> Any:
    """All events, and after each piece what else the decoder says; where it ends if a limit does it."""
    decoder = module.SSEDecoder(*limits)
    found, said = [], []
    try:
        for piece in pieces:
            found += decoder.feed(piece)
            said.append((decoder.pending, decoder.last_event_id, decoder.retry_ms))
        found += decoder.finish()
    except module.SSELimitError as error:
        said.append(str(error))
    return found, said


def fuzz_sse(modules: Sequence[ModuleType], data: bytes) -> None:
    """Any split gives the same events; both builds agree, after each piece as well; limits hold.

    The first four bytes say where the rest, the stream, is cut, the fifth what the limits are.
    """
    stream = data[5:]
    pieces = parts(stream, data[:4])
    whole, said = one([events(module, [stream]) for module in modules])
    split, said_split = one([events(module, pieces) for module in modules])
    assert split == whole
    assert said_split[-1] == said[-1]
    if len(stream) <= 80:
        bytewise, said_bytewise = one([events(module, [bytes([byte]) for byte in stream]) for module in modules])
        assert bytewise == whole
        assert not stream or said_bytewise[-1] == said[-1]
    assert 0 <= said[-1][0] <= len(stream)
    limit = data[4] if len(data) > 4 else 0
    bounded, _ = one([events(module, pieces, limit, limit // 2) for module in modules])
    assert bounded == whole[: len(bounded)]
    assert all(len(text) <= limit // 2 for _, text in bounded)


def form(module: ModuleType, value: object) -> Any:
    try:
        return module.canonical(value)
    except (ValueError, TypeError) as error:
        return type(error), str(error)


def turned(value: object) -> object:
    """The same value, the keys of each object in the opposite order."""
    if isinstance(value, list):
        return [turned(item) for item in value]
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return value


def made(data: bytes) -> object:
    """A value out of any bytes: most are no JSON, and what refuses them is not what is tested."""
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return data[at - size : at].ljust(size, b"\x00")

    def value(levels: int) -> object:
        kind, count = divmod(take(1)[0], 32)
        if kind == 0 or at > len(data) or levels == 0:
            return (None, True, False)[count % 3]
        if kind == 1:
            return int.from_bytes(take(count), signed=True)
        if kind == 2:
            digits, exponent = int.from_bytes(take(count), signed=True), int.from_bytes(take(2), signed=True)
            return Decimal(f"{digits}e{exponent}")
        if kind == 3:
            number = struct.unpack("d", take(8))[0]
            return number if math.isfinite(number) else 0.5
        if kind == 4:
            return [value(levels - 1) for _ in range(count)]
        if kind == 5:
            return {take(take(1)[0] % 8).decode(errors="replace"): value(levels - 1) for _ in range(count)}
        return take(count).decode(errors="replace")

    return value(100)


def fuzz_key(modules: Sequence[ModuleType], data: bytes) -> None:
    """One form on both builds, whatever the order of keys, which says all that the value says.

    The value is what the input says as JSON, or else what is `made` of it.
    """
    try:
        value = decode(data)
    except (msgspec.DecodeError, InvalidOperation, RecursionError, UnicodeDecodeError):
        value = made(data)
    found = one([form(module, value) for module in modules])
    assert isinstance(found, bytes), f"refused: {found}"
    assert plain(read(found)) == plain(value)
    assert one([form(module, turned(value)) for module in modules]) == found
    if isinstance(value, dict):
        without = frozenset(list(value)[:1])
        context = (data[:3], data[3:])
        digest = one([module.request_digest(context, value, without) for module in modules])
        kept = {key: item for key, item in value.items() if key not in without}
        assert modules[0].request_digest(context, turned(kept), frozenset()) == digest


def streamed(module: ModuleType, pieces: Sequence[bytes], mask: int) -> list[tuple[bytes, int]]:
    """What a stream's scanner makes of it, neighbours of one kind joined."""
    scanner = module.StreamScanner(mask)
    joined: list[tuple[bytes, int]] = []
    for text, kind in [*(found for piece in pieces for found in scanner.feed(piece)), *scanner.flush()]:
        if joined and kind == joined[-1][1]:
            joined[-1] = (joined[-1][0] + text, kind)
        else:
            joined.append((text, kind))
    return joined


def marked(text: bytes, spans: Sequence[tuple[int, int, int]]) -> list[tuple[bytes, int]]:
    """The text as pieces, in the form of `streamed`."""
    pieces: list[tuple[bytes, int]] = []
    at = 0
    for start, end, kind in [*spans, (len(text), len(text), -1)]:
        for piece, of in ((text[at:start], -1), (text[start:end], kind)):
            if piece and pieces and pieces[-1][1] == of:
                pieces[-1] = (pieces[-1][0] + piece, of)
            elif piece:
                pieces.append((piece, of))
        at = end
    return pieces


def fuzz_scan(modules: Sequence[ModuleType], data: bytes) -> None:
    """Both builds find the same spans, which are in order and of the kinds asked for; any split of a stream does too.

    The first byte is the mask, the next three say where the rest, the text, is cut.
    """
    mask = (data[0] if data else 0) & 0x7F
    text = data[4:]
    for as_json in (False, True):
        spans = one([module.scan_text(text, mask, json=as_json) for module in modules])
        end = 0
        for span in spans:
            assert end <= span[0] < span[1] <= len(text)
            assert mask >> span[2] & 1
            end = span[1]
    whole = marked(text, modules[0].scan_text(text, mask))
    for pieces in (parts(text, data[1:4]), [text[i : i + 1] for i in range(len(text))] if len(text) <= 80 else [text]):
        assert one([streamed(module, pieces, mask) for module in modules]) == whole
    fuzz_look(modules, mask, parts(text.translate(None, b'"\\'), data[1:4]))


def fuzz_look(modules: Sequence[ModuleType], mask: int, strings: Sequence[bytes]) -> None:
    """The quick look at JSON of some strings misses nothing that there is in one of them."""
    body, ranges = b"[", []
    for string in strings:
        ranges.append((len(body) + 1, len(body) + 1 + len(string), 0, 0))
        body += b'"%b",' % string
    spans = one([module.scan_ranges(body, ranges, mask, json=True) for module in modules])
    assert one([module.may_have(body, mask) for module in modules]) or not spans


@cache
def seasoned(module: ModuleType) -> Any:
    """One reader, which knows answers like those that it has read."""
    return module.UsualAnswer()


def fuzz_usual(modules: Sequence[ModuleType], data: bytes) -> None:
    """What is read as a usual answer is one to the decoder too, which says the same of it, whatever was read before."""
    api, body = ("chat", "completions", "embeddings", "messages")[data[0] % 4 if data else 0], data[1:]
    shape = SHAPES[api]
    readers = [reader for module in modules for reader in (module.UsualAnswer(), seasoned(module))]
    told = one([reader.told() if reader.read(body, shape.form) else None for reader in readers])
    mine = UsualAnswer()
    if told is not None and mine.read(body, shape.form):
        assert mine.told() == told
        assert shape.counted(mine) == shape.usage(body)


TARGETS: dict[str, Callable[[Sequence[ModuleType], bytes], None]] = {
    **frames.TARGETS,
    **heads.TARGETS,
    "json": fuzz_json,
    "key": fuzz_key,
    "scan": fuzz_scan,
    "sse": fuzz_sse,
    "usual": fuzz_usual,
}
