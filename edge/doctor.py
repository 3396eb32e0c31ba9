"""What ``edge doctor`` looks at: is this installation whole, and can it reach what it needs?"""

from __future__ import annotations

import platform
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from edge import __version__
from edge._fast import COMPILED
from edge.config import Config, Redis
from edge.dialects.models import anthropic_version
from edge.money.pricing import load_prices
from edge.redis.url import redis_address
from edge.upstreams.client_headers import DEFAULT_VERSION, pinned_version

__all__ = ["Finding", "examine", "reach", "versions"]

Finding = tuple[str, str, str]
"""What, how it is, and ok, note or bad."""

LIBRARIES = ("uvicorn", "httptools", "uvloop", "blacksheep", "httpx2", "h2", "msgspec", "PyYAML", "structlog")
OPTIONAL = {"h2": "for HTTP/2 upstreams: pip install 'llm-edge-agent[http2]'", "uvloop": "for speed"}
REACH_S = 3.0
NO_TLS = "TLS: no TLS is spoken there"


def examine() -> Iterator[Finding]:
    """Build, Python, libraries, certificates, prices."""
    if COMPILED:
        yield "build", f"edge {__version__}, compiled", "ok"
    else:
        yield (
            "build",
            f"edge {__version__}, pure Python: slower; install from a compiled wheel, or with a C compiler",
            "note",
        )
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", "ok"
    for name in LIBRARIES:
        try:
            yield name, version(name), "ok"
        except PackageNotFoundError:
            why = OPTIONAL.get(name)
            yield name, f"not installed ({why})" if why else "not installed", "note" if why else "bad"
    yield certificates()
    prices = load_prices()
    yield "prices", f"of {prices.date}, from {prices.source}", "ok"
    yield open_files()


def certificates() -> Finding:
    """Providers' certificates are checked against the system's store."""
    paths = ssl.get_default_verify_paths()
    found = [path for path in (paths.cafile, paths.capath) if path and Path(path).exists()]
    if sys.platform == "linux" and not found:
        return "certificates", f"none at {paths.openssl_cafile}: install the package ca-certificates", "bad"
    return "certificates", found[0] if found else "the system's store", "ok"


def open_files() -> Finding:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        return "open files", f"{soft}: raise it (ulimit -n) for more than {soft // 2} connections", "note"
    return "open files", str(soft), "ok"


def versions(config: Config) -> Iterator[Finding]:
    """The version of Anthropic's API that each provider's requests go by, and what that means for translated ones."""
    for name, provider in config.providers.items():
        if provider.dialect != "anthropic":
            continue
        pinned = pinned_version(provider)
        text = f"{pinned}, pinned" if pinned else f"the client's, else {DEFAULT_VERSION}"
        if pinned and not anthropic_version(pinned).sampling:
            text += "; it takes no temperature, top_p, top_k: translated requests go without"
        yield f"version {name}", text, "ok"


def reach(config: Config) -> Iterator[Finding]:
    """Connect to each provider, with TLS where its address says so, and to Redis, with its login. Sends providers no
    request and no key.
    """
    for name, provider in config.providers.items():
        url = urlsplit(provider.base_url)
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        begun = time.monotonic()
        try:
            with connected(host, port, provider.ca_file, secure=url.scheme == "https"):
                pass
        except OSError as error:
            yield f"provider {name}", f"{host}:{port}: {why(error)}", "bad"
        else:
            yield f"provider {name}", f"{host}:{port} in {(time.monotonic() - begun) * 1000:.0f} ms", "ok"
    if config.cache.redis is not None:
        yield reach_redis(config.cache.redis)


class NoTlsError(OSError):
    """Something listens, and does not answer a TLS handshake."""


@contextmanager
def connected(host: str, port: int, ca_file: str | None, *, secure: bool) -> Iterator[socket.socket]:
    """A connection, over TLS if `secure`. Raises OSError."""
    with socket.create_connection((host, port), timeout=REACH_S) as sock:
        if not secure:
            yield sock
            return
        context = ssl.create_default_context(cafile=ca_file)
        try:
            wrapped = context.wrap_socket(sock, server_hostname=host)
        except (TimeoutError, ConnectionError, EOFError) as error:
            raise NoTlsError from error
        with wrapped:
            yield wrapped


