"""A cache bounded in bytes that keeps what is asked for often: W-TinyLFU.

After Einziger, Friedman and Manes, *TinyLFU: A Highly Efficient Cache Admission Policy* (ACM Transactions on Storage
13, 2017), with the constants of Caffeine, the authors' library. A window of 1 %, by recency, takes what is new; what it
drops is a candidate for the main part, a segmented LRU of probation and, for what was hit there, protection (80 %). A
sketch of 4-bit counters estimates how often each key was asked for, whether it is here or not; when it has counted
three times as often as there are entries, all counters are halved. (Caffeine's ten times gain half a point where the
popular keys stay, and lose up to 3 where they shift and 20 where each is popular for a while: benchmarks/hit_ratio.py.)

**Admission by weight.** A candidate takes the places of the oldest of the main part, as many as make the room it needs,
if it was asked for more often than all of these together (the aggregated victims of Einziger, Eytan, Friedman and
Manes, *Lightweight Robust Size Aware Cache Management*, ACM Transactions on Storage 18, 2022); ties keep what is there.
Each victim but the first counts as asked for once at least, even if the sketch has forgotten it, or one large answer
would take the places of many small ones for nothing: of sizes that differ this keeps up to ten points more hits. What
has expired goes without being counted. As no count is above 15, a look ends after at most 16 that stay. One of 128
candidates that lose is let in nevertheless, if it was asked for 6 times or more: who makes victims look popular, by
keys that share their counters, does not keep others out for ever. Counters are chosen by Python's hash of the key,
which is not known outside the process.

**Expiry.** An entry that has expired is removed when it is asked for, or when its place is wanted. For those that
neither happens to, a hand goes round all entries, four on each put; unlike a timer wheel or a heap it costs an entry
nothing. In each queue it takes as many looks as there were entries when it came, so hits, which move entries to the
queue's end, do not keep it there: what has expired is gone when it has been round.

What is removed is freed when everything is in order, since to free a value may run code that calls the cache. A cache
is used by one thread at a time.
"""

from __future__ import annotations

from typing import Any

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING

__all__ = ["ENTRY_BYTES", "LFUCache"]

ENTRY_BYTES = 320
"""What an entry takes beside its value and the bytes of its key: measured, the node, the dict's place and the key's
object, and the sketch's word; the larger of the builds."""

_OVERHEAD = cython.declare(cython.Py_ssize_t, ENTRY_BYTES)
_LARGEST = cython.declare(cython.Py_ssize_t, 1 << 62)
_WINDOW = cython.declare(cython.Py_ssize_t, 0)
_PROBATION = cython.declare(cython.Py_ssize_t, 1)
_PROTECTED = cython.declare(cython.Py_ssize_t, 2)
_LOOKS = cython.declare(cython.Py_ssize_t, 4)
# Caffeine's ADMIT_HASHDOS_THRESHOLD, and one in 128.
_POPULAR = cython.declare(cython.Py_ssize_t, 6)
_LUCK = cython.declare(cython.ulonglong, 127)
_WORDS = cython.declare(cython.Py_ssize_t, 512)
_ROUND = cython.declare(cython.Py_ssize_t, 3)
_MASK = cython.declare(cython.ulonglong, (1 << 64) - 1)
_HALVES = cython.declare(cython.ulonglong, 0x7777777777777777)
_XORSHIFT = cython.declare(cython.ulonglong, 0x2545F4914F6CDD1D)


@cython.final
@cython.cclass
class _Node:
    """An entry. `hashed` chooses its counters, `weight` is all it takes, `queue` is the number of the one it is in."""

    key: bytes
    value: Any
    hashed: cython.ulonglong
    weight: cython.Py_ssize_t
    expires_at: cython.double
    queue: cython.Py_ssize_t
    older: _Node
    newer: _Node


@cython.final
@cython.cclass
class _Queue:
    """Entries from the oldest to the newest. Empty, it refers to none: no cycle is left."""

    oldest: _Node
    newest: _Node
    weight: cython.Py_ssize_t
    count: cython.Py_ssize_t

    def __init__(self) -> None:
        self.oldest = self.newest = None  # type: ignore[assignment]
        self.weight = self.count = 0

    @cython.cfunc
    def push(self, node: _Node) -> cython.bint:
        """As the newest."""
        node.older = self.newest
        node.newer = None  # type: ignore[assignment]
        if self.newest is None:
            self.oldest = node
        else:
            self.newest.newer = node
        self.newest = node
        self.weight += node.weight
        self.count += 1
        return True

    @cython.cfunc
    def pull(self, node: _Node) -> cython.bint:
        if node.older is None:
            self.oldest = node.newer
        else:
            node.older.newer = node.newer
        if node.newer is None:
            self.newest = node.older
        else:
            node.newer.older = node.older
        node.older = node.newer = None  # type: ignore[assignment]
        self.weight -= node.weight
        self.count -= 1
        return True


