"""Other gateways, as their quick-starts start them: ``make bench-peers`` installs them under .venv/peers.

Each stands in front of the same upstream, pinned to one core, with one worker, limits out of the way and logs quiet.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import FOUR_HEADERS
from benchmarks.process import CannotStart, Server
from benchmarks.subjects import free_port

__all__ = ["FOLDER", "PACKAGES", "Peer", "install", "peers"]

FOLDER = Path(__file__).parents[1] / ".venv" / "peers"
PACKAGES = {
    "ferrogw": "ferrogw",
    "smg": "smg",
    "vllm-router": "vllm-router",
    # Releases known to be compromised are left out.
    "litellm": "litellm[proxy]!=1.82.7,!=1.82.8,!=1.107.0",
}
"""Environment: what pip installs into it."""
PORTKEY = "@portkey-ai/gateway"
KEY = "sk-benchmark-0123456789abcdef0123456789abcdef"
START_S = 60.0


@dataclass
class Peer:
    """``command`` makes, from a port, an upstream and a folder for files, what to start, and with which environment."""

    name: str
    command: Callable[[int, str, Path], tuple[list[str], dict[str, str]]]
    version: Callable[[], str]
    health: str = "/health"
    extra_headers: Callable[[str], dict[str, str]] = field(default=lambda upstream: {})

    @property
    def title(self) -> str:
        return f"{self.name} {self.version()}"

    def headers(self, upstream: str) -> dict[str, str]:
        return {**FOUR_HEADERS, "authorization": f"Bearer {KEY}", **self.extra_headers(upstream)}

    def start(self, upstream: str) -> PeerServer:
        """Raises CannotStart."""
        return PeerServer(self, upstream)


class PeerServer(Server):
    def __init__(self, peer: Peer, upstream: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edge-peer-", ignore_cleanup_errors=True)
        folder, port = self._folder.name, free_port()
        self.url = f"http://127.0.0.1:{port}"
        command, env = peer.command(port, upstream, Path(folder))
        if not peer.version() or shutil.which(command[0]) is None:
            raise CannotStart("not installed (`make bench-peers`)")
        # Some keep state in the home folder; none of it is to outlive the run.
        super().__init__(*command, health=self.url + peer.health, env={"HOME": folder, **env}, start_s=START_S)

    def stop(self) -> None:
        super().stop()
        self._folder.cleanup()


def pip_version(name: str) -> Callable[[], str]:
    def read() -> str:
        found = [path.name for path in (FOLDER / name).glob("lib/python*/site-packages/*.dist-info")]
        match = [re.match(rf"{name.replace('-', '_')}-([\w.]+)\.dist-info", path) for path in found]
        return next((each[1] for each in match if each), "")

    return read


def npm_version() -> str:
    path = FOLDER / "portkey" / "node_modules" / PORTKEY / "package.json"
    return json.loads(path.read_text())["version"] if path.exists() else ""


def ferrogw(port: int, upstream: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    path = folder / "config.yaml"
    path.write_text("strategy: {mode: single}\ntargets: [{virtual_key: openai}]\n")
    env = {
        "GATEWAY_CONFIG": str(path),
        "PORT": str(port),
        "OPENAI_API_KEY": "sk-unused",
        "OPENAI_BASE_URL": upstream,
        "MASTER_KEY": KEY,
        # Its limit for each client address would answer 429.
        "RATE_LIMIT_RPS": "10000000",
        "RATE_LIMIT_BURST": "10000000",
        "LOG_LEVEL": "error",
    }
    return [str(FOLDER / "ferrogw/bin/ferrogw"), "serve"], env


def smg(port: int, upstream: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    command = [str(FOLDER / "smg/bin/smg"), "launch", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--worker-urls", upstream, "--backend", "openai", "--log-level", "error"]
    return [*command, "--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())], {}


def vllm_router(port: int, upstream: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    command = [str(FOLDER / "vllm-router/bin/vllm-router"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--worker-urls", upstream, "--policy", "round_robin", "--log-level", "error"]
    return [*command, "--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())], {}


def litellm(port: int, upstream: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    path = folder / "config.yaml"
    model = {"model": "openai/*", "api_base": f"{upstream}/v1", "api_key": "sk-unused"}
    # Its YAML reader takes JSON.
    path.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": "*", "litellm_params": model}],
                "general_settings": {"master_key": KEY},
            }
        )
    )
    command = [str(FOLDER / "litellm/bin/litellm"), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--num_workers", "1"], {"LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}


def portkey(port: int, upstream: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    script = FOLDER / "portkey" / "node_modules" / PORTKEY / "build" / "start-server.js"
    return ["node", str(script), f"--port={port}", "--headless"], {}


def portkey_headers(upstream: str) -> dict[str, str]:
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"}


def peers() -> Iterator[Peer]:
    yield Peer("ferrogw", ferrogw, pip_version("ferrogw"), health="/readyz")
    yield Peer("smg", smg, pip_version("smg"))
    yield Peer("vllm-router", vllm_router, pip_version("vllm-router"))
    yield Peer("Portkey gateway", portkey, npm_version, health="/", extra_headers=portkey_headers)
    yield Peer("LiteLLM proxy", litellm, pip_version("litellm"), health="/health/liveliness")


def install() -> None:
    """Install what can be installed; say what cannot."""
    for name, package in PACKAGES.items():
        python = str(FOLDER / name / "bin" / "python")
        try:
            subprocess.run([sys.executable, "-m", "venv", str(FOLDER / name)], check=True)
            # An older pip takes very long to find versions of LiteLLM's dependencies that go together.
            subprocess.run([python, "-m", "pip", "install", "-q", "--upgrade", "pip>=25.1"], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", package], check=True)
        except subprocess.CalledProcessError:
            print(f"{name}: not installed")
        else:
            print(f"{name} {pip_version(name)()}")
    command = ["npm", "install", "--silent", "--prefix", str(FOLDER / "portkey"), PORTKEY]
    if shutil.which("npm") is None or subprocess.run(command).returncode:
        print("Portkey gateway: not installed (it needs node and npm)")
    else:
        print(f"Portkey gateway {npm_version()}")


if __name__ == "__main__":
    install()
