"""The text in bodies that are alike: where it is known by their form, it is what the measure finds in each."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EACH_BUILD, load

TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": 'Look "it" up.\n', "parameters": {"minimum": 5, "maxItems": 10}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"n": 1}'}}
PARTS = [{"type": "text", "text": "caf\u00e9"}, {"type": "text", "text": ""}]
CHATS: list[dict[str, Any]] = [
    {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]},
    {"model": "m", "messages": [{"role": "user", "content": PARTS}], "max_tokens": 10, "tools": [TOOL, TOOL]},
    {"model": "m", "messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}], "stop": ["a", "b"]},
    {"model": "m", "instructions": "Be brief.", "input": [{"type": "function_call", "name": "n", "arguments": "{}"}]},
    {"model": "m", "prompt": ["one", "two"], "seed": 3, "user": "u"},
]
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
TALKS: list[dict[str, Any]] = [
    {"model": "m", "max_tokens": 9, "system": "Be brief.", "messages": [{"role": "user", "content": "Hello"}]},
    {
        "model": "m",
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "caf\u00e9"}, IMAGE]}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "look_up", "description": "Look it up.", "input_schema": {"type": "object"}}],
    },
]
UNSTEADY: list[dict[str, Any]] = [
    {"type": "tool_use", "id": "t", "name": "look_up", "input": {"n": "1"}},
    {"type": "tool_result", "tool_use_id": "t", "content": "found"},
    {"type": "thinking", "thinking": "hm", "text": "so"},
]
SAID = [
    "",
    "x",
    "text",
    "image_url",
    "function_call",
    'so "it" is',
    "caf\u00e9 \U0001f99c",
    "a\nb\\",
    "enabled",
    "\u0000",
]
INSERTED = [
    b'"',
    b"\\",
    b"\\n",
    b"\\u0065",
    b"\\ud83e\\udd9c",
    b"\\ud800",
    b"\\/",
    b"1",
    b" ",
    b"\xc3\xa9",
    b"x",
    b"null",
    b"",
]


@pytest.fixture(params=EACH_BUILD, scope="module")
def build(request: pytest.FixtureRequest) -> str:
    load("body_text", request.param)
    return str(request.param)


def reader(build: str, body: bytes) -> Any:
    """That of its dialect."""
    if b'"system"' in body:
        return load("asked_messages", build).UsualMessages()
    return load("asked", build).UsualRequest()


def scanned(build: str, body: bytes) -> Any:
    scanner = load("json", build).JSONScanner(body)
    while not scanner.step():
        pass
    return scanner


def measured(build: str, body: bytes) -> Any:
    """Bodies of which this one is, whose text has been measured."""
    known = load("body_known", build).KnownBodies()
    known.find(body)
    known.learn(scanned(build, body), False, False)
    scan = known.find(body).scan(body)
    assert scan.unsized
    read = reader(build, body)
    known.size(body, read if read.read(body) else None)
    return known


def check(build: str, known: Any, body: bytes) -> bool:
    """Whether its text is known by its form, and then it is what a measure finds."""
    found = known.find(body)
    if found is None:
        return False
    scan = found.scan(body)
    if scan.sizes is None:
        assert not scan.unsized
        return False
    read, sizes = reader(build, body), scan.sizes
    assert read.read(body)
    told = (sizes.messages, sizes.tools, sizes.images, sizes.thinks, scan.text_bytes, scan.schema_bytes)
    assert told == (read.messages, read.tools, read.images, read.thinks, read.text, read.schemas), body
    return True


def encoded(request: dict[str, Any], ascii_only: bool = False) -> bytes:
    return json.dumps(request, ensure_ascii=ascii_only).encode()


@pytest.mark.parametrize("request_", [*CHATS, *TALKS])
def test_the_text_of_a_body_is_known_once_it_was_measured(build, request_):
    body = encoded(request_)
    assert check(build, measured(build, body), body)


def with_words(value: Any, choose: Any) -> Any:
    """The same with other texts and whole numbers, but for the model's name, which says nothing of the text."""
    if isinstance(value, dict):
        return {name: each if name == "model" else with_words(each, choose) for name, each in value.items()}
    if isinstance(value, list):
        return [with_words(each, choose) for each in value]
    if isinstance(value, str):
        return choose(value)
    return choose(value) if isinstance(value, int) and not isinstance(value, bool) else value


