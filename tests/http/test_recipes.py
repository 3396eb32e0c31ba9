"""The recipes for SDKs and frameworks, followed as the pages have them, against an edge with keys and a simulator behind."""

from __future__ import annotations

import json
import re

import pytest

from tests.recipes import recipes

pytestmark = pytest.mark.heavy

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
VOICES = {"OpenAI in Python by Realtime": "current", "OpenAI Agents by voice": "agents"}
EACH = [pytest.param(page, title, id=title) for page, titles in PROGRAMS.items() for title in titles]


def test_every_recipe_is_followed():
    assert [*recipes("sdks")] == ["curl", *PROGRAMS["sdks"]]
    assert [*recipes("frameworks")] == [*PROGRAMS["frameworks"]]
    assert [*recipes("voice")] == [*VOICES]


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


@pytest.mark.parametrize("title", VOICES)
def test_a_program_speaks_and_has_a_tool_called(served, kitchen, title):
    since = served.simulator.count()
    (printed,) = kitchen.follow(recipes("voice")[title], timeout_s=120, **kitchen.python(VOICES[title]))
    found = dict(re.findall(r"^(answer|tool|bytes of sound): (.+)$", printed, re.MULTILINE))
    tool, _, arguments = found["tool"].partition(" ")
    assert tool == "weather"
    assert json.loads(arguments.replace("'", '"')).keys() == {"city"}
    if "answer" in found:
        assert re.fullmatch(r"[A-Z][a-z]*( [a-z]+){5,}\.", found["answer"])
    else:
        assert int(found["bytes of sound"]) > 4800
    assert [entry["path"] for entry in served.simulator.ledger(since)] == ["/v1/realtime?model=gpt-realtime"]
