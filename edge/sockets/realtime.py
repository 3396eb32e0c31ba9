"""The talk of OpenAI's Realtime API: events of JSON both ways, about one session of one model.

Responses are asked for by ``response.create``, or begin by themselves where the provider hears the end of a turn. All
else passes, but the name of the model in ``session.update``, which is the client's for it.
"""

from __future__ import annotations

import os

import msgspec

from edge._fast import JSONScanner
from edge.dialects.realtime import ServerEvent, error_event, heard_in, read_event, transcribed, usage_of, weight_of
from edge.errors import EdgeError, InvalidValue, UnsupportedRoute
from edge.guard.auth import refuse_model
from edge.sockets.granting import granted, reached
from edge.sockets.peer import Message
from edge.sockets.tab import Due
from edge.sockets.talk import Floor, Talk, scanned, text_of
from edge.sockets.word import told_by
from edge.upstreams.router import Upstream

__all__ = ["RealtimeTalk"]

CANCEL = b'{"type":"response.cancel","response_id":%b}'
ELSEWHERE = "The model '{}' is another one by now: open another connection."
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"


class RealtimeTalk(Talk):
    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._hears = ""
        self._renewed: Upstream | None = None

    def renewed(self) -> None:
        call, tried = self._floor.call, self._floor.tried
        grant = granted(call.state, call.key, call.payload.model, call.head.route)
        if tried is not None:
            self._renewed = reached(grant, tried, tried.upstream.model)
            if self._renewed is None:
                raise UnsupportedRoute(ELSEWHERE.format(call.payload.model), status=400, param="model")
        call.grant = grant

    def _upstream(self) -> Upstream:
        """The one that it is to, as the configuration of now has it."""
        tried = self._floor.tried
        assert tried is not None  # noqa: S101 - somebody speaks when there is a provider
        return self._renewed or tried.upstream

    # The client.

    def asked(self, message: Message) -> None:
        floor, event_id = self._floor, None
        try:
            scan = scanned(message)
            event_id = text_of(scan, message.data, b"event_id")
            kind = text_of(scan, message.data, b"type")
            if kind is None:
                raise InvalidValue("An event has a 'type', which is a text.", param="type")
            if kind == "session.update":
                message = self._named(message, scan)
            elif kind == "response.create" and not self._reserve(message, event_id or ""):
                return
        except EdgeError as error:
            floor.tell(self._error(error, event_id))
            return
        floor.forward(message)

    def _named(self, message: Message, scan: JSONScanner) -> Message:
        """The event with the name that the provider has for the model. Raises ModelNotAllowed for any other model."""
        span = scan.span(b"session")
        if span is None or message.data[span[0] : span[0] + 1] != b"{":
            return message
        session = message.data[span[0] : span[1]]
        inner = scanned(Message(session))
        at = inner.span(b"model")
        if at is None:
            return message
        model, asked = self._upstream().model, self._floor.call.payload.model
        named = text_of(inner, session, b"model")
        if named not in (asked, model):
            raise refuse_model(str(named))
        name = b'"' + model.encode() + b'"'
        data = message.data
        return Message(data[: span[0] + at[0]] + name + data[span[0] + at[1] :])

    def _reserve(self, message: Message, event_id: str) -> bool:
        """Whether the response is within its limits; where that is not known yet, the client's events wait for it."""
        floor = self._floor
        due = self._due(event_id)

        def told(_: Due, refusal: EdgeError | None) -> None:
            if refusal is None:
                floor.forward(message)
            else:
                floor.tell(self._error(refusal, event_id or None))
            floor.release()

        if floor.tab.open(due, due.usual, told):
            return True
        floor.hold()
        return False

    def _due(self, event_id: str = "") -> Due:
        floor = self._floor
        return Due(self._upstream(), floor.call.grant, floor.tab.context, event_id)

    # The provider.

    def told(self, message: Message) -> None:
        event = read_event(message.data) if message.text else None
        if event is not None and event.type == "error" and (refusal := told_by(message)) is not None and refusal.ours:
            self._floor.disown(refusal)
            return
        self._floor.tell(message)
        if event is not None:
            self._heed(event)

    def _heed(self, event: ServerEvent) -> None:
        tab, kind = self._floor.tab, event.type
        if kind == "response.created" and event.response is not None:
            due = tab.named(event.response.id)
            if due is not None:
                due.id = event.response.id
            else:
                self._begun(event.response.id)
        elif kind == "response.done" and event.response is not None:
            due = tab.named(event.response.id)
            if due is not None:
                tab.settle(due, usage_of(event.response.usage))
        elif kind.endswith(".delta") and event.response_id is not None:
            due = tab.named(event.response_id)
            if due is not None:
                written, spoken = weight_of(event)
                due.written += written + spoken
                due.spoken += spoken
        elif kind == TRANSCRIBED:
            self._transcribed(event)
        elif kind in ("session.created", "session.updated") and event.session is not None:
            self._hears = heard_in(event.session) or self._hears
        elif kind == "error" and event.error is not None:
            # About an event that has no id it is one of those that have none: should that be another than this one, its
            # response begins as one that nobody has asked for.
            asked_by = event.error.event_id or ""
            due = next((due for due in tab.under_way if not due.id and due.event_id == asked_by), None)
            if due is not None:
                tab.drop(due)

    def _begun(self, response_id: str) -> None:
        """A response has begun that the client has not asked for: it is taken back where it is beyond the limits."""
        due = self._due()
        due.id = response_id

        def told(_: Due, refusal: EdgeError | None) -> None:
            if refusal is not None:
                self._floor.forward(Message(CANCEL % msgspec.json.encode(response_id)))
                self._floor.tell(self.error_event(refusal))

        try:
            self._floor.tab.begin(due, due.usual, told)
        except EdgeError as refusal:
            told(due, refusal)

    def _transcribed(self, event: ServerEvent) -> None:
        usage = transcribed(event.usage, self._hears)
        if usage is not None:
            self._floor.tab.charge(self._upstream(), self._floor.call.grant.label, usage, None)

    # Errors.

    def error_event(self, error: EdgeError) -> Message:
        return self._error(error, None)

    def _error(self, error: EdgeError, asked_by: str | None) -> Message:
        return Message(error_event(error, f"event_{os.urandom(8).hex()}", asked_by))
