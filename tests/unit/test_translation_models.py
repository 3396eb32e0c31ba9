"""What is sent to each of OpenAI's models on chat completions is in the set that the model takes there."""

from __future__ import annotations

import pytest

from edge.dialects.models import LEVELS, load, openai_model
from edge.errors import UnsupportedParameter
from tests.unit.translating import CUSTOM, USER, chat

LOW = {"low", "medium", "high"}
HIGH = LOW | {"xhigh"}
TAKEN: dict[str, tuple[set[str], set[str] | None]] = {
    "gpt-6-astra": (HIGH, None),
    "gpt-6-astra-2026-09-03": (HIGH, None),
    "gpt-6.2-astra": (HIGH, None),
    "openai/gpt-6-astra": (HIGH, None),
    "gpt-6.1-sol": (HIGH, None),
    "gpt-6.2-sol": (HIGH, None),
    "gpt-6.1-terra": (HIGH | {"none"}, None),
    "gpt-6-sol": (HIGH | {"none"}, {"none"}),
    "gpt-6-luna": (HIGH | {"none"}, {"none"}),
    "gpt-6-of-tomorrow": (LOW, None),
    "gpt-5.6": (HIGH | {"none"}, {"none"}),
    "gpt-5.6-terra": (HIGH | {"none"}, {"none"}),
    "gpt-5.5": (HIGH | {"none"}, {"none"}),
    "gpt-5.4-mini": (HIGH | {"none"}, {"none"}),
    "gpt-5.2": (HIGH | {"none"}, HIGH | {"none"}),
    "gpt-5.1": (LOW | {"none"}, LOW | {"none"}),
    "gpt-5-mini": (LOW | {"minimal"}, LOW | {"minimal"}),
    "gpt-5-codex": (LOW, LOW),
    "gpt-5.3-codex": (LOW, LOW),
    "gpt-5.2-pro": ({"high"}, {"high"}),
    "gpt-5-chat-latest": (set(), set()),
    "gpt-6-chat-latest": (set(), set()),
    "o3-mini": (LOW, LOW),
    "o3-pro": (LOW, LOW),
    "gpt-4o": (set(), set()),
    "deepseek-chat": (set(), set()),
    "llama-3": (set(), set()),
}
"""What ``reasoning_effort`` may say without function tools and with them; None where those are refused."""
ASKED = [
    {},
    *({"output_config": {"effort": level}} for level in LEVELS),
    {"thinking": {"type": "disabled"}},
    {"thinking": {"type": "adaptive"}},
    {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
    *({"thinking": {"type": "enabled", "budget_tokens": tokens}} for tokens in (1024, 8192, 32000)),
]


def test_every_row_is_tried():
    rows = {id(row) for row in load().openai}
    assert {id(openai_model(name)) for name in TAKEN} == rows


def test_no_member_of_a_family_hides_behind_a_glob_for_all_of_it():
    """Only names that nobody has heard of meet the row for later families."""
    family = [name for name in TAKEN if "gpt-6" in name]
    later = openai_model("gpt-6-of-tomorrow")
    assert [name for name in family if openai_model(name) is later] == ["gpt-6-of-tomorrow"]


@pytest.mark.parametrize("model", TAKEN)
def test_an_effort_is_one_that_the_model_takes(model):
    bare, with_tools = TAKEN[model]
    for asked in ASKED:
        effort = chat(model, **asked)[0].get("reasoning_effort")
        assert effort is None or effort in bare, asked
        if with_tools is None:
            continue
        effort = chat(model, tools=[CUSTOM], **asked)[0].get("reasoning_effort")
        assert effort is None or effort in with_tools, asked


@pytest.mark.parametrize("model", [name for name, (_, with_tools) in TAKEN.items() if with_tools is None])
@pytest.mark.parametrize("asked", ASKED)
def test_tools_for_a_model_that_takes_none_are_refused_by_name(model, asked):
    with pytest.raises(UnsupportedParameter, match="takes no function tools") as error:
        chat(model, tools=[CUSTOM], **asked)
    assert error.value.param == "tools"
    assert model in error.value.message


def test_what_was_called_before_goes_without_tools():
    history = [
        USER,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]},
    ]
    request, _ = chat("gpt-6-astra", messages=history)
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "tool"]


def test_max_is_known_to_responses_alone():
    request, result = chat("gpt-6-astra", thinking={"type": "adaptive"}, output_config={"effort": "max"})
    assert (request["reasoning_effort"], result.dropped) == ("xhigh", ())
