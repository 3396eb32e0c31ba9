"""Whatever a client of Responses sends, or a provider of another API answers, is translated, refused, or the provider's
fault.
"""

from __future__ import annotations

import json
import random

import pytest

from edge.dialects.responses_items import ClientTool
from edge.dialects.sealed import Seal
from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from edge.errors import ClientError, UpstreamBadResponse
from edge.slices import finished
from tests.unit.test_translation_hostile import mutated
from tests.unit.translating import NOW, events_of

SEAL = Seal(b"a secret")
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "high"}
REQUEST = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}, PICTURE]},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "t"}],
            "encrypted_content": SEAL.thinking({"type": "thinking", "thinking": "t", "signature": "s"}),
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "n"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "o"}, PICTURE]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "y"},
        {"type": "tool_search_call", "call_id": "c3", "execution": "client", "arguments": {"q": 1}},
        {"type": "tool_search_output", "call_id": "c3", "execution": "client", "tools": [{"type": "function"}]},
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True},
        {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "s"}},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": {}}]},
        {"type": "tool_search", "execution": "client"},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
    "reasoning": {"effort": "high", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 100,
}
REQUEST["input"][-1]["tools"][0]["name"] = "g"
CITED = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}
SAID = {"content": "a", "reasoning_content": "t", "refusal": "no", "annotations": [CITED]}
CALLS = [{"index": n, "id": f"c{n}", "function": {"name": "patch", "arguments": '{"input":"x"}'}} for n in (0, 1)]
WEB = {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "c"}
STREAMS = {
    "chat": [
        {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": SAID}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": CALLS}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}},
        {"error": {"message": "x", "code": "y", "type": "z", "param": "p"}},
    ],
    "messages": [
        {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "t"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "hi"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": WEB}},
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t", "name": "patch"}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 2},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "m", "details": {"error_code": "a"}}},
        {"type": "message_stop"},
    ],
}
APIS = pytest.mark.parametrize("api", ["chat", "messages"])


@pytest.mark.once
@APIS
def test_any_request_is_translated_or_refused(api):
    rng = random.Random(1)
    translated = 0
    for _ in range(1000):
        body = json.dumps(mutated(rng, REQUEST)).encode()
        opened = TRANSLATORS["responses", api].opens(rng.choice(["gpt-5", "claude-opus-4-5", "local"]))
        opened.context.seal = SEAL
        try:
            if rng.random() < 0.5:
                opened.at_once(body)
            else:
                finished(TRANSLATORS["responses", api].large_request(opened, body))
        except ClientError as error:
            assert error.status == 400
            continue
        translated += 1
    assert 0 < translated < 1000


@pytest.mark.once
@APIS
def test_any_stream_is_translated_or_the_providers_fault(api):
    rng = random.Random(2)
    translated = 0
    for _ in range(1500):
        tools = {"patch": ClientTool("custom", "patch")} if rng.random() < 0.5 else {}
        translator = TRANSLATORS["responses", api].stream(Context(client_tools=tools), NOW)
        out = b""
        try:
            for event in STREAMS[api]:
                odd = mutated(rng, event) if rng.random() < 0.2 else event
                if rng.random() > 0.1:
                    out += translator.feed([(str(event.get("type", "message")).encode(), json.dumps(odd).encode())])
            out += translator.finish()
        except UpstreamBadResponse:
            continue
        events = [json.loads(data) for _, data in events_of(out)]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] in ("response.completed", "response.incomplete", "response.failed")
        translated += 1
    assert 0 < translated < 1500


@APIS
@pytest.mark.parametrize("odd", [{}, [], 5, None])
def test_a_tool_whose_type_is_no_word_is_a_400(api, odd):
    for fields in ({"tools": [{"type": odd, "name": "f"}]}, {"tools": [{"type": "function", "name": "f"}]}):
        body = {"model": "m", "input": "x", **fields, "tool_choice": {"type": odd, "name": "f"}}
        with pytest.raises(ClientError) as error:
            TRANSLATORS["responses", api].opens("m").at_once(json.dumps(body).encode())
        assert error.value.status == 400
