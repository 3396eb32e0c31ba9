"""When another upstream is worth a try.

Nothing has gone to the client before the first content, so until then a failure can be somebody else's success. After
that never: whoever asks twice is billed twice, and the client has half an answer already.
"""

from __future__ import annotations

from edge.errors import UpstreamBadResponse, UpstreamCredentials

__all__ = ["AttemptFailed", "check_status"]

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses of a provider that say nothing against the request itself."""


class AttemptFailed(Exception):
    """A provider answered with an error while another upstream is left: its answer goes to nobody."""


def check_status(status: int, *, others_left: bool) -> None:
    """Raises for a status that is not for the client: UpstreamCredentials, UpstreamBadResponse, and, while there are
    other upstreams, AttemptFailed.
    """
    if status in (401, 402, 403):
        raise UpstreamCredentials
    if 300 <= status < 400:
        raise UpstreamBadResponse("The provider answered with a redirect, which is never followed.")
    if not 200 <= status < 600:
        raise UpstreamBadResponse("The provider's answer has a status that does not exist.")
    if others_left and status in RETRYABLE:
        raise AttemptFailed
