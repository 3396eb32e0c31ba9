"""A client's WebSocket and its provider's, as one connection.

Whole messages are relayed, each in the callback that brings it. An end that does not take what it is sent has the other
paused. Pings are answered by the end that they come to. When one end closes, or is gone, so is the other, at once and
with the same code; each end then waits by itself until its other side has answered.

What the messages say is known to a `Talk`; the relay counts them, and knows how long a connection may last and be
silent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from edge.call import Call
from edge.clock import perf_counter
from edge.errors import (
    ClientClosedRequest,
    EdgeError,
    InternalError,
    Overloaded,
    ShuttingDown,
    UpstreamCredentials,
    UpstreamStreamBroken,
)
from edge.inquiry import Asker
from edge.sockets.ends import End
from edge.sockets.link import Link
from edge.sockets.office import Office, Reason, particulars
from edge.sockets.opening import Opened, Refused, Wanted, open_link
from edge.sockets.peer import ABNORMAL, AWAY, LATER, NORMAL, TROUBLE, Closed, Message, code_for
from edge.sockets.rights import RIGHTS_S, Rights
from edge.sockets.tab import Tab
from edge.sockets.talk import Talk
from edge.sockets.word import Refusal, told_by
from edge.upstreams.gate import Gate
from edge.upstreams.tried import Tried

__all__ = ["FOLLOWS", "Relay"]

# The states: nothing has begun; a provider is asked for the handshake, before the client's is answered; the client's
# is answered, and no provider is asked yet; one is asked meanwhile; both ends are open; it is over.
NEW, OPENING, ALONE, JOINING, OPEN, ENDED = range(6)
FOLLOWS = {
    NEW: (OPENING, ALONE, ENDED),
    OPENING: (OPEN, ENDED),
    ALONE: (JOINING, ENDED),
    JOINING: (OPEN, ALONE, ENDED),
    OPEN: (ENDED,),
    ENDED: (),
}
Told = ParamSpec("Told")


def guarded(tells: Callable[Concatenate[Relay, Told], None]) -> Callable[Concatenate[Relay, Told], None]:
    """What an end, a task, a clock or Redis's reply calls raises nothing: it must not leave a client waiting."""

    @wraps(tells)
    def told(relay: Relay, /, *arguments: Told.args, **named: Told.kwargs) -> None:
        try:
            tells(relay, *arguments, **named)
        except Exception as defect:  # noqa: BLE001 - of ours
            relay.fail(defect)

    return told


