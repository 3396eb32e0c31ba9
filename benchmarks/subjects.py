"""The edge, its simulator and Redis as processes under measurement."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import urllib.request
from hashlib import sha256
from pathlib import Path

from benchmarks.process import LOAD_CORE, SERVER_CORE, CannotStart, Server

__all__ = ["CHAT_PATH", "Edge", "Redis", "Simulator", "free_port"]

CHAT_PATH = "/v1/chat/completions"
ASKING = "sk-benchmark-benchmark"
DIGEST = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
"""Of a key that no load sends."""
AMPLE = {
    "requests_per_minute": 1_000_000_000,
    "concurrency": 1_000_000,
    "tokens_per_minute": 1_000_000_000,
    "budget": {"usd": 1_000_000, "per": "day"},
}
"""Limits that are kept count of, and that no load comes to."""


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Simulator(Server):
    """On the load's core as an upstream; alone on the servers' core to be measured itself."""

    def __init__(self, *, alone: bool = False) -> None:
        command = [sys.executable, "-m", "edge.simulator", "--port", "0"]
        super().__init__(*command, ready=r"simulator on (\S+)", core=SERVER_CORE if alone else LOAD_CORE)
        self.url = self.match[1]

    def script(self, plan: str) -> None:
        """Answer every chat by this plan from now on; "" ends that."""
        body = json.dumps({"plan": plan, "path": CHAT_PATH}).encode() if plan else None
        request = urllib.request.Request(f"{self.url}/script", body, method="POST" if plan else "DELETE")
        urllib.request.urlopen(request, timeout=5).close()


class Redis(Server):
    """An empty server that keeps nothing on disk, on the load's core."""

    def __init__(self) -> None:
        if shutil.which("redis-server") is None:
            raise CannotStart("redis-server is needed (Debian: apt-get install redis-server)")
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}"
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        super().__init__(*command, ready="Ready to accept connections", core=LOAD_CORE)


class Edge(Server):
    """One worker in front of `upstream` (a URL): compiled or pure, open or with keys."""

    def __init__(
        self,
        upstream: str,
        *,
        pure: bool = False,
        keys: bool = False,
        full: bool = False,
        cache: dict | None = None,
        models: dict | None = None,
    ) -> None:
        """`cache` and `models` are the configuration's sections; a name that is no alias goes to ``openai``. `full`: a
        key with limits of every kind, a log line for each request, and prices.
        """
        provider = {"dialect": "openai", "base_url": f"{upstream}/v1", "max_connections": 2048}
        config = {"providers": {"openai": provider}, "telemetry": {"log": {"level": "warning"}}}
        if cache is not None:
            config["cache"] = cache
        if models is not None:
            config["models"] = models
        if full:
            provider["priced_as"] = "openai"
            config["telemetry"]["log"]["level"] = "info"
            key = {"id": "asks", "tenant": "t", "digests": [f"sha256:{sha256(ASKING.encode()).hexdigest()}"], **AMPLE}
            config["auth"] = {"keys": [key]}
        if keys:
            config["auth"] = {"keys": [{"id": "nobody", "digests": [DIGEST]}], "failures_per_minute": 1_000_000}
        # As long as the edge has its files there.
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        config["limits"] = {"file": f"{self._folder.name}/spend.sqlite"}
        path = Path(self._folder.name) / "edge.json"
        path.write_text(json.dumps(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "edge", "serve", "-c", str(path), "--port", str(port)]
        env = {"EDGE_PURE_PYTHON": "1" if pure else ""}
        super().__init__(*command, health=f"{self.url}/health", env=env)
