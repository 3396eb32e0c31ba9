"""A head that wishes to speak another protocol: a WebSocket, where the path is of one; any other wish is not read."""

from __future__ import annotations

from edge.errors import Headers
from edge.routes import SOCKET_PATHS, Match

__all__ = ["wished", "without_upgrade"]

UPGRADE = (b"upgrade", b"http2-settings")


def wished(method: bytes, version: str, target: bytes, headers: Headers) -> Match | None:
    """The route of a head that wishes for a WebSocket, None for any other. (That it has the wish for some upgrade is
    known; RFC 6455, section 4.1: it is a GET of HTTP/1.1.)
    """
    if method != b"GET" or version != "1.1":
        return None
    if not any(name == b"upgrade" and b"websocket" in value.lower() for name, value in headers):
        return None
    return SOCKET_PATHS.get(target.partition(b"?")[0])


def without_upgrade(line: bytes, headers: Headers) -> bytes:
    """The head that begins with `line`, without the wish to speak another protocol."""
    lines = [line]
    for name, value in headers:
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            value = b", ".join(token for token in tokens if token.lower() not in UPGRADE)
        if name not in UPGRADE and (value or name != b"connection"):
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])
