"""Everything a configuration decides, as one immutable whole."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from hashlib import blake2b

from edge import config
from edge.cache.key import identity, owner_of
from edge.cache.policy import mode_for
from edge.dialects.kept_response import OUR_CONVERSATION, OURS
from edge.errors import ModelNotFound, PiiBlocked
from edge.grant import Grant
from edge.guard.auth import NOBODY, Auth, Key
from edge.guard.key_table import KeyTable
from edge.guard.policy import Policies, Policy
from edge.guard.quotas import Quotas, quotas_of
from edge.guard.shape import few
from edge.guard.tokens import Tokens
from edge.head import Head
from edge.hooks import Usage
from edge.keeping import CONVERSATIONS, PROVIDER, check_whole, keepers_of
from edge.money.pricing import ModelPrice
from edge.payload import Payload
from edge.routes import Route
from edge.terms import Terms
from edge.upstreams.catalog import Catalog
from edge.upstreams.choice import Choice, Group
from edge.upstreams.fleet import Fleet
from edge.upstreams.provider import Provider
from edge.upstreams.router import Router, Upstream

__all__ = ["Load", "State", "build_state", "rebuilt"]

Load = Callable[[], tuple[config.Config, KeyTable | None]]
"""Reads a configuration, and the table of its keys where they stand in one."""

MODEL_OTHER = "_other"
"""Metric label of every model that nobody here knows: clients choose names, and must not choose labels."""


NOTHING = Grant("", "", ())
MOST = 64
"""Upstreams in a group."""
MOST_GRANTS = 4096
HELD_S = 60.0
"""How much longer a reservation lasts in Redis than a request may take."""
FALLBACK = os.urandom(32)
"""The same in all processes that come from this one."""


class State(Terms):
    """Everything a configuration decides, as one whole, which never changes. A request keeps the one it began with.

    ``salt`` keys the digests of what requests say that others may see. ``grants`` are those that were found before, by
    the rights of the key, endpoint and model; there are ``granted`` of them.
    """

    def __init__(
        self,
        settings: config.Config,
        auth: Auth,
        fleet: Fleet,
        router: Router,
        catalog: Catalog,
        caches: bool = False,
    ) -> None:
        Terms.__init__(self, settings, NOBODY, NOTHING, few(settings.server), caches)
        self.auth = auth
        self.fleet = fleet
        self.router = router
        self.catalog = catalog
        self.salt = salt_of(settings)
        self._policies = Policies(settings.pii, settings.server.secret)
        self._policies.prepare(
            [*[key.pii for key in settings.auth.keys], *[model.pii for model in settings.models.values()]]
        )
        self.grants: dict[str, dict[str, dict[str, Grant]]] = {}
        self.granted = 0
        # Most ask for what was asked for before, which is seen at once.
        self._rights = self._endpoint = self._model = ""
        self._latest: Grant = None  # type: ignore[assignment]

    def grant(self, key: Key, model: str, route: Route) -> Grant:
        """What `key` gets for a name. Raises ModelNotFound, UnsupportedRoute."""
        if self._model is model and self._rights is key.rights and self._endpoint is route.endpoint:
            return self._latest
        endpoints = self.grants.get(key.rights)
        models = endpoints.get(route.endpoint) if endpoints is not None else None
        found = models.get(model) if models is not None else None
        if found is None:
            found = self._keep(self._grant(key, model, route), key, model, route)
        self._rights, self._endpoint, self._model, self._latest = key.rights, route.endpoint, model, found
        return found

    def _keep(self, grant: Grant, key: Key, model: str, route: Route) -> Grant:
        """Clients choose what is asked for, so who would be one too many finds nothing there."""
        if self.granted >= MOST_GRANTS:
            self.grants.clear()
            self.granted = 0
        self.granted += 1
        self.grants.setdefault(key.rights, {}).setdefault(route.endpoint, {})[model] = grant
        return grant

    def _grant(self, key: Key, model: str, route: Route) -> Grant:
        """An alias grants its own upstreams, but not its fallbacks."""
        try:
            resolution = self.router.resolve(model, route)
        except ModelNotFound as error:
            close = self.router.close_names(model, key.grants)
            if not close:
                raise
            raise ModelNotFound(f"{error.message} Did you mean {', '.join(close)}?", param="model") from None
        alias, settings = resolution.own.group.alias, self.settings
        choices, longer, freer = (
            tuple([granted_of(key, choice) for choice in each])
            for each in (
                (resolution.own, *resolution.fallbacks),
                resolution.context_length,
                resolution.content_policy,
            )
        )
        label = alias or self._label(resolution.own.upstreams)
        # Those of the aliases to go on with as well: what is asked is asked of theirs with the same body.
        aliases = [choice.group.alias for choice in (*choices, *longer, *freer)]
        modes = [settings.models[each].pii for each in aliases if each]
        own = [each for each in (key.pii, *modes) if each is not None]
        policy = self._policies.request(own)
        if route.forms:
            refuse_unread(policy)
            policy = None
        content = self._policies.masking(own) if settings.telemetry.tracing.content else None
        numbers = route.counts or route.api == "embeddings"
        answers = None if numbers else self._policies.response(own)
        quotas = self._quotas(key, alias, label, choices)
        grant = Grant(alias, label, choices, "off", b"", longer, freer, policy, answers, quotas, content)
        mode = mode_for(settings.cache.mode, key.cache, settings.models[alias].cache if alias else None)
        if mode == "off" or not grant.upstreams:
            return grant
        targets = [
            (settings.providers[upstream.provider.name], upstream.model)
            for choice in (*choices, *longer, *freer)
            for upstream in choice.upstreams
        ]
        owner = owner_of(settings.cache.scope, key.tenant, key.id)
        told = identity(settings.cache.scope, owner, settings.translation.strict, targets)
        return Grant(alias, label, choices, mode, told, longer, freer, policy, answers, quotas, content)

    def kept_grant(self, key: Key, head: Head, payload: Payload) -> Grant:
        """What `key` gets of what accounts keep; no upstreams where it is kept here. Raises what `keepers_of`,
        `check_whole` and `refuse_unshown` do.
        """
        own = [] if key.pii is None else [key.pii]
        if self.keeps and is_ours(head):
            if head.method == "GET":
                refuse_unshown(self._policies.response(own) if own else None)
            return Grant("", MODEL_OTHER, (), pii=self._policies.request(own) if payload.body else None)
        keepers = keepers_of(self.router.providers, head)
        if not head.argument:
            limited = bool(quotas_of(self.settings, key, ""))
            check_whole(key, head, payload, keepers[0], limited=limited, several=self.auth.several)
        policy = self._policies.request(own) if payload.body else None
        if head.boundary:
            refuse_unread(policy)
            policy = None
        choice = Choice(Group("", tuple([Upstream(provider, "") for provider in keepers[:MOST]])))
        return Grant("", MODEL_OTHER, (choice,), pii=policy, answers=self._policies.response(own))

    def _quotas(self, key: Key, alias: str, label: str, choices: tuple[Choice, ...]) -> Quotas | None:
        """What the requests count against. They may cost as much as at the dearest upstream that is asked first."""
        every = quotas_of(self.settings, key, alias)
        if not every and self.settings.limits.usage != "all":
            return None
        prices = [upstream.price for upstream in choices[0].upstreams if upstream.price is not None]
        dearest = max(prices, key=standard_cost, default=None)
        settings = self.settings
        hold_s = settings.resilience.total_s + HELD_S
        return Quotas(every, dearest, key.id, key.tenant, label, hold_s, settings.limits.on_redis_loss == "refuse")

    def _label(self, upstreams: tuple[Upstream, ...]) -> str:
        """The metric label of a model that no alias names, but its own name: if the configuration spells it out, as it
        stands; else the name of the model that a price list takes it for.
        """
        for upstream in upstreams:
            if upstream.model in self.router.spelled:
                return upstream.model
            if known := upstream.provider.known_model(upstream.model):
                return known
        return MODEL_OTHER

    @property
    def providers(self) -> dict[str, Provider]:
        return self.router.providers


def is_ours(head: Head) -> bool:
    """Whether a request is about what is kept here, or is to be: a conversation for which no provider is named."""
    if head.route.endpoint == CONVERSATIONS:
        return not (head.provider or PROVIDER in head.index)
    named = head.argument.partition("/")[0]
    return OURS.fullmatch(named) is not None or OUR_CONVERSATION.fullmatch(named) is not None


def refuse_unread(policy: Policy | None) -> None:
    """A form is not looked through. Raises PiiBlocked where something is to be done about what would be found."""
    if policy is not None and policy.mode != "detect":
        raise PiiBlocked(f"A form is not looked through for personal data, as 'pii.request: {policy.mode}' demands.")


def refuse_unshown(policy: Policy | None) -> None:
    """What is kept here is shown as it was. Raises PiiBlocked where something is to be done about what is found."""
    if policy is not None and policy.mode != "detect":
        raise PiiBlocked(f"A kept response is shown as it was, and not as 'pii.response: {policy.mode}' demands.")


def standard_cost(price: ModelPrice) -> int:
    """By which prices are compared: of a request of the usual size."""
    return price.cost(Usage(1000, 500))


def granted_of(key: Key, choice: Choice) -> Choice:
    """The part of a choice that a key may use: all of it by the alias, or an upstream by a name of its own."""
    alias = choice.group.alias
    if alias and key.grants(alias):
        return choice
    return choice.only(lambda upstream: key.grants(*upstream.names))


def salt_of(settings: config.Config) -> bytes:
    """32 bytes that nobody outside can know, the same on all machines of one configuration: from ``server.secret``, or
    else from the providers' keys. Where there are none of these they are this machine's own, until it starts anew.
    """
    secret = settings.server.secret
    secrets = [secret] if secret is not None else [key for each in settings.providers.values() for key in each.api_keys]
    if not secrets:
        return FALLBACK
    digest = blake2b(digest_size=32, person=b"edge salt")
    for each in secrets:
        told = each.reveal().encode()
        digest.update(b"%d:%b" % (len(told), told))
    return digest.digest()


def build_state(
    settings: config.Config,
    keys: KeyTable | None = None,
    *,
    loopback_only: bool = True,
    old: State | None = None,
    seed: int | None = None,
) -> State:
    """The state for a configuration. Opens no connection; raises OSError for a ``ca_file`` that cannot be read,
    ConfigError for a ``jwks_file``.

    `keys` and `loopback_only` are `Auth`'s. Of `old` goes on what is the same: sites with their connections, their
    lists of models and how their upstreams do. `seed` is that of the dice that pick among upstreams, by default one
    that differs from process to process.
    """
    seed = random.getrandbits(64) if seed is None else seed
    keys = KeyTable.of(settings.auth.keys) if keys is None else keys
    tokens = Tokens.of(settings.auth.jwt, old.auth.tokens if old is not None else None)
    fleet = Fleet.of(settings, old.fleet if old is not None else None)
    providers: dict[str, Provider] = {}
    for name, provider in settings.providers.items():
        providers[name] = Provider(name, provider, fleet.sites[name])
    catalog = Catalog(providers, old.catalog if old is not None else None)
    return State(
        settings=settings,
        auth=Auth(settings.auth, keys, loopback_only=loopback_only, tokens=tokens),
        fleet=fleet,
        router=Router(settings.models, providers, catalog.known, seed),
        catalog=catalog,
        caches=keys.caches or caches(settings),
    )


def rebuilt(load: Load, old: State) -> State:
    """The state after `old`. Raises what `load` and `build_state` do."""
    settings, keys = load()
    return build_state(settings, keys, loopback_only=old.auth.loopback_only, old=old)


def caches(settings: config.Config) -> bool:
    modes = [settings.cache.mode, *(model.cache for model in settings.models.values())]
    return any(mode not in (None, "off") for mode in modes)
