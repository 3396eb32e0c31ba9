"""The recipes for providers: `edge check` accepts each, and what an edge sends by it is what that provider wants.

Of an address, a test replaces the scheme and the host alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

import httpx2
import pytest
import yaml

from edge.migration.vendors import VENDORS
from tests.harness import MINIMAL, PATIENT, Canned, Edge, Seen, answer, clean_environment, running
from tests.recipes import recipes

KEYS = {
    f"{name}_API_KEY": f"key-of-{name.lower()}"
    for name in ("AZURE", "OPENROUTER", "GROQ", "DEEPSEEK", "MISTRAL", "GEMINI", "VLLM")
}
CREDENTIALS = ("authorization", "api-key", "x-api-key")


@dataclass(frozen=True)
class Wanted:
    """What arrives at a provider that is asked for ``model``: at which target, and with which headers, of which those
    with a key are all that there are.
    """

    model: str
    target: str
    headers: dict[str, str]
    upstream_model: str
    path: str = "/v1/chat/completions"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


CHAT = "/v1/chat/completions"
WANTED = {
    "Azure OpenAI": [
        Wanted("smart", "/openai/v1/chat/completions", {"api-key": "key-of-azure"}, "gpt-5-mini"),
        Wanted("azure/gpt-5", "/openai/v1/responses", {"api-key": "key-of-azure"}, "gpt-5", "/v1/responses"),
        Wanted("azure/embed", "/openai/v1/embeddings", {"api-key": "key-of-azure"}, "embed", "/v1/embeddings"),
    ],
    "Azure OpenAI by deployment and version": [
        Wanted(
            "steady",
            "/openai/deployments/YOUR-DEPLOYMENT/chat/completions?api-version=2024-10-21",
            {"api-key": "key-of-azure"},
            "gpt-4o",
            path,
        )
        for path in (CHAT, "/v1/responses", "/v1/messages")
    ],
    "OpenRouter": [
        Wanted(
            model,
            "/api/v1/chat/completions",
            {**bearer("key-of-openrouter"), "http-referer": "https://example.com", "x-title": "Example"},
            upstream_model,
        )
        for model, upstream_model in (
            ("anyone", "anthropic/claude-sonnet-4.5"),
            ("openrouter/meta-llama/llama-3.3-70b-instruct", "meta-llama/llama-3.3-70b-instruct"),
        )
    ],
    "Groq": [Wanted("quick", "/openai/v1/chat/completions", bearer("key-of-groq"), "llama-3.3-70b-versatile")],
    "DeepSeek": [
        Wanted("deepseek-reasoner", CHAT, bearer("key-of-deepseek"), "deepseek-reasoner"),
        Wanted(
            "claude-deepseek",
            "/anthropic/v1/messages",
            {"x-api-key": "key-of-deepseek", "anthropic-version": "2023-06-01"},
            "deepseek-chat",
            "/v1/messages",
        ),
    ],
    "Mistral": [
        Wanted("european", CHAT, bearer("key-of-mistral"), "mistral-large-latest"),
        Wanted("codestral-latest", CHAT, bearer("key-of-mistral"), "codestral-latest"),
    ],
    "Gemini": [
        Wanted("long", "/v1beta/openai/chat/completions", bearer("key-of-gemini"), "gemini-2.5-flash"),
        Wanted("gemini-2.5-pro", "/v1beta/openai/chat/completions", bearer("key-of-gemini"), "gemini-2.5-pro"),
    ],
    "vLLM": [
        Wanted("own", CHAT, bearer("key-of-vllm"), "Qwen/Qwen3-8B"),
        Wanted("vllm/Qwen/Qwen3-8B", CHAT, bearer("key-of-vllm"), "Qwen/Qwen3-8B", "/v1/messages"),
    ],
    "Ollama": [
        Wanted("small", CHAT, {}, "qwen3:4b"),
        Wanted("ollama/embeddinggemma", "/v1/embeddings", {}, "embeddinggemma", "/v1/embeddings"),
    ],
    "llama.cpp": [Wanted("local", CHAT, {}, "default"), Wanted("local", CHAT, {}, "default", "/v1/messages")],
}
SAID = [{"role": "user", "content": "Say hello."}]
BODIES = {
    CHAT: {"messages": SAID},
    "/v1/messages": {"messages": SAID, "max_tokens": 16},
    "/v1/responses": {"input": "Say hello.", "store": False},
    "/v1/embeddings": {"input": "hello"},
}


def config_of(title: str) -> dict:
    return yaml.safe_load(recipes("providers")[title].files["edge.yaml"])


def reply(seen: Seen, _connection: object) -> bytes:
    """The least answer to what was asked; lists of models, and signs of life, are of no model."""
    path = urlsplit(seen.target).path
    endings = sorted(MINIMAL, key=len, reverse=True)  # "completions" ends "chat/completions"
    return answer(
        next((MINIMAL[each] for each in endings if path.endswith(f"/{each}")), b'{"object":"list","data":[]}')
    )


@dataclass
class Fake:
    """An upstream that stands for all providers, and an edge with all recipes in one file."""

    upstream: Canned
    edge: Edge

    def asked(self) -> list[Seen]:
        """What is not for the edge itself: lists of models, signs of life."""
        return [seen for seen in self.upstream.seen if seen.head.startswith(b"POST")]


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    with Canned(reply) as upstream:
        config: dict = {"providers": {}, "models": {}, "resilience": PATIENT}
        for title in recipes("providers"):
            whole = config_of(title)
            for provider in whole["providers"].values():
                provider["base_url"] = upstream.url + urlsplit(provider["base_url"]).path
            for part in ("providers", "models"):
                assert config[part].keys().isdisjoint(whole[part])
                config[part] |= whole[part]
        edge = Edge(tmp_path_factory.mktemp("edge"), config, env=clean_environment(**KEYS))
        with running(edge):
            yield Fake(upstream, edge)


def test_every_recipe_is_followed():
    assert [*recipes("providers")] == [*WANTED]


@pytest.mark.parametrize("title", WANTED)
def test_the_check_accepts_it_to_the_last_note(tmp_path, title):
    (tmp_path / "edge.yaml").write_text(recipes("providers")[title].files["edge.yaml"])
    command = [sys.executable, "-m", "edge", "check", "--strict", str(tmp_path / "edge.yaml")]
    got = subprocess.run(command, env=clean_environment(**KEYS), capture_output=True, text=True, timeout=60)
    assert got.returncode == 0, got.stderr


@cache
def addresses() -> set[str]:
    return {vendor.base_url for vendor in VENDORS.values()}


@pytest.mark.parametrize("title", ["OpenRouter", "Groq", "DeepSeek", "Mistral", "Gemini"])
def test_an_address_is_the_one_that_an_import_writes(title):
    first = next(iter(config_of(title)["providers"].values()))
    assert first["base_url"] in addresses()


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(each, id=f"{title}: {each.model} {each.path}")
        for title, all_of in WANTED.items()
        for each in all_of
    ],
)
def test_what_is_sent_is_what_the_provider_wants(fake, wanted):
    before = len(fake.asked())
    body = {"model": wanted.model, **BODIES[wanted.path]}
    got = httpx2.post(
        fake.edge.url + wanted.path, json=body, headers={"authorization": "Bearer of-the-client"}, timeout=30
    )
    assert got.status_code == 200, got.text
    (seen,) = fake.asked()[before:]
    assert seen.target == wanted.target
    assert json.loads(seen.body)["model"] == wanted.upstream_model
    assert {name: seen.header(name) for name in wanted.headers} == wanted.headers
    assert [name for name, _ in seen.headers if name in CREDENTIALS] == [*{*CREDENTIALS} & wanted.headers.keys()]
