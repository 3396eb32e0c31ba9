"""YAML is read the same with libyaml and without it, and mistakes keep their lines."""

from __future__ import annotations

import pytest
import yaml

from edge.config import yaml as config_yaml
from edge.config.yaml import line_of, read_yaml

TEXTS = [
    "",
    "a: 1\nb: [x, 'off', off, on, yes, no, true, False, null, ~, 1.5, 2024-01-01, 0x10]\n",
    "a: &base {x: 1, y: 2}\nb: {<<: *base, y: 3}\nc: *base\n",
    'a: "tab\\tin quotes"\nb: |\n  many\n  lines\n',
    "- a\n- {b: c}\n",
    "2: x\ntrue: y\n",
    "word",
    "ä: ü\n",
]
WRONG = [
    ("a: 1\nb: 2\na: 3\n", ["line 3: a: the key appears twice"]),
    ("m:\n  - {x: 1, x: 2}\nn: {y: 1,\n  y: 2}\n", ["line 2: m[0].x: the key", "line 4: n.y: the key"]),
    ("a: &b {x: 1}\nc: {<<: *b, y: 1, y: 2}\n", ["line 2: c.y: the key appears twice"]),
    ("1: x\ntrue: y\n", ["two keys of a mapping mean the same"]),
    ("a:\n\t- b\n", ["line 2: "]),
    ("a: 'b\n", ["line "]),
    ("a: *nobody\n", ["line 1: "]),
    ("a: !what b\n", ["line 1: "]),
    ("? [a, b]\n: c\n", ["line 1: "]),
    ("a: [b\nc: d\n", ["line 1: "]),
]


@pytest.fixture(params=["libyaml", "pure"])
def built(request, monkeypatch):
    if request.param == "pure":
        monkeypatch.setattr(config_yaml, "_FAST", config_yaml._PURE)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")


@pytest.mark.parametrize("text", TEXTS)
def test_both_read_the_same(text, built):
    data, _, errors = read_yaml(text)
    assert errors == []
    expected = yaml.safe_load(text)
    if isinstance(expected, dict) and isinstance(expected.get("b"), list):
        expected["b"][1:6] = ["off", "off", "on", "yes", "no"]
    assert data == ({} if expected is None else expected)


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_both_say_the_same_of_mistakes(text, said, built):
    data, _, errors = read_yaml(text)
    assert (data is not None) == ("key" in said[0]), "what is repeated is read all the same, for what else is wrong"
    assert len(errors) == len(said)
    for error, begins in zip(errors, said, strict=True):
        assert error.startswith(begins)


@pytest.mark.once
def test_without_an_end_is_an_error_not_a_crash(built):
    for text in ("[" * 50_000, "a: " + "{a: " * 50_000):
        try:
            assert read_yaml(text)[2]
        except RecursionError:
            pass


def test_a_path_has_its_line_or_that_of_what_there_is_of_it(built):
    _, lines, _ = read_yaml("a:\n  - {x: 1}\n  - x: 2\n    y: 3\nb:\n  c:\n    d\n")
    for path, line in [((), 1), (("a",), 1), (("a", 0), 2), (("a", 1, "y"), 4), (("a", 1, "z"), 3), (("b", "c"), 6)]:
        assert line_of(lines, path) == line
    assert line_of(lines, ("a", 7)) == 1
    assert line_of(lines, ("q", "r")) == 1


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        laughs(40),
        "m0: &m0 {a: 1, b: 2}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 40)),
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
    ],
    ids=["lists", "merges", "itself", "itself in a mapping"],
)
def test_aliases_that_stand_for_too_much_are_an_error_at_once(text, built):
    data, _, errors = read_yaml(text)
    assert data is None
    assert errors == ["aliases (*name) stand for more than 1,000,000 values: write fewer"]


def test_aliases_within_bounds_are_what_they_stand_for(built):
    data, _, errors = read_yaml("base: &base {a: 1}\nmore: {<<: *base, b: 2}\nlist: [*base, *base]\n")
    assert errors == []
    assert data == {"base": {"a": 1}, "more": {"a": 1, "b": 2}, "list": [{"a": 1}, {"a": 1}]}
