"""How one request goes to one provider, and how its answer comes back: as they are, or translated."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from edge.dialects import anthropic, openai
from edge.dialects.abridged import FEW, MAX_TRANSLATED
from edge.dialects.estimate import estimate_input
from edge.dialects.failures import usage_in_answer
from edge.dialects.foreign_thoughts import without_sealed
from edge.dialects.models import API_DIALECTS, Model, api_for
from edge.dialects.responses import ResponsesStream
from edge.dialects.sealed import seal_of
from edge.dialects.stream import Stream
from edge.dialects.thinking import without_unsigned
from edge.dialects.translation import Translated, Translation
from edge.dialects.translators import TOO_MANY, TRANSLATORS, StreamTranslator
from edge.errors import UNREADABLE, EdgeError, Headers, InvalidRequest
from edge.hooks import Usage
from edge.routes import WITH_INPUT, Dialect, Route
from edge.slices import LARGE, Steps

if TYPE_CHECKING:
    from edge.inquiry import Inquiry
    from edge.payload import Payload

__all__ = [
    "Crossing",
    "FormCrossing",
    "KeptCrossing",
    "TranslatedCrossing",
    "asked_by",
    "can_cross",
    "is_brief",
    "is_short",
    "stream_of",
]

STREAMS: dict[str, type[Stream]] = {
    "chat": openai.ChatStream,
    "/chat/completions": openai.ChatStream,
    "completions": openai.CompletionsStream,
    "messages": anthropic.MessagesStream,
    "count_tokens": anthropic.MessagesStream,
    "/messages": anthropic.MessagesStream,
    "responses": ResponsesStream,
    "kept": ResponsesStream,
    "/responses": ResponsesStream,
}
"""Readers of streams, by ``Route.api``, or by the path a translation goes to."""
JSON_TYPE = (b"content-type", b"application/json")
NOTHING = (b"null", b"[]")
RESULTS = re.compile(
    rb'("results_url"\s*:\s*")https?://[^"]{0,512}(/v1/messages/batches/[A-Za-z0-9_-]{1,256}/results")'
)
NO_WARNINGS: frozenset[str] = frozenset()


def is_short(inquiry: Inquiry) -> bool:
    """Whether a request is looked into in one go."""
    payload = inquiry.payload
    return len(payload.body) <= LARGE and payload.scan.values <= FEW


def is_brief(body: bytes) -> bool:
    """Whether an answer is translated in one go."""
    return len(body) <= LARGE and body.count(b",") + body.count(b"[") + body.count(b"{") <= FEW


def can_cross(route: Route, dialect: Dialect) -> bool:
    """Whether a request of this route can go to a provider of `dialect`."""
    return route.dialect is None or route.dialect == dialect or route.counts or bool(translated_to(route.api, dialect))


def translated_to(client: str, dialect: Dialect) -> list[str]:
    """The APIs of a dialect for which a request of the client's API can be translated."""
    return [api for of, api in TRANSLATORS if of == client and API_DIALECTS[api] == dialect]


class _Asked(msgspec.Struct):
    """Of Anthropic's ``thinking``, or ``output_config``: what says how much a model is to think."""

    type: Any = None
    effort: Any = None


_encode = msgspec.json.Encoder().encode
_asked = msgspec.json.Decoder(_Asked).decode


def asked_by(route: Route, dialect: Dialect, facts: Model, payload: Payload) -> str:
    """The API by which a provider of `dialect` is asked for a model that can do what `facts` say: ``Route.api`` where
    the request goes as it is.
    """
    client = route.api
    if client not in API_DIALECTS:
        return client
    if dialect == "anthropic":
        return "messages"
    return api_for(client, facts, facts.chat_tools != "always" and reasons_with_tools(client, facts, payload))


def reasons_with_tools(client: str, facts: Model, payload: Payload) -> bool:
    """Whether chat completions would refuse the tools of a request: all, or those of a model that reasons."""
    if not any(_says(payload, name) for name in (b"tools", b"functions")):
        return False
    if facts.chat_tools == "never":
        return True
    if client == "chat":
        span = payload.span(b"reasoning_effort")
        effort = payload.body[span[0] : span[1]] if span is not None else b"null"
        return effort != b'"none"' and (effort != b"null" or facts.default_effort != "none")
    thinking, config = _part(payload, b"thinking"), _part(payload, b"output_config")
    if thinking is not None and thinking.type in ("disabled", "between_tools"):
        return False
    if thinking is None and (config is None or config.effort is None):
        return facts.default_effort != "none"
    return config is None or config.effort != "none"


def _says(payload: Payload, name: bytes) -> bool:
    span = payload.span(name)
    return span is not None and payload.body[span[0] : span[1]] not in NOTHING


def _part(payload: Payload, name: bytes) -> _Asked | None:
    span = payload.span(name)
    if span is None or payload.body[span[0] : span[1]] == b"null":
        return None
    try:
        return _asked(payload.body[span[0] : span[1]])
    except UNREADABLE:
        return None  # it is refused for that later on


