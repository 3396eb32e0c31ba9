"""The talk of OpenAI's Responses API over a WebSocket: ``response.create`` goes in, the events of a stream come out
(https://platform.openai.com/docs/guides/websocket-mode).

Each response names its model. The first one finds the provider, and all that follow go there, by the same account,
which knows what ``previous_response_id`` names.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from edge._fast import JSONScanner, number_in
from edge.dialects.estimate import GPT_BYTES, estimate_input
from edge.dialects.openai import error_type
from edge.dialects.responses import TERMINAL, usage_of
from edge.errors import (
    UNREADABLE,
    EdgeError,
    InvalidRequest,
    InvalidValue,
    MissingParameter,
    RouteNotAllowed,
    UnsupportedRoute,
)
from edge.grant import Grant
from edge.guard.expected import UNCOUNTED
from edge.guard.shape import check_counts, check_types
from edge.guard.validate import check_name
from edge.sockets.granting import granted, payload_of, reached
from edge.sockets.opening import Refused
from edge.sockets.peer import Message
from edge.sockets.tab import MOST_UNDER_WAY, Due
from edge.sockets.talk import Floor, Talk, scanned, text_of
from edge.sockets.word import told_by
from edge.upstreams.router import Upstream

__all__ = ["ResponsesTalk"]

NO_RESPONSE = "There is no response on this connection that the event could be about: 'response.create' comes first."


FAILED = ("error", "response.failed")


class _Response(msgspec.Struct):
    id: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    stream_id: str | None = None
    response: _Response | None = None
    delta: msgspec.Raw = msgspec.Raw(b"")


class _Refusal(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b"")


class Wish:
    """A response that is asked for: the event, where its values stand, and what it may come to."""

    def __init__(self, data: bytes, scan: JSONScanner, due: Due) -> None:
        self.data = data
        self.scan = scan
        self.due = due

    def for_model(self, model: str) -> bytes:
        """The event with this name for the model, for who is sent it."""
        self.due.sent = True
        start, end = self.scan.span(b"model") or (0, 0)
        return self.data[:start] + msgspec.json.encode(model) + self.data[end:]

    def most(self) -> int:
        """Tokens that may be written: as many as usual, where that is not said."""
        span = self.scan.span(b"max_output_tokens")
        text = b"" if span is None else self.data[span[0] : span[1]]
        return number_in(text, 0, len(text)) or self.due.usual

    def is_kept(self) -> bool:
        """Whether its provider may keep what it makes of it, which is then not to be made twice."""
        return not self.scan.says(b"store", b"false")


class ResponsesTalk(Talk):
    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._wish: Wish | None = None
        self._dropped: deque[Due] = deque(maxlen=MOST_UNDER_WAY)

    # The client.

    def asked(self, message: Message) -> None:
        floor, lane = self._floor, ""
        try:
            scan = scanned(message)
            lane = text_of(scan, message.data, b"stream_id") or ""
            kind = text_of(scan, message.data, b"type")
            if kind is None:
                raise InvalidValue("An event has a 'type', which is a text.", param="type")
            if kind == "response.create":
                self._create(message.data, scan, lane)
            elif scan.span(b"model") is not None:
                raise InvalidValue(f"Only 'response.create' names a model, not '{kind}'.", param="model")
            elif floor.joined:
                floor.forward(message)
            else:
                raise InvalidRequest(NO_RESPONSE)
        except EdgeError as error:
            floor.tell(self._error(error, lane))

    def _create(self, data: bytes, scan: JSONScanner, lane: str) -> None:
        call = self._floor.call
        check_types("responses", "openai", data, scan)
        check_counts(call.state.settings.server, data, scan)
        model = text_of(scan, data, b"model")
        if model is None:
            raise MissingParameter("The parameter 'model' is missing.", param="model")
        check_name(model, "parameter")
        grant = granted(call.state, call.key, model, call.head.route)
        if grant.quotas is not None and grant.quotas.all and scan.says(b"background", b"true"):
            raise RouteNotAllowed(UNCOUNTED)
        upstream = self._same(grant, model) if self._floor.joined else grant.upstreams[0]
        expected = estimate_input("/responses", data)
        if scan.span(b"previous_response_id") is not None:
            expected += self._floor.tab.context
        self._reserve(Wish(data, scan, Due(upstream, grant, expected, lane=lane)), model)

    def _same(self, grant: Grant, model: str) -> Upstream:
        """The model at the provider that the connection is to. Raises UnsupportedRoute where it is not there."""
        tried = self._floor.tried
        upstream = reached(grant, tried) if tried is not None else None
        if upstream is not None:
            return upstream
        raise UnsupportedRoute(
            f"The model '{model}' is not at the provider that this connection is to: open another one for it.",
            status=400,
            param="model",
        )

    def _reserve(self, wish: Wish, model: str) -> None:
        """Send it once it is within its limits, which Redis may have to tell. Raises what refuses it."""
        floor = self._floor

        def told(_: Due, refusal: EdgeError | None) -> None:
            if refusal is not None:
                floor.tell(self._error(refusal, wish.due.lane))
            elif not self._send(wish, model):
                return
            floor.release()

        if floor.tab.open(wish.due, wish.most(), told):
            self._send(wish, model)
        else:
            floor.hold()

    def _send(self, wish: Wish, model: str) -> bool:
        """False where a provider is looked for, which is told it first."""
        floor, due = self._floor, wish.due
        if floor.joined:
            floor.forward(Message(wish.for_model(due.upstream.model)))
            return True
        self._wish = wish
        due.sent = False
        floor.call.payload, floor.call.grant = payload_of(model), due.grant
        floor.join(wish.for_model, once=wish.is_kept())
        return False

    # The provider that was looked for.

    def joined(self) -> None:
        wish, self._wish, tried = self._wish, None, self._floor.tried
        if wish is not None and tried is not None:
            wish.due.upstream = tried.upstream
        self._floor.release()

    def refused(self, error: Refused | EdgeError) -> None:
        wish, self._wish = self._wish, None
        lane = ""
        if wish is not None:
            lane = wish.due.lane
            self._floor.tab.drop(wish.due)
        if isinstance(error, Refused):
            self._floor.tell(Message(passed(error, lane)))
        else:
            self._floor.tell(self._error(error, lane))
        self._floor.release()

    # What it says.

    def told(self, message: Message) -> None:
        event = read(message)
        refusal = told_by(message) if event is not None and event.type in FAILED else None
        if refusal is not None and not refusal.ours:
            refusal = None
        if refusal is None:
            self._floor.tell(message)
        if event is not None:
            self._heed(event, message)
        if refusal is not None:
            self._floor.disown(refusal)

    def _heed(self, event: _Event, message: Message) -> None:
        tab, lane, kind = self._floor.tab, event.stream_id or "", event.type
        if kind == "response.created" and event.response is not None:
            self._created(event.response.id, lane)
        elif kind.encode() in TERMINAL and event.response is not None:
            due = tab.named(event.response.id, lane)
            usage = usage_of(message.data)
            if due is not None and kind == "response.failed" and usage is None:
                tab.drop(due)
            elif due is not None:
                tab.settle(due, usage)
        elif kind == "error":
            # It does not say of what: a client could have one told at any time, by an event that nobody knows.
            current, due = tab.current(lane), tab.named("", lane)
            if current is not None:
                current.doubted = True
            if due is not None:
                tab.drop(due)
                self._dropped.append(due)
        elif kind.endswith(".delta"):
            due = tab.current(lane)
            if due is not None:
                due.written += max(1.0, (len(event.delta) - 2) / GPT_BYTES)

    def _created(self, response_id: str, lane: str) -> None:
        """A response has begun: the oldest that was asked for on its lane, though an error seemed to be about it; or on
        any, for a provider that tells no lanes.
        """
        tab = self._floor.tab
        before = tab.current(lane)
        if before is not None and before.doubted:
            tab.give_up(before)
        due = tab.named("", lane)
        if due is None:
            due = next((due for due in self._dropped if due.lane == lane), None)
            if due is not None:
                self._dropped.remove(due)
                tab.under_way.append(due)
        if due is None and not lane:
            due = next((due for due in tab.under_way if not due.id), None)
        if due is not None:
            due.id, due.lane = response_id, lane

    # Errors.

    def error_event(self, error: EdgeError) -> Message:
        return self._error(error, "")

    def _error(self, error: EdgeError, lane: str) -> Message:
        told = {"type": error_type(error.status), "code": error.code, "message": error.message, "param": error.param}
        return Message(event_of(error.status, told, lane))


def read(message: Message) -> _Event | None:
    """An event of the provider's, None for what is none."""
    try:
        return msgspec.json.decode(message.data, type=_Event) if message.text else None
    except UNREADABLE:
        return None


def event_of(status: int, error: Any, lane: str) -> bytes:
    told = {"type": "error", "status": status, "error": error, **({"stream_id": lane} if lane else {})}
    return msgspec.json.encode(told)


def passed(refusal: Refused, lane: str) -> bytes:
    """A provider's own refusal, as an event."""
    try:
        error: Any = msgspec.json.decode(msgspec.json.decode(refusal.body, type=_Refusal).error)
    except UNREADABLE:
        error = None
    if not isinstance(error, dict):
        error = {"type": error_type(refusal.status), "code": None, "message": "The provider refused.", "param": None}
    return event_of(refusal.status, error, lane)
