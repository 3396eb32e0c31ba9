"""A trace as it is read: its lines, and what providers answered in it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from edge.telemetry.trace_file import Attempted, Began, Traced

__all__ = ["Answer", "Line", "Recorded", "read_trace"]

Line = Began | Traced | Attempted


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream answered: ``status`` is 0 where none came, ``seconds`` until its end or its failure."""

    status: int
    seconds: float
    first_content_s: float = 0.0


def read_trace(data: bytes) -> list[Line]:
    """The lines of a trace. One that is cut off at the end is left out; raises ValueError for one that is none."""
    seen: Counter[str] = Counter()
    decoder = msgspec.json.Decoder(Line)
    found: list[Line] = []
    lines = data.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            read = decoder.decode(line)
        except msgspec.DecodeError:
            if number < len(lines):
                raise ValueError(f"line {number} is none of a trace") from None
            break
        if not isinstance(read, Began):
            # Clients may give several requests one id.
            before = seen[read.id]
            seen[read.id] += isinstance(read, Traced)
            if before:
                read = msgspec.structs.replace(read, id=f"{read.id}#{before}")
        found.append(read)
    return found


class Recorded:
    """The providers, as the trace has them."""

    def __init__(self, lines: Iterable[Line], seed: int) -> None:
        self._seed = seed
        self._of_request: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        self._of_upstream: dict[str, list[Answer]] = defaultdict(list)
        self._all: list[Answer] = []
        waited: dict[str, float] = defaultdict(float)
        failed: Counter[str] = Counter()
        for line in lines:
            if isinstance(line, Attempted):
                waited[line.id] += line.waited_s
                failed[line.id] += 1
                self._note(line.id, line.provider, line.upstream_model, Answer(line.status, line.waited_s))
            elif isinstance(line, Traced) and line.cache != "joined" and line.attempts > failed.pop(line.id, 0):
                first = max(0.0, line.first_content_s - waited[line.id])
                answer = Answer(line.status, max(0.0, line.upstream_s - waited.pop(line.id, 0)), first)
                self._note(line.id, line.provider, line.upstream_model, answer)

    def _note(self, request: str, provider: str, model: str, answer: Answer) -> None:
        name = f"{provider}/{model}"
        self._of_request[request, name].append(answer)
        self._of_upstream[name].append(answer)
        self._all.append(answer)

    def asked(self, request: str, upstream: str, times: int) -> bool:
        """Whether it was asked more often than so many times: by another key, say, or after a wait."""
        return times < len(self._of_request.get((request, upstream), []))

    def ask(self, request: str, upstream: str, times: int) -> Answer:
        """What an upstream answers to a request, which has asked it so many times before."""
        told = self._of_request.get((request, upstream), [])
        if times < len(told):
            return told[times]
        known = self._of_upstream.get(upstream) or self._all or [Answer(200, 0.0)]
        return random.Random(f"{self._seed}/{request}/{upstream}/{times}").choice(known)
