"""What pseudonyms stand for is put back for the client, wherever a stream was cut."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import config
from edge.guard.pii import redact_now
from edge.guard.policy import Policy
from edge.guard.restore import Restorer
from tests.unit.streaming import DIALECTS, anthropic, bytes_pieces, chunk, data_of, event, joined, numbers_of, pieces_of

EMAIL, CARD = "alice@example.com", "4111 1111 1111 1111"
PEM = '-----BEGIN PRIVATE KEY-----\nMIIE+vAIB"AD\\AN/Bg\n-----END PRIVATE KEY-----'
A, B, C = "[EMAIL_BCDFGHJKLM]", "[CARD_BCDFGHJKLM]", "[SECRET_BCDFGHJKLM]"
ORIGINALS = {A: EMAIL, B: CARD}
WITH_PEM = {**ORIGINALS, C: PEM}


def pseudonymize(body, secret=b"s" * 32, tenant="t"):
    return redact_now(Policy("pseudonymize", config.Pii(), secret), json.dumps(body).encode(), tenant)


def meant(text, originals=WITH_PEM):
    for pseudonym, original in originals.items():
        text = text.replace(pseudonym, original)
    return text


class TestPseudonyms:
    def test_are_the_same_for_the_same_value_and_others_for_others(self):
        body = {"messages": [{"content": f"{EMAIL} bob@example.org {EMAIL}"}]}
        made = pseudonymize(body)
        first, other, again = json.loads(made.body)["messages"][0]["content"].split()
        assert first == again != other
        assert made.originals == {first: EMAIL, other: "bob@example.org"}
        assert pseudonymize({"messages": [{"content": [EMAIL]}]}).originals == {first: EMAIL}
        assert made.told == "email=3"

    def test_depend_on_the_secret_and_the_tenant(self):
        told = [
            pseudonymize({"a": EMAIL}),
            pseudonymize({"a": EMAIL}, b"x" * 32),
            pseudonymize({"a": EMAIL}, tenant="u"),
        ]
        assert len({each.body for each in told}) == 3

    def test_are_none_of_what_is_looked_for(self):
        made = pseudonymize({"a": f"{EMAIL} {CARD} 10.1.2.3 +1 415 555 0100 219-09-9999"})
        again = pseudonymize(json.loads(made.body))
        assert (again.body, again.told) == (made.body, "")

    def test_stand_for_the_value_as_it_was_written(self):
        made = pseudonymize({"a": [f"{CARD} x", "4111-1111-1111-1111"], "input": {"c": 4111111111111111}})
        assert sorted(made.originals.values()) == ["4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111"]
        assert (
            Restorer(made.originals).whole_answer(made.body, stream=False)
            == json.dumps({"a": [f"{CARD} x", "4111-1111-1111-1111"], "input": {"c": "4111111111111111"}}).encode()
        )


class TestWholeAnswers:
    def test_all_other_bytes_stay(self):
        body = b'{"n": 1.50, "big": 12345678901234567890123, "content" : "to %s,\\u00e9 %s"}'
        made = Restorer(ORIGINALS).whole_answer(body % (A.encode(), B.encode()), stream=False)
        assert made == body % (EMAIL.encode(), CARD.encode())

    @pytest.mark.parametrize("originals", [ORIGINALS, WITH_PEM])
    def test_arguments_stay_json(self, originals):
        said = {"to": f"{A}", "text": f'a "{B}" {C}', A: [1.5, None]}
        body = {
            "choices": [
                {"message": {"content": f"{A}\n{C}", "tool_calls": [{"function": {"arguments": json.dumps(said)}}]}}
            ],
            "content": [{"type": "tool_use", "input": said}, {"type": "text", "text": json.dumps(said)}],
        }
        made = json.loads(Restorer(originals).whole_answer(json.dumps(body).encode(), stream=False))
        expected = json.loads(meant(json.dumps(said), ORIGINALS))
        if originals is WITH_PEM:
            expected["text"] = f'a "{CARD}" {PEM}'
        assert json.loads(made["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]) == expected
        assert made["content"][0]["input"] == expected
        assert json.loads(made["content"][1]["text"]) == expected
        assert made["choices"][0]["message"]["content"] == meant(f"{A}\n{C}", originals)

    def test_signed_thinking_keeps_its_pseudonyms(self):
        body = {
            "content": [{"type": "thinking", "thinking": f"is it {A}?", "signature": "Eq"}, {"type": "text", "text": A}]
        }
        made = json.loads(Restorer(ORIGINALS).whole_answer(json.dumps(body).encode(), stream=False))
        assert made["content"] == [body["content"][0], {"type": "text", "text": EMAIL}]

    def test_what_is_no_json_is_restored_too(self):
        assert Restorer(ORIGINALS).whole_answer(b"<p>" + A.encode(), stream=False) == b"<p>" + EMAIL.encode()


WORDS = st.sampled_from([A, B, C, "[", "[EMAIL_", "[EMAIL_BCDFGHJKLM", "]", "é", " ", "a", "\n", "[SECRET_BCDX]"])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("originals", [ORIGINALS, WITH_PEM], ids=["plain", "escaped"])
@settings(max_examples=40)
@given(words=st.lists(WORDS, max_size=8), cuts=st.lists(st.integers(0, 120), max_size=20), data=st.data())
def test_any_split_of_any_stream_restores_exactly(dialect, originals, words, cuts, data):
    nested = dialect in ("calls", "partial", "function")
    text = "x" + "".join(words)
    written = json.dumps({"v": text}, ensure_ascii=False) if nested else text
    stream = b"".join(DIALECTS[dialect](pieces_of(written, cuts)))
    restorer = Restorer(originals, stream=True)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    made = b"".join([restorer.feed(piece) for piece in (bytes_pieces(stream, places))]) + restorer.end()
    said = joined(made, dialect)
    assert (json.loads(said)["v"] if nested else said) == meant(text, originals)
    if dialect == "chat":
        second = "".join(
            c["delta"].get("content") or "" for t in data_of(made) for c in t["choices"] if c["index"] == 1
        )
        assert second == "[" * len(pieces_of(written, cuts))
        assert [c.get("role") for t in data_of(made) for c in (t["choices"][0]["delta"],)].count("assistant") == 1
    if dialect == "calls":
        assert made.count(b'"name"') == 1
        assert made.count(b'"id":"x"') + made.count(b'"id": "x"') == 1
    if dialect == "responses" and B in text:
        assert CARD in list(data_of(made))[-1]["text"]
    if dialect in ("responses", "function"):
        assert numbers_of(made) == list(range(len(numbers_of(made))))


def test_a_stream_without_brackets_goes_through_at_once_as_it_is():
    restorer = Restorer(ORIGINALS, stream=True)
    for each in anthropic(["a", "b {}", "é"]):
        assert restorer.feed(each) == each if b"[" not in each else True
    assert restorer.end() == b""


def test_no_more_than_one_pseudonym_is_held_back():
    restorer = Restorer(ORIGINALS, stream=True)
    said = "".join(
        told["choices"][0]["delta"]["content"] for told in data_of(restorer.feed(chunk(content="see [EMAIL_BC")))
    )
    assert said == "see "
    assert b'"content":"[EMAIL_BC of' in restorer.feed(chunk(content=" of"))


def test_a_comment_goes_through_within_a_pseudonym():
    restorer = Restorer(ORIGINALS, stream=True)
    restorer.feed(chunk(content=A[:5]))
    assert restorer.feed(b": keep-alive\n") == b": keep-alive\n"
    assert EMAIL.encode() in restorer.feed(chunk(content=A[5:]))


def test_thinking_in_a_stream_keeps_its_pseudonyms():
    told = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": A})
    made = Restorer(ORIGINALS, stream=True).feed(told)
    assert next(data_of(made))["delta"]["thinking"] == A


def test_what_comes_with_a_comment_is_restored():
    events = b": PROCESSING\n\n" + chunk(content=f"to {A}")
    made = Restorer(ORIGINALS)
    made.stream = True
    given = made.feed(events) + made.end()
    assert given.startswith(b": PROCESSING\n\ndata: {")
    assert f'"to {EMAIL}"'.encode() in given


def test_an_answer_of_many_pseudonyms_takes_time_in_proportion():
    """As many as a body may have: one pattern of all of them would take seconds to compile, and to look for."""
    values = " ".join(f"user{number}@example.com" for number in range(20_000))
    made = pseudonymize({"a": values})
    begun = time.thread_time()
    restorer = Restorer(made.originals)
    assert json.loads(restorer.whole_answer(made.body, stream=False)) == {"a": values}
    stream = Restorer(made.originals, stream=True)
    told = [stream.feed(chunk(content=each)) for each in json.loads(made.body)["a"][:20_000]]
    assert joined(b"".join(told) + stream.end(), "chat") == meant(json.loads(made.body)["a"][:20_000], made.originals)
    assert time.thread_time() - begun < 3


def test_what_only_looks_like_a_pseudonym_stays():
    for text in ("[EMAIL_BBBBBBBBBB]", "[EMAIL]", "[EMAIL_BCDFGHJKL", "[WHATEVER_BCDFGHJKLM]"):
        body = json.dumps({"a": f"{text} {A}"}).encode()
        assert json.loads(Restorer(ORIGINALS).whole_answer(body, stream=False)) == {"a": f"{text} {EMAIL}"}
        restorer = Restorer(ORIGINALS, stream=True)
        told = restorer.feed(chunk(content=text)) + restorer.feed(chunk(content=f" {A}")) + restorer.end()
        assert joined(told, "chat") == f"{text} {EMAIL}"
