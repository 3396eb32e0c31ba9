"""Attempts, dispatches and flights by hand: a provider whose answers are told as a test says, and no sockets."""

from __future__ import annotations

import asyncio

import pytest

import edge.cache.answers
import edge.dialects.crossing
import edge.dialects.failures
import edge.dispatch
import edge.upstreams.client_headers
import edge.upstreams.retry
from edge._fast import Fields
from edge.errors import UpstreamStreamBroken
from edge.money import accounting
from edge.slices import Slices
from edge.upstreams import attempt
from edge.upstreams.attempt import FOLLOWS, Attempt
from edge.upstreams.receiver import Transport
from tests.unit.lanes import ANSWER, BODY, Worker, post, said

JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream")]
STREAM = post(b'{"model":"gpt-4o","stream":true,"messages":[]}')
CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


class Sent:
    """A request on its way, as a test has it: ``did`` is what was asked of it."""

    def __init__(self, receiver):
        self.receiver = receiver
        self.did = []

    def pause(self):
        self.did.append("pause")

    def resume(self):
        self.did.append("resume")

    def cancel(self):
        self.did.append("cancel")

    def answers(self, status, headers, *pieces, ends=True):
        self.receiver.head(status, Fields(headers), True)
        for piece in pieces:
            if "cancel" not in self.did:
                self.receiver.body(piece)
        if ends and "cancel" not in self.did:
            self.receiver.ended()


class Scripted(Transport):
    """A transport without a network."""

    def __init__(self):
        self.sent = []

    def send(self, request, receiver):
        request.sent = True
        self.sent.append(Sent(receiver))
        return self.sent[-1]

    async def close(self):
        pass


class Hand(Worker):
    def __init__(self, mode):
        super().__init__("http://127.0.0.1:9", mode)
        self.provider = Scripted()
        self.gateway.state.providers["openai"].transport = self.provider

    def asked(self, request=None):
        """The connection of a client that has asked, and what the provider got."""
        lane = self.connect()
        lane.data_received(post(BODY) if request is None else request)
        return lane, self.provider.sent[-1] if self.provider.sent else None

    def tell(self, step, *arguments, **named):
        """Call something as the loop would."""

        async def call():
            step(*arguments, **named)
            await asyncio.sleep(0)

        self.loop.run_until_complete(call())


@pytest.fixture(params=["off", "all"])
def hand(request):
    made = Hand(request.param)
    yield made
    made.loop.run_until_complete(made.gateway.close())
    made.loop.close()


def test_the_table_leads_everywhere_and_always_to_the_end():
    first, last = min(FOLLOWS), max(FOLLOWS)
    reached, new = {first}, [first]
    while new:
        new = [state for state in FOLLOWS[new.pop()] if state not in reached] + new
        reached |= set(new)
    assert reached == set(FOLLOWS)
    assert not FOLLOWS[last]
    assert all(last in follows for state, follows in FOLLOWS.items() if state != last)


def test_a_way_that_is_not_in_the_table_is_an_error():
    for state, follows in FOLLOWS.items():
        for other in FOLLOWS.keys() - set(follows):
            made = Attempt.__new__(Attempt)
            made._state = state
            with pytest.raises(AssertionError):
                made._enter(other)


def test_an_answer_is_told_and_nothing_is_held_after_it(hand):
    lane, sent = hand.asked()
    assert not said(lane)
    hand.tell(sent.answers, 200, JSON, ANSWER[:10], ANSWER[10:])
    (reply,) = said(lane)
    assert reply.endswith(ANSWER)
    assert (hand.gateway._buffers.held, hand.gateway._in_flight, hand.gateway._sweep.active) == (0, 0, False)


def test_a_stream_ends_with_its_last_event_though_its_body_stays_open(hand):
    lane, sent = hand.asked(STREAM)
    hand.tell(sent.answers, 200, EVENTS, CONTENT + DONE, ends=False)
    hand.loop.run_until_complete(asyncio.sleep(attempt.SETTLE_S * 3))
    (reply,) = said(lane)
    assert reply.endswith(b"0\r\n\r\n")
    assert sent.did == ["cancel"]


def test_a_client_that_takes_nothing_holds_its_provider_back(hand):
    lane, sent = hand.asked(STREAM)
    hand.tell(sent.answers, 200, EVENTS, CONTENT, ends=False)
    lane.pause_writing()
    hand.tell(sent.receiver.body, CONTENT)
    assert sent.did == ["pause"]
    hand.tell(lane.resume_writing)
    assert sent.did == ["pause", "resume"]
    hand.tell(sent.receiver.body, DONE)
    hand.tell(sent.receiver.ended)
    assert b"".join(said(lane)).endswith(b"0\r\n\r\n")


