"""Whose turn it is: a conversation of OpenAI's in Anthropic's turns, in its order."""

from __future__ import annotations

import pytest

from tests.unit.translating import call, messages


def said(request):
    """Who says what, in order: texts, and the types of what is none."""
    return [
        (message["role"], *(block.get("text", block["type"]) for block in message["content"]))
        for message in request["messages"]
    ]


SYSTEM, ASSISTANT = {"role": "system", "content": "be brief"}, {"role": "assistant", "content": "Yes."}
HI, AND = {"role": "user", "content": "hi"}, {"role": "user", "content": "and?"}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": ""}
CALLED = {"role": "assistant", "content": None, "tool_calls": [call("c1", arguments="")]}
EMPTY = {"role": "user", "content": ""}
NONE = "(no content)"


@pytest.mark.parametrize(
    ("history", "expected", "newer"),
    [
        ([HI, SYSTEM, AND], [("user", "hi", "be brief"), ("user", "and?")], None),
        ([HI, ASSISTANT, SYSTEM, AND], [("user", "hi"), ("assistant", "Yes."), ("user", "be brief", "and?")], None),
        ([HI, SYSTEM], [("user", "hi", "be brief")], [("user", "hi"), ("system", "be brief")]),
        (
            [HI, SYSTEM, {"role": "developer", "content": "and kind"}, ASSISTANT, AND],
            [("user", "hi", "be brief", "and kind"), ("assistant", "Yes."), ("user", "and?")],
            [("user", "hi"), ("system", "be brief", "and kind"), ("assistant", "Yes."), ("user", "and?")],
        ),
        ([HI, ASSISTANT, SYSTEM], [("user", "hi"), ("assistant", "Yes."), ("user", "be brief")], None),
        (
            [EMPTY, CALLED, RESULT, SYSTEM, {"role": "developer", "content": "and kind"}, AND],
            [("user", NONE), ("assistant", "tool_use"), ("user", "tool_result", "be brief", "and kind", "and?")],
            None,
        ),
        (
            [HI, CALLED, SYSTEM, RESULT],
            [("user", "hi"), ("assistant", "tool_use"), ("user", "tool_result", "be brief")],
            [("user", "hi"), ("assistant", "tool_use"), ("user", "tool_result"), ("system", "be brief")],
        ),
        ([ASSISTANT, AND], [("user", NONE), ("assistant", "Yes."), ("user", "and?")], None),
        (
            [HI, ASSISTANT, EMPTY, {"role": "assistant", "content": "Well."}, AND],
            [("user", "hi"), ("assistant", "Yes."), ("user", NONE), ("assistant", "Well."), ("user", "and?")],
            None,
        ),
        ([HI, ASSISTANT, EMPTY], [("user", "hi"), ("assistant", "Yes."), ("user", NONE)], None),
        ([HI, {"role": "assistant", "content": ""}, AND], [("user", "hi"), ("user", "and?")], None),
    ],
)
def test_what_is_said_in_the_middle_stays_there_and_nobody_says_nothing(history, expected, newer):
    for model, wanted in (("claude-sonnet-4-5", expected), ("claude-opus-5-5", newer or expected)):
        request, result = messages(model, messages=history)
        assert said(request) == wanted
        assert "system" not in request
        assert result.dropped == ()
        for turn in request["messages"]:
            assert all(block["type"] != "text" or block["text"].strip() for block in turn["content"])


def test_calls_without_arguments_and_results_without_content_are_what_they_are():
    request, _ = messages(messages=[HI, CALLED, RESULT])
    assert request["messages"][1]["content"][0]["input"] == {}
    assert request["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": ""}]


@pytest.mark.parametrize(
    "blank",
    [
        {"role": "user", "content": "", "cache_control": {"type": "ephemeral"}},
        {"role": "user", "content": [{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}]},
        {"role": "system", "content": [{"type": "text", "text": " ", "cache_control": {"type": "ephemeral"}}]},
    ],
)
def test_the_marker_of_blank_text_goes_to_what_stands_before_it(blank):
    request, _ = messages(messages=[HI, ASSISTANT, blank, AND])
    marked = [block for turn in request["messages"] for block in turn["content"] if "cache_control" in block]
    assert [block["text"] for block in marked] == ["Yes."]
