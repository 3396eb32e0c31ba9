"""What a provider keeps means nothing to another: requests that go on with it are refused, and say so by name."""

from __future__ import annotations

import json

import pytest

from edge.dialects import anthropic, openai
from edge.dialects.tokens import estimate_tokens
from edge.errors import InvalidValue, UnsupportedParameter
from tests.unit.translating import CUSTOM, USER, chat, messages

FIELDS = [
    *("thread", "thread_id", "container", "container_id", "conversation", "conversation_id", "context_id"),
    *("previous_response_id", "previous_message_id", "previous_interaction_id", "assistant_id"),
]
TOLD = {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}
BILLING = "x-anthropic-billing-header: cc_version=2.1.220.134; cc_entrypoint=cli; cch=eb6c6;"


@pytest.mark.parametrize("translate", [chat, messages])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_goes_on_with_a_conversation_is_refused_by_name(translate, strict, field):
    with pytest.raises(UnsupportedParameter, match=f"'{field}'") as error:
        translate(strict=strict, **{field: {"id": "x"}})
    assert error.value.param == field


@pytest.mark.parametrize("translate", [chat, messages])
@pytest.mark.parametrize("value", [None, False])
def test_what_is_not_given_is_not_refused(translate, value):
    translate(**dict.fromkeys(FIELDS, value))


@pytest.mark.parametrize("field", ["contexts", "thread_name", "context_management", "conversation_style", "previous"])
def test_fields_that_only_sound_alike_are_dropped(field):
    assert chat(**{field: "x"})[1].dropped == (field,)


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "m"}, {}])
def test_a_thread_is_told_first_and_in_anthropics_words(thread):
    with pytest.raises(UnsupportedParameter) as error:
        chat(container="c", thread=thread)
    told = json.loads(anthropic.error_body(error.value, "r"))
    assert told["error"].pop("message")
    assert told == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "details": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
        },
        "request_id": "r",
    }
    told = json.loads(openai.error_body(error.value))["error"]
    assert (told["type"], told["param"], told["code"]) == ("invalid_request_error", "thread", "unsupported_parameter")


def test_a_request_for_a_compaction_is_refused():
    with pytest.raises(InvalidValue) as error:
        chat(compaction={"type": "x"})
    assert error.value.param == "compaction"


def test_a_compaction_stands_for_what_was_said():
    change = {"type": "tool_addition", "tool": CUSTOM}
    block = {"type": "compaction", "content": "They spoke of ships.", "signature": "s", "tool_changes": [change]}
    request, result = chat(messages=[{"role": "assistant", "content": [block]}, USER])
    assert request["messages"] == [{"role": "assistant", "content": "They spoke of ships."}, USER]
    assert request["tools"][0]["function"]["name"] == "look"
    assert result.dropped == ()
    failed = {"type": "compaction", "content": None}
    assert chat(messages=[{"role": "assistant", "content": [failed]}, USER])[0]["messages"] == [USER]


def test_an_answer_in_sound_that_another_provider_keeps_is_refused():
    with pytest.raises(InvalidValue) as error:
        messages(messages=[USER, {"role": "assistant", "audio": {"id": "audio_1"}}, USER])
    assert error.value.param == "messages[1].audio"


class TestClaudeCodesBillingLine:
    @pytest.mark.parametrize(
        "system",
        [
            [{"type": "text", "text": BILLING}, TOLD],
            [{"type": "text", "text": BILLING.replace("eb6c6", "00000")}, TOLD],
            [{**TOLD, "text": f"{BILLING}\nYou are Claude Code."}],
        ],
    )
    def test_openai_gets_what_it_would_without(self, system):
        request, result = chat(system=system)
        assert request == chat(system=[TOLD])[0]
        assert result.dropped == ("cache_control",)
        assert estimate_tokens({"system": system}) == estimate_tokens({"system": [TOLD]})

    def test_a_string_loses_its_first_line(self):
        assert chat(system=f"{BILLING}\nYou are Claude Code.")[0] == chat(system="You are Claude Code.")[0]

    @pytest.mark.parametrize("system", [BILLING, [{"type": "text", "text": BILLING}]])
    def test_a_system_of_nothing_else_is_none(self, system):
        assert [message["role"] for message in chat(system=system)[0]["messages"]] == ["user"]

    @pytest.mark.parametrize("system", [f"You said:\n{BILLING}", [TOLD, {"type": "text", "text": BILLING}]])
    def test_elsewhere_it_is_the_users(self, system):
        assert BILLING in json.dumps(chat(system=system)[0]["messages"][0])
        said = [{"role": "user", "content": BILLING}]
        assert chat(messages=said)[0]["messages"] == said
