"""What is told of upstreams: to siblings, to metrics, to the log, and to the operator."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from edge.errors import UnsupportedRoute
from edge.guard.auth import ANYONE
from edge.state import build_state
from edge.upstreams import health
from edge.upstreams.fleet import MAX_MEMBERS
from edge.upstreams.health import Health, Watched
from edge.upstreams.notices import DRAINED, KEPT, OPENED, Notices, notices_size
from tests.unit.test_choice import fail
from tests.unit.test_grant import CHAT, SETTINGS, state


class Told:
    """A log and a meter that keep what they are told."""

    def __init__(self):
        self.lines, self.levels = [], {}

    def info(self, event, **fields):
        self.lines.append((fields["model"] if event == "upstream" else fields["key_number"], fields["state"]))

    warning = info

    def level(self, metric, value, *labels):
        if metric in ("edge_upstream_unavailable", "edge_upstream_keys"):
            self.levels[labels] = value

    def count(self, metric, *labels, amount=1.0):
        assert metric == "edge_circuit_transitions_total"


def worker(memory=None, place=0):
    made, told = state(), Told()
    looks = Health(lambda: made, Notices(memory, place), told, told)
    looks.look(0.0)
    return SimpleNamespace(state=made, told=told, health=looks, member=lambda name: member(made, name))


def member(made, name):
    (found,) = made.grant(ANYONE, name, CHAT).choices[0].members
    return found


def test_an_opening_is_told_to_siblings_the_log_and_the_metrics_once():
    memory = bytearray(notices_size(3))
    one, other, third = (worker(memory, place) for place in range(3))
    fail(one.state, "last", now=1.0)
    for now in (1.1, 1.2):
        for each in (one, other, third):
            each.health.look(now)
    for each in (one, other, third):
        assert (each.member("last").state, each.member("last").ready) == ("open", 31.0)
        assert each.told.lines == [("four", "open")]
        assert each.told.levels["c", "four"] == 1.0
        assert each.health.available() == (5, 6)
    assert other.member("last").begin(30.9) is None
    other.member("last").begin(31.0).finished(31.5)
    other.health.look(31.6)
    assert other.told.lines[1:] == [("four", "closed")]
    assert other.told.levels["c", "four"] == 0.0
    assert len(one.health._notices.news()) == 0, "who has heard of it tells nobody"


def test_one_that_was_told_keeps_what_it_began_before_out_of_it():
    memory = bytearray(notices_size(2))
    one, other = (worker(memory, place) for place in range(2))
    held = other.member("last").begin(1.0)
    fail(one.state, "last", now=1.0)
    one.health.look(1.1)
    other.health.look(1.2)
    held.finished(1.3)
    assert other.member("last").state == "open"


def test_an_operator_drains_and_restores_for_all_workers_and_those_to_come():
    memory = bytearray(notices_size(3))
    one, other = (worker(memory, place) for place in range(2))
    fail(other.state, "last", now=1.0)
    one.health.obey(b'{"upstream":"c/four","action":"drain"}')
    with pytest.raises(UnsupportedRoute):
        one.health.obey(b'{"upstream":"c/nothing","action":"drain"}')
    other.health.look(1.0)
    late = worker(memory, 2)
    for each in (one, other, late):
        assert each.member("last").begin(2.0) is None
        assert each.member("last").begin(2.0, True) is None, "nor in panic"
        assert {each.upstream: each.state for each in each.health.upstreams()}["c/four"] == "drained"
    late.health.obey(b'{"upstream":"c/four","action":"restore"}')
    one.health.look(3.0)
    other.health.look(3.0)
    for each in (one, other, late):
        assert each.member("last").begin(3.0) is not None
        assert each.member("last").state == "closed"
    assert late.told.lines == [("four", "drained"), ("four", "closed")]


def test_a_reader_that_was_away_hears_the_latest_in_their_order():
    memory = bytearray(notices_size(2))
    one, other = (Notices(memory, place) for place in range(2))
    for n in range(KEPT + 10):
        one.tell(n, OPENED, n + 30.0, float(n))
    other.tell(7, DRAINED, 0.0, 20.5)
    heard = Notices(memory, 1).news()
    assert len(heard) == KEPT + 1
    assert [notice.at for notice in heard] == sorted(notice.at for notice in heard)
    assert heard[-1] == (KEPT + 9.0, KEPT + 9, OPENED, KEPT + 39.0)
    assert [notice.key for notice in one.news()] == [7], "one's own are no news"


def test_a_provider_that_is_watched_is_not_asked_while_it_is_away_and_probed_once_it_is_back():
    one = worker()
    watched, provider = Watched(), one.state.providers["c"]
    for _ in range(4):
        one.health.heard(provider, watched, False, 1.0)
    assert one.member("last").state == "closed"
    one.health.heard(provider, watched, False, 1.0)
    assert (one.member("last").state, one.member("last").ready) == ("open", 31.0)
    one.health.heard(provider, watched, True, 2.0)
    assert watched.failures == 0
    probe = one.member("last").begin(2.0)
    assert probe is not None
    assert (one.member("last").state, one.member("last").probing) == ("half_open", 1)
    assert one.member("last").begin(2.0) is None


def test_an_order_holds_for_models_that_a_sibling_does_not_know_yet_and_for_workers_to_come():
    memory = bytearray(notices_size(3))
    one, other = (worker(memory, place) for place in range(2))
    one.health.obey(b'{"upstream":"c/c-new","action":"drain"}')
    other.health.look(1.0)
    for n in range(3 * KEPT):  # openings push out no order
        one.health._notices.tell(n + 1, OPENED, n + 30.0, float(n))
    late = worker(memory, 2)
    for each in (other, late):
        assert each.state.fleet.sites["c"].has("c-new") is False
        assert each.member("c-new").drained
    one.health.obey(b'{"upstream":"c/c-new","action":"restore"}')
    later = worker(bytearray(memory), 2)
    other.health.look(2.0)
    for each in (one, other, later):
        assert not each.member("c-new").drained


def test_an_opening_is_heard_for_a_model_that_is_asked_for_later_and_is_not_told_again():
    memory = bytearray(notices_size(2))
    one, other = (worker(memory, place) for place in range(2))
    fail(one.state, "c-new", now=1.0)
    one.health.look(1.1)
    other.health.look(1.2)
    assert (other.member("c-new").state, other.member("c-new").ready) == ("open", 31.0)
    other.health.look(1.3)
    assert other.told.lines == [("c-new", "open")]
    assert one.health._notices.news() == []


def test_a_look_is_at_what_has_changed_however_many_models_clients_have_named(monkeypatch):
    one = worker()
    site = one.state.fleet.sites["c"]
    members = [site.member(f"c-{n}") for n in range(MAX_MEMBERS)]
    one.health.look(1.0)
    looked = []
    monkeypatch.setattr(health, "state_of", lambda member: looked.append(member) or "open")
    one.health.look(2.0)
    assert looked == []
    members[7].hold(30.0)
    members[7].hold(31.0)
    one.health.look(3.0)
    assert looked == [members[7]]


def test_a_page_tells_of_what_is_configured_and_of_a_part_of_what_clients_have_named():
    one = worker()
    one.health.obey(b'{"upstream":"c/c-first","action":"drain"}')
    for n in range(MAX_MEMBERS - 1):
        one.state.fleet.sites["c"].member(f"c-{n}")
    told = {each.upstream: each.state for each in one.health.upstreams()}
    assert {"a/one", "b/two", "c/three", "a/small", "b/tiny", "c/four"} <= told.keys()
    assert told["c/c-first"] == "drained"
    assert f"c/c-{MAX_MEMBERS - 2}" in told
    assert len(told) == 6 + 1 + health.SHOWN


def test_what_is_configured_no_more_is_not_unavailable_any_more():
    one = worker()
    one.state.fleet.sites["c"].member("four").drain()
    one.health.look(1.0)
    assert one.told.levels["c", "four"] == 1.0
    new = build_state(msgspec.structs.replace(SETTINGS, models={}), old=one.state)
    new.fleet.succeed(one.state.fleet)
    one.health._state = lambda: new
    one.health.look(2.0)
    assert one.told.levels["c", "four"] == 0.0


def test_keys_that_are_left_alone_are_counted_and_told_of_once():
    one = worker()
    (key,) = one.state.fleet.sites["a"].cooling
    assert (one.told.levels["a", "resting"], one.told.levels["a", "avoided"]) == (0.0, 0.0)
    key.rest("one", 10.0, 429, 1.0)
    key.rest("two", 20.0, 429, 1.0)
    key.avoid("three", 30.0, 1.0)
    for now in (1.0, 2.0, 11.0):
        one.health.look(now)
        assert (one.told.levels["a", "resting"], one.told.levels["a", "avoided"]) == (1.0, 0.0)
    one.health.look(21.0)
    assert (one.told.levels["a", "resting"], one.told.levels["a", "avoided"]) == (0.0, 1.0)
    one.health.look(31.0)
    assert one.told.lines == [(1, "resting"), (1, "avoided"), (1, "usable")]
    assert not key.noted
