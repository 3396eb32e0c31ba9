"""What a request goes on with is all of that, or an error: never another conversation, nor a part of one."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from edge import conversations
from edge.config import Config
from edge.config.rules import HELD_BESIDE, problems
from edge.conversations import AGAIN_S, COPIES, Conversations, Deleting, Kept
from edge.dialects.kept_response import OURS, KeptResponse
from edge.errors import InvalidRequest, Overloaded
from edge.going_on import begin, items_of, previous_in, said_in, whole_request
from edge.going_on import keep as keep_what_came
from edge.guard.auth import Key
from edge.kept_answers import input_page
from edge.redis.pipe import RedisUnavailable
from edge.slices import LARGE, Slices
from edge.upstreams.desk import Buffers
from tests.unit.calls import asked

ID = "resp_edge" + "0123456789abcdef" * 2


@pytest.fixture
def soon(monkeypatch):
    """What is not there yet is looked for again at once."""
    monkeypatch.setattr(conversations, "AGAIN_S", tuple(0.001 for _ in AGAIN_S))


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
        asyncio.get_running_loop().call_soon(self._reply, command, words_of(command.data))
        return ""

    def _reply(self, command, words):
        if self.broken:
            command.fail(RedisUnavailable("timeout"))
        elif words[0] == b"GET":
            self.looks += 1
            command.answer(self.kept.get(words[1]) if self.looks > self.late else None)
        elif words[0] == b"EVAL":
            self.looks += 1
            there = self.looks > self.late and self.kept.get(words[3], b"-") != b"-"
            if there:
                del self.kept[words[3]]
            elif words[4] != b"0":
                self.kept[words[3]] = b"-"
            command.answer(int(there))
        else:
            assert words[-1] == b"NX"
            command.answer(None if words[1] in self.kept else b"OK")
            self.kept.setdefault(words[1], words[2])


def words_of(data):
    """The words of a command, as it is sent."""
    words, at = [], data.index(b"\r\n") + 2
    while at < len(data):
        start = data.index(b"\r\n", at) + 2
        size = int(data[at + 1 : start - 2])
        words.append(data[start : start + size])
        at = start + size + 2
    return words


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
        waits = begin(store, call, Slices(), lambda reading, seen, error: done.set_result((reading.body, error)))
        assert waits
        body_now, error = await done
        return body_now, error

    return asyncio.run(run())


def stored(client, buffers=None):
    store = Conversations(Counts(), buffers or Buffers())
    store._client, store._prefix = client, b"edge"
    return store


def keep(client, items, output, name=ID, tenant="acme"):
    async def run():
        call = made({"model": "m", "input": items}, tenant)
        call.keep = KeptResponse()
        call.keep.id, call.keep.whole = name, json.dumps({"id": name, "output": output}).encode()
        keep_what_came(stored(client), call)
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


def test_a_bound_under_which_no_full_conversation_could_be_changed_is_refused():
    given = {
        "server": {"secret": "x" * 32, "max_buffered_bytes": 4 << 20},
        "cache": {"redis": {"url": "redis://127.0.0.1"}},
        "providers": {"a": {"dialect": "openai", "base_url": "http://127.0.0.1:1/v1"}},
    }
    assert not problems(msgspec.convert(given, Config, dec_hook=secret_of))
    given["responses"] = {"store": "redis", "max_bytes": 1 << 20}
    ((where, what),) = problems(msgspec.convert(given, Config, dec_hook=secret_of))
    assert where == ("responses", "max_bytes")
    assert "'server.max_buffered_bytes' (4194304)" in what
    given["server"]["max_buffered_bytes"] += HELD_BESIDE
    assert not problems(msgspec.convert(given, Config, dec_hook=secret_of))


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
    whole = json.loads(whole_request(json.dumps(body).encode(), "previous_response_id", said_in(kept)))
    own = [{"role": "user", "content": "two"}] if given else []
    assert whole == {
        "model": "m",
        "tools": [{"a": 1.5}],
        "input": [{"role": "user", "content": "one"}, {"type": "message"}, *own],
    }


def test_an_input_of_null_is_none_and_takes_nothing_of_what_was_said_before_away():
    body = {"model": "m", "previous_response_id": ID, "input": None}
    whole = json.loads(whole_request(json.dumps(body).encode(), "previous_response_id", b'{"type":"message"}'))
    assert whole == {"model": "m", "input": [{"type": "message"}]}


def msgspec_raw(value):
    return msgspec.Raw(json.dumps(value).encode())


@pytest.mark.usefixtures("soon")
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


@pytest.mark.usefixtures("soon")
def test_one_that_is_on_its_way_is_looked_for_again():
    client = Client(late=len(AGAIN_S))
    keep(client, "one", [])
    assert told_of(client, {"model": "m", "input": "two", "previous_response_id": ID})[1] is None
    assert client.looks == len(AGAIN_S) + 1


@pytest.mark.usefixtures("soon")
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


def finished_call(text="one"):
    call = made({"model": "m", "input": text}, "acme")
    call.keep = KeptResponse()
    call.keep.id, call.keep.whole = ID, json.dumps({"id": ID, "output": []}).encode()
    return call


def deleted(store, tenant="acme"):
    """How many there were."""
    done = asyncio.get_running_loop().create_future()
    Deleting(store, made({"model": "m", "input": ""}, tenant), ID, done.set_result)
    return done


@pytest.mark.parametrize("text", ["one", "x" * (2 * LARGE)], ids=["small", "large"])
def test_one_that_is_deleted_while_it_is_on_its_way_is_not_kept(text):
    async def run():
        client = Client(late=1)  # the first look finds nothing yet
        store = stored(client)
        keep_what_came(store, finished_call(text))
        assert await deleted(store) == 1
        assert client.kept == {}
        assert await deleted(store) == 0

    asyncio.run(run())


@pytest.mark.usefixtures("soon")
def test_one_that_comes_after_it_was_deleted_is_kept_nowhere():
    async def run():
        client, counts = Client(), Counts()
        store = stored(client)
        store._meter = counts
        assert await deleted(store) == 0
        keep_what_came(store, finished_call())
        await asyncio.sleep(0.01)
        assert counts.told == [("delete", "miss"), ("put", "deleted")]
        assert list(client.kept.values()) == [b"-"]
        assert await deleted(store) == 0
        assert await deleted(store, "other") == 0

    asyncio.run(run())
    _, error = told_of(Client(), {"model": "m", "input": "two", "previous_response_id": ID})
    assert error.code == "previous_response_not_found"


@pytest.mark.usefixtures("soon")
def test_what_stands_for_one_that_is_gone_is_nothing_to_go_on_with():
    client = Client()
    asyncio.run(deleting(client))
    _, error = told_of(client, {"model": "m", "input": "two", "previous_response_id": ID})
    assert error.code == "previous_response_not_found"


async def deleting(client):
    assert await deleted(stored(client)) == 0


@pytest.mark.parametrize("trouble", [{"reason": "unready"}, {"broken": True}])
def test_whether_it_is_deleted_is_not_known_without_redis(trouble):
    async def run():
        assert await deleted(stored(Client(**trouble))) is None

    asyncio.run(run())


@pytest.mark.parametrize("trouble", [{}, {"reason": "unready"}, {"broken": True}])
@pytest.mark.parametrize("text", ["one", "x" * (2 * LARGE)], ids=["small", "large"])
def test_what_is_on_its_way_is_counted_among_what_is_held_until_it_is_there(trouble, text):
    async def run():
        buffers, held = Buffers(), []
        client = Client(**trouble)
        store = stored(client, buffers)
        keep_what_came(store, finished_call(text))
        if not trouble.get("reason") or len(text) > LARGE:
            assert buffers.held >= COPIES * len(text)
        async with asyncio.timeout(10):
            while buffers.held:
                held.append(buffers.held)
                await asyncio.sleep(0)

    asyncio.run(run())


def test_what_would_be_too_much_is_not_kept():
    async def run():
        buffers, counts, call = Buffers(), Counts(), finished_call()
        store = stored(Client(), buffers)
        store._meter = counts
        assert buffers.lend(call.state.max_buffered_bytes, call.state.max_buffered_bytes)
        keep_what_came(store, call)
        assert counts.told == [("put", "overloaded")]
        assert buffers.held == call.state.max_buffered_bytes

    asyncio.run(run())


def test_what_a_request_goes_on_with_is_counted_among_what_is_held_for_it():
    async def run():
        client, buffers = Client(), Buffers()
        store = stored(client, buffers)
        keep_what_came(store, finished_call("x" * 10_000))
        await asyncio.sleep(0.01)
        held = []
        for full in (False, True):
            if full:
                limit = made({"model": "m"}).state.max_buffered_bytes
                assert buffers.lend(limit - buffers.held - 1, limit)
            done = asyncio.get_running_loop().create_future()
            call = made({"model": "m", "input": "two", "previous_response_id": ID})
            begin(store, call, Slices(), lambda _, __, error, done=done: done.set_result(error))
            error = await done
            held.append(call.buffered)
            assert isinstance(error, Overloaded) == full
        assert held[0] >= 30_000  # as it was kept, as it reads, and in the body that goes on

    asyncio.run(run())


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
    page = json.loads(input_page(ITEMS, query))
    assert "".join(item["content"][0]["text"] for item in page["data"]) == shown
    assert page["has_more"] is more
    assert page["last_id"] == (page["data"][-1]["id"] if shown else None)


def test_each_item_has_an_id_of_its_own_by_which_a_page_begins_behind_it():
    given = ["a", "a", None, "item_2", "item_4", 7, "", "item_2_"]
    said = [{"role": "user", "content": str(n), "id": own} for n, own in enumerate(given)]
    kept = Kept(items=msgspec_raw(said), response=msgspec_raw({}))
    seen, after = [], b""
    for _ in given:
        page = json.loads(input_page(kept, b"order=asc&limit=1" + after))
        seen.append(page["last_id"])
        after = b"&after=" + page["last_id"].encode()
        assert page["data"][0]["content"][0]["text"] == str(len(seen) - 1)
        assert page["has_more"] is (len(seen) < len(given))
    assert seen == ["a", "item_1", "item_2__", "item_2", "item_4", "item_5", "item_6", "item_2_"]


def test_an_item_that_says_null_of_what_it_is_is_shown_as_what_it_is_taken_for():
    kept = Kept(
        items=msgspec_raw([{"type": None, "role": "user", "content": "x", "status": None, "name": None}]),
        response=msgspec_raw({}),
    )
    [shown] = json.loads(input_page(kept, b""))["data"]
    assert (shown["type"], shown["status"], shown["name"]) == ("message", "completed", None)
    assert shown["content"] == [{"type": "input_text", "text": "x"}]


@pytest.mark.parametrize("query", [b"order=up", b"limit=0", b"limit=101", b"limit=x", b"limit=1000000"])
def test_a_page_that_cannot_be_is_refused(query):
    with pytest.raises(InvalidRequest):
        input_page(ITEMS, query)
