"""Whom a dispatch asks, one after the other."""

from __future__ import annotations

import re

import pytest

from edge import config
from edge.dialects.estimate import tokens_allowed
from edge.errors import UpstreamBadResponse, UpstreamCredentials, UpstreamStreamBroken, UpstreamUnreachable
from edge.guard.auth import ANYONE, Key
from edge.ledger import Ledger
from edge.money.pricing import ModelPrice
from edge.routes import match
from edge.state import State
from edge.upstreams.choice import Candidates, Choice, Group
from edge.upstreams.likeness import prefix_of, price_of, size_for, size_of
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.retry import AttemptFailed, conclude
from edge.upstreams.tried import Tried
from tests.unit import calls
from tests.unit.test_grant import CHAT, LOCAL, SETTINGS, state

RESPONSES = match(b"/v1/responses").route  # type: ignore[union-attr]


def candidates(made: State, name: str = "smart", key: Key = ANYONE, route=CHAT, body: bytes = b"") -> Candidates:
    inquiry = calls.asked(body or {"model": name}, route.endpoint)
    inquiry.grant, inquiry.key = made.grant(key, name, route), key
    return Candidates(inquiry)


def asked(found: Candidates, now: float = 1.0) -> list[str]:
    names = []
    while found.next(now):
        names.append(found.upstream.names[0])
        found.trial.neutral(now)
    return names


def fail(made: State, name: str, times: int = 5, now: float = 1.0) -> None:
    (member,) = made.grant(ANYONE, name, CHAT).choices[0].members
    for _ in range(times):
        member.begin(now).failed(now)


def test_the_names_own_upstreams_are_asked_and_then_those_of_its_fallbacks_each_once():
    made = state()
    assert asked(candidates(made)) == ["a/one", "b/two", "c/three", "a/small", "b/tiny", "c/four"]
    limited = Key("k", "", (re.compile("smart"), re.compile("tiny")), admin=False)
    assert asked(candidates(made, key=limited)) == ["a/one", "b/two", "c/three", "b/tiny"]


def test_who_does_not_let_a_request_through_is_passed_over_until_its_time():
    made = state()
    fail(made, "a/one")
    found = candidates(made)
    assert asked(found) == ["b/two", "c/three", "a/small", "b/tiny", "c/four"]
    assert not found.left(1.0)
    assert asked(candidates(made), 31.0)[0] == "a/one"


def test_where_none_lets_a_request_through_the_least_bad_is_asked_by_as_many_as_probe_it():
    made = state()
    for name in ("a/small", "b/tiny"):
        fail(made, name, now=1.0 if name == "a/small" else 0.5)
    first, second, third = (candidates(made, "cheap") for _ in range(3))
    assert not first.next(2.0)
    assert (first.next(2.0, True), first.upstream.names[0]) == (True, "b/tiny")
    assert not first.left(2.0)
    assert (second.next(2.0, True), second.upstream.names[0]) == (True, "a/small")
    assert not third.next(2.0, True)
    first.trial.finished(3.0)
    assert (third.next(3.0), third.upstream.names[0]) == (True, "b/tiny")


def test_a_wait_that_the_upstream_asked_for_is_kept_even_then():
    made = state()
    (member,) = made.grant(ANYONE, "last", CHAT).choices[0].members
    member.cool_down(5.0)
    assert not candidates(made, "last").next(4.9, True)
    assert candidates(made, "last").next(5.0)


def test_others_are_left_as_long_as_one_lets_a_request_through():
    made = state()
    fail(made, "b/tiny")
    found = candidates(made, "cheap")
    assert (found.next(2.0), found.left(2.0), found.left(31.0)) == (True, False, True)


