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
from urllib.parse import unquote

Dialect = Literal["openai", "anthropic"]
RouteName = Literal[
    "chat/completions",
    "completions",
    "embeddings",
    "responses",
    "messages",
    "messages/count_tokens",
    "messages/batches",
    "batches",
    "files",
    "conversations",
    "rerank",
    "audio/transcriptions",
    "audio/translations",
    "images/edits",
    "images/variations",
    "realtime",
    "models",
    "other",
]
"""What the routes are called that a key may be allowed: each with those below it that have no name of their own."""
Method = Literal["GET", "POST", "DELETE"]
Api = Literal[
    "chat",
    "completions",
    "messages",
    "responses",
    "compact",
    "embeddings",
    "rerank",
    "count_tokens",
    "input_tokens",
    "form",
    "kept",
    "other",
    "models",
    "upgrade",
    "realtime",
    "socket",
]

OTHER = "/v1/*"
"""The endpoint of all that pass through."""
WITH_INPUT = ("responses", "compact", "input_tokens")
"""APIs of OpenAI's by which a conversation goes with what the model thought."""


class Route:
    """``endpoint`` is the metric label, ``dialect`` that of the request (None: the path's prefix or the client's
    headers tell), ``upstream`` the path below a provider's base URL, ``api`` what a stream of it looks like.
    ``{id}`` in a path stands for what a client has named. ``counts``: it asks for the number of a request's tokens,
    which can be estimated where no provider can be asked. ``also`` are other methods that are answered, with blanks
    between them, ``query`` what of a request's query its provider gets. ``forms``: its body may be a form
    (``multipart/form-data``). ``kept``: it is about what an account of a provider keeps, so there is no model in
    the request, and nothing is charged. ``passes``: it is one of those that pass through, which are not known here;
    ``lists``: of models, ours. ``stores``: a provider keeps what it makes unless it is told not to; ``thinks``: a
    conversation goes with what the model thought.
    """

    def __init__(
        self,
        endpoint: str,
        method: Method,
        dialect: Dialect | None,
        upstream: str,
        api: Api,
        counts: bool = False,
        also: str = "",
        forms: bool = False,
        query: tuple[str, ...] = ("beta",),
    ) -> None:
        self.endpoint = endpoint
        self.method = method
        self.dialect = dialect
        self.upstream = upstream
        self.api: Api = api
        self.counts = counts
        self.also = also
        self.forms = forms
        self.query = query
        self.kept = api == KEPT
        self.passes = endpoint == OTHER
        self.lists = api == "models"
        self.stores = api == "responses"
        self.thinks = api in WITH_INPUT or (dialect == "anthropic" and not self.kept)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that are answered: HEAD where GET is (RFC 9110, section 9.3.2)."""
        told = ("GET", "HEAD") if self.method == "GET" else (self.method,)
        return (*told, *self.also.split())

    def is_none_for(self, method: str) -> bool:
        """Whether it is no route for a method: an unknown one, or one that passes through, which is known of its own
        method alone (and a browser may ask for it by OPTIONS); or that of a WebSocket, which is a GET.
        """
        if self.api == "upgrade" and method not in self.methods:
            return True
        return self is UNKNOWN or (self.passes and method not in (self.method, "OPTIONS"))


@dataclass(frozen=True, slots=True)
class Match:
    """A route as one path named it. ``argument`` is what followed ``/models/``, or stands for ``{id}``, unescaped, and
    behind a slash, which no id has, what stands for ``{item}``; ``provider`` what stood before ``/v1``, "" for nothing.
    """

    route: Route
    dialect: Dialect
    argument: str = ""
    provider: str = ""


KEPT: Api = "kept"


ROUTES = {
    "chat/completions": Route("/v1/chat/completions", "POST", "openai", "/chat/completions", "chat"),
    "completions": Route("/v1/completions", "POST", "openai", "/completions", "completions"),
    "embeddings": Route("/v1/embeddings", "POST", "openai", "/embeddings", "embeddings"),
    "rerank": Route("/v1/rerank", "POST", "openai", "/rerank", "rerank"),
    "responses": Route("/v1/responses", "POST", "openai", "/responses", "responses"),
    "responses/compact": Route("/v1/responses/compact", "POST", "openai", "/responses/compact", "compact"),
    "responses/input_tokens": Route(
        "/v1/responses/input_tokens", "POST", "openai", "/responses/input_tokens", "input_tokens", True
    ),
    "messages": Route("/v1/messages", "POST", "anthropic", "/messages", "messages"),
    "messages/count_tokens": Route(
        "/v1/messages/count_tokens", "POST", "anthropic", "/messages/count_tokens", "count_tokens", True
    ),
    **{
        path: Route(f"/v1/{path}", "POST", "openai", f"/{path}", "form", forms=True)
        for path in ("audio/transcriptions", "audio/translations", "images/edits", "images/variations")
    },
    "models": Route("/v1/models", "GET", None, "/models", "models"),
}


def _kept(
    path: str, method: Method, dialect: Dialect | None, *query: str, also: str = "", forms: bool = False
) -> Route:
    return Route(f"/v1/{path}", method, dialect, f"/{path}", KEPT, also=also, forms=forms, query=("beta", *query))


_FILES = ("after", "after_id", "before_id", "limit", "order", "purpose", "scope_id")
_ITEM = ("include", "include[]")
_RESPONSE = (*_ITEM, "include_obfuscation", "starting_after", "stream")
_ITEMS = ("after", "before", *_ITEM, "limit", "order")
ABOUT_KEPT = {
    route.endpoint[len("/v1/") :]: route
    for route in (
        _kept("responses/{id}", "GET", "openai", *_RESPONSE, also="DELETE"),
        _kept("responses/{id}/cancel", "POST", "openai"),
        _kept("responses/{id}/input_items", "GET", "openai", *_ITEMS),
        _kept("conversations", "POST", "openai"),
        _kept("conversations/{id}", "GET", "openai", also="POST DELETE"),
        _kept("conversations/{id}/items", "GET", "openai", *_ITEMS, also="POST"),
        _kept("conversations/{id}/items/{item}", "GET", "openai", *_ITEM, also="DELETE"),
        _kept("files", "GET", None, *_FILES, also="POST", forms=True),
        _kept("files/{id}", "GET", None, also="DELETE"),
        _kept("files/{id}/content", "GET", None),
        _kept("batches", "GET", "openai", "after", "limit", also="POST"),
        _kept("batches/{id}", "GET", "openai"),
        _kept("batches/{id}/cancel", "POST", "openai"),
        _kept("messages/batches", "GET", "anthropic", "after_id", "before_id", "limit", also="POST"),
        _kept("messages/batches/{id}", "GET", "anthropic", also="DELETE"),
        _kept("messages/batches/{id}/cancel", "POST", "anthropic"),
        _kept("messages/batches/{id}/results", "GET", "anthropic"),
    )
}
"""Paths of what an account keeps."""
SOCKETS = {
    "realtime": Route("/v1/realtime (websocket)", "GET", "openai", "/realtime", "realtime", query=("intent",)),
    "responses": Route("/v1/responses (websocket)", "GET", "openai", "/responses", "socket", query=()),
}
"""What is spoken over a WebSocket, which begins as a GET that asks for it."""
SOCKET_PATHS = {
    f"{prefix}{version}/{path}".encode(): Match(route, "openai")
    for path, route in SOCKETS.items()
    for prefix in ("", "/openai", "/anthropic")
    for version in ("", "/v1")
}
"""By the path of such a GET."""
UPGRADE = Route("/v1/realtime", "GET", "openai", "/realtime", "upgrade")
"""The same, where it does not ask for a WebSocket."""
ON_REQUEST = frozenset({"chat", "completions"})
"""Streams of these tell their tokens only to who asks for it, the others always."""
MODEL = Route("/v1/models/{id}", "GET", None, "/models", "models")
UNKNOWN = Route("_unknown", "POST", None, "", "other")

# APIs that exist at the providers, but that a gateway cannot route by model: sockets, other stored objects. The paths
# of those that can be asked for are found before.
UNSUPPORTED = re.compile(r"(files|uploads|batches|conversations|realtime|responses|messages/batches)(/|$)")
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
NAMED = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What names a provider before ``/v1``."""
ID = re.compile(r"[A-Za-z0-9][^/\\\x00-\x20\x7f-\uffff]{0,255}")
"""An id, unescaped. Whatever is in it is escaped on its way to a provider, and no segment is one of dots alone. What
escapes no UTF-8 has U+FFFD in it, and is none."""
RESERVED = ("health", "healthz", "livez", "readyz", "metrics", "admin")
ANSWERED = [
    f"{method} {route.endpoint}"
    for route in (*ROUTES.values(), MODEL, *ABOUT_KEPT.values(), *SOCKETS.values())
    for method in (("GET",) if route in SOCKETS.values() else route.methods)
] + [f"POST {OTHER}"]
"""Every method and endpoint there is."""
EXISTING = ", ".join(
    f"{route.method} {route.endpoint}" for route in (*ROUTES.values(), MODEL, *ABOUT_KEPT.values(), *SOCKETS.values())
)
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
    if rest == "realtime":
        return Match(UPGRADE, "openai")
    if rest == "models/":
        return Match(ROUTES["models"], dialect)
    if rest.startswith("models/"):
        return Match(MODEL, dialect, rest[7:])
    named, apart, path_there = rest.partition("/v1/")
    names = bool(apart) and NAMED.fullmatch(named) is not None
    kept = _about_kept(path_there if names else rest)
    if kept is not None:
        route, argument = kept
        return Match(route, route.dialect or dialect, argument, named if names else "")
    passes = PLAIN.fullmatch(rest) and not UNSUPPORTED.match(rest) and not NEAR_MISS.match(rest) and rest not in TWICE
    if prefix != "anthropic" and passes and rest.lower() not in ROUTES:
        return Match(Route(OTHER, "POST", "openai", f"/{rest}", "other"), "openai")
    meant = _meant(rest)
    return Match(UNKNOWN, (meant.dialect if meant is not None else None) or dialect)


def _about_kept(path: str) -> tuple[Route, str] | None:
    """The route of a path to what an account keeps, and the ids in it, unescaped; None for another path."""
    route = ABOUT_KEPT.get(path)
    if route is not None:
        return route, ""
    parts = path.split("/")
    for at in range(1, min(len(parts), 3)):
        shape, named = [*parts[:at], "{id}", *parts[at + 1 :]], [parts[at]]
        route = ABOUT_KEPT.get("/".join(shape))
        if route is None and len(shape) == at + 3:
            route = ABOUT_KEPT.get("/".join([*shape[:-1], "{item}"]))
            named.append(parts[-1])
        if route is not None:
            ids = [unquote(each) for each in named]
            return (route, "/".join(ids)) if all(map(ID.fullmatch, ids)) else None
    return None


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
