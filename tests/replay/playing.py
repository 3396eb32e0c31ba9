"""The corpus in portions, each on an edge of its own in a process of its own."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.harness import Simulator
from tests.replay.bench import VARIANTS, known_resilience, play_all
from tests.replay.corpus import corpus
from tests.replay.setups import SETUPS

__all__ = ["chosen", "play"]


def chosen(only: list[str], variants: tuple[str, ...] = VARIANTS) -> dict[tuple[str, str], list[str]]:
    """The titles of the cases to play by variant and setup; a pattern names them as in the records."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in corpus():
        for variant in variants:
            title = f"{variant}/{case.title}"
            if variant in case.variants and (not only or any(fnmatchcase(title, each) for each in only)):
                found[variant, case.setup].append(case.title)
    return found


def play_portion(
    edge: Path,
    variant: str,
    setup: str,
    titles: list[str],
    simulator: tuple[str, int],
    resilience: frozenset[str],
    whole: bool,
) -> list[dict[str, Any]]:
    """In a process of its own: cases are functions, which do not travel, so they are found by title."""
    wanted = set(titles)
    cases = [case for case in corpus() if case.title in wanted]
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        return play_all(edge, variant, setup, cases, Path(folder), simulator, resilience, whole)


def play(
    edge: Path, only: list[str], variants: tuple[str, ...], jobs: int, whole: bool = False
) -> Iterator[list[dict[str, Any]]]:
    """The records of the chosen cases, by portions as they are done."""
    portions = [
        (variant, setup, titles[at : at + SETUPS[setup].portion])
        for (variant, setup), titles in chosen(only, variants).items()
        for at in range(0, len(titles), SETUPS[setup].portion)
    ]
    portions.sort(key=lambda portion: -len(portion[2]))
    resilience = known_resilience(edge)
    simulator = Simulator()
    place = ("127.0.0.1", int(simulator.url.rpartition(":")[2]))
    try:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=max(1, jobs), mp_context=spawn) as pool:
            waiting = [pool.submit(play_portion, edge, *portion, place, resilience, whole) for portion in portions]
            for done in as_completed(waiting):
                yield done.result()
    finally:
        simulator.process.stop()
