"""The supervisor's book-keeping: what the workers have spent is in a file within a second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from edge._fast import Spend
from edge.config import Config, Key, Model, Tenant
from edge.money.spend_file import SpendFile, SpendFileError, default_path
from edge.money.usage_table import UsageTable

__all__ = ["Keeper", "path_of", "wanted"]

EVERY_S = 1.0
DAY_S = 86400
KEPT_DAYS = 45
"""So long after its period a budget stays in the file, where a clock that is ahead for a while may find it again."""


def path_of(config: Config) -> Path:
    """Where what was spent is kept."""
    return default_path() if config.limits.file is None else Path(config.limits.file)


def wanted(config: Config) -> bool:
    """Whether a configuration counts anything that is to outlive the edge."""
    parts: list[Key | Tenant | Model] = [*config.auth.keys, *config.auth.tenants.values(), *config.models.values()]
    limited = any(part.budget is not None or part.tokens_per_minute is not None for part in parts)
    return limited or config.limits.file is not None or config.limits.usage == "all"


class Keeper:
    """Nothing is opened before there is something to keep. `begins`: the memory is new, and knows nothing of what the
    file has.
    """

    def __init__(self, spend: Spend, usage: UsageTable, path: Path, log: Any, *, begins: bool) -> None:
        self._spend = spend
        self._usage = usage
        self._file = SpendFile(path)
        self._log = log
        self._begins = begins
        self._opened = False
        self._failed = False
        self._next = 0.0
        self._known: dict[int, int] = {}
        self._taken: set[int] = set()

    def open(self) -> None:
        """Go on with what the file has. Raises SpendFileError."""
        self._file.open()
        self._opened = True
        today = int(time.time()) // DAY_S
        if self._begins:
            self._take({mark: spent for mark, spent in self._file.budgets().items() if not over(mark, today)}, today)
        else:
            self._taken |= self._spend.cells(today).keys()
        self._begins = False

    def _take(self, kept: dict[int, int], today: int) -> None:
        """Count what the file has of these, which the memory does not have."""
        for mark, spent in kept.items():
            self._spend.add(mark, spent, today)
        self._taken |= kept.keys()

    def _first_seen(self, today: int) -> list[int]:
        """Take what the file has of budgets that are spent from for the first time here: what was over by a clock that
        was ahead, and is not any more. Returns those that can go from the file, as often as there are such.
        """
        new = self._spend.cells(today).keys() - self._taken
        if not new:
            return []
        kept = self._file.budgets()
        self._take({mark: kept[mark] for mark in new if mark in kept}, today)
        self._taken = {mark for mark in self._taken | new if not over(mark, today, KEPT_DAYS)}
        return [mark for mark in kept if over(mark, today, KEPT_DAYS)]

    def look(self) -> None:
        """Write what is new, once a second at most. Never raises: what is not written is written later."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY_S
            self.write()

    def write(self) -> None:
        changes = self._usage.changes()
        if not changes:
            return
        today = int(time.time()) // DAY_S
        try:
            if not self._opened:
                self.open()
            old = self._first_seen(today)
            spent = self._spend.cells(today)
            new = {mark: amount for mark, amount in spent.items() if self._known.get(mark) != amount}
            self._file.write([(row, used) for _, row, used in changes], new, old)
        except SpendFileError as error:
            self._usage.again()
            if not self._failed:
                self._log.error("what was spent cannot be kept", error=str(error))
            self._failed = True
            return
        self._usage.written(changes)
        self._known = spent
        if self._failed:
            self._failed = False
            self._log.info("what was spent is kept again")


def over(mark: int, today: int, days: int = 1) -> bool:
    """Whether a mark has expired (`edge._fast.Spend` says when), and so many `days` ago but one."""
    return days < (today - mark & 0xFFFF) < 0x8000
