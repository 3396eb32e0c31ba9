"""The key of a request in a cache."""

from __future__ import annotations

import json
from decimal import Decimal
from types import ModuleType
from typing import Any

import msgspec

from benchmarks.micro.case import Case


def tool(name: str, description: str, **properties: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {key: {"type": "string", "description": text} for key, text in properties.items()},
        "required": list(properties),
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


REQUEST = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You help travellers. Answer briefly, and name the tool that you have used."},
        {"role": "user", "content": "What is the weather like in Lisbon today, and is there a train to Porto at six?"},
        {"role": "assistant", "content": "It is sunny in Lisbon, 24 °C. Shall I look for trains?"},
        {"role": "user", "content": "Yes, please. One way, in the evening, and the cheapest there is."},
    ],
    "tools": [
        tool("get_weather", "The weather in a city at the moment.", city="A city and its country"),
        tool("find_trains", "Trains between two cities.", start="From which city", end="To which city", day="Date"),
    ],
    "tool_choice": "auto",
    "temperature": 0.2,
    "top_p": 1.0,
    "max_tokens": 512,
    "seed": 42,
    "stream": True,
    "user": "user-1234",
}
BODY = json.dumps(REQUEST, ensure_ascii=False).encode()
LEFT_OUT = frozenset({"stream", "stream_options", "user", "metadata", "safety_identifier"})
CONTEXT = (b"tenant-1", b"gpt-4o", bytes(range(32)))


def key(module: ModuleType) -> dict[str, Any]:
    body = msgspec.json.Decoder(float_hook=Decimal).decode(BODY)
    long = body | {"messages": body["messages"] * 40}
    return {
        "canonical": module.canonical,
        "digest": lambda: module.request_digest(CONTEXT, body, LEFT_OUT),
        "digest_long": lambda: module.request_digest(CONTEXT, long, LEFT_OUT),
        "body": body,
        "strings": ["a word"] * 100,
        "accents": ["ein Wörtchen"] * 100,
        "ints": list(range(1000, 1100)),
        "decimals": [Decimal("0.25")] * 100,
        "objects": [{"type": "a", "text": "b", "name": "c"}] * 100,
    }


CASES = [
    Case("key", f"digest of a request of {len(BODY)} bytes", key, "digest()", limit=6000),
    Case("key", "the canonical form alone", key, "canonical(body)"),
    Case("key", "digest of a conversation of 160 turns", key, "digest_long()"),
    Case("key", "a string", key, "canonical(strings)", units=100),
    Case("key", "a string that is not ASCII", key, "canonical(accents)", units=100),
    Case("key", "an int", key, "canonical(ints)", units=100),
    Case("key", "a Decimal", key, "canonical(decimals)", units=100),
    Case("key", "an object of three strings", key, "canonical(objects)", units=100),
]
