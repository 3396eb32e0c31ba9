"""LiteLLM's ``model_list`` as providers and aliases: deployments of one name are the upstreams of one alias."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from edge.config import is_loopback
from edge.config.rules import MAX_MODEL_NAME
from edge.migration import reasons
from edge.migration.budgets import budget_of
from edge.migration.draft import Account, Draft, Setting
from edge.migration.source import FROM_THE_ENVIRONMENT, NOT_CARRIED, Section, reference
from edge.migration.vendors import CLAUDE_AT_AZURE, ELSEWHERE, VENDORS, Vendor, vendor_of

__all__ = ["MOST_IN_FLIGHT", "STRATEGIES", "Deployments"]

STRATEGIES = {
    "simple-shuffle": "round_robin",
    "least-busy": "least_busy",
    "latency-based-routing": "latency",
    "cost-based-routing": "cost",
    "usage-based-routing": "least_busy",
    "usage-based-routing-v2": "least_busy",
}
PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
}
"""USD for a token there, USD for a million here."""
WEIGHT = "was carried over as the upstream's weight; it limits nothing, since the vendor refuses what is too much"
NO_LIMIT = f"{NOT_CARRIED}upstreams have no such limit, since the vendor refuses what is too much"
LEFT_OUT = "was left out: "
NO_VENDOR = "is not a vendor that the import knows; give an api_base, and the model's name there"
NO_PREFIX = "the name does not tell the vendor; write VENDOR/MODEL, or give an api_base"
HALF_A_PRICE = f"{NOT_CARRIED}a price needs both input_cost_per_token and output_cost_per_token"
NO_MODEL = "no model has this name"
UNSERVED = {"video_generation"}
LEAST_WEIGHT, MOST_WEIGHT = 0.001, 1000
NO_WEIGHT = f"was carried over as {LEAST_WEIGHT}, the least there is; remove the upstream if it is to get nothing"
MOST_UPSTREAMS = 64
MOST_IN_FLIGHT = 65535
MAY_BE_SECRET = re.compile(r"(?i)auth|key|token|secret|passw|cookie|credential")
"""In the name of a header."""
ADDRESSES = re.compile(r"\$\{(\w+?)_?(API_BASE|API_URL|BASE_URL|ENDPOINT|HOST|URL)?\}")
"""A variable that holds an address; what it begins with names whose."""


@dataclass(frozen=True)
class Share:
    """A figure by which LiteLLM's simple-shuffle picks, and where it stands."""

    section: Section
    key: str
    value: float


@dataclass(frozen=True)
class Deployment:
    """``shares`` are weight, requests and tokens a minute, None where there is none."""

    params: Section
    model: str
    account: Account
    shares: tuple[Share | None, Share | None, Share | None]
    order: float | None
    price: tuple[tuple[str, float], ...]
    budget: dict[str, Setting] | None


