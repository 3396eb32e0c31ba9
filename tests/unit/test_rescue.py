"""A stream of text that breaks off is continued by another upstream, by hand: cut at every byte."""

from __future__ import annotations

import itertools
import json
from functools import partial

import pytest

from edge._fast import COMPILED, SSEDecoder
from edge.errors import UpstreamStreamBroken
from edge.guard.auth import ANYONE
from tests.unit.lanes import post
from tests.unit.test_dispatch import provider
from tests.unit.test_grant import CHAT
from tests.unit.timed import EVENTS, JSON, Timed, told

dumps = partial(json.dumps, separators=(",", ":"))
WORDS = ["Once", " upon", " a", " time\n", "\n", "there was", " ", "an \u00e9dge."]
REST = ["\n\n", "It", " serves", " on."]


def chat_chunk(delta, finish=None, name="c1"):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + dumps({"id": name, "model": f"m-{name}", "created": 7, "choices": [choice]}).encode() + b"\n\n"


def chat(words, name="c1", finish="stop"):
    usage = f'data: {{"id":"{name}","choices":[],"usage":{{"prompt_tokens":11,"completion_tokens":5}}}}\n\n'.encode()
    content = b"".join(chat_chunk({"content": word}, None, name) for word in words)
    return (
        chat_chunk({"role": "assistant", "content": ""}, None, name)
        + content
        + chat_chunk({}, finish, name)
        + usage
        + b"data: [DONE]\n\n"
    )


def event(kind, **fields):
    return f"event: {kind}\n".encode() + b"data: " + dumps({"type": kind, **fields}).encode() + b"\n\n"


def messages(words, name="msg_1", stop="end_turn"):
    started = {"id": name, "type": "message", "role": "assistant", "model": f"m-{name}", "content": []}
    started |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
    deltas = [event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in words]
    return b"".join(
        [
            event("message_start", message=started),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            event("ping"),
            *deltas,
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 5}),
            event("message_stop"),
        ]
    )


def response_events(*events):
    return b"".join(event(kind, **fields, sequence_number=n) for n, (kind, fields) in enumerate(events))


