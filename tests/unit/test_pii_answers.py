"""What is put out of a provider's answer, wherever its stream was cut, and what is left alone."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import config
from edge.errors import PiiBlocked
from edge.guard.answers import Watch
from edge.guard.policy import Policy
from edge.slices import finished
from tests.unit.streaming import (
    DIALECTS,
    NESTED,
    anthropic,
    bytes_pieces,
    chunk,
    data_of,
    event,
    joined,
    numbers_of,
    pieces_of,
)

EMAIL, CARD, IP = "alice.smith@example.com", "4111 1111 1111 1111", "203.0.113.7"
KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
SAID = {EMAIL: "[EMAIL]", CARD: "[CARD]", IP: "[IP]", KEY: "[SECRET]"}


def watch(mode="mask", **more):
    return Watch(Policy(mode, config.Pii(**more)))


def whole(body, mode="mask", **more):
    made = watch(mode, **more)
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    return finished(made.answer(written)), made


def masked(text):
    for value, said in SAID.items():
        text = text.replace(value, said)
    return text


ANSWERS = {
    "chat": {"choices": [{"message": {"role": "assistant", "content": f"It is {EMAIL}.", "refusal": EMAIL}}]},
    "chat's arguments": {
        "choices": [{"message": {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": json.dumps({"to": EMAIL})}}]}}]
    },
    "completions": {"choices": [{"text": f"It is {EMAIL}."}]},
    "messages": {"content": [{"type": "text", "text": f"It is {EMAIL}."}]},
    "messages' input": {"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"to": EMAIL, EMAIL: [1]}}]},
    "responses": {"output": [{"type": "message", "content": [{"type": "output_text", "text": f"It is {EMAIL}."}]}]},
    "responses' arguments": {"output": [{"type": "function_call", "arguments": json.dumps({"to": EMAIL})}]},
    "responses' reasoning": {"output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": EMAIL}]}]},
    "reasoning": {"choices": [{"message": {"reasoning_content": EMAIL}}]},
}  # fmt: skip
B64 = "iVBORw0KGgo4111111111111111/4111111111111111+aa" * 8
LEFT_ALONE = [
    {"id": "chatcmpl-4111111111111111", "created": 1700000000, "system_fingerprint": "fp_4111111111111111"},
    {"content": [{"type": "thinking", "thinking": EMAIL, "signature": "EqQB4111111111111111"}]},
    {"content": [{"type": "redacted_thinking", "data": "4111111111111111"}]},
    {"output": [{"type": "reasoning", "encrypted_content": "4111111111111111", "id": "rs_4111111111111111"}]},
    {"output": [{"type": "image_generation_call", "result": B64}]},
    {"choices": [{"message": {"audio": {"data": B64}}}]},
    {"usage": {"prompt_tokens": 536459872}},
]


class TestWholeAnswers:
    @pytest.mark.parametrize("where", ANSWERS)
    def test_every_text_is_looked_at(self, where):
        written = json.dumps(ANSWERS[where])
        for form in (written, written.replace(EMAIL, EMAIL.replace("@", "\\u0040"))):
            made, seen = whole(form.encode())
            assert msgspec.json.decode(made) == json.loads(masked(written))
            assert seen.told.startswith("response.email=")

    @pytest.mark.parametrize("body", LEFT_ALONE)
    def test_what_is_no_text_is_left_alone(self, body):
        written = json.dumps(body).encode()
        made, seen = whole(written)
        assert (made, seen.told) == (written, "")

    def test_one_with_nothing_in_it_is_the_same_bytes(self):
        written = b'{"choices": [{"message": {"content" :"hi"}, "logprobs":null}]}'
        assert whole(written)[0] is written

    def test_detecting_changes_nothing(self):
        written = json.dumps({"choices": [{"message": {"content": EMAIL}}]}).encode()
        made, seen = whole(written, "detect")
        assert (made, seen.told, seen.findings()) == (written, "response.email=1", [("email", 1)])

    def test_blocking_refuses_it_and_says_no_values(self):
        with pytest.raises(PiiBlocked) as refused:
            whole({"content": [{"type": "text", "text": EMAIL}]}, "block")
        assert "email=1" in refused.value.message
        assert EMAIL not in refused.value.message

    def test_what_is_no_json_is_a_text(self):
        assert whole(f"<p>caf\u00e9 {EMAIL}".encode() + b"\xff")[0] == "<p>caf\u00e9 [EMAIL]".encode() + b"\xff"
        assert whole(b'{"a": "\\ud83d %s"}' % EMAIL.encode())[0] == b'{"a": "\\ud83d [EMAIL]"}'

    def test_log_probabilities_would_tell_it(self):
        probabilities = {"content": [{"token": each, "logprob": -0.1, "bytes": list(each.encode())} for each in EMAIL]}
        body = {"choices": [{"message": {"content": EMAIL}, "logprobs": probabilities}]}
        assert json.loads(whole(body)[0]) == {"choices": [{"message": {"content": "[EMAIL]"}, "logprobs": None}]}
        assert json.loads(whole(body, "detect")[0]) == body

    def test_a_large_one(self):
        text = ("words and more " * 40_000 + EMAIL + " ") * 2
        made, seen = whole({"choices": [{"message": {"content": text}}]})
        assert json.loads(made)["choices"][0]["message"]["content"] == masked(text)
        assert seen.told == "response.email=2"


WORDS = st.sampled_from([*SAID, *SAID, "{", "[", "é", " ", " a ", "\n", ". ", "\U0001f600 ", "[EMAIL_BCDFGHJKLM] "])


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60)
@given(words=st.lists(WORDS, max_size=8), cuts=st.lists(st.integers(0, 200), max_size=30), data=st.data())
def test_a_finding_in_any_split_of_any_stream_is_found(dialect, words, cuts, data):
    text = "x " + " ".join(words)
    value = {"w": text, "ssn": 536459872, "n": [4111111111111111, 1.5, 12], EMAIL: None}
    ascii_only = data.draw(st.booleans())
    written = json.dumps(value, ensure_ascii=ascii_only) if dialect in NESTED else text
    if dialect in NESTED and ascii_only:
        written = written.replace("@", "\\u0040").replace("/", "\\/")
    stream = b"".join(DIALECTS[dialect](pieces_of(written, cuts)))
    for mode in ("mask", "detect"):
        made = watch(mode)
        places = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
        events = b"".join([made.feed(piece) for piece in bytes_pieces(stream, places)]) + made.end()
        said = joined(events, dialect)
        if mode == "detect":
            assert events == stream
        elif dialect in NESTED:
            expected = {"w": masked(text), "ssn": "[SSN]", "n": ["[CARD]", 1.5, 12], "[EMAIL]": None}
            assert json.loads(said) == expected
        else:
            assert said == masked(text)
        counts = dict(made.findings())
        extra = {"email": 1, "ssn": 1, "card": 1} if dialect in NESTED else {}
        for kind, value_ in (("email", EMAIL), ("card", CARD), ("ip", IP), ("secret", KEY)):
            assert counts.get(kind, 0) == words.count(value_) + extra.get(kind, 0)


def text_of(events):
    return "".join(told["choices"][0]["delta"].get("content", "") for told in data_of(events))


def test_no_more_than_what_may_go_on_is_held_back():
    made = watch()
    assert text_of(made.feed(chunk(content="My address is alice"))) == "My address is "
    assert text_of(made.feed(chunk(content=".smith@exam"))) == ""
    assert text_of(made.feed(chunk(content="ple.com and"))) == "[EMAIL] "
    assert text_of(made.feed(chunk(content=" more. "))) == "and more. "


def test_a_pseudonym_of_the_request_goes_through():
    made = watch()
    told = made.feed(chunk(content="to [EMAIL_BCDFGHJKLM] and [CARD_")) + made.feed(chunk(content="BCDFGHJKLM] it"))
    assert (
        joined(told + made.feed(chunk(finish="stop")) + made.end(), "chat")
        == "to [EMAIL_BCDFGHJKLM] and [CARD_BCDFGHJKLM] it"
    )


def test_blocking_ends_a_stream_before_the_value():
    made = watch("block")
    told = made.feed(chunk(content="It is ali") + chunk(content="ce.smith@exam"))
    assert joined(told, "chat") == "It is "
    told = made.feed(chunk(content="ple.com, I think") + chunk(content="so") + chunk(finish="stop"))
    assert (told, made.over, made.end()) == (b"", True, b"")
    with pytest.raises(PiiBlocked, match="email=1"):
        made.refuse()


@pytest.mark.parametrize(
    "pieces", [["Well: it is alice.smith@example.com, I think"], list("Well: it is alice.smith@example.com, I think")]
)
@pytest.mark.parametrize("dialect", ["chat", "anthropic", "responses"])
def test_what_comes_before_a_blocked_value_is_the_last_that_is_told(dialect, pieces):
    made = watch("block")
    told = made.feed(b"".join(DIALECTS[dialect](pieces))) + made.end()
    assert joined(told, dialect) == "Well: it is "
    assert made.over
    for kind in (b'finish_reason":"stop', b"DONE", b"message_stop", b".done"):
        assert kind not in told


def test_thinking_and_signatures_in_a_stream_are_left_alone():
    thinking = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": f"it is {EMAIL}"})
    signature = event(
        "content_block_delta", index=0, delta={"type": "signature_delta", "signature": "Eq4111111111111111"}
    )
    made = watch()
    assert made.feed(thinking) + made.feed(signature) == thinking + signature
    assert made.told == ""


def test_what_an_event_has_beside_its_texts_is_looked_at():
    made = watch()
    annotation = {"type": "url_citation", "url_citation": {"title": EMAIL, "url": f"https://x/?{EMAIL}"}}
    told = next(data_of(made.feed(chunk(content="see ", annotations=[annotation]))))["choices"][0]["delta"]
    assert told == {"content": "see ", "annotations": json.loads(masked(json.dumps([annotation])))}
    started = event(
        "content_block_start", index=0, content_block={"type": "web_search_tool_result", "content": [{"title": EMAIL}]}
    )
    assert EMAIL.encode() not in made.feed(started)


def test_the_texts_that_a_stream_of_responses_tells_again_are_counted_once():
    made = watch()
    stream = b"".join(DIALECTS["responses"](pieces_of(f"a {EMAIL} b", [5, 9])))
    whole_ = event(
        "response.completed", response={"output": [{"content": [{"type": "output_text", "text": f"a {EMAIL} b"}]}]}
    )
    told = made.feed(stream + whole_) + made.end()
    assert EMAIL.encode() not in told
    assert made.told == "response.email=1"
    assert [each["text"] for each in data_of(told) if each["type"].endswith(".done")] == ["a [EMAIL] b"]


def test_events_are_numbered_in_order_whatever_waits():
    made = watch()
    first = DIALECTS["responses"](pieces_of(f"a {EMAIL} bob@exam", [5, 9, 20]))
    second = DIALECTS["function"](pieces_of(json.dumps({"to": EMAIL}), [12]))
    events = enumerate([*data_of(b"".join(first)), *data_of(b"".join(second))])
    stream = b"".join([event(told["type"], **{**told, "sequence_number": number}) for number, told in events])
    told = b"".join([made.feed(piece) for piece in bytes_pieces(stream, range(0, len(stream), 13))]) + made.end()
    assert numbers_of(told) == list(range(len(numbers_of(told))))
    assert len(numbers_of(told)) > len(numbers_of(stream))
    error = event("error", message="broken", sequence_number=len(numbers_of(stream)))
    assert numbers_of(made.numbered(error)) == [len(numbers_of(told))]


def test_log_probabilities_in_a_stream_would_tell_it():
    probabilities = {"content": [{"token": "alice", "logprob": -0.1}]}
    told = json.loads(chunk(content="alice")[6:])
    told["choices"][0]["logprobs"] = probabilities
    made = watch().feed(f"data: {json.dumps(told)}\n\n".encode())
    assert b"alice" not in made
    assert next(data_of(made))["choices"][0]["logprobs"] is None


def test_an_event_that_says_nothing_of_a_text_does_not_end_it():
    made = watch()
    pieces = list(anthropic(["to alice.sm", "ith@example.com now"]))
    pieces.insert(3, b"retry: 100\n\n")
    assert joined(b"".join([made.feed(each) for each in pieces]) + made.end(), "anthropic") == "to [EMAIL] now"


def test_what_is_cut_off_is_told_as_far_as_it_is_sure():
    made = watch()
    told = made.feed(chunk(content="to alice@example.com")) + made.feed(b'data: {"choices"') + made.end()
    assert joined(told.rpartition(b"data: ")[0], "chat") == "to [EMAIL]"


def told_of(made, *parts):
    return b"".join([*(made.feed(part) for part in parts), made.end()])


ENDS = [b"\n", b"\r", b"\r\n"]


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_an_event_ends_with_two_ends_of_lines_of_any_kind(first, second):
    if (first, second) == (b"\r", b"\n"):
        pytest.skip("that is one")
    said = [chunk(content=f"It is {EMAIL} ").removesuffix(b"\n\n"), chunk(content="and on. ").removesuffix(b"\n\n")]
    made = watch()
    parts = [made.feed(part + first + second) for part in said]
    assert joined(parts[0], "chat") == "It is [EMAIL] ", "nothing waits for the end of the stream"
    assert joined(b"".join([*parts, made.end()]).replace(b"\r", b"\n"), "chat") == "It is [EMAIL] and on. "


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("finish", [None, "stop"])
@pytest.mark.parametrize("before", [b"", b": ping\n"])
def test_the_last_event_needs_no_blank_line(end, finish, before):
    last = chunk(finish=finish, content=f"It is {EMAIL}").removesuffix(b"\n\n") + end
    made = told_of(watch(), chunk(content="Well. "), before + last)
    assert joined(made, "chat") == "Well. It is [EMAIL]"
    plain = chunk(finish=finish, content="It is it. ").removesuffix(b"\n\n") + end
    assert told_of(watch(), plain) == plain


def test_a_mark_of_the_byte_order_hides_nothing():
    assert EMAIL.encode() not in told_of(
        watch(), b"\xef\xbb\xbf" + chunk(content=f"It is {EMAIL} "), chunk(finish="stop")
    )


def test_a_comment_hides_no_event_that_comes_with_it():
    made = watch()
    assert made.feed(b": ping\n") == b": ping\n"
    assert EMAIL.encode() not in told_of(made, b": ping\n" + chunk(content=f"It is {EMAIL} ")[:-2], b"\n\n")


@pytest.mark.parametrize("value", [EMAIL, CARD, IP, "4111-1111-1111-1111"])
@pytest.mark.parametrize("before", ["{tel -", "{v. ", "{E.", "{", "{e ", "[{tel.-"])
def test_a_text_that_only_begins_as_json_does_hides_nothing(value, before):
    made = joined(told_of(watch(), chunk(content=f"{before}{value} it is"), chunk(finish="stop")), "chat")
    whole_made = json.loads(whole({"choices": [{"message": {"content": f"{before}{value} it is"}}]})[0])
    if value not in whole_made["choices"][0]["message"]["content"]:
        assert value not in made


def test_a_part_of_a_number_in_json_is_left_alone():
    text = '{"a": -4111111111111111, "b": 1.4111111111111111, "c": [12e4111111111111111]}'
    assert joined(told_of(watch(), chunk(content=text), chunk(finish="stop")), "chat") == text


@pytest.mark.parametrize("end", ["\n\n", ""])
def test_nothing_comes_after_a_blocked_value(end):
    made = watch("block")
    later = chunk(content="and on. ").decode().removesuffix("\n\n") + end
    told = told_of(made, chunk(content=f"It is {EMAIL} ") + later.encode())
    assert made.over
    assert joined(told, "chat") in ("", "It is ")


SHAPES = {
    "sound": lambda text: {"audio": {"id": "a", "transcript": text}},
    "parts": lambda text: {"content": [{"type": "text", "text": text}]},
    "thinking in parts": lambda text: {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]},
    "details of reasoning": lambda text: {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": text}]},
    "a tool's text": lambda text: {"tool_calls": [{"index": 1, "custom": {"input": text}}]},
    "a function's arguments": lambda text: {"function_call": {"arguments": text}},
}


def texts_of(value):
    if isinstance(value, str):
        return value
    parts = value.values() if isinstance(value, dict) else value
    return "".join(texts_of(part) for part in parts if isinstance(part, (str, dict, list)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cut", [1, 5, 14])
def test_a_value_that_is_split_is_found_in_all_that_a_delta_may_have(shape, cut):
    pieces = [EMAIL[:cut], EMAIL[cut:]]
    stream = told_of(watch(), *[chunk(**SHAPES[shape](piece)) for piece in pieces], chunk(finish="stop"))
    told = [choice["delta"] for each in data_of(stream) for choice in each["choices"]]
    assert [texts_of(each) for each in told if texts_of(each)][-1].strip('"').endswith("[EMAIL]")
    assert EMAIL[cut:] not in stream.decode()
    if cut > 1:
        assert EMAIL[:cut] not in stream.decode()
    written = [each for each in told if "[EMAIL]" in texts_of(each)]
    expected = SHAPES[shape]("[EMAIL]")
    expected.get("audio", {}).pop("id", None)
    assert written[-1].keys() == expected.keys()
