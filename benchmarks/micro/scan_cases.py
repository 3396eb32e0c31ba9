"""Looking for personal data and secrets."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case

PROSE = (
    "The quick brown fox jumps over the lazy dog, and asks what the weather in Lisbon is like. It's a well-known fact: "
    'people who read books in 2021 were happier than others; "Because," she said, "they know themselves." '
)
CLEAN = (PROSE * 300).encode()
TURNS = [{"role": role, "content": PROSE.replace(". ", ".\n") * 4} for _ in range(40) for role in ("user", "assistant")]
BODY = json.dumps({"model": "gpt-4o", "messages": TURNS, "temperature": 0.2}).encode()
LINE = (
    b'10.0.0.1 - john@example.com [12/Oct/2025:13:55:36 +0000] "GET /a/b?id=12345 HTTP/1.1" 200 5316 4111111111111111 '
)
LOG = (LINE + b"550e8400-e29b-41d4-a716-446655440000 call +44 20 7946 0958 or 555-123-4567\n") * 300
SHORT = b"Please write to jane.doe@example.com or call (555) 123-4567 about card 4111 1111 1111 1111."
DELTAS = [word.encode() + b" " for word in (PROSE * 3).split()]

ALTERNATION = re.compile(
    rb"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,}"
    rb"|\b\d{3}-\d{2}-\d{4}\b"
    rb"|\b(?:\d[ -]?){12,18}\d\b"
    rb"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"
    rb"|\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}\b"
    rb"|(?:\+\d{1,3}[ .-]?)?\(?\b\d{2,4}\)?[ .-]\d{3,4}[ .-]\d{3,4}\b"
    rb"|\b(?:sk-|sk_live_|sk_test_|rk_live_|gh[pousr]_|github_pat_|hf_|xox[abprs]-|AIza|AKIA|ASIA)[A-Za-z0-9_-]{10,}"
    rb"|\beyJ[\w-]+\.[\w-]+\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----|\b[Bb]earer\s+[\w.~+/=-]{8,}"
)
"""The same kinds as patterns usually have them, without a check of what is matched: the yardstick."""


def scan(module: ModuleType) -> dict[str, Any]:
    names = {"scan": module.scan_text, "clean": CLEAN, "body": BODY, "log": LOG, "short": SHORT, "deltas": DELTAS}
    return names | {"scanner": module.StreamScanner(), "find": ALTERNATION.findall}


CASES = [
    Case("scan", f"clean English, {len(CLEAN) // 1024} KiB", scan, "scan(clean)", size=len(CLEAN), limit=300),
    Case("scan", f"a JSON body, {len(BODY) // 1024} KiB", scan, "scan(body, json=True)", size=len(BODY), limit=250),
    Case("scan", "the yardstick: one re alternation, clean English", scan, "find(clean)", size=len(CLEAN), pure=False),
    Case("scan", "the yardstick: one re alternation, a JSON body", scan, "find(body)", size=len(BODY), pure=False),
    Case("scan", f"logs full of hits, {len(LOG) // 1024} KiB", scan, "scan(log)", size=len(LOG)),
    Case("scan", "a short question with three hits", scan, "scan(short)"),
    Case("scan", "a stream's delta of one word", scan, "for text in deltas: scanner.feed(text)", units=len(DELTAS)),
]
