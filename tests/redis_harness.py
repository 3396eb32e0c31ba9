"""Real Redis servers for tests: one, or a real cluster, on free ports of 127.0.0.1 in a folder of their own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from edge import config
from edge.cache.entry import Entry
from edge.cache.remote import RemoteCache
from edge.hooks import Usage
from edge.redis.client import RedisClient
from edge.telemetry.metrics import Metrics
from tests.harness import free_port

START_S = 30
HERE = shutil.which("redis-server") is not None and shutil.which("redis-cli") is not None


def need_redis() -> None:
    if not HERE:
        pytest.skip("redis-server is not here: apt-get install redis-server")


class RedisServer:
    """``redis-server`` with nothing on disk. `options` are its command line's, ``name value``."""

    def __init__(
        self, folder: Path, *options: str, port: int | None = None, password: str = "", tls: bool = False
    ) -> None:
        need_redis()
        self.port = port or free_port()
        self.password = password
        self.tls = tls
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir(parents=True)
        self._options = [word for option in options for word in f"--{option}".split(" ")]
        if password:
            self._options += ["--requirepass", password, "--masterauth", password]
        if tls:
            self.certificate = certificate(folder)
            own = ["--tls-cert-file", str(folder / "redis.crt"), "--tls-key-file", str(folder / "redis.key")]
            self._options += ["--port", "0", "--tls-port", str(self.port), *own]
            self._options += ["--tls-ca-cert-file", str(self.certificate), "--tls-auth-clients", "no"]
        else:
            self._options += ["--port", str(self.port)]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self.log = self.folder / "log"
        self.process = subprocess.Popen([*command, "--logfile", str(self.log), *self._options])
        deadline = time.monotonic() + START_S
        while "PONG" not in self.cli("PING"):
            assert self.process.poll() is None, f"redis-server ended: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)

    def cli(self, *command: str, timeout_s: float = 10) -> str:
        """What ``redis-cli`` prints."""
        options = ["-h", "127.0.0.1", "-p", str(self.port)]
        options += ["--tls", "--cacert", str(self.certificate)] if self.tls else []
        # A password goes by the environment: the command line of a process is for everybody to read.
        done = subprocess.run(
            ["redis-cli", *options, *command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, **({"REDISCLI_AUTH": self.password} if self.password else {})},
        )
        return (done.stdout + done.stderr).strip()

    def url(self, scheme: str = "") -> str:
        login = f":{quote(self.password)}@" if self.password else ""
        return f"{scheme or ('rediss' if self.tls else 'redis')}://{login}127.0.0.1:{self.port}"

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """``kill -9``, and wait."""
        self.process.kill()
        self.process.wait(5)

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(5)


class RedisCluster:
    """``redis-cli --cluster create`` over so many primaries, each with so many replicas."""

    def __init__(
        self, folder: Path, primaries: int = 3, replicas: int = 0, *more: str, password: str = "", tls: bool = False
    ) -> None:
        need_redis()
        self.servers: list[RedisServer] = []
        self.replicas = replicas
        options = ["cluster-enabled yes", "cluster-node-timeout 1500", "cluster-replica-validity-factor 0", *more]
        options += ["tls-cluster yes", "tls-replication yes"] if tls else []
        try:
            for _ in range(primaries * (1 + replicas)):
                port = free_cluster_port()
                self.servers.append(RedisServer(folder, *options, port=port, password=password, tls=tls))
            self._create()
        except BaseException:
            self.stop()
            raise

    def _create(self) -> None:
        places = [f"127.0.0.1:{server.port}" for server in self.servers]
        tail = ["--cluster-replicas", str(self.replicas), "--cluster-yes"]
        output = self.servers[0].cli("--cluster", "create", *places, *tail, timeout_s=60)
        assert "All 16384 slots covered" in output, output
        self.wait_until_ok(len(self.servers) if self.replicas else 0)

    def wait_until_ok(self, connected: int = 0, timeout_s: float = START_S) -> None:
        """Until every living server says so, and knows `connected` others, replicas in step."""
        deadline = time.monotonic() + timeout_s
        while True:
            alive = [server for server in self.servers if server.process.poll() is None]
            infos = [server.cli("CLUSTER", "INFO") for server in alive]
            good = all("cluster_state:ok" in info for info in infos)
            if good and connected:
                good = all(f"cluster_known_nodes:{connected}" in info for info in infos)
                links = [server.cli("INFO", "replication") for server in alive]
                good = good and all("role:master" in link or "master_link_status:up" in link for link in links)
            if good:
                return
            assert time.monotonic() < deadline, infos
            time.sleep(0.05)

    @property
    def url(self) -> str:
        return self.servers[0].url()

    def primaries(self) -> list[RedisServer]:
        return [server for server in self.servers if "role:master" in server.cli("INFO", "replication")]

    def owner(self, key: bytes) -> RedisServer:
        """The primary that has this key's slot."""
        for server in self.primaries():
            reply = server.cli("EXISTS", key.decode())
            if reply.startswith(("0", "1", "(integer)")):
                return server
        raise AssertionError("no primary has the slot")

    def signal(self, number: int) -> None:
        for server in self.servers:
            server.signal(number)

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


