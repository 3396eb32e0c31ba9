"""What the pages behind /admin refuse is what their description says, no more and no less."""

from __future__ import annotations

import socket

import httpx2
import pytest

from edge import keys
from edge.server.access import ACCESS
from tests.harness import Edge, providers, running

KNOWN = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
ORDER = {"upstream": "openai/gpt-4o", "action": "drain"}
OWN = {
    ("GET", "/admin/api/usage"): {400: {"params": {"days": "no"}}},
    ("GET", "/admin/api/logs"): {400: {"params": {"status": "no"}}},
    ("POST", "/admin/api/upstreams/order"): {
        400: {"json": {"upstream": "openai/gpt-4o", "action": "no"}},
        404: {"json": {**ORDER, "upstream": "nobody/gpt-4o"}},
        413: {"json": {**ORDER, "upstream": "x" * 5000}},
    },
    ("POST", "/admin/api/explain"): {
        400: {"params": {"key": "nobody"}, "json": KNOWN},
        404: {"params": {"path": "/health"}, "json": KNOWN},
        413: {"json": {**KNOWN, "user": "x" * 1_100_000}},
    },
}
"""By operation and status: what it refuses of its own."""


@pytest.fixture(scope="module")
def keyed(simulator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusals")
    file = str(folder / "keys.json")
    tokens = {name: keys.issue(file, name, more) for name, more in (("plain", {}), ("admin", {"admin": True}))}
    auth = {"keys_file": file, "failures_per_minute": 100}
    edge = Edge(folder, {"providers": providers(simulator.url), "auth": auth})
    with running(edge):
        yield edge, tokens


def operations() -> list[tuple[str, str]]:
    return [
        (method, path)
        for path, (methods, who) in ACCESS.items()
        for method in methods
        if who == "admin" and path.startswith("/admin/api/") and not path.endswith("openapi.json") and method != "HEAD"
    ]


def test_every_refusal_is_described_and_every_description_is_true(keyed):
    edge, tokens = keyed
    admin = {"x-api-key": tokens["admin"]}
    with httpx2.Client(base_url=edge.url) as client:
        described = client.get("/admin/api/openapi.json", headers=admin).json()
        seen: dict[tuple[str, str], set[int]] = {operation: set() for operation in operations()}

        def ask(operation: tuple[str, str], expected: int, headers: dict, **sent) -> None:
            headers = {"content-type": "application/json", **headers}
            got = client.request(*operation, headers=headers, **sent)
            assert got.status_code == expected, (operation, got.text)
            error = got.json()["error"]
            assert set(error) == {"message", "type", "param", "code"}
            seen[operation].add(got.status_code)

        assert {
            (method.upper(), path) for path, told in described["paths"].items() for method in told if method != "head"
        } == set(seen)
        for operation in seen:
            ask(operation, 401, {})
            ask(operation, 403, {"x-api-key": tokens["plain"]})
            ask(operation, 400, {"authorization": f"Bearer {tokens['plain']}", "x-api-key": tokens["admin"]})
            if operation[0] == "POST":
                ask(operation, 415, {**admin, "content-type": "text/plain"}, content=b"{}")
            for status, sent in OWN.get(operation, {}).items():
                ask(operation, status, admin, **sent)
        for _ in range(200):
            if client.get("/admin/api/savings").status_code == 429:
                break
        for operation in seen:
            ask(operation, 429, {})
    for (method, path), statuses in seen.items():
        told = described["paths"][path][method.lower()]["responses"]
        assert {int(status) for status in told} == statuses | {200}, (method, path)
        for status in statuses:
            schema = told[str(status)]["content"]["application/json"]["schema"]
            assert schema["$ref"] == "#/components/schemas/Error"
    assert set(described["components"]["schemas"]["ErrorTold"]["properties"]) == {"message", "type", "param", "code"}


def test_what_is_sent_is_described(keyed):
    edge, tokens = keyed
    described = httpx2.get(f"{edge.url}/admin/api/openapi.json", headers={"x-api-key": tokens["admin"]}).json()
    order = described["paths"]["/admin/api/upstreams/order"]["post"]["requestBody"]
    assert order["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/UpstreamOrder"
    named = {each["name"] for each in described["paths"]["/admin/api/logs"]["get"]["parameters"]}
    assert named == {"tenant", "model", "status", "last"}
    assert "requestBody" not in described["paths"]["/admin/api/cache/clear"]["post"]


def test_a_connection_whose_body_was_refused_half_way_ends(keyed):
    edge, tokens = keyed
    address = edge.url.removeprefix("http://").split(":")
    head = f"POST /admin/api/explain HTTP/1.1\r\nhost: x\r\nx-api-key: {tokens['admin']}\r\n"
    head += "content-type: application/json\r\ncontent-length: 50000000\r\n\r\n"
    with socket.create_connection((address[0], int(address[1])), 20) as sock:
        sock.sendall(head.encode() + b"x" * 1_500_000)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"request_too_large" in answer
