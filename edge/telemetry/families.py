"""Every metric's name, its labels, and what it counts.

A metric exists from the day something tells it. Labels come from the configuration and the program, never from a
client, so that none can add to them (`docs/metrics.md`).
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from edge._fast import COUNTER, GAUGE, GAUGE_MAX, GAUGE_MIN, HISTOGRAM

__all__ = ["DROPPED", "DROPPED_HELP", "FAMILIES", "LAYOUT", "NUMBERS", "Family"]

DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OVERHEADS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05)
FIRST_CHUNKS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 30)
BETWEEN_CHUNKS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5)
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
PAUSES = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
DECISIONS = (0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.01)
SCANS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)
SIZES = (256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)

# https://github.com/open-telemetry/semantic-conventions-genai, gen-ai-metrics.md: the bounds that it asks for.
GENAI_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
GENAI_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
GENAI_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
GENAI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class Family(NamedTuple):
    """A metric. Its place in `FAMILIES` is its number in the slots."""

    kind: int
    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


FAMILIES = (
    Family(
        COUNTER,
        "edge_requests_total",
        "Requests by what became of them.",
        ("endpoint", "model", "provider", "code", "stream", "tenant"),
    ),
    Family(
        HISTOGRAM,
        "edge_request_duration_seconds",
        "From the end of a request's headers to the end of its answer.",
        ("endpoint", "stream", "outcome"),
        DURATIONS,
    ),
    Family(
        HISTOGRAM,
        "edge_overhead_seconds",
        "Request time minus what was spent waiting for a provider, Redis or another's answer.",
        ("endpoint", "cache"),
        OVERHEADS,
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_duration_seconds",
        "Time spent waiting for a provider.",
        ("provider", "model"),
        DURATIONS,
    ),
    Family(
        COUNTER,
        "edge_tokens_total",
        "Tokens that providers charge for; estimated where they gave no count.",
        ("provider", "model", "type", "tenant"),
    ),
    Family(
        COUNTER,
        "edge_errors_total",
        "Failed requests, and failed attempts of others, by kind; the prefix says whose fault.",
        ("provider", "model", "error_type"),
    ),
    Family(
        COUNTER,
        "edge_translation_warnings_total",
        "Answers in which a translation met what it could not make sense of, by what that was.",
        ("provider", "model", "warning"),
    ),
    Family(
        COUNTER,
        "edge_cache_requests_total",
        "Answers looked for in the cache. Every result but hit and miss is trouble, and served as a miss.",
        ("tier", "result"),
    ),
    Family(COUNTER, "edge_cache_writes_total", "Answers to be stored, by what became of that.", ("tier", "result")),
    Family(
        HISTOGRAM,
        "edge_cache_operation_duration_seconds",
        "Time spent with Redis, trouble included.",
        ("tier", "operation"),
        OVERHEADS,
    ),
    Family(
        HISTOGRAM,
        "edge_redis_command_duration_seconds",
        "From sending a command to Redis to its reply, or to giving it up.",
        ("use", "outcome"),
        OVERHEADS,
    ),
    Family(GAUGE, "edge_cache_entries", "Answers in memory.", ("tier",)),
    Family(GAUGE, "edge_cache_size_bytes", "Weight of the answers in memory.", ("tier",)),
    Family(COUNTER, "edge_cache_evictions_total", "Answers that had to go, by why.", ("tier", "reason")),
    Family(COUNTER, "edge_cache_joined_total", "Requests that were answered by another's upstream call.", ()),
    Family(
        COUNTER,
        "edge_limit_decisions_total",
        "Requests that a limit decided on; full: too many are limited at once to be counted apart.",
        ("limit", "decision"),
    ),
    Family(
        COUNTER,
        "edge_pii_findings_total",
        "Personal data and secrets found, by what is done about them.",
        ("side", "kind", "mode"),
    ),
    Family(
        HISTOGRAM,
        "edge_pii_scan_duration_seconds",
        "Time spent on looking for personal data in a request, or in an answer.",
        ("side",),
        SCANS,
    ),
    Family(COUNTER, "edge_cost_usd_total", "What the providers' answers cost.", ("provider", "model", "tenant")),
    Family(
        COUNTER,
        "edge_unpriced_requests_total",
        "Answers of models that no price is known for.",
        ("provider",),
    ),
    Family(
        COUNTER,
        "edge_estimated_requests_total",
        "Answers of which the tokens, and so the cost, are estimates.",
        ("provider",),
    ),
    Family(
        COUNTER,
        "edge_saved_tokens_total",
        "Tokens that were not asked of a provider, by how.",
        ("model", "tenant", "tier", "type"),
    ),
    Family(
        COUNTER,
        "edge_saved_cost_usd_total",
        "What these tokens would have cost.",
        ("model", "tenant", "tier"),
    ),
    Family(
        COUNTER,
        "edge_upstream_requests_total",
        "Requests to providers by the status of the answer, or the error's code where none came.",
        ("provider", "model", "code"),
    ),
    Family(
        COUNTER,
        "edge_routing_decisions_total",
        "Times that a strategy picked an upstream, by the provider of that.",
        ("strategy", "provider"),
    ),
    Family(
        HISTOGRAM,
        "edge_routing_duration_seconds",
        "Time that picking an upstream took.",
        ("strategy",),
        DECISIONS,
    ),
    Family(
        GAUGE_MIN,
        "edge_upstream_ratelimit_remaining",
        "What is left of a provider's quota by what it said last, within a minute: the least of all keys and workers.",
        ("provider", "kind"),
    ),
    Family(
        COUNTER,
        "edge_failovers_total",
        "Failed attempts after which another upstream was asked, by kind.",
        ("from_provider", "to_provider", "reason"),
    ),
    Family(
        COUNTER,
        "edge_hedges_total",
        "Second attempts beside a late one: that won, lost, or failed. The provider is that of the second.",
        ("provider", "outcome"),
    ),
    Family(
        COUNTER,
        "edge_rescues_total",
        "Streams that broke off and were to be continued, by who was to do that, and whether it did: ok or failed.",
        ("provider", "outcome"),
    ),
    Family(
        GAUGE,
        "edge_upstream_unavailable",
        "Workers that send no requests to an upstream of the configuration: its breaker is open, or it is drained.",
        ("provider", "model"),
    ),
    Family(
        GAUGE,
        "edge_upstream_keys",
        "Keys of providers, of each worker, that are left alone for a model or for all, by why.",
        ("provider", "state"),
    ),
    Family(GAUGE, "edge_requests_in_flight", "Requests that were let in and have not ended.", ()),
    Family(GAUGE, "edge_redis_ready", "Workers that can use Redis.", ()),
    Family(COUNTER, "process_cpu_seconds_total", "CPU time that a worker has spent.", ("worker",)),
    Family(GAUGE, "process_resident_memory_bytes", "A worker's memory in RAM, what it shares included.", ("worker",)),
    Family(GAUGE, "process_virtual_memory_bytes", "A worker's address space.", ("worker",)),
    Family(GAUGE, "process_open_fds", "Files and sockets that a worker has open.", ("worker",)),
    Family(GAUGE, "process_max_fds", "How many it may have open.", ("worker",)),
    Family(GAUGE, "process_start_time_seconds", "When a worker began, in seconds of the wall clock.", ("worker",)),
    Family(GAUGE, "edge_connections", "Connections of clients that are open.", ()),
    Family(COUNTER, "edge_connections_shed_total", "Connections given up at their bound, by how.", ("action",)),
    Family(
        COUNTER,
        "edge_telemetry_dropped_total",
        "Spans that were to be exported and were not: no room to wait, not taken by the collector, or too many.",
        ("signal", "reason"),
    ),
    Family(COUNTER, "edge_spans_exported_total", "Spans that the collector has taken.", ()),
    Family(COUNTER, "edge_log_lines_dropped_total", "Log lines of workers that nobody took in time.", ()),
    Family(HISTOGRAM, "edge_request_size_bytes", "Bodies of requests.", ("endpoint",), SIZES),
    Family(HISTOGRAM, "edge_response_size_bytes", "Bodies of answers, as far as they were sent.", ("endpoint",), SIZES),
    Family(
        COUNTER,
        "edge_requests_rejected_total",
        "Requests that were refused before any provider was asked, by the code of the error.",
        ("endpoint", "reason"),
    ),
    Family(
        COUNTER,
        "edge_auth_failures_total",
        "Requests whose credential was refused, by the code of the error.",
        ("reason",),
    ),
    Family(
        COUNTER,
        "edge_client_disconnects_total",
        "Clients that left before the end of their answer, by when.",
        ("endpoint", "phase"),
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_time_to_first_chunk_seconds",
        "From sending a request to the first content of the stream that answers it.",
        ("provider", "model"),
        FIRST_CHUNKS,
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_time_per_output_chunk_seconds",
        "Time between the chunks of content of a stream, waits for the client apart: one mean a stream.",
        ("provider", "model"),
        BETWEEN_CHUNKS,
    ),
    Family(
        COUNTER,
        "edge_retries_total",
        "Failed attempts after which the same upstream was asked again, by kind.",
        ("provider", "reason"),
    ),
    Family(
        COUNTER,
        "edge_retry_budget_exhausted_total",
        "Times that an upstream was not asked again because the budget of retries was spent.",
        ("provider",),
    ),
    Family(GAUGE, "edge_upstream_connections", "Connections to a provider.", ("provider", "state")),
    Family(
        GAUGE,
        "edge_circuit_state",
        "Workers whose breaker of an upstream of the configuration is in this state.",
        ("provider", "model", "state"),
    ),
    Family(
        COUNTER,
        "edge_circuit_transitions_total",
        "Changes of breakers' states, as four looks a second see them; openings are all counted.",
        ("provider", "model", "to"),
    ),
    Family(
        GAUGE_MAX,
        "edge_provider_up",
        "1 where some worker may send requests to some upstream of a provider.",
        ("provider",),
    ),
    Family(GAUGE, "edge_queue_length", "What waits in the workers' queues.", ("queue",)),
    Family(GAUGE, "edge_log_queue_bytes", "Log lines that are still to be written.", ()),
    Family(
        HISTOGRAM,
        "edge_event_loop_lag_seconds",
        "How late a worker's timer came, four times a second.",
        (),
        LAGS,
    ),
    Family(
        HISTOGRAM,
        "edge_gc_pause_seconds",
        "Time that a worker stood still while Python's collector looked for circles.",
        ("generation",),
        PAUSES,
    ),
    Family(GAUGE, "edge_workers", "Worker processes by what they are doing.", ("state",)),
    Family(COUNTER, "edge_worker_restarts_total", "Workers that ended and were replaced, by why.", ("reason",)),
    Family(
        GAUGE_MAX,
        "edge_budget_limit_usd",
        "What a tenant, or all who ask for an alias, may spend in the period.",
        ("scope", "name", "per"),
    ),
    Family(
        GAUGE_MAX,
        "edge_budget_used_usd",
        "What of that is spent or reserved, as this machine counts it.",
        ("scope", "name", "per"),
    ),
    Family(
        GAUGE_MAX,
        "edge_config_last_reload_successful",
        "Whether the last configuration that was read is in force.",
        (),
    ),
    Family(
        GAUGE_MAX,
        "edge_config_last_reload_success_timestamp_seconds",
        "When a configuration was last put into force, in seconds of the wall clock.",
        (),
    ),
    Family(
        HISTOGRAM,
        "gen_ai_client_token_usage",
        "Tokens of a provider's answer.",
        (*GENAI, "gen_ai_token_type"),
        GENAI_TOKENS,
    ),
    Family(
        HISTOGRAM,
        "gen_ai_client_operation_duration_seconds",
        "Time spent waiting for a provider.",
        (*GENAI, "error_type"),
        GENAI_SECONDS,
    ),
    Family(
        HISTOGRAM,
        "gen_ai_server_request_duration_seconds",
        "From the end of a request's headers to the end of its answer.",
        (*GENAI, "error_type"),
        GENAI_SECONDS,
    ),
    Family(
        HISTOGRAM,
        "gen_ai_server_time_to_first_token_seconds",
        "From the end of a request's headers to the first content of a stream.",
        GENAI,
        GENAI_FIRST,
    ),
    Family(
        GAUGE_MAX,
        "edge_build_info",
        "Always 1; the labels say what is running.",
        ("version", "python", "compiled"),
    ),
)
NUMBERS = {family.name: number for number, family in enumerate(FAMILIES)}
DROPPED = "edge_metric_series_dropped_total"
DROPPED_HELP = "Times that a label set of a metric found no room and was counted as _other."

LAYOUT = f"2/{hashlib.sha256(repr([(*each[:2], *each[3:]) for each in FAMILIES]).encode()).hexdigest()[:16]}"
"""Of what stands in the slots: the number changes with `edge._fast._slots`, the rest with the families."""
