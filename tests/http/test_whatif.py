"""A trace of a running edge is replayed: under its own configuration the same is decided, under another what that says."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import httpx2
import pytest

from tests.harness import Edge, clean_environment, providers, running, until

KEY = "lea_k_0123456789abcdef0123456789abcdef"


def config(simulator, path, strategy: str, **more) -> dict:
    names = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "sim-500")
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    return {
        "providers": providers(simulator.url, priced_as="openai"),
        "models": {"m": {"strategy": strategy, "upstreams": [{"to": f"openai/{name}"} for name in names]}},
        "auth": {"keys": [{"id": "k", "digests": [f"sha256:{digest}"], "requests_per_minute": 40}]},
        "telemetry": {"trace_file": str(path)},
        **more,
    }


def replayed(trace, *paths) -> dict:
    files = [part for path in paths for part in ("-c", str(path))]
    command = [sys.executable, "-m", "edge", "replay", str(trace), *files, "--json"]
    got = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert got.returncode == 0, got.stderr
    return json.loads(got.stdout)


@pytest.mark.parametrize("strategy", ["round_robin", "least_busy"])
def test_the_recording_configuration_decides_the_same_again(simulator, tmp_path, strategy):
    trace = tmp_path / "trace"
    edge = Edge(tmp_path, config(simulator, trace, strategy, cache={"mode": "deterministic"}))
    with running(edge), httpx2.Client(headers={"x-api-key": KEY}) as client:
        statuses = []
        for number in range(70):
            body = {"model": "m", "messages": [{"role": "user", "content": f"{number // 2}"}]}
            body |= {"temperature": 0} if number % 4 < 2 else {}
            statuses.append(client.post(f"{edge.url}/v1/chat/completions", json=body).status_code)
        until(lambda: trace.read_text().count('"event":"request"') >= 70)
    assert set(statuses) == {200, 429}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(config(simulator, trace, "failover", cache={"mode": "off"})))
    found = replayed(trace, edge.path, other)
    before, again, changed = found.values()
    print(f"\n70 requests: {again['same']} decided as recorded, of {again['compared']}")
    assert (again["same"], again["compared"]) == (70, 70)
    for name in ("requests", "answered", "refused_429", "failed", "hits", "attempts", "cost_usd", "shares"):
        assert again[name] == pytest.approx(before[name]), name
    assert before["hits"] >= 10
    assert (changed["hits"], changed["shares"]) == (0, {"openai/gpt-4o": 1.0})
    assert found == replayed(trace, edge.path, other)
