"""The fields of a request's head."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case

FIELDS = [(b"header-%d" % number, b"value %d" % number) for number in range(10)]


def fields(module: ModuleType) -> dict[str, Any]:
    names = {"fields": FIELDS, "start": b"POST / HTTP/1.1\r\n", "some": frozenset({b"header-3", b"header-7"})}
    return names | {"join": module.join_fields, "index": module.index_fields, "select": module.select_fields}


CASES = [
    Case("fields", "join ten", fields, "join(start, fields, b'')"),
    Case("fields", "index ten", fields, "index(fields)"),
    Case("fields", "select two of ten", fields, "select(fields, some)"),
]