def stream_of(route: Route) -> Stream:
    """A reader of the streams that a route's clients get."""
    return STREAMS.get(route.api, openai.OtherStream)()


class Crossing:
    """Both pass as they are, but for two things: the model's name is spliced in where the upstream calls it otherwise,
    and thoughts that the upstream would refuse are left out, since nobody has signed them or another vendor has.

    ``asked`` is the client's body; ``path`` (below the provider's base URL) and ``body`` are the request; ``dropped``
    names the client's fields that did not cross; ``warnings`` what of the answer could not be made sense of; ``told``
    is the estimate a client was given where the provider did not count. A request that is not ``prepared`` yet is so
    after all steps of `prepare`. ``stream`` reads the provider's events once the answer is a stream; ``answered`` is
    what one that is none is judged by.

    Raises InvalidRequest for a request that cannot mean anything to the provider, which calls the model `model`; that
    can do what `facts` say.
    """

    def __init__(self, inquiry: Inquiry, model: str, facts: Model) -> None:
        self.begin(inquiry, model, facts)

    def begin(self, inquiry: Inquiry, model: str, facts: Model) -> None:
        """As it is made. Raises InvalidRequest."""
        # Not the inquiry, which holds this: a body that is in a circle is freed only by the collector.
        route = self._route = inquiry.head.route
        payload = inquiry.payload
        self.path = route.upstream
        self.answered = b""
        self.asked = self.body = payload.body
        self.dropped: tuple[str, ...] = ()
        self.stream: Stream | None = None
        self.translates = False
        self.prepared = True
        if route.thinks or model != payload.model:
            self._change(payload, model, route.dialect == "anthropic" and not facts.unsigned_thinking)

    def _change(self, payload: Payload, model: str, signs: bool) -> None:
        body, start, signed = payload.body, 0, None
        size = len(body)
        if signs:
            start, end = payload.span(b"messages") or (0, 0)
            signed = without_unsigned(body, start, end)
        elif self._route.api in WITH_INPUT:
            start, end = payload.span(b"input") or (0, 0)
            signed = without_sealed(body, start, end)
        if signed is not None:
            body = b"".join((body[:start], signed, body[end:]))
        if model != payload.model:
            named = payload.span(b"model") or (0, 0)
            # Where the messages come first, the name stands elsewhere now.
            moved = len(body) - size if signed is not None and start < named[0] else 0
            body = b"".join((body[: named[0] + moved], _encode(model), body[named[1] + moved :]))
        self.body = body

    def prepare(self) -> Steps[None]:
        """Raises InvalidRequest."""
        yield from ()

    def warnings(self) -> frozenset[str]:
        return NO_WARNINGS

    def told(self) -> Usage | None:
        return None

    def estimated_input(self) -> int:
        """The tokens of the request, where its provider does not say."""
        return estimate_input(self._route.upstream, self.asked)

    # A whole answer.

    def usage(self, media_type: bytes, body: bytes) -> Usage | None:
        """What a whole answer of status 200 says of its tokens. Raises Failed, NoAnswer and UpstreamBadResponse."""
        self.answered = body
        return usage_in_answer(self._route.api, media_type, body)

    def answer(self, status: int, body: bytes) -> tuple[int, bytes]:
        """A whole answer as the client gets it. Raises UpstreamBadResponse."""
        return status, body

    def large_answer(self, body: bytes) -> Steps[bytes]:
        """The same in steps, of an answer that is no error."""
        yield from ()
        return body

    def headers(self, headers: Headers) -> Headers:
        """The answer's headers as the client gets them."""
        return headers

    # A stream.

    def begin_stream(self) -> Stream:
        stream = self.stream = stream_of(self._route)
        return stream

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes | None:
        """The provider's next events for the client; None where their bytes pass as they came."""
        return None

    def latest(self) -> bytes:
        """The text of the latest event, where that was translated and nothing else was, else b""."""
        return b""

    def again(self, text: bytes | None) -> bytes:
        """An event of the provider's that is as the latest, but for its text, as it stands in JSON; None for the same
        text. What the client gets of it, b"" where it is to be read.
        """
        return b""

    def finish(self) -> bytes:
        """What completes a stream whose end has come."""
        return b""

    def early_error(self) -> tuple[int, bytes]:
        """The error that came before any content, as the status and body it would have had without a stream."""
        return self._stream.early_error()

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        """An error inside the stream, as the client's dialect has it."""
        return self._stream.error_event(error, request_id)

    @property
    def _stream(self) -> Stream:
        assert self.stream is not None  # noqa: S101 - asked of streams only
        return self.stream


