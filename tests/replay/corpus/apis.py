"""Responses in every direction, what an account keeps, forms and batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.harness import answer
from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, MESSAGES, RESPONSES, body_for, compact

STREAM = {"stream": True}
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS: dict[str, list[dict[str, Any]]] = {
    CHAT: [{"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}],
    MESSAGES: [{"name": "look", "input_schema": PARAMETERS}],
    RESPONSES: [{"type": "function", "name": "look", "parameters": PARAMETERS, "strict": False}],
}
DIRECTIONS = {
    "chat-to-responses": (CHAT, "gpt-6-astra"),
    "messages-to-responses": (MESSAGES, "gpt-6-astra"),
    "responses-to-responses": (RESPONSES, "gpt-6-astra"),
    "responses-to-messages": (RESPONSES, "claude-sonnet-5"),
    "responses-to-chat": (RESPONSES, "openai/deepseek-chat"),
    "chat-to-messages": (CHAT, "claude-sonnet-5"),
    "messages-to-chat": (MESSAGES, "gpt-4o"),
}
RESULTS: dict[str, list[dict[str, Any]]] = {
    CHAT: [
        {"role": "user", "content": "look"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "nothing"},
    ],
    MESSAGES: [
        {"role": "user", "content": "look"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "nothing"}]},
    ],
    RESPONSES: [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "nothing"},
    ],
}
"""A conversation in which a tool was called."""
UNTRANSLATED: dict[str, dict[str, Any]] = {
    "previous": {"previous_response_id": "resp_1"},
    "background": {"background": True},
    "file-search": {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
    "shell": {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]},
    "metadata": {"metadata": {"a": "b"}, "truncation": "auto"},
}
STORED = b'{"id":"resp_1","object":"response","status":"completed","model":"gpt-6","output":[]}'
GONE = b'{"error":{"message":"Response with id \'resp_1\' not found.","type":"invalid_request_error","param":null,"code":null}}'
BATCH = b'{"id":"batch_1","object":"batch","status":"validating","input_file_id":"file-1"}'
MESSAGE_BATCH = b'{"id":"msgbatch_1","type":"message_batch","processing_status":"in_progress","results_url":null}'
ASKED_BY_ID = {
    "get": ("GET", "", STORED),
    "get-query": ("GET", "?include[]=reasoning.encrypted_content&stream=false", STORED),
    "delete": ("DELETE", "", b'{"id":"resp_1","object":"response","deleted":true}'),
    "cancel": ("POST", "/cancel", STORED),
    "input-items": ("GET", "/input_items?limit=2", b'{"object":"list","data":[],"has_more":false}'),
}
FORM = (
    b'--cut\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--cut\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"content-type: audio/wav\r\n\r\nRIFF\x00\xff\r\n--cut--\r\n"
)
FILE = (
    b'--cut\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--cut\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{"a":1}\r\n--cut--\r\n'
)
FORM_TYPE = "content-type: multipart/form-data; boundary=cut"
OURS = "x-edge-provider: openai"
USED = b'{"text":"hi","usage":{"type":"tokens","input_tokens":9,"output_tokens":2,"total_tokens":11}}'


def turned(path: str, model: str, more: dict[str, Any]):
    def play(p: Play) -> None:
        p.client().post(path, body_for(path, model, p.said, tools=TOOLS[path], **more))

    return play


def went_on(path: str, model: str):
    field = "input" if path == RESPONSES else "messages"

    def play(p: Play) -> None:
        p.client().post(path, body_for(path, model, p.said, tools=TOOLS[path], **{field: RESULTS[path]}))

    return play


def scripted(upstream: str, reply: bytes, method: str, target: str, body: bytes | None, *fields: str):
    def play(p: Play) -> None:
        p.script(upstream, reply)
        p.client().ask(method, target, body, *fields)

    return play


def cases() -> Iterator[Case]:
    for name, (path, model) in DIRECTIONS.items():
        yield Case("plain", f"apis/{name}", turned(path, model, {}))
        yield Case("plain", f"apis/{name}-stream", turned(path, model, STREAM))
        yield Case("plain", f"apis/{name}-went-on", went_on(path, model))
    for name, more in UNTRANSLATED.items():
        for setup in ("plain", "small"):
            body = compact({"model": "claude-sonnet-5", "input": "hi", "store": False, **more})

            def play(p: Play, body=body) -> None:
                p.client().post(RESPONSES, body)

            yield Case(setup, f"apis/responses-to-messages-{name}", play)
    for name, (method, behind, reply) in ASKED_BY_ID.items():
        target = f"/v1/responses/resp_1{behind}"
        fields = (OURS, "content-type: application/json") if method == "POST" else (OURS,)
        yield Case("plain", f"kept/{name}", scripted("openai", answer(reply), method, target, None, *fields))
        yield Case("plain", f"kept/{name}-gone", scripted("openai", answer(GONE, 404), method, target, None, *fields))
    compacted = answer(b'{"id":"cmp_1","object":"response.compaction","output":[]}')
    counted = answer(b'{"object":"response.input_tokens","input_tokens":7}')
    body = compact({"model": "gpt-6-astra", "input": "hi"})
    for name, reply in (("compact", compacted), ("input_tokens", counted)):
        yield Case("plain", f"kept/{name}", scripted("openai", reply, "POST", f"/v1/responses/{name}", body))
    for name, path in (("transcriptions", "audio/transcriptions"), ("no-form-here", "chat/completions")):
        yield Case("plain", f"forms/{name}", scripted("openai", answer(USED), "POST", f"/v1/{path}", FORM, FORM_TYPE))
    yield Case(
        "plain",
        "forms/file",
        scripted("openai", answer(b'{"id":"file-1"}'), "POST", "/v1/files", FILE, FORM_TYPE, OURS),
    )
    yield Case("plain", "forms/file-of-nobody", scripted("openai", answer(b"{}"), "POST", "/v1/files", FILE, FORM_TYPE))
    made = compact({"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"})
    yield Case("plain", "batches/make", scripted("openai", answer(BATCH), "POST", "/v1/batches", made, OURS))
    yield Case("plain", "batches/get", scripted("openai", answer(BATCH), "GET", "/v1/batches/batch_1", None, OURS))
    yield Case(
        "plain", "batches/list", scripted("openai", answer(b'{"data":[]}'), "GET", "/v1/batches?limit=1", None, OURS)
    )
    asked = {"custom_id": "a", "params": {"model": "claude-sonnet-5", "max_tokens": 9, "messages": []}}
    several = compact({"requests": [asked]})
    theirs = "x-edge-provider: anthropic"
    of_messages = f"{MESSAGES}/batches"
    yield Case(
        "plain", "batches/messages", scripted("anthropic", answer(MESSAGE_BATCH), "POST", of_messages, several, theirs)
    )
    yield Case(
        "plain",
        "batches/messages-get",
        scripted("anthropic", answer(MESSAGE_BATCH), "GET", f"{of_messages}/msgbatch_1", None, theirs),
    )
