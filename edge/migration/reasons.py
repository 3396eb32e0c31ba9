"""Why settings of LiteLLM are not carried over, by where they stand: each completes "not carried over: ..."."""

from __future__ import annotations

__all__ = [
    "CACHE",
    "CALLBACKS",
    "GENERAL",
    "INFO",
    "LIBRARY",
    "NO_CALLBACKS",
    "PARAMS",
    "ROOT",
    "ROUTER",
    "SAY_BY_BEING_OFF",
]

_REQUEST = "each request sets its own"
_CLOCKS = "timeouts are the same for all models: resilience.attempt_s, and first_content_s for streams"
_DATABASE = "there is no database; the configuration is this file"
_KEYS = "keys are in the configuration: 'edge import litellm --keys' carries over those in the database"
_ALERTS = "Prometheus sends alerts, by rules over /metrics: docs/runbook.md"
_MCP = "MCP servers are not supported"
_SIGNED = "belongs to a vendor that needs signed requests, which are not supported"
_LENIENT = (
    "in translation, a field that the provider lacks is dropped and named in x-edge-dropped, or refused with "
    "translation.strict; untranslated requests pass unchanged"
)
_BUDGETS = "a budget belongs to a key, a tenant or an alias"
_SPEND = "usage is counted by day, key, tenant and model, without a database: 'edge usage'"
_LISTED = "/v1/models lists the models that a key may use"
NO_CALLBACKS = "there are no callbacks; use log lines, metrics and traces: docs/observability.md"
_TAGS = "requests are not routed by tags"
_POLICY = "which failures are retried, and which count for a breaker, is fixed: docs/routing.md"
_TLS = "certificates are always verified; providers.NAME.ca_file names an authority of your own"
_SHARED = "the workers of one machine share limits without Redis; several machines use cache.redis"
_PAGE = "the page /admin shows figures to keys with 'admin: true'; it has no users"
_CODE = "code named in a configuration is not run"
_TOKENS = "the equivalent is auth.jwt, which you have to write; until then nobody gets in without a key"
_HEADERS = "which headers are forwarded is fixed: docs/headers.md"
_SECRETS = "secrets are variables and files: ${NAME}, file:/path"
_FILES = "files are passed through to the provider: docs/routes.md"
_GUARDS = "'pii' scans for personal data and secrets; other guardrails are not supported"
_RESPONSES = "a response belongs to the account or tenant that made it: docs/routes.md"
_ADMISSION = "server.max_in_flight bounds a worker's requests in flight, without a queue"
_HEALTH = "the equivalent is providers.NAME.health: {interval_s, path, failures}"
_CLIENT_IP = "a client's address is that of its connection"
_PRICES = "prices are models.NAME.price and providers.NAME.prices"

ROOT = {
    "include": "included files are not read; paste their settings into this file and import it again",
    "guardrails": _GUARDS,
    "mcp_servers": _MCP,
    "mcp_tools": _MCP,
    "finetune_settings": "fine-tuning jobs are not supported",
    "assistant_settings": "assistants are not supported",
    "files_settings": _FILES,
    "vector_store_registry": "vector stores are not supported",
    "search_tools": "the edge runs no tools",
    "prompts": "prompts are the client's",
    "callback_settings": NO_CALLBACKS,
    "router_settings_override": "routing is configured in 'models' and 'resilience'",
    "worker_registry": _PAGE,
}

