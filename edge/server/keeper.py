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

    def open(self) -> None:
        """Go on with what the file has. Raises SpendFileError."""
        self._file.open()
        self._opened = True
        today = int(time.time()) // DAY_S
        if self._begins:
            for mark, spent in self._file.budgets().items():
                if not over(mark, today):
                    self._spend.add(mark, spent, today)
        self._begins = False

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
            spent = self._spend.cells(today)
            new = {mark: amount for mark, amount in spent.items() if self._known.get(mark) != amount}
            old = [mark for mark in self._known if mark not in spent]
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


def over(mark: int, today: int) -> bool:
    """Whether a mark has expired: `edge._fast.Spend` says when."""
    return 1 < (today - mark & 0xFFFF) < 0x8000