class Relay:
    """One connection, an errand of its call. ``tab`` is what its responses cost, ``tried`` the attempt that has given
    it its provider, None before.
    """

    def __init__(self, office: Office, call: Call, client: End, protocol: str, asker: Asker, rights: Rights) -> None:
        """`protocol` is the sub-protocol that the client speaks, "" for none; `asker` is told once when it is over."""
        self._rights = rights
        self.call = call
        self.tab = Tab(call, rights, office.accounts, office.counts, office.desk.meter, self.fail)
        self.tried: Tried | None = None
        self._office = office
        self._client = client
        self._protocol = protocol
        self._asker: Asker | None = asker
        self._state = NEW
        self._endpoint = call.head.route.endpoint
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[Opened] | None = None
        self._link: Link | None = None
        self._gate: Gate | None = None
        self._talk: Talk | None = None
        self._inbox: deque[Message] = deque()
        self._waiting = self._asked = self._counted = 0
        self._held = self._taking = self._unheard = False
        self._begun_at = self._latest = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._since = perf_counter()
        self._pending: dict[End, int] = {}
        self._messages = [0, 0]

    @guarded
    def start(self, talk: Talk, model: str) -> None:
        """Ask a provider for `model` before the client is answered, or answer it now where that is ""."""
        self._talk = talk
        if model:
            self._enter(OPENING)
            self._open(None, False)
        else:
            self._enter(ALONE)
            self._accept([])

    @guarded
    def cancel(self) -> None:
        """As an errand: the edge ends, or the client has left."""
        error, self._asker = self.call.ledger.error, None
        if isinstance(error, ClientClosedRequest):
            self._end("left", Closed(ABNORMAL), Closed(AWAY), error)
        else:
            self._end("drain", Closed(AWAY, "This edge is shutting down."), Closed(AWAY), error or ShuttingDown())

    def _enter(self, state: int) -> None:
        assert state in FOLLOWS[self._state], (self._state, state)  # noqa: S101 - a defect of ours
        self._state = state

    @property
    def joined(self) -> bool:
        """Whether a provider is on the other end."""
        return self._link is not None

    # Finding the provider.

    def join(self, first: Callable[[str], bytes], *, once: bool) -> None:
        """Ask for a provider, by the call's grant, and tell it `first`, by its name for the model (`Wanted`). The
        client's messages wait; the talk is told what came of it.
        """
        self._enter(JOINING)
        self.hold()
        self._open(first, once)

    def _open(self, first: Callable[[str], bytes] | None, once: bool) -> None:
        most = self.call.state.settings.websockets.max_message_bytes
        wanted = Wanted(first is None, self._protocol, most, first, once)
        self._opening = self._loop.create_task(open_link(self._office.desk, self.call, wanted))
        self._opening.add_done_callback(self._opened)

    @guarded
    def _opened(self, task: asyncio.Task[Opened]) -> None:
        self._opening = None
        if task.cancelled():
            return
        error = task.exception()
        if self._state not in (OPENING, JOINING):
            if error is None:
                self._give_up(task.result())
        elif error is None:
            self._join(task.result())
        elif not isinstance(error, (EdgeError, Refused)):
            self.fail(error)
        elif self._state == OPENING:
            self._refuse(error)
        else:
            self._enter(ALONE)
            assert self._talk is not None  # noqa: S101 - it has asked
            self._talk.refused(error)

    def _give_up(self, opened: Opened) -> None:
        """Nobody waits for it any more."""
        opened.link.close(AWAY, "")
        if opened.gate is not None:
            opened.gate.leave(perf_counter())

    def _join(self, opened: Opened) -> None:
        accepted = self._state != OPENING
        self._enter(OPEN)
        self._link, self.tried, self._gate = opened.link, opened.tried, opened.gate
        self.call.ledger.content_at = perf_counter()
        if not accepted:
            self._accept(opened.headers)
        if self._state == OPEN and accepted and self._talk is not None:
            self._talk.joined()
        if self._state == OPEN:
            opened.link.tells(self)

    def _refuse(self, error: BaseException) -> None:
        """The handshake is not answered by a 101."""
        self._enter(ENDED)
        if self._opening is not None:
            self._opening.cancel()
        if isinstance(error, Refused):
            self.call.answer(error.status, error.headers, error.body)
            self._finish(None)
        else:
            self._finish(error.bare() if isinstance(error, EdgeError) else error)

    def _accept(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Answer the client's handshake."""
        self._office.counters.opened(self._endpoint)
        self._since = perf_counter()
        self._begun_at = self._latest = self._loop.time()
        self._timer = self._loop.call_later(min(self._patience(), RIGHTS_S), self._look)
        self.call.begin_answer(101, headers, 0)

    # As who is told by the ends.

    @guarded
    def came(self, end: End, message: Message) -> None:
        if self._state == ENDED:
            return
        self._latest = self._loop.time()
        if end is self._client:
            self._count(0, "in", message)
            self._inbox.append(message)
            self._waiting += len(message.data)
            self._take()
        elif self._talk is not None:
            self._talk.told(message)

    @guarded
    def holds(self, end: End, pending: int) -> None:
        if pending != self._pending.get(end, 0):
            self._pending[end] = pending
            self._count_held()

    def _count_held(self) -> None:
        """What is held of messages, as bodies of requests are: parts, what waits, and what waits to be sent."""
        if self._state == ENDED:
            return
        buffers, self._counted = self._office.desk.buffers, self._waiting + self._asked
        held = self._counted + sum(self._pending.values())
        try:
            if held > self.call.buffered:
                buffers.hold(self.call, held - self.call.buffered)
            else:
                buffers.let_go(self.call, held)
        except Overloaded as error:
            self._end("failed", Closed(LATER, error.message), Closed(AWAY), error)

    @guarded
    def gone(self, end: End, closed: Closed) -> None:
        if self._state == ENDED:
            return
        if end is self._client:
            if closed.broke:
                self._end("violation", closed, Closed(AWAY), None, kind="client_invalid")
            elif closed.code == ABNORMAL:
                self._end("left", closed, Closed(AWAY), ClientClosedRequest())
            else:
                self._end("client", closed, closed, None)
        elif closed.broke or closed.code == ABNORMAL:
            error = UpstreamStreamBroken("The provider's connection broke off.")
            self._end_in(error, "violation" if closed.broke else "broken", TROUBLE, closed.code)
        elif (refusal := told_by(closed)) is not None and refusal.ours:
            self.disown(refusal)
        else:
            self._end("provider", closed, closed, None)

    @guarded
    def room(self, end: End) -> None:
        if self._state == ENDED:
            return
        if end is self._client:
            self._unheard = False
            if self._link is not None:
                self._link.resume()
        self._read_on()

    # For the talk.

    def hold(self) -> None:
        """What the client says from here on waits, and is not read."""
        self._held = True
        self._client.pause()

    def release(self) -> None:
        """It waits no longer."""
        if self._held and self._state != ENDED:
            self._held, self._asked = False, 0
            self._read_on()
            self._take()

    def _read_on(self) -> None:
        """The client, unless something waits: what it has said, or what it was answered."""
        if not self._held and not self._unheard and (self._link is None or not self._link.full()):
            self._client.resume()

    def forward(self, message: Message) -> None:
        """To the provider."""
        if self._link is not None and self._state == OPEN:
            self._link.say(message)
            if self._link.full():
                self._client.pause()

    def tell(self, message: Message) -> None:
        """To the client. Where it does not take that, nobody is read who would have it told more."""
        if self._state in (ALONE, JOINING, OPEN):
            self._count(1, "out", message)
            self._client.say(message)
            if self._client.full():
                if self._link is not None:
                    self._link.pause()
                if self._taking or self._held:  # what it has said is answered here
                    self._unheard = True
                    self._client.pause()

    def fail(self, defect: BaseException) -> None:
        """A defect of ours ends it."""
        if self._state == ENDED:
            self._loop.call_exception_handler({"message": "a relay", "exception": defect})
        elif self._state in (NEW, OPENING):
            self._refuse(defect)
        else:
            self._end_in(InternalError(), "failed", TROUBLE, AWAY, defect)

    def shut_out(self, error: EdgeError) -> None:
        """The client may not go on: it is closed by the code of a policy (RFC 6455, section 7.4.1)."""
        self._end_in(error, "refused", 1008, AWAY)

    def disown(self, refusal: Refusal) -> None:
        """The provider refuses our key by now, or our account: what it says of that is not for the client, and the
        account is left alone for a while.
        """
        if self.tried is not None:
            self.tried.status = refusal.status
            self.tried.refuse(perf_counter())
        self.tab.refuse()
        self._end_in(UpstreamCredentials(), "provider", TROUBLE, AWAY)

    @guarded
    def _take(self) -> None:
        """What the client has said, one after the other, each by the rights of now."""
        if self._taking or self._talk is None:
            return
        self._taking = True
        try:
            while self._inbox and not self._held and self._may_go_on():
                message = self._inbox.popleft()
                self._waiting -= len(message.data)
                self._talk.asked(message)
                self._asked = len(message.data) if self._held else 0
        finally:
            self._taking = False
        if self._counted != self._waiting + self._asked:
            self._count_held()

    def _may_go_on(self) -> bool:
        """Whether it is not over, nor has to be now."""
        if self._state == ENDED:
            return False
        try:
            if self._rights.heed() and self._talk is not None:
                self._talk.renewed()
        except EdgeError as error:
            self.shut_out(error)
            return False
        return True

    def _count(self, number: int, direction: str, message: Message) -> None:
        self._messages[number] += 1
        self._office.counters.message(self._endpoint, direction, len(message.data))

    # Its end.

    def _patience(self) -> float:
        """Seconds that it has left."""
        now, settings = self._loop.time(), self.call.state.settings.websockets
        return max(0.0, min(self._latest + settings.idle_s, self._begun_at + settings.max_s) - now)

    @guarded
    def _look(self) -> None:
        self._timer = None
        if not self._may_go_on():
            return
        patience, settings = self._patience(), self.call.state.settings.websockets
        if patience > 0.0:
            self._timer = self._loop.call_later(min(patience, RIGHTS_S), self._look)
            return
        expired = self._loop.time() - self._begun_at >= settings.max_s
        why = f"open for {settings.max_s:g} s" if expired else f"silent for {settings.idle_s:g} s"
        self._end("expired" if expired else "idle", Closed(AWAY, f"The connection was {why}."), Closed(AWAY), None)

    def _end_in(
        self, error: EdgeError, reason: Reason, code: int, to_provider: int, defect: BaseException | None = None
    ) -> None:
        """In an error of which the client is told, by an event and by the close."""
        try:
            if self._talk is not None:
                self.tell(self._talk.error_event(error))
        finally:
            self._end(reason, Closed(code, error.message), Closed(to_provider), error, defect=defect)

    def _end(
        self,
        reason: Reason,
        to_client: Closed,
        to_provider: Closed,
        error: EdgeError | None,
        kind: str = "",
        defect: BaseException | None = None,
    ) -> None:
        """Close both ends; the call is settled, and who has asked is told of a `defect` of ours."""
        if self._state == ENDED:
            return
        begun = self._state in (ALONE, JOINING, OPEN)
        self._state = ENDED
        call, ledger = self.call, self.call.ledger
        if self._timer is not None:
            self._timer.cancel()
        if self._opening is not None:
            self._opening.cancel()
        if self._link is not None:
            self._link.close(code_for(to_provider, AWAY), to_provider.reason if to_provider is to_client else "")
        if self._gate is not None:
            self._gate.leave(perf_counter())
        self._inbox.clear()
        try:
            self.tab.close()
        finally:
            if begun:
                ledger.waited(self._since)
                ledger.error = error
                ledger.kind = ledger.kind or kind
                ledger.particulars = particulars(reason, to_client.code, self.tab.responses, *self._messages)
                self._office.counters.ended(self._endpoint, reason)
                if not call.reply.over():
                    self._client.close(code_for(to_client, NORMAL), to_client.reason)
                    call.reply.end()
            self._finish(defect if begun else error)

    def _finish(self, error: BaseException | None) -> None:
        asker, self._asker, self._talk = self._asker, None, None
        if asker is not None:
            asker.fetched(self.call, error)
