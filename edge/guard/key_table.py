"""Keys by their digests, and by those of the names in their certificates, in one piece of memory: made once, looked
into by every process, built by none.

A hundred thousand keys are a hundred thousand objects, which a serving loop would take a second to make. Here a key is
read when a request first presents it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hmac import compare_digest

import msgspec

from edge import config
from edge.certificates import digest_of_name

__all__ = ["KeyTable"]

HEAD = struct.Struct("=QQQQ")
"""How many digests there are, whether a key has a mode for the cache that keeps answers, whether they are of several
tenants, and how many bytes of the keys are those of the configuration itself.
"""
NUMBER = struct.Struct("=Q")
DIGEST = 32
NONE = bytes(DIGEST)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(config.Key).decode


class KeyTable:
    """``data``: the head; the digests' first eight bytes as numbers, in order; where each one's key begins and ends, as
    numbers; the digests, in the same order; the keys.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = memoryview(data).cast("B")
        count, caches, several, own = HEAD.unpack_from(self.data)
        self._count: int = count
        self._own: int = own
        self.caches = bool(caches)
        """Whether some key has a mode of its own in which answers are kept."""
        self.several = bool(several)
        """Whether they are keys of several tenants."""
        places = HEAD.size + 8 * self._count
        self._digests = places + 16 * self._count
        self._keys = self._digests + DIGEST * self._count
        # Numbers are read as they stand: who made the table is a process of this machine.
        self._starts = self.data[HEAD.size : places].cast("Q")
        self._places = self.data[places : self._digests].cast("Q")

    @classmethod
    def of(cls, keys: Sequence[config.Key], issued: int = 0) -> KeyTable:
        """The last `issued` ones are those of the keys file."""
        entries: list[tuple[int, bytes, int, int]] = []
        texts: list[bytes] = []
        at, caches, own = 0, False, 0
        tenants: set[str] = set()
        for number, key in enumerate(keys):
            if number == len(keys) - issued:
                own = at
            text = _encode(key)
            texts.append(text)
            caches = caches or key.cache not in (None, "off")
            if len(tenants) < 2:
                tenants.add(key.tenant or key.id)
            digests = [bytes.fromhex(digest.removeprefix("sha256:")) for digest in key.digests]
            if key.certificates:
                digests += map(digest_of_name, key.certificates)
            entries += [(number_of(raw), raw, at, at + len(text)) for raw in digests]
            at += len(text)
        entries.sort()
        count = len(entries)
        numbers = [entry[0] for entry in entries]
        places = [place for entry in entries for place in entry[2:]]
        head = HEAD.pack(count, caches, len(tenants) > 1, own if issued else at) + struct.pack(
            f"={3 * count}Q", *numbers, *places
        )
        return cls(b"".join([head, *(entry[1] for entry in entries), *texts]))

    def __len__(self) -> int:
        """How many digests."""
        return self._count

    def find(self, digest: bytes) -> config.Key | None:
        """Whose it is. One full comparison whatever is asked, so that time says nothing about a digest that is near."""
        place = self._place(number_of(digest))
        found = place < self._count
        at = self._digests + DIGEST * (place if found else 0)
        if not compare_digest(self.data[at : at + DIGEST] if self._count else NONE, digest) or not found:
            return None
        begin, end = self._places[2 * place], self._places[2 * place + 1]
        return _decode(self.data[self._keys + begin : self._keys + end])

    def own(self) -> list[config.Key]:
        """The keys that stand in the configuration itself, in their order."""
        places = {(self._places[2 * place], self._places[2 * place + 1]) for place in range(self._count)}
        return [
            _decode(self.data[self._keys + begin : self._keys + end])
            for begin, end in sorted(places)
            if end <= self._own
        ]

    def named(self, key_id: str) -> config.Key | None:
        """The key with this id. Looks through all of them: milliseconds for each ten thousand."""
        said = _encode(key_id)
        for place in range(self._count):
            begin, end = self._places[2 * place], self._places[2 * place + 1]
            text = bytes(self.data[self._keys + begin : self._keys + end])
            if said in text and (key := _decode(text)).id == key_id:
                return key
        return None

    def _place(self, number: int) -> int:
        """That of the first digest whose number is as large."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) >> 1
            if self._starts[middle] < number:
                low = middle + 1
            else:
                high = middle
        return low


def number_of(digest: bytes) -> int:
    number: int = NUMBER.unpack_from(digest)[0]
    return number
