"""Patterns of a configuration: those of RE2, which take time in proportion to the text, whatever they are."""

from __future__ import annotations

from typing import Any

__all__ = ["PatternError", "compiled"]

HOW_TO = "needs google-re2, which takes time in proportion for any: pip install 'llm-edge-agent[pii]'"
MAX_BYTES = 8 << 20
"""Of what RE2 makes of a pattern, and remembers while it matches."""


class PatternError(ValueError):
    """Why a pattern cannot be used."""


def compiled(pattern: str) -> Any:
    """An `re2` pattern, which has `finditer` as those of `re` have. Raises PatternError."""
    try:
        import re2
    except ImportError:
        raise PatternError(HOW_TO) from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_BYTES
    try:
        made = re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0] if error.args else ""
        raise PatternError(f"is none of RE2: {told.decode() if isinstance(told, bytes) else told}") from None
    if made.search("") is not None:
        raise PatternError("matches where nothing stands")
    return made
