"""The hooks: tells those who observe."""

from __future__ import annotations

from edge.hooks import FailedAttempt, Hooks, Observer, Recorder, RequestRecord
from edge.memo import keep

__all__ = ["Fanout"]

KINDS = 1024
"""Kinds of requests that are remembered: clients choose the names in them."""


class Fanout(Hooks):
    """Tells several observers. What each does for a kind of request is found once."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._kinds: dict[tuple[object, ...], tuple[Recorder, ...]] = {}
        # Most are of the kind of the one before, which is seen at once.
        self._latest: RequestRecord | None = None
        self._told: tuple[Recorder, ...] = ()

    def request_done(self, record: RequestRecord) -> None:
        latest = self._latest
        if latest is None or not latest.alike(record):
            kind = record.kind()
            recorders = self._kinds.get(kind)
            self._told = keep(self._kinds, kind, self._recorders(record), KINDS) if recorders is None else recorders
        self._latest = record
        for recorder in self._told:
            tell(recorder, record)

    def _recorders(self, record: RequestRecord) -> tuple[Recorder, ...]:
        found = [observer.recorder(record) for observer in self._observers]
        return tuple(recorder for recorder in found if recorder is not None)

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        for observer in self._observers:
            observer.attempt_failed(attempt)


def tell(recorder: Recorder, record: RequestRecord) -> None:
    recorder.done(record)
