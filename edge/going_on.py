"""What a request of Responses goes on with, and what is kept of what comes of it: a response, or a turn in a
conversation.

A request that goes on with something that is kept here becomes another one, which has all of that in its input, so
everything after this knows nothing of it.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from edge._fast import SSEDecoder
from edge.call import Call
from edge.conversations import Conversations, Kept, Looking
from edge.dialects.kept_response import OUR_CONVERSATION, OURS, KeptResponse
from edge.errors import UNREADABLE, EdgeError, InvalidRequest, PiiBlocked, RequestTooLarge, UnsupportedParameter
from edge.guard.validate import Reading
from edge.kept_conversations import Change, Conversation, Item, Turn, place_of, release
from edge.routes import ID
from edge.slices import Slices
from edge.upstreams.ties import keeps_nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    Then = Callable[[Reading, bool, Exception | None], None]
    """`edge.gateway.Gateway._read_large` of a call."""

__all__ = ["begin", "items_of", "keep", "new_id", "previous_in", "whole_request"]

GOES_ON = ("responses", "compact", "input_tokens")
"""APIs whose requests may go on with a response; all but compaction with a conversation."""
TOO_LONG = "With what it goes on with, the request is larger than {} bytes."
BOTH = (
    "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you are only providing "
    "one of them."
)
LATER = "A response in the background has no turn in a conversation that is kept here: ask for it without 'background'."
REFERENCE = b'"item_reference"'
ELSEWHERE = "'input' names an item that is kept elsewhere: give the item itself, which a conversation can keep."
UNSHOWN = "A conversation keeps what was said as it was, and this key's personal data are put out of that."
PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ctc"}
WHOLE = ("completed", "incomplete")


class _Output(msgspec.Struct):
    output: msgspec.Raw


class _Response(msgspec.Struct):
    """Of a provider's own response."""

    output: list[msgspec.Raw]
    status: str = ""


class _Terminal(msgspec.Struct):
    response: _Response


class _Typed(msgspec.Struct):
    type: Any = None
    id: Any = None


_encode = msgspec.json.Encoder().encode
_output = msgspec.json.Decoder(_Output).decode
_response = msgspec.json.Decoder(_Response).decode
_terminal = msgspec.json.Decoder(_Terminal).decode
_typed = msgspec.json.Decoder(_Typed).decode
_listed = msgspec.json.Decoder(list[msgspec.Raw]).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_any = msgspec.json.Decoder().decode
_items = msgspec.json.Decoder(list[_Typed]).decode


def begin(store: Conversations, call: Call, slices: Slices, then: Then) -> bool:
    """See to what a request goes on with, and to whether what comes of it is kept. True where it goes on with something
    that is kept here: `then` is told what it says with all of that, which has been read in `slices`, or why that cannot
    be. False where there is nothing to wait for.
    """
    api = call.head.route.api
    if api not in GOES_ON:
        return False
    previous, named = previous_in(call), conversation_in(call) if api != "compact" else ""
    if named or (call.keep is not None and call.keep.conversation):
        refusal = refusal_of(call, named)
        if refusal is not None:
            then(Reading(b""), True, refusal)
            return True
    if named:
        told = partial(go_on_in, store, call, slices, then)
        if api == "responses":
            turn = Turn(store, call, named, told)
            call.keep = KeptResponse(conversation=named, turn=turn.number, stored=is_to_be_kept(call))
            call.errand = turn
        else:
            look = Change(store, place_of(call, named), lambda _: False, told)
            call.errand = look
            look.start()
        return True
    if previous:
        call.errand = Looking(store, call, previous, partial(go_on, store, call, previous, slices, then))
        return True
    if call.keep is not None and call.keep.conversation:
        return False
    if not is_to_be_kept(call):
        call.keep = None
    elif call.keep is None:
        call.keep = KeptResponse()
    return False


def refusal_of(call: Call, named: str) -> EdgeError | None:
    """What there is against a turn in a conversation."""
    if named and call.payload.span(b"previous_response_id") is not None and not says_nothing(call):
        return InvalidRequest(BOTH, param="conversation", code="mutually_exclusive_parameters")
    if call.payload.says(b"background", b"true"):
        return UnsupportedParameter(LATER, param="background")
    if names_items(call):
        return InvalidRequest(ELSEWHERE, param="input")
    return None if call.head.route.api != "responses" or is_shown(call) else PiiBlocked(UNSHOWN)


