"""What was used and spent, as tables for people."""

from __future__ import annotations

from typing import Any

__all__ = ["lines"]

NAMES = ("day", "key", "tenant", "model")
COUNTS = {"requests": "requests", "input_tokens": "input", "output_tokens": "output", "cost_usd": "USD"}


def lines(found: dict[str, Any]) -> list[str]:
    """Of the answer of ``/admin/api/usage``."""
    told = [f"since {found['since']}, UTC" + ("" if found["kept"] else "; kept in memory alone")]
    shown = [name for name in NAMES if any(name in row for row in found["usage"])]
    rows = [
        [str(row.get(name, "")) for name in shown] + [count(row, name) for name in COUNTS] for row in found["usage"]
    ]
    told += ["", *columns([*shown, *COUNTS.values()], rows, len(shown))] if rows else ["", "nothing was used"]
    limits = [
        [
            each["scope"],
            each["name"],
            str(each["tokens_per_minute"] or "-"),
            str(each["tokens_left"] if each["tokens_per_minute"] else "-"),
            f"{each['budget_usd']:g} a {each['per']}" if each["per"] else "-",
            *(usd(each[name]) if each["per"] else "-" for name in ("spent_usd", "reserved_usd", "left_usd")),
        ]
        for each in found["limits"]
    ]
    if limits:
        heads = ["limit of", "", "tokens a minute", "left", "budget, USD", "spent", "reserved", "left"]
        told += ["", *columns(heads, limits, 2)]
    return told


def count(row: dict[str, Any], name: str) -> str:
    return usd(row[name]) if name == "cost_usd" else str(row[name])


def usd(amount: float) -> str:
    return f"{amount:.6f}"


def columns(heads: list[str], rows: list[list[str]], left: int) -> list[str]:
    """Rows under their heads; the first `left` columns are text, the rest numbers."""
    widths = [max(len(row[number]) for row in [heads, *rows]) for number in range(len(heads))]
    return [
        "  ".join(
            text.ljust(width) if number < left else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [heads, *rows]
    ]
