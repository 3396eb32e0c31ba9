"""The rules that span several settings, or that their types cannot say."""

from __future__ import annotations

import re
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import get_args
from urllib.parse import urlsplit, urlunsplit

import msgspec

from edge.certificates import normal
from edge.config.capabilities import Capabilities
from edge.config.model import (
    Config,
    Jwt,
    LongContext,
    PiiCustom,
    PiiKind,
    Price,
    Provider,
    Redis,
    Secret,
    Server,
    Tracing,
    is_loopback,
    is_metadata,
)
from edge.config.patterns import PatternError, compiled
from edge.redis.url import redis_address

__all__ = ["ENDPOINTS", "MAX_MODEL_NAME", "Problem", "problems", "provider_problems", "the_base_url"]

URL_TEXT = re.compile(r"[!-~]+")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
GLOB = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z?\[\]-]+")
"""A pattern for what is made of the characters of a token: a header's name, a beta."""
HOP_BY_HOP = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)

MAX_MODEL_NAME = 256
UNKNOWN = "unknown-4d1f0c7a96"
"""Stands for a secret, or a part of one, that need not be here; nobody writes it."""
MIN_SECRET = 32
HELD_TIMES, HELD_BESIDE = 4, 65536
"""Bytes of a worker's bound that the largest conversation takes while it is changed, by its size: as it was and as it
will be, each as it reads and as it is hidden (`edge.kept_conversations.Change`); and room for the request itself."""

Problem = tuple[tuple[str | int, ...], str]
"""Where (the path of keys and indexes) and what."""


ENDPOINTS = re.compile(
    r"/(chat/completions|completions|responses|embeddings|messages(/count_tokens)?|models)$", re.IGNORECASE
)
QUOTES = frozenset("'\"`\u2018\u2019\u201c\u201d")


def the_base_url(base_url: str) -> str:
    """The form of a provider's base URL that is used: scheme and host in lower case, no slash at its end, no endpoint
    behind it, and ``/v1`` where it has no path at all. What is no URL stays as it is.
    """
    base_url = base_url.strip()
    try:
        url = urlsplit(base_url)
    except ValueError:
        return base_url
    if url.scheme not in ("http", "https") or not url.netloc:
        return base_url
    path = ENDPOINTS.sub("", re.sub("/{2,}", "/", url.path).rstrip("/"))
    return urlunsplit(url._replace(netloc=url.netloc.lower(), path=path or "/v1"))


def problems(config: Config, *, insecure: bool = False) -> list[Problem]:
    """The rules that the types cannot say; every violation at once."""
    found: list[Problem] = []
    found += _auth_problems(config, insecure)
    for name, provider in config.providers.items():
        found += provider_problems(name, provider, config.server)
    if not config.providers:
        found.append((("providers",), "at least one provider is needed"))
    breaker = config.resilience.breaker
    if breaker.max_open_s < breaker.open_s:
        found.append((("resilience", "breaker", "max_open_s"), "must be at least 'open_s'"))
    found += _pii_problems(config)
    if config.cache.redis is not None:
        found += _redis_problems(config.cache.redis)
    if config.responses.store == "redis":
        found += _store_problems(config)
    found += _tracing_problems(config.telemetry.tracing)
    for alias, model in config.models.items():
        if not alias or len(alias) > 128 or any(ord(c) < 33 or ord(c) == 127 for c in alias):
            found.append((("models", alias), "an alias is 1 to 128 printable characters without spaces"))
        if model.price is not None:
            found += _price_problems(("models", alias, "price"), model.price)
        for kind, fallbacks in msgspec.structs.asdict(model.falls_back).items():
            place = ("models", alias, "fallbacks") + (() if isinstance(model.fallbacks, list) else (kind,))
            for index, fallback in enumerate(fallbacks):
                if fallback not in config.models or fallback == alias:
                    what = "itself" if fallback == alias else f"'{fallback}', which is no alias"
                    found.append(((*place, index), f"falls back to {what}"))
        for index, target in enumerate(model.upstreams):
            provider_name, _, upstream_model = target.to.partition("/")
            where = ("models", alias, "upstreams", index, "to")
            if not upstream_model.isprintable() or len(upstream_model) > MAX_MODEL_NAME:
                found.append((where, "the model's name has characters that cannot be sent, or too many"))
            elif not upstream_model:
                found.append((where, f"'{target.to}' is not of the form provider/model"))
            elif provider_name not in config.providers:
                found.append((where, f"there is no provider '{provider_name}'"))
            else:
                dialect = config.providers[provider_name].dialect
                found += _api_problems((*where[:-1], "capabilities"), target.capabilities, dialect)
                found += _api_problems(("models", alias, "capabilities"), model.capabilities, dialect)
                patterns = config.providers[provider_name].capabilities
                fitting = [each for glob, each in patterns.items() if fnmatchcase(upstream_model, glob)]
                found += _continuing_problems(where[:-1], [*fitting, model.capabilities, target.capabilities], dialect)
    return found


