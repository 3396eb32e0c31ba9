"""Estimates of tokens, against what providers counted and against what no provider should send."""

from __future__ import annotations

import json
import statistics
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge._fast import SSEDecoder
from edge.dialects import anthropic, openai
from edge.dialects.crossing import STREAMS
from edge.dialects.estimate import IMAGE, LOW_DETAIL, envelope, estimate_answer, estimate_input
from edge.hooks import Usage
from edge.slices import LARGE

APIS = {"/v1/chat/completions": "chat", "/v1/messages": "messages", "/v1/responses": "responses"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "content", "text", "type", "input", "tools", "choices", "delta", "tool_calls", "id"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def read(api: str, answer: bytes, model: str) -> tuple[Usage | None, int]:
    """What a stream says of its tokens at its end, and what an estimate makes of the same events."""
    stream = STREAMS[api]()
    stream.see(SSEDecoder().feed(answer))
    return stream.usage, stream.estimate(model)


def described(errors: list[float]) -> str:
    errors = sorted(errors)
    p90 = errors[len(errors) * 9 // 10]
    return f"N={len(errors)} mean {statistics.mean(errors):.2f} median {statistics.median(errors):.2f} p90 {p90:.2f}"


def test_the_output_of_recorded_streams(recordings):
    """Reasoning that is not shown cannot be estimated: such streams are counted apart."""
    shown: dict[str, list[float]] = {}
    hidden = 0
    for recording in recordings:
        api = APIS.get(recording.path.partition("?")[0])
        if api is None or not recording.is_stream:
            continue
        usage, guess = read(api, recording.answer, recording.request["model"])
        if usage is None or usage.output <= 0:
            continue
        if usage.reasoning > 0:
            hidden += 1
            continue
        shown.setdefault(api, []).append(abs(guess / usage.output - 1))
    for api, errors in shown.items():
        print(f"\noutput, {api}: relative error {described(errors)}", end="")
    every = [error for errors in shown.values() for error in errors]
    print(f"\noutput, all: relative error {described(every)}; {hidden} with hidden reasoning left out")
    assert statistics.mean(every) < 0.2
    assert statistics.mean(shown["chat"]) < 0.1


def test_the_input_of_recorded_requests(recordings):
    """Tools that run at the provider bring input of their own, which nobody can see: the median is what counts."""
    found: dict[str, list[float]] = {}
    for recording in recordings:
        path = recording.path.partition("?")[0]
        if path not in APIS or recording.status != 200:
            continue
        if recording.is_stream:
            usage, _ = read(APIS[path], recording.answer, "")
        else:
            usage = (anthropic if APIS[path] == "messages" else openai).usage_of(recording.answer)
        if usage is None or usage.input < 0:
            continue
        counted = usage.input + max(0, usage.cache_read) + max(0, usage.cache_write)
        if counted:
            found.setdefault(APIS[path], []).append(
                abs(estimate_input(path.removeprefix("/v1"), recording.body) / counted - 1)
            )
    for api, errors in found.items():
        print(f"\ninput, {api}: relative error {described(errors)}", end="")
    print()
    assert all(statistics.median(errors) < 0.5 for errors in found.values())


def chunk(text: str, **more: str) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}}], **more}).encode()


def test_padding_is_no_text():
    plain = envelope(chunk("12345678"))
    assert plain == len(chunk(""))
    # However long the padding, four bytes of such an event are credited: a token.
    events = [(b"message", chunk("1" * n, obfuscation="x" * (16 - n))) for n in range(1, 9)] * 5
    stream = STREAMS["chat"]()
    stream.see(events)
    assert stream.estimate("gpt-4o") == len(events)
    spaced = b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"12345678"}%b}'
    assert envelope(spaced % b"") == len(spaced) - 2 - 8
    assert {envelope(spaced % (b" " * n)) for n in range(1, 16)} == {len(spaced) - 2}


def test_who_sends_many_tokens_at_once_is_measured_by_bytes():
    stream = STREAMS["chat"]()
    stream.see([(b"message", chunk("word" * 50))] * 10)
    assert stream.estimate("llama-3") == pytest.approx(2000 / 4.3, abs=5)


