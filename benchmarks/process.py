"""Processes under measurement: started, pinned to one core, and their CPU time and memory read from /proc."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

__all__ = ["CORES", "DISTURBED", "LOAD_CORE", "SERVER_CORE", "CannotStart", "Server", "Watch"]
__all__ += ["open_files", "pin", "wait_for_quiet"]

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
TICK = os.sysconf("SC_CLK_TCK")
START_S = 20.0
DISTURBED = 0.1
"""A measurement during which others took more than this of a core is marked."""
QUIET_S = 15.0
"""How long a measurement waits for them."""


class CannotStart(Exception):
    """A program is not here or does not come up; the text says which and why."""


def pin(core: int) -> Callable[[], None]:
    """A preexec function that keeps a child, and what it starts, on one core."""
    return lambda: os.sched_setaffinity(0, {core})


def open_files() -> None:
    """Let this process and its children open as many files as the machine allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tree(pid: int) -> list[int]:
    """A process and all below it: a supervisor's workers, an nginx's."""
    found = [pid]
    for each in found:
        for path in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def tree_cpu_s(pid: int) -> float:
    """User and system time of a tree so far, in seconds; what has ended is in its parent's figure."""
    total = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])
    return total / TICK


class Watch:
    """What the cores do from now on."""

    def __init__(self) -> None:
        self._begun, self._ours, self._cores = time.monotonic(), tree_cpu_s(os.getpid()), self._busy()

    @staticmethod
    def _busy() -> dict[int, float]:
        """Seconds in which each core did something so far."""
        found = {}
        for number, ticks in re.findall(r"^cpu(\d+) (.*)$", Path("/proc/stat").read_text(), re.MULTILINE):
            user, nice, system, _, _, irq, softirq, *_ = map(int, ticks.split())
            found[int(number)] = (user + nice + system + irq + softirq) / TICK
        return found

    def load_core(self) -> float:
        """How busy the load's core was, as a share."""
        return (self._busy()[LOAD_CORE] - self._cores[LOAD_CORE]) / (time.monotonic() - self._begun)

    def others(self) -> float:
        """What processes that are not ours took of the machine meanwhile, in cores."""
        busy = sum(self._busy().values()) - sum(self._cores.values())
        return max(0.0, busy - (tree_cpu_s(os.getpid()) - self._ours)) / (time.monotonic() - self._begun)


def wait_for_quiet() -> None:
    """Let others finish what they are doing, for some seconds."""
    deadline = time.monotonic() + QUIET_S
    while time.monotonic() < deadline:
        watch = Watch()
        time.sleep(0.3)
        if watch.others() < DISTURBED:
            return


class Server:
    """A process under measurement; what it starts counts with it.

    It is up when a line of its output matches `ready` (then ``match`` is that match), or when `health` (a URL) answers
    with 200. Its output goes to a file, so that nobody waits for a reader. Raises CannotStart.
    """

    def __init__(
        self,
        *command: str,
        ready: str = "",
        health: str = "",
        core: int = SERVER_CORE,
        env: dict[str, str] | None = None,
        start_s: float = START_S,
    ) -> None:
        self._output = tempfile.NamedTemporaryFile(mode="w+", errors="replace")  # noqa: SIM115 - closed by stop
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                preexec_fn=pin(core),
                env={**os.environ, **(env or {})},
            )
        except FileNotFoundError:
            raise CannotStart(f"{command[0]} is not installed") from None
        self.match = re.match("", "")
        deadline = time.monotonic() + start_s
        while not (self._says(ready) if ready else answers(health)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                lines = Path(self._output.name).read_text(errors="replace").strip().splitlines()
                raise CannotStart(f"{Path(command[0]).name} did not start: {lines[-1] if lines else 'no output'}")
            time.sleep(0.05)

    def _says(self, ready: str) -> bool:
        self.match = re.search(ready, Path(self._output.name).read_text(errors="replace"))
        return self.match is not None

    def cpu_s(self) -> float:
        return tree_cpu_s(self.process.pid)

    def settle(self) -> None:
        """Wait until it has done what a warm-up left behind: some go on with requests whose clients are gone."""
        for _ in range(50):
            before = self.cpu_s()
            time.sleep(0.2)
            if self.cpu_s() - before < 0.05:
                return

    def rss_kib(self) -> int:
        """Resident memory of the largest of them."""
        return max(
            int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
            for pid in tree(self.process.pid)
        )

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in reversed(tree(self.process.pid)):
                os.kill(pid, 9)
            self.process.wait(5)
        self.process.stdin.close()
        self._output.close()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False
