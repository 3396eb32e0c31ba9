"""Conversations that are kept here, for models whose providers keep none: made, asked for and gone on with by OpenAI's SDK."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

from edge.slices import LARGE
from tests.harness import Edge, clean_environment, running, until
from tests.http.test_conversations import KEYS, MODEL, SECRET, ai, closed, configured, counted, edges, redis  # noqa: F401
from tests.http.test_responses import CLIENTS, MODELS, TOOLS, python_of
from tests.redis_servers import RedisServer, need_redis, stopping

pytestmark = pytest.mark.heavy

HELLO = {"type": "message", "role": "user", "content": "My name is Ada."}


def said(simulator, since):
    """What each model was told that was asked since."""
    return [entry["body"] for entry in simulator.ledger(since)]


@MODEL
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_turns_of_a_conversation_at_two_machines(edges, simulator, model, stream):  # noqa: F811
    made = ai(edges[0]).conversations.create(metadata={"topic": "weather"}, items=[HELLO])
    assert made.id.startswith("conv_edge")
    since, given = simulator.count(), "What is the weather in Paris?"
    for number in range(3):
        client = ai(edges[number % 2])
        wanted = {"model": model, "tools": TOOLS, "input": given, "conversation": {"id": made.id}}
        if stream:
            with client.responses.stream(**wanted) as events:
                for _ in events:
                    pass
                got = events.get_final_response()
        else:
            got = client.responses.create(**wanted)
        assert got.conversation.id == made.id
        calls = [item for item in got.output if item.type == "function_call"]
        given = [{"type": "function_call_output", "call_id": call.call_id, "output": "It rains."} for call in calls]
        given = given or "And tomorrow?"
    for told in said(simulator, since):
        assert told.index("Ada") < told.index("Paris")
    assert "It rains." in said(simulator, since)[2]
    until(lambda: listed(ai(edges[0]), made.id)[0].type == "function_call")
    items = listed(ai(edges[0]), made.id, order="asc")
    kinds = [item.type for item in items if item.type != "reasoning"]
    assert kinds[:2] == ["message", "message"]
    assert kinds.count("function_call") == 2
    assert kinds.count("function_call_output") == 1
    assert len({item.id for item in items}) == len(items)
    assert listed(ai(edges[1]), made.id, limit=2) == items[::-1]  # page by page


def listed(client, named, **how):
    return list(client.conversations.items.list(named, **how))


def test_a_conversation_is_changed_item_by_item_and_deleted(edges):  # noqa: F811
    client, other = ai(edges[0]), ai(edges[1])
    made = client.conversations.create()
    assert (made.metadata, other.conversations.retrieve(made.id)) == ({}, made)
    assert other.conversations.update(made.id, metadata={"a": "b"}).metadata == {"a": "b"}
    added = client.conversations.items.create(made.id, items=[HELLO, {"role": "assistant", "content": "Hello, Ada."}])
    assert [item.content[0].type for item in added.data] == ["input_text", "output_text"]
    one = other.conversations.items.retrieve(added.last_id, conversation_id=made.id)
    assert one.content[0].text == "Hello, Ada."
    left = other.conversations.items.delete(added.last_id, conversation_id=made.id)
    assert (left.id, left.metadata) == (made.id, {"a": "b"})
    assert [item.id for item in listed(client, made.id)] == [added.first_id]
    for again in (
        lambda: client.conversations.items.delete(added.last_id, conversation_id=made.id),
        lambda: client.conversations.items.retrieve("msg_nobody", conversation_id=made.id),
    ):
        with pytest.raises(openai.NotFoundError, match="Item with id"):
            again()
    assert client.conversations.delete(made.id).to_dict() == {
        "id": made.id,
        "object": "conversation.deleted",
        "deleted": True,
    }
    for again in (
        lambda: client.conversations.retrieve(made.id),
        lambda: client.conversations.update(made.id, metadata=None),
        lambda: client.conversations.delete(made.id),
        lambda: client.conversations.items.list(made.id),
        lambda: client.conversations.items.create(made.id, items=[HELLO]),
        lambda: client.responses.create(model=MODELS[0], input="And?", conversation=made.id),
    ):
        with pytest.raises(openai.NotFoundError, match="Conversation with id"):
            again()


def test_another_tenant_finds_nothing_of_it(edges, simulator):  # noqa: F811
    made = ai(edges[0]).conversations.create(items=[HELLO])
    other, since = ai(edges[0], "b"), simulator.count()
    for ask in (
        lambda: other.conversations.retrieve(made.id),
        lambda: other.conversations.delete(made.id),
        lambda: other.conversations.items.list(made.id),
        lambda: other.responses.create(model=MODELS[0], input="Who am I?", conversation=made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert simulator.count() == since
    assert len(listed(ai(edges[0]), made.id)) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_model_whose_provider_keeps_responses_has_its_turn_too(edges, simulator, stream):  # noqa: F811
    client = ai(edges[0])
    made, since = client.conversations.create(items=[HELLO]), simulator.count()
    got = client.responses.create(model="gpt-4o", input="Who am I?", conversation=made.id, stream=stream)
    if stream:
        assert list(got)[-1].type == "response.completed"
    until(lambda: len(listed(client, made.id)) == 3)
    body = json.loads(said(simulator, since)[0])
    assert "conversation" not in body
    assert [item.get("content") for item in body["input"]] == ["My name is Ada.", "Who am I?"]
    assert client.responses.create(model=MODELS[0], input="And?", conversation=made.id).output_text
    until(lambda: len(listed(client, made.id)) == 5)


def test_a_large_answer_of_a_provider_that_keeps_responses_is_kept_whole(edges):  # noqa: F811
    client = ai(edges[0])
    made = client.conversations.create(items=[HELLO])
    got = client.responses.create(model="openai/sim-words-60000", input="All of it.", conversation=made.id)
    assert len(got.output_text) > LARGE
    until(lambda: len(listed(client, made.id)) == 3)
    assert listed(client, made.id)[0].content[0].text == got.output_text


def test_two_responses_at_a_time_are_one_and_a_word_to_ask_again(edges, simulator):  # noqa: F811
    client = ai(edges[0])
    made = client.conversations.create(items=[HELLO])
    with client.responses.create(
        model="anthropic/sim-words-60-tps-5", input="Slowly.", conversation=made.id, stream=True
    ) as first:
        next(iter(first))
        with pytest.raises(openai.BadRequestError, match="Please retry") as caught:
            ai(edges[1]).responses.create(model=MODELS[0], input="At once.", conversation=made.id)
        assert caught.value.code == "conversation_locked"
    # Its client has left, so nothing of that turn was kept, and the next has it.
    until(lambda: taken(ai(edges[1]), made.id))
    until(lambda: len(listed(client, made.id)) == 3)
    assert "Slowly." not in str(listed(client, made.id))


def taken(client, named):
    try:
        return client.responses.create(model=MODELS[0], input="At last.", conversation=named)
    except openai.BadRequestError:
        return None


@pytest.mark.parametrize("fault", ["400", "500", "inband-3", "cut-4"])
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_failed_turn_leaves_the_conversation_as_it_was(edges, provider, fault):  # noqa: F811
    """Also where the provider keeps responses itself."""
    client = ai(edges[0])
    made = client.conversations.create(items=[HELLO])
    asked = {"model": f"{provider}/sim-{fault}", "input": "No.", "conversation": made.id}
    try:
        ended = [event.type for event in client.responses.create(**asked, stream=True)][-1]
    except openai.APIError:
        ended = "error"
    assert ended in ("error", "response.failed")
    assert client.responses.create(model=MODELS[0], input="Yes.", conversation=made.id).output_text
    until(lambda: len(listed(client, made.id)) == 3)


def test_items_that_are_added_at_a_time_are_all_there(edges):  # noqa: F811
    made = ai(edges[0]).conversations.create()
    clients = [ai(edges[number % 2]) for number in range(8)]

    def add(number):
        item = {"role": "user", "content": f"number {number}"}
        return clients[number % 8].conversations.items.create(made.id, items=[item]).last_id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(add, range(40)))
    assert sorted(item.id for item in listed(clients[0], made.id, limit=100)) == sorted(ids)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"items": [{}] * 21}, "items"),
        ("", {"items": ["x"]}, "items[0]"),
        ("", {"items": [{"content": "x"}]}, "items[0].type"),
        ("", {"items": [{"type": "item_reference", "id": "msg_1"}]}, "items[0]"),
        ("", {"items": 5}, "items"),
        ("", {"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ("", {"metadata": {"a": 1}}, "metadata.a"),
        ("", {"metadata": {"a" * 65: "1"}}, "metadata"),
        ("", [], None),
        ("/{id}", {}, "metadata"),
        ("/{id}/items", {}, "items"),
    ],
)
def test_what_is_no_conversation_is_refused_by_name(edges, path, body, param):  # noqa: F811
    headers = {"x-api-key": KEYS["a"][0]}
    made = ai(edges[0]).conversations.create()
    got = httpx2.post(f"{edges[0].url}/v1/conversations{path.format(id=made.id)}", json=body, headers=headers)
    assert got.status_code == 400, got.text
    assert got.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("more", "param"),
    [({"previous_response_id": "resp_1"}, "conversation"), ({"background": True}, "background")],
)
def test_what_goes_with_no_conversation_is_refused_by_name(edges, more, param):  # noqa: F811
    made = ai(edges[0]).conversations.create()
    with pytest.raises(openai.BadRequestError) as caught:
        ai(edges[0]).responses.create(model=MODELS[0], input="x", conversation=made.id, **more)
    assert caught.value.param == param
    assert ai(edges[0]).responses.create(model=MODELS[0], input="x", conversation=made.id).output_text


def test_personal_data_are_kept_as_the_key_demands_and_shown_to_no_key_that_may_not_see_them(edges, simulator):  # noqa: F811
    mail = {"role": "user", "content": "I am ann@example.org."}
    private = ai(edges[0], "private")
    made = private.conversations.create(items=[mail])
    assert "ann@" not in str(listed(ai(edges[0]), made.id))
    plain = ai(edges[0]).conversations.create(items=[mail])
    since = simulator.count()
    assert private.responses.create(model=MODELS[0], input="And bob@example.org.", conversation=plain.id).output_text
    assert "ann@" not in said(simulator, since)[0]
    until(lambda: len(listed(ai(edges[0]), plain.id)) == 3)
    assert "bob@" not in str(listed(ai(edges[0]), plain.id))
    for key in ("masked", "fond"):
        with pytest.raises(openai.APIStatusError) as caught:
            ai(edges[0], key).responses.create(model=MODELS[0], input="I am eve@example.org.", conversation=plain.id)
        assert caught.value.code == "pii_blocked", key
    with pytest.raises(openai.APIStatusError) as caught:
        ai(edges[0], "masked").conversations.items.list(plain.id)
    assert caught.value.code == "pii_blocked"
    assert ai(edges[0]).responses.create(model=MODELS[0], input="Go on.", conversation=plain.id).output_text


@pytest.mark.parametrize("first", ["anthropic", "openai"])
def test_a_stream_that_another_provider_has_ended_is_kept_whole(simulator, redis, front, tmp_path, first):  # noqa: F811
    """Also where the one that broke off keeps responses itself."""
    made = configured(simulator, redis.url())
    whole = {"to": "anthropic/sim-words-40", "capabilities": {"continue_text": "assistant"}}
    made["models"] = {"mended": {"upstreams": [{"to": f"{first}/sim-words-60-cut-20"}, whole]}}
    made["resilience"] = {**made["resilience"], "rescue": "text"}
    edge = Edge(tmp_path, made, front=front)
    with running(edge):
        client = ai(edge)
        conversation = client.conversations.create()
        wanted = {"model": "mended", "input": "Tell me.", "conversation": conversation.id, "store": first != "openai"}
        with client.responses.stream(**wanted) as events:
            for _ in events:
                pass
            got = events.get_final_response()
        assert len(got.output_text.split()) > 40
        until(lambda: len(listed(client, conversation.id)) == 2)
        assert listed(client, conversation.id)[0].content[0].text == got.output_text
        if first == "anthropic":
            assert client.responses.retrieve(got.id).output_text == got.output_text
        edge.process.wait_for(r'"rescued":true')


def test_tokens_of_a_conversation_are_counted_and_its_turn_is_nobodys(edges):  # noqa: F811
    client = ai(edges[0])
    made = client.conversations.create(items=[{"role": "user", "content": "word " * 500}])
    alone = client.responses.input_tokens.count(model=MODELS[0], input="x").input_tokens
    assert (
        client.responses.input_tokens.count(model=MODELS[0], input="x", conversation=made.id).input_tokens > alone + 300
    )
    assert client.responses.create(model=MODELS[0], input="x", conversation=made.id).output_text


@MODEL
def test_openai_agents_do_what_their_users_do(edges, model):  # noqa: F811
    """One that finds a conversation taken asks again by itself."""
    command = [python_of("agents"), str(CLIENTS / "agents_session.py"), edges[1].url, model, KEYS["a"][0]]
    got = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120)
    assert got.returncode == 0, got.stderr
    results = json.loads(got.stdout.splitlines()[-1])
    assert set(results.values()) == {"ok"}, results


def test_redis_has_nothing_of_it_to_read(edges, redis):  # noqa: F811
    made = ai(edges[0]).conversations.create(
        metadata={"canary-name": "canary-value"}, items=[{"role": "user", "content": "canary-said"}]
    )
    names = redis.cli("--scan", "--pattern", "edge:conversation:*").split()
    assert names
    for name in names:
        assert made.id[9:] not in name
        assert 0 < int(redis.cli("PTTL", name)) <= 86_400_000
        assert "canary" not in redis.cli("--no-raw", "HGETALL", name)


def test_one_that_grows_too_large_stays_as_it_was_and_is_counted(simulator, redis, front, tmp_path):  # noqa: F811
    edge = Edge(tmp_path, configured(simulator, redis.url(), max_bytes=2048), front=front)
    with running(edge):
        client = ai(edge)
        made = client.conversations.create(items=[HELLO])
        with pytest.raises(openai.APIStatusError) as caught:
            client.conversations.items.create(made.id, items=[{"role": "user", "content": "x" * 3000}])
        assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
        assert client.responses.create(model=MODELS[0], input="x" * 3000, conversation=made.id).output_text
        until(lambda: counted(edge, "change", "too_large") == 2)
        assert len(listed(client, made.id)) == 1
        assert client.responses.create(model=MODELS[0], input="x", conversation=made.id).output_text


def test_without_redis_it_is_an_error(simulator, front, tmp_path):
    need_redis()
    server = RedisServer(tmp_path / "redis")
    edge = Edge(tmp_path, configured(simulator, server.url()), front=front)
    with stopping(server), running(edge):
        client = ai(edge)
        made = client.conversations.create(items=[HELLO])
        server.kill()
        since = simulator.count()
        for ask in (
            lambda: client.conversations.create(),
            lambda: client.conversations.retrieve(made.id),
            lambda: client.conversations.delete(made.id),
            lambda: client.responses.create(model=MODELS[0], input="x", conversation=made.id),
        ):
            with pytest.raises(openai.InternalServerError) as caught:
                ask()
            assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
        assert simulator.count() == since


def test_one_is_made_at_a_provider_where_that_is_named(edges, simulator):  # noqa: F811
    headers = {"x-api-key": KEYS["a"][0], "x-edge-provider": "openai"}
    made = httpx2.post(f"{edges[0].url}/v1/conversations", json={}, headers=headers).json()
    assert made["id"].startswith("conv_0")
    got = ai(edges[0]).responses.create(model="gpt-4o", input="hi", conversation=made["id"])
    assert got.conversation.id == made["id"]
    with pytest.raises(openai.BadRequestError) as caught:
        ai(edges[0]).responses.create(model=MODELS[0], input="hi", conversation=made["id"])
    assert caught.value.param == "conversation"
