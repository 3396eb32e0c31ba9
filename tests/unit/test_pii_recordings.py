"""Real answers, with pseudonyms put into their texts, and as they are: what is put back and what is put out."""

from __future__ import annotations

import json
import random
from itertools import pairwise

from edge import config
from edge.guard.answers import Watch
from edge.guard.events import EVENT_END, deltas_of
from edge.guard.policy import Policy
from edge.guard.restore import Restorer
from edge.slices import finished

EMAIL, PEM = "alice@example.com", '-----BEGIN PRIVATE KEY-----\nMIIE"\\\n-----END PRIVATE KEY-----'
A, B = "[EMAIL_BCDFGHJKLM]", "[SECRET_BCDFGHJKLM]"
ORIGINALS = {A: EMAIL, B: PEM}


def events_of(stream):
    ends = [0, *[match.end() for match in EVENT_END.finditer(stream)], len(stream)]
    return [stream[start:end] for start, end in pairwise(ends)]


def told_of(event):
    for line in event.split(b"\n"):
        if line.startswith(b"data: {"):
            return json.loads(line[6:])
    return None


def texts_of(stream):
    """Every text of a stream, as its pieces make it."""
    texts = {}
    for event in events_of(stream):
        for holder, key, channel, nested, _ in deltas_of(told_of(event) or {}):
            texts[channel, nested] = texts.get((channel, nested), "") + holder[key]
    return texts


def seeded(stream, dice):
    """Before each piece of a text some more of pseudonyms, one after the other."""
    made, left = [], {}
    for event in events_of(stream):
        told = told_of(event)
        for holder, key, channel, nested, _ in deltas_of(told or {}):
            if nested is None and holder[key]:
                left[channel] = left.get(channel, "") or dice.choice([A, B, A + B, "[", "[EMAIL_BC "])
                size = dice.randrange(1, 12)
                # What is at hand is told to its end before anything else comes between.
                holder[key] = left[channel][:size]
                left[channel] = left[channel][size:]
        made.append(event if told is None else b"data: " + json.dumps(told).encode() + b"\n\n")
    return b"".join(made)


def meant(text):
    return text.replace(A, EMAIL).replace(B, PEM)


def pieces(data, dice):
    places = sorted({0, len(data), *[dice.randrange(len(data)) for _ in range(dice.randrange(9))]})
    return [data[start:end] for start, end in pairwise(places)]


def test_what_streams_are_seeded_with_is_put_back_exactly(recordings):
    dice, streams, texts = random.Random(7), 0, 0
    for recording in recordings:
        if not recording.is_stream:
            continue
        for _ in range(3):
            stream = seeded(recording.answer, dice)
            restorer = Restorer(ORIGINALS, stream=True)
            made = b"".join([restorer.feed(piece) for piece in pieces(stream, dice)]) + restorer.end()
            expected = {channel: meant(text) for channel, text in texts_of(stream).items()}
            assert texts_of(made) == expected, recording.name
            texts += sum(text.count(EMAIL) + text.count(PEM) for text in expected.values())
        streams += 1
    print(f"{texts} pseudonyms in {streams} recorded streams, three times each, put back; 0 not")
    assert streams > 20
    assert texts > 200


def test_what_whole_answers_are_seeded_with_is_put_back_exactly(recordings):
    count = 0
    for recording in recordings:
        if recording.is_stream or recording.status != 200 or "embeddings" in recording.path:
            continue
        body = recording.answer.decode()
        if "sure" not in body and " the " not in body:
            continue
        written = body.replace(" the ", f" {A} ").encode()
        told = json.loads(Restorer({A: EMAIL}).whole_answer(written, stream=False))
        thought = json.loads(body.replace(" the ", f" {EMAIL} "))
        assert without_thinking(told) == without_thinking(thought), recording.name
        count += written.count(A.encode())
    print(f"{count} pseudonyms in recorded whole answers put back; 0 not")
    assert count > 50


def without_thinking(value):
    if isinstance(value, list):
        return [without_thinking(each) for each in value]
    if isinstance(value, dict):
        return {name: without_thinking(each) for name, each in value.items() if name not in ("thinking", "signature")}
    return value


def test_answers_in_which_nothing_is_found_say_the_same(recordings):
    """Whatever is held back on the way: streams say the same texts, whole answers are the same bytes."""
    dice, same, found = random.Random(8), 0, 0
    policy = Policy("mask", config.Pii())
    for recording in recordings:
        if recording.status != 200 or "embeddings" in recording.path:
            continue
        watch = Watch(policy)
        if recording.is_stream:
            made = b"".join([watch.feed(piece) for piece in pieces(recording.answer, dice)]) + watch.end()
        else:
            made = finished(watch.answer(recording.answer))
        if watch.told:
            found += 1
            continue
        same += 1
        if not recording.is_stream:
            assert made == recording.answer or b'"logprobs"' in recording.answer, recording.name
            continue
        told = {channel: text for channel, text in texts_of(made).items() if text}
        assert told == {channel: text for channel, text in texts_of(recording.answer).items() if text}, recording.name
    print(f"{same} recorded answers say what they said, {found} have something in them")
    assert same > 100