@cython.final
@cython.cclass
class _Sketch:
    """How often each key was asked for, 0 to 15: a count-min sketch of 4-bit counters with four rows.

    A key's four counters are in one block of 8 words, a cache line: bits 0-31 of its hash choose the block, a byte each
    of bits 32-63 a counter in two of the words, as in Caffeine's FrequencySketch.
    """

    _table: bytearray
    _counters: cython.p_ulonglong
    _words: cython.Py_ssize_t
    _blocks: cython.ulonglong
    _counted: cython.Py_ssize_t
    _round: cython.Py_ssize_t

    def __init__(self) -> None:
        self._counted = self._words = 0
        self.grow(1)

    @cython.cfunc
    def grow(self, entries: cython.Py_ssize_t) -> cython.bint:
        """Have a word for each entry. A half that is added begins as the other: no estimate changes."""
        while self._words < entries:
            self._table = bytearray(_WORDS * 8) if self._words == 0 else self._table + self._table
            self._words = len(self._table) // 8
            self._blocks = self._words // 8 - 1
            if cython.compiled:
                self._counters = cython.cast(cython.p_ulonglong, PyByteArray_AS_STRING(self._table))
            else:
                self._counters = memoryview(self._table).cast("Q")
        # Not below an eighth of the words, so that halving is a few words' work for each count.
        self._round = _ROUND * max(entries, self._words // 8)
        return True

    @cython.cfunc
    def _bit(self, hashed: cython.ulonglong, row: cython.Py_ssize_t) -> cython.ulonglong:
        """Where a counter is: its word in bits 6 and up, how far to shift that in bits 0-5."""
        # The word is within the table: a block's first is at least 8 before the end, and 2 * 3 + 1 < 8.
        choice: cython.ulonglong = hashed >> (32 + 8 * row)
        word: cython.ulonglong = (hashed & self._blocks) * 8 + 2 * row + (choice & 1)
        return word << 6 | ((choice >> 1) & 15) << 2

    @cython.cfunc
    def count(self, hashed: cython.ulonglong) -> cython.bint:
        """Count one more; halve all counts when it is time."""
        one: cython.ulonglong = 1
        counted: cython.bint = False
        row: cython.Py_ssize_t
        for row in range(4):
            bit: cython.ulonglong = self._bit(hashed, row)
            if (self._counters[bit >> 6] >> (bit & 63)) & 15 < 15:
                self._counters[bit >> 6] += one << (bit & 63)
                counted = True
        self._counted += counted
        if self._counted >= self._round:
            self._counted //= 2
            at: cython.Py_ssize_t
            for at in range(self._words):
                self._counters[at] = (self._counters[at] >> 1) & _HALVES
        return counted

    @cython.cfunc
    def estimate(self, hashed: cython.ulonglong) -> cython.Py_ssize_t:
        least: cython.ulonglong = 15
        row: cython.Py_ssize_t
        for row in range(4):
            bit: cython.ulonglong = self._bit(hashed, row)
            least = min(least, (self._counters[bit >> 6] >> (bit & 63)) & 15)
        return least


@cython.final
@cython.cclass
class LFUCache:
    """At most `max_bytes` of values, keys and what they take beside: see ENTRY_BYTES. Raises ValueError.

    Keys are bytes; a value is any object but None. Times are seconds of one clock, the caller's. The same `seed` and
    calls give the same answers in both builds, within a process: Python's hashes differ between processes. Counted are
    `evictions`, entries removed for others' sake, `expired` ones removed, and `rejected` puts, which returned false.
    """

    max_bytes = cython.declare(cython.Py_ssize_t, visibility="readonly")
    evictions = cython.declare(cython.Py_ssize_t, visibility="readonly")
    expired = cython.declare(cython.Py_ssize_t, visibility="readonly")
    rejected = cython.declare(cython.Py_ssize_t, visibility="readonly")
    _entries: dict
    _sketch: _Sketch
    _window: _Queue
    _probation: _Queue
    _protected: _Queue
    _max_window: cython.Py_ssize_t
    _max_main: cython.Py_ssize_t
    _max_protected: cython.Py_ssize_t
    _seed: cython.ulonglong
    _random: cython.ulonglong
    _hand: _Node
    _hand_queue: cython.Py_ssize_t
    _hand_left: cython.Py_ssize_t

    def __init__(self, max_bytes: int, *, seed: int = 0) -> None:
        if not 0 <= max_bytes <= _LARGEST:
            raise ValueError("a cache has from 0 to 2**62 bytes")
        self.max_bytes = max_bytes
        self._max_window = max_bytes // 100
        self._max_main = max_bytes - max_bytes // 100
        self._max_protected = self._max_main // 5 * 4
        self._seed = seed & _MASK
        # An odd number, as xorshift has no way out of 0.
        self._random = (seed * 2 + 1) & _MASK
        self._sketch = _Sketch()
        self.evictions = self.expired = self.rejected = 0
        self._reset()

    def get(self, key: bytes, now: cython.double) -> object | None:
        """The value put last, or None: it was not admitted, is gone or has expired. Counts as a use of the key."""
        node: _Node = self._entries.get(key)  # type: ignore[assignment]
        if node is None:
            self._sketch.count(self._hash(key))
            return None
        self._sketch.count(node.hashed)
        if not now < node.expires_at:
            self._forget(node, None)
            self.expired += 1
            return None
        if node.queue == _PROBATION and node.weight <= self._max_protected:
            self._pull(node)
            self._push(node, _PROTECTED)
        elif node.newer is not None:
            self._pull(node)
            self._push(node, node.queue)
        return node.value

    def put(
        self, key: bytes, value: object, weight: cython.Py_ssize_t, expires_at: cython.double, now: cython.double
    ) -> bool:
        """Keep a value of `weight` bytes; false if it is not kept: it is too large, too seldom asked for, or expired.

        What the key had before is gone in any case. Raises ValueError for a negative weight.
        """
        if weight < 0:
            raise ValueError("a weight is at least 0")
        gone: list = []
        stored: cython.bint = self._put(key, value, weight, expires_at, now, gone)
        if not stored:
            self.rejected += 1
        self._sweep(now, gone)
        return stored

    def remove(self, key: bytes) -> bool:
        """Remove an entry; whether there was one."""
        node: _Node = self._entries.get(key)  # type: ignore[assignment]
        if node is None:
            return False
        self._forget(node, None)
        return True

    def clear(self) -> None:
        """Remove all entries. What was counted of keys is kept."""
        entries: dict = self._entries
        self._reset()
        node: _Node
        for node in entries.values():
            node.older = node.newer = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def weight(self) -> int:
        """Bytes taken now."""
        return self._window.weight + self._probation.weight + self._protected.weight

    @cython.cfunc
    def _reset(self) -> cython.bint:
        self._entries = {}
        self._window = _Queue()
        self._probation = _Queue()
        self._protected = _Queue()
        self._hand = None  # type: ignore[assignment]
        self._hand_queue = self._hand_left = 0
        return True

    @cython.cfunc
    def _hash(self, key: bytes) -> cython.ulonglong:
        if cython.compiled:
            return cython.cast(cython.ulonglong, hash(key)) ^ self._seed
        else:  # noqa: RET505 - the other build's
            return (hash(key) ^ self._seed) & _MASK

    @cython.cfunc
    def _put(
        self, key: bytes, value: object, weight: cython.Py_ssize_t, end: cython.double, now: cython.double, gone: list
    ) -> cython.bint:
        node: _Node = self._entries.get(key)  # type: ignore[assignment]
        fixed: cython.Py_ssize_t = _OVERHEAD + len(key)
        queue: cython.Py_ssize_t = _WINDOW
        if weight > self.max_bytes - fixed or not now < end:
            if node is not None:
                self._forget(node, gone)
            return False
        if node is None:
            node = _Node()
            node.key = key
            node.hashed = self._hash(key)
            self._sketch.grow(len(self._entries) + 1)
            self._entries[key] = node
            # A get that found nothing has counted the key already, unless there was none.
            if self._sketch.estimate(node.hashed) == 0:
                self._sketch.count(node.hashed)
        else:
            gone.append(node.value)
            queue = node.queue
            self._pull(node)
        node.value = value
        node.weight = weight + fixed
        node.expires_at = end
        if queue != _WINDOW or node.weight > self._max_window:
            return self._admit(node, max(queue, _PROBATION), now, gone)
        self._push(node, _WINDOW)
        while self._window.weight > self._max_window:
            # The newest fits alone: the oldest is another.
            node = self._window.oldest
            if not now < node.expires_at:
                self.expired += 1
                self._forget(node, gone)
                continue
            self._pull(node)
            if not self._admit(node, _PROBATION, now, gone):
                self.evictions += 1
        return True

    @cython.cfunc
    def _admit(self, node: _Node, queue: cython.Py_ssize_t, now: cython.double, gone: list) -> cython.bint:
        """Take a node that is in no queue into one of the main part, or drop it."""
        needed: cython.Py_ssize_t = self._probation.weight + self._protected.weight + node.weight - self._max_main
        if node.weight > self._max_main or (needed > 0 and not self._make_room(node, needed, now, gone)):
            del self._entries[node.key]
            gone.append(node)
            return False
        self._push(node, queue)
        return True

    @cython.cfunc
    def _make_room(self, node: _Node, needed: cython.Py_ssize_t, now: cython.double, gone: list) -> cython.bint:
        """Remove the oldest of the main part, unless they were asked for as often as the candidate."""
        score: cython.Py_ssize_t = self._sketch.estimate(node.hashed)
        against: cython.Py_ssize_t = 0
        lucky: cython.bint = False
        losers: list = []
        victim: _Node = self._probation.oldest or self._protected.oldest
        # What is needed is at most what the main part has: there are victims until it is there.
        while needed > 0 and victim is not None:
            newer: _Node = victim.newer
            if newer is None and victim.queue == _PROBATION:
                newer = self._protected.oldest
            count: cython.Py_ssize_t = self._sketch.estimate(victim.hashed)
            needed -= victim.weight
            if not now < victim.expires_at:
                self.expired += 1
                self._forget(victim, gone)
            else:
                against += max(count, 1) if losers else count
                if against >= score and not lucky:
                    if score < _POPULAR or self._draw() & _LUCK:
                        return False
                    lucky = True
                losers.append(victim)
            victim = newer
        for victim in losers:
            self.evictions += 1
            self._forget(victim, gone)
        return True

    @cython.cfunc
    def _draw(self) -> cython.ulonglong:
        """A number that a client does not foresee: xorshift64* (Vigna, ACM TOMS 42, 2016)."""
        self._random ^= self._random >> 12
        self._random ^= (self._random << 25) & _MASK
        self._random ^= self._random >> 27
        return ((self._random * _XORSHIFT) & _MASK) >> 32

    @cython.cfunc
    def _sweep(self, now: cython.double, gone: list) -> cython.bint:
        for _ in range(_LOOKS):
            node: _Node = self._hand
            if node is None or self._hand_left <= 0:
                self._hand_queue = (self._hand_queue + 1) % 3
                self._hand = self._numbered(self._hand_queue).oldest
                self._hand_left = self._numbered(self._hand_queue).count
                continue
            self._hand = node.newer
            self._hand_left -= 1
            if not now < node.expires_at:
                self.expired += 1
                self._forget(node, gone)
        return True

    @cython.cfunc
    def _numbered(self, queue: cython.Py_ssize_t) -> _Queue:
        return self._window if queue == _WINDOW else self._probation if queue == _PROBATION else self._protected

    @cython.cfunc
    def _push(self, node: _Node, queue: cython.Py_ssize_t) -> cython.bint:
        node.queue = queue
        self._numbered(queue).push(node)
        # What protection has no room for is on probation again. One too large for it is not taken into it.
        while queue == _PROTECTED and self._protected.weight > self._max_protected:
            node = self._protected.oldest
            self._pull(node)
            self._push(node, _PROBATION)
        return True

    @cython.cfunc
    def _pull(self, node: _Node) -> cython.bint:
        if node is self._hand:
            self._hand = node.newer
        self._numbered(node.queue).pull(node)
        return True

    @cython.cfunc
    def _forget(self, node: _Node, gone: list | None) -> cython.bint:
        """Remove an entry, keeping it in `gone` where it is not freed yet."""
        self._pull(node)
        del self._entries[node.key]
        if gone is not None:
            gone.append(node)
        return True
