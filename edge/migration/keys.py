"""The virtual keys of LiteLLM's database, which holds their SHA-256 as this program does: clients keep their keys.

Read is what ``GET /key/list?return_full_object=true`` answers, or the table ``LiteLLM_VerificationToken`` as JSON.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from edge.migration.budgets import budget_of
from edge.migration.draft import MASTER_ID, NOT_IN_A_NAME, Setting
from edge.migration.source import NOT_CARRIED, Section, Source, SourceError

__all__ = ["import_keys"]

DIGEST = re.compile(r"[0-9a-f]{64}")
ALL = {"all-proxy-models", "all-team-models", "*"}
LIMITS = {
    "rpm_limit": ("requests_per_minute", 1_000_000_000),
    "tpm_limit": ("tokens_per_minute", 1_000_000_000),
    "max_parallel_requests": ("concurrency", 1_000_000),
}
"""What limits a key there and here, and the most that it may be here."""
BUDGET = "litellm_budget_table"
"""The budget that ``budget_id`` names; it has the same fields, which count where the key itself has none."""
ROUTES = {
    "/chat/completions": "chat/completions",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/responses": "responses",
    "/messages": "messages",
    "/messages/count_tokens": "messages/count_tokens",
    "/models": "models",
}
ALL_ROUTES = {"llm_api_routes", "openai_routes", "*"}
_PER_MODEL = "limits belong to a key, a tenant or an alias"
_ACCESS = "a key's 'models' say which models it may use"
NOTED = {
    "model_max_budget": _PER_MODEL,
    "model_rpm_limit": _PER_MODEL,
    "model_tpm_limit": _PER_MODEL,
    "budget_limits": "a key has one budget, for a day or a month",
    "budget_fallbacks": "a key beyond its budget gets a 429",
    "soft_budget": "alerts on spending are Prometheus's: docs/runbook.md",
    "aliases": "an alias in 'models' applies to all keys",
    "config": "a key has no configuration of its own",
    "router_settings": "routing is the same for all keys",
    "permissions": _ACCESS,
    "object_permission": _ACCESS,
    "access_group_ids": _ACCESS,
    "allowed_passthrough_routes": _ACCESS,
    "allowed_cache_controls": "every key may send Cache-Control: docs/caching.md",
    "auto_rotate": "keys are rotated by hand: 'edge key rotate'",
    "rotation_interval": "keys are rotated by hand: 'edge key rotate'",
}
"""What changes what a key may do; of the other columns there is nothing to say."""


def import_keys(text: str, master: str | None) -> tuple[list[Setting], list[str]]:
    """The settings of the keys, and a note for each that is not as it was. `master` is the digest of the master key,
    which LiteLLM may have among them, None where there is none. Raises SourceError.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise SourceError(["the keys are not JSON"]) from None
    source = Source(data if isinstance(data, dict) else {"keys": data}, None)
    keys: list[Setting] = []
    names = {MASTER_ID} if master is not None else set()
    digests: set[str] = set()
    for entry in source.root.sections("keys"):
        budget = entry.section(BUDGET) if entry.is_section(BUDGET) else entry
        digest = entry.text("token") or ""
        if not DIGEST.fullmatch(digest):
            entry.note("token", "the key was left out: this is not a digest of 64 hexadecimal digits")
        elif entry.flag("blocked"):
            entry.note("blocked", "the key was left out: it is blocked")
        elif f"sha256:{digest}" == master:
            entry.note("token", "the key was left out: it is the master key, which is there already")
        elif digest in digests:
            entry.note("token", "the key was left out: it is there twice")
        elif (nothing := _nothing_left(entry, budget)) is not None:
            entry.note(nothing, "the key was left out: this lets nothing through")
        elif (routes := _routes(entry)) == []:
            entry.note("allowed_routes", "the key was left out: none of its routes is supported")
        elif (expires := _expires(entry)) == "":
            entry.note("expires", "the key was left out: this is not a time")
        else:
            digests.add(digest)
            keys.append(_key(entry, budget, digest, names, routes, expires))
    return keys, source.told()


def _nothing_left(entry: Section, budget: Section) -> str | None:
    """The limit that is 0 or less, if there is one."""
    for name in (*LIMITS, "max_budget"):
        for section in (entry, budget):
            if name in section and (value := section.number(name)) is not None:
                if value <= 0:
                    return name
                break
    return None


def _expires(entry: Section) -> str | None:
    """The time with its zone, which is UTC unless it is given; None for never, "" for what is not a time."""
    text = entry.text("expires")
    if text is None:
        return "" if entry.says("expires") else None
    try:
        time = datetime.fromisoformat(text)
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        return f"{time.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
    except (ValueError, OverflowError):
        return ""


def _routes(entry: Section) -> list[Setting] | None:
    """The routes that a key may use; None for all."""
    asked = entry.texts("allowed_routes")
    if not asked or ALL_ROUTES & set(asked):
        return None
    known = [ROUTES.get("/" + route.strip("/").removeprefix("v1/")) for route in asked]
    if None in known and any(known):
        entry.note("allowed_routes", "were carried over as far as they are supported")
    return [route for route in dict.fromkeys(known) if route is not None]


def _key(
    entry: Section, budget: Section, digest: str, names: set[str], routes: list[Setting] | None, expires: str | None
) -> Setting:
    wanted = NOT_IN_A_NAME.sub("-", (entry.text("key_alias") or f"key-{digest[:8]}").lower()).strip("-_")[:54]
    wanted = wanted or f"key-{digest[:8]}"
    name = next(each for each in (wanted, f"{wanted}-{digest[:8]}", f"key-{digest[:60]}") if each not in names)
    names.add(name)
    key: dict[str, Setting] = {"id": name}
    if tenant := entry.text("team_id") or entry.text("user_id"):
        key["tenant"] = tenant
    key["digests"] = [f"sha256:{digest}"]
    models = entry.texts("models")
    if models and not ALL & set(models):
        key["models"] = list(models)
    elif "all-team-models" in models:
        entry.note("models", f"{NOT_CARRIED}the models of its team are not in the file; it may use all")
    if routes is not None:
        key["allowed_routes"] = routes
    for theirs, (ours, most) in LIMITS.items():
        if limit := entry.number(theirs) or budget.number(theirs):
            key[ours] = min(max(int(limit), 1), most)
    if money := budget_of(entry if "max_budget" in entry else budget):
        key["budget"] = money
    if expires is not None:
        key["expires"] = expires
    for name, why in NOTED.items():
        if entry.says(name):
            entry.note(name, NOT_CARRIED + why)
    if entry.says("budget_id") and budget is entry:
        entry.note("budget_id", f"{NOT_CARRIED}the budget is in another table, which is not in the file")
    return key
