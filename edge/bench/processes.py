"""The processes that are measured, and how much of the machine they can have."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = [
    "BenchError",
    "free_port",
    "free_share",
    "python",
    "raise_open_files",
    "redis_server",
    "said",
    "serving",
    "started",
]

START_S = 20.0
SPIN_S = 0.3
SPIN = f"""
import time
begun, used = time.perf_counter(), time.process_time()
while time.perf_counter() - begun < {SPIN_S}: pass
print((time.process_time() - used) / (time.perf_counter() - begun))
"""


class BenchError(Exception):
    """What keeps the measurement from being made, for people."""


def python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def free_share() -> float:
    """The share of a core that each of as many busy processes as there are cores gets: 1.0 where no other is busy."""
    command = [sys.executable, "-c", SPIN]
    spinning = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own interpreter
        for _ in range(os.cpu_count() or 1)
    ]
    shares = [float(process.communicate()[0]) for process in spinning]
    return sum(shares) / len(shares)


@contextlib.contextmanager
def started(command: list[str], log: Path, ready: Callable[[str], str]) -> Iterator[str]:
    """A child for as long as the context lasts; gives what `ready` says once it is not "" any more.

    `ready` is given the output so far. Raises BenchError.
    """
    with log.open("w") as output:
        child = subprocess.Popen(  # noqa: S603 - our own modules, and a server found on the path
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name != "EDGE_CONFIG"},
        )
    try:
        deadline = time.monotonic() + START_S
        while not (found := ready(log.read_text(errors="replace"))):
            if child.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
                raise BenchError(f"{' '.join(command)} did not start: {lines[-1]}")
            time.sleep(0.02)
        yield found
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()


def said(pattern: str) -> Callable[[str], str]:
    """Ready when the output has `pattern`; gives its first group."""

    def ready(output: str) -> str:
        found = re.search(pattern, output)
        return found[1] if found else ""

    return ready


def serving(port: int) -> Callable[[str], str]:
    """Ready when an edge answers on `port`; gives its URL."""

    def ready(_: str) -> str:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                sock.settimeout(1)
                sock.sendall(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                return f"http://127.0.0.1:{port}" if sock.recv(64).startswith(b"HTTP/1.1 200 ") else ""
        except OSError:
            return ""

    return ready


def raise_open_files() -> None:
    """Here and in the edge every connection takes a file or two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10240 if hard == resource.RLIM_INFINITY else min(hard, 10240)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str | None]:
    """The URL of a redis-server in memory alone; None where the program is not on the path. Raises BenchError."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with started(command, folder / "redis.log", said("(Ready to accept connections)")):
        yield f"redis://127.0.0.1:{port}"
