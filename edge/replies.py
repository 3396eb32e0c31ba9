"""How a reply is put together, whatever it is: its head, an error in the client's dialect, a stored answer."""

from __future__ import annotations

from edge._fast import hundredths, usd
from edge.cache import replay as stored
from edge.cache.entry import Entry
from edge.cache.flight import Flight
from edge.cache.memory import Held
from edge.call import Call
from edge.dialects import anthropic, openai
from edge.dialects.crossing import stream_of
from edge.errors import ClientClosedRequest, EdgeError, Headers, UpstreamBadResponse
from edge.inquiry import Inquiry
from edge.ledger import JOINED, MISS, REDIS, Verdict, kind_of_status
from edge.reply import is_stream

__all__ = [
    "JSON_TYPE",
    "error_event",
    "fail",
    "keep_alive",
    "reply",
    "serve",
    "serve_flight",
    "start_reply",
    "start_shared",
    "start_stream",
    "stored_headers",
]

JSON_TYPE = (b"content-type", b"application/json")
STREAM_TYPE = (b"content-type", b"text/event-stream; charset=utf-8")
STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
OF_STREAMS = frozenset({b"content-type", b"cache-control", b"x-accel-buffering"})
ATTEMPTS = tuple([(b"x-edge-attempts", b"%d" % count) for count in range(4)])
"""Those of nearly all replies."""
STREAMED = frozenset({"chat", "completions", "messages", "responses"})
"""Requests whose ``stream`` certainly asks for events, by ``Route.api``."""
COMMENT = b": keep-alive\n"
"""A comment of server-sent events, without a blank line of its own: some clients take that for an empty event
(openai-python before 2.38, openai-go before 3.43).
"""
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
"""Anthropic's own: https://docs.anthropic.com/en/api/messages-streaming#ping-events. Its clients wait for it."""


def fail(call: Call, error: EdgeError) -> None:
    """Answer with an error in the client's dialect: as the reply, or inside the stream that is the reply.

    A reply that is complete stays as it is: a flight may have ended it while its follower's own end was on the way.
    """
    told = call.reply
    if told.ended():
        return
    call.ledger.error = error if error.__traceback__ is None else error.bare()
    if isinstance(error, ClientClosedRequest):
        told.abort()
        return
    if told.begun():
        if told.promised():
            told.start(200, [])
        told.write(error_event(call, error))
        told.end()
    elif call.head.dialect == "anthropic":
        reply(call, error.status, [JSON_TYPE, *error.headers], anthropic.error_body(error, call.request_id))
    else:
        reply(call, error.status, [JSON_TYPE, *error.headers], openai.error_body(error))


def error_event(inquiry: Inquiry, error: EdgeError) -> bytes:
    attempt, request_id = inquiry.ledger.attempt, inquiry.request_id
    event = attempt.error_event(error, request_id) if attempt is not None else None
    return stream_of(inquiry.head.route).error_event(error, request_id) if event is None else event


def reply(call: Call, status: int, headers: Headers, body: bytes) -> None:
    """A whole answer at once; as events, where the client has been told already that a stream will come."""
    told = call.reply
    if told.promised():
        if status >= 400:
            call.ledger.kind = kind_of_status(status)
            body = stream_of(call.head.route).refusal_event(body) or error_event(call, UpstreamBadResponse())
        elif STREAM_TYPE not in headers:
            body = streamed(call, body)
        told.start(status, headers)
    else:
        restorer, told.restorer = told.restorer, None
        if restorer is not None:
            body = restorer.whole_answer(body, stream=is_stream(headers))
        start_reply(call, status, headers, len(body))
    told.write(body)
    told.end()


def streamed(call: Call, body: bytes) -> bytes:
    """A whole answer, which came instead of a stream, as the stream."""
    entry = Entry(call.head.route.api, body, (), None, "", "", -1, 0.0, 0.0)
    events = stored.events(entry, include_usage=call.payload.include_usage)
    if events is None:
        error = UpstreamBadResponse("The provider gave no stream.")
        call.ledger.kind = error.kind
        return error_event(call, error)
    return b"".join([data for _, data in events])


