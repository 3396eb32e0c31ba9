"""Clients of Responses in front of models that are asked by another API: OpenAI's SDK, openai-agents, Codex."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path

import httpx2
import openai
import pytest

from edge.dialects.sealed import Seal
from tests.harness import PATIENT, Canned, Edge, answer, chunked, clean_environment, providers, running
from tests.http.test_clients import CLIENTS, python_of
from tests.unit.test_translation_streams import START, STOP, block, delta, end, stop, text, tool
from tests.unit.translating import sse

pytestmark = pytest.mark.heavy

MODELS = ["claude-opus-4-6", "local-model"]
"""One of each provider's: asked by messages, and by chat completions."""
MODEL = pytest.mark.parametrize("model", MODELS)
TOOLS = [
    {
        "type": "function",
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": False,
    }
]
PATCH = {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": {"type": "text"}}


def configured(url, **more):
    own = providers(url)
    local = {**own["openai"], "models": ["local-*", "sim-*"], "capabilities": {"*": {"apis": ["chat"]}}}
    return {
        "providers": {"local": local, **own},
        "resilience": PATIENT,
        **more,
    }


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    made = Edge(tmp_path_factory.mktemp("edge"), configured(simulator.url, cache={"mode": "all"}), front=front)
    with running(made):
        yield made


@pytest.fixture
def ai(edge):
    with openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as client:
        yield client


class TestSDK:
    @MODEL
    def test_a_whole_response(self, ai, simulator, model):
        since = simulator.count()
        got = ai.responses.create(model=model, input="Say hello.", store=False)
        assert got.status == "completed"
        assert got.output_text
        assert got.usage.total_tokens == got.usage.input_tokens + got.usage.output_tokens > 0
        path = "/v1/messages" if model == MODELS[0] else "/v1/chat/completions"
        assert simulator.entry(since)["path"] == path

    @MODEL
    def test_a_stream_says_what_the_whole_says(self, ai, model):
        asked = {"model": model, "input": "Say something else.", "store": False}
        with ai.responses.stream(**asked) as stream:
            events = list(stream)
            final = stream.get_final_response()
        assert "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert final.output_text == ai.responses.create(**asked).output_text

    @MODEL
    def test_two_turns_with_a_tool(self, ai, model):
        items = [{"role": "user", "content": "What is the weather in Paris?"}]
        asked = {"model": model, "tools": TOOLS, "store": False, "include": ["reasoning.encrypted_content"]}
        first = ai.responses.create(**asked, input=items)
        (call,) = [item for item in first.output if item.type == "function_call"]
        assert call.name == "weather"
        json.loads(call.arguments)
        items += [item.to_dict(exclude_none=True) for item in first.output]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": "It rains."})
        second = ai.responses.create(**asked, input=items)
        assert second.output_text

    @MODEL
    def test_a_custom_tool_is_called_as_one(self, ai, model):
        items = [{"role": "user", "content": "Patch it."}]
        with ai.responses.stream(model=model, tools=[PATCH], input=items, store=False) as stream:
            first = stream.get_final_response()
        (call,) = [item for item in first.output if item.type == "custom_tool_call"]
        assert call.name == "apply_patch"
        items += [call.to_dict(exclude_none=True)]
        items.append({"type": "custom_tool_call_output", "call_id": call.call_id, "output": "Done."})
        assert ai.responses.create(model=model, tools=[PATCH], input=items, store=False).output_text

    @MODEL
    def test_what_is_kept_elsewhere_is_a_400_with_the_way_out(self, ai, model):
        with pytest.raises(openai.BadRequestError, match="'store': false") as caught:
            ai.responses.create(model=model, input="And?", previous_response_id="resp_1")
        assert caught.value.param == "previous_response_id"

    @MODEL
    def test_a_field_that_cannot_cross_is_named_in_a_header(self, ai, model):
        got = ai.responses.with_raw_response.create(model=model, input="Hello.", store=False, truncation="auto")
        assert got.headers["x-edge-dropped"] == "truncation"

    @MODEL
    def test_an_answer_is_kept_and_given_again_in_either_form(self, ai, model):
        asked = {"model": model, "input": "Say it twice.", "store": False}
        first = ai.responses.with_raw_response.create(**asked)
        again = ai.responses.with_raw_response.create(**asked)
        assert (first.headers["x-edge-cache"], again.headers["x-edge-cache"]) == ("miss", "memory")
        assert again.content == first.content
        with ai.responses.stream(**asked) as stream:
            assert stream.get_final_response().id == first.parse().id

    def test_a_provider_that_refuses_is_told_in_the_form_of_responses(self, ai):
        with pytest.raises(openai.RateLimitError) as caught:
            ai.responses.create(model="sim-429-noretry", input="Hello.", store=False)
        assert caught.value.code == "rate_limit_exceeded"

    def test_an_error_inside_a_stream_ends_it_as_failed(self, ai):
        events = list(ai.responses.create(model="sim-inband-4", input="Hello.", store=False, stream=True))
        assert [event.type for event in events[-2:]] == ["error", "response.failed"]
        assert events[-1].response.error.message == events[-2].message == "Overloaded"

    def test_a_stream_that_breaks_off_is_no_complete_response(self, edge):
        body = {"model": "sim-cut-4", "input": "Hello.", "store": False, "stream": True}
        with httpx2.Client() as client:
            got = client.post(f"{edge.url}/v1/responses", json=body)
        names = re.findall(r"^event: (\S+)", got.text, re.MULTILINE)
        assert names[:2] == ["response.created", "response.in_progress"]
        assert names[-2:] == ["error", "response.failed"]


THINKING = {"type": "thinking", "thinking": "Hm, let me see.", "signature": "Eu8B+/=="}


def test_a_thought_goes_back_to_anthropic_byte_for_byte(front, tmp_path):
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-6",
        "content": [THINKING, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}}],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 9},
    }
    with Canned(lambda *_: answer(json.dumps(message).encode())) as claude:
        edge = Edge(
            tmp_path, configured(claude.url, server={"secret": "the secret of one configuration, long"}), front=front
        )
        with running(edge), openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as ai:
            items = [{"role": "user", "content": "What is the weather in Paris?"}]
            asked = {"model": "claude-opus-4-6", "tools": TOOLS, "store": False}
            first = ai.responses.create(**asked, input=items, reasoning={"effort": "high", "summary": "auto"})
            assert [item.type for item in first.output] == ["reasoning", "function_call"]
            assert first.output[0].summary[0].text == THINKING["thinking"]
            items += [item.to_dict(exclude_none=True) for item in first.output]
            items.append({"type": "function_call_output", "call_id": "toolu_1", "output": "It rains."})
            ai.responses.create(**asked, input=items)
            sent = json.loads(claude.seen[-1].body)
            assert sent["messages"][1]["content"] == message["content"]
            items[1]["encrypted_content"] = items[1]["encrypted_content"][:-9] + "AAAAAAAAA"
            got = ai.responses.with_raw_response.create(**asked, input=items)
            assert got.headers["x-edge-dropped"] == "input.reasoning"


