"""What Redis is asked for answers, by whom, and whose turn it is to fetch one."""

from __future__ import annotations

import asyncio
import time

import pytest

import edge.cache.asking
from edge.cache.answers import Answers
from edge.cache.entry import Entry
from edge.cache.memory import Held
from edge.cache.policy import Plan
from edge.cache.remote import Inquirer
from edge.guard.auth import ANYONE
from edge.redis.pipe import RedisUnavailable
from tests.unit.calls import Asked, asked
from tests.unit.test_answers import CHAT, a_flight, answers

PLAN = Plan(look=True, store=True, only=False, ttl_s=None, digest=b"d" * 32)


class SlowRedis:
    """Answers a look-up with what is in `found`, or raises it, once the gate is open."""

    ready = True

    def __init__(self, found: object = None) -> None:
        self.found = found
        self.gate = asyncio.Event()
        self.looks = 0

    def get(self, digest: bytes, tenant: str, inquirer: Inquirer) -> asyncio.Future[None]:
        self.looks += 1
        if isinstance(self.found, ZeroDivisionError):
            found, self.found = self.found, stored()
            raise found
        return asyncio.ensure_future(self.tell(self.found, inquirer))  # which can be cancelled

    async def tell(self, found: object, inquirer: Inquirer) -> None:
        await self.gate.wait()
        await asyncio.sleep(0)
        if isinstance(found, Exception):
            inquirer.not_told(found)
        else:
            inquirer.found(found)


def stored(body: bytes = b'{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"x"}}]}') -> Entry:
    now = time.time()
    return Entry("chat", body, (), None, "p", "m", 5, now, now + 60)


class Asks:
    """One who asks for an answer, as a stream or not, and what it is told."""

    def __init__(self, made: Answers, stream: bool = False) -> None:
        self.stream = stream
        self.told: list[tuple[Held | None, RedisUnavailable | None]] = []
        self.look = made.look(one_who_asks(stream), PLAN, lambda *told: self.told.append(told))

    @property
    def form(self) -> bytes:
        """Of what it was told, once."""
        ((held, trouble),) = self.told
        assert trouble is None
        return held.form(stream=self.stream, include_usage=False)


def looking(found: object, *streams: bool) -> tuple[Answers, SlowRedis, list[Asks]]:
    """So many who ask for the same, as a stream or not."""
    made, redis = answers(), SlowRedis(found)
    made._remote = redis
    return made, redis, [Asks(made, stream) for stream in streams]


async def replies(redis: SlowRedis) -> None:
    redis.gate.set()
    for _ in range(4):
        await asyncio.sleep(0)


def one_who_asks(stream: bool = False) -> Asked:
    call = asked({**CHAT, "stream": stream})
    call.key = ANYONE
    return call


def test_all_who_ask_for_the_same_at_once_ask_redis_once():
    async def main():
        made, redis, asking = looking(stored(), *[False] * 20)
        await replies(redis)
        assert redis.looks == 1
        assert {each.form for each in asking} == {stored().body}
        assert not made._questions
        assert made.memory.get(b"d" * 32) is asking[0].told[0][0]

    asyncio.run(main())


def test_json_and_a_stream_of_the_same_key_each_get_their_form():
    async def main():
        made, redis, asking = looking(stored(), False, True, False, True)
        await replies(redis)
        json_1, stream_1, json_2, stream_2 = [each.form for each in asking]
        assert json_1 == json_2 == stored().body
        assert stream_1 == stream_2
        assert stream_1.endswith(b"data: [DONE]\n\n")
        assert redis.looks == 2
        assert not made._questions

    asyncio.run(main())


@pytest.mark.parametrize("leaving", [[0], [1], [0, 1, 2], [2, 1, 0], [0, 1, 2, 3, 4]])
def test_whoever_leaves_while_redis_is_asked_the_others_get_its_answer(leaving):
    """The question is nobody's. It ends with the last who waits for its answer."""

    async def main():
        made, redis, asking = looking(stored(), *[False] * 5)
        await asyncio.sleep(0)
        for number in leaving:
            asking[number].look.cancel()
            asking[number].look.cancel()
        await replies(redis)
        for number, each in enumerate(asking):
            if number in leaving:
                assert not each.told
            else:
                assert each.form == stored().body
        assert redis.looks == 1
        assert not made._questions
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_who_is_told_may_ask_again_and_others_may_leave_by_it():
    async def main():
        made, redis, asking = looking(stored(), *[False] * 3)
        first, second, third = asking
        again: list[Asks] = []

        def hear(*_):
            second.look.cancel()
            again.append(Asks(made))

        first.look.told = hear
        await replies(redis)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (second.told, third.form, again[0].form) == ([], stored().body, stored().body)
        assert redis.looks == 2
        assert not made._questions

    asyncio.run(main())


