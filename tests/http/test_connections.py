"""Connections beyond what there is room for cost the idlest their place, and nobody else the service."""

from __future__ import annotations

import json
import resource
import socket
import sys
import time
from contextlib import ExitStack, contextmanager

import httpx2
import pytest

from tests.harness import Client, Edge, Process, clean_environment, providers, running, wait_until_ready
from tests.http.test_lifecycle import children

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


class Narrow:
    """An edge that may open so many descriptors."""

    def __init__(self, folder, config, descriptors: int | str, front: str) -> None:
        path = folder / f"edge-{time.monotonic_ns()}.json"
        path.write_text(json.dumps(config))
        limit = f"ulimit -n {descriptors}; exec " + '"$@"'
        edge = [sys.executable, "-m", "edge", "serve", "-c", str(path), "--port", "0"]
        self.process = Process("bash", "-c", limit, "bash", *edge, env={**clean_environment(), "EDGE_FRONT": front})
        self.url = self.process.wait_for(r'"address":"(http://[^"]+)"')[1]
        self.port = int(self.url.rpartition(":")[2])
        wait_until_ready(self.url)


@contextmanager
def idle(port: int, count: int):
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        yield


def metric(url: str, name: str) -> float:
    for line in httpx2.get(f"{url}/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    return 0.0


def test_idle_connections_beyond_the_descriptors_do_not_stop_the_service(simulator, tmp_path, front):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    edge = Narrow(tmp_path, {"providers": providers(simulator.url)}, 1024, front)
    with running(edge), Client(edge.port) as early:
        with idle(edge.port, 1100):
            for _ in range(20):
                got = httpx2.post(f"{edge.url}/v1/chat/completions", json=CHAT, timeout=10)
                assert got.status_code == 200
            early.sock.settimeout(15)
            assert early.sock.recv(1) == b"", "the idlest was closed"
            assert metric(edge.url, 'edge_connections_shed_total{action="closed_idle"}') >= 500
            line = edge.process.wait_for(r".*connections are at their bound.*")[0]
            assert json.loads(line)["max_connections_per_address"] == 460
        said = [line for line in edge.process.lines if "connections are at their bound" in line]
        assert len(said) <= 5, "one line in a while"
    assert "provider_connect" not in edge.process.output


def test_a_soft_limit_is_raised_to_the_hard_one(simulator, tmp_path):
    edge = Narrow(tmp_path, {"providers": providers(simulator.url)}, "2000; ulimit -Sn 256", "lane")
    with running(edge):
        for pid in (edge.process.pid, *children(edge.process.pid)):
            assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (2000, 2000)


@pytest.fixture
def small(simulator, tmp_path, front):
    config = {
        "server": {"max_connections": 8, "max_connections_per_address": 4},
        "providers": providers(simulator.url),
    }
    made = Edge(tmp_path, config, front=front)
    with running(made):
        yield made


def test_where_none_is_idle_who_comes_is_told_in_its_dialect(small):
    streams = [Client(small.port) for _ in range(4)]
    try:
        for stream in streams:
            stream.post(
                "/v1/chat/completions", json.dumps({**CHAT, "model": "sim-words-60-tps-20", "stream": True}).encode()
            )
            assert stream.head()[0] == 200
        for path, form in (("/v1/chat/completions", "openai"), ("/anthropic/v1/messages", "anthropic")):
            with Client(small.port) as late:
                late.post(path, json.dumps(CHAT).encode())
                status, headers = late.head()
                body = json.loads(late.body(headers))
                assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
                assert "more connections" in body["error"]["message"]
                assert (body.get("type") == "error") == (form == "anthropic")
        for stream in streams:
            assert stream.body({}).endswith(b"data: [DONE]\n\n"), "those that are in flight are not touched"
    finally:
        for stream in streams:
            stream.sock.close()
    assert httpx2.post(f"{small.url}/v1/chat/completions", json=CHAT).status_code == 200
    assert metric(small.url, 'edge_connections_shed_total{action="refused"}') >= 2


def test_the_one_that_has_been_idle_longest_goes_first(small):
    kept = [Client(small.port) for _ in range(4)]
    try:
        for client in (*kept, kept[0]):  # so that the second is the idlest
            client.post("/v1/chat/completions", json.dumps(CHAT).encode())
            client.body(client.head()[1])
            time.sleep(0.05)
        with Client(small.port) as new:
            new.post("/v1/chat/completions", json.dumps(CHAT).encode())
            assert new.head()[0] == 200
            kept[1].sock.settimeout(15)
            assert kept[1].sock.recv(1) == b""
            for client in (kept[0], kept[2], kept[3]):
                client.post("/v1/chat/completions", json.dumps(CHAT).encode())
                status, headers = client.head()
                client.body(headers)
                assert status == 200
    finally:
        for client in kept:
            client.sock.close()


def test_no_descriptor_for_a_provider_is_ours_to_answer_for(simulator, tmp_path):
    config = {
        "server": {"max_connections": 60, "max_connections_per_address": 60},
        "providers": providers(simulator.url),
    }
    edge = Narrow(tmp_path, config, 90, "lane")
    with running(edge), ExitStack() as stack:
        waiting = json.dumps({**CHAT, "model": "sim-hang"}).encode()
        for _ in range(55):  # each takes two: one for its client, one for its provider
            client = stack.enter_context(Client(edge.port))
            client.post("/v1/chat/completions", waiting)
        deadline = time.monotonic() + 30
        while '"kind":"edge_shed"' not in edge.process.output:
            assert time.monotonic() < deadline, edge.process.output
            time.sleep(0.05)
    assert "provider_connect" not in edge.process.output
    assert "upstream_unreachable" not in edge.process.output


@pytest.mark.parametrize("begins", [b"", b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"])
@pytest.mark.parametrize("filling", [b"x-a: " + b"b" * 100 + b"\r\n", b"c" * 107])
def test_a_head_is_refused_as_soon_as_it_is_too_large(edge, begins, filling):
    with Client(edge.port) as client:
        client.sock.settimeout(15)
        client.send(begins + b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-long: ")
        if begins:
            client.body(client.head()[1])
        sent = 0
        try:
            while sent < 36_000:
                client.send(filling)
                sent += len(filling)
        except OSError:
            pass  # it is refused already
        assert client.head()[0] == 431
    assert httpx2.get(f"{edge.url}/health").status_code == 200
