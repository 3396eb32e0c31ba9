"""The environment as a configuration: `edge import env`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.config.file import read
from edge.migration.environment import import_environment

pytestmark = pytest.mark.once


def test_the_environment_makes_a_provider_of_each_vendor_whose_key_it_has(tmp_path):
    environ = {"OPENAI_API_KEY": "sk-canary", "GROQ_API_KEY": "gsk-canary", "ANTHROPIC_API_KEY": " "}
    made, notes = import_environment(environ | {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert notes == []
    assert "canary" not in made
    path = tmp_path / "edge.yaml"
    path.write_text(made)
    config = read(str(path), environ).config
    assert config.providers["openai"].base_url == "http://127.0.0.1:1/v1"
    assert "gpt-*" in (config.providers["openai"].models or [])
    assert config.providers["groq"].models == []
    assert config.providers["groq"].api_keys[0].reveal() == "gsk-canary"
    assert list(config.providers) == ["openai", "groq"], "one for each vendor"
    assert import_environment({"PATH": "/bin"}) == ("", [])


@pytest.mark.parametrize(
    ("environ", "provider"),
    [
        (
            {"AZURE_API_KEY": "k", "AZURE_API_BASE": "https://r.openai.azure.com/openai/deployments/d"},
            ("azure", "https://r.openai.azure.com/openai/v1", "api-key", ["k"]),
        ),
        (
            {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/"},
            ("azure", "https://r.openai.azure.com/openai/v1", "api-key", ["k"]),
        ),
        (
            {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://box/v1/messages"},
            ("anthropic", "http://box/v1", None, ["k"]),
        ),
        ({"OLLAMA_API_BASE": "http://box:11434"}, ("ollama", "http://box:11434/v1", None, [])),
        ({"HOSTED_VLLM_API_BASE": "http://box:8000/v1"}, ("vllm", "http://box:8000/v1", None, [])),
        ({"VLLM_API_BASE": "http://box:8000/v1", "VLLM_API_KEY": "k"}, ("vllm", "http://box:8000/v1", None, ["k"])),
        (
            {"GOOGLE_API_KEY": "k"},
            ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", None, ["k"]),
        ),
    ],
)
def test_variables_of_other_spellings_and_of_addresses_alone_are_heeded(tmp_path, environ, provider):
    made, notes = import_environment(environ)
    assert notes == []
    path = tmp_path / "edge.yaml"
    path.write_text(made)
    ((name, settings),) = read(str(path), environ).config.providers.items()
    assert (name, settings.base_url, settings.auth, [key.reveal() for key in settings.api_keys]) == provider


def test_an_address_that_would_be_refused_is_told_and_no_other_has_its_key():
    environ = {"OPENAI_API_BASE": "https://user:canary@h.example/v1", "OPENAI_API_KEY": "k", "GROQ_API_KEY": "k"}
    made, notes = import_environment(environ)
    (note,) = notes
    assert note.startswith(
        "OPENAI_API_BASE: no provider was written for it, because it would be refused: base_url must"
    )
    assert "canary" not in made + note
    assert "openai.com" not in made
    assert "groq" in made


def test_a_key_whose_address_nobody_tells_is_told():
    made, notes = import_environment({"AZURE_API_KEY": "canary", "GROQ_API_KEY": "canary"})
    assert "azure" not in made
    assert notes == ["AZURE_API_KEY: no provider was written for it, because AZURE_API_BASE is not set"]


@pytest.mark.parametrize(("variable", "lines"), [("AZURE_API_KEY", 2), ("PATH", 1)])
def test_an_environment_without_a_provider_is_an_error_that_denies_no_variable(monkeypatch, variable, lines):
    monkeypatch.setattr("os.environ", {variable: "canary"})
    told = CliRunner().invoke(main, ["import", "env"])
    assert told.exit_code == 1
    *notes, error = told.stderr.splitlines()
    assert len(notes) == lines - 1
    assert error == "Error: the environment has no provider: set the key of a vendor, such as OPENAI_API_KEY"
