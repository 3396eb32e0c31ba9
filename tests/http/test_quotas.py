"""Tokens a minute and money a day, with real processes: counted once for all workers, whatever becomes of a request."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from edge.cli import main
from tests.harness import PATIENT, WAIT_S, Canned, Client, Edge, answer, chunked, running, until
from tests.stalls import Stalls

TOKENS = 20
PRICE = {"input": 1000, "output": 1000}
"""USD for a million tokens: an answer of 20 costs 0.02."""
COST = TOKENS * 1000 / 1_000_000
RESERVED = TOKENS + 1
"""What one request may come to: its input is estimated at a token more than the provider counts."""


def token(name: str) -> str:
    return f"lea_{name}_0123456789abcdef"


def key(name: str, **limits):
    digest = "sha256:" + sha256(token(name).encode()).hexdigest()
    return {"id": name, "digests": [digest], **limits}


def usage(tokens: int = TOKENS // 2) -> dict[str, int]:
    return {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": 2 * tokens}


def whole(tokens: int = TOKENS // 2) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
    told = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage(tokens)}
    return json.dumps(told).encode()


def streamed() -> list[bytes]:
    parts = [
        {"choices": [{"index": 0, "delta": {"content": "a"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage()},
    ]
    return [*(b"data: %b\n\n" % json.dumps({"id": "c", **part}).encode() for part in parts), b"data: [DONE]\n\n"]


class Provider(Canned):
    """Answers by the model it is asked for. What asks ``slow`` waits until it is ``released``."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.lock = threading.Lock()
        self.answered = 0
        self.file = ""
        super().__init__(self.serve)

    def serve(self, seen, _):
        asked = json.loads(seen.body)
        with self.lock:
            self.answered += 1
        if asked["model"] == "slow":
            self.released.wait(30)
        if asked["model"] == "broken":
            return answer(b"{}", 500)
        if asked["model"] == "dear":
            return answer(whole(500))
        return chunked(streamed()) if asked.get("stream") else answer(whole())


@pytest.fixture
def provider(tmp_path):
    with Provider() as made:
        made.file = str(tmp_path / "spend.sqlite")
        yield made
        made.released.set()


def configuration(provider, *keys, workers=1, **more):
    return {
        "server": {"workers": workers},
        "auth": {"keys": list(keys), **more.pop("auth", {})},
        "providers": {
            "p": {"dialect": "openai", "base_url": f"{provider.url}/v1", "api_keys": ["sk"], "prices": {"*": PRICE}}
        },
        "models": {name: {"upstreams": [{"to": f"p/{name}"}]} for name in ("m", "slow", "broken", "dear")},
        "resilience": PATIENT,
        "limits": {"file": provider.file},
        **more,
    }


def body(model="m", **more):
    return {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "hello, world, again"}], **more}


def ask(edge, name="k", model="m", client=httpx2, **more):
    headers = {"authorization": f"Bearer {token(name)}"}
    return client.post(f"{edge.url}/v1/chat/completions", json=body(model, **more), headers=headers, timeout=30)


def left(edge, name="k", **more) -> float:
    """Dollars that are left, by an answer that costs nothing."""
    return float(ask(edge, name, "broken", **more).headers["x-ratelimit-remaining-usd"])


def metrics(edge) -> str:
    return httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": token("boss")}).text


