"""What is kept where others may read opens where it was put, for whom it was put there, and nowhere else."""

from __future__ import annotations

import random

import pytest

from edge.slices import finished
from edge.strongbox import BLOCK, TAG, Strongbox

BOX = Strongbox(b"secret")
PLACE = BOX.place("acme", "resp_1")


@pytest.mark.parametrize("size", [0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_what_was_put_there_comes_out(size):
    text = random.Random(size).randbytes(size)
    kept = finished(BOX.close(PLACE, text))
    assert finished(Strongbox(b"secret").open(PLACE, kept)) == text


def test_nothing_of_it_can_be_read():
    text = b'{"input":"a long secret sentence that would be seen"}' * 3000
    kept = finished(BOX.close(PLACE, text))
    assert len(kept) == TAG + len(text)
    assert all(text[at : at + 8] not in kept for at in range(0, 200, 8))
    blocks = [kept[TAG + at : TAG + at + BLOCK] for at in (0, BLOCK)]
    assert blocks[0][:1000] != blocks[1][:1000]
    same = finished(BOX.close(PLACE, bytes(2 * BLOCK)))
    assert same[TAG : TAG + BLOCK] != same[TAG + BLOCK :]  # no key stream is used twice


@pytest.mark.parametrize("at", [0, TAG - 1, TAG, TAG + 3, -1])
def test_touched_anywhere_it_does_not_open(at):
    kept = bytearray(finished(BOX.close(PLACE, b"what was said")))
    kept[at] ^= 1
    assert finished(BOX.open(PLACE, bytes(kept))) is None


@pytest.mark.parametrize(
    "other",
    [BOX.place("acme", "resp_2"), BOX.place("other", "resp_1"), BOX.place("acm", "eresp_1"), b""],
    ids=["name", "tenant", "between", "none"],
)
def test_put_elsewhere_it_does_not_open(other):
    assert other != PLACE
    assert finished(BOX.open(other, finished(BOX.close(PLACE, b"what was said")))) is None


def test_another_secret_has_other_places_and_opens_nothing():
    other = Strongbox(b"another")
    assert other.place("acme", "resp_1") != PLACE
    assert finished(other.open(PLACE, finished(BOX.close(PLACE, b"what was said")))) is None


def test_a_place_tells_nothing():
    assert len(PLACE) == 32
    assert b"acme" not in PLACE
    assert b"resp" not in PLACE


@pytest.mark.parametrize("data", [b"", b"short", bytes(TAG), bytes(1000)])
def test_what_was_never_put_there_does_not_open(data):
    assert finished(BOX.open(PLACE, data)) is None
