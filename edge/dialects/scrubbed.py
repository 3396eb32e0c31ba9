"""What of a provider's words may be shown to a client: nothing that looks like a key, no markup, and not too much."""

from __future__ import annotations

import re

__all__ = ["printable", "scrub"]

SECRETS = re.compile(
    r"(?i)\b(sk|rk|pk|key|xai|gsk|lea|hf|ghp|AKIA)[-_][A-Za-z0-9*_-]{6,}|\bAKIA[A-Z0-9]{12,}"
    r"|\bbearer\s+[^\s\"',;<>]{4,}"
    r"|\b(x-)?api[-_ ]?key\"?\s*[:=]\s*\"?[^\s\"',;<>]{4,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)*"
)
SNIPPET = 300


def printable(body: bytes) -> str:
    """The beginning of a body that is no JSON, fit to be shown to a client: markup and secrets taken out."""
    text = re.sub(r"(?is)<(script|style)\b.*?(</\1>|\Z)|<[^>]*>", " ", body[:4096].decode("utf-8", "replace"))
    text = scrub(" ".join(text.split()))
    return text if len(text) <= SNIPPET else text[:SNIPPET] + "..."


def scrub(text: str) -> str:
    """The text without what looks like a key."""
    return SECRETS.sub("[redacted]", text)
