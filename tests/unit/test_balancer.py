"""Picking among upstreams, on both builds, and that both builds pick the same."""

from __future__ import annotations

import importlib
import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

STRATEGIES = ("round_robin", "failover", "latency", "cost", "least_busy", "affinity")
NO_TIMES = (math.nan, math.inf, -1.0, 1e300)


def members_of(module, count, **options) -> list:
    member_module = importlib.import_module(module.__name__.replace("balancer", "member"))
    return [member_module.Member(random.Random(key).getrandbits(64), **options) for key in range(count)]


def made(module, count, strategy, *arguments, **options):
    members = members_of(module, count)
    return members, module.Balancer(members, strategy, *arguments, **options)


def open_breaker(member, now=0.0) -> None:
    for attempt in [member.begin(now) for _ in range(5)]:
        attempt.failed(now)
    assert member.state == "open"


def answer(member, now, wait, tokens=100, pace=0.01) -> float:
    """One answer, from `now` on; when it ended."""
    attempt = member.begin(now)
    attempt.first_content(now + wait)
    attempt.finished(now + wait + tokens * pace, tokens)
    return now + wait + tokens * pace


def test_round_robin_follows_the_weights_smoothly(balancer_module):
    _, balancer = made(balancer_module, 3, "round_robin", [5, 1, 1])
    # The sequence in the message of nginx's commit 52327e0627f4.
    assert [balancer.pick(1.0) for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 1], [7, 2, 5, 1], [0.5, 1.5], [100, 1]])
def test_round_robin_is_exact_over_each_cycle(balancer_module, weights):
    _, balancer = made(balancer_module, len(weights), "round_robin", weights)
    cycle = round(sum(weights) * (2 if 0.5 in weights else 1))
    for _ in range(20):
        counts = Counter(balancer.pick(1.0) for _ in range(cycle))
        assert [counts[i] / cycle for i in range(len(weights))] == pytest.approx([w / sum(weights) for w in weights])


def test_round_robin_shares_what_one_that_is_out_leaves_by_weight(balancer_module):
    members, balancer = made(balancer_module, 3, "round_robin", [2, 1, 1])
    open_breaker(members[0])
    assert Counter(balancer.pick(1.0) for _ in range(100)) == {1: 50, 2: 50}
    assert Counter(balancer.pick(1.0, 0, 0b010) for _ in range(10)) == {2: 10}


