"""HTTP/1.1 as attackers and odd clients speak it, on a raw socket."""

from __future__ import annotations

import json
import socket
import time

import pytest

from tests.harness import Client, Edge, providers, running

pytestmark = pytest.mark.early

BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"nonce:%b"}]}'
JSON = "content-type: application/json"


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    made = Edge(tmp_path_factory.mktemp("edge"), {"providers": providers(simulator.url)}, front=front)
    with running(made):
        yield made


@pytest.fixture
def client(edge):
    with Client(edge.port) as made:
        yield made


def request(
    body: bytes, *headers: str, start: str = "POST /v1/chat/completions HTTP/1.1", host: str = "host: localhost"
) -> bytes:
    lines = [start, *([host] if host else []), JSON, *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def answer(client) -> tuple[int, dict, bytes]:
    status, headers = client.head()
    return status, headers, client.body(headers)


def ends(client) -> bool:
    client.sock.settimeout(10)
    return client.sock.recv(1000) == b""


class TestUpgrades:
    """What Java's HttpClient sends with every first request on cleartext."""

    HEADERS = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")

    def test_the_body_in_the_same_segment_is_read(self, client):
        client.send(request(BODY % b"up11", *self.HEADERS))
        status, _, got = answer(client)
        assert status == 200
        assert b"up11" in got
        client.send(request(BODY % b"up22"))
        assert b"up22" in answer(client)[2]

    def test_the_body_in_the_next_segment_is_no_request(self, client, simulator):
        before = simulator.count()
        smuggled = b"GET /v1/models/SMUGGLED HTTP/1.1\r\nhost: localhost\r\n\r\n"
        whole = request(smuggled, *self.HEADERS)
        client.send(whole[: -len(smuggled)])
        time.sleep(0.1)
        client.send(smuggled)
        status, _, got = answer(client)
        assert status == 400
        assert b"invalid_json" in got
        assert b"SMUGGLED" not in got
        client.send(request(BODY % b"up33"))
        assert b"up33" in answer(client)[2]
        assert simulator.count() == before + 1

    def test_a_websocket_handshake_is_an_ordinary_request_where_no_route_speaks_it(self, client):
        head = "GET %s HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
        client.send((head % "/v1/realtime/sessions").encode())
        assert answer(client)[0] == 404
        client.send((head % "/v1/realtime").encode())
        assert answer(client)[0] == 400  # it has no key

    def test_connect_is_refused(self, client):
        client.send(b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n")
        status, headers, _ = answer(client)
        assert status == 405
        assert headers["connection"] == "close"
        assert ends(client)


class TestPipelines:
    def test_answers_come_in_order(self, client):
        client.send(b"".join(request(BODY % b"pip%d" % i) for i in range(5)))
        for i in range(5):
            assert b"nonce:pip%d" % i in answer(client)[2]

    def test_a_malformed_request_waits_for_the_answers_before_it(self, client):
        slow = b'{"model":"sim-ttft-200","messages":[{"role":"user","content":"nonce:first"}]}'
        client.send(request(slow) + b"GARBAGE\r\n\r\n")
        assert b"nonce:first" in answer(client)[2]
        status, headers, got = answer(client)
        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(got)["error"]["code"] == "invalid_http"
        assert ends(client)

    @pytest.mark.parametrize("how", ["fin", "rst"])
    def test_a_client_that_leaves_is_seen_with_a_request_waiting(self, edge, simulator, how, stalls):
        before = simulator.count()
        client = Client(edge.port)
        client.send(
            request(b'{"model":"sim-hang","messages":[{"role":"user","content":"x"}]}') + request(BODY % b"next")
        )
        simulator.entry(before)
        time.sleep(0.1)
        left = time.monotonic()
        if how == "rst":
            client.reset()
        else:
            client.sock.close()
        assert simulator.entry(before, lambda entry: entry["left"])["left_at"] - left < 0.1 + stalls.granted_s

    def test_what_is_pipelined_is_bounded(self, client):
        client.send(request(b'{"model":"sim-ttft-5000","messages":[{"role":"user","content":"nonce:slow"}]}'))
        client.sock.settimeout(0.3)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                client.sock.sendall(request(BODY % b"many") * 100)
                sent += 20_000
        assert sent < 16 << 20, "buffers of the system, and 64 KiB of ours"


class TestFraming:
    @pytest.mark.parametrize(
        "head",
        [
            "POST /v1/x HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nhost: localhost",
            "POST /v1/x HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\nhost: localhost",
            "POST /v1/x HTTP/1.1\r\ncontent-length: +5\r\nhost: localhost",
            "POST /v1/x HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\nhost: localhost",
            "POST /v1/x HTTP/1.1\r\ntransfer-encoding : chunked\r\nhost: localhost",
            "POST /v1/x HTTP/1.1\r\nhost: localhost\r\n folded: x",
            "POST /v1/x HTTP/2.5\r\nhost: localhost",
            "POST /v1/x",
            "GET /v1/models HTTP/1.1\r\nhost: localhost\r\na\x00b: c",
            "GET /v1/models HTTP/1.1",
            "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nhost: localhost",
            "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nhost: evil.example",
            "GET /v1/models HTTP/1.1\r\nhost: user@localhost",
            "GET /v1/models HTTP/1.1\r\nhost: localhost/path",
            "GET /v1/models HTTP/1.1\r\nhost: localhost, evil.example",
            "GET /v1/models HTTP/1.1\r\nhost:",
            "GET * HTTP/1.1\r\nhost: localhost",
            "GET /v1/mod\xe9ls HTTP/1.1\r\nhost: localhost",
            "GET v1/models HTTP/1.1\r\nhost: localhost",
        ],
    )
    def test_what_is_ambiguous_is_refused_and_the_connection_closed(self, client, head):
        client.send(head.encode("latin-1") + b"\r\n\r\n0\r\n\r\n")
        status, headers, got = answer(client)
        assert status == 400
        assert headers["connection"] == "close"
        assert json.loads(got)["error"]["code"] == "invalid_http"
        assert ends(client)

    def test_errors_of_the_parser_speak_anthropics_dialect_too(self, client):
        client.send(b"GET /anthropic/v1/models HTTP/1.1\r\nanthropic-version: 1\r\nhost: a\r\nhost: b\r\n\r\n")
        assert json.loads(answer(client)[2])["type"] == "error"

    def test_http_1_0_needs_no_host_but_loopback_does(self, client):
        client.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert client.head()[0] == 200

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/uploads", "/health"])
    def test_http_1_0_keeps_a_connection_that_asks_for_it(self, client, path):
        method, body = (b"GET", b"") if path == "/health" else (b"POST", BODY % b"again")
        head = f" {path} HTTP/1.0\r\nhost: localhost\r\nConnection: Keep-Alive\r\n{JSON}\r\ncontent-length: {len(body)}\r\n\r\n"
        for _ in range(3):
            client.send(method + head.encode() + body)
            _, headers, got = answer(client)
            assert headers["connection"] == "keep-alive"
            assert "transfer-encoding" not in headers
            assert json.loads(got)

    def test_http_1_0_closes_a_connection_that_does_not_ask(self, client):
        client.send(b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n")
        assert answer(client)[1]["connection"] == "close"
        assert ends(client)

    def test_a_stream_over_http_1_0_has_no_chunks_and_ends_with_its_connection(self, client):
        body = json.dumps({"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
        head = f"POST /v1/chat/completions HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n{JSON}\r\n"
        client.send(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        status, headers = client.head()
        assert (status, headers["connection"]) == (200, "close")
        assert "transfer-encoding" not in headers
        got = client.rest()
        assert got.startswith(b"data: ")
        assert got.endswith(b"data: [DONE]\n\n")

    def test_trailers_are_ignored(self, client, simulator):
        before = simulator.count()
        body = BODY % b"trail"
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n{JSON}\r\ntransfer-encoding: chunked\r\n\r\n"
        chunks = b"%x\r\n%b\r\n0\r\nopenai-beta: late\r\nx-edge-timeout-ms: 1\r\n\r\n" % (len(body), body)
        client.send(head.encode() + chunks)
        assert answer(client)[0] == 200
        assert "late" not in str(simulator.entry(before)["headers"])

    def test_expect_100_continue(self, client):
        body = BODY % b"wait"
        whole = request(body, "expect: 100-continue")
        client.send(whole[: -len(body)])
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(body)
        assert b"wait" in answer(client)[2]


class TestLimits:
    @pytest.mark.parametrize(("size", "status"), [(8000, 404), (8300, 414)])
    def test_targets(self, client, size, status):
        client.send(f"GET /v1/{'x' * size} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        assert answer(client)[0] == status

    @pytest.mark.parametrize(("count", "status"), [(97, 200), (100, 431)])
    def test_numbers_of_headers(self, client, count, status):
        lines = "".join(f"x-{i}: y\r\n" for i in range(count))
        client.send(f"GET /health HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n".encode())
        assert answer(client)[0] == status

    @pytest.mark.parametrize(("size", "status"), [(32_000, 200), (33_000, 431), (5_000_000, 431)])
    def test_sizes_of_headers(self, client, size, status):
        client.send(f"GET /health HTTP/1.1\r\nhost: localhost\r\nx-a: {'y' * 1000}\r\n".encode())
        try:
            client.send(f"x-b: {'y' * (size - 1100)}\r\n\r\n".encode())
        except OSError:
            assert size > 1_000_000
        try:
            assert answer(client)[0] == status
        except ConnectionResetError:
            assert size > 1_000_000, "what was sent after the refusal resets the connection"


class TestSlowClients:
    """Deadlines for what a client sends: first byte 10 s, head 10 s, body idle 15 s; one sweep, all at once."""

    def test_each_ends_at_its_deadline(self, edge, stalls):
        begun = time.monotonic()
        clients = {
            "silent": (b"", 10, None),
            "half a head": (b"POST /v1/chat/completions HTTP/1.1\r\nhost: loc", 10, 408),
            "half a body": (request(BODY % b"half")[:-10], 15, 408),
        }
        connections = {}
        for name, (data, _, _) in clients.items():
            connections[name] = Client(edge.port)
            connections[name].send(data)
        dripping = Client(edge.port)
        dripping.send(b"GET /health HTTP/1.1\r\n")
        ended = {}
        while len(ended) < len(clients) + 1 and time.monotonic() - begun < 20:
            for name, client in [*connections.items(), ("dripping", dripping)]:
                if name in ended:
                    continue
                client.sock.settimeout(0.02)
                try:
                    data = client.sock.recv(1000)
                    ended[name] = (time.monotonic() - begun, data)
                except TimeoutError:
                    pass
            if "dripping" not in ended:
                dripping.send(b"x")
            with Client(edge.port) as honest:
                honest.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert honest.head()[0] == 200
            time.sleep(0.1)
        for client in [*connections.values(), dripping]:
            client.sock.close()
        for name, (_, seconds, status) in clients.items():
            took, data = ended[name]
            assert took == pytest.approx(seconds, abs=0.6 + stalls.granted_s), name
            assert data.startswith(f"HTTP/1.1 {status} ".encode()) if status else data == b""
        assert ended["dripping"][0] == pytest.approx(10, abs=0.6 + stalls.granted_s)

    def test_idle_connections_do_not_keep_others_out(self, edge, stalls):
        idle = [socket.create_connection(("127.0.0.1", edge.port)) for _ in range(300)]
        try:
            with Client(edge.port) as client:
                begun = time.monotonic()
                client.send(request(BODY % b"idle"))
                assert answer(client)[0] == 200
                assert time.monotonic() - begun < 1 + stalls.granted_s
        finally:
            for sock in idle:
                sock.close()
