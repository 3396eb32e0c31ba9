"""Spans as OpenTelemetry has them, on their way to a collector by OTLP over HTTP. The only module that knows it.

Headers, certificates and compression of what is sent are those of OpenTelemetry's own variables, such as
``OTEL_EXPORTER_OTLP_HEADERS``; so are the resource's attributes (``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_SERVICE_NAME``).
"""

from __future__ import annotations

import logging
import os

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from edge import __version__
from edge.telemetry.prompts import prompt_of
from edge.telemetry.spans import SERVER, Happened, Kept, Span

__all__ = ["OtlpCollector"]

PATH = "/v1/traces"
NAME = "llm-edge-agent"
SCOPE = InstrumentationScope("edge", __version__)
UNSET = Status(StatusCode.UNSET)
NANO = 1_000_000_000


class OtlpCollector:
    """An `edge.telemetry.exporting.Collector`, at `endpoint`: its address without the signal's path."""

    def __init__(self, endpoint: str, place: str, timeout_s: float) -> None:
        # What goes wrong is told of once, by who sends, and not for each message.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        session = requests.Session()
        # No proxy of the environment and no redirect, as for all that this edge asks.
        session.trust_env = False
        session.max_redirects = 0
        self._exporter = OTLPSpanExporter(endpoint.rstrip("/") + PATH, timeout=timeout_s, session=session)
        own = {"service.version": __version__, "service.instance.id": place}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            own["service.name"] = NAME
        self._resource = Resource.create(own)

    def send(self, batch: list[Kept]) -> bool:
        spans = [span for kept in batch for span in self._spans(kept)]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _spans(self, kept: Kept) -> list[ReadableSpan]:
        state = TraceState.from_header([kept.context.state.decode("latin-1")]) if kept.context.state else TraceState()
        if kept.content is not None:
            kept.spans[0].attributes |= prompt_of(kept.asked, kept.content)
        return [self._span(span, kept.context.trace_id, state) for span in kept.spans]

    def _span(self, span: Span, trace_id: str, state: TraceState) -> ReadableSpan:
        is_server = span.kind == SERVER
        return ReadableSpan(
            name=span.name,
            context=context_of(trace_id, span.span_id, state),
            # Who asked is elsewhere, an attempt's parent is here.
            parent=context_of(trace_id, span.parent, state, is_remote=is_server) if span.parent else None,
            resource=self._resource,
            attributes=dict(span.attributes),
            events=[event_of(each) for each in span.events],
            links=[Link(context_of(*span.link, TraceState()))] if span.link is not None else (),
            kind=SpanKind.SERVER if is_server else SpanKind.CLIENT,
            status=Status(StatusCode.ERROR, span.error) if span.error else UNSET,
            start_time=int(span.start * NANO),
            end_time=int(span.end * NANO),
            instrumentation_scope=SCOPE,
        )


def context_of(trace_id: str, span_id: str, state: TraceState, is_remote: bool = False) -> SpanContext:
    """Of a span that is kept, which is sampled by that."""
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, TraceFlags(TraceFlags.SAMPLED), state)


def event_of(happened: Happened) -> Event:
    return Event(happened.name, dict(happened.attributes), int(happened.at * NANO))
