"""``python -m benchmarks [SECTION ...] [--seconds N] [--write]``: the whole table, or a part of it."""

from __future__ import annotations

import argparse
import platform
import sys
from datetime import date

from benchmarks.process import LOAD_CORE, SERVER_CORE, CannotStart, open_files
from benchmarks.results import RESULTS, commit, keep_measured, machine
from benchmarks.rows import SECTIONS
from benchmarks.table import Report
from benchmarks.yardsticks import version
from edge._fast import COMPILED

PREAMBLE = """# Results

What `make bench` printed last. Benchmarks are hard: this is one shared virtual machine, so compare the rows of one run
with each other and not with another machine's. CPU µs are user and system time of the server's processes per unit, a
request or an event of a stream; "x nginx" is that beside nginx's for the same work. The latencies of a saturated server
are its queue's. "cores busy" is how busy the server kept its core, and how busy the core of the load and the upstream
was: where that one is near 100%, the server could do more than it was asked for. † marks a row during which other
processes took more than a tenth of a core: do not trust it."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all if none is named"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each row is measured (default 3)")
    parser.add_argument("--write", action="store_true", help=f"keep what is printed in {RESULTS.name}")
    options = parser.parse_args()
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]}: choose from {', '.join(SECTIONS)}")
    open_files()
    report = Report()
    report.say(PREAMBLE)
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    command = " ".join(["python -m benchmarks", *arguments]) if arguments else "make bench"
    report.say(
        f"\n`{command}`, {options.seconds:g} s a row, commit {commit()}, {date.today()}; {machine()}:\n"
        f"server on core {SERVER_CORE}, load and upstream on core {LOAD_CORE}; Python {platform.python_version()}, "
        f"{'compiled' if COMPILED else 'pure'} build, nginx {version()}."
    )
    for name, section in SECTIONS.items():
        if not options.sections or name in options.sections:
            try:
                section(report, options.seconds)
            except CannotStart as error:
                raise SystemExit(f"{name}: {error}") from None
    met = report.conclude()
    if options.write:
        keep_measured(report.lines)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
