"""Scanning text that comes in pieces, what a pass costs at worst, and that both builds say the same."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scan_doubling import HOSTILE
from tests.conftest import EACH_BUILD, load

ATOMS = """john@x.com|@|a|.|..|-|--|-----|-----BEGIN PRIVATE KEY-----|-----END PRIVATE KEY-----|\\n|\\|"|\\u0040|\\/|_|/|=|+|(|)
4111 1111 1111 1111|4111111111111111|555-123-4567|(555) 123-4567| x12|ext. 5|+44 20 7946 0958|219-09-9999|DE89370400440532
GB82 WEST 1234 5698 7654 32|DE89370400440532013000|10.0.0.1|::|:|fe80::1|2001:db8:0:0:1:2:3:4|%eth0|sk-|ghp_|hf_|sk_live_
abcDEF123456789012345678901234567890|eyJhbGciOiJIUzI1NiJ9|Bearer |bearer: |AKIAIOSFODNN7EXAMPLE|ya29.|call |order |version
AIzaSyA1234567890abcdefghijklmnopqrstuv|phone|SSN|0|1|12|345|6789|é|–|\u00a0|电话|office|x|authorization |7|2024-01-02
12:30:45| | |\n|B|be|bea|K|S|z|J|00|(0)|[::2]|#"""
PIECES = [atom.encode() for line in ATOMS.split("\n") for atom in line.split("|")] + [b"\n", b"\xff", b"\x00", b"\xc3"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join) | st.binary(max_size=60)
MASKS = st.just(127) | st.integers(0, 127)
KEY_LINE = b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n"


@pytest.mark.once
@given(data=TEXTS, mask=MASKS, in_json=st.booleans())
@settings(max_examples=600)
def test_both_builds_give_the_same_sorted_spans(data, mask, in_json):
    spans = load("scan", "compiled").scan_text(data, mask, json=in_json)
    assert spans == load("scan", "pure").scan_text(data, mask, json=in_json)
    last = 0
    for start, end, kind in spans:
        assert last <= start < end <= len(data)
        assert mask >> kind & 1
        last = end


@given(data=st.binary(max_size=80), in_json=st.booleans(), shift=st.integers(0, 40))
def test_blocks_of_any_alignment_have_the_stops_that_bytes_have(data, in_json, shift):
    """What stands before and after, blank, moves the text through the blocks of the skip loop."""
    scan = load("scan", "compiled")
    spans = [(start + shift, end + shift, kind) for start, end, kind in scan.scan_text(data, json=in_json)]
    wide = b" " * shift + data + b" " * 33
    assert spans == [span for span in scan.scan_text(wide, json=in_json) if span in spans] or data.isspace()
    assert load("scan", "pure").scan_text(wide, json=in_json) == scan.scan_text(wide, json=in_json)


@pytest.mark.parametrize("build", EACH_BUILD)
@given(data=TEXTS, start=st.integers(0, 200), size=st.integers(0, 200), in_json=st.booleans())
def test_a_range_is_scanned_as_its_copy_is(build, data, start, size, in_json):
    scan = load("scan", build)
    start = min(start, len(data))
    end = min(start + size, len(data))
    wanted = [(s + start, e + start, kind) for s, e, kind in scan.scan_text(data[start:end], json=in_json)]
    assert scan.scan_ranges(data, [(start, end, 0, 0)], json=in_json) == wanted


def streamed(module, chunks, mask=127, max_hold=4096) -> tuple[bytes, list[tuple[int, int, int]]]:
    """What a stream gives in all: its bytes and its spans."""
    scanner = module.StreamScanner(mask, max_hold)
    pieces = []
    for chunk in chunks:
        pieces += scanner.feed(chunk)
        assert scanner.held <= max_hold
    pieces += scanner.flush()
    assert scanner.held == 0
    text, spans = b"", []
    for piece, kind in pieces:
        assert piece
        if kind >= 0:
            spans.append((len(text), len(text) + len(piece), kind))
        text += piece
    return text, spans


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("build", EACH_BUILD)
@given(data=TEXTS, mask=MASKS, cuts=st.lists(st.integers(0, 300), max_size=8))
@settings(max_examples=150)
def test_however_the_text_is_cut_the_result_is_that_of_the_whole(build, data, mask, cuts):
    scan = load("scan", build)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    wanted = data, scan.scan_text(data, mask)
    assert streamed(scan, [data[a:b] for a, b in pairwise(edges)], mask) == wanted
    assert streamed(scan, one_by_one(data), mask) == wanted


