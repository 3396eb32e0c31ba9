"""Conversations, answers and streams made up at random, there and back again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge._fast import SSEDecoder
from edge.dialects.translation import Context, anthropic_id, openai_id, original_id
from edge.dialects.translators import TRANSLATORS
from tests.unit.test_translation_streams import START, STOP, block, chunk, counts, delta, end, piece, stop, text, tool
from tests.unit.translating import (
    NOW,
    PNG,
    check_chat_request,
    check_messages_request,
    completion_of,
    message_of,
    run,
    sse,
    to_anthropic,
    to_openai,
)

pytestmark = [pytest.mark.slow, pytest.mark.once]

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda words: words.strip() == words)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,30}", fullmatch=True)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
ARGUMENTS = st.dictionaries(WORDS, VALUES, max_size=3)
CALLS = st.lists(st.tuples(NAMES, ARGUMENTS, WORDS), min_size=1, max_size=3)
TURNS = st.lists(st.tuples(WORDS, st.booleans(), WORDS, CALLS | st.none()), min_size=1, max_size=4)


def chat_of(turns):
    """A conversation in OpenAI's dialect: (what the user says, with an image?, the answer, calls with their results)."""
    messages, number = [], 0
    for said, image, answer, calls in turns:
        content = [{"type": "text", "text": said}]
        if image:
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})
        messages.append({"role": "user", "content": content})
        made, results = [], []
        for name, arguments, result in calls or ():
            number += 1
            function = {"name": name, "arguments": json.dumps(arguments)}
            made.append({"id": f"call.{number}", "type": "function", "function": function})
            results.append({"role": "tool", "tool_call_id": f"call.{number}", "content": result})
        messages += [{"role": "assistant", "content": answer} | ({"tool_calls": made} if made else {}), *results]
    return [*messages, {"role": "user", "content": "end"}]


