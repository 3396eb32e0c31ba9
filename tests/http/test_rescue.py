"""A stream that breaks off, or stalls, is continued by another upstream: real processes, all three APIs."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import anthropic
import openai
import pytest

from tests.harness import Edge, running

PLAN, WHOLE = "sim-words-40-tps-200", "sim-words-40"
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


def asked(question):
    return [{"role": "user", "content": question}]


def by_chat(url, model, question):
    """The text, how it ended, and how many tokens it had."""
    options = {"stream_options": {"include_usage": True}}
    with openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as ai:
        chunks = list(ai.chat.completions.create(model=model, messages=asked(question), stream=True, **options))
    assert len({chunk.id for chunk in chunks}) == 1
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    (end,) = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    return said, end, chunks[-1].usage.completion_tokens


def by_messages(url, model, question):
    with (
        anthropic.Anthropic(api_key="x", base_url=url, max_retries=0) as claude,
        claude.messages.stream(model=model, messages=asked(question), max_tokens=500) as stream,
    ):
        message = stream.get_final_message()
    (block,) = message.content
    return block.text, message.stop_reason, message.usage.output_tokens


def by_responses(url, model, question):
    with (
        openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as ai,
        ai.responses.stream(model=model, input=asked(question), store=False) as stream,
    ):
        events = list(stream)
        response = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert response.output_text == said
    return said, response.status, response.usage.output_tokens


CLIENTS = {"chat": (by_chat, "stop"), "messages": (by_messages, "end_turn"), "responses": (by_responses, "completed")}


def question_of(fault, first, second, client):
    """By it the ledger tells whose request it was."""
    return f"Tell me of {fault} {first} {second} {client}."


@pytest.fixture(scope="module")
def told(edge, simulator):
    """By fault: the answer of each case and client, and the bodies that the upstreams were asked with for it. Those of one
    fault are asked for together, since what takes long is the edge's wait for a stream that stalls.
    """

    @cache
    def of(fault):
        cases = [(*case, client) for case in CASES if case[0] == fault for client in CLIENTS]
        since = simulator.count()
        with ThreadPoolExecutor(len(CLIENTS) * 3) as threads:
            answers = [
                threads.submit(CLIENTS[case[3]][0], edge.url, "/".join(case[:3]), question_of(*case)) for case in cases
            ]
        bodies = [entry["body"] for entry in simulator.ledger(since)]
        return {
            case: (answer, [json.loads(body) for body in bodies if question_of(*case) in body])
            for case, answer in zip(cases, answers, strict=True)
        }

    return of


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("fault", "first", "second"), CASES)
def test_a_client_gets_one_whole_text(edge, told, fault, first, second, client):
    answer, bodies = told(fault)[fault, first, second, client]
    said, end, tokens = answer.result()
    _broken, whole = bodies
    last = whole["input" if second == "responses" else "messages"][-1]
    given = last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]
    assert (last["role"], end) == ("assistant", CLIENTS[client][1])
    assert given
    assert said.startswith(given)
    assert len(said[len(given) :].split()) == 40
    assert tokens > 40
    edge.process.wait_for(r'"rescued":true')


def test_a_rescued_answer_is_not_stored(edge, simulator):
    since = simulator.count()
    with openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as ai:
        for _ in range(2):
            list(
                ai.chat.completions.create(
                    model="cut-20/chat/chat", messages=asked("Tell me."), stream=True, temperature=0
                )
            )
    assert len(simulator.ledger(since)) == 4
