"""What share of the requests each upstream of an alias gets, by strategy."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from click.testing import CliRunner

from edge.cli import main
from tests.harness import MINIMAL, Canned, Edge, answer, running, until

pytestmark = pytest.mark.early

CHAT = MINIMAL["chat/completions"]
PRICES = {"a": 3.0, "b": 1.0, "c": 2.0}
STRATEGIES = ("round_robin", "failover", "latency", "cost", "least_busy", "affinity")
OPEN_S = 3.0
"""More than a busy machine takes for the twenty requests that meet an open breaker."""
ANEW = ("latency-2", "latency-3")
"""Aliases as `latency`, whose averages know nothing yet."""


FAR = ("latency", "wide")
"""How the models are named of which the upstreams take `FURTHER` times as long: what a busy machine adds to an answer has to
be little beside the differences between them.
"""
FURTHER = 8


class Far(Canned):
    """An upstream that takes its time."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self.ok = True
        super().__init__(self.serve)

    def serve(self, seen, _):
        if not self.ok:
            return answer(b"{}", 500)
        further = FURTHER if json.loads(seen.body)["model"].startswith(FAR) else 1
        time.sleep(self.wait_s * further)
        return answer(CHAT)


@pytest.fixture(scope="module")
def far():
    made = {"a": Far(0.05), "b": Far(0.005), "c": Far(0.02)}
    yield made
    for each in made.values():
        each.__exit__()


@pytest.fixture(scope="module")
def edge(far, tmp_path_factory):
    providers = {
        name: {
            "dialect": "openai",
            "base_url": f"{each.url}/v1",
            "models": [],
            "prices": {"*": {"input": PRICES[name], "output": PRICES[name]}},
        }
        for name, each in far.items()
    }
    models = {
        name: {
            "strategy": name.partition("-")[0],
            "upstreams": [{"to": f"a/{name}", "weight": 2}, {"to": f"b/{name}"}, {"to": f"c/{name}"}],
        }
        for name in (*STRATEGIES, *ANEW)
    }
    models["default"] = {"upstreams": [{"to": f"{name}/d"} for name in far]}
    models["wide"] = {**models["least_busy"], "upstreams": [{**each} for each in models["least_busy"]["upstreams"]]}
    for each in models["wide"]["upstreams"]:
        each["to"] = each["to"].replace("least_busy", "wide")
    models["two"] = {"upstreams": [{"to": "a/two"}, {"to": "b/two"}]}
    breaker = {"failures": 3, "open_s": OPEN_S, "max_open_s": OPEN_S}
    config = {"providers": providers, "models": models, "resilience": {"breaker": breaker}}
    made = Edge(tmp_path_factory.mktemp("edge"), config)
    with running(made):
        yield made


def shares(edge, far, model, bodies, width=1, headers=None):
    """How many requests each upstream has had; how they were answered."""
    before = {name: len(each.seen) for name, each in far.items()}
    with httpx2.Client(timeout=20) as client, ThreadPoolExecutor(width) as pool:

        def ask(n):
            got = client.post(
                f"{edge.url}/v1/chat/completions", json=bodies[n] | {"model": model}, headers=(headers or {}).get(n, {})
            )
            return got.headers.get("x-edge-provider"), got.status_code

        answered = list(pool.map(ask, range(len(bodies))))
    return Counter({name: len(each.seen) - before[name] for name, each in far.items()}), answered


def said(*texts):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]}


def test_each_strategy_gives_each_upstream_its_share(edge, far):
    hi = said("hi")
    expected = {
        "default": lambda n: n == {"a": 20, "b": 20, "c": 20},
        "round_robin": lambda n: n == {"a": 30, "b": 15, "c": 15},
        "failover": lambda n: n == {"a": 60},
        "cost": lambda n: n == {"b": 60},
        # One after the other nothing is in flight: those of most weight, then by chance.
        "least_busy": lambda n: n == {"a": 60},
        # By nothing but the model's name, all are one conversation.
        "affinity": lambda n: sorted(n.values()) == [0, 0, 60],
    }
    for model, holds in expected.items():
        got, _ = shares(edge, far, model, [hi] * 60)
        print(f"{model}: N=60 {dict(got)}")
        assert holds(+got) or holds(got), (model, got)


