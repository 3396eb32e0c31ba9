"""The parts of an edge, put together in one place: for a worker, for any ASGI server and for tests."""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from edge._fast import Limits, Slots, Spend
from edge.cache.answers import Answers
from edge.cache.memory import Generation
from edge.config import Config, Redis
from edge.conversations import Conversations
from edge.gateway import Gateway
from edge.guard.counts import Counts
from edge.guard.jwks import Fetching
from edge.guard.key_table import KeyTable
from edge.guard.limits import KeyLimits, shared_limits, shared_spend
from edge.money.usage_table import UsageTable
from edge.state import build_state
from edge.telemetry import Fanout
from edge.telemetry.genai import vendor
from edge.telemetry.logs import Logs
from edge.telemetry.metrics import Metrics, shared_slots
from edge.telemetry.recent import Recent
from edge.telemetry.trace_file import TraceFile
from edge.telemetry.tracing import Tracing
from edge.upstreams.desk import Buffers
from edge.upstreams.health import Health
from edge.upstreams.notices import Notices

if TYPE_CHECKING:
    from edge.redis.client import RedisClient

__all__ = ["Edge", "Shared", "compose", "machine_id", "tell_notes"]


def machine_id() -> bytes:
    """By which the processes of one machine are known to others."""
    return os.urandom(8).hex().encode()


def _slots() -> Slots:
    return shared_slots(1)


def _limits() -> Limits:
    return shared_limits(1)


def _usage() -> UsageTable:
    return UsageTable(bytearray(UsageTable.size(1)), 1, 1)


def _spend() -> Spend:
    return shared_spend(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The memory that the processes of an edge share, and which region of it is this process's own, from 1; ``since``
    is when the first of them began, in seconds of the wall clock, ``machine`` what tells them from those of others. By
    default: memory of a process that is alone.
    """

    slots: Slots = field(default_factory=_slots)
    limits: Limits = field(default_factory=_limits)
    spend: Spend = field(default_factory=_spend)
    usage: UsageTable = field(default_factory=_usage)
    generation: Generation = field(default_factory=Generation)
    notices: Any = None
    recent: Any = None
    region: int = 1
    since: float = field(default_factory=time.time)
    machine: bytes = field(default_factory=machine_id)


@dataclass(frozen=True, slots=True)
class Edge:
    """One process's parts, as far as a front needs to know them."""

    gateway: Gateway
    metrics: Metrics
    logs: Logs
    health: Health
    issuer: Fetching
    recent: Recent
    trace: TraceFile | None
    tracing: Tracing


def compose(
    config: Config,
    keys: KeyTable | None = None,
    *,
    loopback_only: bool = True,
    shared: Shared | None = None,
    logs: Logs | None = None,
) -> Edge:
    """The edge of a configuration; nothing of it is started. Raises OSError for a ``ca_file`` that cannot be read.

    `keys` and `loopback_only` are `Auth`'s; by default the keys are the configuration's. `logs` are those of a process
    that has some already.
    """
    shared = Shared() if shared is None else shared
    if logs is None:
        logs = Logs(config.telemetry.log.level, config.telemetry.log.format, sample=config.telemetry.log.sample)
    seed = random.getrandbits(63)
    state = build_state(config, keys, loopback_only=loopback_only, seed=seed)

    def vendor_of(name: str) -> str:
        known = gateway.state.settings.providers.get(name)
        return name if known is None else vendor(name, known.base_url)

    def knows_tenant(tenant: str) -> bool:
        auth = gateway.state.settings.auth
        return auth.jwt is None or tenant in auth.tenants

    vendors = vendor_of if config.telemetry.genai_metrics else None
    metrics = Metrics(shared.slots, shared.region, since=shared.since, vendors=vendors, knows_tenant=knows_tenant)
    answers = Answers(config.cache, metrics, shared.generation, logs.log)
    limits = KeyLimits(shared.limits, shared.region, metrics)
    counts = Counts(shared.limits, shared.spend, shared.usage, shared.region, metrics, shared.machine)
    counts.heed(config)
    conversations = Conversations(metrics, Buffers())

    async def share(client: RedisClient | None, redis: Redis | None) -> None:
        await asyncio.gather(counts.share(client, redis), conversations.share(client, redis))

    answers.shares = share
    trace = None
    if config.telemetry.trace_file is not None:
        trace = TraceFile(config.telemetry, shared.region, seed, partial(lost_lines, logs.log))
    recent = Recent(shared.recent, shared.region - 1)
    place = f"{shared.machine.decode()}-{shared.region - 1}"
    tracing = Tracing(config.telemetry.tracing, place, metrics, metrics.exemplify, logs.log)
    witnesses = (tracing.call_done,) if trace is None else (tracing.call_done, trace.call_done)
    gateway = Gateway(state, Fanout(metrics, logs, recent), metrics, answers, limits, counts, conversations, witnesses)
    notices = Notices(shared.notices, shared.region - 1)
    health = Health(lambda: gateway.state, notices, metrics, logs.log)
    issuer = Fetching(lambda: gateway.state.auth.tokens, logs.log)
    return Edge(gateway, metrics, logs, health, issuer, recent, trace, tracing)


def lost_lines(log: Any, count: int) -> None:
    log.warning("trace lines were dropped", count=count)


def tell_notes(notes: list[str], log: Any) -> None:
    """What a configuration says and hardly means."""
    for note in notes:
        log.warning("configuration", note=note)
