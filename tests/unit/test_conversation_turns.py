"""What has come of a turn is put into its conversation whole, or not at all, and the turn is over."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from edge import conversations
from edge.dialects.kept_response import KeptResponse
from edge.going_on import keep
from edge.redis.pipe import pack
from edge.reply_fields import JSON_TYPE
from edge.slices import LARGE
from tests.unit.test_kept_conversations import ID, Client, made, new, said_in, stored, turn


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed", "in_progress"])
def test_what_is_complete_is_put_down_and_any_other_end_leaves_it_as_it_was(status):
    async def run():
        store = stored(Client())
        await new(store, "one")
        number, _, _ = await turn(store)
        call = made({"model": "m", "input": [{"role": "user", "content": word} for word in ("one", "two")]})
        call.keep = KeptResponse(conversation=ID, turn=number, stored=False)
        call.keep.before = 1
        answer = {"id": "resp_1", "status": status, "output": [{"type": "message", "id": "msg_1", "content": "three"}]}
        call.keep.whole = json.dumps(answer).encode()
        keep(store, call)
        await asyncio.sleep(0.01)
        whole = status in ("completed", "incomplete")
        assert await said_in(store) == (["one", "two", "three"] if whole else ["one"])
        assert (await turn(store))[2] is None
        assert len(store._client.kept) == 1  # `store: false`: the response itself is not kept

    asyncio.run(run())


ANSWER = b'{"status":"completed","output":[{"type":"message","id":"m","content":"two"}]}'


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (ANSWER, ["one", "two"]),
        (b'event: a\ndata: {}\n\nevent: response.completed\ndata: {"response":%b}\n\n' % ANSWER, ["one", "two"]),
        (b'event: error\ndata: {"type":"error"}\n\n', ["one"]),
        (b'{"error":{"message":"No."}}', ["one"]),
    ],
    ids=["whole", "as events", "an error in events", "an error"],
)
def test_an_answer_of_a_provider_that_keeps_responses_is_put_down_as_its_client_was_told_it(told, kept):
    """What the answer was judged by may have been without its long values."""

    async def run():
        store = stored(Client())
        await new(store, "one")
        number, _, _ = await turn(store)
        call = made({"model": "m", "input": [{"role": "user", "content": "one"}]})
        call.keep = KeptResponse(conversation=ID, turn=number, stored=False)
        call.keep.before = 1
        judged = SimpleNamespace(translates=False, stream=None, answered=b'{"status":"completed","output":[{"a":1}]}')
        call.ledger.tries.append(SimpleNamespace(health="ok", crossing=judged))
        call.answer(200, [JSON_TYPE], told)
        keep(store, call)
        await asyncio.sleep(0.01)
        assert await said_in(store) == kept
        assert (await turn(store))[2] is None

    asyncio.run(run())


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        ("x", b'{"type":"message"}'),
        ({}, b'"x"'),
        ({}, b"null"),
        ({}, b'{"text":"\\ud800 "}'),
        ({}, b'{"text":"\xff"}'),
        ({}, b"[" * 9999),
    ],
)
def test_what_is_no_item_is_not_put_down_and_ends_the_turn(taken, given):
    """A provider that keeps responses itself may take, and give, anything."""

    async def run():
        store = stored(Client())
        await new(store, "one")
        number, _, _ = await turn(store)
        held = store.buffers.held
        call = made({"model": "m", "input": [{"role": "user", "content": "one"}, taken]})
        call.keep = KeptResponse(conversation=ID, turn=number, stored=False)
        call.keep.before = 1
        call.keep.whole = b'{"id":"resp_1","status":"completed","output":[%b]}' % given
        keep(store, call)
        await asyncio.sleep(0.01)
        assert store.buffers.held == held
        assert await said_in(store) == ["one"]
        assert (await turn(store))[2] is None

    asyncio.run(run())


@pytest.mark.parametrize(
    ("closing", "content_at", "kept"),
    [
        (b'{"response":%b}' % ANSWER, 1.0, ["one", "two"]),
        (b"", 1.0, ["one"]),
        (b'{"response":%b}' % ANSWER, 0.0, ["one"]),
    ],
    ids=["told its end", "before its end", "another was told"],
)
def test_a_client_that_leaves_once_it_was_told_the_end_of_a_stream_has_had_its_turn(closing, content_at, kept):
    """Codex closes its connection at the last event, though the provider's stream may still end behind that."""

    async def run():
        store = stored(Client())
        await new(store, "one")
        number, _, _ = await turn(store)
        call = made({"model": "m", "input": [{"role": "user", "content": "one"}]})
        call.keep = KeptResponse(conversation=ID, turn=number, stored=False)
        call.keep.before = 1
        stream = SimpleNamespace(finished=bool(closing), closing=closing)
        crossing = SimpleNamespace(translates=False, stream=stream)
        call.ledger.tries.append(SimpleNamespace(health="none", content_at=content_at, crossing=crossing))
        keep(store, call)
        await asyncio.sleep(0.01)
        assert await said_in(store) == kept
        assert (await turn(store))[2] is None

    asyncio.run(run())


@pytest.mark.parametrize("size", [1, LARGE], ids=["at once", "in slices"])
def test_a_worker_that_ends_puts_down_what_was_said_before_it_leaves_redis(size):
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "o" * size)
        number, _, _ = await turn(store)
        call = made({"model": "m", "input": [{"role": "user", "content": "o" * size}]})
        call.keep = KeptResponse(conversation=ID, turn=number, stored=False)
        call.keep.before, call.keep.whole = 1, ANSWER
        keep(store, call)
        await store.share(None, None)
        other = stored(client)
        assert await said_in(other) == ["o" * size, "two"]
        assert (await turn(other))[2] is None

    asyncio.run(run())


def test_a_worker_that_ends_waits_for_no_reply_that_does_not_come(monkeypatch):
    async def run():
        monkeypatch.setattr(conversations, "MOST_LOOKS", 3)
        client = Client()
        store = stored(client)
        monkeypatch.setattr(client, "_reply", lambda *_: None)
        told = []
        given_up = store.send(pack("GET", "a"), "read", b"a", lambda *said: told.append(said))
        given_up.cancel()
        assert not store._asked
        store.send(pack("GET", "b"), "read", b"b", lambda *said: told.append(said))
        async with asyncio.timeout(10):
            await store.share(None, None)
        assert told == []

    asyncio.run(run())
