"""By which name a model stands in metrics."""

from __future__ import annotations

import pytest

from edge import config
from edge.guard.auth import ANYONE
from edge.routes import match
from edge.state import State, build_state

CHAT = match(b"/v1/chat/completions").route  # type: ignore[union-attr]
MESSAGES = match(b"/v1/messages").route  # type: ignore[union-attr]
LOCAL = "http://127.0.0.1:1/v1"


@pytest.fixture(scope="module")
def state() -> State:
    targets = {"smart": "openai/gpt-4o", "mine": "local/llama-3"}
    return build_state(
        config.Config(
            providers={
                "openai": config.Provider(dialect="openai", base_url=LOCAL),
                "anthropic": config.Provider(dialect="anthropic", base_url=LOCAL),
                "local": config.Provider(dialect="openai", base_url=LOCAL, models=["tiny", "llama-*"]),
            },
            models={alias: config.Model(upstreams=[config.Target(to=to)]) for alias, to in targets.items()},
        )
    )


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        ("smart", "smart"),
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("GPT-4o-mini", "gpt-4o-mini"),
        ("claude-sonnet-5", "claude-sonnet-5"),
        # Versions: those that the price list spells out, and others.
        ("gpt-5.5-2026-04-23", "gpt-5.5-2026-04-23"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-sonnet-4-5-what-a-client-likes", "claude-sonnet-4-5"),
        # Spelled out by the configuration.
        ("tiny", "tiny"),
        ("local/llama-3", "llama-3"),
        ("llama-3", "llama-3"),
        # Known to nobody.
        ("llama-4", "_other"),
        ("local/what-a-client-likes", "_other"),
        ("gpt-nobody-has-it", "_other"),
    ],
)
def test_a_label_is_a_name_that_somebody_here_knows(state, asked, label):
    route = MESSAGES if asked.startswith("claude") else CHAT
    assert state.grant(ANYONE, asked, route).label == label


@pytest.mark.slow
def test_no_client_can_make_more_of_them(state):
    names = [f"{base}{number}" for base in ("gpt-", "gpt-4o-", "llama-", "openai/o3-", "o3-") for number in range(1000)]
    assert len({state.grant(ANYONE, name, CHAT).label for name in names}) < 10
