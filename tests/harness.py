"""Real processes and sockets for tests: the edge, its simulator, and an upstream that answers what a test says."""

from __future__ import annotations

import atexit
import json
import os
import queue
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx2

from tests.forked import Forked, can_be_forked
from tests.listening import Listening, read_head
from tests.ports import free_port

START_S = 60
"""Bounds of what is waited for: a machine with more to do than it can keeps them, and no test takes longer for them."""
WAIT_S = 30


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would configure an edge."""
    left_out = ("OPENAI_", "ANTHROPIC_", "EDGE_CONFIG", "STATE_DIRECTORY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "XDG_STATE_HOME": state_home(), **extra}


@lru_cache(maxsize=1)
def state_home() -> str:
    """Where an edge keeps what it spent, if nothing else is said: not among what the user's own edge has spent."""
    folder = tempfile.mkdtemp(prefix="edge-state-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Process:
    """A child whose output is collected while it runs, so that no pipe fills up.

    An edge or simulator is forked by a process that has imported it, if nothing forbids (`can_be_forked`). Whose test is
    about the start itself, or about memory, is started as by users: it is not `forked`.
    """

    def __init__(
        self, *command: str, env: dict[str, str] | None = None, cwd: Path | None = None, forked: bool = True
    ) -> None:
        env = env or clean_environment()
        self.process = (
            Forked(command, env, cwd)
            if forked and can_be_forked(command, env)
            else subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=env,
                cwd=cwd,
            )
        )
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._new.put(line)
        self._new.put(None)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, pattern: str, timeout_s: float = START_S) -> re.Match[str]:
        """The first line that matches, also one that is already here."""
        deadline = time.monotonic() + timeout_s
        seen = 0
        while True:
            while seen < len(self.lines):
                if match := re.search(pattern, self.lines[seen]):
                    return match
                seen += 1
            try:
                line = self._new.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line matches {pattern!r} in {timeout_s} s:\n{self.output}") from None
            if line is None and seen >= len(self.lines):
                raise AssertionError(f"the process ended without a line like {pattern!r}:\n{self.output}")

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 15) -> int:
        """Signal, wait, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
                raise AssertionError(f"the process did not end within {timeout_s} s:\n{self.output}") from None
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        return self.process.returncode


class Simulator:
    def __init__(self, *arguments: str, module: str = "edge.simulator") -> None:
        self.process = Process(sys.executable, "-m", module, "--port", "0", *arguments)
        self.url = self.process.wait_for(r"simulator on (\S+)")[1]

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        return httpx2.get(f"{self.url}/ledger?since={since}").json()["entries"]

    def count(self) -> int:
        """The number of the latest entry."""
        return httpx2.get(f"{self.url}/ledger?since=1000000000").json()["count"]

    def entry(self, since: int, ready: Callable[[dict], bool] = bool, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """The first entry after `since`, once it is `ready`."""
        deadline = time.monotonic() + timeout_s
        while True:
            entries = self.ledger(since)
            if entries and ready(entries[0]):
                return entries[0]
            if time.monotonic() > deadline:
                raise AssertionError(f"the ledger shows nothing of the kind: {entries}")
            time.sleep(0.01)


class Edge:
    """``edge serve`` with a configuration file of its own."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *arguments: str,
        env: dict[str, str] | None = None,
        verify: ssl.SSLContext | None = None,
        front: str = "lane",
        ending: str = "json",
        program: tuple[str, ...] = (sys.executable, "-m", "edge"),
        start_s: float = START_S,
        forked: bool = True,
    ) -> None:
        """`ending` is that of the file's name, which tells how it is read; JSON is YAML too. `program` may be that of
        another tree. `forked` as `Process` has it.
        """
        self.path = folder / f"edge-{time.monotonic_ns()}.{ending}"
        env = {**(env or clean_environment()), "EDGE_FRONT": front}
        if env.get("XDG_STATE_HOME") == state_home():
            env["XDG_STATE_HOME"] = str(self.path.with_suffix(".state"))  # a file of what was spent is one edge's
        self.path.write_text(json.dumps(config))
        # The log tells where it listens, unless it is told to be silent.
        silent = config.get("telemetry", {}).get("log", {}).get("level") in ("warning", "error")
        port = free_port() if silent else 0
        self.process = Process(
            *program,
            "serve",
            "-c",
            str(self.path),
            "--port",
            str(port),
            *arguments,
            env=env,
            forked=forked,
        )
        try:
            if silent:
                self.url = f"{'https' if config.get('server', {}).get('tls') else 'http'}://127.0.0.1:{port}"
            else:
                self.url = self.process.wait_for(r'"address":"(https?://[^"]+)"', start_s)[1]
            self.port = int(self.url.rpartition(":")[2])
            wait_until_ready(self.url, verify, start_s)
        except AssertionError:
            self.process.stop(signal.SIGKILL)
            raise


def wait_until_ready(url: str, verify: ssl.SSLContext | None = None, start_s: float = START_S) -> None:
    """`verify` is how an https address is met."""
    deadline = time.monotonic() + start_s
    while True:
        try:
            if httpx2.get(f"{url}/health/ready", verify=verify or True).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"{url} did not get ready")
        time.sleep(0.02)


@contextmanager
def running(*made: Any) -> Iterator[None]:
    """Stop what was made, in reverse order."""
    try:
        yield
    finally:
        for each in reversed(made):
            each.process.stop()


