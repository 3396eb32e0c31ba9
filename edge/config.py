"""Every setting: its name, type and default, and the rules that span several of them.

A setting exists from the day the program enforces it. `edge.config_file` reads files into these structs; nothing here
reads a file or the environment.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

__all__ = [
    "Auth",
    "Cache",
    "CacheMode",
    "Config",
    "Key",
    "Log",
    "Memory",
    "Model",
    "Provider",
    "Redis",
    "Resilience",
    "Secret",
    "Server",
    "Target",
    "Telemetry",
    "Tls",
    "Translation",
    "from_environment",
    "is_loopback",
    "problems",
]

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$(?!\n)"
Name = Annotated[str, Meta(pattern=NAME, description="lower-case letters, digits, - and _")]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$(?!\n)")]

URL_TEXT = re.compile(r"[!-~]+")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HOP_BY_HOP = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Secret:
    """A value that never prints. ``reveal()`` gives it to whoever must send it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all sections."""


class Tls(Settings, frozen=True, kw_only=True):
    cert: str
    key: str
    client_ca: str | None = None


class Server(Settings, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    max_in_flight: Annotated[int, Meta(ge=1, le=1_000_000)] = 4096
    max_body_bytes: Annotated[int, Meta(ge=1024, le=1 << 31)] = 35651584
    tls: Tls | None = None


CacheMode = Literal["off", "deterministic", "all"]


class Key(Settings, frozen=True, kw_only=True):
    id: Name
    tenant: str = ""
    digests: Annotated[list[Digest], Meta(min_length=1, max_length=2)]
    models: list[str] | None = None
    requests_per_minute: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    cache: CacheMode | None = None
    admin: bool = False


class Auth(Settings, frozen=True, kw_only=True):
    mode: Literal["keys", "none"] | None = None
    keys: list[Key] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether requests need no key."""
        return self.mode == "none" or (self.mode is None and not self.keys)


class Provider(Settings, frozen=True, kw_only=True):
    dialect: Literal["openai", "anthropic"]
    base_url: str
    api_keys: list[Secret] = field(default_factory=list)
    auth: Literal["bearer", "x-api-key", "api-key", "none"] | None = None
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    models: list[str] | None = None
    ca_file: str | None = None
    max_connections: Annotated[int, Meta(ge=1, le=65535)] = 100
    http2: bool = False


class Target(Settings, frozen=True, kw_only=True):
    to: str


class Model(Settings, frozen=True, kw_only=True):
    strategy: Literal["failover"] | None = None
    upstreams: Annotated[list[Target], Meta(min_length=1, max_length=64)]
    fallbacks: list[str] = field(default_factory=list)
    cache: CacheMode | None = None


class Memory(Settings, frozen=True, kw_only=True):
    max_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 268435456
    ttl_s: Seconds = 300.0


class Redis(Settings, frozen=True, kw_only=True):
    url: Secret
    cluster: bool = False
    ca_file: str | None = None
    ttl_s: Annotated[float, Meta(gt=0, le=31536000)] = 3600.0
    timeout_ms: Annotated[int, Meta(ge=1, le=10_000)] = 50
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$(?!\n)")] = "edge"
    hmac_key: Secret | None = None


class Cache(Settings, frozen=True, kw_only=True):
    mode: CacheMode = "off"
    scope: Literal["tenant", "key", "shared"] = "tenant"
    replay: Literal["instant", "paced"] = "instant"
    join: bool = True
    memory: Memory = field(default_factory=Memory)
    redis: Redis | None = None


class Resilience(Settings, frozen=True, kw_only=True):
    connect_s: Seconds = 3.0
    first_content_s: Seconds = 120.0
    attempt_s: Seconds = 300.0
    idle_s: Seconds = 60.0
    total_s: Seconds = 600.0
    stream_keepalive_s: Annotated[float, Meta(ge=0, le=86400)] = 15.0


class Translation(Settings, frozen=True, kw_only=True):
    strict: bool = False


class Log(Settings, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "pretty"] | None = None


class Telemetry(Settings, frozen=True, kw_only=True):
    log: Log = field(default_factory=Log)


class Config(Settings, frozen=True, kw_only=True):
    server: Server = field(default_factory=Server)
    auth: Auth = field(default_factory=Auth)
    providers: dict[Name, Provider] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    cache: Cache = field(default_factory=Cache)
    resilience: Resilience = field(default_factory=Resilience)
    translation: Translation = field(default_factory=Translation)
    telemetry: Telemetry = field(default_factory=Telemetry)


