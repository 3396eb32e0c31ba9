"""Many clients that ask the same at once: ``python -m benchmarks.crowd JOB`` prints what they saw as JSON.

The job (JSON) has ``url``, ``body`` (a stream's) and ``clients``, which ask one after the other, ``step_s`` apart, from
``at`` on, a time of the wall clock. Those whose wait for the first byte is to be known have a process of their own: one
that reads hundreds of streams sees everything late.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import uvloop

from benchmarks.streams import percentiles

__all__ = ["main"]

ENDS = (b"\r\n0\r\n\r\n", b"data: [DONE]\n\n")


class Client(asyncio.Protocol):
    """One connection and one stream, of which the beginning and the end are noted."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first_s = 0.0
        self.tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.first_s:
            self.first_s = time.perf_counter() - self.begun
        self.tail = (self.tail + data)[-64:]
        if self.tail.endswith(ENDS) and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def ask(job: dict) -> dict:
    url = urlsplit(job["url"])
    body = job["body"].encode()
    lines = [f"POST {url.path} HTTP/1.1", f"host: {url.netloc}", "content-type: application/json"]
    request = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Client, url.hostname, url.port))[1] for _ in range(job["clients"])]

    def begin(client: Client) -> None:
        client.begun = time.perf_counter()
        client.transport.write(request)

    wait = job["at"] - time.time()
    for number, client in enumerate(clients):
        loop.call_later(wait + number * job["step_s"], begin, client)
    async with asyncio.timeout(60):
        await asyncio.gather(*(client.done for client in clients))
    complete = sum(client.tail.endswith(ENDS) for client in clients)
    return {"complete": complete, "first_ms": percentiles([client.first_s for client in clients], 0.5, 0.99)}


def main() -> None:
    print(json.dumps(uvloop.run(ask(json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
