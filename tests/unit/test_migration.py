"""Configurations of LiteLLM as configurations of this program.

The examples are written after public ones, made small: wildcards, Azure with several regions, tests of a proxy.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Budget, Config
from edge.config.file import ConfigError, read
from edge.migration.litellm import Imported, import_litellm
from edge.migration.source import SourceError

pytestmark = pytest.mark.once

MASTER = "sk-master-canary-1234"
BALANCED = """
model_list:
  - model_name: fast
    litellm_params:
      model: azure/gpt-35-1
      api_base: https://canada.openai.azure.com/
      api_key: secret-canary-one
      api_version: "2024-02-01"
      rpm: 480
  - model_name: fast
    litellm_params: {model: azure/gpt-35-2, api_base: "https://europe.openai.azure.com", api_key: secret-canary-two, rpm: 960}
  - model_name: fast
    litellm_params: {model: gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY, rpm: 480, temperature: 0.1}
    model_info: {base_model: gpt-4o-mini}
  - model_name: large
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY}
litellm_settings:
  drop_params: true
  num_retries: 4
  request_timeout: 90
  allowed_fails: 2
  cooldown_time: 45
  fallbacks: [{fast: [large]}]
  context_window_fallbacks: [{fast: [large]}]
  json_logs: true
router_settings: {routing_strategy: latency-based-routing, model_group_alias: {gpt-4: fast, hidden: {model: large, hidden: true}}}
general_settings: {master_key: sk-master-canary-1234, global_max_parallel_requests: 900, max_request_size_mb: 8}
"""
WILDCARDS = """
model_list:
  - model_name: "*"
    litellm_params: {model: openai/*, api_key: os.environ/OPENAI_API_KEY}
  - model_name: anthropic/*
    litellm_params: {model: anthropic/*, api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: groq/*
    litellm_params: {model: groq/*}
  - model_name: eu/*
    litellm_params: {model: openai/*, api_base: https://eu.example.com/v1}
  - model_name: fine
    litellm_params: {model: bedrock/us.anthropic.claude-haiku, aws_region_name: us-west-2}
  - model_name: mini
    litellm_params: {model: gpt-5-mini, region_name: eu}
"""
LOCAL = """
credential_list:
  - credential_name: ours
    credential_values: {api_key: os.environ/OURS, api_base: "http://10.0.0.7:8000/v1"}
    credential_info: {description: the machine in the cellar}
model_list:
  - model_name: cellar
    litellm_params: {model: hosted_vllm/llama-3, litellm_credential_name: ours, max_parallel_requests: 4, order: 2}
  - model_name: cellar
    litellm_params: {model: ollama/llama3, order: 1, extra_headers: {x-team: a}}
    model_info: {input_cost_per_token: 0, output_cost_per_token: 0}
  - model_name: paid
    litellm_params: {model: openrouter/meta/llama-3, input_cost_per_token: 0.00000025, output_cost_per_token: 1.0e-6}
litellm_settings:
  cache: true
  cache_params: {type: redis, host: os.environ/REDIS_HOST, port: 6380, password: canary-of-redis, ttl: 600, ssl: true}
  default_fallbacks: [paid]
"""


def carried(
    text: str, tmp_path, environ: dict[str, str] | None = None, keys: str | None = None
) -> tuple[Config, Imported]:
    """What is made of a text, as `edge check --without-secrets` reads it."""
    imported = import_litellm(text, environ or {}, keys)
    path = tmp_path / "edge.yaml"
    path.write_text(imported.yaml)
    return read(str(path), {}, secrets=False).config, imported


def upstreams(config: Config, alias: str) -> list[tuple[str, float]]:
    return [(target.to, target.weight) for target in config.models[alias].upstreams]


def noted(imported: Imported, *words: str) -> bool:
    return any(all(word in note for word in words) for note in imported.notes)


def test_deployments_of_one_name_become_the_upstreams_of_an_alias(tmp_path):
    config, imported = carried(BALANCED, tmp_path)
    assert upstreams(config, "fast") == [("azure/gpt-35-1", 1), ("azure-2/gpt-35-2", 2), ("openai/gpt-4o-mini", 1)]
    assert config.models["fast"].strategy == "latency"
    azure = config.providers["azure-2"]
    assert (azure.base_url, azure.auth) == ("https://europe.openai.azure.com/openai/v1", "api-key")
    assert config.providers["anthropic"].dialect == "anthropic"
    assert noted(imported, "line 8", "api_version")
    assert noted(imported, "line 13", "temperature", "each request sets")
    assert not noted(imported, "routing_strategy")


def test_a_name_may_stand_for_another(tmp_path):
    config, _ = carried(BALANCED, tmp_path)
    assert upstreams(config, "gpt-4") == upstreams(config, "fast")
    assert upstreams(config, "hidden") == [("anthropic/claude-sonnet-4-5", 1)]


def test_fallbacks_keep_what_they_are_for(tmp_path):
    config, _ = carried(BALANCED, tmp_path)
    assert config.models["fast"].falls_back.any == ["large"]
    assert config.models["fast"].falls_back.context_length == ["large"]
    assert config.models["large"].falls_back.any == []
    config, _ = carried(LOCAL, tmp_path)
    assert config.models["cellar"].falls_back.any == ["paid"]
    assert config.models["paid"].falls_back.any == []


def test_a_fallback_that_is_no_model_is_told(tmp_path):
    config, imported = carried(BALANCED.replace("{fast: [large]}", "{fast: [gone], never: [fast]}", 1), tmp_path)
    assert config.models["fast"].falls_back.any == []
    assert noted(imported, "'gone'", "no model has")
    assert noted(imported, "never", "no model has")


def test_clocks_retries_and_breakers_are_carried(tmp_path):
    config, _ = carried(BALANCED, tmp_path)
    kept = config.resilience
    assert (kept.retries, kept.attempt_s, kept.breaker.failures, kept.breaker.open_s) == (4, 90, 3, 45)
    assert (config.server.port, config.server.max_in_flight, config.server.max_body_bytes) == (4000, 900, 8 << 20)
    assert config.telemetry.log.format == "json"


def test_no_secret_of_the_file_is_written_and_each_has_a_variable_of_its_own(tmp_path):
    config, imported = carried(BALANCED, tmp_path)
    told = imported.yaml + "".join(imported.notes)
    for secret in ("secret-canary-one", "secret-canary-two", MASTER):
        assert secret not in told
    assert imported.variables == ["AZURE_API_KEY_2", "AZURE_API_KEY_3"]  # AZURE_API_KEY may hold another already
    assert noted(imported, "line 7", "AZURE_API_KEY_2")
    assert config.auth.keys[0].digests == [f"sha256:{sha256(MASTER.encode()).hexdigest()}"]
    assert config.auth.keys[0].admin


@pytest.mark.parametrize(("master", "environ"), [("os.environ/MASTER", {}), ("sk-1234", {})])
def test_nobody_is_let_in_where_the_master_key_cannot_be_carried(tmp_path, master, environ):
    with pytest.raises(ConfigError, match="auth"):
        carried(BALANCED.replace(MASTER, master), tmp_path, environ)
    assert noted(import_litellm(BALANCED.replace(MASTER, master), environ), "master_key", "not carried over")


@pytest.mark.parametrize(
    ("said", "variable"), [("master_key: os.environ/MASTER", "MASTER"), ("alerting: []", "LITELLM_MASTER_KEY")]
)
def test_a_master_key_of_the_environment_is_written_as_its_digest(tmp_path, said, variable):
    """LITELLM_MASTER_KEY is LiteLLM's where its file says nothing of the key."""
    config, imported = carried(BALANCED.replace(f"master_key: {MASTER}", said), tmp_path, {variable: MASTER})
    assert config.auth.keys[0].digests == [f"sha256:{sha256(MASTER.encode()).hexdigest()}"]
    assert MASTER not in imported.yaml


def test_patterns_claim_names_and_who_takes_any_name_is_asked_last(tmp_path):
    config, imported = carried(WILDCARDS, tmp_path)
    assert list(config.providers)[-1] == "openai"
    assert config.providers["openai"].models == ["*"]
    assert {"anthropic", "groq", "eu"} <= set(config.providers)
    assert config.providers["eu"].base_url == "https://eu.example.com/v1"
    assert "fine" not in config.models
    assert noted(imported, "line 12", "'bedrock'", "signed requests")
    assert not noted(imported, "aws_region_name")  # nothing more to say of what was left out
    assert upstreams(config, "mini") == [("openai/gpt-5-mini", 1)]


def test_a_pattern_that_would_rename_models_is_told():
    imported = import_litellm("model_list: [{model_name: 'fast-*', litellm_params: {model: openai/gpt-*}}]", {})
    assert noted(imported, "model_name", "cannot rename")


def test_credentials_order_limits_headers_and_prices(tmp_path):
    config, _ = carried(LOCAL, tmp_path)
    assert upstreams(config, "cellar") == [("ollama/llama3", 1), ("vllm/llama-3", 1)]
    assert config.models["cellar"].strategy == "failover"
    vllm, ollama = config.providers["vllm"], config.providers["ollama"]
    assert (vllm.base_url, vllm.max_in_flight) == ("http://10.0.0.7:8000/v1", 4)
    assert (ollama.base_url, ollama.api_keys, ollama.headers) == ("http://localhost:11434/v1", [], {"x-team": "a"})
    price = config.models["paid"].price
    assert price is not None
    assert (price.input, price.output) == (0.25, 1.0)


def test_a_cache_in_redis_is_carried_without_its_password(tmp_path):
    imported = import_litellm(LOCAL, {})
    made = yaml.safe_load(imported.yaml)["cache"]
    assert made == {
        "mode": "all",
        "memory": {"ttl_s": 600},
        "redis": {"url": "rediss://:${REDIS_PASSWORD}@${REDIS_HOST}:6380", "ttl_s": 600},
    }
    assert "canary" not in imported.yaml


AZURE = """
model_list:
  - model_name: a
    litellm_params: {{model: azure/one, api_key: os.environ/AZURE_API_KEY, api_base: "{base}"}}
"""


@pytest.mark.parametrize(
    "base",
    [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/",
        "https://r.openai.azure.com/openai",
        "https://r.openai.azure.com/openai/deployments/one",
        "https://r.openai.azure.com/openai/deployments/one/chat/completions",
        "https://r.openai.azure.com/openai/v1",
        "https://r.openai.azure.com/openai/v1/",
    ],
)
def test_an_address_at_azure_is_that_of_its_v1_api_however_it_was_written(tmp_path, base):
    config, _ = carried(AZURE.format(base=base), tmp_path)
    assert config.providers["azure"].base_url == "https://r.openai.azure.com/openai/v1"


BOUNDED = """
model_list:
  - model_name: alone
    litellm_params: {model: openai/gpt-5, max_budget: 10, budget_duration: 1d}
  - model_name: two
    litellm_params: {model: openai/gpt-5-mini, max_budget: 10, budget_duration: 30d}
  - model_name: two
    litellm_params: {model: groq/llama, max_parallel_requests: 7}
  - model_name: lifelong
    litellm_params: {model: openai/gpt-4o, max_budget: 10}
general_settings: {max_parallel_requests: 3}
litellm_settings:
  cache: true
  cache_params: {type: redis, host: cache, port: 6379, db: 2}
"""


def test_budgets_and_bounds_of_deployments_are_carried_where_they_mean_the_same(tmp_path):
    config, imported = carried(BOUNDED, tmp_path)
    assert config.models["alone"].budget == Budget(usd=10, per="day")
    assert [config.models[name].budget for name in ("two", "lifelong")] == [None, None]
    assert noted(imported, "line 6", "max_budget", "not to an upstream")
    assert noted(imported, "line 10", "max_budget", "for a day or a month")
    assert [config.providers[name].max_in_flight for name in ("openai", "groq")] == [3, 7]
    assert config.server.max_in_flight == 4096
    assert config.cache.redis is not None
    assert config.cache.redis.url.reveal() == "redis://:@cache:6379/2"


def test_a_budget_that_is_too_large_is_noted():
    keys = [{"token": "a" * 64, "max_budget": 2e6, "budget_duration": "1d"}]
    imported = import_litellm(LOCAL, {}, json.dumps(keys))
    assert noted(imported, "keys[0].max_budget", "at most 1,000,000 USD")


@pytest.mark.parametrize("limit", ["max_budget", "rpm_limit", "tpm_limit", "max_parallel_requests"])
@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("where", [{}, {"litellm_budget_table": {}}], ids=["key", "budget"])
def test_a_key_that_nothing_is_left_to_does_not_become_one_without_a_limit(tmp_path, limit, value, where):
    more = {name: {limit: value} for name in where} or {limit: value}
    keys = [{"token": "a" * 64, "budget_duration": "1d", **more}]
    config, imported = carried(BALANCED, tmp_path, keys=json.dumps(keys))
    assert [key.id for key in config.auth.keys] == ["master"]
    assert noted(imported, f"keys[0].{limit}", "left out", "lets nothing through")


def test_a_key_has_the_limits_of_the_budget_that_it_names(tmp_path):
    table = {"max_budget": 7, "budget_duration": "1d", "tpm_limit": 500, "rpm_limit": 90}
    keys = [{"token": "a" * 64, "budget_id": "free", "rpm_limit": 60, "litellm_budget_table": table}]
    config, imported = carried(BALANCED, tmp_path, keys=json.dumps(keys))
    key = config.auth.keys[1]
    assert (key.budget, key.tokens_per_minute, key.requests_per_minute) == (Budget(usd=7, per="day"), 500, 60)
    assert not noted(imported, "keys[0]")


@pytest.mark.parametrize("expires", ["soon", 1, {"at": "noon"}, "9999-12-31T23:59:59-12:00"])
def test_a_key_whose_expiry_is_not_understood_does_not_become_one_for_ever(tmp_path, expires):
    keys = json.dumps([{"token": "a" * 64, "expires": expires}])
    config, imported = carried(BALANCED, tmp_path, keys=keys)
    assert [key.id for key in config.auth.keys] == ["master"]
    assert noted(imported, "keys[0].expires", "left out")


@pytest.mark.parametrize("expires", ["2027-01-31 13:00:00+01:00", "2027-01-31T12:00:00.000000", "2027-01-31T12:00:00Z"])
def test_an_expiry_is_the_same_instant_however_it_is_written(tmp_path, expires):
    config, _ = carried(BALANCED, tmp_path, keys=json.dumps([{"token": "a" * 64, "expires": expires}]))
    assert config.auth.keys[1].expires == datetime(2027, 1, 31, 12, tzinfo=UTC)


def test_what_a_virtual_key_has_and_says_nothing_by_is_not_told():
    nothing = {"aliases": {}, "model_max_budget": {}, "model_rpm_limit": None, "budget_id": None}
    said = {"aliases": {"fast": "large"}, "budget_id": "free"}
    keys = [{"token": "a" * 64, **nothing}, {"token": "b" * 64, **said}]
    imported = import_litellm(LOCAL, {}, json.dumps(keys))
    assert not noted(imported, "keys[0]")
    assert all(noted(imported, f"keys[1].{name}", "not carried") for name in said)


def test_files_that_another_includes_are_named_as_missing():
    assert noted(import_litellm("include: [models.yaml]\n" + LOCAL, {}), "line 1: include", "import it again")


VIRTUAL = [
    {
        "token": "a" * 64,
        "key_alias": "Team A / prod",
        "team_id": "team-a",
        "models": ["fast", "large"],
        "rpm_limit": 60,
        "tpm_limit": 9000,
        "max_parallel_requests": 5,
        "max_budget": 25.5,
        "budget_duration": "30d",
        "expires": "2027-01-31T12:00:00Z",
        "spend": 1.5,
    },
    {"token": "b" * 64, "key_alias": "Team A / prod", "models": ["all-proxy-models"], "max_budget": 3},
    {"token": "c" * 64, "blocked": True},
    {"token": "d" * 64, "key_alias": "one", "allowed_routes": ["/v1/chat/completions", "/key/info"]},
    {"token": "e" * 64, "key_alias": "metrics", "allowed_routes": ["/metrics"]},
    {"token": "sk-canary-not-hashed"},
]


@pytest.mark.parametrize("form", [VIRTUAL, {"keys": VIRTUAL, "total_count": 4}], ids=["table", "api"])
def test_virtual_keys_go_on_working_by_their_digests(tmp_path, form):
    config, imported = carried(BALANCED, tmp_path, keys=json.dumps(form))
    _, first, second, third = config.auth.keys
    assert (third.id, third.allowed_routes) == ("one", ["chat/completions"])
    assert noted(imported, "keys[4].allowed_routes", "left out")
    assert (first.id, first.tenant, first.models) == ("team-a-prod", "team-a", ["fast", "large"])
    assert (first.digests, first.requests_per_minute, first.concurrency) == (["sha256:" + "a" * 64], 60, 5)
    assert (first.tokens_per_minute, first.budget) == (9000, Budget(usd=25.5, per="month"))
    assert first.expires is not None
    assert first.expires.year == 2027
    assert second.budget is None
    assert noted(imported, "keys[1].max_budget", "not carried")
    assert (second.id, second.models) == ("team-a-prod-bbbbbbbb", None)
    assert noted(imported, "blocked", "left out")
    assert noted(imported, "token", "not a digest")
    assert "canary-not-hashed" not in imported.yaml + "".join(imported.notes)


@pytest.mark.parametrize("text", ["- a\n- list", "", "a: {b: 1", "a: 1\na: 2", "*gone", "\0"])
def test_what_is_no_configuration_is_refused_in_words(text):
    try:
        imported = import_litellm(text, {})
    except SourceError as error:
        assert all(error.problems)
    else:
        assert text == ""
        assert "providers" not in imported.yaml


def mappings(data: object) -> list[dict]:
    """Every mapping in some data."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else []
    return [*([data] if isinstance(data, dict) else []), *(found for each in inner for found in mappings(each))]


FREE = ("extra_headers", "credential_info", "model_group_alias", "fallbacks", "context_window_fallbacks")
"""Mappings whose keys are the user's own; and those of deployments that were left out as a whole."""


@pytest.mark.parametrize("text", [BALANCED, LOCAL], ids=["balanced", "local"])
def test_whatever_is_not_known_is_told_wherever_it_stands(text):
    data = yaml.safe_load(text)
    free = [each for found in mappings(data) for key, value in found.items() if key in FREE for each in mappings(value)]
    told = 0
    for index, where in enumerate(mappings(data)):
        if any(where is each for each in free):
            continue
        changed = copy.deepcopy(data)
        mappings(changed)[index]["never_heard_of"] = "canary-value"
        imported = import_litellm(yaml.safe_dump(changed, sort_keys=False), {})
        assert noted(imported, "never_heard_of", "no equivalent"), where
        assert "canary-value" not in "".join(imported.notes)
        told += 1
    assert told >= 8


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_values_of_any_type_anywhere_are_told_or_carried_but_never_an_accident(data):
    changed = yaml.safe_load(data.draw(st.sampled_from([BALANCED, LOCAL, WILDCARDS])))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(mappings(changed)))
        if where:
            where[data.draw(st.sampled_from(sorted(where, key=str)))] = data.draw(ODD)
    imported = import_litellm(json.dumps(changed), {}, json.dumps(data.draw(ODD)))
    assert isinstance(yaml.safe_load(imported.yaml), dict)


def test_what_would_be_a_reference_here_is_left_out():
    text = BALANCED.replace("https://canada.openai.azure.com/", "https://evil.example/${OPENAI_API_KEY}")
    text = text.replace("azure/gpt-35-2", "'azure/${OPENAI_API_KEY}'").replace(
        "os.environ/ANTHROPIC_API_KEY", "'os.environ/A}${B'"
    )
    imported = import_litellm(text, {})
    assert "OPENAI_API_KEY}/" not in imported.yaml
    assert "${B" not in imported.yaml
    assert "evil" not in imported.yaml
    assert noted(imported, "api_base", "${")


def test_notes_come_in_the_order_of_the_file():
    lines = [int(note.split(":")[0].removeprefix("line ")) for note in import_litellm(BALANCED, {}).notes]
    assert all(above <= below for above, below in pairwise(lines))
