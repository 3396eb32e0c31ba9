"""What the edge refuses, and how it says so in each dialect."""

from __future__ import annotations

import json
import re
import time

import httpx2
import pytest

from edge.guard.auth import new_key
from edge.ledger import KINDS
from tests.harness import Client, Edge, providers, running

KEY_A, DIGEST_A = new_key("team-a")
KEY_B, DIGEST_B = new_key("team-b")
KEY_ADMIN, DIGEST_ADMIN = new_key("ops")


@pytest.fixture(scope="module")
def guarded(simulator, tmp_path_factory):
    """An edge with keys: a for everything, b for some models, and one for the operator."""
    config = {
        "auth": {
            "failures_per_minute": 1_000_000,
            "keys": [
                {"id": "team-a", "digests": [DIGEST_A, "sha256:" + "0" * 64]},
                {
                    "id": "team-b",
                    "tenant": "b",
                    "digests": [DIGEST_B],
                    "models": ["smart", "gpt-4o-*", "openai/o3", "claude-?"],
                },
                {"id": "ops", "digests": [DIGEST_ADMIN], "models": [], "admin": True},
            ],
        },
        "providers": providers(simulator.url),
        "models": {
            "smart": {"upstreams": [{"to": "openai/gpt-4o"}]},
            "mini": {"upstreams": [{"to": "openai/gpt-4o-mini"}]},
            "wise": {"upstreams": [{"to": "anthropic/claude-sonnet-5"}]},
        },
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config)
    with running(made):
        yield made


def chat(edge, key=None, model="gpt-4o", headers=None, **more):
    auth = {} if key is None else {"authorization": f"Bearer {key}"}
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    return httpx2.post(f"{edge.url}/v1/chat/completions", json=body, headers={**auth, **(headers or {})})


