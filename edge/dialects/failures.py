"""Answers of status 200 that are failures: an error where the answer was due, a web page, nothing.

Servers that stand in front of models answer so: OpenRouter reports what failed behind it with status 200
(https://openrouter.ai/docs/api-reference/errors), a proxy its own page, a response of OpenAI's its ``status: failed``.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edge.dialects.stream import Stream
from edge.errors import UNREADABLE, UpstreamBadResponse

__all__ = ["failure_in", "is_json"]

JSON_APIS = frozenset(
    {"chat", "completions", "messages", "responses", "embeddings", "count_tokens", "/messages", "/chat/completions"}
)
"""By ``Route.api``, or the path a translation goes to: what answers these with JSON, or with events."""
PAGES = (b"text/html", b"application/xhtml")
NOTHING = (b"", b"null", b"[]", b'""', b"{}")
PAGE = "The provider answered with a web page."
NO_JSON = "The provider's answer is not JSON."
EMPTY = "The provider's answer is empty."
NO_RAW = msgspec.Raw(b"")


class _Whole(msgspec.Struct):
    error: Any = None
    type: Any = None
    object: Any = None
    id: Any = None
    status: Any = None
    choices: msgspec.Raw = NO_RAW
    content: msgspec.Raw = NO_RAW
    output: msgspec.Raw = NO_RAW
    data: msgspec.Raw = NO_RAW


_decode = msgspec.json.Decoder(_Whole).decode


def failure_in(
    api: str, reader: type[Stream], media_type: bytes, body: bytes, *, counted: bool
) -> tuple[int, bytes] | None:
    """The status and body that an answer of status 200 should have had; None for one that is an answer.

    `api` is a ``Route.api`` or the path a translation goes to, `reader` that of its streams; `counted`: its tokens were
    found, so that it is JSON. Raises UpstreamBadResponse for what is no JSON where JSON was due.
    """
    if api in JSON_APIS:
        page = media_type.lower().startswith(PAGES)
        if page or (not counted and not is_object(body)):
            error = UpstreamBadResponse(PAGE if page else NO_JSON if body.strip() else EMPTY)
            error.said = body
            raise error
    elif b"json" not in media_type.lower():
        return None
    if b'"error"' not in body:
        return None
    try:
        whole = _decode(body)
    except UNREADABLE:
        return None
    if api == "responses" and whole.status == "failed":
        return reader().refusal(body)
    if not whole.error and whole.type != "error" and whole.object != "error":
        return None
    if any(bytes(part) not in NOTHING for part in (whole.choices, whole.content, whole.output, whole.data)):
        return None
    if api not in JSON_APIS and (whole.id is not None or whole.object not in (None, "error")):
        return None  # a job that tells how it went, perhaps
    return reader().refusal(body)


def is_json(data: bytes | bytearray) -> bool:
    """Whether these are the bytes of one JSON value. It is not looked inside its texts."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except UNREADABLE:
        return False
    return True


def is_object(body: bytes) -> bool:
    """Whether this is a JSON object, also by Python's idea of one: vLLM and others write NaN for a number."""
    if not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    if is_json(body):
        return True
    try:
        json.loads(body.decode("utf-8-sig", "replace"), parse_int=str, parse_float=str)
    except UNREADABLE:
        return False
    return True
