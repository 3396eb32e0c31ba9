"""Conversations of more than one turn, as agents have them: what an answer brings goes back with the next request.

The official SDKs put the turns together; the upstreams say what a test wants and keep what they were sent.
"""

from __future__ import annotations

import json

import anthropic
import httpx2
import openai
import pytest

from tests.harness import Canned, Edge, answer, chunked, providers, running

CLAUDE, MODEL = "claude-sonnet-5", "some-model"
ASK = [{"role": "user", "content": "What time is it?"}]
OPENAI_TOOLS = [{"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}]
ANTHROPIC_TOOLS = [{"name": "now", "input_schema": {"type": "object", "properties": {}}}]
COMPLETION = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"ok"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
MESSAGE = b'{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}'


class Upstream:
    """A provider whose next answer a test sets, as bytes of a whole HTTP answer."""

    def __init__(self) -> None:
        self.reply = b""
        self.canned = Canned(lambda *_: self.reply)

    @property
    def last(self) -> bytes:
        return self.canned.seen[-1].body

    @property
    def count(self) -> int:
        return len(self.canned.seen)


@pytest.fixture(scope="module")
def gpt():
    made = Upstream()
    with made.canned:
        yield made


@pytest.fixture(scope="module")
def claude():
    made = Upstream()
    with made.canned:
        yield made


@pytest.fixture(scope="module")
def edge(gpt, claude, front, tmp_path_factory):
    config = {
        "providers": {
            "openai": {**providers(gpt.canned.url)["openai"], "models": ["some-*"]},
            "anthropic": providers(claude.canned.url)["anthropic"],
        },
        "models": {
            "mixed": {"strategy": "failover", "upstreams": [{"to": f"openai/{MODEL}"}, {"to": f"anthropic/{CLAUDE}"}]},
        },
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


@pytest.fixture
def ai(edge):
    with openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def messages(edge):
    with anthropic.Anthropic(api_key="x", base_url=edge.url, max_retries=0) as client:
        yield client.messages


def event(kind: str, **data) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def events(*blocks: tuple[dict, list[dict]], stop: str) -> bytes:
    """A stream of Anthropic's, of blocks and their deltas."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE, "content": []}
    out = [event("message_start", message={**start, "usage": {"input_tokens": 3, "output_tokens": 1}})]
    for index, (block, deltas) in enumerate(blocks):
        out.append(event("content_block_start", index=index, content_block=block))
        out += [event("content_block_delta", index=index, delta=each) for each in deltas]
        out.append(event("content_block_stop", index=index))
    out += [event("message_delta", delta={"stop_reason": stop}, usage={"output_tokens": 9}), event("message_stop")]
    return chunked(out)


def chunks(*deltas: dict, finish: str = "stop") -> bytes:
    """A stream of OpenAI's."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    data = [{**head, "choices": [choice]} for choice in choices]
    data.append({**head, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}})
    return chunked([*(b"data: " + json.dumps(each).encode() + b"\n\n" for each in data), b"data: [DONE]\n\n"])


THINKING = {"type": "thinking", "thinking": "", "signature": ""}
USE = ({"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}}, [])
# The blocks as they come, and as they have to go back.
PROOFS = {
    "said": (
        [(THINKING, [{"type": "thinking_delta", "thinking": "Let "}, {"type": "thinking_delta", "thinking": "me."}, {"type": "signature_delta", "signature": "c2lnMQ=="}])],
        [{"type": "thinking", "thinking": "Let me.", "signature": "c2lnMQ=="}],
    ),
    "silent": (
        [(THINKING, [{"type": "signature_delta", "signature": "c2lnMQ=="}])],
        [{"type": "thinking", "thinking": "", "signature": "c2lnMQ=="}],
    ),
    "redacted": (
        [({"type": "redacted_thinking", "data": "ZGF0YQ=="}, [])],
        [{"type": "redacted_thinking", "data": "ZGF0YQ=="}],
    ),
    "several": (
        [
            ({"type": "redacted_thinking", "data": "ZGF0YQ=="}, []),
            (THINKING, [{"type": "thinking_delta", "thinking": "a"}, {"type": "signature_delta", "signature": "c2lnMQ=="}]),
            (THINKING, [{"type": "signature_delta", "signature": "c2lnMg=="}]),
        ],
        [
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "thinking", "thinking": "a", "signature": "c2lnMQ=="},
            {"type": "thinking", "thinking": "", "signature": "c2lnMg=="},
        ],
    ),
    "nothing": ([(THINKING, [])], []),
}  # fmt: skip


class TestTheOpenAISDKInFrontOfClaude:
    """``thinking_blocks``: one per block, not one per delta, and the first of the turn when they come back."""

    @pytest.mark.parametrize("proof", PROOFS)
    @pytest.mark.parametrize("how", ["whole", "stream", "helper"])
    def test_thinking_goes_back_as_it_came_before_the_call(self, ai, claude, proof, how):
        came, back = PROOFS[proof]
        asked = {"model": CLAUDE, "messages": ASK, "tools": OPENAI_TOOLS}
        if how == "whole":
            content = [*back, USE[0]] if proof != "nothing" else [THINKING, USE[0]]
            whole = {**json.loads(MESSAGE), "content": content, "stop_reason": "tool_use"}
            claude.reply = answer(json.dumps(whole).encode())
            turn = ai.chat.completions.create(**asked).choices[0].message
            assert getattr(turn, "thinking_blocks", []) == back
            turn = turn.model_dump(exclude_none=True)
        else:
            claude.reply = events(*came, USE, stop="tool_use")
            if how == "helper":
                with ai.chat.completions.stream(**asked) as stream:
                    turn = stream.get_final_completion().choices[0].message.model_dump(exclude_none=True)
                    turn.pop("parsed", None)
            else:
                turn = {"role": "assistant", "tool_calls": [], "thinking_blocks": []}
                for chunk in ai.chat.completions.create(**asked, stream=True):
                    delta = chunk.choices[0].delta if chunk.choices else None
                    turn["thinking_blocks"] += getattr(delta, "thinking_blocks", None) or []
                    for call in (delta and delta.tool_calls) or []:
                        if call.id:
                            function = {"name": call.function.name, "arguments": ""}
                            turn["tool_calls"].append({"id": call.id, "type": "function", "function": function})
                        turn["tool_calls"][0]["function"]["arguments"] += call.function.arguments or ""
                assert [{k: v for k, v in each.items() if k != "index"} for each in turn["thinking_blocks"]] == back
        claude.reply = answer(MESSAGE)
        result = {"role": "tool", "tool_call_id": "toolu_1", "content": "noon"}
        ai.chat.completions.create(**{**asked, "messages": [*ASK, turn, result]})
        said = json.loads(claude.last)["messages"]
        assert said[1] == {"role": "assistant", "content": [*back, {**USE[0]}]}
        assert said[2]["content"][0] == {"type": "tool_result", "tool_use_id": "toolu_1", "content": "noon"}


class TestTheAnthropicSDKInFrontOfAnotherVendor:
    def test_a_stream_of_thinking_text_and_thinking_again(self, messages, gpt):
        gpt.reply = chunks(
            {"role": "assistant", "reasoning_content": "Let me"},
            {"reasoning_content": " think."},
            {"reasoning_content": " Done", "content": "The"},
            {"content": " answer"},
            {"reasoning_content": "Or?"},
            {"content": "!"},
        )
        with messages.stream(model=MODEL, max_tokens=9, messages=ASK) as stream:
            seen = list(stream)
            message = stream.get_final_message()
        assert [(block.type, getattr(block, "text", None) or block.thinking) for block in message.content] == [
            *(("thinking", "Let me think. Done"), ("text", "The answer"), ("thinking", "Or?"), ("text", "!")),
        ]
        ends = [each for each in seen if each.type == "message_delta"]
        assert len(ends) == 1
        assert (ends[0].delta.stop_reason, ends[0].usage.input_tokens, ends[0].usage.output_tokens) == (
            "end_turn",
            9,
            7,
        )

    @pytest.mark.parametrize("streamed", [True, False])
    def test_an_alias_that_has_moved_on_recovers_whichever_model_answers_next(self, messages, gpt, claude, streamed):
        """Thinking of another vendor's is in the history: no signature of ours makes Anthropic refuse it."""
        called = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
        thought = {"role": "assistant", "reasoning_content": "Look at the clock."}
        asked = {"model": "mixed", "max_tokens": 9, "tools": ANTHROPIC_TOOLS}
        if streamed:
            gpt.reply = chunks(thought, {"tool_calls": [called]}, finish="tool_calls")
            with messages.stream(**asked, messages=ASK) as stream:
                turn = stream.get_final_message()
        else:
            whole = json.loads(COMPLETION)
            whole["choices"][0] |= {
                "message": {**thought, "content": None, "tool_calls": [called]},
                "finish_reason": "tool_calls",
            }
            gpt.reply = answer(json.dumps(whole).encode())
            turn = messages.create(**asked, messages=ASK)
        assert [block.type for block in turn.content] == ["thinking", "tool_use"]
        gpt.reply, claude.reply = answer(b'{"error":{"message":"down"}}', 503), answer(MESSAGE)
        result = {"type": "tool_result", "tool_use_id": turn.content[1].id, "content": "noon"}
        said = [*ASK, {"role": "assistant", "content": turn.content}, {"role": "user", "content": [result]}]
        assert messages.create(**asked, messages=said).content[0].text == "ok"
        sent = json.loads(claude.last)["messages"]
        assert [block["type"] for block in sent[1]["content"]] == ["tool_use"]
        # The other way round: what Claude has signed goes to nobody else, and comes back to it.
        signed = {"type": "thinking", "thinking": "", "signature": "c2ln"}
        said.insert(3, {"role": "assistant", "content": [signed, {"type": "text", "text": "Noon."}]})
        said.append({"role": "user", "content": "Sure?"})
        messages.create(**asked, messages=said)
        assert json.loads(claude.last)["messages"][3]["content"] == [signed, {"type": "text", "text": "Noon."}]
        gpt.reply = answer(COMPLETION)
        messages.create(**asked, messages=said)
        assert b"c2ln" not in gpt.last
        assert b"Look at the clock" not in gpt.last

    def test_a_count_of_such_a_history_is_asked_without_it_too(self, edge, claude):
        claude.reply = answer(b'{"input_tokens":7}')
        turn = {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": ""}, USE[0]]}
        body = {"model": CLAUDE, "messages": [*ASK, turn]}
        assert httpx2.post(f"{edge.url}/v1/messages/count_tokens", json=body).json() == {"input_tokens": 7}
        assert json.loads(claude.last)["messages"][1]["content"] == [USE[0]]


class TestErrorsThatAClientActsOn:
    """Code, numbers and meaning, as the SDK of the other API reads them; and the provider's word on asking again."""

    def test_of_anthropics_in_openais_dialect(self, ai, claude):
        said = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}'
        claude.reply = answer(said, 400, x_should_retry="false")
        with pytest.raises(
            openai.BadRequestError, match=r"maximum context length is 200000 tokens.* 210000 tokens"
        ) as caught:
            ai.chat.completions.create(model=CLAUDE, messages=ASK)
        assert caught.value.code == "context_length_exceeded"
        assert caught.value.response.headers["x-should-retry"] == "false"
        claude.reply = answer(
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            529,
            retry_after="7",
            x_should_retry="true",
        )
        with pytest.raises(openai.InternalServerError) as caught:
            ai.chat.completions.create(model="claude-busy", messages=ASK)  # which is left alone from here on
        told = caught.value.response
        assert (told.status_code, caught.value.code, told.headers["retry-after"], told.headers["x-should-retry"]) == (
            503,
            "overloaded",
            "7",
            "true",
        )

    def test_of_openais_in_anthropics_dialect(self, messages, gpt):
        gpt.reply = answer(
            b'{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","code":"insufficient_quota"}}',
            429,
        )
        with pytest.raises(anthropic.APIStatusError) as caught:
            messages.create(model=MODEL, max_tokens=9, messages=ASK)
        assert (caught.value.status_code, caught.value.type) == (503, "api_error")
        assert caught.value.response.headers["x-should-retry"] == "false"
        gpt.reply = answer(b'{"error":{"message":"The server is overloaded.","type":"server_error","code":null}}', 503)
        with pytest.raises(anthropic.APIStatusError) as caught:
            messages.create(model=MODEL, max_tokens=9, messages=ASK)
        assert (caught.value.status_code, caught.value.type) == (529, "overloaded_error")
        gpt.reply = answer(
            b'{"error":{"message":"Filtered.","type":"invalid_request_error","code":"content_filter"}}', 400
        )
        with pytest.raises(anthropic.BadRequestError) as caught:
            messages.create(model=MODEL, max_tokens=9, messages=ASK)
        assert caught.value.error_code == "content_filter"

    def test_inside_a_stream(self, ai, messages, claude, gpt):
        claude.reply = chunked(
            [
                event("message_start", message={"id": "m", "model": "m", "usage": {"input_tokens": 1}}),
                event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
                event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x"}),
                event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
            ]
        )
        with pytest.raises(openai.APIError) as caught:
            list(ai.chat.completions.create(model=CLAUDE, messages=ASK, stream=True))
        assert caught.value.code == "overloaded"
        head = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
        gpt.reply = chunked(
            [head, b'data: {"error":{"message":"No.","type":"insufficient_quota","code":"insufficient_quota"}}\n\n']
        )
        with (
            pytest.raises(anthropic.APIStatusError) as caught,
            messages.stream(model=MODEL, max_tokens=9, messages=ASK) as stream,
        ):
            list(stream)
        assert caught.value.body["error"]["type"] == "billing_error"


def test_a_history_that_is_signed_goes_byte_for_byte(edge, claude):
    claude.reply = answer(MESSAGE)
    body = b'{"model":"claude-x", "max_tokens":9.0,"messages":[{"role":"assistant","content":[ {"type":"thinking","thinking":"","signature":"c2ln"} ]}]}'
    assert (
        httpx2.post(f"{edge.url}/v1/messages", content=body, headers={"content-type": "application/json"}).status_code
        == 200
    )
    assert claude.last == body


def test_a_large_history_is_looked_through_beside_the_loop(edge, claude):
    claude.reply = answer(MESSAGE)
    blocks = [{"type": "thinking", "thinking": "x" * 1000, "signature": ""}, {"type": "text", "text": "y" * 1000}]
    said = [{"role": role, "content": blocks if role == "assistant" else "z"} for role in ["user", "assistant"] * 500]
    assert (
        httpx2.post(f"{edge.url}/v1/messages", json={"model": CLAUDE, "max_tokens": 9, "messages": said}).status_code
        == 200
    )
    sent = json.loads(claude.last)["messages"]
    assert {len(each["content"]) for each in sent if each["role"] == "assistant"} == {1}
    assert len(sent) == 1000
