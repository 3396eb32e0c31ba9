"""How a reply is put together, whatever it is: its head, an error in the client's dialect, a stored answer."""

from __future__ import annotations

from time import time

from edge._fast import Lines
from edge.cache import replay as stored
from edge.cache.entry import Entry
from edge.cache.flight import Flight
from edge.cache.memory import Held
from edge.call import Call
from edge.dialects import anthropic, openai
from edge.dialects.crossing import stream_of
from edge.errors import ClientClosedRequest, EdgeError, Headers, UpstreamBadResponse
from edge.guard.limit_fields import names_of
from edge.inquiry import Inquiry
from edge.ledger import JOINED, MISS, REDIS, Verdict, kind_of_status
from edge.reply import STREAM
from edge.reply_fields import EVENTS, JSON, JSON_TYPE, is_stream, lead, lines_of
from edge.routes import Dialect

__all__ = ["ClientCall", "Refusal", "error_event", "fail", "serve", "serve_flight", "start_stored"]

STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
OF_STREAMS = frozenset({b"content-type", b"cache-control", b"x-accel-buffering"})
ATTEMPTS = tuple([lead(b"x-edge-attempts") + b"%d\r\n" % count for count in range(4)])
"""Those of nearly all replies."""
STREAMED = frozenset({"chat", "completions", "messages", "responses"})
"""Requests whose ``stream`` certainly asks for events, by ``Route.api``."""
COMMENT = b": keep-alive\n"
"""A comment of server-sent events, without a blank line of its own: some clients take that for an empty event
(openai-python before 2.38, openai-go before 3.43).
"""
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
"""Anthropic's own: https://docs.anthropic.com/en/api/messages-streaming#ping-events. Its clients wait for it."""
HOLE = "the-id-of-the-request"
"""Stands where an error of Anthropic's dialect, which is prepared, has the request's id: behind all else."""

# How the lines of what varies begin.
REQUEST_ID = lead(b"x-request-id")
THEIR_REQUEST_ID = b"\r\n" + lead(b"request-id")
OVERHEAD = lead(b"x-edge-overhead-ms")
COST = b"\r\n" + lead(b"x-edge-cost-usd")
ESTIMATED = b"\r\n" + lead(b"x-edge-estimated") + b"true"
TIMING = b"\r\n" + lead(b"server-timing") + b"edge;dur="
TIMING_OF_STREAM = TIMING[2:]
TIMING_UPSTREAM = b", upstream;dur="
AGE = lead(b"age")
HIT = b"\r\n" + lead(b"cache-status") + b"edge; hit; ttl="
END = b"\r\n"
NOTHING: Headers = []

HEAD = Lines()
"""What heads are written into, one after the other."""


class ClientCall(Call):
    """A call whose replies are put together here; that of a front is one."""

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        told = self.reply
        asked = told.promised() or told.restorer is not None  # only then it matters
        reply(self, status, b"", headers, body, asked and is_stream(headers))

    def begin_answer(self, status: int, headers: Headers, size: int) -> None:
        told = self.reply
        if told.restorer is not None:
            told.restorer.stream = size == STREAM or is_stream(headers)
        if told.promised():
            told.start(status, b"")
        else:
            given = headers if size != STREAM else headers + STREAM_HEADERS
            told.start(status, fields_of(self, b"", given, size), size)

    def keep_alive(self) -> None:
        """Before the reply has begun, the head has what is known by then; the provider, who may still be another, is
        not in it. Only whole events have been written, so what is sent stands between two of them.
        """
        told = self.reply
        if told.over():
            return
        if told.new():
            if not self.payload.stream or self.head.route.api not in STREAMED:
                return
            told.promise(200, fields_of(self, EVENTS, NOTHING, STREAM, answered=False))
        said = PING if self.head.dialect == "anthropic" else COMMENT
        if told.latest.endswith(b"\r"):
            said = said.replace(b"\n", b"\r")  # the LF that may belong to that CR is to come, and must not be a line
        told.interject(said)


class Refusal:
    """An error as a reply: its ``status``; ``lines`` are its fields, ``body`` its body in a dialect. In Anthropic's,
    the request's id stands before ``rest``.
    """

    def __init__(self, error: EdgeError, dialect: str) -> None:
        self.status = error.status
        self.lines = JSON + lines_of(error.headers)
        self.rest = b""
        if dialect == "anthropic":
            self.body, _, self.rest = anthropic.error_body(error, HOLE).rpartition(HOLE.encode())
        else:
            self.body = openai.error_body(error)


def refusal_of(error: EdgeError, dialect: str) -> Refusal:
    """Prepared, where all who make the error are answered by one of it."""
    prepared = error.prepared
    if prepared is None:
        return Refusal(error, dialect)
    found = prepared.get(dialect)
    if found is None:
        found = prepared[dialect] = Refusal(error, dialect)
    return found


def fail(call: Call, error: EdgeError) -> None:
    """Answer with an error in the client's dialect: as the reply, or inside the stream that is the reply.

    A reply that is complete stays as it is: a flight may have ended it while its follower's own end was on the way.
    """
    told = call.reply
    if told.ended():
        return
    call.ledger.error = error if error.__traceback__ is None else error.bare()
    if error.prepared is None and isinstance(error, ClientClosedRequest):
        told.abort()
        return
    if told.begun():
        if told.promised():
            told.start(200, b"")
        told.write(error_event(call, error))
        told.end()
        return
    refusal = refusal_of(error, call.head.dialect)
    body = refusal.body
    if refusal.rest:
        body = b"".join((body, call.request_id.encode("ascii"), refusal.rest))
    if call.lease is None and call.reservation is None:
        reply(call, refusal.status, refusal.lines, NOTHING, body, stream=False)
    else:  # what is left to the key takes the place of what the error says of that
        reply(call, refusal.status, JSON, error.headers, body, stream=False)


