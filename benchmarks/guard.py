"""``python -m benchmarks.guard``: what it takes to guard a request, in microseconds of one thread.

Its key is found, it is counted by the minute and at a time, tokens and money are reserved and settled, and a clean body
is looked through, a chat of about a kilobyte. Each row is what that adds to the plain way of the same request through
the gateway, from its head to its being settled, without a provider: the difference of two such ways, which take turns.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.redaction import PROSE, body
from edge import config
from edge._fast import COMPILED
from edge.config.file import parse
from edge.errors import ClientClosedRequest, Headers
from edge.gateway import Gateway
from edge.guard.auth import new_key
from edge.guard.expected import expected_input, expected_output
from edge.head import Head, varying_of
from edge.hooks import Usage
from edge.replies import ClientCall
from edge.routes import match
from edge.server.compose import compose

ROUNDS, CALLS = 25, 400
MOST = 6.0
"""Microseconds for all of it, on the compiled build."""
TOKEN, DIGEST = new_key("bench")
USED = Usage(input=250, output=20)
PATH = b"/v1/chat/completions"
PLAIN: Headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
HEADS: dict[int, Head] = {}
"""What a head says is found out once for all requests that have it, so it is no part of what is measured."""
LEFT = ClientClosedRequest()
LIMITS = {"requests_per_minute": 1_000_000_000, "concurrency": 1000}
QUOTAS = {"tokens_per_minute": 1_000_000_000, "budget": {"usd": 1_000_000, "per": "day"}}
GUARDS: dict[str, tuple[dict[str, Any], str]] = {
    "a key": ({}, "off"),
    "a key with limits of requests": (LIMITS, "off"),
    "a key with limits of tokens and money": (QUOTAS, "off"),
    "a key, a clean body looked through": ({}, "detect"),
    "all of it": (LIMITS | QUOTAS, "detect"),
}


class Asked(ClientCall):
    """A request whose reply goes nowhere."""

    def start(self, status: int, lines: bytes, size: int | None) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def end(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def congested(self) -> bool:
        return False

    def when_room(self, room: object) -> None:
        pass


def gateway(key: dict[str, Any] | None, pii: str, folder: Path) -> Gateway:
    told: dict[str, Any] = {
        "providers": {"openai": {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1", "api_keys": ["sk"]}},
        "telemetry": {"log": {"level": "error"}},
        "pii": {"request": pii},
        "limits": {"file": str(folder / "spend.sqlite")},
    }
    if key is not None:
        told["auth"] = {"keys": [{"id": "bench", "digests": [DIGEST], **key}]}
    settings: config.Config = parse(json.dumps(told), "bench.json", {})
    return compose(settings).gateway


def way(made: Gateway, asked: bytes, fields: Headers) -> Asked:
    """A request through the gateway, but for the provider."""
    head = HEADS.setdefault(len(fields), Head(match(PATH), "POST", PATH, b"", fields))
    call = Asked(head, varying_of(fields), "", 0.0, made.state)
    made.open(call)
    call.body = asked
    made.admit(call)
    if call.reservation is not None:
        call.reservation.take(expected_input(call), expected_output(call), None)
        call.reservation.used(USED, 1)
    made.cancel(call, LEFT)
    return call


def once(made: Gateway, asked: bytes, fields: Headers) -> float:
    begun = time.thread_time_ns()
    for _ in range(CALLS):
        way(made, asked, fields)
    return (time.thread_time_ns() - begun) / CALLS / 1000


def rows() -> list[tuple[str, float]]:
    asked = body(PROSE * 9)
    keyed = [*PLAIN, (b"authorization", b"Bearer " + TOKEN.encode())]
    measured = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = gateway(None, "off", folder)
        for what, (key, pii) in GUARDS.items():
            guarded = gateway(key, pii, folder)
            call = way(guarded, asked, keyed)
            assert call.ledger.error is LEFT, call.ledger.error  # else it was refused, and nothing is measured
            assert (call.reservation is not None) is ("budget" in key)
            once(guarded, asked, keyed)
            rounds = [once(guarded, asked, keyed) - once(plain, asked, PLAIN) for _ in range(ROUNDS)]
            measured.append((what, median(rounds)))
    return measured


def main() -> None:
    print(f"{'compiled' if COMPILED else 'pure'} build, microseconds\n\n| what | takes | at most |\n|---|---|---|")
    missed = False
    for what, took in rows():
        most = MOST if COMPILED and what == "all of it" else None
        missed = missed or (most is not None and took > most)
        print(f"| {what} | {took:.1f} | {'' if most is None else f'{most:.0f}'} |")
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