class Deployments:
    """Puts the providers and aliases of a ``model_list`` into a draft."""

    def __init__(self, draft: Draft, model_list: list[Section], credentials: list[Section]) -> None:
        self._draft = draft
        self._credentials: dict[str, Section] = {}
        for each in credentials:
            values = each.section("credential_values")
            values.read_later("api_key", "api_base")
            values.leave(reasons.PARAMS)
            self._credentials[each.text("credential_name") or ""] = values
            each.section("credential_info").ignore()
            each.leave({})
        self._groups: dict[str, list[Deployment]] = {}
        # A pattern decides how a provider has to be called, so patterns come first.
        for entry in sorted(model_list, key=lambda entry: "*" not in (entry.text("model_name") or "")):
            self._add(entry)

    def aliases(self, strategy: str) -> None:
        """Make an alias of each name."""
        for name, group in self._groups.items():
            if len(group) > MOST_UPSTREAMS:
                for each in group[MOST_UPSTREAMS:]:
                    each.params.note(None, f"{LEFT_OUT}an alias has at most {MOST_UPSTREAMS} upstreams")
                del group[MOST_UPSTREAMS:]
            ordered = any(each.order is not None for each in group)
            if ordered:
                group.sort(key=lambda each: float("inf") if each.order is None else each.order)
            # A deployment that is there twice has the weight of both.
            shares: dict[str, float] = {}
            for each, weight in zip(group, _weights(group, weighs=not ordered), strict=True):
                to = f"{self._draft.provider(each.account)}/{each.model}"
                shares[to] = min(shares.get(to, 0) + weight, MOST_WEIGHT)
            upstreams: list[Setting] = [
                {"to": to} if weight == 1 or ordered or len(shares) == 1 else {"to": to, "weight": round(weight, 3)}
                for to, weight in shares.items()
            ]
            alias: dict[str, Setting] = {}
            if len(shares) > 1 and (ordered or strategy != "round_robin"):
                alias["strategy"] = "failover" if ordered else strategy
            alias["upstreams"] = upstreams
            if len(group) == 1 and group[0].budget:
                alias["budget"] = group[0].budget
            for each in group if len(group) > 1 else ():
                if each.budget:
                    each.params.note("max_budget", f"{NOT_CARRIED}a budget belongs to an alias, not to an upstream")
            prices = {each.price for each in group}
            if len(prices) == 1 and group[0].price:
                alias["price"] = dict(group[0].price)
            elif len(prices) > 1:
                group[0].params.note(
                    None, f"prices were not carried over: those of '{name}' differ; set providers.NAME.prices"
                )
            self._draft.models[name] = alias

    def rename(self, name: str, target: str) -> bool:
        """Let a name stand for what another does. False if there is no such other."""
        if target in self._draft.models:
            self._draft.models[name] = dict(self._draft.models[target])
        return target in self._draft.models

    def fall_back(self, kind: str, lists: list[Section]) -> None:
        """``[{name: [names]}]``, for failures of a kind."""
        for each in lists:
            for name in each.names():
                if name == "*":
                    self.fall_back_by_default(each, "*")
                elif name not in self._draft.models:
                    each.texts(name)
                    each.note(name, f"{NOT_CARRIED}{NO_MODEL}")
                else:
                    self._append(name, kind, self._known(each, name))

    def fall_back_by_default(self, section: Section, key: str) -> None:
        """A list of names, for every model that has no fallbacks of its own."""
        targets = self._known(section, key)
        for name, alias in self._draft.models.items():
            if "fallbacks" not in alias:
                self._append(name, "any", targets)

    def _known(self, section: Section, key: str) -> list[str]:
        found = []
        for target in section.texts(key):
            if target in self._draft.models:
                found.append(target)
            else:
                section.note(key, f"fallback '{target}' {NOT_CARRIED}{NO_MODEL}")
        return found

    def _append(self, name: str, kind: str, targets: list[str]) -> None:
        alias = self._draft.models[name]
        others: list[Setting] = [target for target in targets if target != name]
        if not others:
            return
        held = alias.get("fallbacks")
        kinds: dict[str, Setting] = {"any": held} if isinstance(held, list) else held if isinstance(held, dict) else {}
        kinds = {**kinds, kind: others}
        alias["fallbacks"] = others if list(kinds) == ["any"] else kinds

    def _add(self, entry: Section) -> None:
        name, params = entry.text("model_name"), entry.section("litellm_params")
        info = entry.section("model_info")
        model = params.text("model")
        if name is None or model is None:
            entry.note(None, f"{LEFT_OUT}it has no model_name, or no litellm_params.model")
            return
        if (mode := info.text("mode")) in UNSERVED:
            info.note("mode", f"the routes of '{mode}' are not supported")
        vendor = params.text("custom_llm_provider")
        prefix, model = vendor_of(model if vendor is None or model.startswith(f"{vendor}/") else f"{vendor}/{model}")
        if not model or model.endswith("/") or not model.isprintable() or len(model) > MAX_MODEL_NAME:
            params.note("model", f"{LEFT_OUT}it names no model")
            for section in (params, info, entry):
                section.ignore()
            return
        if (why := ELSEWHERE.get(prefix)) is not None:
            params.note("model", f"{LEFT_OUT}'{prefix}' {why}")
            for section in (params, info, entry):
                section.ignore()
            return
        account = self._account(params, prefix, model, name)
        if account is None:
            for section in (params, info, entry):
                section.ignore()
            return
        shares = (_share("weight", params), _share("rpm", params, entry), _share("tpm", params, entry))
        order, price, budget = params.number("order"), _price(params, info), budget_of(params)
        deployment = Deployment(params, model, account, shares, order, price, budget)
        params.leave(reasons.PARAMS)
        info.leave(reasons.INFO)
        entry.leave({})
        if "*" in name:
            _weights([deployment], weighs=False)
            self._claim(entry, name, deployment)
        elif len(name) > 128 or any(ord(letter) < 33 or ord(letter) == 127 for letter in name):
            entry.note("model_name", f"{LEFT_OUT}an alias has 1 to 128 printable characters without spaces")
        else:
            self._groups.setdefault(name, []).append(deployment)

    def _claim(self, entry: Section, name: str, found: Deployment) -> None:
        """Names by a pattern. Those of the form ``provider/*`` lead to the provider of that name by themselves."""
        if name == found.model:
            self._draft.claim(found.account, name)
            return
        provider = self._draft.provider(found.account)
        if not name.endswith("/*") or found.model != "*":
            entry.note("model_name", f"{NOT_CARRIED}a pattern cannot rename models; use {provider}/MODEL")
        elif provider != name[:-2]:
            entry.note("model_name", f"a provider's name has no slash and is not taken twice; use {provider}/MODEL")

    def _account(self, params: Section, prefix: str, model: str, name: str) -> Account | None:
        credential = params.text("litellm_credential_name") or ""
        given = self._credentials.get(credential)
        if credential and given is None:
            params.note("litellm_credential_name", f"{NOT_CARRIED}credential_list has no '{credential}'")
        base = params.text("api_base") or params.text("base_url") or (given.text("api_base") if given else None)
        if base is None and ("api_base" in params or "base_url" in params):
            params.note("model", f"{LEFT_OUT}its api_base cannot be carried over")
            return None
        vendor = VENDORS.get(prefix) or (VENDORS["openai_like"] if base is not None else None)
        if prefix == "azure_ai" and model.startswith("claude"):
            vendor = CLAUDE_AT_AZURE
        if vendor is None:
            first, slash, _ = (params.text("model") or "").partition("/")
            params.note("model", LEFT_OUT + (f"'{first}' {NO_VENDOR}" if slash else NO_PREFIX))
            return None
        base_url = self._base_url(params, vendor, base)
        if base_url is None:
            params.note("model", f"{LEFT_OUT}each customer of '{prefix}' has an address; give an api_base")
            return None
        holder = params if given is None or "api_key" in params else given
        key = holder.text("api_key")
        if key is None:
            key = "${" + vendor.variable + "}" if vendor.variable else ""
        elif key.startswith(FROM_THE_ENVIRONMENT):
            key = reference(key)
        else:
            key = self._draft.variable(key, vendor.variable or "PROVIDER_API_KEY")
            holder.note("api_key", f"was not copied, because it is a secret; set {key[2:-1]} in the environment")
        headers = {}
        for field in ("extra_headers", "headers"):
            section = params.section(field)
            headers.update({each: self._header(section, each) for each in section.names()})
        if organization := params.text("organization"):
            headers["openai-organization"] = reference(organization)
        limit = params.number("max_parallel_requests")
        account = Account(
            name[:-2] if name.endswith("/*") else _called(vendor, prefix, base_url),
            vendor.dialect,
            base_url,
            key,
            vendor.auth,
            tuple(sorted(headers.items())),
            min(int(limit), MOST_IN_FLIGHT) if limit and limit >= 1 else None,
        )
        if found := self._draft.refusal(account):
            params.note("model", f"{LEFT_OUT}its provider would be refused: {found}")
            return None
        return account

    def _header(self, section: Section, name: str) -> str:
        """What a header is set to: a variable, where the name is one of what is secret."""
        value = section.text(name) or ""
        if not value or value.startswith(FROM_THE_ENVIRONMENT) or not MAY_BE_SECRET.search(name):
            return reference(value)
        variable = self._draft.variable(value, f"PROVIDER_{re.sub(r'[^A-Z0-9]+', '_', name.upper())}")
        section.note(name, f"was not copied, because it may be a secret; set {variable[2:-1]} in the environment")
        return variable

    def _base_url(self, params: Section, vendor: Vendor, base: str | None) -> str | None:
        if base is None:
            return vendor.base_url or None
        named = reference(base)
        base = vendor.address(named)
        if named.startswith("${") and base != named:
            params.note("api_base", f"{vendor.behind} is added to the address in the variable")
        if not base.startswith("${") and not _split(base).path:
            params.note("api_base", "has no path; /v1 was added")
            base += "/v1"
        return base


