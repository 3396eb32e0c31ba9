"""What answers cost, and how much a model takes in: by a snapshot committed as data, with its date, or by the prices of
the configuration.

``data/prices.json`` is generated from genai-prices by ``edge prices update``; `edge.money.price_rules` has what
vendors multiply these prices by. Costs are whole numbers of 1e-12 USD, which add up without rounding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import msgspec

from edge import config
from edge.hooks import Usage
from edge.money.price_rules import factor_of

__all__ = ["PICO", "ModelPrice", "Prices", "load_prices", "own_price", "spells"]

PICO = 1_000_000_000_000
MUCH = 1 << 31
"""Two of these multiplied stay below half of what 64 bits hold."""
PER_MILLION = 1_000_000
"""A rate of 1 USD per million tokens, in 1e-12 USD per token."""
DATA = Path(config.__file__).parents[1] / "money" / "data" / "prices.json"
DATED = re.compile(r"-(20\d{2})(\d{2})(\d{2})$")

Rate = int | list[Any]
"""1e-12 USD per token, or ``[base, [above, rate]...]``: the last tier whose ``above`` the input exceeds counts for all
tokens."""


class Listed(msgspec.Struct, frozen=True):
    """A model of the snapshot: a `ModelPrice` that is not made yet."""

    id: str
    match: list[Any]
    input: Rate | None = None
    output: Rate | None = None
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    cache_write_long: Rate | None = None
    audio_input: Rate | None = None
    audio_output: Rate | None = None
    image_input: Rate | None = None
    image_output: Rate | None = None
    request: int = 0
    web_search: int = 0
    context_window: int | None = None

    def price(self, vendor: str) -> ModelPrice:
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "match"}
        return ModelPrice(**fields, vendor=vendor)


class ModelPrice:
    """``context_window`` in tokens, None where unknown; ``request`` in 1e-12 USD for each one, ``web_search`` for each
    search; the rates are `Rate`.

    ``vendor`` is whose price list it is from. ``factors`` are by what an answer says of its tier, speed or region; None
    for those of the vendor.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as the snapshot has it
        input: Rate | None = None,  # noqa: A002
        output: Rate | None = None,
        cache_read: Rate | None = None,
        cache_write: Rate | None = None,
        cache_write_long: Rate | None = None,
        audio_input: Rate | None = None,
        audio_output: Rate | None = None,
        image_input: Rate | None = None,
        image_output: Rate | None = None,
        request: int = 0,
        web_search: int = 0,
        context_window: int | None = None,
        vendor: str = "",
        factors: dict[str, Fraction] | None = None,
    ) -> None:
        self.id = id
        self.input = input
        self.output = output
        self.cache_read = cache_read
        self.cache_write = cache_write
        self.cache_write_long = cache_write_long
        self.audio_input = audio_input
        self.audio_output = audio_output
        self.image_input = image_input
        self.image_output = image_output
        self.request = request
        self.web_search = web_search
        self.context_window = context_window
        self.vendor = vendor
        self.factors = factors
        self._input, self._output, self._request = steady(input), steady(output), steady(request)
        # Of the terms that were asked for last, and nearly always are again.
        self._tier = self._speed = self._geo = ""
        self._factor: Fraction | None = None

    def cost(self, usage: Usage, price_of: Callable[[str], ModelPrice | None] | None = None) -> int:
        """What `usage` costs, in 1e-12 USD. Each token is priced once, by the dearest of what is known of it.

        `price_of` finds the price of another model that had a part in the answer; a part without is priced as the rest.
        Each part is priced as a request of its own, and what the parts do not tell as one more.
        """
        rest, cost = usage, self.request
        if usage.web_searches:
            cost += usage.web_searches * self.web_search
        for part in usage.parts:
            other = price_of(part.model) if part.model and price_of is not None else None
            price = self if other is None else other
            cost += price.at_terms(price.tokens(part.counts), usage)
            if part.inside:
                rest = without(rest, part.counts)
        tokens = self.at_terms(self.tokens(rest), usage)
        return tokens + cost if cost else tokens

    def plain(self, input_tokens: int, output_tokens: int) -> int:
        """What so many tokens of text cost at the standard tier, of nothing else; -1 where that takes more than these
        few products.
        """
        if self._input < 0 or self._output < 0 or self._request < 0 or max(input_tokens, output_tokens) >= MUCH // 2:
            return -1
        return self._request + input_tokens * self._input + output_tokens * self._output

    def tokens(self, usage: Usage) -> int:
        """What the tokens of one request cost at the standard tier. Cached ones without a rate cost as input, those
        that are kept longer as others, sounds and pictures as text.
        """
        fresh, read, written = max(0, usage.input), max(0, usage.cache_read), max(0, usage.cache_write)
        output, size = max(0, usage.output), fresh + read + written
        # Of most answers nothing is priced apart.
        apart = read or written or usage.audio_input or usage.image_input or usage.audio_output or usage.image_output
        if not apart and self._input >= 0 and self._output >= 0 and fresh < MUCH and output < MUCH:
            return fresh * self._input + output * self._output
        input_rate = at(self.input, size, 0)
        output_rate = at(self.output, size, 0)
        cost = fresh * input_rate + output * output_rate
        if read:
            cost += read * at(self.cache_read, size, input_rate)
        if written:
            write_rate = at(self.cache_write, size, input_rate)
            long = min(usage.cache_write_long, written)
            cost += (written - long) * write_rate + long * at(self.cache_write_long, size, write_rate)
        # What of these was cached is not told: text comes first, being at the beginning of most prompts.
        if heard := min(usage.audio_input, fresh):
            cost += heard * (at(self.audio_input, size, input_rate) - input_rate)
        if seen := min(usage.image_input, fresh - heard):
            cost += seen * (at(self.image_input, size, input_rate) - input_rate)
        if spoken := min(usage.audio_output, output):
            cost += spoken * (at(self.audio_output, size, output_rate) - output_rate)
        if drawn := min(usage.image_output, output - spoken):
            cost += drawn * (at(self.image_output, size, output_rate) - output_rate)
        return cost

    def at_terms(self, cost: int, usage: Usage) -> int:
        """What tokens of a standard cost of `cost` cost at the tier, the speed and in the region of `usage`."""
        if not (usage.service_tier or usage.speed or usage.geo):
            return cost
        if usage.service_tier != self._tier or usage.speed != self._speed or usage.geo != self._geo:
            self._factor = self._factor_of(usage)
            self._tier, self._speed, self._geo = usage.service_tier, usage.speed, usage.geo
        factor = self._factor
        return cost if factor is None else int(cost * factor + Fraction(1, 2))

    def _factor_of(self, usage: Usage) -> Fraction | None:
        factor: Fraction | None = None
        for word in (usage.service_tier, usage.speed, usage.geo):
            if word:
                times = factor_of(self.vendor, self.id, word) if self.factors is None else self.factors.get(word)
                if times is not None:
                    factor = times if factor is None else factor * times
        return factor


