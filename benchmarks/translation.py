"""What a translation costs: ``python -m benchmarks translation``. In microseconds on one core, the best of several.

An event is one piece of text, of arguments or of thinking, given to a stream in which its block is open; reading the
bytes of the stream is not part of it.
"""

from __future__ import annotations

import json
import timeit

from benchmarks.table import Report
from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS

__all__ = ["translation_section"]

REQUEST_US, EVENT_US = 60.0, 8.0
RUNS = 50
SECONDS = 0.02
PAIRS = (
    *(("chat", "messages"), ("messages", "chat"), ("responses", "messages"), ("responses", "chat")),
    *(("messages", "responses"), ("chat", "responses")),
)
"""By which API a client asks, and by which a provider is asked."""
MODELS = {"messages": "claude-sonnet-4-5", "chat": "gpt-4o", "responses": "gpt-6-astra"}
"""By the provider's API, as are answers and events."""
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "A city"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city"],
    "additionalProperties": False,
}
SYSTEM, QUESTION = "You are a helpful assistant that answers briefly.", "What is the weather like in Lisbon, and why?"
RESULT = "17 degrees, a light wind from the sea, rain after noon"
ARGUMENTS = {"city": "Lisbon", "unit": "celsius"}
TEXT, THOUGHT = "It is mild, and it will rain after noon. ", "The tool says 17 degrees. "
REQUESTS = {
    "chat": {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": QUESTION},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}],
        "max_tokens": 500,
        "stream": True,
    },
    "messages": {
        "model": "claude-sonnet-4-5",
        "system": SYSTEM,
        "messages": [
            {"role": "user", "content": QUESTION},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": ARGUMENTS}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": RESULT}]},
        ],
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
        "max_tokens": 500,
        "stream": True,
    },
    "responses": {
        "model": "gpt-5",
        "instructions": SYSTEM,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": json.dumps(ARGUMENTS)},
            {"type": "function_call_output", "call_id": "call_1", "output": RESULT},
        ],
        "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}],
        "max_output_tokens": 500,
        "store": False,
        "stream": True,
    },
}
ANSWERS = {
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [
            {"type": "text", "text": TEXT},
            {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": ARGUMENTS},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 500, "cache_read_input_tokens": 0, "output_tokens": 60},
    },
    "chat": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": TEXT,
                    "tool_calls": REQUESTS["chat"]["messages"][2]["tool_calls"],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 500, "completion_tokens": 60, "total_tokens": 560},
    },
    "responses": {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-6-astra",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAB" * 200},
            {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]},
            {
                "id": "fc_1",
                "type": "function_call",
                "call_id": "c",
                "name": "weather",
                "arguments": '{"city":"Lisbon"}',
            },
        ],
        "usage": {"input_tokens": 500, "output_tokens": 60, "total_tokens": 560},
    },
}


def block(kind: str, start: dict, delta: dict) -> tuple[dict, dict]:
    """The beginning of one of Anthropic's blocks, and a piece of it."""
    return (
        {"type": "content_block_start", "index": 0, "content_block": {"type": kind, **start}},
        {"type": "content_block_delta", "index": 0, "delta": delta},
    )


def chunk(**delta) -> dict:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [choice]}


def call(**fields) -> dict:
    return chunk(tool_calls=[{"index": 0, **fields}])


def item(kind: str, delta: str, text: str, **fields) -> tuple[dict, dict]:
    """The beginning of an item of a response, and a piece of it."""
    return (
        {"type": "response.output_item.added", "output_index": 0, "item": {"id": "i_1", "type": kind, **fields}},
        {
            "type": f"response.{delta}.delta",
            "item_id": "i_1",
            "output_index": 0,
            "content_index": 0,
            "summary_index": 0,
            "delta": text,
            "logprobs": [],
            "sequence_number": 7,
            "obfuscation": "xQz4",
        },
    )


EVENTS = {
    "responses": {
        "text": item("message", "output_text", TEXT, role="assistant", content=[]),
        "arguments": item(
            *("function_call", "function_call_arguments", '"city": "Lis'), call_id="c", name="weather", arguments=""
        ),
        "thinking": item("reasoning", "reasoning_summary_text", THOUGHT, summary=[]),
    },
    "messages": {
        "text": block("text", {"text": ""}, {"type": "text_delta", "text": TEXT}),
        "arguments": block(
            "tool_use",
            {"id": "toolu_2", "name": "weather", "input": {}},
            {"type": "input_json_delta", "partial_json": '"city": "Lis'},
        ),
        "thinking": block(
            "thinking", {"thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": THOUGHT}
        ),
    },
    "chat": {
        "text": (chunk(role="assistant", content=""), chunk(content=TEXT)),
        "arguments": (
            call(id="call_2", type="function", function={"name": "weather", "arguments": ""}),
            call(function={"arguments": '"city": "Lis'}),
        ),
        "thinking": (chunk(role="assistant", content=""), chunk(reasoning_content=THOUGHT)),
    },
}
"""What opens a block, and the event that is measured."""


def best(call_it) -> float:
    """Microseconds of one call: the least of several means."""
    timer = timeit.Timer(call_it)
    number = max(1, int(timer.autorange()[0] * SECONDS / 0.2))
    return min(timer.repeat(RUNS, number)) / number * 1e6


def event_cost(pair: tuple[str, str], opening: dict, event: dict) -> float:
    stream = TRANSLATORS[pair].stream(Context(model=MODELS[pair[1]]), 1)
    opening, event = ([(item.get("type", "message").encode(), json.dumps(item).encode())] for item in (opening, event))
    stream.feed(opening)
    return best(lambda: stream.feed(event))


def rows(pair: tuple[str, str]) -> dict[str, float]:
    """The cost of each step for a client of one API in front of a provider of the other."""
    client, provider = pair
    translator, model = TRANSLATORS[pair], MODELS[provider]
    request, answer = json.dumps(REQUESTS[client]).encode(), json.dumps(ANSWERS[provider]).encode()
    costs = {
        "request: instructions, question, call, result; one tool": best(lambda: translator.request(request, model)),
        "whole answer": best(lambda: translator.answer(answer, Context(model=model), 1)),
    }
    return costs | {f"event of {kind}": event_cost(pair, *events) for kind, events in EVENTS[provider].items()}


def translation_section(report: Report, _seconds: float) -> None:
    names = " | ".join(f"{client} to {provider}" for client, provider in PAIRS)
    title = "Translation, in this process: µs per step, the least of 50 short runs"
    report.section(title, f"| | {names} |\n|---|{'---|' * len(PAIRS)}")
    found = [rows(pair) for pair in PAIRS]
    for name in found[0]:
        costs = [each[name] for each in found]
        report.say(f"| {name} | {' | '.join(f'{cost:.1f}' for cost in costs)} |")
        limit = EVENT_US if name.startswith("event") else REQUEST_US if name.startswith("request") else None
        if limit is not None:
            report.target(f"translation, {name}", limit, max(costs), "µs")
