"""One upstream's breaker and averages, on both builds."""

from __future__ import annotations

import itertools
import math
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EACH_BUILD, load

STATES = ("closed", "open", "half_open")
EVENTS = ("begin", "content", "success", "failure", "trip", "neutral", "cancel")
MOVES = {
    ("closed", "trip"): "open",
    ("open", "begin"): "half_open",
    ("open", "content"): "closed",
    ("open", "success"): "closed",
    ("half_open", "content"): "closed",
    ("half_open", "success"): "closed",
    ("half_open", "failure"): "open",
    ("half_open", "trip"): "open",
}
"""All else leaves the state as it is."""

NO_TIMES = (math.nan, math.inf, -math.inf, -1.0, 1e300)


def settle(attempt, event, now) -> bool:
    return {
        "content": attempt.first_content,
        "success": attempt.finished,
        "failure": attempt.failed,
        "trip": attempt.failed,
        "neutral": attempt.neutral,
        "cancel": attempt.cancelled,
    }[event](now)


def opened(module, now=0.0, **options):
    """A member whose breaker has just opened."""
    member = module.Member(**{"failures": 2, "open_s": 10.0, "max_open_s": 40.0, **options})
    for attempt in [member.begin(now) for _ in range(2)]:
        attempt.failed(now)
    assert member.state == "open"
    return member


def test_the_table_is_complete(member_module):
    assert (member_module.STATES, member_module.EVENTS) == (STATES, EVENTS)
    rows = set(itertools.product(STATES, EVENTS))
    assert {row: MOVES.get(row, row[0]) for row in rows} == member_module.TRANSITIONS


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_a_member_does_what_the_table_says(member_module, state, event):
    member = member_module.Member(failures=1 if event == "trip" else 2, open_s=10.0)
    now = 0.0
    attempt = member.begin(now)
    if state != "closed":
        for each in [member.begin(now) for _ in range(2)]:
            each.failed(now)
        now = 9.0
    if state == "open" and event != "begin":
        attempt = member.begin(now, True)
    if state == "half_open":
        now = 10.0
        attempt = member.begin(now)
    assert member.state == state
    if event == "begin":
        now = max(now, 10.0)
        assert (member.begin(now) is None) == (state == "half_open")
    else:
        assert settle(attempt, event, now)
    assert member.state == MOVES.get((state, event), state)


@pytest.mark.parametrize("probes", [1, 2, 3])
def test_of_a_thousand_at_the_half_open_instant_only_the_probes_pass(member_module, probes):
    member = opened(member_module, probes=probes)
    assert not any(member.begin(9.999) for _ in range(1000))
    let_through = [attempt for attempt in [member.begin(10.0) for _ in range(1000)] if attempt is not None]
    assert len(let_through) == member.probing == member.in_flight == probes
    assert not member.allows(10.0)
    assert member.retry_after(10.0) > 0
    for outcome in ("neutral", "cancel"):
        assert settle(let_through.pop(), outcome, 11.0)
        assert member.state == "half_open"
        replacement = member.begin(11.0)
        assert replacement is not None
        assert member.begin(11.0) is None
        let_through.append(replacement)
    let_through.pop().finished(12.0)
    assert member.state == "closed"
    assert all(member.begin(12.0) for _ in range(1000))


def test_it_opens_once_in_its_time_however_often_it_is_asked_in_panic(member_module):
    member = opened(member_module)
    for now in (1.0, 5.0, 9.0):
        member.begin(now, True).failed(now)
    member.begin(10.0).failed(10.0)
    assert (member.opened, member.retry_after(10.0)) == (2, 20.0)
    member.begin(11.0, True).first_content(12.0)
    assert member.state == "closed"


def test_failures_in_a_row_open_it_and_others_between_do_not(member_module):
    member = member_module.Member(failures=3)
    for _ in range(50):
        for event in ("failure", "failure", "success"):
            settle(member.begin(1.0), event, 1.0)
    assert member.state == "closed"
    for event in ("failure", "neutral", "failure", "cancel", "content", "neutral"):
        settle(member.begin(1.0), event, 1.0)
    assert member.state == "closed"
    member.begin(1.0).failed(1.0)
    assert member.state == "open"
    assert member.opened == 1


def test_client_errors_and_429_never_open_it(member_module):
    member = member_module.Member(failures=1)
    for _ in range(1000):
        member.begin(1.0).neutral(1.0)
        member.begin(1.0).cancelled(1.0)
    assert (member.state, member.in_flight, member.error_rate) == ("closed", 0, 0.0)


