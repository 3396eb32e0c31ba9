"""A trace replayed under other configurations, on a virtual clock."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from edge import config
from edge._fast import Fields
from edge.telemetry.trace_file import FORMAT, SECOND_NS, Began, Traced, Try, nanoseconds, reading_of
from edge.trace import boots, read_trace
from edge.upstreams.cooling import Cooling
from edge.upstreams.provider import EARLY_S
from edge.upstreams.waits import asked_s, exhausted_s
from edge.virtual import waits
from edge.whatif import recorded, replay, table

LOCAL = "http://127.0.0.1:1/v1"


def settings(*models: str, strategy="failover", **more) -> config.Config:
    return config.Config(
        providers={"a": config.Provider(dialect="openai", base_url=LOCAL)},
        models={
            "m": config.Model(
                strategy=strategy, upstreams=[config.Target(to=f"a/{name}") for name in models or ("one",)]
            )
        },
        **more,
    )


def ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)


def began(worker=1, clock_ns=0, at=0.0, seed=7) -> Began:
    return Began(format=FORMAT, at=at, clock_ns=clock_ns, worker=worker, seed=seed)


def line(number: int, at: float, **fields) -> Traced:
    told = {"model": "m", "alias": "m", "size": 400, "body": f"{number:032x}", "provider": "a", "upstream_model": "one"}
    told |= {"attempts": 1, "input_tokens": 100, "output_tokens": 50, "duration_s": 1.0, "upstream_s": 1.0}
    told |= {"id": f"r{number}", "worker": 1, "endpoint": "/v1/chat/completions", "status": 200, "outcome": "ok"}
    told |= fields
    if told["attempts"] and "tries" not in fields:
        asked = {"provider": told["provider"], "model": told["upstream_model"], "status": told["status"]}
        told["tries"] = [Try(**asked, health="ok", ended_ns=ns(told["upstream_s"]))]
    return Traced(at_ns=ns(at), **told)


def trace(*lines) -> list:
    encoded = b"".join(msgspec.json.encode(each) + b"\n" for each in (began(), *lines))
    return read_trace(encoded)


def test_what_is_written_is_read_and_a_line_that_is_cut_off_at_the_end_is_left_out():
    encoded = msgspec.json.encode(line(1, 1.0)) + b"\n"
    assert read_trace(encoded + encoded[:40]) == [line(1, 1.0)]
    with pytest.raises(ValueError, match="line 1 is none"):
        read_trace(b"{}\n" + encoded)


def test_requests_that_their_client_gave_one_id_are_each_answered_as_they_were():
    lines = trace(*(line(n, 10.0 * n, id="same", duration_s=n + 1.0, upstream_s=n + 1.0) for n in range(3)))
    before, again = recorded(lines), replay(lines, settings())
    assert (again.same, again.attempts) == (3, 3)
    assert (again.p50_s, again.p99_s) == pytest.approx((before.p50_s, before.p99_s))


def test_the_same_is_decided_again_and_times_are_those_of_the_trace():
    lines = trace(*(line(n, 10.0 + n, duration_s=n + 1.0, upstream_s=n + 1.0) for n in range(10)))
    before, again = recorded(lines), replay(lines, settings())
    assert (again.same, again.compared) == (10, 10)
    assert (again.p50_s, again.p99_s) == pytest.approx((before.p50_s, before.p99_s))
    assert again.shares == before.shares == {"a/one": 1.0}


@pytest.mark.parametrize("strategy", ["round_robin", "latency", "least_busy", "cost", "affinity"])
def test_the_same_seed_gives_the_same_and_each_strategy_spreads_as_it_says(strategy):
    lines = trace(*(line(n, n * 0.1, prefix=f"{n % 7:016x}") for n in range(300)))
    found = replay(lines, settings("one", "two", strategy=strategy), 3)
    assert found == replay(lines, settings("one", "two", strategy=strategy), 3)
    assert sum(found.shares.values()) == pytest.approx(1.0)
    if strategy == "round_robin":
        assert found.shares == {"a/one": 0.5, "a/two": 0.5}


def test_a_stored_answer_is_a_hit_until_its_time_is_over_and_one_on_its_way_is_shared():
    same = "f" * 32
    cached = settings(cache=config.Cache(mode="all", memory=config.Memory(ttl_s=10.0)))
    lines = trace(*(line(n, at, body=same) for n, at in enumerate((0.0, 0.5, 2.0, 10.9, 11.5))))
    found = replay(lines, cached)
    assert (found.attempts, found.joined, found.hits) == (2, 1, 2)


JSON, STREAM, TELLING = {}, {"stream": True}, {"stream": True, "tells_usage": True}


@pytest.mark.parametrize(
    ("first", "second", "serves"),
    [
        (JSON, STREAM, True),
        (JSON, TELLING, True),
        (STREAM, JSON, False),
        (STREAM, STREAM, True),
        (STREAM, TELLING, False),
        (TELLING, JSON, True),
        (TELLING, STREAM, True),
    ],
)
def test_a_stream_that_told_no_tokens_is_served_as_nothing_but_that(first, second, serves):
    same = "f" * 32
    cached = settings(cache=config.Cache(mode="all"))
    found = replay(trace(line(1, 0.0, body=same, **first), line(2, 2.0, body=same, **second)), cached)
    assert (found.attempts, found.hits) == ((1, 1) if serves else (2, 0))
    always = {"endpoint": "/v1/responses", "body": same}
    assert replay(trace(line(1, 0.0, **always, **first), line(2, 2.0, **always, **second)), cached).hits == 1


@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [
        (JSON, STREAM, False),
        (STREAM, JSON, False),
        (STREAM, STREAM, True),
        (STREAM, TELLING, False),
        (TELLING, JSON, True),
    ],
)
def test_a_stream_joins_its_like_alone_and_json_a_stream_that_tells_its_tokens(first, second, joins):
    same = "f" * 32
    cached = settings(cache=config.Cache(mode="all"))
    found = replay(trace(line(1, 0.0, body=same, **first), line(2, 0.5, body=same, **second)), cached)
    assert (found.attempts, found.joined) == ((1, 1) if joins else (2, 0))


def test_a_keys_limits_hold_on_the_virtual_clock():
    digest = "sha256:" + "0" * 64
    key = config.Key(id="k", digests=[digest], requests_per_minute=6)
    limited = settings(auth=config.Auth(keys=[key]))
    lines = trace(*(line(n, 1.0 + n, key="k") for n in range(120)))
    found = replay(lines, limited)
    assert found.answered == 6 + 11  # the burst, and one each ten seconds
    assert found.refused_429 == 120 - 17
    held = settings(auth=config.Auth(keys=[config.Key(id="k", digests=[digest], concurrency=2)]))
    assert replay(trace(*(line(n, 1.0, key="k") for n in range(5))), held).answered == 2


def test_the_place_of_who_joins_is_its_own_keys_until_the_answer_is_there():
    digests = [f"sha256:{n:064}" for n in range(2)]
    keys = [config.Key(id="one", digests=digests[:1]), config.Key(id="two", digests=digests[1:], concurrency=1)]
    shared = settings(auth=config.Auth(keys=keys), cache=config.Cache(mode="all", scope="shared"))
    same = "f" * 32
    lines = trace(
        line(1, 1.0, key="one", body=same, upstream_s=2.0, duration_s=2.0),
        line(2, 1.5, key="two", body=same),  # joins, and has the only place of its key to the end of the answer
        line(3, 2.0, key="two"),
        line(4, 3.5, key="two"),
    )
    found = replay(lines, shared)
    assert (found.joined, found.refused_429, found.answered) == (1, 1, 3)


def test_a_breaker_opens_for_an_upstream_that_fails_and_attempts_are_saved():
    lines = []
    for n in range(50):
        tries = [
            Try(provider="a", model="one", status=503, health="failed", ended_ns=ns(0.2)),
            Try(provider="a", model="two", status=200, health="ok", begun_ns=ns(0.2), ended_ns=ns(1.0)),
        ]
        lines.append(line(n, float(n), upstream_model="two", attempts=2, tries=tries))
    patient = config.Resilience(breaker=config.Breaker(failures=5, open_s=1000.0, max_open_s=1000.0))
    found = replay(trace(*lines), settings("one", "two", resilience=patient))
    assert (found.answered, found.attempts) == (50, 55)
    never = config.Resilience(breaker=config.Breaker(failures=1000))
    assert replay(trace(*lines), settings("one", "two", resilience=never)).attempts == 100


def test_after_a_429_without_a_wait_others_are_asked_for_a_second_as_they_were():
    refused = Try(provider="a", model="one", status=429, health="neutral", ended_ns=ns(0.1), refused_ns=ns(0.1))
    after = Try(provider="a", model="two", status=200, health="ok", begun_ns=ns(0.1), ended_ns=ns(1.0))
    other, again = (
        Try(provider="a", model=model, status=200, health="ok", ended_ns=ns(1.0)) for model in ("two", "one")
    )
    lines = trace(
        line(1, 10.0, upstream_model="two", attempts=2, tries=[refused, after]),
        line(2, 10.5, upstream_model="two", tries=[other]),
        line(3, 11.09, upstream_model="two", tries=[other]),
        line(4, 11.11, tries=[again]),
    )
    found = replay(lines, settings("one", "two"))
    assert (found.same, found.compared, found.attempts) == (4, 4, 5)


def with_room(upstreams: int, **bounds) -> config.Config:
    """Of providers that take one request at a time."""
    names = "ab"[:upstreams]
    provider = config.Provider(dialect="openai", base_url=LOCAL, max_in_flight=1, **bounds)
    model = config.Model(strategy="failover", upstreams=[config.Target(to=f"{name}/one") for name in names])
    return config.Config(providers=dict.fromkeys(names, provider), models={"m": model})


def test_who_finds_no_place_waits_for_one_and_no_longer_than_may_be_waited():
    lines = trace(*(line(n, 0.1 * n) for n in range(4)))
    patient = replay(lines, with_room(1, max_waiting=2, max_wait_s=2.0))
    assert (patient.answered, patient.failed, patient.attempts) == (3, 1, 3)
    assert patient.p99_s == pytest.approx(2.8)
    hasty = replay(lines, with_room(1, max_waiting=2, max_wait_s=1.0))
    assert (hasty.answered, hasty.failed, hasty.attempts) == (2, 2, 2)
    assert replay(lines, with_room(1, max_waiting=0)).failed == 3


def test_who_finds_no_place_is_answered_by_another_that_has_one():
    found = replay(trace(*(line(n, 0.1 * n) for n in range(2))), with_room(2, max_waiting=0))
    assert (found.answered, found.shares) == (2, {"a/one": 0.5, "b/one": 0.5})


def test_what_a_trace_says_of_refusals_is_counted_apart_from_failures():
    lines = trace(line(1, 0.0), line(2, 1.0, status=429, attempts=0), line(3, 2.0, status=502, outcome="error"))
    before = recorded(lines)
    assert (before.answered, before.refused_429, before.failed) == (1, 1, 1)


def test_what_was_refused_before_it_was_read_stays_refused():
    lines = trace(line(1, 1.0, provider="", upstream_model="", attempts=0, status=400, outcome="error", model=""))
    found = replay(lines, settings())
    assert (found.failed, found.same, found.attempts) == (1, 1, 0)


@given(st.integers(0, 400 * 86_400 * SECOND_NS))
@settings_of(max_examples=500)
def test_a_moment_comes_back_from_the_file_bit_for_bit(moment):
    """For whatever the machine's clock has said, a year after its start too."""
    reading = reading_of(moment)
    told = line(1, 0.0, asked_ns=nanoseconds(reading))
    (read,) = read_trace(msgspec.json.encode(told) + b"\n")
    assert reading_of(read.asked_ns) == reading


