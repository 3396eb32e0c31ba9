"""The body scan, on both builds."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import load


def wrapped(value: bytes) -> bytes:
    return b'{"model": "m", "extra": ' + value + b"}"


GOOD = [
    b"0", b"-0", b"1", b"-1.5", b"1e5", b"1E+5", b"1.25e-7", b"123456789012345678901234567890", b"true", b"false",
    b"null", b'""', b'"a"', b'"\\u0041\\n\\t\\r\\b\\f\\/\\\\\\""', b'"\\ud83e\\udd9c"', '"grüße 🦜"'.encode(), b'"\x7f"',
    b"[]", b"[1]", b"[[],[[]]]", b"[1 ,\t2\n,\r3 ]", b"{}", b'{"a":1}', b'{"a":{"a":{"a":[]}}}', b'{"":0}', b'"\\u0000"',
]  # fmt: skip
BAD = [
    b"", b"01", b"-", b"+1", b"1.", b".5", b"1e", b"1e+", b"0x1", b"1_0", b"NaN", b"Infinity", b"-Infinity", b"nul",
    b"True", b"truee", b'"', b'"a', b"'a'", b'"\x00"', b'"\n"', b'"\t"', b'"\\x"', b'"\\u12"', b'"\\u12g4"', b'"\\',
    b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\u0041"', b'"\\ud800x"', b"\"\xff\"", b'"\xed\xa0\x80"', b'"\xc0\xaf"', b"[",
    b"[1", b"[1,", b"[,]", b"[1,]", b"[1 2]", b"[1}", b"]", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}',
    b'{"a" 1}', b"{a:1}", b"{1:1}", b'{,}', b'{"a":1 "b":2}', b'{"a":}', b"/**/1", b"1 // x", b"[1]]", b"\xef\xbb\xbf1",
    b"1e5.5", b"--1", b"\x0c1", b"1\xa0",
]  # fmt: skip


@pytest.mark.parametrize("value", GOOD)
def test_valid_json_is_accepted_and_its_span_is_exact(json_module, value):
    body = wrapped(value)
    start, end = json_module.scan_json(body)["extra"]
    assert body[start:end] == value


@pytest.mark.parametrize("value", BAD)
def test_invalid_json_is_refused(json_module, value):
    with pytest.raises(json_module.JSONError):
        json_module.scan_json(wrapped(value))


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"[]", b'"a"', b"1", b"null", b'{"a":1} x', b'{"a":1}{}', b"\xef\xbb\xbf{}"]
)
def test_only_one_object_is_a_body(json_module, body):
    with pytest.raises(json_module.JSONError):
        json_module.scan_json(body)


def test_one_key_is_asked_for_by_its_name(json_module):
    body = rb'{"a":"x","mod\u0065l":"m\u0061","b" : true,"c":null,"d":"","long name":[1]}'
    for names in (body, body.replace(rb"\u0065", b"e")):
        scanner = json_module.JSONScanner(names)
        while not scanner.step():
            pass
        for name, (start, end) in scanner.spans.items():
            assert scanner.span(name.encode()) == (start, end)
            assert scanner.says(name.encode(), names[start:end])
            assert not scanner.says(name.encode(), names[start:end] + b" ")
        assert set(scanner.spans) == {"a", "model", "b", "c", "d", "long name"}
        assert scanner.span(b"mode") is scanner.span(b"models") is None
        assert not scanner.says(b"none", b"")
        assert [scanner.text(name) for name in (b"a", b"d", b"model", b"b", b"none")] == ["x", "", None, None, None]


def test_many_top_level_keys_are_all_found(json_module):
    body = json.dumps({f"key {number}": number for number in range(300)}).encode()
    scanner = json_module.JSONScanner(body)
    while not scanner.step():
        pass
    assert all(scanner.says(b"key %d" % number, b"%d" % number) for number in range(300))
    assert len(scanner.spans) == 300


def test_spans_leave_white_space_out(json_module):
    body = b' { "a" : [1, 2] ,\n"b":\t"x" , "c":{"d" : 1 } , "d" : 12 } \n'
    spans = json_module.scan_json(body)
    assert {key: body[a:b] for key, (a, b) in spans.items()} == {
        "a": b"[1, 2]",
        "b": b'"x"',
        "c": b'{"d" : 1 }',
        "d": b"12",
    }


DUPLICATES = [
    b'{"model":"a","model":"b"}',
    rb'{"model":"a","mod\u0065l":"b"}',
    rb'{"\u006dodel":"a","model":"b"}',
    b'{"messages":[{"role":"user","role":"system"}]}',
    rb'{"messages":[{"role":"user","r\u006fle":"system"}]}',
    b'{"messages":[{"content":[{"type":"text","text":"a","text":"b"}]}]}',
    b'{"messages":[{},{"a":1,"b":{},"a":2}]}',
    b'{"input":[{"role":"user","role":"user"}]}',
    b'{"system":[{"text":"a","text":"b"}]}',
    '{"größe":1,"gr\\u00f6\\u00dfe":2}'.encode(),
]


@pytest.mark.parametrize("body", DUPLICATES)
def test_a_repeated_key_is_refused_however_it_is_spelled(json_module, body):
    with pytest.raises(json_module.JSONError) as caught:
        json_module.scan_json(body)
    assert caught.value.duplicate is not None
    assert caught.value.reason == "duplicate key"


def test_the_same_key_in_different_objects_is_no_repeat(json_module):
    body = b'{"messages":[{"role":"a"},{"role":"a","x":{"role":"b"}}],"role":1,"tools":[{"a":1,"a":2}]}'
    assert set(json_module.scan_json(body)) == {"messages", "role", "tools"}


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded_at_exactly_the_limit(json_module, opening, closing):
    # The body itself is level 1.
    fits = wrapped(opening * 127 + b"1" + closing * 127)
    assert json_module.scan_json(fits)
    with pytest.raises(json_module.JSONError, match="deeper than 128"):
        json_module.scan_json(wrapped(opening * 128 + b"1" + closing * 128))
    with pytest.raises(json_module.JSONError, match="deeper"):
        json_module.scan_json(wrapped(opening * 100_000))


def test_numbers_are_bounded_in_length(json_module):
    assert json_module.scan_json(wrapped(b"1" * 1000))
    for number in (b"1" * 1001, b"0." + b"1" * 1000, b"1e" + b"1" * 1000):
        with pytest.raises(json_module.JSONError, match="longer than 1000"):
            json_module.scan_json(wrapped(number))


def test_errors_say_where(json_module):
    with pytest.raises(json_module.JSONError) as caught:
        json_module.scan_json(b'{"a": tru}')
    assert caught.value.offset == 6
    assert str(caught.value) == "a value was expected at byte 6"


def test_recorded_bodies_are_accepted_and_cut_ones_refused(json_module, recordings):
    cuts = 0
    for recording in recordings:
        body = recording.body
        spans = json_module.scan_json(body)
        assert {key: json.loads(body[a:b]) for key, (a, b) in spans.items()} == recording.request
        step = 1 if len(body) < 600 else len(body) // 60
        for cut in range(0, len(body), step):
            with pytest.raises(json_module.JSONError):
                json_module.scan_json(body[:cut])
            cuts += 1
    print(f"\n{len(recordings)} recorded bodies, {cuts} cut ones: 0 wrong verdicts")


def verdict(module, body):
    try:
        return module.scan_json(body)
    except module.JSONError as error:
        return error.reason, error.offset, error.duplicate


def no_constants(name):
    raise ValueError(name)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.once
@pytest.mark.slow
@settings(max_examples=300)
@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_whatever_json_writes_is_read(document, escape, indent):
    body = json.dumps(document, ensure_ascii=escape, indent=indent).encode()
    for build in ("pure", "compiled"):
        spans = load("json", build).scan_json(body)
        assert {key: json.loads(body[a:b]) for key, (a, b) in spans.items()} == document


MUTATIONS = st.sampled_from(list(rb'{}[]",:\ue0123456789.-+aft' + b"\x00\n\x80\xff"))


@pytest.mark.once
@pytest.mark.slow
@settings(max_examples=500)
@given(st.dictionaries(st.sampled_from(["messages", "a", "é"]), VALUES, max_size=3), st.data())
def test_both_builds_give_the_same_verdict_on_damaged_bodies(document, data):
    body = bytearray(json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        where = data.draw(st.integers(0, len(body) - 1)) if body else 0
        body[where : where + data.draw(st.integers(0, 2))] = bytes([data.draw(MUTATIONS)])
    damaged = bytes(body)
    pure, compiled = verdict(load("json", "pure"), damaged), verdict(load("json", "compiled"), damaged)
    assert pure == compiled
    if isinstance(pure, dict):
        # What we accept, the strictest reading of the standard library accepts as well.
        assert isinstance(json.loads(damaged, parse_constant=no_constants), dict)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{" + b",".join(b'"%d":1' % i for i in range(2000)) + b"}", "more than 1000 keys at the top level"),
        (b'{"tools":{' + b",".join(b'"%d":1' % i for i in range(100_001)) + b"}}", "more than 100000 keys below"),
        (b'{"messages":[' + b'{"a":1},' * 100_001 + b"1]}", "more than 100000 keys below the top level"),
        (b'{"input":[' + b"1," * 999_999 + b"1]}", "more than 1000000 values"),
        (b'{"x":[' + b"[]," * 999_999 + b"[]]}", "more than 1000000 values"),
        (b'{"%b":1}' % (b"k" * 65537), "a key longer than 65536 bytes"),
        (b'{"x":{"%b":1}}' % (b"k" * 65537), "a key longer than 65536 bytes"),
    ],
    ids=["top", "object", "objects", "numbers", "arrays", "top-key", "key"],
)
def test_what_costs_more_than_a_glance_is_bounded(json_module, body, reason):
    with pytest.raises(json_module.JSONError, match=reason) as caught:
        json_module.scan_json(body)
    assert caught.value.limit


def test_what_the_largest_honest_requests_have_is_within_the_bounds(json_module):
    tokens = b",".join([b"12345"] * 300_000)
    assert json_module.scan_json(b'{"model":"m","input":[%b]}' % tokens)
    talk = b",".join([b'{"role":"user","content":[{"type":"text","text":"x"}]}'] * 20_000)
    assert json_module.scan_json(b'{"messages":[%b]}' % talk)


def scan_in_steps(module, body, step_bytes, step_values):
    scanner = module.JSONScanner(body)
    steps = 1
    while not scanner.step(step_bytes, step_values):
        steps += 1
    return scanner, steps


LONG = json.dumps(
    {"a": "xyz é🦜" * 9, "messages": [{"kööö": "\n"}, "\u00e9"], "b": [[]] * 9 + [{}], "c": -1.5e7}, ensure_ascii=False
).replace("x", "\\u00e9\\t")


@pytest.mark.parametrize("step_values", [1, 2, 1000])
@pytest.mark.parametrize("step_bytes", [1, 2, 3, 5, 17, 1000])
def test_any_steps_give_one_result(json_module, step_bytes, step_values):
    body = LONG.encode()
    scanner, steps = scan_in_steps(json_module, body, step_bytes, step_values)
    assert scanner.spans == json_module.scan_json(body)
    assert scanner.values == 1 + 4 + 11 + 1
    assert (steps == 1) == (step_bytes == step_values == 1000)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("step_bytes", [1, 2, 3, 7])
def test_what_is_refused_does_not_depend_on_the_steps(json_module, value, step_bytes):
    body = wrapped(value)
    with pytest.raises(json_module.JSONError) as whole:
        json_module.scan_json(body)
    with pytest.raises(json_module.JSONError) as stepped:
        scan_in_steps(json_module, body, step_bytes, 1)
    assert str(stepped.value) == str(whole.value)


@pytest.mark.parametrize(
    "value",
    [
        b'"%b"' % (b"x" * 400_000),
        b'"%b"' % (b"\\n" * 200_000),
        b'"%b"' % ("é🦜".encode() * 60_000),
        b" " * 400_000 + b"1",
        b"[" + b",".join([b"1"] * 200_000) + b"]",
        b"[" + b",".join([b"[]"] * 120_000) + b"]",
        b"[" + b",".join([b'{"":1}'] * 60_000) + b"]",
        b"[" + b",".join([b"[" * 100 + b"]" * 100] * 2000) + b"]",
    ],
    ids=["text", "escapes", "utf8", "spaces", "numbers", "arrays", "objects", "nested"],
)
def test_a_step_is_short_whatever_the_body(json_module, value):
    """Its work is bounded: 256 KiB or 16384 values (1024 on the pure build) at a time, of the hardest kinds."""
    scanner = json_module.JSONScanner(b'{"messages":' + value + b"}")
    steps, before = 1, 0
    while not scanner.step():
        steps += 1
        assert scanner.values - before <= json_module.STEP_VALUES
        before = scanner.values
    assert steps >= max(len(value) // json_module.STEP_BYTES, scanner.values // json_module.STEP_VALUES)


@pytest.mark.parametrize("step_bytes", [1, 2, 5, 17, 1000])
def test_long_strings_and_the_elements_of_lists_are_told(json_module, step_bytes):
    value = {
        "a": ["x\n" * 9, {"kö": "é🦜" * 9, "b": "short"}, 1],
        "c": '"\\\u0001' * 9,
        "d": [],
        "e": {"f": [["y" * 20]]},
    }
    for ascii_only in (False, True):
        body = json.dumps(value, ensure_ascii=ascii_only).encode()
        scanner = json_module.JSONScanner(body, long_bytes=20)
        while not scanner.step(step_bytes):
            pass
        found = []
        for start, end, cuts in scanner.strings:
            pieces = [json.loads(b'"%b"' % body[at:until]) for at, until in pairwise(cuts)]
            assert cuts == sorted(cuts)
            assert all(until - at <= step_bytes + 12 for at, until in pairwise(cuts))
            found.append((json.loads(b'"%b"' % body[start:end]), "".join(pieces)))
        assert found == [("", "x\n" * 9), ("kö", "é🦜" * 9), ("c", value["c"]), ("", "y" * 20)]
        told = [(body[at : at + 1], before) for at, before in scanner.elements]
        assert told == [(b"[", 0), (b'"', 1), (b"{", 2), (b"1", 5), (b'"', 6), (b"[", 7), (b"{", 8)]


def test_a_key_that_is_repeated_where_it_matters_less_is_told(json_module):
    def repeated(body):
        scanner, _ = scan_in_steps(json_module, body, 1000, 1000)
        return bool(scanner.repeated)

    assert not repeated(b'{"tools":[{"a":1},{"a":2}],"messages":[{"a":{"a":1}}]}')
    assert repeated(b'{"tools":[{"a":1,"a":2}]}')
    assert repeated(rb'{"x":{"y":{"ab":1,"\u0061b":2}}}')
    assert repeated(b'{"x":{%b,"7":0}}' % b",".join(b'"%d":{"7":1}' % i for i in range(100)))


KEYS = st.lists(st.text(alphabet="ab\u00e9\n\U0001f99c", max_size=3), min_size=1, max_size=30)


@settings(max_examples=200)
@given(KEYS, st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_repeated_key_is_found_among_any_others_however_they_are_spelled(keys, escaped):
    spelled = [json.dumps(key, ensure_ascii=escape) for key, escape in zip(keys, escaped, strict=False)]
    members = ",".join(f'{key}:{{"a":1,"b":2}}' for key in spelled)
    body = f'{{"messages":[{{"outer":{{{members}}}}}]}}'
    for build in ("pure", "compiled"):
        module = load("json", build)
        found = verdict(module, body.encode())
        assert (found[0] == "duplicate key") if len(set(keys)) != len(keys) else isinstance(found, dict)


def test_an_object_of_many_keys_is_still_checked(json_module):
    many = b",".join(b'"%d":1' % i for i in range(5000))
    assert json_module.scan_json(b'{"messages":{' + many + b"}}")
    with pytest.raises(json_module.JSONError, match="duplicate"):
        json_module.scan_json(b'{"messages":{' + many + b',"77":1}}')
