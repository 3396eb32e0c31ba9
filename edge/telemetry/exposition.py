"""What the slots say, in the two forms that Prometheus reads: its text format, and OpenMetrics.

https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md,
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from edge._fast import COUNTER, HISTOGRAM, Slots
from edge.telemetry.families import DROPPED, DROPPED_HELP, FAMILIES, NUMBERS, Family

__all__ = ["OPEN", "OPEN_TYPE", "TEXT_TYPE", "Exemplar", "Exemplars", "Exposition"]

TEXT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
OPEN = b"application/openmetrics-text"
OPEN_TYPE = OPEN + b"; version=1.0.0; charset=utf-8"
OTHER = "_other"
PATIENCE = 1000
"""Attempts to read, a millisecond apart. Folding a region takes a few milliseconds at most."""
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


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
        for number, labels, values in self._series()[0]:
            if number in wanted:
                yield wanted[number], labels, values

    def _families(self, exemplars: Exemplars | None) -> Iterator[bytes]:
        series, dropped = self._series()
        found: list[list[tuple[list[str], list[float]]]] = [[] for _ in FAMILIES]
        for number, labels, values in series:
            found[number].append((labels, values))
        for number, family in enumerate(FAMILIES):
            lines = head(family.name, family.help, kind_of(family), exemplars is not None)
            for labels, values in sorted(found[number]):
                if values[0] != values[0]:  # nobody knows it now
                    continue
                if family.kind == HISTOGRAM:
                    histogram(lines, number, family, labels, values, exemplars)
                else:
                    lines.append(f"{family.name}{braced(family.labels, labels)} {values[0]!r}\n")
            yield "".join(lines).encode()
        lines = head(DROPPED, DROPPED_HELP, "counter", exemplars is not None)
        for number, family in enumerate(FAMILIES):
            lines.append(f'{DROPPED}{{metric="{family.name}"}} {dropped.get(number, 0.0)!r}\n')
        yield "".join(lines).encode()

    def _series(self) -> tuple[list[tuple[int, list[str], list[float]]], dict[int, float]]:
        series, dropped = self._read()
        told = []
        for number, _, labels, values in series:
            if labels is not None:
                told.append((number, msgspec.json.decode(labels, type=list[str]), values))
            elif any(values):
                told.append((number, [OTHER] * len(FAMILIES[number].labels), values))
        return told, dropped

    def _read(self) -> tuple[list[tuple[int, int, bytes | None, list[float]]], dict[int, float]]:
        for _ in range(PATIENCE):
            read = self._slots.read()
            if read is not None:
                return read
            time.sleep(0.001)
        raise TimeoutError("the metrics are being folded, and that does not end")


def kind_of(family: Family) -> str:
    return {COUNTER: "counter", HISTOGRAM: "histogram"}.get(family.kind, "gauge")


def head(name: str, said: str, kind: str, is_open: bool) -> list[str]:
    """The lines before a family's samples. OpenMetrics calls a counter by what its samples are called without their
    ending.
    """
    name = name.removesuffix("_total") if is_open and kind == "counter" else name
    return [f"# HELP {name} {said}\n# TYPE {name} {kind}\n"]


def pairs(names: tuple[str, ...], values: list[str]) -> list[str]:
    return [f'{name}="{value.translate(ESCAPES)}"' for name, value in zip(names, values, strict=True)]


def braced(names: tuple[str, ...], values: list[str]) -> str:
    return f"{{{','.join(sorted(pairs(names, values)))}}}" if names else ""


def histogram(
    lines: list[str],
    number: int,
    family: Family,
    labels: list[str],
    values: list[float],
    exemplars: Exemplars | None,
) -> None:
    """The samples of one histogram. `values` are its buckets, each for itself, then the sum."""
    said = sorted(pairs(family.labels, labels))
    place = sum(pair < "le" for pair in said)  # labels stand in the order of their names
    before, after = "".join(f"{pair}," for pair in said[:place]), "".join(f",{pair}" for pair in said[place:])
    name = family.name
    count = 0.0
    for bucket, value in enumerate(values[:-1]):
        count += value
        bound = repr(float(family.bounds[bucket])) if bucket < len(family.bounds) else "+Inf"
        exemplar = exemplars.get((number, tuple(labels), bucket)) if exemplars else None
        told = ""
        if exemplar is not None:
            told = f' # {{trace_id="{exemplar.trace_id}"}} {exemplar.value!r} {exemplar.at!r}'
        lines.append(f'{name}_bucket{{{before}le="{bound}"{after}}} {count!r}{told}\n')
    labelled = f"{{{','.join(said)}}}" if said else ""
    lines.append(f"{name}_count{labelled} {count!r}\n{name}_sum{labelled} {values[-1]!r}\n")
