"""A request of a provider's own dialect passes through it byte for byte."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache

import httpx2
import pytest

from tests.harness import MINIMAL, Canned, Client, Edge, answer, chunked, minimal, providers, running

CHAT = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'
STREAM = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}'
DONE = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n'


@pytest.fixture(scope="module")
def upstream():
    with Canned() as canned:
        yield canned


@pytest.fixture(scope="module")
def edge(upstream, front, tmp_path_factory):
    config = {
        "providers": {
            **providers(upstream.url),
            "azure": {
                "dialect": "openai",
                "base_url": f"{upstream.url}/openai/v1/",
                "api_keys": ["azure-key"],
                "auth": "api-key",
                "query": {"api-version": "preview"},
                "headers": {"X-Team": "edge", "openai-beta": "mine"},
                "models": ["az-*"],
            },
            "local": {"dialect": "openai", "base_url": f"{upstream.url}/v1", "models": ["llama-*"]},
        },
        "models": {"smart": {"upstreams": [{"to": "openai/gpt-4o"}]}},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def ask(edge, path, body, *headers):
    with Client(edge.port) as client:
        client.post(path, body, *headers)
        status, got = client.head()
        return status, got, client.body(got)


def test_every_recording_arrives_equal_and_its_answer_comes_back_equal(edge, upstream, recordings):
    counts = {"json": 0, "stream": 0}
    with Client(edge.port) as client:
        for recording in recordings:
            reply = recording.answer
            if recording.is_stream:
                upstream.reply = chunked(
                    [reply[i : i + 777] for i in range(0, len(reply), 777)], recording.content_type
                )
            else:
                upstream.reply = answer(reply, recording.status, recording.content_type)
            client.post(recording.path, recording.body)
            status, headers = client.head()
            got = client.body(headers)
            seen = upstream.seen[-1]
            assert seen.body == recording.body, recording.name
            assert status == recording.status, recording.name
            assert got == reply, recording.name
            assert seen.target.startswith(recording.path.partition("?")[0])
            assert ("?beta=true" in seen.target) == ("?beta=true" in recording.path)
            counts["stream" if recording.is_stream else "json"] += 1
    print(f"\n{counts['json']} recorded JSON exchanges and {counts['stream']} streams: 0 bytes changed")


@pytest.mark.parametrize(
    "body",
    [
        b'{ "model" :\t"gpt-4o",\r\n "messages":[ ],"temperature":0.70, "seed":123456789012345678901234567890 }',
        b'{"future":{"a":[1.0,1e5,-0.0,1E400]},"model":"gpt-4o","messages":[],"x":"\\u00e9\\ud83e\\udd9c \xc3\xa9"}',
        b'{"messages":[],"model":"gpt-4o","tools":[{"a":1,"a":2}],"n":1}   \n',
    ],
)
def test_white_space_numbers_escapes_and_unknown_fields_survive(edge, upstream, body):
    spaced = b'{ "x": 1.0 ,"choices":[ {"message" : {}}]}'
    upstream.reply = answer(spaced)
    status, _, got = ask(edge, "/v1/chat/completions", body)
    assert (status, got) == (200, spaced)
    assert upstream.seen[-1].body == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model": "smart" ,"x":1}', b'{"model": "gpt-4o" ,"x":1}'),
        (b'{"x":"smart","model":"smart"}', b'{"x":"smart","model":"gpt-4o"}'),
        (rb'{"mod\u0065l":"sm\u0061rt","y":[]}', rb'{"mod\u0065l":"gpt-4o","y":[]}'),
        (b'{"model":"openai/ft:gpt-4o:a/b"}', b'{"model":"ft:gpt-4o:a/b"}'),
        (b'{"model":"local/llama-3"}', b'{"model":"llama-3"}'),
        (b'{"model":"llama-3" }', b'{"model":"llama-3" }'),
    ],
)
def test_only_the_models_span_is_replaced(edge, upstream, body, expected):
    upstream.reply = minimal
    assert ask(edge, "/v1/chat/completions", body)[0] == 200
    assert upstream.seen[-1].body == expected


PATHS = {
    "/v1/chat/completions": "/v1/chat/completions",
    "/chat/completions": "/v1/chat/completions",
    "/openai/v1/chat/completions": "/v1/chat/completions",
    "/openai/chat/completions": "/v1/chat/completions",
    "/anthropic/v1/messages": "/v1/messages",
    "/anthropic/messages": "/v1/messages",
    "/messages": "/v1/messages",
    "/v1/messages/count_tokens": "/v1/messages/count_tokens",
    "/v1/completions": "/v1/completions",
    "/v1/embeddings": "/v1/embeddings",
    "/v1/responses": "/v1/responses",
    "/v1/images/generations": "/v1/images/generations",
    "/v1/moderations": "/v1/moderations",
    "/v1/audio/speech": "/v1/audio/speech",
}


@pytest.mark.parametrize(("path", "expected"), PATHS.items())
def test_each_path_leads_to_the_providers_own(edge, upstream, path, expected):
    upstream.reply = minimal
    model = "claude-sonnet-5" if "messages" in path else "gpt-4o"
    status, _, _ = ask(edge, path, json.dumps({"model": model}).encode())
    assert status == 200
    assert upstream.seen[-1].target == expected


def test_only_listed_query_names_cross(edge, upstream):
    upstream.reply = minimal
    ask(edge, "/v1/messages?beta=true&api_key=x&debug=1", b'{"model":"claude-x"}')
    assert upstream.seen[-1].target == "/v1/messages?beta=true"
    ask(edge, "/v1/chat/completions?beta=true&x=%2e%2e", b'{"model":"az-4o"}')
    assert upstream.seen[-1].target == "/openai/v1/chat/completions?api-version=preview&beta=true"


def test_only_listed_headers_reach_the_provider(edge, upstream):
    upstream.reply = minimal
    canaries = [f"{name}: canary" for name in (
        "authorization", "x-api-key", "cookie", "proxy-authorization", "x-forwarded-for", "forwarded", "x-real-ip",
        "via", "user-agent", "referer", "x-stainless-lang", "openai-organization", "openai-project", "x-request-id",
        "x-edge-tags", "x-edge-upstream", "te", "x-custom", "api-key", "x-goog-api-key", "accept-language",
        "accept-encoding", "content-language", "if-none-match", "range", "x-http-method-override", "tracestate", "baggage",
    )]  # fmt: skip
    ask(
        edge,
        "/v1/messages",
        b'{"model":"claude-x"}',
        *canaries,
        "accept: text/plain",
        "anthropic-version: 2024-01-01",
        "anthropic-beta: one",
        "anthropic-beta: two",
        "openai-beta: three",
    )
    seen = upstream.seen[-1]
    assert "canary" not in seen.head.decode()
    assert sorted(seen.headers) == sorted(
        [
            ("host", upstream.url.removeprefix("http://")),
            ("content-type", "application/json"),
            ("accept", "text/plain"),
            ("anthropic-version", "2024-01-01"),
            ("anthropic-beta", "one"),
            ("anthropic-beta", "two"),
            ("openai-beta", "three"),
            ("x-api-key", "sk-upstream-anthropic"),
            ("accept-encoding", "identity"),
            ("content-length", "20"),
        ]
    )


def test_credentials_and_configured_headers_are_the_providers_own(edge, upstream):
    upstream.reply = minimal
    ask(edge, "/v1/chat/completions", CHAT, "authorization: Bearer mine-mine-mine-mine")
    assert upstream.seen[-1].header("authorization") == "Bearer sk-upstream-openai"
    ask(edge, "/v1/chat/completions", b'{"model":"az-4o"}', "openai-beta: theirs")
    seen = upstream.seen[-1]
    assert seen.header("api-key") == "azure-key"
    assert seen.header("authorization") is None
    assert seen.header("x-team") == "edge"
    assert [value for name, value in seen.headers if name == "openai-beta"] == ["mine"]
    ask(edge, "/v1/chat/completions", b'{"model":"llama-3"}', "authorization: Bearer mine-mine-mine-mine")
    assert upstream.seen[-1].header("authorization") is None
    ask(edge, "/v1/messages", b'{"model":"claude-x"}')
    assert upstream.seen[-1].header("anthropic-version") == "2023-06-01"


def test_a_trace_is_continued_under_a_hop_of_our_own(edge, upstream):
    upstream.reply = minimal
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    ask(edge, "/v1/chat/completions", CHAT, f"traceparent: 00-{trace}-{parent}-01")
    got = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", upstream.seen[-1].header("traceparent"))
    assert got[1] == trace
    assert got[2] != parent
    ask(edge, "/v1/chat/completions", CHAT, "traceparent: 00-junk")
    assert upstream.seen[-1].header("traceparent") is None


def test_only_listed_headers_come_back(edge, upstream):
    upstream.reply = answer(
        MINIMAL["chat/completions"],
        200,
        "application/json; charset=utf-8",
        retry_after="3",
        retry_after_ms="2500",
        x_ratelimit_limit_requests="10",
        anthropic_ratelimit_tokens_remaining="5",
        openai_processing_ms="12",
        x_should_retry="false",
        x_request_id="req_upstream",
        set_cookie="canary=1",
        server="canary",
        cf_ray="canary",
        openai_organization="canary",
        connection="keep-alive",
        x_custom="canary",
    )
    _, headers, _ = ask(edge, "/v1/chat/completions", CHAT, "x-request-id: my-Own-id-1")
    assert "canary" not in str(headers)
    assert headers.pop("date")
    assert float(headers.pop("x-edge-overhead-ms")) >= 0
    assert re.fullmatch(r"edge;dur=[\d.]+, upstream;dur=[\d.]+", headers.pop("server-timing"))
    assert headers == {
        "content-type": "application/json; charset=utf-8",
        "retry-after": "3",
        "retry-after-ms": "2500",
        "x-ratelimit-limit-requests": "10",
        "anthropic-ratelimit-tokens-remaining": "5",
        "openai-processing-ms": "12",
        "x-should-retry": "false",
        "x-edge-upstream-request-id": "req_upstream",
        "content-length": str(len(MINIMAL["chat/completions"])),
        "x-request-id": "my-own-id-1",  # the raw client lower-cases what it reads
        "x-edge-provider": "openai",
        "x-edge-model": "gpt-4o",
        "x-edge-attempts": "1",
        "x-edge-estimated": "true",  # the answer counts nothing
    }


def test_a_request_id_is_made_where_the_clients_is_unfit(edge, upstream):
    upstream.reply = minimal
    for unfit in ("a b", "x" * 65, "ü", "a_b"):
        _, headers, _ = ask(edge, "/v1/messages", b'{"model":"claude-x"}', f"x-request-id: {unfit}")
        assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
        assert headers["request-id"] == headers["x-request-id"]


def test_streams_say_that_they_must_not_be_buffered(edge, upstream):
    upstream.reply = chunked([DONE])
    _, headers, body = ask(edge, "/v1/chat/completions", STREAM)
    assert body == DONE
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert "x-edge-overhead-ms" not in headers


@cache
def bomb() -> bytes:
    """More than an answer may have, in each part of it that is read."""
    return gzip.compress(bytes(200 << 20))


def test_an_answer_that_came_compressed_all_the_same_is_read(edge, upstream):
    whole = MINIMAL["chat/completions"]
    upstream.reply = answer(gzip.compress(whole), content_encoding="gzip")
    assert ask(edge, "/v1/chat/completions", CHAT)[2] == whole
    upstream.reply = answer(bomb(), content_encoding="gzip")
    status, _, body = ask(edge, "/v1/chat/completions", CHAT)
    assert status == 502
    assert b"too large" in body


@pytest.mark.parametrize("status", [400, 404, 409, 422, 429, 500, 503, 529])
def test_a_providers_error_passes_as_it_is(edge, upstream, status):
    upstream.reply = answer(b'{"error": {"message":"no" }}', status, retry_after="7")
    got, headers, body = ask(edge, "/v1/chat/completions", b'{"model":"gpt-%d"}' % status)
    assert (got, body) == (status, b'{"error": {"message":"no" }}')
    assert headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/moderations"])
def test_a_refusal_of_our_own_key_is_not_the_clients(edge, upstream, status, path):
    upstream.reply = answer(b'{"error":{"message":"Incorrect API key provided: sk-upstream"}}', status)
    model = "claude-x" if path == "/v1/messages" else "gpt-4o"
    got, headers, body = ask(edge, path, json.dumps({"model": model}).encode())
    assert got == 503
    assert headers["x-should-retry"] == "false"
    assert b"sk-upstream" not in body
    error = json.loads(body)["error"]
    if path == "/v1/messages":
        assert error["type"] == "api_error"
    else:
        assert error["code"] == "upstream_credentials_exhausted"


def test_redirects_are_not_followed(edge, upstream):
    with Canned(answer(b"{}")) as canary:
        upstream.reply = answer(b"", 302, location=f"{canary.url}/stolen")
        status, _, body = ask(edge, "/v1/chat/completions", CHAT)
        assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_bad_response")
        assert canary.seen == []


def test_nothing_a_client_says_names_another_host(edge, upstream):
    """Fields and headers that other gateways once obeyed are data here; the canary hears nothing."""
    upstream.reply = minimal
    with Canned(answer(b"{}")) as canary:
        fields = dict.fromkeys(("api_base", "base_url", "url", "host", "endpoint", "custom_host"), canary.url)
        body = json.dumps({"model": "gpt-4o", "messages": [], **fields, "metadata": fields}).encode()
        ask(
            edge,
            "/v1/chat/completions",
            body,
            *(f"x-{name.replace('_', '-')}: {value}" for name, value in fields.items()),
        )
        ask(edge, f"/v1/chat/completions?api_base={canary.url}", body)
        with Client(edge.port) as client:
            client.post(f"{canary.url}/v1/chat/completions", body)
            client.head()
        for path in (
            "/v1/../x",
            "/v1/..%2f..%2fx",
            "/v1//x",
            "/v1/a.b",
            "/v1/x;y",
            "/v1/@host",
            "/v1/x%00",
            "/v1/%2e%2e",
        ):
            assert ask(edge, path, body)[0] == 404, path
        assert canary.seen == []


def test_models_are_listed_in_both_dialects(tmp_path):
    listing = json.dumps({"data": [{"id": "gpt-4o"}, {"id": "llama-3"}, {"id": "claude-x"}]}).encode()
    with Canned(answer(listing)) as upstream:
        config = {
            "providers": {
                **providers(upstream.url),
                "local": {"dialect": "openai", "base_url": f"{upstream.url}/v1", "models": ["llama-*"]},
            },
            "models": {"smart": {"upstreams": [{"to": "openai/gpt-4o"}]}},
        }
        edge = Edge(tmp_path, config)
        with running(edge):
            got = httpx2.get(f"{edge.url}/v1/models").json()
            assert got["object"] == "list"
            # The providers list the same; a bare name stands for the one that it leads to.
            openais = ["smart", "gpt-4o", "openai/llama-3", "openai/claude-x"]
            others = ["anthropic/gpt-4o", "anthropic/llama-3", "claude-x", "llama-3"]
            assert [m["id"] for m in got["data"]] == openais + others
            got = httpx2.get(f"{edge.url}/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
            assert got["has_more"] is False
            assert {m["type"] for m in got["data"]} == {"model"}
            assert [m["id"] for m in got["data"]] == openais + others
            assert httpx2.get(f"{edge.url}/anthropic/v1/models").json()["first_id"] == got["first_id"]
            asked = len(upstream.seen)
            for _ in range(20):
                httpx2.get(f"{edge.url}/models")
            assert len(upstream.seen) == asked, "the providers' lists are remembered"
            assert httpx2.get(f"{edge.url}/v1/models/smart").json()["id"] == "smart"
            assert httpx2.get(f"{edge.url}/v1/models/openai%2Fllama-3").json()["id"] == "openai/llama-3"
            assert httpx2.get(f"{edge.url}/v1/models/nope").json()["error"]["code"] == "model_not_found"
            assert httpx2.post(f"{edge.url}/v1/models", json={}).status_code == 405


def test_a_silent_provider_does_not_hold_the_list_up(tmp_path, simulator):
    with Canned(lambda _seen, _connection: None) as broken:
        config = {
            "providers": {"broken": {"dialect": "openai", "base_url": f"{broken.url}/v1"}, **providers(simulator.url)}
        }
        edge = Edge(tmp_path, config)
        with running(edge):
            assert "openai/gpt-4o" in [m["id"] for m in httpx2.get(f"{edge.url}/v1/models").json()["data"]]
