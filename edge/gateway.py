"""The way of a request, top to bottom.

``open`` at the end of the headers and ``admit`` at the end of the body are synchronous: what can be refused or answered
there costs no task. ``fetch`` is what must wait. After each of the three, an exchange that has ``ended`` is answered.

The gateway knows no server: a front makes an `Exchange`, calls these three in order, and cancels ``fetch`` when its
client leaves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import unquote

from edge import config
from edge.dialects import anthropic, openai
from edge.dialects.crossing import open_crossing
from edge.dialects.tokens import count_answer, estimate_tokens
from edge.errors import (
    ClientClosedRequest,
    EdgeError,
    Headers,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
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
from edge.guard.auth import Auth, Key, refuse_model
from edge.hooks import Hooks, RequestRecord
from edge.routes import EXISTING, MODEL, OTHER, ROUTES, UNKNOWN
from edge.upstreams.attempts import AttemptFailed, check_status, is_stream, returned_headers
from edge.upstreams.catalog import Catalog
from edge.upstreams.deadline import Deadline, Sweep
from edge.upstreams.provider import Provider, open_transport
from edge.upstreams.relay import EventRelay, collect
from edge.upstreams.router import Resolution, Router, Upstream
from edge.upstreams.wire import Response

__all__ = ["Gateway", "State", "build_state"]

MODEL_OTHER = "_other"
"""Metric label of every model that no alias names: clients choose model names, and must not choose labels."""

MAX_REMEMBERED = 4096
LARGE = 262144
"""Larger bodies are translated in a thread: the other requests of the loop would wait for it."""
NO_WARNINGS: frozenset[str] = frozenset()
NO_ROUTE = f"This route is not supported. There are: {EXISTING}."
NO_MULTIPART = f"Multipart bodies are not supported. There are: {EXISTING}."
JSON_TYPE = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class State:
    """Everything a configuration decides, as one immutable whole. A request keeps the one it began with."""

    settings: config.Config
    auth: Auth
    router: Router
    catalog: Catalog
    granted: dict[tuple[str, str, str], tuple[str, tuple[Upstream, ...]]] = field(default_factory=dict)
    """What was found before: by key, model and endpoint, the model's label and the upstreams that the key may use."""

    @property
    def providers(self) -> dict[str, Provider]:
        return self.router.providers

    @property
    def connect_s(self) -> float:
        return self.settings.resilience.connect_s


def build_state(settings: config.Config, *, loopback_only: bool = True, old: State | None = None) -> State:
    """The state for a configuration. Opens no connection; raises OSError for a ``ca_file`` that cannot be read.

    `loopback_only` is `Auth`'s. A provider whose settings are as in `old` is taken over with its connections and its
    list of models.
    """
    connect_s = settings.resilience.connect_s
    providers: dict[str, Provider] = {}
    for name, provider in settings.providers.items():
        if old is not None and old.settings.providers.get(name) == provider and old.connect_s == connect_s:
            providers[name] = old.providers[name]
        else:
            providers[name] = Provider(name, provider, open_transport(provider, connect_s))
    catalog = Catalog(providers, old.catalog if old is not None else None)
    return State(
        settings=settings,
        auth=Auth(settings.auth, loopback_only=loopback_only),
        router=Router(settings.models, providers, catalog.known),
        catalog=catalog,
    )


