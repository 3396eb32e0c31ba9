"""LiteLLM's ``model_list`` as providers and aliases: deployments of one name are the upstreams of one alias."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from edge.config import is_loopback
from edge.migration import reasons
from edge.migration.budgets import budget_of
from edge.migration.draft import Account, Draft, Setting
from edge.migration.source import FROM_THE_ENVIRONMENT, Section, reference
from edge.migration.vendors import ELSEWHERE, VENDORS, Vendor, vendor_of

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
WEIGHT = "is the upstream's weight, not a limit: a vendor that refuses more is asked again later"
NO_LIMIT = "limits nobody here: a vendor that refuses more is asked again later"
NO_VENDOR = "is no vendor whose address is known here: write an api_base, and the model as it is called there"
NO_PREFIX = "does not tell which vendor has it: write VENDOR/MODEL, or an api_base"
HALF_A_PRICE = "is half a price, which needs both input_cost_per_token and output_cost_per_token, and was not carried"
UNSERVED = {"video_generation"}
MOST_UPSTREAMS = 64
MOST_IN_FLIGHT = 65535


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
            values.leave({})
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
                group[MOST_UPSTREAMS].params.note(None, f"is more than the {MOST_UPSTREAMS} upstreams of an alias")
                del group[MOST_UPSTREAMS:]
            ordered = any(each.order is not None for each in group)
            if ordered:
                group.sort(key=lambda each: float("inf") if each.order is None else each.order)
            weights = _weights(group)
            upstreams: list[Setting] = []
            for each, weight in zip(group, weights, strict=True):
                target: dict[str, Setting] = {"to": f"{self._draft.provider(each.account)}/{each.model}"}
                if weight != 1:
                    target["weight"] = weight
                upstreams.append(target)
            alias: dict[str, Setting] = {}
            if len(group) > 1 and (ordered or strategy != "round_robin"):
                alias["strategy"] = "failover" if ordered else strategy
            alias["upstreams"] = upstreams
            if len(group) == 1 and group[0].budget:
                alias["budget"] = group[0].budget
            for each in group if len(group) > 1 else ():
                if each.budget:
                    each.params.note("max_budget", "a budget is that of an alias, not of one of its upstreams")
            prices = {each.price for each in group}
            if len(prices) == 1 and group[0].price:
                alias["price"] = dict(group[0].price)
            elif len(prices) > 1:
                group[0].params.note(
                    None, f"the deployments of '{name}' have several prices: set providers.NAME.prices"
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
                    each.note(name, "is no model of the list")
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
                section.note(key, f"falls back to '{target}', which is no model of the list")
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
            entry.note(None, "has no model_name or no litellm_params.model, and was left out")
            return
        if (mode := info.text("mode")) in UNSERVED:
            info.note("mode", f"'{mode}' is asked on routes that are not served")
        vendor = params.text("custom_llm_provider")
        prefix, model = vendor_of(model if vendor is None or model.startswith(f"{vendor}/") else f"{vendor}/{model}")
        if not model or model.endswith("/"):
            params.note("model", "names no model, and was left out")
            for section in (params, info, entry):
                section.ignore()
            return
        if (why := ELSEWHERE.get(prefix)) is not None:
            params.note("model", f"'{prefix}' {why}")
            for section in (params, info, entry):
                section.ignore()
            return
        account = self._account(params, prefix, name)
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
            _weights([deployment])
            self._claim(entry, name, deployment)
        elif len(name) > 128 or any(ord(letter) < 33 or ord(letter) == 127 for letter in name):
            entry.note("model_name", "an alias is 1 to 128 printable characters without spaces")
        else:
            self._groups.setdefault(name, []).append(deployment)

    def _claim(self, entry: Section, name: str, found: Deployment) -> None:
        """Names by a pattern. Those of the form ``provider/*`` lead to the provider of that name by themselves."""
        if name == found.model:
            self._draft.claim(found.account, name)
        elif not (name.endswith("/*") and found.model == "*" and self._draft.provider(found.account) == name[:-2]):
            entry.note("model_name", f"a pattern cannot be renamed: names would have to be those of '{found.model}'")

    def _account(self, params: Section, prefix: str, name: str) -> Account | None:
        given = self._credentials.get(params.text("litellm_credential_name") or "")
        base = params.text("api_base") or params.text("base_url") or (given.text("api_base") if given else None)
        if base is None and ("api_base" in params or "base_url" in params):
            params.note("model", "was left out: its address cannot be carried")
            return None
        vendor = VENDORS.get(prefix) or (VENDORS["openai_like"] if base is not None else None)
        if vendor is None:
            first, slash, _ = (params.text("model") or "").partition("/")
            params.note("model", f"'{first}' {NO_VENDOR}" if slash else NO_PREFIX)
            return None
        base_url = self._base_url(params, vendor, base)
        if base_url is None:
            params.note(
                "model", f"'{prefix}' has an address of its own for each customer, which api_base does not name"
            )
            return None
        key = params.text("api_key") or (given.text("api_key") if given else None)
        if key is None:
            key = "${" + vendor.variable + "}" if vendor.variable else ""
        elif key.startswith(FROM_THE_ENVIRONMENT):
            key = reference(key)
        else:
            key = self._draft.variable(key, vendor.variable or "PROVIDER_API_KEY")
            params.note("api_key", f"is a secret, which is not copied: put it into the environment as {key[2:-1]}")
        headers = {}
        for field in ("extra_headers", "headers"):
            section = params.section(field)
            headers.update({each: reference(section.text(each) or "") for each in section.names()})
        if organization := params.text("organization"):
            headers["openai-organization"] = reference(organization)
        limit = params.number("max_parallel_requests")
        return Account(
            name[:-2] if name.endswith("/*") else _called(vendor, prefix, base_url),
            vendor.dialect,
            base_url,
            key,
            vendor.auth,
            tuple(sorted(headers.items())),
            min(int(limit), MOST_IN_FLIGHT) if limit and limit >= 1 else None,
        )

    def _base_url(self, params: Section, vendor: Vendor, base: str | None) -> str | None:
        if base is None:
            return vendor.base_url or None
        base = vendor.address(reference(base))
        if not base.startswith("${") and not urlsplit(base).path:
            params.note("api_base", "has no path, so it is asked at /v1 below it")
        return base


def _called(vendor: Vendor, prefix: str, base_url: str) -> str:
    """What to call a provider: the vendor, but for an address that is not the vendor's own."""
    anywhere = not vendor.base_url and vendor.name != "local"
    if anywhere or base_url == vendor.base_url:
        return vendor.name or prefix
    host = urlsplit(base_url).hostname if not base_url.startswith("${") else None
    if host is None:
        return vendor.name or prefix
    return "local" if is_loopback(host) else host.removeprefix("api.").removeprefix("www.").partition(".")[0]


def _share(key: str, *sections: Section) -> Share | None:
    """A figure, from the first mapping that has it."""
    for section in sections:
        if (value := section.number(key) or 0) > 0:
            return Share(section, key, value)
    return None


def _weights(group: list[Deployment]) -> list[float]:
    """Weights as simple-shuffle has them: by the first figure that any deployment has, the smallest of them as 1. Tells
    of limits what they are here.
    """
    weights: list[float] = [1] * len(group)
    weighed = len(group) == 1
    for figure in zip(*(each.shares for each in group), strict=True):
        given = [share for share in figure if share is not None]
        for share in given:
            if share.key != "weight":
                share.section.note(share.key, NO_LIMIT if weighed else WEIGHT)
        if given and not weighed:
            weighed = True
            least = min(share.value for share in given)
            shares = [round(min((share.value if share else least) / least, 1000), 3) for share in figure]
            weights = [int(share) if share == int(share) else share for share in shares]
    return weights


def _price(params: Section, info: Section) -> tuple[tuple[str, float], ...]:
    """USD for a million tokens; nothing unless both of input and output are given."""
    found: dict[str, float] = {}
    places: list[tuple[Section, str]] = []
    for key, ours in PRICES.items():
        ours_there = params.number(key)
        value = info.number(key) if ours_there is None else ours_there
        if value is not None and value >= 0:
            found[ours] = round(value * 1e6, 9)
            places.append((info if ours_there is None else params, key))
    if {"input", "output"} <= found.keys():
        return tuple(found.items())
    for section, key in places:
        section.note(key, HALF_A_PRICE)
    return ()