def without(usage: Usage, part: Usage) -> Usage:
    """What is left of `usage` after one of its parts."""
    return Usage(
        usage.input - max(0, part.input),
        usage.output - max(0, part.output),
        usage.cache_read - max(0, part.cache_read),
        usage.cache_write - max(0, part.cache_write),
        usage.reasoning,
        max(0, usage.cache_write_long - part.cache_write_long),
        *usage.counts()[6:],
        usage.service_tier,
        usage.speed,
        usage.geo,
    )


class Vendor(msgspec.Struct, frozen=True, dict=True):
    """``written`` are the ``models``, which are read where somebody asks for one: most vendors are nobody's."""

    id: str
    url: str
    written: msgspec.Raw = msgspec.field(name="models")
    fallbacks: list[str] = []

    @cached_property
    def models(self) -> list[Listed]:
        return msgspec.json.decode(self.written, type=list[Listed])


class Prices(msgspec.Struct, frozen=True):
    """``date`` is the day of the snapshot (ISO 8601), ``source`` what it was made from."""

    date: str
    source: str
    vendors: list[Vendor]

    def find(self, vendor: str, model: str) -> ModelPrice | None:
        """The price of a model at a vendor; None for a vendor or model that is not known."""
        found = self.listed(vendor, model)
        if found is None:
            return None
        whose, listed = found
        return listed.price(whose)

    def listed(self, vendor: str, model: str) -> tuple[str, Listed] | None:
        """The same as it is listed, and the vendor whose list has it."""
        by_id = {other.id: other for other in self.vendors}
        if vendor not in by_id:
            return None
        name = model.lower()
        for spelled in dict.fromkeys((name, DATED.sub(r"-\1-\2-\3", name))):
            for candidate in (by_id[vendor], *(by_id[o] for o in by_id[vendor].fallbacks if o in by_id)):
                for price in candidate.models:
                    if matches(price.match, spelled):
                        return candidate.id, price
        return None

    def vendor(self, base_url: str) -> str:
        """The id of the vendor that serves `base_url`, "" where that is none of these."""
        return next((vendor.id for vendor in self.vendors if re.match(vendor.url, base_url)), "")


