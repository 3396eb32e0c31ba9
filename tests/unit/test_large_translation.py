"""Large requests and answers are translated without their long strings, in short steps, to the same bytes."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dialects import abridged as abridging
from edge.dialects import texts as texts_module
from edge.dialects.abridged import MAX_MESSAGE
from edge.dialects.tokens import estimate_steps, estimate_tokens
from edge.dialects.translation import Context, decode_value
from edge.dialects.translators import TRANSLATORS
from edge.errors import EdgeError, InvalidRequest, UpstreamBadResponse
from edge.slices import Work
from tests.unit.test_translation_hostile import CHAT, MESSAGES
from tests.unit.translating import NOW, PAIRS, PDF, PNG, USER, call

MODELS = {"chat": "claude-sonnet-4-5", "messages": "gpt-4o"}
LONG = 80
"""Longer than any word of an API, so that a text of a line is a long string already."""


@pytest.fixture(autouse=True, scope="module")
def small():
    """What is long is short here, and cut in many places."""
    patch = pytest.MonkeyPatch()
    sizes = {"HEAD": 20, "MAX_HEAD": 60, "TAIL": 7, "MIN_FIRST": 720, "MIN_LAST": 84, "LONG": LONG}
    for name, value in sizes.items():
        patch.setattr(texts_module, name, value)
    for module in (abridging, texts_module):
        patch.setattr(module, "PIECE", 97)
    patch.setattr(abridging, "NOTED", LONG)
    yield
    patch.undo()


def at_once(steps):
    work = Work(steps)
    while not work.step():
        pass
    return work.result


def large_request(api, body, model):
    return at_once(TRANSLATORS[PAIRS[api]].large_request(TRANSLATORS[PAIRS[api]].opens(model), body))


def estimated(body):
    request, texts = at_once(abridging.abridged(body))
    return at_once(estimate_steps(request, texts.size))


def outcome(translate):
    try:
        made = translate()
    except EdgeError as error:
        return type(error), error.param, error.code
    return decode_value(made.body), made.body, made.dropped, made.context.input_tokens, dict(made.context.tool_names)


def compare(api, body, model="", *, spelled=False):
    """Both ways of a request. `spelled`: arguments of tools keep their white space where they are long."""
    model = model or MODELS[api]
    whole = outcome(lambda: TRANSLATORS[PAIRS[api]].request(body, model))
    large = outcome(lambda: large_request(api, body, model))
    if spelled and len(whole) > 3:
        whole, large = ((value, *rest) for value, _, *rest in (whole, large))
    assert large == whole
    return whole


def compare_answers(api, body, *, spelled=False):
    made = []
    for translate in (
        TRANSLATORS[PAIRS[api]].answer,
        lambda *args: at_once(TRANSLATORS[PAIRS[api]].large_answer(*args)),
    ):
        context = Context(model="m", request_id="r")
        try:
            answer = translate(body, context, NOW)
        except UpstreamBadResponse:
            answer = b"null"
        made.append((decode_value(answer) if spelled else answer, context.warnings, context.told))
    assert made[0] == made[1]


# Real ones.


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-5-5", "gpt-4o", "llama-3"])
def test_recorded_requests(recordings, model):
    api = "chat" if model.startswith("claude") else "messages"
    path = "/v1/chat/completions" if api == "chat" else "/v1/messages"
    seen = [each for each in recordings if each.path.partition("?")[0] == path]
    if not seen:
        pytest.skip("EDGE_RECORDINGS names no recordings")
    for recording in seen:
        compare(api, recording.body, model, spelled=True)


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_recorded_answers(recordings, api):
    path = "/v1/messages" if api == "chat" else "/v1/chat/completions"
    seen = [r for r in recordings if r.path.partition("?")[0] == path and r.status == 200 and not r.is_stream]
    if not seen:
        pytest.skip("EDGE_RECORDINGS names no recordings")
    for recording in seen:
        compare_answers(api, recording.answer, spelled=True)


# Made up.

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30)
TEXT = st.builds(lambda words, times: words * times, WORDS, st.integers(1, 40)).filter(lambda text: text.strip())
DATA = st.binary(max_size=600).map(lambda data: base64.b64encode(data).decode())


@st.composite
def chats(draw):
    arguments = json.dumps(
        draw(st.dictionaries(WORDS, TEXT | st.integers() | st.lists(TEXT, max_size=2), max_size=3)),
        ensure_ascii=draw(st.booleans()),
        separators=(",", ":"),
    )
    return {
        "model": "x",
        "messages": [
            {"role": "system", "content": draw(TEXT)},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": draw(TEXT)},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{draw(DATA)}"}},
                    {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{draw(DATA)}"}},
                    {"type": "file", "file": {"file_data": f"data:text/csv;base64,{base64_of(draw(TEXT))}"}},
                    {"type": "file", "file": {"file_data": draw(DATA), "filename": "a.pdf"}},
                ],
            },
            {
                "role": "assistant",
                "content": draw(TEXT),
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}],
                "thinking_blocks": [{"type": "thinking", "thinking": draw(TEXT), "signature": draw(TEXT)}],
            },
            {"role": "tool", "tool_call_id": "a", "content": draw(TEXT)},
            {"role": "assistant", "content": draw(TEXT)},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": draw(TEXT)}}],
    }


@st.composite
def talks(draw):
    parts = [{"type": "text", "text": draw(TEXT)}, {"type": "text", "text": draw(TEXT)}]
    given = draw(st.dictionaries(WORDS, TEXT | st.integers() | st.lists(TEXT, max_size=2), max_size=3))
    pdf = {"type": "base64", "media_type": "application/pdf", "data": draw(DATA)}
    plain = {"type": "text", "media_type": "text/plain", "data": draw(TEXT)}
    return {
        "model": "x",
        "max_tokens": 9,
        "system": draw(st.sampled_from(["", "x-anthropic-billing-header: cch=1;\n"])) + draw(TEXT),
        "messages": [
            {
                "role": "user",
                "content": [
                    *parts,
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": draw(DATA)}},
                    {"type": "document", "title": draw(TEXT), "context": draw(TEXT), "source": pdf},
                    {"type": "document", "source": plain},
                    {"type": "search_result", "title": draw(TEXT), "source": draw(TEXT), "content": parts},
                ],
            },
            {
                "role": "assistant",
                "content": [*parts, {"type": "tool_use", "id": "a", "name": "f", "input": given}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "a", "is_error": True, "content": parts}],
            },
        ],
        "tools": [{"name": "f", "description": draw(TEXT), "input_schema": {"type": "object", "title": draw(TEXT)}}],
    }


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


def spellings(request):
    yield json.dumps(request).encode()
    yield json.dumps(request, ensure_ascii=False, indent=1).encode()


@settings(max_examples=25)
@given(chats())
def test_any_chat(request):
    for body in spellings(request):
        compare("chat", body, spelled=True)


@settings(max_examples=25)
@given(talks())
def test_any_talk(request):
    for body in spellings(request):
        compare("messages", body)
        assert estimated(body) == estimate_tokens(body)


@settings(max_examples=25)
@given(TEXT, TEXT, st.dictionaries(WORDS, TEXT, max_size=2), st.booleans())
def test_any_answer(text, thought, arguments, counted):
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}} if counted else {}
    spelled = json.dumps(arguments)
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": spelled}}]
    for said in (spelled, text):
        calls[0]["function"]["arguments"] = said
        message = {"role": "assistant", "content": text, "reasoning_content": thought, "tool_calls": calls}
        completion = {"id": "c", "choices": [{"message": message, "finish_reason": "stop"}], **usage}
        for body in spellings(completion):
            compare_answers("messages", body, spelled=True)
    cited = {"type": "web_search_result_location", "url": "https://x", "title": text}
    message = {
        "id": "m",
        "type": "message",
        "content": [
            {"type": "thinking", "thinking": thought, "signature": "s"},
            {"type": "text", "text": text},
            {"type": "text", "text": text, "citations": [cited]},
            {"type": "tool_use", "id": "a", "name": "f", "input": arguments},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4} if counted else None,
    }
    for body in spellings(message):
        compare_answers("chat", body)


@pytest.mark.parametrize(("api", "request_body"), [("chat", CHAT), ("messages", MESSAGES)])
def test_a_request_with_everything_in_it(api, request_body):
    def lengthened(value, key=""):
        if isinstance(value, dict):
            return {name: lengthened(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [lengthened(item, key) for item in value]
        return value * 100 if key in ("text", "thinking", "content", "title") and isinstance(value, str) else value

    for request in (request_body, lengthened(request_body)):
        for body in spellings(request):
            compare(api, body, spelled=True)


# Strings that a translation looks into.


def chat_of(*parts, **message):
    return json.dumps({"messages": [{"role": "user", "content": list(parts), **message}]}).encode()


FILES = {
    "text": "data:text/plain;base64," + base64_of("é\n" * 400),
    "text without a type": base64_of("é\n" * 400),
    "no base64": "data:text/plain;base64," + "=" * 400,
    "cut": "data:text/plain;base64," + base64_of("x" * 400)[:-1],
    "more after its end": "data:text/plain;base64," + base64_of("x") * 100,
    "no UTF-8": "data:text/plain;base64," + base64.b64encode(b"\xff" * 400).decode(),
    "UTF-8 that is cut": "data:text/plain;base64," + base64.b64encode(b"x" * 400 + b"\xc3").decode(),
    "a PDF": "data:application/pdf;base64," + PDF * 20,
    "a picture": "data:image/png;base64," + PNG * 20,
    "something else": "data:audio/wav;base64," + "AAAA" * 100,
    "no data URL": "data:image/png;" + "A" * 400,
}


@pytest.mark.parametrize("name", FILES)
def test_files(name):
    compare("chat", chat_of({"type": "file", "file": {"file_data": FILES[name]}}))
    compare("chat", chat_of({"type": "image_url", "image_url": {"url": FILES[name]}}))


ARGUMENTS = {
    "an object": json.dumps({"text": 'é"\\\n' * 100, "n": 1.50, "deep": [[{"a": ["x" * 200]}]]}),
    "a list": json.dumps(["x" * 200]),
    "a text": json.dumps("x" * 200),
    "no JSON": "{" + "x" * 200,
    "JSON with something behind it": json.dumps({"a": "x" * 200}) + "x",
    "NaN": '{"a":NaN,"b":"%s"}' % ("x" * 200),
    "short": '{"a": 1}',
    "a lone surrogate": '{"a":"\\ud800%s"}' % ("x" * 200),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name):
    text = ARGUMENTS[name]
    asked = {"role": "assistant", "tool_calls": [{**call("a"), "function": {"name": "look", "arguments": text}}]}
    result = {"role": "tool", "tool_call_id": "a", "content": "1"}
    compare("chat", json.dumps({"messages": [USER, asked, result]}).encode(), spelled=True)
    message = {"role": "assistant", "content": None, **asked}
    compare_answers("messages", json.dumps({"choices": [{"message": message}]}).encode(), spelled=True)
    used = {"type": "tool_use", "id": "a", "name": "f", "input": text}
    talk = {"max_tokens": 9, "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [used]}]}
    found = outcome(lambda: TRANSLATORS["messages", "chat"].request(json.dumps(talk).encode(), "gpt-4o"))
    large = outcome(lambda: large_request("messages", json.dumps(talk).encode(), "gpt-4o"))
    assert len(large) == len(found)
    if len(found) > 3:
        arguments = [each[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] for each in (found, large)]
        assert json.loads(arguments[0]) == json.loads(arguments[1])


def test_keys_and_names_of_a_tool_may_be_spelled_with_escapes():
    asked = json.dumps({"a": "x" * 200})
    body = (
        rb'{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"a","type":"function",'
        rb'"function":{"name":"f","argument\u0073":%b}}]},{"role":"tool","tool_call_id":"a","content":"1"}]}'
    ) % json.dumps(asked).encode()
    assert compare("chat", body, spelled=True)[0]["messages"][1]["content"][0]["input"] == {"a": "x" * 200}


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u" * 200},
        {"messages": [USER, {"role": "assistant", "tool_calls": [call("i" * 200)]}]},
        {"tools": [{"type": "function", "function": {"name": "n" * 200}}]},
    ],
)
def test_names_and_ids_are_no_texts_and_if_they_are_long_refused(fields):
    body = json.dumps({"messages": [USER], **fields}).encode()
    with pytest.raises(InvalidRequest, match="too long to be translated"):
        large_request("chat", body, "claude-sonnet-4-5")


def test_an_error_quotes_no_stand_in():
    body = json.dumps({"messages": [{"role": "r" * 200, "content": "x"}]}).encode()
    with pytest.raises(InvalidRequest) as caught:
        large_request("chat", body, "claude-sonnet-4-5")
    assert "edge:" not in caught.value.message


def test_what_looks_like_a_stand_in_is_a_text():
    words = "edge:{}:0:t\x1a edge:{}:7:o\x1a".format("0" * 32, "0" * 32)
    for text in (words, words * 9):
        talk = {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": text}] * 2}]}
        compare("messages", json.dumps(talk).encode())
        compare("chat", chat_of({"type": "text", "text": text}))


# Bounds.


def refused(api, request, message):
    with pytest.raises(InvalidRequest, match=message) as caught:
        large_request(api, json.dumps(request).encode(), MODELS[api])
    return caught.value.param


PART = {"type": "text", "text": "x"}


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_a_message_has_a_bounded_number_of_values(api):
    most = (MAX_MESSAGE - 3) // 3
    talk = {"max_tokens": 9, "messages": [{"role": "user", "content": [PART] * most}] * 2}
    compare(api, json.dumps(talk).encode())
    talk["messages"][1] = {"role": "user", "content": [PART] * (most + 1)}
    assert refused(api, talk, "A message of more than 8,192 values") == "messages"


def test_another_part_has_a_bounded_number_of_values():
    schema = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(1100)}}
    chat = {"messages": [USER], "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
    assert refused("chat", chat, "A part of 'tools' of more than 2,000 values") == "tools"
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert refused("chat", {"messages": [USER], "response_format": shape}, "2,000 values") == "response_format"
    talk = {"max_tokens": 9, "messages": [USER], "tools": [{"name": "f", "input_schema": schema}] * 2}
    assert refused("messages", talk, "2,000 values") == "tools"
    few = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(900)}}
    compare("messages", json.dumps(talk | {"tools": [{"name": "f", "input_schema": few}] * 9}).encode())


def test_a_request_has_a_bounded_number_of_values():
    talk = {"max_tokens": 9, "messages": [{"role": "user", "content": "x"}] * 30_000}
    refused("messages", talk, "more than 65,536 values")


def test_short_strings_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(abridging, "MAX_REST", 1000)
    inside = {"type": "tool_use", "id": "a", "name": "f", "input": {str(i): "x" * 50 for i in range(30)}}
    refused("messages", {"max_tokens": 9, "messages": [{"role": "assistant", "content": [inside]}]}, "beside its long")


def test_an_answer_beyond_the_bounds_is_the_providers():
    content = json.dumps({"content": [{"type": "text", "text": ""}] * 2_800}).encode()
    with pytest.raises(UpstreamBadResponse, match="too large"):
        at_once(TRANSLATORS["chat", "messages"].large_answer(content, Context(), NOW))


# Steps.


class Sizes:
    """The largest text that a function was given."""

    def __init__(self, function):
        self.function = function
        self.largest = 0

    def __call__(self, data, *args):
        made = self.function(data, *args)
        self.largest = max(self.largest, *(len(each) for each in (data, made) if isinstance(each, bytes | str)))
        return made


@pytest.mark.parametrize("api", ["chat", "messages"])
@pytest.mark.parametrize("text", ["x", "é\n", '"\\', "\x01"])
def test_no_step_decodes_or_encodes_much_of_a_long_string(monkeypatch, api, text):
    functions = {"_read": texts_module._read, "_write": texts_module._write, "decode_value": abridging.decode_value}
    watched = {name: Sizes(function) for name, function in functions.items()}
    for name, function in watched.items():
        monkeypatch.setattr(abridging if name == "decode_value" else texts_module, name, function)
    arguments = json.dumps({"a": text * 9000})
    turns = [
        {"role": "user", "content": text * 60_000},
        {"role": "assistant", "content": "x", "tool_calls": [{**call("a")}]},
    ]
    turns[1]["tool_calls"][0]["function"]["arguments"] = arguments
    if api == "messages":
        turns[1] = {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "a", "name": "f", "input": json.loads(arguments)}],
        }
    body = json.dumps({"max_tokens": 9, "messages": turns}).encode()
    work = Work(TRANSLATORS[PAIRS[api]].large_request(TRANSLATORS[PAIRS[api]].opens(MODELS[api]), body))
    while not work.step():
        pass
    assert json.loads(work.result.body) == json.loads(TRANSLATORS[PAIRS[api]].request(body, MODELS[api]).body)
    assert max(each.largest for each in watched.values()) < 12_000 < len(body) // 4


def test_text_in_base64_is_read_up_to_a_megabyte(monkeypatch):
    monkeypatch.setattr(texts_module, "MAX_FILE", 600)
    compare("chat", chat_of({"type": "file", "file": {"file_data": base64_of("é" * 200)}}))
    long = {"type": "file", "file": {"file_data": base64_of("é" * 400)}}
    refused("chat", {"messages": [{"role": "user", "content": [long]}]}, "at most a megabyte of text")
