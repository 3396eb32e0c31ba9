"""Metrics and log lines of single requests."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from edge.hooks import Attempted, RequestRecord, Usage
from edge.server.launch import ToLogs
from edge.telemetry import Fanout
from edge.telemetry.logs import Logs
from edge.telemetry.metrics import MOST_TENANTS, Metrics, shared_slots
from edge.telemetry.writer import MAX_QUEUED, PIPE_BUF
from tests.unit.records import changed

OK = RequestRecord(
    *("req_1", "/v1/chat/completions", "openai", "openai", "smart", "gpt-4o", 1, "team", "t", 200, False, "ok", "", ""),
    *(0.0123, 0.0121, 0.0002, 0.012, Usage(12, 34)),
)
REFUSED = RequestRecord(
    *("req_2", "/v1/chat/completions", "openai", "", "_other", "", 0, "", "", 404, False, "error"),
    *("model_not_found", "client_invalid", 0.0001, 0.0, 0.0001, 0.0, None),
)
BROKEN = changed(
    OK,
    status=502,
    outcome="error",
    error_code="broken",
    error_kind="provider_error",
    stream=True,
    attempts=2,
    usage=None,
)


def samples(metrics: Metrics) -> dict[str, float]:
    found = re.findall(r"^(edge_\S+) (\S+)$", metrics.render().decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_a_request_is_counted_once_everywhere():
    metrics = Metrics()
    Fanout(metrics).request_done(OK)
    Fanout(metrics).request_done(REFUSED)
    Fanout(metrics).request_done(BROKEN)
    found = samples(metrics)
    chat = 'endpoint="/v1/chat/completions"'
    for name, value in {
        f'edge_requests_total{{code="200",{chat},model="smart",provider="openai",stream="false",tenant="t"}}': 1,
        f'edge_requests_total{{code="404",{chat},model="_other",provider="",stream="false",tenant=""}}': 1,
        f'edge_requests_total{{code="502",{chat},model="smart",provider="openai",stream="true",tenant="t"}}': 1,
        f'edge_request_duration_seconds_bucket{{{chat},le="0.01",outcome="ok",stream="false"}}': 0,
        f'edge_request_duration_seconds_bucket{{{chat},le="0.025",outcome="ok",stream="false"}}': 1,
        f'edge_request_duration_seconds_bucket{{{chat},le="+Inf",outcome="ok",stream="false"}}': 1,
        f'edge_request_duration_seconds_sum{{{chat},outcome="ok",stream="false"}}': 0.0123,
        f'edge_overhead_seconds_count{{cache="",{chat}}}': 3,
        'edge_upstream_duration_seconds_count{model="smart",provider="openai"}': 2,
        'edge_errors_total{error_type="client_invalid",model="_other",provider=""}': 1,
        'edge_errors_total{error_type="provider_error",model="smart",provider="openai"}': 1,
        'edge_metric_series_dropped_total{metric="edge_requests_total"}': 0,
    }.items():
        assert found[name] == value, name


def test_labels_of_any_content_are_escaped():
    metrics = Metrics()
    Fanout(metrics).request_done(changed(OK, model='a"\\\n\u2028é'))
    assert 'model="a\\"\\\\\\n\u2028é"' in metrics.render().decode()


def test_label_sets_beyond_the_bound_are_one():
    metrics = Metrics()
    for number in range(3000):
        Fanout(metrics).request_done(changed(OK, model=f"m-{number}", usage=None))
    found = samples(metrics)
    other = "edge_requests_total" + "".join(
        (
            "{",
            ",".join(f'{name}="_other"' for name in ("code", "endpoint", "model", "provider", "stream", "tenant")),
            "}",
        )
    )
    counts = [value for name, value in found.items() if name.startswith("edge_requests_total")]
    assert sum(counts) == 3000
    assert found[other] >= 1000
    assert found['edge_metric_series_dropped_total{metric="edge_requests_total"}'] >= 1000
    assert found['edge_metric_series_dropped_total{metric="edge_cost_usd_total"}'] == 0


def test_tenants_that_tokens_name_have_labels_as_long_as_they_are_few():
    metrics = Metrics(knows_tenant=lambda tenant: tenant.startswith("known-"))
    hooks = Fanout(metrics)
    for number in range(2 * MOST_TENANTS):
        hooks.request_done(changed(OK, tenant=f"token-{number}"))
        metrics.count("edge_cost_usd_total", "openai", "smart", f"token-{number}", amount=0.5)
    for number in range(2 * MOST_TENANTS):
        hooks.request_done(changed(OK, tenant=f"known-{number}"))
    hooks.request_done(changed(OK, tenant="token-0"))
    hooks.request_done(changed(OK, tenant=""))
    found = samples(metrics)

    def of(metric):
        told = {name: value for name, value in found.items() if name.startswith(metric)}
        return {name.partition('tenant="')[2].partition('"')[0]: value for name, value in told.items()}

    few = {f"token-{number}" for number in range(MOST_TENANTS)}
    requests, costs = of("edge_requests_total"), of("edge_cost_usd_total")
    assert set(requests) - few == {"", "_other", *(f"known-{number}" for number in range(2 * MOST_TENANTS))}
    assert set(costs) == {*few, "_other"}
    assert (requests["token-0"], requests["_other"], costs["_other"]) == (2, MOST_TENANTS, MOST_TENANTS / 2)


def test_processes_share_what_they_count_but_not_their_own_figures():
    slots = shared_slots(2)
    first, second = Metrics(slots, 1), Metrics(slots, 2)
    Fanout(first).request_done(OK)
    Fanout(second).request_done(OK)
    assert samples(first) == samples(second)
    before = samples(first)
    slots.fold(2)
    assert samples(first) == before
    assert max(value for name, value in before.items() if name.startswith("edge_build_info")) == 1
    text = first.render().decode()
    assert 'process_cpu_seconds_total{worker="0"}' in text
    if sys.platform == "linux":
        assert 'process_resident_memory_bytes{worker="0"}' in text
    assert 'process_start_time_seconds{worker="1"}' not in text  # it has ended


def test_promtool_has_no_complaints():
    metrics = Metrics()
    Fanout(metrics).request_done(OK)
    try:
        got = subprocess.run(["promtool", "check", "metrics"], input=metrics.render(), capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("promtool is not here (Debian: prometheus)")
    assert got.returncode == 0, got.stdout + got.stderr


def line(record: RequestRecord, level: str = "info") -> dict:
    out = io.StringIO()
    Fanout(Logs(level, "json", out)).request_done(record)
    return json.loads(out.getvalue()) if out.getvalue() else {}


def test_a_requests_line_has_these_fields_in_this_order():
    got = line(OK)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", got.pop("timestamp"))
    assert list(got.items()) == list(
        {
            "request_id": "req_1",
            "endpoint": "/v1/chat/completions",
            "status": 200,
            "duration_ms": 12.3,
            "overhead_ms": 0.2,
            "upstream_ms": 12.1,
            "first_content_ms": 12.0,
            "request_bytes": 0,
            "response_bytes": 0,
            "key": "team",
            "tenant": "t",
            "provider": "openai",
            "model": "gpt-4o",
            "input_tokens": 12,
            "output_tokens": 34,
            "event": "request",
            "level": "info",
        }.items()
    )
    got = line(BROKEN)
    assert (got["level"], got["attempts"], got["stream"], got["error"]) == ("warning", 2, True, "broken")
    assert "key" not in line(REFUSED)
    assert line(REFUSED)["level"] == "info"


def test_levels_filter_requests():
    late = changed(BROKEN, status=429)
    for level, seen in (("debug", 4), ("info", 4), ("warning", 1), ("error", 0)):
        assert sum(bool(line(record, level)) for record in (OK, REFUSED, BROKEN, late)) == seen, level


def short(record, **environment):
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_COLOR", "TERM"):
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        Fanout(Logs("info", None, out)).request_done(record)
    return out.getvalue()


def test_on_a_terminal_a_request_is_one_short_line_with_colours():
    said = short(changed(OK, asked="smart", cost=12_340_000, cache="miss", attempts=2))
    assert said.count("\n") == 1
    plain = re.sub(r"\x1b\[\d+m", "", said)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d 200  12.3 ms smart -> openai/gpt-4o \[miss\] 2 attempts 12\+34 tokens \$0.000012 t req_1\n",
        plain,
    )
    assert "\x1b[32m200\x1b[0m" in said
    assert "\x1b[31m502\x1b[0m" in short(BROKEN)
    assert "\x1b[33m404\x1b[0m" in short(REFUSED)
    assert "\x1b" not in short(changed(OK, asked="\x1b[31m"), TERM="dumb")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(environment):
    assert "\x1b" not in short(OK, **environment)
    assert "\x1b" in short(OK, NO_COLOR="")  # as https://no-color.org has it


def test_lines_for_people_are_a_setting_and_have_no_colours_where_no_terminal_is():
    out = io.StringIO()
    Fanout(Logs("info", "pretty", out)).request_done(OK)
    assert re.match(r"\d\d:\d\d:\d\d 200  12.3 ms /v1/chat/completions -> openai/gpt-4o 12\+34 tokens", out.getvalue())
    out.isatty = lambda: True  # type: ignore[method-assign]
    out.truncate(out.seek(0))
    Fanout(Logs("info", "json", out)).request_done(OK)
    assert json.loads(out.getvalue())["event"] == "request"


def test_a_line_has_the_attempts_with_what_became_of_each_and_the_sizes():
    tried = (
        Attempted("a/m", "failed", 0.2, 100.0, 503, "", "provider_overloaded"),
        Attempted("b/n", "ok", 100.4, 20.0, 200),
    )
    got = line(changed(OK, tried=tried, request_bytes=300, response_bytes=70, time_to_first_content_s=0.0051))
    assert got["tried"] == [
        {
            "upstream": "a/m",
            "outcome": "failed",
            "after_ms": 0.2,
            "took_ms": 100.0,
            "status": 503,
            "kind": "provider_overloaded",
        },
        {"upstream": "b/n", "outcome": "ok", "after_ms": 100.4, "took_ms": 20.0, "status": 200},
    ]
    assert (got["request_bytes"], got["response_bytes"], got["first_content_ms"]) == (300, 70, 5.1)


class Stuck(io.StringIO):
    """Takes nothing until it is released; remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.free.wait(10)
        self.writes.append(text)
        return len(text)


