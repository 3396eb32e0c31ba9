"""What a request goes on with is all of that, or an error: never another conversation, nor a part of one."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from edge.config import Config
from edge.config.rules import problems
from edge.conversations import AGAIN_S, Conversations, Kept, items_of, previous_in, whole_request
from edge.dialects.kept_response import OURS, KeptResponse
from edge.errors import InvalidRequest, Overloaded
from edge.guard.auth import Key
from edge.kept_answers import page_of
from edge.redis.pipe import RedisUnavailable
from edge.slices import Slices
from tests.unit.calls import asked

ID = "resp_edge" + "0123456789abcdef" * 2
PATH = "/v1/responses"


class Counts:
    def __init__(self):
        self.told = []

    def count(self, family, *labels, amount=1.0):
        self.told.append(labels)


class Client:
    """In place of the client of Redis: what is kept, and which of the first looks find nothing yet."""

    def __init__(self, *, late=0, reason="", broken=False):
        self.kept, self.late, self.reason, self.broken, self.looks = {}, late, reason, broken, 0

    def send(self, command, key):
        if self.reason:
            return self.reason
        words = [word for word in command.data.split(b"\r\n") if word]
        asyncio.get_running_loop().call_soon(self._reply, command, words, command.data, key)
        return ""

    def _reply(self, command, words, data, key):
        if self.broken:
            command.failed(RedisUnavailable("timeout"))
        elif words[2] == b"GET":
            self.looks += 1
            command.replied(self.kept.get(key) if self.looks > self.late else None)
        else:
            size = int(data.split(key + b"\r\n$")[1].split(b"\r\n")[0])
            start = data.index(b"\r\n", data.index(key + b"\r\n$") + len(key) + 3) + 2
            self.kept[key] = data[start : start + size]
            command.replied(b"OK")


def made(body, tenant="acme"):
    call = asked(body, PATH)
    call.key = Key("k", tenant, None, False)
    return call


def told_of(client, body, tenant="acme"):
    """What a request says with all that it goes on with, or why that cannot be."""

    async def run():
        store = stored(client)
        done = asyncio.get_running_loop().create_future()
        call = made(body, tenant)
        waits = store.begin(call, Slices(), lambda reading, seen, error: done.set_result((reading.body, error)))
        assert waits
        body_now, error = await done
        return body_now, error

    return asyncio.run(run())


def stored(client):
    store = Conversations(Counts())
    store._client, store._prefix = client, b"edge"
    return store


def keep(client, items, output, name=ID, tenant="acme"):
    async def run():
        call = made({"model": "m", "input": items}, tenant)
        call.keep = KeptResponse()
        call.keep.id, call.keep.whole = name, json.dumps({"id": name, "output": output}).encode()
        stored(client).keep(call)
        await asyncio.sleep(0.01)

    asyncio.run(run())


@pytest.mark.parametrize("missing", ["cache", "server"])
def test_the_store_needs_redis_and_a_secret(missing):
    given = {
        "server": {"secret": "x" * 32},
        "cache": {"redis": {"url": "redis://127.0.0.1"}},
        "responses": {"store": "redis"},
        "providers": {"a": {"dialect": "openai", "base_url": "http://127.0.0.1:1/v1"}},
    }
    assert not problems(msgspec.convert(given, Config, dec_hook=secret_of))
    del given[missing]
    ((where, what),) = problems(msgspec.convert(given, Config, dec_hook=secret_of))
    assert where == ("responses", "store")
    assert "needs" in what


def secret_of(kind, value):
    return kind(value)


def test_ids_are_told_from_those_of_vendors():
    assert OURS.fullmatch(ID)
    assert len({KeptResponse().id for _ in range(100)}) == 100
    for other in ("resp_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b", "resp_edge", ID + "0", ID.upper()):
        assert not OURS.fullmatch(other)


@pytest.mark.parametrize(
    ("given", "found"), [(ID, ID), (None, ""), ("", ""), ("resp_1", ""), ({"id": ID}, ""), ([ID], ""), (5, "")]
)
def test_only_what_is_ours_is_looked_for(given, found):
    assert previous_in(made({"model": "m", "input": "x", "previous_response_id": given})) == found


@pytest.mark.parametrize("given", ["two", [{"role": "user", "content": "two"}], [], None])
def test_a_request_is_made_whole_of_the_input_the_output_and_its_own(given):
    kept = Kept(
        items=msgspec_raw([{"role": "user", "content": "one"}]), response=msgspec_raw({"output": [{"type": "message"}]})
    )
    body = {"model": "m", "previous_response_id": ID, "tools": [{"a": 1.50}]} | (
        {} if given is None else {"input": given}
    )
    whole = json.loads(whole_request(json.dumps(body).encode(), kept))
    own = [{"role": "user", "content": "two"}] if given else []
    assert whole == {
        "model": "m",
        "tools": [{"a": 1.5}],
        "input": [{"role": "user", "content": "one"}, {"type": "message"}, *own],
    }


def msgspec_raw(value):
    return msgspec.Raw(json.dumps(value).encode())


def test_what_was_kept_is_found_by_its_tenant_alone():
    client = Client()
    keep(client, "one", [{"type": "message", "role": "assistant", "content": "1"}])
    body = {"model": "m", "input": "two", "previous_response_id": ID}
    whole, error = told_of(client, body)
    assert error is None
    assert [item.get("content") for item in json.loads(whole)["input"]][1:] == ["1", "two"]
    _, error = told_of(client, body, tenant="other")
    assert isinstance(error, InvalidRequest)
    assert error.code == "previous_response_not_found"


def test_one_that_is_on_its_way_is_looked_for_again():
    client = Client(late=len(AGAIN_S))
    keep(client, "one", [])
    assert told_of(client, {"model": "m", "input": "two", "previous_response_id": ID})[1] is None
    assert client.looks == len(AGAIN_S) + 1


def test_what_was_put_in_the_place_of_another_is_never_believed():
    client, other = Client(), KeptResponse().id
    keep(client, "one", [])
    keep(client, "another's", [], name=other, tenant="other")
    first, second = client.kept
    client.kept[first] = client.kept[second]
    _, error = told_of(client, {"model": "m", "input": "two", "previous_response_id": ID})
    assert error.code == "previous_response_not_found"


@pytest.mark.parametrize("trouble", [{"reason": "unready"}, {"broken": True}])
def test_trouble_with_redis_is_an_error_for_who_goes_on(trouble):
    _, error = told_of(Client(**trouble), {"model": "m", "input": "two", "previous_response_id": ID})
    assert isinstance(error, Overloaded)


def test_a_text_is_kept_as_an_item():
    assert json.loads(items_of(made({"model": "m", "input": 'a "text"'}))) == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": 'a "text"'}]}
    ]


ITEMS = Kept(items=msgspec_raw([{"role": "user", "content": str(n)} for n in range(5)]), response=msgspec_raw({}))


@pytest.mark.parametrize(
    ("query", "shown", "more"),
    [
        (b"", "43210", False),
        (b"order=asc", "01234", False),
        (b"order=asc&limit=2", "01", True),
        (b"order=asc&limit=2&after=item_1", "23", True),
        (b"limit=2&after=item_2", "10", False),
        (b"after=nobody", "", False),
    ],
)
def test_items_come_by_pages(query, shown, more):
    page = json.loads(page_of(ITEMS, query))
    assert "".join(item["content"][0]["text"] for item in page["data"]) == shown
    assert page["has_more"] is more
    assert page["last_id"] == (page["data"][-1]["id"] if shown else None)


@pytest.mark.parametrize("query", [b"order=up", b"limit=0", b"limit=101", b"limit=x", b"limit=1000000"])
def test_a_page_that_cannot_be_is_refused(query):
    with pytest.raises(InvalidRequest):
        page_of(ITEMS, query)