def free_cluster_port() -> int:
    """A port whose bus port, 10000 above, is free too."""
    while True:
        port = free_port()
        with suppress(OSError, OverflowError), socket.socket() as bus:
            bus.bind(("127.0.0.1", port + 10000))
            return port


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and localhost, and its key; its own authority."""
    path = folder / "redis.crt"
    if not path.exists():
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-keyout", str(folder / "redis.key"), "-out", str(path), "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            ],
            check=True,
            capture_output=True,
            timeout=30,
        )
    return path


@contextmanager
def stopping(*made: RedisServer | RedisCluster) -> Iterator[None]:
    try:
        yield
    finally:
        for each in made:
            each.stop()


class Lines:
    """A logger that keeps (seconds, event, fields)."""

    def __init__(self) -> None:
        self.all: list[tuple[float, str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.all.append((time.monotonic(), event, fields))

    warning = info


@dataclass
class Remote:
    """A client and a cache of it, with real metrics."""

    client: RedisClient
    cache: RemoteCache
    metrics: Metrics
    log: Lines

    def counts(self, metric: str = "edge_cache_requests_total") -> dict[str, int]:
        """By result."""
        text = self.metrics.render().decode()
        found = re.findall(rf'^{metric}{{result="(\w+)",tier="redis"}} (\S+)$', text, re.MULTILINE)
        return {name: int(float(value)) for name, value in found if float(value)}

    @property
    def writes(self) -> dict[str, int]:
        return self.counts("edge_cache_writes_total")

    async def until(self, condition: Callable[[], Any], timeout_s: float = 5.0) -> float:
        """Wait for it; the seconds that took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s: {self.log.all[-5:]}"
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def store(self, digest: bytes, body: bytes, tenant: str = "a", ttl_s: float = 60) -> None:
        """Put, and wait until that is done with."""
        before = sum(self.writes.values())
        self.cache.put(digest, tenant, entry(body, ttl_s))
        await self.until(lambda: sum(self.writes.values()) > before)


def entry(body: bytes, ttl_s: float = 60) -> Entry:
    now = time.time()
    return Entry("chat", body, (), Usage(1, 2), "openai", "gpt-4o", 5, now, now + ttl_s)


def digest_of(name: object) -> bytes:
    return sha256(str(name).encode()).digest()


@asynccontextmanager
async def remote(url: str, *, wait: bool = True, **settings: Any) -> AsyncIterator[Remote]:
    """Started; at the end everything is closed, and nothing is left: no task, no socket."""
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    section = config.Redis(url=config.Secret(url), **settings)
    metrics, log = Metrics(), Lines()
    client = RedisClient(section, metrics, log)
    cache = RemoteCache(client, section, metrics)
    made = Remote(client, cache, metrics, log)
    began = time.monotonic()
    await client.start()
    assert time.monotonic() - began < 2.2
    try:
        if wait:
            await made.until(lambda: cache.ready)
        yield made
    finally:
        await cache.close()
        await client.close()
    for _ in range(20):
        if asyncio.all_tasks() <= tasks and open_sockets() <= sockets:
            break
        await asyncio.sleep(0.01)
    assert asyncio.all_tasks() <= tasks
    assert open_sockets() <= sockets
    assert all(node.connections == 0 for node in client.nodes)


def open_sockets() -> int:
    """Sockets of this process."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += os.readlink(path).startswith("socket:")
    return count
