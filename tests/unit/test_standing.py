"""What the log tells of a decision, of few requests."""

from __future__ import annotations

import re

import msgspec
import pytest

from edge import config
from edge.guard.auth import ANYONE, Key
from edge.state import State
from edge.upstreams.standing import MOST, Decision, decision_of
from tests.unit import calls
from tests.unit.lanes import ANSWER
from tests.unit.test_choice import fail
from tests.unit.test_dispatch import DOWN, JSON, provider
from tests.unit.test_grant import CHAT, LOCAL, state
from tests.unit.timed import Timed

NAMES = ["a/one", "b/two", "c/three", "a/small", "b/tiny", "c/four"]


def decided(made: State, name: str = "smart", key: Key = ANYONE, now: float = 1.0) -> Decision:
    inquiry = calls.asked({"model": name})
    inquiry.grant, inquiry.key = made.grant(key, name, CHAT), key
    return decision_of(inquiry, now)


def test_all_who_could_be_asked_are_told_of_with_their_scores():
    found = decided(state())
    assert (found.strategy, found.more) == ("failover", 0)
    assert [each.upstream for each in found.upstreams] == NAMES
    assert [each.score for each in found.upstreams] == [0, 1, 2, 0, 1, -1]
    assert [each.fallback for each in found.upstreams] == [False] * 3 + [True] * 3
    assert {each.state for each in found.upstreams} == {""}


def test_why_one_was_not_to_be_asked_is_told():
    made = state()
    fail(made, "a/one")
    (drained,) = made.grant(ANYONE, "b/two", CHAT).choices[0].members
    drained.drain()
    key = Key("k", "", (re.compile("smart"), re.compile("tiny")), admin=False)
    found = {each.upstream: each.state for each in decided(made, key=key).upstreams}
    assert found["a/one"] == "open"
    assert found["b/two"] == "drained"
    assert found["c/three"] == ""
    assert found["b/tiny"] == ""
    assert found["a/small"] == found["c/four"] == "key"


def test_no_more_are_told_of_than_a_line_has_room_for():
    many = [config.Target(to=f"a/{n}") for n in range(MOST + 5)]
    settings = config.Config(
        providers={"a": config.Provider(dialect="openai", base_url=LOCAL)},
        models={"many": config.Model(upstreams=many, strategy="least_busy")},
    )
    found = decided(state(settings), "many")
    assert (len(found.upstreams), found.more) == (MOST, 5)


@pytest.fixture
def timed(monkeypatch):
    workers = []

    def make(share: float) -> Timed:
        settings = {
            "providers": {"one": provider(), "two": provider()},
            "models": {"smart": {"strategy": "failover", "upstreams": [{"to": "one/m"}, {"to": "two/m"}]}},
            "telemetry": {"log": {"level": "error", "route_sample": share}},
        }
        workers.append(Timed(settings, monkeypatch))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


@pytest.mark.parametrize("share", [0, 1])
def test_a_record_has_the_decision_of_a_sampled_request_and_who_was_first(timed, share):
    worker = timed(share)
    worker.ask("smart")
    worker.run(worker.sent("one").answers, 500, JSON, DOWN)
    worker.run(worker.sent("two").answers, 200, JSON, ANSWER)
    (record,) = worker.records
    assert record.attempts == 2
    if not share:
        assert record.route == b""
        return
    told = msgspec.json.decode(record.route, type=Decision)
    assert (told.first, told.strategy) == ("one/m", "failover")
    assert [(each.upstream, each.under_way) for each in told.upstreams] == [("one/m", 0), ("two/m", 0)]


def test_a_refusal_has_made_no_decision(timed):
    worker = timed(1)
    worker.ask("nobody-knows")
    assert [record.route for record in worker.records] == [b""]
