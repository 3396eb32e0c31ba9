"""What answers cost, in headers, log lines and metrics: the same everywhere, and each once."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal

import httpx2
import pytest

from tests.harness import Canned, Client, Edge, Seen, answer, chunked, running

SAID = [{"role": "user", "content": "x" * 400}]
PICO = Decimal(1).scaleb(-12)
ADMIN = "lea_ops_0123456789abcdefghijkl"
USER = "lea_team_0123456789abcdefghijk"
UNBROKEN = {"breaker": {"failures": 1_000_000}}
"""All that is asked for reaches a provider, however often that one fails."""
# 1e-12 USD a token: input, output.
PRICES = {"gpt": (2_500_000, 10_000_000), "claude": (1_000_000, 5_000_000), "vector": (20_000, 0)}


def provider(url: str, dialect: str = "openai", plan: str = "", **more):
    """Something that imitates a vendor and is priced as it."""
    headers = {"x-sim-plan": plan} if plan else {}
    return {"dialect": dialect, "base_url": url, "priced_as": dialect, "headers": headers, **more}


def config(url: str, **more):
    url = f"{url}/v1"
    made = {
        "openai": provider(url),
        "anthropic": provider(url, "anthropic"),
        "slow": provider(url, plan="words-400-tps-100"),
        "slow-claude": provider(url, "anthropic", plan="words-400-tps-100"),
        "hanging": provider(url, plan="hang"),
        "failing": provider(url, plan="500"),
        "breaking": provider(url, plan="words-30-cut-9"),
        "unpriced": {"dialect": "openai", "base_url": url},
    }
    targets = {name: f"{name}/gpt-4o" for name in ("slow", "hanging", "failing", "breaking", "unpriced")}
    targets |= {
        "gpt": "openai/gpt-4o",
        "claude": "anthropic/claude-haiku-4-5",
        "vector": "openai/text-embedding-3-small",
        "slow-claude": "slow-claude/claude-haiku-4-5",
    }
    models = {alias: {"upstreams": [{"to": to}]} for alias, to in targets.items()}
    models["second"] = {"strategy": "failover", "upstreams": [{"to": targets["failing"]}, {"to": targets["gpt"]}]}
    return {"providers": made, "models": models, **more}


@pytest.fixture
def edge(simulator, front, tmp_path):
    made = Edge(tmp_path, config(simulator.url), front=front)
    with running(made):
        yield made


def body(model: str, **more) -> dict:
    return {"model": model, "messages": SAID, "max_tokens": 50, **more}


def ask(edge, model: str, path: str = "/v1/chat/completions", by=httpx2, **more) -> httpx2.Response:
    return by.post(f"{edge.url}{path}", json=body(model, **more), timeout=20)


def lines(edge, count: int, timeout_s: float = 30) -> list[dict]:
    """The log lines of requests, once there are `count` of them."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = [line for line in edge.process.lines if '"event":"request"' in line]
        if len(found) >= count or time.monotonic() > deadline:
            assert len(found) == count
            return [json.loads(line, parse_float=Decimal, parse_int=int) for line in found]
        time.sleep(0.02)


def metrics(edge, name: str, **headers: str) -> dict[str, float]:
    text = httpx2.get(f"{edge.url}/metrics", headers=headers).text
    return {labels: float(value) for labels, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE)}


def tokens(edge) -> dict[str, float]:
    return {key: value for key, value in metrics(edge, "edge_tokens_total").items() if value}


def pico(usd: float) -> int:
    return round(Decimal(usd) / PICO)


