"""Identical requests that are in flight at the same time share one upstream call, whoever comes and goes."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from dataclasses import dataclass

import httpx2
import pytest

from tests.harness import WAIT_S, Canned, Client, Edge, answer, chunked, providers, running

pytestmark = pytest.mark.early

CHAT = "/v1/chat/completions"


@dataclass
class Got:
    """What one client saw: seconds to the first byte and to the end, when that was, the head and the body without its framing."""

    first_s: float = 0.0
    took_s: float = 0.0
    ended_at: float = 0.0
    head: bytes = b""
    body: bytes = b""

    @property
    def cache(self) -> str:
        lines = self.head.split(b"\r\n")
        return next((line[14:].decode() for line in lines if line.startswith(b"x-edge-cache: ")), "")

    @property
    def complete(self) -> bool:
        return self.head.startswith(b"HTTP/1.1 200") and self.body.endswith(b"data: [DONE]\n\n")


def dechunked(data: bytes) -> bytes:
    body = bytearray()
    at = 0
    while (end := data.find(b"\r\n", at)) > at and (size := int(data[at:end], 16)):
        body += data[end + 2 : end + 2 + size]
        at = end + size + 4
    return bytes(body)


async def ask(port, model, said, *, stream=True, leave_s=None, slow=False, **more):
    """One request over a connection of its own. `slow` reads four kilobytes every 50 ms."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": said}], "stream": stream, **more})
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    got = Got()
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096 if slow else 1 << 20)
    try:
        async with asyncio.timeout(leave_s):
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
            got.head = await reader.readuntil(b"\r\n\r\n")
            rest = b""
            while data := await reader.read(4096 if slow else 65536):
                got.first_s = got.first_s or time.perf_counter() - begun
                rest += data
                if slow:
                    await asyncio.sleep(0.05)
            got.body = dechunked(rest) if b"transfer-encoding: chunked" in got.head else rest
            got.ended_at = time.perf_counter()
            got.took_s = got.ended_at - begun
    except TimeoutError:
        pass
    finally:
        writer.close()
    return got


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    config = {
        "providers": providers(simulator.url),
        "cache": {"mode": "all"},
        "resilience": {"idle_s": 5, "total_s": 20, "retries": 0},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def fresh():
    return f"nonce:c{random.getrandbits(64):016x}"


def crowd(*asked):
    async def all_of_them():
        return await asyncio.gather(*asked)

    return asyncio.run(all_of_them())


async def until(condition):
    """Wait for it, of which each look may block."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.01)


def behind(simulator, first, *others):
    """What all of them got, of whom the others come when the provider has the first one's request."""

    async def all_of_them():
        before = simulator.count()
        leading = asyncio.create_task(first)
        await until(lambda: simulator.count() > before)
        return await asyncio.gather(leading, *others)

    return asyncio.run(all_of_them())


def metric(edge, name):
    found = re.search(rf"^{name} (\S+)$", httpx2.get(f"{edge.url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0


def joined(edge):
    """How many requests have joined others so far."""
    return metric(edge, "edge_cache_joined_total")


def under_way(edge):
    """How many requests have come and have no answer yet."""
    return metric(edge, "edge_requests_in_flight")


def test_r19_a_crowd_makes_one_call_and_its_first_may_leave(edge, simulator):
    """Five hundred, of which the first leaves when the others are there, and twenty come in the middle of the answer."""
    before, said, model = simulator.count(), fresh(), "sim-words-100-ttft-3000-tps-25"

    async def all_of_them():
        first = asyncio.create_task(ask(edge.port, model, said))
        await until(lambda: simulator.count() > before)
        others = [asyncio.create_task(ask(edge.port, model, said)) for _ in range(479)]
        await until(lambda: joined(edge) == 479)
        first.cancel()
        late = [asyncio.create_task(ask(edge.port, model, said)) for _ in range(20)]
        return [None, *await asyncio.gather(*others, *late)]

    got = asyncio.run(all_of_them())
    calls = simulator.count() - before
    stayed, late = got[1:], sorted(one.first_s for one in got[480:])
    right = sum(one.complete and said.removeprefix("nonce:") in one.body.decode() for one in stayed)
    print(f"\nR19: {calls} upstream call, {right} of {len(stayed)} right, late ones' first byte p50 ", end="")
    print(f"{late[10] * 1000:.1f} ms, max {late[-1] * 1000:.1f} ms")
    assert calls == 1
    assert right == 499
    assert len({one.body for one in stayed}) == 1
    assert {one.cache for one in stayed} <= {"joined", "memory"}


def test_who_comes_late_gets_what_there_is_and_then_the_rest_as_it_comes(edge, simulator, stalls):
    before, said, model = simulator.count(), fresh(), "sim-words-40-tps-10"

    async def late():
        await asyncio.sleep(0.6)
        return await ask(edge.port, model, said)

    first, late = behind(simulator, ask(edge.port, model, said), late())
    assert simulator.count() == before + 1
    assert (first.cache, late.cache) == ("miss", "joined")
    assert first.body == late.body
    assert late.first_s < 0.25 + stalls.granted_s
    assert late.took_s > 0.2
    assert abs(late.ended_at - first.ended_at) < 0.3 + stalls.granted_s


def test_the_last_to_leave_cancels_the_call(edge, simulator):
    before, said, model = simulator.count(), fresh(), "sim-words-200-tps-20"
    crowd(*(ask(edge.port, model, said, leave_s=0.2 + n / 10) for n in range(4)))
    entry = simulator.entry(before, lambda entry: entry["left"] is not None)
    assert entry["done_at"] is None
    # And the next one begins anew.
    assert crowd(ask(edge.port, "sim-words-5", said))[0].cache == "miss"


def test_json_joins_a_stream_that_tells_its_tokens(edge, simulator):
    before, said, model = simulator.count(), fresh(), "sim-words-20-tps-10"
    stream, whole = behind(
        simulator,
        ask(edge.port, model, said, stream_options={"include_usage": True}),
        ask(edge.port, model, said, stream=False),
    )
    assert simulator.count() == before + 1
    assert whole.cache == "joined"
    answer = json.loads(whole.body)
    said_so = "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
        for line in stream.body.decode().splitlines()
        if line.startswith("data: {") and json.loads(line[6:])["choices"]
    )
    assert answer["choices"][0]["message"]["content"] == said_so
    assert answer["usage"]["completion_tokens"] > 0


def test_json_does_not_wait_for_a_stream_that_does_not_and_streams_do_not_wait_for_json(edge, simulator):
    before, said, model = simulator.count(), fresh(), "sim-words-20-tps-40-ttft-2000"

    async def all_of_them():
        asked = []
        for calls, stream in ((1, True), (2, False), (2, False), (2, True)):
            asked.append(asyncio.create_task(ask(edge.port, model, said, stream=stream)))
            await until(lambda calls=calls: simulator.count() == before + calls)
        return await asyncio.gather(*asked)

    assert [one.cache for one in asyncio.run(all_of_them())] == ["miss", "miss", "joined", "joined"]
    assert simulator.count() == before + 2


def test_a_failure_is_everybodys(edge, simulator):
    before, said = simulator.count(), fresh()
    got = crowd(*(ask(edge.port, "sim-ttft-1500-500", said, stream=False) for _ in range(5)))
    assert {one.head[9:12] for one in got} == {b"500"}
    assert simulator.count() == before + 1
    broken = crowd(*(ask(edge.port, "sim-words-30-ttft-1500-tps-50-cut-9", said) for _ in range(5)))
    assert len({one.body for one in broken}) == 1
    assert b"upstream_stream_broken" in broken[0].body
    assert b"[DONE]" not in broken[0].body


def test_a_follower_with_less_time_leaves_alone(edge, simulator):
    async def both(said):
        before, model = simulator.count(), "sim-words-40-tps-10"
        first = asyncio.create_task(ask(edge.port, model, said))
        await until(lambda: simulator.count() > before)
        async with httpx2.AsyncClient() as client:
            body = {"model": model, "messages": [{"role": "user", "content": said}], "stream": True}
            hurried = await client.post(edge.url + CHAT, json=body, headers={"x-edge-timeout-ms": "300"})
        return await first, hurried

    first, hurried = asyncio.run(both(fresh()))
    assert first.complete
    assert '"code":"timeout"' in hurried.text
    assert "[DONE]" not in hurried.text


def test_a_slow_follower_holds_nobody(edge, simulator):
    """It gets everything, later."""
    before, said, model = simulator.count(), fresh(), "sim-words-2000"
    slow, *others = crowd(
        ask(edge.port, f"{model}-ttft-1500", said, slow=True),
        *(ask(edge.port, f"{model}-ttft-1500", said) for _ in range(5)),
    )
    assert simulator.count() == before + 1
    assert slow.complete
    assert all(one.complete for one in others)
    assert max(one.took_s for one in others) < slow.took_s / 2


def test_joining_can_be_turned_off_and_refused(simulator, front, tmp_path):
    config = {"providers": providers(simulator.url), "cache": {"mode": "all", "join": False}}
    made = Edge(tmp_path, config, front=front)
    with running(made):
        before, said = simulator.count(), fresh()
        crowd(*(ask(made.port, "sim-ttft-300", said) for _ in range(3)))
        assert simulator.count() == before + 3


def test_no_cache_does_not_join(edge, simulator):
    async def both(said):
        first = asyncio.create_task(ask(edge.port, "sim-ttft-1500", said, stream=False))
        await until(lambda: simulator.count() > before)
        async with httpx2.AsyncClient() as client:
            body = {"model": "sim-ttft-1500", "messages": [{"role": "user", "content": said}], "stream": False}
            await client.post(edge.url + CHAT, json=body, headers={"cache-control": "no-cache"})
        await first

    before = simulator.count()
    asyncio.run(both(fresh()))
    assert simulator.count() == before + 2


def test_a_stream_whose_time_is_over_ends_once(simulator, front, tmp_path):
    """The flight's clock and its follower's run out at the same look: only one of them may say so."""
    config = {"providers": providers(simulator.url), "cache": {"mode": "all"}, "resilience": {"total_s": 1}}
    made = Edge(tmp_path, config, front=front)
    with running(made):
        clients = [Client(made.port) for _ in range(16)]
        for client in clients:
            body = {"model": "sim-words-200-tps-20", "stream": True, "messages": [{"role": "user", "content": fresh()}]}
            client.post(CHAT, json.dumps(body).encode())
        for client in clients:
            _, headers = client.head()
            assert client.body(headers).count(b'"code":"timeout"') == 1
        time.sleep(0.3)
        for client in clients:
            # What comes next on the connection is the answer to the next request, and nothing before it.
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
            client.post(CHAT, json.dumps(body).encode())
            status, headers = client.head()
            assert status == 200
            assert json.loads(client.body(headers))["object"] == "chat.completion"
            client.sock.close()


def test_a_stream_that_cannot_be_told_as_json_is_asked_for_once_more_not_by_each(front, tmp_path):
    """It was asked to tell its tokens, and does not: who waits for JSON has a call of its own, and shares that."""
    event = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,%b}]}\n\n'
    said = event % b'"delta":{"content":"x"},"finish_reason":null'
    rest = event % b'"delta":{},"finish_reason":"stop"' + b"data: [DONE]\n\n"

    def upstream(seen, connection):
        if b'"stream": true' not in seen.body:
            time.sleep(1.5)
            return answer(b'{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"x"}}]}')
        connection.sendall(chunked([said], end=False))
        time.sleep(2)
        return chunked([rest]).partition(b"\r\n\r\n")[2]

    with Canned(upstream) as canned:
        made = Edge(tmp_path, {"providers": providers(canned.url), "cache": {"mode": "all"}}, front=front)
        with running(made):
            tells = {"stream_options": {"include_usage": True}}

            async def all_of_them():
                first = asyncio.create_task(ask(made.port, "gpt-4o", "hi", **tells))
                await until(lambda: canned.seen)
                return await asyncio.gather(
                    first, *(ask(made.port, "gpt-4o", "hi", stream=False, **tells) for _ in range(12))
                )

            stream, *others = asyncio.run(all_of_them())
    assert stream.complete
    assert {other.head[9:12] for other in others} == {b"200"}
    assert len(canned.seen) == 2
    assert sorted({other.cache for other in others}) == ["joined", "miss"]
    assert {line for other in others for line in other.head.split(b"\r\n") if b"attempts" in line} == {
        b"x-edge-attempts: 1"
    }
