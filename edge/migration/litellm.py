"""LiteLLM's ``config.yaml`` as a configuration of this program, with a line for each setting that could not be carried.

What its settings mean is from LiteLLM's documentation (docs.litellm.ai/docs/proxy/config_settings, /routing,
/reliability, /caching), as of October 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from edge.migration import reasons
from edge.migration.deployments import MOST_IN_FLIGHT, STRATEGIES, Deployments
from edge.migration.draft import Draft, Setting
from edge.migration.keys import import_keys
from edge.migration.source import FROM_THE_ENVIRONMENT, Section, Source, reference
from edge.migration.vendors import VENDORS

__all__ = ["Imported", "import_litellm"]

MOST_RETRIES = 10
MIN_KEY = 16
MASTER = "LITELLM_MASTER_KEY"
"""The variable of the master key where general_settings.master_key is not set."""
OTHER_DOORS = ("enable_jwt_auth", "custom_auth")
"""Settings by which clients are let in without keys; they are not carried, and whoever they kept out stays out."""


@dataclass(frozen=True)
class Imported:
    """``yaml`` is the configuration; ``notes`` has a line for what was not carried, or is to be known; ``variables``
    names those that are to hold the secrets which stood in the file.
    """

    yaml: str
    notes: list[str]
    variables: list[str]


def import_litellm(text: str, environ: Mapping[str, str], keys: str | None = None) -> Imported:
    """`environ` is asked for the master key alone, of which the digest is written; `keys` is what LiteLLM's database
    has of virtual keys, as JSON. Nobody gets in without a key where LiteLLM asked for a key or a token. Raises
    SourceError.
    """
    source = Source.parse(text)
    root = source.root
    named = re.findall(rf"{FROM_THE_ENVIRONMENT}(\w+)", text)
    draft = Draft(server={"port": 4000}, reserved=frozenset([*named, *(each.variable for each in VENDORS.values())]))
    library, router, general = (root.section(f"{name}_settings") for name in ("litellm", "router", "general"))
    deployments = Deployments(draft, root.sections("model_list"), root.sections("credential_list"))
    _routing(deployments, library, router)
    _clocks(draft, library, router)
    _caching(draft, library.flag("cache"), library.section("cache_params"))
    _logging(draft, library, router)
    _general(draft, general, environ)
    limit = router.number("default_max_parallel_requests") or general.number("max_parallel_requests")
    draft.max_in_flight = min(int(limit), MOST_IN_FLIGHT) if limit and limit >= 1 else None
    for name in root.section("environment_variables").names():
        root.section("environment_variables").note(name, "is to be set in the environment of the program")
    for section, why in ((library, reasons.LIBRARY), (router, reasons.ROUTER), (general, reasons.GENERAL)):
        section.leave(why)
    root.leave(reasons.ROOT)
    notes = source.told()
    if keys is not None:
        virtual, told = import_keys(keys)
        draft.keys += virtual
        notes += told
    comment = f"Made from a configuration of LiteLLM, with {len(notes)} notes on what is not as it was."
    return Imported(draft.yaml(comment), notes, list(draft.variables.values()))


def _routing(deployments: Deployments, library: Section, router: Section) -> None:
    strategy = router.text("routing_strategy")
    if strategy is not None and strategy not in STRATEGIES:
        router.note("routing_strategy", f"'{strategy}' is none of ours: aliases take turns (round_robin)")
    elif strategy in ("usage-based-routing", "usage-based-routing-v2"):
        router.note("routing_strategy", "is by requests under way here (least_busy), not by tokens of the last minute")
    deployments.aliases(STRATEGIES.get(strategy or "", "round_robin"))
    names = router.section("model_group_alias")
    for name in names.names():
        target = names.section(name).text("model") if names.is_section(name) else names.text(name)
        if not deployments.rename(name, target or ""):
            names.note(name, f"stands for '{target}', which is no model of the list")
    kinds = {
        "fallbacks": "any",
        "context_window_fallbacks": "context_length",
        "content_policy_fallbacks": "content_policy",
    }
    for key, kind in kinds.items():
        # The router's settings win where both have them.
        for section in (router, library) if key in router else (library, router):
            lists = section.sections(key)
            if section is router or key not in router:
                deployments.fall_back(kind, lists)
    deployments.fall_back_by_default(library, "default_fallbacks")


def _clocks(draft: Draft, library: Section, router: Section) -> None:
    def first(*places: tuple[Section, str]) -> float | None:
        found = [section.number(key) for section, key in places]
        return next((number for number in found if number is not None and number >= 0), None)

    retries = first((router, "num_retries"), (library, "num_retries"))
    if retries is not None:
        draft.resilience["retries"] = min(int(retries), MOST_RETRIES)
    whole = first((router, "timeout"), (library, "request_timeout"))
    if whole:
        draft.resilience["attempt_s"] = min(whole, 86400)
        if whole > 600:
            draft.resilience["total_s"] = min(whole, 86400)
    content = first((router, "stream_timeout"))
    if content:
        draft.resilience["first_content_s"] = min(content, 86400)
    breaker: dict[str, Setting] = {}
    fails = first((router, "allowed_fails"), (library, "allowed_fails"))
    if fails is not None:
        breaker["failures"] = int(fails) + 1
    cooldown = first((router, "cooldown_time"), (library, "cooldown_time"))
    if cooldown:
        breaker["open_s"] = min(cooldown, 86400)
        if cooldown > 300:
            breaker["max_open_s"] = breaker["open_s"]
    if breaker:
        draft.resilience["breaker"] = breaker


def _caching(draft: Draft, wanted: bool, params: Section) -> None:
    kind = params.text("type") or "local"
    if not wanted:
        params.leave({})
        return
    if kind not in ("local", "redis"):
        params.note("type", f"'{kind}' is no cache here: answers are kept in memory and in Redis, by equal requests")
    draft.cache["mode"] = "all"
    if params.text("mode") == "default_off":
        draft.cache["mode"] = "off"
        params.note(
            "mode", "caching that each request asks for is not here: set cache.mode, or 'cache' of a key or model"
        )
    ttl = params.number("ttl") or params.number("default_in_memory_ttl")
    if ttl:
        draft.cache["memory"] = {"ttl_s": min(ttl, 86400)}
    if kind == "redis":
        redis: dict[str, Setting] = {"url": _redis_url(draft, params)}
        if params.sections("redis_startup_nodes"):
            redis["cluster"] = True
        if ttl:
            redis["ttl_s"] = ttl
        namespace = params.text("namespace")
        if namespace and re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", namespace):
            redis["prefix"] = namespace
        elif namespace:
            params.note("namespace", "has characters that a prefix has not, so it is 'edge'")
        draft.cache["redis"] = redis
    params.leave(reasons.CACHE)


def _redis_url(draft: Draft, params: Section) -> str:
    """The address of Redis; each part may name a variable. What is not said is in LiteLLM's own variables."""
    if url := params.text("url"):
        if url.startswith(FROM_THE_ENVIRONMENT):
            return reference(url)
        params.note("url", "is to be put into the environment, since it may hold a password")
        return draft.variable(url, "REDIS_URL")
    nodes = params.sections("redis_startup_nodes")
    host = (nodes[0].text("host") if nodes else params.text("host")) or "${REDIS_HOST:-127.0.0.1}"
    port = (nodes[0].text("port") if nodes else params.text("port")) or "${REDIS_PORT:-6379}"
    for node in nodes:
        node.read_later("host", "port")
    password = params.text("password")
    username = params.text("username")
    who = quote(username) if username and not username.startswith(FROM_THE_ENVIRONMENT) else reference(username or "")
    if password is None:
        who += ":${REDIS_PASSWORD:-}@"
    elif password.startswith(FROM_THE_ENVIRONMENT):
        who += f":{reference(password)}@"
    else:
        params.note("password", "is to be put into the environment")
        who += f":{draft.variable(password, 'REDIS_PASSWORD')}@"
    scheme = "rediss" if params.flag("ssl") else "redis"
    number = params.number("db")
    database = f"/{int(number)}" if number and number > 0 and not nodes else ""
    return f"{scheme}://{who}{reference(host)}:{reference(port)}{database}"


