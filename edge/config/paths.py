"""Where a setting is in a configuration."""

from __future__ import annotations

__all__ = ["PathKey", "dotted"]

PathKey = tuple[str | int, ...]
"""Keys, and indexes in lists."""


def dotted(path: PathKey) -> str:
    """For people."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"
