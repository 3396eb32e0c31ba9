"""The record of a finished request: what the stages have found out about it, for who observes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge.call import Call
from edge.clock import perf_counter
from edge.hooks import NO_WARNINGS, Attempted, RequestRecord
from edge.ledger import Ledger

if TYPE_CHECKING:
    from edge.upstreams.tried import Tried

__all__ = ["record_of"]

MOST_TRIED = 16
"""Attempts that are told of, so that a line stays short."""

_encode = msgspec.json.Encoder().encode


def record_of(call: Call) -> RequestRecord:
    """The record of a call, which is made as it is settled."""
    ledger, grant, payload, key, head = call.ledger, call.grant, call.payload, call.key, call.head
    route, attempt, cache = head.route, ledger.attempt, ledger.cache
    upstream, stored, error = ledger.upstream, ledger.stored, ledger.error
    status = call.reply.status
    kind = ledger.failure(status)
    duration_s = perf_counter() - call.received_at
    # Field by field: an object made by its arguments costs three times as much, most of it for them.
    record = RequestRecord.__new__(RequestRecord)
    record.request_id = call.request_id
    record.endpoint = route.endpoint
    record.dialect = head.dialect
    record.provider = upstream.name if upstream is not None else ""
    record.model = grant.label
    record.upstream_model = upstream.model if upstream is not None else ""
    record.attempts = ledger.attempts
    record.key_id = key.id
    record.tenant = key.tenant
    record.status = status or (error.status if error is not None else 0)
    record.stream = payload.stream
    record.outcome = "ok" if not kind else "cancelled" if kind == "client_cancelled" else "error"
    record.error_code = error.code if error is not None else ""
    record.error_kind = kind
    record.duration_s = duration_s
    record.upstream_s = ledger.upstream_s
    record.overhead_s = max(0.0, duration_s - ledger.upstream_s - ledger.upload_s)
    record.time_to_first_content_s = ledger.content_at - call.received_at if ledger.content_at else 0.0
    record.usage = ledger.usage
    record.warnings = attempt.warnings() if attempt is not None else NO_WARNINGS
    record.cost = ledger.cost
    record.estimated = ledger.estimated
    record.cache = cache.word
    record.stored_provider = stored.provider if stored is not None else ""
    record.stored_model = stored.model if stored is not None else ""
    record.asked = payload.model
    record.alias = grant.alias
    if not grant.upstreams and payload.model in call.state.models:  # nothing was granted
        record.alias = payload.model
    record.peer = call.peer
    record.pii = call.found()
    record.request_bytes = len(call.body) + (call.upload.come if call.upload is not None else 0)
    record.response_bytes = call.reply.sent
    record.hedge = ledger.hedge
    record.rescued = ledger.rescued
    record.attributes = head.attributes + ledger.particulars if ledger.particulars else head.attributes
    record.trace_id = call.trace.trace_id if call.trace is not None else ""
    record.tried = _tried(call) if kind or ledger.attempts > 1 else ()
    record.route = _route(ledger) if ledger.decision is not None else b""
    return record


def _tried(call: Call) -> tuple[Attempted, ...]:
    return tuple([_attempted(tried, call.received_at) for tried in call.ledger.tries[:MOST_TRIED]])


def _attempted(tried: Tried, at: float) -> Attempted:
    failed = tried.kind or tried.status >= 400
    outcome = "failed" if failed else "ok" if tried.health == "ok" else "given_up"
    after_s, took_s = tried.begun - at, max(tried.ended - tried.begun, 0.0)
    return Attempted(
        tried.upstream.names[0],
        outcome,
        round(after_s * 1000, 2),
        round(took_s * 1000, 2),
        tried.status,
        tried.code,
        tried.kind,
    )


def _route(ledger: Ledger) -> bytes:
    decision = ledger.decision
    if decision is None:
        return b""
    if ledger.tries:
        tried = ledger.tries[0]
        decision.first = f"{tried.upstream.name}/{tried.upstream.model}"
    told: bytes = _encode(decision)
    return told
