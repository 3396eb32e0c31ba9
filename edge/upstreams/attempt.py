"""One try: a request to one upstream, by one account of its provider, and the answer on its way to the client.

Everything here is told by calls: of the transport, of the clocks, of the client that can take more. An attempt ends
once, with `Outcome.passed` or `Outcome.failed`, whatever comes later is not for it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge._fast import Fields
from edge.clock import perf_counter
from edge.dialects.crossing import Crossing, is_brief, is_short
from edge.dialects.failures import Failed, NoAnswer
from edge.errors import EdgeError, UpstreamBadResponse, UpstreamStreamBroken
from edge.inquiry import Inquiry
from edge.reply import STREAM
from edge.slices import LARGE, Done, Job, Steps, Work, in_thread
from edge.upstreams.clocks import Deadline
from edge.upstreams.collected import Collected
from edge.upstreams.desk import Desk, Outcome
from edge.upstreams.large import Outline, in_steps
from edge.upstreams.receiver import Receiver
from edge.upstreams.relay import EventRelay
from edge.upstreams.retry import (
    AttemptFailed,
    check_count,
    check_status,
    failure_of,
    is_for_nobody,
    is_kept,
    is_stream,
    refusing,
    returned_headers,
)
from edge.upstreams.tried import Tried
from edge.upstreams.wire import Wire

__all__ = ["Attempt"]

EMPTY = "The provider's stream came to its end without content."
MAX_PREAMBLE = 1 << 20
MAX_EXCERPT = 16384
EXCERPT_S = 0.25
"""What of an error's body comes in this time is read, so that the log can tell it, while another upstream waits."""
SETTLE_S = 0.05
"""What follows the terminal event of a stream, or an error, is mostly nothing but the HTTP framing of the end, which
lets the connection be kept. An upstream that leaves its body open does not keep the client waiting for longer."""
JSON_TYPE = (b"content-type", b"application/json")

# The states, by what is awaited: the request, which is translated; the head of the answer; a part of an error's body;
# all of an answer that is no stream; its being judged; a stream's first content; more of it; its end; nothing.
NEW, HEAD, EXCERPT, COLLECT, JUDGE, HOLD, RELAY, REST, ENDED = 0, 1, 2, 3, 4, 5, 6, 7, 8
FOLLOWS = {
    NEW: (HEAD, ENDED),
    HEAD: (EXCERPT, COLLECT, HOLD, ENDED),
    EXCERPT: (JUDGE, ENDED),
    COLLECT: (JUDGE, ENDED),
    JUDGE: (ENDED,),
    HOLD: (RELAY, ENDED),
    RELAY: (REST, ENDED),
    REST: (ENDED,),
    ENDED: (),
}
MAY_FOLLOW = bytes(new in FOLLOWS[state] for state in FOLLOWS for new in FOLLOWS)  # a row of each state


