"""Two plays of a corpus, case by case and field by field, and which of their differences are intended."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

__all__ = ["Difference", "Intended", "differences", "read_intended", "read_play", "report"]

AROUND = 60
"""Characters of a text that are shown on each side of where it begins to differ."""
ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """``field`` is a path such as ``clients.0.answers.0.fields.age``; empty where a whole case is missing or new."""

    case: str
    field: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.case}: {self.field or 'the case'}: {self.old} -> {self.new}"


@dataclass
class Intended:
    """Patterns as of the shell, of cases and fields; ``used`` counts the differences that were found to be meant."""

    case: str
    field: str
    reason: str
    used: int = 0

    def covers(self, difference: Difference) -> bool:
        return fnmatchcase(difference.case, self.case) and fnmatchcase(difference.field, self.field)


def read_play(path: Path) -> dict[str, dict[str, Any]]:
    """The records of a play by case. Raises ValueError where a case is there twice."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:  # splitlines() would know other ends of lines too
        record = json.loads(line)
        if record["case"] in found:
            raise ValueError(f"{path}: the case {record['case']} is there twice")
        found[record["case"]] = record
    return found


def read_intended(path: Path) -> list[Intended]:
    """The list of ``[[intended]]`` with ``case``, ``field`` and ``reason``. Raises ValueError if one lacks its reason."""
    listed = tomllib.loads(path.read_text(encoding="utf-8")).get("intended", [])
    for each in listed:
        if not each.get("reason") or each.keys() - {"case", "field", "reason"}:
            raise ValueError(f"{path}: an intended difference has case, field and reason: {each}")
    return [Intended(each.get("case", "*"), each.get("field", "*"), each["reason"]) for each in listed]


def differences(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> Iterator[Difference]:
    for case in sorted(old.keys() | new.keys()):
        if case not in old or case not in new:
            yield Difference(case, "", *(("played", ABSENT) if case in old else (ABSENT, "played")))
            continue
        yield from _different(case, "", old[case], new[case])


def _different(case: str, field: str, old: Any, new: Any) -> Iterator[Difference]:
    if old == new:
        return
    if isinstance(old, list) and isinstance(new, list):
        old, new = dict(enumerate(old)), dict(enumerate(new))
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{field}.{key}" if field else str(key)
            yield from _different(case, inner, old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, str) and isinstance(new, str):
        yield Difference(case, field, *_where(old, new))
    else:
        yield Difference(case, field, _short(old), _short(new))


def _where(old: str, new: str) -> tuple[str, str]:
    """The parts of two texts around where they begin to differ."""
    at = next(
        (i for i, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
    begin = max(0, at - AROUND)
    return _short(old[begin : at + AROUND], begin), _short(new[begin : at + AROUND], begin)


def _short(value: Any, begin: int = 0) -> str:
    if value == ABSENT:
        return ABSENT
    text = json.dumps(value, ensure_ascii=False)
    return ("..." if begin else "") + (text if len(text) <= 4 * AROUND else f"{text[: 4 * AROUND]}...")


def report(found: list[Difference], intended: list[Intended], cases: int, shown: int) -> tuple[list[str], bool]:
    """What is to be printed, and whether all differences are intended."""
    unmeant = []
    for difference in found:
        meant = [each for each in intended if each.covers(difference)]
        for each in meant:
            each.used += 1
        if not meant:
            unmeant.append(difference)
    lines = [str(difference) for difference in unmeant[:shown]]
    if len(unmeant) > shown:
        lines.append(f"... and {len(unmeant) - shown} more")
    for each in intended:
        what = f"{each.used} differences" if each.used else "nothing any more"
        lines.append(f"intended: {each.case}: {each.field}: {what}: {each.reason}")
    touched = len({difference.case for difference in unmeant})
    lines.append(f"{cases} cases, {touched} of them with differences that are not intended ({len(unmeant)})")
    return lines, not unmeant
