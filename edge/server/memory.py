"""Memory that the processes of an edge share, and that outlives the program that made it where the system allows that.

A supervisor that executes itself anew hands it to its successor, which goes on with it if it understands what stands
there.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from mmap import mmap

__all__ = ["Shared", "open_file", "share"]


@dataclass(frozen=True, slots=True)
class Shared:
    """``file`` is a descriptor, -1 where memory dies with the program; ``layout`` names what stands in it and how."""

    view: mmap
    file: int
    layout: str


def open_file(name: str) -> int:
    """A descriptor of a file without a name in any folder, in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def share(name: str, size: int, layout: str, given: tuple[int, str] | None = None) -> Shared:
    """Memory of that size, zeros at first. `given` is a file and its layout, of a predecessor: used if it fits."""
    layout = f"{layout}/{size}"
    if given is not None:
        file, known = given
        if known == layout and os.fstat(file).st_size == size:
            return Shared(mmap(file, size), file, layout)
        os.close(file)
    if not hasattr(os, "memfd_create"):
        return Shared(mmap(-1, size), -1, layout)
    file = open_file(name)
    os.ftruncate(file, size)
    return Shared(mmap(file, size), file, layout)
