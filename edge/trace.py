"""A trace as it is read: its lines, and what providers answered in it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from edge.telemetry.trace_file import FORMAT, SECOND_NS, Began, Traced, Try

__all__ = ["Answer", "Line", "Recorded", "boots", "read_trace"]

Line = Began | Traced
LATE_NS = 10 * SECOND_NS
"""So much later than another line one that was made before it may be written."""
OLD = "line {} was written in the first format, whose times are not exact: format {} is read here, so record anew"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream answered: as in `Try`, with times in seconds from the request to it. ``content_s`` is 0.0 where
    no stream began, ``refused_s`` where there was no refusal.
    """

    status: int
    seconds: float
    content_s: float = 0.0
    refused_s: float = 0.0
    health: str = "ok"
    after_s: float = -1.0
    asked_s: float = 0.0
    error: str = ""
    kind: str = ""
    turned: int = 0

    @classmethod
    def of(cls, told: Try) -> Answer:
        ends = (told.ended_ns, told.content_ns, told.refused_ns)
        seconds, content, refused = [max(0, end - told.begun_ns) / SECOND_NS if end else 0.0 for end in ends]
        said = told.health, told.after_s, told.asked_s, told.error, told.kind, told.turned
        return cls(told.status, seconds, content, refused, *said)


def read_trace(data: bytes) -> list[Line]:
    """The lines of a trace. One that is cut off at the end is left out; raises ValueError for one that is none, or that
    was written in another format.
    """
    seen: Counter[str] = Counter()
    decoder = msgspec.json.Decoder(Line)
    found: list[Line] = []
    lines = data.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            read = decoder.decode(line)
        except msgspec.DecodeError:
            if is_old(line):
                raise ValueError(OLD.format(number, FORMAT)) from None
            if number < len(lines):
                raise ValueError(f"line {number} is none of a trace") from None
            break
        if isinstance(read, Began) and read.format != FORMAT:
            raise ValueError(f"line {number} says that the trace is of format {read.format}: {FORMAT} is read here")
        if not isinstance(read, Began):
            # Clients may give several requests one id.
            before = seen[read.id]
            seen[read.id] += 1
            if before:
                read = msgspec.structs.replace(read, id=f"{read.id}#{before}")
        found.append(read)
    return found


def is_old(line: bytes) -> bool:
    """Whether a line is one of format 1, which had its time in seconds and no number."""
    try:
        read = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return isinstance(read, dict) and read.get("event") in ("began", "request") and "at" in read


def boots(lines: Iterable[Line]) -> list[list[Line]]:
    """The lines between two starts of the machine, whose clock begins anew then."""
    found = [Boot()]
    for line in lines:
        if isinstance(line, Began) and found[-1].is_over(line):
            found.append(Boot())
        found[-1].add(line)
    return [boot.lines for boot in found]


class Boot:
    """The lines since a start of the machine."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._latest: dict[int, int] = {}
        self._started: float | None = None

    def add(self, line: Line) -> None:
        now = line.clock_ns if isinstance(line, Began) else line.at_ns
        if isinstance(line, Began):
            self._started = line.at - now / SECOND_NS if self._started is None else self._started
        self._latest[line.worker] = max(now, self._latest.get(line.worker, now))
        self.lines.append(line)

    def is_over(self, began: Began) -> bool:
        """Whether a worker began after the machine was started anew: its clock was then behind that of the worker of
        its number before it; or behind that of any, though not by the clock on the wall. A line comes a little late, so
        one that only stands behind a later one says nothing.
        """
        if began.clock_ns < self._latest.get(began.worker, 0):
            return True
        latest = max(self._latest.values(), default=0)
        if began.clock_ns >= latest:
            return False
        if self._started is None:
            return began.clock_ns < latest - LATE_NS
        return began.at > self._started + latest / SECOND_NS


class Recorded:
    """The providers, as the trace has them."""

    def __init__(self, lines: Iterable[Line], seed: int) -> None:
        self._seed = seed
        self._of_request: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        self._of_upstream: dict[str, list[Answer]] = defaultdict(list)
        self._all: list[Answer] = []
        for line in lines:
            if isinstance(line, Traced):
                for told in line.tries:
                    self._note(line.id, told.provider, told.model, Answer.of(told))

    def _note(self, request: str, provider: str, model: str, answer: Answer) -> None:
        name = f"{provider}/{model}"
        self._of_request[request, name].append(answer)
        self._of_upstream[name].append(answer)
        self._all.append(answer)

    def ask(self, request: str, upstream: str, times: int) -> Answer:
        """What an upstream answers to a request, which has asked it so many times before."""
        told = self._of_request.get((request, upstream), [])
        if times < len(told):
            return told[times]
        known = self._of_upstream.get(upstream) or self._all or [Answer(200, 0.0)]
        return random.Random(f"{self._seed}/{request}/{upstream}/{times}").choice(known)
