"""One session of the Realtime API: what its events are answered with. No sockets: events in, events out.

Events from openai-python's ``types/realtime``; refusals in the API's words.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from edge.simulator.content import Content, content_for, count_tokens
from edge.simulator.plan import Plan

__all__ = ["Session"]

Event = dict[str, Any]
CLIENT_EVENTS = (
    *("session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"),
    *("output_audio_buffer.clear", "conversation.item.create", "conversation.item.retrieve"),
    *("conversation.item.truncate", "conversation.item.delete", "response.create", "response.cancel"),
)
KINDS = ("message", "function_call", "function_call_output", "mcp_approval_response")
SECOND = 48_000
"""Bytes of a second of sound: 16 bits, 24,000 times."""
TURN_S = 1
"""After so much sound the turn is over, where the provider is to hear that."""
TOKEN = 2400


class SessionError(Exception):
    def __init__(self, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


class Session:
    """``active`` is the response in flight, whose later events are still to be sent."""

    def __init__(self, model: str, plan: Plan) -> None:
        self.plan = plan
        self._number = 0
        self.active: Event | None = None
        self._items: list[Event] = []
        self._sound = 0
        self._session: Event = {
            "type": "realtime",
            "object": "realtime.session",
            "id": "sess_simulated",
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": None,
                    "turn_detection": {"type": "server_vad", "create_response": True, "interrupt_response": True},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
            },
        }

    def begin(self) -> list[Event]:
        return [self._event("session.created", session=self._session)]

    def heard(self, event: Any) -> list[Event]:
        """What a client's event is answered with. Of a response this is all of it, in its order."""
        asked_by = event.get("event_id") if isinstance(event, dict) else None
        try:
            if not isinstance(event, dict):
                raise SessionError("Invalid event: an object is expected.")
            kind = event.get("type")
            if kind is None:
                raise SessionError("Missing required parameter: 'type'.", "missing_required_parameter", "type")
            if kind not in CLIENT_EVENTS:
                known = ", ".join(f"'{each}'" for each in CLIENT_EVENTS)
                raise SessionError(f"Invalid value: '{kind}'. Supported values are: {known}.", "invalid_value", "type")
            return getattr(self, "_" + kind.replace(".", "_"))(event)  # type: ignore[no-any-return]
        except SessionError as error:
            return [self.error(str(error), error.code, error.param, asked_by)]

    def error(self, message: str, code: str | None, param: str | None = None, asked_by: str | None = None) -> Event:
        told = {"type": "invalid_request_error", "code": code, "message": message, "param": param}
        return self._event("error", error={**told, "event_id": asked_by})

    def _event(self, kind: str, **fields: Any) -> Event:
        self._number += 1
        return {"type": kind, "event_id": f"event_{self._number:06d}", **fields}

    # The session.

    def _session_update(self, event: Event) -> list[Event]:
        session = event.get("session")
        if not isinstance(session, dict):
            raise SessionError("Missing required parameter: 'session'.", "missing_required_parameter", "session")
        if session.get("type") not in ("realtime", "transcription"):
            raise SessionError(
                "Missing required parameter: 'session.type'.", "missing_required_parameter", "session.type"
            )
        if session.get("model", self._session["model"]) != self._session["model"]:
            raise SessionError("Cannot update the model of a session.", "cannot_update_model", "session.model")
        unknown = set(session) - set(self._session) - {"prompt", "include", "truncation", "reasoning"}
        if unknown:
            name = f"session.{min(unknown)}"
            raise SessionError(f"Unknown parameter: '{name}'.", "unknown_parameter", name)
        audio = session.get("audio") or {}
        for side in ("input", "output"):
            self._session["audio"][side].update(audio.get(side) or {})
        self._session.update({name: value for name, value in session.items() if name != "audio"})
        return [self._event("session.updated", session=self._session)]

    # Sound.

    def _input_audio_buffer_append(self, event: Event) -> list[Event]:
        try:
            sound = base64.b64decode(event.get("audio", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise SessionError(
                "Invalid 'audio'. Expected base64-encoded audio bytes.", "invalid_value", "audio"
            ) from None
        self._sound += len(sound)
        detection = self._session["audio"]["input"]["turn_detection"]
        if not detection or self._sound < TURN_S * SECOND:
            return []
        item = f"item_sound_{self._number}"
        told = [
            self._event("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item),
            self._event("input_audio_buffer.speech_stopped", audio_end_ms=self._sound * 1000 // SECOND, item_id=item),
            *self._committed(item),
        ]
        if detection.get("create_response", True) and self.active is None:
            told += self._answer({})
        return told

    def _committed(self, item_id: str) -> list[Event]:
        seconds, self._sound = self._sound / SECOND, 0
        before = self._items[-1]["id"] if self._items else None
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "type": "message", "status": "completed", "role": "user", "content": content}
        told = [self._event("input_audio_buffer.committed", previous_item_id=before, item_id=item_id)]
        told += self._added(item)
        heard = self._session["audio"]["input"]["transcription"]
        if heard:
            tokens = max(1, round(seconds * 10))
            usage: Event = {"type": "tokens", "total_tokens": tokens + 4, "input_tokens": tokens, "output_tokens": 4}
            usage["input_token_details"] = {"text_tokens": 0, "audio_tokens": tokens}
            kind = "conversation.item.input_audio_transcription.completed"
            told.append(self._event(kind, item_id=item_id, content_index=0, transcript="simulated sound", usage=usage))
        return told

    def _input_audio_buffer_commit(self, _: Event) -> list[Event]:
        if self._sound < SECOND // 10:
            raise SessionError(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio.",
                "input_audio_buffer_commit_empty",
            )
        return self._committed(f"item_sound_{self._number}")

    def _input_audio_buffer_clear(self, _: Event) -> list[Event]:
        self._sound = 0
        return [self._event("input_audio_buffer.cleared")]

    def _output_audio_buffer_clear(self, _: Event) -> list[Event]:
        return [self._event("output_audio_buffer.cleared")]

    # The conversation.

    def _conversation_item_create(self, event: Event) -> list[Event]:
        item = event.get("item")
        if not isinstance(item, dict) or item.get("type") not in KINDS:
            raise SessionError("Missing required parameter: 'item.type'.", "missing_required_parameter", "item.type")
        if item["type"] == "message" and item.get("role") not in ("user", "assistant", "system"):
            raise SessionError("Missing required parameter: 'item.role'.", "missing_required_parameter", "item.role")
        called = {each.get("call_id") for each in self._items if each["type"] == "function_call"}
        if item["type"] == "function_call_output" and item.get("call_id") not in called:
            message = f"Tool call ID '{item.get('call_id')}' not found in conversation."
            raise SessionError(message, "item_create_invalid_item_id" if called else "invalid_tool_call_id")
        made = {"object": "realtime.item", "status": "completed", **item}
        made["id"] = item.get("id") or f"item_{len(self._items):06d}"
        return self._added(made)

    def _added(self, item: Event) -> list[Event]:
        before = self._items[-1]["id"] if self._items else None
        self._items.append(item)
        return [
            self._event("conversation.item.added", previous_item_id=before, item=item),
            self._event("conversation.item.done", previous_item_id=before, item=item),
        ]

    def _found(self, event: Event) -> Event:
        for item in self._items:
            if item["id"] == event.get("item_id"):
                return item
        raise SessionError(f"Item with item_id '{event.get('item_id')}' not found.", "item_not_found", "item_id")

    def _conversation_item_retrieve(self, event: Event) -> list[Event]:
        return [self._event("conversation.item.retrieved", item=self._found(event))]

    def _conversation_item_delete(self, event: Event) -> list[Event]:
        self._items.remove(self._found(event))
        return [self._event("conversation.item.deleted", item_id=event["item_id"])]

    def _conversation_item_truncate(self, event: Event) -> list[Event]:
        self._found(event)
        told = {name: event.get(name, 0) for name in ("content_index", "audio_end_ms")}
        return [self._event("conversation.item.truncated", item_id=event["item_id"], **told)]

    # Responses.

    def _response_create(self, event: Event) -> list[Event]:
        if self.active is not None:
            raise SessionError(
                f"Conversation already has an active response in progress: {self.active['id']}. "
                "Wait until the response is finished before creating a new one.",
                "conversation_already_has_active_response",
            )
        asked = event.get("response") or {}
        if not isinstance(asked, dict):
            raise SessionError("Invalid type for 'response': expected an object.", "invalid_type", "response")
        return self._answer(asked)

    def _response_cancel(self, _: Event) -> list[Event]:
        if self.active is None:
            raise SessionError("Cancellation failed: no active response found", "response_cancel_not_active")
        told = {
            **self.active,
            "status": "cancelled",
            "status_details": {"type": "cancelled", "reason": "client_cancelled"},
        }
        self.active = None
        return [self._event("response.done", response=told)]

    def _answer(self, asked: Event) -> list[Event]:
        spoken = "audio" in (asked.get("output_modalities") or self._session["output_modalities"])
        content = self._content(asked)
        base: Event = {"object": "realtime.response", "id": content.id(f"resp_{self._number}_"), "status_details": None}
        base |= {"output_modalities": ["audio" if spoken else "text"], "metadata": asked.get("metadata")}
        self.active = {**base, "status": "in_progress", "output": [], "usage": None}
        item = self._item(content, spoken)
        where = {"response_id": base["id"], "item_id": item["id"], "output_index": 0}
        told = [
            self._event("response.created", response=self.active),
            self._event(
                "response.output_item.added",
                response_id=base["id"],
                output_index=0,
                item={**item, "status": "in_progress", **({"content": []} if "content" in item else {"arguments": ""})},
            ),
        ]
        told += self._called(content, where) if content.tool else self._said(content, where, spoken)
        told.append(
            self._event("response.output_item.done", response_id=base["id"], output_index=0, item=item),
        )
        usage = self._usage(content, spoken)
        added = self._added(item)
        done = {**base, "status": "completed", "output": [item], "usage": usage}
        return [*told, *added, self._event("response.done", response=done)]

    def _content(self, asked: Event) -> Content:
        tools = [tool for tool in asked.get("tools", self._session["tools"]) or [] if tool.get("type") == "function"]
        answered = bool(self._items) and self._items[-1]["type"] == "function_call_output"
        choice = asked.get("tool_choice", self._session["tool_choice"])
        tool = (
            (tools[0]["name"], tools[0].get("parameters") or {})
            if tools and not answered and choice != "none"
            else None
        )
        limit = asked.get("max_output_tokens", self._session["max_output_tokens"])
        prompt = [asked.get("instructions", self._session["instructions"]), asked.get("input", self._items)]
        return content_for(
            prompt,
            words=self.plan.words,
            announced=self.plan.announced,
            limit=limit if isinstance(limit, int) else None,
            tool=tool,
        )

    def _item(self, content: Content, spoken: bool) -> Event:
        base: Event = {"id": content.id(f"item_{self._number}_"), "object": "realtime.item", "status": "completed"}
        if content.tool:
            call_id, name, arguments = content.tool
            return {**base, "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        kind, field = ("output_audio", "transcript") if spoken else ("output_text", "text")
        part = {"type": kind, field: content.text}
        return {**base, "type": "message", "role": "assistant", "content": [part]}

    def _called(self, content: Content, where: Event) -> list[Event]:
        assert content.tool is not None  # noqa: S101 - it is asked of a call
        call_id, name, arguments = content.tool
        pieces = [arguments[at : at + 4] for at in range(0, len(arguments), 4)]
        kind = "response.function_call_arguments"
        told = [self._event(f"{kind}.delta", **where, call_id=call_id, delta=piece) for piece in pieces]
        return [*told, self._event(f"{kind}.done", **where, call_id=call_id, name=name, arguments=arguments)]

    def _said(self, content: Content, where: Event, spoken: bool) -> list[Event]:
        at = {**where, "content_index": 0}
        empty = {"type": "audio", "transcript": ""} if spoken else {"type": "text", "text": ""}
        told = [self._event("response.content_part.added", **at, part=empty)]
        kind = "response.output_audio_transcript" if spoken else "response.output_text"
        for word in content.words:
            told.append(self._event(f"{kind}.delta", **at, delta=word))
            if spoken:
                sound = base64.b64encode(bytes(TOKEN)).decode()
                told.append(self._event("response.output_audio.delta", **at, delta=sound))
        if spoken:
            told.append(self._event("response.output_audio.done", **at))
            told.append(self._event(f"{kind}.done", **at, transcript=content.text))
        else:
            told.append(self._event(f"{kind}.done", **at, text=content.text))
        whole = {"type": "audio", "transcript": content.text} if spoken else {"type": "text", "text": content.text}
        return [*told, self._event("response.content_part.done", **at, part=whole)]

    def _usage(self, content: Content, spoken: bool) -> Event:
        text = count_tokens([self._session["instructions"], self._items])
        output = content.tokens
        sound = output if spoken and not content.tool else 0
        details = {"text_tokens": text, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 0}
        cached = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
        return {
            "total_tokens": text + output,
            "input_tokens": text,
            "output_tokens": output,
            "input_token_details": {**details, "cached_tokens_details": cached},
            "output_token_details": {"text_tokens": output - sound, "audio_tokens": sound},
        }