def _split(url: str) -> SplitResult:
    """The parts of a URL, all empty for what is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _called(vendor: Vendor, prefix: str, base_url: str) -> str:
    """What to call a provider: the vendor, but for an address that is not the vendor's own."""
    anywhere = not vendor.base_url and vendor.name != "local"
    if anywhere or base_url == vendor.base_url:
        return vendor.name or prefix
    if base_url.startswith("${"):
        variable = ADDRESSES.match(base_url)
        return variable[1].lower() if variable else vendor.name or prefix
    host = _split(base_url).hostname
    if host is None:
        return vendor.name or prefix
    return "local" if is_loopback(host) else host.removeprefix("api.").removeprefix("www.").partition(".")[0]


def _share(key: str, *sections: Section) -> Share | None:
    """A figure, from the first mapping that has it. None where it is 0, but for a weight."""
    for section in sections:
        value = section.number(key)
        if value is not None and (value > 0 or (key == "weight" and value == 0)):
            return Share(section, key, value)
    return None


def _weights(group: list[Deployment], *, weighs: bool) -> list[float]:
    """Weights as simple-shuffle has them: by the first figure that any deployment has, the smallest of them as 1. Notes
    what has become of limits.
    """
    weights: list[float] = [1] * len(group)
    weighed = len(group) == 1 or not weighs
    for figure in zip(*(each.shares for each in group), strict=True):
        given = [share for share in figure if share is not None]
        for share in given:
            if share.key != "weight":
                share.section.note(share.key, NO_LIMIT if weighed else WEIGHT)
            elif not weighs:
                share.section.note(share.key, f"{NOT_CARRIED}'strategy: failover', by 'order', has no weights")
        if given and not weighed:
            weighed = True
            # Without a weight a deployment has the usual one; without a limit, that of the least.
            usual = 1 if given[0].key == "weight" else min(share.value for share in given)
            values = [share.value if share else usual for share in figure]
            for share in given:
                if not share.value:
                    share.section.note(share.key, NO_WEIGHT)
            least = min([value for value in values if value], default=1)
            shares = [round(min(max(value / least, LEAST_WEIGHT), MOST_WEIGHT), 3) for value in values]
            weights = [int(share) if share == int(share) else share for share in shares]
    return weights


def _price(params: Section, info: Section) -> tuple[tuple[str, float], ...]:
    """USD for a million tokens; nothing unless both of input and output are given."""
    found: dict[str, float] = {}
    places: list[tuple[Section, str]] = []
    for key, ours in PRICES.items():
        ours_there = params.number(key)
        value = info.number(key) if ours_there is None else ours_there
        place = info if ours_there is None else params
        if value is not None and 0 <= value <= 1:
            found[ours] = round(value * 1e6, 6)
            places.append((place, key))
        elif value is not None:
            place.note(key, f"{NOT_CARRIED}a token costs from 0 to 1 USD")
    if {"input", "output"} <= found.keys():
        return tuple(found.items())
    for section, key in places:
        section.note(key, HALF_A_PRICE)
    return ()
