"""Requests that are answered from memory at once: a real lane over a transport that does what a test says."""

from __future__ import annotations

import pytest

from edge.server import patience
from edge.state import build_state
from tests.harness import Canned, answer
from tests.unit.lanes import ANSWER, BODY, OTHER, Worker, field, post, said, settled


@pytest.fixture(scope="module")
def upstream():
    with Canned(answer(ANSWER)) as canned:
        yield canned


@pytest.fixture
def worker(upstream):
    made = Worker(upstream.url)
    yield made
    made.loop.run_until_complete(made.gateway.close())
    made.loop.close()


def test_each_time_says_what_the_one_before_said(worker):
    lane = worker.connect()
    lane.data_received(post())
    worker.wait_for(lane, 1)
    assert worker.hits == 0
    for _ in range(4):
        lane.data_received(post())
    assert worker.hits == 4
    second, *later = said(lane)[1:]
    assert second.endswith(b"\r\n\r\n" + ANSWER)
    assert [settled(reply) for reply in later] == [settled(second)] * 3
    assert len({field(reply, b"x-request-id")[0] for reply in said(lane)}) == 5


def test_any_connection_may_ask_again(worker):
    worker.remember(post())
    for times in range(1, 4):
        lane = worker.connect()
        lane.data_received(post())
        assert worker.hits == times
        assert said(lane)[0].endswith(ANSWER)


ALIKE = {
    "a header": post(BODY, "x-a: b"),
    "the order of headers": post().replace(b"host: localhost\r\n", b"", 1).replace(b"\r\n\r\n", b"\r\nhost: localhost\r\n\r\n", 1),
    "the case of a header": post().replace(b"host", b"Host"),
    "the path": post(start="POST /openai/v1/chat/completions HTTP/1.1"),
    "white space in the body": post(BODY + b" "),
    "a field that says nothing of the answer": post(BODY[:-1] + b',"user":"u"}'),
    "an empty line before": b"\r\n" + post(),
}  # fmt: skip


@pytest.mark.parametrize("alike", ALIKE)
def test_what_asks_for_the_same_is_given_the_same(worker, alike):
    worker.remember(post())
    lane = worker.connect()
    lane.data_received(ALIKE[alike])
    assert said(lane)[0].endswith(ANSWER)
    assert worker.hits == 1


OTHERWISE = {
    "the query": post(start="POST /v1/chat/completions?a HTTP/1.1"),
    "the body": post(OTHER),
    "a header that goes to the provider": post(BODY, "openai-beta: x"),
    "no wish for a stored answer": post(BODY, "cache-control: no-cache"),
}


@pytest.mark.parametrize("otherwise", OTHERWISE)
def test_what_asks_for_something_else_is_no_hit(worker, otherwise):
    worker.remember(post())
    lane = worker.connect()
    lane.data_received(OTHERWISE[otherwise])
    worker.wait_for(lane, 1)
    assert worker.hits == 0


def test_however_a_request_is_cut_it_is_a_hit(worker):
    worker.remember(post())
    request = post()
    for at in range(1, len(request)):
        lane = worker.connect()
        lane.data_received(request[:at])
        lane.data_received(request[at:])
        assert [settled(reply)[3] for reply in said(lane)] == [ANSWER]
    assert worker.hits == len(request) - 1
    for times in (2, 3):
        for _ in range(3):
            lane = worker.connect()
            lane.data_received(request * times)
            assert [settled(reply)[3] for reply in said(lane)] == [ANSWER] * times


@pytest.mark.parametrize("junk", [b"junk", b"\r\n", b"\x00", b"POST"])
def test_what_trails_a_request_is_no_part_of_it(worker, junk):
    worker.remember(post())
    for _ in range(3):
        lane = worker.connect()
        lane.data_received(post() + junk)
        first, *refusal = said(lane)
        assert first.endswith(ANSWER)
        assert [reply[:13] for reply in refusal] == ([b"HTTP/1.1 400 "] if junk in (b"junk", b"\x00") else [])


