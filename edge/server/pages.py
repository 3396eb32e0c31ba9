"""What is served beside the API: health, metrics and pages."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import FrameType
from typing import Any, Protocol

import msgspec
from blacksheep import Application, Content, Request, Response, Router, StreamedContent

from edge import __version__
from edge._fast import COMPILED
from edge.certificates import SCOPE
from edge.dialects import openai
from edge.errors import EdgeError, Headers, MethodNotAllowed, UnsupportedRoute
from edge.explain import MAX_BYTES
from edge.routes import ANSWERED, EXISTING
from edge.server.access import ACCESS, ALIVE, PAGES, READY, SAFE, STATIC
from edge.server.admin_page import FILES, PAGE, POLICY
from edge.server.compose import Edge
from edge.server.explaining import received, what_if_sent
from edge.server.levels import Levels
from edge.server.live import Changes, Live, State
from edge.server.tail import tail, wanted
from edge.server.told import Told
from edge.server.usage import Usage, usage_of
from edge.telemetry.exposition import OPEN, OPEN_TYPE, TEXT_TYPE
from edge.telemetry.metrics import Savings
from edge.telemetry.recent import Finished
from edge.upstreams.health import UpstreamHealth, UpstreamOrder

__all__ = ["build_pages", "safely"]

SAID = frozenset(name for name, _ in SAFE if name != POLICY[0])
ORDER_BYTES = 4096
"""How long an order for an upstream may be."""
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Upstreams(msgspec.Struct):
    """``GET /admin/api/upstreams``."""

    upstreams: list[UpstreamHealth]


class Cleared(msgspec.Struct):
    """``POST /admin/api/cache/clear``: what became of the stored answers; ``redis`` is cleared, failed or none."""

    memory: str
    redis: str


class Front(Protocol):
    """Who serves the pages, and begins and ends with them: `edge.server.asgi.EdgeApplication`."""

    ready: bool
    levels: Levels
    changes: Changes

    @property
    def draining(self) -> bool: ...

    def administers(self, headers: Headers, certificate: tuple[bytes, ...]) -> bool:
        """Whether who has sent these is an admin now, since keys change while an answer goes on."""
        ...

    async def start(self, _: Application) -> None: ...

    async def stop(self, _: Application) -> None: ...


def _application() -> Application:
    """BlackSheep asks `inspect.stack` where an application is made, to tell of it should two have one router:
    that reads the source of all that is under way, and costs each worker four megabytes. It asks the environment, too,
    for where an application's pages are and what they say, which is said to another application.
    """
    whole, said = inspect.stack, {name: os.environ[name] for name in os.environ if name.startswith("APP_")}
    inspect.stack = _callers
    for name in said:
        del os.environ[name]
    try:
        return Application(router=Router())
    finally:
        inspect.stack = whole
        os.environ.update(said)


def _callers(context: int = 0) -> list[inspect.FrameInfo]:
    """What `inspect.stack` tells, never with lines of `context`."""
    found = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found


def build_pages(front: Front, edge: Edge) -> Application:
    """Health, metrics and pages of an edge, by BlackSheep."""
    app = _application()
    app.on_start(front.start)
    app.on_stop(front.stop)
    build = "compiled" if COMPILED else "pure"

    async def health() -> Response:
        return json_response(200, {"status": "ok", "version": __version__, "build": build, "routes": ANSWERED})

    async def health_ready() -> Response:
        available, configured = edge.health.available()
        told = {"status": "ready" if front.ready else "draining", "upstreams": configured, "available": available}
        return json_response(200 if front.ready else 503, told)

    async def metrics(request: Request) -> Response:
        front.levels.look()
        is_open = OPEN in (request.headers.get_first(b"accept") or b"")
        told = await asyncio.to_thread(edge.metrics.render_open if is_open else edge.metrics.render)
        return Response(200, content=Content(OPEN_TYPE if is_open else TEXT_TYPE, told))

    async def savings() -> Response:
        return json_response(200, edge.metrics.savings())

    async def clear_cache() -> Response:
        shared = await edge.gateway.answers.clear()
        return json_response(200, Cleared("cleared", shared))

    async def explained(request: Request) -> Response:
        try:
            certificate = request.scope.get(SCOPE, ())
            headers = list(request.headers)
            told = await what_if_sent(edge.gateway, request.url.query, headers, request.stream(), certificate)
        except EdgeError as error:
            return refusal(error)
        return json_response(200, told)

    async def used(request: Request) -> Response:
        try:
            told = await asyncio.to_thread(usage_of, edge.gateway, request.url.query)
        except EdgeError as error:
            return refusal(error)
        return json_response(200, told)

    async def upstreams() -> Response:
        return json_response(200, Upstreams(edge.health.upstreams()))

    async def order(request: Request) -> Response:
        try:
            return json_response(200, edge.health.obey(await received(request.stream(), ORDER_BYTES)))
        except EdgeError as error:
            return refusal(error)

    live = Live(edge, front)

    async def state() -> Response:
        return json_response(200, await live.state())

    def streamed(request: Request, events: AsyncIterator[bytes]) -> Response:
        """Events, for as long as who has asked for them is there, and an admin."""
        sent = [(name.lower(), value) for name, value in request.headers]

        async def told() -> AsyncIterator[bytes]:
            async for event in events:
                if await request.is_disconnected() or not front.administers(sent, request.scope.get(SCOPE, ())):
                    return
                yield event

        return Response(200, content=StreamedContent(b"text/event-stream", told))

    async def events(request: Request) -> Response:
        return streamed(request, live.events())

    async def logs(request: Request) -> Response:
        try:
            by = wanted(request.url.query)
        except EdgeError as error:
            return refusal(error)
        return streamed(request, tail(edge.recent, front, by))

    described = b""

    async def openapi() -> Response:
        nonlocal described
        if not described:
            described = await asyncio.to_thread(in_openapi, app, told)
        return Response(200, content=Content(b"application/json", described))

    async def unknown(request: Request) -> Response:
        if request.path in ACCESS:
            return refusal(MethodNotAllowed(", ".join(ACCESS[request.path][0])))
        error = UnsupportedRoute(f"This route does not exist. There are: {EXISTING}, {PAGES}.")
        return refusal(error)

    async def root(request: Request) -> Response:
        if request.method == "HEAD":  # whether anybody is there
            return Response(200)
        return Response(302, [(b"location", b"/admin")])

    told = (
        Told(savings, "What the cache has saved since the edge began.", Savings),
        Told(
            used,
            "What was used and spent, and what is left of the limits.",
            Usage,
            query={
                "days": "how many days, today among them; 1 by default",
                "by": "what is told apart: of day, key, tenant and model, with commas between; all by default",
            },
            refuses={400: "a parameter that is not understood"},
        ),
        Told(upstreams, "How the upstreams do, as the worker that answers sees them.", Upstreams),
        Told(
            order,
            "Drain an upstream, or restore it, in all workers.",
            UpstreamOrder,
            body=UpstreamOrder,
            refuses={400: "no such order", 404: "no such upstream", 413: f"more than {ORDER_BYTES} bytes"},
        ),
        Told(clear_cache, "Forget all stored answers, in memory and in Redis.", Cleared),
        Told(
            explained,
            "What would become of the request that is sent: nothing is sent on.",
            dict,
            query={
                "key": "the id of the key that asks; else the one of the request",
                "path": "where the request would be posted; else what its fields are those of",
            },
            body=dict,
            refuses={400: "no such key", 404: "nothing is posted to this path", 413: f"more than {MAX_BYTES} bytes"},
        ),
        Told(state, "What the page shows: figures of all workers, upstreams, the latest requests.", State),
        Told(events, "The same each second, as server-sent events.", str, "text/event-stream"),
        Told(
            logs,
            "Requests of all workers as they end, as server-sent events.",
            Finished,
            "text/event-stream",
            query={
                "tenant": "whose requests",
                "model": "by the name that clients use, the provider's, or provider/model",
                "status": "such as 429 or 5xx, several with commas between",
                "last": "how many of those before come first",
            },
            refuses={400: "a parameter that is not understood"},
        ),
    )
    pages: dict[str, Callable[..., Awaitable[Response]]] = {
        **dict.fromkeys(ALIVE, health),
        **dict.fromkeys(READY, health_ready),
        "/": root,
        "/admin": file_page(PAGE),
        **{path: file_page(path.rpartition("/")[2]) for path in STATIC},
        "/metrics": metrics,
        "/admin/api/savings": savings,
        "/admin/api/usage": used,
        "/admin/api/upstreams": upstreams,
        "/admin/api/cache/clear": clear_cache,
        "/admin/api/explain": explained,
        "/admin/api/upstreams/order": order,
        "/admin/api/state": state,
        "/admin/api/live": events,
        "/admin/api/logs": logs,
        "/admin/api/openapi.json": openapi,
    }
    assert pages.keys() == ACCESS.keys()  # noqa: S101 - what is not told at the start is not there
    for path, page in pages.items():
        methods = ACCESS[path][0]
        for method in methods:
            app.router.add(method, path, page)
        app.router.add("OPTIONS", path, options((*methods, "OPTIONS")))
    app.router.fallback = unknown
    return app


def safely(send: Send) -> Send:
    """Sends what a page answers, with what it says to a browser: what every page says, but for a policy of its own."""

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [field for field in message.get("headers", ()) if field[0].lower() not in SAID]
            policies = [field for field in own if field[0] == POLICY[0]]
            message = {**message, "headers": own + [field for field in SAFE if not policies or field[0] in SAID]}
        await send(message)

    return sending


def in_openapi(app: Application, told: Sequence[Told]) -> bytes:
    """The description of the admin API."""
    from edge.server.openapi import describe

    return describe(app, told)


def file_page(name: str) -> Callable[[], Awaitable[Response]]:
    """What answers with a file of the page."""
    file = FILES[name]

    async def answer() -> Response:
        return Response(200, [POLICY] if name == PAGE else None, Content(file.kind, file.data))

    return answer


def options(methods: tuple[str, ...]) -> Callable[[], Awaitable[Response]]:
    """What answers OPTIONS of a page."""

    async def answer() -> Response:
        return Response(200, [(b"allow", ", ".join(methods).encode())], Content(b"text/plain", b""))

    return answer


def refusal(error: EdgeError) -> Response:
    return Response(error.status, error.headers, Content(b"application/json", openai.error_body(error)))


def json_response(status: int, data: Any) -> Response:
    return Response(status, content=Content(b"application/json", msgspec.json.encode(data)))
