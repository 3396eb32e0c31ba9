"""Streams in pieces."""

from __future__ import annotations

__all__ = ["parts"]


def parts(stream: bytes, places: bytes) -> list[bytes]:
    """The stream, cut at `places`, each a 256th of its length."""
    cuts = sorted(place * len(stream) // 255 for place in places)
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
