"""The prices against the package they are made from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from edge.hooks import Usage
from edge.pricing import PICO, ModelPrice, load_prices


def test_a_cost_counts_each_token_once():
    price = ModelPrice("m", ["=", "m"], input=3_000_000, output=15_000_000, cache_read=300_000, cache_write=3_750_000)
    usage = Usage(input=1000, output=100, cache_read=2000, cache_write=400, reasoning=50)
    assert price.cost(usage) == 1000 * 3_000_000 + 100 * 15_000_000 + 2000 * 300_000 + 400 * 3_750_000
    assert price.cost(Usage()) == 0


def test_without_a_rate_cached_tokens_cost_as_input():
    price = ModelPrice("m", ["=", "m"], input=10)
    assert price.cost(Usage(input=1, output=1, cache_read=2, cache_write=3)) == 60


def test_a_tier_counts_for_all_tokens_once_the_input_exceeds_it():
    price = ModelPrice("m", ["=", "m"], input=[1, [100, 2], [200, 3]], output=[10, [100, 20]])
    assert price.cost(Usage(input=100, output=1)) == 110
    assert price.cost(Usage(input=60, cache_read=41, output=1)) == 222
    assert price.cost(Usage(input=201, output=1)) == 623


@pytest.mark.parametrize(
    ("url", "model", "found"),
    [
        ("https://api.openai.com/v1", "gpt-4o", "gpt-4o"),
        ("https://api.openai.com/v1", "gpt-4o-2024-08-06", "gpt-4o"),
        ("https://api.anthropic.com/v1", "claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("https://x.openai.azure.com/openai/v1", "gpt-4o", "gpt-4o"),
        ("http://127.0.0.1:8081/v1", "gpt-4o", None),
        ("https://api.openai.com/v1", "nothing-like-it", None),
    ],
)
def test_a_price_is_found_by_the_providers_address_and_the_model(url, model, found):
    price = load_prices().find(url, model)
    assert (price.id if price else None) == found


def test_the_snapshot_says_when_and_from_what():
    prices = load_prices()
    assert datetime.fromisoformat(prices.date).year >= 2026
    assert prices.source.startswith("genai-prices ")
    assert load_prices().find("https://api.openai.com/v1", "gpt-5").context_window == 400_000


def test_every_price_is_the_packages_own():
    package = pytest.importorskip("genai_prices", reason="genai-prices is not here (pip install --group prices)")
    from genai_prices.data import providers

    when = datetime.fromisoformat(load_prices().date).replace(hour=12, tzinfo=UTC)
    by_id = {vendor.id: {model.id: model for model in vendor.models} for vendor in load_prices().vendors}
    checked = 0
    for provider in providers:
        for model in provider.models:
            ours = by_id[provider.id].get(model.id)
            if ours is None or getattr(model.get_prices(when), "input_mtok", None) is None:
                continue
            usage = package.Usage(
                input_tokens=250_500, output_tokens=700, cache_read_tokens=300, cache_write_tokens=200
            )
            theirs = model.calc_price(usage, provider, genai_request_timestamp=when).total_price
            mine = ours.cost(Usage(input=250_000, output=700, cache_read=300, cache_write=200))
            assert abs(Decimal(mine) / PICO - theirs) < Decimal("1e-6"), (provider.id, model.id)
            checked += 1
    assert checked > 1000
    print(f"\n{checked} models cost what genai-prices says")
