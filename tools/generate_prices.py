"""Writes edge/data/prices.json from the package genai-prices (MIT): ``python tools/generate_prices.py``.

Rates are whole numbers of 1e-12 USD per token, so that costs add up without rounding. Of prices that depend on the
date, those of the day of generation are taken; what vendors multiply them by is in edge/price_rules.py. Run in an
environment with ``pip install --group prices``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices.data import providers

TARGET = Path(__file__).parents[1] / "edge" / "data" / "prices.json"
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


def twice(rate: Any) -> Any:
    """Anthropic's rate for writing to the prompt cache for an hour, where the package has none for a reseller: twice
    that of the input, https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing.
    """
    return [2 * rate[0], *([above, 2 * tier] for above, tier in rate[1:])] if isinstance(rate, list) else 2 * rate


def whole(price: Decimal) -> int:
    return int((price * 1_000_000).to_integral_value())


def main() -> None:
    # Noon: prices that depend on the hour are cheaper at night, and an estimate had better not be too low.
    now = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
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
            if "claude" in model.id and "cache_write" in rates and "input" in rates:
                rates.setdefault("cache_write_long", twice(rates["input"]))
            entry: dict[str, Any] = {"id": model.id, "match": rule(model.match), **rates}
            if model.context_window:
                entry["context_window"] = model.context_window
            models.append(entry)
        vendor = {"id": provider.id, "url": provider.api_pattern, "models": models}
        if provider.fallback_model_providers:
            vendor["fallbacks"] = provider.fallback_model_providers
        vendors.append(vendor)
    document = {"date": now.date().isoformat(), "source": f"genai-prices {version('genai-prices')}", "vendors": vendors}
    lines = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # One model a line: a change of a price is a change of a line.
    TARGET.write_text(lines.replace('{"id":', '\n{"id":') + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {sum(len(vendor['models']) for vendor in vendors)} models of {len(vendors)} vendors")


if __name__ == "__main__":
    main()