LINES = MAX_QUEUED // 250 + 5000
"""More than there is room for: a line of `OK` has more than 250 bytes."""


def test_a_full_queue_drops_and_counts_and_never_waits(stalls):
    out = Stuck()
    logs = Logs("info", "json", out)
    logs.start()
    hooks = Fanout(logs)
    begun = time.monotonic()
    for _ in range(LINES):
        hooks.request_done(OK)
    assert time.monotonic() - begun < 5 + stalls.granted_s
    assert logs.dropped > 4000
    dropped = logs.dropped
    out.free.set()
    logs.stop()
    written = [json.loads(line) for line in "".join(out.writes).splitlines()]
    assert len(written) == LINES - dropped + 1
    assert written[-1]["event"] == "log lines were dropped"
    assert written[-1]["count"] == dropped
    assert max(len(text) for text in out.writes) <= PIPE_BUF
    assert len(out.writes) < len(written) / 5


def test_lines_are_written_soon_and_none_is_lost_at_the_end():
    out = io.StringIO()
    logs = Logs("info", "json", out)
    for turn in range(5):
        logs.start()
        Fanout(logs).request_done(OK)
        deadline = time.monotonic() + 10
        while turn == 0 and not out.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        logs.log.info("x" * 20_000)
        logs.stop()
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert max(map(len, lines)) == 8192


