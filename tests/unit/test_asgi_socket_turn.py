"""What the ASGI front's WebSocket keeps in memory of a client that it cannot trust, and hears of it in one turn."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from websockets.frames import OP_CLOSE, OP_CONT, OP_PING, OP_TEXT, Frame
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from edge.server.asgi_socket_turn import Inner
from edge.sockets.ends import AT_ONCE
from edge.sockets.peer import SILENT


class Pipe:
    """Notes what is written, and whether it is read."""

    def __init__(self, written):
        self.write = written.append
        self.reads, self.closed = True, False

    def pause_reading(self):
        self.reads = False

    def resume_reading(self):
        self.reads = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name):
        return None

    def close(self):
        self.closed = True


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
    written: list[bytes] = []
    made.connection_made(Pipe(written))
    made.conn = ServerProtocol(state=OPEN, max_size=1 << 20, logger=SILENT)
    made.handshake_complete = True
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


MANY = 5_000
SMALL = framed(OP_TEXT, b"{}")


def test_very_many_small_messages_are_read_in_many_turns_and_no_more_is_read_meanwhile():
    async def run():
        made, _ = inner()
        made.data_received(SMALL * MANY + SMALL[:3])
        most = AT_ONCE // len(SMALL) + 1
        heard = 0
        while heard < MANY:
            assert made.queue.qsize() <= most
            assert not made.transport.reads
            assert (await made.receive())["text"] == "{}"
            heard += 1
        await asyncio.sleep(0.01)
        assert made.transport.reads
        made.data_received(SMALL[3:])
        assert (await made.receive())["text"] == "{}"
        assert made.transport.reads

    asyncio.run(run())


def test_a_large_message_is_read_without_its_application():
    async def run():
        made, _ = inner()
        made.data_received(framed(OP_TEXT, b"x" * (1 << 19)))
        async with asyncio.timeout(20):
            assert len((await made.receive())["text"]) == 1 << 19
        await asyncio.sleep(0.01)
        assert made.transport.reads

    asyncio.run(run())


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (framed(OP_CLOSE, b"\x0f\xa1"), 4001),
        (b"\x83\x80" + bytes(4), 1002),
        (b"\x81\x81" + bytes(4) + b"\xff", 1007),
    ],
    ids=["a close", "a reserved opcode", "no UTF-8"],
)
def test_what_ends_it_is_heard_behind_all_that_came_before_and_once(last, code):
    async def run():
        made, _ = inner()
        made.data_received(SMALL * MANY + last + SMALL * MANY)
        async with asyncio.timeout(60):
            heard = 0
            while (ended := await made.receive())["type"] == "websocket.receive":
                heard += 1
        # Whoever breaks the protocol is told nothing of what stands in the same turn.
        assert MANY - AT_ONCE // len(SMALL) - 1 <= heard <= MANY
        assert (ended["type"], ended["code"]) == ("websocket.disconnect", code)
        await asyncio.sleep(0.01)
        assert made.queue.empty()
        assert made.transport.closed

    asyncio.run(run())


def test_what_waits_is_dropped_where_the_application_closes_and_the_clients_close_is_heard():
    async def run():
        made, written = inner()
        made.data_received(SMALL * MANY + framed(OP_CLOSE, b"\x03\xe8"))
        await made.send({"type": "websocket.close", "code": 1000})
        assert b"".join(written) == b"\x88\x02\x03\xe8"
        async with asyncio.timeout(20):
            while not made.transport.closed:
                await asyncio.sleep(0)
        assert made.close_timer is None

    asyncio.run(run())


def test_how_much_is_held_of_messages_is_told():
    async def run():
        made, _ = inner()
        told = []
        made.pends = told.append
        frame = framed(OP_TEXT, b"x" * 5000, fin=False)
        made.data_received(frame[:1000])
        assert 900 <= told[-1] <= 1000
        made.data_received(frame[1000:])
        assert told[-1] == 5000
        made.data_received(framed(OP_CONT, "\u00e9".encode() * 100) + framed(OP_TEXT, b"y" * 10))
        assert told[-1] == 5210
        for left in (10, 0):
            await made.receive()
            assert told[-1] == left
        made.data_received(SMALL * MANY)
        assert told[-1] >= len(SMALL) * MANY - AT_ONCE  # which nobody has heard yet

    asyncio.run(run())
