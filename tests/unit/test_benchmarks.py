"""What the benchmarks' figures rest on: the stream client counts right however the bytes come, and a miss is a miss."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from itertools import repeat

import pytest

if sys.platform != "linux":
    pytest.skip("the benchmarks read /proc", allow_module_level=True)

from benchmarks import guard, instructions, redaction
from benchmarks.load import Load
from benchmarks.lockstep import CHAT_ANSWER, Asked, Upstream, ask, post
from benchmarks.streams import Found, Reader
from benchmarks.table import TURNS, Report, added_in_turns, in_turns

pytestmark = pytest.mark.once

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


def asked_of_the_upstream(request: bytes, number: int, status: bytes = b"200") -> tuple[list[int], int]:
    """Which streams were stepped, and how many reads there were."""

    async def main() -> tuple[list[int], int]:
        upstream, stepped = Upstream(), []
        async with await upstream.start():
            port = int(upstream.url.rpartition(":")[2])

            def step(stream: int) -> None:
                stepped.append(stream)
                upstream.step(stream)

            asked = Asked(port, repeat(request), status, step)
            return stepped, await ask(asked, number, 2)

    return asyncio.run(main())


def test_the_next_event_is_sent_when_the_one_before_it_has_been_read():
    body = b'{"messages":[{"role":"user","content":"stream-7-of-5-events"}]}'
    for path in ("/v1/chat/completions", "/v1/messages"):
        stepped, reads = asked_of_the_upstream(post(path, {}, body), 1)
        assert stepped == [7] * 5
        assert reads >= 6


def test_requests_are_asked_so_many_times_and_a_wrong_answer_is_an_error():
    request = post("/v1/chat/completions", {"content-type": "application/json"}, b"{}")
    assert asked_of_the_upstream(request, 9)[1] >= 9
    assert json.loads(CHAT_ANSWER)["usage"]["total_tokens"] == 58
    with pytest.raises(RuntimeError, match="200 OK"):
        asked_of_the_upstream(request, 9, b"401")


def test_a_figure_above_its_ceiling_is_named_and_fails(capsys):
    landed = {"forward": 100_000, "401": 50_000}
    assert instructions.judge({"forward": 114_900.0, "401": 57_400.0}, landed) == 0
    assert capsys.readouterr().out == "2 passed, 0 failed\n"
    assert instructions.judge({"forward": 115_100.0, "401": 57_400.0}, landed) == 1
    assert capsys.readouterr().out == "forward: 115,100 is above its ceiling of 115,000\n1 passed, 1 failed\n"


def test_every_interpreter_has_a_figure_for_each_row_with_a_ceiling():
    landed = json.loads(instructions.LANDED.read_text())
    assert landed
    for figures in landed.values():
        assert set(figures) == set(instructions.CHECKED) <= {row.name for row in instructions.rows()}


def test_what_is_compared_takes_turns_and_each_has_the_row_of_its_median_turn(capsys):
    nginx, edge = [10.0, 20.0, 10.0, 40.0, 10.0, 10.0, 10.0], [15.0, 36.0, 90.0, 64.0, 14.0, 16.0, 18.0]
    order = []

    def measure(name, costs):
        def measured(*, seconds):
            order.append((name, seconds))
            return Load(1, 1.0, costs.pop(0), 1.0, 2.0, 3.0, errors=0, rss_kib=1024, load_core=0.5, others=0.0)

        return measured

    yardstick, ours = in_turns(Report(), 6, ("nginx", measure("nginx", nginx)), ("edge", measure("edge", edge)))
    assert order == [("nginx", 2.0), ("edge", 2.0)] * TURNS
    assert (yardstick.load.cpu_us, yardstick.ratio) == (10.0, 1.0)
    # 1.5, 1.8, 9.0, 1.6, 1.4, 1.6, 1.8: a machine that was slow for a turn makes no difference.
    assert ours.ratio == 1.6
    assert "| 1.6 |" in capsys.readouterr().out


def test_what_is_added_to_latencies_is_the_median_of_turns(capsys):
    # One turn in which the machine stood still, and one in which it did while nothing was in front of the upstream.
    direct = iter([(5.0, 6.0), (5.0, 6.0), (5.1, 6.1), (5.0, 30.0), (5.0, 6.0), (5.0, 6.3), (5.0, 6.0)])
    edge = iter([(5.2, 7.0), (5.2, 70.0), (5.3, 7.3), (5.1, 7.0), (5.4, 6.9), (5.2, 7.1), (5.2, 6.8)])
    asked = []

    def measure(name, turns):
        def measured(seconds):
            p50_ms, p99_ms = next(turns)
            asked.append((name, seconds))
            return Load(100, 2.0, 10.0, p50_ms, p99_ms, p99_ms, 0, 1, 0.5, 0.0)

        return measured

    p50_ms, p99_ms = added_in_turns(Report(), 6, ("direct", measure("direct", direct)), ("edge", measure("edge", edge)))
    assert asked == [("direct", 3.0), ("edge", 3.0)] * TURNS
    assert (p50_ms, p99_ms) == (pytest.approx(0.2), pytest.approx(0.9))
    out = capsys.readouterr().out
    assert "| 5.00 | 6.00 |" in out
    assert "| 5.40 | 6.90 |" in out


@pytest.mark.parametrize("benchmark", [guard, redaction])
def test_what_is_measured_in_one_process_can_be_measured(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    monkeypatch.setattr(benchmark, "CALLS", 2)
    assert len(benchmark.rows()) >= 5
