"""The latest requests, as those who look see them; and what has changed between two configurations."""

from __future__ import annotations

import time

import pytest

from edge.config.file import parse
from edge.hooks import FailedAttempt
from edge.server.live import changed
from edge.telemetry import Fanout
from edge.telemetry import recent as module
from edge.telemetry.recent import KEPT, Recent, recent_size
from tests.unit.records import changed as other
from tests.unit.test_telemetry import BROKEN, OK

FAILED = FailedAttempt("req_1", "a", "smart", "m", 503, "", "provider_overloaded", 0.1, "said", "b", "n", final=False)


@pytest.fixture
def workers():
    memory = bytearray(recent_size(2))
    return Recent(memory, 0), Recent(memory, 1)


def test_nothing_is_told_before_somebody_looks(workers):
    one, two = workers
    Fanout(one).request_done(OK)
    one.tell(time.monotonic())
    assert two.look() == []
    one.tell(time.monotonic())
    assert [each.request_id for each in two.look()] == ["req_1"]


def test_any_worker_shows_those_of_all_the_latest_first(workers):
    one, two = workers
    one.look()
    for number in range(3):
        Fanout(one).request_done(other(OK, request_id=f"one-{number}"))
        Fanout(two).request_done(other(OK, request_id=f"two-{number}"))
    one.tell(time.monotonic())
    two.tell(time.monotonic())
    found = one.look()
    assert {each.request_id for each in found} == {f"{who}-{n}" for who in ("one", "two") for n in range(3)}
    assert [each.at for each in found] == sorted((each.at for each in found), reverse=True)


def test_only_the_latest_of_a_worker_are_kept(workers):
    one, two = workers
    one.look()
    for number in range(3 * KEPT):
        Fanout(one).request_done(other(OK, request_id=str(number)))
    one.tell(time.monotonic())
    assert {each.request_id for each in two.look()} == {str(number) for number in range(2 * KEPT, 3 * KEPT)}


def test_a_request_is_shown_with_its_failed_attempts_and_without_what_was_said():
    one = Recent()
    hooks = Fanout(one)
    hooks.attempt_failed(FAILED)
    hooks.attempt_failed(other_request(FAILED))
    hooks.request_done(other(BROKEN, cost=12_340_000, request_bytes=10, response_bytes=20))
    (found,) = one.look()
    assert (found.status, found.error, found.kind, found.cost_usd) == (502, "broken", "provider_error", 0.00001234)
    assert (found.request_bytes, found.response_bytes, found.input_tokens) == (10, 20, -1)
    (attempt,) = found.attempts
    assert (attempt.provider, attempt.status, attempt.next, attempt.waited_s) == ("a", 503, "b/n", 0.1)
    assert "said" not in str(found)


def other_request(attempt):
    fields = {name: getattr(attempt, name) for name in attempt.__struct_fields__}
    return FailedAttempt(**fields | {"request_id": "another"})


def test_one_with_too_many_failed_attempts_is_shown_without_them():
    one = Recent()
    for _ in range(40):
        Fanout(one).attempt_failed(FAILED)
    Fanout(one).request_done(OK)
    (found,) = one.look()
    assert (found.request_id, found.attempts) == ("req_1", [])


def test_after_a_while_without_looking_no_more_is_told(workers, monkeypatch):
    one, two = workers
    monkeypatch.setattr(module, "WATCHED_S", -1.0)
    one.look()
    Fanout(two).request_done(OK)
    two.tell(time.monotonic())
    assert one.look() == []


def test_what_has_changed_is_told_by_its_path_and_never_by_its_value():
    text = """
providers:
  a: {{dialect: openai, base_url: "http://127.0.0.1:1/v1", api_keys: ["{key}"]}}
{more}
"""
    old = parse(text.format(key="sk-old-secret", more=""), "one.yaml", {})
    more = "models: {smart: {upstreams: [{to: a/gpt-4o}]}}\ncache: {mode: all}"
    new = parse(text.format(key="sk-new-secret", more=more), "two.yaml", {})
    assert changed(old, new) == ["cache.mode", "models.smart (added)", "providers.a.api_keys"]
    assert changed(new, old) == ["cache.mode", "models.smart (removed)", "providers.a.api_keys"]
    assert changed(old, old) == []
