"""The load test that users run, as documented, against `edge demo`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.harness import Process, clean_environment
from tests.http.test_clients import python_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/performance.md").read_text()
(COMMAND,) = re.findall(r"^locust (-f benchmarks/locustfile\.py .*)$", PAGE, re.MULTILINE)
HOST = "http://127.0.0.1:8080"
KINDS = {"chat", "message", "chat, few questions", "tools", "stream"}


def test_locust_finds_no_failure_and_tells_the_speed_of_streams():
    python = python_of("locust")
    process = Process(sys.executable, "-m", "edge", "demo", "--port", "0")
    try:
        url = process.wait_for(r"http://127\.0\.0\.1:\d+")[0]
        assert HOST in COMMAND
        command = [python, "-m", "locust", *COMMAND.replace(HOST, url).split()]
        got = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=120)
    finally:
        process.stop()
    said = got.stdout + got.stderr
    assert got.returncode == 0, said
    rows = dict(re.findall(r"^POST +(\S.*?) +(\d+) +0\(0\.00%\)", said, re.MULTILINE))
    assert rows.keys() == KINDS, said
    assert re.search(r"^SSE +time to first token +[1-9]", said, re.MULTILINE), said
    first = re.search(r"^Time to first token: p50 ([\d.]+), p95 .* ms \((\d+) streams\)$", said, re.MULTILINE)
    speed = re.search(r"^Tokens per second of a stream: p50 ([\d.]+)", said, re.MULTILINE)
    whole = re.search(r"^Tokens per second of all answers: ([\d.]+)", said, re.MULTILINE)
    assert all(found and float(found[1]) > 0 for found in (first, speed, whole)), said
    assert first[2] == rows["stream"]
    print(f"\n{sum(map(int, rows.values()))} requests, 0 failures; {first[0]}; {whole[0]}")
