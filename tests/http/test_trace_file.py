"""What a running edge writes of each request into its trace file, and that no prompt is in it."""

from __future__ import annotations

import json
import time

import httpx2
import xxhash

from edge.telemetry.trace_file import FORMAT
from tests.harness import Edge, providers, running, until

CANARY = "canary-7f3a"


def written(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_each_request_has_a_line_of_its_shape_time_and_outcome(simulator, front, tmp_path):
    path = tmp_path / "trace"
    config = {
        "providers": providers(simulator.url),
        "models": {"both": {"strategy": "failover", "upstreams": [{"to": "openai/sim-500"}, {"to": "openai/gpt-4o"}]}},
        "cache": {"mode": "all"},
        "telemetry": {"trace_file": str(path)},
        "server": {"workers": 2},
    }
    edge = Edge(tmp_path, config, front=front)
    began = time.time()
    with running(edge), httpx2.Client() as client:

        def ask(model: str = "gpt-4o", **more) -> int:
            body = {"model": model, "max_tokens": 30, "messages": [{"role": "user", "content": CANARY}], **more}
            return client.post(f"{edge.url}/v1/chat/completions", json=body).status_code

        assert [ask(), ask(), ask("both"), ask(stream=True, seed=1), ask("gpt-4o", n="x", stream=3)] == [200] * 4 + [
            400
        ]
        until(lambda: sum(line["event"] == "request" for line in written(path)) >= 5)
    found = written(path)
    assert CANARY not in path.read_text()
    requests = sorted([line for line in found if line["event"] == "request"], key=lambda line: line["at_ns"])
    first, second, both, stream, refused = requests
    assert (first["status"], first["outcome"], first["model"], first["provider"]) == (200, "ok", "gpt-4o", "openai")
    assert (first["cache"], second["cache"]) == ("miss", "memory")
    assert first["body"] == second["body"] != stream["body"]
    assert first["cache_key"] == second["cache_key"] != both["cache_key"]
    assert first["prefix"] == second["prefix"] == both["prefix"]
    assert (first["most_tokens"], first["input_tokens"] > 0, first["output_tokens"] > 0) == (30, True, True)
    assert (both["alias"], both["attempts"], both["upstream_model"]) == ("both", 2, "gpt-4o")
    failed, answered = both["tries"]
    assert (failed["model"], failed["status"], failed["health"]) == ("sim-500", 500, "failed")
    assert (answered["model"], answered["status"], answered["health"]) == ("gpt-4o", 200, "ok")
    assert 0 < failed["begun_ns"] < failed["refused_ns"] <= failed["ended_ns"]
    assert failed["ended_ns"] <= answered["begun_ns"] < answered["ended_ns"]
    assert (len(first["tries"]), "tries" in second, len(stream["tries"])) == (1, False, 1)
    assert stream["stream"] is True
    assert 0 < stream["first_content_s"] <= stream["duration_s"]
    assert (refused["status"], "provider" in refused) == (400, False)
    starts = {line["worker"]: line for line in found if line["event"] == "began"}
    assert {(line["format"], began - 60 < line["at"] < time.time() + 1) for line in starts.values()} == {(FORMAT, True)}
    for line in requests:
        start = starts[line["worker"]]
        assert began - 1 < start["at"] + (line["at_ns"] - start["clock_ns"]) / 1e9 < time.time() + 1


def test_a_file_that_cannot_be_written_costs_lines_and_nothing_else(simulator, tmp_path):
    config = {"providers": providers(simulator.url), "telemetry": {"trace_file": str(tmp_path / "no" / "trace")}}
    edge = Edge(tmp_path, config)
    with running(edge):
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
        assert httpx2.post(f"{edge.url}/v1/chat/completions", json=body).status_code == 200
    assert not (tmp_path / "no").exists()


def test_digests_cannot_be_tried_and_what_was_blocked_has_none(simulator, tmp_path):
    def traced(secret: str, name: str) -> list[dict]:
        path = tmp_path / name
        config = {
            "server": {"secret": secret},
            "providers": providers(simulator.url),
            "pii": {"request": "block"},
            "telemetry": {"trace_file": str(path)},
        }
        (folder := tmp_path / f"of-{name}").mkdir()
        edge = Edge(folder, config)
        with running(edge), httpx2.Client() as client:
            for said, status in ((CANARY, 200), (CANARY, 200), (f"{CANARY} ann@example.com", 403)):
                body = {"model": "gpt-4o", "messages": [{"role": "user", "content": said}]}
                answered = client.post(f"{edge.url}/v1/chat/completions", json=body)
                assert answered.status_code == status
            until(lambda: sum(line["event"] == "request" for line in written(path)) == 3)
        sent = answered.request.content.replace(b" ann@example.com", b"")
        assert xxhash.xxh3_128_hexdigest(sent) not in path.read_text()
        return [line for line in written(path) if line["event"] == "request"]

    one, again, blocked = traced("s" * 32, "one")
    assert (one["body"], one["prefix"]) == (again["body"], again["prefix"])
    assert (blocked["error"], "body" in blocked, "prefix" in blocked) == ("pii_blocked", False, False)
    same, other = traced("s" * 32, "same")[0], traced("o" * 32, "other")[0]
    assert (one["body"], one["prefix"]) == (same["body"], same["prefix"])
    assert not {one["body"], one["prefix"]} & {other["body"], other["prefix"]}
