"""One connection to Redis after its handshake: deadlines, servers that close or say too much, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
import uvloop

from edge.redis.pipe import RedisUnavailable
from edge.redis.resp import LinkBroken, Refused
from tests.fake_redis import CLOSE, SILENCE, FakeRedis, Reply
from tests.harness import WAIT_S
from tests.redis_harness import PATIENT_MS, RedisServer, digest_of, remote, stopping

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def echo(words: list[bytes]) -> Reply:
    return b"$%d\r\n%b\r\n" % (len(words[1]), words[1])


@LOOPS
def test_deadlines_are_kept_within_milliseconds_and_leave_no_connection(run, stalls):
    async def main() -> None:
        said: Reply = SILENCE
        async with FakeRedis(lambda _: said) as fake, remote(fake.url, timeout_ms=50) as made:
            took = []
            for _ in range(4):  # five in a row take it out of service
                began = time.perf_counter()
                with pytest.raises(RedisUnavailable) as caught:
                    await made.client.call(b"GET", b"k")
                took.append(time.perf_counter() - began)
                assert caught.value.reason == "timeout"
            assert min(took) >= 0.049
            assert sorted(took)[1] < 0.06 + stalls.granted_s
            said = b"$4\r\ngood\r\n"
            assert await made.client.call(b"GET", b"k", timeout_s=WAIT_S) == b"good"
            assert made.client.nodes[0].connections <= 2

    run(main())


@LOOPS
def test_a_deadline_that_has_passed_is_one(run):
    async def main() -> None:
        async with FakeRedis(lambda _: b"$4\r\nlate\r\n") as fake, remote(fake.url, timeout_ms=PATIENT_MS) as made:
            with pytest.raises(RedisUnavailable) as caught:
                await made.client.call(b"GET", b"k", timeout_s=-1)
            assert caught.value.reason == "timeout"
            await asyncio.sleep(0.05)
            fake.reply = lambda _: b"$4\r\ngood\r\n"
            assert await made.client.call(b"GET", b"k") == b"good"

    run(main())


@LOOPS
def test_a_late_reply_is_nobodys(run):
    """Each command is answered after its deadline; the next one gets its own answer or none."""

    async def main() -> None:
        async with FakeRedis(echo) as fake, remote(fake.url, timeout_ms=PATIENT_MS) as made:
            for number in range(30):
                name = b"k%d" % number
                if number % 3 == 0:
                    fake.answers.clear()
                    with pytest.raises(RedisUnavailable):
                        await made.client.call(b"GET", name, timeout_s=0.04)
                    fake.answers.set()
                else:
                    assert await made.client.call(b"GET", name) == name
            assert made.client.nodes[0].connections <= 3

    run(main())


class Deaf(FakeRedis):
    """Reads nothing of a large value, and hangs up later."""

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> list[bytes]:
        words = []
        for _ in range(int((await reader.readline())[1:] or 0)):
            size = int((await reader.readline())[1:])
            if size > 1000:
                await asyncio.sleep(0.2)
                return []
            words.append((await reader.readexactly(size + 2))[:-2])
        return words


@LOOPS
def test_a_large_value_to_a_server_that_does_not_read_waits_for_one_deadline(run, stalls):
    async def main() -> None:
        async with Deaf(lambda _: None) as fake, remote(fake.url, timeout_ms=100) as made:
            began = time.perf_counter()
            with pytest.raises(RedisUnavailable) as caught:
                await made.client.call(b"SET", b"k", bytes(8 << 20))
            assert caught.value.reason == "timeout"
            assert 0.095 < time.perf_counter() - began < 0.2 + stalls.granted_s
            assert made.client.nodes[0].connections <= 1
            await made.store(digest_of(1), bytes(1 << 19))
            assert made.writes == {"error": 1}

    run(main())


@LOOPS
@pytest.mark.parametrize("after", [CLOSE, b"+more\r\n", b"$-1\r\n", b"-ERR late\r\n"])
def test_a_server_that_closes_or_goes_on_after_the_handshake_is_not_asked(run, after):
    """What comes with the last reply of the handshake, and what comes just behind it."""

    async def main() -> None:
        def reply(words: list[bytes]) -> Reply:
            return b"+OK\r\n" + after if words[0] == b"AUTH" else b"+evil\r\n"

        async with FakeRedis(reply) as fake:
            url = fake.url.replace("//", "//:secret@")
            async with remote(url, wait=False) as made:
                await asyncio.sleep(0.2)
                assert not made.client.ready
                assert await made.cache.get(digest_of(1), "a") is None
                # It tries again now and then, and counts the connection that shakes hands at this moment.
                ends = time.monotonic() + WAIT_S
                while any(node.connections for node in made.client.nodes):
                    assert time.monotonic() < ends
                    await asyncio.sleep(0.001)
                assert {words[0] for words in fake.asked} == {b"AUTH"}

    run(main())


@LOOPS
def test_a_server_that_hangs_up_between_two_commands_costs_nobody_an_answer(run):
    async def main() -> None:
        async with (
            FakeRedis(lambda _: b"$4\r\ngood\r\n" + CLOSE) as fake,
            remote(fake.url, timeout_ms=PATIENT_MS) as made,
        ):
            for _ in range(20):
                assert await made.client.call(b"GET", b"k") == b"good"
                await asyncio.sleep(0.005)
            assert made.client.nodes[0].connections <= 1

    run(main())


@LOOPS
def test_calls_that_are_cancelled_at_any_moment_leave_nothing_behind(run):
    """The pool is not used up, and the connection of the one is not the next one's."""

    async def main() -> None:
        async with FakeRedis(echo) as fake, remote(fake.url, timeout_ms=PATIENT_MS) as made:
            for number in range(150):
                task = asyncio.ensure_future(made.client.call(b"GET", b"c%d" % number))
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.0001 * (number % 5))
                task.cancel()
                await asyncio.wait([task])
                assert await made.client.call(b"GET", b"k%d" % number) == b"k%d" % number
            assert made.client.nodes[0].connections <= 3

    run(main())


@pytest.mark.parametrize(
    "trouble", [SILENCE, b"-OOM x\r\n", CLOSE, b"*1\r\n"], ids=["silence", "oom", "close", "array"]
)
def test_trouble_leaves_no_circles(trouble):
    """Nothing of a failed command has to wait for the collector."""

    async def main() -> None:
        async with FakeRedis(lambda _: trouble) as fake, remote(fake.url, timeout_ms=20) as made:

            async def once() -> None:
                with pytest.raises(RedisUnavailable):
                    await made.client.call(b"GET", b"k")

            await once()
            await asyncio.sleep(0.05)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                await once()
                await asyncio.sleep(0.05)
                gc.collect()
                kept = [each for each in gc.garbage if isinstance(each, (LinkBroken, Refused, TimeoutError))]
                assert not kept
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()

    asyncio.run(main())


@LOOPS
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_large_answers_through_a_login_come_whole(run, tls, tmp_path):
    """In many pieces, over both kinds of connection."""
    server = RedisServer(tmp_path, password="a secret", tls=tls)

    async def main() -> None:
        more = {"ca_file": str(server.certificate)} if tls else {}
        async with remote(server.url(), timeout_ms=PATIENT_MS, **more) as made:
            bodies = [bytes([65 + number]) * (900_000 + number) for number in range(6)]
            for number, body in enumerate(bodies):
                await made.store(digest_of(number), body)
            got = await asyncio.gather(*(made.cache.get(digest_of(number), "a") for number in range(6)))
            assert [each.body for each in got] == bodies
            assert (await made.cache.get(digest_of("x"), "a")) is None

    with stopping(server):
        run(main())