class TestKeys:
    @pytest.mark.parametrize("name", ["authorization", "x-api-key"])
    def test_a_key_is_taken_from_either_header(self, guarded, name):
        value = f"Bearer {KEY_A}" if name == "authorization" else KEY_A
        assert chat(guarded, headers={name: value}).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"authorization": ""},
            {"authorization": "Bearer"},
            {"authorization": "Bearer "},
            {"authorization": f"Basic {KEY_A}"},
            {"authorization": KEY_A},
            {"authorization": f"Bearer {KEY_A}x"},
            {"authorization": f"Bearer {KEY_A[:-1]}"},
            {"authorization": f"Bearer {KEY_A[:20]}"},
            {"authorization": f"Bearer {DIGEST_A}"},
            {"authorization": f"Bearer {DIGEST_A.removeprefix('sha256:')}"},
            {"authorization": "Bearer " + "0" * 64},
            {"authorization": f"Bearer {KEY_A.swapcase()}"},
            {"authorization": f"Bearer {KEY_A},{KEY_B}"},
            {"authorization": "Bearer \xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc"},
            {"x-api-key": "short"},
            {"x-api-key": DIGEST_A},
            {"cookie": f"authorization=Bearer {KEY_A}"},
        ],
    )
    def test_everything_else_gets_one_and_the_same_401(self, guarded, headers):
        lines = [f"{name}: {value}" for name, value in headers.items()]
        with Client(guarded.port) as client:
            client.post("/v1/chat/completions", b"{}", *lines)
            status, got = client.head()
            body = json.loads(client.body(got))
        assert status == 401
        assert got["www-authenticate"] == "bearer"
        assert got["x-should-retry"] == "false"
        assert body == {
            "error": {
                "message": "No valid API key was given. Send yours as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_api_key",
            }
        }

    def test_two_credentials_of_one_kind_are_no_credential(self, guarded):
        with Client(guarded.port) as client:
            client.post(
                "/v1/chat/completions", b"{}", f"authorization: Bearer {KEY_A}", f"authorization: Bearer {KEY_B}"
            )
            assert client.head()[0] == 401

    def test_a_key_in_the_query_is_no_key(self, guarded):
        assert httpx2.post(f"{guarded.url}/v1/chat/completions?api_key={KEY_A}", json={}).status_code == 401

    def test_the_401_speaks_the_routes_dialect(self, guarded):
        got = httpx2.post(f"{guarded.url}/v1/messages", json={})
        assert got.status_code == 401
        body = got.json()
        assert body["type"] == "error"
        assert body["error"]["type"] == "authentication_error"
        assert body["request_id"] == got.headers["request-id"] == got.headers["x-request-id"]

    def test_an_unknown_key_is_refused_before_its_body_is_sent(self, guarded):
        """A large body of someone without a key costs nothing: the answer comes first, then the connection closes."""
        with Client(guarded.port) as client:
            head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 30000000\r\n\r\n"
            client.send(head.encode())
            status, headers = client.head()
            assert status == 401
            assert headers["connection"] == "close"

    def test_a_refused_request_with_a_small_body_keeps_its_connection(self, guarded):
        with Client(guarded.port) as client:
            for _ in range(3):
                client.post("/v1/chat/completions", b'{"a":1}')
                status, headers = client.head()
                client.body(headers)
                assert status == 401
                assert "connection" not in headers

    @pytest.mark.parametrize(
        "path",
        ["/v1/chat/completions", "/v1/models", "/v1/uploads", "/v1/nope", "/metrics", "/admin/api/x", "//",
         "/v1/chat/completions/", "/V1/chat/completions", "/v1/chat%2fcompletions", "/v1;x/chat/completions", "/healthz/",
         "/health/", "/health/../metrics", "/%68ealth", "/openai", "/anthropic/v1/messages", "/metrics/"],
    )  # fmt: skip
    def test_without_a_key_only_health_and_an_empty_page_answer(self, guarded, path):
        routes = ("/v1/chat/completions", "/v1/models", "/v1/nope", "/anthropic/v1/messages")
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            with Client(guarded.port) as client:
                client.send(f"{method} {path} HTTP/1.1\r\nhost: metrics\r\ncontent-length: 0\r\n\r\n".encode())
                expected = 200 if method == "OPTIONS" and path in routes else 401
                assert client.head()[0] == expected, (method, path)
        for path in ("/health", "/health/live", "/health/ready", "/healthz", "/livez", "/readyz"):
            assert httpx2.get(guarded.url + path).status_code == 200
        assert httpx2.get(guarded.url).headers["location"] == "/admin"
        page = httpx2.get(f"{guarded.url}/admin")
        assert page.status_code == 200
        assert "team-a" not in page.text

    def test_the_time_of_a_401_does_not_depend_on_what_was_presented(self, guarded):
        """A smoke test only: the medians of a near miss and of noise are of one size."""
        near, far = KEY_A[:-1] + ("a" if KEY_A[-1] != "a" else "b"), "x" * len(KEY_A)
        times: dict[str, list[float]] = {near: [], far: []}
        with httpx2.Client() as client:
            for _ in range(200):
                for token, found in times.items():
                    begun = time.perf_counter()
                    client.post(f"{guarded.url}/v1/models", headers={"x-api-key": token})
                    found.append(time.perf_counter() - begun)
        a, b = (sorted(found)[100] for found in times.values())
        assert 0.5 < a / b < 2


