"""What the simulator saw: the truth about what was sent, billed and broken off."""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any

__all__ = ["Entry", "Ledger"]

MAX_ENTRIES = 100_000
MAX_BODY_BYTES = 64 << 20


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

    def __init__(self, number: int, at: float, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
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
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers],
            "body": body,
            "body_encoding": encoding,
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
        self.entries: deque[Entry] = deque()
        self.count = 0
        self._body_bytes = 0

    def open(self, at: float, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> Entry:
        self.count += 1
        entry = Entry(self.count, at, method, path, headers)
        self.entries.append(entry)
        if len(self.entries) > MAX_ENTRIES:
            self._forget()
        return entry

    def keep_body(self, entry: Entry, body: bytes) -> None:
        entry.body = body
        self._body_bytes += len(body)
        while self._body_bytes > MAX_BODY_BYTES and len(self.entries) > 1:
            self._forget()

    def _forget(self) -> None:
        self._body_bytes -= len(self.entries.popleft().body)

    def clear(self) -> None:
        self.entries.clear()
        self._body_bytes = 0

    def render(self, since: int = 0) -> bytes:
        """JSON of the entries numbered above `since`."""
        entries = [entry.as_dict() for entry in self.entries if entry.number > since]
        return json.dumps({"count": self.count, "entries": entries}).encode()
