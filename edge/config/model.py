"""Every setting: its name, type and default.

A setting exists from the day the program enforces it. `edge.config.file` reads files and the environment into these
structs, `edge.config.rules` has the rules that span several of them.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, field

from edge.config.capabilities import Capabilities, Settings
from edge.config.websockets import Websockets
from edge.routes import RouteName

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$(?!\n)"
SPELLED = Meta(pattern=NAME, description="1 to 64 lower-case letters, digits, - and _, a letter or digit first")
Name = Annotated[str, SPELLED]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Instant = Annotated[datetime, Meta(tz=True, description="a time with its zone, as 2027-01-31T18:00:00Z")]
Digest = Annotated[
    str,
    Meta(
        pattern=r"^sha256:[0-9a-f]{64}$(?!\n)",
        description="'sha256:' and 64 hexadecimal digits, as 'edge key new' prints it: not the key itself",
    ),
]

CertificateName = Annotated[
    str,
    Meta(
        pattern=r"^(subject|DNS|URI|email|IP):[^\x00-\x1f\x7f]{1,1024}$(?!\n)",
        description="a name that a certificate has: 'DNS:', 'URI:', 'email:', 'IP:' or 'subject:' and what it is",
    ),
]

DEFAULT_MODELS: dict[str, tuple[str, ...]] = {
    "openai": (
        "gpt-*",
        "chatgpt-*",
        "o[0-9]*",
        "text-embedding-*",
        "codex-*",
        "computer-use-*",
        "ft:*",
        "davinci-*",
        "babbage-*",
    ),
    "anthropic": ("claude-*",),
}
"""What a provider without ``models`` of its own claims, by dialect."""


class Secret:
    """A value that never prints. ``reveal()`` gives it to whoever must send it. ``file`` is the one that it was read
    from, "" where it stands in the configuration or in the environment.
    """

    __slots__ = ("_value", "file")

    def __init__(self, value: str, file: str = "") -> None:
        self._value = value
        self.file = file

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Tls(Settings, frozen=True, kw_only=True):
    cert: str
    key: str
    client_ca: str | None = None
    client_certificates: Literal["required", "optional"] = "required"


class Server(Settings, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    drain_delay_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    max_connections_per_address: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    max_in_flight: Annotated[int, Meta(ge=1, le=1_000_000)] = 4096
    max_buffered_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40)] = 1 << 29
    max_body_bytes: Annotated[int, Meta(ge=1024, le=1 << 31)] = 35651584
    max_form_bytes: Annotated[int, Meta(ge=1024, le=1 << 40)] = 1 << 30
    request_compression: bool = True
    max_messages: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    max_tools: Annotated[int, Meta(ge=1, le=1_000_000)] = 2048
    max_images: Annotated[int, Meta(ge=1, le=1_000_000)] = 2048
    tls: Tls | None = None
    secret: Secret | None = None


CacheMode = Literal["off", "deterministic", "all"]
PiiMode = Literal["off", "detect", "pseudonymize", "mask", "block"]
PiiAnswerMode = Literal["off", "detect", "mask", "block"]
PiiKind = Literal["email", "phone", "ssn", "card", "iban", "ip", "secret"]


class PiiCustom(Settings, frozen=True, kw_only=True):
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{1,22}$")]
    literals: Annotated[list[Annotated[str, Meta(min_length=2, max_length=128)]], Meta(max_length=10_000)] = field(
        default_factory=list
    )
    pattern: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    longest: Annotated[int, Meta(ge=1, le=1024)] = 64


CustomList = Annotated[list[PiiCustom], Meta(max_length=32)]


class PiiModes(Settings, frozen=True, kw_only=True):
    """Modes of a key or an alias."""

    request: PiiMode | None = None
    response: PiiAnswerMode | None = None
    custom: CustomList = field(default_factory=list)


class Pii(Settings, frozen=True, kw_only=True):
    request: PiiMode = "off"
    response: PiiAnswerMode = "off"
    kinds: Annotated[list[PiiKind], Meta(min_length=1)] = field(
        default_factory=lambda: ["email", "phone", "ssn", "card", "iban", "ip", "secret"]
    )
    allow: list[Annotated[str, Meta(min_length=1, max_length=1024)]] = field(default_factory=list)
    custom: CustomList = field(default_factory=list)
    on_error: Literal["refuse"] = "refuse"


Tokens = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Budget(Settings, frozen=True, kw_only=True):
    """US dollars per day or month, in UTC."""

    usd: Annotated[float, Meta(gt=0, le=1_000_000)]
    per: Literal["day", "month"] = "month"


class Tenant(Settings, frozen=True, kw_only=True):
    """Limits for all keys of one tenant together."""

    tokens_per_minute: Tokens | None = None
    budget: Budget | None = None


class Key(Settings, frozen=True, kw_only=True):
    id: Name
    tenant: str = ""
    digests: Annotated[list[Digest], Meta(max_length=2)] = field(default_factory=list)
    certificates: Annotated[list[CertificateName], Meta(min_length=1, max_length=16)] | None = None
    not_before: Instant | None = None
    expires: Instant | None = None
    models: list[str] | None = None
    allowed_routes: list[RouteName] | None = None
    requests_per_minute: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    tokens_per_minute: Tokens | None = None
    budget: Budget | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    cache: CacheMode | None = None
    pii: PiiModes | None = None
    admin: bool = False


class JwtClaims(Settings, frozen=True, kw_only=True):
    tenant: Annotated[str, Meta(min_length=1)] = "sub"
    models: Annotated[str, Meta(min_length=1)] | None = None


class Jwt(Settings, frozen=True, kw_only=True):
    issuer: Annotated[str, Meta(min_length=1)]
    audience: Annotated[str, Meta(min_length=1)]
    jwks_file: Annotated[str, Meta(min_length=1)] | None = None
    jwks_url: str | None = None
    claims: JwtClaims = field(default_factory=JwtClaims)


class Auth(Settings, frozen=True, kw_only=True):
    mode: Literal["keys", "none"] | None = None
    keys: list[Key] = field(default_factory=list)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    keys_file: Annotated[str, Meta(min_length=1)] | None = None
    failures_per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] = 60
    jwt: Jwt | None = None

    @property
    def open(self) -> bool:
        """Whether requests need no key."""
        has_keys = bool(self.keys) or self.keys_file is not None or self.jwt is not None
        return self.mode == "none" or (self.mode is None and not has_keys)


Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]


class Limits(Settings, frozen=True, kw_only=True):
    """How usage is counted, and where it is stored."""

    on_redis_loss: Literal["divide", "refuse"] = "divide"
    usage: Literal["limited", "all"] = "limited"
    file: Annotated[str, Meta(min_length=1)] | None = None


class LongContext(Settings, frozen=True, kw_only=True):
    """Prices for all tokens of a request with more than ``above`` input tokens."""

    above: Annotated[int, Meta(ge=0, le=1_000_000_000)]
    input: Dollars | None = None
    output: Dollars | None = None
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_long: Dollars | None = None


class Price(Settings, frozen=True, kw_only=True):
    """US dollars per million tokens; ``request`` and ``web_search`` are US dollars each."""

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_long: Dollars | None = None
    audio_input: Dollars | None = None
    audio_output: Dollars | None = None
    image_input: Dollars | None = None
    image_output: Dollars | None = None
    request: Dollars = 0.0
    web_search: Dollars = 0.0
    long_context: LongContext | None = None
    factors: dict[str, Annotated[float, Meta(ge=0, le=1000)]] | None = None


class Watch(Settings, frozen=True, kw_only=True):
    """A regular health check of a provider."""

    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    path: Annotated[str, Meta(pattern=r"^/[!-~]*$(?!\n)", description="a path, with a / first")] = "/models"


class Provider(Settings, frozen=True, kw_only=True):
    dialect: Literal["openai", "anthropic"]
    base_url: str
    api_keys: list[Secret] = field(default_factory=list)
    auth: Literal["bearer", "x-api-key", "api-key", "none"] | None = None
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drop_headers: list[str] = field(default_factory=list)
    drop_betas: list[str] = field(default_factory=list)
    system: Literal["anywhere", "first"] = "anywhere"
    models: list[str] | None = None
    capabilities: dict[str, Capabilities] = field(default_factory=dict)
    ca_file: str | None = None
    max_connections: Annotated[int, Meta(ge=1, le=65535)] = 100
    max_in_flight: Annotated[int, Meta(ge=1, le=65535)] | None = None
    adaptive: bool = False
    max_waiting: Annotated[int, Meta(ge=0, le=65535)] = 64
    max_wait_s: Annotated[float, Meta(ge=0, le=60)] = 1.0
    http2: bool = False
    health: Watch | None = None
    prices: dict[str, Price] = field(default_factory=dict)
    priced_as: Literal["openai", "anthropic"] | None = None


class Target(Settings, frozen=True, kw_only=True):
    to: str
    weight: Annotated[float, Meta(ge=0.001, le=1000)] = 1.0
    capabilities: Capabilities = field(default_factory=Capabilities)


class Fallbacks(Settings, frozen=True, kw_only=True):
    """Aliases to try next, by the reason of the failure."""

    any: list[str] = field(default_factory=list)
    context_length: list[str] = field(default_factory=list)
    content_policy: list[str] = field(default_factory=list)


Strategy = Literal["round_robin", "failover", "latency", "cost", "least_busy", "affinity"]


class Model(Settings, frozen=True, kw_only=True):
    strategy: Strategy = "round_robin"
    upstreams: Annotated[list[Target], Meta(min_length=1, max_length=64)]
    capabilities: Capabilities = field(default_factory=Capabilities)
    fallbacks: list[str] | Fallbacks = field(default_factory=list)
    cache: CacheMode | None = None
    pii: PiiModes | None = None
    tokens_per_minute: Tokens | None = None
    budget: Budget | None = None
    price: Price | None = None
    display_name: str | None = None

    @property
    def falls_back(self) -> Fallbacks:
        """The fallbacks by what they are for; a list is for any failure."""
        return Fallbacks(any=self.fallbacks) if isinstance(self.fallbacks, list) else self.fallbacks


class Memory(Settings, frozen=True, kw_only=True):
    max_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 268435456
    ttl_s: Seconds = 300.0


class Redis(Settings, frozen=True, kw_only=True):
    url: Secret
    cluster: bool = False
    ca_file: str | None = None
    ttl_s: Annotated[float, Meta(gt=0, le=31536000)] = 3600.0
    timeout_ms: Annotated[int, Meta(ge=1, le=10_000)] = 50
    prefix: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$(?!\n)", description="1 to 32 letters, digits, _, . and -")
    ] = "edge"
    hmac_key: Secret | None = None


class Cache(Settings, frozen=True, kw_only=True):
    mode: CacheMode = "off"
    scope: Literal["tenant", "key", "shared"] = "tenant"
    replay: Literal["instant", "paced"] = "instant"
    join: bool = True
    memory: Memory = field(default_factory=Memory)
    redis: Redis | None = None


class Breaker(Settings, frozen=True, kw_only=True):
    failures: Annotated[int, Meta(ge=1, le=1_000_000)] = 5
    open_s: Seconds = 30.0
    max_open_s: Seconds = 300.0
    probes: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class Hedge(Settings, frozen=True, kw_only=True):
    enabled: bool = False
    budget: Annotated[float, Meta(gt=0, le=1)] = 0.05


class Resilience(Settings, frozen=True, kw_only=True):
    connect_s: Seconds = 3.0
    first_content_s: Seconds = 120.0
    attempt_s: Seconds = 300.0
    idle_s: Seconds = 60.0
    total_s: Seconds = 600.0
    stream_keepalive_s: Annotated[float, Meta(ge=0, le=86400)] = 15.0
    retries: Annotated[int, Meta(ge=0, le=10)] = 2
    retry_budget: Annotated[float, Meta(ge=0, le=1)] = 0.2
    retry_wait_s: Annotated[float, Meta(ge=0, le=60)] = 3.0
    breaker: Breaker = field(default_factory=Breaker)
    hedge: Hedge = field(default_factory=Hedge)
    rescue: Literal["off", "text"] = "off"


class Translation(Settings, frozen=True, kw_only=True):
    strict: bool = False


class Log(Settings, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "pretty"] | None = None
    sample: Annotated[float, Meta(ge=0, le=1)] = 1.0
    route_sample: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Tracing(Settings, frozen=True, kw_only=True):
    """Spans for a collector. ``content``: include the content of requests, masked."""

    otlp_endpoint: str | None = None
    sample: Annotated[float, Meta(ge=0, le=1)] = 0.01
    content: bool = False


class Responses(Settings, frozen=True, kw_only=True):
    """Responses for providers that keep none."""

    store: Literal["off", "redis"] = "off"
    ttl_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 86400.0
    max_bytes: Annotated[int, Meta(ge=1024, le=1 << 26)] = 1 << 20


class Telemetry(Settings, frozen=True, kw_only=True):
    log: Log = field(default_factory=Log)
    tracing: Tracing = field(default_factory=Tracing)
    genai_metrics: bool = True
    trace_file: Annotated[str, Meta(min_length=1)] | None = None
    trace_max_bytes: Annotated[int, Meta(ge=65536, le=1 << 40)] = 67108864


class Config(Settings, frozen=True, kw_only=True):
    server: Server = field(default_factory=Server)
    auth: Auth = field(default_factory=Auth)
    providers: dict[Name, Provider] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    cache: Cache = field(default_factory=Cache)
    pii: Pii = field(default_factory=Pii)
    resilience: Resilience = field(default_factory=Resilience)
    websockets: Websockets = field(default_factory=Websockets)
    translation: Translation = field(default_factory=Translation)
    responses: Responses = field(default_factory=Responses)
    telemetry: Telemetry = field(default_factory=Telemetry)


METADATA = tuple(
    ipaddress.ip_network(each)
    for each in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32", "192.0.0.192/32")
)
"""Where clouds tell a machine its own credentials: the link's own addresses (AWS, Google, Azure and others), AWS by
IPv6, Alibaba and Oracle."""


def is_metadata(address: str) -> bool:
    """Whether an address is one at which a machine would be told its own secrets: nothing is asked there, ever."""
    try:
        found = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    return any(found in network for network in METADATA if network.version == found.version)


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
