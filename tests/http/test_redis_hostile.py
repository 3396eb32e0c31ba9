"""A Redis that is not to be trusted, or no Redis at all: no wrong answer, no exception, nothing that grows."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import resource
import time

import pytest
import uvloop

from edge.cache.envelope import encode
from edge.config import Secret
from edge.redis.client import REASONS
from edge.redis.pipe import RedisUnavailable
from tests.fake_redis import CLOSE, SILENCE, FakeRedis
from tests.redis_harness import PATIENT_MS, RedisServer, digest_of, entry, remote, stopping

DIGEST = digest_of("asked")


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


EVIL = {
    "moved to itself": b"-MOVED 1 127.0.0.1:1\r\n",
    "moved to nowhere": b"-MOVED\r\n",
    "moved to rubbish": b"-MOVED x y z\r\n",
    "ask": b"-ASK 1 127.0.0.1:1\r\n",
    "rubbish": os.urandom(300).replace(b"$", b"x"),
    "an http answer": b"HTTP/1.1 400 Bad Request\r\n\r\n" + CLOSE,
    "half, then silence": b"$100\r\nabc" + SILENCE,
    "nothing": SILENCE,
    "closes": CLOSE,
    "1 GiB to come": b"$1073741824\r\nabc" + SILENCE,
    "1 GiB to come, and closes": b"$1073741824\r\nabc" + CLOSE,
    "a size of many digits": b"$" + b"9" * 5000 + b"\r\n",
    "a negative size": b"$-7\r\n",
    "a size that is none": b"$abc\r\n",
    "an array of half a billion": b"*500000000\r\n" + SILENCE,
    "arrays in arrays": b"*1\r\n" * 1000 + SILENCE,
    "a push": b">2\r\n+invalidate\r\n+x\r\n",
    "a map": b"%1\r\n+a\r\n+b\r\n",
    "a number": b":5\r\n",
    "a word": b"+OK\r\n",
    "an error without a word": b"-\r\n",
    "an error of other bytes": b"-\xff\xfe\xfd \xff\r\n",
    "an error without an end": b"-" + b"x" * 70000 + SILENCE,
    "an endless word": b"+" + b"x" * 5_000_000 + SILENCE,
    "an endless value": b"$4000000\r\n" + b"x" * 5_000_000 + SILENCE,
    "two replies": b"$-1\r\n$-1\r\n",
    "a reply and rubbish": b"$-1\r\nrubbish",
    "empty": b"$0\r\n\r\n",
    "rubbish as a value": bulk(os.urandom(500)),
    "a pickle": bulk(pickle.dumps({"a": 1})),
    "2 MiB": bulk(bytes(2 << 20)),
    "another's answer": bulk(encode(digest_of("another"), "a", entry(b"another's"), None)),
    "another tenant's": bulk(encode(DIGEST, "b", entry(b"another's"), None)),
    "expired": bulk(encode(DIGEST, "a", entry(b"old", -1), None)),
    "keyed": bulk(encode(DIGEST, "a", entry(b"keyed"), b"a secret")),
    **{
        code: f"-{code} something\r\n".encode()
        for code in "LOADING NOAUTH WRONGPASS READONLY OOM CLUSTERDOWN TRYAGAIN MASTERDOWN BUSY NOPERM ERR X".split()
    },
}


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL.keys())
@pytest.mark.parametrize("cluster", [False, True], ids=["one server", "cluster"])
def test_every_reply_but_the_right_one_is_a_miss(evil, cluster, stalls):
    async def main() -> None:
        async with FakeRedis(lambda _: evil, cluster=cluster) as fake, remote(fake.url, cluster=cluster) as made:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(12):
                began = time.perf_counter()
                assert await made.cache.get(DIGEST, "a") is None
                assert time.perf_counter() - began < 0.2 + stalls.granted_s
                assert await made.cache.lease(DIGEST, b"token", 1000) in (None, False, True)
                assert await made.cache.release(DIGEST, b"token") in (None, False)
                made.cache.put(DIGEST, "a", entry(b"x"))
            await made.until(lambda: sum(made.writes.values()) == 12)
            assert "hit" not in made.counts()
            assert sum(made.counts().values()) == 12
            assert all(node.connections <= 17 for node in made.client.nodes)
            assert len(made.log.all) <= 6, made.log.all
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "KiB"

    uvloop.run(main())


@pytest.mark.parametrize("cluster", [False, True], ids=["one server", "cluster"])
def test_a_redirection_is_followed_once_at_most(cluster):
    async def main() -> None:
        async with (
            FakeRedis(lambda _: b"", cluster=cluster) as fake,
            remote(fake.url, cluster=cluster, timeout_ms=PATIENT_MS) as made,
        ):
            for word in ("MOVED", "ASK"):
                fake.reply = lambda words, word=word: (
                    b"+OK\r\n" if words == [b"ASKING"] else f"-{word} 5 127.0.0.1:{fake.port}\r\n".encode()
                )
                for number in range(20):
                    fake.asked.clear()
                    with pytest.raises(RedisUnavailable) as caught:
                        await made.client.call(b"GET", f"k{number}")
                    assert (caught.value.reason, caught.value.code) == ("error", word)
                    assert len([words for words in fake.asked if words[0] == b"GET"]) == (2 if cluster else 1)
            # To a place that is no member, not at all.
            fake.reply = lambda _: b"-MOVED 5 127.0.0.1:1\r\n"
            fake.asked.clear()
            with pytest.raises(RedisUnavailable):
                await made.client.call(b"GET", b"k")
            assert len(fake.asked) == 1
            assert made.client.ready

    uvloop.run(main())


def test_a_reply_that_ends_at_any_byte():
    """Cut at each place, and split at each place: only the whole is an answer."""
    whole = bulk(encode(DIGEST, "a", entry(b"the answer"), None))

    async def main() -> None:
        cut = 0
        good = whole
        async with FakeRedis(lambda _: good) as fake, remote(fake.url, timeout_ms=2000) as made:
            wrong = 0
            for cut in range(len(whole)):
                good = whole[:cut] + CLOSE
                wrong += await made.cache.get(DIGEST, "a") is not None
                good = whole
                found = await made.cache.get(DIGEST, "a")
                assert found is not None, "a good one in between keeps it in service"
                assert found.body == b"the answer"
            assert fake.connections <= 3 * len(whole)
            print(f"\n{wrong} of {len(whole)} replies that broke off were taken for an answer")
            assert wrong == 0
            assert made.counts() == {"hit": len(whole), "error": len(whole)}

    uvloop.run(main())


def test_surplus_bytes_are_not_the_next_ones_reply():
    """A server that says too much, at once or a moment later, to a connection that rests in the pool."""

    async def main() -> None:
        count = 0

        def reply(words: list[bytes]) -> bytes:
            nonlocal count
            count += 1
            return b"$4\r\ngood\r\n" + (b"$4\r\nevil\r\n" if count % 2 else b"")

        async with FakeRedis(reply) as fake, remote(fake.url, timeout_ms=PATIENT_MS) as made:
            for number in range(50):
                assert await made.client.call(b"GET", f"k{number}") == b"good"
                if number % 3 == 0:
                    await asyncio.sleep(0.002)
            assert fake.connections > 20

    uvloop.run(main())


def test_a_server_that_answers_anything_at_all():
    """Pieces of the protocol in any order: the reasons are a closed set, and nothing else comes out of a call."""
    chance = random.Random(11)
    pieces = [
        b"$",
        b"*",
        b"+",
        b"-",
        b":",
        b">",
        b"%",
        b"_",
        b"(",
        b"=",
        b"1",
        b"-1",
        b"999999999",
        b"\r\n",
        b"\n",
        b"OK",
    ]
    pieces += [
        b"MOVED 1 :1",
        b"ASK ",
        b"\x00",
        b"\xff",
        b"3\r\nabc\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",inf\r\n",
        b"!3\r\nerr\r\n",
    ]

    def reply(words: list[bytes]) -> bytes:
        if words[1] == b"good":
            return b"$-1\r\n"
        made = b"".join(chance.choices(pieces, k=chance.randint(1, 6)))
        return made + chance.choice([b"", b"\r\n", CLOSE])

    async def main() -> None:
        seen = {"reply": 0}
        for cluster in (False, True):
            async with (
                FakeRedis(reply, cluster=cluster) as fake,
                remote(fake.url, cluster=cluster, timeout_ms=5) as made,
            ):
                for number in range(400):
                    try:
                        await made.client.call(b"GET", f"k{number}")
                        seen["reply"] += 1
                    except RedisUnavailable as trouble:
                        assert trouble.reason in REASONS
                        assert trouble.code == "" or trouble.code.isupper()
                        seen[trouble.reason] = seen.get(trouble.reason, 0) + 1
                    try:  # keeps it in service; what still comes for the last call may break it off, or be its reply
                        await made.client.call(b"GET", b"good", timeout_s=1)
                    except RedisUnavailable as trouble:
                        assert trouble.reason in REASONS
        print(f"\n{seen}")
        assert seen["error"] > 200

    uvloop.run(main())


@pytest.mark.parametrize(
    "text", [b"$-1\r\n", b":1\r\n", b"+OK\r\n", bulk(b"x y z\n" * 1000), bulk(b"\xff" * 100), b"*0\r\n"]
)
def test_a_layout_that_is_none(text):
    async def main() -> None:
        async with FakeRedis(lambda _: b"+OK\r\n", cluster=True) as fake:
            fake.nodes = lambda: text
            async with remote(fake.url, cluster=True, wait=False) as made:
                await asyncio.sleep(0.5)
                assert await made.cache.get(DIGEST, "a") is None
                assert not made.client.ready
                assert len(made.log.all) <= 4

    uvloop.run(main())


def test_a_cluster_that_always_has_new_members():
    """What is remembered of it is bounded."""
    number = 0

    async def main() -> None:
        nonlocal number

        async with FakeRedis(lambda _: b"$-1\r\n", cluster=True) as fake:

            def nodes() -> bytes:
                nonlocal number
                lines = [f"{'a' * 40} 127.0.0.1:{fake.port}@1 myself,master - 0 0 1 connected 0-16383"]
                for _ in range(300):
                    number += 1
                    lines.append(f"{number:040} 127.1.{number // 250}.{number % 250 + 1}:1@1 slave - 0 0 1 connected")
                text = "\n".join(lines).encode()
                return b"$%d\r\n%b\r\n" % (len(text), text)

            fake.nodes = nodes
            async with remote(fake.url, cluster=True, wait=False) as made:
                for _ in range(6):
                    await asyncio.sleep(0.5)
                    assert len(made.client.nodes) <= 302 + 256
                assert number > 600

    uvloop.run(main())


def test_a_generation_that_cannot_be_confirmed_is_not_used(monkeypatch):
    """The cache may have been cleared behind our back, by those who can still reach the server that has it."""
    monkeypatch.setattr("edge.cache.remote.CONFIRMED_S", 1.5)

    async def main() -> None:
        async with FakeRedis(lambda _: b"$-1\r\n") as fake, remote(fake.url, timeout_ms=PATIENT_MS) as made:
            await asyncio.sleep(2)
            assert made.cache.ready, "confirmed each second"
            fake.generation = b"-CLUSTERDOWN The cluster is down\r\n"
            await made.until(lambda: not made.cache.ready)
            assert made.client.ready
            fake.asked.clear()
            assert await made.cache.get(DIGEST, "a") is None
            made.cache.put(DIGEST, "a", entry(b"x"))
            assert (fake.asked, made.counts(), made.writes) == ([], {"unready": 1}, {"dropped": 1})
            fake.generation = b"$1\r\n7\r\n"
            await made.until(lambda: made.cache.ready)
            assert made.cache.generation == 7

    uvloop.run(main())


def test_poisoned_values_in_a_real_redis(tmp_path):
    """Whoever can write there cannot make up an answer, nor pass one on as another's."""
    server = RedisServer(tmp_path)

    async def main() -> None:
        async with remote(server.url(), timeout_ms=PATIENT_MS, hmac_key=Secret("k" * 32)) as made:
            for number in range(3):
                await made.store(digest_of(number), f"answer {number}".encode())
            keys = sorted(key for key in server.cli("--scan").split() if not key.endswith(":gen"))
            assert len(keys) == 3
            values = [await made.client.call(b"GET", key) for key in keys]
            tried = 0
            for key in keys:
                genuine = await made.client.call(b"GET", key)
                others = [value for value in values if value != genuine]
                forged = [
                    encode(digest_of(n), "a", entry(b"forged"), secret) for n in range(3) for secret in (None, b"x")
                ]
                for value in (*others, *forged, pickle.dumps([1]), genuine[:-1], genuine + b"x", b"", bytes(3 << 20)):
                    await made.client.call(b"SET", key, value)
                    for number in range(3):
                        found = await made.cache.get(digest_of(number), "a")
                        assert found is None or found.body == f"answer {number}".encode()
                    tried += 1
                await made.client.call(b"SET", key, genuine)
            # Another kind of value under a live key.
            await made.client.call(b"DEL", keys[0])
            server.cli("RPUSH", keys[0], "x")
            misses = [await made.cache.get(digest_of(number), "a") for number in range(3)].count(None)
            assert misses == 1
            print(f"\n{tried} poisoned values: 0 wrong answers")
            assert made.counts()["corrupt"] == tried

    with stopping(server):
        uvloop.run(main())
