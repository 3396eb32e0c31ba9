"""A stream that breaks off, or stalls, is continued by another upstream: real processes, all three APIs."""

from __future__ import annotations

import itertools
import json

import anthropic
import openai
import pytest

from tests.harness import Edge, running

PLAN, WHOLE = "sim-words-40-tps-200", "sim-words-40"
ASKED = [{"role": "user", "content": "Tell me."}]
APIS = ("chat", "messages", "responses")
FAULTS = ("cut-20", "half-20", "stall-20", "hang-20")
CASES = [
    (fault, *pair)
    for fault, pair in itertools.product(FAULTS, itertools.product(APIS, APIS))
    if "responses" not in pair or fault in ("cut-20", "stall-20")
]
DIALECTS = {"chat": "openai", "messages": "anthropic", "responses": "openai"}


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    at = {"base_url": f"{simulator.url}/v1", "models": [], "api_keys": ["key-of-provider"]}
    upstreams = {}
    for fault, first, second in CASES:
        upstreams[f"{fault}/{first}/{second}"] = [
            {"to": f"{DIALECTS[first]}/{PLAN}-{fault}", "capabilities": {"apis": [first]}},
            {
                "to": f"{DIALECTS[second]}/{WHOLE}",
                "capabilities": {"continue_text": "assistant", "apis": [second]},
            },
        ]
    config = {
        "providers": {name: {"dialect": name, **at} for name in ("openai", "anthropic")},
        "models": {name: {"strategy": "failover", "upstreams": of} for name, of in upstreams.items()},
        "cache": {"mode": "all"},
        "resilience": {"rescue": "text", "idle_s": 1.2, "breaker": {"failures": 1_000_000}},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def by_chat(url, model):
    """The text, how it ended, and how many tokens it had."""
    options = {"stream_options": {"include_usage": True}}
    with openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as ai:
        chunks = list(ai.chat.completions.create(model=model, messages=ASKED, stream=True, **options))
    assert len({chunk.id for chunk in chunks}) == 1
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    (end,) = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    return said, end, chunks[-1].usage.completion_tokens


def by_messages(url, model):
    with (
        anthropic.Anthropic(api_key="x", base_url=url, max_retries=0) as claude,
        claude.messages.stream(model=model, messages=ASKED, max_tokens=500) as stream,
    ):
        message = stream.get_final_message()
    (block,) = message.content
    return block.text, message.stop_reason, message.usage.output_tokens


def by_responses(url, model):
    with (
        openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as ai,
        ai.responses.stream(model=model, input=ASKED, store=False) as stream,
    ):
        events = list(stream)
        response = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert response.output_text == said
    return said, response.status, response.usage.output_tokens


CLIENTS = {"chat": (by_chat, "stop"), "messages": (by_messages, "end_turn"), "responses": (by_responses, "completed")}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("fault", "first", "second"), CASES)
def test_a_client_gets_one_whole_text(edge, simulator, fault, first, second, client):
    since = simulator.count()
    asks, ended = CLIENTS[client]
    said, end, tokens = asks(edge.url, f"{fault}/{first}/{second}")
    _broken, whole = simulator.ledger(since)
    body = json.loads(whole["body"])
    last = body["input" if second == "responses" else "messages"][-1]
    given = last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]
    assert (last["role"], end) == ("assistant", ended)
    assert given
    assert said.startswith(given)
    assert len(said[len(given) :].split()) == 40
    assert tokens > 40
    edge.process.wait_for(r'"rescued":true')


def test_a_rescued_answer_is_not_stored(edge, simulator):
    since = simulator.count()
    with openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as ai:
        for _ in range(2):
            list(ai.chat.completions.create(model="cut-20/chat/chat", messages=[*ASKED], stream=True, temperature=0))
    assert len(simulator.ledger(since)) == 4
