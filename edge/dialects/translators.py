"""Which functions serve a client of one dialect in front of a provider of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Protocol

from edge._fast import JSONError
from edge.dialects import (
    anthropic_to_openai,
    anthropic_to_openai_answer,
    anthropic_to_openai_stream,
    anthropic_to_responses,
    anthropic_to_responses_answer,
    anthropic_to_responses_stream,
    openai_to_anthropic,
    openai_to_anthropic_answer,
    openai_to_anthropic_stream,
    openai_to_responses,
    openai_to_responses_answer,
    openai_to_responses_stream,
    rate_limit_headers,
    responses_to_anthropic,
    responses_to_anthropic_answer,
    responses_to_anthropic_stream,
    responses_to_openai,
    responses_to_openai_answer,
    responses_to_openai_stream,
)
from edge.dialects.abridged import MAX_MESSAGE, MAX_TRANSLATED, abridged
from edge.dialects.estimate import estimate_answer
from edge.dialects.texts import without_stand_ins
from edge.dialects.tokens import estimate_steps
from edge.dialects.translation import Context, Translated, Translation, encode, encode_request, portions_of
from edge.errors import UNREADABLE, EdgeError, Headers, InvalidJSON, InvalidRequest, UpstreamBadResponse
from edge.hooks import Usage
from edge.slices import Steps

__all__ = ["TOO_LARGE", "TOO_MANY", "TRANSLATORS", "StreamTranslator", "Translator"]

TOO_MANY = f"A request of more than {MAX_TRANSLATED:,} values is not translated for this model's API."
NO_JSON = "The body is not valid JSON"
TOO_LARGE = "The provider's answer is too large to be translated."


class StreamTranslator(Protocol):
    """``usage`` is what the provider has counted so far, None before the first count. ``latest`` is the text of the
    latest event, where that brought a piece of text, which has gone out, and did nothing else; else "".
    """

    usage: Usage | None

    @property
    def latest(self) -> str: ...

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes: ...

    def again(self, text: str) -> bytes:
        """Another event like the latest, which has a ``latest``, with this text."""
        ...

    def finish(self) -> bytes: ...

    def fail(self, error: EdgeError, request_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Translator:
    """What it ``opens`` there; ``answer``, ``error``, ``stream`` and ``headers`` back. ``api`` is the provider's route,
    below its base URL.

    Times of ``answer(body, context, now)``, ``stream(context, now)``, ``headers(headers, now)`` are unix seconds.
    """

    api: str
    opens: type[Translation]
    answer: Callable[[bytes, Context, int], bytes]
    error: Callable[[int, bytes, str], tuple[int, bytes]]
    stream: Callable[[Context, int], StreamTranslator]
    headers: Callable[[Headers, float], Headers]

    def request(self, body: bytes, model: str) -> Translated:
        """A request for the model that its provider calls `model`. Raises InvalidJSON, InvalidRequest."""
        return self.opens(model).at_once(body)

    def large_request(self, made: Translation, body: bytes) -> Steps[Translated]:
        """The same in steps of what was opened. Raises InvalidJSON, InvalidRequest."""
        context = made.context
        try:
            request, texts = yield from abridged(body)
        except JSONError as error:
            raise (InvalidRequest(TOO_MANY) if error.limit else InvalidJSON(f"{NO_JSON}: {error}.")) from None
        except UNREADABLE as error:
            raise InvalidJSON(f"{NO_JSON}: {error}.") from None
        for part in portions_of(request):
            context.tool_names.keep(part)
            yield
        if issubclass(self.opens, anthropic_to_openai.Request):
            context.input_tokens = yield from estimate_steps({**request, "model": context.model}, texts.size)
        try:
            yield from made.steps(request)
            out = BytesIO()  # it gives its bytes away without a copy
            mark = b"{"
            for name, value in made.result.items():
                out.write(b"%b%b:" % (mark, encode(name)))
                mark = b","
                if isinstance(value, list) and value:
                    for number, item in enumerate(value):
                        out.write(b"," if number else b"[")
                        yield from texts.put_back(out, encode_request(item))
                    out.write(b"]")
                else:
                    yield from texts.put_back(out, encode_request(value))
            out.write(b"}")
            return Translated(out.getvalue(), made.dropped.names(strict=made.strict), context)
        except InvalidRequest as error:
            error.message = without_stand_ins(error.message)
            raise

    def large_answer(self, body: bytes, context: Context, now: int) -> Steps[bytes]:
        """What ``answer`` makes, in steps. Raises UpstreamBadResponse."""
        try:
            answer, texts = yield from abridged(body, MAX_MESSAGE)
            context.length, context.written = texts.characters, partial(estimate_answer, body)
            out = BytesIO()
            yield from texts.put_back(out, self.answer(encode(answer), context, now))
        except (JSONError, InvalidRequest, *UNREADABLE):
            raise UpstreamBadResponse(TOO_LARGE) from None
        if context.keep is not None:
            context.keep.whole = out.getvalue()  # with the long texts
        return out.getvalue()


TRANSLATORS: dict[tuple[str, str], Translator] = {
    ("chat", "messages"): Translator(
        "/messages",
        openai_to_anthropic.Request,
        anthropic_to_openai_answer.translate_answer,
        anthropic_to_openai_answer.translate_error,
        anthropic_to_openai_stream.StreamTranslator,
        rate_limit_headers.anthropic_to_openai,
    ),
    ("messages", "chat"): Translator(
        "/chat/completions",
        anthropic_to_openai.Request,
        openai_to_anthropic_answer.translate_answer,
        openai_to_anthropic_answer.translate_error,
        openai_to_anthropic_stream.StreamTranslator,
        rate_limit_headers.openai_to_anthropic,
    ),
    ("responses", "messages"): Translator(
        "/messages",
        responses_to_anthropic.Request,
        anthropic_to_responses_answer.translate_answer,
        anthropic_to_responses_answer.translate_error,
        anthropic_to_responses_stream.StreamTranslator,
        rate_limit_headers.anthropic_to_openai,
    ),
    ("responses", "chat"): Translator(
        "/chat/completions",
        responses_to_openai.Request,
        openai_to_responses_answer.translate_answer,
        openai_to_responses_answer.translate_error,
        openai_to_responses_stream.StreamTranslator,
        rate_limit_headers.unchanged,
    ),
    ("messages", "responses"): Translator(
        "/responses",
        anthropic_to_responses.Request,
        responses_to_anthropic_answer.translate_answer,
        responses_to_anthropic_answer.translate_error,
        responses_to_anthropic_stream.StreamTranslator,
        rate_limit_headers.openai_to_anthropic,
    ),
    ("chat", "responses"): Translator(
        "/responses",
        openai_to_responses.Request,
        responses_to_openai_answer.translate_answer,
        responses_to_openai_answer.translate_error,
        responses_to_openai_stream.StreamTranslator,
        rate_limit_headers.unchanged,
    ),
}
"""By ``Route.api`` of the client's route, and the API that the provider is asked by."""