def _api_problems(where: tuple[str | int, ...], capabilities: Capabilities, dialect: str) -> list[Problem]:
    known = ("messages",) if dialect == "anthropic" else ("chat", "responses")
    foreign = [api for api in capabilities.apis or () if api not in known]
    what = f"a provider of the {dialect} dialect has no {', '.join(foreign)}; there is {', '.join(known)}"
    return [((*where, "apis"), what)] if foreign else []


def _continuing_problems(where: tuple[str | int, ...], capabilities: list[Capabilities], dialect: str) -> list[Problem]:
    """Of an upstream for which all these count, the last of them first."""
    ways = [each.continue_text for each in capabilities if each.continue_text is not None]
    apis = [each.apis for each in capabilities if each.apis is not None]
    asked = apis[-1] if apis else ["messages" if dialect == "anthropic" else "chat"]
    if not ways or ways[-1] != "continue_final_message" or "chat" in asked:
        return []
    what = f"'continue_final_message' is a field of chat completions, and it is asked by {', '.join(asked)} alone"
    return [((*where, "capabilities", "continue_text"), what)]


def _pii_problems(config: Config) -> list[Problem]:
    found = _custom_problems(("pii", "custom"), config.pii.custom)
    for index, key in enumerate(config.auth.keys):
        if key.pii is not None:
            found += _custom_problems(("auth", "keys", index, "pii", "custom"), key.pii.custom)
    for alias, model in config.models.items():
        if model.pii is not None:
            found += _custom_problems(("models", alias, "pii", "custom"), model.pii.custom)
    return found + _secret_problems(config)


def _custom_problems(where: tuple[str | int, ...], customs: list[PiiCustom]) -> list[Problem]:
    found: list[Problem] = []
    for index, custom in enumerate(customs):
        if custom.name in get_args(PiiKind):
            found.append(((*where, index, "name"), "is the name of a kind that there is already"))
        if custom.pattern is None:
            if not custom.literals:
                found.append(((*where, index), "has neither 'literals' nor a 'pattern'"))
            continue
        try:
            compiled(custom.pattern)
        except PatternError as error:
            found.append(((*where, index, "pattern"), str(error)))
    return found


def _secret_problems(config: Config) -> list[Problem]:
    where = ("server", "secret")
    if config.server.secret is not None:
        secret = config.server.secret.reveal()
        sound = len(secret) >= MIN_SECRET or secret == UNKNOWN
        return [] if sound else [(where, f"has less than {MIN_SECRET} characters: as many can be guessed")]
    own = [key.pii for key in config.auth.keys if key.pii is not None]
    own += [model.pii for model in config.models.values() if model.pii is not None]
    if "pseudonymize" in (config.pii.request, *[each.request for each in own]):
        return [(where, "is needed for 'pseudonymize': pseudonyms are derived with it, the same on all machines")]
    return []


