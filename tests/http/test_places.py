"""No upstream has more requests in flight than it may: others are asked, then some wait, the rest get a 503 at once."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from edge.guard.auth import new_key
from tests.harness import Canned, Edge, answer, running, until

ADMIN, ADMIN_DIGEST = new_key("admin")
LOW, LOW_DIGEST = new_key("low")
HIGH, HIGH_DIGEST = new_key("high")
ANSWER = answer(
    b'{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)


class Busy(Canned):
    """Answers when it is told to, in the order of the requests; ``names`` are those that they gave themselves."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.most = 0
        self._lock = threading.Lock()
        self._under_way: list[threading.Event] = []
        super().__init__(self._hold)

    def _hold(self, seen, _connection) -> bytes:
        event = threading.Event()
        with self._lock:
            self.names.append(json.loads(seen.body)["messages"][0]["content"])
            self._under_way.append(event)
            self.most = max(self.most, len(self._under_way))
        event.wait(20)
        return ANSWER

    def let_go(self, count: int = 1) -> None:
        for _ in range(count):
            with self._lock:
                event = self._under_way.pop(0)
            event.set()


@pytest.fixture
def busy():
    with Busy() as made:
        yield made


@pytest.fixture
def served(busy, front, tmp_path):
    with Canned(ANSWER) as free:
        bound = {"max_in_flight": 2, "max_waiting": 2, "max_wait_s": 10}
        config = {
            "auth": {
                "keys": [
                    {"id": "admin", "digests": [ADMIN_DIGEST], "admin": True},
                    {"id": "low", "digests": [LOW_DIGEST]},
                    {"id": "high", "digests": [HIGH_DIGEST], "priority": 5},
                ]
            },
            "providers": {
                "busy": {"dialect": "openai", "base_url": f"{busy.url}/v1", "models": ["gpt-*"], **bound},
                "short": {"dialect": "openai", "base_url": f"{busy.url}/v1", "models": [], **bound, "max_wait_s": 0.3},
                "free": {"dialect": "openai", "base_url": f"{free.url}/v1", "models": []},
            },
            "models": {
                "two": {"strategy": "failover", "upstreams": [{"to": "busy/gpt-4o"}, {"to": "free/gpt-4o"}]},
                "short": {"upstreams": [{"to": "short/gpt-4o"}]},
            },
        }
        edge = Edge(tmp_path, config, front=front)
        with running(edge), ThreadPoolExecutor(16) as pool:

            def ask(name: str, key: str = LOW, model: str = "gpt-4o", **headers: str):
                return pool.submit(
                    httpx2.post,
                    f"{edge.url}/v1/chat/completions",
                    json={"model": model, "messages": [{"role": "user", "content": name}]},
                    headers={"authorization": f"Bearer {key}", **headers},
                    timeout=20,
                )

            def waiting() -> float:
                """For a place."""
                text = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": ADMIN}).text
                return float(re.search(r'^edge_queue_length{queue="places"} (\S+)$', text, re.MULTILINE)[1])

            ask.waiting = waiting
            yield ask


def test_the_queue_goes_by_priority_and_the_lowest_makes_room(served, busy, stalls):
    first = [served(name) for name in ("1", "2")]
    until(lambda: len(busy.names) == 2)
    waits = served("waits")
    until(lambda: served.waiting() == 1)
    goes = served("goes")
    until(lambda: served.waiting() == 2)
    begun = time.monotonic()
    refused = served("refused").result()
    assert time.monotonic() - begun < 5 + stalls.granted_s  # at once, not after max_wait_s
    higher = served("higher", HIGH)
    shed = goes.result()
    for answer_ in (refused, shed):
        assert (answer_.status_code, answer_.json()["error"]["code"]) == (503, "overloaded")
        assert answer_.headers["retry-after"] == "1"
    busy.let_go(2)
    until(lambda: len(busy.names) == 4)
    assert sorted(busy.names[2:]) == ["higher", "waits"]
    busy.let_go(2)
    assert [each.result().status_code for each in (*first, waits, higher)] == [200] * 4
    assert busy.most == 2


def test_another_upstream_of_the_alias_is_asked_before_anyone_waits(served, busy):
    asked = [served(str(number), model="two") for number in range(2)]
    until(lambda: len(busy.names) == 2)
    others = [served("more", model="two").result() for _ in range(4)]
    assert {each.headers["x-edge-provider"] for each in others} == {"free"}
    busy.let_go(2)
    assert {each.result().headers["x-edge-provider"] for each in asked} == {"busy"}


def test_who_waits_for_too_long_gets_a_503_and_its_place_in_the_queue_is_free(served, busy):
    asked = [served(str(number), model="short") for number in range(2)]
    until(lambda: len(busy.names) == 2)
    for _ in range(3):
        assert served("late", model="short").result().status_code == 503
    busy.let_go(2)
    assert [each.result().status_code for each in asked] == [200, 200]
    again = served("again", model="short")
    until(lambda: len(busy.names) == 3)
    busy.let_go()
    assert again.result().status_code == 200
    assert busy.names == ["0", "1", "again"] or busy.names == ["1", "0", "again"]


def test_who_waits_does_so_for_no_longer_than_its_client_says(served, busy, stalls):
    asked = [served(str(number)) for number in range(2)]
    until(lambda: len(busy.names) == 2)
    begun = time.monotonic()
    late = served("late", **{"x-edge-timeout-ms": "400"}).result()
    took = time.monotonic() - begun
    assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
    assert took < 8 + stalls.granted_s  # and not max_wait_s, which is 10
    busy.let_go(2)
    assert [each.result().status_code for each in asked] == [200, 200]
    assert len(busy.names) == 2
