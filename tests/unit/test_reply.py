"""What may be done to a reply, in each of its states, and what of that its sink is told."""

from __future__ import annotations

import pytest

from edge.reply import STEPS, STREAM, Reply, Sink

EVENTS = b"content-type: text/event-stream; charset=utf-8\r\n"
NAMES = ("promise", "start", "write", "interject", "end", "abort")
"""The steps, in the order of the table's numbers."""
NEW, EARLY, STARTED, ENDED, BROKEN = STATES = tuple(STEPS)


class Kept(Sink):
    """``told`` is what it was told, but for who waits for room, which is ``room``."""

    def __init__(self):
        self.told = []
        self.room = None
        self.full = False

    def start(self, status, lines, size):
        self.told.append(("start", status, lines, size))

    def write(self, data):
        self.told.append(("write", data))

    def end(self):
        self.told.append(("end",))

    def abort(self):
        self.told.append(("abort",))

    def push(self):
        self.told.append(("push",))

    def congested(self):
        return self.full

    def when_room(self, room):
        self.room = room


class Upper:
    """In place of a restorer: keeps one piece back."""

    stream = False

    def __init__(self):
        self.held = b""

    def feed(self, data):
        ready, self.held = self.held, data.upper()
        return ready

    def end(self):
        return self.held


def steps(reply):
    return {
        "promise": lambda: reply.promise(200, EVENTS),
        "start": lambda: reply.start(201, EVENTS),
        "write": lambda: reply.write(b"data"),
        "interject": lambda: reply.interject(b"ping"),
        "end": reply.end,
        "abort": reply.abort,
    }


WAYS = {NEW: (), EARLY: ("promise",), STARTED: ("start",), ENDED: ("start", "end"), BROKEN: ("abort",)}


def brought_to(state):
    sink = Kept()
    reply = Reply(sink)
    for name in WAYS[state]:
        steps(reply)[name]()
    assert reply.state == state
    sink.told.clear()
    return reply, sink


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", NAMES)
def test_each_step_leads_where_the_table_says_or_is_a_defect_of_ours(state, name):
    reply, sink = brought_to(state)
    after = STEPS[state].get(NAMES.index(name))
    if after is None:
        with pytest.raises(AssertionError):
            steps(reply)[name]()
        assert not sink.told
        assert reply.state == state
    else:
        steps(reply)[name]()
        assert reply.state == after


def test_every_state_can_be_reached_and_every_reply_can_end():
    reached, new = {NEW}, [NEW]
    while new:
        follow = set(STEPS[new.pop()].values()) - reached
        reached |= follow
        new += follow
    assert reached == set(STATES)
    assert all({ENDED, BROKEN} & set(STEPS[state].values()) for state in (NEW, EARLY, STARTED))


def test_a_reply_goes_out_as_it_is_written():
    reply, sink = brought_to(NEW)
    assert (reply.begun(), reply.has_answer(), reply.over()) == (False, False, False)
    reply.start(200, b"a: b\r\n", 4)
    assert (reply.begun(), reply.has_answer(), reply.over()) == (True, True, False)
    reply.write(b"da")
    reply.write(b"ta")
    assert reply.latest == b"ta"
    reply.end()
    assert (reply.begun(), reply.has_answer(), reply.over()) == (False, True, True)
    assert sink.told == [("start", 200, b"a: b\r\n", 4), ("write", b"da"), ("write", b"ta"), ("end",)]
    assert reply.status == 200


def test_a_promised_stream_has_one_head_and_may_still_be_answered_by_anybody():
    reply, sink = brought_to(NEW)
    reply.promise(200, EVENTS)
    assert (reply.begun(), reply.has_answer()) == (True, False)
    reply.interject(b": keep-alive\n")
    reply.start(429, b"content-type: application/json\r\n", 2)
    reply.write(b"data: {}\n\n")
    assert [told[0] for told in sink.told] == ["start", "write", "push", "write"]
    assert (reply.status, reply.has_answer()) == (200, True)


def test_nothing_is_interjected_where_the_client_takes_nothing():
    reply, sink = brought_to(STARTED)
    sink.full = True
    reply.interject(b"ping")
    assert not sink.told
    assert reply.latest == b""


@pytest.mark.parametrize("state", [NEW, EARLY, STARTED])
def test_what_comes_after_the_client_has_left_is_for_nobody(state):
    reply, sink = brought_to(state)
    reply.lost()
    for name in ("start", "write", "interject", "end", "abort"):
        steps(reply)[name]()
    assert not sink.told
    assert (reply.over(), reply.congested(), reply.latest) == (True, False, b"")


@pytest.mark.parametrize("state", [NEW, EARLY, STARTED])
def test_breaking_off_is_seen_by_the_client_once(state):
    reply, sink = brought_to(state)
    reply.abort()
    reply.abort()
    assert sink.told == [("abort",)]


@pytest.mark.parametrize("end", ["end", "abort", "lost"])
def test_who_waits_for_room_is_let_go_of_when_it_is_over(end):
    reply, sink = brought_to(STARTED)
    reply.when_room(lambda: None)
    assert sink.room is not None
    getattr(reply, end)()
    assert sink.room is None
    reply.when_room(lambda: None)
    assert sink.room is None


def test_what_is_put_back_passes_last_and_changes_the_size():
    reply, sink = brought_to(NEW)
    reply.restorer = Upper()
    reply.start(200, EVENTS, 8)
    reply.write(b"one")
    reply.write(b"two")
    reply.end()
    head, *rest = sink.told
    assert head == ("start", 200, EVENTS, STREAM)
    assert rest == [("write", b""), ("write", b"ONE"), ("write", b"TWO"), ("end",)]
