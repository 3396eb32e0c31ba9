"""A finished request as the spans of a trace: its own, of kind SERVER, and one of kind CLIENT for each attempt.

Names and attributes are OpenTelemetry's where it has them: those of HTTP
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/) and of generative AI
(https://github.com/open-telemetry/semantic-conventions-genai, gen-ai-spans.md); what is this edge's own begins with
``edge.``. Nothing is in them that a request or an answer says.
"""

from __future__ import annotations

from functools import lru_cache
from time import time
from urllib.parse import urlsplit

import msgspec

from edge.call import Call
from edge.clock import perf_counter
from edge.dialects.estimate import LIMITS
from edge.errors import PiiBlocked
from edge.guard.policy import Policy
from edge.hooks import RequestRecord, Usage
from edge.ledger import UNCACHED
from edge.money.pricing import PICO
from edge.payload import Payload
from edge.telemetry.genai import operation, vendor
from edge.telemetry.lines import readable
from edge.telemetry.prompts import OMITTED
from edge.trace_context import TraceContext
from edge.upstreams.tried import Tried

__all__ = ["CLIENT", "FAILURES", "MAX_CONTENT", "SERVER", "Happened", "Kept", "Span", "Value", "kept_of"]

Value = str | int | float | bool | list[str]
Attributes = dict[str, Value]

SERVER, CLIENT = "SERVER", "CLIENT"
FAILURES = ("provider_", "edge_", "_other")
"""Of whom a failure is, by the beginning of its kind, for a span to have failed: a client's own mistake is none of a
server's (https://opentelemetry.io/docs/specs/semconv/http/http-spans/#status)."""
WORDS = 256
"""Bytes of JSON that a parameter of a request may have to be told."""
LONGEST = 262144
"""Bytes of an answer that is looked into: what it says of itself may stand at its end."""
MAX_CONTENT = 65536
"""Bytes of a body whose content is told; of a longer one it is told how long it is."""
MOST_REASONS = 16
UNDER_WAY = frozenset({"queued", "in_progress"})
ROOM, EACH = 1024, 2048
"""Bytes that a trace is taken to have in memory: for itself, and for each span."""
PARAMETERS = (
    ("gen_ai.request.max_tokens", LIMITS, int),
    ("gen_ai.request.choice.count", (b"n",), int),
    ("gen_ai.request.seed", (b"seed",), int),
    ("gen_ai.request.temperature", (b"temperature",), float),
    ("gen_ai.request.top_p", (b"top_p",), float),
    ("gen_ai.request.top_k", (b"top_k",), float),
    ("gen_ai.request.frequency_penalty", (b"frequency_penalty",), float),
    ("gen_ai.request.presence_penalty", (b"presence_penalty",), float),
)
"""Numbers of a body: none of them is more than a number, whatever a client puts there."""
COUNTS = (
    ("gen_ai.usage.output_tokens", "output"),
    ("gen_ai.usage.cache_read.input_tokens", "cache_read"),
    ("gen_ai.usage.cache_creation.input_tokens", "cache_write"),
    ("gen_ai.usage.reasoning.output_tokens", "reasoning"),
)


