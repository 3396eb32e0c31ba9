"""The latest requests, as those who look see them; and what has changed between two configurations."""

from __future__ import annotations

import time

import pytest

from edge.config.file import parse
from edge.hooks import Attempted, Usage
from edge.server.live import changed
from edge.telemetry import Fanout
from edge.telemetry import recent as module
from edge.telemetry.recent import KEPT, SHARED, UNPRICED, Recent, recent_size
from tests.unit.records import changed as other
from tests.unit.test_telemetry import BROKEN, OK

TRIED = (
    Attempted("a/m", "failed", 0.2, 100.0, 503, "", "provider_overloaded"),
    Attempted("b/n", "ok", 100.4, 20.0, 200),
)


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


def test_a_request_is_shown_with_its_attempts():
    one = Recent()
    Fanout(one).request_done(other(BROKEN, cost=12_340_000, request_bytes=10, response_bytes=20, tried=TRIED))
    (found,) = one.look()
    assert (found.status, found.error, found.kind, found.cost_usd) == (502, "broken", "provider_error", 0.00001234)
    assert (found.request_bytes, found.response_bytes, found.input_tokens) == (10, 20, -1)
    assert found.attempts == list(TRIED)


def test_one_with_too_many_attempts_is_shown_without_them():
    one = Recent()
    Fanout(one).request_done(other(OK, tried=TRIED * 20))
    (found,) = one.look()
    assert (found.request_id, found.attempts) == ("req_1", [])


def numbered(hooks, first, last):
    for number in range(first, last):
        hooks.request_done(other(OK, request_id=str(number)))


def all_of(follower, seen):
    """What is there to be told, and how much was missed."""
    found, missed, more = [], 0, True
    while more:
        tail = follower.follow(seen)
        found += [each.request_id for each in tail.found]
        missed, more = missed + tail.missed, tail.more
    return found, missed


def test_who_follows_is_told_what_ends_in_any_worker_from_then_on_once(workers):
    one, two = workers
    numbered(Fanout(two), 0, 3)
    seen = one.present()
    two.tell(time.monotonic())
    numbered(Fanout(one), 3, 5)
    numbered(Fanout(two), 5, 7)
    two.tell(time.monotonic())
    found, missed = all_of(one, seen)
    # Those of before the first look were not written: they end, for others, when they are told.
    assert (sorted(found), missed) == (list("0123456"), 0)
    assert all_of(one, seen) == ([], 0)


def test_who_begins_to_follow_has_missed_nothing_of_what_was_before(workers):
    one, two = workers
    numbered(Fanout(two), 0, 3 * SHARED)
    two.tell(time.monotonic())
    seen = one.present()
    numbered(Fanout(two), 3 * SHARED, 3 * SHARED + 2)
    two.tell(time.monotonic())
    assert all_of(one, seen) == ([str(3 * SHARED), str(3 * SHARED + 1)], 0)
    assert len(one.look()) == KEPT


def test_more_than_a_worker_remembers_between_two_periods_is_told_all_the_same(workers):
    one, two = workers
    seen = one.present()
    two.tell(time.monotonic())
    numbered(Fanout(two), 0, SHARED)
    two.tell(time.monotonic())
    found, missed = all_of(one, seen)
    assert (found, missed) == ([str(number) for number in range(SHARED)], 0)


def test_what_there_is_no_room_for_is_missed_and_counted(workers):
    one, two = workers
    seen = one.present()
    two.tell(time.monotonic())
    numbered(Fanout(two), 0, SHARED + 100)
    two.tell(time.monotonic())
    found, missed = all_of(one, seen)
    assert (found, missed) == ([str(number) for number in range(100, SHARED + 100)], 100)


def test_a_worker_that_takes_the_place_of_another_goes_on_with_its_numbers():
    memory = bytearray(recent_size(2))
    one, two = Recent(memory, 0), Recent(memory, 1)
    seen = one.present()
    numbered(Fanout(two), 0, 3)
    two.tell(time.monotonic())
    assert all_of(one, seen) == (["0", "1", "2"], 0)
    after = Recent(memory, 1)
    numbered(Fanout(after), 3, 5)
    after.tell(time.monotonic())
    assert all_of(one, seen) == (["3", "4"], 0)


def test_upstreams_without_a_price_are_told_by_their_names_of_all_workers(workers):
    one, two = workers
    one.look()
    two.tell(time.monotonic())
    unpriced = other(OK, usage=Usage(1, 1), upstream_model="new")
    for hooks, records in ((one, [unpriced, other(unpriced, cost=5)]), (two, [unpriced, unpriced, OK])):
        for record in records:
            Fanout(hooks).request_done(record)
        hooks.tell(time.monotonic())
    assert one.unpriced() == two.unpriced() == {"openai/new": 3, "openai/gpt-4o": 1}
    for number in range(2 * UNPRICED):
        Fanout(one).request_done(other(unpriced, upstream_model=f"{number}" + "\u20ac" * 500))
    one.tell(time.monotonic())
    assert len(one.unpriced()) == UNPRICED + 1


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
