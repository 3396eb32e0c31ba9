"""How the C library's allocator gives memory back: what large bodies took goes to the system when they are gone."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["give_back"]

# glibc's malloc.h. Each of these that is set stays as it is: by default the first two rise to 32 and 64 MiB with the
# largest block that was freed, and what is smaller then stays with the process, between what is in use.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGE = 1 << 20
"""Bytes of a block that has pages of its own, which go back when it is freed. To map them takes less than to fill
them."""
TRIM = 4 << 20
"""So much may be free at the end of the heap."""
ARENAS = 2
"""Heaps, by default eight for each processor: threads that translate take turns, so they need no more."""


def give_back() -> bool:
    """Set the allocator of this process; whether it is one that can be."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_MMAP_THRESHOLD, LARGE), (M_TRIM_THRESHOLD, TRIM), (M_ARENA_MAX, ARENAS))
    return all(mallopt(name, value) for name, value in settings)
