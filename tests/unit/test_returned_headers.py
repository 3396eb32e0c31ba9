"""Which headers of a provider's answer the client gets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge._fast import Fields
from edge.upstreams.retry import KNOWN, MOST_KNOWN, returned_headers

PLAIN = (b"content-type", b"openai-processing-ms", b"x-should-retry", b"x-ratelimit-limit-requests")
OTHERS = (b"date", b"server", b"set-cookie", b"content-length", b"content-typed", b"x-should-retry-not")
IDS = (b"x-request-id", b"request-id")
WAITS = (b"retry-after", b"retry-after-ms")
NAMES = st.sampled_from((*PLAIN, *OTHERS, *IDS, *WAITS))
VALUES = st.sampled_from((b"1", b"20.5", b"", b"soon", b"Wed, 21 Oct 2026 07:28:00 GMT", b"x" * 300))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=10)
WAITED = (b"1", b"20.5", b"Wed, 21 Oct 2026 07:28:00 GMT")


def expected(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    returned = [(name, value) for name, value in headers if name in PLAIN or (name in WAITS and value in WAITED)]
    first = dict(reversed(headers))
    upstream_id = first.get(b"x-request-id") or first.get(b"request-id")
    return [*returned, (b"x-edge-upstream-request-id", upstream_id[:256])] if upstream_id else returned


@given(st.lists(HEADERS, min_size=1, max_size=6))
def test_whatever_answers_came_before_the_client_gets_those_that_are_for_it(answers):
    for headers in answers * 2:
        assert returned_headers(Fields(headers)) == expected(headers)


def test_names_that_are_met_again_are_remembered_and_only_so_many():
    answers = [[(b"content-type", b"a"), (b"x-%d" % n, b"b")] for n in range(3 * MOST_KNOWN)]
    for headers in answers:
        returned_headers(Fields(headers))
    assert len(KNOWN) == MOST_KNOWN
    latest = [known for known in KNOWN if known.fits(answers[-1])]
    assert latest == KNOWN[:1]
    assert returned_headers(Fields(answers[-MOST_KNOWN])) == [(b"content-type", b"a")]
    assert KNOWN[1:2] == latest
