"""LiteLLM's ``config.yaml`` as a configuration of this program, with a note for each setting that is not carried over.

What its settings mean is from LiteLLM's documentation (docs.litellm.ai/docs/proxy/config_settings, /routing,
/reliability, /caching), as of October 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from edge.config.model import Breaker, Resilience
from edge.migration import reasons
from edge.migration.deployments import MOST_IN_FLIGHT, STRATEGIES, Deployments
from edge.migration.draft import Draft, Setting
from edge.migration.keys import import_keys
from edge.migration.source import FROM_THE_ENVIRONMENT, NOT_CARRIED, Section, Source, reference
from edge.migration.vendors import VENDORS
from edge.redis.url import redis_address

__all__ = ["Imported", "import_litellm"]

MOST_RETRIES = 10
DAY_S, YEAR_S = 86_400, 31_536_000
MOST_FAILURES = MOST_REQUESTS = 1_000_000
MOST_BODY = 1 << 31
TOTAL_S, MAX_OPEN_S = Resilience().total_s, Breaker().max_open_s
"""What is not said holds beside what was carried over, so it may have to grow with that."""
KEYS_FILE = "edge-keys.json"
"""Of a name that the file of LiteLLM's keys does not have."""
MIN_KEY = 16
MASTER = "LITELLM_MASTER_KEY"
"""The variable of the master key where general_settings.master_key is not set."""
OTHER_DOORS = ("enable_jwt_auth", "custom_auth")
"""Settings by which clients are let in without keys; they are not carried, and whoever they kept out stays out."""


@dataclass(frozen=True)
class Imported:
    """``yaml`` is the configuration; ``notes`` has a line for what was not carried over, or has changed; ``variables``
    names those that are to hold the secrets which stood in the file. ``serves``: there is a provider. ``needs_key``:
    nobody gets in until there is a key.
    """

    yaml: str
    notes: list[str]
    variables: list[str]
    serves: bool
    needs_key: bool


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
    limit = _first((router, "default_max_parallel_requests"), (general, "max_parallel_requests"))
    draft.max_in_flight = _whole(limit, MOST_IN_FLIGHT)
    for name in root.section("environment_variables").names():
        root.section("environment_variables").note(name, f"{NOT_CARRIED}set it in the environment of 'edge serve'")
    for section, why in ((library, reasons.LIBRARY), (router, reasons.ROUTER), (general, reasons.GENERAL)):
        section.leave(why)
    root.leave(reasons.ROOT)
    notes = source.told()
    if keys is not None:
        virtual, told = import_keys(keys, draft.master)
        draft.keys += virtual
        notes += told
    needs_key = draft.locked and draft.master is None and not draft.keys
    if needs_key:
        draft.keys_file = KEYS_FILE
    comment = "Imported from a configuration of LiteLLM."
    return Imported(draft.yaml(comment), notes, list(draft.variables.values()), bool(draft.providers), needs_key)


@dataclass(frozen=True)
class Figure:
    """A number and where it stands."""

    section: Section
    key: str
    value: float

    def note(self, what: str) -> None:
        self.section.note(self.key, what)


def _first(*places: tuple[Section, str]) -> Figure | None:
    """The first number that is given; all of the places count as read."""
    found = [Figure(section, key, value) for section, key in places if (value := section.number(key)) is not None]
    return found[0] if found else None


def _at_most(figure: Figure | None, most: float, least: float) -> float | None:
    """The number, or the most there may be. None, with a note, below the least."""
    if figure is None:
        return None
    if figure.value < least or figure.value == least == 0:
        figure.note(f"{NOT_CARRIED}it has to be {f'{least:g} or more' if least else 'more than 0'}")
        return None
    if figure.value > most:
        figure.note(f"was carried over as {most}, the most that is possible")
    return min(figure.value, most)


def _seconds(figure: Figure | None, most: float = DAY_S) -> float | None:
    return _at_most(figure, most, 0)


