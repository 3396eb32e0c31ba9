"""Every metric's name, its labels, and what it counts.

A metric exists from the day something tells it. Labels come from the configuration and the program, never from clients.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from edge._fast import COUNTER, GAUGE, GAUGE_MAX, GAUGE_MIN, HISTOGRAM
from edge.telemetry import bounds

__all__ = ["DROPPED", "DROPPED_HELP", "FAMILIES", "LAYOUT", "NUMBERS", "Family"]

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
        "Finished requests by outcome. provider is the last one called, empty if none was.",
        ("endpoint", "model", "provider", "code", "stream", "tenant"),
    ),
    Family(
        HISTOGRAM,
        "edge_request_duration_seconds",
        "Time from the end of a request's headers to the end of its answer. outcome is ok, error or cancelled.",
        ("endpoint", "stream", "outcome"),
        bounds.DURATIONS,
    ),
    Family(
        HISTOGRAM,
        "edge_overhead_seconds",
        "The part of a request's time not spent waiting for a provider, Redis, another request's answer or the "
        "request body. cache says where the answer came from, empty without a cache.",
        ("endpoint", "cache"),
        bounds.OVERHEADS,
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_duration_seconds",
        "Time a request spent waiting for a provider, and for Redis before it.",
        ("provider", "model"),
        bounds.DURATIONS,
    ),
    Family(
        COUNTER,
        "edge_tokens_total",
        "Tokens that providers charge for, estimates included. type is input, output, cache_read or cache_write "
        "and, for parts of these, reasoning, cache_write_long, audio_input, audio_output, image_input or "
        "image_output.",
        ("provider", "model", "type", "tenant"),
    ),
    Family(
        COUNTER,
        "edge_errors_total",
        "Failed requests, and failed attempts of requests that went on to another upstream, by the kind of the error.",
        ("provider", "model", "error_type"),
    ),
    Family(
        COUNTER,
        "edge_translation_warnings_total",
        "Answers with content that the translation could not interpret, by the type of that content.",
        ("provider", "model", "warning"),
    ),
    Family(
        COUNTER,
        "edge_cache_requests_total",
        "Cache lookups. Every result except hit and miss is a Redis failure, which the edge treats as a miss.",
        ("tier", "result"),
    ),
    Family(COUNTER, "edge_cache_writes_total", "Answers to be stored, by outcome.", ("tier", "result")),
    Family(
        HISTOGRAM,
        "edge_cache_operation_duration_seconds",
        "Time spent on an operation with Redis, failures included.",
        ("tier", "operation"),
        bounds.OVERHEADS,
    ),
    Family(
        HISTOGRAM,
        "edge_redis_command_duration_seconds",
        "Time from sending a command to Redis to its reply or to giving up. use is read or write, and write "
        "includes the commands for limits; outcome is ok or the reason why the command failed.",
        ("use", "outcome"),
        bounds.OVERHEADS,
    ),
    Family(GAUGE, "edge_cache_entries", "Cache entries in memory.", ("tier",)),
    Family(GAUGE, "edge_cache_size_bytes", "Size of the cache entries in memory.", ("tier",)),
    Family(COUNTER, "edge_cache_evictions_total", "Cache entries that left memory, by reason.", ("tier", "reason")),
    Family(COUNTER, "edge_cache_joined_total", "Requests that shared another request's upstream call.", ()),
    Family(
        COUNTER,
        "edge_limit_decisions_total",
        "Requests on which a limit of their key, its tenant or the alias decided. limit is requests, concurrency, "
        "tokens, budget, or redis if Redis was unreachable (alone or refused); full means that too many keys are "
        "limited at once to count them separately.",
        ("limit", "decision"),
    ),
    Family(
        COUNTER,
        "edge_pii_findings_total",
        "Personal data and secrets found in requests and responses, by the action taken.",
        ("side", "kind", "mode"),
    ),
    Family(
        HISTOGRAM,
        "edge_pii_scan_duration_seconds",
        "Time spent scanning a request or an answer for personal data; for a stream, the sum over its chunks.",
        ("side",),
        bounds.SCANS,
    ),
    Family(COUNTER, "edge_cost_usd_total", "Cost of the providers' answers.", ("provider", "model", "tenant")),
    Family(COUNTER, "edge_unpriced_requests_total", "Answers without a known price.", ("provider",)),
    Family(
        COUNTER,
        "edge_estimated_requests_total",
        "Answers with estimated tokens, and so an estimated cost.",
        ("provider",),
    ),
    Family(COUNTER, "edge_saved_tokens_total", "Tokens that the cache saved.", ("model", "tenant", "tier", "type")),
    Family(
        COUNTER,
        "edge_saved_cost_usd_total",
        "Cost of the tokens that the cache saved.",
        ("model", "tenant", "tier"),
    ),
    Family(
        COUNTER,
        "edge_upstream_requests_total",
        "Requests to providers. code is the status of the answer or, without an answer, the code of the error.",
        ("provider", "model", "code"),
    ),
    Family(
        COUNTER,
        "edge_routing_decisions_total",
        "How often a strategy chose an upstream of this provider. A name with a single upstream counts as failover.",
        ("strategy", "provider"),
    ),
    Family(
        HISTOGRAM,
        "edge_routing_duration_seconds",
        "Time taken to choose an upstream.",
        ("strategy",),
        bounds.DECISIONS,
    ),
    Family(
        GAUGE_MIN,
        "edge_upstream_ratelimit_remaining",
        "What remains of a provider's quota, as its answers reported within the last minute: the minimum over all "
        "keys and workers. kind is requests, tokens, input_tokens or output_tokens.",
        ("provider", "kind"),
    ),
    Family(
        COUNTER,
        "edge_failovers_total",
        "Failed attempts after which the edge tried another upstream. reason is the kind of the error.",
        ("from_provider", "to_provider", "reason"),
    ),
    Family(
        COUNTER,
        "edge_hedges_total",
        "Second attempts in parallel with a late one, by outcome: won, lost or failed. provider is that of the "
        "second attempt.",
        ("provider", "outcome"),
    ),
    Family(
        COUNTER,
        "edge_kept_responses_total",
        "Operations on responses and conversations that the edge stores for providers that store none, by "
        "operation (put, get, delete, turn, change) and result: ok, miss, unavailable (Redis), too_large, "
        "overloaded, deleted, taken, unsound, error.",
        ("operation", "result"),
    ),
    Family(
        COUNTER,
        "edge_rescues_total",
        "Streams that broke off, by the provider that was to continue them and by outcome: ok or failed.",
        ("provider", "outcome"),
    ),
    Family(
        GAUGE,
        "edge_upstream_unavailable",
        "Workers that send nothing to a configured upstream because its breaker is open or the upstream is drained.",
        ("provider", "model"),
    ),
    Family(
        GAUGE,
        "edge_upstream_keys",
        "Keys that workers do not use, for one model or for all: resting for as long as the provider asked, or "
        "avoided after a refusal, after a 429 that gives no wait, or because a quota is used up.",
        ("provider", "state"),
    ),
    Family(GAUGE, "edge_requests_in_flight", "Admitted requests that have not finished.", ()),
    Family(GAUGE, "edge_websockets", "Open WebSockets.", ("endpoint",)),
    Family(COUNTER, "edge_websocket_messages_total", "WebSocket messages.", ("endpoint", "direction")),
    Family(COUNTER, "edge_websocket_bytes_total", "Bytes of WebSocket messages.", ("endpoint", "direction")),
    Family(COUNTER, "edge_websocket_ends_total", "Ended WebSockets, by reason.", ("endpoint", "reason")),
    Family(
        GAUGE,
        "edge_redis_ready",
        "Workers that can read from and write to Redis; a worker that Redis refuses cannot. Absent without Redis.",
        (),
    ),
    Family(COUNTER, "process_cpu_seconds_total", "CPU time a worker has used.", ("worker",)),
    Family(
        GAUGE,
        "process_resident_memory_bytes",
        "Resident memory of a worker, including pages it shares with other workers.",
        ("worker",),
    ),
    Family(GAUGE, "process_virtual_memory_bytes", "Virtual memory of a worker.", ("worker",)),
    Family(GAUGE, "process_open_fds", "Open file descriptors of a worker.", ("worker",)),
    Family(GAUGE, "process_max_fds", "Maximum number of open file descriptors of a worker.", ("worker",)),
    Family(GAUGE, "process_start_time_seconds", "When a worker started, in seconds of the wall clock.", ("worker",)),
    Family(
        GAUGE_MIN,
        "edge_start_time_seconds",
        "When the edge started, not counting upgrades, in seconds of the wall clock.",
        (),
    ),
    Family(GAUGE, "edge_connections", "Open client connections.", ()),
    Family(
        COUNTER,
        "edge_connections_shed_total",
        "Connections closed because there were too many: closed_idle to make room, or refused because none was idle.",
        ("action",),
    ),
    Family(
        COUNTER,
        "edge_telemetry_dropped_total",
        "Spans that were not exported: queue_full if the queue had no room, not_taken if the collector did not "
        "accept them in time, or too_many for failures beyond the rate limit.",
        ("signal", "reason"),
    ),
    Family(COUNTER, "edge_spans_exported_total", "Spans that the collector accepted.", ()),
    Family(
        COUNTER,
        "edge_log_lines_dropped_total",
        "Log lines of workers that could not be written or waited too long.",
        (),
    ),
    Family(
        HISTOGRAM,
        "edge_request_size_bytes",
        "Size of request bodies; 0 if the headers were refused.",
        ("endpoint",),
        bounds.SIZES,
    ),
    Family(
        HISTOGRAM,
        "edge_response_size_bytes",
        "Size of answer bodies as far as they were sent, without HTTP framing.",
        ("endpoint",),
        bounds.SIZES,
    ),
    Family(
        COUNTER,
        "edge_requests_rejected_total",
        "Requests refused before any call to a provider. reason is the code of the error.",
        ("endpoint", "reason"),
    ),
    Family(
        COUNTER,
        "edge_auth_failures_total",
        "Requests refused for their credentials. reason is the code of the error.",
        ("reason",),
    ),
    Family(
        COUNTER,
        "edge_client_disconnects_total",
        "Clients that disconnected before the end of their answer. phase is request, waiting (for a provider) or "
        "answer.",
        ("endpoint", "phase"),
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_time_to_first_chunk_seconds",
        "Time from sending a request to the first content of its stream.",
        ("provider", "model"),
        bounds.FIRST_CHUNKS,
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_time_per_output_chunk_seconds",
        "Mean time between the content chunks of a stream, without waits for the client; one observation per stream.",
        ("provider", "model"),
        bounds.BETWEEN_CHUNKS,
    ),
    Family(
        COUNTER,
        "edge_retries_total",
        "Failed attempts after which the edge tried the same upstream again, with another key or after a pause. "
        "reason is the kind of the error.",
        ("provider", "reason"),
    ),
    Family(
        COUNTER,
        "edge_retry_budget_exhausted_total",
        "Retries not made because the retry budget was exhausted.",
        ("provider",),
    ),
    Family(
        GAUGE,
        "edge_upstream_connections",
        "Connections to a provider that are busy, idle or opening. Absent with http2.",
        ("provider", "state"),
    ),
    Family(
        GAUGE,
        "edge_circuit_state",
        "Workers whose breaker of a configured upstream is closed, open or half_open, or that hold the upstream "
        "drained.",
        ("provider", "model", "state"),
    ),
    Family(
        COUNTER,
        "edge_circuit_transitions_total",
        "Breaker state changes in each worker, sampled four times a second; openings are counted exactly.",
        ("provider", "model", "to"),
    ),
    Family(
        GAUGE_MAX,
        "edge_provider_up",
        "1 if at least one worker sends requests to at least one upstream of the provider.",
        ("provider",),
    ),
    Family(
        GAUGE,
        "edge_queue_length",
        "Queue lengths: requests waiting for a connection (connections) or for a place under max_in_flight "
        "(places), and answers waiting to be written to Redis (redis_writes).",
        ("queue",),
    ),
    Family(GAUGE, "edge_log_queue_bytes", "Log lines waiting to be written.", ()),
    Family(
        HISTOGRAM,
        "edge_event_loop_lag_seconds",
        "How late a worker's timer fired, measured four times a second.",
        (),
        bounds.LAGS,
    ),
    Family(
        HISTOGRAM,
        "edge_gc_pause_seconds",
        "How long Python's garbage collector paused a worker.",
        ("generation",),
        bounds.PAUSES,
    ),
    Family(
        GAUGE,
        "edge_workers",
        "Worker processes that are missing (ended and not restarted yet), starting, ready or retiring.",
        ("state",),
    ),
    Family(
        COUNTER,
        "edge_worker_restarts_total",
        "Workers that ended and were replaced: by an exit, by a signal, or killed because they stalled.",
        ("reason",),
    ),
    Family(
        GAUGE_MAX,
        "edge_budget_limit_usd",
        "The budget of a tenant, or of all requests that name an alias (scope model), for the period.",
        ("scope", "name", "per"),
    ),
    Family(
        GAUGE_MAX,
        "edge_budget_used_usd",
        "How much of a budget is spent or reserved in its period, by this machine's count.",
        ("scope", "name", "per"),
    ),
    Family(
        GAUGE_MAX,
        "edge_config_last_reload_successful",
        "1 if the configuration read last is in force, 0 if it could not be used.",
        (),
    ),
    Family(
        GAUGE_MAX,
        "edge_config_last_reload_success_timestamp_seconds",
        "When a configuration last took effect, the start included, in seconds of the wall clock.",
        (),
    ),
    Family(
        HISTOGRAM,
        "gen_ai_client_token_usage",
        "Tokens of a provider's answer: input, including the provider's own prompt cache, and output.",
        (*GENAI, "gen_ai_token_type"),
        bounds.GENAI_TOKENS,
    ),
    Family(
        HISTOGRAM,
        "gen_ai_client_operation_duration_seconds",
        "Time spent waiting for a provider. error_type is the kind of the error, empty without one.",
        (*GENAI, "error_type"),
        bounds.GENAI_SECONDS,
    ),
    Family(
        HISTOGRAM,
        "gen_ai_server_request_duration_seconds",
        "Total time of requests that reached a provider. error_type is the kind of the error, empty without one.",
        (*GENAI, "error_type"),
        bounds.GENAI_SECONDS,
    ),
    Family(
        HISTOGRAM,
        "gen_ai_server_time_to_first_token_seconds",
        "Time from the end of a request's headers to the first content of its stream.",
        GENAI,
        bounds.GENAI_FIRST,
    ),
    Family(
        GAUGE_MAX,
        "edge_build_info",
        "Always 1; the labels identify what is running.",
        ("version", "python", "compiled"),
    ),
)
NUMBERS = {family.name: number for number, family in enumerate(FAMILIES)}
DROPPED = "edge_metric_series_dropped_total"
DROPPED_HELP = "How often a label set of this metric found no room and was counted as _other."

LAYOUT = f"2/{hashlib.sha256(repr([(*each[:2], *each[3:]) for each in FAMILIES]).encode()).hexdigest()[:16]}"
"""Of what stands in the slots: the number changes with `edge._fast._slots`, the rest with the families."""
