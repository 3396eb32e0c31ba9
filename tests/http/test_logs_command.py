"""``edge logs``: requests of all workers, as they end."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import httpx2
import pytest

from tests.harness import Edge, Process, clean_environment, providers, running

ADMIN, CLIENT = "admin-key-0123456789", "client-key-0123456789"
SECRET = "what-nobody-is-to-see"


def digest(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


@pytest.fixture(scope="module")
def edge(simulator, tmp_path_factory):
    keys = [
        {"id": "operator", "tenant": "ops", "digests": [digest(ADMIN)], "admin": True},
        {"id": "app", "tenant": "shop", "digests": [digest(CLIENT)]},
    ]
    shaky = {"strategy": "failover", "upstreams": [{"to": "openai/sim-503-noretry"}, {"to": "openai/gpt-4o"}]}
    told = {
        "server": {"workers": 2},
        "auth": {"keys": keys},
        "providers": providers(simulator.url),
        "models": {"smart": {"upstreams": [{"to": "openai/gpt-4o"}]}, "shaky": shaky},
        "resilience": {"breaker": {"failures": 100_000}},
    }
    made = Edge(tmp_path_factory.mktemp("logs"), told)
    with running(made):
        yield made


def ask(edge, model: str, key: str = CLIENT) -> str:
    """By a connection of its own, so that both workers are asked; the request's id."""
    body = {"model": model, "messages": [{"role": "user", "content": SECRET}]}
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.post(f"{edge.url}/v1/chat/completions", json=body, headers=headers).headers["x-request-id"]


def command(edge, *more: str) -> list[str]:
    return [sys.executable, "-m", "edge", "logs", "--url", edge.url, *more]


def following(edge, *more: str) -> Process:
    """The command, once it follows: what it tells of a request that is asked until it does."""
    process = Process(*command(edge, "--follow", *more), env=clean_environment(EDGE_ADMIN_KEY=ADMIN))
    deadline = time.monotonic() + 20
    while not process.lines:
        ask(edge, "smart")
        assert time.monotonic() < deadline, process.lines
        time.sleep(0.1)
    return process


def told(process: Process) -> list[dict]:
    return [json.loads(line) for line in process.lines if line.startswith("{")]


def until(process: Process, wanted):
    deadline = time.monotonic() + 20
    while not wanted(found := told(process)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_who_follows_is_told_each_request_of_every_worker_once(edge):
    process = following(edge)
    try:
        asked = {ask(edge, "smart") for _ in range(16)} | {ask(edge, "shaky")}
        found = until(process, lambda found: asked <= {each["request_id"] for each in found})
    finally:
        process.stop()
    ids = [each["request_id"] for each in found]
    assert len(ids) == len(set(ids))
    (shaky,) = (each for each in found if each["model"] == "shaky")
    assert [(each["upstream"], each["outcome"]) for each in shaky["attempts"]] == [
        ("openai/sim-503-noretry", "failed"),
        ("openai/gpt-4o", "ok"),
    ]
    assert shaky["tenant"] == "shop"
    assert SECRET not in json.dumps(found)


def test_only_what_is_asked_for_is_told(edge):
    process = following(edge, "--tenant", "shop", "--status", "200,4xx", "--model", "smart")
    try:
        others = {ask(edge, "smart", ADMIN), ask(edge, "shaky"), ask(edge, "gpt-4o-mini"), ask(edge, "no-such-model")}
        mine = {ask(edge, "smart") for _ in range(4)}
        found = until(process, lambda found: mine <= {each["request_id"] for each in found})
    finally:
        process.stop()
    assert not others & {each["request_id"] for each in found}


def test_it_ends_with_the_connection(simulator, tmp_path):
    made = Edge(tmp_path, {"providers": providers(simulator.url)})
    with running(made):
        process = following(made)
        made.process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(20) == 1
        process.stop()
        assert "the connection has ended" in process.lines[-1]


@pytest.mark.parametrize(
    ("key", "more", "said"),
    [
        (CLIENT, (), "admin"),
        ("who-knows-0123456789", (), "key"),
        (ADMIN, ("--status", "wrong"), "'status' is such as"),
    ],
)
def test_who_may_not_or_asks_for_nonsense_is_told_so(edge, key, more, said):
    env = clean_environment(EDGE_ADMIN_KEY=key)
    done = subprocess.run(command(edge, *more), env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert said in done.stderr
    assert not done.stdout


def test_the_latest_are_told_and_that_is_all(edge):
    asked = [ask(edge, "smart") for _ in range(4)]
    env = clean_environment(EDGE_ADMIN_KEY=ADMIN)
    deadline = time.monotonic() + 20
    while True:  # the other worker begins to tell within a moment
        done = subprocess.run(command(edge, "--last", "1000"), env=env, capture_output=True, text=True, timeout=60)
        found = [json.loads(line)["request_id"] for line in done.stdout.splitlines()]
        assert done.returncode == 0, done.stderr
        if set(asked) <= set(found):
            break
        assert time.monotonic() < deadline


def test_on_a_terminal_a_request_is_a_short_line(edge):
    ask(edge, "smart")
    parent, child = pty.openpty()
    env = clean_environment(EDGE_ADMIN_KEY=ADMIN, TERM="xterm")
    env.pop("NO_COLOR", None)
    process = subprocess.Popen(command(edge, "--last", "3"), env=env, stdout=child, stderr=child)
    os.close(child)
    assert process.wait(30) == 0
    said = os.read(parent, 65536).decode()
    os.close(parent)
    assert "\x1b[32m200\x1b[0m" in said
    assert re.search(r"smart.* -> openai/gpt-4o", said)
    assert all(len(re.sub(r"\x1b\[\d+m", "", line)) <= 160 for line in said.splitlines())