def own_price(settings: config.Price, vendor: str, model: str) -> ModelPrice:
    """The price that the configuration gives for a model. `vendor` is whose factors count where it gives none."""
    longer = settings.long_context or config.LongContext(above=0)
    factors = settings.factors

    def rate(dollars: float | None, dollars_above: float | None = None) -> Rate | None:
        base, above = picos(dollars), picos(dollars_above)
        return base if above is None else [base, [longer.above, above]]

    known = load_prices().find(vendor, model) if factors is None else None
    return ModelPrice(
        known.id if known is not None else model,
        rate(settings.input, longer.input),
        rate(settings.output, longer.output),
        rate(settings.cache_read, longer.cache_read),
        rate(settings.cache_write, longer.cache_write),
        rate(settings.cache_write_long, longer.cache_write_long),
        rate(settings.audio_input),
        rate(settings.audio_output),
        rate(settings.image_input),
        rate(settings.image_output),
        (picos(settings.request) or 0) * PER_MILLION,
        (picos(settings.web_search) or 0) * PER_MILLION,
        known.context_window if known is not None else None,
        known.vendor if known is not None else vendor,
        None if factors is None else {word: Fraction(str(times)) for word, times in factors.items()},
    )


def picos(dollars: float | None) -> int | None:
    """USD per million as whole 1e-12 USD for each: `edge.config` has seen to it that they are whole."""
    return None if dollars is None else int(Decimal(str(dollars)) * PER_MILLION)


def steady(rate: Rate | None) -> int:
    """A rate that is the same for requests of any size, 0 where there is none; -1 for another, and above `MUCH`."""
    if rate is None:
        return 0
    return rate if isinstance(rate, int) and 0 <= rate < MUCH else -1


def at(rate: Rate | None, input_tokens: int, otherwise: int) -> int:
    """The rate in force for a request with that much input, `otherwise` where there is none."""
    if not isinstance(rate, list):
        return otherwise if rate is None else rate
    current: int | None = rate[0]
    for above, tier in rate[1:]:
        if input_tokens > above:
            current = tier
    return otherwise if current is None else current


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


def spells(rule: list[Any], name: str) -> bool:
    """Whether a rule of the snapshot has a name in it, letter by letter."""
    return any(spells(part, name) for part in rule[1:]) if rule[0] in "|&" else rule == ["=", name]


@lru_cache(maxsize=1)
def load_prices() -> Prices:
    """The snapshot."""
    return msgspec.json.decode(DATA.read_bytes(), type=Prices)