@given(
    began_ns=st.integers(0, 100 * 86_400 * SECOND_NS),
    took_ns=st.integers(1, 2 * SECOND_NS),
    wait_ms=st.integers(20, 5_000),
    off_ns=st.integers(-2, 2),
)
@settings_of(max_examples=300)
def test_who_comes_at_the_very_moment_a_rest_ends_is_decided_for_as_the_worker_does(began_ns, took_ns, wait_ms, off_ns):
    """By the readings of the clock themselves: a digit more or less would be another decision."""
    wait = wait_ms / 1000
    refused = reading_of(began_ns + took_ns)
    cooling = Cooling()
    cooling.rest("one", refused + wait - EARLY_S, 429, refused)
    ends_ns = nanoseconds(refused + wait - EARLY_S)
    came_ns = max(ends_ns + off_ns, began_ns + took_ns + 1)
    came, left = reading_of(came_ns), cooling.resting("one", refused)[0]
    # The key rests, or the upstream, which has no other key and adds up what is left.
    status = 429 if cooling.resting("one", came)[0] > 0.0 else 503 if refused + left > came else 200
    failed = Try(
        provider="a", model="one", status=429, kind="provider_error", health="neutral", ended_ns=took_ns,
        refused_ns=took_ns, asked_s=wait,
    )  # fmt: skip
    first = line(1, 0.0, tries=[failed], status=429)
    second = line(2, 0.0, status=status, attempts=int(status == 200))
    lines = trace(
        msgspec.structs.replace(first, at_ns=began_ns, duration_s=took_ns / SECOND_NS),
        msgspec.structs.replace(second, at_ns=came_ns),
    )
    once = settings(resilience=config.Resilience(retries=0))
    found = replay(lines, once)
    assert (found.same, found.compared, found.attempts) == (2, 2, 2 if status == 200 else 1)