def test_what_broke_while_the_client_took_nothing_is_told_afterwards(hand):
    lane, sent = hand.asked(STREAM)
    hand.tell(sent.answers, 200, EVENTS, CONTENT, ends=False)
    lane.pause_writing()
    hand.tell(sent.receiver.body, CONTENT)
    hand.tell(sent.receiver.failed, UpstreamStreamBroken())
    assert b"upstream_stream_broken" not in b"".join(said(lane))
    hand.tell(lane.resume_writing)
    assert b"upstream_stream_broken" in b"".join(said(lane))
    assert hand.gateway._in_flight == 0


def test_a_client_that_leaves_closes_what_is_asked_for_it_on_the_spot(hand):
    lane, sent = hand.asked()
    lane.connection_lost(None)
    assert sent.did == ["cancel"]
    assert hand.gateway._in_flight == 0
    assert not hand.gateway._sweep.active


# An error of our own, wherever it is: the client gets its 500 or the end of its answer, and nothing is left behind.

DEFECTS = {
    "sending": (edge.upstreams.client_headers, "select_fields", STREAM, 200, EVENTS, [CONTENT + DONE]),
    "usage": (edge.dialects.failures, "SHAPES", post(), 200, JSON, [ANSWER]),
    "passing it on": (edge.upstreams.retry, "KNOWN", post(), 200, JSON, [ANSWER]),
    "the beginning of a stream": (edge.dialects.crossing, "stream_of", STREAM, 200, EVENTS, [CONTENT + DONE]),
    "the log of a failure": (edge.dispatch, "failed_attempt", post(), 500, JSON, [b'{"error":{}}']),
    "the log of a refusal": (edge.dispatch, "failed_attempt", post(), 401, JSON, [b'{"error":{}}']),
    "storing": (edge.cache.answers, "storable", post(), 200, JSON, [ANSWER]),
}


@pytest.mark.parametrize("part", DEFECTS)
def test_an_error_of_our_own_leaves_no_client_waiting(hand, monkeypatch, part):
    where, name, request, status, headers, pieces = DEFECTS[part]

    def fails(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(where, name, fails)
    lane, sent = hand.asked(request)
    if sent is not None:
        hand.tell(sent.answers, status, headers, *pieces)
    (reply,) = said(lane)
    # What is wrong after the answer, with the log or the storing of it, is no matter of its client's.
    told = status if part in ("the log of a failure", "storing") else 500
    assert reply.startswith(b"HTTP/1.1 %d " % told)
    gateway = hand.gateway
    assert (gateway._in_flight, gateway._buffers.held, gateway._sweep.active) == (0, 0, False)
    assert not gateway.answers.flights._known


BOOKS = {
    "an answer": (post(), 200, JSON, [ANSWER], b"HTTP/1.1 500 "),
    "an error": (post(), 400, JSON, [b'{"error":{"message":"x"}}'], b"HTTP/1.1 500 "),
    "a stream": (STREAM, 200, EVENTS, [CONTENT + DONE], b"HTTP/1.1 200 "),
}


@pytest.fixture
def reported(hand, monkeypatch):
    """What the loop is told of books that fail with each attempt."""

    def fails(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(accounting, "estimate", fails)
    monkeypatch.setattr(accounting, "ShuttingDown", 1)  # which is no class of errors
    told = []
    hand.loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    return told


@pytest.mark.parametrize("answered", BOOKS)
def test_books_that_fail_keep_no_outcome_from_being_told(hand, reported, answered):
    request, status, headers, pieces, told = BOOKS[answered]
    lane, sent = hand.asked(request)
    hand.tell(sent.answers, status, headers, *pieces)
    reply = b"".join(said(lane))
    assert reply.startswith(told)
    if answered == "a stream":
        assert reply.endswith(b"0\r\n\r\n")
    assert len(reported) == 1
    gateway = hand.gateway
    assert (gateway._in_flight, gateway._buffers.held, gateway._sweep.active) == (0, 0, False)
    assert not gateway.answers.flights._known


def test_books_that_fail_keep_no_connection_of_a_client_that_has_left(hand, reported):
    lane, sent = hand.asked()
    hand.tell(lane.connection_lost, None)
    assert sent.did == ["cancel"]
    assert len(reported) == 1
    assert (hand.gateway._in_flight, hand.gateway._sweep.active) == (0, False)


def test_one_who_waits_for_a_slice_and_fails_holds_up_no_other():
    told = []

    def bad(_):
        told.append("bad")
        raise ZeroDivisionError

    async def run():
        slices = Slices()
        asyncio.get_running_loop().set_exception_handler(lambda *_: told.append("reported"))
        slices.add(lambda: True, bad)
        slices.add(lambda: True, lambda _: told.append("good"))
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert told == ["bad", "reported", "good"]
