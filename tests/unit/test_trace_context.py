"""A request's place in a trace: which heads give one, what goes on to providers, and which traces are sampled."""

from __future__ import annotations

import random
import re

import pytest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from edge.trace_context import Sampling, fresh, given, span_id

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SOUND = {
    "as the standard has it": (f"00-{TRACE}-{PARENT}-01", "01"),
    "not sampled": (f"00-{TRACE}-{PARENT}-00", "00"),
    "with an id that is random": (f"00-{TRACE}-{PARENT}-03", "03"),
    "with flags that nobody knows": (f"00-{TRACE}-{PARENT}-fd", "01"),
    "of a later version": (f"01-{TRACE}-{PARENT}-01", "01"),
    "of a later version with more": (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", "01"),
}
"""https://github.com/w3c/trace-context/blob/main/test/test.py has these, and those below."""
MALFORMED = (
    *("", "junk", f"00-{TRACE}-{PARENT}", f"00-{TRACE}-{PARENT}-", f"00-{TRACE}-{PARENT}-1", f"0-{TRACE}-{PARENT}-01"),
    *(
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01.",
        f"ff-{TRACE}-{PARENT}-01",
    ),
    *(f"cc-{TRACE}-{PARENT}-01.what", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01"),
    *(f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE}-{PARENT.upper()}-01", f"00-{TRACE[:-1]}-{PARENT}-01"),
    *(
        f"00-{TRACE}-{PARENT[:-1]}-01",
        f"00-{TRACE}-{PARENT}-0x",
        f" 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01 ",
    ),
    f"00-{TRACE}-{PARENT}-01\n",
)


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_traceparent_is_continued_under_a_span_of_our_own(case):
    said, flags = SOUND[case]
    context = given(said.encode(), None)
    assert (context.trace_id, context.parent_id, context.flags) == (TRACE, PARENT, flags)
    assert context.sampled is (flags in ("01", "03"))
    span = span_id()
    assert context.line(span) == f"traceparent: 00-{TRACE}-{span}-{flags}\r\n".encode()


@pytest.mark.parametrize("said", MALFORMED)
def test_a_malformed_one_is_none(said):
    assert given(said.encode(), b"a=b") is None


def test_a_state_goes_on_as_it_came_unless_it_is_no_text_or_too_long():
    def state(said):
        return given(f"00-{TRACE}-{PARENT}-01".encode(), said).state

    assert state(b"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7") == b"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
    assert (state(None), state(b""), state(b"a=\xe9"), state(b"a=" + b"x" * 511)) == (b"", b"", b"", b"")
    assert len(state(b"a=" + b"x" * 510)) == 512


def test_ids_of_spans_are_new_and_none_is_all_zeros():
    made = {span_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch("[0-9a-f]{16}", each) and int(each, 16) for each in made)
    context = given(f"00-{TRACE}-{PARENT}-01".encode(), None)
    assert context.span_id() == context.span_id() != PARENT


@pytest.mark.parametrize("share", [0.0, 1e-9, 0.01, 0.25, 0.5, 0.999, 1.0])
def test_a_share_is_sampled_and_the_same_ids_as_any_other_sampler_by_ratio_takes(share):
    sampling, theirs = Sampling(share), TraceIdRatioBased(share)
    draw = random.Random(7)
    ids = [draw.getrandbits(128) for _ in range(20_000)]
    edges = [0, 1, theirs.bound - 1, theirs.bound, (1 << 64) - 1, (1 << 128) - 1]
    for number in [*ids, *[each for each in edges if each >= 0]]:
        trace_id = f"{number:032x}"
        assert sampling.takes(trace_id) is theirs.should_sample(None, number, "").decision.is_sampled(), trace_id
        assert fresh(trace_id, sampling).sampled is sampling.takes(trace_id)
    taken = sum(sampling.takes(f"{number:032x}") for number in ids) / len(ids)
    assert abs(taken - share) < 0.015
