"""The cases, by what they are about. Their titles are what ``--only`` and the list of intended differences name."""

from __future__ import annotations

from tests.replay.bench import Case
from tests.replay.corpus import (
    apis,
    caching,
    errors,
    failing_over,
    faults,
    leaving,
    limiting,
    odd_answers,
    odd_requests,
    passing,
    recorded,
)

__all__ = ["corpus"]

PARTS = (passing, apis, faults, odd_answers, odd_requests, errors, leaving, failing_over, caching, limiting, recorded)


def corpus() -> list[Case]:
    """All cases. Raises ValueError where a title is there twice."""
    found = [case for part in PARTS for case in part.cases()]
    titles = [case.title for case in found]
    if len(set(titles)) < len(titles):
        raise ValueError(f"titles that are there twice: {sorted({each for each in titles if titles.count(each) > 1})}")
    return found
