"""What a process says, line by line while it runs, and its end with all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CLOSING_S = 10
"""What the rest of the output may take once the processes are gone."""
RUNNING: set[subprocess.Popen[str]] = set()
"""The processes that are under way, each at the head of a group of its own, which hears nothing of what ends this one."""


def follow(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    heard: Callable[[str], None],
    within_s: float | None = None,
) -> tuple[int, bool]:
    """Run it; `heard` gets each line of both its outputs. Returns its exit code, and whether it has hung: then it was
    killed after `within_s`.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    RUNNING.add(process)

    def hear() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                heard(line)

    hearing = threading.Thread(target=hear, daemon=True)
    hearing.start()
    hung = False
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        hung = True
    finally:
        end(process)
        process.wait()
        hearing.join(CLOSING_S)
        RUNNING.discard(process)
    return process.returncode, hung


@contextmanager
def heeding_termination() -> Iterator[None]:
    """SIGTERM is an exception in the main thread, so that who follows a process ends it: of itself it would go on."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end(process: subprocess.Popen[str]) -> None:
    """Kill it with all that it has started and not stopped, which would hold its output open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