def names_items(call: Call) -> bool:
    """Whether something of the input is at a provider: no other could go on with what has that in it."""
    if REFERENCE not in call.payload.body:
        return False
    try:
        return any(item.type == "item_reference" for item in _items(items_of(call)))
    except UNREADABLE:
        return False


def says_nothing(call: Call) -> bool:
    return any(call.payload.says(b"previous_response_id", word) for word in (b"null", b'""'))


def go_on_in(
    store: Conversations, call: Call, slices: Slices, then: Then, found: Conversation | None, error: EdgeError | None
) -> None:
    """With what was said in a request's conversation."""
    said = b"" if found is None else b",".join([bytes(item.said) for item in found.items])
    if isinstance(error, InvalidRequest):
        error.param = "conversation"  # by which it was named
    if found is not None and call.keep is not None:
        call.keep.before = len(found.items)
    become(store, call, slices, then, "conversation", said, error)


def go_on(
    store: Conversations,
    call: Call,
    previous: str,
    slices: Slices,
    then: Then,
    kept: Kept | None,
    error: EdgeError | None,
) -> None:
    """With what was found of a request's previous response."""
    if error is None and kept is None:
        error = InvalidRequest(
            f"Previous response with id '{previous}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if error is None and is_to_be_kept(call):
        call.keep = KeptResponse(previous)
    said = b"" if kept is None else said_in(kept)
    become(store, call, slices, then, "previous_response_id", said, error)


def become(
    store: Conversations, call: Call, slices: Slices, then: Then, field: str, said: bytes, error: EdgeError | None
) -> None:
    """The request that has what was `said` in its input, in place of the `field` that names it. That was said under
    another key's policy, or another model's: where this one's does something about personal data, the request is looked
    through once more, as its client has sent it and with all that it goes on with.
    """
    policy = call.grant.pii
    seen = policy is None or policy.mode == "detect"
    body = b"" if error is not None else whole_request(call.payload.body if seen else call.body, field, said)
    if len(body) > call.state.max_body_bytes:
        error = RequestTooLarge(TOO_LONG.format(call.state.max_body_bytes))
    elif body:
        try:
            store.hold(call, len(body))
        except EdgeError as full:
            error = full
    reading = Reading(body)
    if error is not None:
        then(reading, True, error)
        return
    call.errand = reading.in_slices(slices, partial(then, reading, seen), digest=False)


# What comes of it.


def keep(store: Conversations, call: Call) -> None:
    """Keep what has come of a call, if that is complete."""
    kept = call.keep
    if kept is None:
        return
    if kept.conversation:
        at, items = place_of(call, kept.conversation), turn_of(call, kept)
        if items is None:
            release(store, at, kept.turn)
        else:
            Change(store, at, partial(append, items), lambda _, __: None, kept.turn).start()
    if kept.whole and kept.stored:
        store.put(call, kept.id, _encode(Kept(msgspec.Raw(items_of(call)), msgspec.Raw(kept.whole))))


def turn_of(call: Call, kept: KeptResponse) -> list[msgspec.Raw] | None:
    """What was said in a turn, by either side; None where that did not come to its end, or where a provider has taken,
    or given, what is no item: nobody could go on with that, or be shown it.
    """
    try:
        made = _response(kept.whole) if kept.whole else own_response(call)
        if made is None or made.status not in WHOLE:
            return None
        said = [*_listed(items_of(call))[kept.before :], *made.output]
        _items(_encode(said).decode())  # without the long values, of which one may be a picture
    except UNREADABLE:
        return None
    return said


def own_response(call: Call) -> _Response | None:
    """What a provider has answered that keeps responses itself; None where it has not, or has failed. A client may have
    left as soon as it was told the end of a stream.
    """
    for tried in reversed(call.ledger.tries):
        crossing = tried.crossing
        if crossing is None or crossing.translates:
            continue
        stream = crossing.stream
        if stream is not None and stream.finished and tried.content_at:
            return _terminal(stream.closing).response
        if stream is None and tried.health == "ok":
            return told_whole(call)
    return None


def told_whole(call: Call) -> _Response | None:
    """A whole answer, as the client was told it: as it came, or as events where it had been told that a stream would.
    What a large one is judged by is without its long values.
    """
    told = call.reply.latest
    try:
        return _response(told)
    except UNREADABLE:
        events = SSEDecoder().feed(told)
        return _terminal(events[-1][1]).response if events else None


def append(items: list[msgspec.Raw], conversation: Conversation) -> bool:
    """Whatever was said meanwhile comes before it."""
    known = {item.id for item in conversation.items}
    for said in items:
        own = new_id(said, known)
        known.add(own)
        conversation.items.append(Item(own, said))
    return True


def new_id(said: msgspec.Raw, known: set[str]) -> str:
    """The id of an item: its own, if that is none of another's, and can be asked for."""
    typed = _typed(said)
    if isinstance(typed.id, str) and ID.fullmatch(typed.id) and typed.id not in known:
        return typed.id
    kind = typed.type if isinstance(typed.type, str) else "message"
    return f"{PREFIXES.get(kind, 'item')}_edge{os.urandom(16).hex()}"


def now() -> int:
    """Unix seconds, as a conversation says when it was made."""
    return int(time.time())


# What a request says.


def previous_in(call: Call) -> str:
    """The id of the response that a request goes on with, if that is kept here; "" for another, or none."""
    span = call.payload.span(b"previous_response_id")
    if span is None:
        return ""
    named = call.payload.body[span[0] + 1 : span[1] - 1].decode("latin-1")
    return named if OURS.fullmatch(named) else ""


def conversation_in(call: Call) -> str:
    """The id of the conversation that a request belongs to, if that is kept here; "" for another, or none."""
    span = call.payload.span(b"conversation")
    if span is None:
        return ""
    try:
        given = _any(call.payload.body[span[0] : span[1]])
    except UNREADABLE:
        return ""
    named = given.get("id") if isinstance(given, dict) else given
    return named if isinstance(named, str) and OUR_CONVERSATION.fullmatch(named) else ""


def is_to_be_kept(call: Call) -> bool:
    """Whether what comes of it is kept here: as OpenAI keeps it, unless the client wants that not, where no provider
    does.
    """
    payload = call.payload
    if call.head.route.api != "responses" or payload.says(b"store", b"false") or payload.says(b"background", b"true"):
        return False
    return is_shown(call) and keeps_nothing(call)


def is_shown(call: Call) -> bool:
    """Whether its client is shown what was said: what a policy has another person be shown is kept by nobody."""
    watched = call.grant.answers
    return call.reply.restorer is None and (watched is None or watched.mode == "detect")


def items_of(call: Call) -> bytes:
    """The input of a request as the JSON of a list of items."""
    span = call.payload.span(b"input") or (0, 0)
    given = call.payload.body[span[0] : span[1]]
    if not given.startswith(b'"'):
        return given if given.startswith(b"[") else b"[]"
    return b'[{"type":"message","role":"user","content":[{"type":"input_text","text":%b}]}]' % given


def said_in(kept: Kept) -> bytes:
    """The items of a kept response, and of all before it, with commas between them."""
    parts = (bytes(kept.items), bytes(_output(kept.response).output))
    return b",".join([inner for part in parts if (inner := part.strip()[1:-1].strip())])


def whole_request(body: bytes, field: str, said: bytes) -> bytes:
    """A request with all that was `said` before, which so goes on with nothing by that `field`."""
    fields: dict[str, Any] = _fields(body)
    fields.pop(field)
    given = bytes(fields.get("input", b"null"))
    if given == b"null":
        given = b"[]"
    elif given.startswith(b'"'):
        given = b'[{"role":"user","content":%b}]' % given
    if given.startswith(b"["):  # else it is refused for what it is
        listed = [inner for part in (said, given.strip()[1:-1].strip()) if (inner := part)]
        fields["input"] = msgspec.Raw(b"[%b]" % b",".join(listed))
    return _encode(fields)
