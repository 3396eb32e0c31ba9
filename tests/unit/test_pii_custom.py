"""What a configuration names to be found: literals and patterns, in bodies and in streams."""

from __future__ import annotations

import builtins
import json
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import config
from edge.config.rules import problems
from edge.guard.answers import Watch
from edge.guard.auth import Key
from edge.guard.custom import MOST_HELD, Custom, Pieces, customs_of
from edge.guard.pii import redact_now
from edge.guard.policy import Policies, Policy
from edge.guard.restore import Restorer
from edge.routes import match
from edge.state import build_state
from tests.unit.streaming import DIALECTS, NESTED, bytes_pieces, joined, pieces_of

EMAIL = "alice.smith@example.com"
PROJECT = config.PiiCustom(name="project", literals=["Bluebird", "Blue", "Operation Red Door", "東京計画", "C++"])
EMPLOYEE = config.PiiCustom(name="employee", pattern="EMP-[0-9]{4,6}", longest=10)


@pytest.fixture
def re2():
    return pytest.importorskip("re2", reason="google-re2 is not installed: no patterns")


def policy(mode="mask", *members):
    return Policy(mode, config.Pii(), b"s" * 32, customs_of(list(members or [PROJECT]), {}))


def masked(body, *members):
    return msgspec.json.decode(redact_now(policy("mask", *members), json.dumps(body).encode()).body)


