"""The clocks of one request to providers, all read by one sweep per worker.

``connect_s`` belongs to the transport. An attempt must bring a whole answer within ``attempt_s``; one at a stream must
show its first content within ``first_content_s`` and its next event within ``idle_s``; everything must be over within
``total_s``, or earlier if the client said so. While a body still comes none of these runs but the client's own: the
provider has to take what waits for it within ``idle_s``, and the client has the clocks of its connection. A client that
takes nothing of its answer has ``WRITE_STALL_S``. A client that has been told nothing for ``stream_keepalive_s`` is
sent a keep-alive, so that neither it nor whatever stands between takes the connection for dead.

A timer per wait would cost more than the wait; here waiting costs the setting of a number, and every tenth of a second
one look at the numbers of all requests finds those whose time is over.
"""

from __future__ import annotations

import asyncio
from typing import Self

from edge.call import Call
from edge.clock import perf_counter
from edge.config import Resilience
from edge.errors import ClientClosedRequest, EdgeError, UpstreamTimeout
from edge.upload import Upload

__all__ = ["Deadline", "Sweep", "Timed"]

SWEEP_S = 0.1
WRITE_STALL_S = 30.0
"""A client that takes nothing of its answer for this long has left, whatever its socket says."""
NEVER = float("inf")
NO_ROOM = "no room for the rest of the request"


class Times:
    """The seconds of one configuration."""

    def __init__(self, settings: Resilience) -> None:
        self.settings = settings
        self.total_s = settings.total_s
        self.attempt_s = settings.attempt_s
        self.first_content_s = settings.first_content_s
        self.idle_s = settings.idle_s
        self.keepalive_s = float(settings.stream_keepalive_s)


class Timed:
    """Whose time a deadline is. (A compiled class has no abstract methods.)"""

    def expired(self, deadline: Deadline, error: EdgeError) -> None:
        """It is over, or what `Deadline.for_attempts` says: UpstreamTimeout, or ClientClosedRequest where it was the
        client that did not take its answer.
        """
        raise NotImplementedError


class Sweep:
    """The deadlines of one event loop, in a list that they are the links of; looks at them while there are any."""

    def __init__(self) -> None:
        self._first: Deadline | None = None
        self._next: Deadline | None = None
        self._times: Times | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        return self._first is not None

    def times(self, settings: Resilience) -> Times:
        """Those of the configuration that is asked for nearly always are at hand."""
        times = self._times
        if times is None or times.settings is not settings:
            times = self._times = Times(settings)
        return times

    def add(self, deadline: Deadline) -> None:
        """Look at a deadline from now on, if that is not done already."""
        if deadline.listed:
            return
        deadline.listed = True
        after = deadline.after = self._first
        if after is not None:
            after.before = deadline
        self._first = deadline
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SWEEP_S, self._look, loop)

    def remove(self, deadline: Deadline) -> None:
        if not deadline.listed:
            return
        deadline.listed = False
        before, after = deadline.before, deadline.after
        deadline.before = deadline.after = None
        if self._next is deadline:
            self._next = after
        if after is not None:
            after.before = before
        if before is not None:
            before.after = after
        else:
            self._first = after

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        # First, so that an error in one request's callback, which the loop reports, stops nobody else's clocks.
        self._timer = loop.call_later(SWEEP_S, self._look, loop)
        now = perf_counter()
        deadline = self._first
        while deadline is not None:
            self._next = deadline.after  # kept right by `remove`, whatever is removed meanwhile
            if deadline.heard:
                deadline.next_bytes()
            if deadline.when <= now:
                self.remove(deadline)
                deadline.expire()
            else:
                deadline.listen(now)
            deadline = self._next
        if self._first is None:
            self._timer.cancel()
            self._timer = None


