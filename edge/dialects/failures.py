"""Whole answers of status 200: what they say of their tokens, and which of them are failures: an error where the answer
was due, a web page, nothing, JSON of another kind.

Servers that stand in front of models answer so: OpenRouter reports what failed behind it with status 200
(https://openrouter.ai/docs/api-reference/errors), a proxy its own page, a response of OpenAI's its ``status: failed``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from edge._fast import COMPILED, UsualAnswer, answer_forms
from edge.dialects import anthropic, openai
from edge.dialects.openai import usage_counted
from edge.dialects.rerank import rerank_usage
from edge.dialects.responses import ResponsesStream
from edge.dialects.stream import Stream
from edge.errors import UNREADABLE, UpstreamBadResponse
from edge.hooks import Usage

__all__ = ["Failed", "NoAnswer", "is_json", "usage_in_answer"]

PAGES = (b"text/html", b"application/xhtml")
NOTHING = (b"", b"null", b"[]", b'""', b"{}")
PAGE = "The provider answered with a web page."
NO_JSON = "The provider's answer is not JSON."
EMPTY = "The provider's answer is empty."
NO_ANSWER = "The provider's answer is JSON, but there is no answer in it."
NO_RAW = msgspec.Raw(b"")
ANSWERS = ("choices", "content", "output", "data")
"""Fields that hold the answer, whatever API's."""
SOME = msgspec.Meta(min_length=1)
UNUSUAL = -1
"""Of answers that are always decoded."""


