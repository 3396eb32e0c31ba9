"""``python -m tests.stages [test | check] [--live N]``: what ``make test`` and ``make check`` run, stage after stage.

``--live`` is how many live tests run at a time, by default 10, on a machine of two cores.

Every stage runs, whatever became of the one before. A stage's whole output goes to ``build/tests/STAGE.log``; what is
printed of it is its progress, its closing line and, of a stage that failed, the end of its output. The last line is the
sum: ``N passed, N failed, N skipped``. Ends with 1 if a stage failed.

Nothing that hangs holds up the rest: a test that takes longer than `TEST_S` fails, and a stage that takes longer than its
``within_s`` is killed, with all processes that it has started.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge._fast import COMPILED
from tests.output import RUNNING, end, follow, heeding_termination

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "build/tests"
SHOWN = 150
"""Lines of a failed stage that are printed."""
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
PROGRESS = re.compile(r"\[ *(\d+)%\]")
# A file to each worker, and those with processes first, not those with the most tests.
FILES = ("--dist", "loadfile", "--no-loadscope-reorder")
# Tests of running edges wait for clocks and other processes, so more of them run at a time than there are cores; beside
# what computes they would be late. Each process collects all tests of its stage, so a stage is given no others.
AT_ONCE = 10
LIVE_TESTS = ("--ignore", "tests/unit", "--ignore", "tests/fuzz")
UNIT_TESTS = ("tests/unit", "tests/fuzz")
# What runs on both builds by itself, or has nothing to do with them, runs once.
OF_EITHER = "not alone and not pure and not compiled and not once"
PAIRS = ("-n", "2", "--dist", "load", "--maxschedchunk", "1")
YIELDING = ("nice", "-n", "19")
"""POSIX, nice: what has work to do and no deadlines takes the time that others leave."""
LIVE = ("tests/http/test_fronts.py", "tests/http/test_passthrough.py")
PYTEST = ("-m", "pytest", "-q", "--tb=short", "--durations=40")
TEST_S = 600
"""Ten times what the longest of all takes on two cores."""
BOUNDED = ("-p", "tests.bounded", "--test-s", str(TEST_S), "-o", f"faulthandler_timeout={TEST_S + 60}")
"""Where a test has not failed by then, because it stands in C, its stage's output has the stacks of its threads."""
LENGTHS = ("EDGE_SOAK", "EDGE_SOAK_S")
"""Who sets one of these wants tests that take long."""


@dataclass(frozen=True)
class Stage:
    """``arguments`` are Python's. ``skipped`` is "" or the reason why the stage is skipped; ``beside``: it runs at the
    same time as the one before; ``yields``: it has the least priority, so what runs beside it and mostly waits is not late
    for it; ``within_s``: it is killed when it takes longer, and None says that it may take any time.
    """

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    skipped: str = ""
    beside: bool = False
    yields: bool = False
    within_s: float | None = 3600


