"""There and back: what a request or a response says is the same after it has gone through another API."""

from __future__ import annotations

import json
import re

import pytest

from edge.dialects.openai_to_anthropic import JSON_INSTRUCTION
from edge.dialects.translators import TRANSLATORS
from edge.errors import EdgeError
from tests.unit.responses_back import SEAL, context, opened
from tests.unit.test_responses_recordings import of
from tests.unit.translating import NOW

PAIRS = pytest.mark.parametrize(("api", "model"), [("messages", "claude-opus-5"), ("chat", "gpt-4o")])


def back(api, body, model="gpt-5.2"):
    """What went to another API, as a request of Responses again."""
    made = TRANSLATORS[api, "responses"].opens(model)
    made.context.seal = SEAL
    return json.loads(made.at_once(body).body)


def parts_of(content):
    return content if isinstance(content, list) else [{"type": "input_text", "text": content or ""}]


def text_in(parts):
    return "".join(part.get("text") or part.get("refusal") or "" for part in parts)


def told(request):
    """What a conversation says, but for how its messages are cut: what anybody said to the model and it to them, its calls,
    their results, and pictures.
    """
    items = request["input"]
    items = [{"role": "user", "content": items}] if isinstance(items, str) else items
    said = {"to": request.get("instructions") or "", "by": ""}
    calls, results, pictures = [], {}, []
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            parts = parts_of(item["content"])
            said["by" if item["role"] == "assistant" else "to"] += text_in(parts)
            pictures += [part["image_url"] for part in parts if part["type"] == "input_image"]
        elif kind == "function_call":
            calls.append((item["call_id"], item["name"], json.loads(item["arguments"] or "{}")))
        elif kind == "function_call_output":
            parts = parts_of(item["output"])
            results[item["call_id"]] = text_in(parts)
            pictures += [part["image_url"] for part in parts if part["type"] == "input_image"]
    return {**{who: "".join(text.split()) for who, text in said.items()}, "calls": calls, "results": results} | {
        "pictures": sorted(pictures)
    }


@PAIRS
def test_recorded_requests_say_the_same_after_they_have_been_there(recordings, capsys, api, model):
    tried = 0
    for recording in of(recordings, "responses"):
        request = json.loads(recording.body)
        kinds = (
            {item.get("type", "message") for item in request["input"]} if isinstance(request["input"], list) else set()
        )
        if not kinds <= {"message", "function_call", "function_call_output", "reasoning", "web_search_call"}:
            continue  # what becomes something else on the way
        if {tool["type"] for tool in request.get("tools") or ()} - {"function"}:
            continue
        try:
            there = opened(api, model).at_once(recording.body)
        except EdgeError:
            continue
        again = back(api, there.body)
        before, after = told(request), told(again)
        # What a result shows beside text is shown by the user of chat completions, behind a line that says so.
        after["to"] = re.sub(r"\[Fromtheresultoftoolcall\w+:\]", "", after["to"])
        after["to"] = after["to"].replace("".join(JSON_INSTRUCTION.split()), "")
        if before["calls"] and not request.get("tools"):
            again.pop("tools", None)  # Anthropic wants those of the history defined
        assert after == before
        named = {tool["name"] for tool in request.get("tools") or ()}
        if not isinstance(request.get("tool_choice"), dict):  # of those that are allowed alone the others stay behind
            assert named <= {tool["name"] for tool in again.get("tools") or ()}
        tried += 1
    assert tried > 60
    with capsys.disabled():
        print(f"\n{tried} requests by {api} and back")


def phases_in(request):
    return [item.get("phase") for item in request["input"] if item.get("role") == "assistant"]


@PAIRS
def test_phases_of_recorded_conversations_are_the_same_after_they_have_been_there(recordings, api, model):
    found = []
    for recording in of(recordings, "responses"):
        if b'"phase"' not in recording.body:
            continue
        try:
            there = opened(api, model).at_once(recording.body)
        except EdgeError:
            continue
        before = phases_in(json.loads(recording.body))
        after = phases_in(back(api, there.body, "gpt-5.6"))
        assert [is_ for is_, was in zip(after, before, strict=True) if was] == [was for was in before if was]
        found += before
    assert {"commentary", "final_answer"} <= set(found)


def read(response):
    items = response["output"]
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    usage = response["usage"]
    return {
        "text": "".join(part.get("text", "") for part in parts),
        "refusal": "".join(part.get("refusal", "") for part in parts),
        "calls": [
            (item["call_id"], item["name"], json.loads(item["arguments"]))
            for item in items
            if item["type"] == "function_call"
        ],
        "status": response["status"],
        "details": response["incomplete_details"],
        "counts": (usage["input_tokens"], usage["output_tokens"], usage["output_tokens_details"]["reasoning_tokens"]),
        "cached": usage["input_tokens_details"]["cached_tokens"],
    }


@PAIRS
def test_recorded_responses_say_the_same_after_they_have_been_there(recordings, capsys, api, model):
    tried = thoughts = 0
    for recording in of(recordings, "responses"):
        if recording.status != 200 or recording.is_stream:
            continue
        response = json.loads(recording.answer)
        kinds = {item["type"] for item in response.get("output") or ()}
        if response.get("status") not in ("completed", "incomplete") or not kinds <= {
            "message",
            "function_call",
            "reasoning",
        }:
            continue
        if not response["usage"]["input_tokens"]:
            continue  # nobody has counted: that becomes an estimate
        there = TRANSLATORS[api, "responses"].answer(recording.answer, context(), NOW)
        again = json.loads(TRANSLATORS["responses", api].answer(there, context(), NOW))
        assert read(again) == read(response)
        tried += 1
        if api == "messages":
            sealed = [item["encrypted_content"] for item in again["output"] if item["type"] == "reasoning"]
            blocks = [SEAL.open_thinking(each) for each in sealed]
            found = [SEAL.open_reasoning(block.get("data") or block.get("signature")) for block in blocks]
            wanted = [
                item for item in response["output"] if item["type"] == "reasoning" and item.get("encrypted_content")
            ]
            assert [(item["id"], item["encrypted_content"]) for item in found if item] == [
                (item["id"], item["encrypted_content"]) for item in wanted
            ]
            thoughts += len(wanted)
    assert tried > 30
    with capsys.disabled():
        print(f"\n{tried} responses by {api} and back, with {thoughts} encrypted thoughts")
