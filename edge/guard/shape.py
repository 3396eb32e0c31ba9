"""The shape of what an API's requests say: the types of its main fields, and how many of what a request may have.

What a provider takes is the provider's to say, and grows. Here are the types that all of them agree on, which save a
journey, and the numbers that bound what one request makes everybody do.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from edge import config
from edge._fast import Scanned
from edge.dialects.refusals import openai_type, refused
from edge.errors import UNREADABLE, InvalidValue
from edge.routes import Dialect

__all__ = ["check_counts", "check_types", "few"]

ARRAY, TEXT, NULL = b"[", b'"', b"n"
SAID = {ARRAY: "an array of objects", TEXT + ARRAY: "a string or an array"}
"""What is expected, by the bytes that its JSON may begin with."""
SHAPES: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "chat": ((b"messages", ARRAY), (b"tools", ARRAY)),
    "messages": ((b"messages", ARRAY), (b"tools", ARRAY), (b"system", TEXT + ARRAY)),
    "count_tokens": ((b"messages", ARRAY), (b"tools", ARRAY), (b"system", TEXT + ARRAY)),
    "responses": ((b"input", TEXT + ARRAY), (b"tools", ARRAY)),
    "embeddings": ((b"input", TEXT + ARRAY),),
    "compact": ((b"input", TEXT + ARRAY), (b"tools", ARRAY)),
    "input_tokens": ((b"input", TEXT + ARRAY), (b"tools", ARRAY)),
    "completions": ((b"prompt", TEXT + ARRAY),),
}
"""By API: fields, and how their values may begin; null is as good as nothing."""
IMAGE, INPUT_IMAGE = b'"image', b'"input_image"'


def spelled(word: str) -> str:
    """A pattern of a word in JSON: each of its letters as it stands, or escaped."""
    return "".join(f"(?:{letter}|(?i:\\\\u{ord(letter):04x}))" for letter in word)


# Inside of a string a quotation mark has a backslash before it, so this is a value.
IMAGES = re.compile(
    '"{}"[ \t\r\n]*:[ \t\r\n]*"(?:(?:{})?{}|{})"'.format(
        spelled("type"), spelled("input_"), spelled("image"), spelled("image_url")
    ).encode()
)
ESCAPED = b"\\u00"
MESSAGES = (b"messages", b"input")
Elements = list[msgspec.Raw]


def check_types(api: str, dialect: Dialect, body: bytes, scan: Scanned) -> None:
    """Raises InvalidValue, which names the field."""
    shapes = SHAPES
    for field, begins in shapes.get(api, ()):
        first = scan.begins(field)
        if first >= 0 and first not in begins and first != 110:  # n of null
            start, end = scan.span(field) or (0, 0)
            raise _wrong(field.decode(), SAID[begins], body[start:end], dialect)


def few(server: config.Server) -> int:
    """A request with so many values has too many of nothing."""
    return min(server.max_messages, server.max_tools, server.max_images)


def check_counts(server: config.Server, body: bytes, scan: Scanned) -> None:
    """Raises InvalidValue, which names the field."""
    for field in MESSAGES:
        if scan.values > server.max_messages:
            _bounded(body, scan.span(field), field.decode(), "messages", server.max_messages)
    if scan.values > server.max_tools:
        _bounded(body, scan.span(b"tools"), "tools", "tools", server.max_tools)
    if scan.values <= server.max_images:
        return
    if ESCAPED in body or body.count(IMAGE) + body.count(INPUT_IMAGE) > server.max_images:
        found = sum(1 for _ in IMAGES.finditer(body))
        if found > server.max_images:
            raise InvalidValue(f"The request has {found} images; {server.max_images} at most may be sent.")


def _bounded(body: bytes, span: tuple[int, int] | None, field: str, what: str, most: int) -> None:
    if span is None or body[span[0]] not in ARRAY:
        return
    found = len(msgspec.json.decode(body[span[0] : span[1]], type=Elements))
    if found > most:
        raise InvalidValue(f"The request has {found} {what}; {most} at most may be sent.", param=field)


def _wrong(field: str, expected: str, said: bytes, dialect: Dialect) -> InvalidValue:
    if dialect == "anthropic":
        kind = expected.removeprefix("an ").removeprefix("a ").removesuffix(" of objects")
        return refused(f"{field}: Input should be a valid {kind}", field)
    value: Any = None
    try:
        value = msgspec.json.decode(said)
    except UNREADABLE:
        pass  # it is too deep, or too large a number, to say what it is
    return openai_type(field, expected, value)
