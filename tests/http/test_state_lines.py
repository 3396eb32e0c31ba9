"""What changes in an edge is told, one line each."""

from __future__ import annotations

import json
import os
import signal
import time

import httpx2
import pytest

from tests.harness import Edge, providers, running
from tests.http.test_lifecycle import children


@pytest.fixture
def edge(simulator, tmp_path):
    told = {
        "server": {"workers": 1},
        "providers": providers(simulator.url),
        "models": {"down": {"upstreams": [{"to": "openai/sim-500"}]}},
        "resilience": {"retries": 0, "breaker": {"failures": 3, "open_s": 300}},
    }
    made = Edge(tmp_path, told)
    with running(made):
        yield made


def said(edge, event: str, **fields) -> list[dict]:
    lines = [json.loads(line) for line in edge.process.lines if line.startswith("{")]
    return [line for line in lines if line["event"] == event and fields.items() <= line.items()]


def until(edge, event: str, **fields) -> None:
    deadline = time.monotonic() + 20
    while not said(edge, event, **fields):
        assert time.monotonic() < deadline, edge.process.output
        time.sleep(0.05)


def test_a_breaker_a_drain_a_worker_and_a_reload_are_one_line_each(edge):
    body = {"model": "down", "messages": []}
    for _ in range(6):
        httpx2.post(f"{edge.url}/v1/chat/completions", json=body)
    upstream = {"provider": "openai", "model": "sim-500"}
    until(edge, "upstream", **upstream, state="open")
    for action, state in (("drain", "drained"), ("restore", "closed")):
        order = {"upstream": "openai/sim-500", "action": action}
        assert httpx2.post(f"{edge.url}/admin/api/upstreams/order", json=order).status_code == 200
        until(edge, "upstream", **upstream, state=state)
    (worker,) = children(edge.process.pid)
    os.kill(worker, signal.SIGKILL)
    until(edge, "worker ended", worker=worker)
    edge.process.process.send_signal(signal.SIGHUP)
    until(edge, "reloading")
    broken = edge.path.read_text()
    edge.path.write_text("{")
    edge.process.process.send_signal(signal.SIGHUP)
    until(edge, "reload refused, the old configuration stays")
    edge.path.write_text(broken)
    time.sleep(1)  # nothing is told twice
    states = [line["state"] for line in said(edge, "upstream", **upstream)]
    assert states == ["open", "drained", "closed"]
    for event in ("worker ended", "reloading", "reload refused, the old configuration stays"):
        (line,) = said(edge, event)
        assert line["level"] == ("info" if event == "reloading" else "error")
