"""What outlives a configuration: the connections to a provider, and how its upstreams do.

A `Site` is a provider as it is over the wire: where it is, how it is reached and as whom it is asked. A configuration
that says the same of that goes on with the site, whatever else it changes (prices, names of models, aliases); one that
says anything else has a site of its own, and the old one serves the requests that have begun by it. A `Fleet` is the
sites of one configuration.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from xxhash import xxh3_64_intdigest

from edge import config
from edge._fast import Member
from edge.upstreams.cooling import Cooling
from edge.upstreams.gate import Gate
from edge.upstreams.origin import Origin
from edge.upstreams.receiver import Transport
from edge.upstreams.transport import Pool

__all__ = ["Fleet", "Site", "open_site"]

MAX_MEMBERS = 4096
"""Of one site, beside those that the configuration names: clients may name models too."""
DECIDED_HERE: dict[str, object] = {
    "models": None,
    "prices": {},
    "priced_as": None,
    "system": "anywhere",
    "drop_headers": [],
    "drop_betas": [],
    "max_in_flight": None,
    "adaptive": False,
    "max_waiting": 64,
    "max_wait_s": 1.0,
    "health": None,
}
"""Settings of a provider that say what this gateway does, and nothing of where it asks, or as whom."""

DEFAULT = config.Breaker()
Identity = tuple[config.Provider, float, bytes]


class Site:
    """``transport`` is its connections, ``origin`` where WebSockets connect to; ``cooling`` is when each of its keys
    may be asked, in the order of the configuration; ``configured`` the models that a configuration names, whose members
    stay. ``told`` is what has been told of each model's member last: its state, and how often it had opened.
    """

    __slots__ = (
        "__weakref__",
        "_breaker",
        "_changes",
        "_gates",
        "_heard",
        "_members",
        "_names",
        "configured",
        "cooling",
        "identity",
        "name",
        "origin",
        "told",
        "transport",
    )

    def __init__(
        self,
        name: str,
        identity: Identity,
        transport: Transport,
        breaker: config.Breaker = DEFAULT,
        origin: Origin | None = None,
    ) -> None:
        self.name = name
        self.origin = origin
        self.identity = identity
        self.transport = transport
        self.cooling = [Cooling() for _ in identity[0].api_keys or (None,)]
        self.configured: frozenset[str] = frozenset()
        self.told: dict[str, tuple[str, int]] = {}
        self._members: dict[str, Member] = {}
        self._names: dict[int, str] = {}
        self._changes: list[Member] = []
        self._heard: dict[int, float] = {}
        self._gates: dict[str, Gate] = {}
        self._breaker = breaker

    def configure(self, breaker: config.Breaker) -> None:
        """Other settings of the breakers; what is open stays so for its time."""
        if breaker != self._breaker:
            self._breaker = breaker
            for member in list(self._members.values()):
                member.configure(breaker.failures, breaker.open_s, breaker.max_open_s, breaker.probes)

    def member(self, model: str) -> Member:
        """How the upstream does that this model is here: one member for all who ask, as long as it is remembered."""
        found = self._members.get(model)
        if found is None:
            if len(self._members) >= MAX_MEMBERS + len(self.configured):
                self._forget()
            # Another configuration is read in a thread of its own, and finds its upstreams' members meanwhile.
            key = xxh3_64_intdigest(f"{self.name}/{model}".encode())
            of = self._breaker
            made = Member(key, of.failures, of.open_s, of.max_open_s, of.probes, changes=self._changes)
            found = self._members.setdefault(model, made)
            self._names[key] = model
            until = self._heard.pop(key, 0.0)
            if until:
                hold(found, until)
                self.told[model] = "closed", found.opened  # who has told of it need not be told
        return found

    def changed(self) -> list[tuple[str, Member]]:
        """The members whose breakers have changed since this was called last, or that were drained or restored."""
        found = []
        while self._changes:
            member = self._changes.pop()
            member.heard()
            model = self._names.get(member.key, "")
            if self._members.get(model) is member:
                found.append((model, member))
        return found

    def known(self, key: int) -> Member | None:
        """The member of that key, if there is one."""
        return self._members.get(self._names.get(key, ""))

    def has(self, model: str) -> bool:
        """Whether the configuration names it, or somebody has asked for it."""
        return model in self.configured or model in self._members

    def model_of(self, member: Member) -> str:
        return self._names[member.key]

    def hear(self, key: int, until: float) -> None:
        """A sibling holds an upstream that nobody has asked for here, to that time, 0.0: not any more. Whoever asks for
        it first finds it so.
        """
        self._heard.pop(key, None)
        if until:
            if len(self._heard) >= MAX_MEMBERS:
                del self._heard[min(self._heard, key=self._heard.__getitem__)]
            self._heard[key] = until

    def gate(self, model: str, settings: config.Provider) -> Gate | None:
        """The places at that upstream, None where there is no bound; remembered as members are."""
        if settings.max_in_flight is None and not settings.adaptive:
            return None
        self.member(model)
        found = self._gates.get(model)
        if found is None:
            made = Gate(settings.max_in_flight, settings.adaptive, settings.max_waiting, settings.max_wait_s)
            found = self._gates.setdefault(model, made)
        return found

    @property
    def waiting(self) -> int:
        """How many requests wait for a place at an upstream here."""
        return sum(gate.waiting for gate in list(self._gates.values()))

    def bound(self, settings: config.Provider) -> None:
        """Other bounds of the places at all upstreams here."""
        for gate in list(self._gates.values()):
            gate.configure(settings.max_in_flight, settings.adaptive, settings.max_waiting, settings.max_wait_s)

    def members(self) -> Iterator[tuple[str, Member]]:
        """Those that the configuration names, and whoever was asked besides."""
        for model in self.configured:
            self.member(model)
        yield from list(self._members.items())

    def shown(self, most: int) -> list[tuple[str, Member]]:
        """Whom to tell of: those that the configuration names, and of those that clients have named the latest, and the
        latest that let nothing through; `most` of each, since there may be thousands.
        """
        away = [model for model, (state, _) in self.told.items() if state != "closed"]
        names = dict.fromkeys([*sorted(self.configured), *away[-most:], *list(self._members)[-most:]])
        return [(model, self.member(model)) for model in names]

    def _forget(self) -> None:
        """Clients name so many models: their members go, but for those that are asked just now, or let nothing through.
        Of the latter those that are drained stay; open breakers, of which clients can make any number, go where that is
        not enough.
        """
        closed = [model for model, member in self._members.items() if not member.drained and member.state == "closed"]
        self._drop(closed)
        if len(self._members) > (MAX_MEMBERS + len(self.configured)) // 2:
            self._drop([model for model, member in self._members.items() if not member.drained])

    def _drop(self, models: list[str]) -> None:
        for model in models:
            member = self._members[model]
            if model not in self.configured and not member.in_flight:
                del self._members[model], self._names[member.key]
                self._gates.pop(model, None)
                self.told.pop(model, None)


def hold(member: Member, until: float) -> None:
    """Send nothing there to that time; infinity: it is drained."""
    if until == inf:
        member.drain()
    else:
        member.hold(until)


@dataclass(frozen=True, slots=True)
class Fleet:
    """``sites`` by the names of the providers; ``configured`` has the models of each that the configuration names;
    ``breaker`` are the settings of all breakers.
    """

    breaker: config.Breaker
    providers: dict[str, config.Provider]
    sites: dict[str, Site]
    configured: dict[str, frozenset[str]]

    @classmethod
    def of(cls, settings: config.Config, old: Fleet | None = None) -> Fleet:
        """The fleet of a configuration, with those of the old sites that are the same. The old one serves on: nothing
        of it ends before `succeed`. Raises OSError for a ``ca_file`` that cannot be read.
        """
        connect_s, breaker = settings.resilience.connect_s, settings.resilience.breaker
        sites: dict[str, Site] = {}
        for name, provider in settings.providers.items():
            known = old.sites.get(name) if old is not None else None
            same = known is not None and known.identity == identity(provider, connect_s)
            sites[name] = known if known is not None and same else open_site(name, provider, connect_s, breaker)
        configured: dict[str, set[str]] = {name: set() for name in sites}
        for name, model in upstreams_of(settings):
            configured[name].add(model)
        fleet = cls(
            breaker, settings.providers, sites, {name: frozenset(models) for name, models in configured.items()}
        )
        for name, site in sites.items():
            site.configured |= fleet.configured[name]
        return fleet

    def succeed(self, old: Fleet) -> None:
        """New requests are served by this one from now on. What is only the old one's keeps no connection beyond the
        answers that are on their way, and is gone when the last request that knows it is over.
        """
        kept = set(self.sites.values())
        for site in old.sites.values():
            if site not in kept:
                site.transport.retire()
        for name, site in self.sites.items():
            site.configured = self.configured[name]
            site.configure(self.breaker)
            site.bound(self.providers[name])

    async def close(self) -> None:
        """Close every connection."""
        for site in self.sites.values():
            await site.transport.close()


def upstreams_of(settings: config.Config) -> Iterator[tuple[str, str]]:
    """Provider and model of each upstream that a configuration names."""
    for model in settings.models.values():
        for target in model.upstreams:
            name, _, upstream = target.to.partition("/")
            yield name, upstream
    for name, provider in settings.providers.items():
        for pattern in provider.models or ():
            if not set(pattern) & set("*?["):
                yield name, pattern


def identity(settings: config.Provider, connect_s: float) -> Identity:
    """What a site is known by. A ``ca_file`` counts by what is in it. Raises OSError for one that cannot be read."""
    authorities = b""
    if settings.ca_file is not None and urlsplit(settings.base_url).scheme == "https":
        authorities = hashlib.sha256(Path(settings.ca_file).read_bytes()).digest()
    return msgspec.structs.replace(settings, **DECIDED_HERE), connect_s, authorities


def open_site(name: str, settings: config.Provider, connect_s: float, breaker: config.Breaker = DEFAULT) -> Site:
    """A site to which nothing is connected yet. Raises OSError for a ``ca_file`` that cannot be read."""
    known_by = identity(settings, connect_s)
    url = urlsplit(settings.base_url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    tls = tls_for(settings) if url.scheme == "https" else None
    origin = Origin(host, port, tls, connect_s)
    transport: Transport
    if settings.http2:
        from edge.upstreams.http2 import HttpxTransport  # few have such a provider

        transport = HttpxTransport(
            f"{url.scheme}://{url.netloc}",
            connect_s=connect_s,
            max_connections=settings.max_connections,
            tls=None if tls is None else tls_for(settings),  # it asks for HTTP/2, which WebSockets are not spoken over
        )
    else:
        transport = Pool(host, port, tls=tls, connect_s=connect_s, max_connections=settings.max_connections)
    return Site(name, known_by, transport, breaker, origin)


def tls_for(settings: config.Provider) -> ssl.SSLContext:
    """Raises OSError for a ``ca_file`` that cannot be read."""
    tls = ssl.create_default_context(cafile=settings.ca_file)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return tls
