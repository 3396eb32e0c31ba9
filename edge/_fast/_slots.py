"""Counters, gauges and histograms in memory that several processes share.

The memory holds one region for each process that writes, and region 0 for what ended processes have left. A region has
a single writer, so adding takes no lock and no atomic instruction: an aligned 8-byte store is never seen in halves.

A region is a list of entries that only grows: which metric, which label set (bytes that only the caller understands),
and the slots with the values. An entry counts from the moment at which the region's length covers it, and the length is
stored last, so a reader never sees an entry that is half written, nor does what a killed process left half written
matter. Readers add up all regions by metric and label set.

When a process has ended, :meth:`Slots.fold` adds its region to region 0 and empties it for the next process. Meanwhile
the sequence number in the memory's first word is odd; a reader that finds it odd, or changed, reads again. So no total
is ever seen to go back, or with a part counted twice.

The pure build has no memory barriers: on processors that reorder stores (not x86) it relies on the interpreter's many
instructions between two of them.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import add
from typing import Any

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.memoryview import PyMemoryView_GET_BUFFER
    from cython.cimports.edge._fast._atomics import fence, load_acquire, store_release
    from cython.cimports.edge._fast._buckets import below

__all__ = [
    "COUNTER",
    "GAUGE",
    "GAUGE_MAX",
    "GAUGE_MIN",
    "HISTOGRAM",
    "Counter",
    "Histogram",
    "Series",
    "SlotWriter",
    "Slots",
    "add_region",
    "series_of",
]

COUNTER = 1
HISTOGRAM = 2
GAUGE = 3
GAUGE_MAX = 4
GAUGE_MIN = 5
"""Kinds of metrics. The regions' values are added; those of GAUGE_MAX give the largest, those of GAUGE_MIN the
smallest, where one that is not a number says nothing. What a process leaves behind when it ends are its counters and
histograms."""

MAX_BOUNDS = 32

# Words of 8 bytes: the sequence number, alone in its cache line, then the regions.
SEQUENCE = 0
HEAD = 8
# A region: how many words of entries it has, entries.
USED = 0
ENTRIES = 1
# An entry: what it is, how many bytes its labels have, these (padded), slots. What it is: the metric's number in bits
# 0-15, its kind in 16-23, whether it takes the label sets beyond the cap in 24, how many slots it has in 32-47. That
# one has a slot more, for how many times a label set found no room.
OTHER = 1 << 24

ATTEMPTS = 100
PART = 256
"""Entries that are added up in one go: a part of a millisecond's work."""


