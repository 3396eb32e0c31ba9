"""What the head of a client's request may be."""

from __future__ import annotations

import re

from edge._fast import RequestHead
from edge._fast.head_tables import METHODS
from edge.errors import Headers, HeaderTooLarge, InvalidHTTP

__all__ = [
    "HEAD",
    "MAX_HEAD",
    "MAX_HEADERS",
    "MAX_TARGET",
    "check_coding",
    "check_size",
    "check_target",
    "checked_host",
    "scan",
]

MAX_HEAD = 32768
MAX_HEADERS = 100
MAX_TARGET = 8192
HEAD = RequestHead(MAX_HEADERS, MAX_HEAD, MAX_TARGET)
"""What was read is asked for at once, so that one serves all connections."""
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(:[0-9]{1,5})?")
"""RFC 9110, section 7.2: a host and a port, and nothing that could be read as either twice."""
TARGET = re.compile(rb"(/|https?://)[\x21\x22\x24-\x7e]*")
"""RFC 9112, section 3.2: in the origin or the absolute form, which have no fragment."""


def scan(data: bytes) -> tuple[bytes, bytes, Headers, int, int] | None:
    """What the head says that `data` begins with, if it is of the common form and whole: method, target, fields, the
    size of the body and where that begins.
    """
    at = HEAD.read(data)
    if at <= 0 or HEAD.chunked:
        return None
    return METHODS[HEAD.method], HEAD.target, HEAD.fields(), max(HEAD.content_length, 0), at


def check_target(target: bytes, method: bytes) -> None:
    """Raises InvalidHTTP. RFC 9112, section 3.2.4: the asterisk is a target of OPTIONS alone."""
    if not TARGET.fullmatch(target) and (target != b"*" or method != b"OPTIONS"):
        raise InvalidHTTP("The request's target has a form that is not answered.")


def check_coding(headers: Headers, version: str) -> None:
    """Raises InvalidHTTP. Chunks are the only coding of a body (RFC 9112, section 6.1: 501 for others): who passed over
    another could see its end elsewhere than a proxy before us did. A proxy that speaks HTTP/1.0 knows none at all.
    """
    if version == "1.0":
        raise InvalidHTTP("HTTP/1.0 has no transfer codings: send a Content-Length.")
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked":
        raise InvalidHTTP("No transfer coding but chunked is known here.", status=501)


def checked_host(host: bytes) -> bytes:
    """The same. Raises InvalidHTTP."""
    if not HOST.fullmatch(host):
        raise InvalidHTTP("A request names exactly one host.")
    return host


def check_size(headers: Headers) -> None:
    """Raises HeaderTooLarge."""
    if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
        raise HeaderTooLarge(f"The headers are larger than {MAX_HEAD} bytes.")
