"""Real Redis servers for tests: one, or a real cluster, on free ports of 127.0.0.1 in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.ports import free_port

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
                port = free_port(bus=True)
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
