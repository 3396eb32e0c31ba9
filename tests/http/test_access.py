"""Who may ask for what: every key, every route. OWASP API1, API3, API5 and API9; the two advisories of section 2.1 of
identities that were taken from where they should not be.
"""

from __future__ import annotations

import json

import httpx2
import pytest

from edge import keys
from edge.server.access import ACCESS, SAFE, told
from edge.server.admin_page import POLICY
from tests.harness import Edge, providers, running

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
NO_SUCH_KEY = "lea_nobody_" + "x" * 32


@pytest.fixture(scope="module")
def keyed(simulator, front, tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    file = str(folder / "keys.json")
    tokens = {
        "none": None,
        "wrong": NO_SUCH_KEY,
        "plain": keys.issue(file, "plain", {}),
        "narrow": keys.issue(file, "narrow", {"models": ["claude-*"], "allowed_routes": ["messages"]}),
        "admin": keys.issue(file, "admin", {"admin": True}),
    }
    auth = {"keys_file": file, "failures_per_minute": 1_000_000}
    edge = Edge(folder, {"providers": providers(simulator.url), "auth": auth}, front=front)
    with running(edge):
        yield edge, tokens


def expected(who: str, caller: str, method: str, methods: tuple[str, ...]) -> set[int]:
    """The statuses that a caller may see of a page."""
    if who == "admin" and caller != "admin":
        return {401} if caller in ("none", "wrong") else {403}
    if method == "OPTIONS":
        return {200, 204}
    return {200, 204, 400, 503} if method in methods else {405}


def test_every_page_is_for_those_it_says_and_no_others(keyed):
    edge, tokens = keyed
    asked = 0
    with httpx2.Client(base_url=edge.url) as client:
        for path, (methods, who) in ACCESS.items():
            if path in ("/", "/admin/api/live", "/admin/api/logs"):  # one leads to another, and two do not end
                continue
            for caller, token in tokens.items():
                for method in METHODS:
                    headers = {"content-type": "application/json"} | ({"x-api-key": token} if token else {})
                    for spelled in (path, f"{path}?key={tokens['admin']}"):
                        got = client.request(
                            method, spelled, headers=headers, content=b"{}" if method == "POST" else b""
                        )
                        asked += 1
                        assert got.status_code in expected(who, caller, method, methods), (
                            caller,
                            method,
                            path,
                            got.status_code,
                        )
                        if got.status_code == 200 and method in methods:
                            assert {name: got.headers.get(name) for name, _ in said(path)} == dict(said(path)), path
    print(f"{len(ACCESS) - 3} pages, {len(tokens)} callers, {len(METHODS)} methods: {asked} requests, 0 wrong answers")


def said(path: str) -> list[tuple[str, str]]:
    own = dict([POLICY]) if path == "/admin" else {}
    return [(name.decode(), own.get(name, value).decode()) for name, value in SAFE]


ROUTES = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": {"model": "claude-sonnet-5", "max_tokens": 5, "messages": CHAT["messages"]},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": "hi"},
    "/v1/models": None,
    "/v1/models/gpt-4o": None,
}
GRANTED = {
    "none": {},
    "wrong": {},
    "plain": set(ROUTES),
    "narrow": {"/v1/messages"},
    "admin": set(ROUTES),
}


def test_every_route_is_for_the_keys_that_may_use_it(keyed):
    edge, tokens = keyed
    asked = 0
    with httpx2.Client(base_url=edge.url) as client:
        for path, body in ROUTES.items():
            for caller, token in tokens.items():
                for header in ("x-api-key", "authorization"):
                    value = token if header == "x-api-key" else f"Bearer {token}"
                    headers = {header: value} if token else {}
                    # Nothing that a client says beside its key says who it is (CVE-2026-49468, CVE-2026-59822).
                    for more in (
                        {},
                        {"host": "admin"},
                        {"x-forwarded-for": "127.0.0.1", "x-user": "admin", "x-admin": "true"},
                    ):
                        send = {**headers, **more}
                        got = (
                            client.get(path, headers=send)
                            if body is None
                            else client.post(path, json=body, headers=send)
                        )
                        asked += 1
                        allowed = path in GRANTED[caller]
                        refused = 401 if caller in ("none", "wrong") else 403
                        assert got.status_code == (200 if allowed else refused), (
                            caller,
                            path,
                            got.status_code,
                            got.text,
                        )
    print(f"{len(ROUTES)} routes, {len(tokens)} callers: {asked} requests, 0 wrong answers")


def test_what_stands_in_the_keys_file_lets_nobody_in(keyed):
    """A digest is no credential (GHSA-69x8-hrgq-fjj8), nor is a part of a key (CVE-2026-35030)."""
    edge, tokens = keyed
    listed = json.loads(httpx2.get(f"{edge.url}/health").text)
    assert listed["status"] == "ok"
    admin = tokens["admin"]
    from hashlib import sha256

    digest = sha256(admin.encode()).hexdigest()
    tried = (
        digest,
        f"sha256:{digest}",
        admin[:20],
        admin[:-1],
        admin + "x",
        admin.upper(),
        "admin",
        f"{admin} {admin}",
    )
    for token in tried:
        got = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": token})
        assert got.status_code == 401, token


def test_every_route_is_told_at_the_start(keyed):
    edge, _ = keyed
    line = json.loads(edge.process.wait_for('"event":"routes"').string)
    assert {name: line[name] for name in told(open_=False)} == told(open_=False)
    assert "POST /admin/api/cache/clear" in line["admin_key"]
    assert "POST /v1/chat/completions" in line["any_key"]
    assert line["anyone"] == ["GET /health", "HEAD /health", *line["anyone"][2:]]


def forms(client: httpx2.Client, path: str, **headers: str) -> list[int]:
    """The statuses of what a form of another's page can have a browser send."""
    kinds = (None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
    return [
        client.post(path, content=b"{}", headers={"content-type": kind, **headers} if kind else headers).status_code
        for kind in kinds
    ]


CHANGES = [path for path, (methods, who) in ACCESS.items() if "POST" in methods and who == "admin"]


def test_what_a_web_page_can_have_a_browser_send_changes_nothing_where_there_are_no_keys(simulator, front, tmp_path):
    edge = Edge(tmp_path, {"providers": providers(simulator.url)}, front=front)
    with running(edge), httpx2.Client(base_url=edge.url) as client:
        for path in CHANGES:
            assert forms(client, path) == [415] * 4, path
            assert client.post(path, content=b"{}", headers={"content-type": "application/json"}).status_code != 415
    print(f"{len(CHANGES)} routes, 4 kinds of forms: none is let through")


def test_an_admin_s_key_changes_nothing_by_a_form_either(keyed):
    edge, tokens = keyed
    with httpx2.Client(base_url=edge.url) as client:
        for path in CHANGES:
            assert forms(client, path, **{"x-api-key": tokens["admin"]}) == [415] * 4, path
            assert forms(client, path, **{"x-api-key": tokens["plain"]}) == [403] * 4, path
            assert forms(client, path) == [401] * 4, path
