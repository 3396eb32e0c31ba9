"""What becomes of an attempt that fails: who is asked next, and what the operator sees of it."""

from __future__ import annotations

import json
import re
import socket
import struct
import time

import httpx2
import pytest

from tests.harness import PATIENT, Canned, Client, Edge, answer, chunked, free_port, minimal, running, until

pytestmark = pytest.mark.early

SECRET = "sk-upstream-do-not-tell-0123456789"
CHAT = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "from b"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()
MESSAGE = json.dumps(
    {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "from b"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
).encode()
RESPONSE = json.dumps({"id": "resp_b", "object": "response", "status": "completed", "output": []}).encode()


def error(message: str, **more: str | None) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


def reset(_, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(_, connection: socket.socket) -> None:
    connection.recv(1)


def cut(_, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")


def slow_words(_, connection: socket.socket) -> None:
    """A refusal of which the body never ends."""
    connection.sendall(b"HTTP/1.1 503 X\r\ncontent-type: text/plain\r\ncontent-length: 9999\r\n\r\nat work elsewhere")
    connection.recv(1)


def swallow(seen, connection: socket.socket) -> bytes | None:
    """The first request on each connection is answered, the second ends it without a byte."""
    served = connection in SERVED
    SERVED.add(connection)
    return None if served else minimal(seen)


SERVED: set[socket.socket] = set()
NO_PATH = error("Invalid URL (POST /v2/chat/completions)", type="invalid_request_error", code=None)
FAULTS = {
    "busy": answer(error("The engine is overloaded.", type="server_error"), 503),
    "quota": answer(error("Too many tokens.", type="tokens", code="rate_limit_exceeded"), 429),
    "broken": answer(b"<html><head><title>500 Oops</title></head><body>stack trace</body></html>", 500, "text/html"),
    "credentials": answer(error(f"Incorrect API key provided: {SECRET}.", code="invalid_api_key"), 401),
    "moved": answer(b"elsewhere", 302, location="/v2"),
    "path": answer(NO_PATH, 404),
    "method": answer(b"", 405),
    "model": answer(error("The model `m` does not exist.", code="model_not_found"), 404),
    "bad": answer(error("Bad request.", code="invalid_value"), 400),
    "long": answer(error("word " * 10_000), 500),
    "drip": slow_words,
    "reset": reset,
    "hang": hang,
    "cut": cut,
    "swallow": swallow,
    "first": chunked([b"event: error\ndata: " + error("In the stream.", type="server_error") + b"\n\n"]),
    "odd": answer(b'{"tokens": "many"}'),
    "created": chunked([b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n']),
}


def play(seen, connection):
    model = json.loads(seen.body)["model"]
    if model == "echo":
        said = json.loads(seen.body)["messages"][0]["content"]
        return answer(error(f"Cannot serve '{said}' for alice@example.com with {SECRET}."), 500)
    fault = FAULTS[model]
    return fault(seen, connection) if callable(fault) else fault


def serve(seen, _):
    if seen.target.endswith("/count_tokens"):
        return answer(b'{"input_tokens": 4711}')
    if seen.target.endswith("/responses"):
        return answer(RESPONSE)
    return answer(MESSAGE if seen.target.endswith("/messages") else CHAT)


@pytest.fixture(scope="module")
def a():
    """The upstream that fails."""
    with Canned(play) as made:
        yield made


@pytest.fixture(scope="module")
def b():
    """The upstream that answers."""
    with Canned(serve) as made:
        yield made


@pytest.fixture(scope="module")
def edge(a, b, front, tmp_path_factory):
    urls = {"a": a.url, "b": b.url, "down": f"http://127.0.0.1:{free_port()}"}
    providers = {
        f"{name}{suffix}": {"dialect": dialect, "base_url": f"{url}/v1", "models": [], "api_keys": [SECRET]}
        for name, url in urls.items()
        for suffix, dialect in (("", "openai"), ("-anthropic", "anthropic"))
    }
    models = {}
    for fault in (*FAULTS, "echo"):
        models[fault] = {"strategy": "failover", "upstreams": [{"to": f"a/{fault}"}, {"to": "b/good"}]}
        models[f"m-{fault}"] = {
            "strategy": "failover",
            "upstreams": [{"to": f"a-anthropic/{fault}"}, {"to": "b-anthropic/good"}],
        }
        models[f"count-{fault}"] = {"upstreams": [{"to": f"a-anthropic/{fault}"}], "cache": "all"}
        models[f"only-{fault}"] = {"upstreams": [{"to": f"a/{fault}"}]}
    models["down"] = {"strategy": "failover", "upstreams": [{"to": "down/x"}, {"to": "b/good"}]}
    config = {
        "providers": providers,
        "models": models,
        "resilience": {**PATIENT, "first_content_s": 1.2, "attempt_s": 1.2, "idle_s": 2, "total_s": 6},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def ask(edge, model, path="/v1/chat/completions", said="hi", **more):
    body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": said}], **more}
    if path == "/v1/responses":
        body = {"model": model, "input": said, **more}
    return httpx2.post(edge.url + path, json=body, timeout=15)


def lines_of(edge, got, event="attempt failed"):
    """The log lines of that kind about a request, once its last line is here."""
    request_id = got.headers["x-request-id"]
    edge.process.wait_for(rf'"request_id":"{request_id}".*"event":"request"')
    found = [json.loads(line) for line in edge.process.lines if f'"request_id":"{request_id}"' in line]
    return [line for line in found if line["event"] == event]


def metric(edge, name, **labels):
    text = httpx2.get(f"{edge.url}/metrics").text
    found = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE)
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    return sum(float(value) for said, value in found if wanted <= set(said.split(",")))


# fault: (status, error, kind, what the provider said)
TOLD = {
    "busy": (503, None, "provider_overloaded", "server_error: The engine is overloaded."),
    "quota": (429, None, "provider_rate_limited", "tokens: rate_limit_exceeded: Too many tokens."),
    "broken": (500, None, "provider_error", "500 Oops"),
    "credentials": (401, "upstream_credentials_exhausted", "provider_auth", "invalid_api_key: Incorrect API key"),
    "moved": (302, "upstream_bad_response", "provider_bad_response", "elsewhere"),
    "path": (404, "upstream_bad_response", "provider_bad_response", "invalid_request_error: Invalid URL"),
    "method": (405, "upstream_bad_response", "provider_bad_response", None),
    "drip": (503, None, "provider_overloaded", "at work elsewhere"),
    "reset": (None, "upstream_stream_broken", "provider_stream_broken", None),
    "hang": (None, "timeout", "provider_timeout", None),
    "cut": (200, "upstream_stream_broken", "provider_stream_broken", None),
    "down": (None, "upstream_unreachable", "provider_connect", None),
}


@pytest.mark.parametrize("fault", TOLD)
def test_a_failed_attempt_is_a_log_line_and_counts(edge, fault):
    status, code, kind, said = TOLD[fault]
    provider = "down" if fault == "down" else "a"
    counts = {
        "edge_upstream_requests_total": {"provider": provider, "model": fault, "code": str(status or code)},
        "edge_errors_total": {"provider": provider, "model": fault, "error_type": kind},
        "edge_failovers_total": {"from_provider": provider, "to_provider": "b", "reason": kind},
    }
    before = {name: metric(edge, name, **labels) for name, labels in counts.items()}
    got = ask(edge, fault)
    assert got.status_code == 200
    assert got.headers["x-edge-provider"] == "b"
    (line,) = lines_of(edge, got)
    assert line["level"] == "warning"
    assert (line["provider"], line["model"]) == (provider, "x" if fault == "down" else fault)
    assert (line.get("status"), line.get("error"), line["kind"]) == (status, code, kind)
    assert line["next"] == "b/good"
    assert line["waited_ms"] >= ({"hang": 500, "drip": 200}.get(fault, 0))
    assert (line.get("provider_said") or "").startswith(said or "")
    assert ("provider_said" in line) == (said is not None)
    assert {name: metric(edge, name, **labels) for name, labels in counts.items()} == {
        name: value + 1 for name, value in before.items()
    }
    assert metric(edge, "edge_upstream_requests_total", provider="b", model=fault, code="200") >= 1


@pytest.mark.parametrize(
    ("path", "model", "more"),
    [
        ("/v1/messages", "m-busy", {}),
        ("/v1/chat/completions", "m-busy", {}),
        ("/v1/messages", "busy", {}),
        ("/v1/chat/completions", "first", {"stream": True}),
    ],
    ids=["anthropic", "translated there", "translated back", "in a stream"],
)
def test_in_both_dialects_translated_and_in_streams(edge, path, model, more):
    got = ask(edge, model, path, **more)
    assert got.status_code == 200
    (line,) = lines_of(edge, got)
    assert line["provider_said"].startswith("server_error")
    assert line["next"].endswith("/good")


@pytest.mark.parametrize("fault", ["busy", "broken", "credentials", "hang", "path"])
def test_the_last_failure_is_told_too_and_counts_once(edge, fault):
    status, code, kind, _ = TOLD[fault]
    labels = {"provider": "a", "model": f"only-{fault}", "error_type": kind}
    before = metric(edge, "edge_errors_total", **labels)
    got = ask(edge, f"only-{fault}")
    assert got.status_code == {"credentials": 503, "hang": 504, "path": 502}.get(fault, status)
    (line,) = lines_of(edge, got)
    assert (line.get("status"), line.get("error"), line["kind"]) == (status, code, kind)
    assert "next" not in line
    assert metric(edge, "edge_errors_total", **labels) == before + 1
    (request,) = lines_of(edge, got, "request")
    assert (request["level"], request["kind"]) == ("warning", kind)


def test_the_providers_words_are_bounded_and_tell_no_secret(edge):
    assert len(lines_of(edge, ask(edge, "long"))[0]["provider_said"]) == 300
    got = ask(edge, "echo", said="the plan of ACME for PROMPT-CANARY-77")
    (line,) = lines_of(edge, got)
    assert line["provider_said"].startswith("Cannot serve ")
    ask(edge, "credentials")
    for told in ("CANARY", "ACME", SECRET, "alice@"):
        assert told not in edge.process.output


@pytest.mark.parametrize(
    ("model", "status", "kind"), [("only-path", 502, "provider_bad_response"), ("only-model", 404, "client_invalid")]
)
def test_an_unknown_path_is_the_operators_fault_an_unknown_model_the_clients(edge, model, status, kind):
    got = ask(edge, model)
    assert got.status_code == status
    assert lines_of(edge, got, "request")[0]["kind"] == kind
    if status == 502:
        assert got.headers["x-should-retry"] == "false"
        assert "base_url" in got.json()["error"]["message"]
        assert "v2" not in got.text
    else:
        assert got.content == FAULTS["model"].partition(b"\r\n\r\n")[2]


def test_what_the_request_is_to_blame_for_is_no_failed_attempt(edge, b):
    before = len(b.seen)
    for fault in ("bad", "model"):
        got = ask(edge, fault)
        assert got.status_code in (400, 404)
        assert lines_of(edge, got) == []
    assert len(b.seen) == before


KEPT = {
    "stored": {"store": True},
    "background": {"background": True, "store": False},
}
OPEN = ["reset", "hang", "cut", "broken"]
REFUSED = ["busy", "quota", "credentials", "path"]


@pytest.mark.parametrize(
    ("fault", "more"), [*((fault, {}) for fault in OPEN), *(("cut", more) for more in KEPT.values())]
)
def test_work_that_a_provider_may_have_begun_to_keep_is_asked_for_nowhere_else(edge, b, fault, more):
    before = len(b.seen)
    got = ask(edge, fault, "/v1/responses", **more)
    assert got.status_code in (500, 502, 504)
    assert got.headers["x-edge-attempts"] == "1"
    assert len(b.seen) == before
    assert "next" not in lines_of(edge, got)[0]


@pytest.mark.parametrize("fault", [*REFUSED, "down"])
def test_work_that_was_not_taken_is(edge, fault):
    got = ask(edge, fault, "/v1/responses", background=True)
    assert got.status_code == 200
    assert got.json()["id"] == "resp_b"


@pytest.mark.parametrize("fault", OPEN)
def test_so_is_work_that_nobody_keeps(edge, fault):
    assert ask(edge, fault, "/v1/responses", store=False).json()["id"] == "resp_b"


@pytest.mark.parametrize(("store", "status"), [(False, 200), (True, 502)])
def test_a_response_that_was_created_is_not_created_elsewhere(edge, store, status):
    """The stream ends behind its first event, which is no content."""
    got = ask(edge, "created", "/v1/responses", store=store, stream=True)
    assert got.status_code == status


KEPT_OR_NOT = [
    ("/v1/responses", {}, True),
    ("/v1/responses", {"store": False}, False),
    ("/v1/chat/completions", {"store": True}, True),
    ("/v1/chat/completions", {}, False),
    ("/v1/videos", {}, True),
]


@pytest.mark.parametrize(("path", "more", "kept"), KEPT_OR_NOT)
def test_nor_is_it_sent_again_where_a_kept_connection_ends_without_a_byte(edge, a, path, more, kept):
    statuses, asked = set(), set()
    for _ in range(3):  # the first may find any connection or none
        before = len(a.seen)
        statuses.add(ask(edge, "only-swallow", path, **more).status_code)
        asked.add(len(a.seen) - before)
    assert statuses == ({200, 502} if kept else {200})
    assert max(asked) == (1 if kept else 2)


def test_a_stored_chat_completion_and_unknown_routes_are_kept_too(edge):
    assert ask(edge, "hang", store=True).status_code == 504
    got = httpx2.post(f"{edge.url}/v1/videos", json={"model": "hang", "prompt": "x"}, timeout=10)
    assert (got.status_code, got.headers["x-edge-attempts"]) == (504, "1")


def test_an_unknown_path_that_the_client_chose_is_the_clients(edge):
    got = httpx2.post(f"{edge.url}/v1/videos", json={"model": "path", "prompt": "x"}, timeout=10)
    assert got.status_code == 404
    assert got.content == NO_PATH


def test_a_client_that_leaves_is_counted_as_such(edge, a):
    labels = {"provider": "a", "model": "only-hang", "code": "client_closed_request"}
    before = metric(edge, "edge_upstream_requests_total", **labels)
    asked = len(a.seen)
    with Client(edge.port) as client:
        client.post("/v1/chat/completions", b'{"model":"only-hang","messages":[]}')
        until(lambda: len(a.seen) > asked)
    until(lambda: metric(edge, "edge_upstream_requests_total", **labels) > before)
    assert metric(edge, "edge_upstream_requests_total", **labels) == before + 1


COUNT = "/v1/messages/count_tokens"


@pytest.mark.parametrize("fault", ["hang", "drip", "reset", "cut", "busy", "broken", "credentials", "path", "odd"])
def test_tokens_are_estimated_where_the_provider_does_not_count_them(edge, fault):
    got = ask(edge, f"count-{fault}", COUNT, said=f"one two three {fault}")
    assert got.status_code == 200
    assert got.headers["x-edge-estimated"] == "true"
    assert 0 < got.json()["input_tokens"] < 100
    (line,) = lines_of(edge, got)
    assert line["level"] == "warning"
    assert "kind" not in lines_of(edge, got, "request")[0]


def test_another_provider_counts_before_it_is_estimated(edge):
    got = ask(edge, "m-hang", COUNT)
    assert "x-edge-estimated" not in got.headers
    assert got.json()["input_tokens"] == 4711


@pytest.mark.parametrize("fault", ["bad", "model"])
def test_what_the_request_is_to_blame_for_is_not_estimated(edge, fault):
    assert ask(edge, f"count-{fault}", COUNT).status_code in (400, 404)


def test_an_estimate_is_not_kept(edge, a):
    before = len(a.seen)
    for _ in range(2):
        got = ask(edge, "count-busy", COUNT, said="kept?")
        assert (got.headers["x-edge-cache"], got.headers["x-edge-estimated"]) == ("miss", "true")
    assert len(a.seen) == before + 2


def test_a_count_is_not_waited_for_as_long_as_an_answer(a, tmp_path, stalls):
    """With the clocks as they are by default, and every provider silent."""
    upstreams = [{"to": f"a/{fault}"} for fault in ("hang", "drip", "hang")]
    config = {
        "providers": {"a": {"dialect": "anthropic", "base_url": f"{a.url}/v1", "models": []}},
        "models": {"x": {"strategy": "failover", "upstreams": upstreams}},
        "cache": {"mode": "all"},
    }
    edge = Edge(tmp_path, config)
    with running(edge):
        begun = time.monotonic()
        got = ask(edge, "x", COUNT)
        took_s = time.monotonic() - begun
    assert got.headers["x-edge-estimated"] == "true"
    assert took_s <= 5 + stalls.granted_s