def test_the_sooner_an_upstream_answers_the_more_it_is_asked(edge, far):
    """A machine that stalls once makes one look slow for a minute, so another alias may begin anew."""
    shown = []
    for model in ("latency", *ANEW):
        got, _ = shares(edge, far, model, [said("hi")] * 60)
        print(f"{model}: N=60 {dict(got)}")
        shown.append(got["b"] > got["c"] > got["a"] >= 1)
        if shown[-1]:
            break
    assert shown[-1]


def test_the_least_busy_of_unequal_ones_has_what_its_speed_and_weight_let_it_do(edge, far):
    got, _ = shares(edge, far, "wide", [said("hi")] * 200, width=12)
    print(f"least_busy: N=200, 12 at a time {dict(got)}")
    assert got["b"] > got["c"] > 10
    assert got["b"] > got["a"] > 10


def test_conversations_stay_where_they_began_and_no_upstream_has_too_many(edge, far):
    """Chance says where each begins, and it takes many for none to have far more than its share."""
    talks, times = 240, 3
    turns = [[said(f"question {n}", *("so", "and?") * t)["messages"] for t in range(times)] for n in range(talks)]
    system = {"role": "system", "content": "You help. " * 1000}
    bodies = [{"messages": [system, *turns[n][t]]} for t in range(times) for n in range(talks)]
    got, answered = shares(edge, far, "affinity", bodies, width=8)
    homes = [{answered[t * talks + n][0] for t in range(times)} for n in range(talks)]
    stayed = sum(len(home) == 1 for home in homes)
    print(f"affinity: N={len(bodies)} of {talks} conversations {dict(got)}, {stayed} stayed")
    assert stayed >= 0.9 * talks
    assert got["a"] <= len(bodies) * 0.5 * 1.25
    assert max(got["b"], got["c"]) <= len(bodies) * 0.25 * 1.5  # 1.25 is no more than chance gives one of 240


def test_a_session_that_is_named_is_one_conversation_whatever_it_says(edge, far):
    bodies = [said(f"other {n}") for n in range(40)]
    sessions = {n: {"x-edge-session": str(n % 20)} for n in range(40)}
    _, answered = shares(edge, far, "affinity", bodies, headers=sessions)
    assert all(len({answered[n][0] for n in range(s, 40, 20)}) == 1 for s in range(20))
    assert len({home for home, _ in answered}) > 1


def wait_for_half_open(edge, upstream):
    def rest():
        told = httpx2.get(f"{edge.url}/admin/api/upstreams").json()["upstreams"]
        return [each["retry_after_s"] for each in told if each["upstream"] == upstream]

    until(lambda: rest() == [0])


def test_one_that_fails_is_asked_for_probes_only_and_again_when_it_answers(edge, far):
    far["a"].ok = False
    try:
        got, answered = shares(edge, far, "two", [said("hi")] * 20)
        assert [status for _, status in answered] == [200] * 20
        assert got == {"a": 3, "b": 20, "c": 0}
        wait_for_half_open(edge, "a/two")
        got, answered = shares(edge, far, "two", [said("hi")] * 20, width=20)
        assert [status for _, status in answered] == [200] * 20
        assert got == {"a": 1, "b": 20, "c": 0}, "half open: one probe"
    finally:
        far["a"].ok = True
    wait_for_half_open(edge, "a/two")
    got, answered = shares(edge, far, "two", [said("hi")] * 20)
    assert got["a"] >= 9
    assert [status for _, status in answered] == [200] * 20


def test_a_thousand_at_half_open_reach_it_with_one_probe(edge, far):
    far["b"].ok = False
    try:
        shares(edge, far, "two", [said("hi")] * 10)
        wait_for_half_open(edge, "b/two")
        begun = time.monotonic()
        got, answered = shares(edge, far, "two", [said("hi")] * 1000, width=100)
        took = time.monotonic() - begun
        print(f"half open: N=1000 in {took:.1f} s, {got['b']} reached it")
        assert 1 <= got["b"] <= 1 + took / OPEN_S
        assert {status for _, status in answered} == {200}
    finally:
        far["b"].ok = True


