"""Clients that send two credentials at once, as coding agents do whose user has a subscription and a gateway's key."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.harness import Canned, Client, Edge, Seen, answer, running

GOOD, SAME_TENANT, OTHER_TENANT = "edge-good-0123456789", "edge-same-0123456789", "edge-other-0123456789"
FOREIGN, STALE = "sk-ant-oat01-not-ours", "edge-stale-0123456789"
TOKENS = (GOOD, SAME_TENANT, OTHER_TENANT, FOREIGN, STALE, "dTpwYXNzd29yZC1vZi11")

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
MESSAGE = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
ROUTES = {"/v1/chat/completions": CHAT, "/v1/messages": MESSAGE, "/v1/models": None}

VALID = {
    "a foreign bearer": [f"authorization: Bearer {FOREIGN}", f"x-api-key: {GOOD}"],
    "a stale x-api-key": [f"authorization: Bearer {GOOD}", f"x-api-key: {STALE}"],
    "lower case, three blanks": [f"authorization: bearer   {GOOD}", f"x-api-key: {STALE}"],
    "upper case": [f"authorization: BEARER {GOOD}"],
    "another scheme": ["authorization: Basic dTpwYXNzd29yZC1vZi11", f"x-api-key: {GOOD}"],
    "a scheme alone": ["authorization: Bearer", f"x-api-key: {GOOD}"],
    "an empty x-api-key": ["x-api-key:", f"authorization: Bearer {GOOD}"],
    "an empty authorization": ["authorization:", f"x-api-key: {GOOD}"],
    "the same key twice": [f"authorization: Bearer {GOOD}", f"x-api-key: {GOOD}"],
    "a repeated authorization": [f"authorization: Bearer {STALE}"] * 2 + [f"x-api-key: {GOOD}"],
    "a repeated x-api-key": [f"x-api-key: {OTHER_TENANT}"] * 2 + [f"authorization: Bearer {GOOD}"],
    "two keys of a tenant": [f"authorization: Bearer {GOOD}", f"x-api-key: {SAME_TENANT}"],
}
CONFLICT = [f"authorization: Bearer {GOOD}", f"x-api-key: {OTHER_TENANT}"]


def upstream(seen: Seen, _connection: object) -> bytes:
    if seen.target.startswith("/v1/models"):
        return answer(json.dumps({"data": [{"id": "gpt-4o"}]}).encode())
    if seen.target.startswith("/v1/messages"):
        text = [{"type": "text", "text": "hello"}]
        usage = {"input_tokens": 1, "output_tokens": 1}
        return answer(
            json.dumps(
                {
                    "id": "msg_1",
                    "type": "message",
                    "role": "assistant",
                    "model": "claude-x",
                    "content": text,
                    "stop_reason": "end_turn",
                    "stop_sequence": None,
                    "usage": usage,
                }
            ).encode()
        )
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    return answer(json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}).encode())


@pytest.fixture(scope="module")
def provider():
    with Canned(upstream) as canned:
        yield canned


@pytest.fixture(scope="module")
def guarded(provider, front, tmp_path_factory):
    """Keys of two tenants, answers that are kept, and providers that get no credential of the edge's."""
    tenants = {GOOD: "a", SAME_TENANT: "a", OTHER_TENANT: "b"}
    keys = [
        {"id": f"key-{n}", "tenant": tenant, "digests": ["sha256:" + hashlib.sha256(token.encode()).hexdigest()]}
        for n, (token, tenant) in enumerate(tenants.items())
    ]
    config = {
        "auth": {"keys": keys},
        "providers": {
            "openai": {"dialect": "openai", "base_url": f"{provider.url}/v1"},
            "anthropic": {"dialect": "anthropic", "base_url": f"{provider.url}/v1"},
        },
        "cache": {"mode": "all"},
        "telemetry": {"log": {"level": "debug"}},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def request(path: str, lines: list[str], body: dict | None = None) -> bytes:
    body = body or ROUTES[path]
    data = b"" if body is None else json.dumps(body).encode()
    first = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1"
    more = [] if body is None else ["content-type: application/json", f"content-length: {len(data)}"]
    return "\r\n".join([first, "host: edge", *lines, *more, "", ""]).encode() + data


def asked(edge: Edge, data: bytes, times: int = 3) -> list[tuple[int, dict[str, str], bytes]]:
    """The answers to the same bytes, again and again on one connection: what is known of them is used from the second."""
    found = []
    with Client(edge.port) as client:
        for _ in range(times):
            client.send(data)
            status, headers = client.head()
            found.append((status, headers, client.body(headers)))
    return found


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("turned", [False, True], ids=["as they are", "turned round"])
@pytest.mark.parametrize("name", VALID)
def test_a_valid_key_in_either_header_counts(guarded, path, name, turned):
    lines = VALID[name][::-1] if turned else VALID[name]
    answers = asked(guarded, request(path, lines))
    assert [status for status, _, _ in answers] == [200] * 3
    if path != "/v1/models":
        assert answers[-1][1]["x-edge-cache"] == "memory"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("turned", [False, True], ids=["as they are", "turned round"])
def test_two_valid_keys_of_two_tenants_are_a_400_in_the_clients_dialect(guarded, path, turned):
    """The same bytes but for the other key have a stored answer: it is neither tenant's to get."""
    asked(guarded, request(path, [f"authorization: Bearer {GOOD}", f"x-api-key: {STALE}"]))
    for status, headers, body in asked(guarded, request(path, CONFLICT[::-1] if turned else CONFLICT)):
        error = json.loads(body)["error"]
        assert status == 400
        assert "x-edge-cache" not in headers
        assert "credentials of different owners" in error["message"]
        if path == "/v1/messages":
            assert error["type"] == "invalid_request_error"
        else:
            assert error["code"] == "conflicting_credentials"


@pytest.mark.parametrize("path", ROUTES)
def test_two_credentials_that_are_no_key_are_a_401(guarded, path):
    lines = [f"authorization: Bearer {FOREIGN}", f"x-api-key: {STALE}"]
    assert [status for status, _, _ in asked(guarded, request(path, lines))] == [401] * 3


def test_the_key_that_counts_decides_whose_stored_answer_it_is(guarded):
    """Of two keys of one tenant either may fetch it; another tenant, whose key stands beside a stale one, may not."""
    body = {**CHAT, "messages": [{"role": "user", "content": "of tenant a"}]}
    theirs = [f"authorization: Bearer {STALE}", f"x-api-key: {OTHER_TENANT}"]
    first, second, third = (
        asked(guarded, request("/v1/chat/completions", lines, body), 1)[0]
        for lines in (VALID["two keys of a tenant"], VALID["a foreign bearer"], theirs)
    )
    assert [headers["x-edge-cache"] for _, headers, _ in (first, second, third)] == ["miss", "memory", "miss"]


def test_no_credential_crosses_or_is_logged(guarded, provider):
    for path in ROUTES:
        for lines in [*VALID.values(), CONFLICT]:
            answers = asked(guarded, request(path, lines), 1)
            assert not any(token.encode() in body for token in TOKENS for _, _, body in answers)
    assert provider.seen
    for seen in provider.seen:
        assert seen.header("authorization") is None
        assert seen.header("x-api-key") is None
        assert not any(token.encode() in seen.head + seen.body for token in TOKENS)
    assert not any(token in guarded.process.output for token in TOKENS)
