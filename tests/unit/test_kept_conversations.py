"""A conversation that is kept here is changed by one at a time, and loses nothing that was said."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import msgspec
import pytest

from edge.config.rules import HELD_BESIDE, HELD_TIMES
from edge.conversations import AGAIN_S, Conversations
from edge.dialects.kept_response import OUR_CONVERSATION, conversation_id
from edge.errors import InvalidRequest, Overloaded, RequestTooLarge
from edge.going_on import append, conversation_in, new_id
from edge.guard.auth import Key
from edge.kept_conversations import (
    KIND,
    MOST_TIMES,
    PUT,
    READ,
    RELEASE,
    TAKE,
    Change,
    Conversation,
    Turn,
    is_sent,
    place_of,
)
from edge.redis.pipe import RedisUnavailable
from edge.slices import finished
from edge.upstreams.desk import Buffers
from tests.unit.calls import asked
from tests.unit.test_conversations import Counts, words_of

ID = "conv_edge" + "0123456789abcdef" * 2


class Client:
    """In place of the client of Redis: hashes, and what the scripts do with them. ``now`` is its clock, in ms;
    ``before_put`` is called before each of these.
    """

    def __init__(self, trouble=""):
        self.kept, self.now, self.trouble, self.before_put, self.scripts = {}, 1000, trouble, lambda: None, []

    def send(self, command, key):
        if self.trouble == "unready":
            return self.trouble
        asyncio.get_running_loop().call_soon(self._reply, command, words_of(command.data))
        return ""

    def _reply(self, command, words):
        reply = self._done(words)
        if command.live:
            command.fail(RedisUnavailable("timeout")) if self.trouble else command.answer(reply)

    def _done(self, words):
        if words[0] == b"DEL":
            return int(self.kept.pop(words[1], None) is not None)
        script, key, more = words[1], words[3], words[4:]
        self.scripts.append(script)
        if script == PUT:
            self.before_put()
        there = self.kept.get(key, {})
        if script == TAKE:
            if not there or there.get("until", 0) > self.now:
                return b"!" if there else None
            there |= {"turn": more[0], "until": self.now + int(more[1])}
            return there["v"]
        if script == READ:
            return (b"!" if there.get("until", 0) > self.now else b"-") + there["v"] if there else None
        if script == RELEASE:
            return 2 if self._release(there, more[0]) else 0
        assert script == PUT
        if more[0] and (not there or there["v"][:16] != more[0]):
            return 0 if there else -1
        self.kept.setdefault(key, {})["v"] = more[1]
        self._release(self.kept[key], more[3])
        return 1

    @staticmethod
    def _release(there, number):
        if there.get("turn") != number:
            return False
        del there["turn"], there["until"]
        return True


def made(body=None, tenant="acme"):
    call = asked(body or {"model": "m", "input": "x", "conversation": ID}, "/v1/responses")
    call.key = Key("k", tenant, None, False)
    return call


def stored(client):
    store = Conversations(Counts(), Buffers())
    store._client, store._prefix = client, b"edge"
    return store


async def done(begin):
    """What was told to who waits for it."""
    future = asyncio.get_running_loop().create_future()
    begin(lambda *told: future.set_result(told))
    async with asyncio.timeout(10):
        return await future


async def new(store, *said, tenant="acme"):
    conversation = Conversation(1, {}, [])
    append([item(text) for text in said], conversation)
    found, error = await done(
        lambda told: Change(store, place_of(made(tenant=tenant), ID), nothing, told).make(conversation)
    )
    assert error is None
    return found


def item(text):
    return msgspec.Raw(json.dumps({"role": "user", "content": text}).encode())


def nothing(conversation):
    return False


def adding(*said):
    return lambda conversation: append([item(text) for text in said], conversation)


async def change(store, step, number=b"", tenant="acme"):
    return await done(lambda told: Change(store, place_of(made(tenant=tenant), ID), step, told, number).start())


async def said_in(store, tenant="acme"):
    found, error = await change(store, nothing, tenant=tenant)
    return [json.loads(bytes(each.said))["content"] for each in found.items] if error is None else error.status


async def turn(store, tenant="acme"):
    """The number of a turn, and what was told at its beginning."""
    made_turn = []
    found, error = await done(lambda told: made_turn.append(Turn(store, made(tenant=tenant), ID, told)))
    return made_turn[0].number, found, error


def test_ids_are_told_from_those_of_vendors():
    assert OUR_CONVERSATION.fullmatch(conversation_id())
    for given, found in (
        (ID, ID),
        ({"id": ID}, ID),
        ({"id": 5}, ""),
        ("conv_1", ""),
        (None, ""),
        ([ID], ""),
        ("", ""),
    ):
        assert conversation_in(made({"model": "m", "input": "x", "conversation": given})) == found


def test_it_is_its_tenants_alone():
    async def run():
        store = stored(Client())
        await new(store, "one")
        assert await said_in(store) == ["one"]
        assert await said_in(store, "other") == 404
        assert (await turn(store, "other"))[2].status == 404

    asyncio.run(run())


def test_what_another_has_added_meanwhile_is_not_lost():
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "one")
        both = await asyncio.gather(change(store, adding("two")), change(store, adding("three")))
        assert [error for _, error in both] == [None, None]
        said = await said_in(store)
        assert (said[0], sorted(said[1:])) == ("one", ["three", "two"])
        assert client.scripts.count(PUT) == 4  # the first one, and one of two that had to be done again

    asyncio.run(run())


def test_who_never_finds_it_as_it_was_is_told_to_ask_again():
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "one")
        (key,) = client.kept
        sound = client.kept[key]["v"]

        def meanwhile():
            client.kept[key]["v"] = b"x" * 64
            asyncio.get_running_loop().call_soon(client.kept[key].update, {"v": sound})

        client.before_put = meanwhile
        found, error = await change(store, adding("two"))
        assert found is None
        assert isinstance(error, Overloaded)
        assert client.scripts.count(PUT) == 1 + MOST_TIMES
        assert store.buffers.held == 0

    asyncio.run(run())


def test_what_was_put_in_its_place_by_who_knows_no_secret_is_not_believed():
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "one")
        (key,) = client.kept
        client.kept[key]["v"] = b"x" * 64
        assert await said_in(store) == 404
        assert (await turn(store))[2].status == 404

    asyncio.run(run())


def test_what_is_no_conversation_any_more_is_not_there():
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "one")
        at, (key,) = place_of(made(), ID), client.kept
        client.kept[key]["v"] = finished(at.box.close(at.place, b'{"items":1}'))
        assert await said_in(store) == 404
        assert (await turn(store))[2].status == 404
        assert store._meter.told[-2:] == [("change", "unsound"), ("turn", "unsound")]

    asyncio.run(run())


def test_one_that_was_deleted_meanwhile_is_not_made_again():
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "one")
        client.before_put = client.kept.clear
        _, error = await change(store, adding("two"))
        assert error.status == 404
        assert client.kept == {}

    asyncio.run(run())


def test_a_turn_is_one_responses_until_what_was_said_is_put_down():
    async def run():
        store = stored(Client())
        await new(store, "one")
        number, found, error = await turn(store)
        assert (len(found.items), error) == (1, None)
        _, found, error = await turn(store)
        assert found is None
        assert (error.status, error.code, error.param) == (400, "conversation_locked", "conversation")
        await change(store, adding("two"), number)
        assert len((await turn(store))[1].items) == 2

    asyncio.run(run())


def test_who_comes_as_a_turn_ends_waits_for_what_was_said():
    async def run():
        store = stored(Client())
        await new(store, "one")
        number, _, _ = await turn(store)
        waiting = asyncio.ensure_future(turn(store))
        await asyncio.sleep(AGAIN_S[0] / 2)
        await change(store, adding("two"), number)
        _, found, error = await waiting
        assert (error, len(found.items)) == (None, 2)

    asyncio.run(run())


def test_who_asks_for_the_items_as_a_turn_ends_is_shown_what_was_said_in_it_and_nobody_waits_for_long():
    async def run():
        store = stored(Client())
        await new(store, "one")
        number, _, _ = await turn(store)
        reading = asyncio.ensure_future(said_in(store))
        await asyncio.sleep(AGAIN_S[0] / 2)
        await change(store, adding("two"), number)
        assert await reading == ["one", "two"]
        await turn(store)
        assert await said_in(store) == ["one", "two"]

    asyncio.run(run())


def test_a_turn_that_nobody_ended_is_over_after_its_time_and_what_comes_of_it_is_put_behind():
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "one")
        first, _, _ = await turn(store)
        client.now += int(made().state.resilience.total_s * 1000) + 61_000
        second, _, error = await turn(store)
        assert error is None
        await change(store, adding("late"), first)
        assert (await turn(store))[2].code == "conversation_locked"  # the second one's still
        await change(store, adding("second"), second)
        assert await said_in(store) == ["one", "late", "second"]

    asyncio.run(run())


def test_a_turn_that_is_cancelled_is_nobodys():
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "one")
        errand = Turn(store, made(), ID, lambda *_: pytest.fail("nobody waits"))
        await asyncio.sleep(0)  # it is asked for
        errand.cancel()
        await asyncio.sleep(0.01)
        assert (await turn(store))[2] is None

    asyncio.run(run())


def test_what_would_be_too_large_ends_the_turn_and_changes_nothing():
    async def run():
        store = stored(Client())
        await new(store, "one")
        number, _, _ = await turn(store)
        held = store.buffers.held
        _, error = await change(store, adding("x" * (1 << 20)), number)
        assert isinstance(error, RequestTooLarge)
        assert store.buffers.held == held
        assert await said_in(store) == ["one"]
        assert (await turn(store))[2] is None

    asyncio.run(run())


@pytest.mark.parametrize("trouble", ["unready", "broken"])
def test_trouble_with_redis_is_an_error(trouble):
    async def run():
        store = stored(Client(trouble))
        for found, error in (
            await change(store, nothing),
            (await turn(store))[1:],
            await done(lambda told: Change(store, place_of(made(), ID), nothing, told).make(Conversation(1, {}, []))),
        ):
            assert found is None
            assert isinstance(error, Overloaded)
        assert store.buffers.held == 0

    asyncio.run(run())


def test_a_change_that_may_have_been_made_is_not_asked_for_again_by_an_sdk():
    async def run():
        client = Client()
        store = stored(client)
        await new(store, "one")
        client.before_put = lambda: setattr(client, "trouble", "lost")
        _, error = await change(store, adding("two"))
        assert (error.status, error.headers) == (503, [(b"x-should-retry", b"false")])
        client.trouble = ""
        assert await said_in(store) == ["one", "two"]

        def unready(conversation):
            client.trouble = "unready"
            return True

        _, error = await change(store, unready)
        assert error.headers == [(b"retry-after", b"1")]
        assert store.buffers.held == 0

    asyncio.run(run())


@pytest.mark.parametrize(("beside", "status"), [(HELD_BESIDE, 0), (0, 503)])
def test_a_full_conversation_is_changed_under_the_least_bound_that_a_configuration_may_have(beside, status):
    async def run():
        store = stored(Client())
        await new(store, "x" * 100_000)
        size = len(store._client.kept[store.key(KIND, place_of(made(), ID).place)]["v"])
        at = replace(place_of(made(), ID), max_bytes=size, most=HELD_TIMES * size + beside)
        _, error = await done(lambda told: Change(store, at, lambda _: True, told).start())
        assert (error.status if error is not None else 0) == status
        assert store.buffers.held == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("reason", "code", "sent"),
    [("timeout", "", True), ("error", "", True), ("error", "OOM", False), ("unready", "", False), ("busy", "", False)],
)
def test_what_was_refused_or_never_asked_was_not_done(reason, code, sent):
    assert is_sent(RedisUnavailable(reason, code)) is sent


def test_what_a_step_refuses_is_told_and_changes_nothing():
    def refuse(conversation):
        conversation.items.clear()
        raise InvalidRequest("No.")

    async def run():
        store = stored(Client())
        await new(store, "one")
        _, error = await change(store, refuse)
        assert error.message == "No."
        assert await said_in(store) == ["one"]

    asyncio.run(run())


def test_an_item_has_its_own_id_unless_another_has_it():
    known = {"msg_1"}
    assert new_id(msgspec.Raw(b'{"id":"msg_2","type":"message"}'), known) == "msg_2"
    for said, prefix in (
        (b'{"id":"msg_1","type":"message"}', "msg_edge"),
        (b'{"id":"a/b","type":"message"}', "msg_edge"),  # no path to an item has a slash in its id
        (b'{"role":"user"}', "msg_edge"),
        (b'{"id":null,"type":"function_call"}', "fc_edge"),
        (b'{"id":5,"type":"reasoning"}', "rs_edge"),
        (b'{"type":"function_call_output"}', "item_edge"),
    ):
        assert new_id(msgspec.Raw(said), known).startswith(prefix)
