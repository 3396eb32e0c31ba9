"""``python -m tests.replay record --edge TREE/.venv/bin/edge --out FILE`` and ``compare OLD NEW``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.replay.bench import VARIANTS
from tests.replay.canonical import to_line
from tests.replay.compare import differences, read_intended, read_play, report
from tests.replay.playing import play

INTENDED = Path(__file__).with_name("intended.toml")


def record(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    if not os.environ.get("EDGE_RECORDINGS"):
        print("SKIPPED: recorded exchanges, since EDGE_RECORDINGS names no folder", file=sys.stderr)
    variants = tuple(options.variant or VARIANTS)
    records: list[dict[str, Any]] = []
    for portion in play(options.edge.absolute(), options.only, variants, options.jobs, options.whole):
        records = sorted([*records, *portion], key=lambda each: str(each["case"]))
        options.out.write_text("".join(to_line(each) + "\n" for each in records), encoding="utf-8")
    failed = [each["case"] for each in records if {"failure", "missed"} & each.get("notes", {}).keys()]
    for case in failed:
        print(f"{case}: did not go as planned: see its notes")
    print(f"{len(records)} cases in {time.monotonic() - begun:.0f} s: {options.out}")
    return 0 if records else 1


def compare(options: argparse.Namespace) -> int:
    old, new = read_play(options.old), read_play(options.new)
    for only in (old, new) if options.only else ():
        for case in [case for case in only if not any(fnmatchcase(case, each) for each in options.only)]:
            del only[case]
    found = list(differences(old, new))
    lines, good = report(found, read_intended(options.intended), len(new), options.shown)
    print("\n".join(lines))
    return 0 if good else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description=__doc__)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="play the corpus against a tree, and write what was seen")
    recording.add_argument("--edge", type=Path, required=True, help="TREE/.venv/bin/edge")
    recording.add_argument("--out", type=Path, required=True)
    recording.add_argument("--only", action="append", default=[], metavar="PATTERN", help="cases, as of the shell")
    recording.add_argument("--variant", action="append", choices=VARIANTS)
    recording.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="edges at a time")
    recording.add_argument("--whole", action="store_true", help="keep long bodies, not their digests")
    recording.set_defaults(run=record)
    comparing = commands.add_parser("compare", help="what differs between two plays")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--only", action="append", default=[], metavar="PATTERN")
    comparing.add_argument("--intended", type=Path, default=INTENDED)
    comparing.add_argument("--shown", type=int, default=200, help="differences that are printed")
    comparing.set_defaults(run=compare)
    options = parser.parse_args()
    done: int = options.run(options)
    return done


if __name__ == "__main__":
    sys.exit(main())
