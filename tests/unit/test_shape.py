"""The shape of what an API's requests say, and how much they may."""

from __future__ import annotations

import json

import pytest

from edge import config
from edge._fast import JSONScanner
from edge.config import is_metadata
from edge.errors import InvalidValue
from edge.guard.shape import SHAPES, check_counts, check_types, few


def scanned(body: bytes) -> JSONScanner:
    scan = JSONScanner(body)
    while not scan.step():
        pass
    return scan


def types(api: str, said: dict, dialect="openai") -> InvalidValue | None:
    body = json.dumps(said).encode()
    try:
        check_types(api, dialect, body, scanned(body))
    except InvalidValue as error:
        return error
    return None


@pytest.mark.parametrize("api", SHAPES)
def test_a_value_of_another_type_is_named_with_its_field(api):
    for field, begins in SHAPES[api]:
        name = field.decode()
        for value in ({}, 5, True, *(() if b'"' in begins else ("text",))):
            for dialect in ("openai", "anthropic"):
                error = types(api, {name: value}, dialect)
                assert error is not None, (api, name, value)
                assert error.param == name
                assert name in error.message
        for value in ([], None, *(("text",) if b'"' in begins else ())):
            assert types(api, {name: value}) is None


def test_other_apis_and_other_fields_are_let_alone():
    assert types("other", {"messages": 5}) is None
    assert types("chat", {"input": 5, "thinking": 5, "new_in_2027": "x"}) is None


SERVER = config.Server(max_messages=5, max_tools=3, max_images=2)
IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


def counts(said: dict) -> str:
    body = json.dumps(said).encode()
    try:
        check_counts(SERVER, body, scanned(body))
    except InvalidValue as error:
        return error.message
    return ""


def message(*parts) -> dict:
    return {"role": "user", "content": list(parts)}


def test_more_than_may_be_is_refused_with_both_numbers():
    assert few(SERVER) == 2
    assert counts({"messages": [message()] * 5, "tools": [{}] * 3}) == ""
    assert counts({"messages": [message()] * 6}) == "The request has 6 messages; 5 at most may be sent."
    assert counts({"input": [message()] * 6}) == "The request has 6 messages; 5 at most may be sent."
    assert counts({"input": "x", "tools": [{}] * 4}) == "The request has 4 tools; 3 at most may be sent."
    assert counts({"messages": [message(IMAGE, IMAGE)]}) == ""
    assert counts({"messages": [message(IMAGE), message(IMAGE, IMAGE)]}).startswith("The request has 3 images")
    for kind in ("image", "input_image"):
        assert counts({"messages": [message(*[{"type": kind}] * 3)]}).startswith("The request has 3 images")


def test_what_only_speaks_of_images_is_none():
    said = json.dumps([IMAGE] * 9)
    assert counts({"messages": [message({"type": "text", "text": said}, IMAGE)], "x": {"image": ["image"] * 9}}) == ""


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.170.2", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200",
     "::ffff:169.254.169.254", "[fd00:ec2::254]", "192.0.0.192", "2002:a9fe:a9fe::1"],
)  # fmt: skip
def test_addresses_at_which_clouds_tell_secrets_are_known(address):
    assert is_metadata(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "::1", "fd00::1", "localhost", ""]
)
def test_others_are_as_good_as_any(address):
    assert not is_metadata(address)


def test_an_image_counts_however_its_type_is_spelled():
    kinds = [
        '"image"',
        r'"im\u0061ge"',
        r'"\u0069mage_url"',
        r'"input\u005Fimage"',
        r'"\u0069\u006d\u0061\u0067\u0065"',
    ]
    for field, kind in [*[('"type"', kind) for kind in kinds], (r'"\u0074y\u0070e"', '"image"')]:
        part = f"{{{field}: {kind}}}"
        body = f'{{"messages": [{{"content": [{", ".join([part] * 3)}]}}]}}'.encode()
        with pytest.raises(InvalidValue, match="3 images"):
            check_counts(SERVER, body, scanned(body))
        few_ = f'{{"messages": [{{"content": [{part}, {part}, 1, 2, 3]}}]}}'.encode()
        check_counts(SERVER, few_, scanned(few_))
    said = json.dumps({"messages": [message(*[{"type": "text", "text": '"type": "im\\u0061ge"'}] * 4)]}).encode()
    check_counts(SERVER, said, scanned(said))
