"""Requests at a steady rate, whatever the answers take: ``python -m benchmarks.steady JOB`` prints what it saw as JSON.

The job (JSON) has ``url``, ``bodies`` (asked for in turn), ``rate`` (a second), ``seconds`` and ``connections``, of
which each has one request at a time. A latency counts from the time at which the request was due, so that a server that
stalls is not asked less.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import httptools

from benchmarks.streams import percentiles

__all__ = ["main"]


class Asker(asyncio.Protocol):
    """One kept connection: a request, its whole answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.answer: asyncio.Future[int] | None = None

    def ask(self, request: bytes) -> asyncio.Future[int]:
        self.parser = httptools.HttpResponseParser(self)
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.answer.set_result(self.parser.get_status_code())

    def connection_lost(self, _error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(0)


async def ask(job: dict) -> dict:
    url = urlsplit(job["url"])
    loop = asyncio.get_running_loop()
    requests = []
    for body in job["bodies"]:
        data = body.encode()
        lines = [f"POST {url.path} HTTP/1.1", f"host: {url.netloc}", "content-type: application/json"]
        requests.append("\r\n".join([*lines, f"content-length: {len(data)}", "", ""]).encode() + data)
    count = int(job["rate"] * job["seconds"])
    took: list[float] = []
    failed = asked = 0
    begun = time.perf_counter() + 0.05

    async def work(place: int) -> None:
        nonlocal failed, asked
        _, asker = await loop.create_connection(Asker, url.hostname, url.port)
        for number in range(place, count, job["connections"]):
            due = begun + number / job["rate"]
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            asked += 1
            status = await asker.ask(requests[number % len(requests)])
            took.append(time.perf_counter() - due)
            failed += status != 200
            if status == 0:
                break
        asker.transport.close()

    await asyncio.gather(*(work(place) for place in range(job["connections"])))
    return {"asked": asked, "failed": failed, "ms": percentiles(took, 0.5, 0.99, 0.999)}


def main() -> None:
    print(json.dumps(asyncio.run(ask(json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