@pytest.mark.parametrize(
    ("model", "path"),
    [("gpt", "chat/completions"), ("gpt", "messages"), ("claude", "messages"), ("claude", "chat/completions")],
)
def test_a_json_answer_says_what_it_cost(edge, model, path):
    got = ask(edge, model, f"/v1/{path}")
    usage = got.json()["usage"]
    inputs = usage.get("prompt_tokens", usage.get("input_tokens"))
    outputs = usage.get("completion_tokens", usage.get("output_tokens"))
    cost = inputs * PRICES[model][0] + outputs * PRICES[model][1]
    text = got.headers["x-edge-cost-usd"]
    assert Decimal(text) == cost * PICO
    assert "x-edge-estimated" not in got.headers
    assert "e" not in text.lower()
    (line,) = lines(edge, 1)
    assert Decimal(line["cost_usd"]) == Decimal(text)
    assert "estimated" not in line
    assert [pico(value) for value in metrics(edge, "edge_cost_usd_total").values()] == [cost]


@pytest.mark.parametrize(("model", "path"), [("slow", "chat/completions"), ("slow-claude", "messages")])
def test_a_cancelled_stream_is_estimated_flagged_and_counted_once(edge, model, path):
    with Client(int(edge.port)) as client:
        client.post(f"/v1/{path}", json.dumps(body(model, stream=True, max_tokens=500)).encode())
        status, headers = client.head()
        assert status == 200
        assert "x-edge-cost-usd" not in headers
        heard = b""
        while heard.count(b"data:") < 42:
            heard += client.read_until(b"\n\n")
    (line,) = lines(edge, 1)
    assert line["kind"] == "client_cancelled"
    assert line["estimated"] is True
    # The simulator's events are a word each; ten or so more may come before it is noticed that the client has left.
    assert 25 <= line["output_tokens"] <= 110
    assert 100 <= line["input_tokens"] <= 120
    rates = PRICES["claude" if "claude" in model else "gpt"]
    cost = line["input_tokens"] * rates[0] + line["output_tokens"] * rates[1]
    assert Decimal(line["cost_usd"]) == cost * PICO
    assert [pico(value) for value in metrics(edge, "edge_cost_usd_total").values()] == [cost]
    assert list(metrics(edge, "edge_estimated_requests_total").values()) == [1]
    assert sum(tokens(edge).values()) == line["input_tokens"] + line["output_tokens"]


def test_a_cancelled_request_costs_its_input(edge, simulator):
    since = simulator.count()
    with Client(int(edge.port)) as client:
        client.post("/v1/chat/completions", json.dumps(body("hanging")).encode())
        simulator.entry(since)
    (line,) = lines(edge, 1)
    assert (line["kind"], line["estimated"], line["output_tokens"]) == ("client_cancelled", True, -1)
    assert 100 <= line["input_tokens"] <= 110
    assert Decimal(line["cost_usd"]) == line["input_tokens"] * PRICES["gpt"][0] * PICO
    assert list(metrics(edge, "edge_estimated_requests_total").values()) == [1]


def test_where_answers_are_shared_the_line_of_who_leaves_last_has_the_costs(simulator, front, tmp_path):
    edge = Edge(tmp_path, config(simulator.url, cache={"mode": "all"}), front=front)
    with running(edge):
        for number, (model, words) in enumerate((("hanging", False), ("slow", True)), 1):
            since = simulator.count()
            with Client(int(edge.port)) as client:
                client.post("/v1/chat/completions", json.dumps(body(model, stream=words)).encode())
                if words:
                    client.read_until(b'"content":"')
                simulator.entry(since)
            line = lines(edge, number)[-1]
            assert (line["kind"], line["estimated"]) == ("client_cancelled", True)
            cost = line["input_tokens"] * PRICES["gpt"][0] + max(0, line["output_tokens"]) * PRICES["gpt"][1]
            assert Decimal(line["cost_usd"]) == cost * PICO
            assert (line["output_tokens"] > 0) is words
        hurried = httpx2.post(
            f"{edge.url}/v1/chat/completions", json=body("hanging"), headers={"x-edge-timeout-ms": "200"}
        )
        assert hurried.status_code == 504
        assert "cost_usd" not in lines(edge, 3)[-1]  # nobody knows whether that provider has done any work
        assert sum(metrics(edge, "edge_estimated_requests_total").values()) == 2


