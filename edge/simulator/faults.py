"""The bytes of answers that no well-behaved provider gives."""

from __future__ import annotations

import gzip
import time
from email.utils import formatdate

from edge.simulator.plan import Plan

__all__ = ["HOSTILE", "dress", "retry_headers", "spoiled_body"]

HOSTILE = (
    b"set-cookie: session=canary\r\n"
    b"server: canary\r\n"
    b"x-secret: canary\r\n"
    b"connection: keep-alive, x-secret\r\n"
    b"keep-alive: timeout=1\r\n"
    b"alt-svc: h3=canary\r\n"
    b"access-control-allow-origin: *\r\n"
    b"retry-after: 1\x01canary\r\n"
    b"x-ratelimit-remaining-requests: \x1b[31mcanary\r\n"
    b"x-long: " + b"c" * 8192 + b"\r\n"
)
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
GARBAGE = b'{"id": "chatcmpl-1", "choices": [{\xff\xfe not json'
BOMB_BYTES = 200 << 20
_bomb: list[bytes] = []


def retry_headers(plan: Plan) -> bytes:
    """The Retry-After forms of an error."""
    lines = b""
    if plan.retry_after is not None:
        lines += b"retry-after: %d\r\n" % plan.retry_after
    if plan.retry_after_ms is not None:
        lines += b"retry-after-ms: %d\r\n" % plan.retry_after_ms
    if plan.retry_after_date is not None:
        lines += b"retry-after: " + formatdate(time.time() + plan.retry_after_date, usegmt=True).encode() + b"\r\n"
    if not lines and plan.status in (429, 503, 529) and "noretry" not in plan.flags:
        lines = b"retry-after: 1\r\n"
    return lines


def spoiled_body(plan: Plan, body: bytes) -> tuple[bytes, bytes]:
    """The body and its media type, after ``html``, ``garbage`` or ``empty``."""
    if "html" in plan.flags:
        return HTML, b"text/html"
    if "garbage" in plan.flags:
        return GARBAGE, b"application/json"
    if "empty" in plan.flags:
        return b"", b"application/json"
    return body, b"application/json"


def dress(plan: Plan, body: bytes) -> tuple[bytes, bytes]:
    """The body and extra headers, after ``gzip``, ``bomb`` and ``hostile``."""
    extra = HOSTILE if "hostile" in plan.flags else b""
    if "bomb" in plan.flags:
        if not _bomb:
            _bomb.append(gzip.compress(bytes(BOMB_BYTES)))
        return _bomb[0], extra + b"content-encoding: gzip\r\n"
    if "gzip" in plan.flags:
        return gzip.compress(body), extra + b"content-encoding: gzip\r\n"
    return body, extra