LIBRARY = {
    "drop_params": _LENIENT,
    "modify_params": _LENIENT,
    "add_function_to_prompt": _LENIENT,
    "telemetry": "nothing is sent to anybody",
    **dict.fromkeys(
        (
            "max_budget",
            "budget_duration",
            "max_end_user_budget",
            "max_internal_user_budget",
            "internal_user_budget_duration",
            "max_user_budget",
            "default_max_internal_user_budget",
            "max_ui_session_budget",
        ),
        _BUDGETS,
    ),
    "budget_reset_time": "budgets start anew at 00:00 UTC",
    "disable_end_user_cost_tracking": "usage is counted by key and tenant, not by 'user'",
    "enable_end_user_cost_tracking_prometheus_only": "usage is counted by key and tenant, not by 'user'",
    "overwrite_user_with_key_hash": "the client's 'user' is forwarded unchanged",
    "enable_json_schema_validation": "clients check what a model answers",
    "public_model_groups": _LISTED,
    "public_model_groups_links": _LISTED,
    "mcp_aliases": _MCP,
    "guardrails": _GUARDS,
    "skip_system_message_in_guardrail": _GUARDS,
    "skip_tool_message_in_guardrail": _GUARDS,
    "langfuse_default_tags": NO_CALLBACKS,
    "service_callback": NO_CALLBACKS,
    "default_team_settings": NO_CALLBACKS,
    "prometheus_initialize_budget_metrics": "metrics are fixed: docs/metrics.md",
    "request_correlation_in_logs": "log lines have the request's id, trace id and session: docs/metrics.md",
    "turn_off_message_logging": "messages are never logged",
    "redact_user_api_key_info": "keys are never logged",
    "cache_params": "caching is off, because 'cache' is not set",
    "enable_redis_auth_cache": "keys are looked up in memory",
    "default_internal_user_params": _DATABASE,
    "default_team_params": _DATABASE,
    "default_key_generate_params": _KEYS,
    "upperbound_key_generate_params": _KEYS,
    "key_generation_settings": _KEYS,
    "store_audit_logs": _DATABASE,
    "master_key": "LiteLLM reads it from general_settings; move it there and import again",
    "ui_username": _PAGE,
    "ui_password": _PAGE,
    "force_ipv4": "addresses are tried in the order in which the system returns them",
    "http2": "the equivalent is providers.NAME.http2: true",
    "ssl_verify": _TLS,
    "cost_discount_config": _PRICES,
    "cost_margin_config": _PRICES,
    "custom_provider_map": _CODE,
    "require_managed_files": _FILES,
    "return_response_headers": _HEADERS,
    "include_cost_in_streaming_usage": "the cost of a stream is in its log line; other answers have x-edge-cost-usd",
    "content_policy_fallbacks": "router_settings has them too, and takes precedence",
    "context_window_fallbacks": "router_settings has them too, and takes precedence",
    "fallbacks": "router_settings has them too, and takes precedence",
}

ROUTER = {
    "enable_pre_call_checks": "the provider's refusal tells that a prompt is too long: fallbacks.context_length",
    "enable_pre_call_check": "the provider's refusal tells that a prompt is too long: fallbacks.context_length",
    "retry_policy": _POLICY,
    "model_group_retry_policy": _POLICY,
    "allowed_fails_policy": _POLICY,
    "disable_cooldowns": "breakers are always on; a large resilience.breaker.failures keeps them closed",
    "enable_weighted_failover": "a failed attempt always goes on to another upstream of the alias",
    "enable_tag_filtering": _TAGS,
    "tag_filtering_match_any": _TAGS,
    "tag_routing_prefix": _TAGS,
    **dict.fromkeys(("redis_host", "redis_port", "redis_password", "redis_url", "redis_db", "cache_kwargs"), _SHARED),
    "routing_strategy_args": "strategies have no arguments: docs/routing.md",
    "routing_groups": "each alias has a 'strategy' of its own: models.NAME.strategy",
    "max_fallbacks": "fallbacks are tried within resilience.total_s",
    "default_litellm_params": _REQUEST,
    "provider_budget_config": _BUDGETS,
    "retry_after": "the wait before a retry is the provider's to ask for, up to resilience.retry_wait_s",
    "default_priority": "the equivalent is auth.keys[].priority",
    "optional_pre_call_checks": "'strategy: affinity' keeps a conversation at one upstream",
    "model_group_affinity_config": "'strategy: affinity' keeps a conversation at one upstream",
    "deployment_affinity_ttl_seconds": "'strategy: affinity' keeps a conversation at one upstream, without a time",
    "set_verbose": "the equivalent is telemetry.log.level",
    "ignore_invalid_deployments": "a configuration with a mistake is refused, and the running one stays",
    "cache_responses": "the equivalent is cache.mode",
    "caching_groups": "an answer is shared by requests for the same alias",
    "ttft_timeout": "the equivalent is resilience.first_content_s",
    "stream_idle_timeout": "the equivalent is resilience.idle_s",
    "guardrail_list": _GUARDS,
    "search_tools": "the edge runs no tools",
    "enable_health_check_routing": _HEALTH,
    "health_check_staleness_threshold": _HEALTH,
    "background_health_check_model_groups": _HEALTH,
}

