"""What is asked of a conversation that is kept here: itself, what was said in it, its end.

Shapes, bounds and words: https://platform.openai.com/docs/api-reference/conversations, openai-python 3.57,
``types/conversations/*.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from edge.call import Call
from edge.conversations import Conversations
from edge.dialects.kept_response import conversation_id
from edge.dialects.refusals import missing, openai_array, openai_type, refused
from edge.errors import UNREADABLE, EdgeError, InvalidRequest, Overloaded, RequestTooLarge
from edge.going_on import append, now
from edge.inquiry import Asker
from edge.keeping import CONVERSATIONS
from edge.kept_answers import UNDONE, answer_kept, page_of, shown
from edge.kept_conversations import TOO_LARGE, Change, Conversation, Item, delete, no_conversation, place_of
from edge.reply_fields import JSON_TYPE

__all__ = ["answer_here"]

ONE = "/v1/conversations/{id}"
ITEMS, ITEM = "/v1/conversations/{id}/items", "/v1/conversations/{id}/items/{item}"
ABOUT = frozenset((CONVERSATIONS, ONE, ITEMS, ITEM))
"""The endpoints that are about conversations."""
MOST_ADDED = 20
MOST_PAIRS, LONGEST_NAME, LONGEST_VALUE = 16, 64, 512


class _Items(msgspec.Struct):
    items: list[msgspec.Raw]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_items = msgspec.json.Decoder(_Items).decode
_item = msgspec.json.Decoder(dict[str, Any]).decode
Done = Callable[[Conversation], bytes]
"""What is answered where it was done."""


def answer_here(call: Call, store: Conversations, asker: Asker) -> None:
    """Answer a call about what is kept here, or is to be."""
    answer = answer_conversation if call.head.route.endpoint in ABOUT else answer_kept
    answer(call, store, asker)


def answer_conversation(call: Call, store: Conversations, asker: Asker) -> None:
    """Answer a call about a conversation that is kept here, or is to be, now or later."""
    endpoint, method = call.head.route.endpoint, call.head.method
    named, _, item = call.head.argument.partition("/")
    step: Callable[[Conversation], bool] = nothing
    done: Done = partial(resource, named)
    try:
        if endpoint == CONVERSATIONS:
            made = new(call, fields_of(call))
            named = conversation_id()
            change(call, store, asker, named, nothing, partial(resource, named)).make(made)
            return
        if endpoint == ITEM and method == "DELETE":
            step = partial(remove, item)
        elif endpoint == ITEM:
            step, done = partial(find, item), partial(one, item)
        elif endpoint == ITEMS and method == "POST":
            added = added_in(call, fields_of(call))
            step, done = partial(append, added), partial(latest, len(added))
        elif endpoint == ITEMS:
            done = partial(page, call.head.query)
        elif method == "DELETE":
            command = delete(store, place_of(call, named), partial(deleted, call, named, asker))
            if command is None:
                asker.fetched(call, Overloaded(UNDONE))
            call.errand = command
            return
        elif method == "POST":
            step = partial(name, metadata_in(fields_of(call), required=True))
    except RequestTooLarge as error:
        store.count("change", "too_large")
        asker.fetched(call, error)
        return
    except InvalidRequest as error:
        asker.fetched(call, error)
        return
    change(call, store, asker, named, step, done).start()


def change(
    call: Call,
    store: Conversations,
    asker: Asker,
    named: str,
    step: Callable[[Conversation], bool],
    done: Done,
) -> Change:
    errand = Change(store, place_of(call, named), step, partial(told, call, asker, done))
    call.errand = errand
    return errand


def told(call: Call, asker: Asker, done: Done, found: Conversation | None, error: EdgeError | None) -> None:
    if found is not None:
        try:
            call.answer(200, [JSON_TYPE], done(found))
        except InvalidRequest as wrong:
            error = wrong
    asker.fetched(call, error)


def deleted(call: Call, named: str, asker: Asker, number: int | None) -> None:
    if number is None:
        asker.fetched(call, Overloaded(UNDONE))
    elif not number:
        asker.fetched(call, no_conversation(named))
    else:
        call.answer(200, [JSON_TYPE], _encode({"id": named, "object": "conversation.deleted", "deleted": True}))
        asker.fetched(call, None)


# What is done with it: whether that changes it.


def nothing(conversation: Conversation) -> bool:
    return False


def name(metadata: dict[str, str], conversation: Conversation) -> bool:
    conversation.metadata = metadata
    return True


def find(item: str, conversation: Conversation) -> bool:
    found(item, conversation)
    return False


def remove(item: str, conversation: Conversation) -> bool:
    conversation.items.remove(found(item, conversation))
    return True


def found(item: str, conversation: Conversation) -> Item:
    """Raises InvalidRequest for one that is not there."""
    for each in conversation.items:
        if each.id == item:
            return each
    raise InvalidRequest(f"Item with id '{item}' not found.", status=404, param="item_id")


# What is answered.


def resource(named: str, conversation: Conversation) -> bytes:
    told = {"id": named, "object": "conversation", "created_at": conversation.created_at}
    return _encode({**told, "metadata": conversation.metadata})


def one(item: str, conversation: Conversation) -> bytes:
    return _encode(whole(found(item, conversation)))


def page(query: bytes, conversation: Conversation) -> bytes:
    return page_in(conversation.items, query)


def latest(number: int, conversation: Conversation) -> bytes:
    return page_in(conversation.items[len(conversation.items) - number :], b"order=asc&limit=100")


def page_in(items: list[Item], query: bytes) -> bytes:
    return page_of([item.id for item in items], lambda number: whole(items[number]), query)


def whole(item: Item) -> dict[str, Any]:
    return shown({**_item(item.said), "id": item.id})


# What a request says.


def fields_of(call: Call) -> dict[str, Any]:
    """Raises InvalidRequest, and RequestTooLarge for what is not even decoded."""
    body, most = call.payload.body, call.state.settings.responses.max_bytes
    if len(body) > most:
        raise RequestTooLarge(TOO_LARGE.format(most))
    try:
        return _decode(body) if body else {}
    except UNREADABLE:
        raise InvalidRequest("The body must be a JSON object.") from None


def new(call: Call, fields: dict[str, Any]) -> Conversation:
    """Raises InvalidValue."""
    made = Conversation(now(), metadata_in(fields), [])
    if fields.get("items") is not None:
        append(added_in(call, fields), made)
    return made


def added_in(call: Call, fields: dict[str, Any]) -> list[msgspec.Raw]:
    """The items of a request, as they were said. Raises InvalidValue, MissingParameter."""
    if fields.get("items") is None:
        raise missing("items", "openai")
    given = openai_array("items", fields["items"])
    if len(given) > MOST_ADDED:
        raise refused(
            f"Invalid 'items': array too long. Expected an array with maximum length {MOST_ADDED}, but got an array "
            f"with length {len(given)} instead.",
            "items",
            "array_above_max_length",
        )
    for number, item in enumerate(given):
        if not isinstance(item, dict):
            raise openai_type(f"items[{number}]", "an object", item)
        if not isinstance(item.get("type") or item.get("role"), str):
            raise missing(f"items[{number}].type", "openai")
        if item.get("type") == "item_reference":
            raise refused(
                f"'items[{number}]' names an item that is kept elsewhere: give the item itself.", f"items[{number}]"
            )
    return _items(call.payload.body).items


def metadata_in(fields: dict[str, Any], *, required: bool = False) -> dict[str, str]:
    """Raises InvalidValue, MissingParameter."""
    if required and "metadata" not in fields:
        raise missing("metadata", "openai")
    given = fields.get("metadata")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise openai_type("metadata", "an object", given)
    if len(given) > MOST_PAIRS:
        raise refused(
            f"Invalid 'metadata': too many properties. Expected an object with at most {MOST_PAIRS} properties, "
            f"but got an object with {len(given)} properties instead.",
            "metadata",
            "object_above_max_properties",
        )
    for named, value in given.items():
        if not isinstance(value, str):
            raise openai_type(f"metadata.{named[:LONGEST_NAME]}", "a string", value)
        if len(named) > LONGEST_NAME or len(value) > LONGEST_VALUE:
            raise refused(
                f"Invalid 'metadata': names have at most {LONGEST_NAME} characters, and values {LONGEST_VALUE}.",
                "metadata",
                "string_above_max_length",
            )
    return given
