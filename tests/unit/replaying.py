"""What the tests of stored answers share: generated answers and their streams, and what the SDKs make of bytes."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState

from edge.cache.entry import Entry

APIS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
    "/v1/messages/count_tokens": "count_tokens",
}
USER = [{"role": "user", "content": "hi"}]


def api_of(recording) -> str:
    return APIS[recording.path.partition("?")[0]]


def entry(api: str, body: bytes, streamed: bool = False, chunks=None) -> Entry:
    if chunks is None:
        chunks = ((0, len(body)),) if streamed else ()
    return Entry(api, body, tuple(chunks), None, "openai", "gpt", -1, 0.0, 1.0)


def joined(pieces) -> bytes:
    return b"".join(data for _, data in pieces)


# What the SDKs show of an answer, read from a stream or from JSON by their own clients.


def transport(body: bytes, streamed: bool) -> httpx2.MockTransport:
    kind = "text/event-stream" if streamed else "application/json"
    return httpx2.MockTransport(lambda _: httpx2.Response(200, headers={"content-type": kind}, content=body))


def shown(api: str, body: bytes, streamed: bool) -> Any:
    """The answer as the SDK's own types show it, put together by the SDK if it is a stream."""
    http = httpx2.Client(transport=transport(body, streamed))
    if api == "messages":
        with anthropic.Anthropic(api_key="k", base_url="http://edge", http_client=http) as client:
            asked = {"model": "claude", "max_tokens": 9, "messages": USER}
            if not streamed:
                return tidy(client.beta.messages.create(**asked).to_dict())
            with client.beta.messages.stream(**asked) as stream:
                return tidy(stream.get_final_message().to_dict())
    with openai.OpenAI(api_key="k", base_url="http://edge", http_client=http) as client:
        if api == "chat":
            if not streamed:
                return tidy(client.chat.completions.create(model="m", messages=USER).to_dict())
            state = ChatCompletionStreamState()
            for chunk in client.chat.completions.create(model="m", messages=USER, stream=True):
                state.handle_chunk(chunk)
            return tidy(state.current_completion_snapshot.to_dict())
        if api == "completions":
            if not streamed:
                return tidy(client.completions.create(model="m", prompt="x").to_dict())
            return [chunk.to_dict() for chunk in client.completions.create(model="m", prompt="x", stream=True)]
        if not streamed:
            return tidy(client.responses.create(model="m", input="x").to_dict())
        with client.responses.stream(model="m", input="x") as stream:
            return tidy(stream.get_final_response().to_dict())


def tidy(value: Any) -> Any:
    """Without what a null and an absent field, or the SDK's own additions, make different."""
    if isinstance(value, dict):
        kept = {key: tidy(item) for key, item in value.items() if item is not None}
        for key in ("parsed", "parsed_arguments", "parsed_output", "obfuscation"):
            kept.pop(key, None)
        if "tool_calls" in kept:
            for call in kept["tool_calls"]:
                call.pop("index", None)
        return kept
    return [tidy(item) for item in value] if isinstance(value, list) else value


# Generated answers, as the JSON they would be without a stream.

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.text("abcdef", min_size=1, max_size=6)
numbers = st.integers(-5, 1 << 70) | st.decimals(-100, 100, places=3).map(float)
loose = st.recursive(
    st.none() | st.booleans() | texts | numbers,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
scores = st.fixed_dictionaries(
    {"token": texts, "logprob": st.just(-0.25), "bytes": st.none(), "top_logprobs": st.just([])}
)
tool_calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": names.map("call_{}".format),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": names, "arguments": texts | st.just("")}),
        }
    ),
    min_size=1,
    max_size=3,
)
chat_messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | st.just("") | texts},
    optional={
        "refusal": st.none() | texts,
        "reasoning_content": st.none() | texts,
        "tool_calls": tool_calls,
        "function_call": st.fixed_dictionaries({"name": names, "arguments": texts}),
    },
)
reasons = st.sampled_from(["stop", "length", "tool_calls"])
counts = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 99), "completion_tokens": st.integers(0, 99), "total_tokens": st.integers(0, 99)},
    optional={"prompt_tokens_details": st.just({"cached_tokens": 3})},
)
heads = {"id": names, "created": st.integers(1, 1 << 40), "model": names}
more = {"service_tier": st.just("default") | st.none(), "system_fingerprint": names | st.none(), "x_vendor": loose}