@pytest.mark.parametrize(
    ("fields", "cut"),
    [
        ({"event": "x" * 20_000}, ["event"]),
        ({"event": "said", "provider_said": 'a"\n\u00e9\u0001' * 4_000, "status": 500}, ["provider_said"]),
        ({"event": "refused", "errors": [f"providers.x{n}: unknown key" for n in range(1000)]}, ["errors"]),
        ({"event": "two", "one": "\u20ac" * 9_000, "other": "y" * 30_000, "status": 500}, ["other", "one"]),
    ],
)
def test_a_long_line_stays_json_and_says_what_was_cut(fields, cut):
    out = io.StringIO()
    logs = Logs("info", "json", out)
    logs.log.warning(**fields)
    line = out.getvalue()
    assert len(line.encode()) <= 8192 + 1
    got = json.loads(line)
    assert got["cut"] == cut
    assert got["level"] == "warning"
    for name, value in fields.items():
        if name not in cut:
            assert got[name] == value
        elif isinstance(value, str):
            assert value.startswith(got[name])
        else:
            assert json.dumps(value, separators=(",", ":")).startswith(got[name])
    assert sum(len(got[name]) for name in cut) > 3000 / 2, "as much as there is room for"


def test_a_line_tells_cost_estimate_and_cache_where_there_are_any():
    got = line(changed(OK, cost=12_340_000, estimated=True, cache="miss"))
    assert list(got.items())[15:18] == [("cost_usd", 0.00001234), ("estimated", True), ("cache", "miss")]
    assert not {"cost_usd", "estimated", "cache"} & set(line(OK))
    out = io.StringIO()
    priced = changed(OK, cost=1, cache="memory")
    Fanout(Logs("info", "json", out)).request_done(priced)
    assert '"cost_usd":0.000000000001,"cache":"memory"' in out.getvalue()


