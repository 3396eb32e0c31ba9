"""What the description of the admin API tells of a handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Told"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a ``handler`` does, of which type its ``answer`` is, and of which media type (``kind``).

    ``query`` names the parameters that it reads there, ``body`` is the type of the JSON that it is sent, None without;
    ``refuses`` tells by status what it refuses beside what every page does (`edge.server.openapi`).
    """

    handler: Callable[..., Awaitable[object]]
    summary: str
    answer: type
    kind: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)
    body: type | None = None
    refuses: Mapping[int, str] = field(default_factory=dict)
