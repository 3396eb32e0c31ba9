"""``edge import``: configurations of other programs, and what the environment names, as one of this program's.

What reads them is imported by the commands, since ``edge serve`` imports this too.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge.config.file import ConfigError, read_text

__all__ = ["migrate"]


@click.group("import")
def migrate() -> None:
    """Write a configuration from another program's, or from the environment."""


OUT = click.option("-o", "--out", help="The file to write; it must not exist yet. Default: standard output.")


@migrate.command("litellm")
@click.argument("path", metavar="FILE")
@click.option(
    "--keys", help="A file with LiteLLM's virtual keys, as GET /key/list?return_full_object=true returns them."
)
@OUT
def litellm(path: str, keys: str | None, out: str | None) -> None:
    """Convert FILE, a config.yaml of LiteLLM, into a configuration.

    Prints each setting that was not carried over, with its line and the reason. Secrets are not copied; the
    configuration refers to variables instead.
    """
    from edge.migration.litellm import import_litellm
    from edge.migration.source import SourceError

    try:
        imported = import_litellm(read_text(path), os.environ, None if keys is None else read_text(keys))
    except (ConfigError, SourceError) as error:
        problems = error.errors if isinstance(error, ConfigError) else error.problems
        raise click.ClickException("\n".join(f"{path}: {problem}" for problem in problems)) from None
    for note in imported.notes:
        click.echo(note, err=True)
    for variable in imported.variables:
        click.echo(f"set {variable} in the environment to the secret from {path}", err=True)
    if not imported.serves:
        raise click.ClickException(f"{path}: no deployment can be carried over, so there is nothing to serve")
    give(imported.yaml, out, needs_key=imported.needs_key)


@migrate.command("env")
@OUT
def env(out: str | None) -> None:
    """Write a configuration for the vendors whose keys, such as OPENAI_API_KEY, are in the environment."""
    from edge.migration.environment import import_environment

    made, notes = import_environment(os.environ)
    for note in notes:
        click.echo(note, err=True)
    if not made:
        raise click.ClickException("the environment has no provider: set the key of a vendor, such as OPENAI_API_KEY")
    give(made, out)


def give(text: str, out: str | None, *, needs_key: bool = False) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with Path(out).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{out} already exists") from None
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error.strerror}") from None
    key = f"edge key new master --admin -c {out}, then " if needs_key else ""
    click.echo(f"wrote {out}; next: {key}edge check {out}, then edge serve -c {out}", err=True)
