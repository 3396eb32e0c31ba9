"""What lies in Redis is believed only if every byte of it is right."""

from __future__ import annotations

import hmac
import math
import pickle
import random
import struct
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cache.entry import Entry
from edge.cache.envelope import FIELDS, HEADER, MAX_BYTES, TooLarge, decode, encode
from edge.hooks import Usage

DIGEST = bytes(range(32))
KEY = b"a secret of the operator"
WHOLE = Entry("chat", b'{"a": "\xff"}', (), Usage(10, 2), "openai", "gpt-4o", 12345, 1000.25, 2000.5)
ENTRY = encode(DIGEST, "a", WHOLE, None)[HEADER:]
STREAM = Entry("messages", b"data: 1\n\ndata: 2\n\n", ((0, 9), (17, 18)), None, "anthropic", "c", -1, 1000.0, 2000.0)


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("entry", [WHOLE, STREAM], ids=["whole", "stream"])
def test_what_was_encoded_is_decoded(entry, key):
    assert decode(encode(DIGEST, "a", entry, key), DIGEST, "a", key, 1500.0) == entry


@pytest.mark.parametrize("key", [None, KEY])
def test_every_truncation_and_every_flipped_bit_is_no_answer(key):
    value = encode(DIGEST, "a", STREAM, key)
    tried = 0
    for size in range(len(value)):
        assert decode(value[:size], DIGEST, "a", key, 1500.0) is None
        tried += 1
    for at in range(len(value)):
        for bit in range(8):
            flipped = bytearray(value)
            flipped[at] ^= 1 << bit
            assert decode(bytes(flipped), DIGEST, "a", key, 1500.0) is None, (at, bit)
            tried += 1
    assert decode(value + b"\0", DIGEST, "a", key, 1500.0) is None
    print(f"0 of {tried} damaged envelopes were taken for an answer")


def test_another_digest_tenant_or_kind_of_checksum_is_no_answer():
    for entry in (WHOLE, STREAM):
        plain, keyed = encode(DIGEST, "a", entry, None), encode(DIGEST, "a", entry, KEY)
        assert decode(plain, DIGEST[::-1], "a", None, 1500.0) is None
        assert decode(plain, DIGEST, "b", None, 1500.0) is None
        assert decode(plain, DIGEST, "", None, 1500.0) is None
        assert decode(plain, DIGEST, "a", KEY, 1500.0) is None
        assert decode(keyed, DIGEST, "a", None, 1500.0) is None
        assert decode(keyed, DIGEST, "a", b"another secret", 1500.0) is None


def test_one_who_has_not_the_key_cannot_make_an_answer():
    forged = bytearray(encode(DIGEST, "a", WHOLE, None))
    forged[5] = 1  # says that it is keyed
    forged[FIELDS.size : HEADER] = sha256(forged[: FIELDS.size] + forged[HEADER:]).digest()[:16]
    assert decode(bytes(forged), DIGEST, "a", KEY, 1500.0) is None


@pytest.mark.parametrize("now", [2000.5, 2001.0, 1e12, math.inf])
def test_an_expired_answer_is_none(now):
    assert decode(encode(DIGEST, "a", WHOLE, None), DIGEST, "a", None, now) is None


def signed(payload: bytes, stored_at: float = 1000.25, expires_at: float = 2000.5, key: bytes | None = None) -> bytes:
    """An envelope around anything: what a poisoner could write where no key is set."""
    tenant = sha256(b"a").digest()
    size = HEADER + len(payload)
    flags = 0 if key is None else 1
    fields = FIELDS.pack(b"LEAe", 1, flags, 0, DIGEST, tenant, stored_at, expires_at, size, len(payload))
    checksum = sha256(fields + payload) if key is None else hmac.new(key, fields + payload, "sha256")
    return fields + checksum.digest()[:16] + payload


