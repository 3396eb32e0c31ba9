"""Errors, facts about models, schemas, estimates."""

from __future__ import annotations

import json
import re
from statistics import median

import pytest

from edge.dialects import models
from edge.dialects.models import anthropic_model, effort_for, openai_model
from edge.dialects.tokens import count_answer, estimate_tokens
from edge.dialects.translation import ToolNames, short_name
from edge.dialects.translators import TRANSLATORS
from edge.errors import InvalidRequest, InvalidValue
from tests.unit.translating import PAIRS, PNG, USER, to_anthropic

TABLE = [
    (400, "invalid_request_error", 400, "invalid_request_error", None),
    (401, "authentication_error", 401, "invalid_request_error", "invalid_api_key"),
    (402, "billing_error", 402, "insufficient_quota", "insufficient_quota"),
    (403, "permission_error", 403, "permission_error", None),
    (404, "not_found_error", 404, "invalid_request_error", "model_not_found"),
    (409, "conflict_error", 409, "invalid_request_error", None),
    (413, "request_too_large", 413, "invalid_request_error", "request_too_large"),
    (429, "rate_limit_error", 429, "rate_limit_error", "rate_limit_exceeded"),
    (500, "api_error", 500, "server_error", None),
    (504, "timeout_error", 504, "server_error", "timeout"),
    (529, "overloaded_error", 503, "server_error", "overloaded"),
]


@pytest.mark.parametrize(("status", "kind", "translated", "openai_type", "code"), TABLE)
def test_errors_have_the_status_type_and_code_of_the_other_side(status, kind, translated, openai_type, code):
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "m"}, "request_id": "req_1"}).encode()
    there, answer = TRANSLATORS["chat", "messages"].error(status, body, "")
    assert there == translated
    assert json.loads(answer) == {"error": {"message": "m", "type": openai_type, "param": None, "code": code}}
    back, answer = TRANSLATORS["messages", "chat"].error(there, answer, "req_2")
    assert back == status
    assert json.loads(answer) == {"type": "error", "error": {"type": kind, "message": "m"}, "request_id": "req_2"}


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_a_body_that_is_no_json_is_wrapped_shortened_and_freed_of_secrets(api):
    page = (
        b"<html><script>x()</script><h1>502 Bad Gateway</h1> key sk-ant-api03-abcdefgh Bearer abcdef1234 "
        + b"y " * 5000
    )
    status, body = TRANSLATORS[PAIRS[api]].error(502, page, "")
    message = json.loads(body)["error"]["message"]
    assert status == 502
    assert "502 Bad Gateway" in message
    assert len(message) < 400
    assert not any(word in message for word in ("<h1>", "x()", "sk-ant", "abcdef1234"))
    for odd in (b"", b"null", b"[]", b"\xff\xfe", b'{"error":null}', b'{"error":"plain"}', b"[" * 100_000):
        assert json.loads(TRANSLATORS[PAIRS[api]].error(500, odd, "")[1])["error"]["message"]


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_keys_are_taken_out_of_messages(api):
    body = json.dumps({"error": {"type": "x", "message": "Incorrect API key provided: sk-proj-abc*****xyz1."}}).encode()
    assert "sk-proj" not in TRANSLATORS[PAIRS[api]].error(401, body, "")[1].decode()


def test_models_are_known_in_every_platforms_spelling():
    for name in (
        "claude-opus-4-5-20251101",
        "us.anthropic.claude-opus-4-5-v1:0",
        "claude-opus-4.5",
        "anthropic/claude-opus-4-5@20251101",
    ):
        assert anthropic_model(name).efforts == ["low", "medium", "high"]
    assert openai_model("openai/gpt-4o-2024-08-06").openai
    assert not openai_model("llama-3").openai


def test_a_claude_of_tomorrow_gets_the_rules_of_today_and_a_stranger_the_mildest():
    assert not anthropic_model("claude-haiku-9").sampling
    assert anthropic_model("claude-haiku-9").thinking == "adaptive"
    assert anthropic_model("kimi-k2").sampling
    assert anthropic_model("kimi-k2").thinking == ""


def test_the_table_says_when_and_from_what_and_no_row_is_hidden():
    table = models.load()
    assert table.date >= "2026"
    assert all(source.startswith("https://") for source in table.sources)
    for rows, find in ((table.anthropic, anthropic_model), (table.openai, openai_model)):
        for row in rows:
            names = [re.sub(r"\[(.)[^]]*\]", r"\1", glob) for glob in row.match]
            assert any(find(name.replace("*", "")) == row or find(name.replace("*", "x")) == row for name in names)


