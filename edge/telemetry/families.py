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
        "Requests that have ended, by what became of them. provider is the one that was asked last, empty if none was.",
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
        "The part of a request's time that was not spent waiting for a provider, Redis, another's answer or its "
        "body. cache says where the answer came from, empty without a cache.",
        ("endpoint", "cache"),
        bounds.OVERHEADS,
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_duration_seconds",
        "Time that a request spent waiting for a provider, and for Redis before it.",
        ("provider", "model"),
        bounds.DURATIONS,
    ),
    Family(
        COUNTER,
        "edge_tokens_total",
        "Tokens that providers charge for, estimates included. type is input, output, cache_read or cache_write, "
        "and as parts of these reasoning, cache_write_long, audio_input, audio_output, image_input or image_output.",
        ("provider", "model", "type", "tenant"),
    ),
    Family(
        COUNTER,
        "edge_errors_total",
        "Failed requests, and failed attempts of requests for which another upstream was asked, by the kind of the "
        "error.",
        ("provider", "model", "error_type"),
    ),
    Family(
        COUNTER,
        "edge_translation_warnings_total",
        "Answers in which a translation met something that it could not interpret, by what that was.",
        ("provider", "model", "warning"),
    ),
    Family(
        COUNTER,
        "edge_cache_requests_total",
        "Lookups in the cache. Every result but hit and miss is a failure of Redis, and served as a miss.",
        ("tier", "result"),
    ),
    Family(
        COUNTER,
        "edge_cache_writes_total",
        "Answers that were to be stored, by what became of them.",
        ("tier", "result"),
    ),
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
        "Time from sending a command to Redis to its reply or to giving it up. use is read, or write with those for "
        "limits; outcome is ok, or why the command was not carried out.",
        ("use", "outcome"),
        bounds.OVERHEADS,
    ),
    Family(GAUGE, "edge_cache_entries", "Answers in memory.", ("tier",)),
    Family(GAUGE, "edge_cache_size_bytes", "Weight of the answers in memory.", ("tier",)),
    Family(COUNTER, "edge_cache_evictions_total", "Answers that have left memory, by why.", ("tier", "reason")),
    Family(
        COUNTER, "edge_cache_joined_total", "Requests that were answered by another request's call to a provider.", ()
    ),
    Family(
        COUNTER,
        "edge_limit_decisions_total",
        "Requests that a limit of their key, its tenant or the alias decided on. limit is requests, concurrency, "
        "tokens, budget, or redis where that could not be asked (alone or refused); full means that too many keys "
        "are limited at once to be counted apart.",
        ("limit", "decision"),
    ),
    Family(
        COUNTER,
        "edge_pii_findings_total",
        "Personal data and secrets found in requests and responses, by what is done about them.",
        ("side", "kind", "mode"),
    ),
    Family(
        HISTOGRAM,
        "edge_pii_scan_duration_seconds",
        "Time spent looking for personal data in a request, or in an answer (of a stream, in all its pieces together).",
        ("side",),
        bounds.SCANS,
    ),
    Family(COUNTER, "edge_cost_usd_total", "What the providers' answers cost.", ("provider", "model", "tenant")),
    Family(
        COUNTER,
        "edge_unpriced_requests_total",
        "Answers that no price is known for.",
        ("provider",),
    ),
    Family(
        COUNTER,
        "edge_estimated_requests_total",
        "Answers whose tokens, and so whose cost, are estimates.",
        ("provider",),
    ),
    Family(
        COUNTER,
        "edge_saved_tokens_total",
        "Tokens that no provider was asked for, because the cache had the answer.",
        ("model", "tenant", "tier", "type"),
    ),
    Family(
        COUNTER,
        "edge_saved_cost_usd_total",
        "What the tokens that no provider was asked for would have cost.",
        ("model", "tenant", "tier"),
    ),
    Family(
        COUNTER,
        "edge_upstream_requests_total",
        "Requests to providers. code is the status of the answer or, where none came, the code of the error.",
        ("provider", "model", "code"),
    ),
    Family(
        COUNTER,
        "edge_routing_decisions_total",
        "Times that a strategy picked an upstream of this provider. A name that leads to one upstream alone counts "
        "as failover.",
        ("strategy", "provider"),
    ),
    Family(
        HISTOGRAM,
        "edge_routing_duration_seconds",
        "Time that picking an upstream took.",
        ("strategy",),
        bounds.DECISIONS,
    ),
    Family(
        GAUGE_MIN,
        "edge_upstream_ratelimit_remaining",
        "What is left of a provider's quota, as its answers said within a minute: the least of all keys and "
        "workers. kind is requests, tokens, input_tokens or output_tokens.",
        ("provider", "kind"),
    ),
    Family(
        COUNTER,
        "edge_failovers_total",
        "Failed attempts after which another upstream was asked. reason is the kind of the error.",
        ("from_provider", "to_provider", "reason"),
    ),
    Family(
        COUNTER,
        "edge_hedges_total",
        "Second attempts beside one that was late, by what became of them: won, lost or failed. provider is that of "
        "the second.",
        ("provider", "outcome"),
    ),
    Family(
        COUNTER,
        "edge_kept_responses_total",
        "What was done with what is kept here for providers that keep nothing, by operation (put, get, delete, turn, "
        "change) and result: ok, miss, unavailable (Redis), too_large, overloaded, deleted, taken, unsound, error.",
        ("operation", "result"),
    ),
    Family(
        COUNTER,
        "edge_rescues_total",
        "Streams that broke off, by the provider that was asked to continue them and by whether it did: ok or failed.",
        ("provider", "outcome"),
    ),
    Family(
        GAUGE,
        "edge_upstream_unavailable",
        "Workers that send nothing to an upstream of the configuration, because its breaker is open or it is drained.",
        ("provider", "model"),
    ),
    Family(
        GAUGE,
        "edge_upstream_keys",
        "Keys that workers leave alone, for a model or for all: resting for as long as the provider has asked for, or "
        "avoided after a refusal, a 429 that says nothing of a wait, or where nothing is left of a quota.",
        ("provider", "state"),
    ),
    Family(GAUGE, "edge_requests_in_flight", "Requests that were admitted and have not ended.", ()),
    Family(GAUGE, "edge_websockets", "WebSockets that are open.", ("endpoint",)),
    Family(COUNTER, "edge_websocket_messages_total", "Messages of WebSockets.", ("endpoint", "direction")),
    Family(COUNTER, "edge_websocket_bytes_total", "Bytes of messages of WebSockets.", ("endpoint", "direction")),
    Family(COUNTER, "edge_websocket_ends_total", "WebSockets that have ended, by why.", ("endpoint", "reason")),
    Family(
        GAUGE,
        "edge_redis_ready",
        "Workers that can read from Redis and write to it; one that Redis refuses cannot. Absent without Redis.",
        (),
    ),
    Family(COUNTER, "process_cpu_seconds_total", "CPU time that a worker has spent.", ("worker",)),
    Family(
        GAUGE,
        "process_resident_memory_bytes",
        "A worker's memory in RAM, pages that workers share included.",
        ("worker",),
    ),
    Family(GAUGE, "process_virtual_memory_bytes", "A worker's address space.", ("worker",)),
    Family(GAUGE, "process_open_fds", "Files and sockets that a worker has open.", ("worker",)),
    Family(GAUGE, "process_max_fds", "How many files and sockets a worker may have open.", ("worker",)),
    Family(GAUGE, "process_start_time_seconds", "When a worker started, in seconds of the wall clock.", ("worker",)),
    Family(GAUGE_MIN, "edge_start_time_seconds", "When the edge started, upgrades aside, by the wall clock.", ()),
    Family(GAUGE, "edge_connections", "Connections of clients that are open.", ()),
    Family(
        COUNTER,
        "edge_connections_shed_total",
        "Connections given up because there were too many: closed_idle to make room, or refused where none was idle.",
        ("action",),
    ),
    Family(
        COUNTER,
        "edge_telemetry_dropped_total",
        "Spans that were not exported: queue_full without room to wait, not_taken by the collector in time, or "
        "too_many failures at once.",
        ("signal", "reason"),
    ),
    Family(COUNTER, "edge_spans_exported_total", "Spans that the collector has taken.", ()),
    Family(
        COUNTER,
        "edge_log_lines_dropped_total",
        "Log lines of workers that could not be written, or waited too long.",
        (),
    ),
    Family(
        HISTOGRAM,
        "edge_request_size_bytes",
        "Size of the bodies of requests; 0 where the headers were refused.",
        ("endpoint",),
        bounds.SIZES,
    ),
    Family(
        HISTOGRAM,
        "edge_response_size_bytes",
        "Size of the bodies of answers as far as they were sent, without HTTP's framing.",
        ("endpoint",),
        bounds.SIZES,
    ),
    Family(
        COUNTER,
        "edge_requests_rejected_total",
        "Requests that were refused before any provider was asked. reason is the code of the error.",
        ("endpoint", "reason"),
    ),
    Family(
        COUNTER,
        "edge_auth_failures_total",
        "Requests that were refused for their credential. reason is the code of the error.",
        ("reason",),
    ),
    Family(
        COUNTER,
        "edge_client_disconnects_total",
        "Clients that left before the end of their answer: during the request, while waiting for a provider, or "
        "within the answer.",
        ("endpoint", "phase"),
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_time_to_first_chunk_seconds",
        "Time from sending a request to the first content of the stream that answers it.",
        ("provider", "model"),
        bounds.FIRST_CHUNKS,
    ),
    Family(
        HISTOGRAM,
        "edge_upstream_time_per_output_chunk_seconds",
        "Time between the chunks of content of a stream, without waits for the client: the mean of each stream, once.",
        ("provider", "model"),
        bounds.BETWEEN_CHUNKS,
    ),
    Family(
        COUNTER,
        "edge_retries_total",
        "Failed attempts after which the same upstream was asked again, by another key or after a pause. reason is "
        "the kind of the error.",
        ("provider", "reason"),
    ),
    Family(
        COUNTER,
        "edge_retry_budget_exhausted_total",
        "Times that an upstream was not asked again because the budget of retries was spent.",
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
        "Workers whose breaker of an upstream of the configuration is closed, open or half_open, or that hold the "
        "upstream drained.",
        ("provider", "model", "state"),
    ),
    Family(
        COUNTER,
        "edge_circuit_transitions_total",
        "Changes of breakers' states in each worker, as four looks a second see them; openings are all counted.",
        ("provider", "model", "to"),
    ),
    Family(
        GAUGE_MAX,
        "edge_provider_up",
        "1 if some worker sends requests to some upstream of the provider.",
        ("provider",),
    ),
    Family(
        GAUGE,
        "edge_queue_length",
        "What waits: requests for a connection (connections) or for a place under max_in_flight (places), and "
        "answers to be written to Redis (redis_writes).",
        ("queue",),
    ),
    Family(GAUGE, "edge_log_queue_bytes", "Log lines that are still to be written.", ()),
    Family(
        HISTOGRAM, "edge_event_loop_lag_seconds", "How late a worker's timer was, four times a second.", (), bounds.LAGS
    ),
    Family(
        HISTOGRAM,
        "edge_gc_pause_seconds",
        "Time that a worker stood still for Python's garbage collector.",
        ("generation",),
        bounds.PAUSES,
    ),
    Family(
        GAUGE,
        "edge_workers",
        "Worker processes that are missing (ended and not started again yet), starting, ready or retiring.",
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
        "The budget of a tenant, or of all who ask for an alias (scope model), for the period.",
        ("scope", "name", "per"),
    ),
    Family(
        GAUGE_MAX,
        "edge_budget_used_usd",
        "What of a budget is spent or reserved in its period, as this machine counts.",
        ("scope", "name", "per"),
    ),
    Family(
        GAUGE_MAX,
        "edge_config_last_reload_successful",
        "1 if the configuration that was read last is in force, 0 if it could not be used.",
        (),
    ),
    Family(
        GAUGE_MAX,
        "edge_config_last_reload_success_timestamp_seconds",
        "When a configuration was last put into force, the start included, in seconds of the wall clock.",
        (),
    ),
    Family(
        HISTOGRAM,
        "gen_ai_client_token_usage",
        "Tokens of a provider's answer: input with those of the provider's own cache, and output.",
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
        "The whole time of requests of which a provider was asked. error_type is the kind of the error, empty "
        "without one.",
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
        "Always 1; the labels say what is running.",
        ("version", "python", "compiled"),
    ),
)
NUMBERS = {family.name: number for number, family in enumerate(FAMILIES)}
DROPPED = "edge_metric_series_dropped_total"
DROPPED_HELP = "Times that a label set of this metric found no room and was counted as _other."

LAYOUT = f"2/{hashlib.sha256(repr([(*each[:2], *each[3:]) for each in FAMILIES]).encode()).hexdigest()[:16]}"
"""Of what stands in the slots: the number changes with `edge._fast._slots`, the rest with the families."""
