"""What a trace of requests would have come to under another configuration.

Its requests go, at their times, through the real grants, limits, candidates, breakers, places, retry budget and cache,
on a virtual clock, and a key that was asked to rest does. What providers answered is taken from the trace: an upstream
that was asked for the same request answers as it did; one that was not gives one of its own answers, or, if it was
never asked, anybody's, drawn by a seed. So the same trace, configuration and seed give the same result.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import msgspec
from xxhash import xxh3_64_intdigest

from edge import config
from edge._fast import LFUCache, Limits
from edge.cache.key import owner_of
from edge.errors import EdgeError
from edge.guard.auth import ANYONE, Key
from edge.hooks import Usage
from edge.money.pricing import PICO
from edge.routes import ON_REQUEST, match
from edge.state import State, build_state
from edge.telemetry.trace_file import SECOND_NS, Began, Traced, reading_of
from edge.trace import Line, Recorded, boots
from edge.upstreams.budget import RetryBudget
from edge.virtual import Asking, Clock, Virtual

__all__ = ["Outcome", "recorded", "replay", "table"]

CELLS = 1 << 12
MINUTE_NS = 60 * SECOND_NS
HIT_S = 0.001
"""What an answer from memory takes."""
Form = tuple[bool, bool]
"""Of an answer: whether it is a stream, and one that tells its tokens because it was asked to."""
JSON, STREAM, TELLING = (False, False), (True, False), (True, True)
FORMS_FROM: dict[Form, tuple[Form, ...]] = {
    JSON: (JSON, STREAM, TELLING),
    STREAM: (STREAM,),
    TELLING: (JSON, STREAM, TELLING),
}
"""What can be served from an answer that was stored in a form, where tokens are told on request alone."""
BYTES_A_TOKEN, AROUND = 4, 600
"""An answer's size, for the cache: of each token, and of what stands around the text."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """``same`` of ``compared`` requests were answered as recorded: by the same upstream after as many attempts, from
    the cache, or with the same status. ``shares`` are the parts of the answers that each upstream gave. Times are in
    seconds, of the requests that were answered.
    """

    requests: int
    answered: int
    refused_429: int
    failed: int
    hits: int
    joined: int
    attempts: int
    cost_usd: float
    p50_s: float
    p99_s: float
    shares: dict[str, float]
    same: int
    compared: int


@dataclass(slots=True)
class Tally:
    durations: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    cost: int = 0
    attempts: int = 0
    hits: int = 0
    joined: int = 0
    refused: int = 0
    failed: int = 0
    same: int = 0
    compared: int = 0

    def outcome(self, requests: int) -> Outcome:
        durations, given = sorted(self.durations), sum(self.answers.values()) or 1
        return Outcome(
            requests=requests,
            answered=len(durations),
            refused_429=self.refused,
            failed=self.failed,
            hits=self.hits,
            joined=self.joined,
            attempts=self.attempts,
            cost_usd=self.cost / PICO,
            p50_s=percentile(durations, 0.5),
            p99_s=percentile(durations, 0.99),
            shares={name: number / given for name, number in sorted(self.answers.items())},
            same=self.same,
            compared=self.compared,
        )


def recorded(lines: Iterable[Line]) -> Outcome:
    """What the trace itself came to."""
    tally, requests = Tally(), 0
    for line in lines:
        if not isinstance(line, Traced):
            continue
        requests += 1
        tally.attempts += 0 if line.cache == "joined" else line.attempts
        tally.cost += max(0, line.cost)
        tally.hits += line.cache in ("memory", "redis")
        tally.joined += line.cache == "joined"
        if line.status == 429:
            tally.refused += 1
        elif line.status != 200:
            tally.failed += 1
        else:
            tally.durations.append(line.duration_s)
            if line.attempts and line.cache != "joined":
                tally.answers[f"{line.provider}/{line.upstream_model}"] += 1
    return tally.outcome(requests)


class Worker:
    """One worker's state, cache, flights and retry budget."""

    def __init__(self, settings: config.Config, seed: int) -> None:
        self.state: State = build_state(settings, seed=seed)
        self.cache = LFUCache(settings.cache.memory.max_bytes)
        self.flights: dict[tuple[bytes, bool, bool], Asking] = {}
        """By digest and form, as `edge.cache.flight.Flights` has them."""
        self.budget = RetryBudget()


