"""``edge prices``: the price list that answers are charged by."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click
import msgspec

from edge.money.pricing import Prices, load_prices

__all__ = ["prices"]


@click.group(invoke_without_command=True)
@click.pass_context
def prices(context: click.Context) -> None:
    """Print how old the price list is; with 'update', renew it."""
    if context.invoked_subcommand is None:
        found = load_prices()
        days = (datetime.now(UTC).date() - date.fromisoformat(found.date)).days
        size = f"{models_of(found)} models of {len(found.vendors)} vendors"
        click.echo(f"{size}, of {found.date} ({days} days), from {found.source}")


@prices.command()
@click.option(
    "--to",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write instead of the installed one.",
)
def update(path: Path | None) -> None:
    """Renew the price list from the package genai-prices, whose version decides how recent it is.

    Prints what changes. A running edge uses the new prices after a restart or a SIGUSR2.
    """
    from edge.money.pricing import DATA
    from edge.money.snapshot import snapshot

    target = Path(str(DATA)) if path is None else path
    try:
        data = snapshot()
    except ImportError:
        raise click.ClickException("genai-prices is not installed: pip install -U 'llm-edge-agent[prices]'") from None
    new = msgspec.json.decode(data, type=Prices)
    for line in changes(load_prices(), new):
        click.echo(line)
    beside = target.with_name(f"{target.name}.new")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise click.ClickException(f"{target} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {target}: {models_of(new)} models of {len(new.vendors)} vendors, from {new.source}")


def models_of(found: Prices) -> int:
    return sum(len(vendor.models) for vendor in found.vendors)


def changes(old: Prices, new: Prices) -> list[str]:
    """Models that are new, gone or priced otherwise, a line each."""
    before, after = (
        {(vendor.id, model.id): model for vendor in each.vendors for model in vendor.models} for each in (old, new)
    )
    told = []
    for key in sorted({*before, *after}):
        name = "/".join(key)
        if key not in before:
            told.append(f"new        {name}")
        elif key not in after:
            told.append(f"gone       {name}")
        elif before[key] != after[key]:
            told.append(f"changed    {name}")
    return told
