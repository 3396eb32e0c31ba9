"""The file of the keys that ``edge key`` issues: JSON, a key a line, changed by one at a time and replaced in one step.

Who reads it finds the one state or the other, on this machine and on those that mount the same folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge.config.capabilities import Settings
from edge.config.model import Key

__all__ = ["KeysFile", "editing"]

MODE = 0o600
"""Of a new file: digests are no keys, but who has one more of them is nobody's business."""


class KeysFile(Settings, frozen=True, kw_only=True):
    keys: list[Key]


@contextlib.contextmanager
def editing(path: str) -> Iterator[list[Key]]:
    """The file's keys, to be changed in place; what they are at the end is written, if it differs. A file that is not
    there has none. Others who edit it wait.

    Raises OSError, and ValueError for a file that cannot be understood: it stays as it is.
    """
    # The file itself is replaced, so that a lock on it would be one on what is no longer there.
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            before = Path(path).read_bytes()
        except FileNotFoundError:
            before = b""
        keys = msgspec.json.decode(before, type=KeysFile).keys if before else []
        yield keys
        after = _written(keys)
        msgspec.json.decode(after, type=KeysFile)
        if after != before:
            _replace(path, after)
    finally:
        os.close(lock)


def _written(keys: list[Key]) -> bytes:
    lines = ",\n".join(msgspec.json.encode(_said(key)).decode() for key in keys)
    return f'{{"keys": [\n{lines}\n]}}\n'.encode() if keys else b'{"keys": []}\n'


def _said(key: Key) -> dict[str, Any]:
    """What differs from the defaults."""
    values = {field.name: getattr(key, field.name) for field in msgspec.structs.fields(key)}
    defaults = {field.name: field.default for field in msgspec.structs.fields(key)}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _replace(path: str, content: bytes) -> None:
    """Put a file in the place of another, whole, with the mode and the owner of that."""
    target = Path(os.path.realpath(path))
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(number, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                old = target.stat()
                os.fchmod(number, old.st_mode & 0o777)
                with contextlib.suppress(PermissionError):
                    os.fchown(number, old.st_uid, old.st_gid)
            file.write(content)
            file.flush()
            os.fsync(number)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
