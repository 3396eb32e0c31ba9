"""The answer of an upstream call that others may have asked for too, or may come to ask for.

Where it is not on its way, Redis is asked, once for all who want to know the same at that time. What is not there is
fetched by a `Flight`, for which `ask` is the way to the upstreams: it is an exchange like any other, but nobody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from edge.cache.answers import Answers
from edge.cache.flight import Flight, Follower
from edge.cache.memory import Held
from edge.errors import ClientClosedRequest, EdgeError, InternalError, NotCached
from edge.exchange import Exchange
from edge.hooks import Meter
from edge.money.accounting import Accounts
from edge.redis.client import RedisUnavailable
from edge.replies import keep_alive, replay, serve, serve_flight, start_reply
from edge.upstreams.deadline import Deadline, Sweep

__all__ = ["Sharing"]


class Sharing:
    """One worker's."""

    def __init__(
        self,
        answers: Answers,
        accounts: Accounts,
        meter: Meter,
        sweep: Sweep,
        read: Callable[[Exchange], object],
        ask: Callable[[Exchange], Awaitable[None]],
    ) -> None:
        """`read` looks into the body of an exchange and finds its upstreams, `ask` asks these."""
        self._answers = answers
        self._accounts = accounts
        self._meter = meter
        self._sweep = sweep
        self._read = read
        self._ask = ask

    async def get(self, exchange: Exchange) -> None:
        """Answer an exchange that has a plan, and for which nothing is in memory."""
        settings = exchange.state.settings.resilience
        assert exchange.task is not None  # noqa: S101 - the front's part
        deadline = Deadline(self._sweep, settings, exchange.task, client_ms=exchange.deadline_ms)
        deadline.keep_alive(exchange, keep_alive)
        if not await self._join(exchange, deadline, streams=True):
            # It waited for a stream that cannot be told as JSON. All who did share one more call, for JSON.
            exchange.forget_attempt()
            exchange.cache = "miss"
            await self._join(exchange, deadline, streams=False)

    async def _join(self, exchange: Exchange, deadline: Deadline, *, streams: bool) -> bool:
        """Join a flight, or ask Redis, or begin a flight; with `streams`, JSON may wait for a stream. False if that
        brought no answer.
        """
        plan, flights = exchange.plan, self._answers.flights
        joins = plan.look and exchange.state.settings.cache.join
        flight = flights.find(exchange, streams=streams) if joins else None
        turns = True
        if flight is None:
            try:
                with deadline:
                    found = await self._answers.look_up(exchange)
            except RedisUnavailable:
                found, turns = None, False  # it has waited for Redis once, and is not to wait again
            if found is not None:
                await self._give(exchange, *found, "redis", deadline)
                return True
            flight = flights.find(exchange, streams=streams) if joins else None
        if flight is not None:
            exchange.cache = "joined"
            self._meter.count("edge_cache_joined_total")
        elif plan.look and (found := self._answers.recall(plan, stream=exchange.stream)) is not None:
            # A flight has landed between the look at the end of the body and this.
            await self._give(exchange, *found, "memory", deadline)
            return True
        else:
            if not exchange.upstreams:
                self._read(exchange)  # known by its bytes so far
            flight = self._answers.new_flight(Flight(exchange, start_reply))
            flight.turns = turns and not exchange.route.counts  # the answer is due before a turn may come
            if joins and not plan.only:
                flights.add(flight)
        await self._follow(exchange, flight, flight.add(exchange), deadline)
        if not exchange.ended and not serve_flight(exchange, flight):
            return False
        if exchange.cache != "miss" and exchange.status == 200:
            self._accounts.saved_by(exchange, flight.cost if flight.held is None else flight.held.entry.cost)
        return True

    async def _give(self, exchange: Exchange, held: Held, form: bytes, tier: str, deadline: Deadline) -> None:
        """A stored answer, in its form or, where streams are to be replayed, in the time it took."""
        if exchange.stream and exchange.state.settings.cache.replay == "paced":
            with deadline:
                await replay(exchange, held, tier, deadline.taken, deadline.whole)
        else:
            serve(exchange, held, form, tier)
        self._accounts.saved_by(exchange, held.entry.cost)

    async def _follow(self, exchange: Exchange, flight: Flight, follower: Follower, deadline: Deadline) -> None:
        """Take what a flight brings, to its end; the last who leaves before ends it."""
        if flight.task is None:
            flight.task = asyncio.create_task(self._fly(flight))
        cause: EdgeError | None = None
        try:
            with deadline:
                await flight.follow(follower, deadline.taken, deadline.whole)
        except EdgeError as error:
            cause = error
            raise
        finally:
            if flight.leave(follower):
                # It is nobody's from here on. What it cost is still to be in this one's record.
                flight.error = exchange.error or cause or ClientClosedRequest()
                self._accounts.settle(flight)
            flight.account_for(follower)

    async def _fly(self, flight: Flight) -> None:
        """Fetch the answer of a flight; the task of nobody."""
        try:
            if flight.turns:
                await self._answers.take_turns(flight)
            if flight.held is not None:
                flight.end()
            elif flight.plan.only:
                raise NotCached
            else:
                await self._ask(flight)
                if not flight.makeshift:
                    self._answers.keep(flight)
        except asyncio.CancelledError as cancelled:
            self._lose(flight, flight.error or ClientClosedRequest())
            # The task keeps it, and its frames a deadline that holds the task.
            raise cancelled.with_traceback(None)  # noqa: B904 - it is the same
        except EdgeError as error:
            self._lose(flight, error.bare())
        except Exception as error:  # noqa: BLE001 - its followers raise it
            self._lose(flight, InternalError())
            flight.failure = error
        finally:
            self._answers.flights.remove(flight)
            flight.task = None  # which holds it, by the traceback of what ended it
            await self._answers.let_go(flight)

    def _lose(self, flight: Flight, error: EdgeError) -> None:
        """End a flight that failed: its followers get the error, in the reply or as it."""
        flight.error = flight.failure = error
        self._accounts.settle(flight)
        if flight.ended:
            return
        if flight.started:
            flight.write(flight.crossing.error_event(error, flight.request_id))
        flight.end()
