"""The key of a request in a cache, on both builds."""

from __future__ import annotations

import copy
import json
import os
import random
import subprocess
import sys
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import BUILDS, EACH_BUILD, load
from tests.unit.key_forms import count_form, decode, plain, read, shuffled

# Whoever has to change one of these has changed the form: FORMAT_VERSION goes up with it.
FORMS = {
    "null": "6e",
    "true": "74",
    "false": "66",
    "0": "30",
    "-0.0e5": "30",
    "1": "2b000131",
    "-1": "2d000131",
    "10": "2b020131",
    "100.50": "2b010431303035",
    "-1.5e-7": "2d0f023135",
    "1e999999999": "2bfea7d6b9070131",
    "9223372036854775808": "2b001339323233333732303336383534373735383038",
    '""': "7300",
    '"1"': "730131",
    '"\\u0000"': "730100",
    '"é\\ud83e\\udd9c"': "7306c3a9f09fa69c",
    "[]": "6100",
    "{}": "6f00",
    '[null, [true], "a"]': "61036e6101747301" + "61",
    '{"b": [], "a": {"": false}}': "6f027301616f01730066730162" + "6100",
    '{"\\uff5a": 0, "\\ud83e\\udd9c": 0, "z": 0}': "6f0373017a307303efbd9a307304f09fa69c30",
}
LONG = ("x" * 200, "73c801" + "78" * 200)

BODY = b"""{
  "model": "gpt-4o", "stream": true, "user": "u-1", "temperature": 0.70, "max_tokens": 1e3, "seed": null,
  "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Gr\xc3\xbc\xc3\x9fe \\ud83e\\udd9c"}],
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
}"""
CONTEXT = (b"tenant", b"gpt-4o", bytes(range(32)))
LEFT_OUT = frozenset({"stream", "stream_options", "user"})
DIGESTS = [
    ((), {}, frozenset(), "898d2a150d6aa960a154882815d1e83780f83d6e7c987453c5d3348741b94e4a"),
    (CONTEXT, decode(BODY), LEFT_OUT, "e8c6728734716b3da201955542b9585e8f45362b4ccafad98ccf83f1b5ee0d80"),
    (CONTEXT, decode(BODY), frozenset(), "94aec1d5034fe436341fe2ceb6b64ff314d684dbb584cee60994f1ab2c80d22b"),
]


@pytest.mark.parametrize("text", FORMS)
def test_each_form_is_the_one_of_its_version(key_module, text):
    assert key_module.FORMAT_VERSION == 1
    assert key_module.canonical(decode(text)).hex() == FORMS[text]


def test_a_count_of_more_than_seven_bits_is_two_bytes(key_module):
    assert key_module.canonical(LONG[0]).hex() == LONG[1]


@pytest.mark.parametrize(("context", "body", "without", "digest"), DIGESTS)
def test_each_digest_is_the_one_of_its_version(key_module, context, body, without, digest):
    assert key_module.request_digest(context, body, without).hex() == digest


def test_the_digest_is_that_of_version_context_and_form(key_module):
    body = {"b": [1, "x"], "a": None, "user": "u"}
    form = b"k\x01\x02b\x01tb\x00" + key_module.canonical({"a": None, "b": [1, "x"]})
    assert key_module.request_digest((b"t", b""), body, frozenset({"user", "x"})) == sha256(form).digest()
    assert body == {"b": [1, "x"], "a": None, "user": "u"}


def test_the_parts_of_the_context_are_apart(key_module):
    contexts = [(), (b"",), (b"", b""), (b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"c", b"ab"), (b"abc", b"")]
    assert len({key_module.request_digest(context, {}, frozenset()) for context in contexts}) == len(contexts)


def test_only_fields_at_the_top_are_left_out(key_module):
    def digest(body):
        return key_module.request_digest((), body, LEFT_OUT)

    assert digest({"a": 1, "user": "u", "stream": True}) == digest({"a": 1}) == digest({"user": None, "a": 1})
    assert digest({"a": {"user": "u"}}) != digest({"a": {}})
    assert digest({"messages": [{"user": "u"}]}) != digest({"messages": [{}]})


