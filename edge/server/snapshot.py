"""A configuration in the form in which it goes from the process that has read it to those that serve by it.

Keys, of which there may be very many, are a table that is looked into; the rest is small and is decoded.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap
from typing import Any

import msgspec

from edge.config import Config, Model, Secret
from edge.config.file import Reading
from edge.guard.key_table import KeyTable

__all__ = ["Snapshot", "read_snapshot", "write_snapshot"]

MODELS = 200
"""What is decoded in one step holds the interpreter, and with it whoever serves: well below a millisecond."""
WORD = 8
"""The table begins at a multiple of it, so that its numbers can be read where they stand."""


class Snapshot(msgspec.Struct):
    """``config`` has no keys, which are in ``keys``. ``needs_restart``: the changed settings that it leaves as they
    were. ``notes``: of what the file says and hardly means. ``begun`` is that of `edge.config.file.Reading`.
    """

    config: Config
    needs_restart: list[str]
    notes: list[str]
    begun: float
    keys: KeyTable


class _Rest(msgspec.Struct):
    """``models``: those of the configuration, so many at a time."""

    config: Config
    needs_restart: list[str]
    notes: list[str]
    begun: float
    models: list[bytes]


def _reveal(value: Any) -> Any:
    if isinstance(value, Secret):
        return [value.reveal(), value.file]
    raise NotImplementedError(f"{type(value).__name__} in a configuration")


def _conceal(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(*value)
    raise NotImplementedError(f"{kind.__name__} in a configuration")


_encode = msgspec.msgpack.Encoder(enc_hook=_reveal).encode
_decode = msgspec.msgpack.Decoder(_Rest, dec_hook=_conceal).decode
_decode_models = msgspec.msgpack.Decoder(dict[str, Model], dec_hook=_conceal).decode


def write_snapshot(file: int, reading: Reading, needs_restart: list[str]) -> None:
    """Into an empty file. Raises OSError."""
    config = reading.config
    table = KeyTable.of(config.auth.keys, reading.issued)
    auth = msgspec.structs.replace(config.auth, mode="none" if config.auth.open else "keys", keys=[])
    named = list(config.models.items())
    models = [_encode(dict(named[at : at + MODELS])) for at in range(0, len(named), MODELS)]
    kept = msgspec.structs.replace(config, auth=auth, models={})
    rest = _encode(_Rest(kept, needs_restart, reading.notes, reading.begun, models))
    for part in (len(rest).to_bytes(WORD, "little"), rest, bytes(-len(rest) % WORD), table.data):
        left = memoryview(part)
        while left:
            left = left[os.write(file, left) :]


def read_snapshot(file: int) -> Snapshot:
    """What stands in it, for as long as the snapshot is kept; the descriptor stays the caller's. Raises OSError, and
    ValueError for a file that is no snapshot.
    """
    data = memoryview(mmap(file, 0, access=ACCESS_READ))
    end = WORD + int.from_bytes(data[:WORD], "little")
    rest = _decode(data[WORD:end])
    models: dict[str, Model] = {}
    for part in rest.models:
        models |= _decode_models(part)
    config = msgspec.structs.replace(rest.config, models=models)
    return Snapshot(config, rest.needs_restart, rest.notes, rest.begun, KeyTable(data[end + -end % WORD :]))