def test_the_open_time_doubles_up_to_its_cap_and_falls_back_after_a_whole_answer(member_module):
    member = opened(member_module)
    now = 0.0
    for length in (10.0, 20.0, 40.0, 40.0):
        assert member.retry_after(now) == length
        assert not member.allows(now + length - 0.001)
        now += length
        member.begin(now).failed(now)
    now += 40.0
    stream = member.begin(now)
    stream.first_content(now)
    assert member.state == "closed"
    for _ in range(2):
        member.begin(now).failed(now)
    assert (member.state, member.retry_after(now)) == ("open", 40.0)
    now += 40.0
    member.begin(now).finished(now)
    for _ in range(2):
        member.begin(now).failed(now)
    assert (member.state, member.retry_after(now)) == ("open", 10.0)


def test_what_was_begun_before_it_opened_is_not_heard(member_module):
    member = member_module.Member(failures=2, open_s=10.0)
    old = [member.begin(0.0) for _ in range(8)]
    for attempt in old[:2]:
        attempt.failed(1.0)
    old[2].finished(2.0)
    assert member.state == "open"
    old[3].failed(3.0)
    assert member.retry_after(3.0) == 8.0
    probe = member.begin(11.0)
    for attempt, event in zip(old[4:7], ("success", "failure", "cancel"), strict=True):
        settle(attempt, event, 12.0)
        assert (member.state, member.probing, member.in_flight) == ("half_open", 1, 8 - old.index(attempt))
        assert member.begin(12.0) is None
    old[7].first_content(12.0)
    assert member.state == "half_open"
    probe.finished(13.0)
    old[7].failed(13.0)
    member.begin(13.0).failed(13.0)
    assert (member.state, member.in_flight) == ("closed", 0), "one failure since it closed"


def test_a_probe_of_an_earlier_round_keeps_its_place_until_it_ends(member_module):
    member = opened(member_module, probes=3)
    quick, slow, slower = (member.begin(10.0) for _ in range(3))
    quick.failed(10.0)
    assert (member.state, member.probing) == ("open", 2)
    held = [member.begin(30.0), member.begin(30.0)]
    assert held[0] is not None
    assert held[1] is None
    slow.finished(30.0)
    assert member.state == "half_open", "it began before the breaker opened again"
    held.append(member.begin(30.0))
    assert held[2] is not None
    slower.first_content(30.0)
    assert (member.state, member.probing, member.in_flight) == ("half_open", 2, 3)


def test_a_probe_that_breaks_after_its_first_content_is_an_ordinary_failure(member_module):
    member = opened(member_module)
    probe = member.begin(10.0)
    assert member.probing == 1
    probe.first_content(11.0)
    assert (member.state, member.probing) == ("closed", 0)
    probe.failed(12.0)
    assert (member.state, member.probing, member.in_flight) == ("closed", 0, 0)
    member.begin(12.0).failed(12.0)
    assert member.state == "open"


@pytest.mark.parametrize("first", ["success", "failure", "neutral", "cancel"])
def test_a_second_outcome_changes_nothing(member_module, first):
    member = opened(member_module)
    probe = member.begin(10.0)
    assert settle(probe, first, 10.0)
    before = (member.state, member.in_flight, member.probing, member.error_rate, member.opened)
    for again in ("content", "success", "failure", "neutral", "cancel"):
        assert not settle(probe, again, 11.0)
        assert (member.state, member.in_flight, member.probing, member.error_rate, member.opened) == before
    assert not member_module.Attempt().failed(1.0)


def test_an_attempt_that_is_forgotten_gives_its_place_back(member_module):
    member = opened(member_module)
    probe = member.begin(10.0)
    assert not member.allows(10.0)
    for wrong in [(None,), (11.0, None), (11.0, 10**400), (10**400,)]:
        with pytest.raises((TypeError, OverflowError)):
            probe.finished(*wrong)
        assert (member.in_flight, member.probing) == (1, 1)
    with pytest.raises(TypeError):
        probe.first_content(None)
    del probe
    assert (member.state, member.in_flight, member.probing) == ("half_open", 0, 0)
    assert member.allows(10.0)


