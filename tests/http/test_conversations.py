"""Conversations that go on by ``previous_response_id`` where the provider keeps nothing: kept in Redis, for their tenant."""

from __future__ import annotations

import json
import re

import httpx2
import openai
import pytest

from edge.guard.auth import new_key
from tests.harness import PATIENT, Edge, providers, running, until
from tests.http.test_responses import MODELS, TOOLS
from tests.redis_servers import RedisCluster, RedisServer, need_redis, stopping

KEYS = {name: new_key(name) for name in ("a", "b", "masked", "private", "strict", "fond", "boss")}
SECRET = "a secret of at least thirty-two characters"
MODEL = pytest.mark.parametrize("model", MODELS)


def configured(simulator, url, *, cluster=False, workers=1, **responses):
    made = providers(simulator.url)
    made["local"] = {**made["openai"], "models": ["local-*"], "capabilities": {"*": {"apis": ["chat"]}}}
    modes = {
        "masked": {"response": "mask"},
        "private": {"request": "mask"},
        "strict": {"request": "block"},
        "fond": {"request": "pseudonymize"},
    }
    more = {name: {"tenant": "a", "pii": mode} for name, mode in modes.items()}
    more["boss"] = {"tenant": "boss", "admin": True}
    keys = [{"id": name, "tenant": name, "digests": [key[1]], **more.get(name, {})} for name, key in KEYS.items()]
    return {
        "server": {"secret": SECRET, "workers": workers},
        "auth": {"keys": keys},
        "providers": made,
        "cache": {"redis": {"url": url, "cluster": cluster, "timeout_ms": 2000}},
        "responses": {"store": "redis", **responses},
        "resilience": PATIENT,
    }


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    need_redis()
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    with stopping(made):
        yield made


@pytest.fixture(scope="module")
def edges(simulator, redis, front, tmp_path_factory):
    """Two machines, of which the second has two workers."""
    made = [
        Edge(tmp_path_factory.mktemp("edge"), configured(simulator, redis.url(), workers=workers), front=front)
        for workers in (1, 2)
    ]
    with running(*made):
        yield made


CLIENTS: list[openai.OpenAI] = []


@pytest.fixture(autouse=True)
def closed():
    """Every client is, at the end of its test."""
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def ai(edge, key="a"):
    CLIENTS.append(openai.OpenAI(base_url=f"{edge.url}/v1", api_key=KEYS[key][0], max_retries=0))
    return CLIENTS[-1]


def counted(edge, operation, result):
    page = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": KEYS["boss"][0]}).text
    found = re.search(
        rf'^edge_kept_responses_total{{operation="{operation}",result="{result}"}} (\d+)', page, re.MULTILINE
    )
    return int(found[1]) if found else 0


def asked(simulator, since):
    """The messages that each request had which came since."""
    return [json.loads(entry["body"])["messages"] for entry in simulator.ledger(since)]


def turns(edges, model, stream):
    """Three turns with a tool, each at the next machine; the responses."""
    said, previous, made = [{"role": "user", "content": "What is the weather in Paris?"}], None, []
    for number in range(3):
        client = ai(edges[number % len(edges)])
        wanted = {"model": model, "tools": TOOLS, "input": said, "previous_response_id": previous or openai.NOT_GIVEN}
        if stream:
            with client.responses.stream(**wanted) as events:
                for event in events:
                    if event.type == "response.created":
                        assert event.response.id.startswith("resp_edge")
                got = events.get_final_response()
        else:
            got = client.responses.create(**wanted)
        assert got.previous_response_id == previous
        assert got.store
        made.append(got)
        calls = [item for item in got.output if item.type == "function_call"]
        said = [{"type": "function_call_output", "call_id": call.call_id, "output": "It rains."} for call in calls]
        said = said or "And tomorrow?"
        previous = got.id
    return made


