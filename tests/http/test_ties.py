"""What an account keeps is asked for at that account, from any worker."""

from __future__ import annotations

import itertools
import json

import httpx2
import pytest

from edge.guard.auth import new_key
from tests.harness import Canned, Edge, answer, running

KEYS = [new_key(f"team{number}") for number in range(6)]
A_KEYS, ANTHROPIC_KEYS = ["sk-account-a-one", "sk-account-a-two"], ["sk-claude-one", "sk-claude-two"]


class Keeper(Canned):
    """A provider that keeps responses, reasoning, files and containers, each for the account that made it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.down = False
        self.kept: dict[str, str] = {}
        self.numbers = itertools.count()
        super().__init__(self.serve)

    def serve(self, seen, _):
        if self.down:
            return answer(b'{"error": {"message": "Down for now."}}', 503)
        account = seen.header("authorization") or seen.header("x-api-key") or ""
        body = json.loads(seen.body)
        for kind, thing in named_in(body):
            if self.kept.get(thing) != account:
                said = {"message": f"{kind} with id '{thing}' not found.", "type": "invalid_request_error"}
                return answer(json.dumps({"error": said}).encode(), 404 if kind == "Container" else 400)
        number = next(self.numbers)
        made, secret, container = (f"{kind}_{self.name}_{number}" for kind in ("resp", "gAAAA", "container"))
        self.kept |= {made: account, secret: account, container: account}
        if seen.target.endswith("/messages"):
            got = {"id": made, "type": "message", "content": [], "container": {"id": container}, "usage": {}}
        else:
            item = {"type": "reasoning", "id": f"rs_{number}", "encrypted_content": secret, "summary": []}
            got = {"id": made, "object": "response", "status": "completed", "output": [item]}
        return answer(json.dumps(got).encode())


def named_in(body):
    if previous := body.get("previous_response_id"):
        yield "Previous response", previous
    if container := body.get("container"):
        yield "Container", container
    for item in body["input"] if isinstance(body.get("input"), list) else ():
        if secret := item.get("encrypted_content"):
            yield "Encrypted content", secret
        for part in item.get("content", ()):
            if isinstance(part, dict) and (file := part.get("file_id")):
                yield "File", file


@pytest.fixture(scope="module")
def keepers():
    with Keeper("a") as a, Keeper("b") as b, Keeper("c") as claude:
        yield a, b, claude


@pytest.fixture(scope="module")
def edge(keepers, tmp_path_factory):
    a, b, claude = keepers
    config = {
        "auth": {"keys": [{"id": f"team{n}", "digests": [digest]} for n, (_, digest) in enumerate(KEYS)]},
        "resilience": {"breaker": {"failures": 1_000_000}},  # what is kept here answers chats with nonsense
        "providers": {
            "a": {"dialect": "openai", "base_url": f"{a.url}/v1", "api_keys": A_KEYS, "models": []},
            "b": {"dialect": "openai", "base_url": f"{b.url}/v1", "api_keys": ["sk-account-b"], "models": []},
            "claude": {"dialect": "anthropic", "base_url": f"{claude.url}/v1", "api_keys": ANTHROPIC_KEYS},
        },
        "models": {
            "fast": {"strategy": "failover", "upstreams": [{"to": "a/m"}, {"to": "b/m"}]},
        },
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, "--workers", "2")
    with running(made):
        yield made


def ask(edge, path="/v1/responses", key=0, **body):
    """Over a connection of its own, so that either worker may have it."""
    body = {"model": "fast", "input": "hi", **body}
    return httpx2.post(edge.url + path, json=body, headers={"x-api-key": KEYS[key][0]}, timeout=10)


def second_turn(first, how):
    if how == "previous_response_id":
        return {"input": "and?", "previous_response_id": first["id"]}
    return {"store": False, "input": [*first["output"], {"role": "user", "content": "and?"}]}


@pytest.mark.parametrize("how", ["previous_response_id", "encrypted reasoning"])
def test_the_second_turn_goes_where_the_first_was(edge, keepers, how):
    before = len(keepers[0].seen)
    for number in range(50):
        key = number % len(KEYS)
        first = ask(edge, key=key).json()
        second = ask(edge, key=key, **second_turn(first, how))
        assert second.status_code == 200, second.text
        assert second.headers["x-edge-attempts"] == "1"
    used = {seen.header("authorization") for seen in keepers[0].seen[before:]}
    assert used == {f"Bearer {key}" for key in A_KEYS}, "tenants are spread over the accounts"


@pytest.mark.parametrize("how", ["previous_response_id", "encrypted reasoning"])
def test_what_another_upstream_made_is_found_there(edge, keepers, how):
    a, _, _ = keepers
    a.down = True
    try:
        first = ask(edge)
    finally:
        a.down = False
    assert first.headers["x-edge-provider"] == "b"
    for _ in range(6):
        second = ask(edge, **second_turn(first.json(), how))
        assert (second.status_code, second.headers["x-edge-provider"]) == (200, "b")


def test_what_another_account_of_the_provider_made_is_found_there(edge, keepers):
    """As after a change of the configuration's keys, or by who asks the provider without the edge."""
    for account in A_KEYS:
        thing = f"file-{account}"
        keepers[0].kept[thing] = f"Bearer {account}"
        for key in range(len(KEYS)):
            said = [{"role": "user", "content": [{"type": "input_file", "file_id": thing}]}]
            assert ask(edge, key=key, input=said).status_code == 200


@pytest.mark.parametrize("how", ["previous_response_id", "encrypted reasoning"])
def test_while_its_account_is_down_nobody_else_is_asked(edge, keepers, how):
    a, b, _ = keepers
    first = ask(edge).json()
    before = len(b.seen)
    a.down = True
    try:
        second = ask(edge, **second_turn(first, how))
    finally:
        a.down = False
    assert second.status_code == 503
    assert second.json()["error"]["message"] == "Down for now."
    assert len(b.seen) == before


def test_what_nobody_knows_is_the_providers_answer(edge, keepers):
    a, b, _ = keepers
    before = len(a.seen) + len(b.seen)
    got = ask(edge, previous_response_id="resp_nobody")
    assert got.status_code == 400
    assert "resp_nobody" in got.json()["error"]["message"]
    assert got.headers["x-edge-attempts"] == "3"
    assert len(a.seen) + len(b.seen) == before + 3


def test_containers_of_the_other_dialect(edge):
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": []}
    tools = [{"type": "code_execution_20250825", "name": "code_execution"}]
    for key in range(len(KEYS)):
        first = ask(edge, "/v1/messages", key, **body, tools=tools).json()
        second = ask(edge, "/v1/messages", key, **body, container=first["container"]["id"])
        assert second.status_code == 200, second.text


def test_what_is_not_tied_takes_turns(edge, keepers):
    before = len(keepers[0].seen)
    with httpx2.Client(headers={"x-api-key": KEYS[0][0]}) as client:  # one connection: one worker
        for _ in range(4):
            client.post(f"{edge.url}/v1/chat/completions", json={"model": "fast", "messages": []})
    used = [seen.header("authorization") for seen in keepers[0].seen[before:]]
    assert used[0] != used[1]
    assert used[:2] == used[2:]
