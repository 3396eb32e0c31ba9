"""By what right a connection goes on: it outlives configurations, and perhaps what its key may do."""

from __future__ import annotations

from typing import Protocol

from edge.guard.limits import Lease

__all__ = ["RIGHTS_S", "Rights"]

RIGHTS_S = 1.0
"""So often they are looked at, whoever says anything meanwhile."""


class Rights(Protocol):
    """``lease`` is what counts each of its responses as a request, None where its key's are not counted."""

    lease: Lease | None

    def heed(self) -> bool:
        """Look at them by the configuration of now: whether that is another one than the last time, by which the call
        is from here on. Raises the EdgeError for which its client may not go on.
        """
        ...
