"""The fields of replies: which are there, which of them vary, and that those which do not are the same each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.errors import InvalidApiKey
from edge.guard.logins import NO_KEY
from edge.reply_fields import EVENTS, FIELDS, JSON, is_stream, lines_of, pairs_of
from tests.harness import Canned, answer
from tests.unit.lanes import ANSWER, BODY, Worker, field, fields, post, said, settled

PAGE = Path(__file__).parents[2] / "docs/headers.md"
FRAMING = {b"date", b"content-length", b"transfer-encoding", b"connection"}
MESSAGES = b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'


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


TWICE = {
    "an answer": post(BODY, "cache-control: no-store"),
    "a hit": post(),
    "no such route": post(start="POST /v1/uploads HTTP/1.1"),
    "no such route, for Anthropic's clients": post(start="POST /anthropic/v1/uploads HTTP/1.1"),
    "no such method": post(start="POST /v1/models HTTP/1.1"),
    "no JSON": post(b"{"),
    "no model": post(b"{}"),
    "no max_tokens": post(MESSAGES.replace(b'"max_tokens":5,', b""), start="POST /v1/messages HTTP/1.1"),
}


@pytest.mark.parametrize("request_", TWICE.values(), ids=TWICE)
def test_two_replies_to_one_request_differ_in_what_varies_alone(worker, request_):
    worker.remember(post())
    lane = worker.connect()
    for answers in (1, 2, 3):
        lane.data_received(request_)
        worker.wait_for(lane, answers)
    _, one, other = (settled(reply) for reply in said(lane))
    ids = [field(reply, b"x-request-id")[0] for reply in said(lane)]
    assert len(set(ids)) == 3
    assert other[:3] == one[:3]
    assert other[3].replace(ids[2], b"") == one[3].replace(ids[1], b"")


@pytest.mark.parametrize("request_", TWICE.values(), ids=TWICE)
def test_each_field_of_a_reply_is_on_the_list(worker, request_):
    lane = worker.connect()
    lane.data_received(request_)
    (reply,) = worker.wait_for(lane, 1)
    names = [line.partition(b":")[0] for line in fields(reply)[1:]]
    assert set(names) - FRAMING <= FIELDS.keys()
    assert len(set(names)) == len(names)


def test_the_list_is_documented():
    documented = set(
        re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE.read_text().partition("## To the client")[2], re.MULTILINE)
    )
    assert {name.decode() for name in FIELDS} <= documented


def test_lines_are_the_fields_that_they_were_made_of():
    headers = [(b"a", b"b"), (b"c", b""), (b"d", b"e: f")]
    assert pairs_of(lines_of(headers)) == headers
    assert pairs_of(b"") == []
    assert (is_stream(pairs_of(EVENTS)), is_stream(pairs_of(JSON))) == (True, False)


def test_what_answers_all_who_make_an_error_is_prepared_once(worker):
    lane = worker.connect()
    for path in ("/v1/uploads", "/anthropic/v1/uploads"):
        lane.data_received(post(start=f"POST {path} HTTP/1.1"))
        lane.data_received(post(start=f"POST {path} HTTP/1.1"))
    worker.wait_for(lane, 4)
    assert NO_KEY.prepared is not None
    assert InvalidApiKey().prepared is None
