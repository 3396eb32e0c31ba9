"""Bodies that come compressed, as Codex sends them, and what clients say that a request is a part of."""

from __future__ import annotations

import gzip
import json
import time
import zlib

import anthropic
import httpx2
import pytest

from tests.harness import PATIENT, Edge, providers, running

zstd = pytest.importorskip("backports.zstd")

PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress, "ZSTD": zstd.compress}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {"model": "claude-sonnet-5", "max_tokens": 9, "messages": CHAT["messages"]}
RESPONSES = {"model": "gpt-4o", "input": "hi"}
LIMIT = 1 << 20


def started(folder, simulator, front, **server):
    config = {
        "providers": providers(simulator.url),
        "resilience": PATIENT,
        "cache": {"mode": "all"},
        "server": {"max_body_bytes": LIMIT, **server},
    }
    return Edge(folder, config, front=front)


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    made = started(tmp_path_factory.mktemp("edge"), simulator, front)
    with running(made):
        yield made


def post(edge, path, body, coding, **headers):
    return httpx2.post(
        edge.url + path,
        content=body,
        headers={"content-type": "application/json", "content-encoding": coding, **headers},
        timeout=20,
    )


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize(
    ("path", "asked"), [("/v1/chat/completions", CHAT), ("/v1/messages", MESSAGES), ("/v1/responses", RESPONSES)]
)
def test_the_provider_gets_what_was_meant(edge, simulator, coding, path, asked):
    body = json.dumps(asked).encode()
    since = simulator.count()
    got = post(edge, path, PACK[coding](body), coding, **{"cache-control": "no-store"})
    assert got.status_code == 200, got.text
    (entry,) = simulator.ledger(since)
    assert entry["body"].encode() == body
    assert "content-encoding" not in dict(entry["headers"])


def test_a_large_one_and_a_stream(edge):
    body = {**CHAT, "stream": True, "messages": [{"role": "user", "content": "word " * 100_000}]}
    got = post(edge, "/v1/chat/completions", zstd.compress(json.dumps(body).encode()), "zstd")
    assert got.status_code == 200
    assert got.text.rstrip().endswith("data: [DONE]")


def test_it_is_the_same_request_as_one_that_is_not_compressed(edge, simulator):
    body = json.dumps({**CHAT, "seed": 77}).encode()
    since = simulator.count()
    plain = httpx2.post(f"{edge.url}/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    packed = post(edge, "/v1/chat/completions", gzip.compress(body), "gzip")
    assert (packed.headers["x-edge-cache"], packed.content) == ("memory", plain.content)
    assert simulator.count() == since + 1


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_is_a_413_and_others_are_served_meanwhile(edge, simulator, coding, stalls):
    since = simulator.count()
    bomb = PACK[coding](bytes(300 << 20))
    assert len(bomb) < LIMIT
    begun = time.monotonic()
    got = post(edge, "/v1/messages", bomb, coding)
    assert got.status_code == 413
    said = got.json()["error"]
    assert (said["type"], said["details"]["error_code"]) == (
        "request_too_large",
        "request_body_too_large_after_decoding",
    )
    assert post(edge, "/v1/chat/completions", bomb, coding).json()["error"]["code"] == "request_too_large"
    assert time.monotonic() - begun < 5 + stalls.granted_s
    assert simulator.count() == since


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", gzip.compress(b'{"model":"gpt-4o"', mtime=0)[:-3], gzip.compress(b"no json", mtime=0)],
    ids=range(4),
)
def test_what_is_not_what_it_says_is_a_400(edge, body):
    got = post(edge, "/v1/chat/completions", body, "gzip")
    assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "compress"])
def test_other_codings_are_a_415_that_names_those_that_are_taken(edge, coding):
    got = post(edge, "/v1/messages", b"{}", coding)
    assert got.status_code == 415
    assert "gzip" in got.json()["error"]["message"]
    assert got.json()["error"]["details"]["error_code"] == "request_body_encoding_unsupported"


def test_they_can_be_turned_off(simulator, front, tmp_path):
    edge = started(tmp_path, simulator, front, request_compression=False)
    with running(edge):
        assert post(edge, "/v1/chat/completions", gzip.compress(json.dumps(CHAT).encode()), "gzip").status_code == 415
        assert httpx2.post(f"{edge.url}/v1/chat/completions", json=CHAT).status_code == 200


def lines(edge, request_id):
    deadline = time.monotonic() + 30
    while True:
        found = [json.loads(line) for line in edge.process.lines if request_id in line]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (
            {"x-claude-code-session-id": "11111111-2222", "x-claude-code-agent-id": "a/1"},
            {"session": "11111111-2222", "agent": "a/1"},
        ),
        (
            {"session_id": "s1", "thread-id": "t1", "x-openai-subagent": "review", "x-codex-parent-thread-id": "t0"},
            {"session": "s1", "thread": "t1", "agent": "review", "parent_thread": "t0"},
        ),
        ({"x-claude-code-session-id": 'a"b'}, {}),
        ({"x-claude-code-session-id": "x" * 129, "x-claude-code-parent-agent-id": "p"}, {"parent_agent": "p"}),
    ],
)
def test_the_log_tells_what_a_request_is_a_part_of(edge, simulator, sent, told):
    since = simulator.count()
    request_id = f"part-{abs(hash(tuple(sent.items())))}"
    body = {**CHAT, "user": request_id, "seed": abs(hash(request_id)) % 1_000_000}
    got = httpx2.post(f"{edge.url}/v1/chat/completions", json=body, headers={**sent, "x-request-id": request_id})
    assert got.status_code == 200
    (line,) = lines(edge, request_id)
    fields = ("session", "thread", "agent", "parent_agent", "parent_thread")
    assert {field: line[field] for field in fields if field in line} == told
    assert not set(sent) & set(dict(simulator.ledger(since)[0]["headers"]))


def test_anthropics_sdk_knows_the_refusal(edge):
    client = anthropic.Anthropic(base_url=edge.url, api_key="none-is-asked-for", max_retries=0)
    with pytest.raises(anthropic.RequestTooLargeError):
        client.post(
            "/v1/messages",
            cast_to=dict,
            content=gzip.compress(bytes(300 << 20)),
            options={"headers": {"content-encoding": "gzip"}},
        )
