"""The body of an answer that is no stream, as it comes."""

from __future__ import annotations

from io import BytesIO

from edge.errors import UpstreamBadResponse
from edge.inquiry import Inquiry
from edge.upstreams.desk import Buffers
from edge.upstreams.retry import check_end

__all__ = ["Collected"]

MAX_ANSWER = 64 << 20


class Collected:
    """What has come of a body. Until `let_go` what is copied of it counts as held for its inquiry."""

    def __init__(self, buffers: Buffers, inquiry: Inquiry) -> None:
        self.begin(buffers, inquiry)

    def begin(self, buffers: Buffers, inquiry: Inquiry) -> None:
        """As it is made: nothing has come."""
        self._buffers = buffers
        self._inquiry = inquiry
        self._first = b""
        self._body: BytesIO | None = None
        self._held = 0

    def take(self, data: bytes) -> None:
        """The next bytes. Raises UpstreamBadResponse above `MAX_ANSWER`, Overloaded where too much is held."""
        if self._body is None and not self._first:
            self._first = data
            return
        if self._body is None:
            # Not a bytearray: this one gives its bytes away without a copy.
            self._body = BytesIO()
            self._hold(self._body.write(self._first))
            self._first = b""
        self._hold(self._body.write(data))
        if self._body.tell() > MAX_ANSWER:
            raise UpstreamBadResponse(f"The provider's answer is larger than {MAX_ANSWER >> 20} MiB.")

    def whole(self, framed: bool) -> bytes:
        """All of it, once its end has come; `framed` as in `Receiver.head`. Raises UpstreamStreamBroken."""
        whole = self._first if self._body is None else self._body.getvalue()
        if not framed:
            if self._body is None:
                self._hold(len(whole))
            check_end(whole)
        return whole

    def let_go(self) -> None:
        """Nothing of it is held any more."""
        if self._held:
            self._buffers.let_go(self._inquiry, max(0, self._inquiry.buffered - self._held))
            self._held = 0

    def _hold(self, size: int) -> None:
        self._held += size
        self._buffers.hold(self._inquiry, size)