def test_each_block_of_a_message_has_an_envelope_of_its_own():
    text = "a thought of forty bytes, or near to that"
    stream = STREAMS["messages"]()
    for kind, field in (("thinking", "thinking"), ("text", "text"), ("tool_use", "partial_json")):
        block = json.dumps({"type": "content_block_start", "content_block": {"type": kind}}).replace(" ", "").encode()
        stream.see([(b"content_block_start", block)])
        delta = json.dumps({"type": "content_block_delta", "delta": {"type": f"{kind}_delta", field: text}}).encode()
        stream.see([(b"content_block_delta", delta)] * 100)
    signed = b'{"delta":{"type":"signature_delta","signature":"%b"}}' % (b"A" * 900)
    before = stream.estimate("claude-sonnet-4-5")
    stream.see([(b"content_block_delta", signed)])
    assert stream.estimate("claude-sonnet-4-5") == before == int(300 * len(text) / 3.6) + 45
    assert stream.estimate("claude-opus-4-8") > before * 1.2


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"message", b"content_block_delta", b"content_block_start", b"x.delta"]),
            JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30),
        ),
        max_size=8,
    )
)
@settings(max_examples=60)
def test_no_event_breaks_an_estimate(events):
    for api in ("chat", "completions", "messages", "responses"):
        stream = STREAMS[api]()
        stream.see(events)
        assert 0 <= stream.estimate("gpt-4o") <= sum(len(data) for _, data in events) * 50 + 100


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
@settings(max_examples=150)
def test_no_body_breaks_an_estimate(body):
    for path in ("/messages", "/chat/completions", "/completions", "/responses", "/embeddings"):
        assert estimate_input(path, body) >= 1
    assert estimate_answer(body) >= 0


@pytest.mark.parametrize("depth", [40, 300, 480, 700, 950])
def test_a_body_as_deep_as_can_be_read_is_no_trouble(depth):
    nested = b'{"type":"tool_result","content":[' * (depth // 2) + b"]}" * (depth // 2)
    lists = b"[" * depth + b"]" * depth
    for path in ("/messages", "/chat/completions", "/responses"):
        for inside in (nested, lists):
            assert estimate_input(path, b'{"messages":[%b],"tools":[%b],"input":[%b]}' % (inside, inside, inside)) > 0
    assert estimate_answer(b'{"content":[%b],"input":{"a":%b}}' % (nested, lists)) >= 0


def test_a_prompt_of_tokens_is_as_many():
    assert estimate_input("/completions", b'{"prompt":[1,2,3,4,5]}') == 3 + 5


def test_deep_bodies_and_events_are_no_trouble():
    deep = b'{"messages":' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert estimate_input("/chat/completions", deep) > 0
    assert envelope(b'{"choices":' + b"[" * 5000 + b"]" * 5000 + b"}") == 2 * 5000 + 12


def test_pictures_are_not_read_as_text():
    def picture(size: int, **more: str) -> bytes:
        url = "data:image/png;base64," + "A" * size
        part = {"type": "image_url", "image_url": {"url": url, **more}}
        return json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode()

    assert IMAGE < estimate_input("/chat/completions", picture(1000)) < IMAGE + 20
    assert LOW_DETAIL < estimate_input("/chat/completions", picture(1000, detail="low")) < LOW_DETAIL + 20
    for size in (LARGE, 3_000_000):
        assert IMAGE < estimate_input("/chat/completions", picture(size)) < IMAGE + 60
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 2_000_000}
    body = json.dumps({"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}).encode()
    assert IMAGE < estimate_input("/messages", body) < IMAGE + 60


@pytest.mark.parametrize("fill", [b"word ", b'"data":"', b'"data":""', b";base64,", b'"', b"A"])
def test_a_large_body_does_not_hold_the_loop_up(fill):
    body = b'{"messages":"' + fill * (34_000_000 // len(fill)) + b'"}'
    assert quickest(body) < 0.05  # 1 to 5 ms on an idle machine


def test_a_body_of_many_small_parts_does_not_either():
    assert quickest(b'{"messages":[' + b"[]," * 80_000 + b"[]]}") < 0.05


def quickest(body: bytes) -> float:
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        assert estimate_input("/chat/completions", body) >= 1
        took.append(time.perf_counter() - begun)
    return min(took)