@cython.cclass
class Slots:
    """The memory and its regions.

    `memory` is a writable buffer of ``Slots.size(regions, region_bytes)`` zero bytes at an address that is a multiple
    of 8: an anonymous ``mmap`` made before the processes are forked, or a bytearray for one process. `regions` counts
    those for processes, numbered from 1; region 0 is four times as large. Raises ValueError.
    """

    _raw: Any
    _words: Any
    _numbers: Any
    _base: dict
    _region_words: cython.Py_ssize_t
    _regions: cython.Py_ssize_t
    _size: cython.Py_ssize_t
    _first: cython.p_longlong

    def __init__(self, memory: object, regions: int, region_bytes: int = 1 << 20) -> None:
        size: cython.Py_ssize_t = Slots.size(regions, region_bytes)
        self._raw = memoryview(memory).cast("B")  # type: ignore[arg-type]
        if self._raw.readonly or len(self._raw) < size:
            raise ValueError(f"{size} writable bytes are needed")
        self._raw = self._raw[:size]
        self._words = self._raw.cast("q")
        self._numbers = self._raw.cast("d")
        self._base = {}
        self._region_words = region_bytes // 8
        self._regions = regions
        self._size = size // 8
        if cython.compiled:
            self._first = cython.cast(cython.p_longlong, PyMemoryView_GET_BUFFER(self._raw).buf)
            if cython.cast(cython.size_t, self._first) % 8:
                raise ValueError("the memory's address is not a multiple of 8")

    @staticmethod
    def size(regions: int, region_bytes: int = 1 << 20) -> int:
        """How many bytes of memory these regions take. Raises ValueError."""
        if regions < 1 or region_bytes < 64 or region_bytes % 8:
            raise ValueError("at least one region of at least 64 bytes, a multiple of 8")
        return HEAD * 8 + region_bytes * (regions + 4)

    def read(self) -> tuple[list[tuple[int, int, bytes | None, list[float]]], dict[int, float]] | None:
        """All regions added up; None while a region is being folded: the caller tries again a moment later.

        The series, each a metric's number, its kind, its labels (None for the label sets beyond the cap) and its values
        (one; of a histogram the buckets, not cumulative, then the sum), and by the number of each metric how many times
        a label set of it found no room.
        """
        copies: list | None = self.copies()
        if copies is None:
            return None
        merged: dict = {}
        dropped: dict = {}
        for copy in copies:
            begin: int = 0
            while begin >= 0:
                begin = add_region(copy, merged, dropped, begin)
        return series_of(merged), dropped

    def fold(self, region: int) -> None:
        """Add a region to region 0 and empty it, its process having ended. Only one process may call this, the parent
        of those that write. Raises ValueError for a region that there is not.
        """
        start: cython.Py_ssize_t = self._start(region)
        if region == 0:
            raise ValueError("region 0 cannot be folded")
        copy: bytes = self._copy(region)
        numbers = memoryview(copy).cast("d")
        # The places first: new entries of zeros change no total, so that readers need to wait for the additions alone.
        moves: list = []
        refused: list = []
        for what, labels, at, count in _entries(copy, ENTRIES, len(copy))[0]:
            counts: bool = (what >> 16) & 255 in (COUNTER, HISTOGRAM)
            if not counts and labels is not None:
                continue
            place = self._base.get((what, labels), 0)
            if not place:
                place = self._append(0, what, labels)
            if place:
                self._base[what, labels] = place
            elif labels is not None:
                place = self._base.get(((what | OTHER) + (1 << 32), None), 0)
                if place:
                    refused.append(place + count)
            if place and counts:
                moves.append((place, at, count))
            elif place:  # of gauges, how many found no room
                moves.append((place + count - 1, at + count - 1, 1))
        sequence: int = self._words[SEQUENCE] + 1
        self._words[SEQUENCE] = sequence
        if cython.compiled:
            fence()
        for place, at, count in moves:
            for i in range(count):
                self._numbers[place + i] += numbers[at + i]
        for place in refused:
            self._numbers[place] += 1.0
        self._words[start + USED] = 0
        self._store(SEQUENCE, sequence + 1)

    def copies(self) -> list[bytes] | None:
        """Each region's bytes as of one moment between two folds, or None. `add_region` adds them up, a part at a time
        for who is not to hold up others, and `series_of` is what comes of that.
        """
        for _ in range(ATTEMPTS):
            before: int = self._load(SEQUENCE)
            if before % 2 == 0:
                copies: list = [self._copy(region) for region in range(self._regions + 1)]
                if cython.compiled:
                    fence()
                if self._load(SEQUENCE) == before:
                    return copies
        return None

    @cython.cfunc
    def _copy(self, region: cython.Py_ssize_t) -> bytes:
        start: cython.Py_ssize_t = self._start(region)
        used: cython.Py_ssize_t = self._load(start + USED)
        used = min(max(used, 0), self._room(region))
        return bytes(self._raw[start * 8 : (start + ENTRIES + used) * 8])

    @cython.cfunc
    def _start(self, region: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The word at which a region begins."""
        if region < 0 or region > self._regions:
            raise ValueError(f"there is no region {region}")
        return HEAD + (self._region_words * (region + 3) if region else 0)

    @cython.cfunc
    def _room(self, region: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """How many words of entries fit into a region."""
        return (self._region_words if region else self._region_words * 4) - ENTRIES

    @cython.cfunc
    def _append(self, region: cython.Py_ssize_t, what: cython.longlong, labels: object) -> cython.Py_ssize_t:
        """Publish an entry of zeros; return its first slot's word, or 0 where there is no room."""
        start: cython.Py_ssize_t = self._start(region)
        used: cython.Py_ssize_t = self._words[start + USED]
        count: cython.Py_ssize_t = what >> 32
        data: bytes = labels or b""  # type: ignore[assignment]
        length: cython.Py_ssize_t = len(data)
        size: cython.Py_ssize_t = 2 + (length + 7) // 8 + count
        if used + size > self._room(region):
            return 0
        at: cython.Py_ssize_t = start + ENTRIES + used
        self._words[at] = what
        self._words[at + 1] = length
        self._raw[(at + 2) * 8 : (at + 2) * 8 + length] = data
        first: cython.Py_ssize_t = at + size - count
        for i in range(count):
            self._numbers[first + i] = 0.0
        self._store(start + USED, used + size)
        return first

    @cython.cfunc
    def _load(self, word: cython.Py_ssize_t) -> cython.longlong:
        if cython.compiled:
            return load_acquire(self._first + word)
        return self._words[word]

    @cython.cfunc
    def _store(self, word: cython.Py_ssize_t, value: cython.longlong) -> object:
        """Store what makes earlier stores count."""
        if cython.compiled:
            store_release(self._first + word, value)
        else:
            self._words[word] = value
        return None


def add_region(copy: bytes, merged: dict, dropped: dict, begin: int = 0) -> int:
    """Add a part of one region, from `begin` on, to what others have given: the values by what they are and their
    labels, and what was dropped by the metric's number. Gives where to go on, -1 at the end.
    """
    numbers = memoryview(copy).cast("d")
    found, following = _entries(copy, begin or ENTRIES, PART)
    for what, labels, at, count in found:
        if labels is None:
            count -= 1
            dropped[what & 0xFFFF] = dropped.get(what & 0xFFFF, 0.0) + numbers[at + count]
        values = merged.get((what, labels))
        if values is None:
            merged[what, labels] = numbers[at : at + count].tolist()
        elif (what >> 16) & 255 == GAUGE_MAX:
            values[0] = max(values[0], numbers[at])
        elif (what >> 16) & 255 == GAUGE_MIN:
            if values[0] != values[0] or numbers[at] < values[0]:
                values[0] = numbers[at]
        elif count == 1:
            values[0] += numbers[at]
        else:
            merged[what, labels] = list(map(add, values, numbers[at : at + count].tolist()))
    return following


def series_of(merged: dict) -> list[tuple[int, int, bytes | None, list[float]]]:
    """The series, as `Slots.read` has them."""
    return [(what & 0xFFFF, (what >> 16) & 255, labels, values) for (what, labels), values in merged.items()]


def _entries(copy: bytes, begin: int, most: int) -> tuple[list[tuple[int, bytes | None, int, int]], int]:
    """Entries of a region from a word on, at most so many: what each is, its labels, the word of its first slot, how
    many slots it has; and the word to go on at, -1 at the end.
    """
    words = memoryview(copy).cast("q")
    found: list = []
    at: cython.Py_ssize_t = begin
    end: cython.Py_ssize_t = len(words)
    while at + 2 <= end:
        if len(found) >= most:
            return found, at
        what: int = words[at]
        length: cython.Py_ssize_t = words[at + 1]
        count: cython.Py_ssize_t = what >> 32
        first: cython.Py_ssize_t = at + 2 + (length + 7) // 8
        if length < 0 or count < 1 or first + count > end:
            break
        labels = None if what & OTHER else copy[(at + 2) * 8 : (at + 2) * 8 + length]
        found.append((what, labels, first, count))
        at = first + count
    return found, -1


@cython.cclass
class Series:
    """What is counted under one label set: a counter adds what it is told, a histogram counts it, a gauge is set to it.
    What is not a number, negative or above 1e15 is in no sum, which stay finite, whatever others say.
    """

    @cython.ccall
    def tell(self, value: cython.double) -> object:
        raise NotImplementedError


@cython.final
@cython.cclass
class Counter(Series):
    """One counter of one label set, or, where it `sets`, one gauge: the slot at a word of the memory."""

    def __init__(self, slots: Slots, at: int, sets: bool = False) -> None:
        if at < HEAD or at >= slots._size:
            raise ValueError("outside the memory")
        self._slots = slots
        self._numbers = slots._numbers
        self._at = at
        self._sets = sets
        if cython.compiled:
            self._value = cython.cast(cython.p_double, slots._first) + self._at

    @cython.ccall
    def tell(self, value: cython.double) -> object:
        if self._sets or 0.0 < value <= 1e15:
            if cython.compiled:
                self._value[0] = value if self._sets else self._value[0] + value
            else:
                self._numbers[self._at] = value if self._sets else self._numbers[self._at] + value
        return None


@cython.final
@cython.cclass
class Histogram(Series):
    """One histogram of one label set: a slot per bucket, one for what is above the last bound, one for the sum."""

    def __init__(self, slots: Slots, at: int, bounds: tuple[float, ...]) -> None:
        count: cython.Py_ssize_t = len(bounds)
        if at < HEAD or at + count + 2 > slots._size or count > MAX_BOUNDS:
            raise ValueError("outside the memory")
        self._slots = slots
        self._numbers = slots._numbers
        self._at = at
        self._count = count
        self._limits = bounds
        if cython.compiled:
            self._buckets = cython.cast(cython.p_double, slots._first) + self._at
            for i in range(count):
                self._bounds[i] = bounds[i]

    @cython.ccall
    def tell(self, value: cython.double) -> object:
        """Count `value` in the bucket of the first bound that is not below it."""
        if not 0.0 <= value <= 1e15:
            return None
        if cython.compiled:
            self._buckets[below(self._bounds, self._count, value)] += 1.0
            self._buckets[self._count + 1] += value
        else:
            self._numbers[self._at + bisect_left(self._limits, value)] += 1.0
            self._numbers[self._at + self._count + 1] += value
        return None


@cython.final
@cython.cclass
class SlotWriter:
    """Hands out the series of one region to the process that writes it.

    Metrics are numbered by the caller; ``define`` reserves each one's series for the label sets beyond `cap`, or beyond
    the region's room. Raises ValueError for a region that is not empty.
    """

    _slots: Slots
    _region: cython.Py_ssize_t
    _cap: cython.Py_ssize_t
    _metrics: dict
    _others: dict
    _counts: dict
    _series: dict

    def __init__(self, slots: Slots, region: int, cap: int = 2000) -> None:
        start: cython.Py_ssize_t = slots._start(region)
        if region == 0 or slots._words[start + USED]:
            raise ValueError(f"region {region} is not free")
        self._slots = slots
        self._region = region
        self._cap = cap
        self._metrics = {}
        self._others = {}
        self._counts = {}
        self._series = {}

    def define(self, metric: int, kind: int, bounds: tuple[float, ...] = ()) -> None:
        """Reserve a metric's series beyond the cap; `bounds`, rising, are a histogram's. Raises ValueError."""
        if metric in self._metrics or not 0 <= metric <= 0xFFFF or not COUNTER <= kind <= GAUGE_MIN:
            raise ValueError(f"metric {metric} of kind {kind}")
        if len(bounds) > MAX_BOUNDS or list(bounds) != sorted(bounds) or bool(bounds) != (kind == HISTOGRAM):
            raise ValueError(f"the bounds of metric {metric}")
        self._metrics[metric] = (kind, bounds)
        other = self._make(metric, None)
        if other is None:
            del self._metrics[metric]
            raise ValueError(f"the region has no room for metric {metric}")
        self._others[metric] = other
        self._counts[metric] = 0

    def counter(self, metric: int, labels: bytes) -> Counter:
        """The counter or gauge of a label set. Raises KeyError for a metric that is not defined."""
        return self._find(metric, labels, histogram=False)

    def histogram(self, metric: int, labels: bytes) -> Histogram:
        """The histogram of a label set. Raises KeyError for a metric that is not defined."""
        return self._find(metric, labels, histogram=True)

    def _find(self, metric: int, labels: bytes, *, histogram: bool) -> Any:
        series = self._series.get((metric, labels))
        if series is None:
            series = self._make(metric, labels) if self._counts[metric] < self._cap else None
            if series is None:
                series, dropped = self._others[metric]
                dropped.tell(1.0)
            else:
                self._counts[metric] += 1
                self._series[metric, labels] = series
        if isinstance(series, Histogram) != histogram:
            raise KeyError(metric)
        return series

    def _make(self, metric: int, labels: bytes | None) -> Any:
        """The series of a label set; for None that of those beyond the cap, and what counts them."""
        kind, bounds = self._metrics[metric]
        count = len(bounds) + 2 if kind == HISTOGRAM else 1
        slots = count + 1 if labels is None else count
        what = metric | kind << 16 | (OTHER if labels is None else 0) | slots << 32
        at = self._slots._append(self._region, what, labels)
        if not at:
            return None
        sets = kind != COUNTER
        made: Series = Histogram(self._slots, at, bounds) if kind == HISTOGRAM else Counter(self._slots, at, sets)
        return (made, Counter(self._slots, at + count)) if labels is None else made
