"""What it costs to choose among ten upstreams: the decision alone, and a forwarded request beside one to a lone one."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from time import perf_counter
from timeit import Timer
from typing import get_args

from benchmarks.load import CHAT, Load, wrk
from benchmarks.process import Server
from benchmarks.subjects import CHAT_PATH, Edge, Simulator
from benchmarks.table import Report
from edge import config
from edge._fast import COMPILED
from edge.call import Call
from edge.guard.auth import ANYONE
from edge.guard.validate import Reading, check_body
from edge.head import Head, varying_of
from edge.routes import match
from edge.state import State, build_state
from edge.upstreams.choice import Candidates

__all__ = ["UPSTREAMS", "aliases", "decision_us", "routing_section"]

UPSTREAMS = 10
STRATEGIES: tuple[config.Strategy, ...] = get_args(config.Strategy)
LONG = 100_000
"""Bytes of a long conversation, of which affinity looks at the beginning."""
DECISIONS = 2000
REPEATS = 5
TURNS = 6
"""Pairs of measurements, one after the other, of which the median ratio counts: the machine's mood is in both."""
DECISION_US = 10.0
"""Microseconds that a decision may take. The seed promised less than a millisecond."""


class Asked(Call):
    """A request that is decided on and not sent: its reply goes nowhere."""

    def start(self, status: int, headers: object, size: object = None) -> None:
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


def aliases(count: int) -> dict[str, dict]:
    """The section ``models``: for each strategy an alias of `count` upstreams, models of the provider ``openai``, of
    unequal weight.
    """
    return {
        f"{strategy}-{count}": {
            "strategy": strategy,
            "upstreams": [{"to": f"openai/gpt-4o-{n}", "weight": 1 + n % 3} for n in range(count)],
        }
        for strategy in STRATEGIES
    }


def asked(state: State, alias: str, bytes_more: int = 0) -> Asked:
    """A chat of 300 bytes, or of many turns, as the gateway has it before it is sent."""
    chat = json.loads(CHAT) | {"model": alias}
    turns = [{"role": role, "content": "word " * 100} for role in ("assistant", "user")]
    while bytes_more > len(json.dumps(chat)):
        chat["messages"] += turns * 20
    found = match(CHAT_PATH.encode())
    assert found is not None
    call = Asked(Head(found, "POST", CHAT_PATH.encode(), b"", []), varying_of([]), "", 0.0, state)
    call.body = json.dumps(chat).encode()
    check_body(call, Reading(call.body))
    call.grant = state.grant(ANYONE, alias, found.route)
    return call


def decision_us(strategy: config.Strategy, bytes_more: int = 0) -> float:
    """Microseconds from a request to the upstream that it is to go to, what is taken there included; best of some."""
    provider = config.Provider(dialect="openai", base_url="http://127.0.0.1:1/v1", priced_as="openai")
    alias = f"{strategy}-{UPSTREAMS}"
    made = {name: config.Model(**_typed(each)) for name, each in aliases(UPSTREAMS).items() if name == alias}
    state = build_state(config.Config(providers={"openai": provider}, models=made))
    call = asked(state, alias, bytes_more)
    for n, member in enumerate(call.grant.choices[0].members):
        trial = member.begin(1.0)
        trial.first_content(1.1 + n / 10)
        trial.finished(3.0, 100.0)

    def decide() -> None:
        now = perf_counter()
        candidates = Candidates(call)
        if not candidates.next(now, True):
            raise RuntimeError("nobody is there to ask")
        candidates.trial.cancelled(now)

    return min(Timer(decide).repeat(REPEATS, DECISIONS)) / DECISIONS * 1e6


def _typed(alias: dict) -> dict:
    return {**alias, "upstreams": [config.Target(**target) for target in alias["upstreams"]]}


def routing_section(report: Report, seconds: float) -> None:
    decisions(report)
    forwarded(report, seconds)


def decisions(report: Report) -> None:
    """In this process, by the build that it runs. Of a long conversation all is looked through for what an account of a
    provider keeps, whatever the strategy.
    """
    build = "compiled" if COMPILED else "pure"
    report.section(
        f"A decision among {UPSTREAMS} upstreams, {build} build",
        "| strategy | µs | µs, a long conversation |\n|---|---|---|",
    )
    for strategy in STRATEGIES:
        short, long = decision_us(strategy), decision_us(strategy, LONG)
        report.say(f"| `{strategy}` | {short:.2f} | {long:.2f} |")
        if COMPILED:
            report.target(f"decision among {UPSTREAMS}, `{strategy}`", DECISION_US, short, "µs")


def forwarded(report: Report, seconds: float) -> None:
    """A chat by an alias of ten, and by one of one, in turns."""
    report.section(f"JSON by an alias of {UPSTREAMS} upstreams beside one of one, per request, {TURNS} turns each")
    with ExitStack() as stack:
        upstream = Simulator()
        stack.callback(upstream.stop)
        edge = Edge(upstream.url, models={**aliases(1), **aliases(UPSTREAMS)})
        stack.callback(edge.stop)
        for strategy in ("round_robin", "affinity"):
            ratio = paired(report, edge, strategy, max(1.0, seconds / 3))
            report.target(f"forwarded by `{strategy}` among {UPSTREAMS}, CPU beside a lone upstream", 1.05, ratio, "x")


def paired(report: Report, edge: Server, strategy: str, seconds: float) -> float:
    """Measure both in turns, print the row of each turn that is the median, and return the median of the ratios."""
    load: Callable[[int], Load] = partial(_load, edge, strategy, seconds)
    turns = [(load(1), load(UPSTREAMS)) for _ in range(TURNS)]
    turns.sort(key=lambda pair: pair[1].cpu_us / pair[0].cpu_us)
    one, ten = turns[TURNS // 2]
    report.row(f"edge, `{strategy}` of one", one)
    report.row(f"edge, `{strategy}` of {UPSTREAMS}", ten)
    return statistics.median([ten.cpu_us / one.cpu_us for one, ten in turns])


def _load(edge: Server, strategy: str, seconds: float, count: int) -> Load:
    body = json.dumps(json.loads(CHAT) | {"model": f"{strategy}-{count}"})
    return wrk(edge, edge.url + CHAT_PATH, seconds=seconds, body=body)
