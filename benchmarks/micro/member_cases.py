"""What every request does to the member it is sent to."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case


def closed(module: ModuleType) -> dict[str, Any]:
    member = module.Member(1)
    return {"allows": member.allows, "begin": member.begin}


def full(module: ModuleType) -> dict[str, Any]:
    """Half open, with its one probe in flight."""
    member = module.Member(1, failures=1)
    member.begin(1.0).failed(1.0)
    return {"probe": member.begin(100.0), "allows": member.allows}


WHOLE = "attempt = begin(1.0); attempt.first_content(2.0); attempt.finished(3.0, 100.0)"

CASES = [
    Case("member", "breaker check, closed", closed, "allows(1.0)", limit=70),
    Case("member", "breaker check, half open and full", full, "allows(100.0)", limit=70),
    Case("member", "begin, first content, finished", closed, WHOLE),
]
