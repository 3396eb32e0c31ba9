"""What would become of a request, told without sending it."""

from __future__ import annotations

import json
import re
from fnmatch import translate
from time import perf_counter

import msgspec
import pytest

from edge import config
from edge._fast import Fields
from edge.errors import RequestTooLarge, UnsupportedRoute
from edge.explain import Explanation, explain, path_for, table
from edge.guard.auth import ANYONE, Key
from edge.money.pricing import PICO
from edge.state import State, build_state
from edge.upstreams.choice import Candidates
from tests.unit import calls
from tests.unit.calls import Asked

LOCAL = "http://127.0.0.1:1/v1"
PRICE = config.Price(input=1.0, output=10.0)
SETTINGS = config.Config(
    providers={
        "a": config.Provider(dialect="openai", base_url=LOCAL, prices={"*": PRICE}),
        "b": config.Provider(dialect="anthropic", base_url=LOCAL),
    },
    models={
        "smart": config.Model(
            strategy="failover",
            upstreams=[config.Target(to="a/one"), config.Target(to="b/two")],
            fallbacks=["cheap"],
        ),
        "cheap": config.Model(upstreams=[config.Target(to="a/small")]),
    },
    cache=config.Cache(mode="all"),
)
CHAT = "/v1/chat/completions"


def asked(state: State | None = None, key: Key = ANYONE, path: str = CHAT, headers=(), **fields) -> Explanation:
    body = {"model": "smart", "messages": [{"role": "user", "content": "Say hello."}]} | fields
    made = build_state(SETTINGS) if state is None else state
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    return explain(made, key, path, json.dumps(body).encode(), pairs)


def posed(state: State) -> Asked:
    """The same request, on its way."""
    call = calls.asked({"model": "smart", "messages": [{"role": "user", "content": "Say hello."}]})
    call.state, call.key = state, ANYONE
    call.grant = state.grant(ANYONE, "smart", call.head.route)
    return call


def of(*models: str, **fields) -> Key:
    return Key(id="k", tenant="t", models=tuple(re.compile(translate(each)) for each in models), admin=False, **fields)


def standing(found: Explanation) -> list[tuple[str, bool, str]]:
    return [(each.upstream, each.first, each.excluded) for each in found.candidates]


def test_an_alias_is_told_with_its_upstreams_and_fallbacks_and_who_is_asked_first():
    found = asked(max_tokens=100, stream=True)
    assert standing(found) == [("a/one", True, ""), ("b/two", False, ""), ("a/small", False, "")]
    assert [(each.alias, each.fallback) for each in found.candidates] == [
        ("smart", ""),
        ("smart", ""),
        ("cheap", "any"),
    ]
    assert (found.endpoint, found.model, found.alias, found.stream) == (CHAT, "smart", "smart", True)
    assert found.refused is None


SEALED = {"type": "redacted_thinking", "data": "edge1r.x"}


@pytest.mark.parametrize(("thoughts", "first"), [([SEALED], "a/gpt-6-astra"), ([], "b/claude-opus-5")])
def test_whose_thought_is_the_latest_is_asked_first(thoughts, first):
    alias = config.Model(
        strategy="failover", upstreams=[config.Target(to="b/claude-opus-5"), config.Target(to="a/gpt-6-astra")]
    )
    state = build_state(config.Config(providers=SETTINGS.providers, models={"smart": alias}))
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [*thoughts, {"type": "text", "text": "."}]},
        {"role": "user", "content": "and?"},
    ]
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    found = asked(state, path="/v1/messages", max_tokens=9, messages=turns, tools=tools)
    assert [each.upstream for each in found.candidates if each.first] == [first]
    call = calls.asked({"model": "smart", "max_tokens": 9, "messages": turns, "tools": tools}, "/v1/messages")
    call.grant = state.grant(ANYONE, "smart", call.head.route)
    candidates = Candidates(call)
    assert candidates.next(perf_counter())
    assert candidates.upstream.names[0] == first


def test_costs_are_those_of_the_estimated_input_and_of_the_most_that_may_be_written():
    found = asked(max_tokens=100, n=3)
    first = found.candidates[0]
    assert found.output_tokens == 300
    assert first.input_usd == found.input_tokens * 1_000_000 / PICO
    assert first.at_most_usd == (found.input_tokens * 1_000_000 + 300 * 10_000_000) / PICO
    assert (found.candidates[1].input_usd, found.candidates[1].at_most_usd) == (None, None)
    assert asked().candidates[0].at_most_usd is None


@pytest.mark.parametrize(
    ("models", "reasons", "refused"),
    [
        (["smart"], ["", "", "key"], ""),
        (["two"], ["key", "", "key"], ""),
        (["nothing"], ["key", "key", "key"], "model_not_allowed"),
    ],
)
def test_what_the_key_may_not_use_is_excluded(models, reasons, refused):
    found = asked(key=of(*models))
    assert [each.excluded for each in found.candidates] == reasons
    assert [each.first for each in found.candidates] == [n == [*reasons, ""].index("") for n in range(3)]
    assert (found.refused.code if found.refused else "") == refused