SAID = {
    "session": "edge.session",
    "thread": "edge.thread",
    "agent": "edge.agent",
    "parent_agent": "edge.parent_agent",
    "parent_thread": "edge.parent_thread",
    "ended_by": "edge.ended_by",
    "close_code": "edge.close_code",
    "responses": "edge.responses",
    "messages_in": "edge.messages_in",
    "messages_out": "edge.messages_out",
}
"""By the fields of ``RequestRecord.attributes``."""


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    """What an answer, or an event of one, says of itself, in whichever API."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] = []
    stop_reason: str | None = None
    status: str | None = None


class _Event(_Answer):
    message: _Answer | None = None
    delta: _Answer | None = None
    response: _Answer | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class Happened(msgspec.Struct):
    """An event of a span, in seconds of the wall clock."""

    name: str
    at: float
    attributes: Attributes


class Span(msgspec.Struct):
    """Times are in seconds of the wall clock. ``parent`` is the id of another span of the trace, "" for none; `error`
    what it failed with, "" if it did not; ``link`` a trace's id and a span's of it, for an answer that came from there.
    """

    name: str
    kind: str
    span_id: str
    parent: str
    start: float
    end: float
    attributes: Attributes
    events: list[Happened]
    error: str = ""
    link: tuple[str, str] | None = None


class Kept(msgspec.Struct):
    """A trace that is to be exported, as far as it is this edge's. ``size`` is what it is taken to have in memory, in
    bytes; ``asked`` the body, where what it says is to be told, which ``content`` has not masked yet.
    """

    context: TraceContext
    spans: list[Span]
    size: int
    asked: bytes = b""
    content: Policy | None = None


def kept_of(call: Call, record: RequestRecord, context: TraceContext, why: str) -> Kept:
    """The spans of a call that has been settled. `why` it is kept: ``sampled``, ``failed`` or ``slow``."""
    # One difference of the clocks for all its times: so their order is that of what happened.
    since = time() - perf_counter()
    tries = call.ledger.tries
    own = context.span_id()
    parameters = parameters_of(call.payload) if tries else {}
    attempts = [attempt_of(call, record, place, since, own, parameters) for place in range(len(tries))]
    spans = [request_of(call, record, context, why, since), *attempts]
    content = call.grant.content
    size = ROOM + EACH * len(spans)
    # As in the trace file: a body is told of as it was sent on.
    if content is None or call.unseen is not None or record.error_code == PiiBlocked.code:
        return Kept(context, spans, size)
    body = call.payload.body
    # What is looked through for personal data is JSON, and a form is none.
    if len(body) > MAX_CONTENT or call.head.boundary:
        spans[0].attributes[OMITTED] = len(body)
        return Kept(context, spans, size)
    return Kept(context, spans, size + len(body), body, content)


def request_of(call: Call, record: RequestRecord, context: TraceContext, why: str, since: float) -> Span:
    """The request's own."""
    head, ledger = call.head, call.ledger
    work, kind = operation(record.endpoint), record.error_kind
    attributes: Attributes = {
        "http.request.method": head.method,
        "http.route": record.endpoint,
        "http.response.status_code": record.status,
        "edge.kept": why,
        "edge.request_id": record.request_id,
        "edge.outcome": record.outcome,
        "edge.stream": record.stream,
        "edge.attempts": record.attempts,
        "edge.overhead_ms": round(record.overhead_s * 1000, 3),
        "http.request.body.size": record.request_bytes,
        "http.response.body.size": record.response_bytes,
    }
    named = {
        "client.address": record.peer,
        "edge.key": record.key_id,
        "edge.tenant": record.tenant,
        "edge.alias": record.alias,
        "edge.cache": record.cache,
        "edge.hedge": record.hedge,
        "edge.error_code": record.error_code,
        "gen_ai.operation.name": work,
        "gen_ai.request.model": readable(record.asked),
        "error.type": kind,
    }
    attributes |= {name: value for name, value in named.items() if value}
    if record.attributes:
        said = msgspec.json.decode(b"{" + record.attributes[1:] + b"}", type=dict[str, str | int])
        attributes |= {SAID[name]: value for name, value in said.items()}
    if record.cost >= 0:
        attributes["edge.cost_usd"] = record.cost / PICO
        attributes["edge.estimated"] = record.estimated
    begun = since + call.received_at
    failed = kind.startswith(FAILURES) or record.status >= 500
    leader = ledger.leader if record.cache == "joined" else None
    return Span(
        name=f"{head.method} {record.endpoint}",
        kind=SERVER,
        span_id=context.span_id(),
        parent=context.parent_id,
        start=begun,
        end=begun + record.duration_s,
        attributes=attributes,
        events=events_of(call, record, since, begun + record.duration_s),
        error=(record.error_code or kind) if failed else "",
        link=(leader.trace_id, leader.span_id()) if leader is not None else None,
    )


def events_of(call: Call, record: RequestRecord, since: float, end: float) -> list[Happened]:
    """What happened to a request, in its order. What was decided before an upstream was to be picked is told of as of
    then, or of the end where none was.
    """
    ledger, tries = call.ledger, call.ledger.tries
    decided = since + ledger.asked_at if ledger.asked_at else end
    found: list[Happened] = []
    if call.pii:
        found.append(Happened("edge.redaction", decided, {"edge.pii": call.pii}))
    if ledger.cache is not UNCACHED:
        at = end if ledger.stored is not None else decided
        found.append(Happened("edge.cache", at, {"edge.cache": record.cache}))
    if tries:
        choices = call.grant.choices
        told: Attributes = {
            "edge.strategy": choices[0].group.strategy,
            "edge.upstream": tries[0].upstream.names[0],
            "edge.upstreams": len(call.grant.upstreams),
        }
        found.append(Happened("edge.route", since + tries[0].begun, told))
    found += [again(call, place, since) for place in range(1, len(tries))]
    if ledger.content_at:
        found.append(Happened("edge.first_content", since + ledger.content_at, {}))
    for choice in call.grant.choices if ledger.asked_at else ():
        for upstream, member in zip(choice.group.upstreams, choice.group.members, strict=True):
            if member.state != "closed":
                breaker: Attributes = {"edge.upstream": upstream.names[0], "edge.breaker": member.state}
                found.append(Happened("edge.breaker", end, breaker))
    return sorted(found, key=lambda each: each.at)


