"""``python tools/describe_commands.py``: docs/cli.md, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from edge.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
HEAD = """# Commands

Written by `python tools/describe_commands.py`, of what the commands say with `--help`.
"""


def commands(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        elif command:
            yield " ".join((*words, name)), command


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    kind = "" if option.is_flag else f" `{option.make_metavar(click.Context(main))}`"
    told = [option.help or ""]
    if option.envvar and str(option.envvar) not in told[0]:
        told.append(f"else {option.envvar}.")
    if option.show_default:
        told.append(f"Default: `{option.default}`.")
    return f"| {names}{kind} | {cell(' '.join(told))} |"


def described() -> str:
    parts = [HEAD]
    for name, command in commands(main, ("edge",)):
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        usage = " ".join([name, *(each.make_metavar(click.Context(command)) for each in arguments)])
        options = [each for each in command.params if isinstance(each, click.Option)]
        parts.append(f"## {name}\n\n`{usage}{' [options]' if options else ''}`\n")
        parts.append(re.sub(r"[<>]", lambda sign: f"\\{sign[0]}", inspect.cleandoc(command.help or "")) + "\n")
        if options:
            parts.append("\n".join(["| option | |", "|---|---|", *map(row, options)]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(described())
