"""Which of a provider's keys is asked next, after what it said."""

from __future__ import annotations

from time import perf_counter

import pytest

from edge._fast import Fields
from edge.config import Config, Provider, Resilience, Secret
from edge.errors import UpstreamOverloaded, UpstreamRateLimited
from edge.upstreams.fleet import Fleet
from edge.upstreams.provider import Provider as Asked
from edge.upstreams.rules import RULES

MODEL = "m"
NOT_HEEDED = sorted({status for status, rule in RULES.items() if not (rule.key or rule.rests)} | {400, 404, 422})


def settings(keys: int, dialect: str = "openai") -> Config:
    secrets = [Secret(f"sk-{number}") for number in range(keys)]
    return Config(
        providers={"p": Provider(dialect=dialect, base_url="http://127.0.0.1:9", api_keys=secrets)},
        resilience=Resilience(),
    )


def provider(keys: int, dialect: str = "openai", old: Fleet | None = None) -> Asked:
    config = settings(keys, dialect)
    return Asked("p", config.providers["p"], Fleet.of(config, old).sites["p"])


def turns(asked: Asked, count: int, model: str = MODEL, later: float = 0.0) -> list[str]:
    now = perf_counter() + later
    return [asked.usable(None, model, now).values[0].removeprefix(b"Bearer sk-").decode() for _ in range(count)]


def told(asked: Asked, status: int, *headers: tuple[bytes, bytes], key: int = 0) -> None:
    asked.heed(account(asked, key), MODEL, status, Fields(list(headers)))


def account(asked: Asked, key: int):
    """By its value: the list itself is the compiled provider's own."""
    return next(each for each in asked.accounts_of("t") if each.values[0].endswith(b"%d" % key))


@pytest.mark.parametrize("keys", [1, 3])
def test_keys_are_asked_in_turn(keys):
    assert turns(provider(keys), 6) == [str(n % keys) for n in range(6)]


def test_a_key_that_was_asked_to_wait_is_left_alone_for_that_model_until_then():
    asked = provider(3)
    told(asked, 429, (b"retry-after", b"7"), key=1)
    assert "1" not in turns(asked, 6)
    assert "1" not in turns(asked, 6, later=6.9)
    assert "1" in turns(asked, 6, later=7.1)
    assert "1" in turns(asked, 6, model="other")


@pytest.mark.parametrize("status", [503, 529])
def test_an_overload_is_all_keys(status):
    asked = provider(2)
    told(asked, status, (b"retry-after", b"7"))
    with pytest.raises(UpstreamOverloaded) as raised:
        turns(asked, 1)
    assert dict(raised.value.headers)[b"retry-after"] == b"7"
    assert not asked.site.member(MODEL).allows(perf_counter() + 6.9)
    assert asked.site.member(MODEL).allows(perf_counter() + 7.1)


def test_where_all_keys_rest_the_soonest_time_is_told():
    asked = provider(2)
    told(asked, 429, (b"retry-after", b"9"), key=0)
    assert asked.site.member(MODEL).allows(perf_counter())
    told(asked, 429, (b"retry-after-ms", b"2500"), key=1)
    with pytest.raises(UpstreamRateLimited) as raised:
        turns(asked, 1)
    assert dict(raised.value.headers)[b"retry-after"] == b"3"
    assert 2300 < int(dict(raised.value.headers)[b"retry-after-ms"]) <= 2500
    assert not asked.site.member(MODEL).allows(perf_counter())
    assert turns(asked, 2, later=3.0) == ["1", "1"]


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_fresh_key_neither_rests_nor_was_refused(status):
    asked = provider(3)
    told(asked, status, key=0)
    told(asked, 429, (b"retry-after", b"9"), key=1)
    now = perf_counter()
    assert [asked.fresh(MODEL, now) for _ in range(3)] == [account(asked, 2)] * 3
    told(asked, 429, key=2)
    assert asked.fresh(MODEL, now) is None


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_key_that_was_refused_is_asked_where_no_other_can_be(status):
    asked = provider(2)
    told(asked, status, key=0)
    assert turns(asked, 4) == ["1"] * 4
    told(asked, status, key=1)
    assert set(turns(asked, 4)) <= {"0", "1"}, "better than nobody"
    told(asked, 200, key=1)
    assert turns(asked, 4) == ["1"] * 4, "it is mended"


@pytest.mark.parametrize(
    ("dialect", "headers"),
    [
        ("openai", [(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"9s")]),
        ("openai", [(b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", b"9s")]),
        (
            "anthropic",
            [
                (b"anthropic-ratelimit-output-tokens-remaining", b"0"),
                (b"anthropic-ratelimit-output-tokens-reset", b"2999-01-01T00:00:00Z"),
            ],
        ),
    ],
)
def test_a_key_with_nothing_left_of_a_quota_is_avoided_until_its_reset(dialect, headers):
    asked = provider(2, dialect)
    used = account(asked, 0)
    asked.heed(used, MODEL, 200, Fields(headers))
    now = perf_counter()
    assert used not in [asked.usable(None, MODEL, now + 8) for _ in range(4)]
    assert used in [asked.usable(None, MODEL, now + 301) for _ in range(4)]


def test_a_429_without_a_word_of_a_wait_makes_others_go_first():
    asked = provider(2)
    told(asked, 429)
    assert turns(asked, 4) == ["1"] * 4
    alone = provider(1)
    told(alone, 429)
    assert turns(alone, 1) == ["0"]


@pytest.mark.parametrize("status", NOT_HEEDED)
def test_other_failures_say_nothing_of_the_key(status):
    asked = provider(2)
    told(asked, status, (b"retry-after", b"9"))
    assert turns(asked, 4) == ["0", "1", "0", "1"]


def test_a_configuration_that_asks_the_same_keys_goes_on_with_what_they_were_told():
    config = settings(2)
    fleet = Fleet.of(config)
    asked = Asked("p", config.providers["p"], fleet.sites["p"])
    told(asked, 429, (b"retry-after", b"9"))
    assert turns(provider(2, old=fleet), 4) == ["1"] * 4
