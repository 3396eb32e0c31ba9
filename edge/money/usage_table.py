"""What was used, by day, key, tenant and model, in memory that all workers share.

Each worker has a region of rows with a single writer, so that adding takes no lock. Beside each count of a row stands
how much of it is in a file (`edge.money.spend_file`), which the supervisor alone writes: what is not there yet is the
difference, whoever looks, whatever ends in between. A worker that takes a dead one's place goes on with its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["OTHER", "Line", "Row", "UsageTable", "Used"]

ROWS = 4096
"""Of a worker: so many keys times models in two days. What is beyond is counted under `OTHER`."""
SIZE = 512
COUNTS = 4
OTHER = "_other"
MOST = 1 << 62
"""No count is above, so that none is more than its word holds."""

# Of a region: its header, of which the words are how many rows are in use, how often one has changed and, in the first,
# how often writing to the file has begun or ended; its rows. Of a
# row: the day (0: free), the counts, as much of them as is in the file, the length of the names, the names.
USED, CHANGES, WRITES = 0, 1, 2
DAY, FIRST, WRITTEN, LENGTH, TEXT = 0, 1, 1 + COUNTS, 1 + 2 * COUNTS, 2 + 2 * COUNTS
WORDS = SIZE // 8
MAX_TEXT = SIZE - 8 * TEXT
REGION = SIZE * (ROWS + 1)


class Used(NamedTuple):
    """Requests that were let through, tokens that they used, and what that cost in 1e-12 USD."""

    requests: int
    input: int
    output: int
    cost: int

    def plus(self, other: Used) -> Used:
        return Used(*[one + another for one, another in zip(self, other, strict=True)])


class Row(NamedTuple):
    """``day`` is counted from 1970-01-01, by UTC."""

    day: int
    key: str
    tenant: str
    model: str


class Line:
    """Where a row of this process is, as long as ``day`` is the row's: -1 from then on."""

    def __init__(self, row: Row, at: int) -> None:
        self.row = row
        self.day = row.day
        self.at = at


class UsageTable:
    """`memory` is a writable buffer of ``UsageTable.size(regions)`` bytes, zeros at first; `region` is this process's
    own, from 1, 0 for who only looks.
    """

    def __init__(self, memory: object, regions: int, region: int = 0) -> None:
        raw = memoryview(memory).cast("B")  # type: ignore[arg-type]
        if len(raw) < self.size(regions) or not 0 <= region <= regions:
            raise ValueError(f"{self.size(regions)} writable bytes are needed, and a region of {regions}")
        self._raw = raw
        self._words = raw[: self.size(regions)].cast("q")
        self._regions = regions
        self._base = (region - 1) * (REGION // 8)
        self._known: dict[Row, Line] = {}
        self._seen = [-1] * regions
        if region:
            self._known = {row: Line(row, at) for row, at in self._rows(region - 1)}

    @staticmethod
    def size(regions: int) -> int:
        """Bytes of memory for so many regions."""
        return REGION * regions

    # Of who writes.

    def line(self, row: Row) -> Line:
        """Where that is counted: it may be another's row, where there are too many."""
        line = self._known.get(row)
        return self._open(row) if line is None else line

    def enter(self, line: Line, requests: int, input_tokens: int, output_tokens: int, cost: int) -> None:
        """So much more was used, of each what is above 0."""
        first = line.at + FIRST
        self._add(first, requests)
        self._add(first + 1, input_tokens)
        self._add(first + 2, output_tokens)
        self._add(first + 3, cost)
        self._words[self._base + CHANGES] += 1

    def _add(self, word: int, more: int) -> None:
        if more > 0:
            self._words[word] = min(self._words[word] + more, MOST)

    def _kept(self, at: int) -> bool:
        """Whether the file has all of a row: nobody is about to write it, nor to note that it is written."""
        words = self._words
        return all(words[at + FIRST + number] == words[at + WRITTEN + number] for number in range(COUNTS))

    def _open(self, row: Row) -> Line:
        """A row for these names: one that is free, or of a day that is over for long and in the file."""
        base, words = self._base, self._words
        count = words[base + USED]
        at = 0
        if count < ROWS - 1:
            at = base + WORDS * (count + 1)
            words[base + USED] = count + 1
        else:
            old = [each for each in self._known.values() if each.row.day < row.day - 1 and self._kept(each.at)]
            if old:
                at = self._give_up(old[0])
            else:
                at = base + WORDS * ROWS  # the last one is kept for these
                row = Row(row.day, OTHER, OTHER, OTHER)
                last = next((each for each in self._known.values() if each.at == at), None)
                if last is not None:
                    if last.row == row or not self._kept(at):
                        return last  # for a second of another day, which is better than not at all
                    self._give_up(last)
        text = "\0".join(row[1:]).encode()[:MAX_TEXT]
        words[at + DAY] = 0
        for word in range(at + FIRST, at + LENGTH):
            words[word] = 0
        self._raw[8 * (at + TEXT) : 8 * (at + TEXT) + len(text)] = text
        words[at + LENGTH] = len(text)
        words[at + DAY] = row.day
        line = self._known[row] = Line(row, at)
        return line

    def _give_up(self, line: Line) -> int:
        """The word of a row that is to be another's."""
        del self._known[line.row]
        line.day = -1
        return line.at

    # Of who looks.

    def _rows(self, region: int) -> Iterator[tuple[Row, int]]:
        words, base = self._words, region * (REGION // 8)
        numbers = [*range(1, min(words[base + USED], ROWS - 1) + 1), ROWS]
        for number in numbers:
            at = base + WORDS * number
            if words[at + DAY]:
                begin = 8 * (at + TEXT)
                names = bytes(self._raw[begin : begin + words[at + LENGTH]]).decode("utf-8", "replace")
                key, tenant, model = f"{names}\0\0".split("\0")[:3]
                yield Row(words[at + DAY], key, tenant, model), at

    def unwritten(self) -> dict[Row, Used]:
        """What is not in the file yet."""
        found: dict[Row, Used] = {}
        words = self._words
        for region in range(self._regions):
            for row, at in self._rows(region):
                used = Used(*[words[at + FIRST + n] - words[at + WRITTEN + n] for n in range(COUNTS)])
                if any(used):
                    found[row] = used.plus(found[row]) if row in found else used
        return found

    @property
    def writes(self) -> int:
        """Odd while what is new is being written to the file; another number when it has been."""
        return int(self._words[WRITES])

    # Of the supervisor.

    def changes(self) -> list[tuple[int, Row, Used]]:
        """What is not in the file yet, row by row, if there is more than before; `written` follows, or `again`."""
        found: list[tuple[int, Row, Used]] = []
        words = self._words
        for region in range(self._regions):
            changes = words[region * (REGION // 8) + CHANGES]
            if changes == self._seen[region]:
                continue
            self._seen[region] = changes
            for row, at in self._rows(region):
                used = Used(*[words[at + FIRST + n] - words[at + WRITTEN + n] for n in range(COUNTS)])
                if any(used):
                    found.append((at, row, used))
        if found:
            words[WRITES] += 1
        return found

    def written(self, changes: list[tuple[int, Row, Used]]) -> None:
        """These are in the file now."""
        for at, _, used in changes:
            for number, amount in enumerate(used):
                self._words[at + WRITTEN + number] += amount
        self._words[WRITES] += 1

    def again(self) -> None:
        """They are not: look at everything the next time."""
        self._words[WRITES] += 1
        self._seen = [-1] * self._regions
