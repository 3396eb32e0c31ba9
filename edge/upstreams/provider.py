"""A provider: an account at a vendor, and how a request is dressed for it."""

from __future__ import annotations

import hashlib
import re
import time
from fnmatch import translate
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from edge import config
from edge._fast import Fields, Member
from edge.clock import perf_counter
from edge.dialects.crossing import Crossing, FormCrossing, KeptCrossing, TranslatedCrossing, asked_by, can_cross
from edge.dialects.models import Model, configured_model
from edge.errors import Headers, ProviderError, UpstreamOverloaded, UpstreamRateLimited
from edge.inquiry import Inquiry
from edge.memo import keep
from edge.money.pricing import ModelPrice, load_prices, own_price, spells
from edge.routes import Dialect, Route
from edge.upstreams.client_headers import DEFAULT_VERSION, ClientHeaders
from edge.upstreams.cooling import ANY, Cooling
from edge.upstreams.fleet import Site
from edge.upstreams.gate import Gate
from edge.upstreams.request import UpstreamRequest, lines_of
from edge.upstreams.rules import RULES
from edge.upstreams.waits import REMAINING, asked_s, exhausted_s, remaining, wait_s

__all__ = ["PRESENT", "Account", "Provider", "resting"]

HEEDED = frozenset([status for status, rule in RULES.items() if rule.key or rule.rests])
EARLY_S = 0.01
"""So much before its time a key may be asked again: who comes when it was told comes by a clock of its own."""
METHODS = {"GET": b"GET", "HEAD": b"GET", "DELETE": b"DELETE"}
"""How a provider is asked, where it is not by POST: who wants the head alone gets it from us."""
PRESENT = -1.0
"""In place of a reading of the clock: the one at hand."""
MOST_TARGETS = 256


class Account:
    """One of a provider's keys: its ``values``, and the lines that a request has by it, with all that every request to
    the provider has; ``cooling`` says when it may be asked. ``said`` are the headers of the latest answer to it, None
    where they have been looked at.
    """

    def __init__(self, credential: Headers, always: Headers, cooling: Cooling) -> None:
        self.cooling = cooling
        self.said: Fields | None = None
        self.values = [value for _, value in credential]
        # Bodies pass as they are, so they had better come uncompressed.
        self.own = lines_of([*credential, *always, (b"accept-encoding", b"identity")])


