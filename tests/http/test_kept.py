"""What accounts of providers keep: stored responses, files and batches, asked for by id."""

from __future__ import annotations

import itertools

import anthropic
import httpx2
import openai
import pytest

from edge.guard.auth import new_key
from tests.harness import PATIENT, Edge, running

NAMES = ("plain", "other", "narrow", "spender", "admin", "named")
KEYS = {name: new_key(name) for name in NAMES}
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    more = {
        "narrow": {"models": ["gpt-4o", "claude-haiku-4-5"]},
        "spender": {"tokens_per_minute": 1000},
        "admin": {"admin": True},
        "named": {"allowed_routes": ["files", "batches", "messages/batches", "responses"]},
    }
    of = {"openai": "openai", "spare": "openai", "anthropic": "anthropic"}
    config = {
        "auth": {"keys": [{"id": name, "digests": [KEYS[name][1]], **more.get(name, {})} for name in NAMES]},
        "resilience": PATIENT,
        "providers": {
            name: {
                "dialect": dialect,
                "base_url": f"{simulator.url}/v1",
                "api_keys": [f"sk-{name}-one", f"sk-{name}-two"],
            }
            for name, dialect in of.items()
        },
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, "--workers", "2", front=front)
    with running(made):
        yield made


def ask(edge, method, path, key="plain", **more):
    """Over a connection of its own, so that either worker may have it."""
    headers = {"x-api-key": KEYS[key][0], **more.pop("headers", {})}
    return httpx2.request(method, edge.url + path, headers=headers, timeout=10, **more)


def stored(edge, key="plain", **more):
    body = {"model": "gpt-4o", "input": f"number {next(NUMBERS)}", **more}
    return ask(edge, "POST", "/v1/responses", key, json=body).json()


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai", "/openai/v1"])
def test_a_stored_response_is_found_by_its_id_and_gone_after_it_was_deleted(edge, prefix):
    made = stored(edge)
    path = f"{prefix}/responses/{made['id']}"
    got = ask(edge, "GET", path)
    assert got.status_code == 200, got.text
    assert got.json()["output"] == made["output"]
    assert got.headers["x-edge-provider"] == "openai"
    assert "x-edge-model" not in got.headers
    items = ask(edge, "GET", f"{path}/input_items?limit=5").json()["data"]
    assert items[0]["content"].startswith("number ")
    head = ask(edge, "HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    cancelled = ask(edge, "POST", f"{path}/cancel", json={})
    assert cancelled.status_code == 400
    assert "Cannot cancel" in cancelled.json()["error"]["message"]
    assert ask(edge, "DELETE", path).json()["deleted"] is True
    gone = ask(edge, "GET", path)
    assert gone.status_code == 404
    assert "not found" in gone.json()["error"]["message"]


def test_what_another_provider_keeps_is_found_there(edge):
    made = stored(edge, model="spare/gpt-4o")
    for _ in range(4):
        got = ask(edge, "GET", f"/v1/responses/{made['id']}")
        assert (got.status_code, got.headers["x-edge-provider"]) == (200, "spare")
    elsewhere = ask(edge, "GET", f"/v1/responses/{made['id']}", headers={"x-edge-provider": "openai"})
    assert elsewhere.status_code == 404


def test_a_response_is_charged_once_however_often_it_is_read(edge):
    def tokens():
        text = ask(edge, "GET", "/metrics", "admin").text
        return [line for line in text.splitlines() if line.startswith("edge_tokens_total")]

    made = stored(edge)
    before = tokens()
    assert ask(edge, "GET", f"/v1/responses/{made['id']}").json()["usage"]["output_tokens"] > 0
    assert tokens() == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/..",
        "/v1/responses/%2e%2e",
        "/v1/responses/a%2Fb",
        "/v1/responses/a%5Cb",
        "/v1/responses/%00",
        "/v1/responses/-x",
        f"/v1/responses/{'x' * 300}",
        "/v1/responses/x/other",
        "/v1/files/x/content/more",
        "/v1/conversations/x/other",
        "/v1/conversations/x/items/%2e%2e",
        "/v1/conversations/x/items/a%2Fb",
        "/v1/conversations/x/items/y/z",
        "/v1/conversations/%2e%2e/items/y",
        "/v1/messages/batches/a%2f..%2fb/results",
    ],
)
def test_no_id_makes_another_path(edge, simulator, path):
    since = simulator.count()
    got = ask(edge, "GET", path)
    assert (got.status_code, got.json()["error"]["code"]) == (404, "unsupported_route")
    assert simulator.count() == since


def test_an_id_reaches_the_provider_escaped(edge, simulator):
    since = simulator.count()
    assert ask(edge, "GET", "/v1/responses/resp_1%3Fa=b%23%25&c").status_code == 404
    assert {entry["path"] for entry in simulator.ledger(since)} == {"/v1/responses/resp_1%3Fa%3Db%23%25%26c"}


def test_of_the_query_what_the_route_knows_goes_on(edge, simulator):
    made = stored(edge)
    since = simulator.count()
    ask(edge, "GET", f"/v1/responses/{made['id']}?include[]=a&stream=false&api_key=x&include=b")
    assert simulator.ledger(since)[0]["path"] == (f"/v1/responses/{made['id']}?include%5B%5D=a&stream=false&include=b")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/batches", "Several providers"),
        ("/nobody/v1/batches", "no provider 'nobody'"),
        ("/anthropic/v1/batches", None),
        ("/spare/v1/messages/batches", "no provider 'spare'"),
    ],
)
def test_who_is_meant_has_to_be_said_and_is_one_of_the_configuration(edge, simulator, path, said):
    since = simulator.count()
    got = ask(edge, "GET", path, "admin")
    assert got.status_code == 400
    if said is not None:
        assert said in got.json()["error"]["message"]
    assert simulator.count() == since


