"""What a configuration of LiteLLM has and this program has not: doors that stay shut, and notes that say how it is."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
import yaml

from edge.config.file import ConfigError
from edge.migration.litellm import import_litellm
from tests.unit.test_migration import MASTER, carried, noted, upstreams

OPEN = """
model_list: [{{model_name: a, litellm_params: {{model: openai/gpt-5}}}}]
general_settings: {{{said}}}
"""


@pytest.mark.parametrize("said", ["enable_jwt_auth: true", "custom_auth: ours.check"])
def test_who_came_in_by_other_doors_does_not_come_in_without_a_key(tmp_path, said):
    with pytest.raises(ConfigError, match="keys_file"):
        carried(OPEN.format(said=said), tmp_path)
    config, _ = carried(OPEN.format(said=f"{said}, master_key: {MASTER}"), tmp_path)
    assert [key.id for key in config.auth.keys] == ["master"]
    config, _ = carried(OPEN.format(said="enable_jwt_auth: false"), tmp_path)
    assert config.auth.keys == []


SHARED = """
model_list:
  - model_name: two
    litellm_params: {model: openai/gpt-5, tpm: 100}
    rpm: 3
  - model_name: two
    litellm_params: {model: openai/gpt-5-mini, tpm: 900, rpm: 6}
  - model_name: one
    litellm_params: {model: openai/gpt-5-nano, rpm: 480}
  - model_name: openai/*
    litellm_params: {model: openai/*, rpm: 480}
  - model_name: priced
    litellm_params: {model: openai/gpt-5, input_cost_per_token: 1.0e-6}
    model_info: {cache_read_input_token_cost: 1.0e-7}
  - model_name: nameless
    litellm_params: {model: azure/, api_base: "https://r.openai.azure.com"}
  - model_name: choosing
    litellm_params: {model: auto_router/adaptive_router}
  - model_name: elsewhere
    litellm_params: {model: nowhere/llama}
  - model_name: film
    litellm_params: {model: openai/sora-2}
    model_info: {mode: video_generation}
  - model_name: spoken
    litellm_params: {model: openai/whisper-1}
    model_info: {mode: audio_transcription}
  - model_name: talked
    litellm_params: {model: openai/gpt-realtime}
    model_info: {mode: realtime}
  - model_name: spark
    litellm_params: {model: spark, api_base: "https://api.stars.example/v1"}
"""


def test_only_what_weighs_is_told_as_a_weight(tmp_path):
    config, imported = carried(SHARED, tmp_path)
    assert upstreams(config, "two") == [("openai/gpt-5", 1), ("openai/gpt-5-mini", 2)]
    weights = [note for note in imported.notes if "weight" in note]
    assert [note.partition(": was carried")[0] for note in weights] == [
        "line 5: model_list[0].rpm",
        "line 7: model_list[1].litellm_params.rpm",
    ]
    unused = [note for note in imported.notes if "no such limit" in note]
    assert [int(note.split(":")[0].removeprefix("line ")) for note in unused] == [4, 7, 9, 11]


def test_a_deployment_without_weight_does_not_get_the_usual_one(tmp_path):
    deployment = "{{model_name: a, litellm_params: {{model: openai/{}, weight: {}}}}}"
    for weights, expected in (((2, 0, 4), [1, 0.001, 2]), ((0, 0, 0), [0.001, 0.001, 0.001])):
        listed = ", ".join(deployment.format(f"m{number}", weight) for number, weight in enumerate(weights))
        config, imported = carried(f"model_list: [{listed}]", tmp_path)
        assert [weight for _, weight in upstreams(config, "a")] == expected
        assert [note.split(": ")[1] for note in imported.notes] == [
            f"model_list[{number}].litellm_params.weight" for number, weight in enumerate(weights) if not weight
        ]


@pytest.mark.parametrize("cost", ["-1.0e-6", "1000"])
def test_a_price_that_no_token_has_is_noted(tmp_path, cost):
    text = f"model_list: [{{model_name: a, litellm_params: {{model: openai/gpt-5, input_cost_per_token: {cost}}}}}]"
    config, imported = carried(text, tmp_path)
    assert config.models["a"].price is None
    assert noted(imported, "line 1", "input_cost_per_token", "from 0 to 1 USD")


def test_a_price_has_no_more_digits_than_money_is_counted_in(tmp_path):
    cost = "{input_cost_per_token: 3.3333333333e-07, output_cost_per_token: 1.0e-6}"
    text = f"model_list: [{{model_name: a, litellm_params: {{model: openai/gpt-5}}, model_info: {cost}}}]"
    price = carried(text, tmp_path)[0].models["a"].price
    assert price is not None
    assert (price.input, price.output) == (0.333333, 1.0)


HEADERS = """
model_list:
  - model_name: named
    litellm_params: {model: hosted_vllm/a, api_base: "http://h.example:1/v1", extra_headers: {Authorization: Bearer canary}}
  - model_name: gate
    litellm_params: {model: openai/a, headers: {x-gate-token: canary-2, x-team: blue, x-other-key: os.environ/OTHER}}
  - model_name: twice
    litellm_params: {model: azure/a, api_base: "https://r.openai.azure.com", extra_headers: {api-key: os.environ/OTHER}}
"""


def test_a_header_that_may_be_a_secret_is_a_variable(tmp_path):
    config, imported = carried(HEADERS, tmp_path)
    assert "canary" not in imported.yaml + "".join(imported.notes)
    assert imported.variables == ["PROVIDER_AUTHORIZATION", "PROVIDER_X_GATE_TOKEN"]
    assert noted(imported, "line 6", "headers.x-gate-token", "set PROVIDER_X_GATE_TOKEN in the environment")
    assert "x-other-key: ${OTHER}" in imported.yaml
    assert config.providers["openai"].headers["x-team"] == "blue"


def test_a_header_that_keys_are_sent_in_too_is_refused_only_where_there_is_a_key(tmp_path):
    config, imported = carried(HEADERS, tmp_path)
    assert list(config.models) == ["named", "gate"]
    assert noted(imported, "line 8", "sets api-key, which api_keys sets too")


def test_virtual_keys_are_told_from_the_master_key_and_from_each_other(tmp_path):
    """LiteLLM may have the digest of the master key among them."""
    digests = [sha256(MASTER.encode()).hexdigest(), "a" * 64, "b" * 64, "c" * 64, "d" * 64]
    names = [None, "Master", "x-dddddddd", "x", "x"]
    keys = [{"token": token, "key_alias": alias} for token, alias in zip(digests, names, strict=True)]
    config, imported = carried(OPEN.format(said=f"master_key: {MASTER}"), tmp_path, keys=json.dumps(keys))
    found = [(key.id, key.admin) for key in config.auth.keys]
    assert found == [
        ("master", True),
        ("master-aaaaaaaa", False),
        ("x-dddddddd", False),
        ("x", False),
        ("key-" + "d" * 60, False),
    ]
    assert noted(imported, "keys[0].token", "it is the master key")


def test_half_a_price_and_models_that_nobody_has_are_told(tmp_path):
    config, imported = carried(SHARED, tmp_path)
    assert config.models["priced"].price is None
    assert noted(imported, "line 13", "input_cost_per_token", "a price needs both")
    assert noted(imported, "line 14", "cache_read_input_token_cost", "a price needs both")
    assert {"nameless", "choosing", "elsewhere"}.isdisjoint(config.models)
    assert noted(imported, "line 16", "names no model")
    assert noted(imported, "line 18", "'auto_router'", "strategy")
    assert noted(imported, "line 20", "'nowhere' is not a vendor", "api_base")
    modes = [note for note in imported.notes if "are not supported" in note and "mode" in note]
    assert [note.partition("routes of ")[2].partition(" ")[0] for note in modes] == ["'video_generation'"]
    assert upstreams(config, "spark") == [("stars/spark", 1)]


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("url: os.environ/CACHE_URL", "${CACHE_URL}"),
        ("url: 'redis://:canary@cache:6379/1'", "${REDIS_URL}"),
        ("host: os.environ/HOST, port: os.environ/PORT", "redis://:${REDIS_PASSWORD:-}@${HOST}:${PORT}"),
    ],
)
def test_an_address_of_redis_in_variables_is_carried(tmp_path, said, url):
    text = OPEN.format(said="") + f"litellm_settings: {{cache: true, cache_params: {{type: redis, {said}}}}}"
    config, imported = carried(text, tmp_path)
    assert config.cache.redis is not None
    assert yaml.safe_load(imported.yaml)["cache"]["redis"]["url"] == url
    assert "canary" not in imported.yaml + "".join(imported.notes)
    assert not noted(imported, "the URL of Redis")


def test_names_that_yaml_takes_for_numbers_are_names(tmp_path):
    text = SHARED.replace("model_name: one", "model_name: 1")
    config, imported = carried(
        text + "router_settings: {fallbacks: [{1: [two]}], model_group_alias: {2: two}}", tmp_path
    )
    assert config.models["1"].falls_back.any == ["two"]
    assert upstreams(config, "2") == upstreams(config, "two")
    assert not noted(imported, "router_settings")


def test_what_is_not_said_of_redis_is_in_the_variables_of_litellm(tmp_path):
    text = OPEN.format(said="") + "litellm_settings: {cache: true, cache_params: {type: redis%s}}"
    found = [
        yaml.safe_load(import_litellm(text % more, {}).yaml)["cache"]["redis"]["url"]
        for more in ("", ", host: cache, username: os.environ/WHO, password: os.environ/SECRET", ", username: a b")
    ]
    assert found == [
        "redis://:${REDIS_PASSWORD:-}@${REDIS_HOST:-127.0.0.1}:${REDIS_PORT:-6379}",
        "redis://${WHO}:${SECRET}@cache:${REDIS_PORT:-6379}",
        "redis://a%20b:${REDIS_PASSWORD:-}@${REDIS_HOST:-127.0.0.1}:${REDIS_PORT:-6379}",
    ]


def test_a_time_long_ago_is_a_time(tmp_path):
    keys = json.dumps([{"token": "a" * 64, "expires": "0001-01-01T00:00:00"}])
    (key,) = carried(OPEN.format(said=""), tmp_path, keys=keys)[0].auth.keys
    assert key.expires is not None
    assert key.expires.year == 1