def test_what_an_account_keeps_is_asked_for_whatever_the_breakers_say():
    made = state()
    fail(made, "c/four")
    found = candidates(made, "smart", route=RESPONSES, body=b'{"model":"smart","encrypted_content":"x"}')
    assert found.names
    assert found.size == 4  # Those of the dialect that has it
    seen = []
    while found.next(2.0):
        seen.append((found.upstream.names[0], found.account is not None, found.trial is not None))
    assert seen[-1] == ("c/four", True, False)


BUSY = UpstreamUnreachable()
BUSY.ours = True


@pytest.mark.parametrize(
    ("status", "error", "failed", "heard"),
    [
        (200, None, False, True),
        (200, AttemptFailed(529, b""), True, True),
        (200, AttemptFailed(429, b""), False, False),
        (200, UpstreamStreamBroken(), True, True),
        (0, UpstreamUnreachable(), True, True),
        (0, BUSY, False, False),
        (500, AttemptFailed(500, b""), True, True),
        (429, AttemptFailed(429, b""), False, False),
        (401, UpstreamCredentials(), False, False),
        (404, UpstreamBadResponse(), False, False),
        (302, UpstreamBadResponse(), True, True),
        (400, None, False, False),
        (0, RuntimeError(), False, False),
        (501, None, False, False),
        (505, AttemptFailed(505, b""), False, False),
    ],
)
def test_a_breaker_hears_of_failures_of_the_upstream_and_of_answers(status, error, failed, heard):
    hears(CHAT.endpoint, status, error, failed, heard)


@pytest.mark.parametrize(
    ("status", "error", "failed", "heard"),
    [
        (200, None, False, True),
        (404, None, False, False),
        (405, None, False, False),
        (500, AttemptFailed(500, b""), False, False),
        (503, None, False, False),
        (0, UpstreamUnreachable(), True, True),
    ],
)
def test_nobody_opens_a_breaker_by_asking_for_a_path_that_is_not_there(status, error, failed, heard):
    hears("/v1/odd", status, error, failed, heard)


def hears(path, status, error, failed, heard):
    """Whether the fifth failure in a row is one."""
    made = state()
    found = candidates(made, "last")
    fail(made, "last", 4)
    assert found.next(1.0)
    (member,) = made.grant(ANYONE, "last", CHAT).choices[0].members
    before = member.error_rate
    tried = Tried(found.upstream, None, found.trial, False, False)
    tried.request = UpstreamRequest(b"POST", b"/", b"", b"")
    tried.status = status
    inquiry = calls.asked({"model": "last"}, path)
    inquiry.ledger = Ledger()
    conclude(inquiry, tried, error, False)
    assert (member.state, member.in_flight) == ("open" if failed else "closed", 0)
    assert (member.error_rate != before) is heard


def test_a_conversation_has_one_prefix_whatever_is_said_later_and_another_ones_is_another():
    def prefix(*said, **more):
        return prefix_of(calls.asked({"model": "m", "messages": said, **more}))

    system = {"role": "system", "content": 'You "help" [them]. ' * 1000}
    first, other = ({"role": "user", "content": f'{n} \\\\" }}]'} for n in range(2))
    answered = {"role": "assistant", "content": "so"}
    begun = prefix(system, first)
    assert begun == prefix(system, first, answered, other, temperature=1)
    assert len({begun, prefix(system, other), prefix(first), prefix(first, tools=[1]), prefix(first, system="x")}) == 5
    long = {"role": "user", "content": "x" * 5000}
    assert prefix(long) == prefix({"role": "user", "content": "x" * 5000 + "y"}), "a block tells them apart"


