"""The hooks: tells those who observe."""

from __future__ import annotations

from edge.hooks import FailedAttempt, Observer, Recorder, RequestRecord
from edge.memo import Memo

__all__ = ["Fanout"]

KINDS = 1024
"""Kinds of requests that are remembered: clients choose the names in them."""


class Fanout:
    """Tells several observers. What each does for a kind of request is found once."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._kinds: Memo[tuple[object, ...], tuple[Recorder, ...]] = Memo(KINDS)

    def request_done(self, record: RequestRecord) -> None:
        kind = record.kind()
        recorders = self._kinds.get(kind)
        if recorders is None:
            recorders = self._kinds.keep(kind, self._recorders(record))
        for recorder in recorders:
            tell(recorder, record)

    def _recorders(self, record: RequestRecord) -> tuple[Recorder, ...]:
        found = [observer.recorder(record) for observer in self._observers]
        return tuple(recorder for recorder in found if recorder is not None)

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        for observer in self._observers:
            observer.attempt_failed(attempt)


def tell(recorder: Recorder, record: RequestRecord) -> None:
    recorder.done(record)
