"""A provider's WebSocket before anybody is told what it says, without sockets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from websockets.frames import OP_TEXT, Frame
from websockets.server import ServerProtocol

from edge.sockets.link import MAX_EARLY, Link
from edge.sockets.peer import SILENT, Message
from tests.unit.lanes import Wire

NEWS = b'{"type":"response.created","response":{"id":"r","instructions":"' + b"x" * 65_000 + b'"}}'
WORD = b'{"type":"response.output_text.delta","delta":"x"}'


class Hearer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.came_: list[bytes] = []
        self.defect: BaseException | None = None

    def came(self, end, message):
        self.came_.append(message.data)

    def holds(self, end, pending):
        pass

    def gone(self, end, closed):
        pass

    def fail(self, defect):
        self.defect = defect


def opened():
    """A link whose handshake was taken, and its transport."""
    request = SimpleNamespace(target=b"/v1/responses", own=b"", fields=b"", sent=False)
    link, wire = Link(request, b"localhost", "", 16 << 20), Wire()
    link.connection_made(wire)
    server = ServerProtocol(logger=SILENT)
    server.receive_data(b"".join(wire.written))
    (asked,) = server.events_received()
    server.send_response(server.accept(asked))
    link.data_received(b"".join(server.data_to_send()))
    assert link.answer.result().status == 101
    return link, wire


def text(data: bytes) -> bytes:
    return Frame(OP_TEXT, data).serialize(mask=False)


def test_what_nobody_is_told_yet_is_bounded_and_told_in_its_order():
    async def run():
        link, wire = opened()
        said = 0
        while wire.reads:
            link.data_received(text(NEWS))
            said += 1
            assert said * len(NEWS) <= MAX_EARLY + len(NEWS)
        assert said > 8  # the news of one response never is too much
        assert await link.word(0.0) is None
        hearer = Hearer()
        link.tells(hearer)
        assert wire.reads
        link.data_received(text(WORD))
        assert hearer.came_ == [NEWS] * said + [WORD]

    asyncio.run(run())


def test_a_message_that_is_not_whole_counts_too():
    async def run():
        link, wire = opened()
        link.data_received(text(b"x" * (2 * MAX_EARLY))[: MAX_EARLY + 100])
        assert not wire.reads

    asyncio.run(run())


@pytest.mark.parametrize("who", ["waits for a word", "is told then", "hears"])
def test_a_defect_of_ours_is_told_to_whoever(monkeypatch, who):
    async def run():
        link, wire = opened()
        defect, hearer = ZeroDivisionError(), Hearer()

        def feed(data):
            raise defect

        monkeypatch.setattr(link._peer, "feed", feed)
        if who == "waits for a word":
            waiting = asyncio.create_task(link.word(5.0))
            await asyncio.sleep(0)
            link.data_received(text(WORD))
            with pytest.raises(ZeroDivisionError):
                await waiting
        else:
            if who == "hears":
                link.tells(hearer)
            link.data_received(text(WORD))
            if who == "is told then":
                link.tells(hearer)
            assert hearer.defect is defect
        assert wire.closing

    asyncio.run(run())


def test_what_comes_with_the_handshake_is_told():
    async def run():
        link, _ = opened()
        link._tell([Message(WORD)])
        assert (await link.word(5.0)).data == WORD

    asyncio.run(run())
