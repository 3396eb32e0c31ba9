"""RESULTS.md: what `make bench` has measured, then what the long runs of `make proof` have found; each is kept when the
other is renewed.
"""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

from benchmarks.process import CORES

__all__ = ["LONG", "RESULTS", "commit", "keep_long_runs", "keep_measured", "long_runs", "machine"]

RESULTS = Path(__file__).with_name("RESULTS.md")
LONG = "## Long runs"
"""The section that `make proof` writes; it and what follows are its own."""


def machine() -> str:
    """Cores, CPU and system; nothing that names the machine."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{len(CORES)} cores of {found[1] if found else platform.machine()}, {platform.system()}"


def commit() -> str:
    """The tree that is measured, "-dirty" where a file differs from it, but for the one of the results; "unknown" where
    it is no working copy.
    """
    said = told("git", "describe", "--always")
    changed = said and told(
        "git", "status", "--porcelain", "--untracked-files=no", "--", ":/", f":(exclude){RESULTS.name}"
    )
    return f"{said}-dirty" if changed else said or "unknown"


def told(*command: str) -> str:
    return subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True).stdout.strip()


def keep_measured(lines: list[str], file: Path = RESULTS) -> None:
    """Write what was measured; the long runs that are in the file stay."""
    _, long = parts_of(file)
    file.write_text("\n".join(lines) + "\n" + (f"\n{long}" if long else ""))


def keep_long_runs(lines: list[str], file: Path = RESULTS) -> None:
    """Write what the long runs have found; what was measured stays."""
    measured, _ = parts_of(file)
    file.write_text((f"{measured}\n\n" if measured else "") + "\n".join(lines) + "\n")


def long_runs(file: Path = RESULTS) -> str:
    """What the long runs have found until now, or ""."""
    return parts_of(file)[1]


def parts_of(file: Path) -> tuple[str, str]:
    """What was measured, and the long runs, each "" where it is not there."""
    text = file.read_text() if file.exists() else ""
    begun = re.search(rf"^{LONG}$", text, re.MULTILINE)
    at = begun.start() if begun else len(text)
    return text[:at].rstrip("\n"), text[at:]