def test_a_known_request_inside_the_body_of_a_refused_one_is_not_answered(worker):
    worker.remember(post())
    lane = worker.connect()
    lane.data_received(post(post(), "origin: http://elsewhere")[: -len(post())])
    assert [reply[:12] for reply in said(lane)] == [b"HTTP/1.1 403"]
    lane.data_received(post())
    assert (len(said(lane)), worker.hits) == (1, 0)
    lane.data_received(post())
    assert (len(said(lane)), worker.hits) == (2, 1)


def test_a_known_request_behind_one_that_waits_is_answered_after_it(worker, upstream):
    worker.remember(post())
    lane = worker.connect()
    lane.data_received(post(OTHER, "cache-control: no-store"))
    lane.data_received(post())
    lane.data_received(post())
    assert said(lane) == []
    first, *others = worker.wait_for(lane, 3)
    assert field(first, b"x-edge-cache") == [b"bypass"]
    assert [field(reply, b"x-edge-cache") for reply in others] == [[b"memory"]] * 2


@pytest.mark.parametrize("ways", [["connection: close"], ["expect: 100-continue"]])
def test_a_request_that_is_due_more_than_its_answer_gets_that_too(worker, ways):
    worker.remember(post())
    request = post(BODY, *ways)
    seen = []
    for _ in range(4):
        lane = worker.connect()
        lane.data_received(request)
        seen.append([reply.split(b"\r\n")[0] for reply in said(lane)])
        assert lane.transport.closing == (ways == ["connection: close"])
    interim = [] if ways == ["connection: close"] else [b"HTTP/1.1 100 Continue"]
    assert seen == [[*interim, b"HTTP/1.1 200 OK"]] * 4


def test_http_1_0_that_is_kept_is_told_so_each_time(worker):
    request = post(BODY, "connection: keep-alive", start="POST /v1/chat/completions HTTP/1.0")
    worker.remember(request)
    lane = worker.connect()
    for _ in range(2):
        lane.data_received(request)
    assert [field(reply, b"connection") for reply in said(lane)] == [[b"keep-alive"]] * 2
    assert not lane.transport.closing


def test_a_wish_for_an_upgrade_is_ignored_each_time(worker):
    request = post(BODY, "connection: upgrade", "upgrade: h2c")
    worker.remember(request)
    lane = worker.connect()
    for _ in range(2):
        lane.data_received(request)
    assert worker.hits == 2
    assert [settled(reply)[3] for reply in said(lane)] == [ANSWER] * 2
    assert not lane.transport.closing


def test_a_clients_request_id_is_echoed_and_an_unfit_one_replaced_each_time(worker):
    good, bad = post(BODY, "x-request-id: mine-1"), post(BODY, "x-request-id: not fit")
    worker.remember(good, bad)
    lane = worker.connect()
    for request in (good, good, bad, bad, bad):
        lane.data_received(request)
    assert worker.hits == 5
    ids = [field(reply, b"x-request-id") for reply in said(lane)]
    assert ids[:2] == [[b"mine-1"]] * 2
    assert len({one for (one,) in ids[2:]}) == 3


def test_an_answer_that_is_gone_is_asked_for_anew(worker, upstream):
    worker.remember(post())
    asked = len(upstream.seen)
    worker.generation.bump()
    lane = worker.connect()
    lane.data_received(post())
    assert field(worker.wait_for(lane, 1)[0], b"x-edge-cache") == [b"miss"]
    assert (len(upstream.seen), worker.hits) == (asked + 1, 0)


def test_another_answer_under_the_same_key_is_the_one_that_is_served(worker, upstream):
    worker.remember(post())
    worker.generation.bump()
    newer = ANSWER.replace(b"hi", b"ho")
    upstream.reply = answer(newer)
    try:
        worker.remember(post())
    finally:
        upstream.reply = answer(ANSWER)
    lane = worker.connect()
    lane.data_received(post())
    assert worker.hits == 1
    assert said(lane)[0].endswith(newer)


