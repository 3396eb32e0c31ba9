"""What is counted of which requests, and how it is told."""

from __future__ import annotations

import random
import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from edge._fast import COUNTER, HISTOGRAM
from edge.hooks import FailedAttempt, Recorder, Usage
from edge.telemetry import Fanout
from edge.telemetry.families import DROPPED, FAMILIES
from edge.telemetry.genai import vendor
from edge.telemetry.metrics import Metrics, shared_slots
from edge.telemetry.supervision import Supervision
from edge.upstreams.breaker_levels import BreakerLevels
from tests.unit.records import changed
from tests.unit.test_telemetry import OK, REFUSED

CHAT = 'endpoint="/v1/chat/completions"'
LEFT = changed(OK, outcome="cancelled", error_code="client_closed_request", error_kind="client_cancelled", usage=None)


def told(*records, vendors=None):
    metrics = Metrics(vendors=vendors)
    for record in records:
        Fanout(metrics).request_done(record)
    return samples(metrics)


def samples(metrics):
    found = re.findall(r"^(\w+(?:{.*})?) (\S+)$", metrics.render().decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def named(found, metric):
    """The samples of a metric, by their labels."""
    return {name.removeprefix(metric): value for name, value in found.items() if re.match(rf"{metric}({{|$)", name)}


def test_a_refused_request_is_counted_by_the_code_of_its_error():
    found = told(REFUSED, OK, changed(OK, status=502, error_code="broken", error_kind="provider_error"))
    assert named(found, "edge_requests_rejected_total") == {f'{{{CHAT},reason="model_not_found"}}': 1}
    assert named(found, "edge_auth_failures_total") == {}


def test_a_refused_credential_is_counted_apart():
    found = told(changed(REFUSED, status=401, error_code="invalid_api_key", error_kind="client_auth"))
    assert named(found, "edge_auth_failures_total") == {'{reason="invalid_api_key"}': 1}
    assert named(found, "edge_requests_rejected_total") == {f'{{{CHAT},reason="invalid_api_key"}}': 1}


@pytest.mark.parametrize(
    ("status", "attempts", "phase"), [(499, 0, "request"), (499, 1, "waiting"), (200, 1, "answer"), (200, 0, "answer")]
)
def test_a_client_that_leaves_is_counted_by_when(status, attempts, phase):
    found = told(changed(LEFT, status=status, attempts=attempts))
    assert named(found, "edge_client_disconnects_total") == {f'{{{CHAT},phase="{phase}"}}': 1}
    assert named(found, "edge_requests_rejected_total") == {}


def test_bodies_are_counted_by_their_sizes():
    found = told(changed(OK, request_bytes=300, response_bytes=70_000))
    assert found[f"edge_request_size_bytes_sum{{{CHAT}}}"] == 300
    assert found[f'edge_request_size_bytes_bucket{{{CHAT},le="256.0"}}'] == 0
    assert found[f'edge_response_size_bytes_bucket{{{CHAT},le="262144.0"}}'] == 1


def test_overhead_is_told_by_where_the_answer_came_from():
    found = told(changed(OK, cache="memory"), changed(OK, cache="miss"), changed(OK, cache="miss"))
    counts = named(found, "edge_overhead_seconds_count")
    assert counts == {f'{{cache="memory",{CHAT}}}': 1, f'{{cache="miss",{CHAT}}}': 2}


def test_the_conventions_for_generative_ai_are_kept_for_requests_of_which_a_provider_was_asked():
    streamed = changed(OK, stream=True, time_to_first_content_s=0.03, usage=Usage(12, 34, 5))
    found = told(OK, streamed, REFUSED, changed(OK, provider="", cache="memory"), vendors=lambda name: f"the {name}")
    who = 'gen_ai_operation_name="chat",gen_ai_provider_name="the openai",gen_ai_request_model="smart"'
    assert named(found, "gen_ai_client_token_usage_count") == {
        f'{{{who},gen_ai_token_type="input"}}': 2,
        f'{{{who},gen_ai_token_type="output"}}': 2,
    }
    assert found[f'gen_ai_client_token_usage_sum{{{who},gen_ai_token_type="input"}}'] == 12 + 12 + 5
    assert named(found, "gen_ai_client_operation_duration_seconds_count") == {f'{{error_type="",{who}}}': 2}
    assert named(found, "gen_ai_server_request_duration_seconds_count") == {f'{{error_type="",{who}}}': 2}
    assert named(found, "gen_ai_server_time_to_first_token_seconds_count") == {f"{{{who}}}": 1}
    assert not [name for name in told(OK, streamed) if name.startswith("gen_ai")]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://x.openai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://us-central1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "aws.bedrock"),
        ("http://127.0.0.1:8081/v1", "mine"),
        ("https://notapi.openai.com.example.org/v1", "mine"),
    ],
)
def test_a_vendor_is_known_by_its_host(url, word):
    assert vendor("mine", url) == word


def attempt(**fields):
    given = {"next_provider": "a", "next_model": "m"} | fields
    return FailedAttempt("id", "a", "smart", "m", 503, "", "provider_overloaded", 0.1, "", final=False, **given)


