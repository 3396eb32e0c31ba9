"""Workers by hand whose traces a test keeps."""

from __future__ import annotations

from typing import Any

import edge.telemetry.tracing
from edge.telemetry.spans import Kept, Span
from tests.unit.timed import Timed

__all__ = ["TracedWorker", "named"]


class Collected:
    """In place of the exporter: what it is given, and whether there is room."""

    def __init__(self, endpoint: str, place: str, log: Any) -> None:
        self.endpoint = endpoint
        self.kept: list[Kept] = []
        self.has_room = True
        self.refused = 0
        self.over = False
        self.at_work = True
        self.counts = (0, (0, 0))

    def start(self) -> None:
        pass

    def full(self, spans: int) -> bool:
        self.refused += 0 if self.has_room else spans
        return not self.has_room

    def put(self, kept: Kept) -> None:
        self.kept.append(kept)

    def news(self) -> tuple[int, tuple[int, int]]:
        counts, self.counts = self.counts, (0, (0, 0))
        return counts

    def end(self) -> None:
        self.over = True

    def wait(self) -> None:
        pass


class TracedWorker(Timed):
    """Its traces are in ``kept``."""

    def __init__(self, settings: dict[str, Any], monkeypatch: Any, **tracing: Any) -> None:
        made: list[Collected] = []

        def make(*arguments: Any) -> Collected:
            made.append(Collected(*arguments))
            return made[-1]

        monkeypatch.setattr(edge.telemetry.tracing, "Exporter", make)
        tracing = {"otlp_endpoint": "http://127.0.0.1:4318", "sample": 1.0, **tracing}
        telemetry = {"log": {"level": "error"}, "tracing": tracing}
        super().__init__({**settings, "telemetry": telemetry}, monkeypatch)
        self.run(self.app._tracing.start)
        self.exporters = made

    @property
    def kept(self) -> list[Kept]:
        return self.exporters[-1].kept

    def spans(self, number: int = -1) -> tuple[Span, list[Span]]:
        """The request's own span of one of the traces, and those of its attempts."""
        own, *attempts = self.kept[number].spans
        assert [each.kind for each in (own, *attempts)] == ["SERVER"] + ["CLIENT"] * len(attempts)
        assert {each.parent for each in attempts} <= {own.span_id}
        return own, attempts

    def close(self) -> None:
        self.run(self.app._tracing.stop)
        super().close()


def named(span: Span) -> list[str]:
    """The events of a span, by name."""
    return [event.name for event in span.events]
