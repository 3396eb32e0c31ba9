"""One side of a WebSocket, without I/O: bytes come in and messages come out, and the other way round.

The frames are read by websockets' own protocol (RFC 6455): masks, reserved bits, fragments, sizes, control frames, the
closing handshake. It answers pings. What it leaves to who uses it is done here: fragments become whole messages, and
texts are UTF-8.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from websockets.frames import OP_BINARY, OP_CONT, OP_PONG, OP_TEXT, Close, Frame
from websockets.protocol import CLOSED, OPEN, Event, Protocol

__all__ = ["ABNORMAL", "AWAY", "BAD_TEXT", "NO_STATUS", "PONG", "SILENT", "TROUBLE"]
__all__ += ["Closed", "Frame", "Message", "Peer", "code_for"]

NORMAL, AWAY, NO_STATUS, ABNORMAL, BAD_TEXT, TROUBLE, LATER = 1000, 1001, 1005, 1006, 1007, 1011, 1013
"""Codes of RFC 6455, section 7.4.1, and of the registry that it has made (1013: try again later)."""
MAX_REASON = 123
PONG = bytes([0x80 | OP_PONG])
"""What a pong begins with, which no other frame does."""

SILENT = logging.Logger("edge.sockets")
"""What websockets would log has what clients say in it."""
SILENT.addHandler(logging.NullHandler())
SILENT.setLevel(logging.CRITICAL)


class Message(NamedTuple):
    """``text``: it is UTF-8; else it is binary."""

    data: bytes
    text: bool = True


class Closed(NamedTuple):
    """How a side has ended: its own ``code``, or `NO_STATUS` for none, or `ABNORMAL` where it left without a word.
    ``broke``: it is no WebSocket any more, and ``code`` is what it was told.
    """

    code: int
    reason: str = ""
    broke: bool = False


class Peer:
    """``gone`` says how the other side has ended, None as long as it has not."""

    def __init__(self, protocol: Protocol) -> None:
        """The handshake is over."""
        self._protocol = protocol
        self._parts = bytearray()
        self._text = False
        self.gone: Closed | None = None

    @property
    def pending(self) -> int:
        """Bytes of messages that are not whole yet."""
        return len(self._parts) + len(self._protocol.reader.buffer)

    def feed(self, data: bytes) -> list[Message]:
        """What of it is whole. To be asked for `take` then, and for ``gone``."""
        if self._protocol.state is CLOSED or self.gone is not None:
            return []
        self._protocol.receive_data(data)
        return self.read(self._protocol.events_received())

    def read(self, events: Iterable[Event]) -> list[Message]:
        """What has come already, with the handshake's own bytes."""
        protocol: Protocol = self._protocol
        found: list[Message] = []
        for frame in events:
            if not isinstance(frame, Frame) or frame.opcode not in (OP_TEXT, OP_BINARY, OP_CONT):
                continue
            message = self._put(frame)
            if message is not None:
                found.append(message)
            if self.gone is not None:
                return found
        if protocol.parser_exc is not None:
            sent = protocol.close_sent
            self.gone = Closed(sent.code if sent is not None else ABNORMAL, sent.reason if sent else "", broke=True)
        elif protocol.close_rcvd is not None:
            self.gone = Closed(protocol.close_rcvd.code, protocol.close_rcvd.reason)
        return found

    def _put(self, frame: Frame) -> Message | None:
        if frame.opcode is not OP_CONT:
            self._text = frame.opcode is OP_TEXT
        if not frame.fin or self._parts:
            self._parts += frame.data
        if not frame.fin:
            return None
        data = bytes(self._parts) if self._parts else bytes(frame.data)
        self._parts.clear()
        if self._text and not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError:
                self._protocol.fail(BAD_TEXT, "a text is not UTF-8")
                self.gone = Closed(BAD_TEXT, "a text is not UTF-8", broke=True)
                return None
        return Message(data, self._text)

    def say(self, message: Message) -> None:
        """Nothing where the closing has begun."""
        if self._protocol.state is OPEN:
            (self._protocol.send_text if message.text else self._protocol.send_binary)(message.data)

    def close(self, code: int, reason: str = "") -> None:
        """Say so, if nothing was said of it yet."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(*sendable(code, reason))

    def take(self, full: bool = False) -> bytes:
        """What is to be written. Where the other side does not take what was written, pings are not answered."""
        written = self._protocol.data_to_send()
        if full:
            written = [data for data in written if data[:1] != PONG]
        return b"".join(written)


def code_for(closed: Closed, otherwise: int) -> int:
    """What the other end is told: the code, or what stands for one that cannot be said."""
    return otherwise if closed.code == ABNORMAL else closed.code


def sendable(code: int, reason: str) -> tuple[int | None, str]:
    """A code, and a reason, that may stand in a frame."""
    if code == NO_STATUS:
        return None, ""
    try:
        Close(code, "").check()
    except Exception:  # noqa: BLE001 - whatever it has against it
        return TROUBLE, ""
    return code, reason.encode()[:MAX_REASON].decode(errors="ignore")