LITERALS = [
    ("Bluebird flies", "[PROJECT] flies"),
    ("the BLUEBIRD.", "the [PROJECT]."),
    ("Blue Bluebirds", "[PROJECT] Bluebirds"),
    ("Bluebird2 aBlue 2Blue", "Bluebird2 aBlue 2Blue"),
    ("operation red door, Operation Red", "[PROJECT], Operation Red"),
    ("das東京計画は", "das[PROJECT]は"),
    ("in C++, C++x", "in [PROJECT], [PROJECT]x"),
    (f"Bluebird {EMAIL}", "[PROJECT] [EMAIL]"),
    ("Blue\nBlue\tBlue\\Blue\"Blue", "[PROJECT]\n[PROJECT]\t[PROJECT]\\[PROJECT]\"[PROJECT]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), LITERALS)
@pytest.mark.parametrize("before", ["", "x " * 20_000])
def test_literals(text, expected, before):
    assert masked({"input": before + text}) == {"input": before + expected}


def test_patterns(re2):
    text = "EMP-123456, EMP-12, EMP-12345678 and EMP-4321"
    expected = "[EMPLOYEE], EMP-12, [EMPLOYEE]78 and [EMPLOYEE]"
    for before in ("", "x " * 20_000):
        assert masked({"input": before + text}, EMPLOYEE) == {"input": before + expected}


DISGUISED = [
    ("Blue\u200bbird flies", "[PROJECT] flies"),
    ("\u200bBluebird\u200b.", "\u200b[PROJECT]\u200b."),
    ("Ｂｌｕｅｂｉｒｄ and B\u00adlue", "[PROJECT] and [PROJECT]"),
    ("EMP-１２３４, EMP-12\u2060345", "[EMPLOYEE], [EMPLOYEE]"),
    ("𝐄𝐌𝐏-١٢٣٤ x EMP-1234", "[EMPLOYEE] x [EMPLOYEE]"),
    ("ask blue%40corp, blue&#64;corp", "ask [TEAM], [TEAM]"),
    ("Bl\u200bueberry, EMP-1\u200b2", "Bl\u200bueberry, EMP-1\u200b2"),
]  # fmt: skip
TEAM = config.PiiCustom(name="team", literals=["blue@corp"])


@pytest.mark.parametrize(("text", "expected"), DISGUISED)
@pytest.mark.parametrize("before", ["", "x " * 20_000])
def test_they_are_found_as_a_text_reads_too(re2, text, expected, before):
    assert masked({"input": before + text}, TEAM, PROJECT, EMPLOYEE) == {"input": before + expected}


@pytest.mark.parametrize(("text", "expected"), DISGUISED)
def test_they_are_found_as_a_text_reads_in_any_split(re2, text, expected):
    customs = customs_of([TEAM, PROJECT, EMPLOYEE], {})
    names = ["[TEAM]", "[PROJECT]", "[EMPLOYEE]"]
    for size in range(1, len(text)):
        pieces = Pieces(customs)
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        found = [each for n, part in enumerate(parts, 1) for each in pieces.feed(part, n == len(parts))]
        assert "".join(part for part, _ in found) == text
        assert "".join(part if index < 0 else names[index] for part, index in found) == expected


def test_what_nobody_sees_does_not_make_a_stream_wait_for_ever():
    pieces = Pieces(customs_of([PROJECT], {}))
    waiting, most = 0, 0
    for piece in ["Blueb", *["\u200b" * 100] * 99]:
        waiting += len(piece) - sum(len(part) for part, _ in pieces.feed(piece, False))
        most = max(most, waiting)
    assert 4_000 < most <= MOST_HELD


def test_disguises_take_time_in_proportion():
    customs = customs_of([PROJECT, TEAM], {})
    taken = []
    for size in (10_000, 80_000):
        begun = time.thread_time()
        customs.find("Bl\u200bue " * size)
        taken.append(time.thread_time() - begun)
    assert taken[1] < 30 * taken[0] + 0.05


def test_in_every_place_of_a_body(re2):
    number = config.PiiCustom(name="badge", pattern="[0-9]{6}")
    body = {
        "input": [{"Bluebird": 1, "bluebird": [123456, 1234567, "Bluebird"]}],
        "messages": [{"content": "Bluebird", "tool_calls": [{"function": {"arguments": '{"Bluebird": "\\u0042lue", "n": 123456}'}}]}],
        "model": "Bluebird",
        "id": "Bluebird",
    }  # fmt: skip
    made = masked(body, PROJECT, number)
    arguments = made["messages"][0]["tool_calls"][0]["function"].pop("arguments")
    assert json.loads(arguments) == {"[PROJECT]": "[PROJECT]", "n": "[BADGE]"}
    assert made == {
        "input": [{"Bluebird": 1, "bluebird": [123456, 1234567, "[PROJECT]"]}],
        "messages": [{"content": "[PROJECT]", "tool_calls": [{"function": {}}]}],
        "model": "Bluebird",
        "id": "Bluebird",
    }
    used = {"messages": [{"content": [{"type": "tool_use", "input": {"Bluebird": 123456, "blue": [1234567]}}]}]}
    assert masked(used, PROJECT, number)["messages"][0]["content"][0]["input"] == {
        "[PROJECT]": "[BADGE]",
        "[PROJECT] 2": [1234567],
    }


def test_they_are_counted_by_name_and_allowed_values_stay():
    made = redact_now(policy(), json.dumps({"input": f"Blue Bluebird {EMAIL}"}).encode())
    assert made.told == "email=1,project=2"
    allowing = Policy("mask", config.Pii(allow=["bluebird"]), b"", customs_of([PROJECT], {}))
    assert redact_now(allowing, b'{"input":"Blue Bluebird"}').body == b'{"input":"[PROJECT] Bluebird"}'
    assert redact_now(policy("detect"), b'{"input":"Blue"}').told == "project=1"
    assert redact_now(policy("block"), b'{"input":"Blue"}').refusal() is not None


@pytest.mark.parametrize("before", ["", "x " * 20_000])
def test_pseudonyms_are_put_back_as_they_were_written(before):
    body = json.dumps({"input": before + "Bluebird, BLUEBIRD"}).encode()
    made = redact_now(policy("pseudonymize"), body)
    assert b"luebird" not in made.body
    assert sorted(made.originals.values()) == ["BLUEBIRD", "Bluebird"]
    assert Restorer(made.originals).whole_answer(made.body, stream=False) == body


WORDS = st.sampled_from(
    ["Blue", "bird", "Bluebird", " ", " ", "Operation ", "Red ", "Door", "C++", EMAIL, "é", "東京", "計画"]
)


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60)
@given(words=st.lists(WORDS, max_size=12), cuts=st.lists(st.integers(0, 120), max_size=30), data=st.data())
def test_in_any_split_of_any_stream_as_in_the_whole(dialect, words, cuts, data):
    text = "x " + "".join(words)
    expected = masked({"input": text})["input"]
    written = json.dumps({"w": text}, ensure_ascii=data.draw(st.booleans())) if dialect in NESTED else text
    stream = b"".join(DIALECTS[dialect](pieces_of(written, cuts)))
    watch = Watch(policy())
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    told = b"".join([watch.feed(piece) for piece in bytes_pieces(stream, places)]) + watch.end()
    said = joined(told, dialect)
    assert (json.loads(said)["w"] if dialect in NESTED else said) == expected


@given(text=st.text("EMP-0123 x", max_size=60), cuts=st.lists(st.integers(0, 60), max_size=20))
def test_a_pattern_in_any_split(text, cuts):
    pytest.importorskip("re2", reason="google-re2 is not installed: no patterns")
    customs = customs_of([EMPLOYEE, PROJECT], {})
    pieces = Pieces(customs)
    parts = pieces_of(text, cuts) or [""]
    found = [each for number, part in enumerate(parts, 1) for each in pieces.feed(part, number == len(parts))]
    assert "".join(part for part, _ in found) == text
    assert [part for part, index in found if index >= 0] == [text[start:end] for start, end, _ in customs.find(text)]


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_match_that_adjoins_one_before_it_is_found_in_any_split(re2, cut):
    customs = customs_of([config.PiiCustom(name="digits", pattern="[0-9]{4}", longest=4)], {})
    pieces = Pieces(customs)
    text = "12345678"
    made = [*pieces.feed(text[:cut], False), *pieces.feed(text[cut:], False), *pieces.feed("", True)]
    assert [part for part, index in made if index == 0] == ["1234", "5678"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 200])
def test_escaped_quotes_in_arguments_do_not_hide_what_comes_after_them(re2, size):
    text = json.dumps({"size": 'a 5" pipe', "a\\": "by EMP-1234 and EMP-5678", "b": "EMP-9999"})
    made = Watch(policy("mask", EMPLOYEE))
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    told = b"".join([*(made.feed(event) for event in DIALECTS["calls"](pieces)), made.end()])
    assert json.loads(joined(told, "calls")) == {
        "size": 'a 5" pipe', "a\\": "by [EMPLOYEE] and [EMPLOYEE]", "b": "[EMPLOYEE]"
    }  # fmt: skip


