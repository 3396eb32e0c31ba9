"""``edge key``: its commands. What they do is done by `edge.keys`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from edge import keys
from edge.config import Auth
from edge.config.file import ConfigError, read
from edge.guard.auth import new_key

__all__ = ["key"]

WRITTEN = "A running edge that is configured with the file goes by it within 5 seconds."


@click.group()
def key() -> None:
    """Manage clients' keys in the file that 'auth.keys_file' names."""


def file_options(command: click.decorators.FC) -> click.decorators.FC:
    command = click.option("-c", "--config", "path", help="Configuration that names the file. Default: EDGE_CONFIG.")(
        command
    )
    return click.option("--file", help="The keys file, instead of the one that the configuration names.")(command)


def auth_of(path: str | None) -> Auth | None:
    """What the configuration says of keys, that was named or is EDGE_CONFIG's; None for none. Its keys file may not be
    there yet.
    """
    path = path or os.environ.get("EDGE_CONFIG") or None
    if path is None:
        return None
    try:
        auth = read(path, secrets=False, insecure=True, issued=False).config.auth
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    if auth.keys_file is None:
        raise click.ClickException(f"{path} has no auth.keys_file: set one, or name a file with --file")
    return auth


def file_of(file: str | None, path: str | None) -> str | None:
    """The keys' file that was named, None for none."""
    if file is not None:
        return file
    auth = auth_of(path)
    return None if auth is None else auth.keys_file


def needed(file: str | None, path: str | None) -> str:
    found = file_of(file, path)
    if found is None:
        raise click.ClickException("which file? name it with --file, or a configuration with -c")
    return found


def done(error: Exception, file: str) -> click.ClickException:
    """What to say of a file that could not be changed."""
    if isinstance(error, OSError):
        return click.ClickException(f"{file} cannot be changed: {error.strerror}")
    return click.ClickException(str(error) if isinstance(error, keys.KeysError) else f"{file}: {error}")


@key.command("new")
@click.argument("key_id", metavar="ID")
@file_options
@click.option("--tenant", help="The tenant it belongs to. Default: its id.")
@click.option("--models", multiple=True, help="A pattern of models it may use; can be repeated.")
@click.option("--route", "routes", multiple=True, help="A route it may use, such as chat/completions; can be repeated.")
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    help="A name in client certificates that counts as the key; can be repeated.",
)
@click.option("--not-before", help="When it becomes valid: 2027-01-31T18:00:00Z, or in 90d, 12h, 30m, 45s.")
@click.option("--expires", help="When it expires, written the same way.")
@click.option("--requests-per-minute", type=int, help="Requests it may send per minute.")
@click.option("--concurrency", type=int, help="Requests it may have in flight at a time.")
@click.option("--admin", is_flag=True, help="Let it read metrics and administer the edge.")
def new(
    key_id: str,
    file: str | None,
    path: str | None,
    tenant: str | None,
    models: tuple[str, ...],
    routes: tuple[str, ...],
    certificates: tuple[str, ...],
    not_before: str | None,
    expires: str | None,
    requests_per_minute: int | None,
    concurrency: int | None,
    admin: bool,
) -> None:
    """Make a key and print it, once. Its digest goes into the keys file; without one, print the line to configure."""
    now = datetime.now(UTC)
    auth = auth_of(path) if file is None else None
    target = file if auth is None else auth.keys_file
    try:
        settings: dict[str, Any] = {
            "tenant": tenant,
            "models": list(models) or None,
            "allowed_routes": list(routes) or None,
            "certificates": list(certificates) or None,
            "not_before": keys.moment(not_before, now) if not_before else None,
            "expires": keys.moment(expires, now) if expires else None,
            "requests_per_minute": requests_per_minute,
            "concurrency": concurrency,
            "admin": admin or None,
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        if target is None:
            token, digest = new_key(key_id)
        else:
            token, digest = keys.issue(target, key_id, settings, [] if auth is None else auth.keys), ""
    except (keys.KeysError, OSError, ValueError) as error:
        raise done(error, target or "edge key new") from None
    click.echo(f"key (shown once): {token}")
    if target is None:
        line = msgspec.json.encode({"id": key_id, "digests": [digest], **settings}).decode()
        plain = f'{{id: {key_id}, digests: ["{digest}"]}}'
        click.echo(f"config line:      - {line if settings else plain}")
    else:
        click.echo(f"written to {target}. {WRITTEN}")


@key.command("rotate")
@click.argument("key_id", metavar="ID")
@file_options
def rotate(key_id: str, file: str | None, path: str | None) -> None:
    """Make another key for an id and print it, once. The old one stays valid until 'edge key revoke ID --old'."""
    target = needed(file, path)
    try:
        token = keys.rotate(target, key_id)
    except (keys.KeysError, OSError, ValueError) as error:
        raise done(error, target) from None
    click.echo(f"key (shown once): {token}")
    click.echo(f"written to {target}. {WRITTEN}")


@key.command("revoke")
@click.argument("key_id", metavar="ID")
@file_options
@click.option("--old", is_flag=True, help="Revoke only the key from before the rotation.")
def revoke(key_id: str, file: str | None, path: str | None, old: bool) -> None:
    """Revoke a key. Answers in flight are finished."""
    target = needed(file, path)
    try:
        gone = keys.revoke(target, key_id, old=old)
    except (keys.KeysError, OSError, ValueError) as error:
        raise done(error, target) from None
    click.echo(f"revoked {gone} credential{'s' if gone != 1 else ''} of {key_id} in {target}. {WRITTEN}")


@key.command("list")
@file_options
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per key.")
def list_(file: str | None, path: str | None, as_json: bool) -> None:
    """List the keys in the file: their tenants, whether they are valid, and how their digests begin."""
    target = needed(file, path)
    try:
        found = list(keys.known(keys.read(target), datetime.now(UTC)))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise click.ClickException(f"{target} cannot be read: {reason}") from None
    for each in found:
        if as_json:
            click.echo(msgspec.json.encode(each).decode())
            continue
        span = " ".join(
            part
            for part in (each.not_before and f"from {each.not_before}", each.expires and f"until {each.expires}")
            if part
        )
        rest = f"{', '.join(each.digests)}{'  admin' if each.admin else ''}{f'  {span}' if span else ''}"
        click.echo(f"{each.id:20} {each.tenant:16} {each.state:8} {rest}")
