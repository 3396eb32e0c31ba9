"""R24: what is secret appears where it is meant to be, and nowhere else: not in a line of the log, a metric, a trace, a
page, a key of Redis, or an error that somebody else gets.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx2
import pytest

from edge import keys
from tests.harness import Canned, Client, Edge, answer, chunked, providers, running, until
from tests.redis_servers import RedisServer, stopping

PLACES = ("log", "metrics", "pages", "traces", "redis keys", "redis values", "answers of others", "upstream")


def canary(name: str) -> str:
    return f"canary-{name}-7f3a9c51"


PROMPT, ANSWER, HEADER = canary("prompt"), canary("answer"), canary("header")
QUERY, PATH, SAID, SAID_IN_HEADER = canary("query"), canary("path"), canary("provider-error"), canary("provider-header")
PROVIDER_KEY, WRONG_KEY, PASSWORD = canary("provider-key"), f"lea_nobody_{canary('wrong')}", canary("password")
SECRET, HMAC = canary("server-secret") + "x" * 32, canary("hmac")
BROKEN, FIELD, USER = canary("broken-json"), canary("field"), canary("user-info")


def reply(seen, _connection) -> bytes:
    body = seen.body
    if b"fail-" in body:
        status = int(body.partition(b"fail-")[2][:3])
        # Providers say again what they were told, their own keys among it.
        said = f"{SAID}: in your message 'fail-{status} {PROMPT}'{f' by {PROVIDER_KEY}' if status != 404 else ''}"
        error = {"message": said, "type": "x"}
        return answer(json.dumps({"error": error}).encode(), status, x_note=SAID_IN_HEADER)
    if seen.target.endswith("/models"):
        return answer(b'{"object":"list","data":[]}')
    if b'"stream":true' in body.replace(b" ", b""):
        if "messages" in seen.target and "chat" not in seen.target:
            return answer(json.dumps({"error": {"message": SAID}}).encode(), 400)
        piece = {"id": "c", "choices": [{"index": 0, "delta": {"content": ANSWER}, "finish_reason": None}]}
        last = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        events = [f"data: {json.dumps(each)}\n\n".encode() for each in (piece, last)]
        return chunked([*events, b"data: [DONE]\n\n"])
    if seen.target.startswith("/v1/messages"):
        said = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        return answer(json.dumps({**said, "content": [{"type": "text", "text": ANSWER}]}).encode())
    said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}
    return answer(json.dumps({"id": "c", "choices": [said]}).encode(), x_note=SAID_IN_HEADER)


@pytest.fixture
def redis(tmp_path):
    made = RedisServer(tmp_path, password=PASSWORD)
    with stopping(made):
        yield made


def everything(edge: Edge, token: str) -> list[tuple[int, str]]:
    """Requests of all kinds, good and bad, each with something in it that is nobody's business; what they were told."""
    told = []
    headers = {"authorization": f"Bearer {token}", "x-custom": HEADER, "user-agent": HEADER, "cookie": HEADER}
    text = [{"role": "user", "content": PROMPT}]
    with httpx2.Client(base_url=edge.url, headers=headers, timeout=20) as client:

        def post(path: str, body, **more):
            got = (
                client.post(path, json=body, **more)
                if not isinstance(body, bytes)
                else client.post(path, content=body, **more)
            )
            told.append((got.status_code, got.text))

        for stream in (False, True):
            for _ in range(2):  # the second from memory
                post("/v1/chat/completions", {"model": "gpt-4o", "stream": stream, "messages": text, "user": USER})
            post(
                "/v1/messages",
                {"model": "gpt-4o", "max_tokens": 5, "stream": stream, "messages": text, "system": PROMPT},
            )
        post("/v1/chat/completions", {"model": "claude-sonnet-5", "messages": text})
        post("/v1/messages", {"model": "claude-sonnet-5", "max_tokens": 5, "messages": text})
        post("/v1/embeddings", {"model": "text-embedding-3-small", "input": PROMPT})
        post("/v1/responses", {"model": "gpt-4o", "input": PROMPT})
        post(f"/v1/chat/completions?token={QUERY}", {"model": "gpt-4o", "messages": text})
        post(f"/v1/{PATH}", {"model": "gpt-4o", "input": PROMPT})
        post(f"/v1//{PATH}", {"model": "gpt-4o", "input": PROMPT})
        for status in (400, 401, 403, 404, 429, 500, 503, 529):
            post(
                "/v1/chat/completions",
                {"model": "gpt-4o-noretry", "messages": [{"role": "user", "content": f"fail-{status} {PROMPT}"}]},
            )
        post("/v1/chat/completions", {"model": "gpt-4o", "messages": PROMPT})
        post("/v1/chat/completions", {"model": 5, "messages": text})
        post("/v1/chat/completions", {"messages": text, FIELD: FIELD})
        post("/v1/chat/completions", f'{{"model":"gpt-4o","x":{BROKEN}'.encode())
        post("/v1/chat/completions", f'{{"{FIELD}":1,"{FIELD}":2}}'.encode())
        post("/v1/chat/completions", b'{"model":"gpt-4o","x":"' + BROKEN.encode() + b'\xff"}')
        post("/v1/chat/completions", {"model": "gpt-4o", "messages": text}, headers={"x-edge-timeout-ms": HEADER})
        post("/v1/chat/completions", {"model": "gpt-4o", "messages": text}, headers={"content-encoding": HEADER})
        post("/admin/api/explain", {"model": "gpt-4o", "messages": text})
        for name, value in (
            ("authorization", f"Bearer {WRONG_KEY}"),
            ("authorization", f"Basic {WRONG_KEY}"),
            ("x-api-key", WRONG_KEY),
        ):
            got = httpx2.post(
                f"{edge.url}/v1/chat/completions", json={"model": "gpt-4o", "messages": text}, headers={name: value}
            )
            told.append((got.status_code, got.text))
        told.append((client.get(f"/v1/models/{PATH}").status_code, ""))
        told.append((client.get(f"/admin/{PATH}?key={QUERY}").status_code, ""))
    for raw in (
        f"POST /v1/{PATH} HTTP/1.1\r\nhost: x\r\nx: {HEADER}\x00\r\n\r\n",
        f"GET http://{USER}@127.0.0.1/{PATH} HTTP/1.1\r\nhost: x\r\n\r\n",
        f"{HEADER} / HTTP/1.1\r\nhost: x\r\n\r\n",
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {USER}@x\r\n\r\n",
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {HEADER}\r\n\r\n",
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{HEADER}\r\n",
    ):
        with Client(edge.port) as client:
            client.send(raw.encode("latin-1"))
            status, fields = client.head()
            told.append((0, f"{status} {fields} {client.body(fields)}"))
    return told