def test_what_is_counted_beside_requests_is_told_with_them():
    metrics = Metrics()
    metrics.count("edge_tokens_total", "openai", "smart", "output", "a", amount=34)
    metrics.count("edge_tokens_total", "openai", "smart", "output", "a")
    metrics.observe("edge_cache_operation_duration_seconds", 0.0003, "redis", "get")
    metrics.level("edge_cache_entries", 7, "memory")
    metrics.level("edge_cache_entries", 5, "memory")
    found = samples(metrics)
    assert found['edge_tokens_total{model="smart",provider="openai",tenant="a",type="output"}'] == 35
    assert found['edge_cache_operation_duration_seconds_count{operation="get",tier="redis"}'] == 1
    assert found['edge_cache_entries{tier="memory"}'] == 5


def test_a_line_tells_who_asked_for_what_and_who_answered():
    more = {"tenant": "t", "peer": "10.0.0.7", "asked": "smart", "alias": "smart", "usage": Usage(12, 34, 5)}
    got = line(changed(OK, **more))
    expected = {"tenant": "t", "peer": "10.0.0.7", "requested_model": "smart", "alias": "smart", "cached_tokens": 5}
    assert expected.items() <= got.items()
    assert (got["provider"], got["model"]) == ("openai", "gpt-4o")
    # A stored answer names who gave it; that is not who was asked.
    stored = changed(
        OK, provider="", upstream_model="", cache="memory", stored_provider="openai", stored_model="gpt-4o"
    )
    got = line(stored)
    assert (got["provider"], got["model"], got["cache"]) == ("openai", "gpt-4o", "memory")
    metrics = Metrics()
    Fanout(metrics).request_done(stored)
    assert 'provider="openai"' not in metrics.render().decode()


def test_each_line_has_its_own_client_whoever_asked_before():
    out = io.StringIO()
    fanout = Fanout(Logs("info", "json", out))
    peers = ["", "10.0.0.7", "10.0.0.7", "10.0.0.7", "10.0.0.8", "10.0.0.8", "10.0.0.7", "", "", "fe80::1", "10.0.0.7"]
    for peer in peers:
        fanout.request_done(changed(OK, peer=peer))
    lines = [json.loads(each) for each in out.getvalue().splitlines()]
    assert [each.get("peer", "") for each in lines] == peers
    assert len({tuple(name for name in each if name != "peer") for each in lines}) == 1
    told = [list(each) for each in lines if "peer" in each]
    assert {names[names.index("peer") - 1] for names in told} == {"tenant"}


def test_a_share_of_what_went_well_has_lines_and_all_that_did_not():
    out = io.StringIO()
    hooks = Fanout(Logs("info", "json", out, sample=0.25))
    for _ in range(400):
        hooks.request_done(OK)
        hooks.request_done(BROKEN)
        hooks.request_done(REFUSED)
    statuses = [json.loads(line)["status"] for line in out.getvalue().splitlines()]
    assert statuses.count(502) == statuses.count(404) == 400
    assert 50 < statuses.count(200) < 160


def test_a_name_that_a_client_chose_is_cut_and_shows():
    asked = "\x1b[31m" + "\n" + "x" * 500
    got = line(changed(REFUSED, asked=asked))["requested_model"]
    assert got.startswith("\\x1b[31m\\nxxx")
    assert got.isprintable()
    assert len(got) < 160


def test_a_librarys_complaint_tells_the_type_and_place_of_an_exception_and_nothing_else():
    said = []
    library = logging.Logger("library")
    library.addHandler(ToLogs(SimpleNamespace(warning=lambda event, **told: said.append((event, told)))))
    library.error("Fatal error\nof a request with a secret")
    try:
        raise ValueError("a secret")
    except ValueError as error:
        library.error("Fatal error\nof a request with a secret", exc_info=error)
    (_, plain), (_, failed) = said
    assert plain == {"message": "Fatal error"}
    assert re.fullmatch(r"ValueError at test_telemetry\.py:\d+", failed.pop("error"))
    assert failed == plain
