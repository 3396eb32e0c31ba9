"""From the model a request names to the upstreams that may serve it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from edge import config
from edge.dialects.models import Model
from edge.errors import ModelNotFound, UnsupportedRoute
from edge.ledger import Source
from edge.memo import keep
from edge.money.pricing import ModelPrice
from edge.reply_fields import lines_of
from edge.routes import Dialect, Route
from edge.upstreams.choice import Choice, Group
from edge.upstreams.provider import Provider
from edge.upstreams.ties import ALWAYS, NEVER, WITH_TOOLS

__all__ = ["Resolution", "Router", "Upstream"]

NONE = config.Fallbacks()
MAX_COMPARED = 100
MAX_NAME = 64
PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))
"""A model's name as a header value: what is not among these is percent-encoded as in a URL."""
BY_POST = " Ask for it by POST /v1/responses: a client that may do either has a setting for it."
"""What is left to who asks over a WebSocket for a model whose provider speaks another API."""


class Upstream(Source):
    """A provider and the model to ask it for, "" for what has no model.

    ``names`` is what a key's patterns may match: ``provider/model`` and the bare model. ``continues`` is how it is
    asked to continue a text (`edge.config.Capabilities`), "" where it cannot; ``facts`` is what else it can do.
    ``seals``: for clients of messages and of chat completions it may be asked by Responses, with what it thought
    encrypted, and sealed on its way to them (`edge.upstreams.ties`: NEVER, WITH_TOOLS, ALWAYS).
    ``plain``: who speaks its dialect asks it by the API of the request, whatever that says.
    """

    def __init__(
        self,
        provider: Provider,
        model: str,
        price: config.Price | None = None,
        capabilities: tuple[config.Capabilities, ...] = (),
    ) -> None:
        """`price` is that of the alias, where it has one; so are `capabilities`, the last of which counts."""
        told = [(b"x-edge-provider", provider.name.encode("ascii"))]
        if model:
            told.append((b"x-edge-model", quote(model, safe=PRINTABLE).encode("ascii")))
        costs = provider.price(model) if price is None else provider.own_price(price, model)
        Source.__init__(self, provider.name, model, lines_of(told), costs)
        self.provider = provider
        self.facts = provider.facts(model, *capabilities)
        way, apis = self.facts.continue_text, self.facts.apis
        self.plain = not apis and self.facts.chat_tools == "always"
        # The field is one of chat completions alone.
        without = way == "never" or (way == "continue_final_message" and apis and "chat" not in apis)
        self.continues = "" if without else way
        self.names = (f"{provider.name}/{model}", model)
        self.seals = seals(provider.dialect, self.facts)

    def price_of(self, model: str) -> ModelPrice | None:
        return self.provider.price(model)

    def serves(self, route: Route) -> bool:
        """Whether a request of this route can go here. What comes over a WebSocket is translated for nobody."""
        if route.api == "socket" and self.facts.apis and "responses" not in self.facts.apis:
            return False
        return self.provider.serves(route)


def seals(dialect: Dialect, facts: Model) -> int:
    if dialect != "openai" or not (facts.efforts or facts.responses_efforts):
        return NEVER
    if facts.apis and "chat" not in facts.apis:
        return ALWAYS
    return NEVER if facts.chat_tools == "always" or (facts.apis and "responses" not in facts.apis) else WITH_TOOLS


@dataclass(frozen=True, slots=True)
class Resolution:
    """``own`` are the upstreams of the name, ``fallbacks`` those to try after them, of each the ones that serve the
    route; a key needs fallbacks granted for themselves. ``context_length`` and ``content_policy`` are those for a
    refusal of that kind alone.
    """

    own: Choice
    fallbacks: tuple[Choice, ...] = ()
    context_length: tuple[Choice, ...] = ()
    content_policy: tuple[Choice, ...] = ()


