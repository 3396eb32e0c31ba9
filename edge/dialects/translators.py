"""Which functions serve a client of one dialect in front of a provider of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edge.dialects import (
    anthropic_to_openai,
    anthropic_to_openai_answer,
    anthropic_to_openai_stream,
    openai_to_anthropic,
    openai_to_anthropic_answer,
    openai_to_anthropic_stream,
    rate_limit_headers,
)
from edge.dialects.translation import Context, Translated
from edge.errors import EdgeError, Headers
from edge.hooks import Usage

__all__ = ["TRANSLATORS", "StreamTranslator", "Translator"]


class StreamTranslator(Protocol):
    """``usage`` is what the provider has counted so far, None before the first count."""

    usage: Usage | None

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes: ...

    def finish(self) -> bytes: ...

    def fail(self, error: EdgeError, request_id: str) -> bytes: ...


class RequestTranslator(Protocol):
    def __call__(
        self,
        body: bytes | dict[str, Any],
        model: str,
        *,
        strict: bool = ...,
        request_id: str = ...,
        version: str = ...,
        system_first: bool = ...,
    ) -> Translated: ...


@dataclass(frozen=True, slots=True)
class Translator:
    """``request`` there; ``answer``, ``error``, ``stream`` and ``headers`` back. ``api`` is the provider's route, below
    its base URL.

    Times of ``answer(body, context, now)``, ``stream(context, now)``, ``headers(headers, now)`` are unix seconds.
    """

    api: str
    request: RequestTranslator
    answer: Callable[[bytes, Context, int], bytes]
    error: Callable[[int, bytes, str], tuple[int, bytes]]
    stream: Callable[[Context, int], StreamTranslator]
    headers: Callable[[Headers, float], Headers]


TRANSLATORS: dict[str, Translator] = {
    "chat": Translator(
        "/messages",
        openai_to_anthropic.translate_request,
        anthropic_to_openai_answer.translate_answer,
        anthropic_to_openai_answer.translate_error,
        anthropic_to_openai_stream.StreamTranslator,
        rate_limit_headers.anthropic_to_openai,
    ),
    "messages": Translator(
        "/chat/completions",
        anthropic_to_openai.translate_request,
        openai_to_anthropic_answer.translate_answer,
        openai_to_anthropic_answer.translate_error,
        openai_to_anthropic_stream.StreamTranslator,
        rate_limit_headers.openai_to_anthropic,
    ),
}
"""By ``Route.api`` of the client's route."""
