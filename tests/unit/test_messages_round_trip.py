"""Requests of messages and of chat completions by Responses and back: what a conversation says is the same."""

from __future__ import annotations

import json

import pytest

from edge.dialects.translators import TRANSLATORS
from edge.errors import EdgeError
from tests.unit.responding import SEAL
from tests.unit.test_responses_recordings import of

MODELS = {"messages": "claude-opus-5", "chat": "gpt-4o"}
TEXTS = ("text", "refusal")


def through(client, provider, model, body):
    made = TRANSLATORS[client, provider].opens(model)
    made.context.seal = SEAL
    return made.at_once(body)


def parts_of(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def text_in(parts):
    return "".join("".join(part.get(kind) or "" for kind in TEXTS) for part in parts)


def pictures_in(parts):
    found = []
    for part in parts:
        if part["type"] == "image":
            source = part["source"]
            found.append(source.get("url") or f"data:{source['media_type']};base64,{source['data']}")
        elif part["type"] == "image_url":
            found.append(part["image_url"]["url"])
    return found


def said_in(request):
    """What anybody said to the model and it to them, its calls, their results and pictures, but for how messages are cut
    and which of them is the system's."""
    said = {"to": [], "by": [], "calls": [], "results": [], "pictures": []}
    system = request.get("system")
    said["to"].append(text_in(parts_of(system)))
    for message in request["messages"]:
        parts = parts_of(message.get("content"))
        if message["role"] == "tool":
            said["results"].append((message["tool_call_id"], text_in(parts)))
            continue
        said["by" if message["role"] == "assistant" else "to"].append(text_in(parts))
        said["pictures"] += pictures_in(parts)
        for part in parts:
            if part["type"] == "tool_use":
                said["calls"].append((part["id"], part["name"], part["input"]))
            elif part["type"] == "tool_result":
                inner = parts_of(part.get("content"))
                failed = "Error: " if part.get("is_error") else ""
                said["results"].append((part["tool_use_id"], failed + text_in(inner)))
                said["pictures"] += pictures_in(inner)
        for call in message.get("tool_calls") or ():
            function = call["function"]
            said["calls"].append((call["id"], function["name"], json.loads(function["arguments"] or "{}")))
    return {
        **said,
        "to": "".join("".join(said["to"]).split()),
        "by": "".join("".join(said["by"]).split()),
        "pictures": sorted(said["pictures"]),
    }


def names_in(request):
    """Of the tools that the client runs."""
    tools = [tool for tool in request.get("tools") or () if tool.get("type", "custom") in ("custom", "function")]
    return {(tool.get("function") or tool)["name"] for tool in tools}


KEPT = {"messages": ("text", "image", "tool_use", "tool_result"), "chat": ("text", "image_url", "refusal")}
"""Blocks and parts that are the same after the way; documents come back as files."""


def kinds_in(request):
    parts = [part for message in request["messages"] for part in parts_of(message.get("content"))]
    inner = [each for part in parts if part["type"] == "tool_result" for each in parts_of(part.get("content"))]
    return {part["type"] for part in [*parts, *inner, *parts_of(request.get("system"))]}


@pytest.mark.parametrize("client", MODELS)
def test_recorded_requests_say_the_same_after_they_have_been_responses(recordings, capsys, client):
    tried = 0
    for recording in of(recordings, client):
        before = json.loads(recording.body)
        if not kinds_in(before) <= {*KEPT[client], "thinking", "redacted_thinking"}:
            continue
        try:
            there = through(client, "responses", "gpt-5.2", recording.body)
            again = through("responses", client, MODELS[client], there.body)
        except EdgeError:
            continue
        after = json.loads(again.body)
        said = said_in(after)
        said["to"] = said["to"].replace("(nocontent)", "")  # an empty turn, where two others would meet
        assert said == said_in(before)
        if not isinstance(before.get("tool_choice"), dict):
            assert names_in(before) <= names_in(after)
        for limit in ("max_tokens", "max_completion_tokens"):
            if before.get(limit, 0) >= 16:
                assert before[limit] == after.get("max_tokens") or before[limit] == after.get("max_completion_tokens")
        tried += 1
    assert tried > 40
    with capsys.disabled():
        print(f"\n{tried} requests of {client} by Responses and back")


def test_a_thought_of_openais_is_the_same_after_the_way():
    """Sealed for a client of messages, opened for Responses: there and back it is the item that it was."""
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    turns = [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "redacted_thinking", "data": SEAL.reasoning(item)},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": [1, 2.5, "x"]}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]},
    ]
    tools = [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    body = json.dumps({"model": "x", "max_tokens": 99, "messages": turns, "tools": tools}).encode()
    there = through("messages", "responses", "gpt-6-astra", body)
    assert item in json.loads(there.body)["input"]
    again = through("responses", "messages", "claude-opus-5", there.body)
    assert again.dropped == ("input.reasoning", "input.phase")
    assert said_in(json.loads(again.body)) == said_in(json.loads(body))