def _auth_problems(config: Config, insecure: bool) -> list[Problem]:
    found: list[Problem] = []
    auth = config.auth
    if auth.mode == "none" and (auth.keys or auth.keys_file is not None or auth.jwt is not None):
        found.append(
            (("auth", "mode"), "is 'none', which lets everybody in, but there are keys: remove one of the two")
        )
    if auth.mode == "keys" and not auth.keys and auth.keys_file is None and auth.jwt is None:
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
    if auth.jwt is not None:
        found += _jwt_problems(auth.jwt)
    ids: set[str] = set()
    digests: set[str] = set()
    names: set[str] = set()
    verified = config.server.tls is not None and config.server.tls.client_ca is not None
    if config.server.tls is not None and config.server.tls.client_certificates == "optional" and not verified:
        what = "needs 'server.tls.client_ca': without it nobody is asked for a certificate"
        found.append((("server", "tls", "client_certificates"), what))
    for index, key in enumerate(auth.keys):
        if not key.digests and not key.certificates:
            found.append((("auth", "keys", index), "has neither 'digests' nor 'certificates': nobody could be it"))
        if key.certificates and not verified:
            what = "needs 'server.tls.client_ca': without it nobody has to show a certificate"
            found.append((("auth", "keys", index, "certificates"), what))
        for position, name in enumerate(map(normal, key.certificates or ())):
            if name in names:
                found.append((("auth", "keys", index, "certificates", position), "this name is used twice"))
            names.add(name)
        if key.id in ids:
            found.append((("auth", "keys", index, "id"), f"'{key.id}' is used twice"))
        ids.add(key.id)
        if key.not_before is not None and key.expires is not None and key.expires <= key.not_before:
            found.append((("auth", "keys", index, "expires"), "is not after 'not_before': the key would never hold"))
        for position, digest in enumerate(key.digests):
            if digest in digests:
                found.append((("auth", "keys", index, "digests", position), "this digest is used twice"))
            digests.add(digest)
    return found


def _jwt_problems(jwt: Jwt) -> list[Problem]:
    found: list[Problem] = []
    where = ("auth", "jwt")
    if (jwt.jwks_file is None) == (jwt.jwks_url is None):
        found.append((where, "needs one of 'jwks_file' and 'jwks_url': where the keys of the issuer are"))
    if jwt.jwks_url is not None:
        try:
            url = urlsplit(jwt.jwks_url)
            sound = bool(url.hostname) and (url.port is None or url.port > 0) and url.username is None
        except ValueError:
            url, sound = urlsplit(""), False
        if not sound or not URL_TEXT.fullmatch(jwt.jwks_url) or url.scheme not in ("http", "https"):
            found.append(((*where, "jwks_url"), "must be an https:// URL with a host and without a user"))
        elif url.scheme == "http" and not is_loopback(url.hostname or ""):
            found.append(((*where, "jwks_url"), "must be an https:// URL: who changes the keys on the way is let in"))
    try:
        import cryptography  # noqa: F401
        import jwt as _  # noqa: F401
    except ImportError:
        found.append((where, "needs the extra: pip install 'llm-edge-agent[jwt]'"))
    return found


def _tracing_problems(tracing: Tracing) -> list[Problem]:
    where, endpoint = ("telemetry", "tracing", "otlp_endpoint"), tracing.otlp_endpoint
    if endpoint is None:
        return []
    try:
        url = urlsplit(endpoint)
        sound = url.port != 0 and url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:
        url, sound = urlsplit(""), False
    if not sound or not URL_TEXT.fullmatch(endpoint):
        return [(where, "must be an http:// or https:// URL with a host, as http://127.0.0.1:4318")]
    if is_metadata(url.hostname or ""):
        return [(where, "is where a machine is told its own credentials: nothing is sent there")]
    if url.path.rstrip("/").endswith("/v1/traces"):
        return [(where, "is the collector's address: /v1/traces is put behind it")]
    if url.username is not None or url.query or url.fragment:
        return [(where, "must have no user, query or fragment")]
    return []