def keep_alive(call: Call) -> None:
    """Tell a client that waits for a stream that it will go on.

    Before the reply has begun that is its head, with what is known by then; the provider, who may still be another, is
    not. Only whole events have been written, so this stands between two of them.
    """
    told = call.reply
    if told.over():
        return
    if told.new():
        if not call.payload.stream or call.head.route.api not in STREAMED:
            return
        told.promise(200, with_ours(call, [STREAM_TYPE, *STREAM_HEADERS], None, False))
    said = PING if call.head.dialect == "anthropic" else COMMENT
    if told.latest.endswith(b"\r"):
        said = said.replace(b"\n", b"\r")  # the LF that may belong to that CR is still to come, and must not be a line
    told.interject(said)


def serve(call: Call, held: Held, form: bytes, tier: Verdict) -> None:
    """A stored answer, in the form it is asked for in."""
    call.ledger.recalled(held.entry, tier)
    reply(call, 200, stored_headers(call, held), form)


def serve_flight(call: Call, flight: Flight) -> bool:
    """The whole of what a flight brought, for one that could not take it as it came; whether that can be told."""
    if flight.held is not None:
        form = flight.held.form_for(call.payload)
        if form is not None:
            serve(call, flight.held, form, REDIS if call.ledger.cache is MISS else call.ledger.cache)
        return form is not None
    if not flight.kept:
        return False
    status, headers, body = flight.told()
    if flight.streamed:
        form = Held(flight.entry(0)).form(stream=False, include_usage=False)
        if form is None:
            return False
        headers, body = [JSON_TYPE] + [pair for pair in headers if pair[0] not in OF_STREAMS], form
    call.ledger.shares(flight.ledger)
    reply(call, status, headers, body)
    return True


def stored_headers(call: Call, held: Held) -> Headers:
    headers = [STREAM_TYPE, *STREAM_HEADERS] if call.payload.stream else [JSON_TYPE]
    headers += held.headers
    if call.ledger.cache is not JOINED:
        headers.append((b"age", str(held.age_s()).encode()))
        headers.append((b"cache-status", b"edge; hit; ttl=" + str(int(held.left_s())).encode()))
    return headers


def start_stream(call: Call, status: int, headers: Headers) -> None:
    """The head of a reply that is a stream."""
    start_reply(call, status, headers + STREAM_HEADERS)


def start_shared(call: Call, status: int, headers: Headers, size: int | None) -> None:
    """The head of a reply that a flight gives."""
    start_reply(call, status, headers + STREAM_HEADERS if size is None else headers, size)


def start_reply(call: Call, status: int, headers: Headers, size: int | None = None) -> None:
    """The head of the reply, with the headers that every reply has; if it has not gone out with a keep-alive."""
    if not call.reply.promised():
        headers = with_ours(call, headers, size, True)
    call.reply.start(status, headers, size)


def with_ours(call: Call, headers: Headers, size: int | None, answered: bool) -> Headers:
    """The headers of a reply with ours; who has `answered` is known, or is not yet."""
    if call.lease is not None or call.reservation is not None:
        ours = call.lease.headers(call.head.dialect) if call.lease is not None else []
        if call.reservation is not None:
            ours += call.reservation.headers(call.head.dialect)
        names = {name for name, _ in ours}
        headers = [pair for pair in headers if pair[0] not in names] + ours
    request_id = call.request_id.encode("ascii")
    headers.append((b"x-request-id", request_id))
    if call.head.dialect == "anthropic":
        headers.append((b"request-id", request_id))
    ledger = call.ledger
    if ledger.upstream is not None and answered:
        headers += ledger.upstream.headers
        attempts = ledger.attempts
        headers.append(ATTEMPTS[attempts] if attempts < len(ATTEMPTS) else (b"x-edge-attempts", b"%d" % attempts))
    headers += ledger.cache.fields
    if ledger.attempt is not None and answered and (dropped := ledger.attempt.dropped):
        headers.append((b"x-edge-dropped", ", ".join(dropped).encode("ascii")))
    if found := call.found():
        headers.append((b"x-edge-pii", found.encode("ascii")))
    edge_ms = hundredths(call.overhead_s() * 1000)
    if size is not None:
        headers.append((b"x-edge-overhead-ms", edge_ms))
        if ledger.cost >= 0:
            headers.append((b"x-edge-cost-usd", usd(ledger.cost)))
        if ledger.estimated:
            headers.append((b"x-edge-estimated", b"true"))
    upstream_ms = hundredths(ledger.upstream_s * 1000)
    headers.append((b"server-timing", b"".join((b"edge;dur=", edge_ms, b", upstream;dur=", upstream_ms))))
    return headers
