"""The commands that ask an edge which is running: ``edge health``, ``edge usage``, ``edge cache clear``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import click
import msgspec

from edge.usage_lines import lines

if TYPE_CHECKING:
    import ssl

    import httpx2

__all__ = ["authority_option", "cache", "events", "health", "key_option", "url_option", "usage"]

QUIET_S = 30.0
"""The edge says something every ten seconds; one that does not is gone."""

url_option = click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Address of the edge.")


def sendable(_: click.Context, option: click.Parameter, token: str | None) -> str | None:
    """A key as a header can say it, or `BadParameter`, which does not tell the key."""
    if token is not None and not (token.isascii() and token.isprintable()):
        raise click.BadParameter("a key is printable ASCII", param=option)
    return token


key_option = click.option(
    "--key",
    "token",
    envvar="EDGE_ADMIN_KEY",
    callback=sendable,
    help="A key with 'admin: true'. Default: EDGE_ADMIN_KEY.",
)
authority_option = click.option(
    "--ca-file", help="A file with the authority that signed the edge's certificate, which must name the URL's host."
)


@click.command()
@url_option
@click.option("--live", is_flag=True, help="Check only that it answers; a draining edge does.")
@authority_option
@click.option("--timeout", "timeout_s", default=2.0, show_default=True, help="Seconds to wait for the answer.")
def health(url: str, live: bool, ca_file: str | None, timeout_s: float) -> None:
    """Check whether an edge is ready for requests, for containers and load balancers.

    Needs no key. Exits with 1 if the edge is draining or does not answer.
    """
    # The standard library's client is loaded in a tenth of httpx2's time, and a container is asked every few seconds.
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    where = urlsplit(url)
    try:
        if where.scheme not in ("http", "https") or where.hostname is None:
            raise click.BadParameter("it begins with http:// or https:// and names a host", param_hint="--url")
        if where.scheme == "https":
            connection: HTTPConnection = HTTPSConnection(
                where.hostname, where.port, timeout=timeout_s, context=trusted(ca_file)
            )
        else:
            connection = HTTPConnection(where.hostname, where.port, timeout=timeout_s)
        connection.request("GET", "/health/live" if live else "/health/ready")
        answer = connection.getresponse()
        told = json.loads(answer.read(65536))
    except (OSError, HTTPException, ValueError) as error:
        raise click.ClickException(f"no edge answers at {url}: {type(error).__name__}") from None
    if not isinstance(told, dict) or "status" not in told:
        raise click.ClickException(f"what answers at {url} is no edge")
    click.echo(told["status"])
    sys.exit(answer.status != 200)


@click.group()
def cache() -> None:
    """Manage the cached answers of a running edge."""


@cache.command("clear")
@url_option
@authority_option
@key_option
def cache_clear(url: str, ca_file: str | None, token: str | None) -> None:
    """Delete all cached answers: in the memory of every worker, and in Redis for every edge that shares it."""
    found = said("POST", f"{url.rstrip('/')}/admin/api/cache/clear", ca_file, token)
    click.echo(f"memory: {found['memory']}, redis: {found['redis']}")
    sys.exit(found["redis"] == "failed")


@click.command()
@url_option
@authority_option
@key_option
@click.option("--days", default=1, show_default=True, help="How many days, today included.")
@click.option("--by", default="key,tenant,model", show_default=True, help="Group by any of day, key, tenant and model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def usage(url: str, ca_file: str | None, token: str | None, days: int, by: str, as_json: bool) -> None:
    """Print what was used and spent, and what is left of the limits."""
    query = urlencode({"days": days, "by": by})
    found = said("GET", f"{url.rstrip('/')}/admin/api/usage?{query}", ca_file, token)
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(lines(found)))


def trusted(ca_file: str | None) -> ssl.SSLContext:
    """Who may have signed a certificate: the system's authorities, or the file's in their place."""
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        told = "has no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise click.BadParameter(f"{ca_file}: {told}", param_hint="--ca-file") from None


def client(url: str, ca_file: str | None) -> httpx2.Client:
    """Who asks an edge: the edge itself and no proxy of the environment, which would be told the key."""
    import httpx2

    context = trusted(ca_file) if url.startswith("https:") else True
    return httpx2.Client(trust_env=False, verify=context, timeout=httpx2.Timeout(10, read=QUIET_S))


def said(method: str, url: str, ca_file: str | None, token: str | None) -> Any:
    """What a running edge answers to its administrator."""
    import httpx2

    headers = {"content-type": "application/json"} | ({"x-api-key": token} if token else {})
    try:
        with client(url, ca_file) as asking:
            answer = asking.request(method, url, headers=headers, content=b"{}" if method == "POST" else None)
        if answer.status_code != 200:
            raise click.ClickException(refusal(answer.status_code, answer.content))
        return answer.json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise click.ClickException(f"no edge answers at {url}: {type(error).__name__}") from None


def events(url: str, ca_file: str | None, token: str | None) -> Iterator[tuple[str, bytes]]:
    """The name and the data of each event, until there are no more; a comment is told as ("", b"").

    Raises ClickException.
    """
    import httpx2

    headers = {"accept": "text/event-stream"} | ({"x-api-key": token} if token else {})
    name = "message"
    try:
        with client(url, ca_file) as asking, asking.stream("GET", url, headers=headers) as answer:
            if answer.status_code != 200:
                raise click.ClickException(refusal(answer.status_code, answer.read()))
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, line.removeprefix("data: ").encode()
                elif line.startswith(":"):
                    yield "", b""
                elif not line:
                    name = "message"
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise click.ClickException(f"no edge answers at {url.partition('?')[0]}: {type(error).__name__}") from None


def refusal(status: int, body: bytes) -> str:
    """What an edge says of it; of another server, its status."""
    try:
        said = msgspec.json.decode(body, type=dict[str, dict[str, object]])["error"]["message"]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        said = None
    return said if isinstance(said, str) else f"status {status}"
