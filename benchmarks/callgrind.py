"""A program under callgrind: how many instructions it has executed, as the program itself sees no difference.

Counting is off until `count`, since valgrind is several times quicker then and what a start costs is not measured.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.process import START_S, CannotStart, answers, tree

__all__ = ["Counted"]

SLOWER = 15
"""How many times longer a program takes to start under valgrind, on a machine that has other things to do."""
PATIENCE_S = 60.0
"""How long valgrind may take to do what it is told."""


class Counted:
    """A server, up when `health` (a URL) answers with 200, of which the process that `counted` picks is counted.

    `counted` is given the process ids of the server, its own first. Raises CannotStart.
    """

    def __init__(self, *command: str, health: str, counted: Callable[[list[int]], int], env: dict[str, str]) -> None:
        for program in ("valgrind", "vgdb"):
            if shutil.which(program) is None:
                raise CannotStart("valgrind is needed (Debian: apt-get install valgrind)")
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        valgrind = ("valgrind", "-q", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no")
        with (folder / "output").open("w") as output:
            self.process = subprocess.Popen(
                [*valgrind, f"--callgrind-out-file={folder}/%p", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
            )
        deadline = time.monotonic() + SLOWER * START_S
        while not answers(health):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                lines = (folder / "output").read_text(errors="replace").strip().splitlines()
                raise CannotStart(f"{Path(command[0]).name} did not start: {lines[-1] if lines else 'no output'}")
            time.sleep(0.1)
        self._pid = counted(tree(self.process.pid))
        if self._pid != self.process.pid:  # a supervisor would take a worker that is so slow for a stalled one
            self.process.send_signal(signal.SIGSTOP)
        self._tell("instrumentation", "on")

    def _tell(self, *words: str) -> str:
        """Give valgrind's own debugger a command, once a process that was just forked has it. Raises CannotStart."""
        command = ["vgdb", f"--wait={PATIENCE_S:.0f}", f"--pid={self._pid}", *words]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise CannotStart("valgrind does not answer") from None
        if told.returncode:
            raise CannotStart(f"valgrind does not answer: {told.stderr.strip()}")
        return told.stdout

    def count(self) -> int:
        """Instructions so far, in user space, of all threads."""
        return sum(map(int, re.findall(r"^events-\d+: (\d+)$", self._tell("status", "internal"), re.MULTILINE)))

    def stop(self) -> None:
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()
