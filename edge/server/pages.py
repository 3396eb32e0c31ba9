"""What is served beside the API: health, metrics and pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from blacksheep import Application, Content, Request, Response, Router

from edge import __version__
from edge._fast import COMPILED
from edge.dialects import openai
from edge.errors import EdgeError, UnsupportedRoute
from edge.routes import EXISTING
from edge.server.access import ACCESS, ALIVE, PAGES, READY, SAFE
from edge.server.compose import Edge
from edge.server.explaining import what_if_sent
from edge.server.levels import Levels
from edge.server.usage import usage_of
from edge.telemetry.exposition import OPEN, OPEN_TYPE, TEXT_TYPE

__all__ = ["build_pages", "safely"]

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Front(Protocol):
    """Who serves the pages, and begins and ends with them: `edge.server.asgi.EdgeApplication`."""

    ready: bool
    levels: Levels

    async def start(self, _: Application) -> None: ...

    async def stop(self, _: Application) -> None: ...


def build_pages(front: Front, edge: Edge) -> Application:
    """Health, metrics and pages of an edge, by BlackSheep."""
    app = Application(router=Router())
    app.show_error_details = False  # whatever the environment says
    app.on_start(front.start)
    app.on_stop(front.stop)
    build = "compiled" if COMPILED else "pure"

    async def health() -> Response:
        return json_response(200, {"status": "ok", "version": __version__, "build": build})

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
        return json_response(200, {"memory": "cleared", "redis": shared})

    async def explained(request: Request) -> Response:
        try:
            told = await what_if_sent(edge.gateway, request.url.query, list(request.headers), request.stream())
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
        return json_response(200, {"upstreams": edge.health.upstreams()})

    async def order(request: Request) -> Response:
        try:
            return json_response(200, edge.health.obey(await request.read() or b""))
        except EdgeError as error:
            return refusal(error)

    async def unknown(_: Request) -> Response:
        error = UnsupportedRoute(f"This route does not exist. There are: {EXISTING}, {PAGES}.")
        return refusal(error)

    async def anybody_there() -> Response:
        return Response(200)

    pages: dict[str, Callable[..., Awaitable[Response]]] = {
        **dict.fromkeys(ALIVE, health),
        **dict.fromkeys(READY, health_ready),
        "/": anybody_there,
        "/metrics": metrics,
        "/admin/api/savings": savings,
        "/admin/api/usage": used,
        "/admin/api/upstreams": upstreams,
        "/admin/api/cache/clear": clear_cache,
        "/admin/api/explain": explained,
        "/admin/api/upstreams/order": order,
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
    """Sends what a page answers, with what it says to a browser."""

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *SAFE]}
        await send(message)

    return sending


def options(methods: tuple[str, ...]) -> Callable[[], Awaitable[Response]]:
    """What answers OPTIONS of a page."""

    async def answer() -> Response:
        return Response(200, [(b"allow", ", ".join(methods).encode())], Content(b"text/plain", b""))

    return answer


def refusal(error: EdgeError) -> Response:
    return Response(error.status, content=Content(b"application/json", openai.error_body(error)))


def json_response(status: int, data: Any) -> Response:
    return Response(status, content=Content(b"application/json", msgspec.json.encode(data)))
