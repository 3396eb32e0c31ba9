"""What providers and clients do that nobody would think of."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest

from tests.harness import MINIMAL, Canned, Client, Edge, answer, chunked, clean_environment, minimal, providers, running

pytestmark = pytest.mark.early

CHAT = b'{"model":"gpt-4o","messages":[]}'
STREAM = b'{"model":"gpt-4o","stream":true,"messages":[]}'
SAYS = b'data: {"choices":[{"index":%d,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
ENDS = b'data: {"choices":[{"index":%d,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def upstream():
    with Canned() as canned:
        yield canned


@pytest.fixture(scope="module")
def edge(upstream, front, tmp_path_factory):
    config = {
        "providers": providers(upstream.url, max_connections=5),
        "resilience": {"connect_s": 1, "first_content_s": 2, "idle_s": 1.5, "total_s": 3},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def ask(edge, body=CHAT, path="/v1/chat/completions", *headers):
    with Client(edge.port) as client:
        client.post(path, body, *headers)
        status, got = client.head()
        return status, client.body(got)


def test_answers_that_cannot_be_read_do_not_use_up_the_pool(edge, upstream):
    upstream.reply = answer(b"{}", content_encoding="br")
    for _ in range(8):
        assert ask(edge)[0] == 502
    upstream.reply = minimal
    assert ask(edge) == (200, MINIMAL["chat/completions"])


def test_clients_that_stop_reading_let_go_of_their_upstream_in_time(edge, upstream):
    many = chunked([SAYS % 0] * 200_000)
    upstream.reply = many
    stuck = []
    for _ in range(5):
        client = Client(edge.port)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.post("/v1/chat/completions", STREAM)
        stuck.append(client)
    time.sleep(4.5)  # total_s is 3
    upstream.reply = minimal
    assert ask(edge) == (200, MINIMAL["chat/completions"])
    for client in stuck:
        client.sock.close()


def test_a_stream_without_blank_lines_is_bounded(edge, upstream):
    def endless(_seen, connection):
        connection.sendall(chunked([SAYS % 0], end=False))
        piece = b"id: comment\n" * 6000
        for _ in range(400):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))

    upstream.reply = endless
    status, got = ask(edge, STREAM)
    assert status == 200
    assert b"upstream_bad_response" in got
    assert len(got) < 1 << 20


def test_comments_without_blank_lines_pass_as_they_come(edge, upstream):
    """There is nothing to hold them back for; a provider that says nothing else is at its clock's end."""
    comments = b": comment\n" * 60_000
    upstream.reply = chunked([SAYS % 0, *[comments] * 40, b"data: [DONE]\n\n"])
    status, got = ask(edge, STREAM)
    assert (status, got) == (200, SAYS % 0 + comments * 40 + b"data: [DONE]\n\n")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_json_that_ends_with_its_connection_must_be_whole(edge, upstream, version):
    head = b"HTTP/%b 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" % version
    upstream.closes = True
    upstream.reply = head + b'{"choices":[{"mess'
    assert ask(edge)[0] == 502
    upstream.reply = head + MINIMAL["chat/completions"]
    assert ask(edge) == (200, MINIMAL["chat/completions"])
    upstream.closes = False


def test_every_choice_must_have_ended_where_done_is_missing(edge, upstream):
    upstream.reply = chunked([SAYS % 0, SAYS % 1, ENDS % 0])
    assert b"upstream_stream_broken" in ask(edge, STREAM)[1]
    upstream.reply = chunked([SAYS % 0, SAYS % 1, ENDS % 0, ENDS % 1])
    assert ask(edge, STREAM)[1].endswith(ENDS % 1)
    upstream.reply = chunked([SAYS % 0, ENDS % 0, b'data: {"choi'])
    got = ask(edge, STREAM)[1]
    assert b"upstream_stream_broken" in got
    assert b'{"choi\n' not in got


def test_nothing_follows_the_end_of_a_stream(edge, upstream, stalls):
    """An upstream that says [DONE] and leaves its body open does not keep the client waiting."""

    def lingers(_seen, connection):
        connection.sendall(chunked([SAYS % 0, DONE], end=False))
        time.sleep(2)

    upstream.reply = lingers
    begun = time.monotonic()
    assert ask(edge, STREAM) == (200, SAYS % 0 + DONE)
    assert time.monotonic() - begun < 1 + stalls.granted_s


