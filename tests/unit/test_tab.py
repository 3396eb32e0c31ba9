"""What the responses of a connection are charged, whenever their provider and Redis say what."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from edge.errors import RateLimited
from edge.sockets import tab as module
from edge.sockets.peer import Message
from edge.sockets.realtime import RealtimeTalk
from edge.sockets.responses import ResponsesTalk
from edge.sockets.tab import MOST_UNDER_WAY, Due, Tab
from edge.terms import Granted
from tests.unit.calls import asked


class Voice(Granted):
    """What a key gets for a model, with these quotas."""

    def __init__(self, quotas):
        super().__init__("", "voice", ())
        self.quotas = quotas


GRANT = Voice(SimpleNamespace(usual=SimpleNamespace(output=10)))
UNLIMITED = Voice(None)
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
        self.left: list[Due] | None = None
        self.call = asked({"model": "voice"})
        self.call.grant = GRANT
        self.tried = SimpleNamespace(upstream=SimpleNamespace(name="openai", model="gpt-realtime"))
        self.tab = Tab(self.call, SimpleNamespace(lease=None), self, None, SimpleNamespace(count=lambda *_: None), None)

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

    def disown(self, refusal):
        self.left = list(self.tab.under_way)


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


def test_no_more_than_so_many_are_under_way_at_a_time(floor):
    floor.call.grant = UNLIMITED
    talk = RealtimeTalk(floor)
    for _ in range(MOST_UNDER_WAY + 1):
        talk.asked(Message(b'{"event_id":"mine","type":"response.create"}'))
    assert len(floor.forwarded) == MOST_UNDER_WAY
    (refusal,) = [json.loads(told)["error"] for told in floor.told]
    assert (refusal["code"], refusal["event_id"]) == ("rate_limit_exceeded", "mine")
    for number in range(MOST_UNDER_WAY + 1):
        talk.told(Message(b'{"type":"response.created","response":{"id":"resp_%d"}}' % number))
    # The last has begun by itself: it is taken back, and charged for what it says until then.
    cancel = {"type": "response.cancel", "response_id": f"resp_{MOST_UNDER_WAY}"}
    assert json.loads(floor.forwarded[-1]) == cancel
    assert json.loads(floor.told[-1])["error"]["code"] == "rate_limit_exceeded"
    assert len(floor.tab.under_way) == MOST_UNDER_WAY + 1


def test_a_defect_that_redis_reply_meets_is_told_to_who_can_end_the_connection(floor, monkeypatch):
    defects, defect = [], ZeroDivisionError()
    monkeypatch.setattr(floor.tab, "_failed", defects.append)
    talk = RealtimeTalk(floor)
    talk.asked(Message(b'{"type":"response.create"}'))

    def broken(message):
        raise defect

    monkeypatch.setattr(floor, "forward", broken)
    Slow.made[0].told(None)
    assert defects == [defect]


def test_a_response_begins_though_an_error_was_about_something_else(floor):
    floor.call.grant = UNLIMITED
    talk = RealtimeTalk(floor)
    talk.asked(Message(b'{"type":"response.create"}'))
    talk.told(Message(b'{"type":"error","error":{"event_id":null}}'))
    begun(floor)
    talk.told(Message(DONE))
    assert floor.charged == [7]


CREATED = b'{"type":"response.created","response":{"id":"resp_1"}}'
DELTA = b'{"type":"response.output_text.delta","delta":"a few words"}'
ERROR = b'{"type":"error","status":400,"error":{"code":"invalid_value"}}'
COMPLETED = (
    b'{"type":"response.completed","response":{"id":"resp_1","usage":{"input_tokens":5,"output_tokens":7,'
    b'"total_tokens":12}}}'
)


def asked_for(floor, lane=""):
    """A talk of Responses on which one is asked for."""
    floor.call.grant = UNLIMITED
    talk = ResponsesTalk(floor)
    floor.tab.open(Due(floor.tried.upstream, UNLIMITED, 5, lane=lane), 10, lambda *_: None)
    return talk


@pytest.mark.parametrize(
    "events",
    [
        (CREATED, DELTA, COMPLETED),
        (ERROR, CREATED, DELTA, COMPLETED),
        (CREATED, ERROR, DELTA, COMPLETED),
        (CREATED, DELTA, ERROR, DELTA, COMPLETED),
    ],
    ids=["none", "before it", "before its first word", "in its middle"],
)
@pytest.mark.parametrize("lane", ["", "one"])
def test_an_error_about_something_else_leaves_a_response_to_be_charged(floor, events, lane):
    talk = asked_for(floor, lane)
    for event in events:
        talk.told(Message(event.replace(b"{", b'{"stream_id":"one",', 1) if lane else event))
    assert (floor.charged, floor.tab.under_way) == ([7], [])


def test_a_provider_that_tells_no_lanes_has_its_responses_charged(floor):
    talk = asked_for(floor, "one")
    for event in (CREATED, DELTA, COMPLETED):
        talk.told(Message(event))
    assert (floor.charged, floor.tab.under_way) == ([7], [])


@pytest.mark.parametrize(("events", "charged"), [((ERROR,), 0), ((CREATED, ERROR), 0), ((CREATED, DELTA, ERROR), 1)])
def test_one_that_an_error_has_ended_is_charged_for_what_was_written(floor, events, charged):
    talk = asked_for(floor)
    for event in events:
        talk.told(Message(event))
    floor.tab.close()
    assert len(floor.charged) == charged


@pytest.mark.parametrize(
    "event",
    [
        b'{"type":"error","status":429,"error":{"code":"insufficient_quota","message":"x"}}',
        b'{"type":"response.failed","response":{"id":"resp_1","error":{"code":"insufficient_quota","message":"x"}}}',
    ],
    ids=["error", "failed"],
)
def test_nothing_is_charged_for_one_that_our_account_is_refused_for(floor, event):
    talk = asked_for(floor)
    talk.told(Message(event))
    assert (floor.left, floor.told, floor.charged) == ([], [], [])


def test_the_next_response_says_that_an_error_has_ended_the_one_before(floor):
    talk = asked_for(floor)
    for event in (CREATED, DELTA, ERROR):
        talk.told(Message(event))
    floor.tab.open(Due(floor.tried.upstream, UNLIMITED, 5), 10, lambda *_: None)
    for event in (CREATED, COMPLETED):
        talk.told(Message(event.replace(b"resp_1", b"resp_2")))
    assert (len(floor.charged), floor.charged[-1], floor.tab.under_way) == (2, 7, [])


def test_one_that_is_refused_beside_another_takes_no_place(floor):
    talk = asked_for(floor)
    talk.told(Message(CREATED))
    for _ in range(MOST_UNDER_WAY + 1):
        floor.tab.open(Due(floor.tried.upstream, UNLIMITED, 5), 10, lambda *_: None)
        talk.told(Message(ERROR))
    talk.told(Message(COMPLETED))
    floor.tab.close()
    assert floor.charged == [7]
