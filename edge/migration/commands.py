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
    """Make a configuration from another program's, or from the environment."""


OUT = click.option("-o", "--out", help="The file to write, which must not exist yet; by default the standard output.")


@migrate.command("litellm")
@click.argument("path", metavar="FILE")
@click.option("--keys", help="A file with its virtual keys: what /key/list?return_full_object=true answers.")
@OUT
def litellm(path: str, keys: str | None, out: str | None) -> None:
    """Make a configuration from FILE, a config.yaml of LiteLLM.

    Each setting that could not be carried is named with its line and the reason. Secrets are not copied: the
    configuration names variables for them.
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
        click.echo(f"set {variable} in the environment, to the secret that stands in {path}", err=True)
    give(imported.yaml, out)


@migrate.command("env")
@OUT
def env(out: str | None) -> None:
    """Make a configuration of the vendors whose keys the environment has, such as OPENAI_API_KEY or GROQ_API_KEY."""
    from edge.migration.environment import import_environment

    made, notes = import_environment(os.environ)
    for note in notes:
        click.echo(note, err=True)
    if not made:
        raise click.ClickException("the environment makes no provider: set the key of a vendor, such as OPENAI_API_KEY")
    give(made, out)


def give(text: str, out: str | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with Path(out).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{out} is there already") from None
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {out}; next: edge check {out}, then edge serve -c {out}", err=True)
