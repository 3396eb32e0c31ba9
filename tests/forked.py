"""Edges and simulators that `tests.zygote` forks, as `subprocess.Popen` has those that it starts."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

MODULES = ("edge", "edge.simulator")
AT_START = ("EDGE_PURE_PYTHON", "GLIBC_", "LANG", "LC_", "LD_", "MALLOC_", "OPENSSL_", "PYTHON", "TZ")
"""How variables begin that are read before the program is, or once, when something is imported."""


OURS = dict(os.environ)
"""What the zygote is started with: no test has changed anything of it yet."""


def fixed(environment: dict[str, str]) -> dict[str, str]:
    """What of it cannot be given to a process that runs."""
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


def can_be_forked(command: tuple[str, ...], environment: dict[str, str]) -> bool:
    """Whether a zygote of this process may stand in for the start of a command. Lines that are counted (``make coverage``)
    are those of programs that have been started.
    """
    return (
        sys.platform == "linux"
        and command[:2] == (sys.executable, "-m")
        and command[2] in MODULES
        and fixed(environment) == fixed(OURS)
        and not any(name.startswith("COVERAGE_") for name in os.environ)
    )


class Zygote:
    """The process, started by the first who needs it and ended with this one."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._one_at_a_time = threading.Lock()
        self._numbers = count()
        with theirs:
            # Streams of the kind that those have whom it forks, which keep their buffers.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.zygote", str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[1],
                env=OURS,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.end)

    def ask(self, request: dict[str, Any], streams: tuple[int, ...] = ()) -> int:
        """Its reply: the number of the process that it has forked with these streams, or a status as `os.waitpid` has it.
        Raises RuntimeError if it is gone.
        """
        with self._one_at_a_time, suppress(ConnectionError):
            number = next(self._numbers)
            message = json.dumps({**request, "number": number}).encode()
            socket.send_fds(self._connection, [message], streams)
            while reply := self._connection.recv(64):
                answered, value = map(int, reply.split())
                # Another is that of a test that was interrupted, by its bound, while it waited here.
                if answered == number:
                    return value
        raise RuntimeError(f"the zygote {self.process.pid} is gone, so nobody knows of what it has forked")

    def end(self) -> None:
        self._connection.close()
        with self.process:
            pass


@cache
def zygote() -> Zygote:
    return Zygote()


class Forked:
    """A process that a zygote has forked: what `subprocess.Popen` is with pipes and text, errors among the output."""

    def __init__(
        self, command: tuple[str, ...], environment: dict[str, str], folder: Path | None, parent: Zygote | None = None
    ) -> None:
        """`command` is one that `can_be_forked`; Python's modules are looked for in `folder` first, by default this
        process's.
        """
        self.args = command
        self.returncode: int | None = None
        self._parent = parent or zygote()
        self._lock = threading.RLock()
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        self.stdin = open(ours_in, "w", buffering=1)  # noqa: SIM115 - for as long as the process is
        self.stdout = open(ours_out)  # noqa: SIM115
        asked = {
            "module": command[2],
            "arguments": command[3:],
            "environment": environment,
            "folder": str(folder or Path.cwd()),
        }
        try:
            self.pid = self._parent.ask(asked, (theirs_in, theirs_out, theirs_out))
        except BaseException:
            self.stdin.close()
            self.stdout.close()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._file = os.pidfd_open(self.pid)  # it is the zygote's child until it was asked for, so this is nobody else

    def poll(self) -> int | None:
        """The exit code, less than 0 for the signal that ended it, or None as long as it runs."""
        with self._lock:
            if self.returncode is None and self._has_ended(0):
                self.returncode = os.waitstatus_to_exitcode(self._parent.ask({"ended": self.pid}))
                os.close(self._file)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises `subprocess.TimeoutExpired`."""
        with self._lock:
            # A number of its own: another thread may close the one that is shared.
            file = os.dup(self._file) if self.returncode is None else None
        if file is not None:
            try:
                if not self._has_ended(timeout, file):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
            finally:
                os.close(file)
        code = self.poll()
        assert code is not None
        return code

    def _has_ended(self, timeout: float | None, file: int | None = None) -> bool:
        waiting = select.poll()
        waiting.register(self._file if file is None else file, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))

    def send_signal(self, number: int) -> None:
        """Does nothing once it has ended."""
        with self._lock:
            if self.poll() is None:
                signal.pidfd_send_signal(self._file, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
