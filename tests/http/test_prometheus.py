"""A real Prometheus scrapes four workers, some of which are killed, and says what the simulator's ledger says."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import threading
import time

import httpx2
import pytest

from tests.harness import Client, Edge, Process, free_port, providers, running
from tests.http.test_lifecycle import children
from tests.unit.metric_values import values_of

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not here (Debian: prometheus)"
)

WORKERS, ASKERS, LOAD_S, KILL_EVERY_S = 4, 6, 8.0, 2.0
PAUSE_S = 0.005
"""Of each asker: the ledger has room for 20,000 entries."""
PRICE = {"input": 2.0, "output": 10.0}
"""US dollars for a million tokens, so that a wrong count shows in the cents."""


class Prometheus:
    def __init__(self, tmp_path, target: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        scrape = {"job_name": "edge", "static_configs": [{"targets": [target]}]}
        told = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": [scrape]}
        (tmp_path / "prometheus.yml").write_text(json.dumps(told))
        self.process = Process(
            *("prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"),
            *(f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn"),
        )

    def ask(self, query: str) -> float:
        """The value of an expression that gives one, 0 where it gives none."""
        got = httpx2.get(f"{self.url}/api/v1/query", params={"query": query})
        got.raise_for_status()
        answer = got.json()
        assert answer["status"] == "success", answer
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def wait(self, query: str, wanted, timeout_s: float = 30) -> float:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                value = self.ask(query)
                if wanted(value):
                    return value
            except httpx2.HTTPError:  # it is not there, or says with 503 that it is not ready
                value = None
            assert time.monotonic() < deadline, (query, value)
            time.sleep(0.2)


class Askers:
    """Threads that ask and keep what they were told: the tokens of each answer, and how many were cut off."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ending = threading.Event()
        self.usages: list[tuple[int, int]] = []
        self.cut = 0

    def __enter__(self) -> Askers:
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(ASKERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, number: int) -> None:
        choose = random.Random(number)
        client = None
        while not self._ending.is_set():
            said = [{"role": "user", "content": "x" * choose.randrange(200)}]
            body = json.dumps({"model": f"sim-words-{choose.randrange(1, 40)}", "messages": said}).encode()
            try:
                client = client or Client(self._port)
                client.post("/v1/chat/completions", body)
                status, headers = client.head()
                assert status == 200, status
                usage = json.loads(client.body(headers))["usage"]
                self.usages.append((usage["prompt_tokens"], usage["completion_tokens"]))
            except ConnectionRefusedError:
                time.sleep(0.05)
            except (OSError, EOFError, AssertionError, ValueError):
                self.cut += 1
                client = left(client)
            time.sleep(PAUSE_S)
        left(client)


def left(client: Client | None) -> None:
    if client is not None:
        client.sock.close()


def check_values(text: str) -> None:
    """Labels with a closed set of values have no others."""
    for name, said in re.findall(r"^(\w+){(.*)} \S+$", text, re.MULTILINE):
        for label, value in re.findall(r'(\w+)="([^"]*)"', said):
            closed = values_of(name, label)
            assert closed is None or value in closed or (label == "error_type" and not value), (name, label, value)


@pytest.mark.pairs
def test_prometheus_says_what_the_ledger_says_while_workers_are_killed(simulator, tmp_path):
    named = providers(simulator.url, prices={"sim-*": PRICE})
    edge = Edge(tmp_path, {"server": {"workers": WORKERS}, "providers": named})
    with running(edge):
        prometheus = Prometheus(tmp_path, edge.url.removeprefix("http://"))
        try:
            prometheus.wait('up{job="edge"}', lambda up: up == 1)
            since, killed = simulator.count(), 0
            with Askers(edge.port) as askers:
                begun = time.monotonic()
                while time.monotonic() - begun < LOAD_S:
                    time.sleep(KILL_EVERY_S)
                    os.kill(random.Random(killed).choice(children(edge.process.pid)), signal.SIGKILL)
                    killed += 1
            ledger = [entry for entry in simulator.ledger(since) if entry["status"] == 200]
            answered, cut = len(askers.usages), askers.cut
            # What a killed worker had in flight is in the ledger, and perhaps in no worker's memory.
            assert answered <= len(ledger) <= answered + cut
            text = httpx2.get(f"{edge.url}/metrics").text
            told = sum(
                map(float, re.findall(r'^edge_upstream_requests_total{.*code="200".*} (\S+)$', text, re.MULTILINE))
            )
            counted = prometheus.wait('sum(edge_upstream_requests_total{code="200"})', lambda n: n == told)
            time.sleep(1.2)  # another scrape finds the same
            assert prometheus.ask('sum(edge_upstream_requests_total{code="200"})') == counted
            # A request is counted once its answer is written, which may be what a worker did last.
            assert answered - killed <= counted <= len(ledger)
            assert prometheus.ask("sum(resets(edge_requests_total[5m]))") == 0
            lost = len(ledger) - counted
            for kind, place, price in (("input", 0, PRICE["input"]), ("output", 1, PRICE["output"])):
                exact = sum(usage[place] for usage in askers.usages)
                tokens = prometheus.ask(f'sum(edge_tokens_total{{type="{kind}"}})')
                most = max(usage[place] for usage in askers.usages)
                assert exact <= tokens <= exact + (len(ledger) - answered) * most, kind
                cost = tokens * price / 1e6
                print(f"\n{kind}: {tokens:.0f} tokens, {cost:.6f} USD")
            tokens = [prometheus.ask(f'sum(edge_tokens_total{{type="{kind}"}})') for kind in ("input", "output")]
            due = tokens[0] * PRICE["input"] / 1e6 + tokens[1] * PRICE["output"] / 1e6
            assert abs(prometheus.ask("sum(edge_cost_usd_total)") - due) < 1e-9
            window = time.monotonic() - begun + 5
            rate = prometheus.ask(f"sum(increase(edge_requests_total[{int(window)}s]))")
            check_values(httpx2.get(f"{edge.url}/metrics").text)
            replaced = prometheus.wait("sum(edge_worker_restarts_total)", lambda n: n == killed)
            print(
                f"N = {len(ledger)} in the ledger, {answered} answered, {cut} cut off by {killed} kills; Prometheus: "
                f"{counted:.0f} counted ({lost:.0f} lost with their workers), {rate:.0f} by its increase, "
                f"{replaced:.0f} restarts"
            )
        finally:
            prometheus.process.stop()