def test_a_client_that_leaves_before_anything_was_sent_costs_nothing(simulator, front, tmp_path):
    """Its request waits for the only connection, which another has."""
    made = config(simulator.url)
    made["providers"]["hanging"]["max_connections"] = 1
    made["resilience"] = {"connect_s": 5}
    edge = Edge(tmp_path, made, front=front)
    with running(edge):
        since = simulator.count()
        with Client(edge.port) as first, Client(edge.port) as second:
            first.post("/v1/chat/completions", json.dumps(body("hanging")).encode())
            simulator.entry(since)
            second.post("/v1/chat/completions", json.dumps(body("hanging")).encode())
            time.sleep(0.2)
            second.sock.close()
            (line,) = lines(edge, 1)
            assert line["kind"] == "client_cancelled"
            assert "cost_usd" not in line
            assert tokens(edge) == {}
        lines(edge, 2)


@pytest.mark.parametrize("counted", [True, False])
def test_a_stream_counts_once(edge, counted):
    options = {"stream_options": {"include_usage": True}} if counted else {}
    assert b"[DONE]" in ask(edge, "gpt", stream=True, **options).content
    (line,) = lines(edge, 1)
    assert line.get("estimated", False) is not counted
    cost = line["input_tokens"] * PRICES["gpt"][0] + line["output_tokens"] * PRICES["gpt"][1]
    assert Decimal(line["cost_usd"]) == cost * PICO
    assert [pico(value) for value in metrics(edge, "edge_cost_usd_total").values()] == [cost]
    assert sum(tokens(edge).values()) == line["input_tokens"] + line["output_tokens"]
    assert sum(metrics(edge, "edge_estimated_requests_total").values()) == (not counted)


def test_an_answer_without_usage_is_estimated_and_says_so(front, tmp_path):
    said = json.dumps({"choices": [{"message": {"content": "word " * 80}}]}).encode()
    with Canned(answer(said)) as upstream:
        edge = Edge(tmp_path, config(upstream.url), front=front)
        with running(edge):
            got = ask(edge, "gpt")
            assert got.headers["x-edge-estimated"] == "true"
            (line,) = lines(edge, 1)
            assert (line["estimated"], line["output_tokens"]) == (True, 100)
            assert Decimal(got.headers["x-edge-cost-usd"]) == Decimal(line["cost_usd"])


