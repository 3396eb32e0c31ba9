"""Personal data and secrets in text, on both builds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge._fast import scan_tables
from tests.conftest import BUILDS, EACH_BUILD, load

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"

FOUND = {
    "email": """john@example.com a.b+c@x.co.uk o'brien@x.ie user@xn--bcher-kva.de müller@bücher.de
        1234567890@x.com _@x.com bounce+a=example.com@list.org x@mail.example.museum почта@пример.рф""".split(),
    "phone": """(425) 882-9090|+1 (425) 882-9090|425-882-9090|425.882.9090|555-123-4567 x12|555-123-4567 ext. 9
        +44 20 7946 0958|+44 (0)20 7946 0958|+447700900123|0044 20 7946 0958|020 7123 4567|01 23 45 67 89
        +39 06 1234 5678|+49 (0) 1234 567890|(0131) 496 0123|+242061234567|+1.5551234567|030/1234567
        +33\u00a01\u00a023\u00a045\u00a067\u00a089|555\u2011123\u20114567|1-800-555-0199|(+30) 6912 345678""",
    "ssn": "219-09-9999 078-05-1123 078.05.1123 899-99-9999".split(),
    "card": """4012888888881881|4012-8888-8888-1881|4012 8888 8888 1881|122000000000003|371449635398431|5019717010103742
        3714 496353 98431|30569309025904|6011000400000000|3528000700000000|6759649826438453|4222222222222""",
    "iban": """AT611904300234573201|AL47 2121 1009 0000 0002 3569 8741|AL47-2121-1009-0000-0002-3569-8741
        GB82 WEST 1234 5698 7654 32|de89370400440532013000|MT84MALT011000012345MTLCAST001S|NO9386011117947""",
    "ip": """192.168.0.1 0.0.0.0 255.255.255.255 ::1 1:: 1:2:3:4:5:6:7:: 1::8 1:2:3:4:5:6::8 1::7:8 ::2:3:4:5:6:7:8
        fe80::7:8%eth0 ::255.255.255.255 ::ffff:0:1.2.3.4 64:ff9b::192.0.2.33 684D:1111:222:3333:4444:5555:6:77
        2001:db8::""".split(),
    "secret": [
        "sk-" + "aB3" * 16,
        "sk-proj-" + "aB3_-" * 30 + "x",
        "sk-ant-api03-" + "aB3" * 31 + "AA",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a" * 36,
        "github_pat_" + "A" * 22 + "_" + "b" * 59,
        "AIza" + "x" * 35,
        "ya29." + "a0_" * 20 + "z",
        "xoxb-123456789012-1234567890123-" + "a" * 24,
        "sk_live_" + "4" * 24,
        "rk_test_" + "4" * 99,
        "hf_" + "Z" * 34,
        JWT,
        KEY,
        KEY.replace("PRIVATE", "RSA PRIVATE"),
    ],
}
for _kind, _values in FOUND.items():
    if isinstance(_values, str):
        FOUND[_kind] = [value.strip() for value in re.split(r"[|\n]", _values)]

NOT_FOUND = """4012888888881882|36168002586008|1748503543012|order 4012888888881881|AT611904300234573202|DE8937040044053201300
    000-12-3456|666-12-3456|900-12-3456|078-05-1120|123-45-6789|987-65-4321|123-00-4567|123-45-0000|111-11-1111
    219-09 9999|219-09-9999-1|info@example.|@x.com|a@b|icon@2x.png|vue@3.4.1.js|192.168.0|1.2.3.256|1.2.3.4.5|v1.2.3.4
    version 1.2.3.4|pkg==1.2.3.4|Chrome/120.0.0.0|01.02.03.04|::|a::b|std::add::beef|x[::2, 1::2]|00:1a:2b:3c:4d:5e
    12:30:45|2024-01-02 10:30:00|01-02-2023 10|550e8400-e29b-41d4-a716-446655440000|1,234,567.89|40.7128, -74.0060
    +40.6892494|1700000000|call 1700000000|0123456789|call 1999-2001|order 5551234567|978-3-16-148410-0|$5551234567|sk-folding-cube-grid-large
    ask-me-anything-123456789|hf_hub_download_url_of_the_file_name|eyJhbGciOiJIUzI1NiJ9|bearer authentication
    a bearer of good news|AKIAIOSFODNN7EXAMPLEX|5551234567@|-----BEGIN PUBLIC KEY-----"""


def texts(module, data: str | bytes, **options) -> list[tuple[str, str]]:
    data = data.encode() if isinstance(data, str) else data
    return [(module.KINDS[kind], data[start:end].decode()) for start, end, kind in module.scan_text(data, **options)]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind in FOUND for value in FOUND[kind]])
def test_found_whole_wherever_it_stands(scan_module, kind, value):
    for around in ("{}", "see {}", "{}, see", "({})", "<{}>\n", "「{}」", "'{}'", '"{}";', "a,{},b", "\t{}.", "{}: no"):
        assert texts(scan_module, around.replace("{}", value)) == [(kind, value)], around


@pytest.mark.parametrize("value", [value.strip() for value in re.split(r"[|\n]", NOT_FOUND)])
def test_nothing_is_found_in(scan_module, value):
    for around in ("{}", "see {} ok", "{}\n", '"{}"'):
        assert texts(scan_module, around.format(value)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("call 467 3395", [("phone", "467 3395")]),
        ("see 467 3395", []),
        ("512 256 1024 640", []),
        ("64 512 256 1024", []),
        ("call 512 256 1024 640", [("phone", "512 256 1024")]),
        ("phoneNumber=5551234567", [("phone", "5551234567")]),
        ('"phone_number": "5551234567"', [("phone", "5551234567")]),
        ("5551234567 (mobile)", [("phone", "5551234567")]),
        ("call about order 5551234567", []),
        ("电话：13812345678", [("phone", "13812345678")]),
        ("SSN 219099999", [("ssn", "219099999")]),
        ("id 219099999", []),
        ("4111 1111 1111 1111 123 12/29", [("card", "4111 1111 1111 1111")]),
        ("4111111111111111@example.com", [("email", "4111111111111111@example.com")]),
        ("https://x.org/?email=john@x.com&a=1", [("email", "john@x.com")]),
        ("root@10.0.0.1:22", [("ip", "10.0.0.1")]),
        ("10.0.0.1-10.0.0.9", [("ip", "10.0.0.1"), ("ip", "10.0.0.9")]),
        ("[::1]:8080 and 10.0.0.0/8", [("ip", "::1"), ("ip", "10.0.0.0")]),
        ("Bearer a.b.c", [("secret", "a.b.c")]),
        (f"bearer  {JWT}.", [("secret", JWT)]),
        ("authorization: Bearer secretvalue", [("secret", "secretvalue")]),
        ("Bearer dGhpcyBpcyBhIHRlc3Q=", [("secret", "dGhpcyBpcyBhIHRlc3Q=")]),
        (f"{KEY}{KEY}", [("secret", KEY), ("secret", KEY)]),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIE\nAB==\nthat is all",
            [("secret", "-----BEGIN PRIVATE KEY-----\nMIIE\nAB==\nthat")],
        ),
        ("sk-ant-" + "-" * 40, []),
        ("github_pat_" + "_" * 40 + "x", [("secret", "github_pat_" + "_" * 40 + "x")]),
        ("a" * 70 + "@x.com", [("email", "a" * 64 + "@x.com")]),
    ],
)
def test_what_stands_around_matters(scan_module, text, found):
    assert texts(scan_module, text) == found


def test_a_kind_outside_the_mask_is_not_looked_for_and_hides_nothing(scan_module):
    data = b"Bearer abc123/def john@x.com 4111111111111111 219-09-9999 10.0.0.1 555-123-4567 AT611904300234573201"
    every = scan_module.scan_text(data)
    assert sorted(kind for _, _, kind in every) == list(range(7))
    for kind in range(7):
        assert scan_module.scan_text(data, 1 << kind) == [span for span in every if span[2] == kind]
    assert scan_module.scan_text(data, 0) == []
    assert texts(scan_module, "Bearer a1-219-09-9999", mask=4) == []
    assert texts(scan_module, "Bearer a1/219-09-9999", mask=4) == [("ssn", "219-09-9999")]


@pytest.mark.parametrize("kind", ["email", "phone", "ssn", "card", "iban", "ip", "secret"])
def test_in_a_json_body_the_same_is_found_as_in_its_strings(scan_module, kind):
    for value in FOUND[kind]:
        for around in ("{}", "\n{}\n", "x\\{} ", '"{}"', "\t{}\r\n", "n\n{}"):
            text = around.replace("{}", value)
            body = json.dumps({"a": text, "b": "n"}, ensure_ascii=False).encode()
            spans = scan_module.scan_text(body, json=True)
            assert len(spans) == 1, (body, spans)
            start, end, found = spans[0]
            assert scan_module.KINDS[found] == kind
            assert json.loads(b'"%b"' % body[start:end]) == value


def test_an_escaped_slash_goes_on_only_in_values_that_have_slashes(scan_module):
    found = texts(scan_module, rb'{"a":"Bearer ab1\/cd2\/e\n","b":"10.0.0.0\/8","c":"a\/b@x.com"}', json=True)
    assert found == [("secret", r"ab1\/cd2\/e"), ("ip", "10.0.0.0"), ("email", "b@x.com")]


@pytest.mark.parametrize("build", EACH_BUILD)
@given(text=st.text(alphabet='\\u"/n0é', max_size=30))
@example(text="\\u")
def test_unicode_escapes_are_told_from_escaped_backslashes(build, text):
    has = load("scan_text", build).has_unicode_escapes
    assert not has(json.dumps(text, ensure_ascii=False).encode())
    assert has(json.dumps(text + "\u0001").encode())
    assert has(json.dumps(text).encode()) == ("é" in text)


def test_types_are_checked_and_buffers_taken(scan_module):
    data = b"to john@x.com"
    for kind in (bytes, bytearray, memoryview):
        assert scan_module.scan_text(kind(data)) == [(3, 13, 0)]
        assert scan_module.scan_ranges(kind(data), [(3, 13, 0, 0)]) == [(3, 13, 0)]
    for wrong in ("text", None, 5):
        with pytest.raises(TypeError):
            scan_module.scan_text(wrong)
    for span in ((-1, 3), (4, 3), (0, 14)):
        with pytest.raises(ValueError, match="not within"):
            scan_module.scan_ranges(data, [(*span, 0, 0)])
    assert scan_module.scan_text(b"") == scan_module.scan_ranges(data, []) == []


def test_ranges_are_scanned_each_for_itself(scan_module):
    data = b"john@x.com john@x.com"
    assert scan_module.scan_ranges(data, [(0, 4, 0, 0), (5, 10, 0, 0), (12, 21, 0, 0), (0, 7, 0, 0)]) == [(12, 21, 0)]


@pytest.mark.parametrize("build", EACH_BUILD)
def test_the_checks_of_digits_can_be_asked_for_alone(build):
    numbers = load("scan_numbers", build)
    assert numbers.is_card(b"4111111111111111")
    for wrong in (b"", b"4111111111111112", b"4111 1111 1111 1111", b"0000000000000000", b"4" * 99, b"79927398713"):
        assert not numbers.is_card(wrong)
    assert numbers.is_iban(b"GB82 WEST 1234 5698 7654 32")
    for wrong in (b"", b"GB", b"GB82WEST12345698765433", b"GB82WEST12345698765432 ", b"XX82WEST12345698765432"):
        assert not numbers.is_iban(wrong)


def test_there_are_calling_codes_and_limits(scan_module):
    for build in BUILDS:
        assert {1, 7, 44, 49, 998} <= load("scan_phones", build).CALLING_CODES
        assert load("scan_addresses", build).LOCAL_BYTES == 64
        assert "sk-ant-" in load("scan_secrets", build).SECRET_PREFIXES
    assert len(scan_module.KINDS) == 7


def test_the_numbers_of_the_compiled_build_are_those_of_the_tables():
    text = Path(scan_tables.__file__).with_name("_scan_text_c.pxd").read_text()
    numbers = re.findall(r"^    ([A-Z_]+) = (\d+)$", text, re.MULTILINE)
    assert len(numbers) == 24
    for name, number in numbers:
        assert getattr(scan_tables, name) == int(number), name