def _logging(draft: Draft, library: Section, router: Section) -> None:
    if library.flag("json_logs"):
        draft.log["format"] = "json"
    if library.flag("set_verbose") or router.text("debug_level") == "DEBUG":
        draft.log["level"] = "debug"
    for key in ("callbacks", "success_callback", "failure_callback", "service_callbacks"):
        for name in library.texts(key):
            if name != "prometheus":  # /metrics is there without being asked for
                library.note(
                    key, reasons.CALLBACKS.get(name, f"'{name}' is not told here: log lines, metrics and traces are")
                )


def _general(draft: Draft, general: Section, environ: Mapping[str, str]) -> None:
    _master_key(draft, general, environ)
    draft.locked = draft.locked or any(general.says(name) for name in OTHER_DOORS)
    if limit := general.number("global_max_parallel_requests"):
        draft.server["max_in_flight"] = int(limit)
    if size := general.number("max_request_size_mb"):
        draft.server["max_body_bytes"] = min(int(size * 1024 * 1024), 1 << 31)
    if general.flag("background_health_checks"):
        draft.health = {"interval_s": min(max(general.number("health_check_interval") or 300, 1), 3600)}
    general.number("health_check_interval")


def _master_key(draft: Draft, general: Section, environ: Mapping[str, str]) -> None:
    """The key that may do everything. Where it cannot be carried nobody is let in, until there is another."""
    master = general.text("master_key") or (FROM_THE_ENVIRONMENT + MASTER if environ.get(MASTER) else None)
    if master is None:
        return
    name = master.removeprefix(FROM_THE_ENVIRONMENT)
    token = environ.get(name, "") if master.startswith(FROM_THE_ENVIRONMENT) else master
    draft.locked = True
    if len(token) >= MIN_KEY:
        digest = f"sha256:{sha256(token.encode()).hexdigest()}"
        draft.keys.append({"id": "master", "digests": [digest], "admin": True})
    elif token:
        why = f"has less than {MIN_KEY} characters, which can be guessed"
        general.note("master_key", f"{why}: make one with 'edge key new master'")
    else:
        why = f"is in {name}, which is not set here"
        general.note("master_key", f"{why}: set it and import again, or make one with 'edge key new master'")