class TestModels:
    @pytest.mark.parametrize("model", ["smart", "mini", "gpt-4o-mini", "openai/gpt-4o-mini", "o3", "openai/o3"])
    def test_a_key_may_use_what_its_patterns_match(self, guarded, model):
        assert chat(guarded, KEY_B, model).status_code == 200

    @pytest.mark.parametrize("model", ["gpt-4o", "openai/gpt-4o", "o4", "openai/gpt-4o-mini/../gpt-4o"])
    def test_and_nothing_else(self, guarded, model):
        got = chat(guarded, KEY_B, model)
        assert got.status_code == 403 if ".." not in model else got.status_code in (200, 403)
        if got.status_code == 403:
            assert got.json()["error"]["code"] == "model_not_allowed"
            assert got.json()["error"]["param"] == "model"

    def test_an_alias_of_a_model_that_is_not_granted_is_refused(self, guarded):
        body = {"model": "wise", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        got = httpx2.post(f"{guarded.url}/v1/messages", json=body, headers={"x-api-key": KEY_B})
        assert got.status_code == 403
        assert got.json()["error"]["type"] == "permission_error"

    def test_the_list_shows_what_the_key_may_use(self, guarded):
        def listed(key):
            got = httpx2.get(f"{guarded.url}/v1/models", headers={"authorization": f"Bearer {key}"})
            return [model["id"] for model in got.json()["data"]]

        openais = ["gpt-4o", "gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"]
        assert listed(KEY_A) == ["smart", "mini", "wise", *openais, "claude-sonnet-5", "claude-haiku-4-5"]
        assert listed(KEY_B) == ["smart", "mini", "gpt-4o-mini"]
        assert listed(KEY_ADMIN) == []

    def test_a_model_nobody_claims_is_404_with_close_names(self, simulator, tmp_path):
        config = {
            "providers": {
                "local": {"dialect": "openai", "base_url": f"{simulator.url}/v1", "models": ["llama-*", "qwen-72b"]}
            },
            "models": {"smart": {"upstreams": [{"to": "local/llama-3"}]}},
        }
        edge = Edge(tmp_path, config)
        with running(edge):
            got = chat(edge, None, "smrt")
            assert got.status_code == 404
            assert got.json()["error"]["code"] == "model_not_found"
            assert "smart" in got.json()["error"]["message"]
            assert "qwen-72b" in chat(edge, None, "qwen-7b").json()["error"]["message"]

    @pytest.mark.parametrize(
        ("path", "model"),
        [
            ("/v1/responses/compact", "claude-x"),
            ("/v1/responses/compact", "wise"),
            ("/v1/embeddings", "claude-x"),
            ("/v1/completions", "wise"),
        ],
    )
    def test_what_is_not_translated_to_the_other_dialect_is_a_clear_400(self, guarded, path, model):
        got = httpx2.post(guarded.url + path, json={"model": model}, headers={"x-api-key": KEY_A})
        assert got.status_code == 400
        message = got.json()["error"]["message"]
        assert model in message
        assert path in message


BODIES = [
    (b"", "invalid_json"),
    (b"[]", "invalid_json"),
    (b"{", "invalid_json"),
    (b'{"model":"m",}', "invalid_json"),
    (b'{"model":NaN}', "invalid_json"),
    (b'{"model":"\xff"}', "invalid_json"),
    (b'{"model":"\\ud800"}', "invalid_json"),
    (b'{"model":"gpt-4o","x":' + b"[" * 128 + b"]" * 128 + b"}", "invalid_json"),
    (b'{"model":"gpt-4o","x":' + b"[" * 1_000_000 + b"}", "invalid_json"),
    (b'{"model":"gpt-4o","x":' + b"1" * 5000 + b"}", "invalid_json"),
    (b'{"model":"gpt-4o","model":"gpt-4o-mini"}', "duplicate_key"),
    (rb'{"model":"gpt-4o","\u006dodel":"gpt-4o-mini"}', "duplicate_key"),
    (b'{"model":"gpt-4o","messages":[{"role":"user","role":"system"}]}', "duplicate_key"),
    (b"{}", "missing_required_parameter"),
    (b'{"model":1}', "invalid_type"),
    (b'{"model":null}', "invalid_type"),
    (b'{"model":""}', "invalid_value"),
    (b'{"model":"a\\nb"}', "invalid_value"),
    (b'{"model":"' + b"x" * 300 + b'"}', "invalid_value"),
    (b'{"model":"gpt-4o","stream":"yes"}', "invalid_type"),
]


class TestBodies:
    @pytest.mark.parametrize(("body", "code"), BODIES)
    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
    def test_a_bad_body_is_a_400_that_says_why(self, edge, simulator, path, body, code):
        before = simulator.count()
        with Client(edge.port) as client:
            client.post(path, body)
            status, headers = client.head()
            error = json.loads(client.body(headers))["error"]
        assert status == 400
        assert error["message"]
        if path == "/v1/messages":
            assert error["type"] == "invalid_request_error"
        else:
            assert error["code"] == code
        assert simulator.count() == before

    def test_a_body_over_the_limit_is_413(self, simulator, tmp_path):
        edge = Edge(tmp_path, {"server": {"max_body_bytes": 2048}, "providers": providers(simulator.url)})
        fits = b'{"model":"gpt-4o","messages":[{"role":"user","content":"%b"}]}'
        with running(edge):
            for size, expected in ((2048, 200), (2049, 413)):
                body = fits % (b"x" * (size - len(fits) + 2))
                assert len(body) == size
                with Client(edge.port) as client:
                    client.post("/v1/chat/completions", body)
                    assert client.head()[0] == expected
                with Client(edge.port) as client:
                    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                    client.send(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
                    for i in range(0, len(body), 500):
                        client.send(b"%x\r\n%b\r\n" % (len(body[i : i + 500]), body[i : i + 500]))
                    client.send(b"0\r\n\r\n")
                    assert client.head()[0] == expected
            with Client(edge.port) as client:
                client.post("/v1/messages", b"x" * 5000)
                _, headers = client.head()
                assert json.loads(client.body(headers))["error"]["type"] == "request_too_large"

    @pytest.mark.parametrize("value", ["0", "-1", "1.5", "abc", "99999999999", ""])
    def test_an_unfit_deadline_is_a_400(self, edge, value):
        got = chat(edge, headers={"x-edge-timeout-ms": value})
        assert got.status_code == 400
        assert "x-edge-timeout-ms" in got.json()["error"]["message"]


class TestRoutes:
    @pytest.mark.parametrize(
        "path",
        ["/v1/uploads/x", "/v1/responses/a/b/c", "/v1/realtime/sessions", "/v1/realtime",
         "/v1/uploads", "/V1/chat/completions", "/v1/v1/messages", "/anthropic",
         "/anthropic/v1/uploads", "/anthropic/v1/complete"],
    )  # fmt: skip
    def test_what_cannot_be_routed_by_model_is_404_and_names_what_exists(self, edge, path):
        got = httpx2.post(edge.url + path, json={"model": "gpt-4o"})
        assert got.status_code == 404
        assert "/v1/chat/completions" in got.json()["error"]["message"]

    def test_multipart_is_404(self, simulator, tmp_path, guarded):
        got = httpx2.post(f"{guarded.url}/v1/other", files={"file": b"x"}, headers={"x-api-key": KEY_A})
        assert got.status_code == 404
        assert got.json()["error"]["code"] == "unsupported_route"

    def test_the_wrong_method_is_405(self, edge):
        for path, allowed in (("/v1/chat/completions", "POST"), ("/v1/messages", "POST"), ("/v1/models", "GET, HEAD")):
            for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - set(allowed.split(", ")):
                got = httpx2.request(method, edge.url + path, json={})
                assert got.status_code == 405, (method, path)
                assert got.headers["allow"] == allowed

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("*", "GET, HEAD, POST, DELETE, OPTIONS"),
            ("/v1/chat/completions", "POST, OPTIONS"),
            ("/anthropic/v1/messages", "POST, OPTIONS"),
            ("/v1/models", "GET, HEAD, OPTIONS"),
            ("/v1/models/gpt-4o", "GET, HEAD, OPTIONS"),
            ("/v1/moderations", "POST, OPTIONS"),
            ("/health", "GET, HEAD, OPTIONS"),
            ("/metrics", "GET, HEAD, OPTIONS"),
        ],
    )
    def test_options_are_told(self, edge, path, allowed):
        with Client(edge.port) as client:
            for _ in range(2):
                client.send(f"OPTIONS {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
                status, headers = client.head()
                assert (status, headers["allow"].upper()) == (200, allowed)
                assert client.body(headers) == b""

    def test_options_of_what_does_not_exist_and_an_asterisk_for_another_method(self, edge):
        assert httpx2.request("OPTIONS", f"{edge.url}/v1/uploads").status_code == 404
        for method in ("GET", "POST"):
            with Client(edge.port) as client:
                client.send(f"{method} * HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode())
                assert client.head()[0] == 400

    def test_options_of_the_server_need_no_key(self, guarded):
        with Client(guarded.port) as client:
            client.send(b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert client.head()[0] == 200

    @pytest.mark.parametrize(
        ("path", "allowed"), [("/v1/messages", "POST, OPTIONS"), ("/v1/models", "GET, HEAD, OPTIONS")]
    )
    @pytest.mark.parametrize("more", ["", "authorization: Bearer nobodys-key-at-all\r\n"])
    def test_options_of_a_route_need_no_key(self, guarded, path, allowed, more):
        """What a browser asks before a request of another origin has no key, and gets no leave of CORS either."""
        asked = f"OPTIONS {path} HTTP/1.1\r\nhost: localhost\r\norigin: https://app.example\r\n{more}"
        with Client(guarded.port) as client:
            client.send(f"{asked}access-control-request-method: POST\r\n\r\n".encode())
            status, headers = client.head()
            assert (status, headers["allow"].upper(), client.body(headers)) == (200, allowed, b"")
            assert not [name for name in headers if name.startswith("access-control")]

    def test_errors_speak_anthropics_dialect_where_its_clients_ask(self, edge):
        for path, headers in (("/anthropic/v1/uploads", {}), ("/v1/uploads", {"anthropic-version": "2023-06-01"})):
            got = httpx2.post(edge.url + path, json={}, headers=headers)
            assert got.json()["type"] == "error"
            assert got.json()["error"]["type"] == "not_found_error"


class TestWithoutKeys:
    """``mode: none`` on loopback: a page in the user's browser must not be able to spend money."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8080", "127.9.9.9:1", "[::1]:8080", "[::1]"])
    def test_loopback_names_are_answered(self, edge, host):
        assert self.status(edge, host) == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "0.0.0.0"]
    )
    def test_other_names_are_refused(self, edge, host):
        assert self.status(edge, host) == 403

    @staticmethod
    def status(edge, host):
        body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'
        with Client(edge.port) as client:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            client.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            return client.head()[0]

    def test_a_missing_host_is_refused(self, edge):
        with Client(edge.port) as client:
            client.send(b"GET /v1/models HTTP/1.0\r\n\r\n")
            assert client.head()[0] in (400, 403)

    def test_a_foreign_origin_is_refused_and_our_own_is_not(self, edge):
        assert chat(edge, headers={"origin": "https://evil.example"}).status_code == 403
        assert chat(edge, headers={"origin": "null"}).status_code == 403
        assert chat(edge, headers={"origin": "http://localhost:1"}).status_code == 403
        assert chat(edge, headers={"origin": edge.url}).status_code == 200
        assert httpx2.get(f"{edge.url}/metrics", headers={"origin": "https://evil.example"}).status_code == 403
        assert httpx2.get(f"{edge.url}/metrics", headers={"host": "evil.example"}).status_code == 403

    @pytest.mark.parametrize(
        "media_type", ["text/plain", "application/x-www-form-urlencoded", None, "application/jsonp"]
    )
    def test_a_body_that_is_not_declared_as_json_is_refused(self, edge, media_type):
        headers = {} if media_type is None else {"content-type": media_type}
        got = httpx2.post(f"{edge.url}/v1/chat/completions", content=b'{"model":"gpt-4o"}', headers=headers)
        assert got.status_code == 415

    def test_metrics_answer_this_machine(self, edge):
        assert httpx2.get(f"{edge.url}/metrics").status_code == 200


class TestMetricsPage:
    def test_it_needs_an_admin_key(self, guarded):
        url = f"{guarded.url}/metrics"
        assert httpx2.get(url).status_code == 401
        assert httpx2.get(url, headers={"x-api-key": KEY_A}).status_code == 403
        assert httpx2.get(url, headers={"x-api-key": KEY_ADMIN}).status_code == 200

    def test_labels_come_from_the_configuration_alone(self, guarded):
        for i in range(50):
            chat(guarded, KEY_A, f"gpt-unheard-of-{i}")
            httpx2.post(f"{guarded.url}/v1/made/up/{i}", json={"model": "gpt-x"}, headers={"x-api-key": KEY_A})
        chat(guarded, KEY_A, "smart")
        text = httpx2.get(f"{guarded.url}/metrics", headers={"x-api-key": KEY_ADMIN}).text
        for canary in ("unheard", "made/up", KEY_A, "gpt-x"):
            assert canary not in text
        assert 'model="_other"' in text
        assert 'model="smart"' in text
        assert set(re.findall(r'tenant="(.*?)"', text)) <= {"", "team-a", "b", "ops"}
        kinds = {part.split('"')[1] for part in text.split("error_type=")[1:]}
        assert kinds - {""} <= set(KINDS)
