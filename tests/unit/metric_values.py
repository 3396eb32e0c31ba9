"""The values of the labels that have a closed set of them."""

from __future__ import annotations

from typing import get_args

from edge import config, errors, ledger
from edge.upstreams import waits


def codes(kind=errors.EdgeError) -> set[str]:
    return {kind.code, *(code for each in kind.__subclasses__() for code in codes(each))}


STATUSES = {str(status) for status in range(100, 600)}
KINDS = set(ledger.KINDS)
VALUES = {
    "code": STATUSES | codes(),
    "stream": {"true", "false"},
    "outcome": {"ok", "error", "cancelled"},
    "error_type": KINDS,
    "type": {"input", "output", "cache_read", "cache_write", "reasoning"},
    "tier": {"memory", "redis", "joined"},
    "cache": {"", "memory", "redis", "joined", "miss", "bypass"},
    "result": {"hit", "miss", "stored", "dropped"},
    "side": {"request", "response"},
    "edge_upstream_ratelimit_remaining.kind": set(waits.KINDS),
    "edge_routing_decisions_total.strategy": set(get_args(config.Strategy)),
    "queue": {"connections", "places", "redis_writes"},
    "edge_circuit_state.state": {"closed", "open", "half_open", "drained"},
    "edge_workers.state": {"missing", "starting", "ready", "retiring"},
    "edge_telemetry_dropped_total.signal": {"traces"},
    "edge_telemetry_dropped_total.reason": {"queue_full", "not_taken", "too_many"},
    "job": {"edge"},
}
"""By the label, or by the metric and its label."""


def values_of(metric: str, label: str) -> set[str] | None:
    """None where the configuration decides."""
    return VALUES.get(f"{metric}.{label}", VALUES.get(label))
