"""What a model can do: the table, what the configuration says above it, and by which API a model is asked."""

from __future__ import annotations

import msgspec
import pytest

from edge.config import Capabilities, Provider
from edge.config.file import ConfigError, parse
from edge.dialects.models import Model, anthropic_version, api_for, configured_model, described, load, model_of
from edge.resolved import resolved

OPENAI = "openai: {dialect: openai, base_url: 'https://api.openai.com/v1', api_keys: [x]%s}"
CLAUDE = "anthropic: {dialect: anthropic, base_url: 'https://api.anthropic.com/v1', api_keys: [x]%s}"


def read(openai: str = "", anthropic: str = "", models: str = ""):
    text = f"providers:\n  {OPENAI % openai}\n  {CLAUDE % anthropic}\n"
    return parse(text + (f"models:\n  {models}\n" if models else ""), "edge.yaml", {})


def provider(**capabilities) -> Provider:
    patterns = {glob: Capabilities(**each) for glob, each in capabilities.items()}
    return Provider(dialect="openai", base_url="http://127.0.0.1/v1", capabilities=patterns)


def test_everything_that_the_table_knows_of_a_model_can_be_configured():
    told = {field.name for field in msgspec.structs.fields(Model)} - {"match"}
    assert {field.name for field in msgspec.structs.fields(Capabilities)} == told


def test_the_last_word_counts():
    plain = provider()
    assert configured_model(plain, "gpt-6-astra") == model_of("openai", "gpt-6-astra")
    patterns = provider(**{"*": {"stop": False, "efforts": ["low"]}, "llama-*": {"efforts": []}})
    of = {name: configured_model(patterns, name) for name in ("llama-3", "other")}
    assert {name: (each.stop, each.efforts) for name, each in of.items()} == {
        "llama-3": (False, []),
        "other": (False, ["low"]),
    }
    above = configured_model(
        patterns, "llama-3", Capabilities(stop=True, apis=["chat"]), Capabilities(apis=["responses"])
    )
    assert (above.stop, above.apis, above.efforts) == (True, ["responses"], [])


@pytest.mark.parametrize(
    ("client", "model", "reasons_with_tools", "asked_by"),
    [
        ("chat", "gpt-4o", True, "chat"),
        ("messages", "gpt-4o", True, "chat"),
        ("responses", "gpt-4o", True, "responses"),
        ("chat", "gpt-6-astra", False, "chat"),
        ("chat", "gpt-6-astra", True, "responses"),
        ("messages", "gpt-6-astra", False, "chat"),
        ("messages", "gpt-6-astra", True, "responses"),
        ("messages", "gpt-5.5", True, "responses"),
        ("messages", "gpt-5.2", True, "chat"),
        ("chat", "gpt-5-codex", False, "responses"),
        ("messages", "gpt-5.2-pro", False, "responses"),
        ("responses", "deepseek-chat", False, "chat"),
        ("messages", "llama-3", True, "chat"),
    ],
)
def test_a_model_is_asked_by_the_clients_api_if_it_can_be(client, model, reasons_with_tools, asked_by):
    assert api_for(client, model_of("openai", model), reasons_with_tools) == asked_by


def test_a_provider_without_responses_is_never_asked_by_it():
    facts = configured_model(provider(**{"*": {"apis": ["chat"]}}), "gpt-6-astra")
    assert {api_for(client, facts, True) for client in ("chat", "messages", "responses")} == {"chat"}


@pytest.mark.parametrize(
    ("where", "settings"),
    [
        ("providers.openai.capabilities.*.apis", {"openai": ", capabilities: {'*': {apis: [messages]}}"}),
        ("providers.anthropic.capabilities.x.apis", {"anthropic": ", capabilities: {x: {apis: [chat]}}"}),
        (
            "models.a.capabilities.apis",
            {"models": "a: {capabilities: {apis: [messages]}, upstreams: [{to: openai/x}]}"},
        ),
        (
            "models.a.upstreams[0].capabilities.apis",
            {"models": "a: {upstreams: [{to: anthropic/x, capabilities: {apis: [responses]}}]}"},
        ),
    ],
)
def test_an_api_of_the_other_dialect_is_a_mistake(where, settings):
    with pytest.raises(ConfigError) as error:
        read(**settings)
    assert where in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"models": "a: {upstreams: [{to: openai/x, capabilities: {CONTINUES, apis: [responses]}}]}"},
        {"models": "a: {capabilities: {apis: [responses]}, upstreams: [{to: openai/x, capabilities: {CONTINUES}}]}"},
        {
            "openai": ", capabilities: {'x*': {apis: [responses]}}",
            "models": "a: {capabilities: {CONTINUES}, upstreams: [{to: openai/xy}]}",
        },
        {"models": "a: {upstreams: [{to: anthropic/x, capabilities: {CONTINUES}}]}"},
    ],
)
def test_a_field_of_chat_completions_for_who_is_not_asked_by_them_is_a_mistake(settings):
    field = "continue_text: continue_final_message"
    with pytest.raises(ConfigError) as error:
        read(**{name: each.replace("CONTINUES", field) for name, each in settings.items()})
    assert "models.a.upstreams[0].capabilities.continue_text" in str(error.value)
    assert "is a field of chat completions" in str(error.value)


def test_edge_check_tells_what_the_models_of_an_alias_can_do():
    config = read(
        models="a: {capabilities: {stop: false}, upstreams: [{to: openai/gpt-6-astra}, {to: anthropic/claude-3-5-x}]}"
    )
    lines = {line.strip().partition(": ")[0]: line.strip().partition(": ")[2] for line in resolved(config)}
    assert lines["openai/gpt-6-astra"].startswith("chat, responses; tools on chat never; efforts low medium high xhigh")
    assert lines["anthropic/claude-3-5-x"] == (
        "messages; no stop sequences; no structured outputs but by a tool; at most 8192 tokens"
    )


def test_every_row_can_be_described():
    for dialect in ("openai", "anthropic"):
        for row in getattr(load(), dialect):
            assert described(dialect, row).split("; ")[0] in ("messages", "chat", "responses", "chat, responses")


def test_a_version_of_the_api_takes_from_any_model_what_it_takes():
    assert [anthropic_version(name).sampling for name in ("2023-06-01", "", "x", "2026-10-20")] == [True] * 4
    assert [anthropic_version(name).sampling for name in ("2026-10-21", "2027-01-01")] == [False] * 2
