"""The list of models, as clients ask for it, and what they try before."""

from __future__ import annotations

import json
import time

import httpx2
import pytest

from edge.guard.auth import new_key
from tests.harness import Canned, Client, Edge, Seen, answer, running

KEY, DIGEST = new_key("all")
LIMITED, LIMITED_DIGEST = new_key("limited")
FEW, FEW_DIGEST = new_key("few")
ANTHROPIC = {"anthropic-version": "2023-06-01"}
OPENAIS = ["gpt-5", "mistralai/mistral-7b-instruct", "claude-like"]
TOLD = {
    "type": "model",
    "id": "claude-opus-5-5",
    "display_name": "Claude Opus 5.5",
    "created_at": "2026-09-01T00:00:00Z",
    "capabilities": {"batch": {"supported": True}},
    "lifecycle": "deprecated",
    "line": {"id": "opus"},
    "max_input_tokens": 1000000,
    "max_tokens": 128000,
    "deprecated_at": "2026-11-01T00:00:00Z",
    "retires_at": None,
    "something_new": 1,
}


class Provider:
    """A provider whose lists are told, or hang, as a test says."""

    hangs = False
    asked = 0

    def __call__(self, seen: Seen, _connection: object) -> bytes:
        self.asked += 1
        if self.hangs:
            time.sleep(12)
        if seen.header("x-api-key"):
            assert "limit=1000" in seen.target
            return answer(json.dumps({"data": [TOLD, {"id": "claude-odd", "display_name": 7}, {"no": "id"}]}).encode())
        rows = [{"id": name, "object": "model", "created": 1700000000, "owned_by": "x"} for name in OPENAIS]
        return answer(json.dumps({"object": "list", "data": rows}).encode())


@pytest.fixture(scope="module")
def canned():
    with Canned(Provider()) as made:
        yield made


def configured(url: str, **more: dict) -> dict:
    return {
        "auth": {
            "keys": [
                {"id": "all", "digests": [DIGEST]},
                {"id": "limited", "digests": [LIMITED_DIGEST], "requests_per_minute": 2, "concurrency": 1},
                {"id": "few", "digests": [FEW_DIGEST], "models": ["smart", "claude-*"]},
            ]
        },
        "providers": {
            "openai": {"dialect": "openai", "base_url": f"{url}/v1", "api_keys": ["sk-o"]},
            "anthropic": {"dialect": "anthropic", "base_url": f"{url}/v1", "api_keys": ["sk-a"]},
            **more,
        },
        "models": {
            "smart": {"upstreams": [{"to": "openai/gpt-5"}]},
            "claude-smart": {"display_name": "Our smart one", "upstreams": [{"to": "openai/gpt-5"}]},
        },
        "telemetry": {"log": {"level": "debug"}},
    }


@pytest.fixture(scope="module")
def edge(canned, front, tmp_path_factory):
    made = Edge(tmp_path_factory.mktemp("edge"), configured(canned.url), front=front)
    with running(made):
        yield made


def get(edge: Edge, target: str, key: str | None = KEY, method: str = "GET", **headers: str) -> httpx2.Response:
    credential = {} if key is None else {"authorization": f"Bearer {key}"}
    with httpx2.Client() as client:
        return client.request(
            method, edge.url + target, headers={**credential, **{n.replace("_", "-"): v for n, v in headers.items()}}
        )


