"""R3 in a short form: whatever an upstream does, nothing that a client has had output of is asked for again.

The ledgers of the upstreams are the truth. ``EDGE_SOAK=100000`` makes the long form.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from typing import Any

import httpx2
import pytest
import uvloop

from tests.asker import PATHS, Answer, Asker, request
from tests.harness import Edge, Simulator, running
from tests.http.test_outages import WIDTH

pytestmark = pytest.mark.early

REQUESTS = int(os.environ.get("EDGE_SOAK") or 900)
ROUND = 3000
"""A ledger keeps 20,000 entries, so it is read after so many requests."""
BEFORE = (
    "500",
    "503-noretry",
    "429-noretry",
    "529-noretry",
    "rst",
    "hang",
    "hang-1",
    "cut",
    "cut-1",
    "garbage",
    "html",
)
AFTER = ("words-20-cut-8", "words-20-rst-1500", "words-20-half-9", "words-20-inband-7", "words-20-hang-9")
"""Faults before the first content of a stream, and after it. Of an answer that comes whole all are before."""
MARK = {"chat": b'"finish_reason":"stop"', "messages": b'"stop_reason":"end_turn"'}


def config(first: str, second: str) -> dict[str, Any]:
    """An alias for each fault, in each dialect; the breakers let every fault happen again."""
    dialects = {"chat": "openai", "messages": "anthropic"}
    providers = {
        f"{name}-{api}": {"dialect": dialect, "base_url": f"{url}/v1", "models": []}
        for name, url in (("a", first), ("b", second))
        for api, dialect in dialects.items()
    }
    models = {
        f"{api}-{fault}": {
            "strategy": "failover",
            "upstreams": [{"to": f"a-{api}/sim-{fault}"}, {"to": f"b-{api}/sim-words-20"}],
        }
        for api in dialects
        for fault in (*BEFORE, *AFTER, "words-20")
    }
    clocks = {"connect_s": 2, "first_content_s": 2.5, "attempt_s": 2.5, "idle_s": 2.5, "total_s": 20}
    return {
        "providers": providers,
        "models": models,
        "resilience": {**clocks, "retries": 2, "breaker": {"failures": 1_000_000}},
        "telemetry": {"log": {"level": "error"}},
    }


def calls(edge: Edge) -> int:
    """As the edge has counted them."""
    text = httpx2.get(f"{edge.url}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("edge_upstream_requests_total{")]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


def test_r3_nothing_is_asked_for_again_once_output_has_gone_out(simulator, front, tmp_path):
    """Nine tenths of the requests meet a fault, in streams and whole answers of both dialects."""
    rng = random.Random(3)
    second = Simulator()
    counts: Counter[str] = Counter()
    wrong: list[str] = []

    async def ask(asker: Asker, number: int) -> tuple[str, str, str, bool, Answer]:
        api, stream = rng.choice(list(PATHS)), rng.random() < 0.6
        fault = "words-20" if rng.random() < 0.1 else rng.choice(BEFORE + AFTER)
        nonce = f"nonce:r3n{number:06}"
        got = await asker.ask(request(api, f"{api}-{fault}", f"say {nonce}", stream=stream))
        assert got is not None
        return nonce, api, fault, stream, got

    async def play(numbers: range) -> list[tuple[str, str, str, bool, Answer]]:
        left, found = iter(numbers), []

        async def client() -> None:
            asker = Asker(edge.port)
            found.extend([await ask(asker, number) for number in left])
            asker.leave()

        await asyncio.gather(*(client() for _ in range(WIDTH)))
        return found

    with running(second):
        edge = Edge(tmp_path, config(simulator.url, second.url), front=front)
        with running(edge):
            at = simulator.count(), second.count()
            begun = sum(at)
            for first in range(0, REQUESTS, ROUND):
                before = at
                found = uvloop.run(play(range(first, min(first + ROUND, REQUESTS))))
                ledgers = [each.ledger(since) for each, since in zip((simulator, second), before, strict=True)]
                outputs = [by_nonce(ledger) for ledger in ledgers]
                at = simulator.count(), second.count()
                for nonce, api, fault, stream, got in found:
                    state = judge(api, fault, stream, nonce, got, [each[nonce] for each in outputs])
                    counts[state.partition(":")[0]] += 1
                    if state.startswith("wrong"):
                        wrong.append(f"{nonce} {api} {fault} {stream}: {state}")
            made, counted = sum(at) - begun, calls(edge)
    print(
        f"\nR3: N={REQUESTS}, {counts['whole']} whole, {counts['broke']} broke off after output, {counts['wrong']} wrong; "
        f"{made} calls in the ledgers, {made / REQUESTS:.2f} a request, {made - counted} of them over a fresh connection "
        "since the kept one was closed"
    )
    assert wrong == []
    assert min(counts["whole"], counts["broke"]) > REQUESTS * 0.1
    assert 0 <= made - counted < REQUESTS * 0.1, "a call is counted once, over however many connections"


def by_nonce(ledger: list[dict[str, Any]]) -> defaultdict[str, list[int]]:
    """How much output each call for a request was given, in bytes."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row in ledger:
        found[row["nonce"]].append(row["generated"] if row["status"] == 200 else 0)
    return found


def judge(api: str, fault: str, stream: bool, nonce: str, got: Answer, outputs: list[list[int]]) -> str:
    """What became of a request: whole, broke (with an error that says so, and nobody else asked) or wrong, and why.
    `outputs` are those of the calls for it, by the first upstream and by the second.
    """
    if got.status != 200:
        return f"wrong: {got.status}"
    if got.complete(api, stream=stream):
        told, ends = got.body.count(nonce.encode()), got.body.count(MARK[api])
        if (told, ends) != (1, 1):
            return f"wrong: told {told} times, with {ends} ends"
        return "whole" if len(outputs[1]) <= 1 else f"wrong: the second one was asked {len(outputs[1])} times"
    if not stream or fault not in AFTER:
        return "wrong: it broke off, and another could have answered"
    if b'"error"' not in got.body:
        return "wrong: it broke off without a word"
    # A kept connection that was closed without a byte does not count: the request goes over a fresh one.
    once = sum(each > 0 for each in outputs[0]) == 1 and outputs[0][-1] > 0
    return "broke" if once and not outputs[1] else f"wrong: asked for again after output, {outputs}"