class Replay:
    """One run under a configuration, of a trace from one start of the machine to the next."""

    def __init__(
        self, lines: list[Line], settings: config.Config, seed: int, providers: Recorded, tally: Tally
    ) -> None:
        self._settings = settings
        self._requests = [line for line in lines if isinstance(line, Traced)]
        self._runs: dict[str, tuple[int, int]] = {}
        """By requests: their worker, and the seed that it had. One that began again has another."""
        seeds: dict[int, int] = {}
        for line in lines:
            if isinstance(line, Began):
                seeds[line.worker] = line.seed
            else:
                self._runs[line.id] = line.worker, seeds.get(line.worker, seed)
        self._clock = Clock()
        self._virtual = Virtual(self._clock, providers, random.Random(seed), self._over)
        self._workers: dict[tuple[int, int], Worker] = {}
        self._keys: dict[str, Key | None] = {}
        most = max([1, *(line.worker for line in self._requests)])
        self._limits = Limits(bytearray(Limits.size(CELLS, most) + 16), CELLS, most)
        self._tally = tally

    def run(self) -> None:
        for line in self._requests:
            self._clock.call_at(reading_of(line.at_ns), partial(self._arrive, line))
        self._clock.run()

    def _worker(self, line: Traced) -> Worker:
        run = self._runs[line.id]
        if run not in self._workers:
            self._workers[run] = Worker(self._settings, run[1])
        return self._workers[run]

    def _key(self, worker: Worker, key_id: str) -> Key | None:
        if worker.state.auth.open:
            return ANYONE
        if key_id not in self._keys:
            self._keys[key_id] = worker.state.auth.named(key_id)
        return self._keys[key_id]

    def _arrive(self, line: Traced) -> None:
        now, worker = self._clock.now, self._worker(line)
        key = self._key(worker, line.key)
        if key is None:
            self._end(line, now, 401)
            return
        if not self._admits(line, key):
            self._end(line, now, 429)
            return
        found = match(line.endpoint.encode())
        if found is None or not line.model or (not line.provider and line.status in (400, 404, 405, 413, 415)):
            self._leave(line, key)
            self._end(line, now + line.duration_s, line.status)
            return
        try:
            grant = worker.state.grant(key, line.model, found.route)
        except EdgeError as error:
            self._leave(line, key)
            self._end(line, now, error.status)
            return
        running = Asking(self._virtual, worker.budget, line, worker.state, key, grant, found)
        if grant.cache != "off" and line.cache != "bypass" and line.body:
            owner = owner_of(self._settings.cache.scope, key.tenant, key.id)
            named = f"{owner}/{line.endpoint}/{line.model}/{line.cache_key or line.body}"
            running.digest = xxh3_64_intdigest(named.encode()).to_bytes(8, "big") * 4
            form, can_be_told = form_of(line, found.route.api), found.route.api not in ON_REQUEST
            stored: Form | None = worker.cache.get(running.digest, now)  # type: ignore[assignment]
            if stored is not None and (can_be_told or form in FORMS_FROM[stored]):
                self._tally.hits += 1
                self._leave(line, key)
                self._end(line, now + HIT_S, 200, cache="memory")
                return
            flight = worker.flights.get((running.digest, *form))
            if flight is None and not line.stream:  # JSON may wait for a stream that tells its tokens
                flight = worker.flights.get((running.digest, True, not can_be_told))
            if flight is not None and self._settings.cache.join:
                flight.followers.append(line)
                return
            running.form = form
            worker.flights[(running.digest, *form)] = running
        self._clock.call_at(reading_of(line.at_ns + line.asked_ns), running.start)

    def _admits(self, line: Traced, key: Key) -> bool:
        """Take of the key's limits."""
        if key.concurrency is not None:
            mark = xxh3_64_intdigest(b"concurrency:" + key.id.encode())
            if self._limits.acquire(line.worker, mark, key.concurrency) is not True:
                return False
        if key.requests_per_minute is not None:
            mark = xxh3_64_intdigest(b"requests:" + key.id.encode())
            interval = max(1, MINUTE_NS // key.requests_per_minute)
            if self._limits.take(mark, interval, key.requests_per_minute, 1, line.at_ns):
                self._leave(line, key)
                return False
        return True

    def _leave(self, line: Traced, key: Key) -> None:
        if key.concurrency is not None:
            self._limits.release(line.worker, xxh3_64_intdigest(b"concurrency:" + key.id.encode()))

    def _over(self, running: Asking, status: int) -> None:
        """The request, and those that have joined it, have their answer."""
        now, line, worker, upstream = self._clock.now, running.line, self._worker(running.line), running.upstream
        self._tally.attempts += running.attempts
        self._leave(line, running.key)
        if status == 200 and upstream is not None:
            self._tally.answers[upstream.names[0]] += 1
            if upstream.price is not None and line.input_tokens >= 0:
                usage = Usage(line.input_tokens, max(0, line.output_tokens), max(0, line.cached_tokens))
                self._tally.cost += upstream.price.cost(usage)
        self._end(line, now, status, running)
        if running.digest:
            worker.flights.pop((running.digest, *running.form), None)
            if status == 200:
                size = 2 * (BYTES_A_TOKEN * max(0, line.output_tokens) + AROUND)
                worker.cache.put(running.digest, running.form, size, now + self._settings.cache.memory.ttl_s, now)
        for follower in running.followers:
            self._tally.joined += 1
            if (key := self._key(worker, follower.key)) is not None:
                self._leave(follower, key)
            self._end(follower, now, status, cache="joined")

    def _end(
        self, line: Traced, now: float, status: int, running: Asking | None = None, *, cache: str = "miss"
    ) -> None:
        tally = self._tally
        if status == 429:
            tally.refused += 1
        elif status != 200:
            tally.failed += 1
        else:
            tally.durations.append(now - reading_of(line.at_ns))
        tally.compared += 1
        if status != 200 or line.status != 200:
            tally.same += status == line.status
        elif running is None:
            tally.same += line.cache == cache
        elif running.upstream is not None:
            asked = running.upstream.provider.name, running.upstream.model, running.attempts
            tally.same += line.attempts > 0 and asked == (line.provider, line.upstream_model, line.attempts)


def form_of(line: Traced, api: str) -> Form:
    """The form that a request wants its answer in."""
    return line.stream, line.tells_usage and api in ON_REQUEST


def replay(lines: list[Line], settings: config.Config, seed: int = 1) -> Outcome:
    """What a trace comes to under a configuration. Raises OSError as `edge.state.build_state`."""
    tally, providers = Tally(), Recorded(lines, seed)
    for part in boots(lines):
        Replay(part, settings, seed, providers, tally).run()
    return tally.outcome(sum(isinstance(line, Traced) for line in lines))


def percentile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def table(columns: dict[str, Outcome]) -> list[str]:
    """The outcomes side by side, under their names."""
    outcomes = list(columns.values())
    rows: list[tuple[str, list[str]]] = [
        ("requests", [str(each.requests) for each in outcomes]),
        ("answered", [str(each.answered) for each in outcomes]),
        ("refused, 429", [str(each.refused_429) for each in outcomes]),
        ("failed", [str(each.failed) for each in outcomes]),
        ("hits", [str(each.hits) for each in outcomes]),
        ("joined", [str(each.joined) for each in outcomes]),
        ("attempts", [str(each.attempts) for each in outcomes]),
        ("cost, USD", [f"{each.cost_usd:.6f}" for each in outcomes]),
        ("p50, ms", [f"{each.p50_s * 1000:.0f}" for each in outcomes]),
        ("p99, ms", [f"{each.p99_s * 1000:.0f}" for each in outcomes]),
    ]
    names = sorted({name for each in outcomes for name in each.shares})
    rows += [(name, [f"{each.shares.get(name, 0.0):.1%}" for each in outcomes]) for name in names]
    rows.append(("as recorded", [f"{each.same} of {each.compared}" for each in outcomes]))
    first = max(len(what) for what, _ in rows)
    widths = [max(len(name), *(len(row[n]) for _, row in rows)) for n, name in enumerate(columns)]
    lines = ["  ".join(["".ljust(first), *(name.rjust(width) for name, width in zip(columns, widths, strict=True))])]
    for what, row in rows:
        lines.append("  ".join([what.ljust(first), *(each.rjust(w) for each, w in zip(row, widths, strict=True))]))
    return lines
