"""``make proof``: the long runs, and what they have found, at the end of RESULTS.md with commit, machine and date.
A part of them renews its own rows.

They are the measurements of `make bench`, with the other gateways that `make bench-peers` has brought; R1, whether
anybody gets anybody else's answer; R13, whether memory grows; R25, whether a fault each minute is felt by anybody whom
it does not cut off; and the instructions that each Python executes for a request. All run whatever became of the one
before; it ends with 1 if one has failed. With the defaults that takes about three hours.
"""

from __future__ import annotations

import argparse
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

from benchmarks.results import LONG, RESULTS, commit, keep_long_runs, long_runs, machine
from edge._fast import COMPILED
from tests.output import follow, heeding_termination

__all__ = ["Found", "Run", "main", "runs", "written"]

ROOT = Path(__file__).parents[1]
PYTEST = ("-m", "pytest", "-q", "-s", "--tb=short", "-p", "no:cacheprovider")
SHOWN = 60
"""Lines of a failed run that are printed."""
ORDER = ("bench", "R1", "R13", "R25")
"""The rows of the table of long runs."""
TITLE = ": instructions per "
"""Is in what a count says of itself first."""
COUNTED = "## Instructions of "
"""Begins the title of a table of instructions, which a Python's name ends."""


@dataclass(frozen=True)
class Run:
    """``arguments`` are Python's; ``said`` finds in the output what is kept of it."""

    name: str
    arguments: tuple[str, ...]
    said: Callable[[str], list[str]]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What came of a run: ``lines`` are those that it said."""

    run: Run
    code: int
    seconds: float
    lines: list[str]


def line_of(name: str) -> Callable[[str], list[str]]:
    """What a test prints of itself: a line that begins with its name."""
    return lambda output: re.findall(rf"^\.?{name}[:,] ?(.*)$", output, re.MULTILINE)


def table_of(output: str) -> list[str]:
    """The title and the rows of what is counted, whatever else is said among them."""
    lines = [line for line in output.splitlines() if line.startswith("|") or TITLE in line]
    return [line for line in lines if not line.endswith("failed")]


def targets_of(output: str) -> list[str]:
    """Which targets are missed, if any; the rest it keeps itself."""
    return re.findall(r"^(Missed: .*|All targets are met)\.$", output, re.MULTILINE)


def runs(requests: int, seconds: float, bench: str, pythons: list[str]) -> tuple[Run, ...]:
    """All: R1 and R13 of so many `requests`, R25 of so many `seconds`; `bench` has arguments of `make bench`."""
    count = {"EDGE_SOAK": str(requests)}
    return (
        Run("bench", ("-m", "benchmarks", "--write", *shlex.split(bench)), targets_of),
        Run("R1", (*PYTEST, "-k", "r1", "tests/http/test_cache_figures.py"), line_of("R1"), count),
        Run("R13", (*PYTEST, "tests/http/test_memory_figures.py"), line_of("R13"), count),
        Run("R25", (*PYTEST, "tests/http/test_soak.py"), line_of("R25"), {"EDGE_SOAK_S": f"{seconds:g}"}),
        *(
            Run(f"instructions {number}", ("-m", "benchmarks.instructions", "--python", python), table_of)
            for number, python in enumerate(pythons, 1)
        ),
    )


def carried_out(run: Run) -> Found:
    print(f"== {run.name}: python {' '.join(run.arguments)}", flush=True)
    begun = time.monotonic()
    output: list[str] = []
    code, _ = follow((sys.executable, *run.arguments), ROOT, run.environment, output.append)
    took = time.monotonic() - begun
    lines = run.said("".join(output))
    print("".join(output[-SHOWN:]) if code else "\n".join(lines), flush=True)
    return Found(run, code, took, lines)


def written(found: list[Found], before: str = "") -> list[str]:
    """The section of the results. What `before`, the section until now, has of runs that are not in `found` stays: each
    row says itself when it was found, of which tree, and on what machine.
    """
    section = partial(re.findall, string=before, flags=re.MULTILINE)
    rows = {name: row for row, name in section(r"^(\| (\w+) \|.*)$") if name in ORDER}
    tables = dict(section(rf"^{COUNTED}(.*)\n\n((?:.+\n)*)"))
    for each in found:
        if each.run.name.startswith("instructions"):
            if each.lines and not each.code:  # of one that has failed it may be what it complains of
                title, *table = each.lines
                tables[title.partition(":")[0]] = "\n".join(table) + "\n"
        else:
            said = "; ".join(each.lines).replace("|", "/") or ("see above" if not each.code else "")
            code = "**failed**" if each.code else "passed"
            rows[each.run.name] = f"| {each.run.name} | {code} | {each.seconds:.0f} | {where()} | {said} |"
    return [
        LONG,
        "",
        "By `make proof`, or a part of it.",
        "",
        "| run | | seconds | tree and machine | what it found |",
        "|---|---|---|---|---|",
        *(rows[name] for name in ORDER if name in rows),
        *(f"\n{COUNTED}{title}\n\n{table.rstrip()}" for title, table in tables.items()),
    ]


def where() -> str:
    """What is measured, when, and on what."""
    build = "compiled" if COMPILED else "pure"
    return f"{commit()}, {date.today()}; {machine()}; Python {platform.python_version()}, {build} build"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proof", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="of bench, R1, R13, R25, instructions")
    parser.add_argument("--requests", type=int, default=1_000_000, help="of R1 and R13 (default 1,000,000)")
    parser.add_argument("--seconds", type=float, default=1800, help="of R25 (default 1800)")
    parser.add_argument("--bench", default="", metavar="ARGUMENTS", help="what make bench measures (default: all)")
    parser.add_argument(
        "--python", action="append", default=[], metavar="PATH", help="another one whose edge is counted"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"the file (default {RESULTS.name})")
    options = parser.parse_args(arguments)
    plan = runs(options.requests, options.seconds, options.bench, [sys.executable, *options.python])
    names = {run.name.split()[0] for run in plan}
    if unknown := [name for name in options.only if name not in names]:
        parser.error(f"there is no run {unknown[0]}: choose from {', '.join(sorted(names))}")
    with heeding_termination():
        found = [carried_out(run) for run in plan if not options.only or run.name.split()[0] in options.only]
    keep_long_runs(written(found, long_runs(options.out)), options.out)
    print(f"wrote {options.out}")
    return int(any(each.code for each in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
