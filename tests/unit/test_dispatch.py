"""Dispatches by hand: waits for a place and for the time to ask again, and whom is asked after whom."""

from __future__ import annotations

from itertools import count

import pytest

import edge.clock
from edge.dispatch import FOLLOWS, Dispatch
from edge.guard.auth import ANYONE
from tests.unit.lanes import ANSWER, field
from tests.unit.test_grant import CHAT
from tests.unit.timed import EVENTS, JSON, Timed, told

DOWN = b'{"error":{"message":"down"}}'
CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n"


def provider(**more):
    return {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1", "models": [], "api_keys": ["key-one"], **more}


@pytest.fixture
def made(monkeypatch):
    workers = []

    def make(providers, models=None, server=None, cache=None, **resilience):
        upstreams = [{"to": f"{name}/m"} for name in providers]
        models = models or {"smart": {"strategy": "failover", "upstreams": upstreams}}
        breaker = {"breaker": {"failures": 1_000_000}}
        served = {"server": server or {}, "cache": cache or {}, "resilience": {**breaker, **resilience}}
        settings = {"providers": providers, "models": models, **served}
        workers.append(Timed(settings, monkeypatch))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def test_the_table_leads_everywhere_and_always_to_the_end():
    first, last = min(FOLLOWS), max(FOLLOWS)
    reached, new = {first}, [first]
    while new:
        new = [state for state in FOLLOWS[new.pop()] if state not in reached] + new
        reached |= set(new)
    assert reached == set(FOLLOWS)
    assert not FOLLOWS[last]
    assert all(last in follows for state, follows in FOLLOWS.items() if state != last)


def test_a_way_that_is_not_in_the_table_is_an_error():
    for state, follows in FOLLOWS.items():
        for other in FOLLOWS.keys() - set(follows):
            dispatch = Dispatch.__new__(Dispatch)
            dispatch._state = state
            with pytest.raises(AssertionError):
                dispatch._enter(other)


# Waiting for a place.


def busy(made, **more):
    """A worker whose one upstream has as many requests in flight as it may."""
    worker = made({"a": provider(max_in_flight=1, max_waiting=4, max_wait_s=30)}, **more)
    worker.ask("smart")
    return worker


def test_who_waits_for_a_place_does_so_for_no_longer_than_all_of_the_request_may_take(made):
    worker = busy(made, total_s=5)
    lane = worker.ask("smart")
    worker.after(4.8)
    assert told(lane) == b""
    worker.after(0.4)
    assert told(lane).startswith(b"HTTP/1.1 504 ")


def test_who_waits_for_a_place_does_so_for_no_longer_than_its_client_says(made):
    worker = busy(made)
    lane = worker.ask("smart", "x-edge-timeout-ms: 700")
    worker.after(0.6)
    assert told(lane) == b""
    worker.after(0.3)
    assert told(lane).startswith(b"HTTP/1.1 504 ")
    assert worker.count("a") == 1
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert worker.count("a") == 1
    assert worker.idle()


def test_the_time_that_one_client_gives_is_not_that_of_others_who_share_its_answer(made):
    worker = made({"a": provider()}, {"smart": {"upstreams": [{"to": "a/m"}], "cache": "all"}})
    hurried = worker.ask("smart", "x-edge-timeout-ms: 500")
    other = worker.ask("smart")
    worker.after(1)
    assert worker.count("a") == 1
    assert told(hurried).startswith(b"HTTP/1.1 504 ")
    assert told(other) == b""
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert told(other).endswith(ANSWER)
    last = worker.ask("smart", "x-edge-timeout-ms: 500", max_tokens=7)
    worker.after(1)
    assert told(last).startswith(b"HTTP/1.1 504 ")
    assert not worker.sent("a").open
    assert worker.idle()


def test_the_client_of_a_stream_hears_while_it_waits_for_a_place(made):
    worker = busy(made, stream_keepalive_s=1)
    lane = worker.ask("smart", stream=True)
    worker.after(2.5)
    assert told(lane).count(KEEP_ALIVE) == 2
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert worker.count("a") == 2
    worker.run(worker.sent("a").answers, 200, EVENTS, CONTENT, DONE)
    assert told(lane).endswith(b"0\r\n\r\n")
    assert CONTENT in told(lane)


def test_the_wait_for_a_place_is_not_the_edges_own(made):
    worker = busy(made)
    lane = worker.ask("smart")
    worker.after(2)
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert float(field(told(lane), b"x-edge-overhead-ms")[0]) < 1


def test_who_is_given_a_place_at_one_that_was_drained_meanwhile_asks_another(made):
    full = {"max_in_flight": 1, "max_wait_s": 30}
    worker = made({"a": provider(**full), "b": provider(**full)})
    worker.ask("smart")
    worker.ask("smart")
    lane = worker.ask("smart")
    assert (worker.count("a"), worker.count("b")) == (1, 1)
    (choice,) = worker.gateway.state.grant(ANYONE, "smart", CHAT).choices
    choice.members[0].drain()
    worker.run(worker.sent("b").answers, 200, JSON, ANSWER)
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert (worker.count("a"), worker.count("b")) == (1, 2)
    worker.run(worker.sent("b").answers, 200, JSON, ANSWER)
    assert told(lane).startswith(b"HTTP/1.1 200 ")
    assert worker.idle()


# A key that is at its limit.

NOTHING_LEFT = [(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"5s")]


def whom(worker, status=200, more=(), then=(200, ())):
    """A client asks: whom that leads to, where `a` answers so, and `b` as `then` says."""
    asked, before = "", {name: worker.count(name) for name in "ab"}
    worker.ask("smart")
    for name, code, headers in (("a", status, more), ("b", *then)):
        if worker.count(name) > before[name]:
            asked += name
            worker.run(worker.sent(name).answers, code, [*JSON, *headers], ANSWER if code == 200 else DOWN)
    return asked


@pytest.mark.parametrize(
    ("status", "more", "avoided_s"),
    [(429, [], 1.0), (429, [(b"retry-after", b"5")], 5.0), (401, [], 0.0), (200, NOTHING_LEFT, 0.0), (503, [], 0.0)],
)
@pytest.mark.parametrize("fallback", [False, True], ids=["upstream", "fallback"])
def test_an_upstream_whose_only_key_is_at_its_limit_is_not_asked_while_another_can_be(
    made, status, more, avoided_s, fallback
):
    models = {"smart": {"strategy": "failover", "upstreams": [{"to": "a/m"}, {"to": "b/m"}]}}
    if fallback:
        models = {
            "smart": {"upstreams": [{"to": "a/m"}], "fallbacks": ["other"]},
            "other": {"upstreams": [{"to": "b/m"}]},
        }
    worker = made({"a": provider(), "b": provider()}, models)
    all_asked = "a" if status == 200 else "ab"
    assert whom(worker, status, more) == all_asked
    worker.after(max(avoided_s - 0.1, 0.0))
    assert whom(worker, status, more) == ("b" if avoided_s else all_asked)
    worker.after(0.2)
    assert whom(worker) == "a"


def held_up(clock, at, seconds):
    """The clock of a process that loses so many seconds before this reading of it."""
    readings = count()
    return lambda: clock.now + (seconds if next(readings) >= at else 0.0)


def test_whom_to_ask_next_is_decided_by_how_matters_stood_when_the_attempt_ended(made, monkeypatch):
    """A process that is held up there finds a rest over, and what it recorded would not explain whom it asked."""
    rest_s, early_s, held_up_s = 5.0, 0.1, 1.0
    decided = set()
    for read in range(12):
        worker = made({"a": provider(), "b": provider()})
        assert whom(worker, 503, then=(429, [(b"retry-after", b"%d" % rest_s)])) == "ab"
        worker.after(rest_s - early_s)
        worker.ask("smart")
        monkeypatch.setattr(edge.clock, "reading", held_up(worker.clock, read, held_up_s))
        worker.run(worker.sent("a").answers, 503, JSON, DOWN)
        monkeypatch.setattr(edge.clock, "reading", worker.clock.time)
        others = worker.count("b") - 1
        worker.after(0 if others else 10)
        worker.run(worker.sent("b" if others else "a").answers, 200, JSON, ANSWER)
        late = worker.records[-1].tried[0].took_ms >= early_s * 1000
        assert others == late, read
        decided.add(late)
    assert decided == {True, False}


def test_which_key_is_asked_is_decided_by_how_matters_stood_when_its_upstream_was_picked(made, monkeypatch):
    rest_s, early_s, held_up_s = 5.0, 0.1, 1.0
    keys, asked = ["key-one", "key-two"], set()
    for read in range(20):
        worker = made({"a": provider(api_keys=keys)}, retries=0)
        worker.ask("smart")
        worker.run(worker.sent("a").answers, 429, [*JSON, (b"retry-after", b"%d" % rest_s)], DOWN)
        worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
        worker.after(rest_s - early_s)
        monkeypatch.setattr(edge.clock, "reading", held_up(worker.clock, read, held_up_s))
        worker.ask("smart")
        key = next(key for key in keys if key.encode() in worker.sent("a").request.own)
        monkeypatch.setattr(edge.clock, "reading", lambda until=worker.clock.now + held_up_s: until)
        worker.run(worker.sent("a").answers, 400, JSON, DOWN)
        record = worker.records[-1]
        late = record.duration_s < held_up_s / 2 or record.tried[0].after_ms > held_up_s * 500
        assert key == keys[0 if late else 1], read
        asked.add(key)
    assert asked == set(keys)


def test_where_no_other_can_be_asked_it_is_asked_all_the_same(made):
    worker = made({"a": provider(), "b": provider()}, retries=0)
    for _ in range(2):
        lane = worker.ask("smart")
        worker.run(worker.sent("a").answers, 429, JSON, DOWN)
        worker.run(worker.sent("b").answers, 429, JSON, DOWN)
        assert told(lane).startswith(b"HTTP/1.1 429 ")
    assert (worker.count("a"), worker.count("b")) == (2, 2)


def test_what_answers_after_all_is_asked_again_at_once(made):
    worker = made({"a": provider(), "b": provider(), "c": provider()})
    worker.ask("smart")
    late = worker.sent("a")
    assert whom(worker, 429) == "ab"
    assert whom(worker) == "b"
    worker.run(late.answers, 200, JSON, ANSWER)
    assert whom(worker) == "a"


# Waiting for the time to ask again.


def test_the_client_of_a_stream_hears_before_the_same_upstream_is_asked_again(made):
    worker = made({"a": provider()}, stream_keepalive_s=1)
    lane = worker.ask("smart", stream=True)
    worker.run(worker.sent("a").answers, 429, [*JSON, (b"retry-after", b"3")], DOWN)
    worker.after(2.5)
    assert (worker.count("a"), told(lane).count(KEEP_ALIVE)) == (1, 2)
    worker.after(1)
    worker.run(worker.sent("a").answers, 200, EVENTS, CONTENT, DONE)
    assert worker.count("a") == 2
    assert CONTENT in told(lane)


def test_a_client_that_has_less_time_than_that_is_told_at_once(made):
    worker = made({"a": provider()})
    lane = worker.ask("smart", "x-edge-timeout-ms: 2000")
    worker.run(worker.sent("a").answers, 429, [*JSON, (b"retry-after", b"3")], DOWN)
    assert told(lane).startswith(b"HTTP/1.1 429 ")
    assert worker.idle()


def test_that_wait_is_not_the_edges_own(made):
    worker = made({"a": provider()})
    lane = worker.ask("smart")
    worker.run(worker.sent("a").answers, 429, [*JSON, (b"retry-after", b"2")], DOWN)
    worker.after(3)
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert told(lane).startswith(b"HTTP/1.1 200 ")
    assert float(field(told(lane), b"x-edge-overhead-ms")[0]) < 1


def test_a_client_that_leaves_before_the_same_upstream_is_asked_again_is_forgotten(made):
    worker = made({"a": provider()})
    lane = worker.ask("smart")
    worker.run(worker.sent("a").answers, 429, [*JSON, (b"retry-after", b"2")], DOWN)
    worker.run(lane.connection_lost, None)
    worker.after(3)
    assert worker.count("a") == 1
    assert worker.idle()


def test_one_that_is_asked_again_waits_for_its_place_as_any_does(made):
    worker = made({"a": provider(max_in_flight=1, max_wait_s=30)})
    first = worker.ask("smart")
    worker.run(worker.sent("a").answers, 500, JSON, DOWN)
    second = worker.ask("smart")
    assert worker.count("a") == 2
    worker.after(1)
    assert worker.count("a") == 2
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert worker.count("a") == 3
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert told(first).startswith(b"HTTP/1.1 200 ")
    assert told(second).startswith(b"HTTP/1.1 200 ")
    assert worker.idle()


def test_those_who_wait_to_ask_again_get_their_places_in_turn(made):
    worker = made({"a": provider(max_in_flight=1, max_wait_s=30)})
    lanes = []
    for _ in range(3):
        lanes.append(worker.ask("smart"))
        worker.run(worker.sent("a").answers, 500, JSON, DOWN)
    lanes.append(worker.ask("smart"))
    worker.after(1)
    assert worker.count("a") == 4
    lanes.append(worker.ask("smart"))
    for done in (3, 4):
        worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
        assert worker.count("a") == done + 2
    for _ in range(3):
        worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert [told(lane)[:12] for lane in lanes] == [b"HTTP/1.1 200"] * 5
    assert worker.idle()


def test_who_waits_to_ask_again_is_not_passed_by_those_who_came_later(made):
    worker = made({"a": provider(max_in_flight=1, max_wait_s=30)})
    first = worker.ask("smart")
    worker.run(worker.sent("a").answers, 500, JSON, DOWN)
    worker.ask("smart")
    worker.after(1)
    later = worker.ask("smart")
    for _ in range(2):
        worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert told(first).startswith(b"HTTP/1.1 200 ")
    assert told(later) == b""


def test_one_that_was_drained_meanwhile_is_not_asked_again(made):
    worker = made({"a": provider()})
    lane = worker.ask("smart")
    worker.run(worker.sent("a").answers, 500, JSON, DOWN)
    (choice,) = worker.gateway.state.grant(ANYONE, "smart", CHAT).choices
    choice.members[0].drain()
    worker.after(1)
    assert worker.count("a") == 1
    assert told(lane).startswith(b"HTTP/1.1 503 ")


# Who is asked again.


@pytest.mark.parametrize("status", [301, 302, 404, 405])
def test_an_address_that_is_wrong_is_not_asked_again(made, status):
    worker = made({"a": provider()})
    lane = worker.ask("smart")
    body = b"<html><title>404 Not Found</title></html>" if status >= 400 else b""
    worker.run(worker.sent("a").answers, status, [(b"content-type", b"text/html")], body)
    worker.after(3)
    assert worker.count("a") == 1
    assert told(lane).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(("code", "status"), [("server_error", 500), ("overloaded", 503), ("rate_limit_exceeded", 429)])
@pytest.mark.parametrize("streams", [True, False])
def test_a_failure_inside_a_200_is_asked_again_as_its_status_would_be(made, code, status, streams):
    worker = made({"a": provider()})
    lane = worker.ask("smart", stream=streams)
    failure = b'{"error":{"message":"down","code":"%b"}}' % code.encode()
    said = (EVENTS, b"data: " + failure + b"\n\n") if streams else (JSON, failure)
    worker.run(worker.sent("a").answers, 200, *said)
    for _ in range(2):
        worker.after(3)
        worker.run(worker.sent("a").answers, 200, *said)
    assert worker.count("a") == 3
    assert told(lane).startswith(b"HTTP/1.1 %d " % status)
    assert field(told(lane), b"x-should-retry") == [b"false"]
    assert worker.idle()


def test_what_a_200_has_against_the_request_is_said_once(made):
    worker = made({"a": provider()})
    lane = worker.ask("smart", stream=True)
    failure = b'data: {"error":{"message":"no","code":"invalid_prompt"}}\n\n'
    worker.run(worker.sent("a").answers, 200, EVENTS, failure)
    worker.after(3)
    assert worker.count("a") == 1
    assert told(lane).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("streams", [True, False])
def test_one_that_has_kept_silent_for_its_time_is_not_asked_again(made, streams):
    worker = made({"a": provider()}, first_content_s=2, attempt_s=2)
    lane = worker.ask("smart", stream=streams)
    worker.after(6)
    assert worker.count("a") == 1
    assert told(lane).startswith(b"HTTP/1.1 504 ")


def test_each_attempt_decides_anew_whether_its_upstream_is_asked_again(made):
    worker = made({"a": provider(api_keys=["key-one", "key-two"])}, retries=1)
    lane = worker.ask("smart")
    worker.run(worker.sent("a").answers, 500, JSON, DOWN)
    worker.after(1)
    worker.run(worker.sent("a").answers, 401, JSON, DOWN)
    worker.run(worker.sent("a").answers, 500, JSON, DOWN)
    worker.after(3)
    assert worker.count("a") == 3
    assert told(lane).startswith(b"HTTP/1.1 500 ")
    assert field(told(lane), b"x-should-retry") == [b"false"]


def test_what_an_account_keeps_is_not_turned_to_others_for_its_length(made):
    models = {
        "smart": {"upstreams": [{"to": "a/m"}], "fallbacks": {"context_length": ["long"]}},
        "long": {"upstreams": [{"to": "b/m"}]},
    }
    too_long = b'{"error":{"message":"too long","code":"context_length_exceeded"}}'
    worker = made({"a": provider(), "b": provider()}, models)
    audio = [{"role": "assistant", "audio": {"id": "audio_1"}}]
    lane = worker.ask("smart", messages=audio)
    worker.run(worker.sent("a").answers, 400, JSON, too_long)
    assert (worker.count("a"), worker.count("b")) == (1, 0)
    assert told(lane).startswith(b"HTTP/1.1 400 ")
    worker.ask("smart")
    worker.run(worker.sent("a").answers, 400, JSON, too_long)
    assert (worker.count("a"), worker.count("b")) == (2, 1)
