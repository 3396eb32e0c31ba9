"""What an image installs, what builds a wheel and a release, and what tests and lints, is fixed by version and hash, and is what the
project asks for.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
EXTRAS = ("http2", "jwt", "pii")
LOCKS = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("image", "build", "release", "ci")}
FIXED = {
    name: dict(re.findall(r"^([a-z0-9._-]+)==([^ \\]+) (?:; .* )?\\", lock, re.MULTILINE))
    for name, lock in LOCKS.items()
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def group(name: str) -> list[str]:
    """The requirements of a dependency group, with those of the groups in it (PEP 735)."""
    found = []
    for each in PROJECT["dependency-groups"][name]:
        found += [each] if isinstance(each, str) else group(each["include-group"])
    return found


def asked() -> list[tuple[str, str]]:
    """The lock, and a requirement that it has to meet."""
    project = PROJECT["project"]
    extras = [each for name in EXTRAS for each in project["optional-dependencies"][name]]
    builds = [*PROJECT["build-system"]["requires"], *group("compile")]
    tests = [*group("test"), *group("lint")]
    return [
        *(("image", each) for each in [*project["dependencies"], *extras]),
        *(("build", each) for each in dict.fromkeys(builds)),
        *(("release", each) for each in group("release")),
        *(("ci", each) for each in dict.fromkeys([*project["dependencies"], *extras, *tests])),
    ]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@pytest.mark.parametrize(("lock", "requirement"), asked())
def test_a_dependency_is_fixed_within_its_bounds(lock, requirement):
    name, _, bounds = re.fullmatch(r"([A-Za-z0-9._-]+)(\[[a-z0-9,]+\])?([^;]*)(;.*)?", requirement).groups()[:3]
    version = numbers(FIXED[lock][re.sub(r"[-_.]+", "-", name).lower()])
    for relation, bound in re.findall(r"(>=|<)([0-9.]+)", bounds):
        assert version >= numbers(bound) if relation == ">=" else version < numbers(bound), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_has_hashes_and_comes_from_nowhere_else(lock):
    text = LOCKS[lock]
    for part in re.split(r"\n(?=[a-z0-9])", text[text.index("\n\n") + 2 :].strip()):
        assert re.match(r"[a-z0-9._-]+==\S+ (; [^\n]* )?\\\n", part), part[:80]
        assert "--hash=sha256:" in part, part[:80]
    assert not re.search(r"^-|://|git\+", text.replace("    --hash", ""), re.MULTILINE)
    print(f"{len(FIXED[lock])} packages, {text.count('--hash=sha256:')} hashes")