def test_failover_takes_the_first_that_lets_it_through(balancer_module):
    members, balancer = made(balancer_module, 3, "failover")
    assert balancer.pick(1.0) == 0
    open_breaker(members[0], 1.0)
    assert balancer.pick(1.0) == 1
    members[1].cool_down(20.0)
    assert balancer.pick(1.0) == 2
    assert balancer.pick(20.0) == 1
    assert balancer.pick(31.0) == 0
    probe = members[0].begin(31.0)
    assert balancer.pick(31.0) == 1
    probe.finished(32.0)
    assert [balancer.pick(32.0, exclude=mask) for mask in range(8)] == [0, 1, 0, 2, 0, 1, 0, -1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_none_lets_it_through_the_shortest_wait_is_known(balancer_module, strategy):
    members, balancer = made(balancer_module, 3, strategy)
    assert balancer.pick(1.0, 5, 0b111) == -1
    assert balancer.retry_after(1.0) == 0.0, "it was for those left out alone"
    for member in members:
        open_breaker(member, 10.0)
    members[1].cool_down(100.0)
    assert balancer.pick(10.0, 5) == -1
    assert balancer.retry_after(10.0) == 30.0
    members[2].begin(40.0)
    held = [members[0].begin(40.0), members[2].begin(40.0)]
    assert balancer.pick(40.0, 5) == -1
    assert 0.0 < balancer.retry_after(40.0) < 60.0, "a probe's outcome may come at any time"
    held[0].finished(41.0)
    assert balancer.pick(41.0, 5) == 0
    assert [balancer.pick(nonsense, 5) for nonsense in NO_TIMES] == [-1] * 4


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_members_that_allow_it_are_picked(balancer_module, strategy):
    members, balancer = made(balancer_module, 64, strategy)
    dice = random.Random(5)
    for member in members:
        if dice.random() < 0.5:
            open_breaker(member, 1.0)
    for _ in range(300):
        exclude = dice.getrandbits(64)
        fit = {i for i in range(64) if members[i].allows(2.0) and not exclude >> i & 1}
        picked = balancer.pick(2.0, dice.getrandbits(64), exclude)
        assert picked in fit if fit else picked == -1
    assert balancer.pick(2.0, 7, (1 << 64) - 1) == -1
    assert balancer.pick(40.0, 7, (1 << 63) - 1) == 63


def test_least_busy_follows_what_is_under_way_and_the_weights(balancer_module):
    members, balancer = made(balancer_module, 3, "least_busy", [1, 1, 2])
    held = [members[balancer.pick(1.0)].begin(1.0) for _ in range(400)]
    assert [member.in_flight for member in members] == [100, 100, 200]
    held.clear()
    assert {balancer.pick(1.0) for _ in range(20)} == {2}, "of idle ones the one of most weight"
    members, balancer = made(balancer_module, 4, "least_busy")
    counts = Counter(balancer.pick(1.0) for _ in range(4000))
    assert min(counts[i] for i in range(4)) > 800, "of equal ones any"


def test_cost_takes_the_cheapest_and_of_equals_the_least_busy(balancer_module):
    members, balancer = made(balancer_module, 4, "cost", None, [3.0, 1.0, 1.0, math.inf])
    held = [members[balancer.pick(1.0)].begin(1.0) for _ in range(10)]
    assert [member.in_flight for member in members] == [0, 5, 5, 0]
    open_breaker(members[1], 1.0)
    held += [members[balancer.pick(1.0)].begin(1.0) for _ in range(10)]
    assert [member.in_flight for member in members] == [0, 5, 15, 0]
    members[2].cool_down(9.0)
    assert balancer.pick(1.0) == 0
    assert balancer.pick(1.0, 0, 0b0001) == 3, "an unknown price is the highest"
    held.clear()
    _, balancer = made(balancer_module, 3, "cost", None, [math.inf] * 3)
    assert {balancer.pick(1.0) for _ in range(100)} == {0, 1, 2}


def simulate(balancer, members, waits, requests, gap_s) -> Counter:
    """Requests one `gap_s` after the other, each answered after its member's wait."""
    under_way: list = []
    counts: Counter = Counter()
    for number in range(requests):
        now = 1000.0 + number * gap_s
        for ends, attempt in [each for each in under_way if each[0] <= now]:
            attempt.first_content(ends)
            attempt.finished(ends, 100, 1.0)
            under_way.remove((ends, attempt))
        picked = balancer.pick(now)
        counts[picked] += 1
        under_way.append((now + waits[picked], members[picked].begin(now)))
    return counts


@pytest.mark.parametrize(("gap_s", "requests"), [(0.1, 5000), (1.0, 3000), (30.0, 1000), (1000.0, 1000)])
def test_latency_prefers_the_fast_and_still_tries_the_slow(balancer_module, gap_s, requests):
    members, balancer = made(balancer_module, 2, "latency")
    counts = simulate(balancer, members, (0.5, 12.0), requests, gap_s)
    assert counts[0] > 0.9 * requests
    assert counts[1] >= 3


def test_latency_notices_when_the_slow_becomes_fast(balancer_module):
    members, balancer = made(balancer_module, 2, "latency")
    simulate(balancer, members, (1.0, 20.0), 2000, 1.0)
    for member in members:
        assert member.in_flight <= 1
    now = 10_000.0
    counts: Counter = Counter()
    for number in range(2000):
        picked = balancer.pick(now + number)
        counts[picked] += 1
        answer(members[picked], now + number, (1.0, 0.2)[picked], tokens=0)
    assert counts[1] > 1500


def test_latency_gives_an_unknown_member_one_request_until_it_answers(balancer_module):
    members, balancer = made(balancer_module, 3, "latency")
    for member in members[:2]:
        answer(member, 1.0, 0.5)
    held = []
    for _ in range(200):
        picked = balancer.pick(3.0)
        attempt = members[picked].begin(3.0)
        if picked == 2:
            held.append(attempt)
        else:
            attempt.cancelled(3.0)
    assert len(held) == 1
    held[0].first_content(3.2)
    held[0].finished(4.2, 100)
    assert any(balancer.pick(5.0) == 2 for _ in range(20))


def test_latency_at_the_start_spreads_what_comes_before_any_answer(balancer_module):
    members, balancer = made(balancer_module, 4, "latency")
    held = [members[balancer.pick(1.0)].begin(1.0) for _ in range(400)]
    assert max(member.in_flight for member in members) <= 110
    assert len(held) == 400


def test_latency_does_not_flood_a_member_that_comes_back(balancer_module):
    members, balancer = made(balancer_module, 2, "latency")
    for member in members:
        answer(member, 1.0, 0.5)
    members[1].cool_down(100_000.0)
    for second in range(5, 100_000, 500):
        answer(members[0], float(second), 0.5)
    held = [members[balancer.pick(100_000.0)].begin(100_000.0) for _ in range(80)]
    assert len(held) == 80
    assert 1 <= members[1].in_flight <= 72, "at most about seven times its share"


def test_latency_counts_errors_and_the_length_of_answers(balancer_module):
    members, balancer = made(balancer_module, 2, "latency")
    answer(members[0], 1.0, 0.5, pace=0.01)
    answer(members[1], 1.0, 0.4, pace=0.05)
    assert {balancer.pick(5.0) for _ in range(50)} == {0}, "200 tokens take 8 s more"
    members, balancer = made(balancer_module, 2, "latency")
    for member in members:
        answer(member, 1.0, 0.5)
    for _ in range(3):
        members[0].begin(3.0).failed(3.0)
    assert {balancer.pick(5.0) for _ in range(50)} == {1}
    members, balancer = made(balancer_module, 2, "latency")
    answer(members[0], 1.0, 2.0)
    members[1].begin(3.0).first_content(6.0)
    assert {balancer.pick(7.0) for _ in range(50)} == {0}, "by what is known of both"
    answer(members[0], 93.0, 3.0, pace=0.01)
    assert {balancer.pick(98.0) for _ in range(10)} == {1}, "what was measured long ago weighs less"


def test_latency_by_weight(balancer_module):
    members, balancer = made(balancer_module, 2, "latency", [1, 3])
    for member in members:
        answer(member, 1.0, 0.5)
    held = [members[balancer.pick(2.0)].begin(2.0) for _ in range(400)]
    assert len(held) == 400
    assert members[1].in_flight == pytest.approx(300, abs=3)


def owners(module, members, hashes, weights=None) -> list:
    balancer = module.Balancer(members, "affinity", weights)
    return [members[balancer.pick(1.0, each)] for each in hashes]


HASHES = [random.Random(number).getrandbits(64) | 1 for number in range(3000)]


def test_affinity_moves_only_the_keys_of_a_member_that_goes_or_comes(balancer_module):
    members = members_of(balancer_module, 10)
    before = owners(balancer_module, members, HASHES)
    assert before == owners(balancer_module, members[::-1], HASHES), "their order does not matter"
    gone = members[3]
    after = owners(balancer_module, [member for member in members if member is not gone], HASHES)
    moved = [old for old, new in zip(before, after, strict=True) if old is not new]
    assert all(old is gone for old in moved)
    assert 0.07 < len(moved) / len(HASHES) < 0.13
    open_breaker(gone)
    assert owners(balancer_module, members, HASHES) == after
    members = members_of(balancer_module, 11)
    before, after = owners(balancer_module, members[:10], HASHES), owners(balancer_module, members, HASHES)
    moved = [new for old, new in zip(before, after, strict=True) if old is not new]
    assert all(new is members[10] for new in moved)
    assert 0.06 < len(moved) / len(HASHES) < 0.12


def test_affinity_follows_the_weights(balancer_module):
    members = members_of(balancer_module, 4)
    weights = [1, 2, 3, 4]
    counts = Counter(map(members.index, owners(balancer_module, members, HASHES, weights)))
    for i, weight in enumerate(weights):
        assert counts[i] / len(HASHES) == pytest.approx(weight / 10, abs=0.04)
    before = owners(balancer_module, members, HASHES, weights)
    after = owners(balancer_module, members, HASHES, [1, 2, 3, 8])
    assert all(new is members[3] for old, new in zip(before, after, strict=True) if old is not new)


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [1, 2, 3, 4]])
@pytest.mark.parametrize("factor", [1.0, 1.25, 2.0])
def test_affinity_gives_no_member_more_than_its_bound(balancer_module, weights, factor):
    members, balancer = made(balancer_module, 4, "affinity", weights, load_factor=factor)
    held = []
    for number in range(600):
        # Two prompts in three begin the same.
        picked = balancer.pick(1.0, HASHES[number] if number % 3 == 0 else HASHES[0])
        held.append(members[picked].begin(1.0))
        bound = math.ceil(factor * len(held) * weights[picked] / sum(weights) - 1e-9)
        assert members[picked].in_flight <= bound
    busiest = max(members[i].in_flight / weights[i] for i in range(4))
    assert busiest > 0.99 * factor * 600 / sum(weights), "the common prefix fills its member up to the bound"