def test_a_null_error_is_none_and_a_late_error_is_one(edge, upstream):
    harmless = b'data: {"id":"x","error":null,"choices":[{"index":0,"delta":{"content":"y"}}]}\n\n'
    upstream.reply = chunked([harmless, DONE])
    assert ask(edge, STREAM) == (200, harmless + DONE)
    harmless = b'data: {"choices":[{"index":0,"delta":{"content":"an \\"error\\": {}"}}]}\n\n'
    upstream.reply = chunked([harmless, DONE])
    assert ask(edge, STREAM) == (200, harmless + DONE)
    error = b'data: {"id":"chatcmpl-0123456789","object":"x","error":{"message":"m","code":429},"choices":[]}\n\n'
    upstream.reply = chunked([error])
    assert ask(edge, STREAM)[0] == 429


def test_a_refusal_of_our_key_inside_a_stream_is_not_the_clients(edge, upstream):
    text = '{"error":{"message":"Incorrect API key provided: sk-upstream","type":"invalid_request_error","code":"invalid_api_key"}}'
    upstream.reply = chunked([f"data: {text}\n\n".encode()])
    status, got = ask(edge, STREAM)
    assert status == 503
    assert b"sk-upstream" not in got
    assert b"upstream_credentials_exhausted" in got


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ('event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}\n\n', 429),
        ('data: {"type":"response.failed","response":{"error":{"code":"server_error","message":"slow"}}}\n\n', 500),
        ('event: error\ndata: {"type":"error","error":{"type":"invalid_request_error","message":"slow"}}\n\n', 400),
    ],
)
def test_early_errors_of_responses_have_their_status_and_openais_envelope(edge, upstream, event, status):
    created = b'event: response.created\ndata: {"type":"response.created"}\n\n'
    upstream.reply = chunked([created, event.encode()])
    got, body = ask(edge, b'{"model":"gpt-4o","stream":true,"input":"x"}', "/v1/responses")
    assert got == status
    assert json.loads(body)["error"]["message"] == "slow"


def test_events_without_names_are_read_by_their_type(edge, upstream):
    events = b'data: {"type":"content_block_delta"}\n\ndata: {"type":"message_stop"}\n\n'
    upstream.reply = chunked([events])
    assert ask(edge, b'{"model":"claude-x","stream":true}', "/v1/messages") == (200, events)


def test_compressed_answers_of_several_parts_are_read_whole(edge, upstream):
    whole = MINIMAL["chat/completions"]
    upstream.reply = answer(gzip.compress(whole[:9]) + gzip.compress(whole[9:]), content_encoding="gzip")
    assert ask(edge) == (200, whole)


def test_impossible_counts_are_no_counts(edge, upstream):
    upstream.reply = answer(
        b'{"usage":{"prompt_tokens":1%b,"completion_tokens":-5},"choices":[{"message":{}}]}' % (b"0" * 400)
    )
    assert ask(edge)[0] == 200
    assert "Infinity" not in httpx2.get(f"{edge.url}/metrics").text.replace("+Inf", "")


def test_a_status_that_does_not_exist_is_a_502(edge, upstream):
    upstream.reply = b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n"
    assert ask(edge)[0] == 502


def test_requests_in_a_coding_that_is_not_known_are_415(edge):
    assert ask(edge, gzip.compress(CHAT), "/v1/chat/completions", "content-encoding: br")[0] == 415


@pytest.mark.parametrize(
    "host", ["[::1]evil.example", "localhost:80@evil.example", "127.0.0.1:x", "localhost\r\nhost: evil"]
)
def test_a_host_that_only_begins_like_loopback_is_refused(edge, host):
    with Client(edge.port) as client:
        client.send(f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        assert client.head()[0] in (400, 403)


def test_hints_name_only_what_the_key_may_use(simulator, tmp_path, stalls):
    from edge.guard.auth import new_key

    key, digest = new_key("a")
    listing = json.dumps({"data": [{"id": f"other-secret-{i:05}"} for i in range(10_000)]}).encode()
    with Canned(answer(listing)) as provider:
        config = {
            "auth": {"keys": [{"id": "a", "digests": [digest], "models": ["other-mine"]}]},
            "providers": {
                "local": {"dialect": "openai", "base_url": f"{provider.url}/v1", "models": ["other-[sm]*-*"]}
            },
            "models": {"other-mine": {"upstreams": [{"to": "local/other-mine"}]}},
        }
        edge = Edge(tmp_path, config)
        with running(edge):
            headers = {"x-api-key": key}
            httpx2.get(f"{edge.url}/v1/models", headers=headers)
            begun = time.monotonic()
            got = httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "other_secret_00001"}, headers=headers)
            assert time.monotonic() - begun < 0.2 + stalls.granted_s
            assert got.status_code == 404
            assert "secret-" not in got.text


