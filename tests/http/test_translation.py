"""Any client to any model: the openai SDK in front of an Anthropic provider, the anthropic SDK in front of an OpenAI one."""

from __future__ import annotations

import json

import anthropic
import httpx2
import openai
import pytest

from tests.harness import Canned, Client, Edge, answer, chunked, providers, running
from tests.unit.translating import unset

CLAUDE, GPT = "claude-haiku-4-5", "gpt-4o"
SAID = [{"role": "user", "content": "Say hello."}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
OPENAI_TOOLS = [{"type": "function", "function": {"name": "weather", "description": "w", "parameters": SCHEMA}}]
ANTHROPIC_TOOLS = [{"name": "weather", "description": "w", "input_schema": SCHEMA}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    local = {"dialect": "openai", "base_url": f"{simulator.url}/v1", "models": ["llama-*"], "system": "first"}
    chats = {
        "dialect": "openai",
        "base_url": f"{simulator.url}/v1",
        "models": [],
        "capabilities": {"*": {"apis": ["chat"]}},
    }
    config = {
        "providers": {**providers(simulator.url), "local": local, "chats": chats},
        "models": {
            "either": {"strategy": "failover", "upstreams": [{"to": "openai/gpt-4o"}, {"to": f"anthropic/{CLAUDE}"}]}
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
def claude(edge):
    with anthropic.Anthropic(api_key="x", base_url=edge.url, max_retries=0) as client:
        yield client


class TestTheOpenAISDKInFrontOfAnthropic:
    def test_chat(self, ai):
        got = ai.chat.completions.create(model=CLAUDE, messages=SAID)
        assert got.object == "chat.completion"
        assert got.choices[0].message.content
        assert got.choices[0].finish_reason == "stop"
        assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens > 0

    def test_a_stream_says_what_the_whole_answer_says(self, ai):
        whole = ai.chat.completions.create(model=CLAUDE, messages=SAID)
        chunks = list(
            ai.chat.completions.create(model=CLAUDE, messages=SAID, stream=True, stream_options={"include_usage": True})
        )
        assert (
            "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
        )
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
        assert chunks[-1].usage == whole.usage
        assert len({c.id for c in chunks}) == 1

    def test_tools_round_trip(self, ai, simulator):
        got = ai.chat.completions.create(model=CLAUDE, messages=SAID, tools=OPENAI_TOOLS)
        call = got.choices[0].message.tool_calls[0]
        assert got.choices[0].finish_reason == "tool_calls"
        assert set(json.loads(call.function.arguments)) == {"city", "days"}
        turns = [*SAID, got.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
        before = simulator.count()
        got = ai.chat.completions.create(model=CLAUDE, messages=turns, tools=OPENAI_TOOLS)
        assert got.choices[0].message.content
        sent = json.loads(simulator.entry(before)["body"])
        assert sent["messages"][2]["content"][0] == {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}
        stream = ai.chat.completions.create(model=CLAUDE, messages=SAID, tools=OPENAI_TOOLS, stream=True)
        parts = [
            c.choices[0].delta.tool_calls[0].function.arguments or ""
            for c in stream
            if c.choices and c.choices[0].delta.tool_calls
        ]
        assert json.loads("".join(parts)) == json.loads(call.function.arguments)

    def test_images_and_structured_output(self, ai, simulator):
        parts = [
            {"type": "text", "text": "?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        ]
        before = simulator.count()
        ai.chat.completions.create(model=CLAUDE, messages=[{"role": "user", "content": parts}])
        assert PIXEL in simulator.entry(before)["body"]
        schema = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": SCHEMA, "strict": True}}
        got = ai.chat.completions.create(model=CLAUDE, messages=SAID, response_format=schema)
        assert set(json.loads(got.choices[0].message.content)) == {"city", "days"}
        assert got.choices[0].finish_reason == "stop"

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, openai.BadRequestError),
            (404, openai.NotFoundError),
            (413, openai.APIStatusError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (529, openai.InternalServerError),
        ],
    )
    def test_errors_have_openais_shape_and_status(self, ai, status, kind):
        with pytest.raises(kind) as caught:
            ai.chat.completions.create(model=f"anthropic/sim-{status}", messages=SAID)
        assert caught.value.status_code == (503 if status == 529 else status)
        assert caught.value.body["message"]
        if status == 429:
            assert caught.value.response.headers["retry-after"] == "1"

    def test_an_error_inside_a_stream_is_raised(self, ai):
        with pytest.raises(openai.APIError):
            list(ai.chat.completions.create(model="anthropic/sim-words-9-inband-5", messages=SAID, stream=True))

    @pytest.mark.parametrize("plan", ["cut-6", "half-6"])
    def test_a_stream_that_breaks_off_is_no_complete_one(self, edge, plan):
        body = {"model": f"anthropic/sim-words-9-{plan}", "messages": SAID, "stream": True}
        text = httpx2.post(f"{edge.url}/v1/chat/completions", json=body).text
        assert '"upstream_stream_broken"' in text
        assert "[DONE]" not in text

    def test_what_cannot_cross_is_named(self, edge):
        body = {"model": CLAUDE, "messages": SAID, "seed": 7, "logit_bias": {"5": 1}}
        got = httpx2.post(f"{edge.url}/v1/chat/completions", json=body)
        assert got.status_code == 200
        assert set(got.headers["x-edge-dropped"].split(", ")) == {"seed", "logit_bias"}
        got = httpx2.post(f"{edge.url}/v1/chat/completions", json={**body, "n": 2})
        assert got.status_code == 400
        assert got.json()["error"]["param"] == "n"


class TestTheAnthropicSDKInFrontOfOpenAI:
    def test_a_message(self, claude):
        got = claude.messages.create(model=GPT, max_tokens=100, messages=SAID, system="Be brief.")
        assert got.type == "message"
        assert got.content[0].text
        assert got.stop_reason == "end_turn"
        assert got.usage.input_tokens > 0 < got.usage.output_tokens

    def test_a_stream_says_what_the_whole_answer_says(self, claude):
        whole = claude.messages.create(model=GPT, max_tokens=100, messages=SAID)
        with claude.messages.stream(model=GPT, max_tokens=100, messages=SAID) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert text == whole.content[0].text
        assert final.stop_reason == "end_turn"
        assert (final.usage.input_tokens, final.usage.output_tokens) == (
            whole.usage.input_tokens,
            whole.usage.output_tokens,
        )

    def test_tools_round_trip(self, claude):
        got = claude.messages.create(model=GPT, max_tokens=100, messages=SAID, tools=ANTHROPIC_TOOLS)
        (use,) = [block for block in got.content if block.type == "tool_use"]
        assert got.stop_reason == "tool_use"
        assert set(use.input) == {"city", "days"}
        turns = [
            *SAID,
            {"role": "assistant", "content": got.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sun"}]},
        ]
        got = claude.messages.create(model=GPT, max_tokens=100, messages=turns, tools=ANTHROPIC_TOOLS)
        assert got.content[0].text
        with claude.messages.stream(model=GPT, max_tokens=100, messages=SAID, tools=ANTHROPIC_TOOLS) as stream:
            final = stream.get_final_message()
        assert [block.input for block in final.content if block.type == "tool_use"] == [use.input]

    @pytest.mark.parametrize(
        ("status", "kind", "name"),
        [
            (400, anthropic.BadRequestError, "invalid_request_error"),
            (404, anthropic.NotFoundError, "not_found_error"),
            (429, anthropic.RateLimitError, "rate_limit_error"),
            (500, anthropic.InternalServerError, "api_error"),
            (503, anthropic.InternalServerError, "overloaded_error"),
        ],
    )
    def test_errors_have_anthropics_shape_and_types(self, claude, status, kind, name):
        with pytest.raises(kind) as caught:
            claude.messages.create(model=f"openai/sim-{status}", max_tokens=9, messages=SAID)
        assert caught.value.body["error"]["type"] == name
        assert caught.value.status_code == (529 if status == 503 else status)

    def test_an_error_inside_a_stream_is_raised(self, claude):
        with (
            pytest.raises(anthropic.APIStatusError),
            claude.messages.stream(model="openai/sim-words-9-inband-5", max_tokens=50, messages=SAID) as stream,
        ):
            stream.get_final_message()

    @pytest.mark.parametrize("plan", ["cut-6", "half-6"])
    def test_a_stream_that_breaks_off_is_no_complete_one(self, edge, plan):
        body = {"model": f"openai/sim-words-9-{plan}", "max_tokens": 50, "messages": SAID, "stream": True}
        text = httpx2.post(f"{edge.url}/v1/messages", json=body).text
        assert text.rstrip().rpartition("\n\n")[2].startswith("event: error")
        assert "message_stop" not in text

    def test_tokens_are_estimated_and_said_to_be(self, edge, claude):
        raw = claude.messages.with_raw_response.count_tokens(model=GPT, messages=SAID)
        assert raw.headers["x-edge-estimated"] == "true"
        assert raw.parse().input_tokens > 0
        raw = claude.messages.with_raw_response.count_tokens(model=CLAUDE, messages=SAID)
        assert "x-edge-estimated" not in raw.headers

    def test_server_tools_are_refused_by_name(self, claude):
        with pytest.raises(anthropic.BadRequestError, match="web_search"):
            claude.messages.create(
                model=GPT, max_tokens=9, messages=SAID, tools=[{"type": "web_search_20250305", "name": "web_search"}]
            )


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize(
    ("path", "model"), [("/v1/chat/completions", "anthropic/sim-"), ("/v1/messages", "openai/sim-")]
)
def test_a_refusal_of_our_own_key_is_never_the_clients(edge, status, path, model):
    got = httpx2.post(f"{edge.url}{path}", json={"model": f"{model}{status}", "max_tokens": 9, "messages": SAID})
    assert got.status_code == 503
    assert got.headers["x-should-retry"] == "false"


def test_both_dialects_list_all_models(edge, ai, claude):
    assert {CLAUDE, GPT, "either"} <= {model.id for model in ai.models.list()}
    assert {CLAUDE, GPT, "either"} <= {model.id for model in claude.models.list(limit=100)}


def test_ranges_are_refused_in_the_words_of_the_clients_own_api(ai, claude, simulator):
    before = simulator.count()
    for model in (CLAUDE, GPT):  # translated: by the edge; passed through: by the provider
        with pytest.raises(openai.BadRequestError) as caught:
            ai.chat.completions.create(model=model, messages=SAID, max_completion_tokens=0)
        told = "Expected a value >= 1, but got 0 instead."
        assert caught.value.body["message"] == f"Invalid 'max_completion_tokens': integer below minimum value. {told}"
        assert (caught.value.code, caught.value.param) == ("integer_below_min_value", "max_completion_tokens")
        with pytest.raises(anthropic.BadRequestError) as caught:
            claude.messages.create(model=model, max_tokens=9, messages=SAID, extra_body={"temperature": 1.5})
        assert caught.value.body["error"] == {"type": "invalid_request_error", "message": "temperature: range: 0..1"}
    assert simulator.count() == before + 2


def test_an_upstream_that_cannot_take_a_request_is_passed_over(edge, claude, simulator):
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    raw = claude.messages.with_raw_response.create(model="either", max_tokens=9, messages=SAID, tools=tools)
    assert raw.headers["x-edge-provider"] == "anthropic"


def test_the_providers_query_and_headers_of_the_other_dialect_stay_behind(edge, simulator):
    before = simulator.count()
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "x", "authorization": "Bearer y"}
    body = {"model": GPT, "max_tokens": 9, "messages": SAID}
    assert httpx2.post(f"{edge.url}/v1/messages?beta=true", json=body, headers=headers).status_code == 200
    seen = simulator.entry(before)
    assert seen["path"] == "/v1/chat/completions"
    assert "anthropic" not in str(seen["headers"]).replace("sk-upstream-anthropic", "").lower()


def test_strict_refuses_what_would_be_lost(simulator, tmp_path):
    edge = Edge(tmp_path, {"providers": providers(simulator.url), "translation": {"strict": True}})
    with running(edge):
        body = {"model": CLAUDE, "messages": SAID, "seed": 7}
        got = httpx2.post(f"{edge.url}/v1/chat/completions", json=body)
        assert got.status_code == 400
        assert "'seed'" in got.json()["error"]["message"]
        assert httpx2.post(f"{edge.url}/v1/chat/completions", json={**body, "model": GPT}).status_code == 200


def event(kind: str, **data) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


THOUGHT = [
    event("message_start", message={"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}),
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."}),
    event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "c2ln+/=="}),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=1, delta={"type": "text_delta", "text": "Yes."}),
    event("content_block_stop", index=1),
    event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 9}),
    event("message_stop"),
]  # fmt: skip


def test_thinking_comes_back_with_its_signature_and_returns_byte_for_byte(tmp_path, front):
    with Canned(chunked(THOUGHT)) as upstream:
        edge = Edge(tmp_path, {"providers": providers(upstream.url)}, front=front)
        with running(edge), openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as ai:
            stream = ai.chat.completions.create(model="claude-sonnet-5", messages=SAID, stream=True)
            deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
            assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hm."
            blocks = [block for delta in deltas for block in getattr(delta, "thinking_blocks", None) or []]
            whole = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln+/=="}
            turn = {"role": "assistant", "content": "Yes.", "thinking_blocks": [whole]}
            assert any(block.get("signature") == "c2ln+/==" for block in blocks)
            upstream.reply = answer(
                b'{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
            )
            ai.chat.completions.create(model="claude-sonnet-5", messages=[*SAID, turn, *SAID])
            assert json.loads(upstream.seen[-1].body)["messages"][1]["content"][0] == whole


def test_events_split_at_every_byte_give_the_same_stream(tmp_path, front):
    """One write per byte of the provider's stream."""
    got = []
    for pieces in (THOUGHT, [bytes([byte]) for byte in b"".join(THOUGHT)]):
        with Canned(chunked(pieces)) as upstream:
            edge = Edge(tmp_path, {"providers": providers(upstream.url)}, front=front)
            with running(edge), Client(edge.port) as client:
                client.post(
                    "/v1/chat/completions",
                    b'{"model":"claude-sonnet-5","stream":true,"messages":[{"role":"user","content":"x"}]}',
                )
                status, headers = client.head()
                assert status == 200
                assert headers["content-type"] == "text/event-stream; charset=utf-8"
                lines = [line for line in client.body(headers).split(b"\n") if line]
                for line in lines[:-1]:
                    json.loads(line.removeprefix(b"data: "))
                got.append(
                    [line if line.endswith(b"[DONE]") else {**json.loads(line[6:]), "created": 0} for line in lines]
                )
    assert got[0] == got[1]
    assert got[0][-1] == b"data: [DONE]"


def test_a_page_of_html_is_no_answer(edge):
    for path, model in (("/v1/chat/completions", "anthropic/sim-html"), ("/v1/messages", "openai/sim-html")):
        got = httpx2.post(f"{edge.url}{path}", json={"model": model, "max_tokens": 9, "messages": SAID})
        assert got.status_code == 502
        assert "<" not in got.json()["error"]["message"]
    got = httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "anthropic/sim-500-html", "messages": SAID})
    assert got.status_code == 500
    assert "<html" not in got.text