Problem = tuple[tuple[str | int, ...], str]
"""Where (the path of keys and indexes) and what."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    host = host.strip("[]")
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def problems(config: Config, *, insecure: bool = False) -> list[Problem]:
    """The rules that the types cannot say; every violation at once."""
    found: list[Problem] = []
    found += _auth_problems(config, insecure)
    for name, provider in config.providers.items():
        found += _provider_problems(name, provider, config.server)
    if not config.providers:
        found.append((("providers",), "at least one provider is needed"))
    if config.cache.redis is not None:
        found += _redis_problems(config.cache.redis)
    for alias, model in config.models.items():
        if not alias or len(alias) > 128 or any(ord(c) < 33 or ord(c) == 127 for c in alias):
            found.append((("models", alias), "an alias is 1 to 128 printable characters without spaces"))
        if len(model.upstreams) > 1 and model.strategy is None:
            found.append((("models", alias), "several upstreams need 'strategy: failover'"))
        for index, fallback in enumerate(model.fallbacks):
            if fallback not in config.models or fallback == alias:
                what = "itself" if fallback == alias else f"'{fallback}', which is no alias"
                found.append((("models", alias, "fallbacks", index), f"falls back to {what}"))
        for index, target in enumerate(model.upstreams):
            provider_name, _, upstream_model = target.to.partition("/")
            where = ("models", alias, "upstreams", index, "to")
            if not upstream_model.isprintable() or len(upstream_model) > 256:
                found.append((where, "the model's name has characters that cannot be sent, or too many"))
            elif not upstream_model:
                found.append((where, f"'{target.to}' is not of the form provider/model"))
            elif provider_name not in config.providers:
                found.append((where, f"there is no provider '{provider_name}'"))
    return found


def _auth_problems(config: Config, insecure: bool) -> list[Problem]:
    found: list[Problem] = []
    auth = config.auth
    if auth.mode == "keys" and not auth.keys:
        found.append((("auth", "keys"), "mode is 'keys', but there is no key: nobody could use this edge"))
    if auth.open and not insecure and not is_loopback(config.server.host):
        found.append(
            (
                ("server", "host"),
                (
                    f"'{config.server.host}' is reachable from outside, and no keys are set: add auth.keys, "
                    "listen on 127.0.0.1, or start with --insecure"
                ),
            )
        )
    ids: set[str] = set()
    digests: set[str] = set()
    for index, key in enumerate(auth.keys):
        if key.id in ids:
            found.append((("auth", "keys", index, "id"), f"'{key.id}' is used twice"))
        ids.add(key.id)
        for position, digest in enumerate(key.digests):
            if digest in digests:
                found.append((("auth", "keys", index, "digests", position), "this digest is used twice"))
            digests.add(digest)
    return found


def _provider_problems(name: str, provider: Provider, server: Server) -> list[Problem]:
    found: list[Problem] = []
    where = ("providers", name)
    try:
        url = urlsplit(provider.base_url)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme not in ("http", "https") or not url.hostname or not URL_TEXT.fullmatch(provider.base_url):
        found.append(((*where, "base_url"), "must be an http:// or https:// URL with a host"))
    elif url.username is not None or url.query or url.fragment:
        found.append(((*where, "base_url"), "must have no user, query or fragment"))
    elif (
        port == server.port
        and server.port
        and (
            url.hostname == server.host
            or (is_loopback(url.hostname) and (is_loopback(server.host) or _any(server.host)))
        )
    ):
        found.append(((*where, "base_url"), "is this edge's own address: requests would go in circles"))
    for header, value in provider.headers.items():
        if not TOKEN.fullmatch(header) or header.lower() in HOP_BY_HOP:
            found.append(((*where, "headers", header), "is not a header that can be set"))
        if any(ord(c) < 32 or ord(c) > 126 for c in value):
            found.append(((*where, "headers", header), "the value has characters that a header cannot carry"))
    credential = {"bearer": "authorization", None: "authorization" if provider.dialect == "openai" else "x-api-key"}
    header = credential.get(provider.auth, provider.auth or "")
    if provider.api_keys and header in {name.lower() for name in provider.headers}:
        found.append(((*where, "headers"), f"sets {header}, which api_keys sets too"))
    for index, secret in enumerate(provider.api_keys):
        if not secret.reveal() or any(ord(c) < 33 or ord(c) > 126 for c in secret.reveal()):
            found.append(((*where, "api_keys", index), "is empty or has characters that a header cannot carry"))
    if provider.http2:
        try:
            import h2  # noqa: F401
        except ImportError:
            found.append(((*where, "http2"), "needs the extra: pip install 'llm-edge-agent[http2]'"))
    return found


def _redis_problems(redis: Redis) -> list[Problem]:
    where = ("cache", "redis")
    try:
        url = urlsplit(redis.url.reveal())
        valid = url.scheme in ("redis", "rediss") and bool(url.hostname) and (url.port or 6379) > 0
    except ValueError:
        valid = False
    if not valid:
        return [((*where, "url"), "must be redis://host:port or rediss://host:port, with user:password@ if needed")]
    if url.query or url.fragment or not re.fullmatch(r"/?[0-9]*", url.path):
        return [((*where, "url"), "may have the number of a database as its path, and nothing after it")]
    if redis.cluster and url.path.strip("/0"):
        return [((*where, "url"), "a cluster has no numbered databases")]
    if redis.ca_file is not None and url.scheme != "rediss":
        return [((*where, "ca_file"), "needs a rediss:// URL")]
    return []


def _any(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")  # noqa: S104


def from_environment(environ: dict[str, str]) -> Config:
    """The configuration without a file: a provider for each of OPENAI_API_KEY and ANTHROPIC_API_KEY.

    ``OPENAI_BASE_URL`` is used as it stands; to ``ANTHROPIC_BASE_URL`` ``/v1`` is appended when absent, because the two
    SDKs read these variables so. An empty variable counts as unset.
    """
    providers: dict[str, Provider] = {}
    if key := environ.get("OPENAI_API_KEY"):
        base = environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        providers["openai"] = Provider(dialect="openai", base_url=base.rstrip("/"), api_keys=[Secret(key)])
    if key := environ.get("ANTHROPIC_API_KEY"):
        base = (environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com/v1").rstrip("/")
        if not base.endswith("/v1"):
            base += "/v1"
        providers["anthropic"] = Provider(dialect="anthropic", base_url=base, api_keys=[Secret(key)])
    return Config(providers=providers)
