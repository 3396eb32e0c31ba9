"""The shape of a request body: strict JSON, a model, nothing said twice."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from edge._fast import JSONError, JSONScanner
from edge.dialects.refusals import missing, no_boolean, no_string
from edge.errors import UNREADABLE, DuplicateKey, InvalidJSON, InvalidRequest, InvalidValue
from edge.exchange import Exchange
from edge.slices import Done, Job, Slices

__all__ = ["check_body", "read_in_slices", "scan", "timeout_ms"]

MAX_MODEL = 256
MAX_TIMEOUT_MS = 86_400_000
HASHED = 1 << 20
"""Bytes whose SHA-256 takes a millisecond or two."""


def scan(exchange: Exchange) -> bool:
    """One step of the scan of the body: True when it is done, and the exchange's ``spans`` are set.

    Raises InvalidJSON, DuplicateKey.
    """
    scanner = exchange.scanner
    if scanner is None:
        scanner = exchange.scanner = JSONScanner(exchange.body)
    try:
        if not scanner.step():
            return False
    except JSONError as error:
        if error.duplicate is not None:
            message = f"The body repeats a key at byte {error.offset}: every key may be given once."
            raise DuplicateKey(message) from None
        if error.limit:
            raise InvalidJSON(f"The body is larger than is read, it has {error}.") from None
        raise InvalidJSON(f"The body is not valid JSON: {error}.") from None
    exchange.spans = scanner.spans
    return True


def read_in_slices(exchange: Exchange, slices: Slices, done: Done, *, digest: bool) -> Job:
    """`scan` a large body, and with `digest` set the exchange's ``body_digest``. `done` is told what `scan` raises."""
    body, hashed, at, scanned = memoryview(exchange.body), sha256(), 0, False

    def step() -> bool:
        nonlocal at, scanned
        if not scanned:
            scanned = scan(exchange)
            return scanned and not digest
        hashed.update(body[at : at + HASHED])
        at += HASHED
        if at < len(body):
            return False
        exchange.body_digest = hashed.digest()
        return True

    return slices.add(step, done)


def check_body(exchange: Exchange) -> None:
    """Check the body, as far as `scan` has not, and set the exchange's ``spans``, ``model`` and ``stream``.

    Raises InvalidJSON, DuplicateKey, MissingParameter, InvalidValue.
    """
    while not scan(exchange):
        pass
    body, spans = exchange.body, exchange.spans
    span = spans.get("model")
    if span is None:
        raise missing("model", exchange.dialect)
    model = _value(body, span)
    if not isinstance(model, str):
        raise no_string("model", model, exchange.dialect)
    if not 0 < len(model) <= MAX_MODEL or not model.isprintable():
        raise InvalidValue(f"The parameter 'model' must have 1 to {MAX_MODEL} printable characters.", param="model")
    exchange.model = model
    span = spans.get("stream")
    if span is not None:
        stream = body[span[0] : span[1]]
        if stream not in (b"true", b"false", b"null"):
            raise no_boolean("stream", _value(body, span), exchange.dialect)
        exchange.stream = stream == b"true"


def timeout_ms(exchange: Exchange) -> int | None:
    """The client's own deadline from ``x-edge-timeout-ms``, in milliseconds. Raises InvalidRequest."""
    value = exchange.index.get(b"x-edge-timeout-ms")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 9 or not 0 < int(value) <= MAX_TIMEOUT_MS:
        raise InvalidRequest(f"The header 'x-edge-timeout-ms' must be a whole number from 1 to {MAX_TIMEOUT_MS}.")
    return int(value)


def _value(body: bytes, span: tuple[int, int]) -> Any:
    try:
        return msgspec.json.decode(body[span[0] : span[1]])
    except UNREADABLE:
        return None
