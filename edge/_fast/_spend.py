"""Money that is spent and money that is reserved, over several processes, in memory that they share.

What is **spent** is kept by cells of two words, {mark, amount}. A mark is the fingerprint of what is limited, 48 bits,
and of the last day on which it counts, 16. When the day after that is over the cell has *expired*, and another may
claim it: not sooner, so that a clock that is set forward over midnight, and back, finds what was spent. A mark may use
the 8 cells from the one that it names. Every change is one compare-and-swap of both words, so an amount is only ever
added to the cell of the mark that it is meant for, and a killed process leaves a change made or not made. Two
processes may claim different cells for one mark at once; what is spent is the sum of all of them: nothing is lost.

What is **reserved** is a sum for each mark in each worker's region, which only that worker writes. It adds itself first
and then sums up all regions and the cells: of those that race for what is left, the last to add itself sees the others,
so a limit is never exceeded. Two may refuse each other. What a killed worker had reserved is cleared with its region.

Who settles adds what was spent before it lets go of what was reserved: for that instant both count, and never neither.

The pure build has no compare-and-swap: each change is made under a POSIX record lock, as in `edge/_fast/_limits.py`.
"""

from __future__ import annotations

from fcntl import LOCK_EX, LOCK_UN, lockf

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.memoryview import PyMemoryView_GET_BUFFER
    from cython.cimports.edge._fast._atomics import add, fence, load_acquire, store_release, swap_pair

__all__ = ["ADMITTED", "CROWDED", "EXHAUSTED", "UNCOUNTED", "Spend"]

ADMITTED, EXHAUSTED, CROWDED, UNCOUNTED = 0, 1, 2, 3
"""What `Spend.reserve` returns: reserved; what is spent leaves too little; it would be enough, but for what others have
reserved; no cell or place is free, so nothing can be said."""

PROBES = cython.declare(cython.Py_ssize_t, 8)
ATTEMPTS = cython.declare(cython.Py_ssize_t, 1000)
"""How often a change is tried that others keep overtaking: each failure is another's success."""
HELD = cython.declare(cython.Py_ssize_t, 4096)
"""Marks with reservations for which a worker's region has room (about: a mark may use 8 places)."""
MOST = cython.declare(cython.longlong, 1 << 60)
"""No amount is above: 1.15 million US dollars, in 1e-12 of them."""
DAYS = cython.declare(cython.longlong, 0xFFFF)

# Words of 8 bytes: one counter, alone in its cache line, the cells, the workers' regions. Of both there are 8 more than
# numbers name, so that no mark's 8 pass the end.
FULL = cython.declare(cython.Py_ssize_t, 0)
HEAD = cython.declare(cython.Py_ssize_t, 8)
REGION = cython.declare(cython.Py_ssize_t, 2 * (HELD + PROBES))


