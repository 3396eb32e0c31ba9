"""A head that wishes to speak another protocol, which nobody here does: it is read without the wish."""

from __future__ import annotations

from edge.errors import Headers

__all__ = ["without_upgrade"]

UPGRADE = (b"upgrade", b"http2-settings")


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