def again(call: Call, place: int, since: float) -> Happened:
    """Why there was another attempt."""
    ledger = call.ledger
    before, tried = ledger.tries[place - 1], ledger.tries[place]
    attributes: Attributes = {"edge.upstream": tried.upstream.names[0]}
    if not before.ended or tried.begun < before.ended:
        name = "edge.hedge"
    elif before.content_at:
        name = "edge.rescue"
    elif before.upstream is tried.upstream:
        name = "edge.retry"
    else:
        name = "edge.failover"
    if before.kind and name != "edge.hedge":
        attributes["error.type"] = before.kind
    return Happened(name, since + tried.begun, attributes)


def attempt_of(
    call: Call, record: RequestRecord, place: int, since: float, parent: str, parameters: Attributes
) -> Span:
    """That of one request to a provider. One that goes on for others, since its client has left, ends with the
    request.
    """
    tried = call.ledger.tries[place]
    upstream, provider = tried.upstream, tried.provider
    work, model = operation(record.endpoint) or "request", readable(upstream.model)
    word, host, port = address_of(provider.name, provider.base_url)
    attributes: Attributes = {
        "gen_ai.operation.name": work,
        "gen_ai.provider.name": word,
        "gen_ai.request.stream": record.stream,
        "edge.provider": provider.name,
        "server.address": host,
        "server.port": port,
        **parameters,
    }
    if model:  # what an account keeps is asked for by no model
        attributes["gen_ai.request.model"] = model
    if tried.status:
        attributes["http.response.status_code"] = tried.status
    if place:
        attributes["http.request.resend_count"] = place
    if tried.health:
        attributes["edge.health"] = tried.health
    if tried.asked_s:
        attributes["edge.retry_after_s"] = round(tried.asked_s, 3)
    kind = kind_of(call, record, tried)
    if kind:
        attributes["error.type"] = kind
    events = []
    if tried.content_at:
        attributes["gen_ai.response.time_to_first_chunk"] = round(tried.first_s, 6)
        events.append(Happened("edge.first_content", since + tried.content_at, {}))
    attributes |= usage_of(call.ledger.usage if call.ledger.attempt is tried else tried.usage)
    attributes |= response_of(tried)
    start = since + tried.begun
    return Span(
        name=f"{work} {model}" if model else work,
        kind=CLIENT,
        span_id=tried.span_id,
        parent=parent,
        start=start,
        end=max(start, since + tried.ended if tried.ended else since + call.received_at + record.duration_s),
        attributes=attributes,
        events=events,
        error=(tried.code or kind) if kind.startswith(FAILURES) else "",
    )


@lru_cache(256)
def address_of(name: str, base_url: str) -> tuple[str, str, int]:
    """The word for a provider, and where it is."""
    url = urlsplit(base_url)
    return vendor(name, base_url), url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def kind_of(call: Call, record: RequestRecord, tried: Tried) -> str:
    """What an attempt failed with, "" if it did not: the last one with what the request did."""
    if tried.kind or tried is not call.ledger.tries[-1]:
        return tried.kind
    return record.error_kind if call.ledger.attempt is tried else ""


def usage_of(usage: Usage | None) -> Attributes:
    """What an attempt's answer used. What came from the provider's own cache, or went there, is input."""
    if usage is None:
        return {}
    found: Attributes = {}
    if usage.input >= 0:
        found["gen_ai.usage.input_tokens"] = usage.input + max(usage.cache_read, 0) + max(usage.cache_write, 0)
    return found | {name: getattr(usage, count) for name, count in COUNTS if getattr(usage, count) >= 0}


def response_of(tried: Tried) -> Attributes:
    """What an answer says of itself: its id, the model that gave it, and why it ended."""
    crossing = tried.crossing
    if crossing is None:
        return {}
    stream = crossing.stream
    said: list[_Answer] = []
    for data in (crossing.answered,) if stream is None else (stream.opening, stream.closing):
        try:
            event = _decode_event(data) if 0 < len(data) <= LONGEST else _Event()
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        said += [part for part in (event, event.message, event.delta, event.response) if part is not None]
    found: Attributes = {}
    for name, values in (
        ("gen_ai.response.id", [part.id for part in said]),
        ("gen_ai.response.model", [part.model for part in said]),
    ):
        if first := next((value for value in values if value), ""):
            found[name] = readable(first)
    reasons = [choice.finish_reason for part in said for choice in part.choices]
    reasons += [part.stop_reason or part.status for part in said]
    if told := [readable(reason) for reason in reasons if reason and reason not in UNDER_WAY]:
        found["gen_ai.response.finish_reasons"] = told[-MOST_REASONS:]
    return found


def parameters_of(payload: Payload) -> Attributes:
    """The numbers that a body asks by."""
    found: Attributes = {}
    for name, keys, kind in PARAMETERS:
        for key in keys:
            span = payload.span(key)
            if span is None or span[1] - span[0] > WORDS:
                continue
            try:
                value = msgspec.json.decode(payload.body[span[0] : span[1]])
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1 << 63:
                found[name] = kind(value)
    return found
