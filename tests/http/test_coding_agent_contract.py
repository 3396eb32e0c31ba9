"""What Claude Code expects of a gateway (https://code.claude.com/docs/en/llm-gateway-protocol), in one place: bodies, headers
and errors as they came, probes and lists without a detour.
"""

from __future__ import annotations

import json
import time

import httpx2
import pytest

from edge.guard.auth import new_key
from tests.harness import PATIENT, Canned, Edge, answer, running

TOKEN, DIGEST = new_key("agent")
PROVIDERS_KEY = "sk-ant-of-the-company"
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": 4},
}
BODY = (
    b'{"model":"claude-sonnet-5", "max_tokens":16,"system":[{"type":"text","text":"x-anthropic-billing-header: '
    b'cc_version=2.1.220.134; cc_entrypoint=cli; cch=eb6c6;"},\n {"type":"text","text":"You are Claude Code.",'
    b'"cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text",'
    b'"text":"hi","cache_control":{"type":"ephemeral"}}]}],"context_management":{"edits":[{"type":'
    b'"clear_tool_uses_20250919"}]},"output_config":{"effort":"low"},"field_of_tomorrow":{"a":[1,2.0,1e3]}}'
)
SENT = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "context-management-2025-06-27,future-thing-2027-01-01",
    "anthropic-workspace-id": "wrkspc_test",
    "anthropic-user-profile-id": "prof_test",
    "anthropic-future": "1",
}
AROUND = {
    "content-type": "application/json",
    "x-claude-code-session-id": "11111111-2222-3333-4444-555555555555",
    "x-claude-code-agent-id": "agent_7",
    "x-claude-code-parent-agent-id": "agent_1",
}


class Vendor:
    def __init__(self) -> None:
        self.reply = answer(json.dumps(MESSAGE).encode())
        self.canned = Canned(lambda seen, _: self.reply)


@pytest.fixture(scope="module")
def vendor():
    made = Vendor()
    with made.canned:
        yield made


@pytest.fixture(scope="module")
def edge(vendor, front, tmp_path_factory):
    config = {
        "auth": {"keys": [{"id": "agent", "digests": [DIGEST]}]},
        "providers": {
            "anthropic": {"dialect": "anthropic", "base_url": f"{vendor.canned.url}/v1", "api_keys": [PROVIDERS_KEY]}
        },
        "models": {"claude-of-the-house": {"upstreams": [{"to": "anthropic/claude-sonnet-5"}]}},
        "resilience": PATIENT,
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def ask(edge, path="/v1/messages?beta=true", body=BODY, **headers):
    headers = {**SENT, **AROUND, "authorization": f"Bearer {TOKEN}", **headers}
    return httpx2.post(edge.url + path, content=body, headers=headers, timeout=10)


def test_a_turn_reaches_the_provider_byte_for_byte_with_its_open_headers(edge, vendor):
    vendor.reply = answer(json.dumps(MESSAGE).encode())
    got = ask(edge)
    seen = vendor.canned.seen[-1]
    assert (got.status_code, got.content) == (200, json.dumps(MESSAGE).encode())
    assert (seen.target, seen.body) == ("/v1/messages?beta=true", BODY)
    assert {name: seen.header(name) for name in SENT} == SENT
    assert seen.header("x-api-key") == PROVIDERS_KEY
    assert seen.header("authorization") is None
    assert not [name for name in AROUND if name.startswith("x-") and seen.header(name)]


def test_the_log_tells_whose_turn_it_was(edge, vendor):
    vendor.reply = answer(json.dumps(MESSAGE).encode())
    request_id = f"turn-{time.monotonic_ns()}"
    ask(edge, **{"x-request-id": request_id})
    line = json.loads(edge.process.wait_for(f".*{request_id}.*")[0])
    assert line["session"] == AROUND["x-claude-code-session-id"]
    assert (line["agent"], line["parent_agent"]) == ("agent_7", "agent_1")
    assert line["cached_tokens"] == 4


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "capability_rejected: context_management is not available for this model"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum"),
        (413, "Request exceeds the maximum size"),
        (429, "This request would exceed your rate limit"),
        (529, "Overloaded"),
    ],
)
def test_an_error_is_the_providers_own_to_the_byte(edge, vendor, status, said):
    body = json.dumps(
        {"type": "error", "error": {"type": "any", "message": said, "x": {"y": 1}}, "request_id": "req_9"}
    )
    vendor.reply = answer(body.encode(), status)
    got = ask(edge)
    assert (got.status_code, got.text) == (status, body)


@pytest.mark.parametrize("path", ["/", "/api/hello"])
def test_probes_are_answered_without_a_key(edge, path):
    got = httpx2.head(edge.url + path, follow_redirects=False)
    assert (got.status_code, got.content) == (200, b"")


def test_the_list_of_models_takes_both_credentials_and_leads_nowhere_else(edge, vendor, stalls):
    vendor.reply = answer(b'{"data":[{"type":"model","id":"claude-sonnet-5"}],"has_more":false}')
    headers = {
        "anthropic-version": "2023-06-01",
        "authorization": "Bearer sk-ant-oat01-not-ours-at-all",
        "x-api-key": TOKEN,
    }
    begun = time.monotonic()
    got = httpx2.get(f"{edge.url}/v1/models?limit=1000", headers=headers, follow_redirects=False)
    assert (got.status_code, time.monotonic() - begun < 3 + stalls.granted_s) == (200, True)
    assert {"claude-of-the-house", "claude-sonnet-5"} <= {each["id"] for each in got.json()["data"]}
    assert all(each["type"] == "model" and each["display_name"] for each in got.json()["data"])


def test_tokens_are_counted_where_the_provider_does_not(edge, vendor):
    vendor.reply = answer(b'{"type":"error","error":{"type":"not_found_error","message":"Not Found"}}', 404)
    got = ask(edge, "/v1/messages/count_tokens?beta=true")
    assert got.status_code == 200
    assert got.json()["input_tokens"] > 0