def test_long_streams_of_hits_equal_the_whole(scan_module):
    dice = random.Random(5)
    data = b" ".join(dice.choice(PIECES) for _ in range(1500))
    chunks, at = [], 0
    while at < len(data):
        size = dice.randrange(1, 60)
        chunks.append(data[at : at + size])
        at += size
    assert streamed(scan_module, chunks) == (data, scan_module.scan_text(data))


def test_plain_words_are_not_held_back(scan_module):
    scanner = scan_module.StreamScanner()
    for word in "The quick brown fox, they say, jumps over the lazy dog. Then it rests: briefly.".split(" "):
        scanner.feed(word.encode() + b" ")
        assert scanner.held <= 1
    scanner.feed("日本語".encode())
    assert scanner.held <= 1
    scanner.feed(b"call 555-12")
    assert scanner.held == 6
    scanner.feed(b"3-4567")
    assert scanner.feed(b". And more than that\n")[0] == (b"555-123-4567", 1)


def test_a_stream_can_be_flushed_and_begun_again(scan_module):
    scanner = scan_module.StreamScanner()
    assert scanner.flush() == []
    for _ in range(2):
        assert scanner.feed(b"to john@x.com") == [(b"to ", -1)]
        assert scanner.flush() == [(b"john@x.com", 0)]


def test_the_hold_has_a_least_value(scan_module):
    with pytest.raises(ValueError, match="1024"):
        scan_module.StreamScanner(127, 1023)


@pytest.mark.parametrize(
    "secret",
    [
        b"ghp_" + b"a1B2" * 3000,
        b"Bearer " + b"a1B2/+.x" * 1500 + b"==",
        b"eyJhbGciOiJIUzI1NiJ9." + b"eyJ" + b"a_-" * 4000 + b".abc",
        b"-----BEGIN RSA PRIVATE KEY-----\n" + KEY_LINE * 300 + b"-----END RSA PRIVATE KEY-----",
    ],
    ids=["key", "bearer", "token", "pem"],
)
@pytest.mark.parametrize("size", [7, 1000, 100_000])
def test_a_secret_longer_than_the_hold_is_covered_in_pieces(scan_module, secret, size):
    data = b"it is " + secret + b" and call +44 20 7946 0958 now"
    text, spans = streamed(scan_module, [data[i : i + size] for i in range(0, len(data), size)], max_hold=1024)
    assert text == data
    covered = bytearray(len(data))
    for start, end, kind in spans[:-1]:
        assert kind == 6
        covered[start:end] = b"\x01" * (end - start)
    begin = data.index(secret) + (7 if secret.startswith(b"Bearer") else 0)
    assert covered.count(1) == covered[begin : data.index(b" and call")].count(1) == data.index(b" and call") - begin
    assert data[spans[-1][0] : spans[-1][1]] == b"+44 20 7946 0958"


def test_a_key_block_that_never_ends_hides_the_rest_of_the_stream(scan_module):
    data = b"-----BEGIN PRIVATE KEY-----\n" + KEY_LINE * 100
    text, spans = streamed(scan_module, one_by_one(data), max_hold=1024)
    assert text == data
    assert sum(end - start for start, end, _ in spans) == len(data)


@pytest.mark.parametrize("data", [b"1" * 9000, b"a" * 9000, b"@" * 9000, b"\xc3" * 9000, b"(" * 9000, b"a.-" * 3000])
def test_what_cannot_match_is_not_held_back_for_long(scan_module, data):
    assert streamed(scan_module, [data[i : i + 100] for i in range(0, 9000, 100)], max_hold=1024) == (data, [])


@pytest.mark.parametrize("unit", HOSTILE)
def test_the_worst_that_a_text_can_be_costs_a_bounded_time_per_byte(unit):
    """Quadratic work would take half a minute and more; the limit is far above what a slow machine needs."""
    scan = load("scan", "compiled")
    data = unit.encode() * (200_000 // len(unit.encode()))
    began = time.perf_counter()
    scan.scan_text(data)
    scan.scan_text(data, json=True)
    assert time.perf_counter() - began < 8