def facts(messages):
    """What must not be lost of a conversation in OpenAI's dialect: texts, images, calls and results, in order."""
    found = []
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if message["role"] == "tool":
            found.append(("result", message["tool_call_id"], "".join(part["text"] for part in parts)))
        else:
            found += [
                (message["role"], part["text"] if part["type"] == "text" else part["image_url"]) for part in parts
            ]
        for call in message.get("tool_calls", ()):
            found.append(("call", call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
    return found


@pytest.mark.slow
@settings(max_examples=150)
@given(TURNS)
def test_a_conversation_comes_back_from_anthropics_dialect_with_nothing_lost(turns):
    messages = chat_of(turns)
    there = to_anthropic(json.dumps({"messages": messages}).encode(), "claude-sonnet-4-5")
    check_messages_request(there.body)
    back = to_openai(there.body, "gpt-4o")
    assert facts(check_chat_request(back.body)["messages"]) == facts(messages)
    assert there.dropped == back.dropped == ()


def plain(messages):
    """Anthropic's turns with the shorthands written out."""
    turns = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        turns.append((message["role"], blocks))
    return turns


@pytest.mark.slow
@settings(max_examples=150)
@given(TURNS, st.lists(WORDS, max_size=2))
def test_a_conversation_comes_back_from_openais_dialect_with_nothing_lost(turns, system):
    start = to_anthropic(json.dumps({"messages": chat_of(turns)}).encode(), "claude-sonnet-4-5")
    request = json.loads(start.body) | {"system": [{"type": "text", "text": words} for words in system]}
    there = to_openai(json.dumps(request).encode(), "gpt-4o")
    back = check_messages_request(to_anthropic(there.body, "claude-sonnet-4-5").body)
    assert plain(back["messages"]) == plain(request["messages"])
    assert back.get("system", []) == request["system"]
    assert back["max_tokens"] == request["max_tokens"]


BLOCKS = st.lists(
    st.tuples(st.just("text"), st.lists(WORDS, min_size=1, max_size=3))
    | st.tuples(st.just("tool_use"), ARGUMENTS)
    | st.tuples(st.just("thinking"), st.lists(WORDS, min_size=1, max_size=3)),
    max_size=5,
)


@settings(max_examples=150)
@given(BLOCKS, st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence"]), st.data())
def test_any_message_streamed_is_the_message_whole_however_it_is_split(blocks, reason, data):
    events, content = [START], []
    for index, (kind, value) in enumerate(blocks):
        if kind == "text":
            events += text(index, *value)
            content.append({"type": "text", "text": "".join(value)})
        elif kind == "tool_use":
            arguments = json.dumps(value)
            cut = data.draw(st.integers(0, len(arguments)))
            events += tool(index, f"toolu_{index}", arguments[:cut], arguments[cut:])
            content.append({"type": "tool_use", "id": f"toolu_{index}", "name": "look", "input": value})
        else:
            pieces = [delta(index, "thinking", thinking=words) for words in value]
            start = block(index, "thinking", thinking="", signature="")
            events += [start, *pieces, delta(index, "signature", signature="c2ln"), stop(index)]
            content.append({"type": "thinking", "thinking": "".join(value), "signature": "c2ln"})
    stream = sse(*events, end(reason), STOP)
    whole = START["message"] | {"content": content, "stop_reason": reason}
    whole["usage"] = whole["usage"] | {"output_tokens": 9}
    expected = json.loads(TRANSLATORS["chat", "messages"].answer(json.dumps(whole).encode(), Context(), NOW))
    out = split(TRANSLATORS["chat", "messages"].stream(Context(include_usage=True), NOW), stream, data)
    completion = completion_of(out)
    for answer in (completion, expected):
        for call in answer["choices"][0]["message"].get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert completion == expected


@settings(max_examples=150)
@given(
    st.lists(WORDS, max_size=3),
    st.lists(WORDS, max_size=3),
    st.lists(ARGUMENTS, max_size=3),
    st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    st.data(),
)
def test_any_completion_streamed_is_the_completion_whole_however_it_is_split(thoughts, words, calls, finish, data):
    chunks = [chunk(role="assistant", content=""), *(chunk(reasoning_content=part) for part in thoughts)]
    chunks += [chunk(content=part) for part in words]
    pieces = []
    for index, arguments in enumerate(map(json.dumps, calls)):
        chunks.append(chunk(tool_calls=[piece(index, "", f"call_{index}", "look")]))
        cut = data.draw(st.integers(0, len(arguments)))
        pieces += [(index, arguments[:cut]), (index, arguments[cut:])]
    order = data.draw(st.permutations(range(len(calls)))) if calls else []
    pieces.sort(key=lambda item: order[item[0]])  # calls need not be finished in the order they were begun
    chunks += [chunk(tool_calls=[piece(index, part)]) for index, part in pieces]
    counted = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
    }
    stream = sse(*chunks, chunk(finish), counts(**counted), "[DONE]")
    whole = completion_of(stream) | {"usage": counted}
    expected = json.loads(TRANSLATORS["messages", "chat"].answer(json.dumps(whole).encode(), Context(), NOW))
    assert message_of(split(TRANSLATORS["messages", "chat"].stream(Context(), NOW), stream, data)) == expected


def split(translator, stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    decoder, out = SSEDecoder(), b""
    for start, stop_ in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += translator.feed(decoder.feed(stream[start:stop_]))
    out += translator.feed(decoder.finish()) + translator.finish()
    assert out == run(type(translator)(translator._context, NOW), stream)
    return out


@given(st.text(min_size=1))
def test_any_id_of_a_call_fits_and_comes_back(original):
    mapped = anthropic_id(original)
    assert mapped.isascii()
    assert all(letter.isalnum() or letter in "_-" for letter in mapped)
    assert original_id(mapped) == original
    assert len(openai_id(original)) <= 40
    if len(original) <= 40 and not original.startswith("edge_"):
        assert openai_id(mapped) == original
