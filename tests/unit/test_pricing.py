"""The prices against the package they are made from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import config
from edge.config.file import ConfigError, parse
from edge.config.schema import json_schema
from edge.hooks import Part, Usage
from edge.money.pricing import PICO, ModelPrice, load_prices, own_price
from edge.upstreams.cooling import Cooling
from edge.upstreams.provider import Provider
from edge.upstreams.router import Upstream
from tests.unit.records import used


def test_a_cost_counts_each_token_once():
    price = ModelPrice("m", input=3_000_000, output=15_000_000, cache_read=300_000, cache_write=3_750_000)
    usage = Usage(input=1000, output=100, cache_read=2000, cache_write=400, reasoning=50)
    assert price.cost(usage) == 1000 * 3_000_000 + 100 * 15_000_000 + 2000 * 300_000 + 400 * 3_750_000
    assert price.cost(Usage()) == 0


COUNTS = st.integers(-1, 300) | st.sampled_from((0, 0, 1 << 31, (1 << 31) - 1, 1 << 53))
RATES = st.none() | st.integers(0, 64_000_000) | st.sampled_from((0, (1 << 31) - 1, 1 << 31, 1 << 40))


@given(st.lists(COUNTS, min_size=11, max_size=11), st.lists(RATES, min_size=9, max_size=9))
def test_a_rate_that_is_the_same_for_all_sizes_costs_the_same_however_it_is_written(counts, rates):
    usage = Usage(*counts[:5], *[max(0, count) for count in counts[5:]])
    plain, listed = ModelPrice("m", *rates), ModelPrice("m", *[None if rate is None else [rate] for rate in rates])
    assert plain.cost(usage) == listed.cost(usage)
    few = Usage(*counts[:2])
    assert plain.cost(few) == max(0, few.input) * (rates[0] or 0) + max(0, few.output) * (rates[1] or 0)


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), RATES, RATES, st.sampled_from((0, 5, 1 << 40)))
def test_text_alone_costs_the_same_by_few_products(read, written, rate, other, request):
    price = ModelPrice("m", rate, other, request=request)
    cost = price.plain(read, written)
    if cost == -1:
        assert max(read, written) >= 1 << 30 or max(rate or 0, other or 0, request) >= 1 << 31
    else:
        assert cost == price.cost(Usage(read, written))
    assert ModelPrice("m", [5, [100, 9]], 1).plain(1, 1) == -1


def test_without_a_rate_cached_tokens_cost_as_input():
    price = ModelPrice("m", input=10)
    assert price.cost(Usage(input=1, output=1, cache_read=2, cache_write=3)) == 60


def test_a_tier_counts_for_all_tokens_once_the_input_exceeds_it():
    price = ModelPrice("m", input=[1, [100, 2], [200, 3]], output=[10, [100, 20]])
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
    price = load_prices().find(load_prices().vendor(url), model)
    assert (price.id if price else None) == found


def test_the_snapshot_says_when_and_from_what():
    prices = load_prices()
    assert datetime.fromisoformat(prices.date).year >= 2026
    assert prices.source.startswith("genai-prices ")
    assert load_prices().find("openai", "gpt-5").context_window == 400_000


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
            mine = ours.price(provider.id).cost(Usage(input=250_000, output=700, cache_read=300, cache_write=200))
            assert abs(Decimal(mine) / PICO - theirs) < Decimal("1e-6"), (provider.id, model.id)
            checked += 1
    assert checked > 1000
    print(f"\n{checked} models cost what genai-prices says")


def price_of(vendor: str, model: str) -> ModelPrice:
    found = load_prices().find(vendor, model)
    assert found is not None
    return found


FABLE = ModelPrice(
    "claude-fable-5-1",
    input=10_000_000,
    output=50_000_000,
    cache_read=250_000,
    cache_write=12_500_000,
    cache_write_long=20_000_000,
    web_search=10_000_000_000,
    vendor="anthropic",
)
ASTRA = ModelPrice(
    "gpt-6-astra",
    input=[10_000_000, [272_000, 20_000_000]],
    output=[50_000_000, [272_000, 75_000_000]],
    cache_read=[1_000_000, [272_000, 2_000_000]],
    cache_write=[12_500_000, [272_000, 25_000_000]],
    vendor="openai",
)
WRITTEN = Usage(100, 50, 10_000, 1500, cache_write_long=300)


def test_an_answer_that_wrote_to_the_cache_for_two_times_and_for_one_it_does_not_tell():
    assert FABLE.cost(WRITTEN) == 27_000_000_000  # 0.027 USD
    assert price_of("anthropic", "claude-fable-5-1").cost(WRITTEN) == 27_000_000_000


def test_sounds_and_text_of_an_output():
    settings = config.Price(input=2.5, output=10, audio_input=40, audio_output=80)
    price = own_price(settings, "openai", "gpt-audio")
    assert price.cost(Usage(0, 592, 0, 0, audio_output=482)) == 39_660_000_000  # 0.03966 USD
    listed = price_of("openai", "gpt-audio")  # 64 USD for sounds
    assert listed.cost(Usage(0, 592, 0, 0, audio_output=482)) == 110 * 10_000_000 + 482 * 64_000_000
    assert listed.cost(Usage(100, 0, audio_input=60)) == 40 * 2_500_000 + 60 * 32_000_000
    # What was cached was text, as far as it can have been.
    assert listed.cost(Usage(100, 0, 500, audio_input=600)) == 500 * 2_500_000 + 100 * 32_000_000
    assert price_of("openai", "gpt-4o").cost(Usage(0, 10, audio_output=99)) == 10 * 10_000_000


def test_an_answer_of_a_dearer_tier():
    usage = Usage(100, 10, 400, 500, 8, service_tier="priority")
    standard = 100 * 10_000_000 + 400 * 1_000_000 + 500 * 12_500_000 + 10 * 50_000_000
    assert ASTRA.cost(usage) == 2 * standard == 16_300_000_000
    assert price_of("openai", "gpt-6-astra").cost(usage) == 2 * standard


@pytest.mark.parametrize(
    ("vendor", "model", "words", "factor"),
    [
        ("openai", "gpt-6-astra", {}, "1"),
        ("openai", "gpt-6-astra", {"service_tier": "default"}, "1"),
        ("openai", "gpt-6-astra", {"service_tier": "auto"}, "1"),
        ("openai", "gpt-6-astra", {"service_tier": "scale"}, "1"),
        ("openai", "gpt-6-astra", {"service_tier": "tomorrow's"}, "1"),
        ("openai", "gpt-6-astra", {"service_tier": "fast"}, "2"),
        ("openai", "gpt-6-astra", {"service_tier": "ultrafast"}, "6"),
        ("openai", "gpt-6.2-sol", {"service_tier": "ultrafast"}, "3"),
        ("openai", "gpt-6-astra", {"service_tier": "flex"}, "0.5"),
        ("openai", "gpt-5.5-2026-04-23", {"service_tier": "priority"}, "2.5"),
        ("openai", "gpt-5-mini", {"service_tier": "priority"}, "1.8"),
        ("openai", "gpt-5", {"service_tier": "priority"}, "2"),
        ("openai", "gpt-4.1", {"service_tier": "priority"}, "1.75"),
        ("azure", "gpt-4o", {"service_tier": "priority"}, "1.7"),
        ("anthropic", "claude-opus-5-5", {"speed": "fast", "service_tier": "standard"}, "2"),
        ("anthropic", "claude-opus-4-6", {"speed": "fast"}, "6"),
        ("anthropic", "claude-fable-5-2", {"speed": "fast", "geo": "us"}, "2.2"),
        ("anthropic", "claude-sonnet-4-6", {"geo": "us"}, "1.1"),
        ("anthropic", "claude-sonnet-4-5", {"geo": "us"}, "1"),
        ("anthropic", "claude-opus-4-1", {"geo": "us"}, "1"),
        ("anthropic", "claude-sonnet-5", {"geo": "global"}, "1"),
        ("anthropic", "claude-sonnet-5", {"geo": "not_available", "speed": "standard"}, "1"),
        ("anthropic", "claude-sonnet-5", {"service_tier": "priority"}, "1"),
        ("anthropic", "claude-sonnet-5", {"service_tier": "batch"}, "0.5"),
        ("groq", "llama-3.3-70b-versatile", {"service_tier": "flex"}, "1"),
    ],
)
def test_what_an_answer_says_of_itself_multiplies_the_price_of_its_tokens(vendor, model, words, factor):
    price = price_of(vendor, model)
    plain, special = Usage(1000, 2000, 300, 40), Usage(1000, 2000, 300, 40, **words)
    assert price.cost(special) == price.cost(plain) * Decimal(factor)


def test_searches_are_paid_one_by_one_whatever_the_tier():
    usage = Usage(100, 10, web_searches=3, speed="fast", geo="us")
    tokens = (100 * 10_000_000 + 10 * 50_000_000) * 22 // 10
    assert FABLE.cost(usage) == tokens + 3 * 10_000_000_000
    assert price_of("anthropic", "claude-sonnet-5").web_search == 10_000_000_000


def test_a_long_input_has_its_own_prices_for_all_that_it_counts():
    usage = Usage(200_000, 10, 72_000, 1)
    assert ASTRA.cost(usage) == 200_000 * 20_000_000 + 72_000 * 2_000_000 + 25_000_000 + 10 * 75_000_000
    fast = used(usage, service_tier="fast")
    assert ASTRA.cost(fast) == 2 * ASTRA.cost(usage)
    assert ASTRA.cost(Usage(200_000, 10, 72_000)) == 200_000 * 10_000_000 + 72_000 * 1_000_000 + 10 * 50_000_000


def test_each_sampling_is_a_request_of_its_own():
    long = Usage(272_001, 1)
    short = Usage(1000, 10)
    whole = Usage(273_001, 11, parts=(Part(long, inside=True), Part(short, inside=True)))
    assert ASTRA.cost(whole) == ASTRA.cost(long) + ASTRA.cost(short)
    # Two that are short each make no long one.
    half = Usage(200_000, 10)
    twice = Usage(400_000, 20, parts=(Part(half, inside=True), Part(half, inside=True)))
    assert ASTRA.cost(twice) == 2 * ASTRA.cost(half)
    # What the parts do not tell is one more.
    more = used(twice, input=400_100, cache_read=50)
    assert ASTRA.cost(more) == 2 * ASTRA.cost(half) + 100 * 10_000_000 + 50 * 1_000_000


def test_a_compaction_is_billed_beside_the_sums_and_an_advisor_by_its_own_model():
    compaction = Part(Usage(5000, 300))
    message = Part(Usage(1200, 40), inside=True)
    advisor = Part(Usage(10, 2), "claude-opus-5")
    usage = Usage(1200, 40, 800, parts=(compaction, message, advisor), speed="fast")
    opus = price_of("anthropic", "claude-opus-5")
    prices = {"claude-opus-5": opus}
    fable = FABLE.tokens(Usage(6200, 340, 800))
    assert FABLE.cost(usage, prices.get) == 2 * (fable + 10 * 5_000_000 + 2 * 25_000_000)
    # A model that nobody knows costs as the answer's own.
    assert FABLE.cost(usage, {}.get) == 2 * (fable + 10 * 10_000_000 + 2 * 50_000_000)


def test_own_prices():
    own = own_price(config.Price(input=3.2, output=16), "", "mine")
    assert own.cost(Usage(1_000_000, 100, 10, 10, audio_input=5)) == 1_000_020 * 3_200_000 + 100 * 16_000_000
    own = own_price(
        config.Price(
            input=1,
            output=2,
            cache_write=1.25,
            cache_write_long=2,
            request=0.001,
            web_search=0.01,
            long_context=config.LongContext(above=100, input=2, cache_read=0.5),
            factors={"priority": 1.3, "us": 1.1},
        ),
        "openai",
        "gpt-5",
    )
    assert own.cost(Usage(10, 10, 1, 20, cache_write_long=5, web_searches=2)) == (
        1_000_000_000 + 2 * 10_000_000_000 + 10 * 1_000_000 + 1_000_000 + 15 * 1_250_000 + 5 * 2_000_000 + 20_000_000
    )
    assert own.cost(Usage(101, 10, 1)) == 1_000_000_000 + 101 * 2_000_000 + 500_000 + 10 * 2_000_000
    tokens = 10 * 1_000_000 + 20_000_000
    assert own.cost(Usage(10, 10, service_tier="priority", geo="us")) == 1_000_000_000 + tokens * 143 // 100
    assert own.cost(Usage(10, 10, service_tier="fast")) == 1_000_000_000 + tokens
    assert own.context_window is None
    # Without factors of its own, those of the vendor count.
    vendors = own_price(config.Price(input=1, output=2), "openai", "gpt-5-mini")
    assert vendors.cost(Usage(10, 10, service_tier="fast")) == tokens * 9 // 5
    assert vendors.context_window == 400_000


def test_what_is_written_for_the_longer_time_costs_twice_the_input():
    usage = Usage(0, 0, 0, 500, cache_write_long=300)
    assert price_of("openai", "gpt-6.2-sol").cost(usage) == 200 * 2_500_000 + 300 * 4_000_000
    assert price_of("openai", "gpt-6-astra").cost(usage) == 200 * 12_500_000 + 300 * 20_000_000
    assert price_of("openai", "gpt-4o").cost(usage) == 500 * 2_500_000  # which has no price for writing
    long = Usage(300_000, 10, 0, 500, cache_write_long=300)
    astra = 300_000 * 16_000_000 + 10 * 60_000_000 + 200 * 20_000_000 + 300 * 32_000_000
    assert price_of("openai", "gpt-6.2-astra").cost(long) == astra


def test_pictures_in_input_and_output():
    price = price_of("openai", "gpt-image-1")
    assert price.cost(Usage(100, 1000, image_input=60, image_output=1000)) == (
        40 * 5_000_000 + 60 * 10_000_000 + 1000 * 40_000_000
    )


def upstream(**settings) -> Provider:
    return Provider(
        "main", config.Provider(dialect="openai", **settings), SimpleNamespace(transport=None, cooling=[Cooling()])
    )  # type: ignore[arg-type]


def test_whose_price_counts():
    cheap, dear = config.Price(input=1, output=1), config.Price(input=9, output=9)
    local = "http://127.0.0.1:1/v1"
    plain = upstream(base_url=local)
    assert Upstream(plain, "gpt-4o").price is None
    assert Upstream(plain, "gpt-4o", cheap).price.input == 1_000_000
    own = upstream(base_url="https://api.openai.com/v1", prices={"gpt-4*": cheap, "gpt-*": dear})
    assert Upstream(own, "gpt-4o").price.input == 1_000_000
    assert Upstream(own, "gpt-5").price.input == 9_000_000
    assert Upstream(own, "o3").price.input == 2_000_000
    assert Upstream(own, "gpt-4o", dear).price.input == 9_000_000
    assert own.price("gpt-4o").cost(Usage(10, 0, service_tier="priority")) == 17_000_000
    imitating = upstream(base_url=local, priced_as="openai")
    same = Upstream(imitating, "gpt-4o").price
    assert (same.vendor, same.id, same.input) == ("openai", "gpt-4o", price_of("openai", "gpt-4o").input)
    assert Upstream(imitating, "nothing-like-it").price is None


@pytest.mark.parametrize(
    ("price", "complaint"),
    [
        ({"input": 1}, "providers.main.prices.m: the key 'output' is missing"),
        ({"input": -1, "output": 1}, "providers.main.prices.m.input: "),
        ({"input": "x", "output": 1}, "providers.main.prices.m.input: "),
        ({"input": 1, "output": 1, "cache_reads": 1}, "providers.main.prices.m.cache_reads: unknown key, did you mean"),
        ({"input": 0.0000001, "output": 1}, "providers.main.prices.m.input: has more than six decimals"),
        ({"input": 1, "output": 1, "factors": {"fast": -1}}, "providers.main.prices.m.factors.fast: "),
        ({"input": 1, "output": 1, "long_context": {"input": 2}}, "prices.m.long_context: the key 'above' is missing"),
        (
            {"input": 1, "output": 1, "long_context": {"above": 1, "output": 0.0000001}},
            "providers.main.prices.m.long_context.output: has more than six decimals",
        ),
    ],
)
def test_a_price_that_is_none(price, complaint):
    provider = {"dialect": "openai", "base_url": "http://h/v1", "prices": {"m": price}}
    alias = {"upstreams": [{"to": "main/m"}], "price": price}
    text = json.dumps({"providers": {"main": provider}, "models": {"a": alias}})
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.json", {})
    assert any(complaint in error for error in caught.value.errors), caught.value.errors
    assert any(error.startswith("models.a.price") for error in caught.value.errors)


def test_an_editor_knows_prices():
    schema = json.dumps(json_schema())
    assert all(f'"{name}"' in schema for name in ("prices", "priced_as", "cache_write_long", "long_context", "factors"))