def why(error: OSError) -> str:
    """In what way a connection failed."""
    if isinstance(error, NoTlsError):
        return NO_TLS
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        unspoken = error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
        return NO_TLS if unspoken else f"TLS: {error.reason or error.strerror}"
    if isinstance(error, socket.gaierror):
        return "no host has this name"
    if isinstance(error, ConnectionRefusedError):
        return "Connection refused: nothing listens there"
    if isinstance(error, TimeoutError):
        return f"no answer in {REACH_S:.0f} s"
    return error.strerror or type(error).__name__


def reach_redis(redis: Redis) -> Finding:
    """Log in to Redis as the cache does, and try a command of its."""
    what = "redis"
    at = redis_address(redis.url.reveal())
    place = f"{at.host}:{at.port}"
    begun = time.monotonic()
    commands: list[list[str]] = []
    if at.password is not None:
        commands.append(["AUTH", *([at.username] if at.username else []), at.password])
    commands.append(["PING"])
    if at.database:
        commands.append(["SELECT", str(at.database)])
    commands.append(["GET", f"{redis.prefix}:doctor"])
    if redis.cluster:
        commands.append(["CLUSTER", "SLOTS"])  # the last: of a large cluster, its answer comes in parts
    try:
        with connected(at.host, at.port, redis.ca_file, secure=at.secure) as sock:
            for command in commands:
                words = [word.encode() for word in command]
                sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words))
                answer = sock.recv(65536)
                if answer[:1] == b"-":
                    cause = refusal(answer[1:], redis)
                    if cause:
                        return what, f"{place}: {cause}", "bad"
                elif answer[:1] not in (b"+", b"$", b"*", b"_"):
                    return what, f"{place}: {no_redis(secure=at.secure, closed=not answer)}", "bad"
    except ConnectionResetError:
        return what, f"{place}: {no_redis(secure=at.secure, closed=True)}", "bad"
    except OSError as error:
        return what, f"{place}: {why(error)}", "bad"
    took_ms = (time.monotonic() - begun) * 1000
    who = f"as {at.username}" if at.username else "with its password" if at.password is not None else "without a login"
    return what, f"{place} {who}{', over TLS' if at.secure else ''}, in {took_ms:.0f} ms", "ok"


REFUSALS = (
    ("WRONGPASS", "authentication: the user or the password is wrong"),
    ("ERR invalid password", "authentication: the password is wrong"),
    ("ERR AUTH", "authentication: a password is given, but this Redis has none"),
    ("ERR Client sent AUTH", "authentication: a password is given, but this Redis has none"),
    ("NOAUTH", "authentication: a password is needed, and cache.redis.url has none"),
    ("NOPERM", "permission: the user may not do what the cache needs; its ACL has to allow the prefix's keys"),
    ("DENIED", "refused: protected mode answers its own machine only"),
    ("ERR max number of clients", "refused: it has as many clients as it may"),
    ("ERR DB index", "there is no database of that number"),
    ("ERR invalid DB index", "there is no database of that number"),
    ("ERR SELECT is not allowed", "a cluster has no numbered databases"),
    ("ERR This instance has cluster support disabled", "no cluster: 'cluster: true' is for another Redis"),
    ("LOADING", "it is loading its data: ask again"),
)
"""How Redis's errors begin, and what they mean."""


def refusal(answer: bytes, redis: Redis) -> str:
    """What an error of Redis means; "" for one that is none to the cache."""
    text = answer.decode("latin-1").partition("\r\n")[0]
    if text.startswith(("MOVED", "ASK", "CLUSTERDOWN")):
        if text.startswith("CLUSTERDOWN"):
            return "refused: the cluster is down"
        return "" if redis.cluster else "a cluster: it needs 'cluster: true'"
    return next((words for begins, words in REFUSALS if text.startswith(begins)), f"refused: {text.split(' ')[0][:40]}")


def no_redis(*, secure: bool, closed: bool) -> str:
    """What it may be that answers in no way Redis does."""
    if closed and not secure:
        return "TLS: it closes where no TLS is spoken; rediss:// is meant?"
    return "it closed the connection" if closed else "no Redis answers there"
