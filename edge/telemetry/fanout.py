"""The hooks: tells those who observe."""

from __future__ import annotations

from edge.hooks import FailedAttempt, Hooks, Observer, Recorder, RequestRecord
from edge.memo import keep

__all__ = ["Fanout"]

KINDS = 1024
"""Kinds of requests that are remembered: clients choose the names in them."""
MODELS = 64
"""Models of which the latest request is remembered: as many as an alias may have."""


class Latest:
    """A request, and who was told of it."""

    def __init__(self, record: RequestRecord, told: tuple[Recorder, ...]) -> None:
        self.record = record
        self.told = told


class Fanout(Hooks):
    """Tells several observers. What each does for a kind of request is found once."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._kinds: dict[tuple[object, ...], tuple[Recorder, ...]] = {}
        # Most are of the kind of the one before that the same model has answered, which is seen at once.
        self._latest: dict[str, Latest] = {}

    def request_done(self, record: RequestRecord) -> None:
        latest = self._latest.get(record.upstream_model)
        if latest is None or not latest.record.alike(record):
            kind = record.kind()
            told = self._kinds.get(kind)
            if told is None:
                told = keep(self._kinds, kind, self._recorders(record), KINDS)
            latest = keep(self._latest, record.upstream_model, Latest(record, told), MODELS)
        for recorder in latest.told:
            tell(recorder, record)

    def _recorders(self, record: RequestRecord) -> tuple[Recorder, ...]:
        found = [observer.recorder(record) for observer in self._observers]
        return tuple(recorder for recorder in found if recorder is not None)

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        for observer in self._observers:
            observer.attempt_failed(attempt)


def tell(recorder: Recorder, record: RequestRecord) -> None:
    recorder.done(record)
