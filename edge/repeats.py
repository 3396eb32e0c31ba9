"""Whole requests that come again, byte for byte, answered in one step.

What the gateway finds out about a request follows from its bytes and the configuration: whose it is, what that key may
do, which answer it is. So of a request whose answer was in memory all that is kept, by a digest of its head and body,
and when the same bytes come again only three things are looked at: whether that answer is still there, the key's
limits, and the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from random import getrandbits
from time import perf_counter, time

from msgspec.structs import replace

from edge._fast import stored_reply
from edge.cache.memory import MemoryCache
from edge.cache.recent import Recent
from edge.errors import Headers
from edge.exchange import Exchange
from edge.guard.auth import Key
from edge.guard.limits import KeyLimits
from edge.hooks import Add, Hooks, Meter, RequestRecord
from edge.money.accounting import Accounts
from edge.routes import Dialect
from edge.state import State

__all__ = ["MAX_REQUEST", "Repeats"]

MAX_REQUEST = 65536
"""Bytes of a request, head and body, that is looked for here; a longer one hardly comes in one piece."""
MAX_KNOWN = 8192
"""Of 2 KB each, beside what the cache may take."""
FRESH = frozenset({b"age", b"cache-status", b"request-id", b"server-timing", b"x-edge-overhead-ms", b"x-request-id"})
"""Fields of a reply that are never the same twice, with those of `QUOTAS`."""
QUOTAS = (b"anthropic-ratelimit-", b"x-ratelimit-")


@dataclass(frozen=True, slots=True)
class Known:
    """``digest`` and ``serial`` name the answer, which is looked for each time, and ``form`` its form; ``fields`` are
    those of its reply that stay the same, as lines; ``request_id`` is the client's own, if it gave one. ``record``
    tells of the request as the hooks have it, and ``counts`` what is to be added to the metrics.
    """

    key: Key
    dialect: Dialect
    digest: bytes
    serial: int
    form: tuple[bool, bool]
    limited: bool
    fields: bytes
    request_id: str
    record: RequestRecord
    counts: tuple[tuple[Add, float], ...]


class Repeats:
    """One worker's."""

    def __init__(self, hooks: Hooks, meter: Meter, accounts: Accounts, limits: KeyLimits) -> None:
        self._hooks = hooks
        self._hit = meter.bind("edge_cache_requests_total", "memory", "hit")
        self._accounts = accounts
        self._limits = limits
        self._known = Recent[Known](MAX_KNOWN)

    def learn(self, exchange: Exchange, request: bytes, headers: Headers) -> None:
        """Keep what is known of an exchange that was answered from memory: `request` is all of it, head and body, and
        `headers` are those of its reply.
        """
        held, plan, key = exchange.held, exchange.plan, exchange.key
        record = exchange.record("")
        savings = self._accounts.savings(record.model, key.tenant, record.cache, record.usage, held.entry.cost)
        given = exchange.index.get(b"x-request-id", b"").decode("latin-1")
        same = (pair for pair in headers if pair[0] not in FRESH and not pair[0].startswith(QUOTAS))
        known = Known(
            key,
            exchange.dialect,
            plan.digest,
            held.serial,
            (exchange.stream, plan.include_usage),
            key.limited,
            b"".join(b"%b: %b\r\n" % pair for pair in same),
            given if given == exchange.request_id else "",
            record,
            ((self._hit, 1.0), *savings),
        )
        use_s = min(held.left_s(), exchange.state.settings.cache.memory.ttl_s)  # Redis may have it for longer
        self._known.keep(sha256(request).digest(), known, exchange.state, use_s)

    def answer(self, request: bytes, start: bytes, peer: str, state: State, memory: MemoryCache) -> bytes | None:
        """The reply to a whole request; `start` is its status line, with fields that all replies have. None for a
        request that is not known, or cannot be answered as it was; then nothing was counted.
        """
        received_at = perf_counter()
        known = self._known.find(sha256(request).digest(), state)
        if known is None:
            return None
        held = memory.get(known.digest)
        if held is None or held.serial != known.serial:
            return None
        form = held.forms[known.form]
        assert form is not None  # noqa: S101 - it was served before
        fields = known.fields
        if known.limited:
            if not self._limits.pass_through(known.key):
                return None
            fields += b"".join(b"%b: %b\r\n" % pair for pair in self._limits.headers(known))
        for add, amount in known.counts:
            add(amount)
        request_id = known.request_id or f"{getrandbits(128):032x}"
        ours = request_id.encode("ascii")
        if known.dialect == "anthropic":
            fields += b"request-id: %b\r\n" % ours
        entry = held.entry
        now = time()
        took_s = perf_counter() - received_at
        self._hooks.request_done(
            replace(known.record, request_id=request_id, duration_s=took_s, overhead_s=took_s, peer=peer)
        )
        return stored_reply(start, fields, now - entry.stored_at, entry.expires_at - now, ours, took_s, form)
