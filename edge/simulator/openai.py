"""The OpenAI side: chat completions, completions, responses, embeddings, models."""

from __future__ import annotations

import json
from typing import Any

from edge.simulator.content import Content, Tool, called, content_for, count_tokens, embedding
from edge.simulator.plan import Plan

__all__ = ["chat", "chat_stream", "completion", "completion_stream", "embeddings", "error", "models", "response"]
__all__ += ["compaction", "input_tokens", "rerank", "response_stream"]

CREATED = 1_760_000_000
ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("server_error", "overloaded"),
}
Events = list[bytes]


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def error(status: int, message: str, param: str | None = None, code: str | None = None) -> bytes:
    """The envelope of an error."""
    kind, default = ERRORS.get(status, ("server_error", None))
    return dumps({"error": {"message": message, "type": kind, "param": param, "code": code or default}})


# Chat completions.


def _contents(body: dict[str, Any], plan: Plan) -> list[Content]:
    messages = body.get("messages") or []
    tool = _tool(body, bool(messages) and messages[-1].get("role") == "tool")
    response_format = body.get("response_format") or {}
    schema = (response_format.get("json_schema") or {}).get("schema")
    if response_format.get("type") == "json_object":
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return [
        content_for(
            messages, words=plan.words, announced=plan.announced, limit=limit, tool=tool, schema=schema, choice=choice
        )
        for choice in range(body.get("n") or 1)
    ]


def _tool(body: dict[str, Any], answered: bool) -> Tool | None:
    """The tool to call; none after a tool's result unless one is demanded."""
    choice = body.get("tool_choice")
    functions = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
    tools = [(each["name"], each.get("parameters") or {}) for each in functions]
    named = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    if not tools or choice == "none" or (answered and choice != "required" and named is None):
        return None
    return called(tools, named)


def _usage(prompt: Any, contents: list[Content]) -> dict[str, Any]:
    prompt_tokens, completion_tokens = count_tokens(prompt), sum(content.tokens for content in contents)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _finish(content: Content) -> str:
    return "tool_calls" if content.tool else "length" if content.cut else "stop"