@pytest.mark.parametrize("text", ["{Bluebird} is Bluebird.", "{ Bluebird", '["Bluebird", Bluebird'])
def test_a_text_that_only_begins_as_json_does_hides_nothing(text):
    made = Watch(policy())
    told = b"".join([*(made.feed(event) for event in DIALECTS["chat"]([text])), made.end()])
    assert joined(told, "chat") == text.replace("Bluebird", "[PROJECT]")


def test_no_more_waits_than_may_go_on():
    pieces = Pieces(customs_of([PROJECT], {}))
    assert pieces.feed("see Blueb", False) == [("see ", -1)]
    assert pieces.feed("erry and op", False) == [("Blueberry and ", -1)]
    assert pieces.feed("eration red doors", False) == [("operation red doors", -1)]


@pytest.mark.parametrize("text", ["a" * 20_000, "ab" * 10_000, "Bluebir" * 3_000])
def test_many_literals_take_time_in_proportion(text):
    many = [f"{'a' * (number % 100)}{number}b" for number in range(5_000)]
    custom = Custom(config.PiiCustom(name="many", literals=[*many, "a" * 127 + "b"]))
    begun = time.thread_time()
    assert custom.spans(text) == []
    once = time.thread_time() - begun
    begun = time.thread_time()
    custom.spans(text * 8)
    assert time.thread_time() - begun < 30 * once + 0.05


class TestConfiguration:
    PROVIDERS = {"o": config.Provider(dialect="openai", base_url="http://127.0.0.1:1/v1")}  # noqa: RUF012

    def told(self, *members, **more):
        found = config.Config(providers=self.PROVIDERS, pii=config.Pii(custom=list(members)), **more)
        return [(".".join(map(str, where)), what) for where, what in problems(found)]

    def test_what_is_wrong_with_a_pattern(self, re2):
        for pattern, said in (
            ("(", "is none of RE2"),
            ("a(?=b)", "is none of RE2"),
            ("x*", "matches where nothing stands"),
        ):
            ((where, what),) = self.told(config.PiiCustom(name="odd", pattern=pattern))
            assert where == "pii.custom.0.pattern"
            assert what.startswith(said)

    def test_without_re2_a_pattern_says_how_to_install_it(self, monkeypatch):
        imported = builtins.__import__

        def without(name, *arguments, **more):
            if name == "re2":
                raise ImportError
            return imported(name, *arguments, **more)

        monkeypatch.setattr(builtins, "__import__", without)
        ((where, what),) = self.told(EMPLOYEE)
        assert where == "pii.custom.0.pattern"
        assert "pip install 'llm-edge-agent[pii]'" in what
        assert self.told(PROJECT) == []

    def test_names(self):
        ((where, _),) = self.told(config.PiiCustom(name="email", literals=["xy"]))
        assert where == "pii.custom.0.name"
        ((where, _),) = self.told(config.PiiCustom(name="empty"))
        assert where == "pii.custom.0"
        for name in ("A", "a-b", "a" * 24, "1a", ""):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert({"name": name, "literals": ["xy"]}, config.PiiCustom)

    def test_those_of_keys_and_aliases_hold_in_addition(self):
        own = config.PiiModes(custom=[config.PiiCustom(name="matter", literals=["M1"])])
        of_alias = config.PiiModes(request="mask", custom=[config.PiiCustom(name="client", literals=["Acme"])])
        model = config.Model(upstreams=[config.Target(to="o/gpt-4o")], pii=of_alias)
        state = build_state(
            config.Config(
                providers=self.PROVIDERS,
                pii=config.Pii(request="detect", response="mask", custom=[PROJECT]),
                models={"smart": model},
                auth=config.Auth(keys=[config.Key(id="k", digests=["sha256:" + "0" * 64], pii=own)]),
            )
        )
        route = match(b"/v1/chat/completions").route
        plain, special = Key("p", "p", None, admin=False), Key("k", "k", None, admin=False, pii=own)
        names = {
            (key.id, name): state.grant(key, name, route).pii.kinds[7:] for key in (plain, special) for name in ("o/gpt-4o", "smart")
        }  # fmt: skip
        assert names == {
            ("p", "o/gpt-4o"): ("project",),
            ("p", "smart"): ("project", "client"),
            ("k", "o/gpt-4o"): ("project", "matter"),
            ("k", "smart"): ("project", "matter", "client"),
        }
        versions = {
            state.grant(key, name, route).pii.version for key in (plain, special) for name in ("o/gpt-4o", "smart")
        }
        assert len(versions) == 4
        assert state.grant(special, "smart", route).answers.kinds[7:] == ("project", "matter", "client")

    def test_a_policy_is_made_once(self):
        policies = Policies(config.Pii(request="mask", custom=[PROJECT]))
        assert policies.request([]) is policies.request([])
        assert policies.response([]) is None
