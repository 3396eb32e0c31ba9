"""Another program's configuration, read a setting at a time. What was not read is noted in the end, with its line.

A value of the wrong type is noted and counts as absent, so that one mistake does not hide the rest.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.config.paths import PathKey, dotted
from edge.config.yaml import Lines, line_of, read_yaml
from edge.migration.reasons import SAY_BY_BEING_OFF

__all__ = ["FROM_THE_ENVIRONMENT", "NOT_CARRIED", "NO_COUNTERPART", "Section", "Source", "SourceError", "reference"]

NO_COUNTERPART = "there is no equivalent"
NOT_CARRIED = "was not carried over: "
REFERENCE = "${"
REFERS = f"{NOT_CARRIED}it contains ${{, which would refer to a variable"
FROM_THE_ENVIRONMENT = "os.environ/"
"""What LiteLLM begins the name of a variable with."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def reference(text: str) -> str:
    """``os.environ/NAME`` as it is written here; another text as it is."""
    name = text.removeprefix(FROM_THE_ENVIRONMENT)
    return text if name == text or not VARIABLE.fullmatch(name) else "${" + name + "}"


class SourceError(Exception):
    """``problems`` has a line for each reason why the file cannot be read."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass
class Source:
    """What a file says, and the notes on it."""

    data: Mapping[object, object]
    lines: Lines | None
    notes: list[tuple[PathKey, str]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Source:
        """Raises SourceError for what is no YAML, or no mapping."""
        try:
            data, lines, problems = read_yaml(text)
        except (ValueError, RecursionError):
            raise SourceError(["is not text, is nested too deeply, or refers to itself"]) from None
        if problems:
            raise SourceError(problems)
        if not isinstance(data, dict):
            raise SourceError(["is not a mapping of settings"])
        return cls(data, lines)

    @property
    def root(self) -> Section:
        return Section(self, self.data, ())

    def told(self) -> list[str]:
        """The notes, each once, in the order of the file."""

        def line(path: PathKey) -> int:
            return line_of(self.lines, path) if self.lines is not None else 0

        noted = dict.fromkeys(self.notes)
        placed = sorted(((line(path), dotted(path), what) for path, what in noted), key=lambda note: note[0])
        return [f"line {at}: {path}: {what}" if at else f"{path}: {what}" for at, path, what in placed]


class Section:
    """A mapping in a source. Each ``get`` marks a setting as read."""

    def __init__(self, source: Source, data: Mapping[object, object], path: PathKey) -> None:
        self.source = source
        self.path = path
        self._data = {str(key): value for key, value in data.items()}
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self._data.get(key) is not None

    def says(self, key: str) -> bool:
        """Whether a setting is there and means something: a number does, whatever it is; what is empty or off does not,
        unless it is on where it is not given.
        """
        value = self._data.get(key)
        if value is None or value is False:
            return key in SAY_BY_BEING_OFF and key in self._data
        return value not in ("", [], {})

    def note(self, key: str | None, what: str) -> None:
        self.source.notes.append((self.path if key is None else (*self.path, key), what))

    def text(self, key: str) -> str | None:
        """A word or a number, as text; "" counts as absent."""
        value = self._value(key)
        if isinstance(value, str) and REFERENCE in value:
            self.note(key, REFERS)
            return None
        if isinstance(value, str) and value.startswith(FROM_THE_ENVIRONMENT) and reference(value) == value:
            self.note(key, f"{NOT_CARRIED}it does not name a variable")
            return None
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return str(value) or None
        self._wrong(key, value, "text")
        return None

    def number(self, key: str) -> float | None:
        """A finite number, also one that is written as text."""
        value = self._value(key)
        number = None
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with contextlib.suppress(ValueError):
                number = float(value)
        if number is None or not abs(number) < 1e15:  # nor what is no number
            self._wrong(key, value, "a number")
            return None
        return int(number) if number.is_integer() else number

    def flag(self, key: str) -> bool:
        value = self._value(key)
        if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off"):
            return value.lower() in ("true", "yes", "on")
        if not isinstance(value, bool):
            self._wrong(key, value, "true or false")
        return value is True

    def texts(self, key: str) -> list[str]:
        """A list of texts, or one."""
        value = self._value(key)
        items = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(item, str) for item in items):
            self._wrong(key, items, "a list of text")
        if any(REFERENCE in item for item in items if isinstance(item, str)):
            self.note(key, REFERS)
        return [item for item in items if isinstance(item, str) and REFERENCE not in item]

    def section(self, key: str) -> Section:
        """A mapping; an empty one where there is none."""
        value = self._value(key)
        if not isinstance(value, dict):
            self._wrong(key, value, "a mapping")
            value = {}
        return Section(self.source, value, (*self.path, key))

    def sections(self, key: str) -> list[Section]:
        """A list of mappings."""
        value = self._value(key)
        if not isinstance(value, list):
            self._wrong(key, value, "a list")
            return []
        found = []
        for index, item in enumerate(value):
            path = (*self.path, key, index)
            if isinstance(item, dict):
                found.append(Section(self.source, item, path))
            else:
                self.source.notes.append((path, f"{NOT_CARRIED}it is not a mapping"))
        return found

    def names(self) -> list[str]:
        return [key for key in self._data if REFERENCE not in key]

    def is_section(self, key: str) -> bool:
        return isinstance(self._data.get(key), dict)

    def read_later(self, *keys: str) -> None:
        """These are read where they are needed, and are not left out."""
        self._read.update(keys)

    def ignore(self) -> None:
        """Say nothing more of what is in it, since all of it was left out."""
        self._read.update(self._data)

    def leave(self, reasons: Mapping[str, str]) -> None:
        """Note every setting that says something and that nobody has read, with the reason if one is known."""
        for name in self._data:
            if name not in self._read and self.says(name):
                self.note(name, NOT_CARRIED + reasons.get(name, NO_COUNTERPART))

    def _value(self, key: str) -> object:
        self._read.add(key)
        return self._data.get(key)

    def _wrong(self, key: str, value: object, wanted: str) -> None:
        if value is not None and value != "":
            self.note(key, f"{NOT_CARRIED}it is not {wanted}")