@pytest.mark.parametrize("stream", [False, True])
def test_tools_for_a_model_that_takes_none_there_are_one_400_before_it_is_asked(edge, simulator, stream):
    before = simulator.count()
    body = {
        "model": "chats/gpt-6-astra",
        "max_tokens": 64,
        "messages": SAID,
        "tools": ANTHROPIC_TOOLS,
        "stream": stream,
    }
    body |= {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}
    got = httpx2.post(f"{edge.url}/v1/messages", json=body)
    assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "'tools'" in got.json()["error"]["message"]
    assert got.headers["x-edge-attempts"] == "1"
    assert simulator.count() == before


def test_a_models_own_400_for_tools_passes_as_it_is(tmp_path):
    said = b'{"error":{"message":"Function tools are not supported.","type":"invalid_request_error","param":"x","code":null}}'
    with Canned(answer(said, 400)) as upstream:
        only = {"*": {"apis": ["chat"]}}
        provider = {"dialect": "openai", "base_url": upstream.url, "capabilities": only}
        made = Edge(tmp_path, {"providers": {"openai": provider}})
        with running(made):
            body = {"model": "gpt-6-astra", "messages": SAID, "tools": OPENAI_TOOLS}
            got = httpx2.post(f"{made.url}/v1/chat/completions", json=body)
    assert (got.status_code, got.content) == (400, said)
    assert json.loads(upstream.seen[0].body) == body


def test_a_provider_that_wants_system_messages_first_is_told_the_later_ones_by_the_user(edge, simulator):
    said = [*SAID, {"role": "system", "content": "be brief"}]
    for model, told in (("llama-3", [{"role": "user", "content": "Say hello.\n\nbe brief"}]), (GPT, said)):
        before = simulator.count()
        body = {"model": model, "max_tokens": 64, "system": "S", "messages": said}
        assert httpx2.post(f"{edge.url}/v1/messages", json=body).status_code == 200
        sent = json.loads(simulator.entry(before)["body"])["messages"]
        assert sent == [{"role": "system", "content": "S"}, *told]


@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize("tools", [[], ANTHROPIC_TOOLS])
def test_what_the_anthropic_sdk_reads_has_every_field_it_names(claude, beta, tools):
    api = claude.beta.messages if beta else claude.messages
    asked = {"model": GPT, "max_tokens": 64, "messages": SAID, "tools": tools}
    asked |= {"betas": ["one-2025-01-01"]} if beta else {}
    assert unset(api.create(**asked)) == []
    events = list(api.create(**asked, stream=True))
    assert [field for event in events for field in unset(event)] == []
    assert events[0].message.usage.input_tokens > 0
