"""Fields: collected, looked up, chosen and joined, the same in both builds."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import BUILDS, load

NAMES = st.sampled_from([b"host", b"content-type", b"x-a", b"x-ratelimit-limit", b"retry-after", b""])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=12)


@pytest.mark.once
@given(st.binary(max_size=40), FIELDS, st.binary(max_size=200))
def test_both_builds_join_the_same_bytes(start, fields, body):
    expected = start + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n" + body
    for build in BUILDS:
        assert load("fields", build).join_fields(start, fields, body) == expected


@pytest.mark.once
@given(st.binary(max_size=40), st.integers(-1, 10**12), st.binary(max_size=40), st.binary(max_size=40), st.binary())
def test_both_builds_join_the_same_request(start, length, fields, own, body):
    told = b"%d\r\n" % length if length >= 0 else b""
    for build in BUILDS:
        joined = load("fields", build).JOINER.message(start, length, fields, own, body)
        assert joined == start + told + fields + own + b"\r\n" + body


@pytest.mark.once
@given(st.binary(min_size=1, max_size=300))
def test_both_builds_make_the_same_chunk(data):
    for build in BUILDS:
        for whole in (data, data * 257):
            assert load("fields", build).JOINER.chunk(whole) == b"%x\r\n%b\r\n" % (len(whole), whole)


@given(FIELDS)
def test_an_index_has_the_first_value_of_each_name(fields):
    expected = {}
    for name, value in fields:
        expected.setdefault(name, value)
    for build in BUILDS:
        assert load("fields", build).index_fields(fields) == expected


@given(FIELDS)
def test_fields_are_selected_by_name_or_prefix_in_their_order(fields):
    for build in BUILDS:
        got = load("fields", build).select_fields(fields, frozenset({b"host"}), (b"x-ratelimit-", b"retry"))
        assert got == [pair for pair in fields if pair[0] in (b"host", b"x-ratelimit-limit", b"retry-after")]


@given(FIELDS)
def test_fields_are_asked_by_name_for_the_first_value(fields):
    for build in BUILDS:
        asked, index = load("fields", build).Fields(fields), load("fields", build).index_fields(fields)
        for name in (*index, b"nobody", b""):
            assert asked.get(name) == index.get(name)
            assert (name in asked) == (name in index)


@pytest.mark.parametrize("wrong", [[(b"a",)], [b"ab"], [("a", b"b")], [(None, b"b")], [(b"a", None)], [None]])
def test_what_is_no_field_is_an_error(fields_module, wrong):
    with pytest.raises((TypeError, ValueError)):
        fields_module.join_fields(b"", wrong, b"")


class Reader:
    """A parser's protocol whose fields are collected."""

    def __init__(self, collector):
        self.collector, self.heads = collector, []
        self.on_header = collector.add

    def on_message_begin(self):
        self.collector.begin()

    def on_headers_complete(self):
        self.heads.append(self.collector.take())


def test_heads_are_collected_one_by_one_and_trailers_are_dropped(fields_module):
    reader = Reader(fields_module.FieldCollector(10))
    parser = httptools.HttpRequestParser(reader)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in head + b"1\r\nx\r\n0\r\nX-Late: 1\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: b\r\n\r\n":
        parser.feed_data(bytes([byte]))
    assert reader.heads == [
        [(b"host", b"a"), (b"x-a", b"1"), (b"x-a", b"2"), (b"transfer-encoding", b"chunked")],
        [(b"host", b"b")],
    ]


def test_more_fields_than_allowed_are_an_error(fields_module):
    collector = fields_module.FieldCollector(2)
    collector.begin()
    collector.add(b"A", b"1")
    collector.add(b"B", b"2")
    with pytest.raises(fields_module.FieldLimitError):
        collector.add(b"C", b"3")
    assert collector.fields == [(b"a", b"1"), (b"b", b"2")]
