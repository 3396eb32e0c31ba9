"""What a configuration may say, and hardly means: told by ``edge check``, and an error with ``--strict``."""

from __future__ import annotations

import difflib
import ipaddress
import re
from bisect import bisect_left
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from urllib.parse import urlsplit

from edge.config.model import DEFAULT_MODELS, Config, Provider, is_loopback
from edge.config.rules import ENDPOINTS, Problem, the_base_url

__all__ = ["UNEXPANDED", "notes"]

UNEXPANDED = re.compile(
    r"^\$[A-Za-z_]|\$\([A-Za-z_]+\)|\$\{|^%[A-Za-z_]+%$|^os\.environ/|^env[:.][A-Za-z_]+$|\{\{.*\}\}"
)
"""How shells, Windows, other gateways and templates write variables."""
NOT_REPLACED = "has a variable that nothing replaces: the form is ${NAME}, or ${NAME:-default}"
PLACEHOLDERS = {"not-set", "unset", "none", "null", "changeme", "change-me", "xxx", "todo", "sk-...", "your-api-key"}
INNER = (".local", ".internal", ".lan", ".home", ".svc", ".test", ".localhost", ".home.arpa", ".intranet", ".corp")
"""Ends of names that no public host has."""
VENDORS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}
DEPLOYMENT = re.compile(r"/openai/deployments/[^/]+$")
"""How an address of Azure's dated API ends; its v1 API has /openai/v1."""
GLOB = re.compile(r"[*?\[]")
SUGGESTIONS, COMPARED = 20, 500
"""For so many patterns it is said what may be meant, of so many names: those that begin alike, where there are more."""


def notes(config: Config) -> Iterator[Problem]:
    """All of them, by the places they are about."""
    for name, provider in config.providers.items():
        where = ("providers", name)
        yield from (((*where, "base_url"), what) for what in _of_base_url(provider))
        for setting, values in (("headers", provider.headers), ("query", provider.query)):
            for header, value in values.items():
                if UNEXPANDED.search(value):
                    yield (*where, setting, header), NOT_REPLACED
        for index, secret in enumerate(provider.api_keys):
            if secret.reveal().lower() in PLACEHOLDERS:
                yield (*where, "api_keys", index), "is a placeholder, not a key"
    yield from _shadowed(config)
    tenants = {key.tenant or key.id for key in config.auth.keys}
    elsewhere = config.auth.keys_file is not None or config.auth.jwt is not None
    for tenant in config.auth.tenants:
        if tenant not in tenants and not elsewhere:
            yield ("auth", "tenants", tenant), "no key belongs to this tenant: its limits have no effect"
    if config.limits.on_redis_loss == "refuse" and config.cache.redis is None:
        yield ("limits", "on_redis_loss"), "has no effect without 'cache.redis': each machine counts for itself"
    for alias, model in config.models.items():
        told = [target.to for target in model.upstreams]
        for place, to in enumerate(told):
            if to in told[:place]:
                yield (
                    ("models", alias, "upstreams", place, "to"),
                    "is a duplicate: use 'weight' to send it more requests",
                )
    names = _Names(config)
    for number, key in enumerate(config.auth.keys):
        if key.models == [] and not key.admin:
            yield ("auth", "keys", number, "models"), "is an empty list: the key may use no model at all"
        for place, pattern in enumerate(key.models or ()):
            if what := names.problem_of(pattern):
                yield ("auth", "keys", number, "models", place), what


def _of_base_url(provider: Provider) -> Iterator[str]:
    url = urlsplit(provider.base_url.strip())
    host = url.hostname or ""
    if url.scheme == "http" and _is_public(host):
        yield f"goes to a public host without TLS: keys and prompts can be read on the way; did you mean https://{host}?"
    path = re.sub("/{2,}", "/", url.path).rstrip("/")
    used = the_base_url(provider.base_url)
    if ENDPOINTS.search(path):
        yield f"ends in {ENDPOINTS.search(path)[0]}, which is dropped: write {used}"  # type: ignore[index]
    elif not path:
        yield f"has no path: /v1 is added; write {used}"
    elif DEPLOYMENT.search(path):
        if "api-version" not in provider.query:
            yield 'is an Azure deployment, where each request needs a version: query: {api-version: "2024-10-21"}'
    elif not re.search(r"/v[0-9]", path):
        endpoint = "messages" if provider.dialect == "anthropic" else "chat/completions"
        yield f"has no /v1 at its end: requests go to {used}/{endpoint}"


