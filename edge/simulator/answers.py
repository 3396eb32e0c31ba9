"""From a request to what is to be written: faults are worked into the bytes here, so that a connection only plays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from edge.simulator import anthropic, openai
from edge.simulator.faults import dress, retry_headers, spoiled_body
from edge.simulator.plan import Plan, plan_for
from edge.simulator.validate import check_anthropic, check_openai

__all__ = ["Answer", "make_answer", "whole"]

Maker = Callable[[dict[str, Any], Plan], bytes]
StreamMaker = Callable[[dict[str, Any], Plan], list[bytes]]
End = Literal["done", "silence", "close", "reset"]

APIS: dict[str, tuple[bool, Maker, StreamMaker | None]] = {
    "/v1/chat/completions": (False, openai.chat, openai.chat_stream),
    "/v1/completions": (False, openai.completion, openai.completion_stream),
    "/v1/responses": (False, openai.response, openai.response_stream),
    "/v1/responses/compact": (False, openai.compaction, None),
    "/v1/responses/input_tokens": (False, openai.input_tokens, None),
    "/v1/embeddings": (False, openai.embeddings, None),
    "/v1/rerank": (False, openai.rerank, None),
    "/v1/messages": (True, anthropic.message, anthropic.message_stream),
    "/v1/messages/count_tokens": (True, anthropic.token_count, None),
}
"""Path: whether it is Anthropic's, and what makes the answer and the stream."""

REASONS = {200: b"OK", 302: b"Found", 400: b"Bad Request", 404: b"Not Found", 429: b"Too Many Requests"}
JSON_TYPE = b"application/json"
STREAM_TYPE = b"text/event-stream; charset=utf-8"
LAST_CHUNK = b"0\r\n\r\n"
DRIP_S = 0.01


def head(status: int, content_type: bytes, extra: bytes = b"") -> bytes:
    """An answer's head up to where its length or framing goes."""
    reason = REASONS.get(status, b"Simulated")
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\nx-request-id: req_simulator\r\nrequest-id: req_simulator\r\n"
        b"openai-processing-ms: 1\r\n%b" % (status, reason, content_type, extra)
    )


def whole(status: int, body: bytes, extra: bytes = b"", content_type: bytes = JSON_TYPE) -> bytes:
    return b"%bcontent-length: %d\r\n\r\n%b" % (head(status, content_type, extra), len(body), body)


