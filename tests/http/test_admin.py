"""The API behind the page: what it tells, and its description."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import httpx2
import pytest

from tests.harness import Edge, running
from tests.http.test_lifecycle import settings

SAID = [{"role": "user", "content": "x"}]


@pytest.fixture(scope="module")
def edge(simulator, tmp_path_factory):
    made = Edge(tmp_path_factory.mktemp("admin"), settings(simulator))
    with running(made):
        yield made


def state(edge: Edge) -> dict:
    return httpx2.get(f"{edge.url}/admin/api/state").json()


def until(edge: Edge, wanted) -> dict:
    deadline = time.monotonic() + 30
    while True:
        found = state(edge)
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_the_description_names_every_route_of_the_page_and_no_other(edge):
    page = (Path(__file__).parents[2] / "docs/admin.md").read_text()
    documented = {tuple(row.split()) for row in re.findall(r"^\| `(\w+ /admin/api/\S+)`", page, re.MULTILINE)}
    described = httpx2.get(f"{edge.url}/admin/api/openapi.json").json()
    found = {
        (method.upper(), path) for path, methods in described["paths"].items() for method in methods if method != "head"
    }
    assert found == documented - {("GET", "/admin/api/openapi.json")}
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            assert told["summary"], (method, path)
    answer = described["paths"]["/admin/api/state"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["$ref"] == "#/components/schemas/State"
    schemas = described["components"]["schemas"]
    assert set(schemas["State"]["properties"]) == set(state(edge))
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert named <= set(schemas)


def test_any_worker_tells_of_the_latest_requests_of_all(edge):
    state(edge)
    asked = set()
    for _ in range(12):  # fresh connections reach both workers
        answer = httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "smart", "messages": SAID})
        asked.add(answer.headers["x-request-id"])
    found = until(edge, lambda found: asked <= {each["request_id"] for each in found["requests_done"]})
    (one, *_) = (each for each in found["requests_done"] if each["request_id"] in asked)
    assert one["endpoint"] == "/v1/chat/completions"
    assert one["status"] == 200
    assert one["duration_s"] >= one["overhead_s"] > 0


def test_events_come_each_second_and_tell_a_request_once(edge):
    told = []
    with httpx2.stream("GET", f"{edge.url}/admin/api/live", timeout=10) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        sent = httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "smart", "messages": SAID})
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line[6:]))
            if len(told) == 5:
                break
    times = [each["figures"]["at"] for each in told]
    assert times == sorted(set(times))
    mine = sent.headers["x-request-id"]
    assert sum(each["request_id"] == mine for event in told for each in event["requests_done"]) == 1


def test_a_viewer_does_not_hold_up_the_end(simulator, tmp_path, stalls):
    edge = Edge(tmp_path, settings(simulator))
    with running(edge), httpx2.stream("GET", f"{edge.url}/admin/api/live", timeout=20) as answer:
        lines = answer.iter_lines()
        next(lines)
        begun = time.monotonic()
        edge.process.process.send_signal(signal.SIGTERM)
        for _ in lines:
            pass
        assert edge.process.process.wait(20) == 0
        assert time.monotonic() - begun < 5 + stalls.granted_s
