"""The shape of a request body: strict JSON, a model, nothing said twice."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import msgspec

from edge._fast import JSONError, Scanned
from edge.call import Call
from edge.dialects.refusals import missing, no_boolean, no_string
from edge.errors import UNREADABLE, DuplicateKey, InvalidJSON, InvalidRequest, InvalidValue
from edge.guard.shape import check_counts, check_types
from edge.payload import Payload
from edge.routes import ON_REQUEST
from edge.slices import LARGE, Done, Job, Slices

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._json_c import JSONScanner
else:
    from edge._fast import JSONScanner

__all__ = ["Reading", "check_body", "check_name", "reading_of", "timeout_ms"]

MAX_MODEL = 256
MAX_TIMEOUT_MS = 86_400_000
STREAM = re.compile(rb"(?:^|&)stream=true(?:&|$)")
"""How a stored answer is asked for as the stream that it was."""
HASHED = 1 << 20
"""Bytes whose SHA-256 takes a millisecond or two."""


class Reading:
    """A body that is being read, at once or in slices: its scan and, if that is wanted, its SHA-256."""

    def __init__(self, body: bytes) -> None:
        self.begin(body)

    def begin(self, body: bytes) -> None:
        """As it is made: nothing has been read."""
        self.body = body
        self._scan: JSONScanner | None = None
        self.digest = b""

    def scan(self) -> JSONScanner:
        """The scan, which is made when it is first asked for: a body may be known already."""
        scan = self._scan
        if scan is None:
            scan = self._scan = JSONScanner.__new__(JSONScanner)
            scan.begin(self.body)
        return scan

    def step(self) -> bool:
        """One step of the scan, True when it is done. Raises InvalidJSON, DuplicateKey."""
        try:
            done: bool = self.scan().step()
        except JSONError as error:
            if error.duplicate is not None:
                message = f"The body repeats a key at byte {error.offset}: every key may be given once."
                raise DuplicateKey(message) from None
            if error.limit:
                raise InvalidJSON(f"The body is larger than is read, it has {error}.") from None
            raise InvalidJSON(f"The body is not valid JSON: {error}.") from None
        return done

    def in_slices(self, slices: Slices, done: Done, *, digest: bool) -> Job:
        """Scan a large body, and with `digest` find that. `done` is told what `step` raises."""
        body, hashed, at, scanned = memoryview(self.body), sha256(), 0, False

        def step() -> bool:
            nonlocal at, scanned
            if not scanned:
                scanned = self.step()
                return scanned and not digest
            hashed.update(body[at : at + HASHED])
            at += HASHED
            if at < len(body):
                return False
            self.digest = hashed.digest()
            return True

        return slices.add(step, done)


def reading_of(body: bytes) -> Reading:
    """One that has not begun."""
    reading = Reading.__new__(Reading)
    reading.begin(body)
    return reading


def check_body(call: Call, reading: Reading) -> None:
    """Read the body, as far as that has not been done, and set the call's ``payload``.

    Raises InvalidJSON, DuplicateKey, MissingParameter, InvalidValue, and InvalidRequest for the client's deadline.
    """
    deadline_ms = timeout_ms(call)
    body, route, bodies = reading.body, call.head.route, call.head.bodies
    if bodies is not None and not route.kept and len(body) <= LARGE:
        known = bodies.find(body)
        if known is not None:
            scan = known.scan(body)
            model = _enter(call, reading, scan, known.model, known.stream, known.include_usage, deadline_ms)
            if not known.model:
                known.accept(body, model)
            return
    scan = reading.scan()
    if body or not route.kept:
        while not reading.step():
            pass
    if route.kept:
        call.payload = Payload(body, scan, "", STREAM.search(call.head.query) is not None, False, deadline_ms)
        return
    check_types(route.api, call.head.dialect, body, scan)
    stream = scan.says(b"stream", b"true")
    include_usage = stream and route.api in ON_REQUEST and _includes_usage(body, scan.span(b"stream_options"))
    _enter(call, reading, scan, "", stream, include_usage, deadline_ms)
    if not stream:
        span = scan.span(b"stream")
        if span is not None and not scan.says(b"stream", b"false") and not scan.says(b"stream", b"null"):
            raise no_boolean("stream", _value(body, span), call.head.dialect)
    if bodies is not None and len(body) <= LARGE:
        bodies.learn(scan, stream, include_usage)


def _enter(
    call: Call, reading: Reading, scan: Scanned, model: str, stream: bool, include_usage: bool, deadline_ms: int
) -> str:
    """Set the payload, and return the name of its model, which is `model` where that is known to be good."""
    body, state = reading.body, call.state
    if scan.values > state.few:
        check_counts(state.settings.server, body, scan)
    if not model:
        model = scan.text(b"model") or _odd_model(call, body, scan)
        check_name(model, "parameter")
    payload = Payload.__new__(Payload)
    payload.begin(body, scan, model, stream, include_usage, deadline_ms, reading.digest)
    call.payload = payload
    return model


def _odd_model(call: Call, body: bytes, scan: Scanned) -> str:
    """The model's name where it is empty, or written with escapes. Raises InvalidRequest where it is missing or no
    string.
    """
    span = scan.span(b"model")
    if span is None:
        raise missing("model", call.head.dialect)
    model = _value(body, span)
    if not isinstance(model, str):
        raise no_string("model", model, call.head.dialect)
    return model


def check_name(model: str, kind: str) -> None:
    """Refuse a name, in a ``parameter`` or a ``field`` (`kind`), that no model has. Raises InvalidValue."""
    if not 0 < len(model) <= MAX_MODEL or not is_printable(model):
        raise InvalidValue(f"The {kind} 'model' must have 1 to {MAX_MODEL} printable characters.", param="model")


def is_printable(name: str) -> bool:
    """As ``str.isprintable``; a name in ASCII is looked through here, as nearly all are."""
    for character in name:
        if not " " <= character <= "~":
            return name.isprintable()
    return True


def timeout_ms(call: Call) -> int:
    """The client's own deadline from ``x-edge-timeout-ms``, in milliseconds; 0 for none. Raises InvalidRequest."""
    value = call.head.timeout
    if value is None:
        return 0
    if not value.isdigit() or len(value) > 9 or not 0 < int(value) <= MAX_TIMEOUT_MS:
        raise InvalidRequest(f"The header 'x-edge-timeout-ms' must be a whole number from 1 to {MAX_TIMEOUT_MS}.")
    return int(value)


def _includes_usage(body: bytes, span: tuple[int, int] | None) -> bool:
    options = None if span is None else _value(body, span)
    return isinstance(options, dict) and options.get("include_usage") is True


def _value(body: bytes, span: tuple[int, int]) -> Any:
    try:
        return msgspec.json.decode(body[span[0] : span[1]])
    except UNREADABLE:
        return None
