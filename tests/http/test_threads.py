"""Conversations that a provider keeps: passed on where the provider is asked, refused where another one would be, never
answered from the cache. The tool runners of Anthropic's SDKs keep theirs at the server by default.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.harness import Edge, clean_environment, providers, running

CLIENTS = Path(__file__).parents[1] / "clients"
CLAUDE, GPT = "claude-haiku-4-5", "gpt-4o"
BETA = {"anthropic-version": "2023-06-01", "anthropic-beta": "message-threads-2026-08-12"}
SAID = [{"role": "user", "content": "Say hello."}]
CREATE = {"type": "create"}
CONTINUE = {"type": "continue", "previous_message_id": "msg_1"}


@pytest.fixture(scope="module")
def edge(simulator, tmp_path_factory):
    both = [{"to": f"openai/{GPT}"}, {"to": f"anthropic/{CLAUDE}"}]
    broken = {**providers(simulator.url)["anthropic"], "models": [], "headers": {"x-sim-plan": "500"}}
    left = [{"to": f"broken/{CLAUDE}"}, {"to": f"openai/{GPT}"}]
    config = {
        "providers": {**providers(simulator.url), "broken": broken},
        "models": {
            "either": {"strategy": "failover", "upstreams": both},
            "left": {"strategy": "failover", "upstreams": left},
        },
        "cache": {"mode": "all"},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config)
    with running(made):
        yield made


def ask(edge, model=CLAUDE, path="/v1/messages", headers=BETA, **fields):
    body = {"model": model, "max_tokens": 100, "messages": SAID, **fields}
    return httpx2.post(edge.url + path, json=body, headers=headers)


class TestBeforeAnOpenAIModel:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("thread", [CREATE, CONTINUE])
    def test_a_thread_is_refused_in_the_words_by_which_sdks_send_the_whole_conversation(
        self, edge, simulator, thread, stream
    ):
        before = simulator.count()
        got = ask(edge, GPT, thread=thread, stream=stream)
        assert got.status_code == 400
        error = got.json()["error"]
        assert error.pop("message")
        assert error == {
            "type": "invalid_request_error",
            "details": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
        }
        assert simulator.count() == before

    def test_an_upstream_of_the_alias_that_keeps_threads_gets_it_as_it_is(self, edge, simulator):
        before = simulator.count()
        got = ask(edge, "either", thread=CREATE)
        assert got.status_code == 200
        assert got.headers["x-edge-provider"] == "anthropic"
        assert json.loads(simulator.entry(before)["body"])["thread"] == CREATE

    def test_where_who_keeps_threads_has_failed_the_client_learns_how_to_go_on_without(self, edge):
        got = ask(edge, "left", thread=CONTINUE)
        assert got.status_code == 400
        assert got.json()["error"]["details"]["error_code"] == "thread_unsupported_request"
        assert ask(edge, "left").headers["x-edge-provider"] == "openai"

    def test_the_python_tool_runner_sends_the_whole_conversation(self, edge, simulator):
        before = simulator.count()
        finals = run([sys.executable, str(CLIENTS / "tool_runner.py"), edge.url, GPT])
        assert_told_whole(simulator.ledger(before), finals, forms=3)

    def test_the_typescript_tool_runner_sends_the_whole_conversation(self, edge, simulator):
        before = simulator.count()
        finals = run(["node", str(CLIENTS / "tool_runner.mjs"), typescript(), edge.url, GPT])
        assert_told_whole(simulator.ledger(before), finals, forms=2)


class TestBeforeAnAnthropicModel:
    def test_each_turn_brings_what_is_new_and_the_model_sees_all(self, edge, simulator):
        first = ask(edge, thread=CREATE, system="Be brief.")
        before = simulator.count()
        second = ask(
            edge,
            thread={"type": "continue", "previous_message_id": first.json()["id"]},
            messages=[{"role": "user", "content": "And?"}],
        )
        assert second.status_code == 200
        assert json.loads(simulator.entry(before)["body"])["messages"] == [{"role": "user", "content": "And?"}]
        said = [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": first.json()["content"]}]
        whole = ask(edge, system="Be brief.", messages=[*said, {"role": "user", "content": "And?"}])
        assert second.json()["content"] == whole.json()["content"]

    @pytest.mark.parametrize("stream", [False, True])
    def test_no_answer_is_given_twice(self, edge, simulator, stream):
        before = simulator.count()
        answers = [ask(edge, thread=CREATE, stream=stream) for _ in range(2)]
        assert [got.headers["x-edge-cache"] for got in answers] == ["bypass", "bypass"]
        assert simulator.count() - before == 2
        assert answers[0].text != answers[1].text

    def test_an_error_of_the_provider_keeps_its_details(self, edge):
        got = ask(edge, thread={"type": "continue", "previous_message_id": "msg_of_nobody"})
        assert got.status_code == 404
        assert got.json()["error"]["details"] == {"error_code": "thread_not_found"}

    def test_the_python_tool_runner_continues_its_thread(self, edge, simulator):
        before = simulator.count()
        assert all(run([sys.executable, str(CLIENTS / "tool_runner.py"), edge.url, CLAUDE]))
        turns = [json.loads(entry["body"]) for entry in simulator.ledger(before)]
        assert [turn["thread"]["type"] for turn in turns] == ["create", "continue"] * 3
        assert [len(turn["messages"]) for turn in turns] == [1] * 6


class TestClaudeCodesBillingLine:
    """Two requests that differ in nothing else are one."""

    @staticmethod
    def body(model: str, number: int, said: str) -> bytes:
        line = f"x-anthropic-billing-header: cc_version=2.1.220.134; cc_entrypoint=cli; cch={number:05x};"
        system = [{"type": "text", "text": line}, {"type": "text", "text": "You are Claude Code."}]
        messages = [{"role": "user", "content": said}]
        return json.dumps({"model": model, "max_tokens": 16, "system": system, "messages": messages}).encode()

    @staticmethod
    def post(edge, body: bytes, headers=()) -> httpx2.Response:
        headers = {"content-type": "application/json", **dict(headers)}
        return httpx2.post(f"{edge.url}/v1/messages", content=body, headers=headers)

    @pytest.mark.parametrize("model", [CLAUDE, GPT])
    def test_the_second_is_answered_from_the_cache(self, edge, model):
        answers = [self.post(edge, self.body(model, number, "a")) for number in (1, 2)]
        assert [got.headers["x-edge-cache"] for got in answers] == ["miss", "memory"]

    def test_anthropic_gets_it_as_it_is_and_openai_without(self, edge, simulator):
        before = simulator.count()
        for model, number in ((CLAUDE, 1), (GPT, 1), (GPT, 2)):
            got = self.post(edge, self.body(model, number, "b"), {"cache-control": "no-store"})
            assert "x-edge-dropped" not in got.headers
        sent = [entry["body"] for entry in simulator.ledger(before)]
        assert sent[0].encode() == self.body(CLAUDE, 1, "b")
        assert sent[1] == sent[2]
        assert json.loads(sent[1])["messages"][0] == {"role": "system", "content": "You are Claude Code."}


@pytest.mark.parametrize("field", ["container", "conversation", "previous_response_id", "previous_message_id"])
def test_a_field_that_goes_on_with_what_is_kept_elsewhere_is_refused_by_name_both_ways(edge, simulator, field):
    before = simulator.count()
    got = ask(edge, GPT, **{field: "x_1"})
    assert got.status_code == 400
    assert f"'{field}'" in got.json()["error"]["message"]
    got = ask(edge, CLAUDE, path="/v1/chat/completions", headers={}, **{field: "x_1"})
    assert got.status_code == 400
    assert (got.json()["error"]["param"], got.json()["error"]["code"]) == (field, "unsupported_parameter")
    assert simulator.count() == before


@pytest.mark.parametrize("field", ["thread", "container"])
def test_nor_are_its_tokens_estimated_from_the_part_that_is_here(edge, field):
    got = ask(edge, GPT, path="/v1/messages/count_tokens", **{field: {"id": "x_1"}})
    assert got.status_code == 400
    assert f"'{field}'" in got.json()["error"]["message"]
    assert ask(edge, GPT, path="/v1/messages/count_tokens", **{field: None}).json()["input_tokens"] > 0
    assert ask(edge, "either", path="/v1/messages/count_tokens", **{field: {"id": "x_1"}}).status_code == 200


def run(command: list[str]) -> list[str]:
    """The final texts that a client prints."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not here")
    got = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert got.returncode == 0, got.stderr
    return json.loads(got.stdout)


def typescript() -> str:
    folder = Path(os.environ.get("EDGE_CLIENTS") or "/nowhere") / "typescript"
    if not folder.exists():
        pytest.skip("EDGE_CLIENTS has no environment 'typescript' (make test makes it)")
    return str(folder)


def assert_told_whole(turns: list[dict], finals: list[str], forms: int) -> None:
    """Each form of the conversation was asked as two chat completions, the second with all that was said."""
    assert [turn["path"] for turn in turns] == ["/v1/chat/completions"] * (2 * forms)
    messages = [json.loads(turn["body"])["messages"] for turn in turns]
    roles = [[message["role"] for message in turn] for turn in messages]
    assert roles == [["user"], ["user", "assistant", "tool"]] * forms
    assert all(turn[-1]["content"] == "sun over the whole city" for turn in messages[1::2])
    assert len(finals) == forms
    assert all(finals)
