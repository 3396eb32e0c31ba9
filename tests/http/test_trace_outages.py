"""Collectors that are gone, slow or stand still cost a request nothing, and what that loses is counted; and what a real
Jaeger makes of the traces.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import sys
import time
from contextlib import contextmanager

import httpx2
import pytest

from tests.collector import Collector
from tests.harness import Canned, Edge, Process, free_port, minimal, providers, running, until

CHAT = "/v1/chat/completions"
LONG = "x" * 30_000
JAEGER = os.environ.get("EDGE_JAEGER") or shutil.which("jaeger-all-in-one")


@pytest.fixture(scope="module")
def upstream():
    with Canned(minimal) as made:
        yield made


def traced(endpoint, upstream, folder, **more):
    tracing = {"otlp_endpoint": endpoint, "sample": 1.0, **more}
    return Edge(folder, {"providers": providers(upstream.url), "telemetry": {"tracing": tracing}}, forked=False)


def took(edge, asked, said="hi"):
    """The seconds that each of so many requests took."""
    found = []
    body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": said}]}
    with httpx2.Client() as client:
        for _ in range(asked):
            begun = time.perf_counter()
            assert client.post(f"{edge.url}{CHAT}", json=body).status_code == 200
            found.append(time.perf_counter() - begun)
    return found


def counted(edge, metric, **labels):
    text = httpx2.get(f"{edge.url}/metrics").text
    told = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    found = re.search(rf"^{metric}{re.escape('{' + told + '}') if told else ''} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def dropped(edge, reason):
    return counted(edge, "edge_telemetry_dropped_total", signal="traces", reason=reason)


@contextmanager
def standing_still():
    """The address of a collector in a process of its own, which is stopped."""
    process = Process(sys.executable, "-m", "tests.collector")
    url = process.wait_for(r"collector on (\S+)")[1]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield url
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.stop(signal.SIGKILL)


def test_a_collector_that_is_gone_costs_spans_and_nothing_else(upstream, tmp_path, stalls):
    edge = traced(f"http://127.0.0.1:{free_port()}", upstream, tmp_path)
    with running(edge):
        times = took(edge, 200)
        until(lambda: dropped(edge, "not_taken") == 400, 20)
        assert counted(edge, "edge_spans_exported_total") == 0.0
        begun = time.monotonic()
        edge.process.stop()
        assert time.monotonic() - begun < 6 + stalls.granted_s
    assert max(times) < 0.25 + stalls.granted_s
    assert edge.process.output.count("traces cannot be exported") == 1


def test_a_collector_that_stands_still_fills_the_queue_and_no_more(upstream, tmp_path, stalls):
    with standing_still() as url:
        edge = traced(url, upstream, tmp_path, content=True)
        with running(edge):
            before = took(edge, 5)
            times = took(edge, 600, LONG)
            until(lambda: dropped(edge, "queue_full") >= 100, 20)
            assert max(times) < 0.25 + stalls.granted_s
            assert statistics.median(times) < 5 * statistics.median(before) + 0.02
            memory = int(re.search(r"VmRSS:\s+(\d+)", status_of(edge))[1]) / 1024
            begun = time.monotonic()
            edge.process.stop()
            assert time.monotonic() - begun < 6 + stalls.granted_s
        print(f"median {statistics.median(times) * 1000:.2f} ms, most {max(times) * 1000:.2f} ms, {memory:.0f} MiB")


def status_of(edge):
    with open(f"/proc/{edge.process.pid}/task/{edge.process.pid}/children") as file:
        worker = file.read().split()[0]
    with open(f"/proc/{worker}/status") as file:
        return file.read()


def test_a_slow_collector_gets_what_there_is_in_its_time(upstream, tmp_path, stalls):
    with Collector(delay_s=1.5) as collector:
        edge = traced(collector.url, upstream, tmp_path)
        with running(edge):
            times = took(edge, 300)
            until(lambda: counted(edge, "edge_spans_exported_total") == 600, 30)
            assert (dropped(edge, "queue_full"), dropped(edge, "not_taken")) == (0.0, 0.0)
        assert max(times) < 0.25 + stalls.granted_s
        assert len(collector.spans) == 600


def test_a_collector_that_refuses_is_told_of_once_and_again_when_it_takes_them(upstream, tmp_path):
    with Collector(status=400) as collector:
        edge = traced(collector.url, upstream, tmp_path)
        with running(edge):
            for _ in range(3):
                took(edge, 1)
                time.sleep(1.2)
            until(lambda: dropped(edge, "not_taken") == 6)
            collector.status = 200
            took(edge, 1)
            edge.process.wait_for("traces are exported again")
            until(lambda: counted(edge, "edge_spans_exported_total") == 2)
        assert edge.process.output.count("traces cannot be exported") == 1


PORTS = (
    *("collector.otlp.http", "query.http-server", "collector.otlp.grpc", "query.grpc-server", "admin.http"),
    *("collector.grpc-server", "collector.http-server"),
)
"""All that Jaeger listens on: the first two are where it takes spans, and where it is asked."""


@contextmanager
def jaeger():
    """The addresses of a Jaeger: that of its collector, and that of its API."""
    ports = {name: free_port() for name in PORTS}
    process = Process(JAEGER, *[f"--{name}.host-port=127.0.0.1:{port}" for name, port in ports.items()])
    try:
        otlp, query, *_ = (f"http://127.0.0.1:{port}" for port in ports.values())
        until(lambda: answers(f"{query}/api/services"), 30)
        yield otlp, f"{query}/api"
    finally:
        process.stop()


def answers(url):
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.TransportError:
        return False


def shown(api, trace):
    """The spans of a trace, by their names."""
    reply = httpx2.get(f"{api}/traces/{trace}")
    found = reply.json()["data"] if reply.status_code == 200 else []
    return {span["operationName"]: span for span in found[0]["spans"]} if found else {}


@pytest.mark.skipif(JAEGER is None, reason="there is no jaeger-all-in-one, and EDGE_JAEGER names none")
def test_jaeger_shows_a_request_and_its_attempt_as_one_trace(upstream, tmp_path):
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with jaeger() as (otlp, api):
        edge = traced(otlp, upstream, tmp_path)
        with running(edge):
            headers = {"traceparent": f"00-{trace}-{parent}-01"}
            body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}
            assert httpx2.post(f"{edge.url}{CHAT}", json=body, headers=headers).status_code == 200
            until(lambda: len(shown(api, trace)) == 2, 20)
        found = shown(api, trace)
        services = httpx2.get(f"{api}/services").json()["data"]
    own, attempt = found[f"POST {CHAT}"], found["chat gpt-4o"]
    tags = {tag["key"]: tag["value"] for tag in attempt["tags"]}
    assert [each["references"][0]["spanID"] for each in (own, attempt)] == [parent, own["spanID"]]
    expected = {"span.kind": "client", "gen_ai.request.temperature": 0.5, "gen_ai.provider.name": "openai"}
    assert expected.items() <= tags.items()
    assert [field["value"] for log in own["logs"] for field in log["fields"] if field["key"] == "event"] == [
        "edge.route"
    ]
    assert "llm-edge-agent" in services
