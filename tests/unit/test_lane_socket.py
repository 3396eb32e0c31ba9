"""A WebSocket on a lane has its turn, and no more of the loop than that."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from websockets.frames import OP_CLOSE, OP_TEXT, Frame

from edge.server.lane_socket import AT_ONCE
from edge.sockets.peer import Peer
from edge.sockets.responses import ResponsesTalk
from tests.unit.lanes import Worker

HEAD = (
    b"GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SMALL = Frame(OP_TEXT, b"{}").serialize(mask=True)
MANY = 20_000


@pytest.fixture
def worker():
    made = Worker("http://127.0.0.1:9")
    yield made
    made.loop.run_until_complete(made.gateway.close())
    made.loop.close()


def answered(lane) -> int:
    """Every event without a type is answered by an error."""
    return b"".join(lane.transport.written).count(b'"type":"error"')


def opened(worker):
    lane = worker.connect()
    lane.data_received(HEAD)
    assert lane.transport.written[0].startswith(b"HTTP/1.1 101 ")
    return lane


def turn(worker):
    worker.loop.run_until_complete(asyncio.sleep(0))


def test_very_many_small_messages_are_heard_in_many_turns_and_nothing_is_read_meanwhile(worker):
    lane = opened(worker)
    lane.data_received(SMALL * MANY)
    assert not lane.transport.reads
    heard = [answered(lane)]

    def other():
        heard.append(answered(lane))
        if not lane.transport.reads:
            worker.loop.call_soon(other)
        else:
            worker.loop.stop()

    worker.loop.call_soon(other)
    worker.loop.run_forever()
    assert heard[-1] == MANY
    assert max(after - before for before, after in pairwise(heard)) <= AT_ONCE // len(SMALL)


def test_what_was_on_its_way_keeps_its_order_and_a_close_behind_it_is_heard(worker):
    lane = opened(worker)
    lane.data_received(SMALL * MANY + SMALL[:3])
    lane.data_received(SMALL[3:] + Frame(OP_CLOSE, b"\x03\xe8").serialize(mask=True))
    for _ in range(200):
        turn(worker)
    # Whoever closes is told nothing of what stands in the same turn.
    assert MANY - AT_ONCE // len(SMALL) <= answered(lane) <= MANY
    assert lane.transport.closing


def test_what_was_read_of_a_client_waits_with_it(worker):
    lane = opened(worker)
    lane.data_received(SMALL * MANY)
    heard = answered(lane)
    lane.pause_writing()
    for _ in range(10):
        turn(worker)
    assert answered(lane) - heard <= AT_ONCE // len(SMALL)
    assert worker.gateway.office.desk.buffers.held > AT_ONCE
    lane.resume_writing()
    for _ in range(200):
        turn(worker)
    assert (answered(lane), lane.transport.reads) == (MANY, True)
    assert worker.gateway.office.desk.buffers.held == 0


def test_a_client_that_has_left_is_heard_no_more(worker):
    lane = opened(worker)
    lane.data_received(SMALL * MANY)
    heard = answered(lane)
    lane.connection_lost(None)
    for _ in range(10):
        turn(worker)
    assert answered(lane) == heard


@pytest.mark.parametrize("where", [(ResponsesTalk, "asked"), (Peer, "feed")])
def test_a_defect_of_ours_is_told_by_an_event_and_a_close_and_logged(worker, monkeypatch, where):
    lane, told = opened(worker), []
    monkeypatch.setattr(worker.app, "tell", lambda call, error: told.append((call.ledger.error.code, type(error))))

    def fails(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(*where, fails)
    lane.data_received(SMALL)
    written = b"".join(lane.transport.written[1:])
    assert b'"code":"internal_error"' in written
    assert Frame(OP_CLOSE, b"\x03\xf3").serialize(mask=False)[2:] in written  # 1011
    assert told == [("internal_error", ZeroDivisionError)]