def rows() -> dict[str, object]:
    good = list(msgspec.structs.astuple(WHOLE))
    good[3] = {"input": 10, "output": 2}
    changed = {
        "api is a number": (0, 1),
        "body is text": (1, "text"),
        "chunks do not end where the body does": (2, [[0, 3]]),
        "chunks go back": (2, [[0, 9], [1, 4], [2, 10]]),
        "chunks go back in time": (2, [[5, 4], [1, 10]]),
        "chunks are three": (2, [[0, 1, 2]]),
        "usage is a list of text": (3, ["x"]),
        "usage is a list of counts": (3, [1, 2]),
        "usage is true": (3, {"input": True}),
        "usage has a count that nobody knows": (3, {"inputs": 1}),
        "usage has words": (3, {"speed": "fast"}),
        "usage is negative": (3, {"input": -2}),
        "cost is a float": (6, 1.5),
        "cost is negative": (6, -2),
        "expires later than its header says": (8, 3000.0),
        "stored at another time": (7, 1.0),
        "expires never": (8, math.inf),
        "a route that is none": (0, "chat\r\nx: y"),
        "a route that is not cached": (0, "models"),
        "a provider that ends its line": (4, "openai\r\nset-cookie: a=b"),
        "a provider that ends its line at its end": (4, "openai\n"),
        "a provider no configuration can have": (4, "OpenAI"),
        "a provider of any length": (4, "o" * 65),
        "a provider that is no text": (4, b"openai"),
        "a model that ends its line": (5, "gpt-4o\r\nset-cookie: a=b"),
        "a model with a control character": (5, "gpt\x00"),
        "a model of any length": (5, "m" * 257),
        "a cost that is absurd": (6, 10**18 + 1),
        "a cost of more than 64 bits": (6, 2**64 - 1),
        "usage is absurd": (3, {"output": 2**53 + 1}),
        "usage is not a number": (3, {"input": math.nan}),
        "a pause of days": (2, [[0, 1], [86_400_001, 10]]),
    }
    times = {
        "was stored tomorrow": (90_000.0, 91_000.0),
        "was stored before anything": (-4e7, 2000.5),
        "was stored when it expired": (1600.0, 1550.0),
        "is kept for years": (1000.25, 4e7),
        "has no time at all": (math.nan, 2000.5),
        "never expires": (1000.25, math.nan),
    }
    found = {name: [value if i == at else old for i, old in enumerate(good)] for name, (at, value) in changed.items()}
    for name, (stored_at, expires_at) in times.items():
        found[name] = [*good[:7], stored_at, expires_at]
    return {**found, "too short": good[:-1], "an object": {"api": "chat"}, "nothing": None, "a list": [good]}


@pytest.mark.parametrize("row", rows().values(), ids=rows().keys())
@pytest.mark.parametrize("key", [None, KEY])
def test_a_good_checksum_does_not_make_a_good_answer(row, key):
    payload = msgspec.msgpack.encode(row)
    assert decode(signed(payload, key=key), DIGEST, "a", key, 1500.0) is None
    if isinstance(row, list) and len(row) == 9 and row[7] != 1.0 and row[8] != 3000.0:  # not by its header alone
        assert decode(signed(payload, *row[7:], key=key), DIGEST, "a", key, 1500.0) is None


def test_the_makers_of_those_would_make_a_good_answer():
    assert decode(signed(ENTRY), DIGEST, "a", None, 1500.0) == WHOLE


@pytest.mark.parametrize(
    "value",
    [
        pickle.dumps(("chat", b"x")),
        b"",
        b"LEAe",
        ENTRY,
        None,
        5,
        "text",
        [b"x"],
        b"\0" * HEADER,
        b"x" * (MAX_BYTES + 1),
        signed(b"\x99" + b"\xa4chat" + b"\xc4\x01x" + b"\xdd\xff\xff\xff\xff"),  # says it has four billion chunks
        signed(b"\x91" * 5000),
        signed(b"\x99\xa4\xff\xff\xff\xff"),
        signed(ENTRY, expires_at=math.nan),
        signed(ENTRY + b"\0"),
    ],
    ids=str,
)
def test_other_values_are_no_answer(value):
    assert decode(value, DIGEST, "a", None, 1500.0) is None


@settings(max_examples=300)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_no_answer(data, wrapped):
    assert decode(data, DIGEST, "a", None, 1500.0) is None
    found = decode(signed(data), DIGEST, "a", None, 1500.0)
    assert found is None or isinstance(found, Entry)


@settings(max_examples=100)
@given(
    st.binary(max_size=2000),
    st.text(max_size=20),
    st.lists(st.integers(min_value=0, max_value=50), max_size=5),
    st.none() | st.builds(Usage, st.integers(-1, 1 << 40)),
)
def test_any_entry_comes_back_as_it_was(body, tenant, steps, usage):
    chunks = []
    for index, _ in enumerate(steps):
        end = len(body) if index == len(steps) - 1 else len(body) * index // len(steps)
        chunks.append((sum(steps[: index + 1]), end))
    entry = Entry("chat", body, tuple(chunks), usage, "p", "m", 0, 1.0, 2000.0)
    assert decode(encode(DIGEST, tenant, entry, KEY), DIGEST, tenant, KEY, 1500.0) == entry


def test_the_cap_is_exact():
    room = MAX_BYTES - len(encode(DIGEST, "a", msgspec.structs.replace(WHOLE, body=b"x" * 70000), None)) + 70000
    fits = msgspec.structs.replace(WHOLE, body=random.randbytes(room))
    value = encode(DIGEST, "a", fits, None)
    assert len(value) == MAX_BYTES
    assert decode(value, DIGEST, "a", None, 1500.0) == fits
    for more in (1, MAX_BYTES):
        with pytest.raises(TooLarge):
            encode(DIGEST, "a", msgspec.structs.replace(WHOLE, body=b"x" * (room + more)), None)


def test_the_layout_is_the_documented_one():
    value = encode(DIGEST, "a", WHOLE, None)
    assert (value[:4], value[4], value[5], value[6:8]) == (b"LEAe", 1, 0, b"\0\0")
    assert value[8:40] == DIGEST
    assert value[40:72] == sha256(b"a").digest()
    assert struct.unpack(">ddII", value[72:96]) == (1000.25, 2000.5, len(value), len(value) - 112)
    assert value[96:112] == sha256(value[:96] + value[112:]).digest()[:16]
    assert value[112:] == ENTRY
