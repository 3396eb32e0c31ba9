"""R13 in a short form: what a mix of requests, of clients that leave and of names that nobody knows takes of memory, which is nothing.

``EDGE_SOAK=1000000`` makes the long form. It prints its N.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
from collections import Counter

import pytest
import uvloop

from tests.asker import Asker, request
from tests.harness import Edge, providers, running, until
from tests.http.test_soak import held

pytestmark = pytest.mark.alone

REQUESTS = int(os.environ.get("EDGE_SOAK") or 6000)
CLIENTS = 48
SAMPLES = 40
CACHE_BYTES = 1 << 20
"""Full after the first requests, so that it is not what grows."""
REMEMBERED = 40e6
"""Bytes of what is remembered of heads, names and lengths, each of which is bounded, and of buffers, once all are full."""
WARM = 200_000
"""Requests after which they are."""
LEAVE_S = 0.03
GROWN = 1.05
PER_100_000 = 1e6
"""Bytes."""
NOISE = 1_500_000
"""Bytes by which an allocator's pages come and go."""
KINDS = ("whole", "whole", "whole", "stream", "stream", "left", "left", "model", "path", "whole")


def asked(kind: str, number: int) -> bytes:
    """Each is one of its own, so that it is put into the cache where it is answered."""
    api = ("chat", "messages")[number // len(KINDS) % 2]
    if kind == "left":
        return request(api, "sim-words-200-tps-400", f"say nonce:n{number}", stream=True)
    if kind == "model":
        return request(api, f"nobodys-{number}", "hi")
    if kind == "path":
        return f"GET /v1/none/{number} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    return request(api, "sim-words-4", f"say nonce:n{number}", stream=kind == "stream")


def test_r13_memory_does_not_grow(simulator, tmp_path):
    told = providers(simulator.url, max_connections=CLIENTS)
    for provider in told.values():
        provider["models"] = ["sim-*"]
    edge = Edge(tmp_path, {"providers": told, "cache": {"mode": "all", "memory": {"max_bytes": CACHE_BYTES}}, "telemetry": {"log": {"level": "error"}}}, forked=False)  # fmt: skip
    numbers = iter(range(REQUESTS))
    counts: Counter[str] = Counter()
    samples: list[tuple[int, int]] = []

    async def client(dice: random.Random) -> None:
        asker = Asker(edge.port)
        for number in numbers:
            if number % max(1, REQUESTS // SAMPLES) == 0:
                samples.append((number, held(edge)[0]))
            kind = KINDS[number % len(KINDS)]
            leave_s = dice.random() * LEAVE_S if kind == "left" else None
            answer = await asker.ask(asked(kind, number), leave_s, reset=number % 4 == 0)
            counts[f"{kind} {answer.status if answer is not None else 'left'}"] += 1
        asker.leave()

    async def all_of_them() -> None:
        await asyncio.gather(*(client(random.Random(number)) for number in range(CLIENTS)))

    with running(edge):
        before = held(edge)[1]
        uvloop.run(all_of_them())
        until(lambda: held(edge)[1] <= before + 2 * CLIENTS + 2)  # what the pools keep
        log = list(edge.process.lines)
    half = [sample for sample in samples if 2 * sample[0] >= REQUESTS]
    slope = statistics.linear_regression([number / 1e5 for number, _ in half], [size for _, size in half]).slope
    first, last = half[0][1], half[-1][1]
    print(
        f"\nR13: {REQUESTS} requests, {dict(counts)}: memory of the worker {first / 1e6:.1f} MB at half of them and {last / 1e6:.1f} MB "
        f"at the end, {slope / 1e6:+.2f} MB per 100,000"
    )
    assert {kind.split()[0] for kind in counts} == set(KINDS)
    assert not {kind for kind in counts if kind.split()[0] in ("whole", "stream") and not kind.endswith(" 200")}
    assert counts["left left"] > 0.5 * REQUESTS * KINDS.count("left") / len(KINDS)
    assert last <= samples[0][1] + REMEMBERED
    if REQUESTS >= 2 * WARM:
        assert last <= GROWN * first
        assert (last - first) <= PER_100_000 * (REQUESTS / 2) / 1e5 + NOISE
    assert "Traceback" not in "\n".join(log)
