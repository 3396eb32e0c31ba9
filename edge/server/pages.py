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
from edge.server.compose import Edge
from edge.server.explaining import what_if_sent
from edge.server.levels import Levels
from edge.server.usage import usage_of
from edge.telemetry.exposition import OPEN, OPEN_TYPE, TEXT_TYPE

__all__ = ["PUBLIC", "build_pages"]

PAGES = (
    "GET /health, GET /metrics, GET /admin/api/savings, GET /admin/api/usage, GET /admin/api/upstreams, "
    "POST /admin/api/upstreams/order, POST /admin/api/cache/clear, POST /admin/api/explain"
)
ALIVE = ("/health", "/health/live", "/healthz", "/livez")
READY = ("/health/ready", "/readyz")
PUBLIC = frozenset(path.encode() for path in (*ALIVE, *READY))
"""Paths that need no key."""


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

    reads = ("GET", "HEAD")
    pages: dict[str, tuple[tuple[str, ...], Callable[..., Awaitable[Response]]]] = {
        **dict.fromkeys(ALIVE, (reads, health)),
        **dict.fromkeys(READY, (reads, health_ready)),
        "/": (("HEAD",), anybody_there),
        "/metrics": (reads, metrics),
        "/admin/api/savings": (reads, savings),
        "/admin/api/usage": (reads, used),
        "/admin/api/upstreams": (reads, upstreams),
        "/admin/api/cache/clear": (("POST",), clear_cache),
        "/admin/api/explain": (("POST",), explained),
        "/admin/api/upstreams/order": (("POST",), order),
    }
    for path, (methods, page) in pages.items():
        for method in methods:
            app.router.add(method, path, page)
        app.router.add("OPTIONS", path, options((*methods, "OPTIONS")))
    app.router.fallback = unknown
    return app


def options(methods: tuple[str, ...]) -> Callable[[], Awaitable[Response]]:
    """What answers OPTIONS of a page."""

    async def answer() -> Response:
        return Response(200, [(b"allow", ", ".join(methods).encode())], Content(b"text/plain", b""))

    return answer


def refusal(error: EdgeError) -> Response:
    return Response(error.status, content=Content(b"application/json", openai.error_body(error)))


def json_response(status: int, data: Any) -> Response:
    return Response(status, content=Content(b"application/json", msgspec.json.encode(data)))
