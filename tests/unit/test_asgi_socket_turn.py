"""What the ASGI front's WebSocket keeps in memory of a client that it cannot trust."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from websockets.frames import OP_CONT, OP_PING, OP_TEXT, Frame
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from edge.server.asgi_socket_turn import Inner
from edge.sockets.peer import SILENT


def inner():
    """A WebSocket whose handshake is over; its transport notes what is written."""
    config = SimpleNamespace(
        loaded=True,
        loaded_app=None,
        root_path="",
        asgi_version="3.0",
        ws_per_message_deflate=False,
        ws_max_size=1 << 20,
        ws_ping_interval=None,
        ws_ping_timeout=None,
    )
    state = SimpleNamespace(connections=set(), tasks=set(), default_headers=[])
    made = Inner(config, state, {}, asyncio.get_running_loop())
    made.conn = ServerProtocol(state=OPEN, max_size=1 << 20, logger=SILENT)
    written: list[bytes] = []
    nothing = lambda: None  # noqa: E731
    made.transport = SimpleNamespace(write=written.append, pause_reading=nothing, resume_reading=nothing)
    return made, written


def framed(opcode, data, *, fin=True):
    return Frame(opcode, data, fin).serialize(mask=True)


def test_pings_of_a_client_that_takes_nothing_are_not_answered():
    async def run():
        made, written = inner()
        made.data_received(framed(OP_PING, b"one"))
        assert written == [b"\x8a\x03one"]
        made.pause_writing()
        made.data_received(framed(OP_PING, b"two") * 100)
        assert b"".join(written) == b"\x8a\x03one"
        made.resume_writing()
        made.data_received(framed(OP_PING, b"three"))
        assert b"".join(written) == b"\x8a\x03one\x8a\x05three"

    asyncio.run(run())


def test_a_message_in_many_frames_is_kept_as_its_bytes_alone():
    async def run():
        made, _ = inner()
        made.data_received(framed(OP_TEXT, b"a", fin=False))
        for part in (b"", b"bc", b"") * 100:
            made.data_received(framed(OP_CONT, part, fin=False))
        assert len(made.frames) == 1
        made.data_received(framed(OP_CONT, "\u00e9".encode()))
        assert (await made.receive())["text"] == "a" + "bc" * 100 + "\u00e9"

    asyncio.run(run())
