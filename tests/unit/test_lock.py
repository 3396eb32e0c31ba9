"""What an image installs is fixed by version and hash, and is what the project asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS = ("http2", "jwt", "pii")
LOCK = (ROOT / "requirements" / "image.txt").read_text()
FIXED = dict(re.findall(r"^([a-z0-9._-]+)==([^ \\]+) (?:; .* )?\\", LOCK, re.MULTILINE))


def asked() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for name in EXTRAS for each in project["optional-dependencies"][name]]
    return [*project["dependencies"], *extras]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@pytest.mark.parametrize("requirement", asked())
def test_a_dependency_is_fixed_within_its_bounds(requirement):
    name, _, bounds = re.fullmatch(r"([A-Za-z0-9._-]+)(\[[a-z0-9,]+\])?([^;]*)(;.*)?", requirement).groups()[:3]
    version = numbers(FIXED[re.sub(r"[-_.]+", "-", name).lower()])
    for relation, bound in re.findall(r"(>=|<)([0-9.]+)", bounds):
        assert version >= numbers(bound) if relation == ">=" else version < numbers(bound), requirement


def test_everything_has_hashes_and_comes_from_nowhere_else():
    for part in re.split(r"\n(?=[a-z0-9])", LOCK[LOCK.index("\n\n") + 2 :].strip()):
        assert re.match(r"[a-z0-9._-]+==\S+ (; [^\n]* )?\\\n", part), part[:80]
        assert "--hash=sha256:" in part, part[:80]
    assert not re.search(r"^-|://|git\+", LOCK.replace("    --hash", ""), re.MULTILINE)
    print(f"{len(FIXED)} packages, {LOCK.count('--hash=sha256:')} hashes")