def test_another_configuration_knows_nothing_of_before(worker):
    worker.remember(post())
    worker.gateway.state = build_state(worker.config, old=worker.gateway.state)
    lane = worker.connect()
    assert not worker.gateway.state.granted
    lane.data_received(post())
    assert worker.hits == 1
    assert said(lane)[0].endswith(ANSWER)


def test_a_worker_that_drains_closes_behind_the_answer(worker):
    worker.remember(post())
    worker.app.drain()
    lane = worker.connect()
    lane.data_received(post())
    assert field(said(lane)[0], b"connection") == [b"close"]
    assert lane.transport.closing


def test_a_full_gateway_refuses_what_it_knows(upstream):
    worker = Worker(upstream.url, max_in_flight=1)
    worker.remember(post())
    busy, lane = worker.connect(), worker.connect()
    busy.data_received(post(OTHER)[:-1])
    lane.data_received(post())
    assert said(lane)[0].startswith(b"HTTP/1.1 503 ")
    busy.connection_lost(None)
    lane.data_received(post())
    assert said(lane)[1].endswith(ANSWER)
    assert worker.hits == 1
    worker.loop.run_until_complete(worker.gateway.close())
    worker.loop.close()


def test_an_idle_connection_has_its_time_from_the_latest_answer(worker):
    worker.remember(post())
    lane = worker.connect()
    lane.deadline = worker.loop.time()  # that of the first byte is about to pass
    lane.data_received(post())
    assert worker.hits == 1
    assert lane.deadline == pytest.approx(worker.loop.time() + patience.KEEP_ALIVE_S, abs=1)
    lane.expire()
    assert lane.transport.closing
    lane.data_received(post())
    assert len(said(lane)) == 1


def test_an_idle_connection_has_its_time_after_answers_that_waited_too(worker):
    worker.remember(post())
    lane = worker.connect()
    lane.data_received(post(OTHER, "cache-control: no-store"))
    lane.data_received(post())
    lane.data_received(post())
    assert lane.deadline == patience.NEVER
    worker.wait_for(lane, 3)
    assert lane.deadline == pytest.approx(worker.loop.time() + patience.KEEP_ALIVE_S, abs=1)


def test_a_client_that_takes_nothing_is_answered_nothing_more(worker):
    worker.remember(post())
    lane = worker.connect()
    lane.data_received(post())
    lane.pause_writing()
    for _ in range(3):
        lane.data_received(post() * 2)
    lane.data_received(b"junk")
    assert (len(said(lane)), worker.hits) == (1, 1)
    assert lane.deadline == pytest.approx(worker.loop.time() + patience.WRITE_STALL_S, abs=1)
    lane.resume_writing()
    assert [reply[:12] for reply in said(lane)] == [b"HTTP/1.1 200"] * 7 + [b"HTTP/1.1 400"]


def test_what_a_client_sends_that_takes_nothing_is_bounded(worker):
    worker.remember(post())
    lane = worker.connect()
    lane.pause_writing()
    sent = 0
    while lane.transport.reads and sent < 10_000_000:
        lane.data_received(post())
        sent += len(post())
    assert sent < 2 * patience.MAX_PIPELINED
    lane.resume_writing()
    assert len(said(lane)) == sent // len(post())
    assert lane.transport.reads


def test_a_stream_of_answers_stops_within_a_segment_when_the_client_takes_no_more(worker):
    worker.remember(post())
    lane = worker.connect()
    taken, write = [], lane.transport.write

    def full_at_three(data: bytes) -> None:
        write(data)
        taken.append(data)
        if len(taken) % 3 == 0:
            lane.pause_writing()

    lane.transport.write = full_at_three
    lane.data_received(post() * 8)
    assert len(said(lane)) == 3
    lane.resume_writing()
    assert len(said(lane)) == 6
    lane.resume_writing()
    assert len(said(lane)) == 8
    assert lane.deadline == pytest.approx(worker.loop.time() + patience.KEEP_ALIVE_S, abs=1)
