"""What is printed: rows of measurements as they come, then the targets, met or missed. Markdown, as in RESULTS.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from benchmarks.load import Load
from benchmarks.process import DISTURBED

__all__ = ["TURNS", "Beside", "Report", "added_in_turns", "in_turns", "mark"]

TURNS = 7
"""How often what is compared takes its turn: a machine that slows down for a while does so for all of a turn."""

HEAD = (
    "| | CPU µs per unit | x nginx | units/s | p50 ms | p99 ms | p99.9 ms | errors | RSS MiB | cores busy |\n"
    + "|---" * 10
    + "|"
)


def mark(others: float) -> str:
    return " †" if others > DISTURBED else ""


@dataclass
class Report:
    """Prints every line at once and keeps it in ``lines``."""

    lines: list[str] = field(default_factory=list)
    targets: list[tuple[str, str, str, bool]] = field(default_factory=list)
    """What, the limit, what was measured, whether it is met."""

    def say(self, text: str = "") -> None:
        print(text, flush=True)
        self.lines += text.splitlines() or [""]

    def section(self, title: str, head: str = HEAD) -> None:
        self.say(f"\n## {title}\n\n{head}")

    def row(self, name: str, load: Load, yardstick: Load | None = None) -> Load:
        """One line; `yardstick` is nginx at the same work."""
        ratio = f"{load.cpu_us / yardstick.cpu_us:.1f}" if yardstick is not None else ""
        latencies = " | ".join(f"{value:.2f}" for value in (load.p50_ms, load.p99_ms, load.p999_ms))
        cells = f"{load.cpu_us:.1f} | {ratio} | {load.rate:,.0f} | {latencies} | {load.errors:,}"
        cores = f"{load.server_core:.0%}, {load.load_core:.0%}"
        self.say(f"| {name}{mark(load.others)} | {cells} | {load.rss_kib / 1024:.0f} | {cores} |")
        return load

    def missing(self, name: str, why: str, columns: int = 10) -> None:
        """A row that could not be measured."""
        self.say(f"| {name} | {why} " + "| " * (columns - 2) + "|")

    def target(self, what: str, limit: float, measured: float, unit: str) -> None:
        """`measured` is to be at most `limit`, both in `unit`."""
        shown = f"{measured:.2f} {unit}" if unit else f"{measured:g}"
        self.targets.append((what, f"<= {limit:g} {unit}".strip(), shown, measured <= limit))

    def conclude(self) -> bool:
        """Print the targets that were measured; whether all are met."""
        missed = [what for what, _, _, met in self.targets if not met]
        if self.targets:
            self.section("Targets", "| | target | measured | |\n|---|---|---|---|")
            for what, limit, measured, met in self.targets:
                self.say(f"| {what} | {limit} | {measured} | {'met' if met else '**missed**'} |")
            self.say(f"\nMissed: {'; '.join(missed)}." if missed else "\nAll targets are met.")
        return not missed


class Beside(NamedTuple):
    """A measurement, and what its unit costs beside the yardstick's of the same turn."""

    load: Load
    ratio: float


def in_turns(report: Report, seconds: float, *measured: tuple[str, Callable[..., Load]]) -> list[Beside]:
    """Measure what has these names, one after the other, for a third of `seconds` each and `TURNS` times; the first is
    the yardstick. The row of each is the turn in which it cost the median beside the yardstick.
    """
    turns = [[measure(seconds=max(1.0, seconds / 3)) for _, measure in measured] for _ in range(TURNS)]
    found = []
    for place, (name, _) in enumerate(measured):
        turn = sorted(turns, key=lambda each: each[place].cpu_us / (each[0].cpu_us if place else 1.0))[TURNS // 2]
        report.row(name, turn[place], turn[0] if place else None)
        found.append(Beside(turn[place], turn[place].cpu_us / turn[0].cpu_us))
    return found


def added_in_turns(
    report: Report, seconds: float, plain: tuple[str, Callable[..., Load]], ours: tuple[str, Callable[..., Load]]
) -> tuple[float, float]:
    """Measure the two one after the other, for half of `seconds` each and `TURNS` times: the milliseconds that ours
    takes longer, p50 and p99, each the median of the turns. What the machine does to one turn is in its p99, and in no
    other's. The rows are those of the turn in which the p99 was that much longer.
    """
    turns = [[measure(seconds=max(1.0, seconds / 2)) for _, measure in (plain, ours)] for _ in range(TURNS)]
    turns.sort(key=lambda turn: turn[1].p99_ms - turn[0].p99_ms)
    middle = turns[TURNS // 2]
    for (name, _), load in zip((plain, ours), middle, strict=True):
        report.row(name, load)
    return median(each.p50_ms - base.p50_ms for base, each in turns), middle[1].p99_ms - middle[0].p99_ms
