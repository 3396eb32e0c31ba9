"""Which requests are kept as traces: decided at their end, within bounds."""

from __future__ import annotations

import pytest

from edge.telemetry.tracing import WINDOW_S
from tests.unit.lanes import ANSWER
from tests.unit.test_dispatch import CONTENT, DONE, DOWN, provider
from tests.unit.timed import EVENTS, JSON, parsed
from tests.unit.traced import TracedWorker

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def made(monkeypatch):
    workers = []

    def make(**tracing):
        settings = {
            "providers": {"a": provider()},
            "models": {"smart": {"upstreams": [{"to": "a/m"}]}},
            "resilience": {"breaker": {"failures": 1_000_000}, "retries": 0},
        }
        workers.append(TracedWorker(settings, monkeypatch, **tracing))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def ask(worker, seconds=0.1, *headers, status=200, **fields):
    worker.ask("smart", *headers, **fields)
    worker.after(seconds)
    if fields.get("stream"):
        worker.run(worker.sent("a").answers, 200, EVENTS, CONTENT, DONE)
    else:
        worker.run(worker.sent("a").answers, status, JSON, ANSWER if status == 200 else DOWN)


def why(worker):
    return [(kept.spans[0].attributes["edge.kept"], len(kept.spans)) for kept in worker.kept]


@pytest.mark.parametrize("sample", [0.0, 1.0])
def test_the_flag_of_the_caller_decides_and_not_the_share(made, sample):
    worker = made(sample=sample)
    ask(worker, 0.2, f"traceparent: 00-{TRACE}-{PARENT}-00")
    for _ in range(3):
        ask(worker, 0.1, f"traceparent: 00-{TRACE}-{PARENT}-00")
    assert why(worker) == []
    ask(worker, 0.1, f"traceparent: 00-{TRACE}-{PARENT}-01")
    assert why(worker) == [("sampled", 2)]


def test_a_failure_is_kept_unless_it_is_the_clients(made):
    worker = made(sample=0.0)
    ask(worker, 0.5)
    ask(worker, status=500)
    assert why(worker) == [("failed", 2)]
    ask(worker, status=400)
    worker.ask("nobody-has-this")
    assert why(worker) == [("failed", 2)]


def test_where_all_fail_so_many_are_kept_a_second_and_the_rest_is_counted(made, monkeypatch):
    monkeypatch.setattr("edge.telemetry.tracing.MOST_FAILED", 3)
    worker = made(sample=0.0)
    for _ in range(5):
        ask(worker, 0.0, status=500)
    assert why(worker) == [("failed", 2)] * 3
    worker.after(2)
    assert 'edge_telemetry_dropped_total{reason="too_many",signal="traces"} 4.0' in worker.metrics.render().decode()
    ask(worker, 0.0, status=500)
    assert len(worker.kept) == 4


def test_of_each_window_the_slowest_of_each_kind_is_kept(made):
    worker = made(sample=0.0)
    for seconds in (0.2, 0.1, 0.6, 0.3):
        ask(worker, seconds)
    for seconds in (0.4, 0.8):
        ask(worker, seconds, stream=True)
    assert why(worker) == []
    worker.after(WINDOW_S + 1)
    assert sorted(why(worker)) == [("slow", 2), ("slow", 2)]
    took = sorted(round(kept.spans[0].end - kept.spans[0].start, 3) for kept in worker.kept)
    assert took == [0.6, 0.8]
    ask(worker, 0.1)
    worker.after(WINDOW_S + 1)
    assert why(worker) == [("slow", 2)] * 3
    worker.after(WINDOW_S + 1)
    assert len(worker.kept) == 3


def test_what_finds_no_room_is_counted_and_nothing_is_made_of_it(made):
    worker = made()
    worker.exporters[0].has_room = False
    ask(worker)
    assert (worker.kept, worker.exporters[0].refused) == ([], 2)


def test_a_trace_that_is_kept_is_an_exemplar_of_its_buckets(made):
    worker = made(sample=0.0)
    ask(worker, 0.2)
    assert b"trace_id" not in worker.metrics.render_open()
    ask(worker, 0.2, f"traceparent: 00-{TRACE}-{PARENT}-01")
    told = worker.metrics.render_open().decode()
    (line,) = [
        each for each in told.splitlines() if "edge_request_duration_seconds_bucket" in each and "trace_id" in each
    ]
    assert f'# {{trace_id="{TRACE}"}} 0.' in line
    assert 'le="0.25"' in line


def settings_of(**tracing):
    given = {"providers": {"a": provider()}, "telemetry": {"tracing": tracing} if tracing else {}}
    return parsed(given).telemetry.tracing


def test_a_reload_turns_it_off_and_on_and_moves_it(made):
    worker = made()
    ask(worker)
    tracing = worker.app._tracing
    worker.run(tracing.adjust, settings_of())
    assert worker.exporters[0].over
    ask(worker)
    assert (len(worker.exporters), len(worker.kept)) == (1, 1)
    worker.run(tracing.adjust, settings_of(otlp_endpoint="http://127.0.0.1:4319"))
    ask(worker)
    assert (len(worker.exporters), worker.exporters[1].endpoint, len(worker.kept)) == (2, "http://127.0.0.1:4319", 1)
    worker.run(tracing.adjust, settings_of(otlp_endpoint="http://127.0.0.1:4319", sample=0.5))
    assert len(worker.exporters) == 2
    assert not worker.exporters[1].over


def test_what_becomes_of_spans_after_a_reload_is_counted_until_all_is_over(made):
    worker = made()
    first = worker.exporters[0]
    worker.run(worker.app._tracing.adjust, settings_of())
    for at_work in (True, False):
        first.counts, first.at_work = (2, (0, 3)), at_work
        worker.after(1.5)
    told = worker.metrics.render().decode()
    assert "edge_spans_exported_total 4.0" in told
    assert 'edge_telemetry_dropped_total{reason="not_taken",signal="traces"} 6.0' in told
    first.counts = (2, (0, 3))
    worker.after(1.5)
    assert worker.metrics.render().decode().count("edge_spans_exported_total 4.0") == 1


def test_without_a_collector_there_is_no_trace_but_the_callers(made):
    worker = made(otlp_endpoint=None)
    ask(worker)
    assert worker.records[0].trace_id == ""
    assert b"traceparent" not in worker.sent("a").request.fields
    ask(worker, 0.1, f"traceparent: 00-{TRACE}-{PARENT}-01")
    assert worker.records[1].trace_id == TRACE
    assert f"traceparent: 00-{TRACE}-".encode() in worker.sent("a").request.fields
    assert worker.exporters == []


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("collector:4318", "must be an http:// or https:// URL"),
        ("grpc://collector:4317", "must be an http:// or https:// URL"),
        ("http://", "must be an http:// or https:// URL"),
        ("http://collector:99999", "must be an http:// or https:// URL"),
        ("http://169.254.169.254", "its own credentials"),
        ("http://collector:4318/v1/traces", "/v1/traces is put behind it"),
        ("http://me:secret@collector:4318", "no user, query or fragment"),
        ("http://collector:4318?x=y", "no user, query or fragment"),
    ],
)
def test_an_endpoint_that_is_none_is_an_error_of_the_configuration(endpoint, says):
    with pytest.raises(Exception, match="otlp_endpoint") as caught:
        settings_of(otlp_endpoint=endpoint)
    assert says in str(caught.value)