@MODEL
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_three_turns_with_a_tool_by_openais_sdk_at_two_machines(edges, simulator, model, stream):
    since = simulator.count()
    first, second, third = turns(edges, model, stream)
    assert [item for item in first.output if item.type == "function_call"]
    assert second.output_text
    assert [item for item in third.output if item.type == "function_call"]  # as at every question
    told = asked(simulator, since)
    assert [len(messages) for messages in told] == sorted({len(messages) for messages in told})
    for messages in told:
        assert "Paris" in json.dumps(messages[0])
    assert "It rains." in json.dumps(told[2])
    assert "And tomorrow?" in json.dumps(told[2])


@MODEL
def test_a_kept_response_is_shown_with_its_input_and_deleted(edges, model):
    first = ai(edges[0]).responses.create(model=model, input="One?")
    second = ai(edges[1]).responses.create(model=model, input="Two?", previous_response_id=first.id)
    client = ai(edges[1])
    assert client.responses.retrieve(second.id).to_dict() == second.to_dict()
    items = client.responses.input_items.list(second.id, order="asc").data
    assert [item.role for item in items] == ["user", "assistant", "user"]
    assert items[0].content[0].text == "One?"
    assert items[1].content[0].text == first.output_text
    page = client.responses.input_items.list(second.id, limit=1)
    assert page.data[0].content[0].text == "Two?"
    assert page.has_more
    assert len(list(page)) == 3
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        ai(edges[0]).responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input="Three?", previous_response_id=first.id)
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")
    assert client.responses.create(model=model, input="Three?", previous_response_id=second.id).output_text
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(second.id)


def test_one_that_is_deleted_as_soon_as_it_is_told_is_gone_for_good(edges, redis):
    """A large one is still on its way then, whatever worker or machine is asked to delete it."""
    text = "A long story. " * 50_000
    for number in range(4):
        with ai(edges[0]).responses.create(model=MODELS[0], input=text, stream=True) as events:
            made = next(event.response.id for event in events if event.type == "response.completed")
        try:
            ai(edges[number % 2]).responses.delete(made)
        except openai.NotFoundError:  # nobody knows there yet that it is to come
            pass
        with pytest.raises(openai.NotFoundError):
            ai(edges[0]).responses.retrieve(made)
        with pytest.raises(openai.NotFoundError):
            ai(edges[1]).responses.delete(made)


def test_another_tenant_finds_nothing_of_it(edges, simulator):
    first = ai(edges[0]).responses.create(model=MODELS[0], input="Mine.")
    other, since = ai(edges[0], "b"), simulator.count()
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError):
        other.responses.create(model=MODELS[0], input="And?", previous_response_id=first.id)
    assert simulator.count() == since
    assert ai(edges[0]).responses.retrieve(first.id).id == first.id


def test_what_is_not_to_be_kept_is_not(edges, redis):
    before = redis.cli("DBSIZE")
    got = ai(edges[0]).responses.create(model=MODELS[0], input="Forget it.", store=False)
    assert not got.store
    assert not got.id.startswith("resp_edge")
    shown = ai(edges[0], "masked").responses.create(model=MODELS[0], input="What was masked is not kept unmasked.")
    assert not shown.store
    assert redis.cli("DBSIZE") == before


@pytest.mark.parametrize("key", ["private", "fond"])
def test_what_a_request_goes_on_with_is_looked_through_as_its_own_key_demands(edges, simulator, key):
    first = ai(edges[0]).responses.create(model=MODELS[0], input="I am ann@example.org.")
    since = simulator.count()
    second = ai(edges[0], key).responses.create(
        model=MODELS[0], input="And bob@example.org.", previous_response_id=first.id
    )
    (messages,) = asked(simulator, since)
    said = json.dumps(messages)
    assert "ann@" not in said
    assert "bob@" not in said
    assert said.count("[EMAIL") >= 2
    assert second.store is (key == "private")  # pseudonyms are not kept
    if second.store:
        assert second.previous_response_id == first.id
        third = ai(edges[1]).responses.create(model=MODELS[0], input="Go on.", previous_response_id=second.id)
        assert "bob@" not in json.dumps(asked(simulator, since)[-1])
        assert third.output_text