@cython.final
@cython.cclass
class Spend:
    """The memory, its cells and its workers' regions.

    `memory` is a writable buffer of ``Spend.size(cells, workers)`` bytes, zeros at first, at an address that is a
    multiple of 16; `cells` is a power of two. Workers are numbered from 1. `lock` is that of `Limits`. A process calls
    from one thread. Raises ValueError.

    A `mark` has 64 bits, unsigned, of which the lower 16 are the last day (days since 1970-01-01, modulo 65536) on
    which it counts, and `today` is such a day. Amounts are whole numbers from 0 to 2**60; sums beyond stay there.
    """

    def __init__(self, memory: object, cells: int, workers: int, lock: int | None = None) -> None:
        size: cython.Py_ssize_t = Spend.size(cells, workers)
        self._raw = memoryview(memory).cast("B")  # type: ignore[arg-type]
        if self._raw.readonly or len(self._raw) < size:
            raise ValueError(f"{size} writable bytes are needed")
        self._words = self._raw[:size].cast("q")
        self._lock = lock
        self._mask = cells - 1
        self._cells = HEAD + 2 * (cells + PROBES)
        self._regions = self._cells
        self._workers = workers
        if cython.compiled:
            self._first = cython.cast(cython.p_longlong, PyMemoryView_GET_BUFFER(self._raw).buf)
            if cython.cast(cython.size_t, self._first) % 16:
                raise ValueError("the memory's address is not a multiple of 16")

    @staticmethod
    def size(cells: int, workers: int) -> int:
        """How many bytes of memory these take. Raises ValueError."""
        if not PROBES <= cells <= 1 << 40 or cells & (cells - 1) or not 1 <= workers <= 1 << 16:
            raise ValueError("cells are a power of two and at least 8, workers at least one")
        return (HEAD + 2 * (cells + PROBES) + REGION * workers) * 8

    def reserve(
        self,
        worker: cython.Py_ssize_t,
        mark: cython.ulonglong,
        amount: cython.longlong,
        limit: cython.longlong,
        today: cython.longlong,
    ) -> int:
        """Reserve an amount, which `release` ends, if that and what is spent and reserved is at most `limit`.

        Nothing is reserved where the answer is not ADMITTED.
        """
        name: cython.longlong = _signed(mark)
        _check(amount)
        at: cython.Py_ssize_t = self._region(worker)
        self._alone(True)
        try:
            if self._cell(name, today) == 0:
                self._count()
                return 3
            at = self._place(at, name)
            if at == 0:
                self._count()
                return 3
            mine: cython.longlong = self._load(at + 1)
            self._store(at + 1, mine + amount)
            if cython.compiled:
                fence()
            spent: cython.longlong = self._spent(name)
            if spent < limit and spent + self._held(name) <= limit:
                return 0
            self._store(at + 1, mine)
            return 2 if spent < limit and spent + amount <= limit else 1
        finally:
            self._alone(False)

    def release(self, worker: cython.Py_ssize_t, mark: cython.ulonglong, amount: cython.longlong) -> None:
        """End what `reserve` began; what was cleared is no error."""
        name: cython.longlong = _signed(mark)
        _check(amount)
        at: cython.Py_ssize_t = self._region(worker) + 2 * (_place_of(name) & (HELD - 1))
        self._alone(True)
        try:
            at = self._seek(at, name)
            if at:
                self._store(at + 1, max(self._load(at + 1) - amount, 0))
        finally:
            self._alone(False)

    def add(self, mark: cython.ulonglong, amount: cython.longlong, today: cython.longlong) -> bool:
        """So much was spent, whatever the limit; false where there is no cell for it."""
        name: cython.longlong = _signed(mark)
        _check(amount)
        self._alone(True)
        try:
            for _ in range(ATTEMPTS):
                at: cython.Py_ssize_t = self._cell(name, today)
                if at == 0:
                    break
                last: cython.longlong = self._load(at + 1)
                if self._swap(at, name, last, name, min(last + amount, MOST)):
                    return True
            self._count()
            return False
        finally:
            self._alone(False)

    def spent(self, mark: cython.ulonglong) -> int:
        """How much is spent."""
        return self._spent(_signed(mark))

    def held(self, mark: cython.ulonglong) -> int:
        """How much is reserved, in all workers."""
        return self._held(_signed(mark))

    def clear_worker(self, worker: cython.Py_ssize_t) -> None:
        """Let go of all that a worker has reserved. It has ended, and its number is not in use again yet."""
        region: cython.Py_ssize_t = self._region(worker)
        at: cython.Py_ssize_t
        self._alone(True)
        try:
            for at in range(region, region + REGION, 2):
                self._store(at + 1, 0)
        finally:
            self._alone(False)

    def cells(self, today: cython.longlong) -> dict[int, int]:
        """What is spent, by the marks that have not expired, for who keeps it elsewhere."""
        found: dict[int, int] = {}
        words = self._words[HEAD : self._cells].tolist()
        for at in range(0, len(words), 2):
            if words[at] and words[at + 1] and not _expired(words[at], today):
                mark = words[at] & 0xFFFFFFFFFFFFFFFF
                found[mark] = found.get(mark, 0) + words[at + 1]
        return found

    @property
    def full(self) -> int:
        """How often something could not be counted, in all processes."""
        return self._load(FULL)

    @cython.cfunc
    def _spent(self, mark: cython.longlong) -> cython.longlong:
        total: cython.longlong = 0
        first: cython.Py_ssize_t = HEAD + 2 * (_place_of(mark) & self._mask)
        at: cython.Py_ssize_t
        for at in range(first, first + 2 * PROBES, 2):
            if self._load(at) == mark:
                amount: cython.longlong = self._load(at + 1)
                # The amount was read after the mark: it counts if the cell is the mark's still.
                if self._load(at) == mark:
                    total = min(total + amount, MOST)
        return total

    @cython.cfunc
    def _held(self, mark: cython.longlong) -> cython.longlong:
        total: cython.longlong = 0
        worker: cython.Py_ssize_t
        for worker in range(self._workers):
            at: cython.Py_ssize_t = self._seek(
                self._regions + REGION * worker + 2 * (_place_of(mark) & (HELD - 1)), mark
            )
            if at:
                amount: cython.longlong = self._load(at + 1)
                if self._load(at) == mark:
                    total = min(total + amount, MOST)
        return total

    @cython.cfunc
    def _cell(self, mark: cython.longlong, today: cython.longlong) -> cython.Py_ssize_t:
        """The word of the mark's cell, one that is free having been claimed for it; else 0."""
        first: cython.Py_ssize_t = HEAD + 2 * (_place_of(mark) & self._mask)
        at: cython.Py_ssize_t = self._seek(first, mark)
        if at:
            return at
        for at in range(first, first + 2 * PROBES, 2):
            owner: cython.longlong = self._load(at)
            last: cython.longlong = self._load(at + 1)
            if (owner == 0 or _expired(owner, today)) and self._swap(at, owner, last, mark, 0):
                return at
        return 0

    @cython.cfunc
    def _place(self, region: cython.Py_ssize_t, mark: cython.longlong) -> cython.Py_ssize_t:
        """The word of the mark's place in a region of this process, one that is free having been given it; else 0."""
        first: cython.Py_ssize_t = region + 2 * (_place_of(mark) & (HELD - 1))
        at: cython.Py_ssize_t = self._seek(first, mark)
        if at:
            return at
        for at in range(first, first + 2 * PROBES, 2):
            if self._load(at + 1) <= 0:
                self._store(at, mark)
                return at
        return 0

    @cython.cfunc
    def _seek(self, first: cython.Py_ssize_t, mark: cython.longlong) -> cython.Py_ssize_t:
        """The word of the mark's cell or place among the 8 from the word `first`; else 0."""
        at: cython.Py_ssize_t
        for at in range(first, first + 2 * PROBES, 2):
            if self._load(at) == mark:
                return at
        return 0

    @cython.cfunc
    def _region(self, worker: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if worker < 1 or worker > self._workers:
            raise ValueError(f"there is no worker {worker}")
        return self._regions + REGION * (worker - 1)

    @cython.cfunc
    def _load(self, word: cython.Py_ssize_t) -> cython.longlong:
        if cython.compiled:
            return load_acquire(self._first + word)
        else:  # noqa: RET505 - the other build's
            return self._words[word]

    @cython.cfunc
    def _store(self, word: cython.Py_ssize_t, value: cython.longlong) -> object:
        if cython.compiled:
            store_release(self._first + word, value)
        else:
            self._words[word] = value
        return None

    @cython.cfunc
    def _count(self) -> cython.bint:
        if cython.compiled:
            add(self._first + FULL, 1)
        else:
            self._words[FULL] += 1
        return True

    @cython.cfunc
    def _swap(
        self,
        at: cython.Py_ssize_t,
        mark: cython.longlong,
        amount: cython.longlong,
        new_mark: cython.longlong,
        new_amount: cython.longlong,
    ) -> cython.bint:
        """Change a cell, unless it is not what it was."""
        if cython.compiled:
            return swap_pair(self._first + at, mark, amount, new_mark, new_amount)
        else:  # noqa: RET505 - the other build's
            same = self._words[at] == mark and self._words[at + 1] == amount
            if same:
                # The amount first where the mark is another's: killed between the two, it has spent nothing.
                self._words[at + 1] = new_amount
                self._words[at] = new_mark
            return same

    @cython.cfunc
    def _alone(self, begin: cython.bint) -> cython.bint:
        if not cython.compiled and self._lock is not None:
            lockf(self._lock, LOCK_EX if begin else LOCK_UN, 1)
        return begin


@cython.cfunc
def _signed(mark: cython.ulonglong) -> cython.longlong:
    """The mark as a signed word. It is never 0, which marks an empty cell."""
    if cython.compiled:
        if mark == 0:
            raise ValueError("a mark is not 0")
        return cython.cast(cython.longlong, mark)
    else:  # noqa: RET505 - the other build's
        if not 0 <= mark < 1 << 64:
            raise OverflowError("a mark has 64 bits")
        if mark == 0:
            raise ValueError("a mark is not 0")
        return mark if mark < 1 << 63 else mark - (1 << 64)


@cython.cfunc
@cython.exceptval(check=False)
def _place_of(mark: cython.longlong) -> cython.longlong:
    """What of a mark chooses its place."""
    return mark >> 16


@cython.cfunc
@cython.exceptval(check=False)
def _expired(mark: cython.longlong, today: cython.longlong) -> cython.bint:
    """Whether the mark's last day is over, and the day after it. Days are told apart by half of their 65536."""
    return 1 < ((today - mark) & DAYS) < 0x8000


@cython.cfunc
def _check(amount: cython.longlong) -> cython.bint:
    if amount < 0 or amount > MOST:
        raise ValueError("an amount is from 0 to 2**60")
    return True
