"""What a provider's first word behind a 101 refuses, and what is none of our business."""

from __future__ import annotations

import json

import pytest

from edge.sockets.peer import ABNORMAL, NO_STATUS, Closed, Message
from edge.sockets.word import is_of_the_model, refusal_in, told_by


def event(**fields):
    return Message(json.dumps({"type": "error", **fields}).encode())


KEY = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "no"}


@pytest.mark.parametrize(
    ("word", "status", "ours"),
    [
        (event(error=KEY), 401, True),
        (event(error=KEY, status=401), 401, True),
        (event(status=403, error={"message": "no"}), 403, True),
        (event(error={"type": "insufficient_quota", "code": None, "message": "no"}), 429, True),
        (event(error={"code": "billing_hard_limit_reached", "message": "no"}), 429, True),
        (event(error={"code": "rate_limit_exceeded", "message": "no"}), 429, False),
        (event(error={"type": "server_error", "code": None, "message": "no"}), 500, False),
        (event(status=529, error={"message": "busy"}), 529, False),
        (event(type="response.failed", response={"error": {"code": "server_error", "message": "no"}}), 500, False),
        (Closed(3000, "invalid_request_error.invalid_api_key"), 401, True),
        (Closed(4001, "insufficient_quota"), 429, True),
        (Closed(1008, "rate_limit_exceeded: slow down"), 429, False),
        (Closed(1011), 500, False),
        (Closed(1012, "restart"), 503, False),
        (Closed(1013), 503, False),
        (Closed(ABNORMAL), 502, False),
    ],
)
def test_what_another_may_do_better_is_a_refusal(word, status, ours):
    refusal = refusal_in(word)
    assert (refusal.status, refusal.ours) == (status, ours)
    assert set(json.loads(refusal.body)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "word",
    [
        None,
        Message(b'{"type":"session.created","session":{}}'),
        Message(b'{"type":"response.output_text.delta","delta":"\\"type\\":\\"error\\" invalid_api_key"}'),
        Message(b"\x00\x01", False),
        Message(b"no json"),
        Message(b"[]"),
        event(status=400, error={"code": "invalid_value", "message": "what the client said is wrong"}),
        event(error={"code": "model_not_found", "message": "no such model"}),
        event(error={"code": "invalid_api_key", "message": "x" * 70_000}),
        event(type="response.completed", error=KEY),
        Closed(1000),
        Closed(NO_STATUS),
        Closed(4002, "enough"),
        Closed(1000, "invalid_value"),
    ],
)
def test_all_else_is_for_the_client(word):
    assert refusal_in(word) is None


@pytest.mark.parametrize(
    "word",
    [
        event(),
        event(error="no"),
        event(error=[1]),
        event(error={"code": 7, "message": 8}, status="x"),
        event(error=None, status=10**30),
        event(type="response.failed"),
        event(type="response.failed", response=7),
        event(type="response.failed", response={"error": None}),
    ],
)
def test_an_error_of_any_form_has_a_status_and_a_body_that_can_be_read(word):
    refusal = told_by(word)
    assert 400 <= refusal.status < 600
    assert isinstance(json.loads(refusal.body), dict)


@pytest.mark.parametrize(
    ("kind", "whether"),
    [
        ("response.created", False),
        ("response.in_progress", False),
        ("response.output_item.added", True),
        ("error", True),
    ],
)
def test_the_news_that_a_response_has_begun_is_nothing_of_the_model(kind, whether):
    assert is_of_the_model(Message(b'{"type":"%b"}' % kind.encode())) == whether
