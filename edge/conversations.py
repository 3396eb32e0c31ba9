"""Responses that are kept in Redis, so that a conversation goes on by ``previous_response_id`` where its provider keeps
nothing: Anthropic's API, chat completions.

Each is kept with all of the conversation before it, so going on takes one look, and none is lost with another. Places
tell nothing, what is kept is encrypted, and both are bound to the tenant (`edge.strongbox`). Trouble with Redis is an
error for who goes on with something, and a counter for who had something kept: a conversation is never another one, nor
a part of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from edge.call import Call
from edge.clock import perf_counter
from edge.config import Redis
from edge.dialects.kept_response import OURS, KeptResponse
from edge.errors import UNREADABLE, EdgeError, InvalidRequest, Overloaded, RequestTooLarge
from edge.guard.validate import Reading
from edge.hooks import Meter
from edge.redis.pipe import Command, RedisUnavailable, pack
from edge.redis.resp import Reply
from edge.slices import LARGE, Slices, Steps, Work, finished
from edge.strongbox import strongbox_of
from edge.upstreams.ties import keeps_nothing

if TYPE_CHECKING:
    from edge.redis.client import RedisClient

__all__ = ["Conversations", "Kept", "Looking", "tenant_of"]

GOES_ON = ("responses", "compact", "input_tokens")
"""APIs whose requests may go on with a response."""
AGAIN_S = (0.1, 0.4)
"""One that was just made may still be on its way to Redis, from another worker: it is looked for again after these."""
UNREAD = "What this request goes on with cannot be read at the moment; ask again."
TOO_LONG = "With what it goes on with, the request is larger than {} bytes."


class Kept(msgspec.Struct):
    """``items`` are the whole input, ``response`` is what came of it."""

    items: msgspec.Raw
    response: msgspec.Raw


class _Output(msgspec.Struct):
    output: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_kept = msgspec.json.Decoder(Kept).decode
_output = msgspec.json.Decoder(_Output).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
Then = Callable[[Reading, bool, "Exception | None"], None]
"""`edge.gateway.Gateway._read_large` of a call."""
Told = Callable[["Kept | None", "EdgeError | None"], None]
"""Is told what is kept, None for nothing; or why that is not known."""


class _Ask(Command):
    __slots__ = ("_told",)

    def __init__(self, data: bytes, use: str, told: Callable[[Reply, RedisUnavailable | None], None]) -> None:
        super().__init__(data, use)
        self._told = told

    def replied(self, reply: Reply) -> None:
        self._told(reply, None)

    def failed(self, trouble: RedisUnavailable) -> None:
        self._told(None, trouble)


class Conversations:
    """Of one worker. ``slices`` is whose turns its longer work takes."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._slices = Slices()
        self._client: RedisClient | None = None
        self._prefix = b""

    async def share(self, client: RedisClient | None, settings: Redis | None) -> None:
        """From now on by this client, or by none."""
        self._client = client
        self._prefix = settings.prefix.encode() if settings is not None else b""

    # A request.

    def begin(self, call: Call, slices: Slices, then: Then) -> bool:
        """See to what a request goes on with, and to whether what comes of it is kept. True where it goes on with
        something that is kept here: `then` is told what it says with all of that, which has been read in `slices`, or
        why that cannot be. False where there is nothing to wait for.
        """
        if call.head.route.api not in GOES_ON:
            return False
        previous = previous_in(call)
        if not previous:
            if not is_to_be_kept(call):
                call.keep = None
            elif call.keep is None:
                call.keep = KeptResponse()
            return False
        call.errand = Looking(self, call, previous, partial(go_on, call, previous, slices, then))
        return True

    def keep(self, call: Call) -> None:
        """Keep what has come of a call, if that is complete."""
        keep = call.keep
        if keep is None or not keep.whole:
            return
        record = _encode(Kept(msgspec.Raw(items_of(call)), msgspec.Raw(keep.whole)))
        if len(record) > call.state.settings.responses.max_bytes:
            self.count("put", "too_large")
            return
        box = strongbox_of(call.state.salt)
        place = box.place(tenant_of(call), keep.id)
        put = partial(self._put, place, call.state.settings.responses.ttl_s)
        work = Work(box.close(place, record))
        if len(record) <= LARGE:
            while not work.step():
                pass
            put(work, None)
        else:
            self._slices.add(work.step, partial(put, work))

    def _put(self, place: bytes, ttl_s: float, work: Work[bytes], error: Exception | None) -> None:
        if error is not None:
            self.count("put", "error")
            return
        data = pack(b"SET", self._key(place), work.result, b"PX", max(1, int(ttl_s * 1000)))
        if not self._send(_Ask(data, "write", self._was_put), place):
            self.count("put", "unavailable")

    def _was_put(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        self.count("put", "unavailable" if trouble is not None else "ok" if reply == b"OK" else "error")

    # What is asked of Redis.

    def get(self, place: bytes, told: Callable[[Reply, RedisUnavailable | None], None]) -> Command | None:
        """None where nobody can be asked now, and nothing is told."""
        command = _Ask(pack(b"GET", self._key(place)), "read", told)
        return command if self._send(command, place) else None

    def delete(self, place: bytes, told: Callable[[Reply, RedisUnavailable | None], None]) -> Command | None:
        """The same. The reply is how many there were."""
        command = _Ask(pack(b"DEL", self._key(place)), "write", told)
        return command if self._send(command, place) else None

    def work(self, steps: Steps[bytes | None], done: Callable[[bytes | None], None], size: int) -> None:
        """Do what takes long a step at a time."""
        if size <= LARGE:
            done(finished(steps))
            return
        work = Work(steps)
        self._slices.add(work.step, lambda error: done(None if error is not None else work.result))

    def count(self, operation: str, result: str) -> None:
        self._meter.count("edge_kept_responses_total", operation, result)

    def _key(self, place: bytes) -> bytes:
        return b"%b:response:%b" % (self._prefix, place)

    def _send(self, command: Command, place: bytes) -> bool:
        return self._client is not None and not self._client.send(command, self._key(place))


class Looking:
    """A look at what is kept, until it is told or cancelled."""

    def __init__(self, store: Conversations, call: Call, name: str, told: Told) -> None:
        self._store = store
        self._call = call
        self._told: Told | None = told
        self._box = strongbox_of(call.state.salt)
        self._place = self._box.place(tenant_of(call), name)
        self._looks = 0
        self._command: Command | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since = perf_counter()
        # Whoever makes it holds it before it tells anything.
        self._timer = asyncio.get_running_loop().call_later(0, self._look)

    def cancel(self) -> None:
        self._told = None
        if self._timer is not None:
            self._timer.cancel()
        if self._command is not None:
            self._command.cancel()

    def _look(self) -> None:
        self._timer = None
        self._command = self._store.get(self._place, self._found)
        if self._command is None:
            self._tell("unavailable", None)

    def _found(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        self._command = None
        if self._told is None:
            return
        if trouble is not None:
            self._tell("unavailable", None)
        elif isinstance(reply, bytes):
            self._store.work(self._box.open(self._place, reply), self._opened, len(reply))
        elif self._looks < len(AGAIN_S):
            self._timer = asyncio.get_running_loop().call_later(AGAIN_S[self._looks], self._look)
            self._looks += 1
        else:
            self._tell("miss", None)

    def _opened(self, text: bytes | None) -> None:
        try:
            kept = _kept(text) if text is not None else None
        except UNREADABLE:
            kept = None
        self._tell("unsound" if kept is None else "ok", kept)

    def _tell(self, result: str, kept: Kept | None) -> None:
        told, self._told = self._told, None
        if told is None:
            return
        self._store.count("get", result)
        if not self._call.settled:
            self._call.ledger.waited(self._since)
        told(kept, Overloaded(UNREAD) if result == "unavailable" else None)


def go_on(call: Call, previous: str, slices: Slices, then: Then, kept: Kept | None, error: EdgeError | None) -> None:
    """With what was found of a request's previous response. That was said under another key's policy, or another
    model's: where this one's does something about personal data, the request is looked through once more, as its client
    has sent it and with all that it goes on with.
    """
    policy = call.grant.pii
    seen = policy is None or policy.mode == "detect"
    if error is None and kept is None:
        error = InvalidRequest(
            f"Previous response with id '{previous}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    body = b"" if kept is None else whole_request(call.payload.body if seen else call.body, kept)
    if len(body) > call.state.max_body_bytes:
        error = RequestTooLarge(TOO_LONG.format(call.state.max_body_bytes))
    reading = Reading(body)
    if error is not None:
        then(reading, True, error)
        return
    if is_to_be_kept(call):
        call.keep = KeptResponse(previous)
    call.errand = reading.in_slices(slices, partial(then, reading, seen), digest=False)


def tenant_of(call: Call) -> str:
    """Whose it is: the tenant's, or the key's where that has none."""
    return call.key.tenant or call.key.id


def previous_in(call: Call) -> str:
    """The id of what a request goes on with, if that is kept here; "" for another, or none."""
    span = call.payload.span(b"previous_response_id")
    if span is None:
        return ""
    named = call.payload.body[span[0] + 1 : span[1] - 1].decode("latin-1")
    return named if OURS.fullmatch(named) else ""


def is_to_be_kept(call: Call) -> bool:
    """Whether what comes of it is kept here: as OpenAI keeps it, unless the client wants that not, where no provider
    does. What a policy has another person be shown than was said is kept by nobody.
    """
    payload, watched = call.payload, call.grant.answers
    if call.head.route.api != "responses" or payload.says(b"store", b"false") or payload.says(b"background", b"true"):
        return False
    shown = call.reply.restorer is None and (watched is None or watched.mode == "detect")
    return shown and keeps_nothing(call)


def items_of(call: Call) -> bytes:
    """The input of a request as the JSON of a list of items."""
    span = call.payload.span(b"input") or (0, 0)
    given = call.payload.body[span[0] : span[1]]
    if not given.startswith(b'"'):
        return given if given.startswith(b"[") else b"[]"
    return b'[{"type":"message","role":"user","content":[{"type":"input_text","text":%b}]}]' % given


def whole_request(body: bytes, kept: Kept) -> bytes:
    """A request with all that it goes on with, which so goes on with nothing."""
    fields: dict[str, Any] = _fields(body)
    fields.pop("previous_response_id")
    given = bytes(fields.get("input", b"[]"))
    if given.startswith(b'"'):
        given = b'[{"role":"user","content":%b}]' % given
    if given.startswith(b"["):  # else it is refused for what it is
        parts = [bytes(kept.items), bytes(_output(kept.response).output), given]
        listed = [inner for part in parts if (inner := part.strip()[1:-1].strip())]
        fields["input"] = msgspec.Raw(b"[%b]" % b",".join(listed))
    return _encode(fields)