@given(ahead=st.floats(0.001, 299.0), now=st.floats(1.7e9, 1.9e9), status=st.sampled_from([429, 503, 200]))
@settings_of(max_examples=500)
def test_what_a_provider_asked_for_is_asked_for_again_to_the_bit(ahead, now, status):
    """Where it named a time, of which the seconds until then have any digits."""
    named = b"%.6f" % (now + ahead)
    once = asked_s(Fields([(b"retry-after", named)]), now) if status >= 400 else exhausted_s(used_up(named), now)
    again = waits("openai", status, once)
    assert (asked_s(again, 0.0) if status >= 400 else exhausted_s(again, 0.0)) == once


def used_up(reset: bytes) -> Fields:
    return Fields([(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", reset)])


def test_a_trace_of_the_first_format_is_refused_with_the_way_out():
    for old in (
        b'{"event":"began","at":1.5,"worker":1,"seed":7}\n',
        b'{"event":"request","at":1.5,"id":"a","worker":1,"endpoint":"/v1/x","status":200,"outcome":"ok"}\n',
    ):
        with pytest.raises(ValueError, match=r"line 1 was written in the first format.*record anew"):
            read_trace(old)
        with pytest.raises(ValueError, match="line 2 was written in the first format"):
            read_trace(msgspec.json.encode(began()) + b"\n" + old)
    later = msgspec.json.encode(msgspec.structs.replace(began(), format=FORMAT + 1))
    with pytest.raises(ValueError, match=f"format {FORMAT + 1}"):
        read_trace(later + b"\n")


def test_after_the_machine_was_started_anew_its_clock_is_another():
    lines = trace(
        line(1, 500.0),
        began(2, ns(1.0)),
        line(2, 501.0, worker=2),
        began(1, ns(3.0)),  # from here on
        line(3, 4.0),
        began(2, ns(2.9)),
        line(4, 5.0, worker=2),
        began(2, ns(6.0)),  # only the worker
    )
    assert [[each.id for each in part if isinstance(each, Traced)] for part in boots(lines)] == [
        ["r1", "r2"],
        ["r3", "r4"],
    ]
    found = replay(lines, settings())
    assert (found.requests, found.same, found.compared) == (4, 4, 4)
    assert found.p99_s == pytest.approx(1.0)


@pytest.mark.parametrize("rotated", [False, True], ids=["whole", "without its beginning"])
def test_the_first_to_begin_after_a_new_start_may_be_a_worker_that_there_was_not_before(rotated):
    before = [began(1, ns(100.0), 1100.0), began(2, ns(100.1), 1100.1), line(1, 500.0)][2 if rotated else 0 :]
    lines = read_trace(
        b"\n".join(
            map(
                msgspec.json.encode,
                [
                    *before,
                    began(3, ns(499.9), 1499.9),  # its line comes a little late
                    line(2, 501.0, worker=2),
                    began(4, ns(2.0), 1600.0),  # from here on
                    began(1, ns(2.1), 1600.1),
                    line(3, 3.0, worker=4),
                    began(5, ns(3.5), 1601.5),
                ],
            )
        )
    )
    parts = boots(lines)
    assert [[each.worker for each in part if isinstance(each, Began)] for part in parts] == [
        [3] if rotated else [1, 2, 3],
        [4, 1, 5],
    ]
    assert [[each.id for each in part if isinstance(each, Traced)] for part in parts] == [["r1", "r2"], ["r3"]]


def test_people_read_it_side_by_side():
    lines = trace(line(1, 1.0))
    text = "\n".join(table({"recorded": recorded(lines), "new.yaml": replay(lines, settings())}))
    assert "recorded  new.yaml" in text
    assert "a/one" in text
