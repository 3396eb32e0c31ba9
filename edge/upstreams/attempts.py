"""What to make of a provider's answer: is another upstream worth a try, and which of its headers are for the client?

Nothing has gone to the client before the first content, so until then a failure can be somebody else's success. After
that never: whoever asks twice is billed twice, and the client has half an answer already.
"""

from __future__ import annotations

from edge._fast import select_fields
from edge.errors import Headers, UpstreamBadResponse, UpstreamCredentials
from edge.upstreams.wire import Response

__all__ = ["AttemptFailed", "check_status", "is_stream", "returned_headers"]

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses of a provider that say nothing against the request itself."""


RETURNED = frozenset({b"content-type", b"openai-processing-ms"})
RETURNED_PREFIXES = (b"retry-after", b"x-ratelimit-", b"anthropic-ratelimit-")


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


def returned_headers(response: Response) -> Headers:
    """The provider's headers that the client gets, in their order."""
    headers = select_fields(response.headers, RETURNED, RETURNED_PREFIXES)
    upstream_id = response.index.get(b"x-request-id") or response.index.get(b"request-id")
    if upstream_id:
        headers.append((b"x-edge-upstream-request-id", upstream_id[:256]))
    return headers


def is_stream(response: Response) -> bool:
    if response.status >= 400:
        return False
    media_type = response.index.get(b"content-type", b"")
    return media_type != b"application/json" and media_type.lower().startswith(b"text/event-stream")
