"""Rates and concurrency limited over several processes, in memory that they share.

**Rates** are kept by GCRA, the virtual scheduling form of the ATM Forum's Traffic Management 4.1, section 4.4.2, as the
throttled library applies it to requests: a key has one number, its theoretical arrival time (TAT), in ns. A cost is
admitted if ``max(TAT, now) + cost * interval <= now + burst * interval``, and the left side becomes the TAT. A TAT that
is not after `now` says nothing: its cell has *expired*, and is as good as none.

A cell is two words, {fingerprint, TAT}; a key may use the 8 from the one its fingerprint names. Every change is one
compare-and-swap of both words, so a time is only ever added to the cell of the key it was computed for, and a cell that
another key needs still is never taken. There is no lock and no state in between: a killed process leaves a change made
or not made.

Two processes may claim different cells for a new key at once, as a cell may expire between their looks. Whoever claims
looks at all 8 again afterwards. Of two such claims the later, in the one order that the fences give, sees the earlier;
it empties all of the key's cells but the lowest and adds their times to that one, and if this is over the limit, takes
its own cost back. Searches stop at the lowest, so all agree. For those instants both cells admit: at most one burst
more than the limit, once, which the added times make the key pay for. Only a process killed between emptying and adding
leaves the key that burst.

**Concurrency** is a count for each key in each worker's region, which only that worker writes. It adds itself first and
then sums all regions, so of those that race for the last place the last to add itself sees the others: a limit is never
exceeded. Two may refuse each other. That lasts as long as one call and leaves nothing behind: no one waits, and the
first to come alone is admitted.

The pure build has no compare-and-swap: each call is made under a POSIX record lock, which (unlike flock) is not
inherited by a fork, and which the system drops when its holder is killed. Memory is shared by processes of one build.
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

__all__ = ["NEVER", "TABLE_FULL", "Limits"]

TABLE_FULL = -1
"""What ``take`` returns where all 8 cells are in use by other keys: too few cells for so many tenants."""
NEVER = -2
"""What ``take`` returns where the cost is above the burst: no waiting helps."""

PROBES = cython.declare(cython.Py_ssize_t, 8)
ATTEMPTS = cython.declare(cython.Py_ssize_t, 1000)
"""How often a change is tried that others keep overtaking: each failure is another's success."""
HELD = cython.declare(cython.Py_ssize_t, 4096)
"""Keys with requests in flight that a worker's region has room for (about: a key may use 8 places)."""

LONGEST = cython.declare(cython.longlong, 1 << 60)
"""ns, 36 years: no cost and no burst is longer. A time before LATEST plus three of these is below 2**63."""
LATEST = cython.declare(cython.longlong, 1 << 62)
STRAY = cython.declare(cython.longlong, 3_600_000_000_000)
"""ns: a TAT further ahead than the burst and this is of a clock that went back, or of a limit that was lowered, and is
cut. By less, it may be of what was used beyond a limit, or of a process that stood still behind the others."""

# Words of 8 bytes: two counters, alone in their cache line, the cells, the workers' regions of {fingerprint, count}. Of
# both there are 8 more than numbers name, so that no key's 8 pass the end.
FULL_TABLES = cython.declare(cython.Py_ssize_t, 0)
FULL_REGIONS = cython.declare(cython.Py_ssize_t, 1)
HEAD = cython.declare(cython.Py_ssize_t, 8)
REGION = cython.declare(cython.Py_ssize_t, 2 * (HELD + PROBES))


