"""Why settings of LiteLLM are not carried, by where they stand."""

from __future__ import annotations

__all__ = ["CACHE", "CALLBACKS", "GENERAL", "INFO", "LIBRARY", "PARAMS", "ROOT", "ROUTER"]

_ITSELF = "is for each request to say"
_CLOCKS = "clocks are the same for all models: resilience.attempt_s, and first_content_s for streams"
_DATABASE = "there is no database: what is configured is this file"
_KEYS = "keys stand in the configuration: 'edge import litellm --keys' takes those of the database over"
_ALERTS = "alerts are Prometheus' to send, by rules over /metrics"
_MCP = "MCP servers are not asked here"
_CLOUD = "belongs to a vendor whose requests are signed, which are not made here"
_OPEN = (
    "where dialects are translated, what a provider does not take is left out and named in x-edge-dropped, or refused "
    "by translation.strict; within a dialect all is passed on"
)

_SCALE = "a budget is a key's, a tenant's or a model's"
_SPEND = "what is used is counted by day, key, tenant and model: 'edge usage', without a database"
_LISTED = "/v1/models lists what a key may use"

ROOT = {
    "include": "names other files, which are not read: put their settings into this one and import it again",
    "guardrails": "text is scanned by 'pii', for personal data and secrets; other guards are not called",
    "mcp_servers": _MCP,
    "mcp_tools": _MCP,
    "finetune_settings": "jobs of fine tuning are not served",
    "files_settings": "files go to the provider that x-edge-provider names: docs/routes.md",
    "vector_store_registry": "vector stores are not served",
    "prompts": "prompts are the client's",
    "callback_settings": "log lines, metrics and traces are told without callbacks",
    "router_settings_override": "routing is what 'models' and 'resilience' say",
}

LIBRARY = {
    "drop_params": _OPEN,
    "modify_params": _OPEN,
    "telemetry": "nothing is sent to anybody",
    "max_budget": _SCALE,
    "budget_duration": _SCALE,
    "max_end_user_budget": _SCALE,
    "max_internal_user_budget": _SCALE,
    "internal_user_budget_duration": _SCALE,
    "max_user_budget": _SCALE,
    "default_max_internal_user_budget": _SCALE,
    "disable_end_user_cost_tracking": "what is used is counted by key and tenant, not by 'user'",
    "enable_json_schema_validation": "what a model answers is for its client to check",
    "public_model_groups": _LISTED,
    "public_model_groups_links": _LISTED,
    "mcp_aliases": _MCP,
    "langfuse_default_tags": "log lines, metrics and traces are told without callbacks",
    "default_team_settings": "there are no callbacks by team: log lines and metrics tell the tenant",
    "turn_off_message_logging": "messages are never logged",
    "redact_user_api_key_info": "keys are never logged",
    "cache_params": "caching is off, since 'cache' is not set",
    "default_internal_user_params": _DATABASE,
    "upperbound_key_generate_params": _KEYS,
    "key_generation_settings": _KEYS,
    "force_ipv4": "addresses are tried in the order that the system gives them",
    "ssl_verify": "certificates are always verified: providers.NAME.ca_file names an authority of your own",
    "return_response_headers": "headers of a provider's answer are passed on: docs/headers.md",
    "include_cost_in_streaming_usage": "what a stream cost is in its log line; other answers have x-edge-cost-usd",
    "content_policy_fallbacks": "router_settings has them too, which win",
    "context_window_fallbacks": "router_settings has them too, which win",
    "fallbacks": "router_settings has them too, which win",
}

ROUTER = {
    "enable_pre_call_checks": "a prompt that is too long is found by the provider's refusal: fallbacks.context_length",
    "retry_policy": "which failures are asked again is one table: docs/routing.md",
    "allowed_fails_policy": "which failures count for a breaker is one table: docs/routing.md",
    "disable_cooldowns": "breakers are always there: resilience.breaker.failures may be large",
    "enable_tag_filtering": "requests are not routed by tags",
    "tag_filtering_match_any": "requests are not routed by tags",
    "redis_host": "limits are counted for all workers of a machine; Redis is configured with the cache",
    "redis_port": "see redis_host",
    "redis_password": "see redis_host",
    "redis_url": "see redis_host",
    "redis_db": "see redis_host",
    "routing_strategy_args": "what a strategy goes by is in docs/routing.md",
    "max_fallbacks": "fallbacks are tried within resilience.total_s",
    "default_litellm_params": _ITSELF,
    "provider_budget_config": _SCALE,
    "model_group_retry_policy": "which failures are asked again is one table: docs/routing.md",
    "retry_after": "a wait is the provider's to ask for, up to resilience.retry_wait_s",
    "default_priority": "is auth.keys[].priority",
    "optional_pre_call_checks": "requests that share a prompt's beginning go to one upstream by 'strategy: affinity'",
    "deployment_affinity_ttl_seconds": "is 'strategy: affinity', which needs no time",
    "set_verbose": "is telemetry.log.level",
    "ignore_invalid_deployments": "a configuration with a mistake is refused, and the one before serves on",
    "cache_responses": "is cache.mode",
}

