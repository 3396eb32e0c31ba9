"""What becomes of each field, and of each member of each union, that the SDKs' types of answers have, and of streams."""

from __future__ import annotations

import json
from functools import cache
from random import Random

import pytest
from pydantic import ValidationError

from edge.dialects.sealed import Seal
from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from edge.errors import UpstreamBadResponse
from tests.unit.every_answer import answers, streamed
from tests.unit.responses_back import RESPONSE, response_of
from tests.unit.translating import COMPLETION, MESSAGE, NOW, completion_of, events_of, message_of

pytestmark = [pytest.mark.slow, pytest.mark.once]

SEAL = Seal(b"a secret")
VALID = {"chat": COMPLETION, "messages": MESSAGE, "responses": RESPONSE}
TOGETHER = {"chat": completion_of, "messages": message_of, "responses": response_of}
ENDS = (b"message_stop", b"response.completed", b"response.incomplete")
WAYS = sorted(TRANSLATORS)


def context():
    echo = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    return Context(model="m", request_id="r1", seal=SEAL, include_usage=True, input_tokens=7, echo=echo)


def without_places(answer, client):
    """What an answer says, without what the end of its stream has no place for: for how long what was written is kept."""
    answer = json.loads(json.dumps(answer))
    if client == "messages":
        answer["usage"].pop("cache_creation")
    return answer


def is_custom(answer):
    """Whether it calls a custom tool, whose chunks the SDK has no type for."""
    return any(item.get("type") == "custom_tool_call" for item in answer.get("output", ()))


def is_whole(answer):
    return answer.get("status") in (None, "completed", "incomplete") and answer.get("choices") != []


@cache
def whole_and_streamed(provider):
    """The whole answers of an API, each with the events that it comes as. Nothing changes them."""
    return [(answer, tuple(streamed(provider, answer))) for answer in filter(is_whole, answers(provider))]


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_whole_answers_are_read_by_the_clients_sdk_and_streams_say_the_same(way, capsys):
    client, provider = way
    count = 0
    for answer, events in whole_and_streamed(provider):
        made, context_of_stream = context(), context()
        whole = json.loads(TRANSLATORS[way].answer(json.dumps(answer).encode(), made, NOW))
        VALID[client].validate_python(whole)
        count += 1
        if client == "chat" and is_custom(answer):
            continue
        stream = TRANSLATORS[way].stream(context_of_stream, NOW)
        ended = [(b"message", b"[DONE]")] if provider == "chat" else []
        out = b"".join(stream.feed([event]) for event in (*events, *ended)) + stream.finish()
        together = TOGETHER[client](out)
        assert without_places(together, client) == without_places(whole, client), answer
        assert made.warnings == context_of_stream.warnings, answer
    assert count > 100
    with capsys.disabled():
        print(f"\n{provider} for clients of {client}: {count} answers, whole and streamed")


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_a_stream_that_is_cut_off_anywhere_ends_in_an_error(way):
    client, provider = way
    seen = set()
    for _, events in whole_and_streamed(provider):
        shape = tuple(name for name, _ in events)
        if len(events) > 20 or (shape in seen and provider != "chat"):
            continue
        seen.add(shape)
        for cut in range(len(events) - 2):  # behind the finish reason a chat stream is whole
            stream = TRANSLATORS[way].stream(context(), NOW)
            out = stream.feed(events[:cut]) + stream.finish()
            name, data = events_of(out)[-1]
            told = json.loads(data)
            assert name in (b"error", b"response.failed") or (client == "chat" and "error" in told)
            assert all(each not in ENDS and data != b"[DONE]" for each, data in events_of(out))
    assert len(seen) > 0


def broken(events, others, random):
    """The events of a stream with up to three things wrong with them."""
    events = list(events)
    for _ in range(random.randint(1, 3)):
        if not events:
            break
        at = random.randrange(len(events))
        what = random.choice(("drop", "double", "swap", "cut", "insert", "change", "change"))
        if what == "drop":
            del events[at]
        elif what == "double":
            events.insert(at, events[at])
        elif what == "swap":
            other = random.randrange(len(events))
            events[at], events[other] = events[other], events[at]
        elif what == "cut":
            events = events[:at]
        elif what == "insert":
            events.insert(at, random.choice(others))
        elif events[at][1] != b"[DONE]":
            events[at] = (events[at][0], changed(events[at][1], random))
    return events


def changed(data, random):
    value = json.loads(data)
    places = []

    def look(inside):
        for name, each in inside.items() if isinstance(inside, dict) else enumerate(inside):
            if name not in ("id", "model", "name"):
                places.append((inside, name))
            if isinstance(each, dict | list):
                look(each)

    look(value)
    inside, name = random.choice(places)
    inside[name] = random.choice([None, "", 0, -1, [], {}, "zz", True, 1.5, [None], [{}], {"a": 1}])
    return json.dumps(value).encode()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_what_is_wrong_with_a_stream_makes_none_that_its_client_cannot_read(way, seed):
    client, provider = way
    random = Random(seed)
    ended = [(b"message", b"[DONE]")] if provider == "chat" else []
    streams = [[*events, *ended] for _, events in whole_and_streamed(provider)]
    random.shuffle(streams)
    count = 0
    for events, others in zip(streams[:400] * 2, (streams[400:] + streams) * 2, strict=False):
        stream = TRANSLATORS[way].stream(context(), NOW)
        out = b""
        try:
            for event in broken(events, others, random):
                out += stream.feed([event])
            out += stream.finish()
        except UpstreamBadResponse:
            continue
        name, data = events_of(out)[-1]
        if data != b"[DONE]" and name not in ENDS:
            assert name in (b"error", b"response.failed") or b'"error"' in data
            assert all(each not in ENDS and data != b"[DONE]" for each, data in events_of(out))
            continue
        count += 1
        try:
            TOGETHER[client](out)
        except json.JSONDecodeError:
            pass  # arguments of which a piece was lost
        except ValidationError as error:
            # Nor is there a type for chunks of custom calls, or for arguments that are no object.
            assert "should be 'function'" in str(error) or "input" in str(error)
    assert count > 10