class Gateway:
    """Serves exchanges by a `State`, and tells `hooks` of each."""

    def __init__(self, state: State, hooks: Hooks) -> None:
        self.state = state
        self.hooks = hooks
        self._sweep = Sweep()
        self._in_flight = 0
        self._retiring: set[Provider] = set()

    async def reload(self, settings: config.Config) -> None:
        """Serve new requests by another configuration, in one step. Raises OSError as `build_state`.

        The connections of providers that are no more are closed when the last request by the old configuration must be
        over.
        """
        old = self.state
        self.state = build_state(settings, loopback_only=old.auth.loopback_only, old=old)
        gone = set(old.providers.values()) - set(self.state.providers.values())
        self._retiring |= gone
        await asyncio.sleep(old.settings.resilience.total_s)
        for provider in gone:
            await provider.transport.close()
        self._retiring -= gone

    async def close(self) -> None:
        """Close the connections to all providers."""
        providers = {*self.state.providers.values(), *self._retiring}
        await asyncio.gather(*(provider.transport.close() for provider in providers))

    # At the end of the headers.

    def open(self, exchange: Exchange) -> None:
        """Who is asking, and for what? Refuses an unknown key before it has sent its body."""
        state = exchange.state = self.state
        try:
            exchange.key = state.auth.identify(exchange)
            route = exchange.route
            if route is UNKNOWN or (route.endpoint == OTHER and exchange.method != route.method):
                raise UnsupportedRoute(NO_ROUTE)
            if route.method != exchange.method:
                raise MethodNotAllowed(route.method)
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
        except EdgeError as error:
            self.refuse(exchange, error)

    # At the end of the body.

    def admit(self, exchange: Exchange) -> None:
        """Is the request sound, and may this key ask this model?"""
        if exchange.route.api == "models":
            return
        try:
            validate.check_body(exchange)
            exchange.deadline_ms = validate.timeout_ms(exchange)
            self._resolve(exchange)
        except EdgeError as error:
            self.refuse(exchange, error)

    def _resolve(self, exchange: Exchange) -> None:
        """Find the upstreams of the model asked for that the key may use, in the order in which to try them."""
        remembered = exchange.state.granted
        asked = (exchange.key.id, exchange.model, exchange.route.endpoint)
        found = remembered.get(asked)
        if found is None:
            found = self._granted(exchange)
            if len(remembered) >= MAX_REMEMBERED:
                remembered.clear()  # names come from clients
            remembered[asked] = found
        exchange.model_label, exchange.upstreams = found

    def _granted(self, exchange: Exchange) -> tuple[str, tuple[Upstream, ...]]:
        """An alias grants its own upstreams, but not its fallbacks. Raises ModelNotFound, ModelNotAllowed,
        UnsupportedRoute.
        """
        key: Key = exchange.key
        router: Router = exchange.state.router
        try:
            resolution: Resolution = router.resolve(exchange.model, exchange.route)
        except ModelNotFound as error:
            close = router.close_names(exchange.model, key.grants)
            if not close:
                raise
            raise ModelNotFound(f"{error.message} Did you mean {', '.join(close)}?", param="model") from None
        exchange.model_label = resolution.alias or MODEL_OTHER
        groups = ((resolution.alias, resolution.upstreams), *resolution.fallbacks)
        granted = tuple(
            upstream
            for alias, upstreams in groups
            for upstream in upstreams
            if (alias and key.grants(alias)) or key.grants(*upstream.names)
        )
        if not granted:
            raise refuse_model(exchange.model)
        return exchange.model_label, granted

    # What must wait.

    async def fetch(self, exchange: Exchange) -> None:
        """Get the answer. The front cancels this when the client leaves, which closes the upstream."""
        try:
            if exchange.route.api == "models":
                await self._models(exchange)
            else:
                await self._ask(exchange)
        except EdgeError as error:
            self._fail(exchange, error)
        except asyncio.CancelledError:
            if exchange.error is None:
                exchange.error = ClientClosedRequest()
            raise
        except Exception:
            self._fail(exchange, InternalError())
            raise
        finally:
            self._settle(exchange)

    async def _ask(self, exchange: Exchange) -> None:
        """One upstream after the other, until one gives content."""
        settings = exchange.state.settings.resilience
        assert exchange.task is not None  # noqa: S101 - the front's part
        deadline = Deadline(
            self._sweep, settings, exchange.task, stream=exchange.stream, client_ms=exchange.deadline_ms
        )
        left = len(exchange.upstreams)
        failed = False
        for upstream in exchange.upstreams:
            left -= 1
            exchange.attempts += 1
            try:
                await self._attempt(exchange, upstream, deadline, others_left=left > 0)
                return
            except AttemptFailed:
                failed = True
                if deadline.over():
                    raise UpstreamTimeout from None
            except InvalidRequest:
                # It cannot be said in that provider's dialect; another may speak the client's.
                if left == 0 and failed:
                    raise NothingAvailable from None  # one that could have answered it failed: it is worth asking again
                if left == 0:
                    raise
            except ProviderError:
                failed = True
                if exchange.started or left == 0 or deadline.over():
                    raise
            exchange.crossing = None

    async def _attempt(self, exchange: Exchange, upstream: Upstream, deadline: Deadline, *, others_left: bool) -> None:
        """One request to one upstream, and its answer to the client."""
        provider = upstream.provider
        exchange.upstream = upstream
        if exchange.route.counts and not provider.speaks(exchange.route):
            await self._estimate(exchange)
            return
        response: Response | None = None
        try:
            with deadline:
                if len(exchange.body) <= LARGE or provider.speaks(exchange.route):
                    crossing = open_crossing(exchange, upstream.model, provider.dialect)
                else:
                    crossing = await asyncio.to_thread(open_crossing, exchange, upstream.model, provider.dialect)
                exchange.crossing = crossing
                exchange.upstream_begins()
                response = await provider.transport.send(provider.request(exchange, crossing))
                check_status(response.status, others_left=others_left)
                if is_stream(response):
                    await self._relay(exchange, response, deadline, others_left=others_left)
                    return
                body = await collect(response)
                exchange.upstream_ends()
                exchange.usage = crossing.usage(body) if response.status == 200 else None
                status = response.status
                if crossing.translates:
                    if len(body) <= LARGE:
                        status, body = crossing.answer(status, body)
                    else:
                        status, body = await asyncio.to_thread(crossing.answer, status, body)
            self._reply(exchange, status, crossing.headers(returned_headers(response)), body)
        finally:
            exchange.upstream_ends()
            if response is not None and not response.complete:
                await response.close()

    async def _relay(self, exchange: Exchange, response: Response, deadline: Deadline, *, others_left: bool) -> None:
        """A stream: held back until its first content, then passed on event by event."""
        crossing = exchange.crossing
        relay = EventRelay(response, crossing, deadline)
        stream = relay.stream
        await relay.first_content()
        exchange.upstream_ends()
        headers = crossing.headers(returned_headers(response))
        if stream.failed and not stream.content:
            status, body = crossing.early_error()
            check_status(status, others_left=others_left)
            headers = [JSON_TYPE, *(pair for pair in headers if pair[0] != b"content-type")]
            self._reply(exchange, status, headers, body)
            return
        exchange.content_at = perf_counter()
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        self._start(exchange, response.status, headers)
        await relay.relay(exchange)
        exchange.end()

    async def _estimate(self, exchange: Exchange) -> None:
        """The number of tokens, where the provider has nothing that counts them."""
        if len(exchange.body) <= LARGE:
            tokens = estimate_tokens(exchange.body)
        else:
            tokens = await asyncio.to_thread(estimate_tokens, exchange.body)
        self._reply(exchange, 200, [JSON_TYPE, (b"x-edge-estimated", b"true")], count_answer(tokens))

    async def _models(self, exchange: Exchange) -> None:
        """``GET /v1/models`` and ``GET /v1/models/{id}``: what this key can ask for in this dialect."""
        wanted = unquote(exchange.argument)
        exchange.upstream_begins()
        models = await self._visible_models(exchange.state, exchange.key, exchange.dialect)
        exchange.upstream_ends()
        render = anthropic if exchange.dialect == "anthropic" else openai
        if exchange.route is not MODEL:
            self._reply(exchange, 200, [JSON_TYPE], render.model_list(models))
            return
        for name, owner in models:
            if wanted in (name, f"{owner}/{name}"):
                self._reply(exchange, 200, [JSON_TYPE], render.model_object(name, owner))
                return
        raise ModelNotFound(f"The model '{wanted[:256]}' does not exist here.", param="model")

    async def _visible_models(self, state: State, key: Key, dialect: str) -> list[tuple[str, str]]:
        """(id, owner) of each: aliases first, then the providers' own lists, without repeats."""
        router = state.router
        route = ROUTES["messages" if dialect == "anthropic" else "chat/completions"]
        visible: dict[str, str] = {}
        for alias, upstreams in router.aliases.items():
            if any(u.provider.serves(route) and key.grants(alias, *u.names) for u in upstreams):
                visible.setdefault(alias, "edge")
        for provider, model in await state.catalog.models():
            upstream = Upstream(provider, model)
            if provider.serves(route) and key.grants(*upstream.names):
                visible.setdefault(router.listed_name(upstream, route), provider.name)
        return list(visible.items())

    # Replies.

    def refuse(self, exchange: Exchange, error: EdgeError) -> None:
        """Answer an exchange that goes no further."""
        self._fail(exchange, error)
        self._settle(exchange)

    def abandon(self, exchange: Exchange) -> None:
        """The client left before its request was whole."""
        exchange.error = ClientClosedRequest()
        self._settle(exchange)

    def _fail(self, exchange: Exchange, error: EdgeError) -> None:
        """Answer with an error in the client's dialect: as the reply, or inside the stream that is the reply."""
        # Its frames hold the exchange, which would hold it: a circle that only the collector could break.
        exchange.error = error.with_traceback(None)
        if isinstance(error, ClientClosedRequest):
            exchange.abort()
            return
        if exchange.started:
            exchange.write(exchange.crossing.error_event(error))
            exchange.end()
        elif exchange.dialect == "anthropic":
            self._reply(
                exchange, error.status, [JSON_TYPE, *error.headers], anthropic.error_body(error, exchange.request_id)
            )
        else:
            self._reply(exchange, error.status, [JSON_TYPE, *error.headers], openai.error_body(error))

    def _reply(self, exchange: Exchange, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer at once."""
        self._start(exchange, status, headers, len(body))
        exchange.write(body)
        exchange.end()

    def _start(self, exchange: Exchange, status: int, headers: Headers, size: int | None = None) -> None:
        """The head of the reply, with the headers that every reply has."""
        request_id = exchange.request_id.encode("ascii")
        headers.append((b"x-request-id", request_id))
        if exchange.dialect == "anthropic":
            headers.append((b"request-id", request_id))
        if exchange.upstream is not None:
            headers += exchange.upstream.headers
            headers.append((b"x-edge-attempts", b"%d" % exchange.attempts))
        if exchange.crossing is not None and exchange.crossing.dropped:
            headers.append((b"x-edge-dropped", ", ".join(exchange.crossing.dropped).encode("ascii")))
        edge_ms = b"%.2f" % (exchange.overhead_s() * 1000)
        if size is not None:
            headers.append((b"x-edge-overhead-ms", edge_ms))
        headers.append((b"server-timing", b"edge;dur=%b, upstream;dur=%.2f" % (edge_ms, exchange.upstream_s * 1000)))
        exchange.status = status
        exchange.start(status, headers, size)

    # The books.

    def _settle(self, exchange: Exchange) -> None:
        """Tell the hooks of a finished exchange, once."""
        if exchange.settled:
            return
        exchange.settled = True
        if exchange.admitted:
            self._in_flight -= 1
        error, crossing, upstream, key = exchange.error, exchange.crossing, exchange.upstream, exchange.key
        events = crossing.stream if crossing is not None else None
        kind = error.kind if error is not None else kind_of_status(exchange.status)
        if not kind and events is not None and events.failed:
            kind = "provider_stream_broken"
        duration_s = perf_counter() - exchange.received_at
        # In the order of the record's fields: by name they would cost eight times as much.
        record = RequestRecord(
            exchange.request_id,
            exchange.route.endpoint,
            exchange.dialect,
            upstream.provider.name if upstream is not None else "",
            exchange.model_label,
            upstream.model if upstream is not None else "",
            exchange.attempts,
            key.id if key is not None else "",
            key.tenant if key is not None else "",
            exchange.status or (error.status if error is not None else 0),
            exchange.stream,
            "cancelled" if kind == "client_cancelled" else "error" if kind else "ok",
            error.code if error is not None else "",
            kind,
            duration_s,
            exchange.upstream_s,
            max(0.0, duration_s - exchange.upstream_s),
            exchange.content_at - exchange.received_at if exchange.content_at else 0.0,
            events.usage if events is not None else exchange.usage,
            crossing.warnings if crossing is not None else NO_WARNINGS,
        )
        self.hooks.request_done(record)