def test_a_key_that_may_not_send_personal_data_goes_on_with_none(edges, simulator):
    first = ai(edges[0]).responses.create(model=MODELS[0], input="I am ann@example.org.")
    since = simulator.count()
    with pytest.raises(openai.APIStatusError) as caught:
        ai(edges[0], "strict").responses.create(model=MODELS[0], input="And?", previous_response_id=first.id)
    assert caught.value.code == "pii_blocked"
    assert simulator.count() == since


def test_a_key_whose_answers_are_masked_is_not_shown_what_another_was(edges):
    first = ai(edges[0]).responses.create(model=MODELS[0], input="I am ann@example.org.")
    other = ai(edges[0], "masked")
    for show in (other.responses.retrieve, other.responses.input_items.list):
        with pytest.raises(openai.APIStatusError) as caught:
            show(first.id)
        assert caught.value.code == "pii_blocked"
    other.responses.delete(first.id)


def test_store_true_is_no_field_that_was_dropped(edges):
    got = ai(edges[0]).responses.with_raw_response.create(model=MODELS[0], input="Keep it.", store=True)
    assert "x-edge-dropped" not in got.headers


def test_redis_has_no_prompt_no_tenant_and_no_id_to_read(edges, redis):
    made = ai(edges[0]).responses.create(model=MODELS[0], input="canary-of-a-prompt")
    names = redis.cli("--scan", "--pattern", "edge:response:*").split()
    assert names
    for name in names:
        assert re.fullmatch(r"edge:response:[0-9a-f]{32}", name)
        assert made.id[9:] not in name
        assert 0 < int(redis.cli("PTTL", name)) <= 86_400_000
        assert "canary-of-a-prompt" not in redis.cli("--no-raw", "GET", name)


def test_one_that_is_too_large_is_counted_and_not_kept(simulator, redis, front, tmp_path):
    edge = Edge(tmp_path, configured(simulator, redis.url(), max_bytes=2048), front=front)
    with running(edge):
        got = ai(edge).responses.create(model=MODELS[0], input="x" * 3000)
        until(lambda: counted(edge, "put", "too_large") == 1)
        with pytest.raises(openai.BadRequestError):
            ai(edge).responses.create(model=MODELS[0], input="And?", previous_response_id=got.id)


def test_a_long_conversation_goes_on_whole(edges, simulator):
    text = "a long story " * 40_000
    first = ai(edges[0]).responses.create(model=MODELS[0], input=text)
    since = simulator.count()
    ai(edges[1]).responses.create(model=MODELS[0], input="And then?", previous_response_id=first.id)
    (messages,) = asked(simulator, since)
    assert text in json.dumps(messages)
    assert ai(edges[1]).responses.input_items.list(first.id).data[0].content[0].text == text


def test_without_redis_going_on_is_an_error_and_the_rest_is_served(simulator, front, tmp_path):
    need_redis()
    server = RedisServer(tmp_path / "redis")
    edge = Edge(tmp_path, configured(simulator, server.url()), front=front)
    with stopping(server), running(edge):
        first = ai(edge).responses.create(model=MODELS[0], input="One?")
        server.kill()
        since = simulator.count()
        with pytest.raises(openai.InternalServerError) as caught:
            ai(edge).responses.create(model=MODELS[0], input="Two?", previous_response_id=first.id)
        assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
        with pytest.raises(openai.InternalServerError):
            ai(edge).responses.retrieve(first.id)
        assert simulator.count() == since
        assert ai(edge).responses.create(model=MODELS[0], input="Three?").output_text
        until(lambda: counted(edge, "put", "unavailable") >= 1)
        assert counted(edge, "get", "unavailable") == 2


def test_three_turns_on_a_cluster_of_three(simulator, tmp_path_factory):
    need_redis()
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    with stopping(cluster):
        edge = Edge(
            tmp_path_factory.mktemp("edge"), configured(simulator, cluster.url, cluster=True, workers=2), front="lane"
        )
        with running(edge):
            for _ in range(3):
                assert turns([edge], MODELS[0], stream=False)[1].output_text
