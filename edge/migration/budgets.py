"""Budgets, which have the same two settings wherever they stand in LiteLLM's files and tables."""

from __future__ import annotations

from edge.migration.draft import Setting
from edge.migration.source import NOT_CARRIED, Section

__all__ = ["budget_of"]

PERIODS = {"24h": "day", "1d": "day", "30d": "month", "1mo": "month"}
NO_PERIOD = f"{NOT_CARRIED}a budget is for a day or a month"
NO_AMOUNT = f"{NOT_CARRIED}a budget is more than 0 and at most 1,000,000 USD"
MOST_DOLLARS = 1_000_000


def budget_of(section: Section) -> dict[str, Setting] | None:
    """The budget that a section has; a note where it is one of another time than ours."""
    dollars, period = section.number("max_budget"), section.text("budget_duration")
    if dollars is None:
        return None
    if not 0 < dollars <= MOST_DOLLARS:
        section.note("max_budget", NO_AMOUNT)
        return None
    if period not in PERIODS:
        section.note("max_budget", NO_PERIOD)
        return None
    return {"usd": dollars, "per": PERIODS[period]}
