"""For each alert of `deploy/prometheus/alerts.yml`, series that it fires for, and others that it stays silent for."""

from __future__ import annotations

from typing import NamedTuple

EDGE = 'job="edge",instance="a"'


class Case(NamedTuple):
    """Series in promtool's notation, a step a minute; it is looked at after ``minutes``."""

    fires: dict[str, str]
    silent: dict[str, str]
    minutes: int = 40


def of(metric: str, labels: str = "") -> str:
    return f"{metric}{{{EDGE}{',' if labels else ''}{labels}}}"


def buckets(metric: str, labels: str, counts: dict[str, str]) -> dict[str, str]:
    return {
        of(f"{metric}_bucket", f'{labels}{"," if labels else ""}le="{bound}"'): told for bound, told in counts.items()
    }


OK = of("edge_requests_total", 'code="200"')
BAD = of("edge_requests_total", 'code="503"')
UPSTREAM = 'provider="p",model="m"'
ASKED = of("edge_upstream_requests_total", f'{UPSTREAM},code="200"')
FAILOVERS = of("edge_failovers_total", 'from_provider="p",to_provider="q",reason="provider_error"')
LOOKUPS = of("edge_cache_requests_total", 'tier="memory",result="miss"')
HITS = of("edge_cache_requests_total", 'tier="memory",result="hit"')
READY = of("edge_workers", 'state="ready"')
STARTING = of("edge_workers", 'state="starting"')
RESTARTS = of("edge_worker_restarts_total", 'reason="signal"')
SHED = of("edge_errors_total", 'error_type="edge_shed"')
INTERNAL = of("edge_errors_total", 'error_type="edge_internal"')
REFUSED = of("edge_errors_total", 'provider="p",error_type="provider_auth"')
WRONG = of("edge_errors_total", 'provider="p",error_type="client_invalid"')
AUTH = of("edge_auth_failures_total", 'reason="invalid_api_key"')
OPEN, DRAINED = (of("edge_circuit_state", f'{UPSTREAM},state="{state}"') for state in ("open", "drained"))
FILES, MOST = of("process_open_fds", 'worker="0"'), of("process_max_fds", 'worker="0"')
LINES, SERIES = (
    of("edge_log_lines_dropped_total"),
    of("edge_metric_series_dropped_total", 'metric="edge_requests_total"'),
)
SPANS = of("edge_telemetry_dropped_total", 'signal="traces",reason="not_taken"')
BUDGET = of("edge_retry_budget_exhausted_total", 'provider="p"')
UNPRICED = of("edge_unpriced_requests_total", 'provider="p"')
RELOADED, REDIS = of("edge_config_last_reload_successful"), of("edge_redis_ready")
FEW, MANY, NONE = "0+1x60", "0+600x60", "0x60"

