"""The whole table: the simulator alone, nginx and the edge in front of it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks.load import CHAT, LOAD_CORE, SERVER_CORE, Load, Server, stream_load, wrk
from benchmarks.yardsticks import Nginx

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


def show(name: str, load: Load, rss_kib: int, yardstick: Load | None = None) -> Load:
    ratio = f"{load.cpu_us / yardstick.cpu_us:.1f}" if yardstick is not None else ""
    cells = (
        f"| {name} | {load.cpu_us:.1f} | {ratio} | {load.rate:,.0f} | {load.p50_ms:.2f} | {load.p99_ms:.2f} "
        f"| {load.errors} | {rss_kib / 1024:.0f} |"
    )
    print(cells, flush=True)
    return load


def main() -> None:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(f"`make bench`, commit {commit or 'unknown'}, {date.today()}, Python {platform.python_version()}, ", end="")
    print(f"server on core {SERVER_CORE}, load and upstream on core {LOAD_CORE}\n")
    print("| | CPU µs per unit | x nginx | units/s | p50 ms | p99 ms | errors | RSS MiB |")
    print("|---|---|---|---|---|---|---|---|")
    ready = r"simulator on (\S+)"
    alone = Server(sys.executable, "-m", "edge.simulator", "--port", "0", ready=ready)
    try:
        show("simulator alone, JSON", wrk(alone, f"{alone.match[1]}/v1/chat/completions", CHAT, {}), alone.rss_kib())
    finally:
        alone.stop()
    upstream = Server(sys.executable, "-m", "edge.simulator", "--port", "0", ready=ready, core=LOAD_CORE)
    try:
        compare(upstream.match[1])
    finally:
        upstream.stop()


def compare(upstream: str) -> None:
    """nginx and the edge in front of one upstream, row by row."""
    chat = "/v1/chat/completions"
    nginx = Nginx(upstream)
    try:
        canned = show("nginx, return 200", wrk(nginx, f"{nginx.url}/canned", CHAT, {}), nginx.rss_kib())
        proxied = show("nginx, proxy_pass, JSON", wrk(nginx, nginx.url + chat, CHAT, {}), nginx.rss_kib())
        streamed = stream_load(nginx, nginx.url + chat, STREAM, 400, 32)
        show("nginx, proxy_pass, per event", streamed, nginx.rss_kib())
    finally:
        nginx.stop()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge.json"
        provider = {"dialect": "openai", "base_url": f"{upstream}/v1", "max_connections": 256}
        path.write_text(json.dumps({"providers": {"openai": provider}, "telemetry": {"log": {"level": "warning"}}}))
        command = [sys.executable, "-m", "edge", "serve", "-c", str(path), "--port", "0"]
        edge = Server(*command, ready=r"curl (http://[^/]+)")
        try:
            url = edge.match[1] + chat
            show("edge, JSON, 4 headers", wrk(edge, url, CHAT, {}), edge.rss_kib(), proxied)
            show("edge, JSON, 16 SDK headers", wrk(edge, url, CHAT, SDK_HEADERS), edge.rss_kib(), proxied)
            show("edge, refusal (404)", wrk(edge, f"{edge.match[1]}/v1/files", CHAT, {}), edge.rss_kib(), canned)
            show("edge, stream, per event of 100", stream_load(edge, url, STREAM, 400, 32), edge.rss_kib(), streamed)
        finally:
            edge.stop()


if __name__ == "__main__":
    main()
