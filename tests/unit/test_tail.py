"""Whose requests are told to who follows them."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import msgspec
import pytest

from edge.errors import InvalidRequest
from edge.server.tail import Wanted, tail, wanted
from edge.telemetry import Fanout
from edge.telemetry.recent import SHARED, Finished, Recent, finished, recent_size
from tests.unit.records import changed
from tests.unit.test_telemetry import BROKEN, OK


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (None, Wanted()),
        (b"", Wanted()),
        (b"tenant=a&model=openai%2Fgpt-4o&status=429,5xx&last=7", Wanted("a", "openai/gpt-4o", ("429", "5xx"), 7)),
    ],
)
def test_a_query_says_whose(query, found):
    assert wanted(query) == found


@pytest.mark.parametrize(
    "query", [b"status=wrong", b"status=4x", b"status=600", b"last=-1", b"last=1001", b"last=%D9%A3", b"tenants=a"]
)
def test_a_query_that_says_nothing_known_is_refused(query):
    with pytest.raises(InvalidRequest):
        wanted(query)


@pytest.mark.parametrize(
    ("by", "taken"),
    [
        (Wanted(), True),
        (Wanted(tenant="t"), True),
        (Wanted(tenant="other"), False),
        (Wanted(model="smart"), True),
        (Wanted(model="gpt-4o"), True),
        (Wanted(model="openai/gpt-4o"), True),
        (Wanted(model="gpt"), False),
        (Wanted(statuses=("200",)), True),
        (Wanted(statuses=("4xx", "2xx")), True),
        (Wanted(statuses=("201", "5xx")), False),
        (Wanted(tenant="t", model="smart", statuses=("500",)), False),
    ],
)
def test_a_request_is_told_where_all_that_is_said_fits(by, taken):
    assert by.takes(finished(changed(OK, tenant="t", asked="smart"), 0.0)) is taken


def told(events, count):
    """So many of the events, by name: requests by their id."""

    async def read():
        found = []
        async for data in events:
            for event in data.decode().split("\n\n"):
                name, _, rest = event.partition(": ")
                if name == "data":
                    found.append(msgspec.json.decode(rest, type=Finished).request_id)
                elif name == "event":
                    found.append(event)
            if len(found) >= count:
                return found
        return found

    return asyncio.run(asyncio.wait_for(read(), 20))


def test_the_latest_come_first_where_they_are_asked_for_and_others_are_left_out():
    recent = Recent()
    recent.look()
    for number in range(5):
        Fanout(recent).request_done(changed(OK if number % 2 else BROKEN, request_id=str(number)))
    front = SimpleNamespace(draining=False)
    assert told(tail(recent, front, Wanted(last=2)), 2) == ["3", "4"]
    assert told(tail(recent, front, Wanted(last=9, statuses=("5xx",))), 3) == ["0", "2", "4"]
    front.draining = True
    assert told(tail(recent, front, Wanted()), 1) == []


def test_the_latest_are_those_of_all_workers_from_the_first_look_on():
    memory = bytearray(recent_size(2))
    mine, other = Recent(memory, 0), Recent(memory, 1)
    for recent, name in ((mine, "mine"), (other, "other")):
        Fanout(recent).request_done(changed(OK, request_id=name))

    async def ticking():
        while True:
            other.tell(time.monotonic())
            await asyncio.sleep(0.01)

    async def read():
        ticks = asyncio.create_task(ticking())
        events = tail(mine, SimpleNamespace(draining=False), Wanted(last=2))
        found = [await anext(events) for _ in range(3)]
        ticks.cancel()
        return found

    *told, end = asyncio.run(asyncio.wait_for(read(), 20))
    assert end == b": so far\n\n"
    ids = {msgspec.json.decode(each.removeprefix(b"data: "), type=Finished).request_id for each in told}
    assert ids == {"mine", "other"}


def test_what_was_missed_is_said_where_it_was():
    recent = Recent()
    events = tail(recent, SimpleNamespace(draining=False), Wanted())

    async def read():
        assert await anext(events) == b": so far\n\n"
        for number in range(SHARED + 3):
            Fanout(recent).request_done(changed(OK, request_id=str(number)))
        return await anext(events)

    assert b'event: missed\ndata: {"missed":3}\n\n' in asyncio.run(read())