GENERAL = {
    "database_url": _DATABASE,
    "store_model_in_db": _DATABASE,
    "database_connection_pool_limit": _DATABASE,
    "database_connection_timeout": _DATABASE,
    "allow_requests_on_db_unavailable": _DATABASE,
    "proxy_batch_write_at": _DATABASE,
    "disable_spend_logs": _SPEND,
    "disable_spend_updates": _SPEND,
    "disable_error_logs": _SPEND,
    "maximum_spend_logs_retention_period": _SPEND,
    "maximum_spend_logs_retention_interval": _SPEND,
    "use_redis_transaction_buffer": _SPEND,
    "disable_reset_budget": "budgets begin anew with each day or month, by UTC",
    "key_management_system": "secrets are variables and files: ${NAME}, file:/path",
    "key_management_settings": "secrets are variables and files: ${NAME}, file:/path",
    "enforce_user_param": "who asks is told by the key, not by 'user'",
    "ui_access_mode": "the page /admin shows its figures to keys with 'admin: true'",
    "default_team_disabled": _KEYS,
    "allowed_routes": "are a key's: auth.keys[].allowed_routes",
    "public_routes": "routes of models want a key wherever there are keys",
    "admin_only_routes": "routes below /admin want a key with 'admin: true'",
    "proxy_budget_rescheduler_min_time": _DATABASE,
    "proxy_budget_rescheduler_max_time": _DATABASE,
    "alerting": _ALERTS,
    "alerting_threshold": _ALERTS,
    "alerting_args": _ALERTS,
    "alert_types": _ALERTS,
    "alert_to_webhook_url": _ALERTS,
    "pass_through_endpoints": "any JSON under /v1 passes, to the provider of the model that it names",
    "custom_auth": "code from a configuration is not executed: nobody is let in without a key",
    "custom_sso": "code from a configuration is not executed",
    "custom_key_generate": "code from a configuration is not executed",
    "litellm_key_header_name": "keys are in Authorization or x-api-key, as the SDKs send them",
    "completion_model": _ITSELF,
    "embedding_model": _ITSELF,
    "moderation_model": _ITSELF,
    "image_generation_model": _ITSELF,
    "infer_model_from_keys": _ITSELF,
    "enable_jwt_auth": "is auth.jwt, which is to be written: until then nobody is let in without a key",
    "litellm_jwtauth": "is auth.jwt, which is to be written: until then nobody is let in without a key",
    "host": "is server.host, and 'edge serve --host'",
    "port": "is server.port, and 'edge serve --port'",
    "allowed_ips": "addresses are the network's to keep out",
    "use_x_forwarded_for": "the address of a client is that of its connection",
    "forward_client_headers_to_llm_api": "which headers are forwarded is in docs/headers.md",
    "store_prompts_in_spend_logs": "prompts are never stored",
    "max_response_size_mb": "an answer that is no stream has at most 64 MiB",
    "user_api_key_cache_ttl": "keys are looked up in memory",
}

CACHE = {
    "supported_call_types": "what may be cached is what a model answers the same: docs/caching.md",
    "max_connections": "a worker's requests share connections to Redis, which are pipelined",
    "service_name": "Sentinel is not asked: name the server, or a cluster",
    "sentinel_nodes": "Sentinel is not asked: name the server, or a cluster",
    "sentinel_password": "Sentinel is not asked: name the server, or a cluster",
    "ssl_cert_reqs": "certificates are always verified: cache.redis.ca_file names an authority of your own",
    "ssl_check_hostname": "certificates are always verified: cache.redis.ca_file names an authority of your own",
    "similarity_threshold": "only equal requests share an answer",
    "gcp_service_account": _CLOUD,
}

CALLBACKS = {
    "presidio": "is pii.request and pii.response",
    "otel": "traces are configured in 'telemetry'",
    "arize": "traces are configured in 'telemetry', and go to any collector that takes OTLP",
    "langfuse_otel": "traces are configured in 'telemetry', and go to any collector that takes OTLP",
    "cache": "is there without being asked for",
}

PARAMS = {
    **dict.fromkeys(
        (
            "temperature",
            "top_p",
            "top_k",
            "max_tokens",
            "max_completion_tokens",
            "stop",
            "seed",
            "user",
            "n",
            "presence_penalty",
            "frequency_penalty",
            "reasoning_effort",
            "thinking",
            "response_format",
            "tools",
            "extra_body",
            "metadata",
        ),
        _ITSELF,
    ),
    "timeout": _CLOCKS,
    "stream_timeout": _CLOCKS,
    "request_timeout": _CLOCKS,
    "max_retries": "is resilience.retries, the same for all models",
    "num_retries": "is resilience.retries, the same for all models",
    "cooldown_time": "is resilience.breaker.open_s, the same for all models",
    "tags": "requests are not routed by tags",
    "region_name": "is not known of an upstream",
    "ssl_verify": "certificates are always verified: providers.NAME.ca_file names an authority of your own",
    "api_version": "the v1 API of Azure takes no dated version",
    "drop_params": _OPEN,
    "additional_drop_params": _OPEN,
    "mock_response": "'edge simulator' answers without a provider",
    "mock_timeout": "'edge simulator' answers without a provider",
    "use_in_pass_through": "a path leads to a provider by the model that is asked for",
    "input_cost_per_second": "a model is priced by its tokens: models.NAME.price",
    "vertex_project": _CLOUD,
    "vertex_location": _CLOUD,
    "aws_region_name": _CLOUD,
    "azure_ad_token": "Azure is asked with a key",
    "tenant_id": "Azure is asked with a key",
    "client_id": "Azure is asked with a key",
    "client_secret": "Azure is asked with a key",
}

INFO = {
    "id": "an upstream is named by its provider and model",
    "base_model": "prices go by the model's name, or by models.NAME.price",
    "max_tokens": "what a model takes is known by its name, or told by its refusal",
    "max_input_tokens": "what a model takes is known by its name, or told by its refusal",
    "max_output_tokens": "what a model takes is known by its name, or told by its refusal",
    "health_check_timeout": "probes have the clocks of all requests",
    "access_groups": "which models a key may use are its 'models' patterns",
    **dict.fromkeys(
        ("supports_vision", "supports_function_calling", "supports_response_schema", "supports_prompt_caching"),
        "what a model can do is known by its name",
    ),
}
