"""One /metrics for all workers: any of them answers for all, and totals never go back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time

import httpx2
import pytest

from tests.harness import Edge, providers, running
from tests.http.test_lifecycle import children, settings
from tests.load import Swarm


def totals(url: str) -> dict[str, float]:
    """Counters and histograms as a fresh connection sees them."""
    text = httpx2.get(f"{url}/metrics").text
    found = re.findall(r"^(edge_\w+_(?:total|count|sum|bucket){[^}]*}) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def ask(url: str, times: int) -> None:
    said = [{"role": "user", "content": "x"}]
    for _ in range(times):
        assert httpx2.post(f"{url}/v1/chat/completions", json={"model": "smart", "messages": said}).status_code == 200


def requests(found: dict[str, float]) -> float:
    return sum(value for name, value in found.items() if name.startswith("edge_requests_total"))


@pytest.fixture
def edge(simulator, tmp_path):
    made = Edge(tmp_path, settings(simulator))
    with running(made):
        yield made


def test_every_worker_tells_the_sum(edge):
    ask(edge.url, 40)
    for _ in range(20):  # fresh connections reach both workers
        assert requests(totals(edge.url)) == 40
    text = httpx2.get(f"{edge.url}/metrics").text
    assert "process_" not in text
    if shutil.which("promtool"):
        got = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
        assert got.returncode == 0, got.stdout + got.stderr


def test_one_worker_also_tells_about_its_process(simulator, tmp_path):
    edge = Edge(tmp_path, {"providers": providers(simulator.url)})
    with running(edge):
        assert "process_cpu_seconds_total" in httpx2.get(f"{edge.url}/metrics").text


def test_killed_workers_stay_in_the_sum(edge):
    asked = 0
    for _ in range(4):
        ask(edge.url, 20)
        asked += 20
        victim = children(edge.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 5
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
