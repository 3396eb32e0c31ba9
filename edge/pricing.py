"""What tokens cost, and how much a model takes in: a snapshot committed as data, with its date.

``data/prices.json`` is generated from genai-prices by ``tools/generate_prices.py``. Costs are whole numbers of
1e-12 USD, which add up without rounding.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from edge.hooks import Usage

__all__ = ["PICO", "ModelPrice", "Prices", "load_prices"]

PICO = 1_000_000_000_000
DATA = Path(__file__).parent / "data" / "prices.json"
DATED = re.compile(r"-(20\d{2})(\d{2})(\d{2})$")

Rate = int | list[Any]
"""1e-12 USD per token, or ``[base, [above, rate]...]``: the last tier whose ``above`` the input exceeds counts for all
tokens."""


class ModelPrice(msgspec.Struct, frozen=True):
    """``context_window`` in tokens, None where unknown; ``request`` in 1e-12 USD for each one; the rates are `Rate`."""

    id: str
    match: list[Any]
    input: Rate | None = None
    output: Rate | None = None
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    request: int = 0
    context_window: int | None = None

    def cost(self, usage: Usage) -> int:
        """What `usage` costs, in 1e-12 USD. Each token is priced once; cached ones without a rate cost as input."""
        fresh, read, written = max(0, usage.input), max(0, usage.cache_read), max(0, usage.cache_write)
        whole_input = fresh + read + written
        input_rate = at(self.input, whole_input) or 0
        read_rate, write_rate = at(self.cache_read, whole_input), at(self.cache_write, whole_input)
        return (
            self.request
            + fresh * input_rate
            + read * (input_rate if read_rate is None else read_rate)
            + written * (input_rate if write_rate is None else write_rate)
            + max(0, usage.output) * (at(self.output, whole_input) or 0)
        )


class Vendor(msgspec.Struct, frozen=True):
    id: str
    url: str
    models: list[ModelPrice]
    fallbacks: list[str] = []


class Prices(msgspec.Struct, frozen=True):
    """``date`` is the day of the snapshot (ISO 8601), ``source`` what it was made from."""

    date: str
    source: str
    vendors: list[Vendor]

    def find(self, base_url: str, model: str) -> ModelPrice | None:
        """The price of a model at the vendor that serves `base_url`; None for a vendor or model that is not known."""
        for vendor in self.vendors:
            if re.match(vendor.url, base_url):
                return self._of(vendor, model)
        return None

    def _of(self, vendor: Vendor, model: str) -> ModelPrice | None:
        name = model.lower()
        by_id = {other.id: other for other in self.vendors}
        for spelled in dict.fromkeys((name, DATED.sub(r"-\1-\2-\3", name))):
            for candidate in (vendor, *(by_id[other] for other in vendor.fallbacks if other in by_id)):
                for price in candidate.models:
                    if matches(price.match, spelled):
                        return price
        return None


def at(rate: Rate | None, input_tokens: int) -> int | None:
    """The rate in force for a request with that much input."""
    if not isinstance(rate, list):
        return rate
    current: int = rate[0]
    for above, tier in rate[1:]:
        if input_tokens > above:
            current = tier
    return current


def matches(rule: list[Any], name: str) -> bool:
    """Whether a rule of the snapshot, ``[operator, argument...]``, fits a name in lower case."""
    sign = rule[0]
    if sign == "|":
        return any(matches(part, name) for part in rule[1:])
    if sign == "&":
        return all(matches(part, name) for part in rule[1:])
    text: str = rule[1]
    if sign == "=":
        return name == text
    if sign == "^":
        return name.startswith(text)
    if sign == "$":
        return name.endswith(text)
    if sign == "*":
        return text in name
    return re.search(text, name) is not None


@lru_cache(maxsize=1)
def load_prices() -> Prices:
    """The snapshot."""
    return msgspec.json.decode(DATA.read_bytes(), type=Prices)
