"""What the slots say, in the two forms that Prometheus reads: its text format, and OpenMetrics.

https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md,
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import accumulate
from time import perf_counter
from typing import NamedTuple

import msgspec

from edge._fast import COUNTER, HISTOGRAM, Slots, add_region, series_of
from edge.telemetry.families import DROPPED, DROPPED_HELP, FAMILIES, NUMBERS, Family

__all__ = ["OPEN", "OPEN_TYPE", "OTHER", "TEXT_TYPE", "Exemplar", "Exemplars", "Exposition"]

TEXT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
OPEN = b"application/openmetrics-text"
OPEN_TYPE = OPEN + b"; version=1.0.0; charset=utf-8"
OTHER = "_other"
PATIENCE = 1000
"""Attempts to read, a millisecond apart. Folding a region takes a few milliseconds at most."""
WORK_S, REST_S = 0.001, 0.0002
"""After so much work of a thread, others have so much time to take over."""
BEFORE, AFTER, LABELS = "\x00", "\x01", "\x02"
"""In a form, in place of the labels before and after the bucket's bound, and of all of them."""
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

_decode = msgspec.json.Decoder(list[str]).decode


class Exemplar(NamedTuple):
    """A trace of one request that a bucket counts; ``at`` is in seconds of the wall clock."""

    trace_id: str
    value: float
    at: float


Exemplars = Mapping[tuple[int, tuple[str, ...], int], Exemplar]
"""By the metric's number, the labels of the series and the number of the bucket."""


class Exposition:
    """Reads `slots`, of all processes and as of one moment."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return b"".join(self._families(None))

    def open(self, exemplars: Exemplars) -> bytes:
        """All metrics in OpenMetrics."""
        return b"".join((*self._families(exemplars), b"# EOF\n"))

    def series(self, *names: str) -> Iterator[tuple[str, list[str], list[float]]]:
        """Each series of some metrics as of one moment: the name, the labels, the values. A counter or gauge has one, a
        histogram its buckets, each for itself, and the sum.
        """
        wanted = {NUMBERS[name]: name for name in names}
        for number, labels, values in self._series(Pace())[0]:
            if number in wanted:
                yield wanted[number], labels, values

    def _families(self, exemplars: Exemplars | None) -> Iterator[bytes]:
        pace = Pace()
        series, dropped = self._series(pace)
        found: list[list[tuple[list[str], list[float]]]] = [[] for _ in FAMILIES]
        for number, labels, values in series:
            found[number].append((labels, values))
        named = by_series(exemplars)
        for number, (family, form) in enumerate(zip(FAMILIES, FORMS, strict=True)):
            lines = [head(family.name, family.help, kind_of(family), exemplars is not None)]
            for labels, values in sorted(found[number]):
                if values[0] != values[0]:  # nobody knows it now
                    continue
                text = form.of(labels, values)
                traced = named.get((number, tuple(labels))) if named else None
                lines.append(text if traced is None else with_exemplars(text, traced))
                pace.step()
            yield "".join(lines).encode()
        lines = [head(DROPPED, DROPPED_HELP, "counter", exemplars is not None)]
        for number, family in enumerate(FAMILIES):
            lines.append(f'{DROPPED}{{metric="{family.name}"}} {dropped.get(number, 0.0)!r}\n')
        yield "".join(lines).encode()

    def _series(self, pace: Pace) -> tuple[list[tuple[int, list[str], list[float]]], dict[int, float]]:
        merged: dict[object, object] = {}
        dropped: dict[int, float] = {}
        for copy in self._copies():
            begin = 0
            while begin >= 0:
                begin = add_region(copy, merged, dropped, begin)
                pace.step()
        series = []
        for number, _, labels, values in series_of(merged):
            if labels is not None:
                series.append((number, _decode(labels), values))
            elif any(values):
                series.append((number, [OTHER] * len(FAMILIES[number].labels), values))
            pace.step()
        return series, dropped

    def _copies(self) -> list[bytes]:
        for _ in range(PATIENCE):
            copies = self._slots.copies()
            if copies is not None:
                return copies
            time.sleep(0.001)
        raise TimeoutError("the metrics are being folded, and that does not end")


class Pace:
    """Lets others of this process go on in between: a thread that works has the interpreter for 5 ms otherwise, and a
    loop that serves beside it waits.
    """

    def __init__(self) -> None:
        self._until = perf_counter() + WORK_S

    def step(self) -> None:
        if perf_counter() >= self._until:
            time.sleep(REST_S)
            self._until = perf_counter() + WORK_S


class Form:
    """How the samples of a family are written. What is the same for all its series is put together once."""

    def __init__(self, family: Family) -> None:
        self._counts = family.kind == HISTOGRAM
        order = sorted(range(len(family.labels)), key=family.labels.__getitem__)
        self._names = [(place, family.labels[place]) for place in order]  # labels stand in the order of their names
        self._before = sum(name < "le" for _, name in self._names)
        name = family.name
        if not self._counts:
            self._text = name
            return
        bounds = [*(repr(float(bound)) for bound in family.bounds), "+Inf"]
        buckets = "".join(f'{name}_bucket{{{BEFORE}le="{bound}"{AFTER}}} %d\n' for bound in bounds)
        self._text = f"{buckets}{name}_count{LABELS} %d\n{name}_sum{LABELS} %r\n"

    def of(self, labels: list[str], values: list[float]) -> str:
        """The samples of one series; a histogram's `values` are its buckets, each for itself, then the sum."""
        said = [f'{name}="{labels[place].translate(ESCAPES)}"' for place, name in self._names]
        whole = f"{{{','.join(said)}}}" if said else ""
        if not self._counts:
            return f"{self._text}{whole} {values[0]!r}\n"
        before = "".join([f"{pair}," for pair in said[: self._before]])
        after = "".join([f",{pair}" for pair in said[self._before :]])
        text = self._text
        for mark, part in ((BEFORE, before), (AFTER, after), (LABELS, whole)):
            text = text.replace(mark, part.replace("%", "%%"))
        counts = [*accumulate(values[:-1])]
        return text % (*counts, counts[-1], values[-1])


FORMS = [Form(family) for family in FAMILIES]


def by_series(exemplars: Exemplars | None) -> dict[tuple[int, tuple[str, ...]], dict[int, Exemplar]]:
    """By the metric's number and the labels: the exemplars by the numbers of their buckets."""
    found: dict[tuple[int, tuple[str, ...]], dict[int, Exemplar]] = {}
    for (number, labels, bucket), exemplar in dict(exemplars or {}).items():
        found.setdefault((number, labels), {})[bucket] = exemplar
    return found


def with_exemplars(text: str, exemplars: dict[int, Exemplar]) -> str:
    """A histogram's samples, of which the buckets come first, with the exemplars of these."""
    lines = text.split("\n")
    for bucket, exemplar in exemplars.items():
        lines[bucket] += f' # {{trace_id="{exemplar.trace_id}"}} {exemplar.value!r} {exemplar.at!r}'
    return "\n".join(lines)


def kind_of(family: Family) -> str:
    return {COUNTER: "counter", HISTOGRAM: "histogram"}.get(family.kind, "gauge")


def head(name: str, said: str, kind: str, is_open: bool) -> str:
    """The lines before a family's samples. OpenMetrics calls a counter by what its samples are called without their
    ending.
    """
    name = name.removesuffix("_total") if is_open and kind == "counter" else name
    return f"# HELP {name} {said}\n# TYPE {name} {kind}\n"
