"""What ``tests/replay`` writes down of a case, and what it calls a difference."""

from __future__ import annotations

import ast
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests.replay.canonical import Placeholders, answer_of, body_of, delta, fields_of, line_of, request_of, series
from tests.replay.client import Answer
from tests.replay.compare import Intended, differences, read_intended, read_play, report
from tests.replay.corpus.bodies import faulty_model
from tests.replay.setups import PAIRED, RESTING, SETUPS, understood

pytestmark = pytest.mark.once

TESTS = Path(__file__).parents[1]
LINE = '{"request_id":"%s","status":200,"duration_ms":%s,"cost_usd":0.00009,"timestamp":"2026-11-23T09:00:00.1Z"}'


class TestCanonical:
    def test_what_differs_each_time_has_a_placeholder_that_keeps_its_form(self):
        def made(ident: str, ms: str, date: str) -> dict:
            places = Placeholders()
            places.learn(ident, "id")
            fields = [("Date", date), ("x-request-id", ident), ("x-edge-overhead-ms", ms), ("age", "0")]
            return fields_of(fields, places)

        one = made("0123456789abcdef" * 2, "0.31", "Mon, 23 Nov 2026 09:00:00 GMT")
        assert one == made("f" * 32, "12", "Tue, 24 Nov 2026 10:11:12 GMT")
        assert one["x-request-id"] == "<id 1: hex 32>"
        assert one != made("f" * 31, "12", "Tue, 24 Nov 2026 10:11:12 GMT")
        assert one != made("f" * 32, "soon", "Tue, 24 Nov 2026 10:11:12 GMT")
        assert one != made("f" * 32, "12", "24 Nov 2026")

    def test_the_same_identifier_is_the_same_wherever_it_stands(self):
        places = Placeholders()
        places.learn("a" * 32, "id")
        places.learn("b" * 32, "id")
        assert body_of(b'{"id":"%b","of":"%b"}' % (b"b" * 32, b"a" * 32), places) == (
            '{"id":"<id 2: hex 32>","of":"<id 1: hex 32>"}'
        )

    def test_times_of_now_are_hidden_and_others_are_not(self):
        places = Placeholders()
        assert places.text(f'{{"created":{int(time.time())}}}') == '{"created":"<now>"}'
        assert places.text('{"created":1760000000}') == '{"created":1760000000}'

    def test_a_case_says_what_else_varies(self):
        places = Placeholders(volatile=[r"again in (\d+\.\d+) s"])
        assert places.text("Ask again in 59.98 s.") == "Ask again in <varies> s."

    def test_repeated_fields_keep_their_values_and_all_fields_their_order(self):
        head = b"POST /v1/messages HTTP/1.1\r\nHost: h\r\nanthropic-beta: a\r\nanthropic-beta: b"
        made = request_of(head, b"{}", Placeholders())
        assert made["fields"] == {"host": "h", "anthropic-beta": ["a", "b"]}
        assert made["order"] == "Host anthropic-beta anthropic-beta"

    def test_long_bodies_are_told_by_digest_and_binary_ones_in_base64(self):
        one, other = (body_of(b"x" * 5000 + end + b"y" * 5000, Placeholders()) for end in (b"a", b"b"))
        assert one["length"] == 10001
        assert (one["begins"], one["ends"]) == (other["begins"], other["ends"])
        assert one["sha256"] != other["sha256"]
        assert body_of(b"x" * 5000, Placeholders(), whole=True) == "x" * 5000
        assert body_of(b"\xff\x00", Placeholders()) == "base64:/wA="

    def test_lines_keep_exact_costs_and_refuse_odd_durations(self):
        places = Placeholders()
        line = line_of(LINE % ("rp-1", "12.25"), places)
        assert line == line_of(LINE % ("rp-1", "3"), places)
        assert (line["duration_ms"], line["cost_usd"], line["timestamp"]) == ("<ms>", "0.00009", "<time>")
        assert line_of(LINE % ("rp-1", "12.253"), places)["duration_ms"] == "12.253"
        assert line_of("Traceback", places) == "Traceback"

    def test_metrics_are_what_was_counted_without_measures_of_time(self):
        text = '# HELP a b\na_total{x="y z"} %s\nb_seconds_sum 0.%s\nb_seconds_bucket{le="1"} 3\nb_seconds_count %s\n'
        before, after = (series(text % each) for each in (("1.0", "5", "2"), ("1.0001", "7", "3")))
        assert delta(before, after) == {'a_total{x="y z"}': "0.0001", "b_seconds_count": "1"}
        assert delta({}, {"a": Decimal("1.0000000000000001")}) == {"a": "1"}

    def test_what_is_wrong_with_an_answer_is_told(self):
        answer = Answer(
            "HTTP/1.1 200 OK", [("Content-Length", "9")], "length", b"x", ["HTTP/1.1 100 Continue"], "ended"
        )
        made = answer_of(answer, Placeholders())
        assert (made["trouble"], made["interim"], made["framing"]) == ("ended", ["HTTP/1.1 100 Continue"], "length")


