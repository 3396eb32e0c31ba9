"""What the gateway tells telemetry about each request: one frozen record, once.

``edge/telemetry`` implements `Hooks`; the command line and the server wire it up; nothing below them imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

Add = Callable[[float], None]


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

    ``usage`` is what providers charge for, ``cost`` the price of it in 1e-12 USD, -1 where that is not known; with
    ``estimated`` both are estimates. ``cache`` says where the answer came from: memory, redis or joined (another
    request's upstream call); miss or bypass for a provider's answer; "" where there is no cache.
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
    cost: int = -1
    estimated: bool = False
    cache: str = ""


class Hooks(Protocol):
    """Called on the event loop: must not wait and must not raise."""

    def request_done(self, record: RequestRecord) -> None: ...


class Meter(Protocol):
    """What is counted beside requests. As hooks, these must not wait and must not raise.

    `metric` is a name that `edge/telemetry/metrics.py` lists, `labels` are the values of its labels in their order;
    they come from a closed set, never from a client.
    """

    def count(self, metric: str, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter."""

    def bind(self, metric: str, *labels: str) -> Add:
        """What adds to one counter, or a value to one histogram, for who does that again and again."""
        ...

    def observe(self, metric: str, value: float, *labels: str) -> None:
        """Add one value to a histogram."""

    def level(self, metric: str, value: float, *labels: str) -> None:
        """Set a gauge, of which the values of all workers are added up."""