class Attempt(Receiver):
    """What comes of it is written to `tried`."""

    def __init__(self, desk: Desk, inquiry: Inquiry, deadline: Deadline, outcome: Outcome, tried: Tried) -> None:
        self.begin(desk, inquiry, deadline, outcome, tried)

    def begin(self, desk: Desk, inquiry: Inquiry, deadline: Deadline, outcome: Outcome, tried: Tried) -> None:
        self._desk, self._inquiry, self._deadline = desk, inquiry, deadline
        self._outcome, self._tried = outcome, tried
        self._since = self._sent_at = 0.0
        self._state = NEW
        self._wire: Wire | None = None
        self._job: Job | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fields: Fields = None  # type: ignore[assignment]
        self._framed = self._waits = False
        self._collected: Collected | None = None
        self._relay: EventRelay | None = None
        self._ready: bytearray = None  # type: ignore[assignment]
        self._end: EdgeError | bool = False  # True once the answer's end has come, the error where that will not come

    # From who tries.

    def start(self) -> None:
        inquiry, tried = self._inquiry, self._tried
        inquiry.ledger.upstream = tried.upstream
        inquiry.ledger.tries.append(tried)
        self._deadline.start()
        if not is_short(inquiry) and tried.provider.searches(inquiry.head.route):
            self._job = in_thread(self.cross, self._then(self.send))
            return
        try:
            self.cross()
            if self._crossing().prepared:
                self.send()
            else:
                self._job = self._desk.slices.add(Work(self._crossing().prepare()).step, self._then(self.send))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            self.fail(error)

    def cancel(self, error: EdgeError | None = None) -> None:
        """The answer is wanted no more, by nobody or because of this. Nothing if it is over."""
        if self._state != ENDED:
            self._close(error)

    def split(self) -> None:
        """From here on another one is waited for as well."""
        if self._since:
            self._waited()
            self._since = perf_counter()

    # Sending.

    def cross(self) -> None:
        self._tried.cross(self._inquiry)

    def send(self) -> None:
        inquiry, tried = self._inquiry, self._tried
        self._since = self._sent_at = perf_counter()
        account = tried.ready()
        tried.request = tried.provider.request(inquiry, self._crossing(), account, is_kept(inquiry), tried.span_id)
        self._enter(HEAD)
        self._wire = tried.provider.transport.send(tried.request, self)

    # As a receiver.

    def head(self, status: int, fields: Fields, framed: bool) -> None:
        tried = self._tried
        tried.status, self._fields, self._framed = status, fields, framed
        self._deadline.uploaded()
        try:
            tried.heed(fields)
            if status >= 400 and not tried.others_left():
                self._outcome.again(tried, status, tried.refused_at)
            if is_stream(status, fields, self._inquiry.payload.stream):
                self._enter(HOLD)
                self._ready = bytearray()
                self._relay = EventRelay(self._crossing(), tried.watch)
            elif is_for_nobody(tried, status):
                self._enter(EXCERPT)
                self._ready = bytearray()
                self._timer = asyncio.get_running_loop().call_later(EXCERPT_S, self._look_at_excerpt)
            elif self._inquiry.reply.has_answer():
                raise UpstreamBadResponse("The provider that was to go on with a stream gave none.")
            else:
                self._enter(COLLECT)
                collected = self._collected = Collected.__new__(Collected)
                collected.begin(self._desk.buffers, self._inquiry)
        except Exception as error:  # noqa: BLE001 - as above
            self.fail(error)

    def body(self, data: bytes) -> None:
        if self._state == ENDED:
            return
        try:
            self._take(data)
        except Exception as error:  # noqa: BLE001 - as above
            self.fail(error)

    def ended(self) -> None:
        self._ends(True)

    def failed(self, error: EdgeError) -> None:
        self._ends(error)

    def _ends(self, end: EdgeError | bool) -> None:
        self._wire = None
        self._end = end
        if self._state == ENDED:
            return
        try:
            self._take_end()
        except Exception as error:  # noqa: BLE001 - as above
            self.fail(error)

    def _take(self, data: bytes) -> None:
        state = self._state
        if self._collected is not None:
            self._collected.take(data)
        elif state == RELAY:
            self._pass_on(data)
        elif state == HOLD:
            relay = self._events()
            self._ready += relay.take(data)
            if relay.stream.content or relay.stream.failed or relay.stream.finished:
                self._commit()
            elif len(self._ready) > MAX_PREAMBLE:
                raise UpstreamBadResponse("The provider sent a megabyte of events without content.")
        elif state == REST:
            self._ready += data
            if len(self._ready) > MAX_PREAMBLE:
                self._finish_stream()
        elif state == EXCERPT:
            self._ready += data
            if len(self._ready) >= MAX_EXCERPT:
                self._look_at_excerpt()

    def _take_end(self) -> None:
        """The answer has come to its end, properly or not."""
        state, end = self._state, self._end
        if state == EXCERPT:
            self._look_at_excerpt()
        elif state == REST:
            self._finish_stream()
        elif state == RELAY:
            if not self._waits:
                self._go_on()
        elif end is True and self._collected is not None:
            self._judge(self._collected.whole(self._framed))
        elif isinstance(end, EdgeError):
            self.fail(end)
        elif state == HOLD:
            self._ready += self._events().take_end()
            self._commit()

    # An answer that is no stream.

    def _look_at_excerpt(self) -> None:
        if self._state == EXCERPT:  # the beginning of a body that is for the log only
            self._guard(self._judge, bytes(self._ready[:MAX_EXCERPT]))

    def _judge(self, body: bytes) -> None:
        self._enter(JUDGE)
        if not 200 <= self._tried.status < 300 or len(body) <= LARGE:
            self._decide(body, body)
        else:
            self._judge_large(body)

    def _judge_large(self, body: bytes) -> None:
        outline = Outline(body, translates=self._crossing().translates)
        self._job = self._desk.slices.add(outline.step, self._then(lambda: self._decide(body, outline.text)))

    def _decide(self, body: bytes, seen: bytes) -> None:
        """`seen` is what of `body` tells whether it is an answer."""
        tried, crossing, route, status = self._tried, self._crossing(), self._inquiry.head.route, self._tried.status
        if 200 <= status < 300:
            try:
                usage = crossing.usage(self._fields.get(b"content-type") or b"", seen)
                tried.usage = usage if status == 200 else None
            except Failed as failed:
                status, body = failed.status, failed.body  # those that it should have had
            except NoAnswer as found:
                tried.usage = found.usage if status == 200 else None
                raise found.error from None
        self._check(status, body)
        if self._collected is None:  # the beginning of a body that was for nobody, whoever else has failed meanwhile
            raise AttemptFailed(status, body)
        self._waited()
        failure = failure_of(status, body)
        if route.counts:
            check_count(status, body)
        large = crossing.translates and status < 400 and not is_brief(body)
        if not large:
            status, body = crossing.answer(status, body)
        if large or (tried.watch is not None and status < 400):
            self._answer_with(in_steps(crossing if large else None, tried.watch, body), status, failure)
        else:
            self._answer(status, body, failure)

    def _check(self, status: int, body: bytes) -> None:
        """Raises what `check_status` does. An error inside a 200 has the `status` that it should have had."""
        tried = self._tried
        if status >= 400 and 200 <= tried.status < 300 and not tried.others_left():
            self._outcome.again(tried, status, perf_counter())
        check_status(tried, self._inquiry.head.route, status, body)

    def _answer_with(self, steps: Steps[bytes], status: int, failure: AttemptFailed | None) -> None:
        work = Work(steps)
        self._job = self._desk.slices.add(work.step, self._then(lambda: self._answer(status, work.result, failure)))

    def _answer(self, status: int, body: bytes, failure: AttemptFailed | None) -> None:
        inquiry, desk = self._inquiry, self._desk
        self._outcome.wins(self._tried)
        self._deadline.stop()
        desk.accounts.settle(inquiry, self._tried, None, body if status == 200 else None)
        headers = self._crossing().headers(returned_headers(self._fields))
        inquiry.answer(status, headers if status < 400 else refusing(inquiry, self._tried, headers), body)
        self._pass(failure)

    # A stream.

    def _commit(self) -> None:
        """Content, an error or the end has come: from here on the client has this upstream's answer, or none."""
        inquiry, relay = self._inquiry, self._events()
        crossing, stream = self._crossing(), relay.stream
        if not (stream.content or stream.failed):
            raise UpstreamBadResponse(EMPTY) if relay.complete else UpstreamStreamBroken
        self._waited()
        headers = crossing.headers(returned_headers(self._fields))
        if stream.failed and not stream.content:
            said = stream.early_error()[0]  # what it means is the provider's word, before it is translated
            self._check(said, stream.error_data)
            self._outcome.wins(self._tried)
            status, body = crossing.early_error()
            headers = [JSON_TYPE, *(pair for pair in headers if pair[0] != b"content-type")]
            inquiry.answer(status, refusing(inquiry, self._tried, headers), body)
            self._pass(failure_of(said, stream.error_data))
            return
        self._outcome.wins(self._tried)
        now = perf_counter()
        self._tried.has_content(now, inquiry.ledger.upstream_s, self._sent_at)
        if not inquiry.reply.has_answer():  # else it goes on with what another one has begun
            inquiry.ledger.content_at = now
            inquiry.begin_answer(self._tried.status, headers, STREAM)
        ready, self._ready = bytes(self._ready), bytearray()
        self._enter(RELAY)
        self._write(ready)
        self._deadline.next_bytes()
        if self._end is True:
            self._finish_stream()
        else:
            self._since = perf_counter()
            self._go_on()

    def _write(self, data: bytes) -> None:
        self._inquiry.reply.write(data)
        if self._tried.rescue is not None:
            self._tried.rescue.take(data)

    def _pass_on(self, data: bytes) -> None:
        inquiry, relay = self._inquiry, self._events()
        if ready := relay.take(data):
            self._write(ready)
        self._deadline.heard = relay.moved() or self._deadline.heard
        if relay.stream.finished or relay.stream.failed or relay.refused() or inquiry.reply.congested():
            self._go_on()

    def _go_on(self) -> None:
        """What is next, once the client has taken what it has?"""
        inquiry, stream = self._inquiry, self._events().checked()
        if inquiry.reply.congested():
            if not self._waits:
                self._waits = True
                if self._wire is not None:
                    self._wire.pause()
                self._waited()
                self._deadline.taken()
                inquiry.reply.when_room(self._room)
        elif stream.finished or stream.failed:
            self._waited()
            self._enter(REST)
            if self._wire is None:
                self._finish_stream()
            else:
                self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._guard, self._finish_stream)
        elif isinstance(self._end, EdgeError):
            raise self._end
        elif self._end:
            self._waited()
            if ready := self._events().take_end():
                self._write(ready)
            self._finish_stream()

    def _room(self) -> None:
        if self._state != RELAY or not self._waits:
            return
        self._waits = False
        self._deadline.go_on()
        self._since = perf_counter()
        if self._wire is not None:
            self._wire.resume()
        self._guard(self._go_on)

    def _finish_stream(self) -> None:
        inquiry, relay, stream = self._inquiry, self._events(), self._events().stream
        if self._state == REST and (rest := relay.rest(bytes(self._ready))):
            self._write(rest)
        relay.checked()
        if not stream.failed and not relay.complete:
            raise UpstreamStreamBroken
        self._deadline.stop()
        self._desk.accounts.settle(inquiry, self._tried, None)
        inquiry.reply.end()
        self._pass(AttemptFailed(stream.early_error()[0], stream.error_data) if stream.failed else None)

    def _events(self) -> EventRelay:
        assert self._relay is not None  # noqa: S101 - asked of streams only
        return self._relay

    def _crossing(self) -> Crossing:
        assert self._tried.crossing is not None  # noqa: S101 - asked after `cross`
        return self._tried.crossing

    def _waited(self) -> None:
        """Nothing is awaited from upstream, until ``_since`` is set anew."""
        if self._since:
            self._inquiry.ledger.waited(self._since)
            self._since = 0.0

    # Its end.

    def _enter(self, state: int) -> None:
        assert MAY_FOLLOW[self._state * (ENDED + 1) + state], (self._state, state)  # noqa: S101 - a defect of ours
        self._state = state

    def _guard(self, step: Callable[..., None], *arguments: object) -> None:
        """Take a step, if it is not over, and fail with what that raises."""
        if self._state == ENDED:
            return
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            self.fail(error)

    def _then(self, step: Callable[[], None]) -> Done:
        """What takes a step when a job has ended well, and fails with what that failed with."""

        def ended(error: Exception | None) -> None:
            if error is None:
                self._guard(step)
            else:
                self.fail(error)

        return ended

    def _pass(self, failure: AttemptFailed | None) -> None:
        self._close(None)
        self._outcome.passed(self._tried, failure)

    def fail(self, error: Exception) -> None:
        """It cannot go on. Nothing if it is over: what went wrong after the outcome is the outcome's."""
        if self._state == ENDED:
            return
        self._close(error)
        self._outcome.failed(self._tried, error)

    def _close(self, error: Exception | None) -> None:
        """Let go of all that is held, then count and charge, which never keeps the outcome from being told."""
        self._enter(ENDED)
        self._deadline.stop()
        self._waited()
        self._inquiry.reply.when_room(None)
        if self._collected is not None:
            self._collected.let_go()
        if self._timer is not None:
            self._timer.cancel()
        if self._job is not None:
            self._job.cancel()
        if self._wire is not None:
            self._wire.cancel()
        self._wire = self._job = self._timer = None
        self._desk.over(self._inquiry, self._tried, error)