def ids(response: httpx2.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [model["id"] for model in response.json()["data"]]


def test_as_a_coding_agent_asks(edge):
    got = get(edge, "/v1/models?limit=1000", x_api_key=KEY, **ANTHROPIC)
    body = got.json()
    listed = {model["id"]: model for model in body["data"]}
    assert list(listed)[:2] == ["smart", "claude-smart"]
    assert (body["has_more"], body["first_id"], body["last_id"]) == (False, "smart", list(listed)[-1])
    assert all(model["type"] == "model" and model["display_name"] and model["created_at"] for model in body["data"])
    assert listed["claude-smart"]["display_name"] == "Our smart one"
    assert listed["smart"]["display_name"] == "smart"
    # What Anthropic says of its models is passed on, field by field.
    assert {**TOLD, **listed["claude-opus-5-5"]} == TOLD | {"created_at": "2026-09-01T00:00:00Z"}
    assert listed["claude-odd"]["display_name"] == "claude-odd"
    assert listed["openai/mistralai/mistral-7b-instruct"]["created_at"] == "2023-11-14T22:13:20Z"
    assert "x-edge-partial" not in got.headers


def test_as_openais_clients_ask(edge):
    got = get(edge, "/v1/models?limit=1")
    assert got.json()["object"] == "list"
    listed = {model["id"]: model for model in got.json()["data"]}
    assert list(listed)[:5] == ["smart", "claude-smart", *OPENAIS[:2], "openai/claude-like"]
    assert listed["gpt-5"] == {"id": "gpt-5", "object": "model", "created": 1700000000, "owned_by": "openai"}
    assert listed["smart"]["owned_by"] == "edge"


def test_a_key_sees_what_it_may_use(edge):
    assert ids(get(edge, "/v1/models", FEW, **ANTHROPIC)) == [
        "smart",
        "claude-smart",
        "openai/claude-like",
        "claude-opus-5-5",
        "claude-odd",
    ]
    assert get(edge, "/v1/models/gpt-5", FEW).status_code == 404


def test_pages_of_anthropics_list(edge):
    whole = ids(get(edge, "/v1/models", **ANTHROPIC))
    found: list[str] = []
    target = "/v1/models/?limit=2"
    while target:
        page = get(edge, target, **ANTHROPIC).json()
        assert len(page["data"]) <= 2
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        found += [model["id"] for model in page["data"]]
        target = f"/v1/models?limit=2&after_id={page['last_id']}" if page["has_more"] else ""
    assert found == whole
    before = get(edge, f"/v1/models?limit=2&before_id={whole[4]}", **ANTHROPIC).json()
    assert [model["id"] for model in before["data"]] == whole[2:4]
    assert before["has_more"] is True
    last = get(edge, f"/v1/models?after_id={whole[-1]}", **ANTHROPIC).json()
    assert last == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=1001", "limit=", "limit=%b2", "after_id=x"])
def test_a_page_that_cannot_be_is_a_400(edge, query):
    got = get(edge, f"/v1/models?{query}", **ANTHROPIC)
    assert got.status_code == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert query.partition("=")[0] in got.json()["error"]["message"]
    assert get(edge, f"/v1/models?{query}").status_code == 200, "OpenAI's list has no pages"


@pytest.mark.parametrize("headers", [{}, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v1/models/mistralai/mistral-7b-instruct", "mistralai/mistral-7b-instruct"),
        ("/v1/models/openai/mistralai/mistral-7b-instruct", "mistralai/mistral-7b-instruct"),
        ("/v1/models/claude-opus-5-5", "claude-opus-5-5"),
        ("/models/smart", "smart"),
    ],
)
def test_both_spellings_of_a_slash_are_the_same_model(edge, target, expected, headers):
    prefix, _, name = target.partition("models/")
    plain, escaped, lower = (
        get(edge, f"{prefix}models/{spelled}", **headers)
        for spelled in (name, name.replace("/", "%2F"), name.replace("/", "%2f"))
    )
    assert [each.status_code for each in (plain, escaped, lower)] == [200] * 3
    assert plain.json() == escaped.json() == lower.json()
    assert plain.json()["id"].removeprefix("openai/") == expected


def test_an_unknown_model_is_told_from_an_unknown_path(edge):
    model, path = (get(edge, f"/v1/{name}") for name in ("models/no-such", "no-such"))
    assert (model.status_code, path.status_code) == (404, 404)
    assert model.json()["error"]["code"] == "model_not_found"
    assert path.json()["error"]["code"] == "unsupported_route"
    model, path = (get(edge, f"/v1/{name}", **ANTHROPIC) for name in ("models/no-such", "no-such"))
    assert {each.json()["error"]["type"] for each in (model, path)} == {"not_found_error"}
    assert model.json()["error"]["message"] != path.json()["error"]["message"]


@pytest.mark.parametrize("target", ["/v1/models", "/v1/models/smart", "/v1/models/no-such", "/models/", "/health"])
def test_head_where_get_is(edge, target):
    with Client(edge.port) as client:
        for _ in range(2):  # nothing of the body follows, so the connection goes on
            client.send(f"HEAD {target} HTTP/1.1\r\nhost: edge\r\nx-api-key: {KEY}\r\n\r\n".encode())
            status, headers = client.head()
            assert not client.buffer
            got = get(edge, target)
            assert status == got.status_code
            assert int(headers["content-length"]) == len(got.content)
            assert headers["content-type"] == got.headers["content-type"]
    assert get(edge, "/v1/chat/completions", method="HEAD").status_code == 405
    assert get(edge, "/v1/models", method="POST").headers["allow"] == "GET, HEAD"


def test_probes_are_answered_without_a_key_or_a_line_in_the_log(edge):
    prefixes = ("", "/v1", "/anthropic", "/anthropic/v1", "/openai", "/openai/v1")
    for target in (prefix + path for prefix in prefixes for path in ("/", "/api/hello")):
        got = get(edge, target, key=None, method="HEAD", x_request_id="probe-1")
        assert (got.status_code, got.content) == (200, b""), target
        assert get(edge, target, key=None).status_code == (302 if target == "/" else 401)  # to the page of operators
    get(edge, "/v1/nope", x_request_id="probe-2")
    edge.process.wait_for("probe-2")
    assert "probe-1" not in edge.process.output


def test_a_list_is_no_request_of_a_keys_limits(edge):
    for _ in range(5):
        got = get(edge, "/v1/models", LIMITED)
        assert got.status_code == 200
        assert "x-ratelimit-limit-requests" not in got.headers
        assert get(edge, "/v1/models/smart", LIMITED).status_code == 200


def test_a_limit_names_the_key_the_limit_and_the_wait(edge):
    for path, headers in (("/v1/chat/completions", {}), ("/v1/messages", ANTHROPIC)):
        body = {"model": "gpt-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        credential = {"x-api-key": LIMITED, **headers}
        answers = [httpx2.post(f"{edge.url}{path}", json=body, headers=credential) for _ in range(3)]
        (*_, last) = answers
        assert last.status_code == 429
        wait = last.headers["retry-after"]
        expected = f"The key 'limited' may make 2 requests a minute (requests_per_minute); try again in {wait} s."
        assert last.json()["error"]["message"] == expected


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("//v1/messages", "before /v1"),
        ("/v1/v1/messages", "before /v1"),
        ("/v1/v1/messages/count_tokens", "before /v1"),
        ("/anthropic/v1/v1/messages", "before /v1"),
        ("/v1/messages/v1/messages", "before /v1"),
        ("//v1/chat/completions", "at /v1"),
        ("/v1//chat/completions", "at /v1"),
        ("/v1/v1/chat/completions", "at /v1"),
        ("/openai/v1/v1/responses", "at /v1"),
        ("/v1/chat/completions/chat/completions", "at /v1"),
        ("/v1/v1/embeddings?x=y", "at /v1"),
    ],
)
def test_a_base_url_that_ends_in_the_wrong_place_is_told_where_it_should(edge, path, place):
    with Client(edge.port) as client:
        client.post(path, b"{}", f"x-api-key: {KEY}")
        status, headers = client.head()
        body = json.loads(client.body(headers))
    assert status == 404
    assert f"base URL, which should end {place}" in body["error"]["message"]
    assert body.get("type") == ("error" if place == "before /v1" else None)


