"""Answers from memory, from Redis and from another's call."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from benchmarks.load import CHAT, FOUR_HEADERS, wrk
from benchmarks.process import LOAD_CORE, Server, pin, wait_for_quiet
from benchmarks.subjects import CHAT_PATH, Edge, Redis, Simulator
from benchmarks.table import TURNS, Report, in_turns
from benchmarks.yardsticks import Nginx

__all__ = ["cache_section"]

ALL = {"mode": "all"}
NO_CACHE = {**FOUR_HEADERS, "cache-control": "no-cache"}
PROMPTS = 200
RATE = 2000
LATE = 20


def run(module: str, job: dict) -> dict:
    """What a client of its own process saw, on the load's core."""
    command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(job)]
    got = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(LOAD_CORE), check=True)
    return json.loads(got.stdout)


def started(stack: ExitStack, make, *arguments) -> Server:
    server = make(*arguments)
    stack.callback(server.stop)
    return server


def cache_section(report: Report, seconds: float) -> None:
    memory(report, seconds)
    redis(report, seconds)
    crowds(report)


def memory(report: Report, seconds: float) -> None:
    """A hit beside the cheapest answer nginx has, and what a miss costs that is stored."""
    report.section("The cache: a chat of 300 bytes, 64 connections, per request")
    with ExitStack() as stack:
        upstream = started(stack, Simulator)
        nginx = started(stack, Nginx, upstream.url)
        edge = started(stack, partial(Edge, cache=ALL), upstream.url)
        pure = started(stack, partial(Edge, cache=ALL, pure=True), upstream.url)
        canned, hit = in_turns(
            report,
            seconds,
            ("nginx, `return 200`", partial(wrk, nginx, f"{nginx.url}/canned")),
            ("edge, hit in memory", partial(wrk, edge, edge.url + CHAT_PATH)),
        )
        url = pure.url + CHAT_PATH
        report.row("edge, hit in memory, pure Python", wrk(pure, url, seconds=seconds), canned.load)
        _, miss = in_turns(
            report,
            seconds,
            ("nginx, `proxy_pass`", partial(wrk, nginx, nginx.url + CHAT_PATH)),
            ("edge, miss, its answer stored", partial(wrk, edge, edge.url + CHAT_PATH, headers=NO_CACHE)),
        )
    report.target("memory hit, CPU beside nginx's `return 200`", 1.5, hit.ratio, "x")
    report.target("miss whose answer is stored, CPU beside nginx's `proxy_pass`", 2.5, miss.ratio, "x")


def redis(report: Report, seconds: float) -> None:
    """Hits in Redis at a steady rate; memory keeps nothing."""
    title = f"Hits in Redis on loopback, {RATE:,} a second over 32 connections, {PROMPTS} prompts"
    report.section(
        f"{title}; of {TURNS} turns the one with the median p99",
        "| | asked | failed | p50 ms | p99 ms | p99.9 ms |\n|---|---|---|---|---|---|",
    )
    chat = json.loads(CHAT)
    bodies = [json.dumps({**chat, "seed": seed}) for seed in range(PROMPTS)]
    with ExitStack() as stack:
        upstream = started(stack, Simulator)
        store = started(stack, Redis)
        cache = {"mode": "all", "memory": {"max_bytes": 0}, "redis": {"url": store.url}}
        edge = started(stack, partial(Edge, cache=cache), upstream.url)
        nginx = started(stack, Nginx, upstream.url)
        job = {"url": edge.url + CHAT_PATH, "bodies": bodies, "connections": 32}
        run("steady", {**job, "rate": 200, "seconds": 2 * PROMPTS / 200})
        job |= {"rate": RATE, "seconds": max(1.0, seconds / 2)}
        before = ledger(upstream)
        rows = []
        # What the machine and the load are capable of is in the first row.
        subjects = (("nginx, `return 200`", f"{nginx.url}/canned"), ("edge", job["url"]))
        turns = [[steady({**job, "url": url}) for _, url in subjects] for _ in range(TURNS)]
        for place, (subject, _) in enumerate(subjects):
            # What the machine does to one turn is in its p99, and in no other's.
            found = sorted([turn[place] for turn in turns], key=lambda each: each["ms"][1])[TURNS // 2]
            p50, p99, p999 = found["ms"]
            rows.append(f"| {subject} | {found['asked']:,} | {found['failed']} | {p50:.2f} | {p99:.2f} | {p999:.2f} |")
        failed = sum(turn[1]["failed"] for turn in turns)
        asked_for = ledger(upstream) - before
    report.say("\n".join(rows))
    report.target("hits in Redis, asked of the upstream instead", 0, asked_for, "")
    report.target("hits in Redis, failed", 0, failed, "")
    report.target("hit in Redis, p50", 0.5, p50, "ms")
    report.target("hit in Redis, p99", 1.0, p99, "ms")


def steady(job: dict) -> dict:
    wait_for_quiet()
    return run("steady", job)


def crowds(report: Report) -> None:
    """Identical streams at once, of which twenty come when half of the answer is there."""
    report.section(
        f"Identical streams of 100 events, 50 a second, and of {LATE} more that begin in the middle",
        "| at once | upstream calls | complete | late ones' first byte, p50 ms | p99 ms |\n|---|---|---|---|---|",
    )
    with ExitStack() as stack:
        upstream = started(stack, Simulator)
        edge = started(stack, partial(Edge, cache=ALL), upstream.url)
        for crowd, limit_ms in ((20, 1.0), (500, 10.0)):
            before = ledger(upstream)
            body = {**json.loads(CHAT), "model": "sim-words-97-tps-50", "stream": True, "seed": crowd}
            job = {"url": edge.url + CHAT_PATH, "body": json.dumps(body)}
            wait_for_quiet()
            at = time.time() + 1
            with ThreadPoolExecutor() as both:
                early = both.submit(run, "crowd", {**job, "clients": crowd, "at": at, "step_s": 0})
                late = both.submit(run, "crowd", {**job, "clients": LATE, "at": at + 0.8, "step_s": 0.02})
            complete = early.result()["complete"] + late.result()["complete"]
            calls = ledger(upstream) - before
            p50, p99 = late.result()["first_ms"]
            report.say(f"| {crowd} | {calls} | {complete} of {crowd + LATE} | {p50:.2f} | {p99:.2f} |")
            report.target(f"{crowd} identical streams, upstream calls", 1, calls, "")
            report.target(f"{crowd} identical streams, late one's first byte, p99", limit_ms, p99, "ms")


def ledger(upstream: Server) -> int:
    """How many requests the upstream has had."""
    with urllib.request.urlopen(f"{upstream.url}/ledger?since=1000000000", timeout=5) as answer:
        return json.load(answer)["count"]