class KeptCrossing(Crossing):
    """About what an account keeps: what the client has named is a part of the path, and what is answered has been
    charged when it was made.
    """

    def __init__(self, inquiry: Inquiry, model: str, facts: Model) -> None:
        self.begin(inquiry, model, facts)
        for place, named in zip(("{id}", "{item}"), inquiry.head.argument.split("/"), strict=False):
            self.path = self.path.replace(place, quote(named, safe=""))

    def usage(self, media_type: bytes, body: bytes) -> Usage | None:
        return None

    def answer(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Where the results of a batch are is said in full: a client would go there with our key for it."""
        return status, RESULTS.sub(rb"\1\2", body) if self._route.dialect == "anthropic" else body


class FormCrossing(Crossing):
    """A form: the model's name stands in it as it is."""

    def __init__(self, inquiry: Inquiry, model: str, facts: Model) -> None:
        Crossing.__init__(self, inquiry, model, facts)
        payload = inquiry.payload
        if model != payload.model:
            start, end = payload.span(b"model") or (0, 0)
            self.body = b"".join((payload.body[:start], model.encode(), payload.body[end:]))


class TranslatedCrossing(Crossing):
    """Client and provider go by different APIs, the provider by `api`. It goes by `version` of Anthropic's API; with
    `system_first` it takes a system message at the beginning alone.
    """

    def __init__(self, inquiry: Inquiry, model: str, facts: Model, api: str, version: str, system_first: bool) -> None:
        payload = inquiry.payload
        if payload.values > MAX_TRANSLATED:
            raise InvalidRequest(TOO_MANY)
        self._route = inquiry.head.route
        self._request_id = inquiry.request_id
        self.asked = payload.body
        self.answered = b""
        self.dropped = ()
        self.stream = None
        self.translates = True
        self._translator = TRANSLATORS[inquiry.head.route.api, api]
        opened = self._translator.opens(
            model,
            request_id=inquiry.request_id,
            strict=inquiry.state.settings.translation.strict,
            version=version,
            system_first=system_first,
            facts=facts,
        )
        self.path = self._translator.api
        self._events: StreamTranslator | None = None
        self._context = opened.context
        self._context.seal = seal_of(inquiry.state.salt)
        self._context.keep = inquiry.keep
        self._context.beta = b"anthropic-beta" in inquiry.head.index or b"beta=true" in inquiry.head.query
        self._context.measure = partial(estimate_input, inquiry.head.route.upstream, payload.body)
        self._opened: Translation | None = None
        self.prepared = is_short(inquiry)
        if self.prepared:
            self._take(opened.at_once(payload.body))
        else:
            self._opened = opened

    def prepare(self) -> Steps[None]:
        assert self._opened is not None  # noqa: S101 - it is not prepared
        translated = yield from self._translator.large_request(self._opened, self.asked)
        self._take(translated)
        self.prepared = True
        self._opened = None  # what it has decoded

    def _take(self, translated: Translated) -> None:
        self.body = translated.body
        self.dropped = translated.dropped

    def warnings(self) -> frozenset[str]:
        return frozenset(self._context.warnings)

    def told(self) -> Usage | None:
        return self._context.told

    def estimated_input(self) -> int:
        return self._context.estimated_input()

    def usage(self, media_type: bytes, body: bytes) -> Usage | None:
        self.answered = body
        return usage_in_answer(self.path, media_type, body)

    def answer(self, status: int, body: bytes) -> tuple[int, bytes]:
        if status >= 400:
            return self._translator.error(status, body, self._request_id)
        return status, self._translator.answer(body, self._context, int(time.time()))

    def large_answer(self, body: bytes) -> Steps[bytes]:
        return self._translator.large_answer(body, self._context, int(time.time()))

    def headers(self, headers: Headers) -> Headers:
        kept = [pair for pair in headers if pair[0] not in (b"content-type", b"openai-processing-ms")]
        event_stream = (b"content-type", b"text/event-stream; charset=utf-8")
        return [event_stream if self.stream is not None else JSON_TYPE, *self._translator.headers(kept, time.time())]

    def begin_stream(self) -> Stream:
        stream = self.stream = STREAMS[self.path]()
        self._events = self._translator.stream(self._context, int(time.time()))
        return stream

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes | None:
        return self._translation.feed(events)

    def latest(self) -> bytes:
        return self._translation.latest.encode()

    def again(self, text: bytes | None) -> bytes:
        translation = self._translation
        if text is None:
            return translation.again(translation.latest)
        if b"\\" in text:
            return b""
        try:
            said = text.decode()
        except UnicodeDecodeError:
            return b""
        return translation.again(said) if said else b""

    def finish(self) -> bytes:
        return self._translation.finish()

    def early_error(self) -> tuple[int, bytes]:
        return self._translator.error(*self._stream.early_error(), self._request_id)

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return self._translation.fail(error, request_id)

    @property
    def _translation(self) -> StreamTranslator:
        assert self._events is not None  # noqa: S101 - asked of streams only
        return self._events
