"""Thoughts of Claude's in a conversation that goes to OpenAI as it is."""

from __future__ import annotations

import json

import pytest

from edge.dialects.foreign_thoughts import without_sealed
from edge.dialects.sealed import Seal

SEALED = Seal(b"x").thinking({"type": "thinking", "thinking": "Hm.", "signature": "s"})
OURS = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED}
THEIRS = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAA"}
USER = {"role": "user", "content": "hi"}
QUOTED = {"role": "user", "content": json.dumps(OURS)}


def without(items, spaced=False):
    text = json.dumps(items, indent=2) if spaced else json.dumps(items, separators=(",", ":"))
    body = b'{"model":"m","input":' + text.encode() + b',"store":false}'
    start = body.index(b":", 12) + 1
    found = without_sealed(body, start, start + len(text))
    return found if found is None else json.loads(found)


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize(
    ("items", "left"),
    [
        ([OURS], []),
        ([USER, OURS, THEIRS], [USER, THEIRS]),
        ([OURS, USER, OURS], [USER]),
        ([OURS, OURS, USER], [USER]),
        ([USER, THEIRS, OURS], [USER, THEIRS]),
    ],
)
def test_they_are_left_out(items, left, spaced):
    assert without(items, spaced) == left


@pytest.mark.parametrize("items", [[], [USER], [USER, THEIRS], [QUOTED], "hi", SEALED])
def test_what_has_none_goes_as_it_came(items):
    assert without(items) is None


def test_what_cannot_be_read_goes_as_it_came():
    body = b'[{"encrypted_content":"edge1t.x"'
    assert without_sealed(body, 0, len(body)) is None
