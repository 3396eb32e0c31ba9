"""The pass over a request's body."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case

WORDS = "The quick brown fox jumps over the lazy dog, and asks what the weather in Lisbon is like. "
SHORT = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": WORDS * 10}], "stream": True}).encode()
TURNS = [{"role": role, "content": WORDS * 8} for _ in range(80) for role in ("user", "assistant")]
LONG = json.dumps({"model": "gpt-4o", "messages": TURNS, "temperature": 0.2}).encode()


def scan(module: ModuleType) -> dict[str, Any]:
    return {"scan": module.scan_json, "short": SHORT, "long": LONG}


CASES = [
    Case("json", f"a body of {len(SHORT)} bytes", scan, "scan(short)", size=len(SHORT)),
    Case("json", f"a body of {len(LONG) // 1024} KiB", scan, "scan(long)", size=len(LONG)),
]
