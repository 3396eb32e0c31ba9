"""What the gateway tells telemetry about each request: one frozen record, once.

``edge/telemetry`` implements `Hooks`; the command line and the server wire it up; nothing below them imports it.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Usage(Struct, frozen=True, gc=False):
    """Tokens of one answer as its provider counted them. ``input`` excludes what was read from or written to the
    provider's prompt cache; ``output`` includes reasoning. -1 marks a count the provider did not give.
    """

    input: int = -1
    output: int = -1
    cache_read: int = -1
    cache_write: int = -1
    reasoning: int = -1

    def merged(self, newer: Usage) -> Usage:
        """Counts in streams are cumulative: a newer count replaces an older one, a missing one does not."""
        return Usage(
            newer.input if newer.input >= 0 else self.input,
            newer.output if newer.output >= 0 else self.output,
            newer.cache_read if newer.cache_read >= 0 else self.cache_read,
            newer.cache_write if newer.cache_write >= 0 else self.cache_write,
            newer.reasoning if newer.reasoning >= 0 else self.reasoning,
        )


class RequestRecord(Struct, frozen=True, gc=False):
    """One finished request. Times in seconds.

    ``endpoint``, ``provider`` and ``model`` are fit for metric labels: they come from the configuration, never from the
    client. ``upstream_model`` is the name the provider was asked for, ``attempts`` how many upstreams were tried.

    ``outcome`` is ok, error or cancelled; ``error_code`` and ``error_kind`` are "" when ok. ``time_to_first_content_s``
    is counted from the end of the request's headers, 0.0 where nothing was relayed. ``warnings`` names what of the
    provider's answer a translation could not make sense of.
    """

    request_id: str
    endpoint: str
    dialect: str
    provider: str
    model: str
    upstream_model: str
    attempts: int
    key_id: str
    tenant: str
    status: int
    stream: bool
    outcome: str
    error_code: str
    error_kind: str
    duration_s: float
    upstream_s: float
    overhead_s: float
    time_to_first_content_s: float
    usage: Usage | None
    warnings: frozenset[str] = frozenset()


class Hooks(Protocol):
    """Called on the event loop: must not wait and must not raise."""

    def request_done(self, record: RequestRecord) -> None: ...
