"""Bodies that came before: whatever fits one is scanned as the scan scans it, and nothing else fits."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EACH_BUILD, load

CHAT = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is a caf\u00e9?"}]},
    ],
    "temperature": 0.7,
    "max_tokens": 256,
    "seed": -1,
    "metadata": {"a": "1", "b": "2"},
    "stream": False,
}
BODIES = [
    json.dumps(CHAT).encode(),
    json.dumps(CHAT, indent=2, ensure_ascii=False).encode(),
    json.dumps(CHAT, separators=(",", ":")).encode(),
    b'{"model":"","messages":[],"n":0,"x":"","y":{"":""}}',
    b' {"a":1,"model" : "m" , "b":{"x":1,"x":2} , "c":[1,"",-1,1.5,1e5,12345678901234567890] }\r\n',
    rb'{"mode1":"m","model":"m\u0061","x":{"\n\u0065":"\ud83e\udd9c"},"model2":""}',
    json.dumps({f"key{n}": n for n in range(40)} | {"model": "m"}).encode(),
    b"{}",
]
INSERTED = [
    b'"', b"\\", b'\\"', b"\\u0065", b"\\ud800", b"\\ud83e\\udd9c", b"{", b"}", b"[", b"]", b",", b":", b"0", b"7", b"-",
    b".5", b"e9", b"1" * 19, b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf0\x9f\xa6\x9c",
    b"true", b"null", b'","model":"other', b'"},{"role":"user', b'"model":"x",', b"text", b"\xef\xbb\xbf", b"//", b"",
]  # fmt: skip


@pytest.fixture(params=EACH_BUILD, scope="module")
def build(request: pytest.FixtureRequest) -> str:
    load("body_known", request.param)
    return str(request.param)


def scanned(build: str, body: bytes) -> Any:
    scanner = load("json", build).JSONScanner(body)
    while not scanner.step():
        pass
    return scanner


def told(scan: Any, body: bytes) -> tuple[Any, ...]:
    """All that a scan tells of a body."""
    names = [b"model", b"stream", b"messages", b"a", b"n", b"key3", b"none"]
    each = [(scan.span(name), scan.begins(name), scan.text(name), scan.says(name, b'"m"')) for name in names]
    return (scan.values, scan.repeated, scan.spans, scan.places, each, list(scan.spans))


def learnt(build: str, body: bytes) -> Any:
    """Bodies of which this is one."""
    known = load("body_known", build).KnownBodies()
    assert known.find(body) is None
    known.learn(scanned(build, body), False, False)
    return known


def check(build: str, known: Any, body: bytes) -> bool:
    """Whether it is known, and then the same is told of it as by the scan."""
    found = known.find(body)
    if found is None:
        return False
    assert told(found.scan(body), body) == told(scanned(build, body), body)
    return True


@pytest.mark.parametrize("body", BODIES)
def test_a_body_fits_itself_and_no_part_of_it_does(build, body):
    known = learnt(build, body)
    assert check(build, known, body)
    assert not any(known.find(body[:size]) for size in range(len(body)))
    assert not any(known.find(body + more) for more in (b" ", b"}", b"x", b"\0", b"{}"))


def test_texts_and_whole_numbers_may_be_others(build):
    known = learnt(build, BODIES[0])
    said = {"a": "", "b": '"\\\u00e9\U0001f99c\n'}
    others: dict[str, Any] = {"model": "claude", "max_tokens": 123456789012345678, "metadata": said}
    for ascii_only in (True, False):
        assert check(build, known, json.dumps(CHAT | others, ensure_ascii=ascii_only).encode())
    for other in (
        {"max_tokens": 1234567890123456789},
        {"max_tokens": -1},
        {"max_tokens": 1.5},
        {"max_tokens": "1"},
        {"temperature": 0.8},
        {"stream": True},
        {"model": None},
        {"messages": []},
        {"metadata": {"a": "1"}},
        {"metadata": {"a": "1", "c": "2"}},
        {"more": "x"},
    ):
        assert known.find(json.dumps(CHAT | other).encode()) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"max_tokens"', b'"model"'),  # twice
        (b'"max_tokens"', rb'"mod\u0065l"'),
        (b'"max_tokens"', rb'"max\u005ftokens"'),
        (b'"content": "You', b'"role": "You'),
        (b"brief", b"bri\xffef"),
        (b"brief", b"bri\xed\xa0\x80ef"),
        (b"brief", rb"bri\ud800ef"),
        (b"brief", rb"bri\xef"),
        (b"brief", b"bri\nef"),
        (b"brief", b"bri\0ef"),
        (b"brief", b'bri"ef'),
        (b"256", b"0256"),
        (b"256", b""),
        (b"256", b"2 6"),
        (b"256", b"256.0"),
        (b"256", b"256e1"),
        (b"256", b"+256"),
        (b"256", b"NaN"),
        (b"0.7", b"00.7"),
        (b"false", b"False"),
        (b"{", b"\xef\xbb\xbf{"),
    ],
)
def test_what_the_scan_refuses_or_reads_otherwise_fits_nothing(build, old, new):
    known = learnt(build, BODIES[0])
    assert old in BODIES[0]
    assert known.find(BODIES[0].replace(old, new, 1)) is None


@settings(max_examples=300)
@given(st.data())
def test_whatever_fits_is_what_the_scan_reads(build, data):
    """Any few changes of a body: where it still fits, the scan takes it, and says the same."""
    body = data.draw(st.sampled_from(BODIES))
    known = learnt(build, body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        end = min(len(body), at + data.draw(st.sampled_from((0, 0, 1, 1, 2, 5, 20))))
        body = body[:at] + data.draw(st.sampled_from(INSERTED) | st.binary(max_size=3)) + body[end:]
    check(build, known, body)


def test_many_mutations_of_each_body_are_known_only_where_the_scan_says_the_same(build):
    chance = random.Random(13)
    fitted = 0
    for body in BODIES:
        known = learnt(build, body)
        for _ in range(1500 if build == "compiled" else 300):
            at = chance.randrange(len(body) + 1)
            other = body[:at] + chance.choice(INSERTED) + body[at + chance.choice((0, 1, 1, 3)) :]
            fitted += check(build, known, other)
    assert fitted > 100


@settings(max_examples=100)
@given(st.data())
def test_texts_of_all_kinds_fit(build, data):
    known = learnt(build, BODIES[0])
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    other = CHAT | {"model": data.draw(texts), "metadata": {"a": data.draw(texts), "b": data.draw(texts)}}
    other["max_tokens"] = data.draw(st.integers(0, 10**18 - 1))
    assert check(build, known, json.dumps(other, ensure_ascii=data.draw(st.booleans())).encode())


def test_a_model_that_was_accepted_is_the_same_object(build):
    known = learnt(build, BODIES[0])
    found = known.find(BODIES[0])
    found.scan(BODIES[0])
    assert found.model == ""
    name = str(b"gpt-4o", "ascii")
    found.accept(BODIES[0], name)
    found.scan(BODIES[0])
    assert found.model is name
    other = BODIES[0].replace(b"gpt-4o", b"gpt-4x")
    assert known.find(other) is found
    found.scan(other)
    assert found.model == ""
    assert known.find(BODIES[0]) is found
    found.scan(BODIES[0])
    assert found.model is name


def test_bodies_that_are_never_alike_are_mostly_left_alone(build):
    """A talk that grows with each request."""
    module = load("body_known", build)
    module._known.clear()
    known = module.KnownBodies()
    for n in range(400):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}] * n}).encode()
        assert known.find(body) is None
        known.learn(scanned(build, body), False, False)
    assert 5 < len(module._known) < 15


def growing(n: int) -> bytes:
    """A talk that grows with each request."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}] * n}).encode()


