"""Frames of WebSockets: what `edge.sockets.peer` makes of any bytes is what RFC 6455 says of them, however they come."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import OP_BINARY, OP_CLOSE, OP_CONT, OP_PING, OP_PONG, OP_TEXT, Frame, Opcode
from websockets.protocol import OPEN, Protocol
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from tests.fuzz.cuts import parts

__all__ = ["TARGETS", "fuzz_frames"]

NOWHERE = WebSocketURI(False, "localhost", 80, "/", "", None, None)
KINDS = (OP_CONT, OP_TEXT, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG)
CONTROL = frozenset({OP_CLOSE, OP_PING, OP_PONG})
CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
"""Codes that may stand in a close: RFC 6455, section 7.4, and the registry that it has made."""
PROTOCOL, TEXT, SIZE = 1002, 1007, 1009
Messages = list[tuple[bytes, bool]]


class End(Exception):
    """``code`` is that of the close; ``broke``: the other side has broken the protocol."""

    def __init__(self, code: int, broke: bool) -> None:
        self.code, self.broke = code, broke


def closed(data: bytes) -> End:
    """How the close of a frame is taken. Raises End."""
    if not data:
        return End(1005, False)
    if len(data) == 1:
        return End(PROTOCOL, True)
    try:
        data[2:].decode()
    except UnicodeDecodeError:
        return End(TEXT, True)
    code = struct.unpack("!H", data[:2])[0]
    return End(code, False) if code in CODES else End(PROTOCOL, True)


def read(data: bytes, masked: bool, most: int) -> tuple[Messages, tuple[int, bool] | None, int]:
    """The messages, how it has ended if it has, and how many pings were answered: a reader of its own, which has all of
    it at hand.
    """
    messages: Messages = []
    parts: list[bytes] | None = None
    text, at, pings = False, 0, 0
    try:
        while True:
            if at + 2 > len(data):
                break
            first, second = data[at], data[at + 1]
            at += 2
            try:
                opcode = Opcode(first & 15)
            except ValueError:
                raise End(PROTOCOL, True) from None
            if bool(second & 128) != masked:
                raise End(PROTOCOL, True)
            size = second & 127
            more = {126: 2, 127: 8}.get(size, 0)
            if at + more > len(data):
                break
            if more:
                size = int.from_bytes(data[at : at + more])
                at += more
            if size > most - (sum(map(len, parts)) if parts is not None else 0):
                raise End(SIZE, True)
            mask = data[at : at + 4] if masked else bytes(4)
            at += 4 if masked else 0
            if at + size > len(data):
                break
            body = bytes(byte ^ mask[number % 4] for number, byte in enumerate(data[at : at + size]))
            at += size
            whole = bool(first & 128)
            if first & 0x70 or (opcode in CONTROL and (size > 125 or not whole)):
                raise End(PROTOCOL, True)
            if opcode is OP_CLOSE:
                end = closed(body)
                raise end if end.broke or parts is None else End(PROTOCOL, True)
            pings += opcode is OP_PING
            if opcode in CONTROL:
                continue
            if (opcode is OP_CONT) != (parts is not None):
                raise End(PROTOCOL, True)
            if parts is None:
                parts, text = [], opcode is OP_TEXT
            parts.append(body)
            if whole:
                said, parts = b"".join(parts), None
                try:
                    said.decode() if text else None
                except UnicodeDecodeError:
                    raise End(TEXT, True) from None
                messages.append((said, text))
    except End as end:
        return messages, (end.code, end.broke), pings
    return messages, None, pings


def protocol(masked: bool, most: int, silent: Any) -> Protocol:
    """Of the side that reads frames which are masked, or are not; its handshake is over."""
    if masked:
        return ServerProtocol(state=OPEN, max_size=most, logger=silent)
    return ClientProtocol(NOWHERE, state=OPEN, max_size=most, logger=silent)


def heard(module: ModuleType, pieces: Sequence[bytes], masked: bool, most: int) -> tuple[Messages, Any, int]:
    """The same by the module, whose bounds hold meanwhile."""
    peer = module.Peer(protocol(masked, most, module.SILENT))
    messages: Messages = []
    pings = 0
    for piece in pieces:
        messages += [(message.data, message.text) for message in peer.feed(piece)]
        pings += len([data for data in peer._protocol.writes if data[:1] == module.PONG])
        peer.take()
        assert peer.gone is not None or peer.pending <= 2 * most + 14
    gone = peer.gone
    return messages, None if gone is None else (gone.code, gone.broke), pings


def made(data: bytes, masked: bool) -> bytes:
    """Frames out of any bytes, of which most would be none: each of two bytes that say of what kind, and how long."""
    found = bytearray()
    at = 0
    while at + 2 <= len(data):
        head, size = data[at], data[at + 1] % 40
        body = data[at + 2 : at + 2 + size]
        at += 2 + size
        frame = Frame(KINDS[head % 6], body, fin=head & 0x80 == 0)
        try:
            whole = bytearray(frame.serialize(mask=False))
        except Exception:
            whole = bytearray([(head & 0x80 ^ 0x80) | KINDS[head % 6], len(body)]) + body
        if head & 0x60 == 0x60:
            whole[0] ^= 1 << (head % 7)
        if masked:
            mask = bytes([head, size, 7, 9])
            whole[1] |= 128
            whole[2:] = mask + bytes(byte ^ mask[number % 4] for number, byte in enumerate(whole[2:]))
        found += whole
    return bytes(found)


def fuzz_frames(modules: Sequence[ModuleType], data: bytes) -> None:
    """Whatever comes, at once, cut anywhere or byte by byte, is read as RFC 6455 has it; and what is said is heard so by
    the other side.

    The first byte says which side reads and whether the rest is frames or what frames are made of, the second how long a
    message may be, the next three where the rest is cut.
    """
    kind = data[0] if data else 0
    masked, most = bool(kind & 1), (data[1] if len(data) > 1 else 0) + 1
    stream = made(data[5:], masked) if kind & 2 else data[5:]
    expected = read(stream, masked, most)
    for module in modules:
        for pieces in ([stream], parts(stream, data[2:5]), [stream[at : at + 1] for at in range(len(stream))]):
            messages, end, pings = heard(module, pieces, masked, most)
            assert (messages, end) == expected[:2], (messages, end, expected)
            assert pings == expected[2] or end is not None
        check_said(module, expected[0], masked)


def check_said(module: ModuleType, messages: Messages, masked: bool) -> None:
    """What one side says is what the other hears."""
    said = module.Peer(protocol(masked, 1 << 20, module.SILENT))
    other = module.Peer(protocol(not masked, 1 << 20, module.SILENT))
    for body, text in messages:
        said.say(module.Message(body, text))
    assert [(message.data, message.text) for message in other.feed(said.take())] == messages
    said.close(1000, "\u00e9" * 100)
    assert other.feed(said.take()) == []
    assert other.gone is not None
    assert (other.gone.code, other.gone.broke) == (1000, False)


TARGETS: dict[str, Callable[[Sequence[ModuleType], bytes], None]] = {"frames": fuzz_frames}
