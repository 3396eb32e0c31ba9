"""Requests at a steady rate, whatever the answers take: ``python -m benchmarks.steady JOB`` prints what it saw as JSON.

The job (JSON) has ``url``, ``bodies`` (asked for in turn), ``rate`` (a second), ``seconds`` and ``connections``, of
which each has one request at a time. A latency counts from the time at which the request was due, so that a server that
stalls is not asked less. Timers of event loops are a millisecond coarse, which is what is to be measured here: this one
waits in ``select`` alone, whose clock has microseconds.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from collections import deque
from urllib.parse import urlsplit

from benchmarks.streams import percentiles

__all__ = ["main"]

LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)
PATIENCE_S = 10.0
"""For the answers that are still to come at the end."""


class Asker:
    """One kept connection: a request, its whole answer."""

    def __init__(self, host: str, port: int) -> None:
        self.sock = socket.create_connection((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._answer = b""

    def fileno(self) -> int:
        return self.sock.fileno()

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self._answer = b""
        self.sock.sendall(request)

    def status(self) -> int | None:
        """That of its answer; 0 for a connection that has ended, None while more of it is to come."""
        data = self.sock.recv(65536)
        if not data:
            return 0
        answer = self._answer = self._answer + data
        end = answer.find(b"\r\n\r\n") + 4
        length = LENGTH.search(answer, 0, end) if end > 3 else None
        return int(answer[9:12]) if length and len(answer) >= end + int(length[1]) else None


def ask(job: dict) -> dict:
    url = urlsplit(job["url"])
    requests = []
    for body in job["bodies"]:
        data = body.encode()
        lines = [f"POST {url.path} HTTP/1.1", f"host: {url.netloc}", "content-type: application/json"]
        requests.append("\r\n".join([*lines, f"content-length: {len(data)}", "", ""]).encode() + data)
    free = deque(Asker(url.hostname, url.port) for _ in range(job["connections"]))
    busy: set[Asker] = set()
    count = int(job["rate"] * job["seconds"])
    took: list[float] = []
    asked = failed = 0
    begun = time.perf_counter() + 0.05
    over = begun + job["seconds"] + PATIENCE_S
    while busy or (asked < count and free):
        now = time.perf_counter()
        if now > over:
            failed += len(busy)
            break
        due = begun + asked / job["rate"]
        if asked < count and free and due <= now:
            asker = free.popleft()
            asker.ask(requests[asked % len(requests)], due)
            busy.add(asker)
            asked += 1
            continue
        waits = due - now if asked < count and free else over - now
        for asker in select.select(busy, (), (), waits)[0]:
            status = asker.status()
            if status is None:
                continue
            took.append(time.perf_counter() - asker.due)
            failed += status != 200
            busy.remove(asker)
            if status:
                free.append(asker)
    return {"asked": asked, "failed": failed, "ms": percentiles(took, 0.5, 0.99, 0.999)}


def main() -> None:
    print(json.dumps(ask(json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
