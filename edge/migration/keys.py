"""The virtual keys of LiteLLM's database, which holds their SHA-256 as this program does: clients keep their keys.

Read is what ``GET /key/list?return_full_object=true`` answers, or the table ``LiteLLM_VerificationToken`` as JSON.
"""

from __future__ import annotations

import json
import re

from edge.migration.budgets import budget_of
from edge.migration.draft import NOT_IN_A_NAME, Setting
from edge.migration.source import Section, Source, SourceError

__all__ = ["import_keys"]

DIGEST = re.compile(r"[0-9a-f]{64}")
ALL = {"all-proxy-models", "all-team-models", "*"}
LIMITS = {
    "rpm_limit": "requests_per_minute",
    "tpm_limit": "tokens_per_minute",
    "max_parallel_requests": "concurrency",
}
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
TOLD = {
    "model_max_budget": "was not carried: a model's budget is that of all who ask it",
    "model_rpm_limit": "was not carried: limits are a key's, a tenant's or a model's",
    "model_tpm_limit": "was not carried: limits are a key's, a tenant's or a model's",
    "budget_id": "names a budget of another table, which was not carried",
    "aliases": "was not carried: an alias in 'models' is everybody's",
    "allowed_passthrough_routes": "was not carried: which models a key may use are its 'models'",
}
"""What changes who may do what, of which a note tells; of the other columns there is nothing to say."""


def import_keys(text: str) -> tuple[list[Setting], list[str]]:
    """The settings of the keys, and a note for each that is not as it was. Raises SourceError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise SourceError(["the keys are no JSON"]) from None
    source = Source(data if isinstance(data, dict) else {"keys": data}, None)
    keys: list[Setting] = []
    names: set[str] = set()
    digests: set[str] = set()
    for entry in source.root.sections("keys"):
        digest = entry.text("token") or ""
        if not DIGEST.fullmatch(digest):
            entry.note("token", "is no digest of 64 hexadecimal digits, and the key was left out")
        elif entry.flag("blocked"):
            entry.note("blocked", "is set, and the key was left out")
        elif digest in digests:
            entry.note("token", "is that of another key, and was left out")
        elif (routes := _routes(entry)) == []:
            entry.note("allowed_routes", "are none that is served here, and the key was left out")
        else:
            digests.add(digest)
            keys.append(_key(entry, digest, names, routes))
    return keys, source.told()


def _routes(entry: Section) -> list[Setting] | None:
    """The routes that a key may use; None for all."""
    asked = entry.texts("allowed_routes")
    if not asked or ALL_ROUTES & set(asked):
        return None
    known = [ROUTES.get("/" + route.strip("/").removeprefix("v1/")) for route in asked]
    if None in known and any(known):
        entry.note("allowed_routes", "are carried as far as they are served here")
    return [route for route in dict.fromkeys(known) if route is not None]


def _key(entry: Section, digest: str, names: set[str], routes: list[Setting] | None) -> Setting:
    wanted = NOT_IN_A_NAME.sub("-", (entry.text("key_alias") or f"key-{digest[:8]}").lower()).strip("-_")[:56]
    wanted = wanted or f"key-{digest[:8]}"
    name = wanted if wanted not in names else f"{wanted}-{digest[:8]}"
    names.add(name)
    key: dict[str, Setting] = {"id": name}
    if tenant := entry.text("team_id") or entry.text("user_id"):
        key["tenant"] = tenant
    key["digests"] = [f"sha256:{digest}"]
    models = entry.texts("models")
    if models and not ALL & set(models):
        key["models"] = list(models)
    elif "all-team-models" in models:
        entry.note("models", "are those of its team, which are not here: it may use all")
    if routes is not None:
        key["allowed_routes"] = routes
    for theirs, ours in LIMITS.items():
        if limit := entry.number(theirs):
            key[ours] = max(int(limit), 1)
    if budget := budget_of(entry):
        key["budget"] = budget
    if expires := entry.text("expires"):
        key["expires"] = expires if expires.endswith("Z") or "+" in expires else f"{expires}Z"
    for name, what in TOLD.items():
        if entry.says(name):
            entry.note(name, what)
    return key
