"""Processes under measurement, and the load on them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CHAT", "Load", "Server", "stream_load", "wrk"]

CHAT = json.dumps(
    {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant that answers briefly."},
            {"role": "user", "content": "What is the tallest mountain between the two seas, and who climbed it first?"},
        ],
        "temperature": 0.7,
        "max_tokens": 100,
    }
)
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
TICK = os.sysconf("SC_CLK_TCK")


def pin(core: int):
    """A preexec function that keeps a child on one core."""
    return lambda: os.sched_setaffinity(0, {core}) if hasattr(os, "sched_setaffinity") else None


class Server:
    """A process under measurement; its children count."""

    def __init__(self, *command: str, ready: str, core: int = SERVER_CORE, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,
            text=True,
            preexec_fn=pin(core),
            env={**os.environ, **(env or {})},
        )
        self.match = None
        for line in self.process.stdout:
            if match := re.search(ready, line):
                self.match = match
                break
        if self.match is None:
            raise SystemExit(f"{command[0]} did not start")

    def pids(self) -> list[int]:
        """The process and its children: a supervisor's workers, an nginx's."""
        pid = self.process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def cpu_s(self) -> float:
        """User and system time of all of them so far, in seconds."""
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:13])
        return total / TICK

    def rss_kib(self) -> int:
        """Resident memory of the largest of them."""
        return max(int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) for pid in self.pids())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass(frozen=True)
class Load:
    """``cpu_us`` per unit (a request, or an event of a stream); latencies in milliseconds."""

    units: int
    seconds: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rate(self) -> float:
        return self.units / self.seconds


@contextmanager
def lua(body: str, headers: dict[str, str]):
    """A wrk script that posts `body`."""
    path = Path(tempfile.gettempdir()) / f"edge-bench-{os.getpid()}.lua"
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(body)}"]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    path.write_text("\n".join(lines))
    try:
        yield str(path)
    finally:
        path.unlink()


def wrk(server: Server, url: str, body: str, headers: dict[str, str], connections: int = 64, seconds: int = 5) -> Load:
    """Load one URL for some seconds after a warm-up; the figures are the server's."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed (Debian: apt-get install wrk)")
    headers = {"content-type": "application/json", **headers}
    with lua(body, headers) as script:
        command = ["wrk", "-t1", f"-c{connections}", "--latency", "-s", script]
        subprocess.run([*command, "-d1", url], capture_output=True, preexec_fn=pin(LOAD_CORE), check=True)
        before = server.cpu_s()
        got = subprocess.run([*command, f"-d{seconds}", url], capture_output=True, text=True, preexec_fn=pin(LOAD_CORE))
        cpu = server.cpu_s() - before
    requests = int(re.search(r"(\d+) requests in ([\d.]+)s", got.stdout)[1])
    took = float(re.search(r"(\d+) requests in ([\d.]+)s", got.stdout)[2])
    errors = sum(
        int(n) for n in re.findall(r"(?:Non-2xx or 3xx responses: |connect |read |write |timeout )(\d+)", got.stdout)
    )
    p50, p99 = (milliseconds(re.search(rf"{p}%\s+([\d.]+)(us|ms|s)", got.stdout)) for p in (50, 99))
    return Load(requests, took, cpu / requests * 1e6, p50, p99, errors)


def milliseconds(match: re.Match[str]) -> float:
    return float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000}[match[2]]


def stream_load(server: Server, url: str, body: str, streams: int, at_once: int) -> Load:
    """Read `streams` streams, `at_once` at a time, from a process of its own; a unit is one event."""
    command = [sys.executable, "-m", "benchmarks.streams", url, body, str(streams), str(at_once)]
    before, begun = server.cpu_s(), time.monotonic()
    got = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(LOAD_CORE), check=True)
    seconds, cpu = time.monotonic() - begun, server.cpu_s() - before
    found = json.loads(got.stdout)
    return Load(
        found["events"], seconds, cpu / found["events"] * 1e6, found["p50_ms"], found["p99_ms"], found["errors"]
    )


def run(coroutine) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)