GENERAL = {
    **dict.fromkeys(
        (
            "database_url",
            "store_model_in_db",
            "supported_db_objects",
            "database_connection_pool_limit",
            "database_connection_pool_timeout",
            "database_connection_timeout",
            "database_connect_timeout",
            "database_socket_timeout",
            "database_statement_timeout",
            "database_lock_timeout",
            "database_extra_connection_params",
            "database_disable_prepared_statements",
            "disable_prisma_schema_update",
            "disable_adding_master_key_hash_to_db",
            "allow_requests_on_db_unavailable",
            "proxy_batch_write_at",
            "proxy_budget_rescheduler_min_time",
            "proxy_budget_rescheduler_max_time",
            "proxy_config_reload_interval_seconds",
        ),
        _DATABASE,
    ),
    **dict.fromkeys(
        (
            "disable_spend_logs",
            "disable_spend_updates",
            "disable_error_logs",
            "maximum_spend_logs_retention_period",
            "maximum_spend_logs_retention_interval",
            "maximum_spend_logs_cleanup_cron",
            "use_redis_transaction_buffer",
            "spend_report_frequency",
        ),
        _SPEND,
    ),
    "disable_reset_budget": "budgets start anew with each day or month, UTC",
    "fail_closed_budget_enforcement": "the equivalent, for several machines, is limits.on_redis_loss: refuse",
    "disable_budget_reservation": "money is always reserved before a request is sent: docs/limits.md",
    "enforce_fallback_model_access": "a fallback is always used only by keys that may use its alias",
    "enforce_fallback_budget": "fallbacks always count for the budgets of their key and tenant",
    "disable_retry_on_max_parallel_request_limit_error": "a request beyond a limit gets a 429 at once",
    **dict.fromkeys(
        ("max_in_flight_requests_per_worker", "max_queued_requests_per_worker", "admission_queue_timeout_seconds"),
        _ADMISSION,
    ),
    "key_management_system": _SECRETS,
    "key_management_settings": _SECRETS,
    "use_azure_key_vault": _SECRETS,
    "use_google_kms": _SECRETS,
    "enforce_user_param": "the key says who is asking, not 'user'",
    "user_header_name": "the key says who is asking, not a header",
    "user_header_mappings": "the key says who is asking, not a header",
    "reject_clientside_metadata_tags": _TAGS,
    "missing_session_id": "a session is what the client's header says: docs/headers.md",
    **dict.fromkeys(
        (
            "ui_access_mode",
            "disable_master_key_return",
            "disable_env_credential_login",
            "auto_redirect_ui_login_to_sso",
            "max_failed_login_attempts",
            "enforce_rbac",
            "role_permissions",
        ),
        _PAGE,
    ),
    "default_team_disabled": _KEYS,
    "upperbound_key_generate_params": _KEYS,
    "service_account_settings": _KEYS,
    "allowed_routes": "the equivalent belongs to a key: auth.keys[].allowed_routes",
    "public_routes": "routes of models need a key wherever there are keys",
    "admin_only_routes": "routes below /admin need a key with 'admin: true'",
    **dict.fromkeys(
        ("alerting", "alerting_threshold", "alerting_args", "alert_types", "alert_to_webhook_url", "alert_type_config"),
        _ALERTS,
    ),
    "pass_through_endpoints": "any JSON below /v1 is forwarded to the provider of the model that it names",
    "use_client_credentials_pass_through_routes": "a client's own provider key is never forwarded",
    "allow_client_side_credentials": "a client's own provider key is never forwarded",
    "forward_llm_provider_auth_headers": "a client's own provider key is never forwarded",
    "custom_auth": f"{_CODE}; nobody gets in without a key",
    "custom_auth_run_common_checks": f"{_CODE}; nobody gets in without a key",
    **dict.fromkeys(
        (
            "custom_sso",
            "custom_ui_sso_sign_in_handler",
            "custom_key_generate",
            "custom_key_update",
            "custom_key_policy",
        ),
        _CODE,
    ),
    "litellm_key_header_name": "keys are in Authorization or x-api-key, where the SDKs put them",
    **dict.fromkeys(
        (
            "completion_model",
            "embedding_model",
            "moderation_model",
            "image_generation_model",
            "infer_model_from_keys",
            "enforced_params",
        ),
        _REQUEST,
    ),
    "enable_jwt_auth": _TOKENS,
    "litellm_jwtauth": _TOKENS,
    "jwt_settings": _TOKENS,
    "enable_oauth2_auth": _TOKENS,
    "enable_oauth2_proxy_auth": _TOKENS,
    "oauth2_config_mappings": _TOKENS,
    "host": "the equivalent is server.host, or 'edge serve --host'",
    "port": "the equivalent is server.port, or 'edge serve --port'",
    "allowed_ips": "your network or proxy filters addresses",
    "use_x_forwarded_for": _CLIENT_IP,
    "mcp_trusted_proxy_ranges": _CLIENT_IP,
    "forward_client_headers_to_llm_api": _HEADERS,
    "forward_openai_org_id": _HEADERS,
    "custom_headers": _HEADERS,
    "store_prompts_in_spend_logs": "prompts are never stored with usage",
    "max_response_size_mb": "an answer that is not a stream may have 64 MiB",
    "max_file_size_mb": "the equivalent is server.max_form_bytes",
    "max_batch_file_size_mb": "the equivalent is server.max_form_bytes",
    "pass_through_request_timeout": _CLOCKS,
    "user_api_key_cache_ttl": "keys are looked up in memory",
    "user_api_key_cache_max_size": "keys are looked up in memory",
    "redis_url": _SHARED,
    "coordination_redis": _SHARED,
    "use_shared_health_check": _HEALTH,
    "health_check_details": _HEALTH,
    "health_check_concurrency": _HEALTH,
    "disable_responses_id_security": _RESPONSES,
    "allow_unmanaged_response_ids": _RESPONSES,
    "always_include_stream_usage": "clients ask for usage with stream_options: {include_usage: true}",
    "cancel_on_disconnect": "the provider's request is always cancelled when its last client leaves",
    "user_mcp_management_mode": _MCP,
    "enable_mcp_registry": _MCP,
}