def test_affinity_without_a_prefix_spreads(balancer_module):
    _, balancer = made(balancer_module, 4, "affinity")
    counts = Counter(balancer.pick(1.0) for _ in range(400))
    assert min(counts[i] for i in range(4)) > 60
    assert len({balancer.pick(1.0, 77) for _ in range(50)}) == 1


def test_the_seed_alone_decides(balancer_module):
    def picks(seed):
        _, balancer = made(balancer_module, 9, "least_busy", seed=seed)
        return [balancer.pick(1.0) for _ in range(50)]

    for seed in (1, 3, (1 << 64) - 1):
        assert picks(seed) == list(itertools.islice(expected_picks(seed, 9), 50))
    assert picks(3) != picks(4)
    assert len(set(picks(0))) > 5, "0, at which the generator would stay, is replaced"
    assert picks(-1) == picks((1 << 64) - 1)


def expected_picks(seed, count):
    """SplitMix64's finaliser and xorshift64*, written from their papers."""
    bits = seed
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        bits = (bits ^ bits >> shift) * factor % 2**64
    while True:
        bits ^= bits >> 12
        bits = (bits ^ bits << 25) % 2**64
        bits ^= bits >> 27
        yield (bits * 2685821657736338717 % 2**64 >> 32) * count >> 32