class Router:
    """Resolves names: exact alias, then ``provider/model``, then the providers' patterns in configuration order, then
    the only provider of the route's dialect that has no ``models`` of its own. Immutable but for its memory.
    """

    def __init__(
        self,
        models: dict[str, config.Model],
        providers: dict[str, Provider],
        live_names: Callable[[], Iterable[str]] = tuple,
        seed: int = 1,
    ) -> None:
        """`live_names` gives names the providers are known to have, for hints only; `seed` is that of the dice."""
        self.providers = providers
        self._live_names = live_names
        self.aliases = {
            alias: Group(
                alias,
                tuple(_target(target, providers, model) for target in model.upstreams),
                model.strategy,
                [target.weight for target in model.upstreams],
                seed,
            )
            for alias, model in models.items()
        }
        self._fallbacks = {alias: model.falls_back for alias, model in models.items()}
        self._known: dict[tuple[str, str], Resolution] = {}
        self.spelled = frozenset(self.names())

    def resolve(self, name: str, route: Route) -> Resolution:
        """Raises ModelNotFound; UnsupportedRoute (400) where the model exists, but nothing can serve this route."""
        known = self._known.get((name, route.endpoint))
        if known is not None:
            return known
        found = self._find(name, route)
        if found is None:
            raise ModelNotFound(f"The model '{name}' does not exist here.", param="model")
        of = self._fallbacks.get(found.alias, NONE)
        own = serving(found, route)
        fallbacks, longer, freer = (
            tuple(serving(self.aliases[other], route) for other in others)
            for others in (of.any, of.context_length, of.content_policy)
        )
        if not own.mask and not any(choice.mask for choice in fallbacks):
            dialects = " and ".join(sorted({upstream.provider.dialect for upstream in found.upstreams}))
            raise UnsupportedRoute(
                f"The model '{name}' is served by a provider of the {dialects} dialect, "
                f"which cannot be reached through {route.endpoint}.{BY_POST if route.api == 'socket' else ''}",
                status=400,
                param="model",
            )
        return keep(self._known, (name, route.endpoint), Resolution(own, fallbacks, longer, freer))

    def _find(self, name: str, route: Route) -> Group | None:
        if name in self.aliases:
            return self.aliases[name]
        found = self._provider_of(name, route)
        return Group("", (Upstream(*found),)) if found is not None else None

    def _provider_of(self, name: str, route: Route) -> tuple[Provider, str] | None:
        """Who has the model of a name that is no alias, and what it is called there."""
        head, slash, tail = name.partition("/")
        if slash and tail and head in self.providers:
            return self.providers[head], tail
        claiming = [provider for provider in self.providers.values() if provider.claims(name)]
        for translated in (False, True):
            for provider in claiming:
                if provider.serves(route) if translated else provider.speaks(route):
                    return provider, name
        if claiming:
            return claiming[0], name
        open_to_all = [
            provider for provider in self.providers.values() if not provider.has_own_models and provider.speaks(route)
        ]
        if len(open_to_all) == 1:
            return open_to_all[0], name
        return None

    def listed_name(self, upstream: Upstream, route: Route) -> str:
        """The shortest name that leads to an upstream by `route`: the bare model where that resolves to it."""
        model = upstream.model
        leads = model not in self.aliases and self._provider_of(model, route) == (upstream.provider, model)
        return model if leads else upstream.names[0]

    def close_names(self, name: str, granted: Callable[[str], bool]) -> list[str]:
        """Names that exist and look like `name`, of those that are `granted`."""
        candidates = [
            other for other in (*self.names(), *self._live_names()) if other[:2] == name[:2] or len(other) < 6
        ]
        # The comparison is costly and runs on the event loop; whoever lists thousands of models sees a list anyway.
        candidates = [other for other in candidates if granted(other)][:MAX_COMPARED]
        try:
            return difflib.get_close_matches(name[:MAX_NAME], candidates, n=3)
        except OSError:  # it is read when it is first asked: there may be no descriptor then, or no file any more
            return []

    def names(self) -> Iterable[str]:
        """Every model name the configuration spells out."""
        seen = dict.fromkeys(self.aliases)
        for group in self.aliases.values():
            seen.update(dict.fromkeys(name for upstream in group.upstreams for name in upstream.names))
        for provider in self.providers.values():
            seen.update(dict.fromkeys(pattern for pattern in provider.patterns if not set(pattern) & set("*?[")))
        return seen


def serving(group: Group, route: Route) -> Choice:
    """The part of a group that serves a route."""
    return Choice(group).only(lambda upstream: upstream.serves(route))


def _target(target: config.Target, providers: dict[str, Provider], alias: config.Model) -> Upstream:
    provider, _, model = target.to.partition("/")
    return Upstream(providers[provider], model, alias.price, (alias.capabilities, target.capabilities))
