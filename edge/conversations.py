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
from edge.strongbox import Strongbox, strongbox_of
from edge.upstreams.desk import Buffers
from edge.upstreams.ties import keeps_nothing

if TYPE_CHECKING:
    from edge.redis.client import RedisClient

__all__ = ["Conversations", "Deleting", "Kept", "Looking", "tenant_of"]

GOES_ON = ("responses", "compact", "input_tokens")
"""APIs whose requests may go on with a response."""
AGAIN_S = (0.1, 0.4)
"""One that was just made may still be on its way to Redis, from another worker: it is looked for again after these."""
GONE = b"-"
"""What stands for a while where one was to be deleted that was not there: it may be on its way, and is put nowhere."""
GONE_S = 60.0
"""Longer than anything is on its way."""
DELETE = b"""
if redis.call('STRLEN', KEYS[1]) > 1 then return redis.call('DEL', KEYS[1]) end
if ARGV[1] ~= '0' then redis.call('SET', KEYS[1], '-', 'PX', ARGV[1]) end
return 0"""
COPIES = 2
"""Of what is kept, as long as it is on its way: as it is, and as it is hidden."""
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
    """Of one worker. ``buffers`` counts what that holds."""

    def __init__(self, meter: Meter, buffers: Buffers) -> None:
        self._meter = meter
        self.buffers = buffers
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
        call.errand = Looking(self, call, previous, partial(go_on, self, call, previous, slices, then))
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
        size = COPIES * len(record)
        if not self.buffers.lend(size, call.state.max_buffered_bytes):
            self.count("put", "overloaded")
            return
        box = strongbox_of(call.state.salt)
        place = box.place(tenant_of(call), keep.id)
        hidden = partial(self._hidden, place, call.state.settings.responses.ttl_s, size)
        work = Work(box.close(place, record))
        if len(record) <= LARGE:
            while not work.step():
                pass
            hidden(work, None)
        else:
            self._slices.add(work.step, partial(hidden, work))

    def _hidden(self, place: bytes, ttl_s: float, size: int, work: Work[bytes], error: Exception | None) -> None:
        if error is not None:
            self._was_put(size, "error")
            return
        # Where there is something already, it was deleted in the meantime: no id is used twice.
        data = pack(b"SET", self._key(place), work.result, b"PX", max(1, int(ttl_s * 1000)), b"NX")
        if not self._send(_Ask(data, "write", partial(self._told, size)), place):
            self._was_put(size, "unavailable")

    def _told(self, size: int, reply: Reply, trouble: RedisUnavailable | None) -> None:
        result = "ok" if reply == b"OK" else "deleted" if reply is None else "error"
        self._was_put(size, result if trouble is None else "unavailable")

    def _was_put(self, size: int, result: str) -> None:
        self.buffers.give_back(size)
        self.count("put", result)

    # What is asked of Redis.

    def get(self, place: bytes, told: Callable[[Reply, RedisUnavailable | None], None]) -> Command | None:
        """None where nobody can be asked now, and nothing is told."""
        command = _Ask(pack(b"GET", self._key(place)), "read", told)
        return command if self._send(command, place) else None

    def delete(
        self, place: bytes, told: Callable[[Reply, RedisUnavailable | None], None], *, last: bool
    ) -> Command | None:
        """The same. The reply is how many there were; `last`: where there was none, none is put there any more."""
        gone_ms = int(GONE_S * 1000) if last else 0
        command = _Ask(pack(b"EVAL", DELETE, 1, self._key(place), gone_ms), "write", told)
        return command if self._send(command, place) else None

    def hold(self, call: Call, size: int) -> None:
        """So many bytes more for a call. Raises Overloaded."""
        self.buffers.hold(call, size)

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


class Look:
    """At a place, and again where what is looked for may be on its way there; until it is told or cancelled."""

    def __init__(self, store: Conversations, call: Call, name: str) -> None:
        self._store = store
        self._call = call
        self._box: Strongbox = strongbox_of(call.state.salt)
        self._place = self._box.place(tenant_of(call), name)
        self._looks = 0
        self._over = False
        self._command: Command | None = None
        self._since = perf_counter()
        # Whoever makes it holds it before it tells anything.
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(0, self._look)

    def cancel(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._command is not None:
            self._command.cancel()

    def _look(self) -> None:
        self._timer = None
        self._command = self._ask(self._looks == len(AGAIN_S))
        if self._command is None:
            self._replied(None, RedisUnavailable("unready"))

    def _ask(self, last: bool) -> Command | None:
        """None where nobody can be asked now."""
        raise NotImplementedError

    def _replied(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        self._command = None
        if self._over:
            return
        if trouble is None and not reply and self._looks < len(AGAIN_S):
            self._timer = asyncio.get_running_loop().call_later(AGAIN_S[self._looks], self._look)
            self._looks += 1
        else:
            self._found(reply, trouble)

    def _found(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        raise NotImplementedError

    def _ends(self, operation: str, result: str) -> bool:
        """Whether anybody is to be told; once."""
        if self._over:
            return False
        self._over = True
        self._store.count(operation, result)
        if not self._call.settled:
            self._call.ledger.waited(self._since)
        return True


class Looking(Look):
    """For what is kept."""

    def __init__(self, store: Conversations, call: Call, name: str, told: Told) -> None:
        super().__init__(store, call, name)
        self._told = told

    def _ask(self, last: bool) -> Command | None:
        return self._store.get(self._place, self._replied)

    def _found(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        if trouble is not None:
            self._tell("unavailable", None, Overloaded(UNREAD))
        elif not isinstance(reply, bytes) or reply == GONE:
            self._tell("miss", None, None)
        else:
            try:
                self._store.hold(self._call, COPIES * len(reply))
            except Overloaded as error:
                self._tell("overloaded", None, error)
            else:
                self._store.work(self._box.open(self._place, reply), self._opened, len(reply))

    def _opened(self, text: bytes | None) -> None:
        try:
            kept = _kept(text) if text is not None else None
        except UNREADABLE:
            kept = None
        self._tell("unsound" if kept is None else "ok", kept, None)

    def _tell(self, result: str, kept: Kept | None, error: EdgeError | None) -> None:
        if self._ends("get", result):
            self._told(kept, error)


class Deleting(Look):
    """What is kept, or on its way there: `told` is told how many there were, None where that is not known."""

    def __init__(self, store: Conversations, call: Call, name: str, told: Callable[[int | None], None]) -> None:
        super().__init__(store, call, name)
        self._told = told

    def _ask(self, last: bool) -> Command | None:
        return self._store.delete(self._place, self._replied, last=last)

    def _found(self, reply: Reply, trouble: RedisUnavailable | None) -> None:
        known = trouble is None and isinstance(reply, int)
        if self._ends("delete", "unavailable" if not known else "ok" if reply else "miss"):
            self._told(reply if known and isinstance(reply, int) else None)


def go_on(
    store: Conversations,
    call: Call,
    previous: str,
    slices: Slices,
    then: Then,
    kept: Kept | None,
    error: EdgeError | None,
) -> None:
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
    elif body:
        try:
            store.hold(call, len(body))
        except Overloaded as full:
            error = full
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
