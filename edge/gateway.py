"""The way of a request, top to bottom.

``open`` at the end of the headers and ``admit`` at the end of the body are synchronous: what can be refused or answered
there costs no task. ``fetch`` is what must wait. After each of the three, an exchange that has ``ended`` is answered.

The gateway knows no server: a front makes an `Exchange`, calls these three in order, and cancels ``fetch`` when its
client leaves.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import perf_counter

from edge import config
from edge.cache.answers import Answers
from edge.cache.policy import caches_for
from edge.errors import (
    ClientClosedRequest,
    EdgeError,
    Headers,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NothingAvailable,
    Overloaded,
    ProviderError,
    UnsupportedMediaType,
    UnsupportedRoute,
    UpstreamTimeout,
    kind_of_status,
)
from edge.exchange import Exchange
from edge.guard import validate
from edge.guard.auth import refuse_model
from edge.guard.key_table import KeyTable
from edge.guard.limits import KeyLimits
from edge.hooks import Hooks, Meter
from edge.money.accounting import Accounts
from edge.own_answers import estimate_count, estimate_uncounted, list_models
from edge.repeats import Repeats
from edge.replies import JSON_TYPE, STREAM_HEADERS, fail, keep_alive, replay, reply, serve, start_reply
from edge.routes import EXISTING, OTHER, UNKNOWN, no_route
from edge.sharing import Sharing
from edge.slices import LARGE, Slices
from edge.state import Granted, State, build_state
from edge.upstreams.attempts import (
    AttemptFailed,
    body_of,
    check_count,
    check_status,
    code_of_attempt,
    failed_attempt,
    failure_of,
    is_kept,
    is_stream,
    may_follow,
    returned_headers,
)
from edge.upstreams.deadline import Deadline, Sweep
from edge.upstreams.large import is_brief, is_short
from edge.upstreams.provider import Provider
from edge.upstreams.relay import EventRelay
from edge.upstreams.router import Upstream
from edge.upstreams.ties import targets_of
from edge.upstreams.wire import Response

__all__ = ["Gateway"]

COUNT_S = 4.0
"""What providers have to count the tokens of a request, all of them together. Clients wait for it before a turn."""
NO_MULTIPART = f"Multipart bodies are not supported. There are: {EXISTING}."


Load = Callable[[], tuple[config.Config, KeyTable | None]]
"""Reads a configuration, and the table of its keys where they stand in one."""


class Gateway:
    """Serves exchanges by a `State`, tells `hooks` of each, and `meter` what it cost."""

    def __init__(self, state: State, hooks: Hooks, meter: Meter, answers: Answers, limits: KeyLimits) -> None:
        self.state = state
        self.hooks = hooks
        self._count = meter.count
        self.answers = answers
        self.accounts = Accounts(meter)
        self.limits = limits
        self.repeats = Repeats(hooks, meter, self.accounts, limits)
        self._sweep = Sweep()
        self._slices = Slices()
        self._buffered = 0
        self._in_flight = 0
        self._tell_in_flight = meter.bind("edge_requests_in_flight")
        self._tell_in_flight(0.0)
        self._hit = meter.bind("edge_cache_requests_total", "memory", "hit")
        self._missed = meter.bind("edge_cache_requests_total", "memory", "miss")
        self._retiring: set[Provider] = set()
        self._changing = asyncio.Lock()
        self.sharing = Sharing(answers, self.accounts, meter, self._sweep, self._read, self._ask)

    async def reload(self, load: Load, prepared: Callable[[config.Config], None] = lambda _: None) -> None:
        """Serve new requests by another configuration, in one step. Raises what `load` does, OSError as `build_state`.

        `load` and whatever takes long is done in a thread of its own, whose steps are short, so that the loop serves
        meanwhile; `prepared` is called on the loop just before. The connections of providers that are no more are
        closed when the last request by the old configuration must be over.
        """
        async with self._changing:
            old = self.state

            def build() -> State:
                settings, keys = load()
                return build_state(settings, keys, loopback_only=old.auth.loopback_only, old=old)

            state = await asyncio.to_thread(build)
            prepared(state.settings)
            self.state = state
            await self.answers.adjust(state.settings.cache)
        gone = set(old.providers.values()) - set(state.providers.values())
        self._retiring |= gone
        await asyncio.sleep(old.settings.resilience.total_s)
        for provider in gone:
            await provider.transport.close()
        self._retiring -= gone

    async def close(self) -> None:
        """Close the connections to all providers."""
        providers = {*self.state.providers.values(), *self._retiring}
        await asyncio.gather(*(provider.transport.close() for provider in providers))

    # What came before.

    def repeat(self, request: bytes, start: bytes, peer: str) -> bytes | None:
        """The reply, which begins with `start`, to the very bytes of a request that was answered from memory before."""
        if self._in_flight >= self.state.settings.server.max_in_flight:
            return None
        return self.repeats.answer(request, start, peer, self.state, self.answers.memory)

    # At the end of the headers.

    def open(self, exchange: Exchange) -> None:
        """Who is asking, and for what? Refuses an unknown key before it has sent its body."""
        state = exchange.state = self.state
        try:
            exchange.key = state.auth.identify(exchange)
            route = exchange.route
            if route is UNKNOWN or (route.endpoint == OTHER and exchange.method not in (route.method, "OPTIONS")):
                if b"anthropic-version" in exchange.index:
                    exchange.dialect = "anthropic"
                raise UnsupportedRoute(no_route(exchange.target, exchange.dialect))
            if exchange.method not in route.methods:
                if exchange.method == "OPTIONS":
                    reply(exchange, 200, [(b"allow", ", ".join((*route.methods, "OPTIONS")).encode())], b"")
                    self._settle(exchange)
                    return
                raise MethodNotAllowed(", ".join(route.methods))
            media_type = exchange.index.get(b"content-type")
            if media_type != b"application/json" and (media_type or b"").lower().startswith(b"multipart/"):
                raise UnsupportedRoute(NO_MULTIPART)
            encoding = exchange.index.get(b"content-encoding")
            if encoding is not None and encoding.lower() != b"identity":
                raise UnsupportedMediaType("Compressed bodies are not supported: send it without content-encoding.")
            if self._in_flight >= state.settings.server.max_in_flight:
                raise Overloaded
            exchange.admitted = True
            self._in_flight += 1
            self._tell_in_flight(self._in_flight)
            if exchange.key.limited and route.api != "models":
                exchange.quota = self.limits.headers
                self.limits.take(exchange)
        except EdgeError as error:
            self.refuse(exchange, error)

    # While the body comes, and at its end.

    def hold(self, exchange: Exchange, size: int) -> None:
        """So many more bytes of a body are kept in memory until the exchange is settled. Raises Overloaded."""
        self._buffered += size
        exchange.buffered += size
        if self._buffered > exchange.state.settings.server.max_buffered_bytes:
            raise Overloaded("This edge holds as many bytes of bodies as it may; ask again.")

    def admit(self, exchange: Exchange) -> None:
        """Is the request sound, may this key ask this model, and is its answer here? A large one is left to `fetch`."""
        if len(exchange.body) <= LARGE and exchange.route.api != "models":
            self._admit(exchange)

    def _admit(self, exchange: Exchange) -> None:
        caches = caches_for(exchange)
        try:
            exchange.deadline_ms = validate.timeout_ms(exchange)
            exact = self.answers.exact(exchange) if caches else ()
            if caches and self._repeats(exchange, exact):
                return
            granted = self._read(exchange)
            if caches:
                exchange.plan = self.answers.plan(exchange, exact, granted.cache, granted.identity)
                exchange.cache = "miss" if exchange.plan is not None else "bypass"
                self._recall(exchange)
        except EdgeError as error:
            self.refuse(exchange, error)

    def _repeats(self, exchange: Exchange, exact: tuple[bytes, ...]) -> bool:
        """Whether the very bytes of a request were checked before. Then they need not be looked into, for an answer
        that is here already.
        """
        repeat = self.answers.repeat(exchange, exact)
        if repeat is None:
            return False
        exchange.plan = repeat.plan
        exchange.cache = "miss"
        exchange.model = repeat.model
        exchange.model_label = repeat.label
        exchange.stream = repeat.stream
        self._recall(exchange)
        return True

    def _recall(self, exchange: Exchange) -> None:
        """Answer from memory, if it is there."""
        plan = exchange.plan
        if plan is None or not plan.look:
            return
        found = self.answers.recall(plan, stream=exchange.stream)
        (self._missed if found is None else self._hit)(1.0)
        if found is None:
            return
        exchange.held = found[0]
        if exchange.stream and exchange.state.settings.cache.replay == "paced":
            return
        serve(exchange, *found, "memory")
        self.accounts.saved_by(exchange, found[0].entry.cost)
        self._settle(exchange)

    def _read(self, exchange: Exchange) -> Granted:
        """Check the body, and find the upstreams of the model asked for that the key may use, in the order in which to
        try them.
        """
        validate.check_body(exchange)
        granted: Granted = exchange.state.grant(exchange.key, exchange.model, exchange.route)
        exchange.model_label, exchange.upstreams = granted.label, granted.upstreams
        if not granted.upstreams:
            raise refuse_model(exchange.model)
        return granted

    # What must wait.

    async def fetch(self, exchange: Exchange) -> None:
        """Get the answer. The front cancels this when the client leaves, which closes the upstream."""
        try:
            if exchange.route.api == "models":
                await list_models(exchange)
                return
            if len(exchange.body) > LARGE:
                await validate.read_in_slices(exchange, self._slices, digest=caches_for(exchange))
                self._admit(exchange)
                if exchange.ended:
                    return
            if exchange.held is not None:
                await self._replay(exchange)
            elif exchange.plan is not None:
                await self.sharing.get(exchange)
            else:
                await self._ask(exchange)
        except EdgeError as error:
            fail(exchange, error)
        except asyncio.CancelledError:
            if exchange.error is None:
                exchange.error = ClientClosedRequest()
            raise
        except Exception:
            fail(exchange, InternalError())
            raise
        finally:
            self._settle(exchange)

    async def _replay(self, exchange: Exchange) -> None:
        """A stored stream as it came, in the time that a new one would have."""
        settings = exchange.state.settings.resilience
        assert exchange.task is not None  # noqa: S101 - the front's part
        deadline = Deadline(self._sweep, settings, exchange.task, client_ms=exchange.deadline_ms)
        deadline.keep_alive(exchange, keep_alive)
        with deadline:
            await replay(exchange, exchange.held, "memory", deadline.taken, deadline.whole)
        self.accounts.saved_by(exchange, exchange.held.entry.cost)

    async def _ask(self, exchange: Exchange) -> None:
        """One upstream after the other, until one gives content."""
        settings = exchange.state.settings.resilience
        assert exchange.task is not None  # noqa: S101 - the front's part
        deadline = Deadline(self._sweep, settings, exchange.task, client_ms=exchange.deadline_ms)
        targets, counts = targets_of(exchange), exchange.route.counts
        left = len(targets)
        if counts:
            deadline.for_attempts(stream=False, total_s=COUNT_S, share=left)
        else:
            deadline.for_attempts(stream=exchange.stream)
        if not exchange.shares:  # the clients of a flight have clocks of their own
            deadline.keep_alive(exchange, keep_alive)
        failed = False
        for upstream, account in targets:
            left -= 1
            exchange.attempts += 1
            begun = perf_counter()
            try:
                passed_on = await self._attempt(exchange, upstream, account, deadline, others_left=left > 0 or counts)
                if passed_on is not None:
                    self.hooks.attempt_failed(failed_attempt(exchange, passed_on, begun))
                return
            except AttemptFailed as failure:
                failed = True
                ends = left == 0 or deadline.over()
                following = None if ends else targets[-left][0]
                self.hooks.attempt_failed(failed_attempt(exchange, failure, begun, following))
                if ends and not counts:
                    raise UpstreamTimeout from None
            except InvalidRequest as refusal:
                # It cannot be said in that provider's dialect; another may speak the client's.
                if left == 0 and failed and refusal.details is None:
                    # One that could have answered it failed: it is worth asking again. Where there are details, an SDK
                    # knows by them how to ask so that this one can answer.
                    raise NothingAvailable from None
                if left == 0:
                    raise
            except ProviderError as error:
                failed = True
                ends = (
                    (exchange.started and not exchange.early)
                    or left == 0
                    or deadline.over()
                    or not (error.absent or may_follow(exchange, taken=not error.refused))
                )
                following = None if ends else targets[-left][0]
                self.hooks.attempt_failed(failed_attempt(exchange, error, begun, following))
                if ends and not counts:
                    raise
            self.accounts.settle(exchange)
            exchange.forget_attempt()
            if counts and deadline.over():
                break
        # Only where tokens are to be counted: whoever asks for that can do with an estimate.
        await estimate_count(exchange)

    async def _attempt(
        self, exchange: Exchange, upstream: Upstream, account: Headers | None, deadline: Deadline, *, others_left: bool
    ) -> AttemptFailed | None:
        """One request to one upstream, by an account of its provider, and its answer to the client. Returns the failure
        of the provider that the answer tells of.
        """
        provider = upstream.provider
        exchange.upstream = upstream
        if exchange.route.counts and not provider.speaks(exchange.route):
            await estimate_uncounted(exchange)
            return None
        response: Response | None = None
        held = exchange.buffered
        try:
            with deadline:
                if is_short(exchange) or not provider.looks_into(exchange.route):
                    crossing = provider.crossing(exchange, upstream.model)
                else:
                    crossing = await asyncio.to_thread(provider.crossing, exchange, upstream.model)
                exchange.crossing = crossing
                exchange.upstream_begins()
                exchange.sending = provider.request(exchange, crossing, account, once=is_kept(exchange))
                response = await provider.transport.send(exchange.sending)
                exchange.upstream_status = response.status
                if is_stream(response, asked=exchange.stream):
                    return await self._relay(exchange, response, deadline, others_left=others_left)
                status, body = await body_of(exchange, response, self._slices, self.hold, others_left=others_left)
                exchange.upstream_ends()
                failure = failure_of(status, body)
                if exchange.route.counts:
                    check_count(status, body)
                if crossing.translates:
                    if is_brief(body):
                        status, body = crossing.answer(status, body)
                    else:
                        status, body = await asyncio.to_thread(crossing.answer, status, body)
            self.accounts.settle(exchange, body if status == 200 else None)
            reply(exchange, status, crossing.headers(returned_headers(response)), body)
            return failure
        finally:
            exchange.upstream_ends()
            self._buffered += held - exchange.buffered
            exchange.buffered = held
            if exchange.sending is not None:
                code = code_of_attempt(exchange, sys.exception())
                self._count("edge_upstream_requests_total", provider.name, exchange.model_label, code)
            if response is not None and not response.complete:
                await response.close()

    async def _relay(
        self, exchange: Exchange, response: Response, deadline: Deadline, *, others_left: bool
    ) -> AttemptFailed | None:
        """A stream: held back until its first content, then passed on event by event. Returns as `_attempt`."""
        crossing = exchange.crossing
        relay = EventRelay(response, crossing, deadline)
        stream = relay.stream
        await relay.first_content()
        exchange.upstream_ends()
        headers = crossing.headers(returned_headers(response))
        if stream.failed and not stream.content:
            said = stream.early_error()[0]  # what it means is the provider's word, before it is translated
            check_status(exchange, said, stream.error_data, others_left=others_left)
            status, body = crossing.early_error()
            headers = [JSON_TYPE, *(pair for pair in headers if pair[0] != b"content-type")]
            reply(exchange, status, headers, body)
            return failure_of(said, stream.error_data)
        exchange.content_at = perf_counter()
        headers += STREAM_HEADERS
        start_reply(exchange, response.status, headers)
        await relay.relay(exchange)
        self.accounts.settle(exchange)
        exchange.end()
        return AttemptFailed(stream.early_error()[0], stream.error_data) if stream.failed else None

    # Replies.

    def refuse(self, exchange: Exchange, error: EdgeError) -> None:
        """Answer an exchange that goes no further."""
        fail(exchange, error)
        self._settle(exchange)

    def abandon(self, exchange: Exchange) -> None:
        """The client left before its request was whole."""
        exchange.error = ClientClosedRequest()
        self._settle(exchange)

    # The books.

    def _settle(self, exchange: Exchange) -> None:
        """Tell the hooks of a finished exchange, once."""
        if exchange.settled:
            return
        exchange.settled = True
        self._buffered -= exchange.buffered
        if exchange.admitted:
            self._in_flight -= 1
            self._tell_in_flight(self._in_flight)
            self.limits.done(exchange)
        self.accounts.settle(exchange)
        kind = exchange.error.kind if exchange.error is not None else exchange.kind or kind_of_status(exchange.status)
        events = exchange.crossing.stream if exchange.crossing is not None else None
        if not kind and events is not None and events.failed:
            kind = "provider_stream_broken"
        self.hooks.request_done(exchange.record(kind))
