"""What is asked of a conversation that is kept here takes no longer than what is answered."""

from __future__ import annotations

import asyncio
import json

import pytest

from edge import conversation_answers
from edge.conversation_answers import answer_conversation, page
from edge.going_on import append, begin
from edge.kept_conversations import Conversation, delete, place_of
from edge.slices import Slices
from tests.unit.calls import asked
from tests.unit.test_kept_conversations import ID, Client, item, made, stored


class Asker:
    def __init__(self):
        self.error = None

    def fetched(self, inquiry, error):
        self.error = error


def test_what_is_on_another_page_is_not_looked_at(monkeypatch):
    conversation, looked = Conversation(1, {}, []), []
    append([item(str(number)) for number in range(50)], conversation)
    whole = conversation_answers.whole
    monkeypatch.setattr(conversation_answers, "whole", lambda each: looked.append(each.id) or whole(each))
    found = json.loads(page(b"limit=2&after=" + conversation.items[7].id.encode(), conversation))
    assert [each["content"][0]["text"] for each in found["data"]] == ["6", "5"]
    assert looked == [each["id"] for each in found["data"]]
    assert found["has_more"]


@pytest.mark.parametrize("path", ["/v1/conversations", f"/v1/conversations/{ID}/items"])
def test_a_body_that_is_larger_than_a_conversation_may_be_is_not_decoded(path, monkeypatch):
    async def run():
        monkeypatch.setattr(conversation_answers, "_decode", lambda _: pytest.fail("it was decoded"))
        call, asker = asked({"items": [{"role": "user", "content": "x" * (1 << 20)}]}, path), Asker()
        store = stored(Client())
        answer_conversation(call, store, asker)
        assert asker.error.code == "request_too_large"
        assert store._meter.told == [("change", "too_large")]

    asyncio.run(run())


@pytest.mark.parametrize(("trouble", "count"), [("unready", 1), ("lost", 1), ("", 0)])
def test_a_deletion_of_which_nothing_is_known_is_counted_as_such(trouble, count):
    async def run():
        store, told = stored(Client(trouble)), []
        assert (delete(store, place_of(made(), ID), told.append) is None) is (trouble == "unready")
        await asyncio.sleep(0.01)
        assert store._meter.told.count(("delete", "unavailable")) == count
        assert told == {"unready": [], "lost": [None], "": [0]}[trouble]

    asyncio.run(run())


def test_a_count_of_tokens_with_a_conversation_that_is_not_there_names_the_field():
    async def run():
        told = asyncio.get_running_loop().create_future()
        call = asked({"model": "m", "input": "x", "conversation": ID}, "/v1/responses/input_tokens")
        assert begin(stored(Client()), call, Slices(), lambda _reading, _seen, error: told.set_result(error))
        error = await told
        assert (error.status, error.param) == (404, "conversation")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ([{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_1"}], True),
        ([{"role": "user", "content": "x", "type": "message", "kinds": ["item_reference"]}], False),
        ("item_reference", False),
        (["item_reference"], False),
    ],
)
def test_an_item_that_is_kept_at_a_provider_has_no_place_in_a_conversation(given, refused):
    """A translation refuses such items; a provider that keeps them takes them."""

    async def run():
        told = []
        call = asked({"model": "m", "input": given, "conversation": ID}, "/v1/responses")
        assert begin(stored(Client()), call, Slices(), lambda _reading, _seen, error: told.append(error))
        assert [error.param for error in told] == (["input"] if refused else [])

    asyncio.run(run())
