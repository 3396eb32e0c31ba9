"""A provider with ``http2: true``, behind a real nginx that speaks HTTP/2 over TLS."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import time

import httpx2
import pytest

from tests.harness import Client, Edge, Scripted, answer, free_port, in_pieces, providers, running, until
from tests.http.streams import COMMENT, STREAMS

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  log_format protocol "$server_protocol"; access_log {folder}/access.log protocol;
  client_max_body_size 64m; proxy_request_buffering off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location / {{ proxy_pass {target}; proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location /scripted/ {{
      proxy_pass {scripted}/; proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def scripted():
    with Scripted() as made:
        yield made


def answers(port: int) -> bool:
    try:
        Client(port).sock.close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def edge(simulator, scripted, tmp_path_factory):
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not here (Debian: nginx)")
    pytest.importorskip("h2", reason="the extra http2 is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    port = free_port()
    (folder / "nginx.conf").write_text(
        NGINX.format(folder=folder, port=port, target=simulator.url, scripted=scripted.url)
    )
    nginx = subprocess.Popen(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf", "-p", str(folder)])
    until(lambda: answers(port))
    more = {"http2": True, "ca_file": f"{folder}/cert.pem"}
    aliases = {
        fault: {"strategy": "failover", "upstreams": [{"to": f"openai/sim-{fault}"}, {"to": "openai/gpt-4o"}]}
        for fault in ("hang", "hang-50")
    }
    aliases["failed"] = {"strategy": "failover", "upstreams": [{"to": "scripted/failed"}, {"to": "openai/gpt-4o"}]}
    behind = {"dialect": "openai", "base_url": f"https://localhost:{port}/scripted/v1", "models": [], **more}
    made = Edge(
        folder,
        {
            "providers": {**providers(f"https://localhost:{port}", **more), "scripted": behind},
            "resilience": {"attempt_s": 2, "total_s": 10, "stream_keepalive_s": 0.3},
            "models": aliases,
        },
    )
    made.access_log = folder / "access.log"
    made.providers = providers(f"https://localhost:{port}", **more)
    try:
        with running(made):
            yield made
    finally:
        nginx.terminate()
        nginx.wait(10)


def ask(edge, model, stream=False):
    with Client(edge.port) as client:
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
        client.post("/v1/chat/completions", json.dumps(body).encode())
        status, headers = client.head()
        return status, client.body(headers)


def test_json_and_streams_come_over_http2(edge):
    status, got = ask(edge, "gpt-4o")
    assert status == 200
    assert json.loads(got)["choices"]
    status, got = ask(edge, "gpt-4o", stream=True)
    assert status == 200
    assert got.endswith(b"data: [DONE]\n\n")
    until(lambda: len(edge.access_log.read_text().split()) >= 2)
    assert set(edge.access_log.read_text().split()) == {"HTTP/2.0"}


@pytest.mark.parametrize("fault", ["hang", "hang-50"])
def test_a_silent_provider_costs_one_attempt(edge, fault):
    status, got = ask(edge, fault)
    assert status == 200
    assert json.loads(got)["model"] == "gpt-4o"


def test_errors_and_truncation_are_told_the_same(edge):
    assert ask(edge, "sim-429")[0] == 429
    assert ask(edge, "sim-401")[0] == 503
    assert ask(edge, "sim-cut-50")[0] == 502
    assert b"upstream_stream_broken" in ask(edge, "sim-words-30-cut-9", stream=True)[1]


@pytest.mark.parametrize(
    ("model", "answers"), [("sim-words-100-tps-20", True), ("sim-hang", False), ("sim-hang-1", False)]
)
def test_a_client_that_leaves_closes_its_stream(edge, simulator, model, answers, stalls):
    """nginx passes the reset of a stream on by closing its connection to the simulator."""
    before = simulator.count()
    with Client(edge.port) as client:
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]}
        client.post("/v1/chat/completions", json.dumps(body).encode())
        simulator.entry(before)
        if answers:
            client.head()
        time.sleep(0.1)
    left = time.monotonic()
    entry = simulator.entry(before, lambda entry: entry["left"])
    assert entry["done_at"] is None
    assert entry["left_at"] - left < 0.1 + stalls.granted_s


def test_connections_go_on_after_streams_were_given_up(edge):
    for _ in range(20):
        with Client(edge.port) as client:
            body = b'{"model":"sim-words-100-tps-50","stream":true,"messages":[{"role":"user","content":"x"}]}'
            client.post("/v1/chat/completions", body)
            client.head()
    assert ask(edge, "gpt-4o")[0] == 200


def test_a_request_that_was_given_up_is_charged_if_it_was_sent(edge, simulator):
    before = simulator.count()
    with Client(edge.port) as client:
        body = {"model": "sim-hang", "messages": [{"role": "user", "content": "x" * 400}]}
        client.post("/v1/chat/completions", json.dumps(body).encode())
        simulator.entry(before)
    line = r'"kind":"client_cancelled","input_tokens":107,"output_tokens":-1,"estimated":true'
    edge.process.wait_for(line)
    assert edge.process.output.count('"input_tokens":107') == 1


def test_what_comes_compressed_or_is_no_answer_is_seen_here_too(edge, scripted):
    body = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}'
    for packed in (gzip.compress(body), gzip.compress(gzip.compress(body))):
        label = "gzip" if gzip.decompress(packed) == body else "gzip, gzip"
        scripted.script["packed"] = answer(packed, content_encoding=label)
        assert ask(edge, "scripted/packed") == (200, body)
    scripted.script["packed"] = answer(gzip.compress(body))
    assert ask(edge, "scripted/packed") == (200, body)
    scripted.script["packed"] = answer(gzip.compress(b"") * 100_000, content_encoding="gzip")
    status, got = ask(edge, "scripted/packed")
    assert (status, b"pieces of nothing" in got) == (502, True)
    for failure in (answer(b"<html>", content_type="text/html"), answer(b""), answer(b'{"error":{"code":500}}')):
        scripted.script["failed"] = failure
        status, got = ask(edge, "failed")
        assert status == 200
        assert json.loads(got)["choices"]


def test_a_silent_stream_is_kept_alive(edge, scripted):
    events = STREAMS["chat"]
    scripted.script["slow"] = in_pieces(1.2, *events[:2], 1.2, *events[2:])
    status, got = ask(edge, "scripted/slow", True)
    assert status == 200
    assert got.startswith(COMMENT)
    assert COMMENT in got[len(COMMENT) * 6 :]
    assert got.replace(COMMENT, b"") == b"".join(events)


def test_the_open_list_of_headers_goes_over_http2_too(edge, simulator):
    before = simulator.count()
    given = [
        *("anthropic-version: 2026-10-21", "anthropic-workspace-id: wrkspc_test", "anthropic-future: 1"),
        *("anthropic-beta: one, two", "anthropic-beta: three", "x-api-key: sk-mine-mine-mine-mine"),
    ]
    with Client(edge.port) as client:
        client.post(
            "/v1/messages", b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}', *given
        )
        assert client.head()[0] == 200
    sent = simulator.entry(before)["headers"]
    fields = [tuple(each) for each in (sent.items() if isinstance(sent, dict) else sent)]
    assert sorted(pair for pair in fields if pair[0].startswith("anthropic-")) == [
        *(("anthropic-beta", "one, two"), ("anthropic-beta", "three"), ("anthropic-future", "1")),
        *(("anthropic-version", "2026-10-21"), ("anthropic-workspace-id", "wrkspc_test")),
    ]
    assert "mine" not in str(sent)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_form_goes_on_over_http2_while_it_comes(edge, tmp_path, framing):
    size = 9 << 20
    patient = Edge(tmp_path, {"providers": edge.providers})
    begin = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nopenai/whisper-1\r\n'
    begin += b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    end = b"\r\n--b--\r\n"

    def parts():
        yield begin
        for _ in range(size >> 16):
            yield bytes(1 << 16)
        yield end

    headers = {"content-type": "multipart/form-data; boundary=b"}
    if framing == "length":
        headers["content-length"] = str(len(begin) + size + len(end))
    with running(patient):
        got = httpx2.post(f"{patient.url}/v1/audio/transcriptions", content=parts(), headers=headers, timeout=60)
    assert got.status_code == 200, got.text
    assert got.json()["text"] == f"a.wav of {size} bytes, by whisper-1"
    assert "HTTP/2.0" in edge.access_log.read_text()