def test_a_breaker_that_is_open_and_a_provider_that_rests_are_excluded_until_then():
    state = build_state(SETTINGS)
    group = state.router.aliases["smart"]
    now = perf_counter()
    for _ in range(SETTINGS.resilience.breaker.failures):
        group.members[0].begin(now).failed(now)
    provider = state.providers["b"]
    provider.heed(provider.accounts_of("")[0], "two", 429, Fields([(b"retry-after", b"20")]))
    found = asked(state)
    assert standing(found) == [("a/one", False, "breaker"), ("b/two", False, "resting"), ("a/small", True, "")]
    one, two, _ = found.candidates
    assert (one.excluded, one.breaker) == ("breaker", "open")
    assert 0 < one.ready_s <= SETTINGS.resilience.breaker.open_s
    assert two.excluded == "resting"
    assert 19 < two.ready_s <= 20


def test_an_upstream_whose_only_key_is_at_its_limit_is_asked_where_no_other_can_be():
    state = build_state(SETTINGS)
    for provider, first in (("a", "b/two"), ("b", "a/one")):
        made = state.providers[provider]
        for model in ("one", "two", "small"):
            made.heed(made.accounts_of("")[0], model, 429, Fields([]))
        found = asked(state)
        assert [each.upstream for each in found.candidates if each.first] == [first]
        assert [each.avoided for each in found.candidates] == [True, provider == "b", True]
        assert not any(each.excluded for each in found.candidates)
    assert any("asked first, avoided" in said for said in table(found))


@pytest.mark.parametrize("strategy", ["round_robin", "latency", "cost", "least_busy", "affinity"])
def test_who_is_said_to_be_asked_first_is_who_the_strategy_picks(strategy):
    targets = [config.Target(to=f"a/{name}", weight=weight) for name, weight in (("one", 3), ("two", 1), ("three", 2))]
    alias = config.Model(strategy=strategy, upstreams=targets)
    state = build_state(msgspec.structs.replace(SETTINGS, models={"smart": alias}), seed=1)
    for _ in range(20):
        found = asked(state)
        told = [each.upstream for each in found.candidates if each.first]
        candidates = Candidates(posed(state))
        assert candidates.next(perf_counter(), True)
        candidates.trial.cancelled(perf_counter())
        assert told == [candidates.upstream.names[0]]
        assert {each.strategy for each in found.candidates} == {strategy}
        assert [each.weight for each in found.candidates] == [3, 1, 2]


def test_fallbacks_are_told_with_what_they_are_for():
    fallbacks = config.Fallbacks(any=["cheap"], context_length=["long"], content_policy=["free"])
    models = SETTINGS.models | {
        "smart": config.Model(upstreams=[config.Target(to="a/one")], fallbacks=fallbacks),
        "long": config.Model(upstreams=[config.Target(to="b/long")]),
        "free": config.Model(upstreams=[config.Target(to="b/free")]),
    }
    found = asked(build_state(msgspec.structs.replace(SETTINGS, models=models)))
    assert [(each.upstream, each.fallback) for each in found.candidates] == [
        ("a/one", ""),
        ("a/small", "any"),
        ("b/long", "context_length"),
        ("b/free", "content_policy"),
    ]


def test_an_upstream_that_an_operator_has_drained_is_not_asked():
    state = build_state(SETTINGS)
    state.router.aliases["smart"].members[0].drain()
    assert standing(asked(state))[:2] == [("a/one", False, "drained"), ("b/two", True, "")]


def test_an_upstream_without_a_free_place_is_full_and_another_is_asked():
    providers = SETTINGS.providers | {"a": config.Provider(dialect="openai", base_url=LOCAL, max_in_flight=1)}
    state = build_state(msgspec.structs.replace(SETTINGS, providers=providers))
    held = Candidates(posed(state))
    assert held.next(perf_counter())
    assert standing(asked(state))[:2] == [("a/one", False, "full"), ("b/two", True, "")]


@pytest.mark.parametrize("mode", ["detect", "mask", "block"])
def test_personal_data_is_told_by_kind_and_what_is_keyed_is_what_would_be_sent(mode):
    state = build_state(msgspec.structs.replace(SETTINGS, pii=config.Pii(request=mode)))
    one, other = (asked(state, messages=[{"role": "user", "content": f"Mail {name}@corp.example"}]) for name in "xy")
    assert (one.pii, other.pii) == ("email=1", "email=1")
    assert (one.cache.key == other.cache.key) == (mode != "detect")
    assert (one.refused.code if one.refused else "") == ("pii_blocked" if mode == "block" else "")


def test_an_endpoint_that_a_dialect_does_not_serve_excludes_its_providers():
    found = asked(path="/v1/embeddings", input="x")
    assert standing(found) == [("a/one", True, ""), ("b/two", False, "endpoint"), ("a/small", False, "")]