def test_trouble_with_redis_is_everybodys_and_asked_for_once():
    async def main():
        made, redis, asking = looking(RedisUnavailable("timeout"), *[False] * 5)
        await replies(redis)
        assert [[trouble.reason for _, trouble in each.told] for each in asking] == [["timeout"]] * 5
        assert redis.looks == 1
        assert not made._questions

    asyncio.run(main())


def test_an_error_of_our_own_before_anything_is_asked_is_not_everybodys():
    async def main():
        made, redis, _ = looking(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            Asks(made)
        asking = [Asks(made), Asks(made)]
        await replies(redis)
        assert [each.form for each in asking] == [stored().body] * 2
        assert not made._questions

    asyncio.run(main())


def test_an_error_of_our_own_about_what_redis_has_leaves_nobody_waiting():
    async def main():
        made, redis, asking = looking(object(), False, False)  # what is no entry at all
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        await replies(redis)
        assert [each.told for each in asking] == [[(None, None)]] * 2
        assert not made._questions

    asyncio.run(main())


def test_what_was_asked_for_before_a_clearing_is_neither_kept_nor_given_to_who_comes_after_it():
    async def main():
        made, redis, (before,) = looking(stored(), False)
        await asyncio.sleep(0)
        made._generation.bump()
        redis.found = None
        after = [Asks(made), Asks(made)]
        await replies(redis)
        assert before.form == stored().body
        assert [each.told for each in after] == [[(None, None)]] * 2
        assert made.memory.get(b"d" * 32) is None
        assert redis.looks == 2
        assert not made._questions

    asyncio.run(main())


class Leases(SlowRedis):
    """Gives the lease after so many were refused; what it has meanwhile is `found`."""

    def __init__(self, refused: int, found: object = None) -> None:
        super().__init__(found)
        self.refused = refused
        self.tokens: list[bytes] = []
        self.gate.set()

    def lease(self, digest: bytes, token: bytes, ttl_ms: int, told) -> asyncio.Future[None]:
        async def tell() -> None:
            self.tokens.append(token)
            told(len(self.tokens) > self.refused)

        return asyncio.ensure_future(tell())

    def release(self, digest: bytes, token: bytes) -> None: ...


@pytest.mark.parametrize(
    ("refused", "found", "looks", "held"),
    [
        (0, None, 0, False),  # its turn at once
        (2, None, 3, False),  # after who had it has given it back without an answer
        (1, stored(), 1, True),  # who had it has stored the answer
        (1, RedisUnavailable("timeout"), 1, False),  # it has waited for long enough
    ],
)
def test_a_flight_takes_its_turn(monkeypatch, refused, found, looks, held):
    monkeypatch.setattr(edge.cache.asking, "POLL_S", 0.001)

    async def main():
        made, flight, done = answers(), a_flight(False), []
        redis = made._remote = Leases(refused, found)
        turns = made.turns(flight, lambda: done.append(flight.lease))
        turns.start()
        while not done:
            await asyncio.sleep(0.001)
        assert redis.looks == looks
        assert (flight.held is not None) is held
        assert len(done) == 1
        assert done[0] == (redis.tokens[-1] if not held and found is None else b"")
        assert len(set(redis.tokens)) == 1

    asyncio.run(asyncio.wait_for(main(), 5))


def test_a_flight_that_is_given_up_while_it_waits_for_its_turn_hears_nothing_more():
    async def main():
        made, flight = answers(), a_flight(False)
        redis = made._remote = Leases(99)
        turns = made.turns(flight, lambda: pytest.fail("it was cancelled"))
        turns.start()
        await asyncio.sleep(0)
        turns.cancel()
        await asyncio.sleep(0.05)
        assert len(redis.tokens) <= 1
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
