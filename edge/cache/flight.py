"""One upstream call for all who ask the same at once.

A flight asks what its first client has asked, for all: providers are asked for it as for a call, and what it is
told goes to its followers, each of which stands for a call of a client. What has come is kept while it is short
enough to be stored, so that one who comes late gets it at once, and then what comes from there on. The flight belongs
to nobody: its first client may leave; when the last one leaves it is cancelled.

Bytes go to a follower that can take them as they come. One that cannot falls behind, and catches up when its client
takes more; it does not hold the others, and is let go of when it is `MAX_LAG` behind. Only when nobody can take more
does the upstream have to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Protocol

from edge.cache.entry import Entry
from edge.cache.memory import Held
from edge.cache.policy import Plan
from edge.call import Call
from edge.clock import perf_counter
from edge.errors import ClientTooSlow, EdgeError, Headers
from edge.inquiry import Inquiry
from edge.reply import STREAM
from edge.routes import ON_REQUEST

__all__ = ["MAX_KEPT", "Clock", "Flight", "Flights", "Follower"]

MAX_KEPT = 1 << 20
"""Bytes of an answer that can still be joined, and stored."""
MAX_LAG = 4 << 20
MAX_WHOLE = 64 << 20
"""Bytes of a stream that are kept for who waits for its end, to have it as JSON: as many as JSON may have."""

Done = Callable[[BaseException | None], None]


class Clock(Protocol):
    """What a follower tells of whom it waits for: the client has to take what was written, or has taken it."""

    def taken(self) -> None: ...

    def whole(self) -> None: ...


class Follower:
    """A client of a flight. ``position`` counts the writes it has got, ``taken`` their bytes; ``ready``: it has all,
    and can take more; ``whole``: it waits for the end, because the answer comes in another form than it expects.

    `done` is called once, with None when the flight has ended well or has told its error in the reply, else with what
    ended it: ClientTooSlow for a follower that is too far behind, or the flight's failure where no reply has begun.
    """

    __slots__ = ("_clock", "_done", "_flight", "_since", "_waits", "call", "position", "ready", "taken", "whole")

    def __init__(self, flight: Flight, call: Call, clock: Clock, done: Done) -> None:
        self.call = call
        self.whole = flight.payload.stream and not call.payload.stream
        self.position = 0
        self.taken = 0
        self.ready = False
        self._flight: Flight | None = flight
        self._clock = clock
        self._done: Done | None = done
        self._waits = False
        self._since = 0.0

    def write(self, data: bytes) -> None:
        """The next bytes of the flight, for a follower that is ready."""
        self.position += 1
        self.taken += len(data)
        self.call.reply.write(data)
        if self.call.reply.congested():
            self.wake()

    def wake(self) -> None:
        """It is no more that it has all, and waits."""
        if self.ready:
            self.ready = False
            self.waited()
        self.go_on()

    def waited(self) -> None:
        """It waits for the flight no more, or from now on for the next of its bytes."""
        if self._since:
            self.call.ledger.waited(self._since)
        self._since = perf_counter() if self.ready else 0.0

    def finish(self) -> None:
        """It has all, so its reply ends: nobody is told of room in it any more, and it waits for none."""
        self._waits = False
        self.call.reply.end()

    def go_on(self) -> None:
        """Take what is there, as far as the client takes it."""
        call, flight = self.call, self._flight
        while flight is not None and not self._waits:
            if call.reply.begun() and call.reply.congested():
                self._waits = True
                self._clock.taken()
                call.reply.when_room(self._room)
            elif not self.whole and self.position < flight.count:
                chunk = flight.chunk(self.position)
                if chunk is None:
                    call.ledger.attempt = None  # that one may be at the end, and have nothing more to say
                    self._end(ClientTooSlow())
                    return
                self.position += 1
                self.taken += len(chunk)
                call.reply.write(chunk)
            elif flight.landed:
                self._land(flight)
                return
            else:
                self.ready = True
                self.waited()
                flight.make_room()
                return

    def _room(self) -> None:
        self._waits = False
        self._clock.whole()
        self.go_on()

    def _land(self, flight: Flight) -> None:
        call = self.call
        if flight.reply.over() and not self.whole:
            if flight.ledger.error is not None:
                call.ledger.error = flight.ledger.error
            if not call.reply.over():
                call.reply.end()
            if isinstance(flight.failure, EdgeError):
                self._end(None)  # it was told in the reply
                return
        self._end(flight.failure)

    def _end(self, error: BaseException | None) -> None:
        done = self._done
        self.close()
        if done is not None:
            done(error)

    def close(self) -> None:
        """It follows no more; `done` is not called."""
        if self._flight is not None:
            self._flight = self._done = None
            self.ready = False
            self.waited()
            self.call.reply.when_room(None)


class Flight(Inquiry):
    """Asks what the call of its first client asks, which it is made from; ``plan`` is that one's, and so is its cost.

    ``failure`` is what ended it, None for a flight that ended well; ``held`` is the answer where it was stored already;
    ``lease`` the token of the right to fetch it before other workers and machines do, ``turns`` whether to ask for it;
    ``on_cancel`` is there while it is in flight, and it has ``landed`` when it is over.
    """

    def __init__(self, first: Call, plan: Plan) -> None:
        self.asks(first.head, first.varying, first.request_id, first.state, first.key, first.payload, first.grant)
        self.reservation = first.reservation
        self.trace = first.trace
        self.plan = plan
        self.failure: BaseException | None = None
        self.held: Held | None = None
        self.generation = 0
        self.lease = b""
        self.turns = True
        self.open = True
        self.landed = False
        self.on_cancel: Callable[[], None] | None = None
        self._followers: list[Follower] = []
        self._head: tuple[Headers, int] = ([], STREAM)
        self._chunks: list[bytes] = []
        self._times: list[float] = []
        self._dropped = 0
        self._size = 0
        self._room: Callable[[], None] | None = None

    @property
    def asked(self) -> tuple[bytes, bool, bool]:
        """What it answers: a cache key, and the form of the answer."""
        payload = self.payload
        return self.plan.digest, payload.stream, payload.include_usage

    # Its followers.

    @property
    def count(self) -> int:
        """How many writes there have been."""
        return self._dropped + len(self._chunks)

    def chunk(self, position: int) -> bytes | None:
        """One of the writes, None if it is kept no more."""
        return self._chunks[position - self._dropped] if position >= self._dropped else None

    def add(self, call: Call, clock: Clock, done: Done) -> Follower:
        """From now on a call gets the reply, from its beginning to its end."""
        follower = Follower(self, call, clock, done)
        self._followers.append(follower)
        if self.reply.has_answer():
            self._start_follower(follower)
        return follower

    def leave(self, follower: Follower) -> bool:
        """A follower is done with it, or gone. True if that ends a flight that was in flight: it was the last one."""
        follower.close()
        if follower not in self._followers:
            return False
        self._followers.remove(follower)
        if self._followers:
            self.make_room()
            return False
        if self.reply.over() or self.on_cancel is None:
            return False
        self.open = False
        return True

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self.on_cancel is not None:
            self.on_cancel()

    def _start_follower(self, follower: Follower) -> None:
        call = follower.call
        headers, size = self._head
        if call.reply.begun() and size != STREAM:
            follower.whole = True  # it was told that a stream will come, and this is none: it is made one at the end
        if follower.whole:
            return
        follower.waited()
        ledger = call.ledger
        ledger.shares(self.ledger)
        ledger.accounts_for(self.ledger)
        if call.payload.stream:
            ledger.content_at = perf_counter()
        call.begin_answer(self.reply.status, list(headers), size)

    def make_room(self) -> None:
        """A follower may take more."""
        room = self._room
        if room is not None and not self.congested():
            self._room = None
            # Not at once: what is told then may be told to the follower whose turn this is.
            asyncio.get_running_loop().call_soon(room)

    # What providers have answered.

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self.begin_answer(status, headers, len(body))
        self.reply.write(body)
        self.reply.end()

    def begin_answer(self, status: int, headers: Headers, size: int) -> None:
        self._head = (headers, size)
        self.reply.start(status, b"", size)  # each follower has lines of its own

    # As a sink.

    def start(self, status: int, lines: bytes, size: int) -> None:
        for follower in self._followers:
            self._start_follower(follower)

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._chunks.append(data)
        self._times.append(perf_counter())
        self._size += len(data)
        for follower in self._followers:
            if follower.ready and not follower.whole:
                follower.write(data)
        if self._size > MAX_KEPT:
            self._forget()

    def _forget(self) -> None:
        """It is too long to be stored: keep only what somebody has still to get."""
        self.open = False
        positions = [
            follower.position
            for follower in self._followers
            if self._size - follower.taken <= (MAX_WHOLE if follower.whole else MAX_LAG)
        ]
        passed = min(positions, default=self.count) - self._dropped
        if passed > 0:
            del self._chunks[:passed]
            del self._times[:passed]
            self._dropped += passed

    def end(self) -> None:
        # Until its answer is stored, one that comes now gets it here.
        self.open = self.open and self.failure is None
        for follower in self._followers:
            # Who has everything is done, or the end of its own time could come between.
            if follower.call.reply.begun() and not follower.whole and follower.position == self.count:
                if self.ledger.error is not None:
                    follower.call.ledger.error = self.ledger.error
                follower.finish()

    def land(self) -> None:
        """It is over: its followers take what they have not got yet, and are done."""
        self.landed = True
        self.reply.let_go()
        for follower in list(self._followers):
            follower.wake()

    def abort(self) -> None:
        self.end()

    def congested(self) -> bool:
        for follower in self._followers:  # noqa: SIM110 - no closure in what is compiled
            if follower.ready or follower.whole:
                return False
        return True

    def when_room(self, room: Callable[[], None] | None) -> None:
        self._room = room
        if room is not None:
            self.make_room()

    # What is left of it.

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream of events, and complete."""
        return self.reply.status == 200 and self._head[1] == STREAM

    def told(self) -> tuple[int, Headers, bytes]:
        """The whole of an answer that is kept: status, headers and body."""
        return self.reply.status, list(self._head[0]), b"".join(self._chunks)

    @property
    def short(self) -> bool:
        """Whether the answer is short enough to be stored."""
        return self._size <= MAX_KEPT

    @property
    def kept(self) -> bool:
        """Whether all of the answer is still here."""
        return self._dropped == 0

    def entry(self, ttl_s: float) -> Entry:
        """The answer to be stored. Its flight has ended well."""
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        chunks: list[tuple[int, int]] = []
        end = 0
        if self.streamed:
            for chunk, at in zip(self._chunks, self._times, strict=True):
                end += len(chunk)
                chunks.append((int((at - self._times[0]) * 1000), end))
        ledger, now = self.ledger, time()
        upstream = ledger.upstream
        return Entry(
            self.head.route.api,
            body,
            tuple(chunks),
            ledger.usage,
            upstream.name if upstream is not None else "",
            upstream.model if upstream is not None else "",
            ledger.cost,
            now,
            now + ttl_s,
        )


class Flights:
    """The flights that can be joined, by what they answer."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool, bool], Flight] = {}

    def find(self, call: Call, plan: Plan, streams: bool = True) -> Flight | None:
        """One that gives this call, whose plan this is, its answer, also where that has begun.

        A stream joins only its like: in JSON, its first word would come with the last. With `streams`, JSON may wait
        for a stream that tells its tokens.
        """
        digest, payload = plan.digest, call.payload
        if payload.stream:
            return self._open((digest, True, payload.include_usage))
        whole = self._open((digest, False, False))
        if whole is not None or not streams:
            return whole
        return self._open((digest, True, call.head.route.api in ON_REQUEST))

    def _open(self, key: tuple[bytes, bool, bool]) -> Flight | None:
        flight = self._known.get(key)
        return flight if flight is not None and flight.open else None

    def add(self, flight: Flight) -> None:
        self._known[flight.asked] = flight

    def remove(self, flight: Flight) -> None:
        if self._known.get(flight.asked) is flight:
            del self._known[flight.asked]
