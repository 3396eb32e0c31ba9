"""A second attempt beside one that is late, by hand."""

from __future__ import annotations

import pytest

from edge.guard.auth import ANYONE
from edge.upstreams.budget import MOST_HEDGES, HedgeBudget
from tests.unit.lanes import ANSWER, field
from tests.unit.test_dispatch import CONTENT, DONE, DOWN, KEEP_ALIVE, provider
from tests.unit.test_grant import CHAT
from tests.unit.timed import EVENTS, JSON, Timed, told

LATE_S = 0.2
HOSTED = {
    "a search": {"web_search_options": {}},
    "a tool of the provider's": {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}]},
    "a plugin": {"plugins": [{"id": "web"}]},
    "tools that are none": {"tools": [7]},
}


@pytest.fixture
def made(monkeypatch):
    workers = []

    def make(**more):
        upstreams = [{"to": "a/m"}, {"to": "b/m"}]
        settings = {
            "providers": {"a": provider(**more), "b": provider(**more)},
            "models": {"smart": {"strategy": "failover", "upstreams": upstreams}},
            "resilience": {
                "breaker": {"failures": 2},
                "hedge": {"enabled": True, "budget": 1.0},
                "stream_keepalive_s": 1,
            },
        }
        worker = Timed(settings, monkeypatch)
        workers.append(worker)
        for member in members(worker):
            for _ in range(100):
                member.took(True, LATE_S)
                member.took(False, LATE_S)
        return worker

    yield make
    for worker in workers:
        worker.close()


def members(worker):
    (choice,) = worker.gateway.state.grant(ANYONE, "smart", CHAT).choices
    return choice.members


def hedged(made, **fields):
    """A worker, and a client for whom both are asked."""
    worker = made()
    lane = worker.ask("smart", **fields)
    worker.after(LATE_S - 0.1)
    assert (worker.count("a"), worker.count("b")) == (1, 0)
    worker.after(0.2)
    assert (worker.count("a"), worker.count("b")) == (1, 1)
    return worker, lane


@pytest.mark.parametrize("winner", ["a", "b"])
def test_the_first_whole_answer_is_the_clients_and_the_other_is_closed_on_the_spot(made, winner):
    worker, lane = hedged(made)
    loser = worker.sent("b" if winner == "a" else "a")
    worker.run(worker.sent(winner).answers, 200, JSON, ANSWER[:9], ends=False)
    assert loser.open
    worker.run(worker.sent(winner).receiver.body, ANSWER[9:])
    worker.run(worker.sent(winner).receiver.ended)
    assert not loser.open
    reply = told(lane)
    assert (reply.count(b"HTTP/1.1 "), reply.endswith(ANSWER)) == (1, True)
    assert field(reply, b"x-edge-provider") == [winner.encode()]
    assert field(reply, b"x-edge-attempts") == [b"2"]
    (record,) = worker.records
    assert (record.provider, record.hedge, record.attempts) == (winner, "won" if winner == "b" else "lost", 2)
    assert [member.in_flight for member in members(worker)] == [0, 0]
    assert [member.error_rate for member in members(worker)] == [0.0, 0.0]
    assert worker.idle()


@pytest.mark.parametrize("winner", ["a", "b"])
def test_the_first_content_is_the_clients(made, winner):
    worker, lane = hedged(made, stream=True)
    loser = worker.sent("b" if winner == "a" else "a")
    role = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
    worker.run(loser.answers, 200, EVENTS, role, ends=False)
    assert told(lane) == b""
    worker.run(worker.sent(winner).answers, 200, EVENTS, CONTENT, ends=False)
    assert not loser.open
    worker.run(worker.sent(winner).receiver.body, DONE)
    worker.run(worker.sent(winner).receiver.ended)
    assert told(lane).count(CONTENT) == 1
    assert role not in told(lane)
    assert worker.idle()


@pytest.mark.parametrize("fails", ["a", "b"])
@pytest.mark.parametrize("status", [500, 429, 401, 400])
def test_the_failure_of_one_is_not_told_while_the_other_is_under_way(made, fails, status):
    worker, lane = hedged(made)
    other = "b" if fails == "a" else "a"
    worker.run(worker.sent(fails).answers, status, JSON, DOWN)
    assert told(lane) == b""
    assert worker.sent(other).open
    worker.run(worker.sent(other).answers, 200, JSON, ANSWER)
    assert told(lane).endswith(ANSWER)
    assert field(told(lane), b"x-edge-provider") == [other.encode()]
    assert worker.records[0].hedge == ("won" if fails == "a" else "failed")
    assert worker.idle()


@pytest.mark.parametrize("last", ["a", "b"])
def test_where_both_fail_the_client_is_told_of_the_last(made, last):
    worker, lane = hedged(made)
    worker.run(worker.sent("b" if last == "a" else "a").answers, 500, JSON, DOWN)
    worker.run(worker.sent(last).answers, 400, JSON, b'{"error":{"message":"no"}}')
    assert told(lane).startswith(b"HTTP/1.1 400 ")
    assert worker.idle()


