"""A connection of the Responses API over a WebSocket: what its events are answered with. Events in, events out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from edge.simulator.answers import Answer
from edge.simulator.plan import Plan, plan_for

__all__ = ["ResponsesSession"]

Event = dict[str, Any]


class ResponsesSession:
    """``plan`` is that of the latest response. `answer` gives what a POST of a body would get."""

    def __init__(self, answer: Callable[[bytes], Answer], default: Plan) -> None:
        self.plan = self._default = default
        self._answer = answer
        self._known: set[str] = set()

    def begin(self) -> list[Event]:
        return []

    def heard(self, event: Any) -> list[Event]:
        """Of a response all its events, in their order."""
        kind = event.get("type") if isinstance(event, dict) else None
        if kind != "response.create":
            return [self.error(f"Invalid value: '{kind}'. Supported values are: 'response.create'.", "invalid_value")]
        asked = {name: value for name, value in event.items() if name not in ("type", "stream_id")}
        lane = {"stream_id": event["stream_id"]} if "stream_id" in event else {}
        before = asked.get("previous_response_id")
        if before is not None and before not in self._known:
            message = f"Previous response with id '{before}' not found."
            return [{**self.error(message, "previous_response_not_found", "previous_response_id"), **lane}]
        self.plan = plan_for(str(asked.get("model") or ""), self._default)
        answer = self._answer(json.dumps({**asked, "stream": True}).encode())
        if answer.status != 200:
            body = json.loads(answer.head.partition(b"\r\n\r\n")[2] or b"{}")
            return [{"type": "error", "status": answer.status, **body, **lane}]
        told = [{**each, **lane} for each in events_of(answer)]
        self._known |= {each["response"]["id"] for each in told if "response" in each}
        return told

    def error(self, message: str, code: str | None, param: str | None = None) -> Event:
        told = {"type": "invalid_request_error", "code": code, "message": message, "param": param}
        return {"type": "error", "status": 400, "error": told}


def events_of(answer: Answer) -> list[Event]:
    """The events of a stream."""
    text = answer.head.partition(b"\r\n\r\n")[2] + b"".join(piece.data for piece in answer.pieces)
    lines = [line[6:].strip() for line in text.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines]
