"""Responses that tests make up, and what translations make of them."""

from __future__ import annotations

import json

from edge.dialects.sealed import Seal
from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from tests.unit.test_to_responses_recordings import check_responses_request
from tests.unit.translating import (
    MESSAGE,
    NOW,
    USER,
    unset,
)

ASTRA = "gpt-6-astra"
SEAL = Seal(b"a secret")
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 13,
}


def context(**fields):
    return Context(seal=SEAL, request_id="r1", **fields)


def asked(client, model=ASTRA, strict=False, **fields):
    """The request that Responses get, and what was dropped."""
    fields = {"model": "x", "messages": [USER], **({"max_tokens": 100} if client == "messages" else {}), **fields}
    made = TRANSLATORS[client, "responses"].opens(model, strict=strict)
    made.context.seal = SEAL
    result = made.at_once(json.dumps(fields).encode())
    return check_responses_request(result.body), result.dropped


def thought(number=1, text="", encrypted="gAAA"):
    summary = [{"type": "summary_text", "text": part} for part in text.split("|")] if text else []
    return {"id": f"rs_{number}", "type": "reasoning", "summary": summary, "encrypted_content": f"{encrypted}{number}"}


def said(text, **part):
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": [], **part}]
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}


def refused(text):
    return {**said(""), "content": [{"type": "refusal", "refusal": text}]}


def called(number=1, name="look", arguments='{"a":1}'):
    fields = {"call_id": f"call_{number}", "name": name, "arguments": arguments}
    return {"id": f"fc_{number}", "type": "function_call", "status": "completed", **fields}


def response(*output, status="completed", **fields):
    made = {"id": "resp_1", "object": "response", "model": ASTRA, "status": status, "output": list(output)}
    return {**made, "usage": USAGE, **fields}


def streamed(*output, cut=0, **fields):
    """The events by which OpenAI would send a response, its texts in pieces of two characters."""
    events = []

    def add(kind, **more):
        events.append({"type": kind, "sequence_number": len(events), **more})

    begun = response(status="in_progress") | {"usage": None}
    add("response.created", response=begun)
    add("response.in_progress", response=begun)
    for index, item in enumerate(output):
        at = {"output_index": index, "item_id": item["id"]}
        kind = item["type"]
        empty = {"content": []} if kind == "message" else {"summary": []} if kind == "reasoning" else {"arguments": ""}
        add("response.output_item.added", output_index=index, item={**item, **empty, "status": "in_progress"})
        for place, part in enumerate(item.get("content") or item.get("summary") or ()):
            text = part.get("text") or part.get("refusal") or ""
            name, where = {
                "output_text": ("output_text", "content_index"),
                "refusal": ("refusal", "content_index"),
                "summary_text": ("reasoning_summary_text", "summary_index"),
            }[part["type"]]
            for start in range(0, len(text), 2):
                add(f"response.{name}.delta", **at, **{where: place}, delta=text[start : start + 2])
            add(f"response.{name}.done", **at, **{where: place}, text=text)
            for number, noted in enumerate(part.get("annotations") or ()):
                more = {"annotation": noted, "annotation_index": number}
                add("response.output_text.annotation.added", **at, content_index=place, **more)
        text = item.get("arguments") or ""
        for start in range(0, len(text), 2):
            add("response.function_call_arguments.delta", **at, delta=text[start : start + 2])
        add("response.output_item.done", output_index=index, item=item)
        add("keepalive")
    whole = response(*output, **fields)
    add(f"response.{whole['status']}", response=whole)
    events = events[: len(events) - cut]
    return b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events)


def message(*output, **fields):
    body = json.dumps(response(*output, **fields)).encode()
    made = json.loads(TRANSLATORS["messages", "responses"].answer(body, context(), NOW))
    assert unset(MESSAGE.validate_python(made)) == []
    return made


def completion(*output, made=None, **fields):
    body = json.dumps(response(*output, **fields)).encode()
    return json.loads(TRANSLATORS["chat", "responses"].answer(body, made or context(), NOW))
