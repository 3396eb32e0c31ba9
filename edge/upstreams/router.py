"""From the model a request names to the upstreams that may serve it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from edge import config
from edge.errors import Headers, ModelNotFound, UnsupportedRoute
from edge.routes import Route
from edge.upstreams.provider import Provider

__all__ = ["Resolution", "Router", "Upstream"]

MAX_CACHED = 4096
MAX_COMPARED = 100
MAX_NAME = 64
PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))
"""A model's name as a header value: what is not among these is percent-encoded as in a URL."""


class Upstream:
    """A provider and the model to ask it for.

    ``names`` is what a key's patterns may match: ``provider/model`` and the bare model; ``headers`` tell the client who
    answered; ``price`` is what its answers cost, None where that is not known. ``member`` is how it does, over all
    configurations that have it.
    """

    __slots__ = ("headers", "member", "model", "names", "price", "provider")

    def __init__(self, provider: Provider, model: str, price: config.Price | None = None) -> None:
        """`price` is that of the alias, where it has one."""
        self.provider = provider
        self.model = model
        self.member = provider.site.member(model)
        self.price = provider.price(model) if price is None else provider.own_price(price, model)
        self.names = (f"{provider.name}/{model}", model)
        self.headers: Headers = [
            (b"x-edge-provider", provider.name.encode("ascii")),
            (b"x-edge-model", quote(model, safe=PRINTABLE).encode("ascii")),
        ]


@dataclass(frozen=True, slots=True)
class Resolution:
    """``alias`` is the configured name the request used, "" for a name found by provider or pattern.

    ``fallbacks`` are (alias, upstreams) to try after ``upstreams``; a key needs them granted for themselves.
    """

    alias: str
    upstreams: tuple[Upstream, ...]
    fallbacks: tuple[tuple[str, tuple[Upstream, ...]], ...] = ()


class Router:
    """Resolves names: exact alias, then ``provider/model``, then the providers' patterns in configuration order, then
    the only provider of the route's dialect that has no ``models`` of its own. Immutable but for its memory.
    """

    def __init__(
        self,
        models: dict[str, config.Model],
        providers: dict[str, Provider],
        live_names: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`live_names` gives names the providers are known to have, for hints only."""
        self.providers = providers
        self._live_names = live_names
        self.aliases = {
            alias: tuple(_target(target.to, providers, model.price) for target in model.upstreams)
            for alias, model in models.items()
        }
        self._fallbacks = {alias: tuple(model.fallbacks) for alias, model in models.items()}
        self._known: dict[tuple[str, str], Resolution] = {}
        self.spelled = frozenset(self.names())

    def resolve(self, name: str, route: Route) -> Resolution:
        """Raises ModelNotFound; UnsupportedRoute (400) where the model exists, but nothing can serve this route."""
        known = self._known.get((name, route.endpoint))
        if known is not None:
            return known
        alias, found = self._find(name, route)
        if not found:
            raise ModelNotFound(f"The model '{name}' does not exist here.", param="model")
        usable = tuple(upstream for upstream in found if upstream.provider.serves(route))
        fallbacks = tuple(
            (other, tuple(upstream for upstream in self.aliases[other] if upstream.provider.serves(route)))
            for other in self._fallbacks.get(alias, ())
        )
        if not usable and not any(upstreams for _, upstreams in fallbacks):
            dialects = " and ".join(sorted({upstream.provider.dialect for upstream in found}))
            raise UnsupportedRoute(
                f"The model '{name}' is served by a provider of the {dialects} dialect, "
                f"which cannot be reached through {route.endpoint}.",
                status=400,
                param="model",
            )
        resolution = Resolution(alias, usable, fallbacks)
        if len(self._known) >= MAX_CACHED:
            self._known.clear()  # names come from clients
        self._known[(name, route.endpoint)] = resolution
        return resolution

    def _find(self, name: str, route: Route) -> tuple[str, tuple[Upstream, ...]]:
        if name in self.aliases:
            return name, self.aliases[name]
        head, slash, tail = name.partition("/")
        if slash and tail and head in self.providers:
            return "", (Upstream(self.providers[head], tail),)
        claiming = [provider for provider in self.providers.values() if provider.claims(name)]
        for fits in (Provider.speaks, Provider.serves):
            for provider in claiming:
                if fits(provider, route):
                    return "", (Upstream(provider, name),)
        if claiming:
            return "", (Upstream(claiming[0], name),)
        open_to_all = [
            provider for provider in self.providers.values() if not provider.has_own_models and provider.speaks(route)
        ]
        if len(open_to_all) == 1:
            return "", (Upstream(open_to_all[0], name),)
        return "", ()

    def listed_name(self, upstream: Upstream, route: Route) -> str:
        """The shortest name that leads to an upstream by `route`: the bare model where that resolves to it."""
        alias, found = self._find(upstream.model, route)
        leads = not alias and found and found[0].names == upstream.names
        return upstream.model if leads else upstream.names[0]

    def close_names(self, name: str, granted: Callable[[str], bool]) -> list[str]:
        """Names that exist and look like `name`, of those that are `granted`."""
        candidates = [
            other for other in (*self.names(), *self._live_names()) if other[:2] == name[:2] or len(other) < 6
        ]
        # The comparison is costly and runs on the event loop; whoever lists thousands of models sees a list anyway.
        candidates = [other for other in candidates if granted(other)][:MAX_COMPARED]
        return difflib.get_close_matches(name[:MAX_NAME], candidates, n=3)

    def names(self) -> Iterable[str]:
        """Every model name the configuration spells out."""
        seen = dict.fromkeys(self.aliases)
        for upstreams in self.aliases.values():
            seen.update(dict.fromkeys(name for upstream in upstreams for name in upstream.names))
        for provider in self.providers.values():
            seen.update(dict.fromkeys(pattern for pattern in provider.patterns if not set(pattern) & set("*?[")))
        return seen


def _target(to: str, providers: dict[str, Provider], price: config.Price | None) -> Upstream:
    provider, _, model = to.partition("/")
    return Upstream(providers[provider], model, price)
