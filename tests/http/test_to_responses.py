"""Models of OpenAI's that have to be asked by Responses, in front of them the SDKs for messages and for chat completions,
and Claude Code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest

from tests.harness import PATIENT, Canned, Edge, answer, clean_environment, providers, running
from tests.http.test_accounting import lines

ASTRA = "gpt-6-astra"
SAID = [{"role": "user", "content": "Say hello."}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
TOOLS = [{"name": "weather", "input_schema": SCHEMA}]
BODIES = {
    "/v1/messages": {"max_tokens": 64, "messages": SAID, "tools": TOOLS},
    "/v1/chat/completions": {"messages": SAID, "tools": CHAT_TOOLS},
}
PATHS = pytest.mark.parametrize("path", BODIES)


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    own = providers(simulator.url)["openai"]
    config = {
        "providers": {
            "openai": {**own, "models": ["gpt-*"]},
            "sim": {**own, "models": ["sim-*"], "capabilities": {"*": {"apis": ["responses"]}}},
        },
        "models": {
            "failing-over": {
                "strategy": "failover",
                "upstreams": [{"to": "sim/sim-500-noretry"}, {"to": f"openai/{ASTRA}"}],
            }
        },
        "cache": {"mode": "all"},
        "resilience": {**PATIENT, "retries": 1},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


@pytest.fixture
def ai(edge):
    with openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(edge):
    with anthropic.Anthropic(api_key="x", base_url=edge.url, max_retries=0) as client:
        yield client


class TestAnthropicsSDK:
    def test_two_turns_with_a_tool_and_thoughts_that_go_back(self, claude, simulator):
        since = simulator.count()
        thinking = {"type": "adaptive", "display": "summarized"}
        asked = {"model": ASTRA, "max_tokens": 4096, "tools": TOOLS, "thinking": thinking}
        first = claude.messages.create(**asked, messages=SAID)
        assert [block.type for block in first.content] == ["thinking", "tool_use"]
        assert (first.stop_reason, first.content[0].thinking) == ("tool_use", "Let me see.")
        result = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "It rains."}
        turns = [*SAID, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        with claude.messages.stream(**asked, messages=turns) as stream:
            second = stream.get_final_message()
        assert (second.stop_reason, [block.type for block in second.content]) == ("end_turn", ["thinking", "text"])
        one, two = simulator.ledger(since)
        assert (one["path"], two["path"]) == ("/v1/responses", "/v1/responses")
        items = json.loads(two["body"])["input"]
        assert [item.get("type", item.get("role")) for item in items] == [
            *("user", "reasoning", "function_call", "function_call_output"),
        ]
        assert items[1]["encrypted_content"].startswith("gAAAA")
        assert json.loads(two["body"])["store"] is False

    def test_a_stream_says_what_the_whole_answer_says(self, claude):
        asked = {"model": ASTRA, "max_tokens": 4096, "tools": TOOLS, "messages": SAID}
        whole = claude.messages.create(**asked)
        with claude.messages.stream(**asked) as stream:
            final = stream.get_final_message()
        assert [block.to_dict() for block in final.content] == [block.to_dict() for block in whole.content]
        assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)

    def test_without_tools_it_is_asked_by_chat_completions(self, claude, simulator):
        since = simulator.count()
        claude.messages.create(model=ASTRA, max_tokens=64, messages=[{"role": "user", "content": "No tools."}])
        assert simulator.entry(since)["path"] == "/v1/chat/completions"


class TestOpenAIsSDK:
    def test_two_turns_with_a_tool_and_thoughts_that_go_back(self, ai, simulator):
        since = simulator.count()
        asked = {"model": ASTRA, "tools": CHAT_TOOLS, "reasoning_effort": "high"}
        first = ai.chat.completions.create(**asked, messages=SAID)
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        turns = [*SAID, message.to_dict(exclude_none=True)]
        turns.append({"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "It rains."})
        chunks = list(
            ai.chat.completions.create(**asked, messages=turns, stream=True, stream_options={"include_usage": True})
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert chunks[-1].usage.total_tokens > 0
        one, two = simulator.ledger(since)
        assert (one["path"], two["path"]) == ("/v1/responses", "/v1/responses")
        items = json.loads(two["body"])["input"]
        assert [item.get("type", item.get("role")) for item in items] == [
            *("user", "reasoning", "function_call", "function_call_output"),
        ]
        assert json.loads(two["body"])["reasoning"] == {"effort": "high"}

    def test_without_reasoning_tools_go_as_they_are(self, ai, simulator):
        since = simulator.count()
        for model, effort in (("gpt-5.5", "none"), ("gpt-5.2", "high")):
            ai.chat.completions.create(model=model, tools=CHAT_TOOLS, reasoning_effort=effort, messages=SAID)
        assert [entry["path"] for entry in simulator.ledger(since)] == ["/v1/chat/completions"] * 2

    def test_a_field_that_responses_have_not_is_named(self, ai):
        got = ai.chat.completions.with_raw_response.create(
            model=ASTRA, tools=CHAT_TOOLS, messages=SAID, stop=["x"], seed=1
        )
        assert set(got.headers["x-edge-dropped"].split(", ")) == {"stop", "seed"}
        with pytest.raises(openai.BadRequestError) as caught:
            ai.chat.completions.create(model=ASTRA, tools=CHAT_TOOLS, messages=SAID, n=2)
        assert caught.value.param == "n"


class TestWhatIsDoneWithAnyAnswer:
    @PATHS
    def test_an_answer_is_kept_and_given_again_in_either_form(self, edge, path):
        body = {**BODIES[path], "model": ASTRA, "messages": [{"role": "user", "content": f"Twice by {path}."}]}
        first = httpx2.post(f"{edge.url}{path}", json=body)
        again = httpx2.post(f"{edge.url}{path}", json=body)
        assert (first.headers["x-edge-cache"], again.headers["x-edge-cache"]) == ("miss", "memory")
        assert again.content == first.content
        streamed = httpx2.post(f"{edge.url}{path}", json={**body, "stream": True})
        assert streamed.headers["x-edge-cache"] == "memory"
        assert b"weather" in streamed.content

    @PATHS
    def test_those_who_ask_the_same_at_once_share_one_answer(self, edge, simulator, path):
        body = {
            **BODIES[path],
            "model": "sim-ttft-300-words-20",
            "messages": [{"role": "user", "content": f"At once by {path}."}],
        }
        body = {name: value for name, value in body.items() if name != "tools"} | {"stream": True}
        since = simulator.count()
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: httpx2.post(f"{edge.url}{path}", json=body, timeout=30).content, range(4)))
        assert len(simulator.ledger(since)) == 1
        texts = {b"".join(line for line in each.splitlines() if line.startswith(b"data")) for each in got}
        assert len(texts) == 1

    @PATHS
    def test_another_upstream_answers_for_one_that_fails(self, edge, path):
        got = httpx2.post(f"{edge.url}{path}", json={**BODIES[path], "model": "failing-over", "stream": True})
        assert got.status_code == 200
        assert (got.headers["x-edge-model"], got.headers["x-edge-attempts"]) == (ASTRA, "2")

    @pytest.mark.parametrize("stream", [False, True])
    @PATHS
    def test_a_refusal_keeps_its_status_in_the_clients_words(self, edge, path, stream):
        got = httpx2.post(f"{edge.url}{path}", json={**BODIES[path], "model": "sim-429-noretry", "stream": stream})
        error = got.json()["error"]
        assert (got.status_code, error["message"]) == (429, "Simulated status 429.")
        assert error["type"] == ("rate_limit_error" if path == "/v1/messages" else "requests")

    @PATHS
    def test_an_error_before_any_content_has_a_status(self, edge, path):
        got = httpx2.post(f"{edge.url}{path}", json={**BODIES[path], "model": "sim-inband-1", "stream": True})
        assert got.status_code >= 500
        assert "Overloaded" in got.text

    @pytest.mark.parametrize("model", ["sim-inband-9", "sim-cut-9"])
    @PATHS
    def test_a_stream_that_breaks_ends_in_an_error(self, edge, path, model):
        body = {**BODIES[path], "model": model, "stream": True, "messages": [{"role": "user", "content": "Break."}]}
        body.pop("tools")
        got = httpx2.post(f"{edge.url}{path}", json=body)
        assert got.status_code == 200
        last = [line for line in got.text.splitlines() if line.startswith("data: ")][-1]
        assert "error" in json.loads(last[6:])
        assert "[DONE]" not in got.text
        assert "message_stop" not in got.text

    @PATHS
    def test_tokens_and_money_are_those_of_the_response(self, simulator, front, tmp_path, path):
        usage = {
            "input_tokens": 1000,
            "output_tokens": 50,
            "total_tokens": 1050,
            "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100},
            "output_tokens_details": {"reasoning_tokens": 30},
        }
        part = {"type": "output_text", "text": "Hello.", "annotations": []}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        made = {"id": "resp_1", "object": "response", "status": "completed", "model": ASTRA, "output": [item]}
        with Canned(answer(json.dumps({**made, "usage": usage}).encode())) as upstream:
            price = {"input": 10, "output": 100, "cache_read": 1, "cache_write": 12}
            provider = {**providers(upstream.url)["openai"], "prices": {"*": price}}
            edge = Edge(tmp_path, {"providers": {"openai": provider}}, front=front)
            with running(edge):
                got = httpx2.post(f"{edge.url}{path}", json={**BODIES[path], "model": ASTRA})
                (line,) = lines(edge, 1)
        assert upstream.seen[0].target.endswith("/responses")
        counted = got.json()["usage"]
        names = ("input_tokens", "output_tokens") if path == "/v1/messages" else ("prompt_tokens", "completion_tokens")
        assert (counted[names[0]], counted[names[1]]) == (500 if path == "/v1/messages" else 1000, 50)
        assert float(got.headers["x-edge-cost-usd"]) == pytest.approx((5000 + 400 + 1200 + 5000) / 1e6)
        assert (line["input_tokens"], line["output_tokens"], "estimated" in line) == (500, 50, False)


def claude_code(url: str, model: str, folder: Path) -> tuple[list[dict], int]:
    """The messages that a headless Claude Code prints, and what it ends with."""
    program = Path(os.environ.get("EDGE_CLIENTS") or "/nowhere") / "claude" / "node_modules" / ".bin" / "claude"
    if not program.exists() or shutil.which("node") is None:
        pytest.skip("EDGE_CLIENTS has no claude (make test installs it)")
    home, place = folder / "home", folder / "place"
    for each in (home, place):
        each.mkdir()
    env = clean_environment(
        HOME=str(home),
        CLAUDE_CONFIG_DIR=str(home / ".claude"),
        ANTHROPIC_BASE_URL=url,
        ANTHROPIC_AUTH_TOKEN="x",
        ANTHROPIC_MODEL=model,
        ANTHROPIC_SMALL_FAST_MODEL=model,
        ANTHROPIC_DEFAULT_HAIKU_MODEL=model,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        IS_SANDBOX="1",
    )
    options = ["--output-format", "stream-json", "--verbose", "--tools", "Bash", "--dangerously-skip-permissions"]
    got = subprocess.run(
        [str(program), "-p", "Say hello.", *options],
        env=env,
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
    )
    return [json.loads(line) for line in got.stdout.splitlines() if line.startswith("{")], got.returncode


@pytest.mark.parametrize("model", [ASTRA, "gpt-5.2"])
def test_claude_code_runs_what_the_model_asks_for_and_tells_it(edge, simulator, tmp_path, model):
    """By Responses, and by chat completions."""
    since = simulator.count()
    messages, code = claude_code(edge.url, model, tmp_path)
    assert code == 0, messages
    blocks = [
        block for each in messages if each["type"] in ("assistant", "user") for block in each["message"]["content"]
    ]
    kinds = [block["type"] for block in blocks]
    (use,) = [block for block in blocks if block["type"] == "tool_use"]
    (result,) = [block for block in blocks if block["type"] == "tool_result"]
    assert use["name"] == "Bash"
    assert result["content"].strip() == "simulated"
    assert messages[-1]["type"] == "result"
    assert not messages[-1]["is_error"]
    assert messages[-1]["result"]
    path = "/v1/responses" if model == ASTRA else "/v1/chat/completions"
    asked = [entry for entry in simulator.ledger(since) if entry["path"] == path]
    assert len(asked) == 2
    assert "simulated" in asked[1]["body"]
    print(f"\nClaude Code on {model}: {', '.join(kinds)}; {messages[-1]['num_turns']} turns")
