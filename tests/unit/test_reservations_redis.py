"""What a request may come to is reserved in Redis too, by a Redis that answers when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from edge import config
from edge.errors import BudgetExceeded, Overloaded, RateLimited
from edge.guard import shared_quotas
from edge.guard.quotas import Quota, Quotas
from edge.hooks import Usage
from edge.money.pricing import PICO
from edge.redis.pipe import RedisUnavailable
from tests.unit.test_reservations import A_DOLLAR, Counting, budget, told


class Redis:
    """Counts of several machines, which answer when they are told to; None for nobody who can be asked."""

    machines = 2

    def __init__(self, reached=True):
        self.reached = reached
        self.asked = []
        self.settled = []
        self.added = []

    def take(self, taken, told):
        if self.reached:
            self.asked.append((taken, told))
        return self.reached

    def settle(self, taken, used, cost):
        self.settled.append((taken.quota.scope, used, cost))

    def add(self, quota, _day, used, cost):
        if used or cost > 0:
            self.added.append((quota.scope, used, cost))

    def answer(self, *words):
        taken, told = self.asked.pop(0)
        told(taken, [word.encode() for word in words] or None)


def sharing(*quotas, redis, refuses=False):
    counting = Counting(*quotas)
    counting.counts.shared = redis
    counting.quotas = Quotas(quotas, A_DOLLAR, "k", "t", "m", refuses=refuses)
    counting.told = []
    return counting


def asking(counting, input_tokens=100, output_tokens=100):
    made = counting.reservation()
    assert made.take(input_tokens, output_tokens, counting.told.append) is False
    return made


BOTH = (Quota("key", "x", 1000, 10 * PICO, "day"), Quota("tenant", "y", 0, 10 * PICO, "day"))


def test_what_redis_has_reserved_is_settled_there_by_what_was_used():
    redis = Redis()
    counting = sharing(*BOTH, redis=redis)
    made = asking(counting)
    assert [(taken.tokens, taken.money) for taken, _ in redis.asked] == [(200, 2 * PICO), (0, 2 * PICO)]
    redis.answer("taken", "1", str(3 * PICO), "700")
    assert counting.told == []
    redis.answer("taken", "1", str(2 * PICO), "0")
    assert counting.told == [None]
    fields = dict(told(made, "openai"))
    assert fields[b"x-ratelimit-remaining-tokens"] == b"700", "others have used some"
    assert fields[b"x-ratelimit-remaining-usd"] == b"7.000000"
    made.used(Usage(input=100, output=20), PICO)
    made.end()
    made.end()
    assert redis.settled == [("key", 120, PICO), ("tenant", 120, PICO)]
    assert redis.added == []
    assert counting.money() == (1.0, 0.0), "it counts here as well"
    made.used(Usage(input=5), PICO)
    assert redis.added == [("key", 5, PICO), ("tenant", 5, PICO)]


@pytest.mark.parametrize("first", [True, False])
def test_what_one_quota_refuses_is_given_back_to_the_others_in_redis(first):
    redis = Redis()
    counting = sharing(*BOTH, redis=redis)
    asking(counting).used(Usage(), -1)
    redis.answer(*(("tokens", "2500000") if first else ("taken", "1", "0", "0")))
    redis.answer(*(("taken", "1", "0", "0") if first else ("crowded", "0")))
    (refusal,) = counting.told
    if first:
        assert dict(refusal.headers)[b"retry-after-ms"] == b"2500"
    else:
        assert dict(refusal.headers)[b"retry-after"] == b"1"
    assert redis.settled == [("tenant" if first else "key", 0, 0)]
    assert counting.tokens_left() == 1000
    assert counting.money() == counting.money(1) == (0.0, 0.0)


@pytest.mark.parametrize("silent", [True, False], ids=["no answer", "not reached"])
def test_without_redis_a_machine_has_its_part_of_the_limit(silent):
    redis = Redis(reached=silent)
    counting = sharing(Quota("key", "x", 1000, 10 * PICO, "day"), redis=redis)

    def tried(tokens):
        made = counting.reservation()
        if made.take(tokens, 0, counting.told.append):
            return made
        redis.answer()
        if counting.told[-1] is not None:
            raise counting.told[-1]
        return made

    first = tried(450)
    with pytest.raises(RateLimited):
        tried(100)  # half of a thousand are this machine's
    with pytest.raises(BudgetExceeded):
        counting.counts.later(60)
        tried(200)
    first.used(Usage(input=450), 4 * PICO)
    first.end()
    assert redis.added == [("key", 450, 4 * PICO)]
    assert set(redis.settled) <= {("key", 0, 0)}, "if it was reserved there, it is no more"


def test_of_a_budget_a_machine_has_its_part_of_what_was_left_when_it_last_heard():
    redis = Redis()
    counting = sharing(budget(10), redis=redis)
    made = asking(counting, 100, 0)
    redis.answer("taken", "0", str(6 * PICO), "0")  # others have spent five
    made.used(Usage(input=100), PICO)
    made.end()
    redis.reached = False
    assert counting.taken(200, 0) is not None
    with pytest.raises(BudgetExceeded):
        counting.taken(1, 0)  # of the four that were left two are this machine's


def test_where_it_is_wanted_nothing_is_let_through_without_redis():
    for redis in (Redis(), Redis(reached=False)):
        counting = sharing(budget(10), redis=redis, refuses=True)
        made = counting.reservation()
        if redis.reached:
            made.take(1, 1, counting.told.append)
            redis.answer()
            (refusal,) = counting.told
        else:
            with pytest.raises(Overloaded) as raised:
                made.take(1, 1, counting.told.append)
            refusal = raised.value
        assert isinstance(refusal, Overloaded)
        assert counting.money() == (0.0, 0.0)


def test_what_is_reserved_for_who_has_left_is_given_back_when_that_is_heard():
    redis = Redis()
    counting = sharing(budget(10), redis=redis)
    made = asking(counting)
    made.cancel()
    made.end()
    assert redis.settled == []
    redis.answer("taken", "1", str(PICO), "0")
    assert redis.settled == [("key", 0, 0)]
    assert counting.told == []
    assert counting.money() == (0.0, 0.0)


def test_of_two_quotas_the_one_that_is_heard_before_its_client_leaves_is_settled_once():
    redis = Redis()
    counting = sharing(*BOTH, redis=redis)
    made = asking(counting)
    redis.answer("taken", "1", str(PICO), "500")
    made.cancel()
    made.end()
    redis.answer("budget", str(10 * PICO))
    assert redis.settled == [("key", 0, 0)]
    assert counting.told == []
    assert counting.tokens_left() == 1000


def test_the_rest_is_divided_by_the_machines_that_are_known_when_redis_is_gone():
    counts, quota = sharing(*BOTH, redis=Redis()).counts, BOTH[0]
    mark = quota.mark(counts.today())
    assert counts.alone(mark, quota.budget) == 5 * PICO, "nothing was heard yet"
    counts.shared.machines = 1
    counts.heard(mark, quota.budget, 4 * PICO)
    assert counts.alone(mark, quota.budget) == 6 * PICO
    counts.shared.machines = 3  # which have come since
    assert counts.alone(mark, quota.budget) == 2 * PICO


class Client:
    """A Redis that is sent commands, once it can be reached, and carries them out when it is told to."""

    reached = False

    def __init__(self):
        self.sent = []

    def watch(self, _):
        pass

    def send(self, command, _key):
        if self.reached:
            self.sent.append(command)
        return "" if self.reached else "connect"


def test_what_was_settled_while_nobody_was_reached_is_told_before_redis_is_let_go_of():
    async def run():
        counts, client = Counting(*BOTH).counts, Client()
        await counts.share(client, config.Redis(url=config.Secret("redis://127.0.0.1:1")))
        counts.shared.add(BOTH[0], counts.today(), 5, PICO)
        assert (client.sent, len(counts.shared.pending)) == ([], 1)
        client.reached = True
        ending = asyncio.ensure_future(counts.share(None, None))
        await asyncio.sleep(0)
        assert counts.shared is None
        assert len(client.sent) == 1
        assert not ending.done(), "it was not carried out yet"
        client.sent[0].replied(1)
        await ending

    asyncio.run(run())


def test_what_redis_had_not_carried_out_is_sent_again_before_it_is_let_go_of():
    async def run():
        counts, client = Counting(*BOTH).counts, Client()
        client.reached = True
        await counts.share(client, config.Redis(url=config.Secret("redis://127.0.0.1:1")))
        counts.shared.add(BOTH[0], counts.today(), 5, PICO)
        first = client.sent.pop()
        sent = first.data
        ending = asyncio.ensure_future(counts.share(None, None))
        await asyncio.sleep(0)
        first.failed(RedisUnavailable("timeout"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        (again,) = client.sent
        assert again.data == sent, "by the same number"
        client.reached = False
        again.failed(RedisUnavailable("error"))
        await ending  # nobody is there to be asked

    asyncio.run(run())


def test_a_redis_that_carries_nothing_out_is_let_go_of_all_the_same(monkeypatch):
    monkeypatch.setattr(shared_quotas, "FLUSH_S", 0.05)

    async def run():
        counts, client = Counting(*BOTH).counts, Client()
        client.reached = True
        await counts.share(client, config.Redis(url=config.Secret("redis://127.0.0.1:1")))
        counts.shared.add(BOTH[0], counts.today(), 5, PICO)
        await asyncio.wait_for(counts.share(None, None), 5)
        assert len(client.sent) == 1

    asyncio.run(run())


def test_what_redis_is_not_told_before_the_period_is_over_is_told_no_more():
    async def run():
        counts, client = Counting(*BOTH).counts, Client()
        await counts.share(client, config.Redis(url=config.Secret("redis://127.0.0.1:1")))
        shared = counts.shared
        shared.add(BOTH[0], counts.today(), 5, PICO)
        client.reached = True
        counts.later(3 * 86400)
        shared.add(BOTH[0], counts.today(), 7, PICO)
        shared._resend(10)
        (sent,) = client.sent
        sent.replied(1)
        assert (len(shared.pending), shared._open) == (0, {})

    asyncio.run(run())


def test_of_too_many_settlements_that_wait_the_oldest_is_given_up(monkeypatch):
    monkeypatch.setattr(shared_quotas, "MAX_PENDING", 3)

    async def run():
        counts, client = Counting(*BOTH).counts, Client()
        await counts.share(client, config.Redis(url=config.Secret("redis://127.0.0.1:1")))
        shared = counts.shared
        for _ in range(5):
            shared.add(BOTH[0], counts.today(), 5, PICO)
        assert [each.number for each in shared.pending] == [3, 4, 5]
        client.reached = True
        shared._resend(10)
        words = [command.data.split(b"\r\n") for command in client.sent]
        named = shared.name
        assert [int(each[each.index(named) + 4]) for each in words] == [3, 3, 3], "the lowest that may come again"
        for command in reversed(client.sent):
            command.replied(1)
        assert shared._open == {}

    asyncio.run(run())
