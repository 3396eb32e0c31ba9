"""A configuration of this program that is being put together, as plain data, and the YAML that it becomes.

No secret is written into it: a key from the other file becomes a variable, which the notes name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from edge.config.model import Provider, Secret, Server
from edge.config.rules import provider_problems
from edge.config.yaml import write_yaml

__all__ = ["MASTER_ID", "Account", "Draft", "Setting"]

Setting = str | float | bool | list["Setting"] | dict[str, "Setting"] | None
NOT_IN_A_NAME = re.compile(r"[^a-z0-9_-]+")
VARIABLE = re.compile(r"\$\{\w+\}")
MASTER_ID = "master"
"""What the key is called that may do everything."""


@dataclass(frozen=True)
class Account:
    """A provider as it is to be asked; two deployments with equal ones share a provider. ``key`` is a reference to a
    variable, or "" where none is sent.
    """

    prefers: str
    dialect: Literal["openai", "anthropic"]
    base_url: str
    key: str
    auth: Literal["bearer", "x-api-key", "api-key"] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    max_in_flight: int | None = None


@dataclass
class Draft:
    """``variables`` has, for each secret that stood in the other file, the variable that is to hold it; none of those
    that are ``reserved``, since they hold something else. ``master`` is the digest of the key that may do everything.
    ``locked``: nobody gets in without a key. ``max_in_flight`` is that of each account that has none of its own.
    """

    server: dict[str, Setting] = field(default_factory=dict)
    keys: list[Setting] = field(default_factory=list)
    models: dict[str, dict[str, Setting]] = field(default_factory=dict)
    cache: dict[str, Setting] = field(default_factory=dict)
    resilience: dict[str, Setting] = field(default_factory=dict)
    log: dict[str, Setting] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()
    master: str | None = None
    locked: bool = False
    keys_file: str | None = None
    health: dict[str, Setting] | None = None
    max_in_flight: int | None = None
    _accounts: dict[Account, str] = field(default_factory=dict)
    _claims: dict[str, list[str]] = field(default_factory=dict)

    def provider(self, account: Account) -> str:
        """The name of the provider for an account, which is made where there is none."""
        if account not in self._accounts:
            wanted = NOT_IN_A_NAME.sub("-", account.prefers.lower()).strip("-_")[:56] or "provider"
            taken = set(self._accounts.values())
            names = [wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3))]
            self._accounts[account] = next(name for name in names if name not in taken)
        return self._accounts[account]

    def refusal(self, account: Account) -> str:
        """What `edge check` would say of the provider for an account, whatever the variables hold; "" for nothing."""
        port = self.server.get("port")
        provider = Provider(
            dialect=account.dialect,
            base_url=VARIABLE.sub("https://a.example", account.base_url),
            auth=account.auth,
            headers={name: VARIABLE.sub("a", value) for name, value in account.headers},
            api_keys=[Secret("a")] if account.key else [],
        )
        found = provider_problems("", provider, Server(port=port) if isinstance(port, int) else Server())
        return "; ".join(f"{where[2]} {what}" for where, what in found)

    def claim(self, account: Account, pattern: str) -> None:
        """Names that fit the pattern go to the account, as they are."""
        self._claims.setdefault(self.provider(account), []).append(pattern)

    def variable(self, secret: str, wanted: str) -> str:
        """The reference to the variable that holds a secret, named as wanted or alike; equal secrets share one."""
        if secret not in self.variables:
            taken = {*self.variables.values(), *self.reserved}
            names = [wanted, *(f"{wanted}_{number}" for number in range(2, len(taken) + 3))]
            self.variables[secret] = next(name for name in names if name not in taken)
        return "${" + self.variables[secret] + "}"

    @property
    def providers(self) -> dict[str, Setting]:
        """In the order in which names are to be looked for: who takes any name comes last."""
        found: list[tuple[bool, str, Setting]] = []
        for account, name in self._accounts.items():
            settings: dict[str, Setting] = {"dialect": account.dialect, "base_url": account.base_url}
            if account.key:
                settings["api_keys"] = [account.key]
            if account.auth is not None:
                settings["auth"] = account.auth
            if account.headers:
                settings["headers"] = dict(account.headers)
            limit = self.max_in_flight if account.max_in_flight is None else account.max_in_flight
            if limit is not None:
                settings["max_in_flight"] = limit
            if self.health is not None:
                settings["health"] = dict(self.health)
            # Without a list a provider would claim the names that its dialect usually has.
            claims = self._claims.get(name, [])
            settings["models"] = list(dict.fromkeys(claims))
            found.append(("*" in claims, name, settings))
        return {name: settings for _, name, settings in sorted(found, key=lambda each: each[0])}

    def settings(self) -> dict[str, Setting]:
        """The whole, without what is empty."""
        master: list[Setting] = (
            [{"id": MASTER_ID, "digests": [self.master], "admin": True}] if self.master is not None else []
        )
        keys = master + self.keys
        sections: dict[str, Setting] = {
            "server": self.server,
            "auth": ({"mode": "keys"} if self.locked else {})
            | ({"keys_file": self.keys_file} if self.keys_file else {})
            | ({"keys": keys} if keys else {}),
            "providers": self.providers,
            "models": dict(self.models),
            "cache": self.cache,
            "resilience": self.resilience,
            "telemetry": {"log": self.log} if self.log else {},
        }
        return {name: section for name, section in sections.items() if section}

    def yaml(self, comment: str) -> str:
        return "".join(f"# {line}\n" for line in comment.splitlines()) + write_yaml(self.settings())