def record(case: str, **more) -> dict:
    return {case: {"case": case, **more}}


class TestCompare:
    def test_each_difference_is_told_by_its_field(self):
        old = record("a", clients=[{"status": "200", "body": "x" * 500 + "old"}], log=[], same=1)
        new = record("a", clients=[{"status": "201", "body": "x" * 500 + "new"}], log=[{"e": 1}], same=1)
        found = {each.field: each for each in differences(old, new)}
        assert set(found) == {"clients.0.status", "clients.0.body", "log.0"}
        assert (found["clients.0.status"].old, found["clients.0.status"].new) == ('"200"', '"201"')
        assert found["clients.0.body"].old == f'..."{"x" * 60}old"'
        assert found["log.0"].old == "(absent)"
        assert not list(differences(old, old))

    def test_cases_that_are_there_once_are_differences(self):
        found = list(differences(record("a"), record("b")))
        assert [(each.case, each.field, each.old) for each in found] == [("a", "", "played"), ("b", "", "(absent)")]

    def test_what_is_intended_is_counted_and_all_else_fails(self):
        old, new = record("lane/a", x=1, y=1), record("lane/a", x=2, y=2)
        found = list(differences(old, new))
        meant = [Intended("*/a", "x", "because"), Intended("*/b", "*", "no more")]
        lines, good = report(found, meant, 1, 10)
        assert not good
        assert lines[0] == "lane/a: y: 1 -> 2"
        assert "intended: */a: x: 1 differences: because" in lines
        assert "intended: */b: *: nothing any more: no more" in lines
        assert lines[-1] == "1 cases, 1 of them with differences that are not intended (1)"
        assert report(found, [Intended("*", "[xy]", "because")], 1, 10)[1]

    def test_an_intention_has_a_reason(self, tmp_path):
        path = tmp_path / "intended.toml"
        path.write_text('[[intended]]\ncase = "a"\nfield = "b"\n')
        with pytest.raises(ValueError, match="reason"):
            read_intended(path)
        assert isinstance(read_intended(TESTS / "replay/intended.toml"), list)

    def test_a_play_has_each_case_once(self, tmp_path):
        path = tmp_path / "play"
        path.write_text('{"case":"a","body":"one\u2028line"}\n')
        assert read_play(path)["a"]["body"] == "one\u2028line"
        path.write_text('{"case":"a"}\n{"case":"a"}\n')
        with pytest.raises(ValueError, match="twice"):
            read_play(path)


def test_a_tree_is_given_the_settings_that_it_knows():
    config = {"models": {}, "resilience": {"connect_s": 2, "retries": 0, "breaker": {"failures": 9}}}
    assert understood(config, frozenset({"connect_s"})) == {"models": {}, "resilience": {"connect_s": 2}}
    assert understood(config, frozenset(config["resilience"])) == config


def test_who_is_asked_to_leave_a_key_alone_shares_no_model_with_another_case():
    aliases = SETUPS["quick"].config(dict.fromkeys(("openai", "anthropic", "a", "b", "down"), "http://x"))["models"]
    resting = {name: [each["to"] for each in aliases[name]["upstreams"]] for name in aliases if name.endswith(RESTING)}
    assert len(resting) == len(PAIRED) * len(RESTING)
    assert all(to.endswith(RESTING) for upstreams in resting.values() for to in upstreams)
    assert faulty_model("openai", "429-retry-3", 1) != faulty_model("openai", "429-retry-3", 2)
    assert faulty_model("openai", "500", 1) == faulty_model("openai", "500", 2) == "openai/sim-500"


def test_nothing_that_plays_imports_the_edge():
    """A tree is seen from outside alone, or two trees could not be compared."""
    for path in [TESTS / "harness.py", *(TESTS / "replay").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "edge" for name in names), path