def workers_of(edge) -> list[int]:
    pid = edge.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def asked_by_many(edges, requests: int) -> list[int]:
    """The statuses of so many requests, from many clients, to all edges in turn."""
    threads = 16

    def some(number: int) -> list[int]:
        with httpx2.Client() as client:
            return [
                ask(edges[(number + turn) % len(edges)], client=client).status_code
                for turn in range(requests // threads)
            ]

    with ThreadPoolExecutor(threads) as pool:
        return [status for statuses in pool.map(some, range(threads)) for status in statuses]


def test_each_answer_is_settled_by_what_it_cost(provider, front, tmp_path):
    edge = Edge(
        tmp_path,
        configuration(provider, key("k", tokens_per_minute=100_000, budget={"usd": 1, "per": "day"})),
        front=front,
    )
    with running(edge):
        got = ask(edge)
        assert got.status_code == 200
        assert got.headers["x-ratelimit-limit-usd"] == "1.000000"
        assert got.headers["x-ratelimit-limit-tokens"] == "100000"
        assert got.headers["x-edge-cost-usd"] == "0.02"
        assert left(edge) == pytest.approx(0.98 - 0.016, abs=0.006), "but for what that request had reserved itself"
        assert ask(edge, stream=True, stream_options={"include_usage": True}).text.endswith("[DONE]\n\n")
        assert ask(edge, model="dear").status_code == 200
        # 0.02 twice, and once 1 USD for what was expected to cost a 50th of that: beyond the budget, by that much.
        refused = ask(edge)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "insufficient_quota"
        assert refused.headers["x-should-retry"] == "false"
        assert 0 < int(refused.headers["retry-after"]) <= 86400
        assert refused.headers["x-ratelimit-remaining-usd"] == "0.000000"


def test_a_request_that_fails_gives_back_what_it_had_reserved(provider, front, tmp_path):
    limited = key("k", tokens_per_minute=1000, budget={"usd": 0.5, "per": "month"})
    edge = Edge(tmp_path, configuration(provider, limited), front=front)
    with running(edge):
        got = [ask(edge, model="broken") for _ in range(100)]
        assert {each.status_code for each in got} <= {500, 502, 503}
        assert ask(edge, max_tokens=300).status_code == 200


def test_a_client_that_leaves_gives_back_what_its_request_had_reserved(provider, front, tmp_path):
    edge = Edge(tmp_path, configuration(provider, key("k", budget={"usd": 1, "per": "day"})), front=front)
    with running(edge):
        before = left(edge)
        asked = provider.answered
        with Client(edge.port) as client:
            sent = json.dumps(body("slow", max_tokens=500)).encode()
            client.post("/v1/chat/completions", sent, f"authorization: Bearer {token('k')}")
            until(lambda: provider.answered > asked)
        # Its input is charged, since the provider was at work; the output is not known.
        until(lambda: before - 0.02 <= left(edge) < before)


def test_an_answer_from_the_cache_and_one_that_is_joined_cost_nothing(provider, front, tmp_path):
    limited = [key(name, budget={"usd": 1, "per": "day"}, tenant="t") for name in ("k", "other")]
    edge = Edge(
        tmp_path, configuration(provider, *limited, key("boss", admin=True), cache={"mode": "all"}), front=front
    )
    with running(edge), ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, edge, "k" if not number else "other", "slow") for number in range(8)]
        until(lambda: provider.answered and "\nedge_requests_in_flight 8.0\n" in metrics(edge))
        provider.released.set()
        assert [each.result().status_code for each in asked] == [200] * 8
        assert provider.answered == 1
        assert ask(edge, "other", "slow").headers["x-edge-cache"] == "memory"
        rest = sorted(left(edge, name) for name in ("k", "other"))
        assert rest[0] == pytest.approx(0.98 - 0.016, abs=0.006)
        assert rest[1] == pytest.approx(1 - 0.016, abs=0.006)


def test_a_tenant_s_and_an_alias_s_limits_count_for_all_their_keys(provider, front, tmp_path):
    config = configuration(
        provider,
        *[key(name, tenant="t") for name in ("a", "b")],
        key("c"),
        key("boss", admin=True),
        auth={"tenants": {"t": {"budget": {"usd": 0.1, "per": "day"}}}},
    )
    config["models"]["m"]["tokens_per_minute"] = 400
    edge = Edge(tmp_path, config, front=front)
    with running(edge):
        begun = time.monotonic()
        got = [ask(edge, name) for name in "abababab"]
        assert [each.status_code for each in got].count(200) in (4, 5)
        assert "The tenant 't' may spend 0.1 USD a day" in got[-1].json()["error"]["message"]
        told = metrics(edge)
        assert 'edge_budget_limit_usd{name="t",per="day",scope="tenant"} 0.1' in told
        assert re.search(r'^edge_budget_used_usd{name="t",per="day",scope="tenant"} 0\.(08|1)$', told, re.MULTILINE)
        assert re.search(r'^edge_limit_decisions_total{decision="refused",limit="budget"} [34]\.0$', told, re.MULTILINE)
        got = [ask(edge, "c") for _ in range(30)]
        took = time.monotonic() - begun
        admitted = [each.status_code for each in got].count(200) * TOKENS + 80
        assert 400 - RESERVED < admitted <= 400 * (1 + took / 60) + TOKENS
        assert "The model 'm' may use 400 tokens a minute" in got[-1].json()["error"]["message"]
        assert got[-1].json()["error"]["code"] == "rate_limit_exceeded"


