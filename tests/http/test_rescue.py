"""A stream that breaks off, or stalls, is continued by another upstream: real processes, both dialects."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest

from tests.harness import Edge, running

PLAN, WHOLE = "sim-words-40-tps-200", "sim-words-40"
ASKED = [{"role": "user", "content": "Tell me."}]


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    at = {"base_url": f"{simulator.url}/v1", "models": [], "api_keys": ["key-of-provider"]}
    upstreams = {}
    for fault in ("cut-20", "half-20", "stall-20", "hang-20"):
        for first in ("openai", "anthropic"):
            for second in ("openai", "anthropic"):
                upstreams[f"{fault}/{first}/{second}"] = [
                    {"to": f"{first}/{PLAN}-{fault}"},
                    {"to": f"{second}/{WHOLE}", "capabilities": {"continue_text": "assistant"}},
                ]
    config = {
        "providers": {name: {"dialect": name, **at} for name in ("openai", "anthropic")},
        "models": {name: {"strategy": "failover", "upstreams": of} for name, of in upstreams.items()},
        "cache": {"mode": "all"},
        "resilience": {"rescue": "text", "idle_s": 0.7, "breaker": {"failures": 1_000_000}},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


@pytest.mark.parametrize("fault", ["cut-20", "half-20", "stall-20", "hang-20"])
@pytest.mark.parametrize("first", ["openai", "anthropic"])
@pytest.mark.parametrize("second", ["openai", "anthropic"])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_a_client_gets_one_whole_text(edge, simulator, fault, first, second, client):
    since = simulator.count()
    model = f"{fault}/{first}/{second}"
    if client == "openai":
        ai = openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0)
        options = {"stream_options": {"include_usage": True}}
        chunks = list(ai.chat.completions.create(model=model, messages=ASKED, stream=True, **options))
        assert len({chunk.id for chunk in chunks}) == 1
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
        tokens = chunks[-1].usage.completion_tokens
    else:
        claude = anthropic.Anthropic(api_key="x", base_url=edge.url, max_retries=0)
        with claude.messages.stream(model=model, messages=ASKED, max_tokens=500) as stream:
            message = stream.get_final_message()
        assert len(message.content) == 1
        said, ends, tokens = message.content[0].text, [message.stop_reason], message.usage.output_tokens
    _broken, whole = simulator.ledger(since)
    last = json.loads(whole["body"])["messages"][-1]
    given = last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]
    assert (last["role"], ends) == ("assistant", ["stop" if client == "openai" else "end_turn"])
    assert given
    assert said.startswith(given)
    assert len(said[len(given) :].split()) == 40
    assert tokens > 40
    edge.process.wait_for(r'"rescued":true')


def test_a_rescued_answer_is_not_stored(edge, simulator):
    since = simulator.count()
    ai = openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0)
    for _ in range(2):
        list(ai.chat.completions.create(model="cut-20/openai/openai", messages=[*ASKED], stream=True, temperature=0))
    assert len(simulator.ledger(since)) == 4
