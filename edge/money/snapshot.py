"""Makes a snapshot of prices from the package genai-prices (MIT), for ``edge prices update``.

Rates are whole numbers of 1e-12 USD per token, so that costs add up without rounding. Of prices that depend on the
date, those of the day of generation are taken; what vendors multiply them by is in `edge.money.price_rules`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any

__all__ = ["snapshot"]

KINDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_long": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "image_input": "input_image_mtok",
    "image_output": "output_image_mtok",
}
EACH = {"request": "requests_kcount", "web_search": "web_searches_kcount"}
CLAUSES = {"equals": "=", "starts_with": "^", "ends_with": "$", "contains": "*", "regex": "~"}


def rule(clause: Any) -> list[Any]:
    """A match as ``[operator, argument...]``: = equals, ^ begins, $ ends, * contains, ~ regex, | any, & all."""
    for name, sign in (("or_", "|"), ("and_", "&")):
        if hasattr(clause, name):
            return [sign, *(rule(part) for part in getattr(clause, name))]
    for name, sign in CLAUSES.items():
        if hasattr(clause, name):
            return [sign, getattr(clause, name).lower() if sign != "~" else clause.regex]
    raise ValueError(f"an unknown clause: {clause!r}")


def rate(price: Any) -> Any:
    """USD per million tokens to 1e-12 USD per token; ``[base, [above, rate]...]`` where tiers change it."""
    if hasattr(price, "tiers"):
        return [whole(price.base), *([tier.start, whole(tier.price)] for tier in price.tiers)]
    return whole(price)


def long_writes(rates: dict[str, Any]) -> dict[str, Any]:
    """The rate for writing to the prompt cache for the longer time, where the package has none: twice that of the
    input, at Anthropic (https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing) and at OpenAI
    (https://developers.openai.com/api/docs/models/gpt-6.2-sol).
    """
    if "cache_write" not in rates or "input" not in rates or "cache_write_long" in rates:
        return {}
    rate = rates["input"]
    twice = [2 * rate[0], *([above, 2 * tier] for above, tier in rate[1:])] if isinstance(rate, list) else 2 * rate
    return {"cache_write_long": twice}


def sixth_family(model: str, read: int, rate: int) -> dict[str, Any]:
    """A model of OpenAI's, by its page: an input of `rate`, five times that for output, and beyond 272,000 tokens of
    input twice and one and a half times as much.
    """
    return {
        "id": model,
        "match": ["=", model],
        "input": [rate, [272_000, 2 * rate]],
        "output": [5 * rate, [272_000, 15 * rate // 2]],
        "cache_read": [read, [272_000, 2 * read]],
        "cache_write": [5 * rate // 4, [272_000, 5 * rate // 2]],
        "cache_write_long": [2 * rate, [272_000, 4 * rate]],
        "web_search": 10_000_000_000,
        "context_window": 1_050_000,
    }


def whole(price: Decimal) -> int:
    return int((price * 1_000_000).to_integral_value())


MORE = {"openai": [sixth_family("gpt-6.2-astra", 400_000, 8_000_000), sixth_family("gpt-6.2-sol", 100_000, 2_000_000)]}
"""What the package does not have yet, from https://developers.openai.com/api/docs/models in November 2026."""


def snapshot(now: datetime | None = None) -> bytes:
    """The prices of a day, by default of today. Raises ImportError where genai-prices is not installed."""
    from genai_prices.data import providers

    # Noon: prices that depend on the hour are cheaper at night, and an estimate had better not be too low.
    now = (datetime.now(UTC) if now is None else now).replace(hour=12, minute=0, second=0, microsecond=0)
    vendors = []
    for provider in providers:
        models = []
        for model in provider.models:
            prices = model.get_prices(now)
            rates = {
                kind: rate(price) for kind, name in KINDS.items() if (price := getattr(prices, name, None)) is not None
            }
            if not rates:
                continue
            for kind, name in EACH.items():
                if per_thousand := getattr(prices, name, None):
                    rates[kind] = whole(per_thousand * 1000)
            if provider.id == "openai" or "claude" in model.id:
                rates |= long_writes(rates)
            entry: dict[str, Any] = {"id": model.id, "match": rule(model.match), **rates}
            if model.context_window:
                entry["context_window"] = model.context_window
            models.append(entry)
        known = {model["id"] for model in models}
        models += [model for model in MORE.get(provider.id, []) if model["id"] not in known]
        vendor = {"id": provider.id, "url": provider.api_pattern, "models": models}
        if provider.fallback_model_providers:
            vendor["fallbacks"] = provider.fallback_model_providers
        vendors.append(vendor)
    document = {"date": now.date().isoformat(), "source": f"genai-prices {version('genai-prices')}", "vendors": vendors}
    lines = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # One model a line: a change of a price is a change of a line.
    return (lines.replace('{"id":', '\n{"id":') + "\n").encode()
