"""Who may ask for what beside the API: every page there is, told at the start, and nothing else is registered."""

from __future__ import annotations

from typing import Literal

from edge.routes import ANSWERED
from edge.server.admin_page import FILES, PAGE

__all__ = ["ACCESS", "ALIVE", "PAGES", "PUBLIC", "READY", "SAFE", "STATIC", "told"]

Who = Literal["anyone", "admin"]
ALIVE = ("/health", "/health/live", "/healthz", "/livez")
READY = ("/health/ready", "/readyz")
READS = ("GET", "HEAD")
STATIC = tuple(f"/admin/static/{name}" for name in FILES if name != PAGE)
"""What the page /admin is made of, which says nothing: what it shows is asked for with a key."""

ACCESS: dict[str, tuple[tuple[str, ...], Who]] = {
    **dict.fromkeys((*ALIVE, *READY), (READS, "anyone")),
    **dict.fromkeys(("/", "/admin", *STATIC), (READS, "anyone")),
    "/metrics": (READS, "admin"),
    "/admin/api/savings": (READS, "admin"),
    "/admin/api/usage": (READS, "admin"),
    "/admin/api/upstreams": (READS, "admin"),
    "/admin/api/cache/clear": (("POST",), "admin"),
    "/admin/api/explain": (("POST",), "admin"),
    "/admin/api/upstreams/order": (("POST",), "admin"),
    "/admin/api/state": (READS, "admin"),
    "/admin/api/live": (("GET",), "admin"),
    "/admin/api/logs": (("GET",), "admin"),
    "/admin/api/openapi.json": (READS, "admin"),
}
"""By path: the methods, and who may use them. An admin has a key with ``admin: true``; without keys, it is who asks
from the edge's own machine.
"""
PUBLIC = frozenset(path.encode() for path, (_, who) in ACCESS.items() if who == "anyone")
"""Paths that need no key."""
PAGES = ", ".join(
    f"{methods[0]} {path}" for path, (methods, who) in ACCESS.items() if who == "admin" or path in (ALIVE[0], "/admin")
)
"""For who has asked for what there is not."""
SAFE = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""What every page says to a browser: nothing of it is to be kept, run, framed or taken for something else."""


def told(*, open_: bool) -> dict[str, list[str]]:
    """Every route, by who may use it; `open_`: requests need no key."""
    pages: dict[str, list[str]] = {"anyone": [], "admin": []}
    for path, (methods, who) in ACCESS.items():
        pages[who] += [f"{method} {path}" for method in methods]
    callers = "anyone_on_this_machine" if open_ else "admin_key"
    return {
        "anyone": pages["anyone"],
        "anyone_from_its_own_origin" if open_ else "any_key": ANSWERED,
        callers: pages["admin"],
    }
