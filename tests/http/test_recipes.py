"""The recipes for clients, followed as the pages have them, against an edge with keys and a simulator behind."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest

from edge.guard.auth import new_key
from tests.harness import Edge, Simulator, providers, running
from tests.recipes import Kitchen, recipes

TOKEN, DIGEST = new_key("team-a")
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
# The environment in which each is followed.
PROGRAMS = {
    "sdks": {
        "OpenAI in Python": ("python", "current"),
        "Anthropic in Python": ("python", "current"),
        "OpenAI in Node": ("node", "typescript"),
        "Anthropic in Node": ("node", "typescript"),
        "OpenAI in Go": ("go", ""),
        "Anthropic in Go": ("go", ""),
    },
    "frameworks": {
        "LangChain with OpenAI's API": ("python", "langchain"),
        "LangChain with Anthropic's API": ("python", "langchain"),
        "LlamaIndex with OpenAI's API": ("python", "llamaindex"),
        "LlamaIndex with its OpenAI class": ("python", "llamaindex"),
        "LlamaIndex with Anthropic's API": ("python", "llamaindex"),
        "Vercel AI SDK with OpenAI's API": ("node", "typescript"),
        "Vercel AI SDK with Anthropic's API": ("node", "typescript"),
    },
}
EACH = [pytest.param(page, title, id=title) for page, titles in PROGRAMS.items() for title in titles]
RESULT = {
    "/v1/chat/completions": '"role": "tool"',
    "/v1/responses": '"type": "function_call_output"',
    "/v1/messages": '"type": "tool_result"',
}
"""How the result of a tool goes back, by the API."""


@dataclass
class Served:
    """An edge that lets nobody in without a key, and the simulator behind it."""

    edge: Edge
    simulator: Simulator

    def asked(self, since: int) -> list[dict]:
        """What has been asked of the models since, each request with its body read and its path without a query."""
        entries = [{**entry, "path": entry["path"].partition("?")[0]} for entry in self.simulator.ledger(since)]
        return [{**entry, "body": json.loads(entry["body"])} for entry in entries if entry["path"] in RESULT]


@pytest.fixture(scope="module")
def served(simulator, tmp_path_factory):
    config = {"auth": {"keys": [{"id": "team-a", "digests": [DIGEST]}]}, "providers": providers(simulator.url)}
    made = Edge(tmp_path_factory.mktemp("edge"), config)
    with running(made):
        yield Served(made, simulator)


@pytest.fixture
def kitchen(served, tmp_path):
    return Kitchen(tmp_path, served.edge.url.removeprefix("http://"), TOKEN)


def test_every_recipe_is_followed():
    assert [*recipes("sdks")] == ["curl", *PROGRAMS["sdks"]]
    assert [*recipes("frameworks")] == [*PROGRAMS["frameworks"]]
    assert [*recipes("agents")] == [*AGENTS]


def test_curl(served, kitchen):
    whole, streamed, message = kitchen.follow(recipes("sdks")["curl"])
    said = json.loads(whole)["choices"][0]["message"]["content"]
    *events, last = [line.removeprefix("data: ") for line in streamed.splitlines() if line.startswith("data: ")]
    assert last == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    assert said == "".join(delta.get("content") or "" for delta in deltas)
    assert said.endswith(".")
    assert json.loads(message)["content"][0]["text"].endswith(".")


@pytest.mark.parametrize(("page", "title"), EACH)
def test_a_program_asks_streams_and_has_a_tool_called(served, kitchen, page, title):
    kind, name = PROGRAMS[page][title]
    variables = kitchen.go() if kind == "go" else getattr(kitchen, kind)(name)
    since = served.simulator.count()
    (printed,) = kitchen.follow(recipes(page)[title], timeout_s=300, **variables)
    found = dict(re.findall(r"^(answer|stream|tool): (.+)$", printed, re.MULTILINE))
    assert found["answer"] == found["stream"], printed
    assert re.fullmatch(r"[A-Z][a-z]*( [a-z]+){5,}\.", found["answer"])
    tool, _, arguments = found["tool"].partition(" ")
    assert tool == "weather"
    assert json.loads(arguments.replace("'", '"')).keys() == {"city"}
    asked = served.asked(since)
    assert [entry["status"] for entry in asked] == [200, 200, 200]
    assert [bool(entry["body"].get("stream")) for entry in asked[:2]] == [False, True]
    assert asked[2]["body"]["tools"]


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
