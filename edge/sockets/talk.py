"""What the messages of a relay say, and what is to be done about that: one kind of talk for each API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from edge._fast import JSONError, JSONScanner
from edge.call import Call
from edge.errors import UNREADABLE, DuplicateKey, EdgeError, InvalidJSON, InvalidValue
from edge.sockets.opening import Refused
from edge.sockets.peer import Message
from edge.sockets.tab import Tab
from edge.sockets.word import Refusal
from edge.upstreams.tried import Tried

__all__ = ["MAX_WORD", "Floor", "Talk", "scanned", "text_of"]

MAX_WORD = 256
NO_TEXT = "Events are texts of JSON; this message is binary."


class Floor(Protocol):
    """What a talk asks of its relay, which says what each does."""

    call: Call
    tab: Tab
    tried: Tried | None

    @property
    def joined(self) -> bool: ...
    def join(self, first: Callable[[str], bytes], *, once: bool) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...
    def forward(self, message: Message) -> None: ...
    def tell(self, message: Message) -> None: ...
    def shut_out(self, error: EdgeError) -> None: ...
    def disown(self, refusal: Refusal) -> None: ...


class Talk:
    """Is told of every message, of either side, in its order."""

    def asked(self, message: Message) -> None:
        """The client has said it."""
        raise NotImplementedError

    def told(self, message: Message) -> None:
        """The provider has."""
        raise NotImplementedError

    def joined(self) -> None:
        """The provider is there that was asked for, and has been told the first; nothing of it was heard yet."""

    def refused(self, error: Refused | EdgeError) -> None:
        """It is not."""

    def renewed(self) -> None:
        """From here on the call is by another configuration. Raises the EdgeError for which it may not go on."""

    def error_event(self, error: EdgeError) -> Message:
        """An error of this edge, as the API tells one."""
        raise NotImplementedError


def scanned(message: Message) -> JSONScanner:
    """A client's event: strict JSON, in which nothing is said twice. Raises InvalidJSON, DuplicateKey, InvalidValue."""
    if not message.text:
        raise InvalidValue(NO_TEXT)
    scan = JSONScanner(message.data)
    try:
        while not scan.step():
            pass
    except JSONError as error:
        if error.duplicate is not None:
            raise DuplicateKey(f"The event repeats a key at byte {error.offset}.") from None
        raise InvalidJSON(f"The event is not valid JSON: {error}.") from None
    return scan


def text_of(scan: JSONScanner, data: bytes, name: bytes) -> str | None:
    """The value of a top-level key where it is a text, which may be written with escapes."""
    text: str | None = scan.text(name)
    span = scan.span(name)
    if text is None and span is not None and span[1] - span[0] <= MAX_WORD * 6:
        try:
            found = msgspec.json.decode(data[span[0] : span[1]])
        except UNREADABLE:
            return None
        return found if isinstance(found, str) else None
    return text
