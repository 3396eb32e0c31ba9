"""Codings of bodies (RFC 9110, section 8.4.1), taken off a bounded piece at a time: a bomb costs what is taken."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore] # since Python 3.14
except ImportError:
    try:
        from backports import zstd
    except ImportError:
        zstd = None

__all__ = ["CODINGS", "CodingError", "Layer"]

GZIP = frozenset({b"gzip", b"x-gzip"})
ZSTD = b"zstd"
CODINGS = GZIP | {b"deflate"} | ({ZSTD} if zstd is not None else set())
"""Those that are known here. zstd needs Python 3.14 or the package backports.zstd."""
PIECE = 4096
"""What is decompressed at a time: what a member leaves over is copied, so in one piece many small members would take
time by the square."""
MOST = 262144
"""What comes out at a time."""
FREE_MEMBERS = 64
MEMBER = 16
"""Beyond `FREE_MEMBERS`, a member brings so many bytes on average: who sends empty ones wants to keep us busy."""
WINDOW_LOG = 23
"""8 MiB, all that may be asked of who takes zstd by HTTP (RFC 9659)."""


class CodingError(Exception):
    """The bytes are not what their coding says: the message goes on a sentence about the body."""


class Layer:
    """One coding. gzip may have several members (RFC 1952, section 2.2), and zeros behind them, zstd several frames
    (RFC 8878, section 3); deflate is zlib's format (RFC 9110, section 8.4.1.2), or without its header, as some have it.
    """

    def __init__(self, coding: bytes) -> None:
        """`coding` is one of `CODINGS`."""
        self._coding = coding
        self._decoder: Any = None
        self._pending = False
        self._members = 0
        self._made = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What comes out of the next bytes, `MOST` at a time, often nothing: between two there is little work. Raises
        CodingError.
        """
        for start in range(0, len(data), PIECE):
            yield from self._pieces(data[start : start + PIECE])

    def _pieces(self, piece: bytes) -> Iterator[bytes]:
        while piece or self._pending:
            if self._decoder is None or self._decoder.eof:
                if self._decoder is not None and not (piece := piece.lstrip(b"\0")):
                    return
                self._members += 1
                if self._members > FREE_MEMBERS + self._made // MEMBER:
                    raise CodingError("is compressed in pieces of nothing")
                self._decoder = self._fresh(piece)
            decoder = self._decoder
            try:
                out: bytes = decoder.decompress(piece, MOST)
            except _ERRORS:
                raise CodingError("is not validly compressed") from None
            self._made += len(out)
            if decoder.eof:
                piece, self._pending = decoder.unused_data, False
            elif self._coding == ZSTD:
                piece, self._pending = b"", not decoder.needs_input
            else:
                piece, self._pending = decoder.unconsumed_tail, len(out) == MOST
            yield out

    def _fresh(self, piece: bytes) -> Any:
        if self._coding == ZSTD:
            return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})
        if self._coding in GZIP:
            return zlib.decompressobj(47)
        return zlib.decompressobj(15 if piece[0] & 0x0F == 8 else -15)

    @property
    def complete(self) -> bool:
        """Whether the body may end here: also one of which nothing has come, as that of a 204."""
        return self._decoder is None or bool(self._decoder.eof)


_ERRORS: tuple[type[Exception], ...] = (zlib.error,) if zstd is None else (zlib.error, zstd.ZstdError)
