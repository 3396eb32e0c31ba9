"""What a log may have of a provider's words, and whether a 404 is about the path."""

from __future__ import annotations

import json

import pytest

from edge.upstreams.refusal import is_unknown_path, words_of

NO_SUCH_PATH = {
    "empty": "",
    "nothing said": "{}",
    "Go": "404 page not found\n",
    "nginx": "<html><head><title>404 Not Found</title></head><body>nginx</body></html>",
    "vLLM": '{"detail":"Not Found"}',
    "OpenAI": '{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error","code":null}}',
    "Anthropic": '{"type":"error","error":{"type":"not_found_error","message":"Not Found"}}',
    "llama.cpp": '{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}',
    "Azure": '{"error":{"code":"404","message":"Resource not found"}}',
    "Kong": '{"message":"no Route matched with those values"}',
    "Spring": '{"timestamp":"2026-01-01","status":404,"error":"Not Found","path":"/v1/x"}',
    "Rails": '{"status":404,"error":"Not Found"}',
    "Express": "Cannot POST /v1/chat/completions",
    "code alone": '{"error":{"message":"Nothing here.","code":"unknown_url"}}',
}
NAMES_SOMETHING = {
    "OpenAI": '{"error":{"message":"The model `x` does not exist or you do not have access to it.","code":"model_not_found"}}',
    "Anthropic": '{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}',
    "vLLM": '{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}',
    "Ollama": '{"error":{"message":"model \\"x\\" not found, try pulling it first","type":"api_error"}}',
    "Azure": '{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}',
    "OpenRouter": '{"error":{"message":"No endpoints found that support tool use. To learn more, see the docs.","code":404}}',
    "Moonshot": '{"error":{"message":"Not found the model xyz or Permission denied","type":"resource_not_found_error"}}',
    "Gemini": '[{"error":{"code":404,"message":"models/x is not found for API version v1main","status":"NOT_FOUND"}}]',
    "response": '{"error":{"message":"Previous response with id \'resp_x\' not found.","code":"previous_response_not_found"}}',
    "nothing that says so": '{"error":{"message":"no"}}',
    "file": '{"type":"error","error":{"type":"not_found_error","message":"File not found: file_011"}}',
}


@pytest.mark.parametrize("body", NO_SUCH_PATH.values(), ids=NO_SUCH_PATH)
def test_a_path_that_is_not_there(body):
    assert is_unknown_path(404, body.encode())


@pytest.mark.parametrize("body", NAMES_SOMETHING.values(), ids=NAMES_SOMETHING)
def test_something_named_that_is_not_there(body):
    assert not is_unknown_path(404, body.encode())


def test_a_method_that_a_path_does_not_take():
    for body in (b"", b'{"detail":"Method Not Allowed"}', b"<h1>405</h1>"):
        assert is_unknown_path(405, body)


def said(message: str, request: str = "", secrets: tuple[str, ...] = (), **more: str) -> str:
    body = json.dumps({"error": {"message": message, **more}}).encode()
    return words_of(body, json.dumps({"messages": [{"content": request}]}).encode(), secrets)


def test_type_code_and_message_are_one_line():
    assert said("It is\nbusy.", type="server_error", code="x1") == "server_error: x1: It is busy."
    assert words_of(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', b"", ()) == (
        "overloaded_error: Overloaded"
    )
    assert words_of(b'{"detail":"no GPU"}', b"", ()) == "no GPU"
    assert words_of(b"<html><head><title>502 Bad Gateway</title></head><p>x</p></html>", b"", ()) == "502 Bad Gateway"
    assert words_of(b"plain \x1b[31mwords", b"", ()) == "plain [31mwords"
    assert words_of(b"", b"", ()) == ""
    assert words_of(b"\xff\xfe", b"", ()).isprintable()


def test_it_is_bounded():
    assert len(said("word " * 1000)) == 300
    assert len(said("x" * 100_000, type="y" * 100_000)) <= 300


@pytest.mark.parametrize(
    "message",
    [
        "Incorrect API key provided: sk-abc12***********wxyz.",
        "Incorrect API key provided: sk-proj-abcdefghWXYZ0123456789.",
        "The key upstream-own-value is not known.",
        "Header was authorization: Bearer abcdefWXYZ.12345",
        "Used api_key=abcdWXYZ.",
    ],
)
def test_keys_are_hidden(message):
    told = said(message, secrets=("upstream-own-value",))
    assert "***" in told
    for part in ("wxyz", "WXYZ", "upstream-own"):
        assert part not in told


def test_what_is_quoted_from_the_request_is_left_out():
    request = "tell nobody the plan of ACME but PROMPT-CANARY-77"
    told = said("Cannot serve 'nobody the plan of ACME', see PROMPT-CANARY-77 again.", request)
    assert told.startswith("Cannot serve ")
    assert "ACME" not in told
    assert "CANARY" not in told
    assert said("Mail to bob@example.com bounced.") == "Mail to *** bounced."
    assert said("The plan is known.", "x" * 300_000, type="server_error") == "server_error"
