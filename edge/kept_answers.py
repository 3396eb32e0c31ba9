"""What is asked of a response that is kept here: the response itself, its input, its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec

from edge.call import Call
from edge.conversations import Conversations, Deleting, Kept, Looking
from edge.errors import EdgeError, InvalidRequest, Overloaded
from edge.inquiry import Asker
from edge.reply_fields import JSON_TYPE

__all__ = ["UNDONE", "answer_kept", "page_of", "shown"]

CANCEL = "/v1/responses/{id}/cancel"
ITEMS = "/v1/responses/{id}/input_items"
NOT_CANCELLED = "Only a response in the background can be cancelled."
NO_STREAM = "This response is kept as a whole: it cannot be asked for as a stream."
UNDONE = "Whether it is deleted is not known; ask again."
MOST_ITEMS = 100
USUAL: dict[str, Any] = {"type": "message", "status": "completed"}
"""What an item is where it says nothing of that, or null."""
USUAL_ITEMS = 20
"""https://platform.openai.com/docs/api-reference/responses/input-items: ``limit``."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


def answer_kept(call: Call, store: Conversations, asker: Asker) -> None:
    """Answer a call about a response that is kept here, now or later."""
    name = call.head.argument
    if call.head.route.endpoint == CANCEL:
        asker.fetched(call, InvalidRequest(NOT_CANCELLED))
    elif call.payload.stream:
        asker.fetched(call, InvalidRequest(NO_STREAM, param="stream"))
    elif call.head.method == "DELETE":
        call.errand = Deleting(store, call, name, partial(_deleted, call, asker))
    else:
        call.errand = Looking(store, call, name, partial(_told, call, asker))


def _told(call: Call, asker: Asker, kept: Kept | None, error: EdgeError | None) -> None:
    if error is None and kept is None:
        error = not_found(call)
    if kept is not None:
        try:
            body = bytes(kept.response) if call.head.route.endpoint != ITEMS else input_page(kept, call.head.query)
            call.answer(200, [JSON_TYPE], body)
        except InvalidRequest as wrong:
            error = wrong
    asker.fetched(call, error)


def _deleted(call: Call, asker: Asker, number: int | None) -> None:
    if number is None:
        asker.fetched(call, Overloaded(UNDONE))
    elif not number:
        asker.fetched(call, not_found(call))
    else:
        told = {"id": call.head.argument, "object": "response", "deleted": True}
        call.answer(200, [JSON_TYPE], _encode(told))
        asker.fetched(call, None)


def not_found(call: Call) -> InvalidRequest:
    return InvalidRequest(f"Response with id '{call.head.argument}' not found.", status=404, param="response_id")


def input_page(kept: Kept, query: bytes) -> bytes:
    """A page of the input's items. Raises InvalidRequest."""
    items = _decode(kept.items)
    ids = ids_of(items)
    return page_of(ids, lambda number: shown({**items[number], "id": ids[number]}), query)


def ids_of(items: list[dict[str, Any]]) -> list[str]:
    """An id for each, by which a page begins behind it: its own, unless it has none or one before it has the same;
    then one that tells its place. They are the same each time.
    """
    given = {item.get("id") for item in items if isinstance(item.get("id"), str)}
    found: dict[str, None] = {}
    for number, item in enumerate(items):
        own = item.get("id")
        if not own or not isinstance(own, str) or own in found:
            own = f"item_{number}"
            while own in given:
                own += "_"
        found[own] = None
    return list(found)


def page_of(ids: Sequence[Any], item: Callable[[int], dict[str, Any]], query: bytes) -> bytes:
    """A page of the items that have these `ids`, the latest first unless ``order=asc``; `item` is asked for those that
    are on it, by their number. Raises InvalidRequest.
    """
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    order, limit = asked.get("order", "desc"), asked.get("limit", str(USUAL_ITEMS))
    if order not in ("asc", "desc"):
        raise InvalidRequest("The parameter 'order' is one of asc and desc.", param="order")
    if not limit.isdecimal() or not 1 <= len(limit) <= 3 or not 1 <= int(limit) <= MOST_ITEMS:
        raise InvalidRequest(f"The parameter 'limit' must be from 1 to {MOST_ITEMS}.", param="limit")
    listed = range(len(ids)) if order == "asc" else range(len(ids) - 1, -1, -1)
    if "after" in asked:
        behind = next((place for place, number in enumerate(listed, 1) if ids[number] == asked["after"]), len(listed))
        listed = listed[behind:]
    page = [item(number) for number in listed[: int(limit)]]
    ends = [page[0]["id"], page[-1]["id"]] if page else [None, None]
    more = len(listed) > len(page)
    return _encode({"object": "list", "data": page, "first_id": ends[0], "last_id": ends[1], "has_more": more})


def shown(item: dict[str, Any]) -> dict[str, Any]:
    """An item that has an id as OpenAI shows it: https://platform.openai.com/docs/api-reference/responses/input-items."""
    made = USUAL | {name: value for name, value in item.items() if value is not None or name not in USUAL}
    if made["type"] == "message" and isinstance(made.get("content"), str):
        kind = "output_text" if made.get("role") == "assistant" else "input_text"
        part = {"type": kind, "text": made["content"]}
        made["content"] = [part | {"annotations": []} if kind == "output_text" else part]
    return made