@dataclass
class Result:
    """``code`` is the exit code of the stage's process."""

    code: int
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def named(mark: str) -> tuple[str, ...]:
    """The files that have tests of a mark: the others need not be looked through for it."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return tuple(str(file.relative_to(ROOT)) for file in files if f"mark.{mark}" in file.read_text())


def stages(plan: str, live: int = AT_ONCE) -> tuple[Stage, ...]:
    """Those of a plan, bounded unless tests are to take long."""
    if not any(os.environ.get(name) for name in LENGTHS):
        return _stages(plan, live, (*PYTEST, *BOUNDED))
    return tuple(replace(stage, within_s=None) for stage in _stages(plan, live, PYTEST))


def _stages(plan: str, live: int, pytest: tuple[str, ...]) -> tuple[Stage, ...]:
    pure = {"EDGE_PURE_PYTHON": "1"}
    uncompiled = "" if COMPILED else "all tests ran on the pure build, since nothing is compiled here"
    no_fuzzer = (
        "" if importlib.util.find_spec("atheris") else "atheris is not here (Linux on x86-64, before Python 3.14)"
    )
    no_counter = "" if shutil.which("valgrind") else "valgrind is not here (Debian: valgrind)"
    quick = ("-n", "2", *FILES, "-m", "not alone and not pure and not slow", *LIVE, "tests/unit")
    plans = {
        "check": (Stage("unit and live", (*pytest, *quick)),),
        "test": (
            Stage("live", (*pytest, "-n", str(live), *FILES, *LIVE_TESTS, "-m", "not alone and not pairs")),
            Stage("units", (*pytest, "-n", "2", *FILES, *UNIT_TESTS)),
            Stage("in pairs", (*pytest, *PAIRS, "-m", "pairs", *named("pairs"))),
            Stage(
                "pure build",
                (*pytest, "-n", "2", *FILES, "-m", OF_EITHER, *LIVE, *UNIT_TESTS),
                pure,
                uncompiled,
                beside=True,
                yields=True,
            ),
            Stage("fuzzing", ("-m", "tests.fuzz.run", "--seconds", "5"), {}, no_fuzzer, beside=True, yields=True),
            Stage(
                "instructions",
                ("-m", "benchmarks.instructions", "--check"),
                {},
                no_counter,
                beside=True,
                yields=True,
            ),
            Stage("alone", (*pytest, "-m", "alone", *named("alone"))),
        ),
    }
    return plans[plan]


def collect() -> None:
    """Have bytecode written of all tests, once, by two processes. Otherwise all those that collect at the same time would
    compile the tests, each of them all of its stage.
    """
    command = (sys.executable, *PYTEST, "--collect-only", "-qq")
    parts = [
        subprocess.Popen([*command, *part], cwd=ROOT, stdout=subprocess.DEVNULL) for part in (LIVE_TESTS, UNIT_TESTS)
    ]
    for part in parts:
        part.wait()


def together(plan: tuple[Stage, ...]) -> Iterator[list[Stage]]:
    """The stages that are to run, those that run at the same time together."""
    group: list[Stage] = []
    for stage in plan:
        if group and not stage.beside:
            yield group
            group = []
        if stage.skipped:
            print(f"SKIPPED: {stage.name}: {stage.skipped}")
        else:
            group.append(stage)
    if group:
        yield group


def run(stage: Stage) -> Result:
    """Run one stage; print how far it is at each tenth, and how it ended."""
    print(f"== {stage.name}: python {' '.join(stage.arguments)}", flush=True)
    log = LOGS / f"{stage.name.replace(' ', '-')}.log"
    begun = time.monotonic()
    lines: list[str] = []
    told = 0
    with log.open("w", buffering=1) as kept:

        def heard(line: str) -> None:
            nonlocal told
            kept.write(line)
            lines.append(line.rstrip("\n"))
            step = PROGRESS.search(line)
            if step and int(step[1]) // 10 > told:
                told = int(step[1]) // 10
                print(f"   {stage.name}: {step[1]} % after {time.monotonic() - begun:.0f} s", flush=True)

        command = (*(YIELDING if stage.yields else ()), sys.executable, *stage.arguments)
        code, hung = follow(command, ROOT, stage.environment, heard, stage.within_s)
    result = Result(code, time.monotonic() - begun)
    for number, word in COUNT.findall(next((line for line in reversed(lines) if COUNT.search(line)), "")):
        kind = "failed" if word.startswith("error") else word
        setattr(result, kind, getattr(result, kind) + int(number))
    if result.code:
        print("\n".join(lines[-SHOWN:]))
        if hung:
            print(f"-- {stage.name} has hung: it was killed after {stage.within_s:.0f} s")
        print(f"-- the whole output is in {log.relative_to(ROOT)}")
    else:
        print("\n".join(line for line in lines if line.startswith("SKIPPED")), end="\n" * (result.skipped > 0))
        print(lines[-1] if lines else "", flush=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stages", description=__doc__)
    parser.add_argument("plan", nargs="?", choices=("test", "check"), default="test")
    parser.add_argument("--live", type=int, default=AT_ONCE, metavar="N", help=f"at a time (default {AT_ONCE})")
    options = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what one process has compiled is there for all others
    # As an installed package is. Hundreds of edges are started, and where bytecode is not written each would compile all.
    compileall.compile_dir(ROOT / "edge", quiet=2)
    if options.plan == "test":
        collect()
    results: dict[str, Result] = {}
    for group in together(stages(options.plan, options.live)):
        with heeding_termination(), ThreadPoolExecutor(len(group)) as executor:
            try:
                results |= zip((stage.name for stage in group), executor.map(run, group), strict=True)
            except BaseException:
                # Who ends this ends the stages, which as groups of their own hear nothing of it.
                for process in tuple(RUNNING):
                    end(process)
                raise
    print(f"\n{'stage':16}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, result in results.items():
        print(f"{name:16}{result.passed:8}{result.failed:8}{result.skipped:9}{result.seconds:9.0f}")
    broken = [name for name, result in results.items() if result.code]
    if broken:
        print(f"failed: {', '.join(broken)}")
    totals = [sum(getattr(result, kind) for result in results.values()) for kind in ("passed", "failed", "skipped")]
    print("{} passed, {} failed, {} skipped".format(*totals))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
