"""One upstream call for all who ask the same at once.

A flight is an exchange whose reply goes to its followers: the gateway fetches it as it fetches any other, and each
follower is an exchange of a client. What has come is kept while it is short enough to be stored, so that one who comes
late gets it at once, and then what comes from there on. The flight belongs to nobody: its first client may leave; when
the last one leaves it is cancelled.

Bytes go to a follower that can take them as they come. One that cannot falls behind, and catches up in its own task; it
does not hold the others, and is let go of when it is `MAX_LAG` behind. Only when nobody can take more does the upstream
have to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter, time

from edge.cache.entry import Entry
from edge.cache.memory import Held
from edge.cache.policy import ON_REQUEST, Plan
from edge.errors import ClientTooSlow, EdgeError, Headers
from edge.exchange import Exchange

__all__ = ["MAX_KEPT", "Flight", "Flights", "Follower"]

MAX_KEPT = 1 << 20
"""Bytes of an answer that can still be joined, and stored."""
MAX_LAG = 4 << 20
MAX_WHOLE = 64 << 20
"""Bytes of a stream that are kept for who waits for its end, to have it as JSON: as many as JSON may have."""

Begin = Callable[[Exchange, int, Headers, "int | None"], None]
"""Starts a follower's reply: the gateway's way to begin any."""


class Follower:
    """A client of a flight. ``position`` counts the writes it has got, ``taken`` their bytes; ``ready``: it has all,
    and can take more; ``whole``: it waits for the end, because the answer comes in another form than it expects.
    """

    __slots__ = ("exchange", "news", "position", "ready", "taken", "whole")

    def __init__(self, exchange: Exchange, whole: bool) -> None:
        self.exchange = exchange
        self.whole = whole
        self.position = 0
        self.taken = 0
        self.ready = False
        self.news: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self.ready = False
        if self.news is not None and not self.news.done():
            self.news.set_result(None)


class Flight(Exchange):
    """Made from its first client's exchange, whose request it takes over; ``plan`` is that one's.

    ``failure`` is what ended it, None for a flight that ended well; ``held`` is the answer where it was stored already;
    ``lease`` the token of the right to fetch it before other workers and machines do, ``turns`` whether to ask for it.
    """

    shares = True

    def __init__(self, first: Exchange, begin: Begin) -> None:
        # Not Exchange's: everything is known, and must be the first one's.
        self.route = first.route
        self.dialect = first.dialect
        self.argument = first.argument
        self.method = first.method
        self.target = first.target
        self.query = first.query
        self.headers = first.headers
        self.index = first.index
        self.peer = first.peer
        self.received_at = first.received_at
        self.request_id = first.request_id
        self.body = first.body
        self.state = first.state
        self.key = first.key
        self.scanner = first.scanner
        self.body_digest = first.body_digest
        self.spans = first.spans
        self.model = first.model
        self.model_label = first.model_label
        self.stream = first.stream
        self.upstreams = first.upstreams
        self.plan: Plan = first.plan
        self.failure: BaseException | None = None
        self.held: Held | None = None
        self.generation = 0
        self.lease = b""
        self.turns = True
        self.open = True
        self._begin = begin
        self._followers: list[Follower] = []
        self._head: tuple[Headers, int | None] = ([], None)
        self._chunks: list[bytes] = []
        self._times: list[float] = []
        self._dropped = 0
        self._size = 0
        self._room: asyncio.Future[None] | None = None

    # Its followers.

    async def follow(self, follower: Follower, taking: Callable[[], None], taken: Callable[[], None]) -> None:
        """Give a follower the reply, to its end, unless it is one of those that wait for the whole.

        `taking` and `taken` are called around each wait for the client to take what it has. Raises what ended the
        flight where no reply has begun, or where it is no EdgeError; ClientTooSlow for a follower that is too far
        behind.
        """
        exchange = follower.exchange
        if self.started:
            self._start_follower(follower)
        while True:
            if exchange.started and exchange.congested:
                taking()
                await exchange.drain()
                taken()
            if not follower.whole and follower.position < self._dropped + len(self._chunks):
                if follower.position < self._dropped:
                    exchange.crossing = None  # that one may be at the end, and have nothing more to say
                    raise ClientTooSlow
                chunk = self._chunks[follower.position - self._dropped]
                follower.position += 1
                follower.taken += len(chunk)
                exchange.write(chunk)
                continue
            if self.ended:
                break
            follower.ready = True
            self._make_room()
            follower.news = asyncio.get_running_loop().create_future()
            exchange.upstream_begins()
            try:
                await follower.news
            finally:
                exchange.upstream_ends()
        if self.started and not follower.whole:
            if self.error is not None:
                exchange.error = self.error
            if not exchange.ended:
                exchange.end()
            if isinstance(self.failure, EdgeError):
                return  # it was told in the reply
        if self.failure is not None:
            raise self.failure

    def add(self, exchange: Exchange) -> Follower:
        follower = Follower(exchange, whole=self.stream and not exchange.stream)
        self._followers.append(follower)
        return follower

    def leave(self, follower: Follower) -> bool:
        """A follower is done with it, or gone. True if that ends a flight that was under way: it was the last one."""
        self._followers.remove(follower)
        if self._followers:
            self._make_room()
            return False
        if self.ended or self.task is None:
            return False
        self.open = False
        self.task.cancel()
        return True

    def _start_follower(self, follower: Follower) -> None:
        exchange = follower.exchange
        headers, size = self._head
        if exchange.early and size is not None:
            follower.whole = True  # it was told that a stream will come, and this is none: it is made one at the end
        if follower.whole:
            return
        exchange.upstream_ends()
        exchange.upstream = self.upstream
        exchange.attempts = self.attempts
        exchange.crossing = self.crossing
        self.account_for(follower)
        if exchange.stream:
            exchange.content_at = perf_counter()
        self._begin(exchange, self.status, list(headers), size)

    def account_for(self, follower: Follower) -> None:
        """What the answer cost is the first one's, as far as it is known; it is charged to the flight, once."""
        exchange = follower.exchange
        exchange.charged = True
        exchange.usage = self.usage
        if exchange.cache == "miss":
            exchange.cost, exchange.estimated = self.cost, self.estimated

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # As a sink.

    def start(self, status: int, headers: Headers, size: int | None = None) -> None:
        self.started = True
        self.status = status
        self._head = (headers, size)
        for follower in self._followers:
            waits = follower.news is not None and not follower.news.done()
            self._start_follower(follower)
            if waits and not follower.whole:
                follower.exchange.upstream_begins()

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._chunks.append(data)
        self._times.append(perf_counter())
        self._size += len(data)
        for follower in self._followers:
            if follower.whole:
                continue
            if follower.ready:
                follower.position += 1
                follower.taken += len(data)
                follower.exchange.write(data)
                if follower.exchange.congested:
                    follower.wake()
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
        passed = min(positions, default=self._dropped + len(self._chunks)) - self._dropped
        if passed > 0:
            del self._chunks[:passed]
            del self._times[:passed]
            self._dropped += passed

    def end(self) -> None:
        self.ended = True
        # Until its answer is stored, one that comes now gets it here.
        self.open = self.open and self.failure is None
        all_of_it = self._dropped + len(self._chunks)
        for follower in self._followers:
            # Who has everything is done, or the end of its own time could come between.
            if follower.exchange.started and not follower.whole and follower.position == all_of_it:
                if self.error is not None:
                    follower.exchange.error = self.error
                follower.exchange.end()
            follower.wake()

    def abort(self) -> None:
        self.end()

    @property
    def congested(self) -> bool:
        return not any(follower.ready or follower.whole for follower in self._followers)

    async def drain(self) -> None:
        while self.congested:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    # What is left of it.

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream of events, and complete."""
        return self.status == 200 and self._head[1] is None

    def reply(self) -> tuple[int, Headers, bytes]:
        """The whole of an answer that is kept: status, headers and body."""
        return self.status, list(self._head[0]), b"".join(self._chunks)

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
        now = time()
        return Entry(
            self.route.api,
            body,
            tuple(chunks),
            self.usage,
            self.upstream.provider.name if self.upstream is not None else "",
            self.upstream.model if self.upstream is not None else "",
            self.cost,
            now,
            now + ttl_s,
        )


class Flights:
    """The flights that can be joined, by what they answer."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool, bool], Flight] = {}

    def find(self, exchange: Exchange, *, streams: bool = True) -> Flight | None:
        """One that gives this exchange its answer, also where that has begun.

        A stream joins only its like: in JSON, its first word would come with the last. With `streams`, JSON may wait
        for a stream that tells its tokens.
        """
        plan: Plan = exchange.plan
        if exchange.stream:
            return self._open((plan.digest, True, plan.include_usage))
        whole = self._open((plan.digest, False, False))
        if whole is not None or not streams:
            return whole
        return self._open((plan.digest, True, exchange.route.api in ON_REQUEST))

    def _open(self, key: tuple[bytes, bool, bool]) -> Flight | None:
        flight = self._known.get(key)
        return flight if flight is not None and flight.open else None

    def add(self, flight: Flight) -> None:
        self._known[flight.plan.digest, flight.stream, flight.plan.include_usage] = flight

    def remove(self, flight: Flight) -> None:
        key = (flight.plan.digest, flight.stream, flight.plan.include_usage)
        if self._known.get(key) is flight:
            del self._known[key]