def test_anthropic_s_route_has_its_own_words(provider, front, tmp_path):
    edge = Edge(
        tmp_path, configuration(provider, key("k", tokens_per_minute=50, budget={"usd": 1, "per": "day"})), front=front
    )
    with running(edge):
        headers = {"x-api-key": token("k"), "anthropic-version": "2023-06-01"}
        got = [httpx2.post(f"{edge.url}/v1/messages", json=body(), headers=headers) for _ in range(4)]
        assert got[0].status_code == 200, got[0].text
        assert got[0].headers["anthropic-ratelimit-tokens-limit"] == "50"
        assert got[0].headers["anthropic-ratelimit-usd-limit"] == "1.000000"
        assert got[-1].status_code == 429
        assert got[-1].json()["error"]["type"] == "rate_limit_error"


def test_four_workers_spend_a_budget_to_the_end_and_not_beyond(provider, front, tmp_path):
    budget = 8.0
    edge = Edge(
        tmp_path, configuration(provider, key("k", budget={"usd": budget, "per": "day"}), workers=4), front=front
    )
    with running(edge):
        statuses = asked_by_many([edge], 640)
        admitted = statuses.count(200)
        print(f"4 workers, {len(statuses)} requests: {admitted} admitted, {admitted * COST:.2f} of {budget} USD spent")
        assert set(statuses) == {200, 429}
        assert budget * 0.98 <= admitted * COST <= budget


def test_four_workers_admit_the_tokens_of_a_minute(provider, front, tmp_path):
    limit = 8000
    edge = Edge(tmp_path, configuration(provider, key("k", tokens_per_minute=limit), workers=4), front=front)
    with running(edge):
        begun = time.monotonic()
        statuses = asked_by_many([edge], 800)
        took = time.monotonic() - begun
        admitted, allowed = statuses.count(200) * TOKENS, limit * (1 + took / 60)
        print(f"4 workers, {len(statuses)} requests in {took:.1f} s: {admitted} tokens of {allowed:.0f} admitted")
        assert limit * 0.98 <= admitted <= allowed * 1.02


def test_a_killed_worker_loses_no_budget_and_leaks_no_reservation(provider, front, tmp_path):
    edge = Edge(tmp_path, configuration(provider, key("k", budget={"usd": 10, "per": "day"}), workers=2), front=front)
    with running(edge):
        spent = [ask(edge).status_code for _ in range(20)].count(200) * COST
        threads = [threading.Thread(target=lose, args=(edge,)) for _ in range(12)]
        for each in threads:
            each.start()
        until(lambda: provider.answered >= 32)
        assert left(edge) < 10 - spent - 5, "half a dollar is reserved by each"
        for pid in workers_of(edge):
            os.kill(pid, signal.SIGKILL)
        for each in threads:
            each.join(WAIT_S)
        until(lambda: alive(edge))
        rest = left(edge)
        print(f"20 answers and 12 killed requests: {rest} of 10 USD left, {spent:.2f} were spent")
        assert rest == pytest.approx(10 - spent - 0.016, abs=0.006)


def lose(edge):
    try:
        ask(edge, model="slow", max_tokens=500)
    except httpx2.TransportError:
        pass


