"""What follows the opening of a request's body while it still comes: on its way from a client to a provider.

The client is read no faster than the provider takes it. What has been taken is kept as long as that is little, so that
another provider can be sent the same; once it is more, nobody else can be asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge.clock import perf_counter

if TYPE_CHECKING:
    from edge.call import Call
    from edge.upstreams.desk import Buffers

__all__ = ["REPEATED", "Taker", "Upload"]

HIGH = 1 << 18
"""Bytes that wait for the provider, above which nothing is read of the client's."""
REPEATED = 4 << 20
"""Bytes up to which what has been taken is kept."""


class Taker:
    """Who takes it, on behalf of a provider. (A compiled class has no abstract methods.)"""

    def more(self) -> None:
        """There is more of it, or its end has come. Called on its own, never by who is just being called."""
        raise NotImplementedError


class Upload:
    """``size`` is what there will be of it in bytes, -1 where its client does not say; ``come`` what has come of it,
    ``waiting`` what nobody has taken yet, since ``moved_at``, a reading of `edge.clock`. ``whole``: its end has
    come. ``repeatable``: it can be taken from its beginning.
    """

    def __init__(self, call: Call, buffers: Buffers, size: int) -> None:
        self._call: Call | None = call
        self._buffers = buffers
        self._loop = asyncio.get_running_loop()
        self.size = size
        self.come = self.waiting = 0
        self.moved_at = perf_counter()
        self.whole = False
        self.repeatable = True
        self._ahead = bytearray()
        self._taken = bytearray()
        self._taker: Taker | None = None
        self._waking = self._held_back = False

    # From the client.

    def add(self, data: bytes) -> None:
        """The next bytes of it. Raises Overloaded where too much is held."""
        call = self._call
        if call is None or not data:
            return
        size = len(data)
        self._buffers.hold(call, size)
        if not self.waiting:
            self.moved_at = perf_counter()
        self._ahead += data
        self.come += size
        self.waiting += size
        if self.waiting > HIGH and not self._held_back:
            self._held_back = True
            call.hold_back(True)
        self._wake()

    def end(self) -> None:
        """That was all of it."""
        self.whole = True
        self._wake()

    def close(self) -> None:
        """Nobody wants it any more."""
        call, self._call, self._taker = self._call, None, None
        self._ahead = self._taken = bytearray()
        self.waiting = 0
        self.repeatable = False
        if call is not None and self._held_back:
            call.hold_back(False)

    # To the provider.

    def begin(self, taker: Taker) -> None:
        """From here on this one takes it, from its beginning."""
        assert self.repeatable  # noqa: S101 - who asks another provider has looked
        if self._taken:
            self._ahead[:0] = self._taken
            self._taken.clear()
            self.waiting = len(self._ahead)
        self.moved_at = perf_counter()
        self._taker = taker
        self._wake()

    def take(self) -> bytes:
        """What waits of it, b"" for nothing."""
        call, data = self._call, bytes(self._ahead)
        size = len(data)
        if call is None or not size:
            return b""
        self._ahead.clear()
        self.waiting = 0
        self.moved_at = perf_counter()
        if self.repeatable and len(self._taken) + size > REPEATED:
            self.repeatable = False
            size += len(self._taken)
            self._taken = bytearray()
        if self.repeatable:
            self._taken += data
        else:
            self._buffers.let_go(call, call.buffered - size)
        if self._held_back:
            self._held_back = False
            call.hold_back(False)
        return data

    def taken(self) -> bool:
        """Whether all of it has been."""
        return self.whole and not self.waiting

    def _wake(self) -> None:
        if self._taker is not None and not self._waking:
            self._waking = True
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._waking = False
        if self._taker is not None:
            self._taker.more()