PATIENT = {"retries": 0, "breaker": {"failures": 1_000_000}}
"""Settings of ``resilience`` for an edge that many tests share: what one has an upstream do says nothing to the next, and
each upstream is asked once."""


def providers(url: str, **more: Any) -> dict[str, Any]:
    """Both dialects at one address."""
    return {
        "openai": {"dialect": "openai", "base_url": f"{url}/v1", "api_keys": ["sk-upstream-openai"], **more},
        "anthropic": {"dialect": "anthropic", "base_url": f"{url}/v1", "api_keys": ["sk-upstream-anthropic"], **more},
    }


@dataclass
class Seen:
    """One request as an upstream received it, to the byte."""

    head: bytes
    body: bytes

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.split(b"\r\n")[1:]
        return [
            (name.decode().lower(), value.strip().decode("latin-1"))
            for name, _, value in (line.partition(b":") for line in lines)
        ]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


def until(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answer(body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\n{extra}content-length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body


MINIMAL = {
    "messages": b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn"}',
    "responses": b'{"id":"resp_1","object":"response","status":"completed","output":[]}',
    "embeddings": b'{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5]}]}',
    "completions": b'{"id":"c","object":"text_completion","choices":[{"index":0,"text":"a","finish_reason":"stop"}]}',
    "chat/completions": (
        b'{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",'
        b'"message":{"role":"assistant","content":"a"}}]}'
    ),
}
"""The least that is an answer, by the route. It tells no usage."""


def minimal(seen, _connection=None) -> bytes:
    """The least answer to what was asked: a `Canned.reply`."""
    path = seen.target.partition("?")[0].removeprefix("/v1/")
    return answer(MINIMAL.get(path, MINIMAL["chat/completions"]))


def chunked(pieces: list[bytes], content_type: str = "text/event-stream", end: bool = True) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return head + body + (b"0\r\n\r\n" if end else b"")


@dataclass
class Canned(Listening):
    """An upstream that answers each request with ``reply``: bytes, or a function of the request that may also use the
    connection itself and return None. The connection is closed after each answer if ``closes``."""

    reply: bytes | Callable[[Seen, socket.socket], bytes | None] = b""
    closes: bool = False
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.listen()

    def converse(self, connection: socket.socket) -> None:
        buffer = b""
        while (found := read_head(connection, buffer)) is not None:
            head, buffer = found
            match = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            size = int(match[1]) if match else 0
            while len(buffer) < size:
                data = connection.recv(65536)
                if not data:
                    return
                buffer += data
            seen = Seen(head, buffer[:size])
            buffer = buffer[size:]
            self.seen.append(seen)
            reply = self.reply(seen, connection) if callable(self.reply) else self.reply
            if reply is None:
                return
            connection.sendall(reply)
            if self.closes:
                return


class Scripted(Canned):
    """An upstream that answers as ``script`` says for the model that it is asked for; what is not there gets a 500."""

    def __init__(self) -> None:
        self.script: dict[str, bytes | Callable[[Seen, socket.socket], bytes | None]] = {}
        super().__init__(self._by_model)

    def _by_model(self, seen: Seen, connection: socket.socket) -> bytes | None:
        reply = self.script.get(json.loads(seen.body)["model"], answer(b"{}", 500))
        return reply(seen, connection) if callable(reply) else reply

    def asked_for(self, model: str) -> int:
        """How often."""
        return sum(json.loads(seen.body)["model"] == model for seen in self.seen)


def in_pieces(*pieces: bytes | float, end: bool = True) -> Callable[[Seen, socket.socket], bytes | None]:
    """A stream as it is written: chunks, and the seconds between them. Without `end` the connection just ends."""

    def reply(_: Seen, connection: socket.socket) -> bytes | None:
        connection.sendall(chunked([], end=False))
        for piece in pieces:
            if isinstance(piece, bytes):
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                time.sleep(piece)
        return b"0\r\n\r\n" if end else None

    return reply


class Client:
    """A raw HTTP/1.1 connection, for what no well-behaved client can do."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection((host, port), timeout=WAIT_S)
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def post(self, path: str, body: bytes, *headers: str) -> None:
        lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json", *headers]
        self.send("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode("latin-1") + body)

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`."""
        while mark not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise AssertionError(f"the connection ended before {mark!r}: {self.buffer!r}")
            self.buffer += data
        part, found, self.buffer = self.buffer.partition(mark)
        return part + found

    def head(self) -> tuple[int, dict[str, str]]:
        """The status and headers of the next answer."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), headers

    def body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            size = int(headers["content-length"])
            while len(self.buffer) < size:
                data = self.sock.recv(65536)
                if not data:
                    raise AssertionError(f"the connection ended inside the body: {self.buffer!r}")
                self.buffer += data
            body, self.buffer = self.buffer[:size], self.buffer[size:]
            return body
        body = b""
        while True:
            size = int(self.read_until(b"\r\n"), 16)
            chunk = self.exactly(size + 2)[:-2]
            if not size:
                return body
            body += chunk

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        while data := self.sock.recv(65536):
            self.buffer += data
        data, self.buffer = self.buffer, b""
        return data

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise AssertionError(f"the connection ended before {size} bytes: {self.buffer!r}")
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def reset(self) -> None:
        """Leave with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()
