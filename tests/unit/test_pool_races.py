"""What must not happen between a request and another one's connection."""

from __future__ import annotations

import asyncio

import pytest

from edge.errors import EdgeError, UpstreamBadResponse
from edge.upstreams.connection import Connection
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.transport import Pool
from tests.harness import Canned, answer
from tests.unit.receiving import Heard, ask
from tests.unit.test_transport import Wire

REQUEST = UpstreamRequest(b"POST", b"/v1/x", b"", b"{}")
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Pausing(Wire):
    """A wire that knows whether it is read."""

    reads = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def pool_of_one() -> tuple[Pool, Connection, Pausing]:
    pool = Pool("x", 80, tls=None, connect_s=1, max_connections=1)
    connection, wire = Connection(pool, asyncio.get_running_loop()), Pausing()
    wire.protocol = connection
    pool._all.add(connection)
    connection.connection_made(wire)
    pool.give_back(connection)
    return pool, connection, wire


def test_who_gives_up_as_the_answer_comes_does_not_close_the_next_ones_connection():
    async def run():
        pool, connection, wire = pool_of_one()
        heard = [Heard(), Heard()]
        first, _ = (pool.send(REQUEST, each) for each in heard)
        # The answer is complete, so the connection goes to the second; the first gives up only then.
        connection.data_received(WHOLE)
        first.cancel()
        await asyncio.sleep(0)
        assert not wire.aborted
        connection.data_received(WHOLE)
        assert [await each.whole() for each in heard] == [b"ok", b"ok"]
        assert wire.written.count(b"POST /v1/x") == 2
        await pool.close()

    asyncio.run(run())


def test_who_gives_up_inside_its_own_head_hears_nothing_more():
    class Leaving(Heard):
        def head(self, *arguments):
            super().head(*arguments)
            sent.cancel()

    async def run():
        nonlocal sent
        pool, connection, wire = pool_of_one()
        leaving = Leaving()
        sent = pool.send(REQUEST, leaving)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok")
        assert wire.aborted
        await asyncio.sleep(0)
        assert leaving.began.is_set()
        assert not leaving.data
        assert not leaving.over.is_set()
        await pool.close()

    sent = None
    asyncio.run(run())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_who_leaves_while_a_connection_is_opened_gives_its_place_back(turns):
    """Also before the opening has taken its first step."""

    async def run():
        with Canned(answer(b"ok")) as canned:
            pool = Pool("127.0.0.1", int(canned.url.rpartition(":")[2]), tls=None, connect_s=5, max_connections=1)
            gone = pool.send(REQUEST, Heard())
            for _ in range(turns):
                await asyncio.sleep(0)
            gone.cancel()
            assert (await ask(pool, REQUEST)).data == b"ok"
            assert (pool._opening, len(pool._all)) == (0, 1)
            await pool.close()

    asyncio.run(run())


def test_a_host_that_no_look_up_can_be_made_for_is_unreachable():
    async def run():
        pool = Pool("x" * 64 + ".test", 80, tls=None, connect_s=5, max_connections=1)
        with pytest.raises(EdgeError) as caught:
            await ask(pool, REQUEST)
        assert caught.value.code == "upstream_unreachable"
        assert pool._opening == 0
        await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize("leaves", [False, True])
def test_a_connection_goes_back_to_the_pool_only_with_its_reading_on(leaves):
    async def run():
        pool, connection, wire = pool_of_one()
        heard = Heard()
        sent = pool.send(REQUEST, heard)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 400000\r\n\r\n")
        connection.data_received(b"x" * 250_000)
        sent.pause()  # the client takes nothing meanwhile
        assert not wire.reads
        connection.data_received(b"x" * 150_000)
        assert heard.over.is_set()
        if leaves:
            sent.cancel()
        assert connection in pool._idle
        assert wire.reads
        await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "endless",
    [b"0\r\nx-late: ", b"0\r\n", b"1;extension="],
    ids=["a trailer", "trailers", "a chunk extension"],
)
def test_what_is_neither_head_nor_body_is_bounded(endless):
    piece = b"x-many: 1\r\n" * 6000 if endless == b"0\r\n" else b"x" * 65_536

    async def run():
        pool, connection, wire = pool_of_one()
        heard = Heard()
        pool.send(REQUEST, heard)
        connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n" + endless)
        assert heard.data == b"ok"
        for _ in range(16):
            if not wire.aborted:
                connection.data_received(piece)
        assert wire.aborted
        with pytest.raises(UpstreamBadResponse):
            await heard.whole()
        await pool.close()

    asyncio.run(run())


@pytest.mark.slow
def test_a_long_body_is_not_what_is_bounded():
    async def run():
        pool, connection, _ = pool_of_one()
        for _ in range(2):
            heard = Heard()
            pool.send(REQUEST, heard)
            connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(100):
                connection.data_received(b"1\r\nx\r\n" * 10_000)
            connection.data_received(b"0\r\n\r\n")
            assert len(await heard.whole()) == 1_000_000
        await pool.close()

    asyncio.run(run())


def test_no_more_connections_than_allowed_while_many_wait():
    """An upstream that closes after each answer frees a place each time: it is the next one's in line, and nobody
    else's who asks just then."""
    most = 0

    def reply(_seen, connection):
        return answer(b"ok", connection="close")

    async def run():
        with Canned(reply, closes=True) as canned:
            pool = Pool("127.0.0.1", int(canned.url.rpartition(":")[2]), tls=None, connect_s=5, max_connections=3)

            async def ask_often():
                nonlocal most
                for _ in range(20):
                    try:
                        await ask(pool, REQUEST)
                    except EdgeError:
                        pass
                    most = max(most, len(pool._all) + pool._opening)

            await asyncio.gather(*(ask_often() for _ in range(20)))
            assert most <= 3
            assert pool._opening == 0
            await pool.close()

    asyncio.run(run())
