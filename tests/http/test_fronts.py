"""The lane and the ASGI front give the same answers."""

from __future__ import annotations

import gzip
import json
import re
import socket
import sys
import time

import httpx2
import pytest

from tests.harness import (
    Client,
    Edge,
    Process,
    clean_environment,
    free_port,
    providers,
    running,
    wait_until_ready,
)

BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"nonce:same"}]}'
STREAM = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"nonce:same"}]}'
CLAUDE = b'{"model":"claude-sonnet-5","max_tokens":50,"messages":[{"role":"user","content":"nonce:same"}]}'
CLAUDE_STREAM = CLAUDE[:-1] + b',"stream":true}'
VARYING = re.compile(
    r"^(date|x-request-id|request-id|x-edge-overhead-ms|server-timing|x-edge-upstream-request-id|openai-processing-ms):"
)


@pytest.fixture(scope="module")
def edges(simulator, tmp_path_factory):
    made = [
        Edge(
            tmp_path_factory.mktemp(front),
            {"server": {"max_body_bytes": 100_000}, "providers": providers(simulator.url)},
            front=front,
        )
        for front in ("lane", "asgi")
    ]
    with running(*made):
        yield made


def post(path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    kept = (
        headers
        if any(line.startswith("content-type") for line in headers)
        else (*headers, "content-type: application/json")
    )
    lines = [f"POST {path} HTTP/{version}", "host: localhost", *kept, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def in_chunks(body: bytes, size: int) -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


REQUESTS = {
    "chat": post("/v1/chat/completions", BODY),
    "chat, without /v1": post("/chat/completions", BODY),
    "message": post("/v1/messages", CLAUDE, "anthropic-version: 2023-06-01"),
    "message under /anthropic": post("/anthropic/v1/messages", CLAUDE),
    "stream": post("/v1/chat/completions", STREAM),
    "message stream": post("/v1/messages", CLAUDE_STREAM),
    "in chunks": in_chunks(BODY, 7),
    "HTTP/1.0": post("/v1/chat/completions", BODY, version="1.0"),
    "connection: close": post("/v1/chat/completions", BODY, "connection: close"),
    "a query": post("/v1/messages?beta=true&x=y", CLAUDE),
    "an absolute target": post("http://localhost/v1/chat/completions", BODY),
    "models": b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "unknown route": post("/v1/uploads", BODY),
    "wrong method": b"GET /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "no JSON": post("/v1/chat/completions", b'{"model":'),
    "no model": post("/v1/chat/completions", b"{}"),
    "unknown model": post("/v1/chat/completions", BODY.replace(b"gpt-4o", b"what/ever")),
    "wrong dialect": post("/v1/messages", BODY),
    "empty body": post("/v1/chat/completions", b""),
    "a form": post("/v1/chat/completions", b"a=b", "content-type: application/x-www-form-urlencoded"),
    "multipart": post("/v1/chat/completions", b"x", "content-type: multipart/form-data; boundary=y"),
    "compressed": post("/v1/chat/completions", gzip.compress(BODY, mtime=0), "content-encoding: gzip"),
    "compressed by nobody knows what": post("/v1/chat/completions", BODY, "content-encoding: br"),
    "not compressed": post("/v1/chat/completions", BODY, "content-encoding: gzip"),
    "too large": post("/v1/chat/completions", BODY + b" " * 100_000),
    "too large, in chunks": in_chunks(BODY + b" " * 200_000, 50_000),
    "upstream 429": post("/v1/chat/completions", BODY.replace(b"gpt-4o", b"sim-429")),
    "upstream 500": post("/v1/chat/completions", BODY.replace(b"gpt-4o", b"sim-500")),
    "a bad timeout": post("/v1/chat/completions", BODY, "x-edge-timeout-ms: soon"),
    "health": b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
}


def asked(edge, request: bytes) -> tuple[str, list[str], bytes]:
    """Status line, headers but for what differs each time, and body."""
    with Client(edge.port) as client:
        client.send(request)
        head = client.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        if "content-length" in headers or "transfer-encoding" in headers:
            body = client.body(headers)
        else:
            body = client.buffer
            while data := client.sock.recv(65536):
                body += data
        text = re.sub(rb'"(id|request_id|message_id)":"[^"]*"|"created":\d+', b"", body)
        return head[0], [line for line in head[1:] if not VARYING.match(line)], text


def test_a_client_of_http_1_0_gets_its_stream_without_chunks(edges):
    """RFC 9112, section 6.1: it would not understand them. (uvicorn's own cycle sends them all the same.)"""
    status, headers, body = asked(edges[0], post("/v1/chat/completions", STREAM, version="1.0"))
    assert status == "HTTP/1.1 200 OK"
    assert "connection: close" in headers
    assert not any(line.startswith(("transfer-encoding", "content-length")) for line in headers)
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.fixture(scope="module", params=["lane", "asgi", "uvicorn"])
def served(request, simulator, tmp_path_factory):
    """Each front, and the application under uvicorn's own protocol: a port, and the process that prints the log."""
    folder, config = tmp_path_factory.mktemp("served"), {"providers": providers(simulator.url)}
    if request.param != "uvicorn":
        made = Edge(folder, config, front=request.param)
        with running(made):
            yield made.port, made.process
        return
    (folder / "edge.json").write_text(json.dumps(config))
    port = free_port()
    process = Process(
        *(sys.executable, "-m", "uvicorn", "--factory", "edge.server.asgi:create_app", "--port", str(port)),
        *("--log-level", "warning"),
        env=clean_environment(EDGE_CONFIG=str(folder / "edge.json")),
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}")
        yield port, process
    finally:
        process.stop()


@pytest.mark.parametrize("model", ["gpt-4o", "sim-words-20-ttft-150-tps-200"])
@pytest.mark.parametrize("body", [BODY, STREAM], ids=["json", "stream"])
@pytest.mark.parametrize("wait_s", [0, 0.02, 0.1, 0.2])
def test_a_client_that_has_nothing_more_to_say_is_answered_or_gone(served, model, body, wait_s):
    """One that closes its half of the connection behind its request: both are allowed, and neither is an error."""
    port, process = served
    with Client(port) as client:
        client.send(post("/v1/chat/completions", body.replace(b"gpt-4o", model.encode())))
        time.sleep(wait_s)
        client.sock.shutdown(socket.SHUT_WR)
        got = b""
        while data := client.sock.recv(65536):
            got += data
    assert not got or got.startswith(b"HTTP/1.1 200 OK\r\n")
    deadline = time.monotonic() + 30
    while "\nedge_requests_in_flight 0" not in httpx2.get(f"http://127.0.0.1:{port}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not re.search(r"Traceback|ERROR|RuntimeError|\"level\":\"(error|warning)\"", process.output)


@pytest.mark.parametrize("name", REQUESTS)
def test_both_fronts_answer_the_same(edges, name):
    lane, asgi = (asked(edge, REQUESTS[name]) for edge in edges)
    assert lane == asgi
    if lane[2].startswith(b"{"):
        json.loads(lane[2].replace(b"{,", b"{").replace(b",,", b",").replace(b",}", b"}"))