@dataclass(frozen=True, slots=True)
class Piece:
    """One write. ``size`` counts the bytes of the body in it, ``events`` the whole events."""

    data: bytes
    size: int
    events: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What to write and when: ``head``, then the pieces, then ``end``.

    The first piece comes ``first_s`` after the request and each following one ``step_s`` after the one before.
    ``at_once``: all of it is ``head``, whose body has ``size`` bytes.
    """

    status: int
    head: bytes
    pieces: tuple[Piece, ...] = ()
    end: End = "done"
    first_s: float = 0.0
    step_s: float = 0.0
    at_once: bool = False
    size: int = 0


def make_answer(path: str, body: bytes, default: Plan, forced: Plan | None = None) -> Answer:
    """The answer to a POST of `body`; `forced` is a plan that stands above the model's name. A base URL may have a path
    of its own before ``/v1``, as some vendors' have.
    """
    path = path[max(0, path.find("/v1/")) :]
    api = APIS.get(path)
    if api is None:
        message = f"Unknown request URL: POST {path}. Please check the URL for typos."
        return _json(404, openai.error(404, message, code="unknown_url"), forced or Plan())
    is_anthropic, make, make_stream = api
    try:
        data = json.loads(body)
        plan = forced or plan_for(data.get("model") or "", default)
    except (ValueError, AttributeError, TypeError):
        message = "We could not parse the JSON body of your request."
        error = anthropic.error(400, message) if is_anthropic else openai.error(400, message)
        return _json(400, error, forced or Plan())
    if plan.status != 200:
        message = f"Simulated status {plan.status}."
        error = anthropic.error(plan.status, message) if is_anthropic else openai.error(plan.status, message)
        return _json(plan.status, error, plan)
    if "redirect" in plan.flags:
        return _json(302, b"", plan, b"location: /elsewhere\r\n")
    refused = _refused(is_anthropic, path, data)
    if refused is not None:
        return _json(400, refused, plan)
    if data.get("stream") and make_stream is not None:
        events = make_stream(data, plan)
        if plan.inband_after is not None:
            events = [*events[: plan.inband_after], _error_event(path, is_anthropic)]
        return _stream(events, plan)
    return _json(200, make(data, plan), plan)


def _refused(is_anthropic: bool, path: str, data: dict[str, Any]) -> bytes | None:
    """The body of a 400, if the real API would refuse the request."""
    try:
        if is_anthropic:
            message = check_anthropic(path, data)
            return None if message is None else anthropic.error(400, message)
        refusal = check_openai(path, data)
        return None if refusal is None else openai.error(400, *refusal)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = f"The request has a shape that is not expected ({type(error).__name__})."
        return anthropic.error(400, message) if is_anthropic else openai.error(400, message)


def _error_event(path: str, is_anthropic: bool) -> bytes:
    if is_anthropic:
        return b"event: error\ndata: " + anthropic.error(529, "Overloaded") + b"\n\n"
    if path == "/v1/responses":
        data = {"type": "error", "code": "server_error", "message": "Overloaded", "param": None, "sequence_number": 99}
        return b"event: error\ndata: " + openai.dumps(data) + b"\n\n"
    return b"data: " + openai.error(503, "Overloaded") + b"\n\n"


def _json(status: int, body: bytes, plan: Plan, extra: bytes = b"") -> Answer:
    if plan.hang_after == -1 or plan.rst_after == -1:
        return Answer(0, b"", end="silence" if plan.hang_after == -1 else "reset", first_s=plan.ttft_s)
    if status >= 400:
        extra += retry_headers(plan)
    body, content_type = spoiled_body(plan, body)
    body, dressing = dress(plan, body)
    data = whole(status, body, extra + dressing, content_type)
    if plan.at_once and "surplus" not in plan.flags:
        return Answer(status, data, at_once=True, size=len(body))
    limits = (
        ("silence", plan.hang_after),
        ("reset", plan.rst_after),
        ("close", plan.cut_after),
        ("close", plan.half_after),
    )
    end: End = "done"
    sent = len(body)
    for kind, limit in limits:
        if limit is not None:
            end, sent = kind, min(max(0, limit), len(body))  # type: ignore[assignment]
    front = data[: len(data) - len(body)]
    pieces = _dripped(body[:sent], plan)
    if "surplus" in plan.flags:
        pieces[-1] = Piece(pieces[-1].data + data, pieces[-1].size)
    return Answer(status, front, tuple(pieces), end, plan.ttft_s, DRIP_S if plan.drip else 0.0)


def _stream(events: list[bytes], plan: Plan) -> Answer:
    if plan.hang_after == -1 or plan.rst_after == -1:
        return Answer(0, b"", end="silence" if plan.hang_after == -1 else "reset", first_s=plan.ttft_s)
    extra = dress(plan, b"")[1] if "hostile" in plan.flags else b""
    front = head(200, STREAM_TYPE, b"cache-control: no-cache\r\n" + extra) + b"transfer-encoding: chunked\r\n\r\n"
    end: End = "done"
    kept, part = len(events), 0
    if plan.hang_after is not None:
        end, kept = "silence", plan.hang_after
    elif plan.cut_after is not None:
        end, kept = "close", max(0, plan.cut_after)
    elif plan.stall_after is not None or plan.half_after is not None:
        end = "silence" if plan.half_after is None else "close"
        kept = min(plan.stall_after if plan.half_after is None else plan.half_after, len(events) - 1)  # type: ignore[type-var, assignment]
        part = len(events[kept]) // 2
    elif plan.rst_after is not None:
        end, kept, left = "reset", 0, plan.rst_after
        while kept < len(events) and len(events[kept]) <= left:
            left -= len(events[kept])
            kept += 1
        part = left if kept < len(events) else 0
    pieces = [Piece(b"%x\r\n%b\r\n" % (len(event), event), len(event), 1) for event in events[:kept]]
    if part:
        pieces.append(Piece(b"%x\r\n%b" % (len(events[kept]), events[kept][:part]), part))
    if end == "done":
        tail = LAST_CHUNK
        if "surplus" in plan.flags:
            tail += whole(200, b'{"surplus":true}')
        pieces.append(Piece(tail, 0))
    if plan.drip:
        pieces = _dripped(b"".join(piece.data for piece in pieces), plan)
        return Answer(200, front, tuple(pieces), end, plan.ttft_s, DRIP_S)
    return Answer(200, front, tuple(pieces), end, plan.ttft_s, plan.token_s)


def _dripped(data: bytes, plan: Plan) -> list[Piece]:
    step = plan.drip or len(data) or 1
    return [Piece(data[i : i + step], len(data[i : i + step])) for i in range(0, len(data), step)] or [Piece(b"", 0)]
