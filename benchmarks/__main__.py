"""The whole table: the simulator alone, then the edge in front of it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks.load import CHAT, LOAD_CORE, SERVER_CORE, Load, Server, stream_load, wrk

STREAM = json.dumps({**json.loads(CHAT), "stream": True, "model": "sim-words-98-tps-200", "max_tokens": 200})
SDK_HEADERS = {
    "accept": "application/json",
    "accept-language": "*",
    "user-agent": "OpenAI/Python 3.54.0",
    "authorization": "Bearer sk-benchmark-benchmark",
    "x-stainless-lang": "python",
    "x-stainless-package-version": "3.54.0",
    "x-stainless-os": "Linux",
    "x-stainless-arch": "x64",
    "x-stainless-runtime": "CPython",
    "x-stainless-runtime-version": "3.11.7",
    "x-stainless-async": "false",
    "x-stainless-retry-count": "0",
    "x-stainless-read-timeout": "600",
}


def show(name: str, load: Load, rss_kib: int) -> None:
    cells = (
        f"| {name} | {load.cpu_us:.1f} | {load.rate:,.0f} | {load.p50_ms:.2f} | {load.p99_ms:.2f} | {load.errors} "
        f"| {rss_kib / 1024:.0f} |"
    )
    print(cells, flush=True)


def main() -> None:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(f"`make bench`, commit {commit or 'unknown'}, {date.today()}, Python {platform.python_version()}, ", end="")
    print(f"server on core {SERVER_CORE}, load and upstream on core {LOAD_CORE}\n")
    print("| | CPU µs per unit | units/s | p50 ms | p99 ms | errors | RSS MiB |")
    print("|---|---|---|---|---|---|---|")
    ready = r"simulator on (\S+)"
    alone = Server(sys.executable, "-m", "edge.simulator", "--port", "0", ready=ready)
    try:
        show("simulator alone, JSON", wrk(alone, f"{alone.match[1]}/v1/chat/completions", CHAT, {}), alone.rss_kib())
    finally:
        alone.stop()
    upstream = Server(sys.executable, "-m", "edge.simulator", "--port", "0", ready=ready, core=LOAD_CORE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge.json"
        provider = {"dialect": "openai", "base_url": f"{upstream.match[1]}/v1", "max_connections": 256}
        path.write_text(json.dumps({"providers": {"openai": provider}, "telemetry": {"log": {"level": "warning"}}}))
        command = [sys.executable, "-m", "edge", "serve", "-c", str(path), "--port", "0"]
        edge = Server(*command, ready=r"curl (http://[^/]+)")
        try:
            url = f"{edge.match[1]}/v1/chat/completions"
            show("edge, JSON, 4 headers", wrk(edge, url, CHAT, {}), edge.rss_kib())
            show("edge, JSON, 16 SDK headers", wrk(edge, url, CHAT, SDK_HEADERS), edge.rss_kib())
            show("edge, refusal (404)", wrk(edge, f"{edge.match[1]}/v1/files", CHAT, {}), edge.rss_kib())
            show("edge, stream, per event of 100", stream_load(edge, url, STREAM, 400, 32), edge.rss_kib())
        finally:
            edge.stop()
            upstream.stop()


if __name__ == "__main__":
    main()
