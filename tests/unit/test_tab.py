"""What the responses of a connection are charged, whenever their provider and Redis say what."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edge.errors import RateLimited
from edge.sockets import tab as module
from edge.sockets.peer import Message
from edge.sockets.realtime import RealtimeTalk
from edge.sockets.tab import MOST_UNDER_WAY, Tab
from tests.unit.calls import asked

GRANT = SimpleNamespace(quotas=SimpleNamespace(usual=SimpleNamespace(output=10)), label="voice")
UNLIMITED = SimpleNamespace(quotas=None, label="voice")
DONE = b'{"type":"response.done","response":{"id":"resp_1","usage":{"input_tokens":5,"output_tokens":7}}}'


class Slow:
    """A reservation whose word comes when a test says so: what was done with it."""

    made: list[Slow] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, counts, quotas):
        self.did: list[str] = []
        self.told = None
        Slow.made.append(self)

    def take(self, expected, output, told):
        self.told = told
        return False

    def used(self, usage, cost):
        self.did.append("used")

    def end(self):
        self.did.append("end")

    def give_back(self):
        self.did.append("back")

    def cancel(self):
        self.told = None


class Floor:
    """A relay whose ends note what they are sent."""

    def __init__(self):
        self.charged: list[int] = []
        self.forwarded: list[bytes] = []
        self.told: list[bytes] = []
        self.call = asked({"model": "voice"})
        self.call.grant = GRANT
        self.tried = SimpleNamespace(upstream=SimpleNamespace(name="openai", model="gpt-realtime"))
        self.tab = Tab(self.call, self, None, SimpleNamespace(count=lambda *_: None))

    def charge(self, upstream, label, tenant, usage):
        self.charged.append(usage.output)
        return usage, 1

    def forward(self, message):
        self.forwarded.append(message.data)

    def tell(self, message):
        self.told.append(message.data)

    def hold(self):
        pass

    def release(self):
        pass


@pytest.fixture
def floor(monkeypatch):
    Slow.made.clear()
    monkeypatch.setattr(module, "Reservation", Slow)
    return Floor()


def begun(floor):
    talk = RealtimeTalk(floor)
    talk.told(Message(b'{"type":"response.created","response":{"id":"resp_1"}}'))
    return talk


def test_one_that_begins_by_itself_is_charged_though_redis_refuses_it(floor):
    talk = begun(floor)
    Slow.made[0].told(RateLimited("too fast"))
    assert b"response.cancel" in floor.forwarded[0]
    talk.told(Message(DONE))
    assert (floor.charged, floor.tab.under_way) == ([7], [])


def test_one_that_ends_before_redis_has_told_is_charged_by_what_it_used(floor):
    talk = begun(floor)
    talk.told(Message(DONE))
    assert floor.charged == [7]
    assert Slow.made[0].told is None
    assert Slow.made[0].did[:2] == ["end", "used"]  # as one that is charged late
    floor.tab.close()
    assert floor.charged == [7]


def test_one_whose_connection_ends_before_redis_has_told_is_charged_by_an_estimate(floor):
    begun(floor)
    floor.tab.close()
    assert (len(floor.charged), floor.tab.under_way) == (1, [])
    assert "back" in Slow.made[0].did


@pytest.mark.parametrize("event_id", ["", "mine"])
def test_wishes_that_the_provider_refuses_take_no_place(floor, event_id):
    floor.call.grant = UNLIMITED
    talk = RealtimeTalk(floor)
    named = b'"event_id":"mine",' if event_id else b""
    about = b'"mine"' if event_id else b"null"
    for _ in range(MOST_UNDER_WAY + 1):
        talk.asked(Message(b'{%b"type":"response.create"}' % named))
        talk.told(Message(b'{"type":"error","error":{"event_id":%b}}' % about))
    assert len(floor.forwarded) == MOST_UNDER_WAY + 1
    floor.tab.close()
    assert floor.charged == []


def test_a_response_begins_though_an_error_was_about_something_else(floor):
    floor.call.grant = UNLIMITED
    talk = RealtimeTalk(floor)
    talk.asked(Message(b'{"type":"response.create"}'))
    talk.told(Message(b'{"type":"error","error":{"event_id":null}}'))
    begun(floor)
    talk.told(Message(DONE))
    assert floor.charged == [7]
