"""A swarm whose clients look at every answer: is it theirs? ``python -m tests.crosstalk`` is one process of it.

Two tenants ask the same questions, partly over and over, of an edge in front of `tests.stamped`. A fifth of the clients
leaves at a random moment.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

import uvloop

from tests.asker import Answer, Asker, request
from tests.harness import clean_environment

NONCE = re.compile(rb"nonce:([A-Za-wyz0-9]+)x([0-9]+)")
PACES = ("", "", "-ttft-20", "-tps-400", "-drip-300")
REPEATED = 0.8
"""The share of requests that ask what others ask too."""
LEAVING = 0.2
LEAVE_S = 0.04
AT_ONCE = 8
"""So many questions are everybody's at a time; each process moves on to the next after `STEP` requests."""
STEP = 30


@dataclass
class Found:
    """What became of the requests: ``counts`` by state (memory, redis, joined, miss; failed: an error that says so;
    left), ``wrong`` has one line for each answer that should not be, ``serials`` those that each tenant was told.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    serials: dict[str, set[int]] = field(default_factory=dict)

    def add(self, other: Found) -> None:
        self.counts += other.counts
        self.wrong += other.wrong
        for tenant, serials in other.serials.items():
            self.serials.setdefault(tenant, set()).update(serials)

    def judge(self, tenant: str, api: str, stream: bool, name: str, answer: Answer) -> None:
        """Is it right, an honest failure, or wrong?"""
        told = NONCE.findall(answer.body)
        if any(mine.decode() != name for mine, _ in told) or answer.body.count(b"nonce:") != len(told):
            self.wrong.append(f"{name} was told {told[:3]}")
            return
        if len(told) > 1:
            self.wrong.append(f"{name} was told twice: {told[:3]}")
        self.serials.setdefault(tenant, set()).update(int(serial) for _, serial in told)
        if answer.complete(api, stream=stream):
            if not told:
                self.wrong.append(f"{name} got a whole answer without a nonce: {answer.body[-200:]!r}")
            self.counts[answer.cache or "no state"] += 1
        elif answer.status == 502 or (answer.status == 200 and stream and b'"error"' in answer.body):
            self.counts["failed"] += 1
        else:
            self.wrong.append(f"{name} got {answer.status}: {answer.body[-200:]!r}")


async def client(port: int, tokens: dict[str, str], count: int, mark: str, rng: random.Random, found: Found) -> None:
    asker = Asker(port)
    for turn in range(count):
        tenant = rng.choice(list(tokens))
        api, model, stream = rng.choice(("chat", "messages")), "", rng.random() < 0.5
        if rng.random() < REPEATED:
            number = turn // STEP * AT_ONCE + rng.randrange(AT_ONCE)
            name, pace = f"all{number:05}", PACES[number % len(PACES)]
        else:
            name, pace = f"{mark}t{turn:05}", rng.choice(PACES)
        if api == "messages" and len(pace) > 6:
            model = "openai/"  # by translation
        content = request(api, f"{model}sim-words-5{pace}", f"say nonce:{name}", stream=stream, key=tokens[tenant])
        leave_s = rng.random() * LEAVE_S if rng.random() < LEAVING else None
        answer = await asker.ask(content, leave_s, reset=rng.random() < 0.5)
        if answer is None:
            found.counts["left"] += 1
        else:
            found.judge(tenant, api, stream, name, answer)
    asker.leave()


async def swarm(port: int, tokens: dict[str, str], clients: int, count: int, mark: str) -> Found:
    """`clients` at a time, `count` requests in all."""
    found = Found()
    each = -(-count // clients)
    async with asyncio.timeout(600 + count / 100):  # 100 a second, on a machine that does other things too
        await asyncio.gather(
            *(
                client(port, tokens, each, f"{mark}c{number:03}", random.Random(f"{mark} {number}"), found)
                for number in range(clients)
            )
        )
    return found


def run(port: int, tokens: dict[str, str], *, processes: int, clients: int, count: int) -> Found:
    """The swarm from so many processes, each with `clients` and its share of `count` requests."""
    orders = [
        {"port": port, "tokens": tokens, "clients": clients, "count": count // processes, "mark": f"p{number}"}
        for number in range(processes)
    ]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.crosstalk"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(),
            text=True,
        )
        for _ in orders
    ]
    total = Found()
    try:
        for child, order in zip(children, orders, strict=True):
            child.stdin.write(json.dumps(order))
            child.stdin.close()
        for child in children:
            output = child.stdout.read()
            assert child.wait(10) == 0, output
            told = json.loads(output)
            serials = {tenant: set(numbers) for tenant, numbers in told["serials"].items()}
            total.add(Found(Counter(told["counts"]), told["wrong"], serials))
    finally:
        for child in children:
            child.kill()
            child.wait(5)
            child.stdout.close()
    return total


if __name__ == "__main__":
    done = uvloop.run(swarm(**json.load(sys.stdin)))
    told = {tenant: sorted(numbers) for tenant, numbers in done.serials.items()}
    json.dump({"counts": done.counts, "wrong": done.wrong[:20], "serials": told}, sys.stdout)