SAME = [
    ["1", "1.0", "1e0", "10e-1", "0.1e1", "1.000", "1E+0", "100000e-5", "0.00001E5"],
    ["0", "-0", "0.0", "-0.0", "0e99", "0e-99", "0.000e7"],
    ["1e999999999", "10e999999998", "0.1e1000000000", "1000.0E+999999996"],
    ["-12.5", "-125e-1", "-0.125e2", "-12.50"],
    ["100", "1e2", "1E+2", "100.0"],
    ["1" * 1000, "1" * 1000 + ".0", "1" * 999 + ".1e1"],
    ["1e16", "10000000000000000", "10000000000000000.0"],
]


@pytest.mark.parametrize("texts", SAME)
def test_a_number_has_one_form_however_it_is_written(key_module, texts):
    assert len({key_module.canonical(decode(text)) for text in texts}) == 1


def test_different_values_have_different_forms(key_module):
    texts = [each[0] for each in SAME]
    texts += ["true", "false", "null", '""', '"1"', "[]", "[1]", "[[1]]", "{}", '{"1":1}', '{"1":"1"}', "[1,1]", "[11]"]
    texts += [
        "-1",
        "1.0000000000000000001",
        "0.1",
        "0.10000000000000000001",
        "1e-999999999",
        "1e999999998",
        "10",
        "101",
    ]
    texts += ["9007199254740992", "9007199254740993", "1e400", "1e401", "0.701", "0.704", '["a","b"]', '["ab"]', '"s"']
    texts += [
        '{"a":{"b":1}}',
        '{"a":{},"b":1}',
        '{"a":null}',
        "[null]",
        '["a",null]',
        "[[],[]]",
        "[[[]]]",
        '"true"',
        '"null"',
    ]
    forms = {text: key_module.canonical(decode(text)) for text in texts}
    assert len(set(forms.values())) == len(texts)


@pytest.mark.parametrize(
    ("value", "decimal"),
    [(0.1, "0.1"), (1e16, "1e16"), (1e-5, "1e-5"), (5e-324, "5e-324"), (-1.5, "-1.5"), (1e22, "1e22"), (2.0, "2"), (-0.0, "0")],
)  # fmt: skip
def test_a_float_is_the_decimal_that_repr_gives(key_module, value, decimal):
    assert key_module.canonical(value) == key_module.canonical(Decimal(decimal))


def test_no_number_takes_more_room_than_its_digits(key_module):
    for text in ("1e999999999", "1e-999999999", "1e999999999999999999", "1e-1999999999999999997"):
        assert len(key_module.canonical(Decimal(text))) < 20
    assert len(key_module.canonical(10**4299)) < 20
    assert len(key_module.canonical(int("7" * 4300))) < 4320
    assert len(key_module.canonical(Decimal("7" * 100_000 + "e-1"))) < 100_020


def test_the_context_of_decimals_does_not_matter(key_module):
    values = [Decimal("1e30"), Decimal("-1.25e-30"), Decimal(123456789)]
    forms = [key_module.canonical(value) for value in values]
    with localcontext(Context(prec=2, capitals=0, Emax=3, Emin=-3)):
        assert [key_module.canonical(value) for value in values] == forms


class Text(str):
    __slots__ = ()


