"""``python -m benchmarks.micro [MODULE ...] [--write]``: medians of both builds, and what the compiled one gains.

Each figure is pyperf's median over several processes.
"""

from __future__ import annotations

import importlib
import platform
import sys
import timeit
from datetime import date
from pathlib import Path

import pyperf

from benchmarks.micro.case import Case

MODULES = ["balancer", "fields", "json", "key", "lfu", "limits", "member", "scan", "slots", "sse"]
RESULTS = Path(__file__).with_name("RESULTS.md")
PROCESSES, VALUES, MIN_TIME_S = 5, 5, 0.02


def cases(names: list[str]) -> list[Case]:
    return [case for name in names for case in importlib.import_module(f"benchmarks.micro.{name}_cases").CASES]


def measure(runner: pyperf.Runner, case: Case, build: str) -> float | None:
    """Seconds of one statement; None in a worker process, and where the build is not here."""
    prepared: list[timeit.Timer] = []

    def run(loops: int) -> float:
        if not prepared:
            module = importlib.import_module(f"edge._fast._{case.module}{'_c' if build == 'compiled' else ''}")
            prepared.append(timeit.Timer(case.statement, globals=case.setup(module)))
        return prepared[0].timeit(loops)

    bench = runner.bench_time_func(f"{case.module}: {case.name}, {build}", run)
    return bench.median() if bench is not None and bench.get_nvalue() else None


def figure(case: Case, seconds: float | None) -> str:
    return "" if seconds is None else f"{case.shown(seconds):,.0f} {'MB/s' if case.size else 'ns'}"


def row(case: Case, pure: float | None, compiled: float) -> str:
    gain = pure / compiled if pure else None
    met = case.met(case.shown(compiled)) and (case.ratio is None or gain is None or gain >= case.ratio)
    target = "" if case.limit is None else f"{'>=' if case.size else '<='} {case.limit:,.0f}"
    mark = "" if case.limit is None and case.ratio is None else "met" if met else "**missed**"
    shown = f"{gain:.1f} x" if gain else ""
    figures = f"{figure(case, compiled)} | {figure(case, pure)}"
    return f"| {case.module}: {case.name} | {figures} | {shown} | {target} | {mark} |"


def main() -> None:
    write = "--write" in sys.argv
    names = [argument for argument in sys.argv[1:] if argument in MODULES]
    sys.argv = [
        sys.argv[0],
        *(argument for argument in sys.argv[1:] if argument != "--write" and argument not in MODULES),
    ]
    runner = pyperf.Runner(
        processes=PROCESSES,
        values=VALUES,
        min_time=MIN_TIME_S,
        program_args=("-m", "benchmarks.micro", *names),
    )
    runner.parse_args()
    worker = runner.args.worker
    lines = [
        "# The hot modules, call by call",
        "",
        f"`{' '.join(['python -m benchmarks.micro', *names])}`, {date.today()}, Python {platform.python_version()}.",
        "",
        "| | compiled | pure | gain | target | |",
        "|---|---|---|---|---|---|",
    ]
    for case in cases(names or MODULES):
        pure = measure(runner, case, "pure") if case.pure else None
        compiled = measure(runner, case, "compiled")
        if compiled is not None:
            lines.append(row(case, pure, compiled))
    if not worker:
        print("\n" + "\n".join(lines))
        if write:
            RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
