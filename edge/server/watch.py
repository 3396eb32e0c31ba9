"""Files that are read again when they change: looked at by a thread, so that a file system that does not answer keeps
nobody waiting.

Files are opened, since a look at an open file is what file systems of several machines promise to be a fresh one.
"""

from __future__ import annotations

import os
import threading

__all__ = ["LOOK_S", "Watch"]

LOOK_S = 0.5
"""A change is told after the second look that finds the same: who writes in place may be at it still."""

Sight = tuple[int, int, int, int]
GONE: Sight = (0, 0, 0, 0)


class Watch:
    """Of the files that `watch` was last given; ``changed`` tells that some have changed, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Sight] = {}
        self._seen: dict[str, Sight] = {}
        self._changed = False
        self._thread: threading.Thread | None = None

    def watch(self, files: list[str], since: float) -> None:
        """Watch these files, and no others. Of one that was not watched, what it was at `since`, by the wall clock, is
        known: it has changed if it did after that.
        """
        now = {file: sight(file) for file in files if file not in self._known}
        with self._lock:
            fresh = {file: GONE if seen[2] >= int(since * 1e9) else seen for file, seen in now.items()}
            self._known = {file: fresh[file] if file in fresh else self._known[file] for file in files}
            self._seen = dict(self._known)

    def begin(self) -> None:
        """Look from now on, in this process. It must have no other threads that hold what a fork would leave held."""
        if self._known and self._thread is None:
            self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
            self._thread.start()

    def changed(self) -> bool:
        changed, self._changed = self._changed, False
        return changed

    def _look(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Once at each."""
        with self._lock:
            files = list(self._known)
        now = {file: sight(file) for file in files}
        with self._lock:
            for file, seen in now.items():
                if file in self._known:
                    if seen != self._known[file] and seen == self._seen.get(file):
                        self._known[file] = seen
                        self._changed = True
                    self._seen[file] = seen


def sight(file: str) -> Sight:
    """What changes when a file does: which it is, when it was written, and its size."""
    try:
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return GONE
    try:
        found = os.fstat(number)
    except OSError:
        return GONE
    finally:
        os.close(number)
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
