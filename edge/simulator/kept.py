"""What the simulated providers keep for an account: responses with their conversations, files, batches.

An account is what its credential says. Shapes and rules from openai-python 3.57 (``types/file_object.py``,
``types/batch.py``, ``types/responses/response_item_list.py``) and anthropic-sdk-python 2.14
(``types/messages/message_batch.py``, ``types/beta/file_metadata.py``): what another account made, or nobody, is a 404;
a method that a path does not know a 405; a batch is over once it has been looked at.
"""

from __future__ import annotations

import itertools
import json
import re
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs, unquote

from edge.simulator import anthropic, openai
from edge.simulator.answers import whole
from edge.simulator.conversations import Conversations, Refused, account_of, gone
from edge.simulator.ledger import RawHeaders
from edge.simulator.openai import CREATED, dumps
from edge.simulator.plan import Plan
from edge.simulator.validate import check_anthropic

__all__ = ["Kept", "form"]

MAX_HELD = 4096
MAX_REQUESTS = 100_000
PATH = re.compile(
    r"(?:.*)?/v1/(?:(files|batches|messages/batches|responses)(?:/([^/]+)(?:/([a-z_]+))?)?"
    r"|(conversations)(?:/([^/]+)(?:/(items)(?:/([^/]+))?)?)?)"
)
MADE_HERE = ("compact", "input_tokens")
WINDOW = "24h"
ENDPOINTS = ("/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/completions")
CREATED_AT = "2026-01-01T00:00:00Z"