def test_ten_thousand_cycles_leave_no_place_taken(member_module):
    dice = random.Random(17)
    member = opened(member_module, probes=3)
    now, opened_before = 0.0, member.opened
    under_way: list = []
    for _ in range(10_000):
        now += member.retry_after(now)
        under_way += [attempt for attempt in [member.begin(now) for _ in range(4)] if attempt is not None]
        assert member.probing <= 3
        assert member.in_flight == len(under_way)
        dice.shuffle(under_way)
        while len(under_way) > dice.randrange(4):
            event = dice.choice(("success", "failure", "failure", "failure", "neutral", "cancel", "content", "drop"))
            attempt = under_way.pop()
            if event == "content":
                attempt.first_content(now)
                under_way.append(attempt)
            elif event != "drop":
                assert settle(attempt, event, now)
            del attempt
    under_way.clear()
    assert (member.in_flight, member.probing) == (0, 0)
    assert member.opened - opened_before > 1000


@pytest.mark.parametrize("up_s", [1, 7])
def test_a_flapping_upstream_opens_it_at_most_once_in_an_open_time(member_module, up_s):
    member = member_module.Member(failures=5, open_s=30.0, max_open_s=300.0)
    openings: list[float] = []
    sent = 0
    for tick in range(6000):
        now = tick / 10
        for _ in range(10):
            attempt = member.begin(now)
            if attempt is None:
                continue
            sent += 1
            before = member.opened
            if int(now / up_s) % 2:
                attempt.failed(now)
            else:
                attempt.finished(now, 100, 1.0)
            if member.opened > before:
                openings.append(now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(openings)]
    assert openings
    assert min(gaps) >= 30.0
    assert (member.in_flight, member.probing) == (0, 0)
    print(f"\n{sent} of 60000 sent, opened {len(openings)} times in 600 s, shortest gap {min(gaps):.1f} s")


def test_a_retry_after_is_kept_whatever_the_state(member_module):
    member = member_module.Member(failures=1, open_s=10.0)
    member.begin(0.0).neutral(0.0)
    member.cool_down(5.0)
    member.cool_down(3.0)
    for nonsense in NO_TIMES:
        member.cool_down(nonsense)
    assert (member.state, member.retry_after(1.0)) == ("closed", 4.0)
    assert member.begin(4.999) is None
    attempt = member.begin(5.0)
    member.cool_down(100.0)
    attempt.failed(5.0)
    assert member.retry_after(15.0) == 85.0, "not cut short by the open time"
    assert not member.allows(15.0)
    probe = member.begin(100.0)
    probe.neutral(100.0)
    member.cool_down(130.0)
    assert (member.state, member.allows(129.0), member.allows(130.0)) == ("half_open", False, True)


def test_what_is_not_a_time_lets_nothing_through_and_frees_all_the_same(member_module):
    for nonsense in NO_TIMES:
        member = opened(member_module, now=100.0)
        assert not member.allows(nonsense)
        assert member.begin(nonsense) is None
        assert member.retry_after(nonsense) > 0 or nonsense > 1e12
        probe = member.begin(110.0)
        probe.failed(nonsense)
        assert (member.state, member.in_flight, member.probing) == ("open", 0, 0)
        assert member.retry_after(110.0) == 20.0, "as of the latest time seen"
    member = opened(member_module, now=100.0)
    probe = member.begin(110.0)
    probe.first_content(50.0)
    assert member.ttfc == 0.0
    probe.finished(40.0, 100)
    assert member.seconds_per_token == 0.0


def test_averages_take_a_peak_at_once_and_forget_it_with_time(member_module):
    member = member_module.Member(decay_s=10.0)
    assert (member.ttfc, member.seconds_per_token, member.error_rate) == (None, None, 0.0)

    def answer(now, wait, tokens, length):
        attempt = member.begin(now)
        attempt.first_content(now + wait)
        attempt.finished(now + wait + length, tokens)

    answer(0.0, 1.0, 100, 2.0)
    assert (member.ttfc, member.seconds_per_token) == (1.0, 0.02)
    answer(10.0, 5.0, 100, 8.0)
    assert (member.ttfc, member.seconds_per_token) == (5.0, 0.08)
    answer(24.0, 1.0, 100, 2.0)
    kept = math.exp(-1.0)
    assert member.ttfc == pytest.approx(5 * kept + 1 * (1 - kept))
    kept = math.exp(-4.0 / 10)
    assert member.seconds_per_token == pytest.approx(0.08 * kept + 0.02 * (1 - kept))
    answer(1000.0, 1.0, 100, 2.0)
    assert member.ttfc == pytest.approx(1.0)


