"""What the simulator saw: the truth about what was sent, billed and broken off."""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any

from edge.simulator.content import NONCE

__all__ = ["Entry", "Ledger", "RawHeaders"]

MAX_ENTRIES = 20_000
MAX_BODY_BYTES = 64 << 20
RawHeaders = list[tuple[bytes, bytes]]


class Entry:
    """One request. Times are readings of ``time.monotonic()``, which processes of one machine share.

    ``complete``: the whole request came. ``status``: what was answered, 0 if nothing. ``generated``: body bytes sent.
    ``events``: events of a stream written. ``done_at``: when the answer was complete. ``left`` is "fin" or "rst" if the
    client closed the connection before that, at ``left_at``.
    """

    __slots__ = (
        "at",
        "body",
        "complete",
        "done_at",
        "events",
        "generated",
        "headers",
        "left",
        "left_at",
        "method",
        "number",
        "path",
        "status",
    )

    def __init__(self, number: int, at: float, method: str, path: str, headers: RawHeaders) -> None:
        self.number = number
        self.at = at
        self.method = method
        self.path = path
        self.headers = headers
        self.body = b""
        self.complete = False
        self.status = 0
        self.generated = 0
        self.events = 0
        self.done_at: float | None = None
        self.left: str | None = None
        self.left_at: float | None = None

    def as_dict(self) -> dict[str, Any]:
        try:
            body, encoding = self.body.decode(), "utf-8"
        except UnicodeDecodeError:
            body, encoding = base64.b64encode(self.body).decode(), "base64"
        return {
            "number": self.number,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "headers": [[name.decode("latin-1").lower(), value.decode("latin-1")] for name, value in self.headers],
            "body": body,
            "body_encoding": encoding,
            "nonce": nonce[0] if (nonce := NONCE.search(body)) is not None else None,
            "complete": self.complete,
            "status": self.status,
            "generated": self.generated,
            "events": self.events,
            "done_at": self.done_at,
            "left": self.left,
            "left_at": self.left_at,
        }


class Ledger:
    """The latest entries, bounded in number and in bytes of bodies."""

    def __init__(self) -> None:
        # A request that was answered at once is kept as the tuple `add` was given: an Entry is made when one looks.
        self._entries: deque[Entry | tuple[Any, ...]] = deque()
        self.count = 0
        self._body_bytes = 0

    def add(self, at: float, path: bytes, headers: RawHeaders, body: bytes, status: int, size: int) -> None:
        """A whole request, answered at once with a body of `size` bytes."""
        self.count += 1
        self._entries.append((self.count, at, path, headers, body, status, size))
        self._keep(body)

    def open(
        self, at: float, path: bytes, headers: RawHeaders, body: bytes, complete: bool, method: str = "POST"
    ) -> Entry:
        """A request whose fate is still open."""
        self.count += 1
        entry = Entry(self.count, at, method, path.decode("latin-1"), headers)
        entry.body = body
        entry.complete = complete
        self._entries.append(entry)
        self._keep(body)
        return entry

    def _keep(self, body: bytes) -> None:
        self._body_bytes += len(body)
        entries = self._entries
        while len(entries) > MAX_ENTRIES or (self._body_bytes > MAX_BODY_BYTES and len(entries) > 1):
            old = entries.popleft()
            self._body_bytes -= len(old.body if isinstance(old, Entry) else old[4])

    def clear(self) -> None:
        self._entries.clear()
        self._body_bytes = 0

    def render(self, since: int = 0) -> bytes:
        """JSON of the entries numbered above `since`."""
        found = [_opened(entry).as_dict() for entry in self._entries if _number(entry) > since]
        return json.dumps({"count": self.count, "entries": found}).encode()


def _number(entry: Entry | tuple[Any, ...]) -> int:
    return entry.number if isinstance(entry, Entry) else entry[0]


def _opened(kept: Entry | tuple[Any, ...]) -> Entry:
    if isinstance(kept, Entry):
        return kept
    number, at, path, headers, body, status, size = kept
    entry = Entry(number, at, "POST", path.decode("latin-1"), headers)
    entry.body, entry.status, entry.generated = body, status, size
    entry.complete = True
    entry.done_at = at
    return entry
