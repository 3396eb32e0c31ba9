"""Long lists of YAML, read by the shapes of their items, mean to the last line what the whole text means."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import lists as config_lists
from edge.config import yaml as config_yaml
from edge.config.lists import shortened
from edge.config.yaml import line_of, read_yaml

pytestmark = pytest.mark.once

WORDS = [
    "abc", "Team Blue", "a-b_c.d/e@f+g*h", "sha256:0a1b", "a:b c:d", "é", "ünï çode", "٣", "²", "x" * 1100, "0", "17",
    "007", "0x1F", "1_000", "1:30", "1e5", "1.5", "123456789012345678901234567890", "2024-01-01", "2024-13-41", "true",
    "True", "tRUE", "trueish", "off", "yes", "y", "null", "Null", "nullable", "None", "~", "-1", ".5", ".inf", "=", "<<",
    '""', "''", '"a b"', "'a \"b\" \\'", '"it\'s, [x]: {y} #z"', '"a\\tb"', "'it''s'", '"true"', "'7'", "${NAME}", "a #b",
    "a# b", "a #", "&x y", "*x", "!t y", "!!str 7", "|", ">", "- x", "? x", "a: b", "a:", ":a", ", b", "a,b", "[a", "a]",
    "{a", "[]", "{}", "[a, b]", "[a,'b']", "{a: b}", '{"a":"b"}', "{a}", "%x", "@x", "`x", "a\tb", "a\u00a0b", "a\u2028b",
    "a\x85b", "\ufeffa", "a\x07b", "", " ", "a\n b", '"a\n b"', "a\n      b", "'a\n\n      b'",
]  # fmt: skip
PLACES = [
    "  - {}\n",
    "  - a: {}\n    b: 1\n",
    "  - [{}, z]\n",
    "  - {{a: {}, b: [c]}}\n",
    "  - a:\n    - {}\n",
    "  -   {}   # c\n",
]


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch):
    monkeypatch.setattr(config_lists, "MANY", 2)


def paths(data, path=()):
    """All that there are, and some that there are not."""
    yield path
    yield (*path, "nothing")
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in parts:
        yield from paths(part, (*path, key if isinstance(key, int) else str(key)))


def everything(text: str) -> object:
    """What a reading says, so that what differs in type differs; with the lines of all paths."""
    try:
        data, node, errors = read_yaml(text)
        lines = [line_of(node, path) for path in paths(data)] if node is not None else []
    except (ValueError, RecursionError) as error:
        return type(error)
    return repr(data), errors, lines


def whole(text: str) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config_yaml, "shortened", lambda text, *_: (text, []))
        return everything(text)


def left_out(text: str) -> int:
    runs = shortened(text, config_yaml._node_of, config_yaml._plain)[1]
    return sum(len(run) - 2 for run in runs)


@pytest.mark.parametrize("place", PLACES)
def test_every_word_means_the_same_wherever_it_stands(place):
    for sample, word in itertools.product(["abc", "'q'", '"d"', "1", "7:8", "nil"], WORDS):
        items = [place.format(each) for each in (sample, sample, word, sample, sample)]
        text = f"x:\n{''.join(items)}y: 1\n"
        assert everything(text) == whole(text), text


FIELDS = st.sampled_from(
    [
        "id: {}", "tenant: {}", '"id": {}', "digests: [{}]", "digests: [{}, {}]", "digests:\n    - {}", "x: {{a: {}}}",
        "models:\n      - {}\n      - {}", "deep:\n      a: {}\n      b: {}", "empty:", "1: {}", "? {}", "<<: {{m: {}}}",
    ]
)  # fmt: skip
PLAIN_WORDS = st.sampled_from(
    ["abc", "team 7", "12", "'q'", '"sha256:aa"', "true", "null", "gpt-*", "tea", "2024-01-01"]
)
ANY_WORDS = st.one_of(*[PLAIN_WORDS] * 8, st.sampled_from(WORDS))
COMMENTS = st.sampled_from([*[""] * 8, " # of team 7", "\n# at the left", "\n\n", "\n      # 'deep", " ", "\t"])


@st.composite
def items(draw) -> str:
    words = draw(st.lists(ANY_WORDS, min_size=8, max_size=8))
    if draw(st.integers(0, 3)) == 0:
        return f"  - {{id: {words[0]}, tenant: {words[1]}, models: [{words[2]}, {words[3]}]}}{draw(COMMENTS)}\n"
    fields = draw(st.lists(FIELDS, min_size=1, max_size=3, unique=draw(st.integers(0, 9)) > 0))
    given = iter(words)
    lines = [field.format(next(given), next(given)) + draw(COMMENTS) for field in fields]
    return "  - " + "\n    ".join(lines) + "\n"


FRAMES = st.sampled_from(
    [
        "keys:\n{}", "auth:\n  keys:\n{}  mode: keys\n", "a: 1\nkeys:\n{}b: [x]\n", "text: |+\n{}\nb: 2\n", 'text: "\n{}"\n',
        "x: [\n{}]\n", "keys: &k\n{}other: *k\n", "word\n{}", "x: &a {{b: 1}}\nkeys:\n{}  - *a\n  - <<: *a\n    c: 2\n",
        "<<:\n{}", "---\nkeys:\n{}...\n", "a: 1\nkeys:\n{}a: 2\n", "text: 'it\n{}s'\n", "- - x\n{}", "{}", "keys:\n  - |+\n    a\n\n{}",
        "keys:\n  - 'a\n{}  - b'\n", "keys:\n  - a\n   b\n{}", "keys:\n{}\n  - c: |+\n\n\n     d\n", "keys:\n{}other:\n{}", "keys:\n{} - x\n",
    ]
)  # fmt: skip


@st.composite
def texts(draw) -> str:
    some = draw(st.lists(items(), min_size=1, max_size=3))
    listed = "".join(draw(st.lists(st.sampled_from(some), min_size=3, max_size=9)))
    text = draw(FRAMES).replace("{}", listed).replace("{{", "{").replace("}}", "}")
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        place = draw(st.integers(0, len(text)))
        text = (
            text[:place] + draw(st.sampled_from([*"\n -:,#'\"[]{}&*!|>?%\\\ta1", "\n  - ", "- ", ": "])) + text[place:]
        )
    return text


@pytest.mark.slow
@settings(max_examples=300)
@given(texts())
def test_a_text_with_lists_is_read_as_it_is_read_whole(text):
    assert everything(text) == whole(text)


@pytest.mark.parametrize(
    "item",
    [
        '    - {{id: key-{n}, digests: ["sha256:{n:064x}"]}}\n',
        '    - {{"id": "key-{n}", "digests": ["sha256:{n:064x}"], "admin": false}}\n',
        "    - {{id: 'key-{n}', digests: [sha256:{n:064x}], models: [gpt-*, \"claude-*\"], requests_per_minute: {n}}}  # team {n}\n",
        "    - id: key-{n}\n      tenant: Team {n}\n      digests:\n        - sha256:{n:064x}\n\n",
        "    # {n}'s\n    - digests:\n      - sha256:{n:064x}\n      id: {n}\n      cache: off\n      admin: true\n",
        "    - gpt-{n}\n",
    ],
)  # fmt: skip
def test_the_forms_in_which_keys_are_written_leave_two_items_in_the_text(item):
    text = "auth:\n  keys:\n" + "".join(item.format(n=n) for n in range(300)) + "cache: {mode: off}\n"
    assert left_out(text) >= 297
    assert everything(text) == whole(text)


def test_what_differs_is_read_by_so_many_shapes_and_no_more(monkeypatch):
    composed = []
    monkeypatch.setattr(config_lists, "SHAPES", 20)
    node_of = config_yaml._node_of
    monkeypatch.setattr(config_yaml, "_node_of", lambda text: composed.append(text) or node_of(text))
    text = "keys:\n" + "".join(f"  - {{name{n}: x, b: [{', '.join('y' * n)}]}}\n" for n in range(50)) * 2
    assert everything(text) == whole(text)
    assert len(composed) == 20