def test_a_list_that_fails_once_is_asked_for_again_and_forgets_nothing(tmp_path):
    replies = [answer(b"busy", 500)]
    with Canned(lambda _seen, _connection: replies[0]) as provider:
        edge = Edge(tmp_path, {"providers": {"a": {"dialect": "openai", "base_url": f"{provider.url}/v1"}}})
        with running(edge):
            assert httpx2.get(f"{edge.url}/v1/models").json()["data"] == []
            replies[0] = answer(b'{"data":[{"id":"m"}]}')
            time.sleep(10.5)
            assert httpx2.get(f"{edge.url}/v1/models").json()["data"][0]["id"] == "m"


def test_insecure_on_loopback_is_still_guarded_against_rebinding(simulator, tmp_path):
    edge = Edge(tmp_path, {"providers": providers(simulator.url)}, "--insecure")
    with running(edge):
        headers = {"host": "evil.example", "origin": "http://evil.example"}
        assert httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "m"}, headers=headers).status_code == 403


def test_the_address_of_the_command_line_counts_for_the_own_address_rule(simulator):
    env = clean_environment(OPENAI_API_KEY="x", OPENAI_BASE_URL="http://127.0.0.1:8080/v1")
    from tests.harness import Process

    process = Process(sys.executable, "-m", "edge", "serve", "--port", "0", env=env)
    process.wait_for('"event":"ready"')
    assert process.stop() == 0


def test_a_reader_of_the_log_that_has_stopped_does_not_stop_the_edge(simulator, tmp_path):
    path = tmp_path / "edge.json"
    path.write_text(json.dumps({"providers": providers(simulator.url), "server": {"port": 0}}))
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", "serve", "-c", str(path)], stderr=write_end, env=clean_environment()
    )
    os.close(write_end)
    try:
        line = os.read(read_end, 65536).decode()
        port = int(line.split('"address":"http://127.0.0.1:')[1].split('"')[0])
        from tests.load import answers_within

        answers_within(port, 10)
        for _ in range(2):  # a connection ends with its 10,000th answer
            with Client(port) as client:
                for _ in range(600):
                    client.send(b"GET /v1/nope HTTP/1.1\r\nhost: localhost\r\n\r\n" * 10)
                    for _ in range(10):
                        client.body(client.head()[1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(read_end)


def test_beyond_its_bound_the_edge_sheds_at_once_and_health_still_answers(simulator, tmp_path, stalls):
    """Thirty requests at once with ten places: each is answered, or refused in no time."""
    from concurrent.futures import ThreadPoolExecutor

    edge = Edge(tmp_path, {"server": {"max_in_flight": 10}, "providers": providers(simulator.url)})

    def one(_):
        begun = time.monotonic()
        with Client(edge.port) as client:
            client.post("/v1/chat/completions", b'{"model":"sim-ttft-2000","messages":[{"role":"user","content":"x"}]}')
            status, headers = client.head()
        return status, time.monotonic() - begun, headers.get("retry-after")

    with running(edge), ThreadPoolExecutor(31) as pool:
        asked = [pool.submit(one, i) for i in range(30)]
        time.sleep(0.3)
        begun = time.monotonic()
        assert httpx2.get(f"{edge.url}/health").status_code == 200
        assert time.monotonic() - begun < 0.2 + stalls.granted_s
        got = [each.result() for each in asked]
    shed = [(took, retry) for status, took, retry in got if status == 503]
    assert len(shed) == 20
    assert {status for status, _, _ in got} == {200, 503}
    assert all(retry == "1" for _, retry in shed)
    assert max(took for took, _ in shed) < 0.5 + stalls.granted_s
    print(f"\n10 of 30 served, 20 refused in {max(took for took, _ in shed) * 1000:.0f} ms at most")
