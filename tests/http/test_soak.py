"""R25 in a short form: a mix of requests, and one fault after the other. No errors but of what a fault cuts off.

``EDGE_SOAK_S=1800`` makes the long form, half an hour with a fault each minute. It prints its N.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from tests.asker import Answer, Steady, request
from tests.fault_proxy import FaultProxy, Faults
from tests.harness import Edge, Simulator, running
from tests.http.test_lifecycle import children
from tests.redis_harness import RedisServer, stopping

pytestmark = [pytest.mark.early, pytest.mark.pairs]

SECONDS = float(os.environ.get("EDGE_SOAK_S") or 18)
EVERY_S = min(60.0, SECONDS / 9)
"""From one fault to the next; a third of it the fault lasts, the rest is there to recover."""
RATE = 60
WORKERS = 2
ASKED_AGAIN = 40
"""So many questions are asked again and again."""
DUE = 0.9999
"""The share of answers that are right, of those which no fault can have touched."""
GROWN = 1.25
CUTTING = {"a worker is killed", "the first provider resets"}
"""Faults that cut off answers of which their clients have a part already; of the others nobody is to feel anything."""


class Mixed(Steady):
    """Chat and messages, JSON and streams, new questions and such as were asked before."""

    def __init__(self, edge: Edge) -> None:
        super().__init__(edge.port, RATE, self.request)

    def form(self, number: int) -> tuple[str, bool, str]:
        """The API, whether it streams, and the name that the answer repeats."""
        asked_again = number % 4 == 0
        name = f"again{number // 4 % ASKED_AGAIN:04}" if asked_again else f"new{number:08}"
        return ("chat", "messages")[number // 8 % 2], number // 2 % 2 == 1, name

    def request(self, number: int) -> bytes:
        api, stream, name = self.form(number)
        return request(api, f"{api}-smart", f"say nonce:{name}", stream=stream)

    def right(self, number: int, answer: Answer) -> bool:
        """A whole answer. That of somebody else is an error of another kind."""
        api, stream, name = self.form(number)
        told = answer.body.count(b"nonce:")
        assert told == answer.body.count(f"nonce:{name}".encode()), f"{name} was told {answer.body!r}"
        return answer.complete(api, stream=stream) and told == 1


class Trouble:
    """The faults by their names: each begins when it is called, and is a function that ends it."""

    def __init__(self, edge: Edge, redis: RedisServer, to_redis: FaultProxy, to_first: FaultProxy) -> None:
        self.edge, self.redis = edge, redis
        self.kinds: dict[str, Callable[[], Callable[[], None]]] = {
            "a worker is killed": self.kill_worker,
            "Redis is frozen": self.freeze,
            "Redis is killed": self.kill_redis,
            "Redis is slow and resets": self.noise(to_redis, Faults(jitter_s=0.05, reset_share=0.02)),
            "Redis is a black hole": self.noise(to_redis, Faults(black_hole=True)),
            "the first provider refuses": self.noise(to_first, Faults(refuse=True)),
            "the first provider resets": self.noise(to_first, Faults(reset_after=700)),
            "the first provider is late": self.noise(to_first, Faults(latency_s=0.2)),
            "the configuration is read again": self.reload,
        }

    def kill_worker(self) -> Callable[[], None]:
        os.kill(random.choice(children(self.edge.process.pid)), signal.SIGKILL)
        return lambda: None

    def freeze(self) -> Callable[[], None]:
        self.redis.signal(signal.SIGSTOP)
        return lambda: self.redis.signal(signal.SIGCONT)

    def kill_redis(self) -> Callable[[], None]:
        self.redis.kill()
        return self.redis.start

    def noise(self, proxy: FaultProxy, faults: Faults) -> Callable[[], Callable[[], None]]:
        def begin() -> Callable[[], None]:
            proxy.faults = faults
            return lambda: setattr(proxy, "faults", Faults())

        return begin

    def reload(self) -> Callable[[], None]:
        os.kill(self.edge.process.pid, signal.SIGHUP)
        return lambda: None


def configuration(first: str, second: str, redis: str) -> dict:
    dialects = {"chat": "openai", "messages": "anthropic"}
    return {
        "server": {"workers": WORKERS},
        "providers": {
            f"{name}-{api}": {"dialect": dialect, "base_url": f"{url}/v1", "models": [], "max_connections": 100}
            for name, url in (("a", first), ("b", second))
            for api, dialect in dialects.items()
        },
        "models": {
            f"{api}-smart": {
                "strategy": "failover",
                "upstreams": [{"to": f"{name}-{api}/sim-words-8"} for name in "ab"],
            }
            for api in dialects
        },
        "resilience": {"connect_s": 2, "first_content_s": 2, "idle_s": 2, "total_s": 20},
        "cache": {"mode": "all", "redis": {"url": redis}, "memory": {"ttl_s": 5}},
        "telemetry": {"log": {"level": "error"}},
    }


@contextmanager
def everything(folder: Path) -> Iterator[tuple[Edge, Trouble]]:
    redis, first, second = RedisServer(folder), Simulator(), Simulator()
    with (
        stopping(redis),
        running(first, second),
        FaultProxy(redis.port) as to_redis,
        FaultProxy(int(first.url.rpartition(":")[2])) as to_first,
    ):
        edge = Edge(folder, configuration(to_first.url, second.url, f"redis://127.0.0.1:{to_redis.port}"), forked=False)
        with running(edge):
            yield edge, Trouble(edge, redis, to_redis, to_first)


def held(edge: Edge) -> tuple[int, int]:
    """Bytes of memory of the workers that no file is behind, and how many files they have open."""
    found = children(edge.process.pid)
    lines = [line for pid in found for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    anonymous = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    return anonymous, sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in found)


def test_r25_a_fault_each_minute_is_felt_by_nobody_whom_it_does_not_cut_off(tmp_path):
    dice = random.Random(25)
    faults: list[tuple[str, float, float]] = []

    async def main(edge: Edge, trouble: Trouble) -> tuple[Mixed, list[tuple[int, int]]]:
        load, sizes = Mixed(edge), []
        asking = asyncio.ensure_future(load.run())
        begun = time.monotonic()
        bag: list[str] = []
        while time.monotonic() - begun < SECONDS:
            await asyncio.sleep(EVERY_S / 3)
            sizes.append(held(edge))
            bag = bag or dice.sample(list(trouble.kinds), len(trouble.kinds))
            name, since = bag.pop(), time.monotonic()
            end = await asyncio.to_thread(trouble.kinds[name])
            await asyncio.sleep(EVERY_S / 3)
            await asyncio.to_thread(end)
            faults.append((name, since, time.monotonic()))
            await asyncio.sleep(EVERY_S / 3)
        sizes.append(held(edge))
        load.stopped = True
        await asking
        return load, sizes

    with everything(tmp_path) as (edge, trouble):
        load, sizes = uvloop.run(main(edge, trouble))
        log = [line for line in edge.process.lines if "internal error" in line or "Traceback" in line]
    cuts = [(since, until + EVERY_S / 6) for name, since, until in faults if name in CUTTING]
    right: Counter[bool] = Counter()
    cut = 0
    wrong = []
    for number, answer in load.answers:
        fine = load.right(number, answer)
        if any(first <= answer.asked_at + answer.took_s and answer.asked_at <= last for first, last in cuts):
            cut += not fine
        else:
            right[fine] += 1
            wrong += [] if fine else [(number, answer.status, answer.body[-200:])]
    share = right[True] / right.total()
    (memory, files), (memory_at_end, files_at_end) = sizes[1], sizes[-1]
    print(
        f"\nR25: {len(load.answers)} requests in {SECONDS:.0f} s, {len(faults)} faults: {share:.3%} of {right.total()} right, and {cut} "
        f"that a fault cut off; nobody was told another's answer; workers' memory {memory / 1e6:.0f} MB, "
        f"{memory_at_end / 1e6:.0f} MB at the end, open files {files}, {files_at_end}"
    )
    assert len(load.answers) > 0.8 * RATE * SECONDS
    assert share >= DUE, wrong[:5]
    assert memory_at_end <= GROWN * memory
    assert log == []
