"""Which paths are answered, and what each stands for.

Every path exists four ways: as given in `ROUTES`, without ``/v1``, and both of these under ``/openai`` and
``/anthropic`` (which choose the error dialect, never a provider). Matching is on the raw path, case and percent signs
included, so that there is one spelling of everything and nothing to normalise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Dialect = Literal["openai", "anthropic"]
Method = Literal["GET", "POST"]


@dataclass(frozen=True, slots=True)
class Route:
    """``endpoint`` is the metric label, ``dialect`` that of the request (None: the path's prefix or the
    client's headers tell), ``upstream`` the path below a provider's base URL, ``api`` what a stream of it looks like.
    """

    endpoint: str
    method: Method
    dialect: Dialect | None
    upstream: str
    api: Literal["chat", "completions", "messages", "responses", "embeddings", "count_tokens", "other", "models"]
    counts: bool = False
    """It asks for the number of a request's tokens, which can be estimated where no provider can be asked."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that are answered: HEAD where GET is (RFC 9110, section 9.3.2)."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    def is_none_for(self, method: str) -> bool:
        """Whether it is no route for a method: an unknown one, or one that passes through, which is known of its own
        method alone (and a browser may ask for it by OPTIONS).
        """
        return self is UNKNOWN or (self.endpoint == OTHER and method not in (self.method, "OPTIONS"))


@dataclass(frozen=True, slots=True)
class Match:
    """A route as one path named it. ``argument`` is what followed ``/models/``."""

    route: Route
    dialect: Dialect
    argument: str = ""


ROUTES = {
    "chat/completions": Route("/v1/chat/completions", "POST", "openai", "/chat/completions", "chat"),
    "completions": Route("/v1/completions", "POST", "openai", "/completions", "completions"),
    "embeddings": Route("/v1/embeddings", "POST", "openai", "/embeddings", "embeddings"),
    "responses": Route("/v1/responses", "POST", "openai", "/responses", "responses"),
    "messages": Route("/v1/messages", "POST", "anthropic", "/messages", "messages"),
    "messages/count_tokens": Route(
        "/v1/messages/count_tokens", "POST", "anthropic", "/messages/count_tokens", "count_tokens", True
    ),
    "models": Route("/v1/models", "GET", None, "/models", "models"),
}

ON_REQUEST = frozenset({"chat", "completions"})
"""Streams of these tell their tokens only to who asks for it, the others always."""
MODEL = Route("/v1/models/{id}", "GET", None, "/models", "models")
OTHER = "/v1/*"
UNKNOWN = Route("_unknown", "POST", None, "", "other")

# APIs that exist at the providers, but that a gateway cannot route by model: multipart bodies, sockets, stored objects.
UNSUPPORTED = re.compile(
    r"(files|uploads|batches|realtime|messages/batches|audio/(transcriptions|translations)|images/(edits|variations))(/|$)"
)
# Other spellings of what is spelled otherwise: passed through they would be the same request under fewer checks.
NEAR_MISS = re.compile(r"(?i:(v1|openai|anthropic)(/|$))")
# A passed-through path becomes part of the provider's URL: plain words only, so that it cannot climb or add a query.
PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,5}")
# A client's base URL that ends too late, with what its SDK adds behind it.
TWICE = frozenset(f"{first}/{version}{then}" for first in ROUTES for version in ("", "v1/") for then in ROUTES)
ORIGIN = re.compile(rb"^https?://[^/?]*")
PROBES = frozenset(
    f"{prefix}{path}".encode()
    for prefix in ("", "/v1", "/anthropic", "/anthropic/v1", "/openai", "/openai/v1")
    for path in ("", "/", "/api/hello")
)
"""What clients send a HEAD to, to see whether anybody is there: answered without a key."""
RESERVED = ("health", "healthz", "livez", "readyz", "metrics", "admin")
EXISTING = ", ".join(f"{route.method} {route.endpoint}" for route in (*ROUTES.values(), MODEL))
NOWHERE = f"This route is not supported. There are: {EXISTING}."
ENDS_ELSEWHERE = {
    dialect: "This path does not exist. Clients add theirs to a base URL, which should end "
    f"{place}. There are: {EXISTING}."
    for dialect, place in (
        ("anthropic", "before /v1, as in https://HOST"),
        ("openai", "at /v1, as in https://HOST/v1"),
    )
}


@lru_cache(maxsize=1024)
def match(path: bytes) -> Match | None:
    """The route of a raw request path; None for what is not the API's (health, metrics, pages).

    A path under no known route gives `UNKNOWN`, which the gateway refuses after it has looked at the key.
    """
    try:
        text = path.decode("ascii")
    except UnicodeDecodeError:
        return Match(UNKNOWN, "openai")
    rest = text[1:]
    head, _, tail = rest.partition("/")
    if head in RESERVED or not rest:
        return None
    dialect: Dialect = "openai"
    prefix = ""
    if head in ("openai", "anthropic") and tail:
        prefix = head
        dialect = "anthropic" if head == "anthropic" else "openai"
        rest = tail
    rest = rest.removeprefix("v1/")
    route = ROUTES.get(rest)
    if route is not None:
        return Match(route, route.dialect or dialect)
    if rest == "models/":
        return Match(ROUTES["models"], dialect)
    if rest.startswith("models/"):
        return Match(MODEL, dialect, rest[7:])
    passes = PLAIN.fullmatch(rest) and not UNSUPPORTED.match(rest) and not NEAR_MISS.match(rest) and rest not in TWICE
    if prefix != "anthropic" and passes and rest.lower() not in ROUTES:
        return Match(Route(OTHER, "POST", "openai", f"/{rest}", "other"), "openai")
    meant = _meant(rest)
    return Match(UNKNOWN, (meant.dialect if meant is not None else None) or dialect)


def _meant(path: str) -> Route | None:
    """The route that a path, which is none, ends in."""
    parts = [part for part in path.split("/") if part]
    return ROUTES.get("/".join(parts[-2:])) or ROUTES.get("".join(parts[-1:]))


def no_route(target: bytes, dialect: Dialect) -> str:
    """Why a request's target is no route: the client's base URL ends in the wrong place, or there is no such route."""
    path = target.partition(b"?")[0]
    if not path.startswith(b"/"):
        path = ORIGIN.sub(b"", path)
    rest = path.removeprefix(b"/")
    for prefix in (b"openai/", b"anthropic/"):
        if rest.startswith(prefix):
            rest = rest[len(prefix) :]
            break
    rest = rest.removeprefix(b"v1/")
    text = rest.decode("latin-1")
    if not (text in TWICE or NEAR_MISS.match(text) or b"//" in path):
        return NOWHERE
    return ENDS_ELSEWHERE[dialect]