REFUSED = {
    "NaN": (float("nan"), ValueError),
    "infinity": (float("inf"), ValueError),
    "negative infinity": ([float("-inf")], ValueError),
    "a Decimal that is NaN": (Decimal("NaN"), ValueError),
    "a Decimal with a payload": (Decimal("-sNaN123"), ValueError),
    "a Decimal that is infinity": ({"a": Decimal("-Infinity")}, ValueError),
    "a lone surrogate": ("a\ud800", ValueError),
    "a lone surrogate in a key": ({"\udfff": 1}, ValueError),
    "an int that is too long": (10**4300, ValueError),
    "an int that is too low": (-(10**4300), ValueError),
    "bytes": (b"a", TypeError),
    "a tuple": ((1,), TypeError),
    "a set": ([{1}], TypeError),
    "a subclass of str": (Text("a"), TypeError),
    "a key of a subclass": ({Text("a"): 1}, TypeError),
    "a key that is a number": ({1: 1}, TypeError),
    "keys of two types": ({"a": 1, 1: 1}, TypeError),
    "a key that is None": ({None: 1}, TypeError),
    "a complex": (1j, TypeError),
    "a fraction": (Fraction(1, 2), TypeError),
    "an object": (object(), TypeError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_json_is_refused(key_module, name):
    value, error = REFUSED[name]
    with pytest.raises(error) as caught:
        key_module.canonical(value)
    # What a user sent stays out of messages.
    assert type(caught.value) is error
    with pytest.raises(error):
        key_module.request_digest((), {"a": value}, frozenset())


def test_ints_of_every_length_that_is_allowed_are_read_where_the_interpreter_allows_less(key_module):
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        with pytest.raises(ValueError, match="digits"):
            key_module.canonical(10**1000)
        assert key_module.canonical(10**600)
        sys.set_int_max_str_digits(0)
        with pytest.raises(ValueError, match="more than 4300 digits"):
            key_module.canonical(10**4300)
    finally:
        sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize(
    ("context", "body", "without"),
    [
        (("a",), {}, frozenset()),
        ((b"a", None), {}, frozenset()),
        ([b"a"], {}, frozenset()),
        (None, {}, frozenset()),
        ((), [], frozenset()),
        ((), None, frozenset()),
        ((), {}, "user"),
        ((), {}, {"user"}),
        ((), {}, None),
        ((bytearray(b"a"),), {}, frozenset()),
        ((), {1: 2}, frozenset()),
    ],
)
def test_arguments_of_other_types_are_refused(key_module, context, body, without):
    with pytest.raises(TypeError):
        key_module.request_digest(context, body, without)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_depth_is_bounded(key_module, wrap):
    value = 1
    for _ in range(200):
        value = wrap(value)
    assert key_module.canonical(value)
    assert key_module.request_digest((), {"a": value[0]} if isinstance(value, list) else value, frozenset())
    with pytest.raises(ValueError, match="deeper than 200"):
        key_module.canonical(wrap(value))
    with pytest.raises(ValueError, match="deeper than 200"):
        key_module.request_digest((), {"a": value}, frozenset())


def test_what_holds_itself_is_refused(key_module):
    ring: list = []
    ring.append({"a": ring})
    with pytest.raises(ValueError, match="deeper"):
        key_module.canonical(ring)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 18, 1000])
def test_keys_are_in_the_order_of_their_code_points(key_module, count):
    rng = random.Random(count)
    alphabet = "ab\x00\x7f\x80é\uff5a\ue000\U0001f99c\U0010ffff"
    keys = {"".join(rng.choices(alphabet, k=rng.randrange(6))) for _ in range(count)}
    members = [(key, rng.randrange(100)) for key in keys]
    parts = b"".join(
        key_module.canonical(key) + key_module.canonical(value)
        for key, value in sorted(members, key=lambda member: member[0].encode())
    )
    for _ in range(5):
        rng.shuffle(members)
        form = key_module.canonical(dict(members))
        assert form == b"o" + count_form(len(members)) + parts


def test_a_form_grows_as_it_needs(key_module):
    for size in (0, 1, 126, 127, 128, 2030, 2048, 5000, 20_000, 3_000_000):
        value = ["ß" * size, "x" * size, list(range(min(size, 5000))), {"k" * size: "v" * size}]
        assert read(key_module.canonical(value)) == value


DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.builds(
    lambda digits, exponent: Decimal((digits < 0, tuple(map(int, str(abs(digits)))), exponent)),
    st.integers(-(10**25), 10**25),
    st.integers(-(10**12), 10**12),
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | DECIMALS
TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=20),
    max_leaves=15,
)


@pytest.mark.once
@pytest.mark.slow
@settings(max_examples=300)
@given(VALUES)
def test_a_form_says_all_that_its_value_says_and_both_builds_agree(value):
    form = load("key", "pure").canonical(value)
    assert plain(read(form)) == plain(value)
    assert load("key", "compiled").canonical(value) == form


@pytest.mark.parametrize("build", EACH_BUILD)
@settings(max_examples=150)
@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(build, value, rng):
    module = load("key", build)
    assert module.canonical(shuffled(value, rng)) == module.canonical(value)