def test_what_is_wrong_is_refused(balancer_module):
    members = members_of(balancer_module, 2)
    for arguments in (
        ([], "cost"),
        (members * 33, "cost"),
        ([members[0], None], "cost"),
        (members, "random"),
        (members, "cost", [1]),
        (members, "cost", [1, 0]),
        (members, "cost", [1, -1]),
        (members, "cost", [1, math.nan]),
        (members, "cost", [1, math.inf]),
        (members, "cost", None, [1]),
        (members, "cost", None, [1, -1]),
        (members, "cost", None, [1, math.nan]),
    ):
        with pytest.raises(ValueError, match=r"members|strategies|weight|price"):
            balancer_module.Balancer(*arguments)
    for factor in (0.99, math.nan, math.inf):
        with pytest.raises(ValueError, match="load_factor"):
            balancer_module.Balancer(members, "affinity", load_factor=factor)
    balancer = balancer_module.Balancer(members, "affinity")
    for wrong in ({"prefix_hash": 1 << 64}, {"prefix_hash": -1}, {"exclude": 1 << 64}, {"exclude": -1}):
        with pytest.raises(OverflowError):
            balancer.pick(1.0, **wrong)
    with pytest.raises(TypeError):
        balancer.pick(None)


def builds() -> list:
    found = [importlib.import_module("edge._fast._balancer")]
    try:
        found.append(importlib.import_module("edge._fast._balancer_c"))
    except ImportError:
        pass
    return found


