"""Values that are written otherwise than they read: they are found, and told of as they are written."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge import config
from edge._fast import KINDS, StreamScanner, scan_text
from edge.guard.answers import Watch
from edge.guard.disguise import Plain, Seen, is_disguised
from edge.guard.pii import looked_through, redact_now
from edge.guard.policy import Policy
from edge.slices import finished

FOUND = {
    "jane.doe＠example.org": "email",
    "ｊａｎｅ＠ｅｘａｍｐｌｅ．ｏｒｇ": "email",
    "jane.doe%40example.org": "email",
    "jane.doe&#64;example.org": "email",
    "jane.doe&commat;example.org": "email",
    "jane.doe\u200b@exam\u200dple.org": "email",
    "jane.doe\u200b%40example.org": "email",
    "ｊａｎｅ%40example.org": "email",
    "jan٤&#64;example.org": "email",
    "jane@exa\u00admple.org": "email",
    "４１１１ １１１１ １１１１ １１１１": "card",
    "4111\u200b1111\u200b1111\u200b1111": "card",
    "4111\u20091111\u20091111\u20091111": "card",
    "4111\u200b\u20091111\u200b\u20091111\u200b\u20091111": "card",
    "4111\u22121111\u22121111\u22121111": "card",
    "٤١١١١١١١١١١١١١١١": "card",
    "४१११ ११११ ११११ ११११": "card",
    "𝟜𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙": "card",
    "+1\u2009415\u2009555\u20092671": "phone",
    "DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00": "iban",
    "１９２．１６８．１．２３": "ip",
    "jane.doe@example\uff61org": "email",
    "192\uff61168\uff611\uff6123": "ip",
}
NOTHING = (
    "日本語\u3000テスト、全角！",
    "❤️ 👨‍👩‍👧 می‌خواهم",
    "100%40 of them & more",
    "x²＋y² — z",
    "printf('%40s.foo')",
    "\ufeffplain",
)
MASK = Policy("mask", config.Pii())


def pieces_of(cuts):
    scanner = Seen(StreamScanner(code=True))
    found = [piece for cut in cuts for piece in scanner.feed(cut)] + scanner.flush()
    joined: list[tuple[bytes, int]] = []
    for data, kind in found:
        if joined and joined[-1][1] == kind == -1:
            joined[-1] = joined[-1][0] + data, kind
        else:
            joined.append((data, kind))
    return joined


@pytest.mark.parametrize(("written", "kind"), FOUND.items())
def test_what_reads_as_a_value_is_found_and_told_of_as_it_is_written(written, kind):
    for before, after in (("", ""), ("write to ", " today"), ("\u200b", "\u200b"), ("一、", "。")):
        text = f"{before}{written}{after}".encode()
        plain = Plain(text)
        assert is_disguised(text)
        spans = [
            (text[plain.begin(start) : plain.end(end)].decode(), KINDS[of]) for start, end, of in scan_text(plain.text)
        ]
        assert spans == [(written, kind)]


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_a_disguise_is_left_as_it_is(text):
    body = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()
    assert redact_now(MASK, body).body == body


@given(st.lists(st.sampled_from([*FOUND, *NOTHING, " ", "a", "%", "&", "\u200b", "1", "\n"])), st.data())
@example(["\u200b", "jane.doe＠example.org", "\u200b"], None)
def test_however_a_text_is_cut_the_same_is_found_and_its_pieces_are_the_text(parts, data):
    text = "".join(parts).encode()
    at = sorted(data.draw(st.lists(st.integers(0, len(text))))) if data is not None else list(range(len(text)))
    cuts = [text[start:end] for start, end in zip([0, *at], [*at, len(text)], strict=True)]
    told = pieces_of(cuts)
    assert b"".join(piece for piece, _ in told) == text
    assert told == pieces_of([text])
    plain = Plain(text)
    spans = [(text[plain.begin(start) : plain.end(end)], kind) for start, end, kind in scan_text(plain.text)]
    assert [(piece, kind) for piece, kind in told if kind >= 0] == spans


@pytest.mark.parametrize(("written", "kind"), FOUND.items())
@pytest.mark.parametrize("escaped", [True, False])
def test_it_is_put_out_of_every_text_of_a_request_and_of_whole_answers(written, kind, escaped):
    content = [
        f"it is {written}",
        "x " * 20_000 + written,
        json.dumps({"a": written, written: "b"}, ensure_ascii=escaped),
    ]
    body = json.dumps({"messages": content, "metadata": {written: [written]}}, ensure_ascii=escaped).encode()
    for made in (redact_now(MASK, body), finished(looked_through(MASK, body))):
        assert written not in json.dumps(json.loads(made.body), ensure_ascii=False)
        assert made.findings() == [(kind, 6)]


def test_a_pseudonym_stands_for_what_was_written():
    policy = Policy("pseudonymize", config.Pii(), b"s" * 32)
    made = redact_now(policy, json.dumps({"messages": ["4111\u200b1111\u200b1111\u200b1111"]}).encode())
    assert list(made.originals.values()) == ["4111\u200b1111\u200b1111\u200b1111"]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_it_is_put_out_of_a_stream(size):
    said = "write to jane.doe＠exam\u200dple.org, or call ４１１１ １１１１ １１１１ １１１１."
    watch = Watch(MASK)
    told = b""
    for at in range(0, len(said), size):
        chunk = {"choices": [{"index": 0, "delta": {"content": said[at : at + size]}}]}
        told += watch.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    told += watch.feed(b"data: [DONE]\n\n") + watch.end()
    lines = [json.loads(line[6:]) for line in told.splitlines() if line.startswith(b"data: {")]
    assert "".join(line["choices"][0]["delta"]["content"] for line in lines) == "write to [EMAIL], or call [CARD]."


def test_what_nobody_sees_takes_no_more_memory_than_it_has_bytes():
    """Of a body that has nothing else, as many as a body may have."""
    text, times = "\u200b".encode() * 1000, 100
    scanner = Seen(StreamScanner(code=True))
    tracemalloc.start()
    try:
        told = [piece for _ in range(times) for piece in scanner.feed(text)] + scanner.flush()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert b"".join(piece for piece, _ in told) == text * times
    assert peak < 4 * times * len(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("jane@example.org.pdf", b"jane@example.org"),
        ("mail/jane@mail.example.co.uk.txt", b"jane@mail.example.co.uk"),
        ("icon@2x.png", None),
        ("vue@3.4.min.js", None),
        ("logo@2x.min.svg", None),
    ],
)
def test_a_file_that_is_named_by_an_address_names_it(text, found):
    spans = scan_text(text.encode())
    assert [text.encode()[start:end] for start, end, _ in spans] == ([found] if found else [])
