"""What the benchmarks' figures rest on: the stream client counts right however the bytes come, and a miss is a miss."""

from __future__ import annotations

import json
import random
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the benchmarks read /proc", allow_module_level=True)

from benchmarks.streams import Found, Reader
from benchmarks.table import Report

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Sink:
    def __init__(self) -> None:
        self.written = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += 1

    def close(self) -> None:
        self.closed = True


def stream(events: int, per_chunk: int) -> bytes:
    data = [b"data: " + json.dumps({"n": n}).encode() + b"\n\n" for n in range(events)]
    chunks = [b"".join(data[i : i + per_chunk]) for i in range(0, events, per_chunk)]
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize("seed", range(30))
def test_the_stream_client_counts_events_however_the_bytes_are_cut(seed):
    dice = random.Random(seed)
    job = {"url": "http://127.0.0.1:1/", "body": "{}", "headers": {}, "seconds": 60, "step_s": 0.005}
    found, sink = Found(job), Sink()
    reader = Reader(found)
    reader.connection_made(sink)
    for _ in range(2):
        data = stream(20, dice.randint(1, 7))
        while data:
            size = dice.choice([1, 2, 3, 9, 50, 4000])
            reader.data_received(data[:size])
            data = data[size:]
    assert found.events == 40
    assert (len(found.first), len(found.late)) == (2, 38)
    assert sink.written == 3, "one request at the beginning and one after each stream"
    assert found.errors == 0


def test_a_stream_that_is_refused_or_breaks_off_is_an_error():
    job = {"url": "http://127.0.0.1:1/", "body": "{}", "headers": {}, "seconds": -1, "step_s": 0.005}
    for data in (HEAD.replace(b"200 OK", b"500 No"), stream(5, 1)[:-1]):
        found, sink = Found(job), Sink()
        reader = Reader(found)
        reader.connection_made(sink)
        reader.data_received(data)
        reader.connection_lost(None)
        assert found.errors == 1


def test_a_target_that_is_missed_is_named_and_fails(capsys):
    report = Report()
    report.target("the one", 2.0, 1.99, "x")
    assert report.conclude()
    report.target("the other", 2.0, 2.01, "x")
    assert not report.conclude()
    printed = capsys.readouterr().out
    assert "| the one | <= 2 x | 1.99 x | met |" in printed
    assert printed.endswith("Missed: the other.\n")