class Provider:
    """``name``, ``dialect`` and ``base_url`` from the configuration; ``claims(model)`` by its patterns or its
    dialect's. ``vendor`` is the id of the price list that it is priced by, "" if there is none; ``secrets`` is what no
    log may tell of what it says.
    """

    def __init__(self, name: str, settings: config.Provider, site: Site) -> None:
        self.name = name
        self.site = site
        self._settings = settings
        self.dialect: Dialect = settings.dialect
        self.base_url = settings.base_url
        self.has_own_models = settings.models is not None
        self._system_first = settings.system == "first"
        self.transport = site.transport
        patterns = config.DEFAULT_MODELS[settings.dialect] if settings.models is None else settings.models
        self.patterns = tuple(patterns)
        self._claims = [re.compile(translate(pattern)) for pattern in self.patterns]
        self.vendor = settings.priced_as or load_prices().vendor(settings.base_url)
        self._prices = [(re.compile(translate(glob)), price) for glob, price in settings.prices.items()]
        self.claims_any = settings.models is None or bool(self._claims)
        self.own_names = [name for name in settings.models or () if not set(name) & set("*?[")]
        self._path = urlsplit(settings.base_url).path.rstrip("/")
        self._query = urlencode(settings.query, quote_via=quote)
        configured: Headers = [
            (key.lower().encode("ascii"), value.encode("ascii")) for key, value in settings.headers.items()
        ]
        # The client's betas and the configured ones go in one line.
        always = [pair for pair in configured if pair[0] != b"anthropic-beta"]
        self._accounts = [
            Account(credential, always, cooling)
            for credential, cooling in zip(credentials(settings), site.cooling, strict=False)
        ]
        self._remaining = REMAINING[settings.dialect]
        self._turn = 0
        self.takes_turns = len(self._accounts) > 1
        self._betas = [pair for pair in configured if pair[0] == b"anthropic-beta"]
        self._versioned = settings.dialect == "anthropic" and all(
            name != b"anthropic-version" for name, _ in configured
        )
        self.secrets = secrets(settings)
        self._client = ClientHeaders(settings)
        self._traces = not self._client.holds_back(b"traceparent")
        self._tells_state = not self._client.holds_back(b"tracestate")
        self._targets: dict[str, bytes] = {}

    def claims(self, model: str) -> bool:
        return any(pattern.match(model) for pattern in self._claims)

    def speaks(self, route: Route) -> bool:
        """Whether a request of this route can go here as it stands."""
        return route.dialect is None or route.dialect == self.dialect

    def serves(self, route: Route) -> bool:
        """Whether a request of this route can go here, as it stands or translated."""
        return can_cross(route, self.dialect)

    def gate(self, model: str) -> Gate | None:
        """The places at this model, None where there is no bound."""
        return self.site.gate(model, self._settings)

    def price(self, model: str) -> ModelPrice | None:
        """What the model's answers cost: by the first of the configured prices whose pattern fits, else by the list of
        the vendor; None where neither knows it.
        """
        for pattern, price in self._prices:
            if pattern.match(model):
                return self.own_price(price, model)
        return load_prices().find(self.vendor, model)

    def facts(self, model: str, *above: config.Capabilities) -> Model:
        """What a model can do; what is `above` counts more than this provider's settings."""
        return configured_model(self._settings, model, *above)

    def known_model(self, model: str) -> str:
        """A model's name in the price list of the vendor, or of the dialect's where there is none: its own, if the list
        spells that out, else that of the model whose version it is. "" for a model that is not there.
        """
        found = load_prices().listed(self.vendor or self.dialect, model)
        if found is None:
            return ""
        listed = found[1]
        return model if model == listed.id or spells(listed.match, model) else listed.id

    def own_price(self, price: config.Price, model: str) -> ModelPrice:
        """A configured price as one of this provider's."""
        return own_price(price, self.vendor, model)

    def searches(self, route: Route) -> bool:
        """Whether a request of this route is searched for thinking on its way here."""
        return self.dialect == "anthropic" and self.speaks(route)

    def crossing(self, inquiry: Inquiry, model: str, facts: Model, plain: bool = False) -> Crossing:
        """How the inquiry's request goes to this provider, which calls the model `model`; that can do what `facts` say,
        and is `plain` as `edge.upstreams.router.Upstream` has it. Raises InvalidRequest.
        """
        route = inquiry.head.route
        if route.kept:
            return KeptCrossing(inquiry, model, facts)
        if inquiry.head.boundary:
            return FormCrossing(inquiry, model, facts)
        plain = plain and self.speaks(route)
        api = route.api if plain else asked_by(route, self.dialect, facts, inquiry.payload)
        if plain or api == route.api:
            crossing = Crossing.__new__(Crossing)
            crossing.begin(inquiry, model, facts)
            return crossing
        return TranslatedCrossing(inquiry, model, facts, api, self._client.version(inquiry), self._system_first)

    def remaining(self) -> list[dict[str, float]]:
        """What is left of each key's quotas, by what they are of, as the latest answer says that has come since this
        was asked before.
        """
        found = []
        for account in self._accounts:
            said, account.said = account.said, None
            found.append({} if said is None else remaining(said))
        return found

    def accounts_of(self, tenant: str) -> list[Account]:
        """The credentials of its keys, in the order in which a tenant has them: the same for all who ask."""
        if not self.takes_turns:
            return self._accounts
        return sorted(self._accounts, key=lambda account: weight(tenant, account), reverse=True)

    def usable(self, account: Account | None, model: str, now: float) -> Account:
        """The account to ask for a model: the one given, else the next that does not rest, those that had better be
        avoided last. Raises UpstreamRateLimited or UpstreamOverloaded where it rests, or all do. `now` is of the
        clock of ``time.perf_counter``.
        """
        if account is not None:
            if account.cooling.noted and account.cooling.resting(model, now)[0]:
                raise resting(*account.cooling.resting(model, now))
            return account
        found = self._next_account()
        if found.cooling.usual(model, now):
            return found
        fresh = self.fresh(model, now)
        if fresh is not None:
            return fresh
        for _ in self._accounts:
            found = self._next_account()
            if not found.cooling.resting(model, now)[0]:
                return found
        raise resting(*self.resting(model, now))

    def fresh(self, model: str, now: float) -> Account | None:
        """The next account that neither rests nor had better be avoided; None where there is none."""
        for _ in self._accounts:
            found = self._next_account()
            if found.cooling.usual(model, now):
                return found
        return None

    def limited(self, model: str, now: float) -> bool:
        """Whether limits of which it has told hold for all of its keys: others had better be asked first."""
        for i in range(len(self._accounts)):
            account: Account = self._accounts[i]
            if not account.cooling.limited(model, now):
                return False
        return True

    def resting(self, model: str, now: float) -> tuple[float, int]:
        """Seconds for which nothing is to be asked of a model, and the status that asked for it."""
        return min([account.cooling.resting(model, now) for account in self._accounts])

    def heed(self, account: Account, model: str, status: int, fields: Fields, now: float = PRESENT) -> float:
        """What an answer that comes `now` says of when to ask next by this account; the seconds that it asks for, 0.0
        for none.
        """
        account.said = fields
        if status >= 400:
            if status in HEEDED:
                return note(self._accounts, account, self.site.member(model), model, status, fields, now)
            return 0.0
        if account.cooling.noted:
            account.cooling.answered(model)
        for name in self._remaining:
            left = fields.get(name)
            if left is not None and left == b"0":
                return note(self._accounts, account, self.site.member(model), model, status, fields, now)
        return 0.0

    def request(
        self, inquiry: Inquiry, crossing: Crossing, account: Account, once: bool = False, span: str = ""
    ) -> UpstreamRequest:
        """The inquiry's request as this provider is to see it, with the credentials of `account`; `once` as in
        `UpstreamRequest`, `span` the attempt's where the inquiry is in a trace. Raises HeaderTooLarge.
        """
        path, head = crossing.path, inquiry.head
        query = b"" if crossing.translates else head.query
        target = self._targets.get(path) if not query else None
        if target is None:
            target = self._target(path, query, head.route.query)
            if not query:
                keep(self._targets, path, target, MOST_TARGETS)  # paths come from clients, where they pass through
        request = UpstreamRequest.__new__(UpstreamRequest)
        fields = self._fields(inquiry, crossing, span)
        request.begin(METHODS.get(head.method, b"POST"), target, fields, crossing.body, once, account.own)
        request.rest = inquiry.upload
        return request

    def socket_request(self, inquiry: Inquiry, model: str, account: Account, span: str = "") -> UpstreamRequest:
        """What asks for a WebSocket, but for the lines of the handshake itself; `model` stands in its query, "" where
        it is named later. Raises HeaderTooLarge.
        """
        head = inquiry.head
        target = self._target(head.route.upstream, head.query, head.route.query)
        if model:
            target += b"%bmodel=%b" % (b"&" if b"?" in target else b"?", quote(model, safe="").encode("ascii"))
        lines = self._lines(inquiry, self._client.lines(head, False), span)
        return UpstreamRequest(b"GET", target, lines, b"", own=account.own)

    def models_request(self) -> UpstreamRequest:
        """What asks for the provider's own list of models."""
        headers = [*self._betas]
        if self._versioned:
            headers.append((b"anthropic-version", DEFAULT_VERSION.encode()))
        target = self._target("/models", b"", ())
        if self.dialect == "anthropic":
            target += (b"&" if b"?" in target else b"?") + b"limit=1000"
        return UpstreamRequest(b"GET", target, self._next_account().own + lines_of(headers), b"")

    def watch_request(self, path: str) -> UpstreamRequest:
        """What shows whether the provider is there."""
        headers = [(b"anthropic-version", DEFAULT_VERSION.encode())] if self._versioned else []
        return UpstreamRequest(b"GET", self._target(path, b"", ()), self._next_account().own + lines_of(headers), b"")

    def _next_account(self) -> Account:
        """Whose turn it is."""
        accounts = self._accounts
        turn = self._turn
        self._turn = turn + 1 if turn + 1 < len(accounts) else 0
        return accounts[turn]

    def _target(self, path: str, query: bytes, names: tuple[str, ...]) -> bytes:
        """`names` are those of the query's parameters that go on."""
        parts = [self._query] if self._query else []
        if query:
            kept = [pair for pair in parse_qsl(query.decode("latin-1"), True) if pair[0] in names]
            if kept:
                parts.append(urlencode(kept))
        target = self._path + path
        return (f"{target}?{'&'.join(parts)}" if parts else target).encode("ascii")

    def _fields(self, inquiry: Inquiry, crossing: Crossing, span: str) -> bytes:
        return self._lines(inquiry, self._client.lines(inquiry.head, crossing.translates), span)

    def _lines(self, inquiry: Inquiry, lines: bytes, span: str) -> bytes:
        """Those of the client, and of the trace."""
        trace = inquiry.trace
        if trace is not None and self._traces:
            lines += trace.line(span)
            if trace.state and self._tells_state:
                lines += lines_of([(b"tracestate", trace.state)])
        return lines