def alive(edge) -> bool:
    try:
        return httpx2.get(f"{edge.url}/health/ready").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_restart_keeps_what_was_spent_and_used(provider, tmp_path):
    limited = key("k", tenant="t", budget={"usd": 1, "per": "month"})
    config = configuration(provider, limited, key("boss", admin=True), workers=2)
    edge = Edge(tmp_path, config)
    with running(edge):
        assert [ask(edge).status_code for _ in range(20)] == [200] * 20
    edge = Edge(tmp_path, config)
    with running(edge):
        assert left(edge) == pytest.approx(0.6 - 0.016, abs=0.006)
        assert [ask(edge).status_code for _ in range(5)] == [200] * 5
        told = used(edge)
        assert told["kept"] is True
        (line,) = [line for line in told["usage"] if line["model"] == "m"]
        assert (line["key"], line["tenant"], line["model"]) == ("k", "t", "m")
        assert (line["requests"], line["input_tokens"], line["output_tokens"]) == (25, 250, 250)
        assert line["cost_usd"] == pytest.approx(0.5)
        (limit,) = told["limits"]
        assert (limit["scope"], limit["name"], limit["budget_usd"], limit["per"]) == ("key", "k", 1.0, "month")
        assert (limit["spent_usd"], limit["reserved_usd"], limit["left_usd"]) == (0.5, 0.0, 0.5)
        # The edge is killed with all its workers: what was spent a second ago is in the file.
        with Stalls() as stalls:
            time.sleep(1.5)
            time.sleep(stalls.granted_s)
        workers = workers_of(edge)
        edge.process.stop(signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    edge = Edge(tmp_path, config)
    with running(edge):
        assert left(edge) == pytest.approx(0.5 - 0.016, abs=0.006)


def test_an_upgrade_goes_on_with_what_was_spent(provider, tmp_path):
    edge = Edge(tmp_path, configuration(provider, key("k", budget={"usd": 1, "per": "day"}), key("boss", admin=True)))
    with running(edge):
        assert [ask(edge).status_code for _ in range(10)] == [200] * 10
        before = workers_of(edge)
        os.kill(edge.process.pid, signal.SIGUSR2)
        until(lambda: not set(before) & set(workers_of(edge)), 30)
        assert left(edge) == pytest.approx(0.8 - 0.016, abs=0.006)
        assert [ask(edge).status_code for _ in range(5)] == [200] * 5
        assert [line["requests"] for line in used(edge)["usage"] if line["model"] == "m"] == [15]


def test_a_file_that_is_another_edge_s_is_an_error_at_the_start(provider, tmp_path):
    config = configuration(provider, key("k", budget={"usd": 1, "per": "day"}))
    edge = Edge(tmp_path, config)
    with running(edge), pytest.raises(AssertionError, match=r"is another edge.s: limits\.file names one for this edge"):
        Edge(tmp_path, config)


def test_edge_usage_tells_people_and_machines(provider, tmp_path):
    limits = {"tokens_per_minute": 1000, "budget": {"usd": 1, "per": "day"}}
    edge = Edge(tmp_path, configuration(provider, key("k", tenant="t", **limits), key("boss", admin=True)))
    with running(edge):
        assert [ask(edge).status_code for _ in range(3)] == [200] * 3
        common = ["usage", "--url", edge.url, "--key", token("boss")]
        got = CliRunner().invoke(main, common)
        assert got.exit_code == 0, got.output
        assert re.search(r"^k +t +m +3 +30 +30 +0\.060000$", got.output, re.MULTILINE)
        assert re.search(r"^key +k +1000 +9\d\d +1 a day +0\.060000 +0\.000000 +0\.940000$", got.output, re.MULTILINE)
        told = json.loads(CliRunner().invoke(main, [*common, "--json", "--by", "day", "--days", "7"]).output)
        assert [(set(line), line["requests"]) for line in told["usage"]] == [
            ({"day", "requests", "input_tokens", "output_tokens", "cost_usd"}, 3)
        ]
        wrong = CliRunner().invoke(main, [*common, "--by", "colour"])
        assert wrong.exit_code == 1
        assert "'by' is of day, key, tenant, model" in wrong.output
        assert httpx2.get(f"{edge.url}/admin/api/usage", headers={"x-api-key": token("k")}).status_code == 403


def test_what_all_requests_use_is_kept_where_that_is_wanted(provider, tmp_path):
    config = configuration(provider, key("k"), key("boss", admin=True))
    for wanted, lines in (("limited", 0), ("all", 1)):
        config["limits"]["usage"] = wanted
        edge = Edge(tmp_path, config)
        with running(edge):
            assert ask(edge).status_code == 200
            assert len(used(edge)["usage"]) == lines


def test_edge_explain_tells_what_is_left(provider, tmp_path):
    limits = {"tokens_per_minute": 1000, "budget": {"usd": 1, "per": "day"}}
    edge = Edge(tmp_path, configuration(provider, key("k", **limits), key("boss", admin=True)))
    with running(edge):
        assert ask(edge).status_code == 200
        url = f"{edge.url}/admin/api/explain?key=k"
        told = httpx2.post(url, json=body(), headers={"x-api-key": token("boss")}).json()
        (quota,) = told["limits"]["quotas"]
        assert (quota["scope"], quota["name"], quota["tokens_per_minute"], quota["per"]) == ("key", "k", 1000, "day")
        assert 980 <= quota["tokens_left"] <= 1000
        assert (quota["spent_usd"], quota["left_usd"]) == (0.02, 0.98)


def used(edge, query=""):
    return httpx2.get(f"{edge.url}/admin/api/usage{query}", headers={"x-api-key": token("boss")}).json()