@st.composite
def completions_of(draw, kind: str, choice_fields, optional):
    choices = draw(st.lists(st.fixed_dictionaries(choice_fields, optional=optional), min_size=1, max_size=3))
    head = draw(st.fixed_dictionaries(heads, optional=more))
    found = [{"index": index, **choice} for index, choice in enumerate(choices)]
    return {**head, "object": kind, "choices": found, "usage": draw(counts)}


chat_bodies = completions_of(
    "chat.completion",
    {"message": chat_messages, "finish_reason": reasons},
    {
        "logprobs": st.none()
        | st.fixed_dictionaries({"content": st.lists(scores, min_size=1, max_size=3), "refusal": st.none()}),
        "stop_reason": loose,
    },
)
completion_bodies = completions_of(
    "text_completion",
    {"text": texts | st.just(""), "finish_reason": reasons},
    {"logprobs": st.none() | st.just({"tokens": ["a", "b"], "token_logprobs": [-0.5, None], "text_offset": [0, 1]})},
)
blocks = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": texts},
        optional={"citations": st.none() | st.lists(st.fixed_dictionaries({"cited_text": texts}), max_size=2)},
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": texts, "signature": names}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": names}),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
            "id": names,
            "name": names,
            "input": st.dictionaries(names, loose, max_size=2),
        }
    ),
    st.fixed_dictionaries({"type": st.just("of_tomorrow"), "content": loose}),
)
message_bodies = st.fixed_dictionaries(
    {
        "id": names,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": names,
        "content": st.lists(blocks, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "max_tokens", "stop_sequence"]),
        "stop_sequence": st.none() | texts,
        "usage": st.fixed_dictionaries(
            {"input_tokens": st.integers(0, 99), "output_tokens": st.integers(0, 99)},
            optional={
                "cache_read_input_tokens": st.none() | st.integers(0, 9),
                "cache_creation": st.just({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}),
                "server_tool_use": st.none() | st.just({"web_search_requests": 1, "web_fetch_requests": 0}),
            },
        ),
    },
    optional={
        "container": st.none(),
        "context_management": st.none() | st.just({"applied_edits": []}),
        "x": loose,
    },
)
BODIES = {"chat": chat_bodies, "completions": completion_bodies, "messages": message_bodies}


# Their streams, cut by other code than that which is under test.


