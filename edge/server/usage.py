"""What was used and spent, and what is left, for a page of the application."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from time import sleep
from urllib.parse import parse_qsl

import msgspec

from edge.config import Config
from edge.errors import InvalidRequest
from edge.gateway import Gateway
from edge.guard.auth import Key
from edge.guard.left import Left, left_of
from edge.guard.quotas import Quota, quotas_of
from edge.money.pricing import PICO
from edge.money.spend_file import SpendFile, SpendFileError
from edge.money.usage_table import Row, UsageTable, Used
from edge.server.keeper import path_of

__all__ = ["Usage", "common", "usage_of"]

FIELDS = ("day", "key", "tenant", "model")
MAX_DAYS = 400
EPOCH = date(1970, 1, 1)
ATTEMPTS, PAUSE_S = 200, 0.005
MAX_KEYS = 1000
"""Whose limits are told: each is looked for among all keys."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was used by all that have these in common; "" where they were added up."""

    day: str = ""
    key: str = ""
    tenant: str = ""
    model: str = ""
    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """From the day ``since`` on, by UTC. ``kept``: what is in no file is forgotten when the edge ends."""

    since: str
    kept: bool
    usage: list[Line]
    limits: list[Left]


def usage_of(gateway: Gateway, query: bytes | None) -> Usage:
    """The answer to ``days=N&by=FIELD,...``, by default of today, by all of its fields. To be called in a thread.

    Raises InvalidRequest.
    """
    asked = dict(parse_qsl((query or b"").decode("latin-1")))
    days = asked.get("days", "1")
    if len(days) > 3 or not days.isascii() or not days.isdigit() or not 1 <= int(days) <= MAX_DAYS:
        raise InvalidRequest(f"'days' is a number from 1 to {MAX_DAYS}.", param="days")
    by = asked.get("by", ",".join(FIELDS)).split(",")
    if not set(by) <= set(FIELDS):
        raise InvalidRequest(f"'by' is of {', '.join(FIELDS)}, with commas between.", param="by")
    counts, state = gateway.counts, gateway.state
    today = counts.today()
    since = today - int(days) + 1
    kept, found = together(counts.usage, path_of(state.settings), since)
    return Usage(since=told(since), kept=kept, usage=summed(found, by), limits=limits(gateway, found))


def together(table: UsageTable, path: Path, since: int) -> tuple[bool, dict[Row, Used]]:
    """What is in the file and what is not yet, and whether there is one. While it is written, neither is known."""
    kept, found = False, {}
    for _ in range(ATTEMPTS):
        writes = table.writes
        found = {row: used for row, used in table.unwritten().items() if row.day >= since}
        try:
            if not path.exists():
                return False, found
            for row, used in SpendFile(path).usage(since).items():
                found[row] = used.plus(found[row]) if row in found else used
            kept = True
        except (SpendFileError, OSError):
            return False, found
        if writes % 2 == 0 and table.writes == writes:
            break
        sleep(PAUSE_S)
    return kept, found


def summed(found: dict[Row, Used], by: list[str]) -> list[Line]:
    sums: dict[tuple[str, ...], Used] = {}
    for row, used in found.items():
        names = (told(row.day), row.key, row.tenant, row.model)
        group = tuple(name if field in by else "" for field, name in zip(FIELDS, names, strict=True))
        sums[group] = used.plus(sums[group]) if group in sums else used
    return [
        Line(
            day=day,
            key=key,
            tenant=tenant,
            model=model,
            requests=used.requests,
            input_tokens=used.input,
            output_tokens=used.output,
            cost_usd=used.cost / PICO,
        )
        for (day, key, tenant, model), used in sorted(sums.items())
    ]


def limits(gateway: Gateway, found: Iterable[Row]) -> list[Left]:
    """Those of tenants and aliases, and of the keys that have used something."""
    quotas: dict[tuple[str, str], Quota] = {}
    state = gateway.state
    rows = [*found]
    for name in sorted({row.key for row in rows if row.key})[:MAX_KEYS]:
        key = state.auth.named(name)
        if key is not None:
            add(quotas, quotas_of(state.settings, key, ""))
    add(quotas, common(state.settings))
    return [left_of(quotas[name], gateway.counts) for name in sorted(quotas)]


def common(settings: Config) -> list[Quota]:
    """Those of tenants and aliases."""
    found: list[Quota] = []
    for tenant in settings.auth.tenants:
        found += quotas_of(settings, of_tenant(tenant), "")
    for alias in settings.models:
        found += quotas_of(settings, of_tenant(""), alias)
    return found


def of_tenant(tenant: str) -> Key:
    """Somebody who has nothing but a tenant."""
    return Key(id="", tenant=tenant, models=(), admin=False)


def add(quotas: dict[tuple[str, str], Quota], more: Iterable[Quota]) -> None:
    for quota in more:
        quotas[quota.scope, quota.name] = quota


def told(day: int) -> str:
    return (EPOCH + timedelta(days=day)).isoformat()
