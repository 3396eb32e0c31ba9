"""Values that were found are nowhere that they should not be: what the edge tells, writes and stores."""

from __future__ import annotations

import json

import httpx2
import pytest

from edge.guard.auth import new_key
from tests.harness import Canned, Edge, answer, in_pieces, running, until
from tests.redis_harness import RedisServer, stopping

VALUES = {
    "email": "canary.carol@example.com",
    "card": "5555 5555 5555 4444",
    "ssn": "536-45-9872",
    "iban": "DE89370400440532013000",
    "ip": "198.51.100.77",
    "phone": "+49 30 901820",
    "secret": "sk-proj-canarycanarycanary0123456789AB",
    "project": "Canarybird",
}
TEXT = " and ".join(VALUES.values()) + "."
KEYS = {name: new_key(name) for name in ("ops", "block", "shut")}
ROUTES = {
    "/v1/chat/completions": {"model": "o/gpt-4o", "messages": [{"role": "user", "content": TEXT}]},
    "/v1/messages": {"model": "a/claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": TEXT}]},
    "/v1/responses": {"model": "o/gpt-4o", "input": TEXT, "store": False},
    "/v1/completions": {"model": "o/gpt-4o", "prompt": TEXT},
    "/v1/embeddings": {"model": "o/text-embedding-3-small", "input": TEXT},
}
ADMIN = ("/metrics", "/admin/api/upstreams", "/admin/api/usage", "/admin/api/savings")


def telling(seen, connection):
    """A provider whose answers have it all in them, however they are asked for."""
    asked = json.loads(seen.body)
    if seen.target.endswith("/embeddings"):
        return answer(
            b'{"object":"list","model":"m","data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":1}}'
        )
    if seen.target.endswith("/messages"):
        told = {"type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": TEXT}]}
        return answer(json.dumps({**told, "stop_reason": "end_turn"}).encode())
    if not asked.get("stream"):
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}, "text": TEXT}
        output = [{"type": "message", "content": [{"type": "output_text", "text": TEXT}]}]
        told = {"id": "c", "model": "m", "choices": [choice], "output": output, "status": "completed", "data": []}
        return answer(json.dumps(told).encode())
    chunks = [{"choices": [{"index": 0, "delta": {"content": TEXT[at : at + 7]}}]} for at in range(0, len(TEXT), 7)]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return in_pieces(*[f"data: {json.dumps(each)}\n\n".encode() for each in chunks], b"data: [DONE]\n\n")(
        seen, connection
    )


def has_none(text):
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return [value for value in (*VALUES.values(), "5555555555554444") if value in text] == []


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    with stopping(made):
        yield made


def test_no_value_is_where_it_should_not_be(front, tmp_path, redis):
    with Canned(telling) as provider:
        base = {"base_url": f"{provider.url}/v1", "api_keys": ["k"]}
        pii = {"block": {"request": "block"}, "shut": {"response": "block", "request": "detect"}, "ops": None}
        keys = [{"id": name, "digests": [KEYS[name][1]], "admin": name == "ops", "pii": pii[name]} for name in KEYS]
        settings = {
            "auth": {"keys": keys},
            "providers": {"o": {"dialect": "openai", **base}, "a": {"dialect": "anthropic", **base}},
            "pii": {"request": "mask", "response": "mask", "custom": [{"name": "project", "literals": ["canarybird"]}]},
            "cache": {"mode": "all", "redis": {"url": redis.url()}},
            "telemetry": {"trace_file": str(tmp_path / "trace.jsonl"), "log": {"level": "debug"}},
        }
        edge = Edge(tmp_path, settings, front=front)
        with running(edge):
            count = 0
            for path, body in ROUTES.items():
                for stream in (False, True) if path == "/v1/chat/completions" else (False,):
                    for name, (key, _) in KEYS.items():
                        headers = {"authorization": f"Bearer {key}"}
                        asked = {**body, "stream": True} if stream else body
                        before = len(provider.seen)
                        told = httpx2.post(f"{edge.url}{path}", json=asked, headers=headers, timeout=30)
                        count += 1
                        assert has_none(told.content), (path, name)
                        assert has_none("\n".join(f"{field}: {value}" for field, value in told.headers.items()))
                        if name != "shut":
                            assert all(has_none(seen.body) for seen in provider.seen[before:]), (path, name)
            admin = {"authorization": f"Bearer {KEYS['ops'][0]}"}
            told = {path: httpx2.get(f"{edge.url}{path}", headers=admin, timeout=30) for path in ADMIN}
            assert all(each.status_code == 200 for each in told.values())
            for path, each in told.items():
                assert has_none(each.content), path
            explained = httpx2.post(f"{edge.url}/admin/api/explain", json=ROUTES["/v1/chat/completions"], headers=admin)
            assert has_none(explained.content)
            until(lambda: int(redis.cli("DBSIZE")) > 3)
            stored = [redis.cli("--no-raw", "GET", key) for key in redis.cli("KEYS", "*").split()]
            assert all(has_none(each) for each in stored)
            assert any("[EMAIL]" in each for each in stored), "what is stored could not be read"
        assert has_none(edge.process.output)
        traced = (tmp_path / "trace.jsonl").read_text()
        assert has_none(traced)
    print(f"{count} requests with {len(VALUES)} values each: 0 of them told, logged, counted, traced or stored")