def test_what_cannot_be_said_in_a_dialect_is_excluded_and_another_is_asked():
    swapped = msgspec.structs.replace(
        SETTINGS,
        models={
            "smart": config.Model(strategy="failover", upstreams=[config.Target(to="b/two"), config.Target(to="a/one")])
        },
    )
    found = asked(build_state(swapped), n=2)
    assert standing(found) == [("b/two", False, "translation"), ("a/one", True, "")]
    assert "'n'" in found.candidates[0].detail


def test_the_caches_verdict_and_key_are_those_of_the_request():
    plain, same, other = asked(), asked(user="u"), asked(temperature=0.5)
    assert (plain.cache.mode, plain.cache.verdict) == ("all", "cacheable")
    assert plain.cache.key == same.cache.key != other.cache.key
    assert asked(headers=[("cache-control", "no-store")]).cache.verdict == "bypass"
    assert asked(build_state(msgspec.structs.replace(SETTINGS, cache=config.Cache()))).cache.verdict == "off"
    only = asked(headers=[("cache-control", "no-store, only-if-cached")])
    assert only.refused is not None
    assert only.refused.status == 504


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [({"model": "nowhere"}, 404, "model_not_found"), ({"model": 7}, 400, "invalid_type"), ({"stream": "x"}, 400, "")],
)
def test_a_refused_request_is_told_as_the_client_would_be(fields, status, code):
    closed = {name: msgspec.structs.replace(each, models=[]) for name, each in SETTINGS.providers.items()}
    refused = asked(build_state(msgspec.structs.replace(SETTINGS, providers=closed)), **fields).refused
    assert refused is not None
    assert refused.status == status
    assert not code or refused.code == code


def test_asking_changes_nothing():
    state = build_state(SETTINGS)
    first = asked(state)
    assert [asked(state) for _ in range(5)] == [first] * 5
    assert all(member.in_flight == 0 for member in state.router.aliases["smart"].members)


def test_only_what_is_posted_and_not_too_large_is_explained():
    state = build_state(SETTINGS)
    for path in ("/v1/models", "/metrics", "/v1/nope/..", "/v1/uploads"):
        with pytest.raises(UnsupportedRoute):
            explain(state, ANYONE, path, b"{}")
    with pytest.raises(RequestTooLarge):
        explain(state, ANYONE, CHAT, bytes((1 << 20) + 1))


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"messages":[]}', CHAT),
        (b'{"messages":[],"system":"x"}', "/v1/messages"),
        (b'{"input":"x"}', "/v1/responses"),
        (b'{"prompt":"x"}', "/v1/completions"),
        (b"no JSON", CHAT),
    ],
)
def test_the_path_follows_from_the_fields(body, path):
    assert path_for(body) == path


def test_people_read_the_same_and_no_prompt():
    lines = table(asked(key=of("smart", requests_per_minute=60, concurrency=4), max_tokens=9))
    text = "\n".join(lines)
    assert "k, of tenant t" in text
    assert "60 requests a minute, 4 at a time" in text
    assert "upstream   a/one: asked first" in text
    assert "fallback   a/small: not asked, key" in text
    assert "hello" not in text


@pytest.mark.parametrize(
    ("limit", "background", "code"), [(1000, True, "route_not_allowed"), (1000, False, ""), (None, True, "")]
)
def test_a_response_in_the_background_is_refused_to_a_key_with_a_limit_on_tokens(limit, background, code):
    found = asked(
        key=of("*", tokens_per_minute=limit), path="/v1/responses", model="a/one", input="x", background=background
    )
    assert (found.refused.code if found.refused else "") == code


@pytest.mark.parametrize(
    ("path", "fields", "apis"),
    [
        (CHAT, {}, {"a": "chat", "b": "messages", "r": "responses"}),
        ("/v1/messages", {"max_tokens": 9}, {"a": "chat", "b": "messages", "r": "responses"}),
        ("/v1/responses", {"input": "x"}, {"a": "responses", "b": "messages", "r": "responses"}),
        ("/v1/embeddings", {"input": "x"}, {"a": "embeddings", "b": "", "r": "embeddings"}),
    ],
)
def test_by_which_api_each_would_be_asked(path, fields, apis):
    only = {"*": config.Capabilities(apis=["responses"])}
    providers = {**SETTINGS.providers, "r": config.Provider(dialect="openai", base_url=LOCAL, capabilities=only)}
    smart = config.Model(upstreams=[config.Target(to=f"{name}/m") for name in apis])
    state = build_state(config.Config(providers=providers, models={"smart": smart}))
    found = asked(state, path=path, **fields)
    assert {each.upstream[0]: each.api for each in found.candidates} == apis
    said = {line.split()[1][0]: line for line in table(found) if line.startswith("upstream")}
    own = {CHAT: "chat", "/v1/messages": "messages", "/v1/responses": "responses"}.get(path, "embeddings")
    for name, api in apis.items():
        assert (f", by {api}" in said[name]) == (api not in ("", own))