def weight(tenant: str, account: Account) -> bytes:
    """Rendezvous hashing: who has the largest is the tenant's."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (tenant.encode(), *account.values):
        digest.update(b"%d:%b" % (len(part), part))
    return digest.digest()


def note(
    accounts: list[Account],
    account: Account,
    member: Member,
    model: str,
    status: int,
    fields: Fields,
    now: float,
) -> float:
    """What an answer asks for, which has a status of `HEEDED`, or a quota of which nothing is left: the seconds. A 503
    and a 529 speak for all accounts. Where all rest, so does the upstream.
    """
    now, clock, wait = perf_counter() if now == PRESENT else now, time.time(), 0.0
    if status in (401, 402):
        account.cooling.avoid(ANY, now + RULES[status].avoided_s, now)
    elif status == 403:
        account.cooling.avoid(model, now + RULES[status].avoided_s, now)
    elif status == 429:
        wait = wait_s(fields, clock)
        if wait > 0.0:
            account.cooling.rest(model, now + wait - EARLY_S, status, now)
        else:
            account.cooling.crowd(model, now + RULES[status].avoided_s, now)
    elif status >= 400:
        wait = asked_s(fields, clock)
        if wait > 0.0:
            for each in accounts:
                each.cooling.rest(model, now + wait - EARLY_S, status, now)
    else:
        wait = exhausted_s(fields, clock)
        account.cooling.avoid(model, now + wait, now)
    if soonest := min([each.cooling.resting(model, now)[0] for each in accounts]):
        member.cool_down(now + soonest)
    return max(wait, 0.0)


def resting(wait: float, status: int) -> ProviderError:
    """What to tell where a provider may not be asked for so many seconds, because of an answer of this status."""
    return UpstreamRateLimited(wait) if status == 429 else UpstreamOverloaded(wait)


def secrets(settings: config.Provider) -> tuple[str, ...]:
    """The keys, and the values of headers and query that may be some: the longest first, should one hold another."""
    configured = (*settings.headers.values(), *settings.query.values())
    found = {secret.reveal() for secret in settings.api_keys} | {value for value in configured if len(value) >= 8}
    return tuple(sorted(found, key=len, reverse=True))


def credentials(settings: config.Provider) -> list[Headers]:
    """The credential headers of each of a provider's keys; one empty list for a provider without keys."""
    style = settings.auth or ("x-api-key" if settings.dialect == "anthropic" else "bearer")
    if style == "none" or not settings.api_keys:
        return [[]]
    keys = [secret.reveal().encode("ascii") for secret in settings.api_keys]
    if style == "bearer":
        return [[(b"authorization", b"Bearer " + key)] for key in keys]
    return [[(style.encode(), key)] for key in keys]
