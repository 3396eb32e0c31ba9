"""What the description of the admin API tells of a handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["Told"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a ``handler`` does, of which type its ``answer`` is, and of which media type (``kind``)."""

    handler: Callable[..., Awaitable[object]]
    summary: str
    answer: type
    kind: str = "application/json"