HOT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "top_p": 0.9, "top_k": 5}


@pytest.mark.parametrize(
    ("version", "left"),
    [
        *(
            ("", {"temperature", "top_k"}),
            ("2023-06-01", {"temperature", "top_k"}),
            ("2026-10-20", {"temperature", "top_k"}),
        ),
        *(("2026-10-21", set()), ("2027-01-01", set()), ("x", {"temperature", "top_k"})),
    ],
)
def test_a_version_of_the_api_may_take_sampling_from_every_model(version, left):
    done = to_anthropic(json.dumps(HOT).encode(), "claude-sonnet-4-5", version=version)
    sampling = {"temperature", "top_p", "top_k"}
    assert sampling & json.loads(done.body).keys() == left
    assert set(done.dropped) == sampling - left
    if not left:
        with pytest.raises(InvalidRequest, match="'temperature', 'top_p', 'top_k'"):
            to_anthropic(json.dumps(HOT).encode(), "claude-sonnet-4-5", version=version, strict=True)


def test_a_version_of_the_api_may_take_documents_from_users_only():
    part = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}
    said = [
        {"role": "user", "content": [part]},
        {"role": "assistant", "content": [part]},
        {"role": "user", "content": "?"},
    ]
    body = json.dumps({"model": "m", "messages": said}).encode()
    assert len(json.loads(to_anthropic(body, "claude-sonnet-4-5", version="2023-06-01").body)["messages"]) == 3
    with pytest.raises(InvalidValue) as caught:
        to_anthropic(body, "claude-sonnet-4-5", version="2026-10-21")
    assert caught.value.param == "messages[1]"


@pytest.mark.parametrize(
    ("wanted", "known", "found"),
    [
        *(("high", ["low", "high"], "high"), ("xhigh", ["low", "high"], "high"), ("low", ["high"], "high")),
        *(("none", ["none", "low"], "none"), ("none", ["low"], "low"), ("minimal", ["none", "low"], "low")),
        *(("high", [], ""), ("odd", ["low"], "")),
    ],
)
def test_the_nearest_effort_is_found(wanted, known, found):
    assert effort_for(wanted, known) == found


def test_names_that_do_not_fit_are_changed_and_remembered():
    names = ToolNames()
    assert short_name("look_up-1", names) == "look_up-1"
    changed = short_name("look.up", names)
    assert names == {changed: "look.up"}
    assert short_name("look:up", names) != changed


def test_an_estimate_counts_every_kind_of_content():
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    plain = estimate_tokens(json.dumps({"model": "claude-sonnet-4-5", "messages": [USER]}).encode())
    assert 1 <= plain < 20
    for content, least in (
        ([{"type": "image", "source": source}], 1600),
        ([{"type": "document", "source": {**source, "media_type": "application/pdf"}}], 2000),
        ([{"type": "tool_result", "tool_use_id": "a", "content": "x" * 400}], 100),
        ([{"type": "tool_use", "id": "a", "name": "b", "input": {"a": "x" * 400}}], 100),
    ):
        assert (
            estimate_tokens({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": content}]}) >= least
        )
    assert estimate_tokens({"messages": [USER], "tools": [{"name": "a", "input_schema": {}}]}) > 500
    assert json.loads(count_answer(7)) == {"input_tokens": 7, "estimated": True}


def test_an_estimate_is_near_what_was_recorded(recordings):
    ratios = []
    for recording in recordings:
        if not recording.path.startswith("/v1/messages") or recording.status != 200 or recording.is_stream:
            continue
        answer = json.loads(recording.answer)
        usage = answer.get("usage", answer)
        counted = sum(usage.get(f"{kind}input_tokens") or 0 for kind in ("", "cache_creation_", "cache_read_"))
        if all(tool.get("type", "custom") == "custom" for tool in recording.request.get("tools", ())):
            ratios.append(estimate_tokens(recording.body) / counted)
    ratios.sort()
    assert len(ratios) > 100
    assert 0.9 < median(ratios) < 1.1
    low, high = ratios[len(ratios) // 10], ratios[-len(ratios) // 10]
    print(
        f"\n{len(ratios)} estimates by what was counted: median {median(ratios):.2f}, eight in ten {low:.2f} to {high:.2f}"
    )