SAYS = [
    {"type": "message_start", "message": {"id": "m"}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "some words"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]
CHUNKS = [
    {"id": "c", "choices": [{"index": 0, "delta": {"content": "some words"}}]},
    {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
UNCOUNTED = {
    ("openai", False): answer(
        b'{"id":"c","choices":[{"index":0,"message":{"content":"said"},"finish_reason":"stop"}]}'
    ),
    ("openai", True): chunked([f"data: {json.dumps(each)}\n\n".encode() for each in CHUNKS] + [b"data: [DONE]\n\n"]),
    ("anthropic", False): answer(b'{"content":[{"type":"text","text":"some words"}],"stop_reason":"end_turn"}'),
    ("anthropic", True): chunked([f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in SAYS]),
}
"""Answers without counts, by the provider's dialect and whether they are streams."""


def test_where_a_translated_answer_is_not_counted_client_and_books_say_the_same(tmp_path):
    def reply(seen: Seen, _) -> bytes:
        dialect = "anthropic" if seen.target.endswith("/messages") else "openai"
        return UNCOUNTED[dialect, b'"stream":true' in seen.body]

    with Canned(reply) as upstream:
        made = Edge(tmp_path, config(upstream.url))
        with running(made):
            told = []
            for model, path, counts in (
                ("gpt", "/v1/messages", ("input_tokens", "output_tokens")),
                ("claude", "/v1/chat/completions", ("prompt_tokens", "completion_tokens")),
            ):
                whole = ask(made, model, path)
                assert whole.headers["x-edge-estimated"] == "true"
                stream = ask(made, model, path, stream=True, stream_options={"include_usage": True})
                events = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
                if model == "gpt":
                    begun = events[0]["message"]["usage"]["input_tokens"]
                    assert begun == whole.json()["usage"]["input_tokens"] > 100
                for usage in (whole.json()["usage"], [each["usage"] for each in events if each.get("usage")][-1]):
                    assert usage["estimated"] is True
                    told.append(tuple(usage[name] for name in counts))
            logged = lines(made, 4)
            assert all(line["estimated"] for line in logged)
            assert [(line["input_tokens"], line["output_tokens"]) for line in logged] == told
            assert sum(tokens(made).values()) == sum(map(sum, told))


def test_errors_cost_nothing_and_what_broke_off_what_came(edge):
    assert ask(edge, "failing").status_code == 500
    assert ask(edge, "failing", stream=True).status_code == 500
    assert ask(edge, "nobody-has-this-model").status_code == 404
    assert ask(edge, "breaking").status_code == 502
    assert httpx2.post(f"{edge.url}/v1/chat/completions", content=b"{", headers={"content-type": "x/json"}).is_error
    assert all("cost_usd" not in line and "input_tokens" not in line for line in lines(edge, 5))
    assert metrics(edge, "edge_cost_usd_total") == {}
    assert metrics(edge, "edge_unpriced_requests_total") == {}
    assert b"upstream_stream_broken" in ask(edge, "breaking", stream=True).content
    line = lines(edge, 6)[-1]
    assert line["estimated"] is True
    assert 8 <= line["output_tokens"] <= 12  # eight words came


def test_only_the_upstream_that_answered_is_charged(edge):
    got = ask(edge, "second")
    assert got.headers["x-edge-attempts"] == "2"
    cost = {labels: pico(value) for labels, value in metrics(edge, "edge_cost_usd_total").items()}
    assert cost == {'model="second",provider="openai",tenant=""': pico(got.headers["x-edge-cost-usd"])}


@pytest.mark.parametrize(
    ("asked", "cost"),
    [
        ("anthropic/claude-haiku-4-5", 1000 * 1_000_000 + 10 * 5_000_000),
        ("openai/gpt-4o-mini", 100 * 150_000 + 20 * 600_000),
    ],
    ids=["translated", "passed on"],
)
def test_an_answer_nobody_understands_is_billed_to_who_gave_it(front, tmp_path, asked, cost):
    """An answer of status 200 with usage and without content: the next upstream is asked, both cost."""
    counted = {"usage": {"input_tokens": 1000, "output_tokens": 10, "prompt_tokens": 100, "completion_tokens": 20}}

    def reply(seen: Seen, _) -> bytes:
        whole = {"id": "x", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
        return answer(json.dumps(counted | whole if b'"gpt-4o"' in seen.body else counted).encode())

    with Canned(reply) as upstream:
        made = config(upstream.url)
        made["models"]["mixed"] = {
            "strategy": "failover",
            "upstreams": [{"to": asked}, {"to": "openai/gpt-4o"}],
        }
        edge = Edge(tmp_path, made, front=front)
        with running(edge):
            got = ask(edge, "mixed")
            assert (got.status_code, got.headers["x-edge-attempts"]) == (200, "2")
            second = 100 * 2_500_000 + 20 * 10_000_000
            assert Decimal(got.headers["x-edge-cost-usd"]) == (cost + second) * PICO
            found = {labels: pico(value) for labels, value in metrics(edge, "edge_cost_usd_total").items()}
            expected = Counter({'model="mixed",provider="openai",tenant=""': second})
            expected[f'model="mixed",provider="{asked.partition("/")[0]}",tenant=""'] += cost
            assert found == expected


def test_metrics_headers_and_log_lines_agree_over_200_mixed_requests(simulator, tmp_path):
    edge = Edge(tmp_path, config(simulator.url, server={"workers": 2}, resilience=UNBROKEN))
    kinds = [
        ("gpt", "/v1/chat/completions", {}),
        ("claude", "/v1/messages", {}),
        ("claude", "/v1/chat/completions", {}),
        ("gpt", "/v1/messages", {}),
        ("gpt", "/v1/chat/completions", {"stream": True}),
        ("gpt", "/v1/chat/completions", {"stream": True, "stream_options": {"include_usage": True}}),
        ("claude", "/v1/messages", {"stream": True}),
        ("claude", "/v1/chat/completions", {"stream": True}),
        ("vector", "/v1/embeddings", {"input": "some text"}),
        ("claude", "/v1/messages/count_tokens", {}),
        ("unpriced", "/v1/chat/completions", {}),
        ("failing", "/v1/chat/completions", {}),
        ("breaking", "/v1/chat/completions", {"stream": True}),
        ("second", "/v1/messages", {}),
    ]
    rng = random.Random(7)
    header_sum: Counter[str] = Counter()
    lock = threading.Lock()

    def one(_: int) -> None:
        model, path, more = rng.choice(kinds)
        got = ask(edge, model, path, client, **more)
        cost = got.headers.get("x-edge-cost-usd")
        if cost is not None:
            with lock:
                header_sum[model] += pico(cost)

    with running(edge):
        with httpx2.Client() as client, ThreadPoolExecutor(6) as pool:
            list(pool.map(one, range(200)))
        found = lines(edge, 200)
        by_provider: Counter[str] = Counter()
        whole = 0
        for line in found:
            by_provider[line["provider"]] += pico(line.get("cost_usd", 0))
            whole += 0 if line.get("stream") else pico(line.get("cost_usd", 0))
        counted: Counter[str] = Counter()
        for labels, value in metrics(edge, "edge_cost_usd_total").items():
            counted[re.search('provider="(.*?)"', labels)[1]] += pico(value)
        unpriced = sum(metrics(edge, "edge_unpriced_requests_total").values())
        estimated = sum(metrics(edge, "edge_estimated_requests_total").values())
        token_sum = sum(tokens(edge).values())
    assert sum(header_sum.values()) == whole > 0
    assert counted == +by_provider
    assert unpriced == sum(line["provider"] == "unpriced" for line in found) > 0
    assert estimated == sum(line.get("estimated", False) for line in found) > 0
    assert token_sum == sum(max(0, line.get(f"{kind}_tokens", 0)) for line in found for kind in ("input", "output"))
    print(f"\n200 requests: {sum(by_provider.values())} pico-USD in lines and metrics, {whole} of them in headers")


def test_savings_need_an_admin_key_and_say_since_when(simulator, front, tmp_path):
    keys = [
        {"id": "ops", "admin": True, "digests": ["sha256:" + hashlib.sha256(ADMIN.encode()).hexdigest()]},
        {"id": "team", "digests": ["sha256:" + hashlib.sha256(USER.encode()).hexdigest()]},
    ]
    begun = time.time()
    edge = Edge(tmp_path, config(simulator.url, auth={"keys": keys}, server={"workers": 2}), front=front)
    with running(edge):
        url = f"{edge.url}/admin/api/savings"
        assert httpx2.get(url).status_code == 401
        assert httpx2.get(url, headers={"x-api-key": USER}).status_code == 403
        since = set()
        for _ in range(6):  # fresh connections reach both workers
            got = httpx2.get(url, headers={"x-api-key": ADMIN})
            assert (got.status_code, got.headers["content-type"]) == (200, "application/json")
            found = got.json()
            since.add(found.pop("since"))
            assert found == {"models": [], "total": {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}}
        (when,) = since
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", when)
        assert abs(datetime.fromisoformat(when).timestamp() - begun) < 30
