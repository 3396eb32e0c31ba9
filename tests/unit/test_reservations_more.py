"""Where one request is answered twice, a hedge or a rescue, what both may come to is reserved before the second is asked."""

from __future__ import annotations

import pytest

from edge.errors import BudgetExceeded, Overloaded, RateLimited, UpstreamStreamBroken
from edge.guard.auth import ANYONE
from edge.hooks import Usage
from edge.money.pricing import PICO
from tests.unit.lanes import field, post
from tests.unit.test_dispatch import provider
from tests.unit.test_grant import CHAT
from tests.unit.test_hedging import LATE_S, members
from tests.unit.test_rescue import REST, WORDS, chat
from tests.unit.test_reservations import Counting, budget, tokens
from tests.unit.test_reservations_redis import BOTH, Redis, asking, sharing
from tests.unit.timed import EVENTS, JSON, Timed, told


def test_what_one_more_answer_may_come_to_is_reserved_and_all_is_settled_by_what_was_used():
    counting, heard = Counting(budget(10), tokens(1000)), []
    made = counting.taken(100, 100)
    assert counting.money() == (0.0, 2.0)
    made.more(heard.append)
    made.more(heard.append)
    assert heard == [None, None]
    assert counting.money() == (0.0, 6.0)
    made.used(Usage(input=100, output=50), PICO * 3 // 2)
    made.used(Usage(input=100, output=20), PICO * 6 // 5)
    made.end()
    made.end()
    assert counting.money() == (2.7, 0.0)
    (used,) = counting.counts.usage.unwritten().values()
    assert (used.requests, used.input, used.output) == (1, 200, 70), "it is one request"


def test_tokens_of_both_answers_are_taken_once():
    counting, heard = Counting(tokens(1000)), []
    made = counting.taken(100, 200)
    made.more(heard.append)
    assert counting.tokens_left() == 400
    made.used(Usage(input=100, output=50), -1)
    made.used(Usage(input=100, output=20), -1)
    made.end()
    assert counting.tokens_left() == 1000 - 270


@pytest.mark.parametrize(("quota", "refusal"), [(budget(3), BudgetExceeded), (tokens(300), RateLimited)])
def test_what_does_not_fit_twice_is_refused_and_takes_nothing(quota, refusal):
    counting, heard = Counting(quota), []
    made = counting.taken(100, 100)
    made.more(heard.append)
    assert [type(error) for error in heard] == [refusal]
    assert counting.money()[1] == (2.0 if quota.budget >= 0 else 0.0)
    made.used(Usage(input=100, output=0), PICO)
    made.end()
    assert counting.money() == ((1.0, 0.0) if quota.budget >= 0 else (0.0, 0.0))


def test_when_the_request_is_settled_nothing_more_can_be_reserved():
    counting, heard = Counting(budget(10)), []
    made = counting.taken(1, 1)
    made.end()
    made.more(heard.append)
    assert [type(error) for error in heard] == [Overloaded]
    assert counting.money() == (0.0, 0.0)


def test_one_more_is_reserved_in_redis_and_given_back_there():
    redis, heard = Redis(), []
    counting = sharing(*BOTH, redis=redis)
    made = asking(counting)
    for _ in BOTH:
        redis.answer("taken", "1", str(2 * PICO), "800")
    made.more(heard.append)
    assert heard == []
    redis.answer("taken", "1", str(4 * PICO), "600")
    redis.answer("taken", "1", str(4 * PICO), "0")
    assert heard == [None]
    assert counting.money() == (0.0, 4.0)
    made.used(Usage(input=100, output=20), PICO)
    made.end()
    assert redis.settled == [("key", 120, PICO), ("tenant", 120, PICO), ("key", 0, 0), ("tenant", 0, 0)]
    assert counting.money() == counting.money(1) == (1.0, 0.0)


def test_one_more_that_redis_has_not_told_of_when_the_request_ends_is_given_back_when_it_does():
    redis, heard = Redis(), []
    counting = sharing(BOTH[0], redis=redis)
    made = asking(counting)
    redis.answer("taken", "1", str(2 * PICO), "800")
    made.more(heard.append)
    made.end()
    assert [type(error) for error in heard] == [Overloaded]
    assert redis.settled == [("key", 0, 0)]
    redis.answer("taken", "1", str(2 * PICO), "600")
    assert redis.settled == [("key", 0, 0)] * 2
    assert len(heard) == 1
    assert counting.money() == (0.0, 0.0)


PRICES = {"*": {"input": 0, "output": 10_000}}
"""USD for a million tokens: 100 of output are one dollar."""
DOLLAR = {"max_tokens": 100, "messages": [{"role": "user", "content": "Tell me."}]}


@pytest.fixture
def made(monkeypatch):
    workers = []

    def make(dollars, **resilience):
        upstreams = [{"to": "a/m"}, {"to": "b/m", "capabilities": {"continue_text": "assistant"}}]
        settings = {
            "providers": {name: {**provider(), "prices": PRICES} for name in "ab"},
            "models": {
                "smart": {"strategy": "failover", "upstreams": upstreams, "budget": {"usd": dollars, "per": "day"}}
            },
            "resilience": {"breaker": {"failures": 1_000_000}, **resilience},
        }
        worker = Timed(settings, monkeypatch)
        workers.append(worker)
        return worker

    yield make
    for worker in workers:
        worker.close()


def money(worker):
    """Spent and reserved, in dollars."""
    (quota,) = worker.gateway.state.grant(ANYONE, "smart", CHAT).quotas.all
    counts = worker.gateway.counts
    mark = quota.mark(counts.today())
    return counts.spend.spent(mark) / PICO, counts.spend.held(mark) / PICO


def answered(output):
    usage = b'{"prompt_tokens":1,"completion_tokens":%d}' % output
    choice = b'{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}'
    return b'{"id":"c","choices":[%b],"usage":%b}' % (choice, usage)


def hedging(made, dollars):
    worker = made(dollars, hedge={"enabled": True, "budget": 1.0})
    for member in members(worker):
        for _ in range(100):
            member.took(True, LATE_S)
            member.took(False, LATE_S)
    lane = worker.ask("smart", **DOLLAR)
    assert money(worker) == (0.0, 1.0)
    worker.after(LATE_S + 0.1)
    return worker, lane


def test_a_hedge_is_reserved_beside_the_first(made):
    worker, lane = hedging(made, 2)
    assert (worker.count("a"), worker.count("b")) == (1, 1)
    assert money(worker) == (0.0, 2.0)
    assert b"429" in told(worker.ask("smart", **DOLLAR))[:20], "all that is left is reserved"
    worker.run(worker.sent("b").answers, 200, JSON, answered(50))
    assert told(lane).startswith(b"HTTP/1.1 200 ")
    assert money(worker) == (0.5, 0.0)
    assert worker.idle()


def test_while_redis_is_asked_for_a_hedge_nobody_else_has_its_place_in_the_budget_of_hedges(made):
    worker = made(9, hedge={"enabled": True, "budget": 0.5})
    redis = worker.gateway.counts.shared = Redis()
    for member in members(worker):
        for _ in range(100):
            member.took(True, LATE_S)
            member.took(False, LATE_S)
    for total in (1, 2):
        worker.ask("smart", **DOLLAR)
        worker.run(redis.answer, "taken", "1", str(total * PICO), "0")
    worker.after(LATE_S + 0.1)
    assert len(redis.asked) == 1, "one second attempt for two requests"
    worker.run(redis.answer, "crowded", "0")
    assert worker.count("b") == 0
    for total in (3, 4):
        worker.ask("smart", **DOLLAR)
        worker.run(redis.answer, "taken", "1", str(total * PICO), "0")
    worker.after(LATE_S + 0.1)
    assert len(redis.asked) == 2, "that which was not asked has left its place to another"
    for total in (5, 6):
        worker.run(redis.answer, "taken", "1", str(total * PICO), "0")
    assert worker.count("b") == 2


def test_where_the_budget_has_no_place_for_a_hedge_the_first_is_waited_for(made):
    worker, lane = hedging(made, 1.5)
    worker.after(1)
    assert (worker.count("a"), worker.count("b")) == (1, 0)
    assert money(worker) == (0.0, 1.0)
    worker.run(worker.sent("a").answers, 200, JSON, answered(100))
    assert told(lane).startswith(b"HTTP/1.1 200 ")
    assert field(told(lane), b"x-edge-attempts") == [b"1"]
    assert money(worker) == (1.0, 0.0)
    assert worker.idle()


def test_a_client_that_leaves_two_attempts_gives_both_reservations_back(made):
    worker, lane = hedging(made, 2)
    worker.run(lane.connection_lost, None)
    assert money(worker)[1] == 0.0
    assert worker.idle()


def rescuing(made, dollars):
    worker = made(dollars, rescue="text")
    lane = worker.ask("smart", stream=True, stream_options={"include_usage": True}, **DOLLAR)
    assert money(worker) == (0.0, 1.0)
    stream = chat(WORDS)
    cut = stream.index(b"\n\n", stream.index(b"there was")) + 2
    worker.run(worker.sent("a").answers, 200, EVENTS, stream[:cut], ends=False)
    worker.run(worker.sent("a").receiver.failed, UpstreamStreamBroken())
    return worker, lane


def test_a_rescue_is_reserved_beside_what_was_charged(made):
    worker, lane = rescuing(made, 3)
    assert worker.count("b") == 1
    spent, held = money(worker)
    assert 0.0 < spent < 1.0
    assert held == 2.0
    worker.run(worker.sent("b").answers, 200, EVENTS, chat(REST, "other"))
    assert b"serves" in told(lane)
    after, held = money(worker)
    assert held == 0.0
    assert after == pytest.approx(spent + 0.05)
    assert after == pytest.approx(worker.records[-1].cost / PICO)
    assert worker.idle()


def test_where_the_budget_has_no_place_for_a_rescue_the_client_is_told_of_the_first_failure(made):
    worker, lane = rescuing(made, 1.9)
    assert worker.count("b") == 0
    assert b"upstream_stream_broken" in told(lane)
    spent, held = money(worker)
    assert held == 0.0
    assert spent == pytest.approx(worker.records[-1].cost / PICO)
    assert worker.idle()


@pytest.mark.parametrize("ends", ["refused", "lost", "late", "left"])
def test_while_redis_is_asked_for_a_rescue_its_client_and_its_time_may_end(made, ends):
    worker = made(5, rescue="text", total_s=5)
    redis = worker.gateway.counts.shared = Redis()
    lane = worker.ask("smart", stream=True, **DOLLAR)
    worker.run(redis.answer, "taken", "1", str(PICO), "0")
    stream = chat(WORDS)
    cut = stream.index(b"\n\n", stream.index(b"there was")) + 2
    worker.run(worker.sent("a").answers, 200, EVENTS, stream[:cut], ends=False)
    worker.run(worker.sent("a").receiver.failed, UpstreamStreamBroken())
    assert worker.count("b") == 0
    assert b"upstream_stream_broken" not in told(lane)
    if ends == "refused":
        worker.run(redis.answer, "crowded", "0")
    elif ends == "lost":
        worker.run(redis.answer)
        assert worker.count("b") == 1
        worker.run(worker.sent("b").answers, 200, EVENTS, chat(REST, "other"))
        assert b"serves" in told(lane)
    elif ends == "late":
        worker.after(6)
        assert b"no complete answer in time" in told(lane)
    else:
        worker.run(lane.connection_lost, None)
    if ends in ("late", "left"):
        worker.run(redis.answer, "taken", "1", str(2 * PICO), "0")
        assert worker.count("b") == 0
    if ends == "refused":
        assert b"upstream_stream_broken" in told(lane)
    assert money(worker)[1] == 0.0
    assert worker.idle()
    assert not redis.asked


def test_nothing_is_asked_in_the_background_by_whom_money_is_counted(made):
    worker = made(3)
    lane = worker.connect()
    body = b'{"model":"smart","input":"Think long.","background":true}'
    worker.run(lane.data_received, post(body, start="POST /v1/responses HTTP/1.1"))
    assert b"route_not_allowed" in told(lane)
    assert (worker.count("a"), worker.count("b"), money(worker)) == (0, 0, (0.0, 0.0))


@pytest.mark.parametrize("left", [False, True])
def test_waiting_for_redis_before_a_rescue_is_no_overhead(made, left):
    worker = made(5, rescue="text")
    redis = worker.gateway.counts.shared = Redis()
    lane = worker.ask("smart", stream=True, **DOLLAR)
    worker.run(redis.answer, "taken", "1", str(PICO), "0")
    stream = chat(WORDS)
    cut = stream.index(b"\n\n", stream.index(b"there was")) + 2
    worker.run(worker.sent("a").answers, 200, EVENTS, stream[:cut], ends=False)
    worker.run(worker.sent("a").receiver.failed, UpstreamStreamBroken())
    worker.clock.now += 0.04
    if left:
        worker.run(lane.connection_lost, None)
    else:
        worker.run(redis.answer, "taken", "1", str(2 * PICO), "0")
        worker.run(worker.sent("b").answers, 200, EVENTS, chat(REST, "other"))
    record = worker.records[-1]
    assert (record.duration_s, record.overhead_s) == (pytest.approx(0.04), pytest.approx(0.0, abs=1e-6))
