"""What tests of cache keys share: the requests as the gateway decodes them, and their canonical form read back."""

from __future__ import annotations

from decimal import Decimal

import msgspec

decode = msgspec.json.Decoder(float_hook=Decimal).decode


def count_form(count: int) -> bytes:
    out = bytearray()
    while count > 0x7F:
        out.append((count & 0x7F) | 0x80)
        count >>= 7
    return bytes([*out, count])


def read(form: bytes) -> object:
    """The value of a form: that it can be read back is the proof that no two values share one."""
    at = 0

    def take(size):
        nonlocal at
        assert at + size <= len(form)
        at += size
        return form[at - size : at]

    def count():
        value = shift = 0
        while True:
            byte = take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                assert byte or shift == 7
                return value

    def number(sign):
        power = count()
        digits = take(count())
        assert digits.isdigit()
        assert digits.strip(b"0") == digits
        return Decimal((sign, tuple(c - 0x30 for c in digits), -(power + 1) // 2 if power % 2 else power // 2))

    def text():
        assert take(1) == b"s"
        return take(count()).decode()

    def value():
        nonlocal at
        tag = take(1)
        if tag in b"ntf0":
            return {b"n": None, b"t": True, b"f": False, b"0": Decimal(0)}[tag]
        if tag in b"+-":
            return number(tag == b"-")
        if tag == b"a":
            return [value() for _ in range(count())]
        if tag == b"o":
            members = [(text(), value()) for _ in range(count())]
            keys = [key.encode() for key, _ in members]
            assert keys == sorted(set(keys))
            return dict(members)
        at -= 1
        return text()

    found = value()
    assert at == len(form)
    return found


def plain(value):
    """The value with each number exact, as a Decimal, and truth values apart from numbers."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return ("number", Decimal(repr(value)))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return ("number", Decimal(value))
    return value


def shuffled(value, rng):
    """The same value with the keys of each object in another order."""
    if isinstance(value, list):
        return [shuffled(item, rng) for item in value]
    if not isinstance(value, dict):
        return value
    members = [(key, shuffled(item, rng)) for key, item in value.items()]
    rng.shuffle(members)
    return dict(members)
