"""An error that a client acts on keeps its code, its numbers and its meaning, whole and inside a stream."""

from __future__ import annotations

import json

import pytest

from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from tests.unit.translating import PAIRS

LIMIT = "This model's maximum context length is"
SUM = "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens` and try again"
REDUCE = "Please reduce the length of the messages"

# Of OpenAI's dialect: status, error; of Anthropic's: status, type, message ("" for the same), error_code.
TO_ANTHROPIC = [
    (
        400,
        {"message": f"{LIMIT} 128000 tokens. However, your messages resulted in 130000 tokens. {REDUCE}.", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"},
        (400, "invalid_request_error", "prompt is too long: 130000 tokens > 128000 maximum", "context_length_exceeded"),
    ),
    (
        400,
        {"message": f"Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300007 tokens. {REDUCE}.", "type": "invalid_request_error", "code": "context_length_exceeded"},
        (400, "invalid_request_error", "prompt is too long: 300007 tokens > 272000 maximum", "context_length_exceeded"),
    ),
    (
        400,
        {"message": f"{LIMIT} 200000 tokens. However, you requested 209573 tokens (188240 in the messages, 21333 in the completion). {REDUCE} or completion.", "code": "context_length_exceeded"},
        (400, "invalid_request_error", SUM, "context_length_exceeded"),
    ),
    (
        400,
        {"message": f"{LIMIT} 131072 tokens. However, you requested about 150000 tokens (141808 of text input, 8192 in the output).", "code": 400},
        (400, "invalid_request_error", "prompt is too long: 141808 tokens > 131072 maximum", "context_length_exceeded"),
    ),
    (
        400,
        {"message": f"'max_tokens' is too large: 32000. {LIMIT} 32768 tokens and your request has 5000 input tokens (32000 > 32768 - 5000).", "type": "BadRequestError", "code": 400},
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 5000 + 32000 > 32768, decrease input length or `max_tokens` and try again", "context_length_exceeded"),
    ),
    (
        400,
        {"code": 400, "type": "exceed_context_size_error", "message": "request (13392 tokens) exceeds the available context size (8192 tokens), try increasing it", "n_prompt_tokens": 13392, "n_ctx": 8192},
        (400, "invalid_request_error", "prompt is too long: 13392 tokens > 8192 maximum", "context_length_exceeded"),
    ),
    (
        400,
        {"message": "Your input exceeds the context window of this model.", "type": "invalid_request_error", "code": "context_length_exceeded"},
        (400, "invalid_request_error", "prompt is too long: Your input exceeds the context window of this model.", "context_length_exceeded"),
    ),
    (
        429,
        {"message": "You exceeded your current quota, please check your plan and billing details.", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"},
        (402, "billing_error", "", None),
    ),
    (
        429,
        {"message": "You exceeded your current quota, please check your plan and billing details.", "code": 429, "status": "RESOURCE_EXHAUSTED"},
        (429, "rate_limit_error", "", None),
    ),
    (
        429,
        {"message": "Rate limit reached for gpt-5: Limit 30000, Used 29000, Requested 2000. Please try again in 2s.", "type": "tokens", "param": None, "code": "rate_limit_exceeded"},
        (429, "rate_limit_error", "", None),
    ),
    (
        400,
        {"message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "type": "invalid_request_error", "code": "invalid_prompt"},
        (400, "invalid_request_error", "", "invalid_prompt"),
    ),
    (
        400,
        {"message": "The response was filtered", "type": None, "param": "prompt", "code": "content_filter"},
        (400, "invalid_request_error", "", "content_filter"),
    ),
    (503, {"message": "The server is overloaded.", "type": "server_error", "code": None}, (529, "overloaded_error", "", None)),
    (500, {"message": "Slow.", "type": "server_error", "code": "server_is_overloaded"}, (529, "overloaded_error", "", None)),
    (404, {"message": "The model `x` does not exist.", "type": "invalid_request_error", "code": "model_not_found"}, (404, "not_found_error", "", None)),
    (413, {"message": "Too large.", "type": "invalid_request_error", "code": "request_too_large"}, (413, "request_too_large", "", None)),
    (408, {"message": "Timeout.", "type": "server_error", "code": "timeout"}, (408, "timeout_error", "", None)),
    (
        400,
        {"message": "Unsupported value: 'none'.", "type": "invalid_request_error", "param": "reasoning_effort", "code": "unsupported_value"},
        (400, "invalid_request_error", "", "unsupported_value"),
    ),
    (400, {"message": "Odd.", "code": "<b>x\n"}, (400, "invalid_request_error", "", None)),
    (400, {"message": "Odd.", "code": "x" * 500}, (400, "invalid_request_error", "", None)),
]  # fmt: skip

# Of Anthropic's dialect: status, error; of OpenAI's: status, type, message ("" for the same), param, code.
TO_OPENAI = [
    (
        400,
        {"type": "invalid_request_error", "message": "prompt is too long: 210483 tokens > 200000 maximum"},
        (400, "invalid_request_error", f"{LIMIT} 200000 tokens. However, your messages resulted in 210483 tokens. {REDUCE}.", "messages", "context_length_exceeded"),
    ),
    (
        400,
        {"type": "invalid_request_error", "message": SUM},
        (400, "invalid_request_error", f"{LIMIT} 200000 tokens. However, you requested 209573 tokens (188240 in the messages, 21333 in the completion). {REDUCE} or completion.", "messages", "context_length_exceeded"),
    ),
    (
        413,
        {"type": "request_too_large", "message": "Prompt is too long"},
        (400, "invalid_request_error", "", "messages", "context_length_exceeded"),
    ),
    (
        400,
        {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."},
        (402, "insufficient_quota", "", None, "insufficient_quota"),
    ),
    (402, {"type": "billing_error", "message": "m"}, (402, "insufficient_quota", "", None, "insufficient_quota")),
    (
        400,
        {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
        (400, "invalid_request_error", "", None, "content_policy_violation"),
    ),
    (429, {"type": "rate_limit_error", "message": "50 requests per minute"}, (429, "rate_limit_error", "", None, "rate_limit_exceeded")),
    (529, {"type": "overloaded_error", "message": "Overloaded"}, (503, "server_error", "", None, "overloaded")),
    (404, {"type": "not_found_error", "message": "model: x"}, (404, "invalid_request_error", "", None, "model_not_found")),
    (413, {"type": "request_too_large", "message": "m"}, (413, "invalid_request_error", "", None, "request_too_large")),
    (504, {"type": "timeout_error", "message": "m"}, (504, "server_error", "", None, "timeout")),
    (500, {"type": "api_error", "message": "m"}, (500, "server_error", "", None, None)),
    (
        400,
        {"type": "invalid_request_error", "message": "m", "details": {"error_code": "image_dimensions_too_large", "max": 8000}},
        (400, "invalid_request_error", "", None, "image_dimensions_too_large"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("status", "error", "expected"), TO_ANTHROPIC)
def test_openais_errors_reach_anthropics_clients(status, error, expected):
    expected_status, kind, message, code = expected
    fields = {"type": kind, "message": message or error["message"]}
    if code is not None:
        fields["details"] = {"error_code": code}
    body = json.dumps({"error": error}).encode()
    got, answer = TRANSLATORS["messages", "chat"].error(status, body, "req_1")
    assert (got, json.loads(answer)) == (expected_status, {"type": "error", "error": fields, "request_id": "req_1"})


@pytest.mark.parametrize(("status", "error", "expected"), TO_OPENAI)
def test_anthropics_errors_reach_openais_clients(status, error, expected):
    expected_status, kind, message, param, code = expected
    fields = {"message": message or error["message"], "type": kind, "param": param, "code": code}
    body = json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()
    got, answer = TRANSLATORS["chat", "messages"].error(status, body, "")
    assert (got, json.loads(answer)) == (expected_status, {"error": fields})


TOLD = [row for row in TO_ANTHROPIC if row[1].get("type") and row[0] != 503]
"""What an event without a status can tell."""


@pytest.mark.parametrize(("status", "error", "expected"), TOLD)
def test_openais_errors_inside_a_stream_say_the_same(status, error, expected):
    stream = TRANSLATORS["messages", "chat"].stream(Context(request_id="req_1"), 0)
    stream.feed([(b"message", b'{"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]}')])
    out = stream.feed([(b"message", json.dumps({"error": error}).encode())])
    name, data = out.decode().split("\ndata: ", 1)
    assert name == "event: error"
    assert (
        json.loads(data)["error"]
        == json.loads(TRANSLATORS["messages", "chat"].error(status, json.dumps({"error": error}).encode(), "")[1])[
            "error"
        ]
    )
    assert stream.finish() == b""


@pytest.mark.parametrize(("status", "error", "expected"), TO_OPENAI)
def test_anthropics_errors_inside_a_stream_say_the_same(status, error, expected):
    body = json.dumps({"type": "error", "error": error}).encode()
    stream = TRANSLATORS["chat", "messages"].stream(Context(request_id="req_1"), 0)
    out = stream.feed([(b"error", body)])
    assert json.loads(out.removeprefix(b"data: ")) == json.loads(
        TRANSLATORS["chat", "messages"].error(status, body, "")[1]
    )
    assert b"[DONE]" not in out + stream.finish()


@pytest.mark.parametrize(
    ("status", "error"), [(status, error) for status, error, expected in TO_ANTHROPIC if expected[3]]
)
def test_codes_and_numbers_survive_both_ways(status, error):
    there, answer = TRANSLATORS["messages", "chat"].error(status, json.dumps({"error": error}).encode(), "req_1")
    back, answer = TRANSLATORS["chat", "messages"].error(there, answer, "")
    code = "context_length_exceeded" if "context" in str(error) else error["code"]
    assert (back, json.loads(answer)["error"]["code"]) == (status, code)


def test_secrets_are_in_no_error():
    error = {"message": "Incorrect key sk-proj-abcdefghijk", "code": "sk-proj-abcdefghijk"}
    for api in ("chat", "messages"):
        assert b"sk-proj" not in TRANSLATORS[PAIRS[api]].error(400, json.dumps({"error": error}).encode(), "")[1]
