"""A provider with several keys: those that are of no use are passed over within the request."""

from __future__ import annotations

import time
from collections import Counter

import httpx2
import pytest

from tests.harness import Canned, Edge, answer, running

KEYS = ["sk-one", "sk-two", "sk-three"]
ANSWER = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
SPENT = b'{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"no money"}}'


class Accounts(Canned):
    """Answers by what was said of the key: `refused` has the reply to each that is."""

    def __init__(self):
        self.refused: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(self.serve)

    def serve(self, seen, _):
        key = seen.header("authorization").removeprefix("Bearer ")
        self.asked.append(key)
        return self.refused.get(key) or answer(ANSWER)


@pytest.fixture
def accounts():
    with Accounts() as made:
        yield made


@pytest.fixture
def edge(accounts, front, tmp_path):
    config = {
        "providers": {"p": {"dialect": "openai", "base_url": f"{accounts.url}/v1", "api_keys": KEYS}},
        "models": {"x": {"strategy": "failover", "upstreams": [{"to": "p/m"}]}},
    }
    made = Edge(tmp_path, config, front=front)
    with running(made):
        yield made


def ask(edge, model="x"):
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return httpx2.post(f"{edge.url}/v1/chat/completions", json=body, timeout=10)


DEAD = {
    "unknown": answer(b"{}", 401),
    "forbidden": answer(b"{}", 403),
    "spent": answer(SPENT, 429),
    "limited": answer(b"{}", 429, retry_after="60"),
}


@pytest.mark.parametrize("reply", DEAD.values(), ids=DEAD)
def test_of_three_keys_two_are_dead(edge, accounts, reply):
    accounts.refused = {"sk-one": reply, "sk-three": reply}
    got = [ask(edge) for _ in range(20)]
    assert [each.status_code for each in got] == [200] * 20
    counted = Counter(accounts.asked)
    print(f"20 requests, calls by key: {dict(counted)}")
    assert counted["sk-two"] == 20
    assert sum(counted.values()) <= 24, "the dead ones are avoided"


def test_a_key_rests_for_as_long_as_it_was_told_to(edge, accounts):
    accounts.refused = {key: answer(b'{"error":{}}', 429, retry_after="2") for key in KEYS}
    assert ask(edge).status_code == 429
    told = time.monotonic()
    assert len(accounts.asked) == 3
    accounts.refused.clear()
    got = ask(edge)
    assert (got.status_code, got.json()["error"]["code"]) == (429, "upstream_rate_limited")
    assert got.headers["retry-after"] in ("1", "2")
    assert 0 < int(got.headers["retry-after-ms"]) <= 2000
    assert len(accounts.asked) == 3, "nobody was asked"
    assert ask(edge, "p/other").status_code == 200, "another model has limits of its own"
    time.sleep(max(told + 2.05 - time.monotonic(), 0))
    assert ask(edge).status_code == 200
