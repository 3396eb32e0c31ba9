"""A provider with several keys: those that are of no use are passed over within the request."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from email.utils import formatdate

import httpx2
import pytest
import uvloop

from tests.asker import Asker, Steady, request
from tests.harness import Canned, Edge, answer, running

pytestmark = pytest.mark.early

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
        "resilience": {"retries": 0},
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


def test_a_key_that_may_not_use_a_model_is_used_for_others(edge, accounts):
    """A 403 is a matter of the model, a 401 of the key."""
    accounts.refused = {"sk-one": answer(b'{"error":{"message":"not yours"}}', 403)}
    assert [ask(edge).status_code for _ in range(3)] == [200] * 3
    accounts.refused.clear()
    accounts.asked.clear()
    assert [ask(edge).status_code for _ in range(6)] == [200] * 6
    assert "sk-one" not in accounts.asked
    assert [ask(edge, "p/other").status_code for _ in range(6)] == [200] * 6
    assert accounts.asked.count("sk-one") == 2
    accounts.refused = {"sk-one": answer(b"{}", 401)}
    assert [ask(edge, "p/third").status_code for _ in range(3)] == [200] * 3
    accounts.refused.clear()
    accounts.asked.clear()
    assert [ask(edge, "p/fourth").status_code for _ in range(6)] == [200] * 6
    assert "sk-one" not in accounts.asked


FORMS = {
    "seconds": lambda until: {"retry_after": "2"},
    "milliseconds": lambda until: {"retry_after_ms": "2000"},
    "date": lambda until: {"retry_after": formatdate(until, usegmt=True)},
    "quota": lambda until: {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "2s"},
}
"""How a 429 says that it is to be left alone for two seconds, or until a Unix time."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("keys", [1, 3])
def test_cooling_is_honoured_to_the_second_whoever_asks(form, keys, tmp_path, stalls):
    """A hundred requests a second meet a provider that asks to be left alone: none reaches it before its time."""
    calls: list[float] = []
    ends: list[float] = []

    def serve(_seen, _connection):
        calls.append(time.time())
        if len(calls) > keys:
            return answer(ANSWER)
        # A date is of whole seconds, and says the second that begins.
        ends.append(float(int(calls[-1]) + 3) if form == "date" else calls[-1] + 2.0)
        return answer(b'{"error":{}}', 429, **FORMS[form](ends[-1]))

    async def main(edge) -> list:
        asker = Asker(edge.port)
        assert (await asker.ask(request("chat", "x", "hi"))).status == 429
        asker.leave()
        load = Steady(edge.port, 100, lambda _: request("chat", "x", "hi"))
        task = asyncio.ensure_future(load.run())
        await asyncio.sleep(3.6)
        load.stopped = True
        await task
        return [each for _, each in load.answers]

    with Canned(serve) as upstream:
        config = {
            "providers": {"p": {"dialect": "openai", "base_url": f"{upstream.url}/v1", "api_keys": KEYS[:keys]}},
            "models": {"x": {"upstreams": [{"to": "p/m"}]}},
            "resilience": {"retries": 0},
        }
        edge = Edge(tmp_path, config)
        with running(edge):
            answers = uvloop.run(main(edge))
    early = [each for each in calls[keys:] if each < min(ends) - 0.02]  # 10 ms of it are for clients' own clocks
    late_s = calls[keys] - min(ends)
    told = Counter(each.status for each in answers)
    waits = [each.head for each in answers if each.status == 429]
    print(
        f"\ncooling, {form}, {keys} keys: N={len(answers)}, {len(early)} calls before the time, the first {late_s * 1000:.0f} ms "
        f"after it; {dict(told)}"
    )
    assert early == []
    assert late_s <= 0.1 + stalls.granted_s
    assert set(told) == {200, 429}
    assert all(b"\r\nretry-after: " in head for head in waits)
