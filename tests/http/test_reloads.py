"""A new configuration is read beside the serving loops, whatever its size, and reaches every worker or its successor."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time

import httpx2

from tests.harness import Client, Edge, running, until
from tests.http.test_lifecycle import children, settings

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
MANY = 100_000


def key(token: str, name: str = "first") -> dict:
    return {"id": name, "digests": ["sha256:" + hashlib.sha256(token.encode()).hexdigest()]}


def many_keys() -> list[dict]:
    return [key(f"token-number-{n:06}", f"k{n}") for n in range(MANY)]


def as_yaml(config: dict) -> str:
    """In the form that people and generators write: a key a line."""
    keys = config["auth"].pop("keys")
    lines = [f'    - {{id: {each["id"]}, digests: ["{each["digests"][0]}"]}}' for each in keys]
    return "\n".join(
        [
            *(f"{name}: {json.dumps(part)}" for name, part in config.items() if name != "auth"),
            "auth:",
            "  keys:",
            *lines,
            "",
        ]
    )


class Asking:
    """Requests by one key over kept connections, one after another; ``slowest_s`` is the longest answer."""

    def __init__(self, edge: Edge, token: str) -> None:
        self.done, self.slowest_s = 0, 0.0
        self.failures: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(edge.port, token)) for _ in range(4)]

    def _ask(self, port: int, token: str) -> None:
        try:
            with Client(port) as client:
                while not self._over.is_set():
                    begun = time.monotonic()
                    client.post("/v1/chat/completions", BODY, f"authorization: Bearer {token}")
                    status, headers = client.head()
                    client.body(headers)
                    self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
                    self.done += 1
                    if status != 200:
                        self.failures.append(f"status {status}")
                    time.sleep(0.02)
        except (OSError, AssertionError) as error:
            self.failures.append(repr(error))

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)


def test_a_hundred_thousand_keys_are_taken_without_a_stall(simulator, tmp_path, stalls):
    config = {**settings(simulator), "auth": {"keys": [key("first-token-of-all")]}}
    edge = Edge(tmp_path, config, ending="yaml")
    workers = children(edge.process.pid)
    with running(edge):
        config["auth"]["keys"] += many_keys()
        text = as_yaml(config)
        with Asking(edge, "first-token-of-all") as load:
            edge.path.write_text(text)
            begun = time.monotonic()
            edge.process.process.send_signal(signal.SIGHUP)
            headers = {"authorization": f"Bearer token-number-{MANY - 1:06}"}
            while httpx2.get(f"{edge.url}/v1/models", headers=headers).status_code != 200:
                assert time.monotonic() - begun < 30
                time.sleep(0.02)
            took = time.monotonic() - begun

            def known(n: int) -> bool:
                """To both workers, which fresh connections reach."""
                headers = {"authorization": f"Bearer token-number-{n:06}"}
                return all(httpx2.get(f"{edge.url}/v1/models", headers=headers).status_code == 200 for _ in range(12))

            for n in (0, MANY // 2, MANY - 1):
                until(lambda n=n: known(n))
        assert load.failures == []
        assert load.done > 10
        assert children(edge.process.pid) == workers, "no process ended"
        assert load.slowest_s < 0.5 + stalls.granted_s, "a loop stood still"
        print(f"\n{MANY} keys as YAML: {took:.2f} s, slowest of {load.done} answers {load.slowest_s * 1e3:.0f} ms")


def test_mistakes_in_a_large_file_are_told_with_their_lines_and_the_old_one_serves(simulator, tmp_path):
    edge = Edge(tmp_path, {**settings(simulator), "auth": {"keys": [key("first-token-of-all")]}})
    with running(edge):
        config = {**settings(simulator), "auth": {"keys": many_keys()[:3000]}}
        config["auth"]["keys"][2500]["digests"] = ["sha256:short"]
        edge.path.write_text(json.dumps(config))
        edge.process.process.send_signal(signal.SIGHUP)
        edge.process.wait_for("auth.keys\\[2500\\].digests\\[0\\].*reload refused")
        got = httpx2.get(f"{edge.url}/v1/models", headers={"authorization": "Bearer first-token-of-all"})
        assert got.status_code == 200


def test_what_is_hardly_meant_is_told_once_at_the_start_and_once_at_a_reload(simulator, tmp_path):
    config = {**settings(simulator), "auth": {"keys": [{**key("first-token-of-all"), "models": ["nowhere/*"]}]}}
    config["providers"] = {name: {**each, "models": ["x"]} for name, each in config["providers"].items()}
    edge = Edge(tmp_path, config)
    with running(edge):
        config["auth"]["keys"][0]["models"] = []
        edge.path.write_text(json.dumps(config))
        edge.process.process.send_signal(signal.SIGHUP)
        edge.process.wait_for("auth.keys\\[0\\].models: is an empty list")
    notes = [json.loads(line) for line in edge.process.lines if '"note"' in line]
    assert [(note["level"], note["note"].partition(":")[0]) for note in notes] == [
        ("warning", "auth.keys[0].models[0]"),
        ("warning", "auth.keys[0].models"),
    ]


def test_a_worker_that_hangs_holds_up_nobody_and_its_successor_has_the_new_configuration(simulator, tmp_path):
    edge = Edge(tmp_path, settings(simulator))
    with running(edge):
        hung = children(edge.process.pid)[0]
        os.kill(hung, signal.SIGSTOP)
        config = settings(simulator)
        # More than a socket's buffer takes, again and again.
        config["models"] |= {f"alias-{n}": {"upstreams": [{"to": f"openai/{'m' * 200}"}]} for n in range(2000)}
        deadline = time.monotonic() + 60
        for n in range(4):
            config["models"][f"new-{n}"] = {"upstreams": [{"to": "openai/gpt-4o"}]}
            edge.path.write_text(json.dumps(config))
            edge.process.process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
        while hung in children(edge.process.pid) or len(children(edge.process.pid)) < 2:
            assert time.monotonic() < deadline, "the worker that hangs was not replaced"
            time.sleep(0.05)
        edge.process.wait_for('"event":"reloading"')
        seen = 0
        while seen < 20:  # in a row: both workers have it
            assert time.monotonic() < deadline
            try:
                got = httpx2.get(f"{edge.url}/v1/models/new-3", timeout=5)
            except httpx2.TransportError:
                continue
            seen = seen + 1 if got.status_code == 200 else 0


def test_a_file_that_is_not_there_is_told_and_a_second_signal_reads_what_came_after(simulator, tmp_path):
    edge = Edge(tmp_path, settings(simulator, workers=1))
    with running(edge):
        text = edge.path.read_text()
        edge.path.unlink()
        edge.process.process.send_signal(signal.SIGHUP)
        edge.process.wait_for("cannot be read.*reload refused")
        config = json.loads(text)
        # Two signals at once: the second is not lost while the first is read.
        for name in ("one", "two"):
            config["models"][name] = {"upstreams": [{"to": "openai/gpt-4o"}]}
            edge.path.write_text(json.dumps(config))
            edge.process.process.send_signal(signal.SIGHUP)
        until(lambda: httpx2.get(f"{edge.url}/v1/models/two").status_code == 200)