CASES = {
    "EdgeDown": Case({of("up"): "1x30 0x30"}, {of("up"): "1x60"}),
    # A single failure an hour is no tenth of a request a second, whatever the ratio.
    "EdgeErrorRatioHigh": Case({OK: MANY, BAD: "0+60x60"}, {OK: MANY, BAD: "0+6x60"}),
    "EdgeOverheadHigh": Case(
        buckets("edge_overhead_seconds", 'cache=""', {"0.005": "0+90x60", "0.01": "0+100x60", "+Inf": "0+100x60"}),
        buckets("edge_overhead_seconds", 'cache=""', {"0.005": "0+100x60", "0.01": "0+100x60", "+Inf": "0+100x60"}),
    ),
    "EdgeProviderDown": Case(
        {of("edge_provider_up", 'provider="p"'): "1x30 0x30"}, {of("edge_provider_up", 'provider="p"'): "1x60"}
    ),
    "EdgeProviderRefusesKeys": Case({REFUSED: FEW}, {WRONG: FEW, REFUSED: NONE}),
    "EdgeCircuitOpen": Case({OPEN: "0x30 2x30"}, {OPEN: "0x37 2x2 0x20"}),
    "EdgeUpstreamDrained": Case({DRAINED: "4x120"}, {DRAINED: "0x80 4x40"}, 100),
    "EdgeFailoverRateHigh": Case({ASKED: MANY, FAILOVERS: "0+120x60"}, {ASKED: MANY, FAILOVERS: "0+30x60"}),
    "EdgeRetryBudgetExhausted": Case({BUDGET: FEW}, {BUDGET: "3x60"}),
    "EdgeFirstChunkSlow": Case(
        buckets(
            "edge_upstream_time_to_first_chunk_seconds",
            UPSTREAM,
            {"10.0": "0+90x60", "20.0": "0+100x60", "+Inf": "0+100x60"},
        ),
        buckets(
            "edge_upstream_time_to_first_chunk_seconds",
            UPSTREAM,
            {"10.0": "0+99x60", "20.0": "0+100x60", "+Inf": "0+100x60"},
        ),
    ),
    "EdgeCacheHitRatioDropped": Case(
        {LOOKUPS: "0+600x1640", HITS: "0+600x1580 948000+60x60"}, {LOOKUPS: "0+600x1640", HITS: "0+600x1640"}, 1630
    ),
    "EdgeRedisUnavailable": Case({REDIS: "3x60", READY: "4x60"}, {REDIS: "4x60", READY: "4x60"}),
    "EdgeEventLoopLag": Case(
        buckets("edge_event_loop_lag_seconds", "", {"0.1": "0+90x60", "0.25": "0+100x60", "+Inf": "0+100x60"}),
        buckets("edge_event_loop_lag_seconds", "", {"0.1": "0+100x60", "0.25": "0+100x60", "+Inf": "0+100x60"}),
    ),
    "EdgeWorkerRestartLoop": Case({RESTARTS: FEW}, {RESTARTS: "0x35 1x25"}),
    "EdgeWorkersMissing": Case({STARTING: "0x30 1x30", READY: "3x60"}, {STARTING: "0x39 1x1 0x20", READY: "3x60"}),
    "EdgeReloadFailed": Case({RELOADED: "1x30 0x30"}, {RELOADED: "1x60"}),
    "EdgeUnpricedRequests": Case({UNPRICED: "0+1x120"}, {UNPRICED: "7x120"}, 100),
    "EdgeUnknownErrors": Case({INTERNAL: "0x35 1x25"}, {INTERNAL: "1x60", WRONG: FEW}),
    "EdgeAuthFailuresHigh": Case({AUTH: "0+120x60"}, {AUTH: "0+30x60"}),
    "EdgeSheddingLoad": Case({SHED: FEW}, {SHED: "5x60"}),
    "EdgeDescriptorsShort": Case({FILES: "900x60", MOST: "1000x60"}, {FILES: "700x60", MOST: "1000x60"}),
    "EdgeTelemetryDropped": Case({SPANS: "0x35 9x25", LINES: "9x60"}, {LINES: "9x60", SERIES: "2x60", SPANS: "4x60"}),
}

BEGUN, LOOKED_AT = "_x95 3x25", 103
"""A series is there from the day something tells it, so what is counted at once is no increase."""
WATCHED, STARTED = {of("up"): "1x120"}, {of("edge_start_time_seconds"): "_x95 5700x25"}
"""An edge that Prometheus has looked at all the time, and one that has just been started."""
UNSEEN = {
    of("up"): "_x95 1x25",
    of("edge_start_time_seconds"): "_x95 -90000x25",
    of("process_start_time_seconds", 'worker="0"'): "_x95 5700x25",
}
"""One that has run for a day, of which Prometheus has seen nothing: what it has counted may have been long ago, though
all its workers have just been started anew."""
AWAY = {of("up"): "1x20 _x74 1x25", of("edge_start_time_seconds"): "-90000x20 _x74 -90000x25"}
"""One that has run for a day, where Prometheus was away for more than an hour before it first saw the series."""
BEGINNING = {
    "EdgeProviderRefusesKeys": (REFUSED,),
    "EdgeRetryBudgetExhausted": (BUDGET,),
    "EdgeUnpricedRequests": (UNPRICED,),
    "EdgeUnknownErrors": (INTERNAL,),
    "EdgeTelemetryDropped": (LINES, SPANS),
}
"""Alerts for which one event is enough, and the counters of each."""
