"""Records of requests, as the hooks have them."""

from __future__ import annotations

from edge.hooks import RequestRecord, Usage

FIELDS = (
    *("request_id", "endpoint", "dialect", "provider", "model", "upstream_model", "attempts", "key_id", "tenant"),
    *("status", "stream", "outcome", "error_code", "error_kind", "duration_s", "upstream_s", "overhead_s"),
    *("time_to_first_content_s", "usage", "warnings", "cost", "estimated", "cache", "stored_provider"),
    *("stored_model", "asked", "alias", "peer", "pii"),
    *("request_bytes", "response_bytes", "tried"),
)

USAGE = (
    *("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_long", "audio_input", "audio_output"),
    *("image_input", "image_output", "web_searches", "service_tier", "speed", "geo", "parts"),
)


def used(usage: Usage, **fields: object) -> Usage:
    """The same but for these fields."""
    return Usage(**{name: getattr(usage, name) for name in USAGE} | fields)


def changed(record: RequestRecord, **fields: object) -> RequestRecord:
    """The same but for these fields."""
    return RequestRecord(**{name: getattr(record, name) for name in FIELDS} | fields)