def pieces(draw, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def chat_chunks(draw, body: dict[str, Any]) -> list[dict[str, Any]]:
    head = {key: value for key, value in body.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    queues = []
    for choice in body["choices"]:
        message, queue = choice["message"], []
        queue.append({"delta": {"role": "assistant", "content": None}})
        for key in ("reasoning_content", "content", "refusal"):
            if key in message and message[key] is None:
                queue.append({"delta": {key: None}})
            elif key in message:
                queue += [{"delta": {key: piece}} for piece in pieces(draw, message[key])]
        for index, call in enumerate(message.get("tool_calls", ())):
            opened = {"index": index, **call, "function": {**call["function"], "arguments": ""}}
            queue.append({"delta": {"tool_calls": [opened]}})
            for piece in pieces(draw, call["function"]["arguments"]):
                queue.append({"delta": {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}})
        if "function_call" in message:
            queue.append({"delta": {"function_call": {**message["function_call"], "arguments": ""}}})
            for piece in pieces(draw, message["function_call"]["arguments"]):
                queue.append({"delta": {"function_call": {"arguments": piece}}})
        if "logprobs" in choice:
            scored = choice["logprobs"]
            for delta, score in zip(queue[1:], (scored or {}).get("content", ()), strict=False):
                delta["logprobs"] = {"content": [score], "refusal": None}
            left = (scored or {}).get("content", [])[len(queue) - 1 :]
            queue.append({"delta": {}, "logprobs": {"content": left, "refusal": None} if scored else None})
        ends = {key: value for key, value in choice.items() if key not in ("message", "index", "logprobs")}
        queue.append({"delta": {}, **ends})
        queues.append([{"index": choice["index"], "finish_reason": None, **delta} for delta in queue])
    return interleaved(draw, head, queues, body["usage"])


def completion_chunks(draw, body: dict[str, Any]) -> list[dict[str, Any]]:
    head = {key: value for key, value in body.items() if key not in ("choices", "usage")}
    queues = []
    for choice in body["choices"]:
        queue = [{"text": piece} for piece in pieces(draw, choice["text"])]
        queue.append({"text": "", "finish_reason": choice["finish_reason"]})
        if "logprobs" in choice:
            queue[0]["logprobs"] = choice["logprobs"]
        queues.append([{"index": choice["index"], "finish_reason": None, **delta} for delta in queue])
    return interleaved(draw, head, queues, body["usage"])


def interleaved(draw, head, queues, usage) -> list[dict[str, Any]]:
    order = draw(st.permutations([number for number, queue in enumerate(queues) for _ in queue]))
    chunks = [{**head, "choices": [queues[number].pop(0)], "usage": None} for number in order]
    return [*chunks, {**head, "choices": [], "usage": usage}]


def message_stream_events(draw, body: dict[str, Any]) -> list[dict[str, Any]]:
    usage = body["usage"]
    late = {"stop_reason", "stop_sequence", "container"}
    start = {key: value for key, value in body.items() if key not in late | {"context_management"}}
    start |= {"content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    out = [{"type": "message_start", "message": start}]
    for index, block in enumerate(body["content"]):
        deltas: list[dict[str, Any]] = []
        begin = dict(block)
        if block["type"] == "text":
            begin |= {"text": ""} | ({"citations": []} if block.get("citations") else {})
            deltas += [{"type": "citations_delta", "citation": citation} for citation in block.get("citations") or ()]
            deltas += [{"type": "text_delta", "text": piece} for piece in pieces(draw, block["text"])]
        elif block["type"] == "thinking":
            begin |= {"thinking": "", "signature": ""}
            deltas += [{"type": "thinking_delta", "thinking": piece} for piece in pieces(draw, block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif block["type"].endswith("tool_use"):
            begin["input"] = {}
            text = json.dumps(block["input"]) if block["input"] else ""
            deltas += [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(draw, text)]
        out.append({"type": "content_block_start", "index": index, "content_block": begin})
        out += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        out.append({"type": "content_block_stop", "index": index})
        out += draw(st.lists(st.just({"type": "ping"}), max_size=1))
    end = {"type": "message_delta", "delta": {key: body[key] for key in late if key in body}}
    if "context_management" in body:
        end["context_management"] = body["context_management"]
    return [*out, end | {"usage": {"output_tokens": usage["output_tokens"]}}, {"type": "message_stop"}]


SPLITS = {"chat": chat_chunks, "completions": completion_chunks, "messages": message_stream_events}


@st.composite
def streams(draw, api: str, plain: bool = False, change=lambda body: body):
    """An answer, the events of a stream of it as bytes each, as some server could have written them."""
    body = change(draw(BODIES[api]))
    values = SPLITS[api](draw, body)
    newline = "\n" if plain else draw(st.sampled_from(["\n", "\r\n", "\r"]))
    written = []
    for value in values:
        lines = [] if api != "messages" else [f"event: {value['type']}"]
        if not plain and draw(st.integers(0, 4)) == 0:
            lines.insert(0, ": keep-alive")
        several = not plain and draw(st.integers(0, 4)) == 0
        text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=1 if several else None)
        lines += [f"data: {line}" for line in text.split("\n")]
        written.append(newline.join([*lines, "", ""]).encode())
        if not plain and draw(st.integers(0, 4)) == 0:
            written.append(f": keep-alive{newline}{newline}".encode())
    if api != "messages":
        written.append(f"data: [DONE]{newline}{newline}".encode())
    if not plain and draw(st.integers(0, 4)) == 0:
        written[0] = b"\xef\xbb\xbf" + written[0]
    return body, written