def test_an_answer_that_comes_whole_is_measured_by_its_length(member_module):
    member = member_module.Member()
    member.begin(0.0).finished(4.0, 200)
    assert (member.ttfc, member.seconds_per_token) == (None, 0.02)
    member.begin(10.0).finished(12.0, 3)
    assert (member.ttfc, member.seconds_per_token) == (2.0, 0.02)
    stream = member.begin(20.0)
    stream.first_content(20.0)
    stream.finished(60.0, 1000, 30.0)
    short = member.begin(70.0)
    short.first_content(71.0)
    short.finished(79.0, 3)
    assert 1.0 < member.ttfc < 2.0, "how long it took after its first content is no wait for it"
    assert member.seconds_per_token == 0.03, "the caller's seconds, not the clock's"


def test_measurements_that_are_nonsense_are_not_taken(member_module):
    member = member_module.Member()
    for tokens, seconds in [(100, math.nan), (100, math.inf), (math.nan, 1), (math.inf, 1), (1e30, 1), (0, 1e9)]:
        assert member.begin(1.0).finished(2.0, tokens, seconds)
    assert (member.ttfc, member.seconds_per_token, member.in_flight) == (None, None, 0)


def test_the_error_rate_follows_the_latest_outcomes(member_module):
    member = member_module.Member(failures=1000)
    for _ in range(100):
        member.begin(1.0).failed(1.0)
    assert 0.99 < member.error_rate <= 1.0
    for _ in range(100):
        member.begin(1.0).neutral(1.0)
    assert member.error_rate > 0.99
    for _ in range(100):
        member.begin(1.0).finished(1.0)
    assert 0.0 <= member.error_rate < 0.01


def test_settings_that_make_no_sense_are_refused(member_module):
    for wrong in (
        {"failures": 0},
        {"probes": 0},
        {"open_s": 0.0},
        {"open_s": math.nan},
        {"open_s": 60.0, "max_open_s": 30.0},
        {"max_open_s": math.inf},
        {"decay_s": 0.0},
        {"decay_s": math.nan},
    ):
        with pytest.raises(ValueError, match="at least"):
            member_module.Member(**wrong)


def test_new_settings_lose_nothing(member_module):
    member = opened(member_module, probes=3)
    held = [member.begin(10.0) for _ in range(3)]
    held.pop().failed(10.0)
    with pytest.raises(ValueError, match="at least"):
        member.configure(0, 1.0, 2.0)
    member.configure(failures=9, open_s=1.0, max_open_s=25.0, probes=1)
    assert (member.state, member.in_flight, member.probing) == ("open", 2, 2)
    assert member.retry_after(10.0) == 20.0, "as it was to be open"
    assert not member.allows(30.0), "two are in flight where one is allowed"
    held.clear()
    member.begin(30.0).failed(30.0)
    assert member.retry_after(30.0) == 25.0
    untouched = member_module.Member(failures=1, open_s=30.0)
    untouched.configure(1, 5.0, 300.0)
    untouched.begin(0.0).failed(0.0)
    assert untouched.retry_after(0.0) == 5.0


@pytest.mark.parametrize("build", EACH_BUILD)
@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 10), st.sampled_from(["begin", *EVENTS[1:]]), st.floats(0, 50)), max_size=60))
def test_no_outcome_in_any_order_leaves_it_stuck(build, steps):
    member = load("member", build).Member(failures=2, open_s=10.0, max_open_s=40.0, probes=2)
    now, under_way = 0.0, []
    for which, event, wait in steps:
        now += wait
        if event == "begin":
            attempt = member.begin(now)
            if attempt is not None:
                under_way.append(attempt)
        elif under_way:
            attempt = under_way[which % len(under_way)]
            settle(attempt, event, now)
            if event != "content":
                under_way.remove(attempt)
        assert member.in_flight == len(under_way)
        assert 0 <= member.probing <= 2
    for attempt in under_way:
        attempt.neutral(now)
    assert member.retry_after(now) <= 40.0 + 1e-9  # what is left of them is a difference of floats
    now += 40.0
    assert member.begin(now).finished(now)
    assert member.state == "closed"


def test_an_attempt_that_outlives_its_module_ends_in_silence(member_module):
    """As the interpreter ends, ``sys`` is the last that lets go of what it holds: other modules have no names by then."""
    code = (
        f"import sys; from {member_module.__name__} import Member; "
        "sys.kept = Member(failures=2, open_s=10.0).begin(0.0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