def error_event(inquiry: Inquiry, error: EdgeError) -> bytes:
    attempt, request_id = inquiry.ledger.attempt, inquiry.request_id
    event = attempt.error_event(error, request_id) if attempt is not None else None
    return stream_of(inquiry.head.route).error_event(error, request_id) if event is None else event


def reply(call: Call, status: int, lines: bytes, headers: Headers, body: bytes, stream: bool) -> None:
    """A whole answer at once, with the fields of `lines` and `headers`. `stream`: it is one of events, and has to be,
    where the client has been told already that a stream will come.
    """
    told = call.reply
    if told.promised():
        if status >= 400:
            call.ledger.kind = kind_of_status(status)
            body = stream_of(call.head.route).refusal_event(body) or error_event(call, UpstreamBadResponse())
        elif not stream:
            body = streamed(call, body)
        told.start(status, b"")
    else:
        restorer, told.restorer = told.restorer, None
        if restorer is not None:
            body = restorer.whole_answer(body, stream=stream)
        size = len(body)
        told.start(status, fields_of(call, lines, headers, size), size)
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


# Stored answers.


def serve(call: Call, held: Held, form: bytes, tier: Verdict) -> None:
    """A stored answer, in the form it is asked for in."""
    call.ledger.recalled(held.entry, tier)
    stream = call.payload.stream
    reply(call, 200, held.stream_lines if stream else held.lines, NOTHING, form, stream)


def start_stored(call: Call, held: Held, tier: Verdict) -> None:
    """The head of a stored stream."""
    call.ledger.recalled(held.entry, tier)
    told = call.reply
    if told.restorer is not None:
        told.restorer.stream = True
    told.start(200, b"" if told.promised() else fields_of(call, held.stream_lines, NOTHING, STREAM))


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
    call.answer(status, headers, body)
    return True


# The head.


def fields_of(call: Call, given: bytes, headers: Headers, size: int, answered: bool = True) -> bytes:
    """The lines of a reply's fields: those `given`, `headers`, and ours. Who has `answered` is known, or is not yet."""
    to, ledger = HEAD, call.ledger
    to.drop()  # what an error has left
    to.add(given)
    dialect = call.head.dialect
    if call.lease is not None or call.reservation is not None:
        with_limits(call, to, dialect, headers)
    else:
        for pair in headers:
            to.field(pair[0], pair[1])
    to.add(REQUEST_ID)
    to.text(call.request_id)
    if dialect == "anthropic":
        to.add(THEIR_REQUEST_ID)
        to.text(call.request_id)
    to.add(END)
    upstream, attempt = ledger.upstream, ledger.attempt
    if upstream is not None and answered:
        to.add(upstream.lines)
        attempts = ledger.attempts
        to.add(ATTEMPTS[attempts] if attempts < len(ATTEMPTS) else lead(b"x-edge-attempts") + b"%d\r\n" % attempts)
    cache = ledger.cache
    to.add(cache.lines)
    entry = ledger.stored
    if entry is not None and cache is not JOINED:
        now = time()
        to.add(AGE)
        to.whole(seconds(now - entry.stored_at))
        to.add(HIT)
        to.whole(seconds(entry.expires_at - now))
        to.add(END)
    dropped = attempt.dropped() if attempt is not None and answered else ()
    if dropped:
        to.field(b"x-edge-dropped", ", ".join(dropped).encode("ascii"))
    found = call.found()
    if found:
        to.field(b"x-edge-pii", found.encode("ascii"))
    edge_ms = call.overhead_s() * 1000
    if size != STREAM:
        to.add(OVERHEAD)
        to.hundredths(edge_ms)
        if ledger.cost >= 0:
            to.add(COST)
            to.usd(ledger.cost)
        if ledger.estimated:
            to.add(ESTIMATED)
        to.add(TIMING)
    else:
        to.add(TIMING_OF_STREAM)
    to.hundredths(edge_ms)
    to.add(TIMING_UPSTREAM)
    to.hundredths(ledger.upstream_s * 1000)
    to.add(END)
    return to.back()


def seconds(span: float) -> int:
    """Whole seconds (RFC 9111, section 5.1), never below 0, wherever the wall clock was put."""
    return int(span) if span > 0.0 else 0


def with_limits(call: Call, to: Lines, dialect: Dialect, headers: Headers) -> None:
    """`headers`, with what is left to the key in place of what a provider says of its own limits."""
    lease, reservation = call.lease, call.reservation
    kinds = 0
    if lease is not None:
        kinds = lease.kinds()
    if reservation is not None:
        kinds |= reservation.kinds()
    anthropic = dialect == "anthropic"
    ours = names_of(kinds, anthropic)
    for name, value in headers:
        if name not in ours:
            to.field(name, value)
    if lease is not None:
        lease.write(to, anthropic)
    if reservation is not None:
        reservation.write(to, anthropic)
