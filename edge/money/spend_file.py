"""What was spent and used, in a SQLite file that outlives the edge.

Only the supervisor writes it, once a second at most and in one transaction that is on the disk when it returns, so the
crash of a machine loses a second. What is added is what the memory that all workers share has more than the file; what
the budgets have spent stands there as a whole. A file is one edge's: a lock beside it says so.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from fcntl import LOCK_EX, LOCK_NB, lockf
from pathlib import Path

from edge.money.usage_table import Row, Used

__all__ = ["SpendFile", "SpendFileError", "default_path"]

VERSION = 1
SYSTEM = Path("/var/lib")
BUSY_S = 0.2
"""Who reads the file keeps nobody from writing it; who copies it may, for so long."""
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS budgets (mark INTEGER PRIMARY KEY, spent INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS usage (
        day INTEGER NOT NULL, key TEXT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL,
        requests INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cost INTEGER NOT NULL,
        PRIMARY KEY (day, key, tenant, model)
    ) WITHOUT ROWID""",
    f"PRAGMA user_version = {VERSION}",
)
ADD = """INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, input = input + excluded.input,
    output = output + excluded.output, cost = cost + excluded.cost"""
SET = "INSERT INTO budgets VALUES (?, ?) ON CONFLICT DO UPDATE SET spent = max(spent, excluded.spent)"
"""What is spent in a period only grows."""


class SpendFileError(Exception):
    """Why the file cannot be used, for people."""


def default_path() -> Path:
    """In the folder for state that systemd gives, else in that of the user, else (who has no home) of the system."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given) / "spend.sqlite"
    home = os.path.expanduser("~")  # noqa: PTH111 - which raises nothing where there is none
    state = Path(home) / ".local" / "state" if home.startswith("/") else SYSTEM
    return Path(os.environ.get("XDG_STATE_HOME") or state) / "llm-edge-agent" / "spend.sqlite"


class SpendFile:
    """A connection is open while it is used, and no longer: processes are forked in between."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    def open(self) -> None:
        """Make it, or check it. Raises SpendFileError."""
        self._have_library()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._lock < 0:  # else an attempt before this one has opened it
                self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            lockf(self._lock, LOCK_EX | LOCK_NB)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except BlockingIOError:
            raise SpendFileError(f"{self.path} is another edge's: limits.file names one for this edge") from None
        except OSError as error:
            raise SpendFileError(f"{self.path} (limits.file) cannot be used: {error.strerror or error}") from None
        try:
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                said = connection.execute("PRAGMA quick_check").fetchone()[0]
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if said != "ok":
                    raise SpendFileError(f"{self.path} (limits.file) is damaged: {said}")
                if version not in (0, VERSION):
                    raise SpendFileError(f"{self.path} (limits.file) is of another version of this program")
                for statement in SCHEMA:
                    connection.execute(statement)
        except sqlite3.Error as error:
            raise SpendFileError(f"{self.path} (limits.file) cannot be used: {error}") from None

    def budgets(self) -> dict[int, int]:
        """What was spent, by the marks of `edge._fast.Spend`. Raises SpendFileError."""
        try:
            with closing(self._connect()) as connection:
                rows = connection.execute("SELECT mark, spent FROM budgets").fetchall()
        except sqlite3.Error as error:
            raise SpendFileError(f"{self.path} (limits.file) cannot be read: {error}") from None
        return {mark & 0xFFFFFFFFFFFFFFFF: spent for mark, spent in rows}

    def write(self, changes: Iterable[tuple[Row, Used]], spent: dict[int, int], over: Iterable[int] = ()) -> None:
        """Add what was used, and set what these budgets have spent, if that is more; those that are over are taken out.
        Raises SpendFileError.
        """
        try:
            with closing(self._connect()) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(ADD, [(*row, *used) for row, used in changes])
                connection.executemany("DELETE FROM budgets WHERE mark = ?", [(signed(mark),) for mark in over])
                connection.executemany(SET, [(signed(mark), amount) for mark, amount in spent.items()])
        except (sqlite3.Error, OSError) as error:
            raise SpendFileError(f"{self.path} (limits.file) cannot be written: {error}") from None

    def usage(self, since: int) -> dict[Row, Used]:
        """What was used from a day on (since 1970-01-01). Raises SpendFileError."""
        asked = "SELECT day, key, tenant, model, requests, input, output, cost FROM usage WHERE day >= ?"
        self._have_library()
        try:
            with closing(self._connect()) as connection:
                rows = connection.execute(asked, (since,)).fetchall()
        except sqlite3.Error as error:
            raise SpendFileError(f"{self.path} (limits.file) cannot be read: {error}") from None
        return {Row(*row[:4]): Used(*row[4:]) for row in rows}

    def _have_library(self) -> None:
        """It is read when it is first asked for something (`edge.server.sparing`), and a Python may be without it."""
        try:
            _ = sqlite3.connect
        except (ImportError, OSError) as error:
            raise SpendFileError(f"{self.path} (limits.file) cannot be used: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def signed(mark: int) -> int:
    """A mark as SQLite has numbers of 64 bits."""
    return mark - (1 << 64) if mark >> 63 else mark
