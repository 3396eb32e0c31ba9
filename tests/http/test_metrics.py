"""One /metrics for all workers: any of them answers for all, and totals never go back."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from tests.harness import Client, Edge, running, until, wait_until_ready
from tests.http.test_lifecycle import children, settings
from tests.load import Swarm


def totals(url: str) -> dict[str, float]:
    """Counters and histograms as a fresh connection sees them."""
    text = httpx2.get(f"{url}/metrics").text
    found = re.findall(r"^(edge_\w+_(?:total|count|sum|bucket){[^}]*}) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def began(url: str) -> float:
    """When the edge began to count."""
    return float(re.search(r"^edge_start_time_seconds (\S+)$", httpx2.get(f"{url}/metrics").text, re.MULTILINE)[1])


def ask(url: str, times: int) -> None:
    said = [{"role": "user", "content": "x"}]
    for _ in range(times):
        assert httpx2.post(f"{url}/v1/chat/completions", json={"model": "smart", "messages": said}).status_code == 200


def requests(found: dict[str, float]) -> float:
    return sum(value for name, value in found.items() if name.startswith("edge_requests_total"))


@pytest.fixture
def edge(simulator, tmp_path):
    made = Edge(tmp_path, settings(simulator), forked=False)
    with running(made):
        yield made


def test_every_worker_tells_the_sum(edge):
    ask(edge.url, 40)
    until(lambda: requests(totals(edge.url)) == 40)  # a request is counted once its answer has gone out
    for _ in range(20):  # fresh connections reach both workers
        assert requests(totals(edge.url)) == 40
    text = httpx2.get(f"{edge.url}/metrics").text
    if shutil.which("promtool"):
        got = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        assert got.returncode == 0, got.stdout + got.stderr


def figures(url: str, name: str) -> dict[str, float]:
    """A figure of each worker."""
    text = httpx2.get(f"{url}/metrics").text
    return {
        worker: float(value) for worker, value in re.findall(rf'^{name}{{worker="(\d+)"}} (\S+)$', text, re.MULTILINE)
    }


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc")
def test_every_worker_tells_of_its_process(edge):
    ask(edge.url, 10)
    until(lambda: len(figures(edge.url, "process_resident_memory_bytes")) == 2)
    time.sleep(2.5)  # they look every two seconds
    pids = children(edge.process.pid)
    resident = figures(edge.url, "process_resident_memory_bytes")
    assert len(resident) == len(pids) == 2
    real = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() for pid in pids]
    for ours, theirs in zip(sorted(resident.values()), sorted(real), strict=True):
        assert abs(ours - theirs) < 8 << 20
    assert all(5 < count < 200 for count in figures(edge.url, "process_open_fds").values())
    assert set(figures(edge.url, "process_max_fds").values()) == {resource.getrlimit(resource.RLIMIT_NOFILE)[1]}
    assert all(time.time() - 60 < at <= time.time() for at in figures(edge.url, "process_start_time_seconds").values())
    assert began(edge.url) <= min(figures(edge.url, "process_start_time_seconds").values())
    spent = figures(edge.url, "process_cpu_seconds_total")
    assert all(seconds > 0 for seconds in spent.values())
    # One that is replaced leaves what it has spent, and no memory.
    os.kill(pids[0], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while len(found := children(edge.process.pid)) < 2 or pids[0] in found:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    wait_until_ready(edge.url)
    until(lambda: len(figures(edge.url, "process_resident_memory_bytes")) == 2)
    after = figures(edge.url, "process_cpu_seconds_total")
    assert all(after[worker] >= seconds for worker, seconds in spent.items())


def in_flight(url: str) -> float:
    (value,) = re.findall(r"^edge_requests_in_flight (\S+)$", httpx2.get(f"{url}/metrics").text, re.MULTILINE)
    return float(value)


def in_flight_becomes(url: str, wanted: float) -> None:
    deadline = time.monotonic() + 30
    while (now := in_flight(url)) != wanted:
        assert time.monotonic() < deadline, now
        time.sleep(0.02)


def test_requests_in_flight_are_none_once_all_clients_have_gone(edge):
    assert in_flight(edge.url) == 0
    body = json.dumps({"model": "sim-hang", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
    clients = [Client(edge.port) for _ in range(12)]
    for number, client in enumerate(clients):
        if number % 3:
            client.post("/v1/chat/completions", body)
        else:  # one whose body never ends
            client.send(b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\n")
            client.send(b"content-type: application/json\r\ncontent-length: 100\r\n\r\nhalf")
    in_flight_becomes(edge.url, 12)
    for number, client in enumerate(clients):
        client.reset() if number % 2 else client.sock.close()
    in_flight_becomes(edge.url, 0)
    # What a worker had when it was killed is over too.
    clients = [Client(edge.port) for _ in range(12)]
    for client in clients:
        client.post("/v1/chat/completions", body)
    in_flight_becomes(edge.url, 12)
    for pid in children(edge.process.pid):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:
        try:
            in_flight_becomes(edge.url, 0)
            break
        except httpx2.TransportError:
            assert time.monotonic() < deadline
    for client in clients:
        client.sock.close()


def test_killed_workers_stay_in_the_sum(edge):
    asked = 0
    for _ in range(4):
        ask(edge.url, 20)
        asked += 20
        until(lambda asked=asked: requests(totals(edge.url)) == asked)
        victim = children(edge.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while len(found := children(edge.process.pid)) < 2 or victim in found:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert requests(totals(edge.url)) == asked


def test_totals_never_go_back_while_workers_are_killed_and_replaced(edge):
    before: dict[str, float] = {}
    reads = 0
    begun = time.monotonic()
    killed = begun
    with Swarm(edge.port, streamers=0) as load:
        while time.monotonic() - begun < 6:
            try:
                now = totals(edge.url)
            except httpx2.TransportError:
                continue  # it was asked of the one that was killed
            reads += 1
            back = {name: (value, now.get(name)) for name, value in before.items() if now.get(name, -1) < value}
            assert back == {}
            before = now
            if time.monotonic() - killed > 1.5:
                killed = time.monotonic()
                os.kill(children(edge.process.pid)[0], signal.SIGKILL)
                edge.process.process.send_signal(signal.SIGUSR2)
    assert reads > 20
    assert requests(totals(edge.url)) >= load.answered - 16
    print(f"\n{reads} readings over {load.answered} requests, none went back")
