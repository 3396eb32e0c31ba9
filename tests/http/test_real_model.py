"""A real small model behind the edge: llama.cpp's server, which speaks both dialects."""

from __future__ import annotations

import os

import anthropic
import openai
import pytest

from tests.harness import Edge, running

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("EDGE_REAL_MODEL" not in os.environ, reason="EDGE_REAL_MODEL names no llama-server"),
]
SAID = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """The same model twice: spoken to as OpenAI's, and as Anthropic's."""
    url = os.environ["EDGE_REAL_MODEL"].rstrip("/")
    config = {
        "providers": {
            "as-openai": {"dialect": "openai", "base_url": f"{url}/v1", "models": []},
            "as-anthropic": {"dialect": "anthropic", "base_url": f"{url}/v1", "models": []},
        },
        "models": {
            "o": {"upstreams": [{"to": "as-openai/small"}]},
            "a": {"upstreams": [{"to": "as-anthropic/small"}]},
        },
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config)
    with running(made):
        yield made


@pytest.mark.parametrize("model", ["o", "a"])
def test_a_chat_and_its_stream_say_the_same(edge, model):
    with openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as client:
        ask = {"model": model, "messages": SAID, "max_tokens": 20, "temperature": 0}
        whole = client.chat.completions.create(**ask)
        chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert "Paris" in text
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens > 0


@pytest.mark.parametrize("model", ["o", "a"])
def test_a_message_and_its_stream_say_the_same(edge, model):
    with anthropic.Anthropic(api_key="x", base_url=edge.url, max_retries=0) as client:
        ask = {"model": model, "messages": SAID, "max_tokens": 20, "extra_body": {"temperature": 0}}
        whole = client.messages.create(**ask)
        with client.messages.stream(**ask) as stream:
            final = stream.get_final_message()
    assert final.content[0].text == whole.content[0].text
    assert "Paris" in whole.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens > 0