def test_an_operator_drains_and_restores_an_upstream_for_all_workers(far, tmp_path):
    providers = {name: {"dialect": "openai", "base_url": f"{far[name].url}/v1", "models": []} for name in "bc"}
    models = {"m": {"strategy": "failover", "upstreams": [{"to": "b/m"}, {"to": "c/m"}]}}
    made = Edge(tmp_path, {"providers": providers, "models": models}, "--workers", "2")
    with running(made):

        def order(action, upstream="b/m"):
            body = {"upstream": upstream, "action": action}
            return httpx2.post(f"{made.url}/admin/api/upstreams/order", json=body).status_code

        def states():
            """By either worker: each connection may lead to the other one."""
            asked = [httpx2.get(f"{made.url}/admin/api/upstreams").json()["upstreams"] for _ in range(20)]
            return {each["state"] for upstreams in asked for each in upstreams if each["upstream"] == "b/m"}

        assert states() == {"closed"}
        assert order("drain") == 200
        until(lambda: states() == {"drained"})
        with ThreadPoolExecutor(4) as pool:
            urls = [f"{made.url}/v1/chat/completions"] * 20
            got = list(pool.map(lambda url: httpx2.post(url, json={"model": "m", **said("hi")}), urls))
        assert {each.headers["x-edge-provider"] for each in got} == {"c"}
        assert httpx2.get(f"{made.url}/health/ready").json() == {"status": "ready", "upstreams": 2, "available": 1}
        assert 'edge_upstream_unavailable{model="m",provider="b"} 2.0' in httpx2.get(f"{made.url}/metrics").text
        assert order("restore") == 200
        until(lambda: states() == {"closed"})
        assert (order("stop"), order("drain", "b/nothing")) == (400, 404)


def test_a_worker_tells_the_others_of_an_opening_within_a_second(far, tmp_path, stalls):
    provider = {"dialect": "openai", "base_url": f"{far['b'].url}/v1", "models": ["m"]}
    made = Edge(tmp_path, {"providers": {"b": provider}}, "--workers", "2")
    far["b"].ok = False
    try:
        with running(made):
            with httpx2.Client() as client:  # one connection: one worker
                for _ in range(5):
                    client.post(f"{made.url}/v1/chat/completions", json={"model": "m", **said("hi")})
            opened, asked_at = time.monotonic(), 0.0

            def all_know():
                nonlocal asked_at
                asked_at = time.monotonic()
                asked = [httpx2.get(f"{made.url}/admin/api/upstreams").json()["upstreams"] for _ in range(20)]
                return [each[0]["state"] for each in asked] == ["open"] * 20

            until(all_know)
            assert asked_at - opened <= 1 + stalls.granted_s
    finally:
        far["b"].ok = True


def test_check_prints_of_each_alias_whom_it_asks(tmp_path):
    path = tmp_path / "edge.yaml"
    path.write_text(
        "providers: {a: {dialect: openai, base_url: http://x/v1, api_keys: [k, l]}}\n"
        "models: {m: {upstreams: [{to: a/b, weight: 2.5}, {to: a/c}], fallbacks: {any: [n], context_length: [n]}},\n"
        "  n: {strategy: latency, upstreams: [{to: a/d}, {to: a/e}]}}"
    )
    told = CliRunner().invoke(main, ["check", str(path)]).output
    assert "provider   a: openai at http://x/v1, 2 keys" in told
    assert "model      m -> round_robin: a/b (weight 2.5), a/c  (chat" in told
    assert "after any failure: n\n" in told
    assert "after a refusal of its length: n\n" in told
    assert "model      n -> latency: a/d, a/e  (chat" in told


def test_a_provider_that_is_watched_is_known_to_be_away_before_anybody_asks(tmp_path):
    with Canned(answer(b"{}", 503)) as away:
        provider = {"dialect": "openai", "base_url": f"{away.url}/v1", "health": {"interval_s": 1, "path": "/up"}}
        config = {
            "providers": {"b": provider},
            "models": {"m": {"upstreams": [{"to": "b/m"}]}},
            "resilience": {"breaker": {"failures": 2}},
        }
        made = Edge(tmp_path, config)
        with running(made):
            upstreams = []
            for _ in range(100):
                upstreams = httpx2.get(f"{made.url}/admin/api/upstreams").json()["upstreams"]
                if upstreams[0]["state"] == "open":
                    break
                time.sleep(0.1)
            assert upstreams[0]["state"] == "open"
            assert {seen.target for seen in away.seen} == {"/v1/up"}
            away.reply = answer(b"{}")
            for _ in range(100):
                if httpx2.get(f"{made.url}/admin/api/upstreams").json()["upstreams"][0]["retry_after_s"] == 0:
                    break
                time.sleep(0.1)
            away.reply = answer(CHAT)
            assert httpx2.post(f"{made.url}/v1/chat/completions", json={"model": "m", **said("hi")}).status_code == 200
            assert httpx2.get(f"{made.url}/admin/api/upstreams").json()["upstreams"][0]["state"] == "closed"
