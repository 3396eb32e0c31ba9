"""A small client that reads many streams and prints what it saw as JSON: events, errors, times to the first event."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

from benchmarks.load import run


async def read_one(host: str, port: int, request: bytes, found: dict) -> None:
    begun = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        events, first, done = 0, 0.0, False
        while data := await reader.read(65536):
            first = first or time.perf_counter() - begun
            events += data.count(b"\n\n")
            done = done or b"[DONE]" in data
        writer.close()
        found["events"] += events
        found["first"].append(first)
        if not done or b" 200 " not in head[:16]:
            found["errors"] += 1
    except (OSError, asyncio.IncompleteReadError):
        found["errors"] += 1


async def main(url: str, body: str, streams: int, at_once: int) -> None:
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"host: {parts.netloc}",
        "content-type: application/json",
        f"content-length: {len(body.encode())}",
        "connection: close",
        "",
        body,
    ]
    request = "\r\n".join(lines).encode()
    found: dict = {"events": 0, "errors": 0, "first": []}
    left = iter(range(streams))

    async def worker() -> None:
        for _ in left:
            await read_one(parts.hostname, parts.port, request, found)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    first = sorted(found.pop("first")) or [0.0]
    found["p50_ms"], found["p99_ms"] = first[len(first) // 2] * 1000, first[len(first) * 99 // 100] * 1000
    print(json.dumps(found))


if __name__ == "__main__":
    run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