def provider_problems(name: str, provider: Provider, server: Server) -> list[Problem]:
    """What is wrong with a provider of an edge that listens as `server` says."""
    found: list[Problem] = []
    where = ("providers", name)
    base_url = provider.base_url.strip()
    try:
        url = urlsplit(base_url)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme not in ("http", "https") or not url.hostname or not URL_TEXT.fullmatch(base_url):
        found.append(((*where, "base_url"), "must be an http:// or https:// URL with a host, as https://HOST/v1"))
    elif is_metadata(url.hostname):
        found.append(((*where, "base_url"), "is where a machine is told its own credentials: nothing is asked there"))
    elif re.search("(?i)/v1/+v1(/|$)", url.path):
        found.append(((*where, "base_url"), "has /v1 twice: it ends with the first"))
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
    for setting, patterns in (("drop_headers", provider.drop_headers), ("drop_betas", provider.drop_betas)):
        for index, pattern in enumerate(patterns):
            if not GLOB.fullmatch(pattern):
                found.append(((*where, setting, index), "must be a name or a pattern, such as 'context-*'"))
    credential = {"bearer": "authorization", None: "authorization" if provider.dialect == "openai" else "x-api-key"}
    header = credential.get(provider.auth, provider.auth or "")
    if provider.api_keys and header in {name.lower() for name in provider.headers}:
        found.append(((*where, "headers"), f"sets {header}, which api_keys sets too"))
    for index, secret in enumerate(provider.api_keys):
        if what := _key_problem(secret):
            found.append(((*where, "api_keys", index), what))
    for model, capabilities in provider.capabilities.items():
        found += _api_problems((*where, "capabilities", model), capabilities, provider.dialect)
    for model, price in provider.prices.items():
        found += _price_problems((*where, "prices", model), price)
    if provider.http2:
        try:
            import h2  # noqa: F401
        except ImportError:
            found.append(((*where, "http2"), "needs the extra: pip install 'llm-edge-agent[http2]'"))
    return found


def _key_problem(secret: Secret) -> str:
    """What is wrong with a key, without a word of it; "" for nothing."""
    text = secret.reveal()
    if not text:
        return "is empty"
    if text[0] in QUOTES or text[-1] in QUOTES:
        return "has quotation marks around it, which are no part of a key"
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        return "has a control character in it, such as a line end: characters that a header cannot carry"
    if " " in text:
        return "has a space in it: one of the characters that a header cannot carry"
    if not text.isascii():
        return "is not ASCII: it has characters that a header cannot carry"
    return ""


def _price_problems(where: tuple[str | int, ...], price: Price) -> list[Problem]:
    found: list[Problem] = []
    sections: list[tuple[tuple[str | int, ...], Price | LongContext]] = [(where, price)]
    if price.long_context is not None:
        sections.append(((*where, "long_context"), price.long_context))
    for path, section in sections:
        for name in section.__struct_fields__:
            dollars = getattr(section, name)
            if isinstance(dollars, float) and Decimal(str(dollars)) * 1_000_000 % 1:
                found.append(((*path, name), "has more than six decimals: money is counted in 1e-12 USD"))
    return found


def _store_problems(config: Config) -> list[Problem]:
    where = ("responses", "store")
    found: list[Problem] = []
    if config.cache.redis is None:
        found.append((where, "needs 'cache.redis', where responses are kept"))
    if config.server.secret is None:
        found.append((where, "needs 'server.secret', by which they are encrypted"))
    most, held = config.responses.max_bytes, config.server.max_buffered_bytes
    if held < HELD_TIMES * most + HELD_BESIDE:
        what = (
            f"is too much for 'server.max_buffered_bytes' ({held}): a worker that changes a conversation of so many "
            f"bytes holds {HELD_TIMES} times as many, and {HELD_BESIDE} beside"
        )
        found.append((("responses", "max_bytes"), what))
    return found


def _redis_problems(redis: Redis) -> list[Problem]:
    where, url = ("cache", "redis"), redis.url.reveal()
    if url == UNKNOWN:
        return []
    try:
        at = redis_address(url.replace(UNKNOWN, "1"))  # which may be a host, a port or a password
    except ValueError as error:
        return [((*where, "url"), str(error))]
    if redis.cluster and at.database:
        return [((*where, "url"), "a cluster has no numbered databases")]
    if redis.ca_file is not None and not at.secure:
        return [((*where, "ca_file"), "needs a rediss:// URL")]
    return []


def _any(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")  # noqa: S104
