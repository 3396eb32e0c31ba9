"""How the upstreams do: what of it is told to siblings, to metrics, to the log, and to the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from math import inf
from time import perf_counter
from typing import Any, Literal, Protocol

import msgspec

from edge._fast import Member
from edge.config import Config, Watch
from edge.errors import UNREADABLE, EdgeError, InvalidRequest, ProviderError, UnsupportedRoute
from edge.hooks import Meter
from edge.upstreams.breaker_levels import TAKES, BreakerLevels
from edge.upstreams.cooling import AVOIDED, RESTING
from edge.upstreams.fleet import Fleet, Site
from edge.upstreams.notices import DRAINED, OPENED, RESTORED, Notice, Notices
from edge.upstreams.provider import Provider
from edge.upstreams.rules import UNSERVED
from edge.upstreams.wire import whole

__all__ = ["LOOK_S", "Health", "UpstreamHealth", "UpstreamOrder"]

ORDERS = 'What is to be done is said so: {"upstream": "provider/model", "action": "drain"}, or "restore".'
MAX_BYTES = 8 << 20
NEVER = ("closed", 0)
"""What is known of one that nothing was told of."""
SHOWN = 256
"""Upstreams of a provider that a page tells of beside those of the configuration: thousands would take 20 ms."""
WATCH_S = 5.0
LOOK_S = 0.25
"""An opening is told at the next look, and heard at the one after it."""


class UpstreamOrder(msgspec.Struct):
    """What an operator wants of an upstream, ``provider/model``: that it is sent no more requests, or requests again,
    whatever its breaker has seen.
    """

    upstream: str
    action: Literal["drain", "restore"]


class UpstreamHealth(msgspec.Struct):
    """``state`` is that of the breaker, ``drained`` where an operator lets nothing through. Times are in seconds, and
    None where nothing was measured; ``retry_after_s`` is 0 where a request is let through.
    """

    upstream: str
    state: str
    in_flight: int
    error_rate: float
    first_content_s: float | None
    seconds_per_token: float | None
    openings: int
    retry_after_s: float


class InForce(Protocol):
    """What is asked of an `edge.state.State`."""

    settings: Config
    fleet: Fleet

    @property
    def providers(self) -> dict[str, Provider]:
        """By their names."""
        ...


class Watched:
    """A provider that is watched: when to ask it next, who is at it, and how often it was not there in a row."""

    def __init__(self) -> None:
        self.due = 0.0
        self.failures = 0
        self.asking: asyncio.Task[None] | None = None


class Health:
    """One process's view. `state` gives what is in force; `log` takes what changes."""

    def __init__(self, state: Callable[[], InForce], notices: Notices, meter: Meter, log: Any) -> None:
        self._state = state
        self._notices = notices
        self._meter = meter
        self._levels = BreakerLevels(meter)
        self._log = log
        self._fleet: Fleet | None = None
        self._keys: dict[tuple[str, int], str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[str, Watched] = {}

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LOOK_S, self.start)
        self.look(perf_counter())
        self._watch(perf_counter())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for watched in self._watched.values():
            if watched.asking is not None:
                watched.asking.cancel()

    def look(self, now: float) -> None:
        """Tell what has changed here, and hear what has elsewhere. Only who has changed is looked at: clients may have
        named thousands of models.
        """
        fleet = self._state().fleet
        self._hear(fleet, now)
        news = fleet is not self._fleet
        for site in fleet.sites.values():
            for model, member in site.changed():
                self._tell(site, model, member, now)
                news = news or model in fleet.configured[site.name]
        if news:
            self._fleet = fleet
            self._levels.tell(
                {(name, model): (state_of(member), member.opened) for name, model, member in configured(fleet)},
                fleet.sites,
            )
        self._look_at_keys(fleet, now)

    def _hear(self, fleet: Fleet, now: float) -> None:
        """What others have told."""
        for notice in self._notices.news():
            for site in fleet.sites.values():
                member = site.known(notice.key)
                if member is None:
                    site.hear(notice.key, until_of(notice, now))
                    continue
                apply(member, notice.what, notice.until, now)
                if notice.what == OPENED:
                    state, _ = site.told.get(site.model_of(member), NEVER)
                    site.told[site.model_of(member)] = state, member.opened

    def _tell(self, site: Site, model: str, member: Member, now: float) -> None:
        """Tell of one that has changed."""
        state, opened = state_of(member), member.opened
        before, openings = site.told.get(model, NEVER)
        site.told[model] = state, opened
        if opened > openings and state == "open":
            self._notices.tell(member.key, OPENED, member.ready, now)
        if state == before:
            return
        log = self._log.info if state in TAKES else self._log.warning
        log("upstream", provider=site.name, model=model, state=state)

    def _look_at_keys(self, fleet: Fleet, now: float) -> None:
        """Which keys are left alone, or were refused."""
        states = {
            (name, number): cooling.state(now)
            for name, site in fleet.sites.items()
            for number, cooling in enumerate(site.cooling, 1)
        }
        if states == self._keys:
            return
        before, self._keys = self._keys, states
        for name in {name for name, _ in before.keys() | states.keys()}:
            found = [state for (provider, _), state in states.items() if provider == name]
            for state in (RESTING, AVOIDED):
                self._meter.level("edge_upstream_keys", float(found.count(state)), name, state)
        for (name, number), state in states.items():
            if state != before.get((name, number), ""):
                log = self._log.warning if state else self._log.info
                log("upstream key", provider=name, key_number=number, state=state or "usable")

    def _watch(self, now: float) -> None:
        """Ask those providers that are to be watched, when it is time."""
        for name, provider in self._state().providers.items():
            settings = self._state().settings.providers[name].health
            watched = self._watched.setdefault(name, Watched())
            if settings is not None and now >= watched.due and watched.asking is None:
                watched.due = now + settings.interval_s
                watched.asking = asyncio.create_task(self._ask(provider, settings, watched))

    async def _ask(self, provider: Provider, settings: Watch, watched: Watched) -> None:
        there = False
        try:
            async with asyncio.timeout(min(settings.interval_s, WATCH_S)):
                status, _ = await whole(provider.transport, provider.watch_request(settings.path), MAX_BYTES)
            there = status < 500 or status in UNSERVED
        except (EdgeError, TimeoutError) as error:  # which is what is to be found out
            if isinstance(error, ProviderError) and error.ours:
                return
        finally:
            watched.asking = None
        self.heard(provider, watched, there, perf_counter())

    def heard(self, provider: Provider, watched: Watched, there: bool, now: float) -> None:
        """What a watch has shown. Who is there may be probed at once; who was not, so often as opens a breaker, is not
        asked.
        """
        watched.failures = 0 if there else watched.failures + 1
        breaker = self._state().settings.resilience.breaker
        for _, member in provider.site.members():
            if there:
                member.ripen(now)
            elif watched.failures >= breaker.failures:
                member.hold(now + breaker.open_s)

    def upstreams(self) -> list[UpstreamHealth]:
        """All that the configuration names, and of those that were asked besides some (`Site.shown`)."""
        now = perf_counter()
        return [
            UpstreamHealth(
                f"{provider}/{model}",
                state_of(member),
                member.in_flight,
                round(member.error_rate, 4),
                member.ttfc,
                member.seconds_per_token,
                member.opened,
                round(member.retry_after(now), 3),
            )
            for provider, site in self._state().fleet.sites.items()
            for model, member in site.shown(SHOWN)
        ]

    def available(self) -> tuple[int, int]:
        """How many of the upstreams that the configuration names let requests through, and how many there are."""
        found = [state_of(member) for _, _, member in configured(self._state().fleet)]
        return sum(state in TAKES for state in found), len(found)

    def obey(self, body: bytes) -> UpstreamOrder:
        """Do what an operator orders. Raises InvalidRequest, UnsupportedRoute where there is no such upstream."""
        try:
            asked = msgspec.json.decode(body, type=UpstreamOrder)
        except UNREADABLE:
            raise InvalidRequest(ORDERS) from None
        now, what = perf_counter(), DRAINED if asked.action == "drain" else RESTORED
        name, _, model = asked.upstream.partition("/")
        site, provider = self._state().fleet.sites.get(name), self._state().providers.get(name)
        # Which of the models that clients name have been asked for is a matter of the worker that is told of it here.
        if site is None or provider is None or not (site.has(model) or provider.claims(model)):
            raise UnsupportedRoute("There is no such upstream.", param="upstream")
        member = site.member(model)
        apply(member, what, 0.0, now)
        self._notices.tell(member.key, what, 0.0, now)
        self.look(now)
        return asked


def configured(fleet: Fleet) -> Iterator[tuple[str, str, Member]]:
    """Provider, model and member of each upstream that the configuration names."""
    for name, models in fleet.configured.items():
        for model in models:
            yield name, model, fleet.sites[name].member(model)


def until_of(notice: Notice, now: float) -> float:
    """To which time an upstream is held by a notice: infinity where it is drained, 0.0 for not at all."""
    if notice.what == DRAINED:
        return inf
    return notice.until if notice.what == OPENED and notice.until > now else 0.0


def state_of(member: Member) -> str:
    return "drained" if member.drained else member.state


def apply(member: Member, what: int, until: float, now: float) -> None:
    if what == DRAINED:
        member.drain()
    elif what == RESTORED:
        member.restore()
    elif until > now:
        member.hold(until)