def responses(words, name="resp_1", thinks=False):
    message = {"id": f"msg_{name}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    thought = {"id": f"rs_{name}", "type": "reasoning", "summary": []}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    head = {"id": name, "object": "response", "created_at": 7, "status": "in_progress", "model": f"m-{name}"}
    head |= {"output": [], "usage": None, "incomplete_details": None, "store": False, "metadata": {"a": "b"}}
    at = {"output_index": int(thinks), "item_id": message["id"], "content_index": 0}
    whole = {**part, "text": "".join(words)}
    done = {**message, "status": "completed", "content": [whole]}
    output = [thought, done] if thinks else [done]
    counts = {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}
    thinking = [(f"response.output_item.{what}", {"output_index": 0, "item": thought}) for what in ("added", "done")]
    return response_events(
        ("response.created", {"response": head}),
        ("response.in_progress", {"response": head}),
        *(thinking if thinks else ()),
        ("response.output_item.added", {"output_index": int(thinks), "item": message}),
        ("response.content_part.added", {**at, "part": part}),
        *[("response.output_text.delta", {**at, "delta": word, "logprobs": []}) for word in words],
        ("response.output_text.done", {**at, "text": whole["text"], "logprobs": []}),
        ("response.content_part.done", {**at, "part": whole}),
        ("response.output_item.done", {"output_index": int(thinks), "item": done}),
        ("response.completed", {"response": {**head, "status": "completed", "output": output, "usage": counts}}),
    )


STREAMS = {"chat": chat, "messages": messages, "responses": responses}
CLIENTS = {
    "chat": "POST /v1/chat/completions HTTP/1.1",
    "messages": "POST /v1/messages HTTP/1.1",
    "responses": "POST /v1/responses HTTP/1.1",
}
ASKED = [{"role": "user", "content": "Tell me."}]


@pytest.fixture
def made(monkeypatch):
    workers = []

    def make(first, second, capability="assistant", others="", **resilience):
        """`first` and `second` are what they are asked by."""
        apis = {"a": first, "b": second, **dict.fromkeys(others, "chat")}
        dialects = {name: "anthropic" if api == "messages" else "openai" for name, api in apis.items()}
        can = {"continue_text": capability, "apis": second.split()}
        upstreams = [{"to": "a/m", "capabilities": {"apis": [first]}}, {"to": "b/m", "capabilities": can}]
        upstreams += [{"to": f"{name}/m"} for name in others]
        settings = {
            "providers": {name: {**provider(), "dialect": dialect} for name, dialect in dialects.items()},
            "models": {"smart": {"strategy": "failover", "upstreams": upstreams}},
            "translation": {"strict": True},
            "resilience": {"rescue": "text", "breaker": {"failures": 1_000_000}, **resilience},
        }
        workers.append(Timed(settings, monkeypatch))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def ask(worker, api, **fields):
    body = {"model": "smart", "stream": True, **({"max_tokens": 1000} if api == "messages" else {})}
    body |= {"input": ASKED, "store": False} if api == "responses" else {"messages": ASKED}
    lane = worker.connect()
    worker.run(lane.data_received, post(dumps({**body, **fields}).encode(), start=CLIENTS[api]))
    return lane


def events_of(reply):
    """The events in a reply in chunks, and the comments."""
    body, rest = b"", reply.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    decoder = SSEDecoder()
    found = decoder.feed(body) + decoder.finish()
    return [(name, data if data == b"[DONE]" else json.loads(data)) for name, data in found], body


def text_of(api, events):
    """What a client makes of them; checks that they are one stream."""
    datas = [data for _, data in events]
    if api == "chat":
        assert datas[-1] == b"[DONE]"
        assert len({data["id"] for data in datas[:-1]}) == 1
        choices = [choice for data in datas[:-1] for choice in data["choices"]]
        assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
        return "".join(choice["delta"].get("content") or "" for choice in choices)
    if api == "responses":
        return response_of(datas)
    kinds = [data["type"] for data in datas if data["type"] not in ("ping", "content_block_delta")]
    assert kinds == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    assert {data["index"] for data in datas if "index" in data} == {0}
    return "".join(data["delta"]["text"] for data in datas if data["type"] == "content_block_delta")


def response_of(datas):
    """The same of a response, whose last event has all of it."""
    assert [data["sequence_number"] for data in datas] == list(range(len(datas)))
    last = datas[-1]["response"]
    (item,) = last["output"]
    (part,) = item["content"]
    said = "".join(data["delta"] for data in datas if data["type"] == "response.output_text.delta")
    ends = ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [data["type"] for data in datas[-4:]] == [f"response.{end}" for end in ends]
    assert (datas[-4]["text"], datas[-3]["part"], datas[-2]["item"]) == (said, part, item)
    assert (last["status"], part["text"]) == ("completed", said)
    assert {data["response"]["id"] for data in datas if "response" in data} == {last["id"]}
    assert {data["item_id"] for data in datas if "item_id" in data} == {item["id"]}
    return said


def given_to(worker):
    """The text that was given to go on with."""
    body = json.loads(worker.sent("b").request.body)
    last = body["messages" if "messages" in body else "input"][-1]
    if last["role"] == "user":
        return ""
    content = last["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


@pytest.mark.slow
@pytest.mark.parametrize("api", CLIENTS)
@pytest.mark.parametrize(("first", "second"), [*itertools.product(STREAMS, STREAMS)])
def test_wherever_it_breaks_nothing_is_lost_or_said_twice(made, api, first, second):
    worker, stream = made(first, second), STREAMS[first](WORDS)
    # What a client was told follows from who asks, from the first and from the cut: those that can go on by the same steps
    # take turns.
    steps = {other: 13 if "responses" in (api, first, other) else 1 for other in STREAMS}
    turns = [other for other, each in steps.items() if each == steps[second]]
    step = steps[second] * (1 if COMPILED else 5)  # the pure build is the same code, and slow
    for cut in range(1 + turns.index(second) * step, len(stream), len(turns) * step):
        check_cut(worker, api, stream[:cut], STREAMS[second])
    assert worker.idle()


def check_cut(worker, api, part, stream):
    """What a client gets whose answer breaks off after `part`."""
    whole, asked = "".join(WORDS), worker.count("b")
    lane = ask(worker, api)
    worker.run(worker.sent("a").answers, 200, EVENTS, part, ends=False)
    worker.run(worker.sent("a").receiver.failed, UpstreamStreamBroken())
    before = events_of(told(lane))[0] if told(lane) else []
    if worker.count("b") == asked:  # all of the text had come, and the end was to follow
        assert b"upstream_stream_broken" in told(lane) or b"api_error" in told(lane)
        assert texts(api, before) == whole
    elif not told(lane):  # before the first content the other one is asked as it would be at first
        assert given_to(worker) == ""
        worker.run(worker.sent("b").answers, 200, EVENTS, stream(WORDS))
        assert text_of(api, events_of(told(lane))[0]) == whole
    else:
        had, given, rest = texts(api, before), given_to(worker), "".join(REST)
        assert given == had.rstrip()
        worker.run(worker.sent("b").answers, 200, EVENTS, stream(REST, "other"))
        events, body = events_of(told(lane))
        space = had[len(given) :]
        while space and rest and space[0] == rest[0]:
            space, rest = space[1:], rest[1:]
        assert whole.startswith(had)
        assert text_of(api, events) == had + rest
        assert body.endswith(b"\n: continued by b/m\n")
        assert (worker.records[-1].rescued, worker.records[-1].outcome) == (True, "ok")


def texts(api, events):
    datas = [data for _, data in events if data != b"[DONE]"]
    if api == "responses":
        return "".join(data["delta"] for data in datas if data["type"] == "response.output_text.delta")
    if api == "messages":
        return "".join(data["delta"]["text"] for data in datas if data["type"] == "content_block_delta")
    choices = [choice for data in datas for choice in data.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def broken(worker, api, **fields):
    """A client whose stream has broken off in its text."""
    lane = ask(worker, api, **fields)
    stream = STREAMS["responses" if api == "responses" else "chat"](WORDS)
    cut = stream.index(b"there was")
    worker.run(worker.sent("a").answers, 200, EVENTS, stream[: stream.index(b"\n\n", cut) + 2], ends=False)
    worker.run(worker.sent("a").receiver.failed, UpstreamStreamBroken())
    return lane


def test_one_that_stalls_is_continued_too(made):
    worker = made("chat", "chat", idle_s=2)
    lane = ask(worker, "chat")
    stream = chat(WORDS)
    worker.run(worker.sent("a").answers, 200, EVENTS, stream[: len(stream) // 2], ends=False)
    worker.after(2.5)
    assert not worker.sent("a").open
    worker.run(worker.sent("b").answers, 200, EVENTS, chat(REST, "other"))
    assert text_of("chat", events_of(told(lane))[0]).endswith(" serves on.")


def test_the_tokens_of_both_are_told_and_charged(made):
    worker = made("chat", "chat")
    lane = broken(worker, "chat", stream_options={"include_usage": True})
    worker.run(worker.sent("b").answers, 200, EVENTS, chat(REST, "other"))
    events, _ = events_of(told(lane))
    (usage,) = [data["usage"] for _, data in events if data != b"[DONE]" and data.get("usage")]
    record = worker.records[-1]
    assert usage["prompt_tokens"] == record.usage.input > 11
    assert usage["completion_tokens"] == record.usage.output > 5
    assert record.estimated


def test_it_is_given_as_many_tokens_less(made):
    worker = made("chat", "chat")
    broken(worker, "chat", max_tokens=100)
    assert 0 < json.loads(worker.sent("b").request.body)["max_tokens"] < 100


def test_vllm_is_asked_in_its_own_way(made):
    worker = made("chat", "chat", "continue_final_message")
    broken(worker, "chat")
    body = json.loads(worker.sent("b").request.body)
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_vllm_is_asked_by_chat_completions_whatever_its_client_speaks(made):
    worker = made("responses", "chat responses", "continue_final_message")
    lane = broken(worker, "responses")
    body = json.loads(worker.sent("b").request.body)
    assert (len(body["messages"]), body["continue_final_message"]) == (2, True)
    worker.run(worker.sent("b").answers, 200, EVENTS, chat(REST, "other"))
    assert text_of("responses", events_of(told(lane))[0]).endswith(" serves on.")


TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": TOOLS},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
        {"logprobs": True},
        {"reasoning_effort": "high"},
        {"max_tokens": 3},
        {"messages": [*ASKED, {"role": "assistant", "content": "Once"}]},
        {"store": True},
    ],
)
def test_what_is_no_plain_text_ends_in_the_error(made, fields):
    worker = made("chat", "chat")
    lane = broken(worker, "chat", **fields)
    assert worker.count("b") == 0
    assert b"upstream_stream_broken" in told(lane)
    assert worker.idle()


@pytest.mark.parametrize(
    "delta", [{"reasoning_content": "hm"}, {"tool_calls": [{"index": 0, "id": "t"}]}, {"refusal": "no"}]
)
def test_so_does_what_has_been_more_than_text(made, delta):
    worker = made("chat", "chat")
    lane = ask(worker, "chat")
    worker.run(worker.sent("a").answers, 200, EVENTS, chat_chunk({"content": "a"}), chat_chunk(delta), ends=False)
    worker.run(worker.sent("a").receiver.failed, UpstreamStreamBroken())
    assert worker.count("b") == 0
    assert b"upstream_stream_broken" in told(lane)


def test_so_does_what_nobody_can_continue(made):
    worker = made("chat", "chat", "never")
    lane = broken(worker, "chat")
    assert worker.count("b") == 0
    assert b"upstream_stream_broken" in told(lane)


@pytest.mark.parametrize(
    "answer",
    [
        (400, JSON, b'{"error":{"message":"no prefill"}}'),
        (500, JSON, b'{"error":{"message":"down"}}'),
        (200, JSON, b'{"choices":[]}'),
        (200, EVENTS, b'data: {"error":{"message":"down","code":"server_error"}}\n\n'),
        (200, EVENTS, chat_chunk({"tool_calls": [{"index": 0, "id": "t"}]})),
    ],
)
def test_where_that_fails_too_the_client_hears_of_the_first(made, answer):
    worker = made("chat", "chat", retries=0)
    lane = broken(worker, "chat")
    worker.run(worker.sent("b").answers, *answer)
    events, body = events_of(told(lane))
    assert events[-1][1]["error"]["code"] == "upstream_stream_broken"
    assert body.count(b"there was") == 1
    assert not worker.records[-1].rescued
    assert worker.idle()


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_after_it_nobody_is_asked_who_cannot_continue_a_text(made, status):
    worker = made("chat", "chat", others="c")
    lane = broken(worker, "chat")
    worker.run(worker.sent("b").answers, status, JSON, b'{"error":{"message":"down"}}')
    worker.after(5)
    assert (worker.count("b"), worker.count("c")) == (1, 0)
    assert b"upstream_stream_broken" in told(lane)
    assert worker.idle()


def test_nobody_is_asked_beside_it_either(made):
    worker = made("chat", "chat", others="c", hedge={"enabled": True, "budget": 1.0})
    (choice,) = worker.gateway.state.grant(ANYONE, "smart", CHAT).choices
    for member in choice.members:
        for _ in range(100):
            member.took(True, 0.2)
    lane = broken(worker, "chat")
    worker.after(1)
    assert (worker.count("b"), worker.count("c")) == (1, 0)
    worker.run(worker.sent("b").answers, 200, EVENTS, chat(REST, "other"))
    assert text_of("chat", events_of(told(lane))[0]).endswith(" serves on.")


def test_one_that_cannot_be_asked_adds_no_tokens(made):
    worker = made("chat", "messages")
    broken(worker, "chat")
    worker.run(worker.sent("b").breaks)
    broken(worker, "chat", logit_bias={"1": 2})
    assert worker.count("b") == 1
    first, second = worker.records
    assert second.usage == first.usage


def test_a_client_that_leaves_meanwhile_closes_it(made):
    worker = made("chat", "chat")
    lane = broken(worker, "chat")
    worker.run(lane.connection_lost, None)
    assert not worker.sent("b").open
    assert worker.idle()


def test_without_the_setting_nobody_is_asked(made):
    worker = made("chat", "chat", rescue="off")
    lane = broken(worker, "chat")
    assert worker.count("b") == 0
    assert b"upstream_stream_broken" in told(lane)


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_a_text_that_is_the_word_error_is_no_error_where_one_comes_with_it(made, api):
    worker = made("chat", api)
    lane = broken(worker, api)
    failure = {"type": "overloaded_error", "message": "busy"}
    if api == "chat":
        part = b"".join(chat_chunk({"content": word}, None, "other") for word in ("error", " 7"))
        last = b"data: " + dumps({"error": failure}).encode() + b"\n\n"
    else:
        part = messages(["error", " 7"], "other").partition(b"event: content_block_stop")[0]
        last = event("error", error=failure)
    worker.run(worker.sent("b").answers, 200, EVENTS, part + last)
    worker.after(1)
    reply = told(lane)
    assert b'"error"' in reply.partition(b'" 7"')[0]
    assert b"busy" in reply.partition(b'" 7"')[2]
    assert worker.idle()
