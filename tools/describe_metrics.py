"""``python tools/describe_metrics.py``: the tables of docs/metrics.md, from the families themselves.

What a table has of a metric is its name, kind, labels and help, which are what ``/metrics`` tells. A table is between
``<!-- metrics: GROUP -->`` and ``<!-- end -->``, and `GROUPS` says which metrics are in it.
"""

from __future__ import annotations

import re
from pathlib import Path

from edge._fast import COUNTER, HISTOGRAM
from edge.telemetry.families import DROPPED, DROPPED_HELP, FAMILIES

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
BLOCK = re.compile(r"(<!-- metrics: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
KINDS = {COUNTER: "counter", HISTOGRAM: "histogram"}

GROUPS: dict[str, tuple[str, ...]] = {
    "requests": (
        "edge_requests_",
        "edge_request_",
        "edge_response_",
        "edge_overhead_",
        "edge_errors_",
        "edge_auth_",
        "edge_client_",
        "edge_connections",
        "edge_websocket",
    ),
    "upstreams": (
        "edge_upstream_",
        "edge_provider_",
        "edge_routing_",
        "edge_failovers_",
        "edge_retries_",
        "edge_retry_",
        "edge_hedges_",
        "edge_rescues_",
        "edge_circuit_",
        "edge_translation_",
        "edge_kept_",
    ),
    "money": ("edge_tokens_", "edge_cost_", "edge_unpriced_", "edge_estimated_", "edge_budget_", "edge_limit_"),
    "cache": ("edge_cache_", "edge_saved_", "edge_redis_"),
    "pii": ("edge_pii_",),
    "processes": (
        "process_",
        "edge_workers",
        "edge_worker_",
        "edge_event_",
        "edge_gc_",
        "edge_queue_",
        "edge_config_",
        "edge_build_",
        "edge_start_",
    ),
    "telemetry": ("edge_log_", "edge_spans_", "edge_telemetry_", "edge_metric_"),
    "genai": ("gen_ai_",),
}
"""By the beginnings of names; of two that fit, the longer."""


def group_of(name: str) -> str:
    fits = [(len(start), group) for group, starts in GROUPS.items() for start in starts if name.startswith(start)]
    if not fits:
        raise SystemExit(f"{name} is in no group of {Path(__file__).name}")
    return max(fits)[1]


def told() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Name, kind, labels and help of every metric."""
    own = (DROPPED, "counter", ("metric",), DROPPED_HELP)
    return [*((each.name, KINDS.get(each.kind, "gauge"), each.labels, each.help) for each in FAMILIES), own]


def table(group: str) -> str:
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for name, kind, labels, meaning in told():
        if group_of(name) == group:
            lines.append(
                f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {spelled(meaning, labels)} |"
            )
    return "\n".join(lines) + "\n"


def spelled(meaning: str, labels: tuple[str, ...]) -> str:
    """With the marks of code around names, the metric's own labels where their values are told among them."""
    meaning = re.sub(rf"\b({'|'.join(labels) or '-'}) (is|says)\b", r"`\1` \2", meaning)
    return re.sub(r"(?<!`)\b[a-z0-9]+(?:_[a-z0-9]+)+\b|(?<![a-z])_other\b", lambda name: f"`{name[0]}`", meaning)


def described() -> str:
    return BLOCK.sub(lambda part: f"{part[1]}{table(part[2])}{part[4]}", PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(described())
