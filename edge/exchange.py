"""One request and its reply, as the gateway sees them: no server, no sockets.

A front (``edge/server``) makes an exchange at the end of a request's headers, sets ``body`` at its end, and implements
the sink. The gateway writes the stages' results into it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import perf_counter
from typing import Any

from edge.errors import EdgeError, Headers
from edge.hooks import Usage
from edge.routes import Dialect, Match

__all__ = ["Exchange"]


class Exchange(ABC):
    """``headers`` are lower-case byte pairs in their order, ``query`` the bytes after ``?``, ``peer`` the client's
    address or "", ``received_at`` a reading of ``time.perf_counter()`` at the end of the headers.

    ``started`` and ``ended`` say how far the reply is, ``gone`` that the client left.
    """

    # What the gateway's stages find out is typed where it is made, above this module: key (guard.auth.Key), state
    # (gateway.State), upstreams (upstreams.router.Upstream), events (dialects.Stream).
    __slots__ = (
        "_header_index",
        "_waiting_since",
        "argument",
        "attempts",
        "body",
        "content_at",
        "deadline_ms",
        "dialect",
        "ended",
        "error",
        "events",
        "gone",
        "headers",
        "key",
        "method",
        "model",
        "model_label",
        "peer",
        "provider",
        "query",
        "received_at",
        "request_id",
        "route",
        "settled",
        "spans",
        "started",
        "state",
        "status",
        "stream",
        "target",
        "upstream_model",
        "upstream_s",
        "upstreams",
        "usage",
    )

    def __init__(
        self,
        match: Match,
        method: str,
        target: bytes,
        query: bytes,
        headers: Headers,
        peer: str,
        request_id: str,
        received_at: float,
    ) -> None:
        self.route = match.route
        self.dialect: Dialect = match.dialect
        self.argument = match.argument
        self.method = method
        self.target = target
        self.query = query
        self.headers = headers
        self.peer = peer
        self.request_id = request_id
        self.received_at = received_at
        self.body = b""
        self._header_index: dict[bytes, bytes] | None = None
        if match.route.dialect is None and self.header(b"anthropic-version") is not None:
            self.dialect = "anthropic"

        # What the stages find out.
        self.state: Any = None
        self.key: Any = None
        self.spans: dict[str, tuple[int, int]] = {}
        self.model = ""
        self.model_label = ""
        self.stream = False
        self.deadline_ms: int | None = None
        self.upstreams: tuple[Any, ...] = ()
        self.attempts = 0
        self.provider = ""
        self.upstream_model = ""
        self.events: Any = None
        self.usage: Usage | None = None
        self.content_at = 0.0
        self.upstream_s = 0.0
        self._waiting_since = 0.0

        # The reply so far.
        self.status = 0
        self.error: EdgeError | None = None
        self.started = False
        self.ended = False
        self.gone = False
        self.settled = False

    # Reading the request.

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, None without it."""
        index = self._header_index
        if index is None:
            index = self._header_index = {}
            for key, value in self.headers:
                index.setdefault(key, value)
        return index.get(name)

    def header_values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    # Time spent upstream, so that overhead can be told from it.

    def upstream_begins(self) -> None:
        self._waiting_since = perf_counter()

    def upstream_ends(self) -> None:
        if self._waiting_since:
            self.upstream_s += perf_counter() - self._waiting_since
            self._waiting_since = 0.0

    def overhead_s(self) -> float:
        """Seconds this request has taken so far, without what was spent upstream."""
        return max(0.0, perf_counter() - self.received_at - self.upstream_s)

    # The sink. A front overrides these; none of the first four waits.

    @abstractmethod
    def start(self, status: int, headers: Headers) -> None:
        """Begin the reply."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Add to the reply's body."""

    @abstractmethod
    def end(self) -> None:
        """The reply is complete."""

    @abstractmethod
    def abort(self) -> None:
        """Break the connection off: the client must not take what it has for a complete reply."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until the client takes more."""
