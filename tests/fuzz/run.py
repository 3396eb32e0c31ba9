"""``python -m tests.fuzz.run [TARGET ...] [--seconds N | --runs N]``: fuzz the hot modules, and what reads frames of
WebSockets, guided by coverage.

Atheris follows the pure build's branches; each input goes through the compiled build as well, and both have to agree
(targets.py). As many targets are fuzzed at a time as there are cores. Prints how many inputs were tried, and ends with
1 on a finding, whose input is then in the corpus, where test_corpus.py sees it until it is mended. New inputs that reach
something new stay in build/fuzz; ``--keep`` moves the fewest of them that reach all of it into the corpus.

``--sanitized`` runs on the build of tests/sanitize.py, where the sanitizer's library takes the place of what follows
branches: it goes on at random from what other runs have led to.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import sanitize

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
SCRATCH = Path(os.environ.get("EDGE_FUZZ_SCRATCH", ROOT / "build/fuzz"))
NAMES = ("chunks", "frames", "head", "json", "key", "scan", "sse", "usual")

MAX_SIZE = {"chunks": 60, "frames": 200, "head": 300, "json": 1500, "key": 1500, "scan": 300, "sse": 300, "usual": 600}
"""Bytes of an input: what is longer finds nothing more, more slowly."""

TIMEOUT_S = 10
"""Of one input: beyond, it is a finding."""


FOLLOWED = {"frames": ["edge.sockets.peer", "websockets.frames", "websockets.protocol", "websockets.streams"]}
"""What is followed of targets that are none of the hot modules: their frames are read by websockets' own protocol."""


def followed(name: str) -> list[str]:
    """The modules whose branches are. One that is a part of another (`_name_part.py`) is too."""
    hot = [f"edge._fast.{path.stem}" for path in (ROOT / "edge/_fast").glob(f"_{name}*.py")]
    return FOLLOWED.get(name, hot)


def work(name: str, options: list[str]) -> None:
    """Fuzz, in a process of its own, since libFuzzer does not return."""
    import atheris

    modules = followed(name)
    with atheris.instrument_imports(include=modules):
        for module in modules:
            importlib.import_module(module)
    from tests.fuzz.targets import TARGETS, builds

    target, found = TARGETS[name], builds(name)
    print(f"{name}: {' and '.join(module.__name__ for module in found)}", flush=True)
    # libFuzzer starts itself again to merge: as this program, if it can be run.
    itself = SCRATCH / f"{name}.sh"
    itself.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.fuzz.run --work {name} "$@"\n')
    itself.chmod(0o755)
    atheris.Setup([str(itself), *options], lambda data: target(found, data))
    atheris.Fuzz()


def fuzz(name: str, arguments: argparse.Namespace) -> bool:
    """Whether nothing was found."""
    corpus, scratch = CORPUS / name, SCRATCH / name
    scratch.mkdir(parents=True, exist_ok=True)
    options = [f"-max_len={MAX_SIZE[name]}", f"-timeout={TIMEOUT_S}", f"-artifact_prefix={corpus}/finding-"]
    if arguments.keep:
        options += ["-set_cover_merge=1", str(corpus), str(scratch)]
    else:
        options += [f"-max_total_time={arguments.seconds}", f"-runs={arguments.runs}", str(scratch), str(corpus)]
    before = {path.name for path in corpus.iterdir()}
    cwd, environment = ROOT, dict(os.environ)
    if arguments.sanitized:
        cwd, environment = sanitize.TREE, sanitize.environment()
        environment["EDGE_FUZZ_SCRATCH"] = str(SCRATCH)
        options.append("-keep_seed=1")
    command = [sys.executable, "-m", "tests.fuzz.run", "--work", name, *options]
    log = scratch.parent / f"{name}.log"
    with log.open("wb") as output:
        code = subprocess.run(command, cwd=cwd, env=environment, stdout=output, stderr=output, check=False).returncode
    text = log.read_text(errors="replace")
    done = re.search(r"Done (\d+) (?:runs|in) .*?(\d+) second", text)
    if code == 0 and (done or arguments.keep):
        if done:
            runs, seconds = int(done[1]), max(int(done[2]), 1)
            print(
                f"{name}: {runs:,} executions in {seconds} s, {runs // seconds:,} a second, nothing found", flush=True
            )
        else:
            print(f"{name}: {len(list(corpus.iterdir()))} files in the corpus", flush=True)
        return True
    print("\n".join(text.splitlines()[-40:]))
    new = sorted({path.name for path in corpus.iterdir()} - before)
    print(
        f"{name}: FOUND, see {log}; the input: {', '.join(str(corpus / each) for each in new) or 'none kept'}",
        flush=True,
    )
    return False


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--seconds", type=int, default=0, help="of each target; without it, and without --runs, 20")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs, of each target")
    parser.add_argument("--keep", action="store_true", help="add to the corpora what earlier runs have found new")
    parser.add_argument("--sanitized", action="store_true", help="on the sanitized build")
    arguments = parser.parse_args()
    if arguments.runs < 0 and not arguments.seconds:
        arguments.seconds = 20
    for name in set(arguments.targets) - set(NAMES):
        parser.error(f"there is no target {name}")
    if importlib.util.find_spec("atheris") is None:
        sys.exit(
            "atheris is not here (pip install --group fuzz; it has wheels for Linux on x86-64, Python before 3.14)"
        )
    if arguments.sanitized:
        sanitize.build()
    names = []
    for name in arguments.targets or NAMES:
        if followed(name):
            names.append(name)
        else:
            print(f"{name}: SKIPPED, there is no such module")
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        found_nothing = list(executor.map(lambda name: fuzz(name, arguments), names))
    sys.exit(0 if all(found_nothing) else 1)


if __name__ == "__main__":
    main()
