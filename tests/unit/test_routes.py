"""Paths, models and who serves them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import config
from edge.errors import ModelNotFound, UnsupportedRoute
from edge.routes import UNKNOWN, match
from edge.state import build_state


def state(**providers):
    made = {
        name: config.Provider(dialect=dialect, base_url=f"http://{name}.example/v1", models=models)
        for name, (dialect, models) in providers.items()
    }
    models = {"smart": config.Model(upstreams=[config.Target(to=f"{next(iter(made))}/some-model")])}
    return build_state(config.Config(providers=made, models=models))


def found(router, name, path=b"/v1/chat/completions"):
    (upstream,) = router.resolve(name, match(path).route).own.upstreams
    return upstream.provider.name, upstream.model


BOTH = {"openai": ("openai", None), "anthropic": ("anthropic", None), "local": ("openai", ["llama-*", "gpt-oss-*"])}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smart", ("openai", "some-model")),
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("local/gpt-4o", ("local", "gpt-4o")),
        ("openai/ft:gpt-4o:org/x", ("openai", "ft:gpt-4o:org/x")),
        ("gpt-4o", ("openai", "gpt-4o")),
        ("o3-mini", ("openai", "o3-mini")),
        ("text-embedding-3-small", ("openai", "text-embedding-3-small")),
        ("llama-3", ("local", "llama-3")),
        ("gpt-oss-20b", ("openai", "gpt-oss-20b")),
        ("something-new", ("openai", "something-new")),
        ("meta/llama", ("openai", "meta/llama")),
    ],
)
def test_a_name_is_an_alias_a_provider_and_model_or_matched_by_pattern(name, expected):
    assert found(state(**BOTH).router, name) == expected


def test_the_dialect_of_the_route_decides_among_claimants():
    router = state(a=("openai", ["deep-*"]), b=("anthropic", ["deep-*"])).router
    assert found(router, "deep-x") == ("a", "deep-x")
    assert found(router, "deep-x", b"/v1/messages") == ("b", "deep-x")


def test_unclaimed_names_need_exactly_one_open_provider():
    two = state(a=("openai", None), b=("openai", None)).router
    assert found(two, "gpt-4o") == ("a", "gpt-4o")
    with pytest.raises(ModelNotFound):
        two.resolve("unheard", match(b"/v1/chat/completions").route)
    with pytest.raises(ModelNotFound):
        state(a=("openai", ["x"])).router.resolve("unheard", match(b"/v1/chat/completions").route)


def test_a_model_of_the_other_dialect_is_reached_by_translation():
    router = state(**BOTH).router
    assert found(router, "gpt-4o", b"/v1/messages") == ("openai", "gpt-4o")
    assert found(router, "gpt-4o", b"/v1/messages/count_tokens") == ("openai", "gpt-4o")
    assert found(router, "claude-x") == ("anthropic", "claude-x")


@pytest.mark.parametrize("path", [b"/v1/responses/compact", b"/v1/rerank", b"/v1/embeddings", b"/v1/completions"])
def test_a_model_of_the_other_dialect_is_a_400_where_nothing_is_translated(path):
    with pytest.raises(UnsupportedRoute) as caught:
        state(**BOTH).router.resolve("claude-x", match(path).route)
    assert caught.value.status == 400


def test_a_provider_that_speaks_the_dialect_comes_before_one_that_is_translated_to():
    router = state(a=("anthropic", ["deep-*"]), b=("openai", ["deep-*"])).router
    assert found(router, "deep-x") == ("b", "deep-x")
    assert found(router, "deep-x", b"/v1/messages") == ("a", "deep-x")


@pytest.mark.slow
def test_what_is_remembered_of_clients_names_is_bounded():
    router = state(**BOTH).router
    for i in range(5_000):
        found(router, f"gpt-{i}")
    assert len(router._known) <= 4096


@pytest.mark.parametrize("path", [b"/health", b"/metrics", b"/admin/api/x", b"/", b"/health/ready", b"/metrics/x"])
def test_what_is_not_the_apis(path):
    assert match(path) is None


@pytest.mark.parametrize(
    "path", [b"/v1/a/../b", b"/v1/%2e", b"/v1/a?b", b"/v1/a b", b"/v1/a.b", b"//v1/x", b"/v1/", "/v1/ü".encode()]
)
def test_only_plain_paths_pass_through(path):
    assert match(path).route is UNKNOWN


@pytest.mark.parametrize("path", [b"/v1/files/%ff", b"/v1/responses/%c3/cancel", b"/p/v1/batches/a%80", b"/v1/files/%"])
def test_an_id_whose_escapes_are_no_text_is_none(path):
    assert match(path).route is UNKNOWN


@given(st.binary(max_size=40))
def test_no_path_becomes_an_upstream_path_of_another_shape(path):
    got = match(b"/" + path)
    if got is not None:
        assert all(c.isalnum() or c in "/_-" for c in got.route.upstream)
        assert ".." not in got.route.upstream
        assert "//" not in got.route.upstream