@pytest.mark.parametrize("path", ["//v1/models", "/v1/v1/models", "/v1/v1/models/smart", "//v1/models?limit=1"])
def test_so_are_those_who_ask_for_models(edge, path):
    for headers, place in ((ANTHROPIC, "before /v1"), ({}, "at /v1")):
        with Client(edge.port) as client:
            lines = [
                f"GET {path} HTTP/1.1",
                "host: edge",
                f"x-api-key: {KEY}",
                *(f"{n}: {v}" for n, v in headers.items()),
            ]
            client.send("\r\n".join([*lines, "", ""]).encode())
            status, got = client.head()
            assert status == 404
            assert f"should end {place}" in json.loads(client.body(got))["error"]["message"]


def test_a_silent_provider_costs_little_time_and_its_own_models_alone(canned, tmp_path, stalls):
    provider = Provider()
    provider.hangs = True
    with Canned(provider) as silent:
        more = {"dialect": "openai", "base_url": f"{silent.url}/v1", "models": ["llama-*", "qwen-72b"]}
        edge = Edge(tmp_path, configured(canned.url, silent=more))
        with running(edge):
            for headers in (ANTHROPIC, {}, {}, {}):
                begun = time.monotonic()
                got = get(edge, "/v1/models", **headers)
                assert time.monotonic() - begun < 3 + stalls.granted_s
                assert got.headers["x-edge-partial"] == "true"
                assert "smart" in ids(got)
                assert "qwen-72b" in ids(got), "the configuration spells it out"
            missing = get(edge, "/v1/models/llama-3")
            assert missing.status_code == 404
            assert missing.headers["x-edge-partial"] == "true"
    assert provider.asked == 1, "once for all clients"
