"""What a request leaves behind is freed when it is over, not when the collector comes: it holds bodies."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter

import pytest

from tests.unit.lanes import Worker

pytestmark = pytest.mark.early

PATHS = ("/v1/chat/completions", "/v1/messages")
MODELS = ("gpt-4o", "claude-sonnet-4-5", "gpt-4o-sim-500", "openai/sim-cut-3", "nope/nothing", "sim-ttft-300")


@pytest.fixture(scope="module", params=["all", "off"])
def worker(simulator, request):
    made = Worker(simulator.url, request.param)
    asyncio.set_event_loop(made.loop)
    gc.collect()
    gc.freeze()  # so that the many looks for garbage are short
    yield made
    gc.unfreeze()
    made.loop.run_until_complete(made.app.stop(None))
    made.loop.close()


async def ask(worker: Worker, path: str, body: bytes, leaves: bool) -> None:
    lane = worker.connect()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    lane.data_received(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    wire = lane.transport
    for _ in range(5 if leaves else 300):
        await asyncio.sleep(0.01)
        if wire.written and lane.idle():
            break
    lane.connection_lost(None)
    await asyncio.sleep(0.05)


def left_of(worker: Worker, path: str, body: bytes, leaves: bool = False) -> Counter[str]:
    """The program's own objects that only the collector finds."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        worker.loop.run_until_complete(ask(worker, path, body, leaves))
        gc.collect()
        return Counter(type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("edge"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def chat(model: str, stream: bool, text: str) -> bytes:
    said = [{"role": "user", "content": text}]
    return json.dumps({"model": model, "max_tokens": 50, "stream": stream, "messages": said}).encode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("leaves", [False, True])
def test_nothing_of_a_request_is_in_a_circle(worker, path, model, stream, leaves):
    asked = [chat(model, stream, f"{path} {model} {stream} {leaves} {time}") for time in (1, 2)]
    left_of(worker, path, asked[0], leaves)  # what is made once
    assert not left_of(worker, path, asked[1], leaves)
    if not leaves:
        assert not left_of(worker, path, asked[1])  # told from memory, where that is on


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"model":1}', b'{"model":"gpt-4o","model":"gpt-4o"}', b"x" * 300_000])
def test_nothing_of_a_refusal_is_in_a_circle(worker, body):
    for path in (*PATHS, "/v1/nothing"):
        left_of(worker, path, body)
        assert not left_of(worker, path, body)
