"""Identical requests at the same time ask Redis once, whoever comes and goes meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fake_redis import FakeRedis
from tests.harness import Edge, providers
from tests.http.test_crowds import ask, fresh, under_way, until


def nothing_there(words: list[bytes]) -> bytes:
    """A Redis that takes what it is given and has nothing."""
    return {b"GET": b"$-1\r\n", b"SET": b"+OK\r\n"}.get(words[0], b":1\r\n")


@asynccontextmanager
async def beside_redis(simulator, front, folder, **more) -> AsyncIterator[tuple[Edge, FakeRedis]]:
    """An edge whose Redis is such a one."""
    async with FakeRedis(nothing_there) as redis:
        cache = {"mode": "all", "redis": {"url": redis.url, "timeout_ms": 10_000}, **more}
        config = {"providers": providers(simulator.url), "cache": cache}
        made = await asyncio.to_thread(Edge, folder, config, front=front)
        try:
            yield made, redis
        finally:
            await asyncio.to_thread(made.process.stop)


def test_a_crowd_whose_first_leaves_during_a_slow_look_up_makes_one_call(simulator, front, tmp_path):
    before, said, model = simulator.count(), fresh(), "sim-words-10-ttft-300"

    async def main():
        async with beside_redis(simulator, front, tmp_path) as (edge, redis):
            redis.answers.clear()
            first = asyncio.create_task(ask(edge.port, model, said))
            await until(lambda: redis.count(b"GET") == 1)
            others = [asyncio.create_task(ask(edge.port, model, said)) for _ in range(60)]
            await until(lambda: under_way(edge) == 61)
            assert redis.count(b"GET") == 1
            first.cancel()
            await until(lambda: under_way(edge) == 60)
            redis.answers.set()
            got = await asyncio.gather(*others)
            return got, redis.count(b"GET")

    got, gets = asyncio.run(main())
    assert all(one.complete and said.removeprefix("nonce:") in one.body.decode() for one in got)
    assert sorted({one.cache for one in got}) == ["joined", "miss"]
    assert sum(one.cache == "miss" for one in got) == 1
    assert simulator.count() == before + 1
    assert gets == 1  # the question is nobody's: it goes on without who asked it first


def test_a_crowd_all_of_which_leaves_during_a_look_up_makes_no_call(simulator, front, tmp_path):
    before, said = simulator.count(), fresh()

    async def main():
        async with beside_redis(simulator, front, tmp_path) as (edge, redis):
            redis.answers.clear()
            crowd = [asyncio.create_task(ask(edge.port, "gpt-4o", said)) for _ in range(30)]
            await until(lambda: under_way(edge) == 30)
            await until(lambda: redis.count(b"GET") == 1)
            for one in crowd:
                one.cancel()
            await until(lambda: under_way(edge) == 0)
            redis.answers.set()
            await asyncio.sleep(0.5)
            assert simulator.count() == before
            assert (await ask(edge.port, "gpt-4o", said)).cache == "miss"

    asyncio.run(main())
    assert simulator.count() == before + 1


def test_who_comes_while_the_answer_is_on_its_way_does_not_ask_redis(simulator, front, tmp_path, stalls):
    async def main():
        async with beside_redis(simulator, front, tmp_path) as (edge, redis):
            before, said, model = simulator.count(), fresh(), "sim-words-40-tps-10"
            first = asyncio.create_task(ask(edge.port, model, said))
            await until(lambda: simulator.count() > before)
            await asyncio.sleep(0.4)
            redis.delay_s = 0.8
            late = await asyncio.gather(*(ask(edge.port, model, said) for _ in range(5)))
            assert {one.cache for one in late} == {"joined"}
            assert max(one.first_s for one in late) < 0.4 + stalls.granted_s
            assert (await first).complete
            assert redis.count(b"GET") == 1

    asyncio.run(main())


def test_json_and_streams_at_once_are_answered_each_in_its_form(simulator, front, tmp_path):
    async def main():
        async with beside_redis(simulator, front, tmp_path) as (edge, redis):
            redis.answers.clear()
            said, model, tells = fresh(), "sim-words-10-tps-40", {"stream_options": {"include_usage": True}}
            streams = [ask(edge.port, model, said, **tells) for _ in range(5)]
            crowd = asyncio.gather(*streams, *(ask(edge.port, model, said, stream=False) for _ in range(5)))
            await until(lambda: under_way(edge) == 10)
            redis.answers.set()
            got = await crowd
            assert all(one.complete for one in got[:5])
            assert {json.loads(one.body)["object"] for one in got[5:]} == {"chat.completion"}
            assert redis.count(b"GET") == 2

    before = simulator.count()
    asyncio.run(main())
    assert simulator.count() - before <= 2


def test_without_joining_redis_is_asked_once_and_the_provider_by_each(simulator, front, tmp_path):
    async def main():
        async with beside_redis(simulator, front, tmp_path, join=False) as (edge, redis):
            redis.answers.clear()
            said = fresh()
            crowd = asyncio.gather(*(ask(edge.port, "sim-ttft-300", said) for _ in range(4)))
            await until(lambda: under_way(edge) == 4)
            redis.answers.set()
            got = await crowd
            assert [one.cache for one in got] == ["miss"] * 4
            assert redis.count(b"GET") == 1
            assert not [words for words in redis.asked if b"NX" in words]

    before = simulator.count()
    asyncio.run(main())
    assert simulator.count() == before + 4
