"""Redis's replies, out of bytes in pieces of any size: RESP2 without arrays (redis.io, "Redis serialization protocol").

Nothing here asks for an array, and hiredis would reserve room for as many elements as one says it has; where many
commands are in flight one may begin anywhere. So replies are read here, and nothing is believed beyond its bounds.
"""

from __future__ import annotations

__all__ = ["MAX_LINE", "MAX_REPLY", "LinkBroken", "Refused", "Reply", "ReplyReader", "Word"]

MAX_REPLY = 4 << 20
"""Bytes of one reply. The largest that is wanted, a cached answer, has 1 MiB."""
MAX_LINE = 4096
"""Bytes of a word, a number or an error."""

_BULK, _WORD, _NUMBER, _ERROR = b"$+:-"


class LinkBroken(Exception):
    """The connection failed, or what came over it is not the protocol."""


class Refused(Exception):
    """A whole error reply; the connection is in step. ``code`` is its first word, ``detail`` the rest."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class Word(bytes):
    """A simple string. Values come as bytes."""


Reply = bytes | int | None


class ReplyReader:
    """Of one connection."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._missing = 0
        self.broken = False

    @property
    def between(self) -> bool:
        """Whether nothing has come behind the last whole reply."""
        return self._missing == 0

    def feed(self, data: bytes) -> list[Reply | Refused]:
        """The replies that are whole by now, errors among them. After them, ``broken`` says that what came is none."""
        if self._missing:
            self._pieces.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return []
            data = b"".join(self._pieces)
            self._pieces.clear()
        self._missing = 0
        replies: list[Reply | Refused] = []
        at, end = 0, len(data)
        while at < end:
            kind = data[at]
            stop = data.find(b"\r\n", at + 1, at + MAX_LINE)
            if stop < 0:
                if kind not in b"$+:-" or end - at >= (MAX_LINE if kind in b"+-" else 24):
                    break
                return self._wait(replies, data, at, 1)
            line = data[at + 1 : stop]
            at, begin = stop + 2, at
            if kind == _BULK:
                if line == b"-1":
                    replies.append(None)
                    continue
                if not line.isdigit() or len(line) > 7 or (size := int(line)) > MAX_REPLY:
                    break
                past = at + size
                if past + 2 > end:
                    return self._wait(replies, data, begin, past + 2 - end)
                if data[past] != 13 or data[past + 1] != 10:
                    break
                replies.append(data[at:past])
                at = past + 2
            elif kind == _WORD:
                replies.append(Word(line))
            elif kind == _ERROR:
                code, _, detail = line.decode("utf-8", "replace").partition(" ")
                replies.append(Refused(code, detail[:256]))
            elif kind == _NUMBER and line.removeprefix(b"-").isdigit() and len(line) <= 20:
                replies.append(int(line))
            else:
                break
        else:
            return replies
        self.broken = True
        return replies

    def _wait(self, replies: list[Reply | Refused], data: bytes, at: int, missing: int) -> list[Reply | Refused]:
        self._pieces.append(data[at:] if at else data)
        self._missing = missing
        return replies
