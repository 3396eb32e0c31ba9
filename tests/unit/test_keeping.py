"""Who keeps what a request is about that names no model, and who may ask for it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from edge._fast import JSONScanner
from edge.errors import InvalidRequest, ModelNotAllowed, RouteNotAllowed, UnsupportedRoute
from edge.guard.auth import Key, pattern
from edge.head import Head
from edge.keeping import MAX_LOOKED_AT, check_whole, keepers_of
from edge.payload import Payload
from edge.routes import match


@dataclass
class Provider:
    name: str
    dialect: str


PROVIDERS = {name: Provider(name, dialect) for name, dialect in (("a", "openai"), ("b", "openai"), ("c", "anthropic"))}


def head(path: str, method: str = "GET", **headers: str) -> Head:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Head(match(path.encode()), method, path.encode(), b"", sent)


def key(models: list[str] | None = None, routes: set[str] | None = None, admin: bool = False) -> Key:
    patterns = None if models is None else tuple(map(pattern, models))
    return Key("k", "t", patterns, admin, routes=None if routes is None else frozenset(routes))


def names(path: str, **headers: str) -> list[str]:
    return [provider.name for provider in keepers_of(PROVIDERS, head(path, **headers))]


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/v1/responses/resp_1", {}, ["a", "b"]),
        ("/v1/responses/resp_1", {"x_edge_provider": "b"}, ["b"]),
        ("/b/v1/responses/resp_1", {"x_edge_provider": "a"}, ["b"]),
        ("/v1/messages/batches", {}, ["c"]),
        ("/v1/files/file-1", {}, ["a", "b"]),
        ("/v1/files", {"anthropic_version": "2023-06-01"}, ["c"]),
        ("/anthropic/v1/files/file_1", {}, ["c"]),
        ("/a/v1/batches", {}, ["a"]),
    ],
)
def test_whom_a_request_is_about(path, headers, expected):
    assert names(path, **headers) == expected


@pytest.mark.parametrize(
    ("path", "headers", "error"),
    [
        ("/v1/batches", {}, InvalidRequest),
        ("/v1/files", {}, InvalidRequest),
        ("/c/v1/batches", {}, UnsupportedRoute),
        ("/nobody/v1/files/x", {}, UnsupportedRoute),
        ("/v1/responses/resp_1", {"x_edge_provider": "http://elsewhere"}, UnsupportedRoute),
    ],
)
def test_who_is_not_known_or_could_be_several_is_refused(path, headers, error):
    with pytest.raises(error):
        names(path, **headers)


BATCH = msgspec.json.encode({"requests": [{"custom_id": "1", "params": {"model": "claude-x", "max_tokens": 1}}]})


def check(path: str, who: Key, method: str = "GET", body: bytes = b"", limited: bool = False, several: bool = False):
    payload = Payload(body, JSONScanner(body), "", False, False, 0)
    asked = head(path, method)
    provider = PROVIDERS["c" if "messages" in path else "a"]
    check_whole(who, asked, payload, provider, limited=limited, several=several)


def test_what_may_be_asked_of_a_whole_account():
    check("/a/v1/files", key())
    check("/a/v1/files", key(["a/*"]))
    check("/a/v1/files", key(["*"], {"/v1/files"}), several=True)
    check("/a/v1/files", key(admin=True), several=True)
    check("/a/v1/files", key(["gpt-4o"]), "POST", limited=True)
    check("/v1/messages/batches", key(["claude-*"]), "POST", BATCH)
    check("/v1/messages/batches", key(["c/claude-x"]), "POST", BATCH)


@pytest.mark.parametrize(
    ("path", "who", "method", "more", "error"),
    [
        ("/a/v1/files", key(["gpt-4o"]), "GET", {}, RouteNotAllowed),
        ("/a/v1/files", key(), "GET", {"several": True}, RouteNotAllowed),
        ("/a/v1/files", key(None, {"/v1/batches"}), "GET", {"several": True}, RouteNotAllowed),
        ("/a/v1/batches", key(), "POST", {"limited": True}, RouteNotAllowed),
        ("/a/v1/batches", key(["gpt-4o"]), "POST", {}, RouteNotAllowed),
        ("/v1/messages/batches", key(["claude-y"]), "POST", {"body": BATCH}, ModelNotAllowed),
        ("/v1/messages/batches", key(["claude-x"]), "POST", {"body": b'{"requests":[{}]}'}, InvalidRequest),
        ("/v1/messages/batches", key(["claude-x"]), "POST", {"body": b" " * (MAX_LOOKED_AT + 1)}, RouteNotAllowed),
    ],
)
def test_what_may_not(path, who, method, more, error):
    with pytest.raises(error):
        check(path, who, method, **more)


@pytest.mark.parametrize(
    "path", ["/v1/responses/a%2fb", "/v1/responses/..", "/v1/responses/%2e", "/v1/files/-a", "/x y/v1/files"]
)
def test_what_is_no_id_is_no_route(path):
    assert match(path.encode()).route.endpoint == "_unknown"


def test_an_id_is_unescaped_once():
    assert match(b"/v1/files/a%2561").argument == "a%61"