def _calls(content: Content) -> list[dict[str, Any]]:
    assert content.tool is not None  # noqa: S101
    call_id, name, arguments = content.tool
    return [{"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}]


def chat(body: dict[str, Any], plan: Plan) -> bytes:
    contents = _contents(body, plan)
    choices = []
    for index, content in enumerate(contents):
        message: dict[str, Any] = {"role": "assistant", "content": content.text, "refusal": None, "annotations": []}
        if content.tool:
            message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": _calls(content)}
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": _finish(content)})
    return dumps(
        {
            "id": contents[0].id("chatcmpl-"),
            "object": "chat.completion",
            "created": CREATED,
            "model": body["model"],
            "choices": choices,
            "usage": _usage(body.get("messages"), contents),
            "system_fingerprint": "fp_simulator",
        }
    )


def chat_stream(body: dict[str, Any], plan: Plan) -> Events:
    contents = _contents(body, plan)
    include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    base = {
        "id": contents[0].id("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": body["model"],
        "system_fingerprint": "fp_simulator",
    }

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        data = {**base, "choices": [choice]}
        if include_usage:
            data["usage"] = None
        return b"data: " + dumps(data) + b"\n\n"

    events: Events = []
    for index, content in enumerate(contents):
        if content.tool:
            call = {**_calls(content)[0], "index": 0}
            arguments = call["function"]["arguments"]
            call["function"] = {"name": call["function"]["name"], "arguments": ""}
            events.append(chunk(index, {"role": "assistant", "content": None, "tool_calls": [call]}))
            events += [
                chunk(index, {"tool_calls": [{"index": 0, "function": {"arguments": arguments[i : i + 4]}}]})
                for i in range(0, len(arguments), 4)
            ]
        else:
            events.append(chunk(index, {"role": "assistant", "content": "", "refusal": None}))
            events += [chunk(index, {"content": word}) for word in content.words]
        events.append(chunk(index, {}, _finish(content)))
    if include_usage:
        usage = {**base, "choices": [], "usage": _usage(body.get("messages"), contents)}
        events.append(b"data: " + dumps(usage) + b"\n\n")
    events.append(b"data: [DONE]\n\n")
    return events


# Completions, the old form.


def completion(body: dict[str, Any], plan: Plan) -> bytes:
    content = content_for(body.get("prompt"), words=plan.words, announced=plan.announced, limit=body.get("max_tokens"))
    choice = {"index": 0, "text": content.text, "logprobs": None, "finish_reason": _finish(content)}
    return dumps(
        {**_completion_base(body, content), "choices": [choice], "usage": _usage(body.get("prompt"), [content])}
    )


def completion_stream(body: dict[str, Any], plan: Plan) -> Events:
    content = content_for(body.get("prompt"), words=plan.words, announced=plan.announced, limit=body.get("max_tokens"))
    base = _completion_base(body, content)
    pieces: list[tuple[str, str | None]] = [*((word, None) for word in content.words), ("", _finish(content))]
    events = [
        b"data: "
        + dumps({**base, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]})
        + b"\n\n"
        for text, finish in pieces
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        usage = {**base, "choices": [], "usage": _usage(body.get("prompt"), [content])}
        events.append(b"data: " + dumps(usage) + b"\n\n")
    return [*events, b"data: [DONE]\n\n"]


def _completion_base(body: dict[str, Any], content: Content) -> dict[str, Any]:
    return {"id": content.id("cmpl-"), "object": "text_completion", "created": CREATED, "model": body["model"]}


# Responses.


def _response_content(body: dict[str, Any], plan: Plan) -> Content:
    items = body.get("input")
    last = items[-1] if isinstance(items, list) and items else {}
    tools = [
        (tool["name"], tool.get("parameters") or {})
        for tool in body.get("tools") or []
        if tool.get("type") == "function" and not tool.get("defer_loading")
    ]
    choice = body.get("tool_choice")
    named = choice.get("name") if isinstance(choice, dict) else None
    demanded = named is not None or choice == "required"
    tool = None
    if tools and choice != "none" and (demanded or last.get("type") != "function_call_output"):
        tool = called(tools, named)
    text_format = (body.get("text") or {}).get("format") or {}
    prompt = [body.get("instructions"), items]
    return content_for(
        prompt,
        words=plan.words,
        announced=plan.announced,
        limit=body.get("max_output_tokens"),
        tool=tool,
        schema=text_format.get("schema"),
    )


def _response_object(
    body: dict[str, Any], content: Content, status: str, output: list[dict[str, Any]]
) -> dict[str, Any]:
    usage = None
    if status in ("completed", "incomplete"):
        input_tokens = count_tokens([body.get("instructions"), body.get("input")])
        usage = {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": content.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + content.tokens,
        }
    named = body.get("conversation")
    belongs = {"conversation": named if isinstance(named, dict) else {"id": named}} if named else {}
    return {
        "id": content.id("resp_"),
        **belongs,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": usage,
        "metadata": body.get("metadata") or {},
    }


def _thought(body: dict[str, Any], content: Content) -> dict[str, Any] | None:
    """What a model has thought, for who asks for that: a summary if it is to be shown, and itself encrypted."""
    if "reasoning.encrypted_content" not in (body.get("include") or ()):
        return None
    shown = (body.get("reasoning") or {}).get("summary") is not None
    summary = [{"type": "summary_text", "text": "Let me see."}] if shown else []
    encrypted = content.id("gAAAAB") + "=="
    return {"id": content.id("rs_"), "type": "reasoning", "summary": summary, "encrypted_content": encrypted}


def _output_item(content: Content, done: bool) -> dict[str, Any]:
    status = "completed" if done else "in_progress"
    if content.tool:
        call_id, name, arguments = content.tool
        return {
            "id": content.id("fc_"),
            "type": "function_call",
            "status": status,
            "call_id": call_id,
            "name": name,
            "arguments": arguments if done else "",
        }
    parts = [{"type": "output_text", "text": content.text, "annotations": [], "logprobs": []}] if done else []
    return {"id": content.id("msg_"), "type": "message", "status": status, "role": "assistant", "content": parts}


def response(body: dict[str, Any], plan: Plan) -> bytes:
    content = _response_content(body, plan)
    status = "incomplete" if content.cut else "completed"
    thought = _thought(body, content)
    output = [*([thought] if thought is not None else []), _output_item(content, True)]
    return dumps(_response_object(body, content, status, output))


def compaction(body: dict[str, Any], plan: Plan) -> bytes:
    """``types/responses/compacted_response.py``."""
    content = _response_content(body, plan)
    made = _response_object(body, content, "completed", [])
    item = {"type": "compaction", "id": content.id("cmp_"), "encrypted_content": content.id("gAAAA")}
    kept = {name: made[name] for name in ("created_at", "usage")}
    return dumps({"id": made["id"], "object": "response.compaction", "output": [item], **kept})


def input_tokens(body: dict[str, Any], plan: Plan) -> bytes:
    """``types/responses/input_token_count_response.py``."""
    told = count_tokens([body.get("instructions"), body.get("input")])
    return dumps({"object": "response.input_tokens", "input_tokens": told})


def rerank(body: dict[str, Any], plan: Plan) -> bytes:
    """The form of Jina's, vLLM's and llama.cpp's servers; Cohere's has ``meta.billed_units`` in place of ``usage``."""
    query, documents = body["query"], body["documents"]
    texts = [document if isinstance(document, str) else document["text"] for document in documents]
    scores = [embedding([query, text], 1, False)[0] + 0.5 for text in texts]
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[: body.get("top_n") or len(texts)]
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": scores[index]} for index in order]
    if body.get("return_documents"):
        results = [{**each, "document": {"text": texts[each["index"]]}} for each in results]
    return dumps({"model": body["model"], "results": results, "usage": {"total_tokens": count_tokens([query, texts])}})


def response_stream(body: dict[str, Any], plan: Plan) -> Events:
    content = _response_content(body, plan)
    events: Events = []

    def add(kind: str, **fields: Any) -> None:
        data = {"type": kind, "sequence_number": len(events), **fields}
        events.append(b"event: " + kind.encode() + b"\ndata: " + dumps(data) + b"\n\n")

    started = _response_object(body, content, "in_progress", [])
    add("response.created", response=started)
    add("response.in_progress", response=started)
    output = []
    thought = _thought(body, content)
    if thought is not None:
        place = {"item_id": thought["id"], "output_index": 0, "summary_index": 0}
        add("response.output_item.added", output_index=0, item={**thought, "summary": []})
        for part in thought["summary"]:
            add("response.reasoning_summary_part.added", **place, part={"type": "summary_text", "text": ""})
            add("response.reasoning_summary_text.delta", **place, delta=part["text"])
            add("response.reasoning_summary_text.done", **place, text=part["text"])
            add("response.reasoning_summary_part.done", **place, part=part)
        add("response.output_item.done", output_index=0, item=thought)
        output.append(thought)
    index = len(output)
    add("response.output_item.added", output_index=index, item=_output_item(content, False))
    item = _output_item(content, True)
    output.append(item)
    where = {"item_id": item["id"], "output_index": index}
    if content.tool:
        arguments = content.tool[2]
        for i in range(0, len(arguments), 4):
            add("response.function_call_arguments.delta", **where, delta=arguments[i : i + 4])
        add("response.function_call_arguments.done", **where, name=content.tool[1], arguments=arguments)
    else:
        part = {**where, "content_index": 0}
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        add("response.content_part.added", **part, part=empty)
        for word in content.words:
            add("response.output_text.delta", **part, delta=word, logprobs=[])
        add("response.output_text.done", **part, text=content.text, logprobs=[])
        add("response.content_part.done", **part, part=item["content"][0])
    add("response.output_item.done", output_index=index, item=item)
    status = "incomplete" if content.cut else "completed"
    add(f"response.{status}", response=_response_object(body, content, status, output))
    return events


# The rest.


def embeddings(body: dict[str, Any], plan: Plan) -> bytes:
    given = body.get("input")
    inputs = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    dimensions = body.get("dimensions") or 256
    encoded = body.get("encoding_format") == "base64"
    tokens = count_tokens(given)
    return dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": i, "embedding": embedding(item, dimensions, encoded)}
                for i, item in enumerate(inputs)
            ],
            "model": body["model"],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def models(names: list[str]) -> bytes:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"} for name in names]
    return dumps({"object": "list", "data": data})