def _whole(figure: Figure | None, most: int, least: int = 1) -> int | None:
    found = _at_most(figure, most, least) if least else _at_most(figure, most, -0.5)
    return None if found is None else int(found)


def _routing(deployments: Deployments, library: Section, router: Section) -> None:
    strategy = router.text("routing_strategy")
    if strategy is not None and strategy not in STRATEGIES:
        router.note("routing_strategy", f"{NOT_CARRIED}there is no '{strategy}'; aliases use round_robin")
    elif strategy in ("usage-based-routing", "usage-based-routing-v2"):
        router.note("routing_strategy", "became least_busy, which counts requests in flight, not tokens")
    deployments.aliases(STRATEGIES.get(strategy or "", "round_robin"))
    names = router.section("model_group_alias")
    for name in names.names():
        target = names.section(name).text("model") if names.is_section(name) else names.text(name)
        if not deployments.rename(name, target or ""):
            names.note(name, f"{NOT_CARRIED}no model has the name '{target}'")
    kinds = {
        "fallbacks": "any",
        "context_window_fallbacks": "context_length",
        "content_policy_fallbacks": "content_policy",
    }
    for key, kind in kinds.items():
        # The router's settings win where both have them; those of the library are left, and noted.
        deployments.fall_back(kind, (router if router.says(key) else library).sections(key))
    for section in (router, library):
        deployments.fall_back_by_default(section, "default_fallbacks")


def _clocks(draft: Draft, library: Section, router: Section) -> None:
    retries = _whole(_first((router, "num_retries"), (library, "num_retries")), MOST_RETRIES, 0)
    if retries is not None:
        draft.resilience["retries"] = retries
    whole = _seconds(_first((router, "timeout"), (library, "request_timeout")))
    if whole:
        draft.resilience["attempt_s"] = whole
        if whole > TOTAL_S:
            draft.resilience["total_s"] = whole
    content = _seconds(_first((router, "ttft_timeout"), (router, "stream_timeout")))
    if content:
        draft.resilience["first_content_s"] = content
    idle = _seconds(_first((router, "stream_idle_timeout")))
    if idle:
        draft.resilience["idle_s"] = idle
    breaker: dict[str, Setting] = {}
    fails = _whole(_first((router, "allowed_fails"), (library, "allowed_fails")), MOST_FAILURES - 1, 0)
    if fails is not None:
        breaker["failures"] = fails + 1
    cooldown = _seconds(_first((router, "cooldown_time"), (library, "cooldown_time")))
    if cooldown:
        breaker["open_s"] = cooldown
        if cooldown > MAX_OPEN_S:
            breaker["max_open_s"] = cooldown
    if breaker:
        draft.resilience["breaker"] = breaker


def _caching(draft: Draft, wanted: bool, params: Section) -> None:
    kind = params.text("type") or "local"
    if not wanted:
        if params.names():
            params.note(None, f"{NOT_CARRIED}{reasons.LIBRARY['cache_params']}")
        params.ignore()
        return
    if kind == "redis-semantic":
        params.note("type", "became redis: only identical requests share an answer")
    elif kind not in ("local", "redis"):
        params.note("type", f"{NOT_CARRIED}there is no cache '{kind}'; answers are cached in memory")
    draft.cache["mode"] = "all"
    if params.text("mode") == "default_off":
        draft.cache["mode"] = "off"
        params.note(
            "mode", f"{NOT_CARRIED}requests do not turn caching on; set cache.mode, or 'cache' of a key or alias"
        )
    ttl = _first((params, "ttl"), (params, "default_in_redis_ttl"), (params, "default_in_memory_ttl"))
    # Redis keeps answers for longer than a worker's memory may.
    if kind.startswith("redis"):
        redis: dict[str, Setting] = {"url": _redis_url(draft, params)}
        known = re.sub(r"\$\{(\w+)(:-[^}]*)?\}", "1", str(redis["url"]))
        try:
            redis_address(
                known if known != "1" else "redis://127.0.0.1"
            )  # what is in one variable is seen at the start
        except ValueError as error:
            params.note(None, f"{NOT_CARRIED}the URL of Redis {error}")
            return
        if params.sections("redis_startup_nodes"):
            redis["cluster"] = True
        if kept := _seconds(ttl, YEAR_S):
            redis["ttl_s"] = kept
            draft.cache["memory"] = {"ttl_s": min(kept, DAY_S)}
        namespace = params.text("namespace")
        if namespace and re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", namespace):
            redis["prefix"] = namespace
        elif namespace:
            params.note("namespace", f"{NOT_CARRIED}a prefix has 1 to 32 letters, digits and _.-; it is 'edge'")
        draft.cache["redis"] = redis
    elif kept := _seconds(ttl):
        draft.cache["memory"] = {"ttl_s": kept}
    params.leave(reasons.CACHE)


