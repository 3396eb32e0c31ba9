"""A request that one model refuses for its length, or for what it says, and another one takes."""

from __future__ import annotations

import json

import httpx2
import pytest

from tests.harness import Canned, Edge, answer, running
from tests.http.test_keys import ANSWER

OPENAI = {
    "long": {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "too many tokens"},
    "said-long": {"message": "This model's maximum context length is 8 tokens."},
    "blocked": {"type": "invalid_request_error", "code": "content_policy_violation", "message": "no"},
    "other": {"type": "invalid_request_error", "code": "invalid_value", "message": "no"},
}
ANTHROPIC = {
    "long": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
    "said-long": {"type": "invalid_request_error", "message": "input length exceed context limit: 5 + 4 > 8"},
    "blocked": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
    "other": {"type": "invalid_request_error", "message": "no"},
}


def serve(seen, _):
    model = json.loads(seen.body)["model"]
    anthropic = seen.target.endswith("/messages")
    if model in OPENAI:
        error = {"type": "error", "error": ANTHROPIC[model]} if anthropic else {"error": OPENAI[model]}
        return answer(json.dumps(error).encode(), 400)
    if anthropic:
        content = [{"type": "text", "text": "hi"}]
        usage = {"input_tokens": 1, "output_tokens": 1}
        told = {"id": "m", "type": "message", "role": "assistant", "content": content, "usage": usage}
        return answer(json.dumps(told | {"model": model, "stop_reason": "end_turn", "stop_sequence": None}).encode())
    return answer(ANSWER)


@pytest.fixture(scope="module")
def edge(front, tmp_path_factory):
    with Canned(serve) as upstream:
        config = {
            "providers": {
                "openai": {"dialect": "openai", "base_url": f"{upstream.url}/v1", "models": []},
                "anthropic": {"dialect": "anthropic", "base_url": f"{upstream.url}/v1", "models": []},
            },
            "models": {},
        }
        for name in ("openai", "anthropic"):
            for target in ("larger", "freer", "any"):
                config["models"][f"{name}-{target}"] = {"upstreams": [{"to": f"{name}/{target}"}]}
            fallbacks = {
                "any": [f"{name}-any"],
                "context_length": [f"{name}-larger"],
                "content_policy": [f"{name}-freer"],
            }
            for refusal in OPENAI:
                to = [{"to": f"{name}/{refusal}"}]
                config["models"][f"{name}-{refusal}"] = {"upstreams": to, "fallbacks": fallbacks}
                config["models"][f"{name}-{refusal}-alone"] = {"upstreams": to, "fallbacks": [f"{name}-any"]}
        made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
        with running(made):
            yield made


def ask(edge, model, path):
    body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return httpx2.post(f"{edge.url}/v1/{path}", json=body, timeout=10)


@pytest.mark.parametrize("path", ["chat/completions", "messages"])
@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize(("refusal", "asked"), [("long", "larger"), ("said-long", "larger"), ("blocked", "freer")])
def test_what_one_model_refuses_another_one_takes(edge, name, path, refusal, asked):
    got = ask(edge, f"{name}-{refusal}", path)
    assert (got.status_code, got.headers["x-edge-attempts"], got.headers["x-edge-model"]) == (200, "2", asked)


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize("model", ["other", "other-alone", "long-alone", "blocked-alone"])
def test_any_other_refusal_is_the_clients(edge, name, model):
    got = ask(edge, f"{name}-{model}", "messages" if name == "anthropic" else "chat/completions")
    assert (got.status_code, got.headers["x-edge-attempts"]) == (400, "1")
