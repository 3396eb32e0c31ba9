"""Envelopes: what goes in comes out, and nothing else does."""

from __future__ import annotations

from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dialects.sealed import MAX_SEALED, Seal, is_sealed

SEAL = Seal(b"a secret of one configuration")
THINKING = {"type": "thinking", "thinking": "Ähm \U0001f914", "signature": "Eu8B+/="}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA_-="}


@given(st.text(), st.text())
def test_a_thought_comes_back_as_it_was(thinking, signature):
    block = {"type": "thinking", "thinking": thinking, "signature": signature}
    try:
        thinking.encode()
        signature.encode()
    except UnicodeEncodeError:
        return
    assert SEAL.open_thinking(SEAL.thinking(block)) == block


def test_all_machines_of_one_configuration_open_what_one_has_closed():
    assert Seal(b"a secret of one configuration").open_reasoning(SEAL.reasoning(REASONING)) == REASONING
    redacted = {"type": "redacted_thinking", "data": "x"}
    assert SEAL.open_thinking(SEAL.thinking(redacted)) == redacted


@pytest.mark.parametrize(
    "text", [None, 1, "", "gAAAA", "edge1t.", "edge1t.AAAA", "edge1t.!!", "edge1t.\x1a", "edge2t.AAAA"]
)
def test_what_is_no_envelope_is_not_opened(text):
    assert SEAL.open_thinking(text) is None
    assert SEAL.open_reasoning(text) is None


def test_an_envelope_that_was_touched_anywhere_is_not_opened():
    text = SEAL.thinking(THINKING)
    for at in range(len(text)):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        assert SEAL.open_thinking(changed) in (None, THINKING)  # the last character has bits that say nothing
    assert Seal(b"another").open_thinking(text) is None
    assert Seal().open_thinking(text) is None
    assert Seal(b"").open_thinking(Seal(b"").thinking(THINKING)) is None


def test_what_is_in_an_envelope_is_nowhere_to_be_read():
    secret = "My card is 4111 1111 1111 1111"
    text = SEAL.thinking({**THINKING, "thinking": secret})
    data = urlsafe_b64decode(text[7:] + "=" * (-len(text[7:]) % 4))
    assert not any(secret[at : at + 4].encode() in data for at in range(len(secret) - 4))
    assert SEAL.thinking({**THINKING, "thinking": secret}) == text  # the same for the same, so that answers may be kept
    assert SEAL.thinking({**THINKING, "thinking": secret + "."})[8:24] != text[8:24]


def test_one_kind_is_not_taken_for_the_other():
    text = SEAL.thinking(THINKING)
    assert SEAL.open_reasoning(text) is None
    assert SEAL.open_reasoning("edge1r" + text[6:]) is None
    assert SEAL.open_thinking(SEAL.thinking({"type": "text", "text": "not thought"})) is None


def test_what_is_longer_than_any_thought_is_not_sealed():
    assert SEAL.thinking({**THINKING, "thinking": "x" * MAX_SEALED}) == ""
    longest = SEAL.thinking({**THINKING, "thinking": "x" * (MAX_SEALED // 4 * 3 - 200)})
    assert len(longest) <= MAX_SEALED
    assert SEAL.open_thinking(longest) is not None


def test_an_envelope_of_any_edge_is_known_as_one():
    assert is_sealed(SEAL.thinking(THINKING))
    assert is_sealed(Seal().reasoning(REASONING))
    assert not is_sealed("gAAAAABo")
    assert not is_sealed("edge1")
    assert not is_sealed(None)