CACHE = {
    "host": "redis_startup_nodes has the addresses",
    "port": "redis_startup_nodes has the addresses",
    "supported_call_types": "which routes are cacheable is fixed: docs/caching.md",
    "max_connections": "all requests of a worker share pipelined connections to Redis",
    **dict.fromkeys(
        ("service_name", "sentinel_nodes", "sentinel_password"),
        "Redis Sentinel is not supported; name the server or a cluster",
    ),
    "ssl_cert_reqs": "certificates are always verified; cache.redis.ca_file names an authority of your own",
    "ssl_check_hostname": "certificates are always verified; cache.redis.ca_file names an authority of your own",
    "gcp_ssl_ca_certs": "the equivalent is cache.redis.ca_file",
    "similarity_threshold": "only identical requests share an answer",
    "gcp_service_account": _SIGNED,
}

CALLBACKS = {
    "presidio": "the equivalent is pii.request and pii.response",
    "hide_secrets": "the equivalent is pii.request, which also finds secrets",
    "otel": "the equivalent is telemetry.tracing",
    "arize": "the equivalent is telemetry.tracing, for any collector that accepts OTLP",
    "langfuse_otel": "the equivalent is telemetry.tracing, for any collector that accepts OTLP",
    "cache": "metrics of the cache are always there: docs/metrics.md",
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
            "num_ctx",
        ),
        _REQUEST,
    ),
    "timeout": _CLOCKS,
    "stream_timeout": _CLOCKS,
    "request_timeout": _CLOCKS,
    "ttft_timeout": _CLOCKS,
    "stream_idle_timeout": _CLOCKS,
    "max_retries": "resilience.retries is the same for all models",
    "num_retries": "resilience.retries is the same for all models",
    "cooldown_time": "resilience.breaker.open_s is the same for all models",
    "tags": _TAGS,
    "region_name": "upstreams have no regions",
    "ssl_verify": _TLS,
    "api_version": "Azure's v1 API has no dated versions",
    "drop_params": _LENIENT,
    "additional_drop_params": _LENIENT,
    "mock_response": "'edge simulator' answers without a provider",
    "mock_timeout": "'edge simulator' answers without a provider",
    "use_in_pass_through": "the model in a request decides which provider gets it",
    "input_cost_per_second": "a model is priced by its tokens: models.NAME.price",
    "output_cost_per_second": "a model is priced by its tokens: models.NAME.price",
    **dict.fromkeys(
        ("vertex_project", "vertex_location", "aws_region_name", "aws_access_key_id", "aws_secret_access_key"), _SIGNED
    ),
    **dict.fromkeys(
        ("azure_ad_token", "tenant_id", "client_id", "client_secret"),
        "Azure is used with a key: providers.NAME.api_keys",
    ),
}

_SIZES = "a model's limits are known by its name, or from its refusal"
INFO = {
    "id": "an upstream is named by its provider and model",
    "base_model": "prices go by the model's name, or by models.NAME.price",
    "max_tokens": _SIZES,
    "max_input_tokens": _SIZES,
    "max_output_tokens": _SIZES,
    "health_check_timeout": "health checks have a timeout of 5 s",
    "access_groups": "a key's 'models' patterns say which models it may use",
    "allowed_fails_policy": _POLICY,
    **dict.fromkeys(
        ("input_cost_per_second", "output_cost_per_second", "input_cost_per_image"),
        "a model is priced by its tokens: models.NAME.price",
    ),
    **dict.fromkeys(
        ("supports_vision", "supports_function_calling", "supports_response_schema", "supports_prompt_caching"),
        "what a model supports is known by its name: models.NAME.upstreams[].capabilities",
    ),
}

SAY_BY_BEING_OFF = frozenset(
    {"ssl_verify", "ssl_check_hostname", "ssl_cert_reqs", "enforce_fallback_budget", "user_url_validation"}
)
"""Settings that are on in LiteLLM unless they are set to false or null."""
