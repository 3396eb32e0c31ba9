"""Whole answers read as usual ones: what is taken is taken as who decodes all of it takes it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge._fast import UsualAnswer, answer_forms
from edge.dialects.failures import SHAPES
from edge.errors import UNREADABLE
from tests.conftest import BUILDS, load

APIS = ("chat", "completions", "messages", "embeddings", "responses")
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": 'é 😀 "so"\n', "refusal": None},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 17,
        "completion_tokens": 9,
        "total_tokens": 26,
        "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 1, "accepted_prediction_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": None,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 17,
        "cache_creation_input_tokens": 4,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 7},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 2},
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": "not_available",
    },
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": [], "status": None},
        {"id": "fc_1", "type": "function_call", "arguments": "{}", "call_id": "call_1", "name": "f"},
        {"id": "msg_1", "type": "message", "content": [{"type": "output_text", "text": "hello", "annotations": []}]},
    ],
    "usage": {
        "input_tokens": 17,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 26,
    },
    "tool_usage": None,
    "service_tier": "default",
}
EXAMPLES = {
    "chat": CHAT,
    "completions": {"choices": [{"text": "a", "index": 0}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    "messages": MESSAGE,
    "responses": RESPONSE,
    "embeddings": {"data": [{"embedding": [0.5, -1.25e-05, 0]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
}
WORDS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"true", b"-1", b"0", b"01", b"1.5", b"1e9", b"9" * 9),
    *(
        b'"usage"',
        b'"choices"',
        b'"message"',
        b'"content"',
        b'"output"',
        b'"status"',
        b'"type"',
        b'"action"',
        b'"completed"',
        b'"reasoning"',
        b'"web_search_call"',
        b'"service_tier"',
        b'"input_tokens"',
        b"\\u00",
    ),
    *(b'"prompt_tokens"', b'"cached_tokens"', b'"tool_usage"', b'"\\ud83d"', b'"\\ud83d\\ude00"', b"\xff", b"\xc3\xa9"),
    *(b" ", b"\n", b"\x0b", b"\x00", b'"text"', b'"data"', b'"iterations"', b'"cache_write_tokens_details"', b"{}"),
)


SEASONED: dict[str, Any] = {}
"""Of each build one that has read whatever was checked."""


def check(api: str, body: bytes) -> bool:
    """Whether it is read as a usual one: then it has to be what the decoder says, and both builds say the same, whatever
    they have read before.
    """
    shape, said = SHAPES[api], []
    for build in BUILDS:
        try:
            module = load("usual", build)
        except pytest.skip.Exception:
            continue
        answers = (module.UsualAnswer(), SEASONED.setdefault(build, module.UsualAnswer()))
        said += [answer.told() if answer.read(body, shape.form) else None for answer in answers]
    assert all(each == said[0] for each in said)
    if said[0] is None:
        return False
    answer = UsualAnswer()
    try:
        assert answer.read(body, shape.form)
        assert shape.counted(answer) == shape.usage(body), body
    except UNREADABLE as error:
        raise AssertionError(body) from error
    return True


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\r\n", "\t: ")])
@pytest.mark.parametrize("escaped", [True, False])
def test_the_usual_answer_is_read_as_one(api, separators, escaped):
    assert check(api, b" %b\n" % json.dumps(EXAMPLES[api], separators=separators, ensure_ascii=escaped).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"usage": None},
        {"usage": {"prompt_tokens": 1.0}},
        {"usage": {"prompt_tokens": -1}},
        {"usage": {"prompt_tokens": 10**9}},
        {"usage": {"prompt_tokens": "1"}},
        {"usage": {"prompt_tokens": 1, "input_tokens": 2}},
        {"usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cache_write_tokens_details": {"ttl_30m_tokens": 1}}}},
        {"choices": []},
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {}}, {"delta": {}}]},
        {"output": [{"type": "web_search_call"}]},
        {"tool_usage": {"web_search": {"num_requests": 3}}},
        {"service_tier": "a\u00e9"},
        {"us\nage": 1},
    ],
)
def test_what_is_unusual_is_left_to_the_decoder(change):
    assert not check("chat", json.dumps({**CHAT, **change}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"status": "failed"},
        {"status": "incomplete"},
        {"status": None},
        {"output": []},
        {"output": [{}]},
        {"output": [{"type": None}]},
        {"output": [*RESPONSE["output"], {"type": "web_search_call"}]},
        {"output": [{"type": "message", "action": {"type": "search"}}]},
        {"tool_usage": {"web_search": {"num_requests": 3}}},
        {"usage": {"input_tokens": 1, "prompt_tokens": 2}},
    ],
)
def test_what_is_unusual_in_a_response_is_left_to_the_decoder(change):
    assert not check("responses", json.dumps({**RESPONSE, **change}).encode())


def test_an_answer_is_all_there_and_nothing_follows_it():
    body = json.dumps(CHAT).encode()
    assert not any(check("chat", body[:end]) for end in range(len(body)))
    assert not any(check("chat", body + more) for more in (b"x", b"{}", b",", b"\x00"))


@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_was_changed_anywhere_is_taken_as_the_decoder_takes_it(api):
    chance = random.Random(13)
    body = json.dumps(EXAMPLES[api]).encode()
    taken = 0
    for _ in range(1500):
        changed = body
        for _ in range(chance.randint(1, 3)):
            at, size = chance.randrange(len(changed)), chance.choice((0, 0, 1, 1, 2, 5))
            changed = changed[:at] + chance.choice(WORDS) + changed[at + size :]
        taken += check(api, changed)
    assert taken > 50


@given(st.sampled_from(APIS), st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists))
def test_what_stands_beside_an_answer_is_json(api, value):
    check(api, json.dumps({"other": value, **EXAMPLES[api], "more": [value]}).encode())


def test_recorded_answers_are_taken_as_the_decoder_takes_them(recordings):
    if not recordings:
        pytest.skip("EDGE_RECORDINGS names no recordings")
    assert sum(check(api, each.answer) for each in recordings for api in APIS) > 10


def test_the_forms_are_those_of_the_shapes():
    assert {SHAPES[api].form for api in APIS} == set(range(answer_forms.FORMS))


ALIKE = (
    (b'"hello"', b'"another \\u00e9 \\ud83d\\ude00 text"'),
    (b'"hello"', b'""'),
    (b'"hello"', b'"\\x"'),
    (b'"hello"', b'"a\nb"'),
    (b'"hello"', b'"\xff"'),
    (b'"hello"', b'"\\ud83d"'),
    (b'"hello"', b"null"),
    (b": 17", b": 0"),
    (b": 17", b": 999999999"),
    (b": 17", b": 1000000000"),
    (b": 17", b": 017"),
    (b": 17", b": -17"),
    (b": 17", b": 17.0"),
    (b": 17", b": 17e1"),
    (b": 17", b": "),
    (b": 17", b": null"),
    (b": 9", b": 12345"),
    (b'"standard"', b'"priority"'),
    (b'"default"', b'"flex"'),
    (b"1700000000", b"1700000001"),
    (b"1700000000", b"12345678901234567890123"),
    (b"}", b"}}"),
)


@pytest.mark.parametrize("api", ["chat", "messages", "responses"])
@pytest.mark.parametrize(("old", "new"), ALIKE)
def test_an_answer_that_is_like_one_before_is_read_as_if_it_were_the_first(api, old, new):
    body = json.dumps(EXAMPLES[api]).replace('\\u00e9 \\ud83d\\ude00 \\"so\\"\\n', "hello").encode()
    assert check(api, body)
    check(api, body.replace(old, new))
    check(api, body.replace(old, new, 1))
    assert check(api, body)


@pytest.mark.parametrize("api", ["chat", "messages", "responses"])
@pytest.mark.parametrize("twice", [("5", "null"), ("null", "5"), ("5", "7")])
def test_a_count_that_is_told_twice_is_the_last_of_the_next_answer_too(api, twice):
    name = "prompt_tokens" if api == "chat" else "input_tokens"
    body, told = json.dumps(EXAMPLES[api]), f'"{name}": 17'
    assert told in body
    for first, last in (twice, [each.replace("5", "6") for each in twice]):
        check(api, body.replace(told, f'"{name}": {first}, "{name}": {last}').encode())


def test_an_answer_that_is_like_one_before_is_not_walked_over(monkeypatch):
    answer, chat = load("usual", "pure").UsualAnswer(), json.dumps(CHAT).encode()
    assert answer.read(chat, answer_forms.CHAT)
    monkeypatch.setattr(answer, "_begin", None)
    assert answer.read(chat.replace(b'"prompt_tokens": 17', b'"prompt_tokens": 18'), answer_forms.CHAT)
    assert answer.count(answer_forms.INPUT) == 18


def test_forms_that_take_turns_are_all_known_and_nothing_of_what_was_said_is_kept(monkeypatch):
    answer = load("usual", "pure").UsualAnswer()
    bodies = [json.dumps({**CHAT, f"more{n}": "a secret"}).encode() for n in range(4)]
    assert all(answer.read(body, answer_forms.CHAT) for body in bodies)
    assert not any(b"secret" in skeleton.fixed for known in answer._known for skeleton in known)
    monkeypatch.setattr(answer, "_begin", None)
    assert all(answer.read(body, answer_forms.CHAT) for body in bodies * 2)


def test_so_many_forms_are_kept_and_no_more():
    answer = load("usual", "pure").UsualAnswer()
    for n in range(100):
        assert answer.read(json.dumps({**CHAT, f"more{n}": n}).encode(), answer_forms.CHAT)
    assert len(answer._known[answer_forms.CHAT]) == 4


def test_an_answer_with_much_in_it_is_read_and_not_kept():
    answer = load("usual", "pure").UsualAnswer()
    many = {**CHAT, "more": list(range(200))}
    large = {**CHAT, "more": [None] * 3000}
    for body in (json.dumps(many).encode(), json.dumps(large).encode()):
        assert answer.read(body, answer_forms.CHAT)
    assert answer._known[answer_forms.CHAT] == []
