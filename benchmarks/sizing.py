"""What a machine needs: memory and descriptors for each thing that a worker holds, and Redis's memory for an answer."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.caching import run, started
from benchmarks.load import CHAT, FOUR_HEADERS, Paced
from benchmarks.process import LOAD_CORE, CannotStart, Server, pin, tree
from benchmarks.subjects import CHAT_PATH, Edge, Redis, Simulator
from benchmarks.table import Report

__all__ = ["sizing_section"]

IDLE, STREAMS, ANSWERS = 2_000, 1_000, 1_000
PACED = Paced(words=40, tps=2, at_once=STREAMS, spread_s=4.0)
"""Streams that last long enough for all of them to be there at once."""
WORDS = (20, 500)
NO_MEMORY = {"mode": "all", "memory": {"max_bytes": 0}}


def sizing_section(report: Report, seconds: float) -> None:
    """``KiB`` are resident memory of the worker or, in the last rows, of Redis's data."""
    report.section("Sizing: what one of each takes", "| | KiB | descriptors |\n|---|---|---|")
    with ExitStack() as stack:
        upstream = started(stack, Simulator)
        edge = started(stack, Edge, upstream.url)
        ask(edge.url)
        report.say(f"| a worker that has served one request | {resident_kib(edge):,} | {descriptors(edge)} |")
        held(report, edge, f"an idle connection, of {IDLE:,}", ["idle", edge.url, "hold", str(IDLE)])
    with ExitStack() as stack:
        upstream = started(stack, Simulator)
        edge = started(stack, Edge, upstream.url)
        job = {"url": edge.url + CHAT_PATH, "body": PACED.body, "headers": FOUR_HEADERS, "seconds": 0.1}
        job |= {"at_once": STREAMS, "spread_s": PACED.spread_s, "step_s": 1 / PACED.tps}
        run("streams", {**job, "at_once": 64, "body": Paced(words=5).body, "spread_s": 0.1})
        held(report, edge, f"a stream in flight, of {STREAMS:,}", ["streams", json.dumps(job)])
    for words in WORDS:
        with ExitStack() as stack:
            upstream = started(stack, Simulator)
            store = started(stack, Redis)
            edge = started(stack, partial(Edge, cache={**NO_MEMORY, "redis": {"url": store.url}}), upstream.url)
            stored(report, edge.url, store.url, words)


def held(report: Report, edge: Server, name: str, command: list[str]) -> None:
    """A row of what one of those takes that a client holds open."""
    kib, files, count = resident_kib(edge), descriptors(edge), int(re.search(r"of ([\d,]+)$", name)[1].replace(",", ""))
    client = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=pin(LOAD_CORE),
    )
    try:
        deadline = time.monotonic() + 60
        while descriptors(edge) - files < count:
            if client.poll() is not None or time.monotonic() > deadline:
                raise CannotStart(f"fewer than {count:,} connections could be opened: raise `ulimit -n`")
            time.sleep(0.1)
        time.sleep(5)
        more = descriptors(edge) - files
        report.say(f"| {name} | {(resident_kib(edge) - kib) / count:.1f} | {more / count:.1f} |")
    finally:
        client.communicate()


def stored(report: Report, edge: str, store: str, words: int) -> None:
    """A row of what an answer of so many words takes in Redis."""
    for seed in range(20):  # what the first ones leave behind is no answer's
        ask(edge, words, seed)
    settle(store, 20)
    before = used(store)
    sizes = [ask(edge, words, seed) for seed in range(20, 20 + ANSWERS)]
    settle(store, 20 + ANSWERS)
    kib = (used(store) - before) / ANSWERS / 1024
    report.say(f"| an answer of {sum(sizes) / ANSWERS / 1024:.1f} KiB in Redis | {kib:.1f} | 0 |")


def ask(url: str, words: int = 5, seed: int = 0) -> int:
    """Ask for one answer; its size."""
    chat = {**json.loads(CHAT), "model": f"sim-words-{words}", "seed": seed, "max_tokens": 4 * words}
    request = urllib.request.Request(url + CHAT_PATH, json.dumps(chat).encode(), FOUR_HEADERS)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return len(answer.read())


def worker(server: Server) -> int:
    """The one worker, which its supervisor has started last."""
    return tree(server.process.pid)[-1]


def descriptors(server: Server) -> int:
    return sum(1 for _ in Path(f"/proc/{worker(server)}/fd").iterdir())


def resident_kib(server: Server) -> int:
    """Memory in RAM, pages that the worker shares with its supervisor included."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{worker(server)}/status").read_text())[1])


def command(url: str, text: str) -> str:
    """What Redis says to an inline command."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 5) as sock:
        sock.sendall(f"{text}\r\nQUIT\r\n".encode())
        told = b""
        while data := sock.recv(65536):
            told += data
    return told.decode()


def used(store: str) -> int:
    return int(re.search(r"used_memory_dataset:(\d+)", command(store, "INFO memory"))[1])


def settle(store: str, count: int) -> None:
    """Wait until that many answers are there, since they are written behind the client's back."""
    deadline = time.monotonic() + 10
    while int(re.match(r":(\d+)", command(store, "DBSIZE"))[1]) < count:
        if time.monotonic() > deadline:
            raise CannotStart("Redis does not get the answers")
        time.sleep(0.05)
