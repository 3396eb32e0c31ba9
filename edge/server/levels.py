"""How full a worker is and how long it stands still, for the metrics: looked at now and then, so that a request does
nothing for it.
"""

from __future__ import annotations

import asyncio
import gc
from math import nan
from time import monotonic, perf_counter

from edge.config import Config
from edge.gateway import Gateway
from edge.guard.quotas import Quota
from edge.money.pricing import PICO
from edge.server.usage import common
from edge.telemetry import recent
from edge.telemetry.logs import Logs
from edge.telemetry.metrics import PERIOD_S, Metrics

__all__ = ["Levels"]

MAX_BUDGETS = 200
SAID_S = 60.0
"""For so long what a provider has said of its quotas holds: most are those of a minute."""
LAG_S = 0.25
"""A timer of this length tells by how late it comes how long the loop did something else."""


class Levels:
    """One worker's. Everything that is under way ends with ``stop``."""

    def __init__(self, gateway: Gateway, metrics: Metrics, logs: Logs, latest: recent.Recent) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._logs = logs
        self._recent = latest
        self._lag = metrics.bind("edge_event_loop_lag_seconds")
        self._told: set[str] = set()
        self._said: dict[tuple[str, int, str], tuple[float, float]] = {}
        self._quotas: set[tuple[str, str]] = set()
        self._settings: Config | None = None
        self._budgets: list[Quota] = []
        self._begun = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        gc.callbacks.append(self._collected)
        self._timers = [loop.call_later(0.0, self._look, loop), self._set(loop), loop.call_later(0.0, self._tell, loop)]

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def _set(self, loop: asyncio.AbstractEventLoop) -> asyncio.TimerHandle:
        return loop.call_later(LAG_S, self._late, loop, loop.time() + LAG_S)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timers[2] = loop.call_later(recent.PERIOD_S, self._tell, loop)
        self._recent.tell(monotonic())

    def _late(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._lag.tell(max(loop.time() - due, 0.0))
        self._timers[1] = self._set(loop)

    def _collected(self, phase: str, found: dict[str, int]) -> None:
        """As one of ``gc.callbacks``."""
        now = perf_counter()
        if phase == "start":
            self._begun = now
        elif self._begun:
            self._metrics.observe("edge_gc_pause_seconds", now - self._begun, str(found["generation"]))

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timers[0] = loop.call_later(PERIOD_S, self._look, loop)
        self.look()

    def look(self) -> None:
        """Tell how it is now."""
        level = self._metrics.level
        self._metrics.look()
        self._look_at_budgets()
        self._look_at_quotas(monotonic())
        waiting, places = 0, 0
        told: set[str] = set()
        for name, site in self._gateway.state.fleet.sites.items():
            places += site.waiting
            counted = site.transport.connections()
            if counted is None:
                continue
            told.add(name)
            waiting += counted.waiting
            for state, number in (("busy", counted.busy), ("idle", counted.idle), ("opening", counted.opening)):
                level("edge_upstream_connections", number, name, state)
        for name in self._told - told:  # of a configuration before this one
            for state in ("busy", "idle", "opening"):
                level("edge_upstream_connections", 0.0, name, state)
        self._told = told
        level("edge_queue_length", waiting, "connections")
        level("edge_queue_length", places, "places")
        level("edge_queue_length", self._gateway.answers.queued, "redis_writes")
        level("edge_log_queue_bytes", self._logs.queued)

    def _look_at_quotas(self, now: float) -> None:
        """What is left of the providers' own, as they have said lately: the least of all keys."""
        for name, provider in self._gateway.state.providers.items():
            for number, found in enumerate(provider.remaining()):
                for kind, left in found.items():
                    self._said[name, number, kind] = left, now + SAID_S
        self._said = {key: (left, until) for key, (left, until) in self._said.items() if until > now}
        least: dict[tuple[str, str], float] = {}
        for (name, _, kind), (left, _) in self._said.items():
            least[name, kind] = min(left, least.get((name, kind), left))
        for name, kind in self._quotas - least.keys():
            self._metrics.level("edge_upstream_ratelimit_remaining", nan, name, kind)
        for (name, kind), left in least.items():
            self._metrics.level("edge_upstream_ratelimit_remaining", left, name, kind)
        self._quotas = {*least}

    def _look_at_budgets(self) -> None:
        """What tenants and aliases have spent. There are as many as the configuration has, the first of them told."""
        counts, settings = self._gateway.counts, self._gateway.state.settings
        today, level = counts.today(), self._metrics.level
        if settings is not self._settings:
            for quota in self._budgets:
                level("edge_budget_limit_usd", 0.0, quota.scope, quota.name, quota.per)
                level("edge_budget_used_usd", 0.0, quota.scope, quota.name, quota.per)
            self._settings = settings
            self._budgets = [quota for quota in common(settings) if quota.budget >= 0][:MAX_BUDGETS]
        for quota in self._budgets:
            mark = quota.mark(today)
            used = counts.spend.spent(mark) + counts.spend.held(mark)
            level("edge_budget_limit_usd", quota.budget / PICO, quota.scope, quota.name, quota.per)
            level("edge_budget_used_usd", used / PICO, quota.scope, quota.name, quota.per)