@cython.final
@cython.cclass
class Limits:
    """The memory, its cells and its workers' regions.

    `memory` is a writable buffer of ``Limits.size(cells, workers)`` zero bytes at an address that is a multiple of 16:
    an anonymous ``mmap`` made before the processes are forked, or a bytearray for one process. `cells` is a power of
    two, twice the tenants' limits or more; workers are numbered from 1. `lock` is a descriptor of a file that the
    processes have all inherited, for the pure build (a process loses its lock if it closes any descriptor of that
    file); without one there is one process. A process calls from one thread. Raises ValueError.

    A `key` is a fingerprint of what is limited, 64 bits, unsigned (0 counts as 1); keys with one fingerprint share
    their limit. A limit is `burst` units at once and one more every `interval_ns`; `now_ns` is CLOCK_MONOTONIC's, below
    2**62. Bursts above 36 years' worth count as 36 years. Calls raise ValueError or OverflowError for numbers outside
    their ranges.
    """

    def __init__(self, memory: object, cells: int, workers: int, lock: int | None = None) -> None:
        size: cython.Py_ssize_t = Limits.size(cells, workers)
        self._raw = memoryview(memory).cast("B")  # type: ignore[arg-type]
        if self._raw.readonly or len(self._raw) < size:
            raise ValueError(f"{size} writable bytes are needed")
        self._words = self._raw[:size].cast("q")
        self._lock = lock
        self._mask = cells - 1
        self._regions = HEAD + 2 * (cells + PROBES)
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

    def take(
        self,
        key: cython.ulonglong,
        interval_ns: cython.longlong,
        burst: cython.longlong,
        cost: cython.longlong,
        now_ns: cython.longlong,
    ) -> int:
        """Take `cost` units: 0 where they are admitted, above 0 the ns after which they would be, TABLE_FULL, NEVER."""
        fingerprint: cython.longlong = _fingerprint(key)
        self._alone(True)
        try:
            return self._take(fingerprint, interval_ns, burst, cost, now_ns)
        finally:
            self._alone(False)

    def settle(
        self, key: cython.ulonglong, interval_ns: cython.longlong, more: cython.longlong, now_ns: cython.longlong
    ) -> None:
        """Take units that were used already, whatever the limit, up to an hour's; below 0 give back what was not."""
        fingerprint: cython.longlong = _fingerprint(key)
        _check(interval_ns, abs(more), now_ns)
        amount: cython.longlong = _product(interval_ns, abs(more))
        self._alone(True)
        try:
            self._move(fingerprint, min(amount, STRAY) if more > 0 else -amount, now_ns)
        finally:
            self._alone(False)

    def remaining(
        self, key: cython.ulonglong, interval_ns: cython.longlong, burst: cython.longlong, now_ns: cython.longlong
    ) -> tuple[int, int]:
        """How many units are left now, and in how many ns the burst is full again."""
        ahead: cython.longlong = self.ahead(key, now_ns)
        return self.left(interval_ns, burst, ahead), ahead

    def ahead(self, key: cython.ulonglong, now_ns: cython.longlong) -> int:
        """In how many ns the burst is full again."""
        fingerprint: cython.longlong = _fingerprint(key)
        _check(1, 0, now_ns)
        self._alone(True)
        try:
            return max(self._ahead(fingerprint, now_ns), 0)
        finally:
            self._alone(False)

    @cython.cdivision(True)
    def left(self, interval_ns: cython.longlong, burst: cython.longlong, ahead_ns: cython.longlong) -> int:
        """How many units are left where the burst is full again in so many ns."""
        _check(interval_ns, max(burst, 0), 0)
        return max(_product(interval_ns, max(burst, 0)) - ahead_ns, 0) // interval_ns

    def acquire(self, worker: cython.Py_ssize_t, key: cython.ulonglong, limit: cython.longlong) -> bool | None:
        """Begin one of at most `limit` at a time, which ends with ``release``; None where the worker's region is full.

        Nothing is begun where this is not true.
        """
        fingerprint: cython.longlong = _fingerprint(key)
        at: cython.Py_ssize_t = self._region(worker)
        self._alone(True)
        try:
            at = self._place(at, fingerprint)
            if at == 0:
                self._count(FULL_REGIONS)
                return None
            held: cython.longlong = self._load(at + 1) + 1
            self._store(at + 1, held)
            if cython.compiled:
                fence()
            if self._held(fingerprint) <= limit:
                return True
            self._store(at + 1, held - 1)
            return False
        finally:
            self._alone(False)

    def release(self, worker: cython.Py_ssize_t, key: cython.ulonglong) -> None:
        """End what ``acquire`` began; what was not begun, or was cleared, is no error."""
        fingerprint: cython.longlong = _fingerprint(key)
        at: cython.Py_ssize_t = self._region(worker) + 2 * (fingerprint & (HELD - 1))
        self._alone(True)
        try:
            at = self._seek(at, fingerprint)
            if at and self._load(at + 1) > 0:
                self._store(at + 1, self._load(at + 1) - 1)
        finally:
            self._alone(False)

    def held(self, key: cython.ulonglong) -> int:
        """How many are begun and not ended, in all workers."""
        return self._held(_fingerprint(key))

    def clear_worker(self, worker: cython.Py_ssize_t) -> None:
        """End all that a worker began. The worker has ended, and its number is not in use again yet."""
        region: cython.Py_ssize_t = self._region(worker)
        at: cython.Py_ssize_t
        self._alone(True)
        try:
            for at in range(region, region + REGION, 2):
                self._store(at + 1, 0)
        finally:
            self._alone(False)

    @property
    def full_tables(self) -> int:
        """How many takes were denied with TABLE_FULL, in all processes."""
        return self._load(FULL_TABLES)

    @property
    def full_regions(self) -> int:
        """How often ``acquire`` returned None, in all processes."""
        return self._load(FULL_REGIONS)

    @cython.cfunc
    def _take(
        self,
        key: cython.longlong,
        interval: cython.longlong,
        burst: cython.longlong,
        cost: cython.longlong,
        now: cython.longlong,
    ) -> cython.longlong:
        _check(interval, cost, now)
        if cost > burst:
            return NEVER
        charge: cython.longlong = _product(interval, cost)
        tolerance: cython.longlong = _product(interval, burst)
        for _ in range(ATTEMPTS):
            at: cython.Py_ssize_t = self._find(key, now)
            if at > 0:
                tat: cython.longlong = self._load(at + 1)
                if tat > now + tolerance + STRAY:
                    self._swap(at, key, tat, key, now + tolerance)
                    continue
                wait: cython.longlong = max(tat, now) + charge - tolerance - now
                if wait > 0:
                    # The time was read after the fingerprint: it counts if the cell is the key's still.
                    if self._load(at) == key:
                        return wait
                elif self._swap(at, key, tat, key, max(tat, now) + charge):
                    return 0
            elif charge == 0:
                return 0
            elif at == 0:
                self._count(FULL_TABLES)
                return TABLE_FULL
            elif self._claim(-at, key, now + charge, now):
                if self._merge(key, now):
                    wait = self._ahead(key, now) - tolerance
                    if wait > 0:
                        self._move(key, -charge, now)
                        return wait
                return 0
        return interval

    @cython.cfunc
    def _find(self, key: cython.longlong, now: cython.longlong) -> cython.Py_ssize_t:
        """The word of the key's cell; else that of the first it may claim, negative; else 0."""
        first: cython.Py_ssize_t = HEAD + 2 * (key & self._mask)
        at: cython.Py_ssize_t = self._seek(first, key)
        if at:
            return at
        for at in range(first, first + 2 * PROBES, 2):
            if self._load(at) == 0 or self._load(at + 1) <= now:
                return -at
        return 0

    @cython.cfunc
    def _claim(
        self, at: cython.Py_ssize_t, key: cython.longlong, tat: cython.longlong, now: cython.longlong
    ) -> cython.bint:
        """Take a cell that is empty or has expired; false if it is neither any more."""
        owner: cython.longlong = self._load(at)
        last: cython.longlong = self._load(at + 1)
        return (owner == 0 or last <= now) and self._swap(at, owner, last, key, tat)

    @cython.cfunc
    def _merge(self, key: cython.longlong, now: cython.longlong) -> cython.bint:
        """Empty all cells of the key but the lowest and add their times to it; whether there were any."""
        debt: cython.longlong = 0
        first: cython.Py_ssize_t = HEAD + 2 * (key & self._mask)
        lowest: cython.Py_ssize_t = 0
        merged: cython.bint = False
        at: cython.Py_ssize_t
        if cython.compiled:
            fence()
        for at in range(first, first + 2 * PROBES, 2):
            for _ in range(ATTEMPTS):
                if self._load(at) != key:
                    break
                if lowest == 0:
                    lowest = at
                if lowest == at:
                    break
                tat: cython.longlong = self._load(at + 1)
                if self._swap(at, key, tat, 0, 0):
                    debt = min(debt + max(tat - now, 0), LONGEST)
                    merged = True
        if debt:
            self._move(key, debt, now)
        return merged

    @cython.cfunc
    def _move(self, key: cython.longlong, amount: cython.longlong, now: cython.longlong) -> object:
        """Add to the key's time, or take from it, whatever the limit."""
        for _ in range(ATTEMPTS):
            at: cython.Py_ssize_t = self._find(key, now)
            if at > 0:
                tat: cython.longlong = self._load(at + 1)
                moved: cython.longlong = min(max(tat, now), now + LONGEST) + amount if amount > 0 else tat + amount
                if self._swap(at, key, tat, key, max(moved, 0)):
                    break
            elif at == 0 or amount <= 0 or self._claim(-at, key, now + amount, now):
                break
        return None

    @cython.cfunc
    def _ahead(self, key: cython.longlong, now: cython.longlong) -> cython.longlong:
        at: cython.Py_ssize_t = self._find(key, now)
        return self._load(at + 1) - now if at > 0 else 0

    @cython.cfunc
    def _held(self, key: cython.longlong) -> cython.longlong:
        total: cython.longlong = 0
        worker: cython.Py_ssize_t
        for worker in range(self._workers):
            at: cython.Py_ssize_t = self._seek(self._regions + REGION * worker + 2 * (key & (HELD - 1)), key)
            if at:
                count: cython.longlong = self._load(at + 1)
                # A place changes hands at a count of 0 only: another's count is not added.
                if self._load(at) == key:
                    total += count
        return total

    @cython.cfunc
    def _place(self, region: cython.Py_ssize_t, key: cython.longlong) -> cython.Py_ssize_t:
        """The word of the key's place in a region of this process, one that is free having been given it; else 0."""
        first: cython.Py_ssize_t = region + 2 * (key & (HELD - 1))
        at: cython.Py_ssize_t = self._seek(first, key)
        if at:
            return at
        for at in range(first, first + 2 * PROBES, 2):
            if self._load(at + 1) <= 0:
                self._store(at, key)
                return at
        return 0

    @cython.cfunc
    def _seek(self, first: cython.Py_ssize_t, key: cython.longlong) -> cython.Py_ssize_t:
        """The word of the key's cell or place among the 8 from the word `first`; else 0."""
        if cython.compiled:
            at: cython.Py_ssize_t
            for at in range(first, first + 2 * PROBES, 2):
                if load_acquire(self._first + at) == key:
                    return at
        else:
            keys = self._words[first : first + 2 * PROBES : 2].tolist()
            if key in keys:
                return first + 2 * keys.index(key)
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
    def _count(self, word: cython.Py_ssize_t) -> cython.bint:
        if cython.compiled:
            add(self._first + word, 1)
        else:
            self._words[word] += 1
        return True

    @cython.cfunc
    def _swap(
        self,
        at: cython.Py_ssize_t,
        key: cython.longlong,
        tat: cython.longlong,
        new_key: cython.longlong,
        new_tat: cython.longlong,
    ) -> cython.bint:
        """Change a cell, unless it is not what it was."""
        if cython.compiled:
            return swap_pair(self._first + at, key, tat, new_key, new_tat)
        else:  # noqa: RET505 - the other build's
            same = self._words[at] == key and self._words[at + 1] == tat
            if same:
                # The fingerprint first: between the two a cell is empty, or has expired.
                self._words[at] = new_key
                self._words[at + 1] = new_tat
            return same

    @cython.cfunc
    def _alone(self, begin: cython.bint) -> cython.bint:
        if not cython.compiled and self._lock is not None:
            lockf(self._lock, LOCK_EX if begin else LOCK_UN, 1)
        return begin


@cython.cfunc
def _fingerprint(key: cython.ulonglong) -> cython.longlong:
    """The key as a signed word, never 0, which marks an empty cell."""
    if cython.compiled:
        return cython.cast(cython.longlong, key) or 1
    else:  # noqa: RET505 - the other build's
        if not 0 <= key < 1 << 64:
            raise OverflowError("a key has 64 bits")
        return (key if key < 1 << 63 else key - (1 << 64)) or 1


@cython.cfunc
def _check(interval: cython.longlong, cost: cython.longlong, now: cython.longlong) -> cython.bint:
    if interval < 1 or cost < 0 or now < 0 or now >= LATEST:
        raise ValueError("an interval is at least 1 ns, a cost at least 0, a time from 0 to 2**62")
    return True


@cython.cfunc
def _product(interval: cython.longlong, units: cython.longlong) -> cython.longlong:
    """How many ns so many units last, at most LONGEST."""
    # Below 2**30 each, which is nearly always, no division is needed to know.
    if interval < 1 << 30 and units < 1 << 30:
        return interval * units
    return LONGEST if units > LONGEST // interval else interval * units
