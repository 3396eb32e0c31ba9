"""``python -m benchmarks.large_bodies [KIND ...]``: how long the loop is held while large bodies pass.

A worker is asked in this process, `TIMES` times for each kind, in pieces as they come from a socket. Each turn of its
loop is measured in processor time, which other programs of the machine do not add to. Told are the longest, and what
who comes at any moment waits for less than, but for one in a thousand.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter

import uvloop

from edge.server.malloc import give_back
from edge.server.worker import GC_THRESHOLD
from tests.harness import Simulator, running
from tests.unit.lanes import Worker

SIZE = 34 << 20
PIECE = 262144
TIMES = 3
P999_MS, MAX_MS = 20.0, 100.0


def filled(head: bytes, item: bytes, tail: bytes, size: int = SIZE) -> bytes:
    count = (size - len(head) - len(tail)) // (len(item) + 1)
    return head + b",".join([item] * count) + tail


def talk(model: str, content: bytes) -> bytes:
    return b'{"model":"%b","max_tokens":9,"messages":[{"role":"user","content":%b}]}' % (model.encode(), content)


TEXT = json.dumps("All work and no play makes Jack a dull boy.\n" * (SIZE // 46)).encode()
PICTURE = b'"data:image/png;base64,%b"' % (b"iVBORw0KGgo" * (SIZE // 11 - 20))
KINDS = {
    "text": ("/v1/chat/completions", talk("gpt-4o", TEXT)),
    "text, translated": ("/v1/messages", talk("gpt-4o", TEXT)),
    "a picture": ("/v1/chat/completions", talk("gpt-4o", b'[{"type":"image_url","image_url":{"url":%b}}]' % PICTURE)),
    "a picture, translated": (
        "/v1/chat/completions",
        talk("claude-sonnet-4-5", b'[{"type":"image_url","image_url":{"url":%b}}]' % PICTURE),
    ),
    "300,000 tokens": (
        "/v1/embeddings",
        filled(b'{"model":"text-embedding-3-small","input":[', b"1234567", b"]}", 2_400_000),
    ),
    "60,000 values, translated": (
        "/v1/messages",
        filled(b'{"model":"gpt-4o","max_tokens":9,"messages":[', b'{"role":"user","content":"Hello"}', b"]}", 680_000),
    ),
    "four million keys": ("/v1/chat/completions", filled(b'{"model":"gpt-4o","messages":[', b'{"a":1}', b"]}")),
    "numbers": ("/v1/chat/completions", filled(b'{"model":"gpt-4o","messages":[', b"1", b"]}")),
    "deep": ("/v1/chat/completions", filled(b'{"model":"gpt-4o","messages":[', b"[" * 100 + b"]" * 100, b"]}")),
    "escapes, translated": ("/v1/messages", talk("gpt-4o", b'"%b"' % (rb"\u00e9" * (SIZE // 6 - 20)))),
    "a document in a list of parts, translated": (
        "/v1/messages",
        filled(
            b'{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":[',
            b'{"type":"text","text":"%b"}' % (b"All work and no play. " * 900),
            b"]}]}",
        ),
    ),
    "arguments of tools, translated": (
        "/v1/chat/completions",
        talk("claude-sonnet-4-5", b'"go on"').replace(
            b"]}",
            b',{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":%b}}]},'
            b'{"role":"tool","tool_call_id":"c","content":"x"}]}'
            % json.dumps(json.dumps({"text": "All work.\n" * (SIZE // 13)})).encode(),
        ),
    ),
    "escapes": ("/v1/chat/completions", talk("gpt-4o", b'"%b"' % (rb"\u00e9" * (SIZE // 6 - 20)))),
}


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}anthropic-version: 2023-06-01\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def turns(took: list[float], ended: asyncio.Event) -> None:
    """Milliseconds of processor time of each turn of the loop, whatever thread spent them."""
    before = time.process_time()
    while not ended.is_set():
        await asyncio.sleep(0)
        now = time.process_time()
        took.append((now - before) * 1000)
        before = now


async def ask(worker: Worker, sent: bytes) -> bytes:
    """Send in the pieces that a socket gives, and wait for the answer."""
    lane = worker.connect()
    for at in range(0, len(sent), PIECE):
        lane.data_received(sent[at : at + PIECE])
        await asyncio.sleep(0)
    while not lane.transport.written:
        await asyncio.sleep(0.001)
    return lane.transport.written[0][9:12]


def wait_of(took: list[float], share: float) -> float:
    """What who comes at any moment waits for less than, but for `share` of all."""
    longest, over = sorted(took, reverse=True), 0.0
    total = sum(took)
    for index, turn in enumerate(longest):
        following = longest[index + 1] if index + 1 < len(longest) else 0.0
        over += (index + 1) * (turn - following)
        if over > share * total:
            return following + (over - share * total) / (index + 1)
    return 0.0


async def measure(worker: Worker, name: str) -> tuple[float, float]:
    path, body = KINDS[name]
    sent = request(path, body)
    took: list[float] = []
    ended = asyncio.Event()
    watching = asyncio.create_task(turns(took, ended))
    statuses = [await ask(worker, sent) for _ in range(TIMES)]
    ended.set()
    await watching
    high, longest = wait_of(took, 0.001), max(took)
    counts = dict(Counter(status.decode() for status in statuses))
    print(f"{name:42}{len(body) / 1e6:6.1f} MB{len(took):8} turns{high:9.2f}{longest:9.2f}  {counts}", flush=True)
    return high, longest


def main() -> int:
    names = sys.argv[1:] or list(KINDS)
    simulator = Simulator()
    with running(simulator):
        give_back()
        worker = Worker(simulator.url)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        worker.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(worker.loop)
        for path, body in KINDS.values():  # what is looked up once
            short = body[: body.index(b"[")] + (
                b'"x"}' if b"input" in body[:80] else b'{"role":"user","content":"x"}]}'
            )
            worker.loop.run_until_complete(ask(worker, request(path, short.replace(b":{", b":[{"))))
        print(f"{'body':42}{'size':>9}{'':14}{'p99.9 ms':>9}{'longest':>9}  answers")
        found = [worker.loop.run_until_complete(measure(worker, name)) for name in names]
    missed = sum(high > P999_MS or longest > MAX_MS for high, longest in found)
    print(f"{len(names) - missed} of {len(names)} within {P999_MS} ms (p99.9) and {MAX_MS} ms (longest)")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