class Failed(Exception):
    """An answer tells of a failure: ``status`` and ``body`` are what it should have had."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class NoAnswer(Exception):
    """There is nothing in it but, perhaps, the ``usage`` that its provider charges. ``error`` is what it comes to."""

    def __init__(self, body: bytes, usage: Usage | None) -> None:
        super().__init__(NO_ANSWER)
        self.error = bad(NO_ANSWER, body)
        self.usage = usage


class _Object(msgspec.Struct, gc=False):
    """Any object."""


class _Choice(msgspec.Struct, gc=False):
    message: _Object


class _TextChoice(msgspec.Struct, gc=False):
    text: str


class _Chat(openai._Body, kw_only=True):
    choices: Annotated[list[_Choice], SOME]


class _Completion(openai._Body, kw_only=True):
    choices: Annotated[list[_TextChoice], SOME]


class _Message(anthropic._Body, kw_only=True):
    content: Annotated[list[_Object], SOME]


class _Response(openai._Body, kw_only=True):
    output: Annotated[list[openai._Item], SOME]
    status: Literal["completed", "incomplete", "in_progress", "queued", "cancelled"] | None = None


class _Count(anthropic._Body, kw_only=True):
    input_tokens: int


class _Embeddings(openai._Body, kw_only=True):
    data: Annotated[list[_Object], SOME]


class _AnyChoice(msgspec.Struct):
    """Some servers give a chunk of a stream as the whole."""

    message: _Object | None = None
    delta: _Object | None = None
    text: str | None = None


class _Choices(msgspec.Struct):
    choices: list[_AnyChoice]

    def __post_init__(self) -> None:
        if all(each.message is None and each.delta is None and each.text is None for each in self.choices):
            raise ValueError


class _Content(msgspec.Struct):
    """May be empty: a model that has nothing to say ends its turn so."""

    content: list[_Object]


class _Output(msgspec.Struct):
    """Empty while a response is queued."""

    output: list[_Object]


class _Data(msgspec.Struct):
    data: list[_Object]


class Shape:
    """``usage`` reads the usual answer, in one pass, and raises UNREADABLE for anything that is worth a second look;
    ``least`` is what an answer has at least, ``form`` the most usual form of it, `UNUSUAL` for none. ``reader`` reads
    the API's streams, and its errors.
    """

    def __init__(
        self,
        usage: Callable[[bytes], Usage | None],
        least: type[msgspec.Struct],
        form: int,
        reader: type[Stream],
    ) -> None:
        self.usage = usage
        self.least = least
        self.form = form
        self.reader = reader
        self._is_message = form == answer_forms.MESSAGE

    def counted(self, found: UsualAnswer) -> Usage:
        """What `usage` says of an answer that was read as the most usual form."""
        return anthropic.usage_counted(found) if self._is_message else usage_counted(found)


def of_openai(
    usual: type[openai._Body], least: type[msgspec.Struct], reader: type[Stream], form: int = UNUSUAL
) -> Shape:
    decode = msgspec.json.Decoder(usual).decode
    return Shape(lambda body: openai.usage_in(decode(body)), least, form, reader)


def of_anthropic(usual: type[anthropic._Body], least: type[msgspec.Struct], form: int = UNUSUAL) -> Shape:
    decode = msgspec.json.Decoder(usual).decode
    return Shape(lambda body: anthropic.usage_in(decode(body)), least, form, anthropic.MessagesStream)


USUAL = UsualAnswer()
"""Read and asked at once, so that one serves all."""
CHAT = of_openai(_Chat, _Choices, openai.ChatStream, answer_forms.CHAT)
MESSAGE = of_anthropic(_Message, _Content, answer_forms.MESSAGE)
RESPONSE = of_openai(_Response, _Output, ResponsesStream, answer_forms.RESPONSE)
SHAPES: dict[str, Shape] = {
    "chat": CHAT,
    "/chat/completions": CHAT,
    "completions": of_openai(_Completion, _Choices, openai.CompletionsStream, answer_forms.COMPLETION),
    "messages": MESSAGE,
    "/messages": MESSAGE,
    "responses": RESPONSE,
    "/responses": RESPONSE,
    "embeddings": of_openai(_Embeddings, _Data, openai.OtherStream, answer_forms.EMBEDDINGS),
    "count_tokens": of_anthropic(_Count, _Object),
}
"""By ``Route.api`` or the path a translation goes to. Answers of other routes may be anything."""


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


def usage_in_answer(api: str, media_type: bytes, body: bytes) -> Usage | None:
    """What a whole answer of status 200 says of its tokens, None where it does not.

    `api` is a ``Route.api`` or the path a translation goes to. Raises Failed for an error, NoAnswer for other JSON that
    is no answer of that API, UpstreamBadResponse for what is none at all.
    """
    shapes = SHAPES
    shape = shapes.get(api)
    if shape is None:
        if b"json" in media_type.lower() and b'"error"' in body:
            _refuse(api, openai.OtherStream, body)
        return rerank_usage(body) if api == "rerank" else openai.usage_of(body)
    if media_type != b"application/json" and media_type.lower().startswith(PAGES):
        raise bad(PAGE, body)
    # (In Python it would take longer than msgspec does.)
    if COMPILED and shape.form >= 0 and USUAL.read(body, shape.form):
        return shape.counted(USUAL)
    try:
        return shape.usage(body)
    except UNREADABLE:
        pass
    if b'"error"' in body:
        _refuse(api, shape.reader, body)
    value = _object(body)
    usage = anthropic.usage_of(body) if shape.reader is anthropic.MessagesStream else openai.usage_of(body)
    try:
        msgspec.convert({name: value[name] for name in ANSWERS if name in value}, shape.least)
    except UNREADABLE:
        raise NoAnswer(body, usage) from None
    return usage


def bad(message: str, body: bytes) -> UpstreamBadResponse:
    error = UpstreamBadResponse(message)
    error.said = body
    return error


def _refuse(api: str, reader: type[Stream], body: bytes) -> None:
    """Raises Failed for the error in a body, unless that is a remark beside an answer."""
    try:
        whole = _decode(body)
    except UNREADABLE:
        return
    if api in ("responses", "/responses") and whole.status == "failed":
        raise Failed(*reader().refusal(body))
    if not whole.error and whole.type != "error" and whole.object != "error":
        return
    if any(bytes(part) not in NOTHING for part in (whole.choices, whole.content, whole.output, whole.data)):
        return
    if api not in SHAPES and (whole.id is not None or whole.object not in (None, "error")):
        return  # a job that tells how it went, perhaps
    raise Failed(*reader().refusal(body))


def _object(body: bytes) -> dict[str, Any]:
    """A JSON object, by Python's idea of one too: vLLM and others write NaN for a number, or begin with a byte order
    mark. Raises UpstreamBadResponse for anything else.
    """
    try:
        value = json.loads(body.decode("utf-8-sig", "replace"), parse_int=str, parse_float=str)
    except UNREADABLE:
        value = None
    if not isinstance(value, dict):
        raise bad(NO_JSON if body.strip() else EMPTY, body)
    return value


def is_json(data: bytes | bytearray) -> bool:
    """Whether these are the bytes of one JSON value. It is not looked inside its texts."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except UNREADABLE:
        return False
    return True
