"""Libraries of ours without those that they would use if these were here: nobody asks for what that adds, and it would
be in the memory of every worker.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["UNWANTED", "without"]

UNWANTED = ("pydantic", "twisted", "rich", "better_exceptions", "watchfiles")
"""What BlackSheep reads bodies into, what structlog writes for or with, and what uvicorn's reloader watches by."""


@contextmanager
def without(names: tuple[str, ...]) -> Iterator[None]:
    """What is imported inside finds none of these packages, but for those that are imported already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # an ImportError for who imports it
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
