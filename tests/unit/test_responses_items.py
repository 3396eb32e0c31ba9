"""Whatever items a client sends: a request that the other SDK could have sent, or a 400 that names a field."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import EdgeError
from tests.unit.responses_back import SEAL, sent, whole
from tests.unit.test_responses_answers import completion
from tests.unit.translating import PDF, PNG

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
WORDS = st.text(st.sampled_from("abcXYZ_-09"), min_size=1, max_size=70)
IDS = st.sampled_from(["call_1", "call_2", "toolu_3", "with space", "x" * 64])
PARTS = st.one_of(
    st.builds(lambda text: {"type": "input_text", "text": text}, TEXTS),
    st.just({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "high"}),
    st.just({"type": "input_image", "image_url": "https://a/b.png"}),
    st.just({"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}),
)
SAID = st.one_of(
    st.builds(lambda text: {"type": "output_text", "text": text, "annotations": []}, TEXTS),
    st.builds(lambda text: {"type": "refusal", "refusal": text}, TEXTS),
)
ITEMS = st.one_of(
    st.builds(
        lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "system", "developer"]), TEXTS
    ),
    st.builds(lambda parts: {"type": "message", "role": "user", "content": parts}, st.lists(PARTS, max_size=3)),
    st.builds(lambda parts: {"role": "assistant", "content": parts}, st.lists(SAID, max_size=3)),
    st.builds(
        lambda thinking: {
            "type": "reasoning",
            "summary": [],
            "encrypted_content": SEAL.thinking({"type": "thinking", "thinking": thinking, "signature": "s"}),
        },
        TEXTS,
    ),
    st.just({"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}], "encrypted_content": "gAAA"}),
    st.builds(
        lambda call, name, key: {
            "type": "function_call",
            "call_id": call,
            "name": name,
            "arguments": json.dumps({key: 1}),
        },
        *(IDS, WORDS, TEXTS),
    ),
    st.builds(
        lambda call, text: {"type": "custom_tool_call", "call_id": call, "name": "apply", "input": text}, IDS, TEXTS
    ),
    st.builds(
        lambda call, output: {"type": "function_call_output", "call_id": call, "output": output},
        *(IDS, st.one_of(TEXTS, st.lists(PARTS, max_size=3))),
    ),
    st.just({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}),
    st.sampled_from([{"type": "item_reference", "id": "x"}, {"type": "mcp_thing"}, {}, None, 7]),
)


@pytest.mark.once
@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(ITEMS, max_size=8), st.sampled_from([("messages", "claude-opus-4-6"), ("chat", "llama-3")]))
def test_any_items(items, target):
    try:
        body, _ = sent(*target, input=items)
    except EdgeError as error:
        assert error.status == 400
        assert (error.param or "").startswith("input")
        return
    called = [item["call_id"] for item in items if item["type" if "type" in item else "role"].endswith("tool_call")]
    called += [item["call_id"] for item in items if item.get("type") == "function_call"]
    if target[0] == "chat":
        found = [call for message in body["messages"] for call in message.get("tool_calls", ())]
        results = [message for message in body["messages"] if message["role"] == "tool"]
    else:
        blocks = [block for turn in body["messages"] for block in turn["content"]]
        found = [block for block in blocks if block["type"] == "tool_use"]
        results = [block for block in blocks if block["type"] == "tool_result"]
    assert len(found) == len(called)
    assert len(results) == len([item for item in items if item.get("type") == "function_call_output"])


CALLS = st.lists(
    st.builds(
        lambda number, name, key, value: {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps({key: value})},
        },
        *(st.integers(0, 1 << 30), st.sampled_from(["look", "find"]), TEXTS, st.integers() | TEXTS),
    ),
    max_size=3,
    unique_by=lambda call: call["id"],
)


@pytest.mark.once
@settings(max_examples=100)
@given(TEXTS, CALLS)
def test_what_a_chat_model_said_comes_back_to_it_as_it_was(text, calls):
    """A chat completion to a response, whose items are sent with the next turn, and are a message again."""
    message = {"content": text or None} | ({"tool_calls": calls} if calls else {})
    response = whole("chat", completion("tool_calls" if calls else "stop", **message))
    results = [{"type": "function_call_output", "call_id": call["id"], "output": "42"} for call in calls]
    body, _ = sent("chat", "llama-3", input=[{"role": "user", "content": "hi"}, *response["output"], *results])
    said = [each for each in body["messages"] if each["role"] == "assistant"]
    assert said == ([{"role": "assistant", **message}] if text or calls else [])
