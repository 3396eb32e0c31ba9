"""Real exchanges, where EDGE_RECORDINGS names their folder: as they were, and each half across a translation."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.conftest import Recording, read_recordings
from tests.harness import answer, chunked
from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, MESSAGES, body_for

CROSS = {CHAT: (MESSAGES, "anthropic/claude-sonnet-5"), MESSAGES: (CHAT, "openai/gpt-4o")}
"""By the path of a recording: the other dialect's, and a model that lives there."""
OWN_MODEL = {CHAT: "openai/gpt-4o", MESSAGES: "anthropic/claude-sonnet-5"}


def reply_of(recording: Recording) -> bytes:
    if recording.is_stream:
        events = [event + b"\n\n" for event in recording.answer.split(b"\n\n") if event]
        return chunked(events, recording.content_type)
    return answer(recording.answer, recording.status, recording.content_type)


def passed(recording: Recording):
    def play(p: Play) -> None:
        for upstream in ("openai", "anthropic"):
            p.script(upstream, reply_of(recording))
        p.client().post(recording.path, recording.body, "anthropic-version: 2023-06-01")

    return play


def there(recording: Recording, path: str):
    """The request, asked of the simulator in the other dialect."""

    def play(p: Play) -> None:
        body = json.dumps({**recording.request, "model": CROSS[path][1]}, ensure_ascii=False).encode()
        p.client().post(recording.path, body)

    return play


def back(recording: Recording, path: str):
    """The answer, to a client of the other dialect."""

    def play(p: Play) -> None:
        for upstream in ("openai", "anthropic"):
            p.script(upstream, reply_of(recording))
        more = {"stream": True} if recording.is_stream else {}
        p.client().post(CROSS[path][0], body_for(CROSS[path][0], OWN_MODEL[path], p.said, **more))

    return play


def cases() -> Iterator[Case]:
    for number, recording in enumerate(read_recordings()):
        path = recording.path.partition("?")[0]
        title = f"{number:03}{recording.path.partition('?')[0].removeprefix('/v1')}"
        yield Case("plain", f"recorded/passed/{title}", passed(recording))
        if path in CROSS:
            yield Case("plain", f"recorded/there/{title}", there(recording, path))
            yield Case("plain", f"recorded/back/{title}", back(recording, path))