def test_a_batch_of_messages_from_its_making_to_its_results(edge):
    """With Anthropic's SDK, which reads the results at the address that the batch names."""
    client = anthropic.Anthropic(base_url=edge.url, api_key=KEYS["admin"][0], max_retries=0)
    params = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
    made = client.messages.batches.create(requests=[{"custom_id": "one", "params": params}])
    assert made.processing_status == "in_progress"
    client.messages.batches.retrieve(made.id)
    ended = client.messages.batches.retrieve(made.id)
    assert ended.results_url == f"/v1/messages/batches/{made.id}/results"
    (result,) = client.messages.batches.results(made.id)
    assert (result.custom_id, result.result.type) == ("one", "succeeded")
    assert made.id in [batch.id for batch in client.messages.batches.list(limit=100)]
    assert client.messages.batches.delete(made.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(made.id)


def test_lists_of_an_account_are_for_those_who_may_see_what_all_tenants_have_made(edge):
    for key, status in (("plain", 403), ("narrow", 403), ("admin", 200), ("named", 200)):
        for path in ("/openai/v1/files", "/spare/v1/batches", "/v1/messages/batches"):
            named = {"x-edge-provider": "openai"} if path == "/openai/v1/files" else {}
            got = ask(edge, "GET", path, key, headers=named)
            assert got.status_code == status, (key, path, got.text)


def test_a_key_of_some_models_makes_batches_of_these_alone(edge, simulator):
    def batch(model):
        params = {"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
        return {"requests": [{"custom_id": "one", "params": params}]}

    assert ask(edge, "POST", "/v1/messages/batches", "narrow", json=batch("claude-haiku-4-5")).status_code == 200
    since = simulator.count()
    refused = ask(edge, "POST", "/v1/messages/batches", "narrow", json=batch("claude-sonnet-5"))
    assert (refused.status_code, refused.json()["type"]) == (403, "error")
    file = {"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h"}
    assert ask(edge, "POST", "/spare/v1/batches", "narrow", json=file).status_code == 403
    assert ask(edge, "POST", "/spare/v1/batches", "spender", json=file).status_code == 403
    assert simulator.count() == since
    told = ask(edge, "POST", "/spare/v1/batches", "plain", json=file)
    assert (told.status_code, "no such File object" in told.text) == (400, True)


def test_a_conversation_is_the_providers_own_from_its_making_to_its_end(edge, simulator):
    """With OpenAI's SDK; of two accounts of the provider the one that made it is asked."""
    client = openai.OpenAI(base_url=f"{edge.url}/spare/v1", api_key=KEYS["plain"][0], max_retries=0)
    hello = {"type": "message", "role": "user", "content": "My name is Ada."}
    made = client.conversations.create(metadata={"topic": "names"}, items=[hello])
    assert client.conversations.retrieve(made.id).metadata == {"topic": "names"}
    assert client.conversations.update(made.id, metadata={"topic": "new"}).metadata == {"topic": "new"}
    client.base_url = f"{edge.url}/v1"
    for named in (made.id, {"id": made.id}):
        got = client.responses.create(model="spare/gpt-4o", input="Who am I?", conversation=named)
        assert got.conversation.id == made.id
    since = simulator.count()
    items = client.conversations.items.list(made.id, order="asc", limit=2)
    assert simulator.ledger(since)[-1]["path"] == f"/v1/conversations/{made.id}/items?limit=2&order=asc"
    roles = [item.role for item in items]
    assert roles == ["user", "user", "assistant", "user", "assistant"]
    added = client.conversations.items.create(made.id, items=[hello, hello])
    one = client.conversations.items.retrieve(added.last_id, conversation_id=made.id)
    assert one.content[0].text == "My name is Ada."
    client.conversations.items.delete(added.last_id, conversation_id=made.id)
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(added.last_id, conversation_id=made.id)
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="spare/gpt-4o", input="Who am I?", conversation=made.id)


def test_any_key_may_begin_a_conversation_where_it_is_said_with_whom(edge):
    for key in ("narrow", "spender", "plain"):
        assert ask(edge, "POST", "/spare/v1/conversations", key, json={}).status_code == 200
    assert ask(edge, "POST", "/spare/v1/conversations", headers={"content-length": "0"}).status_code == 200
    several = ask(edge, "POST", "/v1/conversations", json={})
    assert (several.status_code, "Several providers" in several.text) == (400, True)
    assert ask(edge, "GET", "/spare/v1/conversations").status_code == 405
    assert ask(edge, "POST", "/spare/v1/conversations", "named", json={}).status_code == 403
    allowed = ask(edge, "OPTIONS", "/v1/conversations/conv_1").headers["allow"]
    assert allowed == "GET, HEAD, POST, DELETE, OPTIONS"


def test_a_response_is_compacted_and_its_tokens_are_counted(edge):
    client = openai.OpenAI(base_url=f"{edge.url}/v1", api_key=KEYS["plain"][0], max_retries=0)
    compacted = client.responses.compact(model="gpt-4o", input="a long talk")
    assert compacted.output[0].type == "compaction"
    assert client.responses.input_tokens.count(model="gpt-4o", input="how many?").input_tokens > 0


def test_every_route_is_listed_by_health(edge):
    listed = httpx2.get(f"{edge.url}/health").json()["routes"]
    for route in ("DELETE /v1/responses/{id}", "GET /v1/files", "POST /v1/responses/compact", "POST /v1/rerank"):
        assert route in listed
