"""A second attempt beside one that is late: what it does to the slowest answers, and what it costs."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.harness import MINIMAL, Canned, Edge, answer, chunked, running

LEARNT = 400
"""Answers before those that are timed: by then the edge knows both upstreams, and may ask a few times beside."""
COUNT = 1000
SLOW_S = 0.8
SLOW_EVERY = 60
"""More often than one in a hundred, so that it is what the 99th percentile tells; far less than the one in twenty that
may be asked twice, since of the quick ones the slowest are too, and whichever comes first takes from the budget."""
CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'


class Bimodal(Canned):
    """Answers at once, but for every `SLOW_EVERY`th request; ``left`` counts the clients that have not waited."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.left = 0
        super().__init__(self.serve)

    def serve(self, seen, connection):
        if next(self.numbers) % SLOW_EVERY == 0:
            connection.settimeout(SLOW_S)
            try:
                if connection.recv(1, 2) == b"":  # MSG_PEEK
                    self.left += 1
                    return None
            except TimeoutError:
                pass
            connection.settimeout(None)
        if b'"stream":true' in seen.body.replace(b" ", b""):
            return chunked([CONTENT, b"data: [DONE]\n\n"])
        return answer(MINIMAL["chat/completions"])


def durations(url, streams):
    """How long the answers took that came after those it learns from, in order."""
    body = {"model": "smart", "messages": [], "stream": streams}
    with httpx2.Client(timeout=20) as client, ThreadPoolExecutor(4) as pool:

        def ask(_):
            begun = time.monotonic()
            assert client.post(url, json=body).status_code == 200
            return time.monotonic() - begun

        return sorted(list(pool.map(ask, range(LEARNT + COUNT)))[LEARNT:])


@pytest.mark.parametrize("streams", [False, True])
def test_hedging_cuts_the_slowest_answers_at_few_calls_more(tmp_path, streams):
    with Bimodal() as first, Bimodal() as second:
        providers = {
            name: {"dialect": "openai", "base_url": f"{each.url}/v1", "models": []}
            for name, each in (("a", first), ("b", second))
        }
        models = {"smart": {"upstreams": [{"to": "a/m"}, {"to": "b/m"}]}}
        found = {}
        for hedges in (False, True):
            config = {
                "providers": providers,
                "models": models,
                "resilience": {"hedge": {"enabled": hedges}},
                "telemetry": {"log": {"level": "error"}},
            }
            edge = Edge(tmp_path, config)
            before = len(first.seen) + len(second.seen)
            with running(edge):
                took = durations(f"{edge.url}/v1/chat/completions", streams)
            calls = len(first.seen) + len(second.seen) - before
            found[hedges] = took[COUNT // 2], took[int(COUNT * 0.99)], calls
            slow = sum(each >= SLOW_S for each in took)
            print(
                f"N={LEARNT}+{COUNT} streams={streams} hedging={hedges}: p50 {found[hedges][0] * 1000:.0f} ms, "
                f"p99 {found[hedges][1] * 1000:.0f} ms, {slow} of {SLOW_S} s, {calls} calls"
            )
    assert found[False][1] >= SLOW_S
    assert found[True][1] <= found[False][1] / 2
    assert LEARNT + COUNT < found[True][2] <= (LEARNT + COUNT) * 1.05
    assert first.left + second.left > 0
