"""A mix of everything that clients do, well and badly, and then a look at what is left of it: nothing."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import threading
import time

import httpx2
import pytest

from tests.harness import Client, Edge, Simulator, providers, running, until

SECONDS = 6
PLACES = 32
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/nothing")
MODELS = ("gpt-4o", "claude-sonnet-5", "sim-ttft-50", "sim-ttft-200", "sim-hang", "nope")
CHAT = '{"model":"%s","stream":%s,"max_tokens":50,"messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture
def edge(front, tmp_path):
    simulator = Simulator()
    config = {
        "providers": providers(simulator.url, max_connections=8),
        "server": {"max_in_flight": PLACES, "max_body_bytes": 200_000},
        "resilience": {"connect_s": 4, "first_content_s": 4, "idle_s": 4, "total_s": 4},
    }
    made = Edge(tmp_path, config, front=front)
    with running(simulator, made):
        yield made


def request(chance: random.Random) -> bytes:
    body = (CHAT % (chance.choice(MODELS), chance.choice(["true", "false"]))).encode()
    extra = chance.choice(
        ["", "", "", "expect: 100-continue\r\n", "connection: close\r\n", "connection: upgrade\r\nupgrade: h2c\r\n"]
    )
    if chance.random() < 0.1:
        body = b"x" * chance.choice([10, 70_000, 300_000])
    kind = chance.choice(["application/json"] * 5 + ["multipart/x"])
    head = (
        f"POST {chance.choice(PATHS)} HTTP/1.{chance.choice('111110')}\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
    )
    head += f"anthropic-version: 2023-06-01\r\n{extra}"
    if chance.random() < 0.7:
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    end = chance.choice([b"0\r\n\r\n", b"0\r\nx-late: 1\r\n\r\n", b"no size\r\n"])
    return f"{head}transfer-encoding: chunked\r\n\r\n".encode() + b"%x\r\n%b\r\n" % (len(body), body) + end


def misbehave(port: int, seed: int, until: float) -> None:
    """Pipelines, cut off anywhere, sent in two pieces, read in part, left by FIN, half-close or RST."""
    chance = random.Random(seed)
    while time.monotonic() < until:
        try:
            with Client(port) as client:
                client.sock.settimeout(chance.choice([0.05, 0.2, 1]))
                data = b"".join(request(chance) for _ in range(chance.choice([1, 1, 2, 5])))
                if chance.random() < 0.2:
                    data += b"GARBAGE\r\n\r\n"
                if chance.random() < 0.3:
                    data = data[: chance.randrange(1, len(data))]
                cut = chance.randrange(len(data)) if chance.random() < 0.3 else 0
                client.send(data[:cut])
                time.sleep(chance.random() * 0.02 if cut else 0)
                client.send(data[cut:])
                wanted = chance.choice([0, 1, 500, 100_000])
                while wanted > 0 and (got := client.sock.recv(4096)):
                    wanted -= len(got)
                how = chance.random()
                if how < 0.4:
                    client.reset()
                elif how < 0.6:
                    client.sock.shutdown(socket.SHUT_WR)
                    time.sleep(chance.random() * 0.02)
        except OSError:
            pass


def files_of(edge: Edge) -> int:
    """How many files the worker has open."""
    found = subprocess.run(["pgrep", "-P", str(edge.process.pid)], capture_output=True, text=True, check=True)
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in found.stdout.split())


def in_flight(edge: Edge) -> float:
    """How many requests have been admitted and have not ended."""
    text = httpx2.get(f"{edge.url}/metrics").text
    return float(re.search(r"^edge_requests_in_flight (\S+)$", text, re.MULTILINE)[1])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts files in /proc")
def test_nothing_is_left_of_a_mix_of_everything(edge):
    before = files_of(edge)
    ends = time.monotonic() + SECONDS
    threads = [threading.Thread(target=misbehave, args=(edge.port, seed, ends)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: in_flight(edge) == 0)

    # Every place: as many as there are, at once, and one more.
    body = (CHAT % ("gpt-4o", "false")).encode()
    clients = [Client(edge.port) for _ in range(PLACES + 1)]
    for client in clients:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        client.send(head.encode() + body[:-1])
    until(lambda: in_flight(edge) == PLACES)
    for client in clients:
        client.send(body[-1:])
    statuses = [client.head()[0] for client in clients]
    for client in clients:
        client.sock.close()
    assert sorted(statuses) == [200] * PLACES + [503]

    # Both pools: each of their connections serves.
    until(lambda: in_flight(edge) == 0)
    for model in ("gpt-4o", "claude-sonnet-5"):
        body = (CHAT % (model, "false")).encode()
        for _ in range(20):
            got = httpx2.post(
                f"{edge.url}/v1/chat/completions", content=body, headers={"content-type": "application/json"}
            )
            assert got.status_code == 200
    until(lambda: files_of(edge) <= before + 2 * 8 + 2)  # what the pools keep
    until(lambda: in_flight(edge) == 0)
    output = edge.process.output
    assert "Traceback" not in output
    assert "Exception in ASGI" not in output
    assert "internal error" not in output
    assert "never retrieved" not in output
