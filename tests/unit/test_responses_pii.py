"""What a policy on personal data keeps from a client of Responses is not in the end of a stream that fails either."""

from __future__ import annotations

import pytest

from edge.errors import UpstreamStreamBroken
from tests.unit.lanes import post
from tests.unit.test_dispatch import provider
from tests.unit.test_rescue import events_of
from tests.unit.test_translation_streams import START, text, tool
from tests.unit.timed import EVENTS, Timed, told
from tests.unit.translating import sse

SAID = sse(START, *text(0, "Write to bob.mil", "ler@exam", "ple.com now"), *tool(1, "t1", "{}", name="look"))


@pytest.fixture
def worker(monkeypatch, request):
    settings = {"providers": {"a": {**provider(), "dialect": "anthropic"}}, "pii": {"response": request.param}}
    made = Timed(settings, monkeypatch)
    yield made
    made.close()


@pytest.mark.parametrize("worker", ["mask", "block"], indirect=True)
@pytest.mark.parametrize("size", [7, len(SAID)])
def test_the_end_of_a_stream_that_fails_does_not_tell_what_was_kept_back(worker, size):
    lane = worker.connect()
    body = b'{"model":"a/m","input":"Whom?","stream":true,"store":false}'
    worker.run(lane.data_received, post(body, start="POST /v1/responses HTTP/1.1"))
    pieces = [SAID[at : at + size] for at in range(0, len(SAID), size)]
    worker.run(worker.sent("a").answers, 200, EVENTS, *pieces, ends=False)
    worker.run(worker.sent("a").receiver.failed, UpstreamStreamBroken())
    reply = told(lane)
    assert b"ler@" not in reply
    events, _ = events_of(reply)
    assert [data["type"] for _, data in events][-2:] == ["error", "response.failed"]
    assert events[-1][1]["response"]["output"] == []