@pytest.mark.parametrize("between", [1, 3, 7])
def test_bodies_that_are_never_alike_are_left_alone_also_between_others_that_are_known(build, between):
    module = load("body_known", build)
    known = learnt(build, BODIES[0])
    module._known.clear()
    found = 0
    for n in range(400):
        if n % (between + 1) == 0:
            found += known.find(BODIES[0]) is not None
            continue
        assert known.find(growing(n)) is None
        known.learn(scanned(build, growing(n)), False, False)
    assert 5 < len(module._known) < 15
    assert found == 400 // (between + 1)


def test_a_form_that_comes_again_is_learnt_soon_and_so_is_the_one_after_it(build):
    known = learnt(build, BODIES[0])
    for n in range(100):
        known.find(growing(n))
        known.learn(scanned(build, growing(n)), False, False)
    longest = load("body_known", build).LONGEST_REST
    for body, most in ((BODIES[1], longest + 1), (BODIES[3], longest // 4 + 1), (BODIES[6], longest // 8 + 1)):
        tries = 0
        while known.find(body) is None:
            known.learn(scanned(build, body), False, False)
            tries += 1
        assert tries <= most
        assert known.find(body) is not None


def test_so_many_are_known_of_a_head_and_the_last_stay(build):
    module = load("body_known", build)
    known = module.KnownBodies()
    bodies = [json.dumps({"model": "m", "messages": "x" * n, f"key{n}": 1}).encode() for n in range(10)]
    for body in bodies:
        while known.find(body) is None:
            known.learn(scanned(build, body), False, False)
    assert all(known.find(body) for body in bodies[-module.KEPT :])
    assert not any(known.find(body) for body in bodies[: -module.KEPT])


def test_so_many_are_known_of_all_heads(build):
    module = load("body_known", build)
    everyone = [learnt(build, BODIES[0]) for _ in range(module.MAX_KNOWN + 10)]
    assert sum(known.find(BODIES[0]) is not None for known in everyone) == module.MAX_KNOWN


def test_what_is_large_beside_its_gaps_is_not_kept(build):
    many = {"model": "m", "stop": ["x"] * 200}
    large = {"model": "m", "tools": [None] * 3000}
    deep: Any = []
    for _ in range(60):
        deep = [deep]
    for body in (many, large, {"model": "m", "deep": deep}):
        data = json.dumps(body).encode()
        assert learnt(build, data).find(data) is None


def test_a_body_with_more_keys_at_the_top_than_any_request_is_not_kept(build):
    most = load("body_known", build).MOST_TOPS
    for keys, kept in ((most, True), (most + 1, False)):
        body = json.dumps({"model": "m"} | {f"key{n}": True for n in range(1, keys)}).encode()
        assert (learnt(build, body).find(body) is not None) == kept


def test_a_body_with_an_escape_in_the_name_of_a_key_at_the_top_is_not_kept(build):
    body = rb'{"model":"m","mod\u0065l2":"n"}'
    assert learnt(build, body).find(body) is None


def test_what_a_body_asked_for_is_told_of_all_like_it(build):
    known = load("body_known", build).KnownBodies()
    assert known.find(BODIES[0]) is None
    known.learn(scanned(build, BODIES[0]), True, True)
    found = known.find(BODIES[0].replace(b"brief", b"long"))
    assert (found.stream, found.include_usage) == (True, True)
