"""The fields of a reply: each that is ours is defined here, once.

A field that ``varies`` differs between requests that are answered alike, so it is written for each of them; the lines
of the others are prepared, and copied. A test asks twice and compares.
"""

from __future__ import annotations

from typing import NamedTuple

from edge.errors import Headers

__all__ = ["EVENTS", "FIELDS", "JSON", "JSON_TYPE", "STREAM_TYPE", "Field", "is_stream", "lead", "lines_of", "pairs_of"]


class Field(NamedTuple):
    """``name`` is in small letters."""

    name: bytes
    varies: bool


FIELDS = {
    name: Field(name, varies)
    for name, varies in (
        (b"content-type", False),
        (b"cache-control", False),
        (b"x-accel-buffering", False),
        (b"allow", False),
        (b"www-authenticate", False),
        (b"x-should-retry", False),
        (b"x-edge-provider", False),
        (b"x-edge-model", False),
        (b"x-edge-attempts", False),
        (b"x-edge-cache", False),
        (b"x-edge-dropped", False),
        (b"x-edge-estimated", False),
        (b"x-edge-partial", False),
        (b"x-edge-pii", False),
        (b"x-request-id", True),
        (b"request-id", True),
        (b"x-edge-upstream-request-id", True),
        (b"age", True),
        (b"cache-status", True),  # of a hit
        (b"retry-after", True),
        (b"retry-after-ms", True),
        (b"x-edge-cost-usd", True),
        (b"x-edge-overhead-ms", True),
        (b"server-timing", True),
    )
}
JSON_TYPE = (b"content-type", b"application/json")
STREAM_TYPE = (b"content-type", b"text/event-stream; charset=utf-8")


def lead(name: bytes) -> bytes:
    """What the line of a field begins with."""
    return FIELDS[name].name + b": "


def lines_of(headers: Headers) -> bytes:
    """The lines of these fields, in their order."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def pairs_of(lines: bytes) -> Headers:
    """The fields of these lines, which were made by `lines_of`."""
    return [(name, value) for name, _, value in [line.partition(b": ") for line in lines.split(b"\r\n")[:-1]]]


JSON = lines_of([JSON_TYPE])
"""The beginning of a reply in JSON."""
EVENTS = lines_of([STREAM_TYPE, (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")])
"""That of a stream."""


def is_stream(headers: Headers) -> bool:
    """Whether a body with these headers is one of events."""
    for name, value in headers:  # noqa: SIM110 - no closure in what is compiled
        if name == b"content-type" and value.startswith(b"text/event-stream"):
            return True
    return False
