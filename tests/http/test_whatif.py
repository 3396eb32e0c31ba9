"""A trace of a running edge is replayed: under its own configuration the same is decided, under another what that says."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.harness import Canned, Edge, answer, clean_environment, providers, running, until

FINE = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
DOWN = b'{"error":{"message":"down"}}'
SPENT = b'{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"no money"}}'
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
            body = {"model": "m", "messages": [{"role": "user", "content": f"{number // 8}"}]}
            body |= {"temperature": 0} if number % 4 < 2 else {}
            body |= {"stream": True} if number % 3 == 0 else {}
            body |= {"stream": True, "stream_options": {"include_usage": True}} if number % 5 == 0 else {}
            statuses.append(client.post(f"{edge.url}/v1/chat/completions", json=body).status_code)
        until(lambda: trace.exists() and trace.read_text().count('"event":"request"') >= 70)
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


class Flaky(Canned):
    """Fails in every way that there is a rule for, and takes its time."""

    def __init__(self):
        dice, answered = random.Random(5), answer(FINE)
        failed = [answer(DOWN, status) for status in (500, 500, 502, 503, 529, 429)] * 3
        failed += [answer(DOWN, 429, retry_after_ms="80"), answer(DOWN, 503, retry_after_ms="40")] * 3
        failed += [answer(SPENT, 429)]

        def reply(seen, number):
            time.sleep(dice.uniform(0.005, 0.05))
            return dice.choice(failed) if dice.random() < 0.2 else answered

        super().__init__(reply)


@pytest.mark.parametrize("strategy", ["round_robin", "latency", "least_busy", "affinity"])
def test_what_was_decided_under_faults_and_side_by_side_is_decided_again(tmp_path, strategy):
    trace, count = tmp_path / "trace", 300
    with Flaky() as one, Flaky() as two:
        made = {
            "providers": {
                "one": {"dialect": "openai", "base_url": f"{one.url}/v1", "api_keys": ["k" * 20, "l" * 20]},
                "two": {"dialect": "openai", "base_url": f"{two.url}/v1", "max_in_flight": 2, "max_waiting": 4},
            },
            "models": {
                "m": {
                    "strategy": strategy,
                    "upstreams": [{"to": f"{to}"} for to in ("one/a", "one/b", "two/a", "two/b")],
                }
            },
            "resilience": {"breaker": {"failures": 3, "open_s": 0.1}},
            "telemetry": {"trace_file": str(trace)},
        }
        edge = Edge(tmp_path, made)
        with running(edge), httpx2.Client(timeout=30) as client, ThreadPoolExecutor(12) as pool:

            def ask(number: int) -> int:
                body = {"model": "m", "messages": [{"role": "user", "content": f"{number % 20}"}]}
                return client.post(f"{edge.url}/v1/chat/completions", json=body).status_code

            statuses = Counter(pool.map(ask, range(count)))
            until(lambda: trace.exists() and trace.read_text().count('"event":"request"') >= count)
    before, again = replayed(trace, edge.path).values()
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    retried = sum(max(0, line.get("attempts", 0) - 1) for line in lines if line["event"] == "request")
    print(f"\n{count} requests, {dict(statuses)}, {retried} retries: {again['same']} decided as recorded")
    assert retried > 20
    assert (again["same"], again["compared"]) == (count, count)
    for name in ("answered", "failed", "attempts", "shares"):
        assert again[name] == pytest.approx(before[name]), name