class Sides(RuleBasedStateMachine):
    """The same events to both builds: all they show is equal, and no place is lost."""

    @initialize(count=st.integers(1, 6), seed=st.integers(0, 1 << 64), probes=st.integers(1, 3), data=st.data())
    def start(self, count, seed, probes, data):
        floats = st.lists(st.floats(0.1, 10), min_size=count, max_size=count)
        weights, prices = data.draw(floats), data.draw(floats)
        self.members = [members_of(module, count, failures=3, open_s=10.0, probes=probes) for module in builds()]
        self.balancers = [
            [module.Balancer(members, strategy, weights, prices, seed) for strategy in STRATEGIES]
            for module, members in zip(builds(), self.members, strict=True)
        ]
        self.probes = probes
        self.now = 0.0
        self.under_way: list = []

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds):
        self.now += seconds

    @rule(
        strategy=st.integers(0, 5),
        prefix=st.integers(0, (1 << 64) - 1),
        exclude=st.just(0) | st.integers(0, 63),
        send=st.booleans(),
    )
    def pick(self, strategy, prefix, exclude, send):
        picked = {side[strategy].pick(self.now, prefix, exclude) for side in self.balancers}
        assert len(picked) == 1
        index = picked.pop()
        assert (index == -1) == all(exclude >> i & 1 or not m.allows(self.now) for i, m in enumerate(self.members[0]))
        if index >= 0 and send:
            attempts = [members[index].begin(self.now) for members in self.members]
            assert None not in attempts
            self.under_way.append((index, attempts))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 99), tokens=st.integers(0, 500) | st.floats(), seconds=st.floats())
    def finish(self, which, tokens, seconds):
        self.settle(which, lambda attempt: attempt.finished(self.now, tokens, seconds))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 99), outcome=st.sampled_from(["failed", "failed", "neutral", "cancelled"]))
    def end(self, which, outcome):
        self.settle(which, lambda attempt: getattr(attempt, outcome)(self.now))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 99), at=st.floats() | st.none())
    def content(self, which, at):
        _, attempts = self.under_way[which % len(self.under_way)]
        now = self.now if at is None else min(at, self.now)
        assert len({attempt.first_content(now) for attempt in attempts}) == 1

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 99))
    def forget(self, which):
        self.under_way.pop(which % len(self.under_way))

    @rule(which=st.integers(0, 5), until=st.floats(0, 60))
    def cool_down(self, which, until):
        for members in self.members:
            members[which % len(members)].cool_down(self.now + until)

    def settle(self, which, outcome):
        _, attempts = self.under_way.pop(which % len(self.under_way))
        for expected in (True, False):
            assert [outcome(attempt) for attempt in attempts] == [expected] * len(attempts)

    @invariant()
    def both_show_the_same(self):
        if not hasattr(self, "members"):
            return
        shown = [[self.shown(i, member) for i, member in enumerate(members)] for members in self.members]
        assert all(each == shown[0] for each in shown)
        assert len({side[0].retry_after(self.now) for side in self.balancers}) == 1

    def shown(self, index, member):
        assert member.in_flight == sum(each == index for each, _ in self.under_way)
        assert 0 <= member.probing <= self.probes
        averages = (member.ttfc, member.seconds_per_token, member.error_rate)
        return member.state, member.opened, member.probing, averages, member.retry_after(self.now)


Sides.TestCase.settings = settings(max_examples=80, stateful_step_count=40)
TestBothBuilds = pytest.mark.once(Sides.TestCase)
