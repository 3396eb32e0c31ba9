"""A form that is served while it comes: its upstream is asked once enough of it has been read, and gets what follows as
that comes.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from edge.call import Call
from edge.clock import perf_counter
from edge.errors import EdgeError, RequestTooLarge
from edge.guard.forms import FormReading
from edge.slices import Slices, Work
from edge.upload import Upload
from edge.upstreams.desk import Buffers

__all__ = ["Intake"]

MODEL_FIRST = "The field 'model' has to stand before the file in a form of more than {} bytes."
TOO_LARGE = "The form is larger than {} bytes."


class Reception(Protocol):
    """Who serves it: the gateway."""

    def go_along(self, call: Call, reading: FormReading) -> None:
        """With what has been read, and whatever is still to come."""
        ...

    def cancel(self, call: Call, error: EdgeError) -> None: ...

    def fetched(self, inquiry: Call, error: BaseException | None) -> None: ...


class Intake:
    """The form of one call, until that is settled."""

    def __init__(self, reception: Reception, call: Call, buffers: Buffers) -> None:
        self._reception = reception
        self._call: Call | None = call
        self._buffers = buffers
        self._form = FormReading(call.head.boundary, not call.head.route.kept)

    def take(self, data: bytes) -> None:
        """More of it."""
        call, form = self._call, self._form
        if call is None:
            return
        try:
            sound, size = form.feed(data), form.size()
            if size > call.state.max_form_bytes:
                raise RequestTooLarge(TOO_LARGE.format(call.state.max_form_bytes))
            if call.upload is not None:
                call.upload.add(sound)
                return
            self._buffers.hold(call, len(data))
            if form.ready:
                self._go_along(call)
            elif size > call.state.max_body_bytes:
                raise RequestTooLarge(MODEL_FIRST.format(call.state.max_body_bytes), param="model")
        except EdgeError as error:
            self._break_off(call, error)

    def complete(self) -> None:
        """That was all of it."""
        call, form = self._call, self._form
        if call is None:
            return
        try:
            sound = form.finish()
            if call.upload is None:
                self._go_along(call)
            else:
                call.upload.add(sound)
                call.upload.end()
        except EdgeError as error:
            self._break_off(call, error)

    def read(self, slices: Slices, body: bytes) -> None:
        """One that has come whole."""
        call = self._call
        assert call is not None  # noqa: S101 - it has just been made
        work = Work(self._form.reads(body))
        call.errand = slices.add(work.step, partial(self._read, call))

    def _read(self, call: Call, error: Exception | None) -> None:
        if error is not None:
            self._reception.fetched(call, error)
        else:
            call.body = self._form.opening()
            self._reception.go_along(call, self._form)

    def close(self) -> None:
        """Nobody wants it any more."""
        call, self._call = self._call, None
        if call is not None and call.upload is not None:
            call.upload.close()

    def _go_along(self, call: Call) -> None:
        self._uploaded(call)
        body = call.body = self._form.opening()
        if not self._form.whole:
            call.upload = Upload(call, self._buffers, -1 if call.declared is None else call.declared - len(body))
        self._reception.go_along(call, self._form)

    def _break_off(self, call: Call, error: EdgeError) -> None:
        """It is unsound, or too large: who has been sent its beginning never gets its end."""
        if call.upload is None:
            self._uploaded(call)
        self._reception.cancel(call, error)

    def _uploaded(self, call: Call) -> None:
        """What it took to come this far is not the edge's own time."""
        call.ledger.upload_s = perf_counter() - call.received_at