@pytest.mark.parametrize(("tokens", "best"), [(100, "cheap to answer"), (100_000, "cheap to ask"), (300_000, "long")])
def test_costs_are_those_of_the_requests_size(tokens, best):
    prices = {
        "cheap to ask": ModelPrice("a", 10, 90),
        "cheap to answer": ModelPrice("b", 20, 10),
        "long": ModelPrice("c", [100, [200_000, 1]], 100),
    }
    size = size_of(calls.asked({"model": "m", "messages": [{"role": "user", "content": "x" * (4 * tokens)}]}))
    costs = {name: price_of(price, size) for name, price in prices.items()}
    assert min(costs, key=costs.__getitem__) == best
    assert costs["cheap to ask"] == pytest.approx(10 * tokens + 90 * 512, rel=1 / 8)
    assert price_of(None, size) == float("inf")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_tokens": 12, "max_completion_tokens": 300},
        {"max_tokens": 0},
        {"max_output_tokens": 10**11},
        {"max_tokens": "9"},
    ],
)
def test_a_replay_that_knows_what_a_trace_tells_takes_a_request_for_as_large(fields):
    asked = calls.asked({"model": "m", "messages": [{"role": "user", "content": "x" * 4000}], **fields})
    assert size_of(asked) == size_for(len(asked.payload.body), tokens_allowed(asked.payload))


@pytest.mark.parametrize("size", [1, 31, 32, 33, 63, 64])
def test_an_alias_has_as_many_upstreams_as_it_names(size):
    (upstream,) = state().grant(ANYONE, "last", CHAT).upstreams
    assert Choice(Group("many", (upstream,) * size)).mask == (1 << size) - 1


def test_of_as_many_upstreams_as_an_alias_may_have_each_has_a_bit_of_its_own():
    targets = [config.Target(to=f"a/m{n}") for n in range(64)]
    settings = config.Config(
        providers={"a": config.Provider(dialect="openai", base_url=LOCAL, max_in_flight=1)},
        models={"many": config.Model(upstreams=targets, strategy="failover")},
    )
    made = state(settings)
    (choice,) = made.grant(ANYONE, "many", CHAT).choices
    some = (30, 31, 32, 63)
    for n in some:
        choice.group.upstreams[n].provider.site.cooling[0].crowd(f"m{n}", 2.0, 1.0)
        choice.gates[n].enter()
    assert choice.limited(1.0) == choice.full() == sum(1 << n for n in some)
    assert choice.unsealing() == sum(1 << n for n in range(64) if not choice.upstreams[n].seals)
    for n in some:
        choice.gates[n].leave(1.0)
    assert asked(candidates(made, "many"), 2.0) == [target.to for target in targets]


def test_who_is_at_a_limit_is_asked_last_also_of_those_that_are_turned_to():
    own = config.Model(upstreams=[config.Target(to="a/m")], fallbacks=config.Fallbacks(context_length=["long"]))
    targets = [config.Target(to="a/one"), config.Target(to="b/two")]
    long = config.Model(upstreams=targets, strategy="failover")
    made = state(config.Config(providers=SETTINGS.providers, models={"smart": own, "long": long}))
    made.providers["a"].site.cooling[0].crowd("one", 2.0, 1.0)
    found = candidates(made)
    assert found.next(1.0)
    found.turn_to(made.grant(ANYONE, "smart", CHAT).context_length)
    assert asked(found) == ["b/two", "a/one"]


@pytest.mark.parametrize("strategy", ["affinity", "cost"])
def test_what_the_request_says_is_looked_for_where_there_is_a_choice(strategy):
    group = Group("smart", state().router.aliases["smart"].upstreams, strategy)
    assert Choice(group).heeds
    assert Choice(group, 0b101).heeds
    assert [Choice(group, mask).heeds for mask in (0b010, 0b100, 0)] == [False, False, False]


def test_requests_of_about_one_size_are_alike():
    for tokens in [*range(200), 1000, 9_999, 10**6]:
        told, answer = divmod(size_for(4 * tokens, 0), 1 << 20)
        assert tokens * 7 / 8 < told <= tokens or told == tokens == 0
        assert answer == 512, "nothing is said of it"
    assert {size_for(4 * tokens, 100) for tokens in range(1024, 1152)} == {1024 << 20 | 96}
    assert size_for(4, 10**12) == 1 << 20 | 512