@settings(max_examples=300)
@given(st.data())
def test_whatever_other_texts_say_they_are_measured_or_left_to_the_measure(build, data):
    request = data.draw(st.sampled_from([*CHATS, *TALKS]))
    known = measured(build, encoded(request))
    texts = st.sampled_from(SAID) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

    def choose(value: Any) -> Any:
        other: Any = st.integers(0, 10**18 - 1) if isinstance(value, int) else texts
        return data.draw(st.just(value) | other)

    check(build, known, encoded(with_words(request, choose), data.draw(st.booleans())))


def test_many_mutations_are_measured_or_left_to_the_measure(build):
    chance = random.Random(13)
    told = 0
    for request in [*CHATS, *TALKS]:
        body = encoded(request)
        known = measured(build, body)
        for _ in range(1500 if build == "compiled" else 300):
            at = chance.randrange(len(body) + 1)
            other = body[:at] + chance.choice(INSERTED) + body[at + chance.choice((0, 1, 1, 3)) :]
            if other.startswith(b'{"model": "m"'):
                told += check(build, known, other)
    assert told > 100


def test_other_texts_are_measured_without_being_read(build):
    known = measured(build, encoded(CHATS[1]))
    other = with_words(CHATS[1], lambda value: value if value in ("text", "function") else value * 2)
    assert check(build, known, encoded(other))
    assert not check(build, known, encoded(other).replace(b"Look", rb"\u004cook"))  # in a tool: JSON has it shorter


@pytest.mark.parametrize("kind", ["image_url", "function_call", "other", "te\\u0078t"])
def test_a_part_of_another_kind_is_left_to_the_measure(build, kind):
    body = encoded(CHATS[1])
    known = measured(build, body)
    other = body.replace(b'"type": "text"', f'"type": "{kind}"'.encode(), 1)
    assert known.find(other) is not None
    assert not check(build, known, other)


def test_half_a_character_is_left_to_the_measure(build):
    known = measured(build, encoded(CHATS[0]))
    assert check(build, known, encoded(CHATS[0]).replace(b"Hello", rb"\ud83e\udd9c"))
    assert not check(build, known, encoded(CHATS[0]).replace(b"Hello", rb"\ud83e\ud83e"))


@pytest.mark.parametrize("request_", TALKS)
def test_the_line_of_claude_code_is_left_to_the_measure(build, request_):
    body = encoded(request_)
    known = measured(build, body)
    other = body.replace(b"Be brief.", b"x-anthropic-billing-header: a\\nBe brief.")
    assert known.find(other) is not None
    assert not check(build, known, other)
    assert not check(build, measured(build, other), other)


@pytest.mark.parametrize("block", UNSTEADY)
def test_what_is_counted_by_what_it_says_is_left_to_the_measure(build, block):
    body = encoded({"model": "m", "system": "", "messages": [{"role": "user", "content": [block]}]})
    assert not check(build, measured(build, body), body)


@pytest.mark.parametrize("size", [64, 65])
def test_a_word_that_is_too_long_to_be_kept_is_left_to_the_measure(build, size):
    body = encoded({"model": "m", "messages": [{"role": "user", "content": [{"type": "t" * size, "text": "Hello"}]}]})
    assert check(build, measured(build, body), body) == (size == 64)


def test_a_body_that_no_measure_takes_is_asked_about_once(build):
    body = encoded({"model": "m", "input": [1, 2, 3]})
    assert not check(build, measured(build, body), body)


def test_bodies_are_measured_each_by_its_own_form(build):
    known = load("body_known", build).KnownBodies()
    bodies = [encoded(request) for request in CHATS[:3]]
    for body in bodies:
        while known.find(body) is None:
            known.learn(scanned(build, body), False, False)
        read = reader(build, body)
        assert read.read(body)
        known.size(body, read)
    assert all(check(build, known, body) for body in bodies * 2)