def all_are_written(edge: Edge, as_admin: dict[str, str]) -> bool:
    """Whether what is in memory has been sent to Redis too."""
    text = httpx2.get(f"{edge.url}/metrics", headers=as_admin).text
    in_memory, in_redis = (
        sum(map(float, re.findall(rf'^edge_cache_writes_total{{.*tier="{tier}".*}} (\S+)$', text, re.MULTILINE)))
        for tier in ("memory", "redis")
    )
    return 0 < in_memory == in_redis


MEANT: dict[str, set[str]] = {
    # What a provider is told, and what it says of it.
    PROMPT: {"upstream"},
    USER: {"upstream"},
    PROVIDER_KEY: {"upstream"},
    # The answers that are kept.
    ANSWER: {"redis values"},
}
"""Where each may be; the others nowhere."""


def test_nothing_secret_is_where_it_should_not_be(redis, front, tmp_path):
    file, trace = str(tmp_path / "keys.json"), tmp_path / "trace.jsonl"
    token, admin = keys.issue(file, "team", {"admin": True}), keys.issue(file, "other", {"admin": True})
    with Canned(reply) as upstream:
        config = {
            "server": {"secret": SECRET},
            "auth": {"keys_file": file, "failures_per_minute": 1_000_000},
            "providers": providers(upstream.url, api_keys=[PROVIDER_KEY]),
            "cache": {"mode": "all", "redis": {"url": redis.url(), "hmac_key": HMAC}},
            "telemetry": {"log": {"level": "debug"}, "trace_file": str(trace)},
        }
        edge = Edge(tmp_path, config, front=front)
        with running(edge):
            told = everything(edge, token)
            assert {200, 400, 401, 404, 429} <= {status for status, _ in told}
            as_admin = {"x-api-key": admin}
            until(lambda: all_are_written(edge, as_admin))  # what is stored is stored beside the answers
            pages = [
                httpx2.get(f"{edge.url}{path}", headers=as_admin).text
                for path in (
                    "/admin/api/savings",
                    "/admin/api/upstreams",
                    "/admin/api/usage",
                    "/health",
                    "/health/ready",
                )
            ]
            metrics = httpx2.get(f"{edge.url}/metrics", headers=as_admin).text
        names = redis.cli("--scan").split()
        values = "".join(redis.cli("--no-raw", "DUMP", name) for name in names)
        found = {
            "log": edge.process.output,
            "metrics": metrics,
            "pages": "".join(pages),
            "traces": "".join(path.read_text() for path in Path(tmp_path).glob("trace.jsonl*")),
            "redis keys": "\n".join(names),
            "redis values": values,
            "answers of others": "".join(text for status, text in told if status in (0, 401, 404)),
            "upstream": "".join((seen.head + seen.body).decode("latin-1") for seen in upstream.seen),
        }
    assert all(found[place] for place in ("log", "metrics", "pages", "traces", "redis keys", "upstream"))
    secrets = {
        "prompt": PROMPT, "answer": ANSWER, "header": HEADER, "query": QUERY, "path": PATH, "provider error": SAID,
        "provider header": SAID_IN_HEADER, "provider key": PROVIDER_KEY, "wrong key": WRONG_KEY, "password": PASSWORD,
        "secret": SECRET, "hmac": HMAC, "broken": BROKEN, "field": FIELD, "user": USER, "key": token, "admin key": admin,
    }  # fmt: skip
    leaks = [
        (what, place)
        for what, value in secrets.items()
        for place in PLACES
        if value in found[place] and place not in MEANT.get(value, set()) and (what, place) not in EXPECTED
    ]
    print(f"{len(told)} requests, {len(secrets)} canaries, {len(PLACES)} places: {len(leaks)} where they should not be")
    assert leaks == []
    assert ANSWER in "".join(text for status, text in told if status == 200), "and the answers are told"


EXPECTED = {
    ("path", "upstream"),  # what passes through has its own path
    ("provider error", "answers of others"),  # a provider's own 404 is told to who asked
    ("prompt", "answers of others"),  # with what it says again
    ("provider error", "log"),  # its own words, without what it says again
}