def _is_public(host: str) -> bool:
    """Whether a host is out in the world, as far as its name tells."""
    if is_loopback(host):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        name = host.lower().rstrip(".")
        return "." in name and not name.endswith(INNER) and ".svc." not in name


def patterns_of(provider: Provider) -> tuple[str, ...]:
    return DEFAULT_MODELS[provider.dialect] if provider.models is None else tuple(provider.models)


def _covers(wide: str, narrow: str) -> bool:
    """Whether a pattern matches all that another does, as far as that can be seen from the two."""
    return wide == narrow or _matches(GLOB.sub("x", narrow), wide)


def _matches(name: str, pattern: str) -> bool:
    """As fnmatch says; without its making a program of each of a hundred thousand patterns, where they are simple."""
    begin = GLOB.split(pattern, maxsplit=1)[0]
    if begin == pattern:
        return name == pattern
    return name.startswith(begin) and (pattern == f"{begin}*" or fnmatchcase(name, pattern))


def _shadowed(config: Config) -> Iterator[Problem]:
    """Patterns of providers that nothing ever reaches: an earlier provider of the dialect claims all that they match,
    or an alias has the name.
    """
    earlier: list[tuple[str, Provider]] = []
    for name, provider in config.providers.items():
        for index, pattern in enumerate(provider.models or ()):
            where = ("providers", name, "models", index)
            alias = config.models.get(pattern)
            if alias is not None and all(target.to != f"{name}/{pattern}" for target in alias.upstreams):
                yield where, f"is shadowed by the alias '{pattern}', which leads elsewhere"
            for other, first in earlier:
                wide = next((each for each in patterns_of(first) if _covers(each, pattern)), None)
                if wide is not None and first.dialect == provider.dialect:
                    yield where, f"is shadowed by '{wide}' of the provider '{other}', which comes before it"
                    break
        earlier.append((name, provider))


class _Names:
    """What the patterns of keys may match, gathered once: keys may be many."""

    def __init__(self, config: Config) -> None:
        names = {*config.models, *(target.to for model in config.models.values() for target in model.upstreams)}
        self.names = sorted(names | {name.partition("/")[2] for name in names if "/" in name})
        self.providers = list(config.providers)
        self.claimed = {each for provider in config.providers.values() for each in patterns_of(provider)}
        self.known = [*self.names, *sorted(self.claimed), *(f"{name}/*" for name in self.providers)]
        self.any = any(map(_takes_any, config.providers.values()))
        self.suggestions = 0
        self.problem_of = cache(self._problem_of)

    def _problem_of(self, pattern: str) -> str:
        """What is odd about a pattern of a key: "" where it matches something."""
        provider, slash, _ = pattern.partition("/")
        if (
            self._names_one(pattern)
            or (slash and any(_matches(name, provider) for name in self.providers))
            or any(_meet(each, pattern) for each in self.claimed)
        ):
            return ""
        close = self._close_to(pattern)
        if not close and self.any:
            return ""
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"matches nothing: no alias, no provider and none of the models that providers claim{hint}"

    def _names_one(self, pattern: str) -> bool:
        begin = GLOB.split(pattern, maxsplit=1)[0]
        for place in range(bisect_left(self.names, begin), len(self.names)):
            if not self.names[place].startswith(begin):
                return False
            if _matches(self.names[place], pattern):
                return True
        return False

    def _close_to(self, pattern: str) -> list[str]:
        """What may be meant, for the first patterns that match nothing: comparing takes long."""
        if self.suggestions == SUGGESTIONS:
            return []
        self.suggestions += 1
        known = self.known
        if len(known) > COMPARED:
            known = [name for name in known if name[:1] == pattern[:1]][:COMPARED]
        return difflib.get_close_matches(pattern, known, n=1)


def _meet(one: str, other: str) -> bool:
    """Whether some name may match both patterns."""
    if _covers(one, other) or _covers(other, one):
        return True
    begin, begins = GLOB.split(one)[0], GLOB.split(other)[0]
    both = GLOB.search(one) is not None and GLOB.search(other) is not None
    return both and (begin.startswith(begins) or begins.startswith(begin))


def _takes_any(provider: Provider) -> bool:
    """Whether a provider may have models that nobody can foresee: it claims no names, and is not the vendor's own."""
    return provider.models is None and urlsplit(provider.base_url).hostname != VENDORS[provider.dialect]
