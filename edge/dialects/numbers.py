"""JSON whose numbers go through unharmed."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

__all__ = ["decode_value", "encode"]


class Number(Decimal):
    """A number with a fraction or an exponent, which goes on spelled as it came: ``1e3``, ``0.10``, ``1e400``."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Number:
        try:
            number = super().__new__(cls, text)
        except InvalidOperation:
            raise msgspec.ValidationError("Number out of range") from None
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def _spelled(value: Any) -> msgspec.Raw:
    if isinstance(value, Number):
        return msgspec.Raw(value.text.encode())
    raise NotImplementedError(type(value))


decode_value = msgspec.json.Decoder(float_hook=Number).decode
encode = msgspec.json.Encoder(decimal_format="number", enc_hook=_spelled).encode
"""Numbers go through unharmed: whole ones of any size, fractions as they were spelled."""