def places(value, path=()):
    """The path of each value inside a value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def mutated(value, path, change):
    value = copy.deepcopy(value)
    if not path:
        return change(value)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = change(holder[path[-1]])
    return value


def changes(value, rng, other):
    """Some other value in the place of `value`."""
    found = [other, [value], {"": value}, None, True, False, 0, 1, "", [], {}, Decimal("0.1")]
    if isinstance(value, str):
        found += [value + "\x00", " " + value, value.upper(), value[:-1], [*value]]
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        with localcontext(Context(prec=400)):
            exact = plain(value)[1]
            if abs(exact.adjusted()) < 300 and abs(exact.as_tuple().exponent) < 300:
                found += [exact + Decimal("1e-30"), exact * 10, exact / 10]
        found += [str(value), plain(value)[1].copy_negate()]
    if isinstance(value, list):
        found += [
            [*value, None],
            [*value, *value],
            value[1:],
            value[:-1],
            value[::-1],
            {str(i): x for i, x in enumerate(value)},
        ]
        found += [[*value[: len(value) // 2], value[len(value) // 2 :]]]
    if isinstance(value, dict):
        found += [
            {**value, "x": None},
            dict(list(value.items())[1:]),
            list(value),
            list(value.values()),
            [*value.items()],
        ]
        found += [
            {key + "x": item for key, item in value.items()},
            dict(zip(value, reversed(value.values()), strict=True)),
        ]
        found[-3] = [list(pair) for pair in value.items()]
    return rng.choice(found)


@pytest.mark.parametrize("build", EACH_BUILD)
@settings(max_examples=250)
@given(VALUES, VALUES, st.randoms(use_true_random=False))
def test_any_other_change_gives_another_form(build, value, other, rng):
    module = load("key", build)
    path = rng.choice(list(places(value)))
    changed = mutated(value, path, lambda old: changes(old, rng, other))
    assert (module.canonical(changed) == module.canonical(value)) == (plain(changed) == plain(value))


@pytest.mark.once
@settings(max_examples=100)
@given(st.dictionaries(TEXTS, VALUES, max_size=6), st.lists(st.binary(max_size=200), max_size=4), st.frozensets(TEXTS))
def test_both_builds_give_one_digest(body, context, without):
    digests = {load("key", build).request_digest(tuple(context), body, without) for build in BUILDS}
    assert len(digests) == 1
    kept = {key: value for key, value in body.items() if key not in without}
    assert digests == {load("key", "pure").request_digest(tuple(context), kept, frozenset())}


def test_recorded_requests_have_keys_of_their_own(key_module, recordings):
    bodies = {json.dumps(recording.request, sort_keys=True) for recording in recordings}
    digests = {
        key_module.request_digest((), decode(json.dumps(shuffled(json.loads(body), random.Random(1)))), frozenset())
        for body in bodies
    }
    assert len(digests) == len(bodies)
    assert digests == {key_module.request_digest((), decode(body), frozenset()) for body in bodies}


@pytest.mark.parametrize("build", EACH_BUILD)
def test_exponents_beyond_64_bits_are_refused_where_decimals_have_them(build):
    name = load("key", build).__name__
    code = (
        "import sys; sys.modules['_decimal'] = None\n"
        f"import importlib; from decimal import Decimal; key = importlib.import_module('{name}')\n"
        "for text in ('1e4000000000000000000', '-12.30e-4000000000000000000', '1.5e3999999999999999999'):\n"
        "    print(key.canonical(Decimal(text)).hex())\n"
        "for text in ('1e4000000000000000001', '1e-4000000000000000001', '1e40000000000000000000', '1e' + '9' * 500):\n"
        "    try: key.canonical(Decimal(text))\n"
        "    except ValueError as error: print(error)\n"
    )
    got = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, timeout=30)
    *forms, _, _, _, _ = lines = got.stdout.splitlines()
    assert forms == [
        (sign + count_form(power) + count_form(len(digits)) + digits).hex()
        for sign, power, digits in [
            (b"+", 8 * 10**18, b"1"),
            (b"-", 2 * (4 * 10**18 + 1) - 1, b"123"),
            (b"+", 2 * (4 * 10**18 - 2), b"15"),
        ]
    ], got.stderr
    assert lines[3:] == ["the exponent of a number is out of range"] * 4
