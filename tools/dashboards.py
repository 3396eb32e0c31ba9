"""What the dashboards of `deploy/grafana/dashboards` show: `build_dashboards.py` writes them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DASHBOARDS", "REQUESTS", "Dashboard", "Panel"]

WHERE = 'job="edge",instance=~"$instance"'
"""Of every selector."""


class Panel(NamedTuple):
    """What a panel shows: `queries` are PromQL, each with what its lines are called. ``width`` is in quarters."""

    title: str
    said: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    width: int = 2


class Dashboard(NamedTuple):
    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def rate(metric: str, by: str = "", more: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{WHERE}{more}}}[$__rate_interval]))"


def increase(metric: str, by: str) -> str:
    return f"sum by ({by}) (increase({metric}{{{WHERE}}}[$__rate_interval]))"


def level(metric: str, by: str = "", more: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} ({metric}{{{WHERE}{more}}})"


def quantile(share: float, metric: str, by: str = "", more: str = "") -> str:
    grouped = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', grouped, more)})"


def quantiles(metric: str, more: str = "") -> tuple[tuple[str, str], ...]:
    return tuple((quantile(share, metric, more=more), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99))


TENANT = ',model=~"$model",tenant=~"$tenant"'
FAILED = TENANT + ',code=~"5.."'
MODEL = ',model=~"$model"'
REQUESTS = "edge_requests_total"

OVERVIEW = Dashboard(
    "edge-overview",
    "Edge: overview",
    (
        (
            "Now",
            (
                Panel("Requests", "A second.", "reqps", ((rate(REQUESTS, more=TENANT), ""),), "stat", 1),
                Panel(
                    "Failures",
                    "The share of requests that end in a 5xx.",
                    "percentunit",
                    ((f"{rate(REQUESTS, more=FAILED)} / {rate(REQUESTS, more=TENANT)}", ""),),
                    "stat",
                    1,
                ),
                Panel(
                    "In flight",
                    "Requests that have not ended.",
                    "short",
                    ((level("edge_requests_in_flight"), ""),),
                    "stat",
                    1,
                ),
                Panel(
                    "Spent in an hour",
                    "What the providers' answers of the last hour cost.",
                    "currencyUSD",
                    ((f"sum (increase(edge_cost_usd_total{{{WHERE}{TENANT}}}[1h]))", ""),),
                    "stat",
                    1,
                ),
            ),
        ),
        (
            "Traffic",
            (
                Panel("Requests by status", "", "reqps", ((rate(REQUESTS, "code", TENANT), "{{code}}"),)),
                Panel("Requests by model", "", "reqps", ((rate(REQUESTS, "model", TENANT), "{{model}}"),)),
                Panel("Requests by tenant", "", "reqps", ((rate(REQUESTS, "tenant", TENANT), "{{tenant}}"),)),
                Panel(
                    "Failures by kind",
                    "Failed attempts included. The prefix says whose fault it is.",
                    "reqps",
                    ((rate("edge_errors_total", "error_type", MODEL), "{{error_type}}"),),
                ),
            ),
        ),
        (
            "Time",
            (
                Panel(
                    "Answers that are no streams",
                    "From the end of the headers to the end of the answer.",
                    "s",
                    quantiles("edge_request_duration_seconds", ',outcome="ok",stream="false"'),
                ),
                Panel(
                    "First content of streams",
                    "From sending the request to the provider.",
                    "s",
                    quantiles("edge_upstream_time_to_first_chunk_seconds", MODEL),
                ),
                Panel("The edge's own time", "Waits apart.", "s", quantiles("edge_overhead_seconds")),
                Panel(
                    "Answers of the cache",
                    "The edge's own time where nothing was asked.",
                    "s",
                    quantiles("edge_overhead_seconds", ',cache=~"memory|redis"'),
                ),
            ),
        ),
        (
            "Tokens and money",
            (
                Panel("Tokens by type", "", "short", ((rate("edge_tokens_total", "type", TENANT), "{{type}}"),)),
                Panel(
                    "Tokens by model",
                    "",
                    "short",
                    ((rate("edge_tokens_total", "model", TENANT + ',type=~"input|output"'), "{{model}}"),),
                ),
                Panel(
                    "Dollars an hour by model",
                    "",
                    "currencyUSD",
                    ((f"3600 * {rate('edge_cost_usd_total', 'model', TENANT)}", "{{model}}"),),
                ),
                Panel(
                    "Dollars an hour by tenant",
                    "",
                    "currencyUSD",
                    ((f"3600 * {rate('edge_cost_usd_total', 'tenant', TENANT)}", "{{tenant}}"),),
                ),
            ),
        ),
    ),
)

PROVIDERS = Dashboard(
    "edge-providers",
    "Edge: providers",
    (
        (
            "State",
            (
                Panel(
                    "Up",
                    "1 where some upstream takes requests.",
                    "short",
                    ((f"max by (provider) (edge_provider_up{{{WHERE}}})", "{{provider}}"),),
                    "stat",
                    1,
                ),
                Panel(
                    "Open breakers",
                    "Workers, by upstream.",
                    "short",
                    ((level("edge_circuit_state", "provider, model", ',state="open"'), "{{provider}}/{{model}}"),),
                    width=3,
                ),
                Panel(
                    "Changes of breakers",
                    "",
                    "short",
                    (
                        (
                            increase("edge_circuit_transitions_total", "provider, model, to"),
                            "{{provider}}/{{model}} {{to}}",
                        ),
                    ),
                ),
                Panel(
                    "Keys that are left alone",
                    "Of each worker: resting as long as the provider has asked for, or avoided.",
                    "short",
                    ((level("edge_upstream_keys", "provider, state"), "{{provider}} {{state}}"),),
                ),
                Panel(
                    "Left of the providers' quotas",
                    "As they say themselves; the least of all keys and workers.",
                    "short",
                    (
                        (
                            f"min by (provider, kind) (edge_upstream_ratelimit_remaining{{{WHERE}}})",
                            "{{provider}} {{kind}}",
                        ),
                    ),
                ),
                Panel(
                    "Drained",
                    "Workers, by upstream.",
                    "short",
                    ((level("edge_circuit_state", "provider, model", ',state="drained"'), "{{provider}}/{{model}}"),),
                ),
            ),
        ),
        (
            "Requests",
            (
                Panel(
                    "By status",
                    "Or by the code of the error where no answer came.",
                    "reqps",
                    ((rate("edge_upstream_requests_total", "provider, code", MODEL), "{{provider}} {{code}}"),),
                ),
                Panel(
                    "Failures",
                    "The share of requests to a provider.",
                    "percentunit",
                    ((f"edge:upstream_failures:ratio5m{{{WHERE}}}", "{{provider}}"),),
                ),
                Panel(
                    "Failovers",
                    "",
                    "reqps",
                    (
                        (
                            rate("edge_failovers_total", "from_provider, to_provider, reason"),
                            "{{from_provider}} to {{to_provider}}: {{reason}}",
                        ),
                    ),
                ),
                Panel(
                    "Picked",
                    "Upstreams, by what has picked them.",
                    "reqps",
                    ((rate("edge_routing_decisions_total", "strategy, provider"), "{{provider}} by {{strategy}}"),),
                ),
                Panel(
                    "Picking, p99",
                    "",
                    "s",
                    ((quantile(0.99, "edge_routing_duration_seconds", "strategy"), "{{strategy}}"),),
                ),
                Panel(
                    "Asked again",
                    "Of the same upstream, and refused by the budget.",
                    "reqps",
                    (
                        (rate("edge_retries_total", "provider, reason"), "{{provider}} {{reason}}"),
                        (rate("edge_retry_budget_exhausted_total", "provider"), "{{provider}} no budget"),
                    ),
                ),
            ),
        ),
        (
            "Hedges and rescues",
            (
                Panel(
                    "Hedges",
                    "Second attempts beside one that is late, by what became of them.",
                    "reqps",
                    ((rate("edge_hedges_total", "provider, outcome"), "{{provider}} {{outcome}}"),),
                ),
                Panel(
                    "Rescues",
                    "Streams that broke off and were continued.",
                    "reqps",
                    ((rate("edge_rescues_total", "provider, outcome"), "{{provider}} {{outcome}}"),),
                ),
            ),
        ),
        (
            "Time",
            (
                Panel(
                    "Waiting, p95",
                    "",
                    "s",
                    (
                        (
                            quantile(0.95, "edge_upstream_duration_seconds", "provider, model", MODEL),
                            "{{provider}}/{{model}}",
                        ),
                    ),
                ),
                Panel(
                    "First content, p95",
                    "",
                    "s",
                    (
                        (
                            quantile(0.95, "edge_upstream_time_to_first_chunk_seconds", "provider, model", MODEL),
                            "{{provider}}/{{model}}",
                        ),
                    ),
                ),
                Panel(
                    "Between chunks, p95",
                    "",
                    "s",
                    (
                        (
                            quantile(0.95, "edge_upstream_time_per_output_chunk_seconds", "provider, model", MODEL),
                            "{{provider}}/{{model}}",
                        ),
                    ),
                ),
                Panel(
                    "Connections",
                    "",
                    "short",
                    ((level("edge_upstream_connections", "provider, state"), "{{provider}} {{state}}"),),
                ),
            ),
        ),
        (
            "Accounts",
            (
                Panel(
                    "Dollars an hour",
                    "",
                    "currencyUSD",
                    ((f"3600 * {rate('edge_cost_usd_total', 'provider', TENANT)}", "{{provider}}"),),
                ),
                Panel(
                    "Without a price, or estimated",
                    "Answers.",
                    "reqps",
                    (
                        (rate("edge_unpriced_requests_total", "provider"), "{{provider}} unpriced"),
                        (rate("edge_estimated_requests_total", "provider"), "{{provider}} estimated"),
                    ),
                ),
                Panel(
                    "What translation could not make sense of",
                    "",
                    "reqps",
                    (
                        (
                            rate("edge_translation_warnings_total", "provider, warning", MODEL),
                            "{{provider}} {{warning}}",
                        ),
                    ),
                    width=4,
                ),
            ),
        ),
    ),
)

CACHE = Dashboard(
    "edge-cache",
    "Edge: cache and savings",
    (
        (
            "Hits",
            (
                Panel(
                    "Hit ratio",
                    "Of the requests that may be cached.",
                    "percentunit",
                    ((f"edge:cache:hit_ratio5m{{{WHERE}}}", "{{instance}}"),),
                ),
                Panel(
                    "Look-ups",
                    "",
                    "reqps",
                    ((rate("edge_cache_requests_total", "tier, result"), "{{tier}} {{result}}"),),
                ),
                Panel("Joined", "Answered by another's call.", "reqps", ((rate("edge_cache_joined_total"), "joined"),)),
                Panel(
                    "Stored", "", "reqps", ((rate("edge_cache_writes_total", "tier, result"), "{{tier}} {{result}}"),)
                ),
            ),
        ),
        (
            "Savings",
            (
                Panel(
                    "Saved in a day",
                    "",
                    "currencyUSD",
                    ((f"sum (increase(edge_saved_cost_usd_total{{{WHERE}{TENANT}}}[1d]))", ""),),
                    "stat",
                    1,
                ),
                Panel(
                    "Dollars an hour by model",
                    "",
                    "currencyUSD",
                    ((f"3600 * {rate('edge_saved_cost_usd_total', 'model', TENANT)}", "{{model}}"),),
                    width=3,
                ),
                Panel(
                    "Dollars an hour by tenant",
                    "",
                    "currencyUSD",
                    ((f"3600 * {rate('edge_saved_cost_usd_total', 'tenant', TENANT)}", "{{tenant}}"),),
                ),
                Panel(
                    "Tokens",
                    "",
                    "short",
                    ((rate("edge_saved_tokens_total", "tier, type", TENANT), "{{tier}} {{type}}"),),
                ),
            ),
        ),
        (
            "Storage",
            (
                Panel("Answers", "", "short", ((level("edge_cache_entries", "tier"), "{{tier}}"),)),
                Panel("Weight", "", "bytes", ((level("edge_cache_size_bytes", "tier"), "{{tier}}"),)),
                Panel("Evictions", "", "reqps", ((rate("edge_cache_evictions_total", "reason"), "{{reason}}"),)),
                Panel(
                    "Redis, p99",
                    "",
                    "s",
                    (
                        (
                            quantile(0.99, "edge_cache_operation_duration_seconds", "operation", ',tier="redis"'),
                            "{{operation}}",
                        ),
                    ),
                ),
                Panel(
                    "Redis, commands",
                    "Those for limits too.",
                    "reqps",
                    (
                        (
                            rate("edge_redis_command_duration_seconds_count", "use, outcome"),
                            "{{use}} {{outcome}}",
                        ),
                    ),
                ),
                Panel(
                    "Redis, commands, p99",
                    "",
                    "s",
                    ((quantile(0.99, "edge_redis_command_duration_seconds", "use"), "{{use}}"),),
                ),
                Panel(
                    "Workers that can use Redis",
                    "",
                    "short",
                    ((level("edge_redis_ready"), "ready"), (level("edge_workers", more=',state="ready"'), "workers")),
                ),
                Panel(
                    "Waiting to be written to Redis",
                    "",
                    "short",
                    ((level("edge_queue_length", more=',queue="redis_writes"'), "answers"),),
                ),
            ),
        ),
    ),
)

LIMITS = Dashboard(
    "edge-limits",
    "Edge: limits and security",
    (
        (
            "Limits",
            (
                Panel(
                    "Decisions",
                    "",
                    "reqps",
                    ((rate("edge_limit_decisions_total", "limit, decision"), "{{limit}} {{decision}}"),),
                ),
                Panel(
                    "Refused before a provider was asked",
                    "",
                    "reqps",
                    ((rate("edge_requests_rejected_total", "reason"), "{{reason}}"),),
                ),
                Panel(
                    "Refused by a policy",
                    "",
                    "reqps",
                    ((rate("edge_errors_total", "error_type", ',error_type=~"policy_.*"'), "{{error_type}}"),),
                ),
                Panel(
                    "Queues",
                    "Requests that wait.",
                    "short",
                    ((level("edge_queue_length", "queue", ',queue=~"connections|places"'), "{{queue}}"),),
                ),
            ),
        ),
        (
            "Budgets",
            (
                Panel(
                    "Used",
                    "The share of each budget that is spent or reserved.",
                    "percentunit",
                    (
                        (
                            (
                                f"max by (scope, name, per) (edge_budget_used_usd{{{WHERE}}}"
                                f" / (edge_budget_limit_usd{{{WHERE}}} > 0))"
                            ),
                            "{{scope}} {{name}} a {{per}}",
                        ),
                    ),
                ),
                Panel(
                    "Left",
                    "",
                    "currencyUSD",
                    (
                        (
                            (
                                f"min by (scope, name, per) ((edge_budget_limit_usd{{{WHERE}}} > 0)"
                                f" - edge_budget_used_usd{{{WHERE}}})"
                            ),
                            "{{scope}} {{name}} a {{per}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Security",
            (
                Panel(
                    "Refused credentials", "", "reqps", ((rate("edge_auth_failures_total", "reason"), "{{reason}}"),)
                ),
                Panel(
                    "Connections given up",
                    "",
                    "reqps",
                    ((rate("edge_connections_shed_total", "action"), "{{action}}"),),
                ),
                Panel(
                    "Personal data and secrets",
                    "What was found.",
                    "reqps",
                    ((rate("edge_pii_findings_total", "side, kind, mode"), "{{side}}: {{kind}} {{mode}}"),),
                ),
                Panel(
                    "Looking for them, p99",
                    "The time that it takes in a request, and in an answer.",
                    "s",
                    ((quantile(0.99, "edge_pii_scan_duration_seconds", "side"), "{{side}}"),),
                ),
                Panel(
                    "Clients that leave", "", "reqps", ((rate("edge_client_disconnects_total", "phase"), "{{phase}}"),)
                ),
                Panel("Sizes of requests", "", "bytes", quantiles("edge_request_size_bytes")),
                Panel("Sizes of answers", "", "bytes", quantiles("edge_response_size_bytes")),
            ),
        ),
    ),
)

RUNTIME = Dashboard(
    "edge-runtime",
    "Edge: runtime",
    (
        (
            "Workers",
            (
                Panel("By state", "", "short", ((level("edge_workers", "state"), "{{state}}"),)),
                Panel(
                    "Restarts",
                    "",
                    "short",
                    (
                        (
                            increase("edge_worker_restarts_total", "reason"),
                            "{{reason}}",
                        ),
                    ),
                ),
                Panel(
                    "CPU",
                    "Of each worker, 1 is a core.",
                    "percentunit",
                    ((rate("process_cpu_seconds_total", "worker"), "{{worker}}"),),
                ),
                Panel(
                    "Memory", "Resident.", "bytes", ((level("process_resident_memory_bytes", "worker"), "{{worker}}"),)
                ),
                Panel(
                    "Descriptors",
                    "The share that is open.",
                    "percentunit",
                    ((f"process_open_fds{{{WHERE}}} / process_max_fds{{{WHERE}}}", "{{worker}}"),),
                ),
                Panel("Connections of clients", "", "short", ((level("edge_connections"), "open"),)),
            ),
        ),
        (
            "Loop",
            (
                Panel("Lag", "How late timers come.", "s", quantiles("edge_event_loop_lag_seconds")),
                Panel(
                    "Pauses of the collector, p99",
                    "",
                    "s",
                    ((quantile(0.99, "edge_gc_pause_seconds", "generation"), "generation {{generation}}"),),
                ),
            ),
        ),
        (
            "Telemetry and configuration",
            (
                Panel("Log lines that wait", "", "bytes", ((level("edge_log_queue_bytes"), "queue"),)),
                Panel(
                    "Dropped",
                    "",
                    "short",
                    (
                        (rate("edge_log_lines_dropped_total"), "log lines"),
                        (rate("edge_metric_series_dropped_total", "metric"), "label sets of {{metric}}"),
                        (rate("edge_telemetry_dropped_total", "reason"), "spans: {{reason}}"),
                    ),
                ),
                Panel(
                    "Last reload",
                    "1 where it is in force.",
                    "short",
                    ((f"min (edge_config_last_reload_successful{{{WHERE}}})", ""),),
                    "stat",
                    1,
                ),
                Panel(
                    "In force since",
                    "",
                    "dateTimeAsIso",
                    ((f"1000 * max (edge_config_last_reload_success_timestamp_seconds{{{WHERE}}})", ""),),
                    "stat",
                    1,
                ),
                Panel(
                    "Build",
                    "",
                    "short",
                    (
                        (
                            f"count by (version, python, compiled) (edge_build_info{{{WHERE}}})",
                            "{{version}}, Python {{python}}, compiled {{compiled}}",
                        ),
                    ),
                    "stat",
                    2,
                ),
            ),
        ),
    ),
)

DASHBOARDS = (OVERVIEW, PROVIDERS, CACHE, LIMITS, RUNTIME)