def test_asking_the_same_upstream_again_is_a_retry_and_asking_another_a_failover():
    metrics = Metrics()
    for each in (attempt(), attempt(next_model="other"), attempt(next_provider="b"), attempt(next_provider="")):
        metrics.attempt_failed(each)
    found = samples(metrics)
    assert named(found, "edge_retries_total") == {'{provider="a",reason="provider_overloaded"}': 1}
    assert named(found, "edge_failovers_total") == {
        '{from_provider="a",reason="provider_overloaded",to_provider="a"}': 1,
        '{from_provider="a",reason="provider_overloaded",to_provider="b"}': 1,
    }


def test_openmetrics_has_what_the_text_has_and_the_traces_that_are_kept():
    metrics = Metrics()
    Fanout(metrics).request_done(OK)
    metrics.exemplify(OK, "0af7651916cd43dd8448eb211c80319c")
    parsed = {family.name: family for family in text_string_to_metric_families(metrics.render_open().decode())}
    kinds = {COUNTER: "counter", HISTOGRAM: "histogram"}
    for family in FAMILIES:
        name = family.name.removesuffix("_total") if family.kind == COUNTER else family.name
        assert parsed[name].type == kinds.get(family.kind, "gauge"), name
    assert DROPPED.removesuffix("_total") in parsed
    in_text = named(samples(metrics), "edge_requests_total")
    assert in_text == {
        "{" + ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items())) + "}": sample.value
        for sample in parsed["edge_requests"].samples
    }
    found = [
        (sample.labels["le"], sample.exemplar.labels, sample.exemplar.value)
        for name in ("edge_request_duration_seconds", "edge_overhead_seconds")
        for sample in parsed[name].samples
        if sample.exemplar
    ]
    trace = {"trace_id": "0af7651916cd43dd8448eb211c80319c"}
    assert found == [("0.025", trace, 0.0123), ("0.00025", trace, 0.0002)]
    assert b"trace_id" not in metrics.render()


def test_breakers_are_told_as_they_change_and_no_more_when_their_upstream_is_gone():
    metrics = Metrics()
    levels = BreakerLevels(metrics)
    one, two = ("a", "m"), ("b", "m")
    states = [
        {one: ("closed", 0), two: ("closed", 0)},
        {one: ("open", 1), two: ("closed", 0)},
        {one: ("half_open", 1), two: ("closed", 0)},
        {one: ("open", 3), two: ("drained", 0)},  # between two looks it was half open twice
    ]
    for state in states:
        levels.tell(state, ["a", "b", "c"])
    found = samples(metrics)
    changes = named(found, "edge_circuit_transitions_total")
    assert changes == {
        '{model="m",provider="a",to="open"}': 3,
        '{model="m",provider="a",to="half_open"}': 1,
        '{model="m",provider="b",to="drained"}': 1,
    }
    now = {labels for labels, value in named(found, "edge_circuit_state").items() if value}
    assert now == {'{model="m",provider="a",state="open"}', '{model="m",provider="b",state="drained"}'}
    up = named(found, "edge_provider_up")
    assert up == {'{provider="a"}': 0, '{provider="b"}': 0, '{provider="c"}': 1}
    levels.tell({two: ("closed", 0)}, ["b"])
    found = samples(metrics)
    now = {labels for labels, value in named(found, "edge_circuit_state").items() if value}
    assert now == {'{model="m",provider="b",state="closed"}'}
    assert named(found, "edge_upstream_unavailable") == {
        '{model="m",provider="a"}': 0,
        '{model="m",provider="b"}': 0,
    }


def test_the_supervisor_tells_what_it_alone_knows_and_keeps_what_the_program_before_it_counted():
    slots = shared_slots(2)
    metrics = Metrics(slots, 1)
    first = Supervision(slots, 2)
    first.workers({"missing": 0, "ready": 2})
    first.replaced("signal")
    first.reloaded(False)
    found = samples(metrics)
    assert found['edge_workers{state="ready"}'] == 2
    assert found["edge_config_last_reload_successful"] == 0
    since = found["edge_config_last_reload_success_timestamp_seconds"]
    second = Supervision(slots, 2)  # the program executed anew
    second.replaced("signal")
    second.replaced("stalled")
    found = samples(metrics)
    assert named(found, "edge_worker_restarts_total") == {'{reason="signal"}': 2, '{reason="stalled"}': 1}
    assert found["edge_config_last_reload_successful"] == 1
    assert found["edge_config_last_reload_success_timestamp_seconds"] >= since


class Kept(Recorder):
    """Of requests of one kind."""

    def __init__(self, model, status):
        self.kind, self.seen = (model, status), []

    def done(self, record):
        self.seen.append((record.upstream_model, record.status))


class Watching:
    def __init__(self):
        self.found = []

    def recorder(self, record):
        self.found.append(Kept(record.upstream_model, record.status))
        return self.found[-1]

    def attempt_failed(self, attempt):
        pass


@pytest.mark.parametrize("models", [1, 3, 100])
def test_each_request_is_told_to_who_observes_its_kind_and_that_is_found_once_whatever_comes_between(models):
    watching, dice, count = Watching(), random.Random(models), 2000
    hooks = Fanout(watching)
    for _ in range(count):
        status = dice.choice([200, 200, 200, 500])
        hooks.request_done(changed(OK, upstream_model=f"m-{dice.randrange(models)}", status=status))
    assert len({each.kind for each in watching.found}) == len(watching.found) > models
    assert sum(len(each.seen) for each in watching.found) == count
    assert all(set(each.seen) == {each.kind} for each in watching.found)
