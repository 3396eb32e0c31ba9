"""``edge logs``: the requests of a running edge, the latest ones or as they end."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlencode

import click
import msgspec

from edge.cli_running import authority_option, events, key_option, url_option

__all__ = ["logs"]


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Keep printing requests as they end.")
@click.option(
    "--last", type=click.IntRange(0, 1000), help="How many of the latest requests. Default: 20, or none with --follow."
)
@click.option("--tenant", help="Only this tenant's.")
@click.option("--model", help="Only this model's: the client's or the provider's name for it, or provider/model.")
@click.option("--status", help="Only with this status: 429, 5xx, or several, separated by commas.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one line of JSON per request, the default unless the output is a terminal.",
)
@url_option
@authority_option
@key_option
def logs(
    follow: bool,
    last: int | None,
    tenant: str | None,
    model: str | None,
    status: str | None,
    as_json: bool,
    url: str,
    ca_file: str | None,
    token: str | None,
) -> None:
    """Print the requests that a running edge has answered, in all its workers.

    With --follow, continues until the connection ends. Requests that end faster than they can be printed are skipped
    and counted.
    """
    from edge.telemetry.pretty import colourful, short_line
    from edge.telemetry.recent import Finished

    terminal = sys.stdout.isatty()
    colours = colourful(terminal)
    asked = {
        "tenant": tenant,
        "model": model,
        "status": status,
        "last": (0 if follow else 20) if last is None else last,
    }
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    try:
        for name, data in events(f"{url.rstrip('/')}/admin/api/logs?{query}", ca_file, token):
            if name == "missed":
                missed = msgspec.json.decode(data, type=dict[str, int])["missed"]
                click.echo(f"... {missed} requests are not shown: too many at once", err=True)
            elif not name:
                if not follow:
                    return
            elif as_json or not terminal:
                click.echo(data)
            else:
                click.echo(short_line(msgspec.json.decode(data, type=Finished), colours), color=colours)
    except BrokenPipeError:  # who reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except KeyboardInterrupt:
        return
    raise click.ClickException("the connection has ended")
