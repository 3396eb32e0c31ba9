"""``python -m benchmarks.redaction``: what it takes to look a request's body through, in microseconds of one thread.

The body is a chat of about a kilobyte, clean, or with five findings: an e-mail address, a telephone number, a card, a
social security number and an IP address.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median

from edge import config
from edge._fast import COMPILED
from edge.guard.answers import Watch
from edge.guard.pii import redact_now
from edge.guard.policy import Policy
from edge.slices import finished

PROSE = "Please help me write a short and friendly letter to our customer about the delay of the order. "
FOUND = "I am alice.smith@example.com, +1 415 555 0100, card 4111 1111 1111 1111, ssn 219-09-9999, from 203.0.113.7. "
ROUNDS, CALLS = 15, 500
MOST = {"mask, five findings": 40.0}
"""Microseconds that are promised on the compiled build."""


def body(text: str) -> bytes:
    turns = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]
    return json.dumps({"model": "gpt-4o", "messages": turns, "temperature": 0.2, "max_tokens": 256}).encode()


def microseconds(call: Callable[[], object]) -> float:
    """The median of rounds, each the mean of its calls."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.thread_time_ns()
        for _ in range(CALLS):
            call()
        rounds.append((time.thread_time_ns() - begun) / CALLS / 1000)
    return median(rounds)


def rows() -> list[tuple[str, float]]:
    clean, full = body(PROSE * 9), body(PROSE * 4 + FOUND + PROSE * 4)
    measured = []
    for mode in ("detect", "mask", "pseudonymize"):
        policy = Policy(mode, config.Pii(), b"s" * 32)
        for name, asked in (("clean", clean), ("five findings", full)):
            measured.append((f"{mode}, {name}", microseconds(lambda p=policy, b=asked: redact_now(p, b))))
    masking = Policy("mask", config.Pii())
    measured.append(("a whole answer, five findings", microseconds(lambda: finished(Watch(masking).answer(full)))))
    chunks = [
        f'data: {{"choices":[{{"index":0,"delta":{{"content":"{word} "}}}}]}}\n\n'.encode() for word in PROSE.split()
    ]
    watch = Watch(masking)

    def stream() -> None:
        for chunk in chunks:
            watch.feed(chunk)

    measured.append(("a word of a streamed answer", microseconds(stream) / len(chunks)))
    return measured


def main() -> None:
    print(f"{'compiled' if COMPILED else 'pure'} build, microseconds\n\n| what | takes | at most |\n|---|---|---|")
    missed = False
    for name, took in rows():
        most = MOST.get(name) if COMPILED else None
        missed = missed or (most is not None and took > most)
        print(f"| {name} | {took:.1f} | {'' if most is None else f'{most:.0f}'} |")
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