class Deadline:
    """The clocks of one request. Between `start` and `stop`, once per attempt, and from `wait` on, who waits is told
    when its time is over.

    ``listed``, ``before`` and ``after`` are its sweep's.
    """

    def __init__(self, sweep: Sweep, settings: Resilience, whose: Timed, client_ms: int = 0) -> None:
        self.begin(sweep, settings, whose, client_ms)

    def begin(self, sweep: Sweep, settings: Resilience, whose: Timed, client_ms: int) -> None:
        """As it is made: `client_ms` is the client's own total, 0 for none."""
        self._whose: Timed | None = whose
        self._sweep = sweep
        self._times = times = sweep.times(settings)
        self._begin_s = NEVER
        self._awaited = "no complete answer"
        total_s = times.total_s
        if client_ms and client_ms / 1000 < total_s:
            total_s = client_ms / 1000
        self._made = perf_counter()
        self._total = self.when = self._made + total_s
        self.heard = self.listed = False
        self.before: Deadline | None = None
        self.after: Deadline | None = None
        self._call: Call | None = None
        self._latest = b""
        self._speak_at = 0.0
        self._phase = ""
        self._upload: Upload | None = None
        self._uploads = False
        self._upload_at = 0.0
        self._client = self._made + client_ms / 1000 if client_ms else NEVER

    def for_attempts(self, stream: bool, total_s: float = NEVER, share: int = 1) -> Self:
        """From here on each `start` begins an attempt at an answer, which begins with the wait for all of it, or for
        the first content of a `stream`. All attempts together have `total_s` at most, and each its part of that where
        they `share` it.
        """
        self._begin_s = self._times.first_content_s if stream else self._times.attempt_s
        self._awaited = "no content" if stream else "no complete answer"
        if total_s < NEVER:
            self._total = min(self._total, perf_counter() + total_s)
            self._begin_s = min(self._begin_s, total_s / share)
        return self

    def beside(self, whose: Timed) -> Deadline:
        """The clocks of another attempt beside this one's: the same, from now on, within the same total."""
        other = Deadline(self._sweep, self._times.settings, whose)
        other._begin_s, other._awaited, other._total = self._begin_s, self._awaited, self._total
        return other

    def take_over(self, other: Deadline) -> None:
        """From here on this one tells the client what that one would have."""
        if other._call is not None:
            self._call, other._call = other._call, None
            self._latest, self._speak_at = other._latest, other._speak_at

    def over(self) -> bool:
        """Whether there is no time for another attempt."""
        return perf_counter() >= self._total

    def left(self) -> float:
        """Seconds that are left for all attempts."""
        return self._total - perf_counter()

    def keep_alive(self, call: Call) -> None:
        """Keep a client's call alive whenever it was told nothing for ``stream_keepalive_s``."""
        keepalive_s = self._times.keepalive_s
        if keepalive_s:
            self._call = call
            self._latest = call.reply.latest
            self._speak_at = self._made + keepalive_s

    def next_bytes(self) -> None:
        """From here on the next event of a running stream is awaited. Whoever gets one sets ``heard``; that the clock
        begins anew is seen at the next look.
        """
        self.heard = False
        self._phase = "nothing more"
        now = perf_counter()
        self.when = min(now + self._times.idle_s, self._total)

    def whole(self) -> None:
        """From here on everything is awaited that is still to come."""
        self._phase = "no complete answer"
        self.when = self._total

    def taken(self) -> None:
        """From here on the client is awaited, which has to take what was written."""
        now = perf_counter()
        self._left_s = self._times.idle_s if self.heard else self.when - now
        self.heard = False
        self._phase = ""
        self.when = min(now + WRITE_STALL_S, self._total)

    def go_on(self) -> None:
        """It has taken it: from here on the stream is awaited again, for as long as was left of that."""
        self._phase = "nothing more"
        self.when = min(perf_counter() + self._left_s, self._total)

    def heed(self, upload: Upload | None) -> None:
        """What follows the opening of the body: each `start` begins with the wait for the provider to take it."""
        self._upload = upload

    def uploaded(self) -> None:
        """It has taken all, or has answered before: the answer is awaited from here on."""
        if self._uploads:
            self._end_upload()
            self._await_answer()

    def _end_upload(self) -> None:
        """What it took is not counted."""
        now = perf_counter()
        self._uploads = False
        self._total = min(self._total + now - self._upload_at, self._client)
        self._speak_at = max(self._speak_at, now + self._times.keepalive_s)

    def _takes(self) -> bool:
        """Whether what still comes of a body is taken: then the look at it is put off."""
        upload, now = self._upload, perf_counter()
        if upload is None or not self._uploads or now >= self._client:
            return False
        since = upload.moved_at if upload.waiting else now
        self.when = min(since + self._times.idle_s, self._client)
        if self.when <= now:
            return False
        self._sweep.add(self)
        return True

    def expire(self) -> None:
        whose = self._whose
        if whose is None or self._takes():
            return
        if self._phase:
            whose.expired(self, UpstreamTimeout(f"The provider gave {self._phase} in time."))
        elif self.over():
            # Also where the client is just taking what came last: it is not the one that kept anybody waiting.
            whose.expired(self, UpstreamTimeout("The provider gave no complete answer in time."))
        else:
            whose.expired(self, ClientClosedRequest("The client stopped reading its answer."))

    def listen(self, now: float) -> None:
        """Has the client been told something since the last look?"""
        call = self._call
        if self._uploads:
            if self._upload is not None and self._upload.taken():
                self.uploaded()
            return
        if call is None:
            return
        silent = call.reply.latest is self._latest
        if silent and now < self._speak_at:
            return
        if silent:
            call.keep_alive()
        self._latest = call.reply.latest
        self._speak_at = now + self._times.keepalive_s

    def start(self) -> None:
        if self._upload is None:
            self._await_answer()
            return
        self._uploads = True
        self._upload_at = perf_counter()
        self._phase = NO_ROOM
        self.when = min(self._upload_at + self._times.idle_s, self._client)
        self._sweep.add(self)

    def _await_answer(self) -> None:
        self._phase = self._awaited
        self.when = min(perf_counter() + self._begin_s, self._total)
        self._sweep.add(self)

    def wait(self) -> None:
        """No attempt is in flight: a place is awaited, or the time to ask again. All attempts together have their time
        all the same, and the client its keep-alives.
        """
        self.whole()
        self._sweep.add(self)

    def stop(self) -> None:
        if self._uploads:
            self._end_upload()
        self._sweep.remove(self)

    def close(self) -> None:
        """Nothing is awaited any more; what would be told is let go of, since it holds this."""
        self._sweep.remove(self)
        self._whose = self._call = self._upload = None