def _redis_url(draft: Draft, params: Section) -> str:
    """The address of Redis; each part may name a variable. What is not said is in LiteLLM's own variables."""
    if url := params.text("url"):
        if url.startswith(FROM_THE_ENVIRONMENT):
            return reference(url)
        variable = draft.variable(url, "REDIS_URL")
        params.note("url", f"was not copied, because it may hold a password; set {variable[2:-1]} in the environment")
        return variable
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
        variable = draft.variable(password, "REDIS_PASSWORD")
        params.note("password", f"was not copied, because it is a secret; set {variable[2:-1]} in the environment")
        who += f":{variable}@"
    scheme = "rediss" if params.flag("ssl") else "redis"
    number = params.number("db")
    database = f"/{int(number)}" if number and number > 0 and not nodes else ""
    return f"{scheme}://{who}{reference(host)}:{reference(port)}{database}"


def _logging(draft: Draft, library: Section, router: Section) -> None:
    if library.flag("json_logs"):
        draft.log["format"] = "json"
    if library.flag("set_verbose") or router.text("debug_level") == "DEBUG":
        draft.log["level"] = "debug"
    for key in ("callbacks", "success_callback", "failure_callback", "service_callback", "service_callbacks"):
        for name in library.texts(key):
            if name != "prometheus":  # /metrics is always there
                why = reasons.CALLBACKS.get(name, reasons.NO_CALLBACKS)
                library.note(key, f"'{name}' {NOT_CARRIED}{why}")


def _general(draft: Draft, general: Section, environ: Mapping[str, str]) -> None:
    _master_key(draft, general, environ)
    draft.locked = draft.locked or any(general.says(name) for name in OTHER_DOORS)
    limit = _first((general, "max_in_flight_requests_per_worker"), (general, "global_max_parallel_requests"))
    if (most := _whole(limit, MOST_REQUESTS)) is not None:
        draft.server["max_in_flight"] = most
    size = _first((general, "max_request_size_mb"))
    if (megabytes := _at_most(size, MOST_BODY >> 20, 1 / 1024)) is not None:
        draft.server["max_body_bytes"] = int(megabytes * (1 << 20))
    interval = _first((general, "health_check_interval"))
    if general.flag("background_health_checks"):
        draft.health = {"interval_s": _at_most(interval, 3600, 1) or 300}


def _master_key(draft: Draft, general: Section, environ: Mapping[str, str]) -> None:
    """The key that may do everything. If it cannot be carried over nobody gets in until there is another."""
    master = general.text("master_key") or (FROM_THE_ENVIRONMENT + MASTER if environ.get(MASTER) else None)
    if master is None:
        return
    name = master.removeprefix(FROM_THE_ENVIRONMENT)
    token = environ.get(name, "") if master.startswith(FROM_THE_ENVIRONMENT) else master
    draft.locked = True
    if len(token) >= MIN_KEY:
        draft.master = f"sha256:{sha256(token.encode()).hexdigest()}"
    elif token:
        general.note("master_key", f"{NOT_CARRIED}with less than {MIN_KEY} characters it can be guessed")
    else:
        general.note("master_key", f"{NOT_CARRIED}{name} is not set; set it and import again, or make another key")
