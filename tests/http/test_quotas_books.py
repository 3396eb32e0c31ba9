"""Whatever becomes of requests, a budget has spent what the accounts have charged, and nothing stays reserved."""

from __future__ import annotations

import json
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product

import httpx2
import pytest

from tests.harness import Canned, Edge, answer, chunked, running, until
from tests.http.test_quotas import PRICE, key, streamed, token, used, whole

pytestmark = pytest.mark.early

COUNT, THREADS = 240, 12
BUDGET = {"usd": 1000, "per": "day"}
TENANTS = {"k": "t", "j": "u"}
"""By key."""
PLANS = ("ok", "ok", "late", "error", "broken", "empty", "odd")


class Moody(Canned):
    """Answers in many ways, by dice; the requests of one name in one way."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        super().__init__(self.serve)

    def serve(self, seen, connection):
        asked, plan = json.loads(seen.body), self.dice.choice(PLANS)
        if plan == "late":
            time.sleep(0.4)
        if plan == "error":
            return answer(b"{}", self.dice.choice((429, 500, 503)))
        if plan == "empty":
            return answer(b"{}")
        if plan == "odd":
            return answer(whole().replace(b'"usage"', b'"use"'))
        if not asked.get("stream"):
            body = whole()
            return answer(body)[:-20] if plan == "broken" else answer(body)
        if plan == "broken":
            connection.sendall(chunked(streamed()[:1], end=False))
            return None
        return chunked(streamed() if "stream_options" in asked else [*streamed()[:2], streamed()[3]])


def mixed(edge, number: int) -> str:
    """One request of any kind, of either tenant; what became of it."""
    dice = random.Random(number)
    body = {
        "model": dice.choice(("m", "n")),
        "messages": [{"role": "user", "content": f"question {dice.randrange(60)}"}],
    }
    if dice.random() < 0.5:
        body["max_tokens"] = dice.choice((5, 50))
    if dice.random() < 0.5:
        body |= {"stream": True} | ({"stream_options": {"include_usage": True}} if dice.random() < 0.5 else {})
    headers = {"authorization": f"Bearer {token(dice.choice(tuple(TENANTS)))}"}
    if dice.random() < 0.2:
        headers["cache-control"] = "no-store"
    patience = 0.2 if dice.random() < 0.2 else 20
    try:
        got = httpx2.post(f"{edge.url}/v1/chat/completions", json=body, headers=headers, timeout=patience)
    except httpx2.TransportError:
        return "left"
    return f"{got.status_code} {got.headers.get('x-edge-cache', '')}"


@pytest.mark.parametrize("hedges", [False, True], ids=["plain", "hedging"])
def test_a_budget_has_spent_what_was_charged_whatever_became_of_the_requests(tmp_path, front, hedges):
    with Moody(1) as first, Moody(2) as second:
        named = {"a": first, "b": second}
        config = {
            "server": {"workers": 2},
            "auth": {
                "keys": [
                    *(key(k, tenant=t, tokens_per_minute=10**9, budget=BUDGET) for k, t in TENANTS.items()),
                    key("boss", admin=True),
                ],
                "tenants": {tenant: {"budget": BUDGET} for tenant in TENANTS.values()},
            },
            "providers": {
                name: {"dialect": "openai", "base_url": f"{each.url}/v1", "prices": {"*": PRICE}}
                for name, each in named.items()
            },
            "models": {name: {"upstreams": [{"to": "a/m"}, {"to": "b/m"}]} for name in ("m", "n")},
            "cache": {"mode": "all", "memory": {"ttl_s": 0.5}},
            "resilience": {
                "first_content_s": 2,
                "idle_s": 2,
                "attempt_s": 4,
                "retries": 1,
                "breaker": {"failures": 1_000_000},
                "hedge": {"enabled": hedges, "budget": 1.0},
            },
            "limits": {"file": str(tmp_path / "spend.sqlite")},
        }
        edge, begun = Edge(tmp_path, config, front=front), datetime.now(UTC)
        with running(edge):
            with ThreadPoolExecutor(THREADS) as pool:
                became = list(pool.map(lambda number: mixed(edge, number), range(COUNT)))
            kinds = {kind: became.count(kind) for kind in sorted(set(became))}

            def settled():
                return all(limit["reserved_usd"] == 0 for limit in used(edge)["limits"])

            until(settled)
            told = used(edge)
            metrics = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": token("boss")}).text
            charged = total(metrics, "edge_cost_usd_total")
            tokens = total(metrics, "edge_tokens_total")
            assert {"left", "200 miss", "200 bypass"} <= set(kinds)
            print(f"{COUNT} requests: {kinds}; {charged:.6f} USD and {tokens:.0f} tokens charged")
            assert charged > 1
            for limit in told["limits"]:
                tenant = TENANTS.get(limit["name"], limit["name"])
                due = total(metrics, "edge_cost_usd_total", tenant=tenant)
                assert limit["spent_usd"] == pytest.approx(due, abs=1e-9), limit
            assert sum(line["input_tokens"] + line["output_tokens"] for line in told["usage"]) == tokens
            booked = used(edge, "?days=2&by=day,tenant,model")["usage"]
            assert {line["day"] for line in booked} <= {f"{day:%Y-%m-%d}" for day in (begun, datetime.now(UTC))}
            for tenant, model in product(TENANTS.values(), ("m", "n")):
                lines = [line for line in booked if (line["tenant"], line["model"]) == (tenant, model)]
                due = total(metrics, "edge_cost_usd_total", tenant=tenant, model=model)
                assert due > 0
                assert sum(line["cost_usd"] for line in lines) == pytest.approx(due, abs=1e-9), (tenant, model)


def total(metrics: str, name: str, **labels: str) -> float:
    """Of those series that have these labels; by default of all keys' tenants."""
    found = re.findall(rf"^{name}{{([^}}]*)}} (\S+)$", metrics, re.MULTILINE)
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(float(value) for said, value in found if wanted <= set(said.split(",")))
