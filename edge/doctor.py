"""What ``edge doctor`` looks at: is this installation whole, and can it reach what it needs?"""

from __future__ import annotations

import platform
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from edge import __version__
from edge._fast import COMPILED
from edge.config import Config
from edge.dialects.models import anthropic_version
from edge.pricing import load_prices
from edge.upstreams.client_headers import DEFAULT_VERSION, pinned_version

__all__ = ["Finding", "examine", "reach", "versions"]

Finding = tuple[str, str, str]
"""What, how it is, and ok, note or bad."""

LIBRARIES = ("uvicorn", "httptools", "uvloop", "blacksheep", "httpx2", "h2", "msgspec", "PyYAML", "structlog")
OPTIONAL = {"h2": "for HTTP/2 upstreams: pip install 'llm-edge-agent[http2]'", "uvloop": "for speed"}
REACH_S = 3.0


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
    """Connect to each provider, with TLS where its address says so. Sends no request and no key."""
    for name, provider in config.providers.items():
        url = urlsplit(provider.base_url)
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        begun = time.monotonic()
        try:
            with socket.create_connection((host, port), timeout=REACH_S) as sock:
                if url.scheme == "https":
                    context = ssl.create_default_context(cafile=provider.ca_file)
                    with context.wrap_socket(sock, server_hostname=host):
                        pass
        except OSError as error:
            yield f"provider {name}", f"{host}:{port}: {error.strerror or error}", "bad"
        else:
            yield f"provider {name}", f"{host}:{port} in {(time.monotonic() - begun) * 1000:.0f} ms", "ok"