@pytest.mark.parametrize("last", ["a", "b"])
def test_who_waits_for_a_place_when_both_have_failed_does_so_for_no_longer_than_its_client_says(made, last):
    worker = made(max_in_flight=1, max_wait_s=30)
    lane = worker.ask("smart", "x-edge-timeout-ms: 3000")
    worker.after(LATE_S + 0.1)
    worker.run(worker.sent("b" if last == "a" else "a").answers, 500, JSON, DOWN)
    worker.run(worker.sent(last).answers, 500, JSON, DOWN)
    worker.ask("smart")
    worker.ask("smart")
    worker.after(1)
    assert told(lane) == b""
    worker.after(2)
    assert told(lane).startswith(b"HTTP/1.1 504 ")


def test_a_part_of_an_error_that_was_for_the_log_does_not_become_the_answer(made):
    worker, lane = hedged(made)
    worker.run(worker.sent("a").answers, 500, JSON, DOWN[:9], ends=False)
    worker.run(worker.sent("b").answers, 500, JSON, DOWN)
    worker.after(1)
    assert told(lane) == b""
    assert worker.count("a") == 2
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert told(lane).endswith(ANSWER)
    assert worker.idle()


@pytest.mark.parametrize("fails", ["a", "b"])
def test_the_client_of_a_stream_goes_on_to_hear_when_one_has_failed(made, fails):
    worker, lane = hedged(made, stream=True)
    worker.run(worker.sent(fails).breaks)
    worker.after(3)
    assert told(lane).count(KEEP_ALIVE) == 3
    worker.run(worker.sent("b" if fails == "a" else "a").answers, 200, EVENTS, CONTENT, DONE)
    assert told(lane).count(CONTENT) == 1
    assert worker.idle()


def test_a_client_that_leaves_closes_both(made):
    worker, lane = hedged(made)
    worker.run(lane.connection_lost, None)
    assert not worker.sent("a").open
    assert not worker.sent("b").open
    assert [member.in_flight for member in members(worker)] == [0, 0]
    assert worker.idle()


def test_a_defect_while_a_second_one_fails_at_its_start_ends_the_request_at_once(made, monkeypatch):
    worker = made()
    lane = worker.ask("smart")
    counted = worker.metrics.count

    def send(request, receiver):
        raise RuntimeError("a defect")

    def count(metric, *labels):
        if metric == "edge_hedges_total":
            raise RuntimeError("another defect")
        counted(metric, *labels)

    monkeypatch.setattr(worker.providers["b"], "send", send)
    monkeypatch.setattr(worker.metrics, "count", count)
    worker.after(LATE_S + 0.1)
    assert told(lane).startswith(b"HTTP/1.1 500 ")
    assert not worker.sent("a").open
    assert worker.idle()


def test_the_loser_is_charged_for_what_it_was_sent(made):
    worker, lane = hedged(made, stream=True)
    worker.run(worker.sent("b").answers, 200, EVENTS, CONTENT, DONE)
    assert worker.records[0].estimated
    assert told(lane).count(CONTENT) == 1


def test_what_was_waited_in_twos_counts_once(made):
    worker, lane = hedged(made)
    worker.after(1)
    worker.run(worker.sent("b").answers, 200, JSON, ANSWER)
    assert float(field(told(lane), b"x-edge-overhead-ms")[0]) < 1
    assert worker.records[0].upstream_s == pytest.approx(LATE_S + 1.1, abs=0.11)


@pytest.mark.parametrize("what", HOSTED)
def test_what_a_provider_runs_tools_for_is_asked_once(made, what):
    worker = made()
    worker.ask("smart", **HOSTED[what])
    worker.after(5)
    assert (worker.count("a"), worker.count("b")) == (1, 0)


def test_tools_of_the_clients_are_no_matter(made):
    worker = made()
    worker.ask("smart", tools=[{"type": "function", "function": {"name": "f"}}])
    worker.after(1)
    assert (worker.count("a"), worker.count("b")) == (1, 1)


def test_no_upstream_is_asked_whose_breaker_is_open_or_that_is_full_or_drained(made):
    for how in ("breaker", "drained", "full"):
        worker = made(max_in_flight=1, max_waiting=0)
        second = members(worker)[1]
        if how == "breaker":
            for _ in range(2):
                second.begin(worker.clock.now).failed(worker.clock.now)
        elif how == "drained":
            second.drain()
        else:
            worker.ask("smart")
            worker.ask("smart")
            assert (worker.count("a"), worker.count("b")) == (1, 1)
            worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
        before = worker.count("b")
        worker.ask("smart")
        worker.after(1)
        assert worker.count("b") == before, how


def test_a_share_of_the_requests_is_what_there_may_be_more():
    budget = HedgeBudget()
    taken = 0
    for _ in range(1000):
        budget.requests += 1
        taken += budget.take(0.05)
    assert taken in (49, 50)
    budget.requests += 1_000_000
    burst = 0
    while budget.take(0.05):
        burst += 1
    assert burst == MOST_HEDGES
    budget.give_back()
    assert (budget.take(0.05), budget.take(0.05)) == (True, False)


def test_answers_that_were_given_up_keep_the_time_from_which_one_is_late(made):
    worker = made()
    first = members(worker)[0]
    before = first.late_s(False)
    for _ in range(100):
        worker.ask("smart")
        worker.after(LATE_S + 0.1)
        worker.run(worker.sent("b").answers, 200, JSON, ANSWER)
    assert first.late_s(False) >= before * 0.95