class Kept:
    """By account, kind and id. The oldest are forgotten beyond `MAX_HELD`."""

    def __init__(self) -> None:
        self.conversations = Conversations()
        self._held: dict[tuple[bytes, str, str], dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def is_about(self, path: str) -> bool:
        """Whether a request is about what is kept here."""
        match = PATH.fullmatch(path)
        if match is None or match[2] in MADE_HERE:
            return False
        return match[1] != "responses" or match[2] is not None

    def note(self, headers: RawHeaders, answer: dict[str, Any], body: dict[str, Any]) -> None:
        """Keep a response that was made, unless it is not to be, and what was said in its conversation."""
        said = body.get("input")
        items = [{"type": "message", "role": "user", "content": said}] if isinstance(said, str) else said or []
        given = [{"id": f"msg_{number}", **item} for number, item in enumerate(items) if isinstance(item, dict)]
        account, named = account_of(headers), conversation_in(body)
        if body.get("store") is not False:
            self._keep(account, "responses", {**answer, "given": given})
        if named:
            self.conversations.append(account, named, [*given, *answer["output"]])

    def refusal(self, headers: RawHeaders, body: dict[str, Any]) -> bytes | None:
        """The whole answer to a response of a conversation that is not there; None for any other."""
        named = conversation_in(body)
        if not named or self.conversations.may_be(account_of(headers), named):
            return None
        return whole(404, openai.error(404, gone(named)))

    def answer(self, method: str, path: str, query: str, headers: RawHeaders, body: bytes) -> tuple[int, bytes]:
        """The status and the whole answer."""
        match = PATH.fullmatch(path)
        assert match is not None  # noqa: S101 - else it is not asked
        if match[4]:
            about = (unquote(match[5] or ""), match[6] or "", unquote(match[7] or ""))
            try:
                answered = self.conversations.answer(method, about, query, account_of(headers), body)
            except Refused as refusal:
                return refusal.status, whole(refusal.status, openai.error(refusal.status, str(refusal)))
            return 200, whole(200, dumps(answered))
        kind, named, action = match[1], unquote(match[2] or ""), match[3] or ""
        is_anthropic = kind == "messages/batches" or any(name.lower() == b"anthropic-version" for name, _ in headers)
        try:
            status, told, media_type = self._answer(method, (kind, named, action), query, headers, body, is_anthropic)
        except Refused as refusal:
            make = anthropic.error if is_anthropic else openai.error
            return refusal.status, whole(refusal.status, make(refusal.status, str(refusal)))
        return status, whole(status, told, content_type=media_type)

    def _answer(
        self,
        method: str,
        asked: tuple[str, str, str],
        query: str,
        headers: RawHeaders,
        body: bytes,
        is_anthropic: bool,
    ) -> tuple[int, bytes, bytes]:
        kind, named, action = asked
        account = account_of(headers)
        if not account:
            raise Refused(401, "You didn't provide an API key.")
        json_type = b"application/json"
        if not named:
            if method == "GET":
                return 200, dumps(self._list(account, kind, query, is_anthropic)), json_type
            if method == "POST":
                return 200, dumps(self._make(account, kind, headers, body, is_anthropic)), json_type
            raise Refused(405, f"Not allowed to {method} on /v1/{kind}.")
        thing = self._held.get((account, kind, named))
        if thing is None:
            what = {"files": "file", "responses": "Response"}.get(kind, "batch")
            raise Refused(404, f"No such {what} found with id '{named}'." if kind != "responses" else _gone(named))
        if (method, action) == ("DELETE", "") and kind != "batches":
            del self._held[(account, kind, named)]
            return 200, dumps(_deleted(kind, named, is_anthropic)), json_type
        if (method, action) == ("GET", "content") and kind == "files":
            return 200, thing["content"], b"application/octet-stream"
        if (method, action) == ("GET", "input_items") and kind == "responses":
            return 200, dumps({"object": "list", "data": thing["given"], "has_more": False}), json_type
        if (method, action) == ("GET", "results") and kind == "messages/batches":
            return 200, _results(thing), b"application/x-jsonl"
        if (method, action) == ("POST", "cancel") and kind != "files":
            self._cancel(kind, thing)
        elif (method, action) != ("GET", ""):
            raise Refused(405, f"Not allowed to {method} on /v1/{kind}/{named}/{action}.")
        told = dumps(_shown(thing))
        if kind.endswith("batches") and method == "GET":
            self._advance(kind, thing)
        return 200, told, json_type

    # Making.

    def _make(self, account: bytes, kind: str, headers: RawHeaders, body: bytes, is_anthropic: bool) -> dict[str, Any]:
        if kind == "files":
            return self._upload(account, headers, body, is_anthropic)
        try:
            data = json.loads(body)
        except ValueError:
            raise Refused(400, "We could not parse the JSON body of your request.") from None
        return self._message_batch(account, data) if is_anthropic else self._batch(account, data)

    def _upload(self, account: bytes, headers: RawHeaders, body: bytes, is_anthropic: bool) -> dict[str, Any]:
        fields = form(headers, body)
        if "file" not in fields:
            raise Refused(400, "'file' is a required property")
        name, content = fields["file"]
        number = next(self._numbers)
        if is_anthropic:
            made: dict[str, Any] = {
                "id": f"file_{number:024d}",
                "type": "file",
                "filename": name,
                "mime_type": "text/plain",
                "size_bytes": len(content),
                "created_at": CREATED_AT,
                "downloadable": False,
            }
        else:
            if "purpose" not in fields:
                raise Refused(400, "'purpose' is a required property")
            made = {
                "id": f"file-{number:024d}",
                "object": "file",
                "bytes": len(content),
                "created_at": CREATED,
                "filename": name,
                "purpose": fields["purpose"][1].decode(),
                "status": "processed",
            }
        return _shown(self._keep(account, "files", {**made, "content": content}))

    def _batch(self, account: bytes, data: dict[str, Any]) -> dict[str, Any]:
        file, endpoint = data.get("input_file_id"), data.get("endpoint")
        if (account, "files", file) not in self._held:
            raise Refused(400, f"Invalid input_file_id: no such File object: {file}")
        if endpoint not in ENDPOINTS or data.get("completion_window") != WINDOW:
            raise Refused(400, "Invalid 'endpoint' or 'completion_window'.")
        made = {
            "id": f"batch_{next(self._numbers):024d}",
            "object": "batch",
            "endpoint": endpoint,
            "input_file_id": file,
            "completion_window": WINDOW,
            "status": "validating",
            "created_at": CREATED,
            "metadata": data.get("metadata"),
        }
        return self._keep(account, "batches", made)

    def _message_batch(self, account: bytes, data: dict[str, Any]) -> dict[str, Any]:
        requests = data.get("requests")
        if not isinstance(requests, list) or not 0 < len(requests) <= MAX_REQUESTS:
            raise Refused(400, "requests: List should have at least 1 item")
        for number, request in enumerate(requests):
            if not isinstance(request.get("custom_id"), str) or not isinstance(request.get("params"), dict):
                raise Refused(400, f"requests.{number}: Field required")
            refused = check_anthropic("/v1/messages", request["params"])
            if refused is not None:
                raise Refused(400, f"requests.{number}.params: {refused}")
        made_id = f"msgbatch_{next(self._numbers):024d}"
        made = {
            "id": made_id,
            "type": "message_batch",
            "processing_status": "in_progress",
            "request_counts": {"processing": len(requests), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
            "created_at": CREATED_AT,
            "expires_at": CREATED_AT,
            "ended_at": None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": None,
        }
        return _shown(self._keep(account, "messages/batches", {**made, "given": requests}))

    def _keep(self, account: bytes, kind: str, made: dict[str, Any]) -> dict[str, Any]:
        while len(self._held) >= MAX_HELD:
            del self._held[next(iter(self._held))]
        self._held[(account, kind, made["id"])] = made
        return made

    # What becomes of it.

    def _list(self, account: bytes, kind: str, query: str, is_anthropic: bool) -> dict[str, Any]:
        given = parse_qs(query)
        limit = int(given.get("limit", ["20"])[0])
        data = [_shown(thing) for (owner, of, _), thing in self._held.items() if (owner, of) == (account, kind)]
        after = given.get("after_id" if is_anthropic else "after", [""])[0]
        if after:
            ids = [thing["id"] for thing in data]
            data = data[ids.index(after) + 1 :] if after in ids else []
        more, data = len(data) > limit, data[:limit]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return {**({} if is_anthropic else {"object": "list"}), "data": data, "has_more": more, **ends}

    def _cancel(self, kind: str, thing: dict[str, Any]) -> None:
        if kind == "messages/batches":
            thing["processing_status"] = "canceling"
        elif kind == "responses" and thing["status"] not in ("queued", "in_progress"):
            raise Refused(400, f"Cannot cancel a {thing['status']} response.")
        else:
            thing["status"] = "cancelling" if kind == "batches" else "cancelled"

    def _advance(self, kind: str, thing: dict[str, Any]) -> None:
        if kind == "batches":
            thing["status"] = {"validating": "completed", "cancelling": "cancelled"}.get(
                thing["status"], thing["status"]
            )
        elif thing["processing_status"] != "ended":
            counts = thing["request_counts"]
            counts["succeeded"], counts["processing"] = counts["processing"], 0
            thing["processing_status"], thing["ended_at"] = "ended", CREATED_AT
            thing["results_url"] = f"https://api.simulator.invalid/v1/messages/batches/{thing['id']}/results"


def form(headers: RawHeaders, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of a multipart form: the name of each one's file and its value."""
    kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    if not kind.startswith(b"multipart/form-data"):
        raise Refused(400, "The request must be multipart/form-data.")
    message = BytesParser(policy=HTTP).parsebytes(b"content-type: " + kind + b"\r\n\r\n" + body)
    if not message.is_multipart():
        raise Refused(400, "The form could not be read.")
    fields: dict[str, tuple[str, bytes]] = {}
    for field in message.iter_parts():
        name = field.get_param("name", header="content-disposition")
        value = field.get_payload(decode=True)
        fields[str(name)] = (field.get_filename() or "", value if isinstance(value, bytes) else b"")
    return fields


def conversation_in(body: dict[str, Any]) -> str:
    """The id of the conversation that a response belongs to, "" for none."""
    given = body.get("conversation")
    named = given.get("id") if isinstance(given, dict) else given
    return named if isinstance(named, str) else ""


def _gone(named: str) -> str:
    return f"Response with id '{named}' not found."


def _shown(thing: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in thing.items() if name not in ("content", "given")}


def _deleted(kind: str, named: str, is_anthropic: bool) -> dict[str, Any]:
    if is_anthropic:
        return {"id": named, "type": "file_deleted" if kind == "files" else "message_batch_deleted"}
    return {"id": named, "object": "file" if kind == "files" else "response", "deleted": True}


def _results(thing: dict[str, Any]) -> bytes:
    if thing["processing_status"] != "ended":
        raise Refused(404, "The results of this batch are not ready.")
    lines = []
    for request in thing["given"]:
        message = json.loads(anthropic.message(request["params"], Plan()))
        lines.append({"custom_id": request["custom_id"], "result": {"type": "succeeded", "message": message}})
    return b"".join(dumps(line) + b"\n" for line in lines)