CODEX = """
model = "{model}"
model_provider = "edge"
web_search = "{search}"
[model_providers.edge]
name = "edge"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "EDGE_KEY"
supports_websockets = {sockets}
request_max_retries = 0
stream_max_retries = 0
"""


def codex(url, model, folder, search="disabled", *, sockets=False):
    """The lines that a headless Codex prints, and what it ends with."""
    program = Path(os.environ.get("EDGE_CLIENTS") or "/nowhere") / "codex" / "node_modules" / ".bin" / "codex"
    if not program.exists() or shutil.which("node") is None:
        pytest.skip("EDGE_CLIENTS has no codex (make test installs it)")
    home, place = folder / "home", folder / "place"
    for each in (home, place):
        each.mkdir()
    (home / "config.toml").write_text(CODEX.format(model=model, search=search, url=url, sockets=str(sockets).lower()))
    options = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-C", str(place)]
    got = subprocess.run(
        [str(program), "exec", *options, "Say hello."],
        env=clean_environment(CODEX_HOME=str(home), EDGE_KEY="x"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return [json.loads(line) for line in got.stdout.splitlines()], got.returncode


@pytest.mark.parametrize(
    ("model", "search", "sockets"),
    [
        (MODELS[0], "live", False),
        (MODELS[1], "disabled", False),
        ("gpt-9-of-tomorrow", "live", False),
        ("gpt-9-of-tomorrow", "live", True),
    ],
)
def test_codex_runs_what_the_model_asks_for_and_tells_it(edge, simulator, tmp_path, model, search, sockets):
    since = simulator.count()
    lines, code = codex(edge.url, model, tmp_path, search, sockets=sockets)
    assert code == 0, lines
    items = [line["item"] for line in lines if line["type"] == "item.completed"]
    (ran,) = [item for item in items if item["type"] == "command_execution"]
    assert ran["aggregated_output"].strip() == "simulated"
    assert [item for item in items if item["type"] == "agent_message"][-1]["text"]
    assert lines[-1]["type"] == "turn.completed"
    assert lines[-1]["usage"]["input_tokens"] > 1000
    asked = [entry for entry in simulator.ledger(since) if entry["path"] != "/v1/models"]
    assert [(entry["method"], entry["status"]) for entry in asked] == [("GET", 101) if sockets else ("POST", 200)] * 2
    assert "simulated" in asked[1]["body"]
    kinds = [f"{line['type']} {line.get('item', {}).get('type', '')}".strip() for line in lines]
    print(f"\n{model}: {', '.join(kinds)}")


def test_codex_is_told_that_a_model_of_another_api_has_no_websocket(edge, tmp_path):
    lines, code = codex(edge.url, MODELS[0], tmp_path, sockets=True)
    assert code != 0
    message = lines[-1]["error"]["message"]
    assert "unsupported_route" in message
    assert "POST" in message


def test_codex_shows_why_a_request_was_refused(edge, tmp_path):
    lines, code = codex(edge.url, MODELS[1], tmp_path, "live")
    assert code != 0
    assert "web_search" in lines[-1]["error"]["message"]


@MODEL
def test_openai_agents_does_what_its_users_do(edge, model):
    command = [python_of("agents"), str(CLIENTS / "agents_sdk.py"), edge.url, model]
    got = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120)
    assert got.returncode == 0, got.stderr
    results = json.loads(got.stdout.splitlines()[-1])
    assert len(results) == 3
    assert {name: result for name, result in results.items() if result != "ok"} == {}


def test_claudes_thoughts_do_not_go_to_openai_which_would_refuse_all_of_it(front, tmp_path):
    body = b'{"id":"resp_1","object":"response","status":"completed","output":[]}'
    with Canned(lambda *_: answer(body)) as gpt:
        edge = Edge(tmp_path, {"providers": {"openai": providers(gpt.url)["openai"]}}, front=front)
        with running(edge), httpx2.Client() as client:
            sealed = Seal(b"of any edge").thinking(THINKING)
            thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
            said = [{"role": "user", "content": "hi"}, {**thought, "encrypted_content": "gAAA"}]
            asked = {"model": "gpt-6-sol", "input": [said[0], thought, said[1]], "store": False}
            assert client.post(f"{edge.url}/v1/responses", json=asked).status_code == 200
            assert json.loads(gpt.seen[-1].body) == asked | {"input": said}


def test_what_may_not_be_told_is_told_nowhere(front, tmp_path):
    mail = "bob.miller@example.com"
    events = [
        *(START, block(0, "thinking", thinking="", signature="")),
        *(delta(0, "thinking", thinking=piece) for piece in ("It is bob.mil", "ler@example", ".com, I see")),
        *(delta(0, "signature", signature="s"), stop(0), *text(1, "Write to bob.", "miller@exam", "ple.com now")),
        *(*tool(2, "t1", '{"to":"bob.mil', 'ler@example.com"}', name="weather"), end("tool_use"), STOP),
    ]
    with Canned(lambda *_: chunked([sse(event) for event in events])) as claude:
        edge = Edge(tmp_path, configured(claude.url, pii={"response": "mask"}), front=front)
        with running(edge), openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as ai:
            asked = {"model": "claude-opus-4-6", "input": "Who is it?", "tools": TOOLS, "store": False}
            told = list(ai.responses.create(**asked, stream=True))
            final = told[-1].response
            assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
            assert not any("miller" in event.to_json() or "ler@" in event.to_json() for event in told)
            assert final.output_text == "Write to [EMAIL] now"
            thought, *_ = final.output
            sealed = thought.encrypted_content.partition(".")[2]
            assert b"miller" not in urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            items = [*(item.to_dict(exclude_none=True) for item in final.output)]
            items.append({"type": "function_call_output", "call_id": "t1", "output": "."})
            list(ai.responses.create(**{**asked, "input": items}, stream=True))
            assert mail in json.loads(claude.seen[-1].body)["messages"][-2]["content"][0]["thinking"]
