"""The reply to an inquiry: how far it is, and what may still be done to it.

Nobody else writes it: the stages call its steps, each step is looked up in a table of states, and what goes out goes to
its `Sink`, which knows no states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.guard.restore import Restorer

__all__ = ["STEPS", "STREAM", "Reply", "Sink"]

STREAM = -1
"""In place of the size of a body: it is a stream."""

# Nothing has gone out; a head that says "a stream" and keep-alives have, so another upstream may still answer, and an
# error has to be an event; the head of the answer has; all of it has; it was broken off, or its client has left.
NEW, EARLY, STARTED, ENDED, BROKEN = 0, 1, 2, 3, 4
# The steps: a head before there is an answer; the head of one; a part of the body; a keep-alive; the end; breaking off.
PROMISE, START, WRITE, INTERJECT, END, BREAK = 0, 1, 2, 3, 4, 5
STEPS = {
    NEW: {PROMISE: EARLY, START: STARTED, BREAK: BROKEN},
    EARLY: {START: STARTED, INTERJECT: EARLY, BREAK: BROKEN},
    STARTED: {WRITE: STARTED, INTERJECT: STARTED, END: ENDED, BREAK: BROKEN},
    ENDED: {},
    # Who writes is told later than the reply: what still comes is for nobody.
    BROKEN: {START: BROKEN, WRITE: BROKEN, INTERJECT: BROKEN, END: BROKEN, BREAK: BROKEN},
}
"""What each step makes of each state; a step that is not here is a defect of ours."""
FORBIDDEN = 255
TABLE = bytes(STEPS[state].get(step, FORBIDDEN) for state in STEPS for step in range(BREAK + 1))


class Sink:
    """What replies go out by: a client's connection, or all who follow a flight. None of the first five waits. (A
    compiled class has no abstract methods.)
    """

    def start(self, status: int, lines: bytes, size: int) -> None:
        """Send the head, with these lines. `size` is that of the body in bytes, or `STREAM`."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send more of the body."""
        raise NotImplementedError

    def end(self) -> None:
        """The body is complete."""
        raise NotImplementedError

    def abort(self) -> None:
        """Break the connection off: the client must not take what it has for a complete reply."""
        raise NotImplementedError

    def push(self) -> None:
        """Send what was written, though nobody asks for room."""

    def idle(self) -> bool:
        """Whether all that was written has gone out, or is about to."""
        return not self.congested()

    def congested(self) -> bool:
        """Whether more is to be written only when there is room."""
        raise NotImplementedError

    def when_room(self, room: Callable[[], None] | None) -> None:
        """Call `room`, once, as soon as the client takes more, never before this has returned; None to forget it."""
        raise NotImplementedError


class Reply:
    """``status`` is that of its head, 0 before there is one; ``latest`` what was last written, ``sent`` how many bytes
    of its body were. ``restorer`` puts what were pseudonyms back into it, for this client alone, so what is written
    passes it last.

    It lets go of its sink, which may hold it, when it is over.
    """

    def __init__(self, sink: Sink) -> None:
        self.attach(sink)

    def attach(self, sink: Sink) -> None:
        """As it is made: nothing has gone out."""
        self.state = NEW
        self.status = 0
        self.latest = b""
        self.sent = 0
        self.restorer: Restorer | None = None
        self._sink: Sink | None = sink

    def _step(self, step: int) -> int:
        """Take a step; the state that it leads to."""
        state = TABLE[self.state * (BREAK + 1) + step]
        assert state != FORBIDDEN, (self.state, step)  # noqa: S101 - a defect of ours
        self.state = state
        return state

    def promise(self, status: int, lines: bytes) -> None:
        """Send the head of a stream, before there is an answer."""
        self._step(PROMISE)
        self.status = status
        if self.restorer is not None:
            self.restorer.stream = True
        if self._sink is not None:
            self._sink.start(status, lines, STREAM)

    def start(self, status: int, lines: bytes, size: int = STREAM) -> None:
        """Send the head of the answer, if none was promised: then what follows is the stream that was. What is put back
        into it is known to be a stream, or none, before.
        """
        promised = self.state == EARLY
        if self._step(START) == BROKEN or promised or self._sink is None:
            return
        self.status = status
        if self.restorer is not None:
            size = STREAM  # what is put back has another
        self._sink.start(status, lines, size)

    def write(self, data: bytes) -> None:
        """Send more of the body."""
        if self._step(WRITE) != BROKEN:
            self._put(data)

    def interject(self, data: bytes) -> None:
        """Send something while the answer is awaited; nothing where the client does not take what it has."""
        if self._step(INTERJECT) != BROKEN and self._sink is not None and self._sink.idle():
            self._put(data)
            self._sink.push()

    def _put(self, data: bytes) -> None:
        self.latest = data
        if self.restorer is not None:
            data = self.restorer.feed(data)
        if self._sink is not None:
            self.sent += len(data)
            self._sink.write(data)

    def end(self) -> None:
        """The answer is complete."""
        sink = self._sink
        if self._step(END) == BROKEN or sink is None:
            return
        restorer, self.restorer = self.restorer, None
        if restorer is not None and (rest := restorer.end()):
            self.sent += len(rest)
            sink.write(rest)
        self.let_go()
        sink.end()

    def abort(self) -> None:
        """Break it off, for the client to see."""
        sink = self._sink
        self.lost()
        if sink is not None:
            sink.abort()

    def lost(self) -> None:
        """The client has left."""
        self._step(BREAK)
        self.let_go()

    def let_go(self) -> None:
        """Nothing more will be written, though it may never have begun."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.when_room(None)

    # Asking.

    def new(self) -> bool:
        """Whether nothing has gone out yet."""
        return self.state == NEW

    def promised(self) -> bool:
        """Whether nothing but a promise of a stream has gone out, and keep-alives."""
        return self.state == EARLY

    def ended(self) -> bool:
        """Whether all of it has gone out."""
        return self.state == ENDED

    def broken(self) -> bool:
        """Whether it was broken off, or the client has left."""
        return self.state == BROKEN

    def over(self) -> bool:
        """Whether nothing more will go out."""
        return self.state >= ENDED

    def begun(self) -> bool:
        """Whether a head has gone out, and the reply goes on."""
        return self.state == EARLY or self.state == STARTED

    def has_answer(self) -> bool:
        """Whether the head of an answer has gone out: nobody else may give one."""
        return self.state >= STARTED

    def congested(self) -> bool:
        """Whether more is to be written only when there is room."""
        return self._sink is not None and self._sink.congested()

    def when_room(self, room: Callable[[], None] | None) -> None:
        """As the sink's; nothing where the reply is over."""
        if self._sink is not None:
            self._sink.when_room(room)
