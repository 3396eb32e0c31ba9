"""The recipes for coding agents, followed as the page has them, against an edge with keys and a simulator behind."""

from __future__ import annotations

import json
import re

import pytest

from tests.recipes import RESULT, Kitchen, recipes

pytestmark = pytest.mark.heavy

AGENTS = {
    "Claude Code": ("claude", {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}),
    "Codex": ("codex", {}),
    "aider": (
        "aider",
        {
            "AIDER_YES_ALWAYS": "1",
            "AIDER_GIT": "0",
            "AIDER_CHECK_UPDATE": "0",
            "AIDER_ANALYTICS_DISABLE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
    ),
    "opencode": ("opencode", {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}),
}
"""The environment of each agent's programs, and what keeps it from asking anybody but the edge."""


def test_every_recipe_is_followed():
    assert [*recipes("agents")] == [*AGENTS]


def follow(kitchen: Kitchen, title: str) -> list[str]:
    name, variables = AGENTS[title]
    programs = kitchen.python(name) if title == "aider" else kitchen.node(name)
    return kitchen.follow(recipes("agents")[title], timeout_s=300, **programs, **variables)


@pytest.mark.parametrize("title", ["Claude Code", "Codex", "opencode"])
def test_an_agent_runs_what_the_model_asks_for_and_tells_it(served, kitchen, title):
    """First with a model of OpenAI's or Anthropic's own, then with one of the other's."""
    since = served.simulator.count()
    printed = follow(kitchen, title)
    assert len(printed) == 2
    for each in printed:
        assert re.search(r"[A-Z][a-z]*( [a-z]+){5,}\.", each)
    asked = served.asked(since)
    assert {entry["status"] for entry in asked} == {200}
    for path in ("/v1/messages", "/v1/responses" if title == "Codex" else "/v1/chat/completions"):
        turns = [entry["body"] for entry in asked if entry["path"] == path and entry["body"].get("tools")]
        assert len(turns) == 2
        assert all(turn["stream"] for turn in turns)
        assert turns[0]["model"] == turns[1]["model"]
        assert RESULT[path] in json.dumps(turns[1])
        assert "simulated" in json.dumps(turns[1])


def test_aider_streams_and_does_not(served, kitchen):
    since = served.simulator.count()
    for printed in follow(kitchen, "aider"):
        assert re.search(r"[A-Z][a-z]*(\s+[a-z]+){5,}\.", printed)
    first, second = served.asked(since)
    assert (first["path"], first["body"]["model"], first["body"]["stream"]) == (
        "/v1/chat/completions",
        "gpt-5-mini",
        True,
    )
    assert (second["path"], second["body"]["model"]) == ("/v1/messages", "claude-sonnet-4-5")
    assert not second["body"].get("stream")
