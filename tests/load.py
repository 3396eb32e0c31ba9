"""A steady load from threads, and what became of each request."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from dataclasses import dataclass, field

from tests.harness import Client

SAID = [{"role": "user", "content": "hi"}]
CHAT = json.dumps({"model": "gpt-4o", "messages": SAID}).encode()
STREAM = json.dumps({"model": "sim-words-40-tps-20", "messages": SAID, "stream": True}).encode()


@dataclass
class Swarm:
    """`askers` threads that ask over kept connections at `rate` in all, `streamers` that read streams of two seconds.

    A refused connection is not a failure (nothing was accepted); it ends the thread when ``ending`` is set.
    """

    port: int
    askers: int = 8
    streamers: int = 8
    rate: float = 100
    answered: int = 0
    streamed: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Swarm:
        targets = [self._ask] * self.askers + [self._stream] * self.streamers
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def done(self) -> int:
        return self.answered + self.streamed

    def _connect(self) -> Client | None:
        try:
            return Client(self.port)
        except ConnectionRefusedError:
            self.refused += 1
            time.sleep(0.05)
            return None

    def _ask(self) -> None:
        client: Client | None = None
        pause = self.askers / self.rate
        while not self.ending.is_set():
            if client is None:
                client = self._connect()
                continue
            try:
                client.post("/v1/chat/completions", CHAT)
                status, headers = client.head()
                client.body(headers)
                if status == 200:
                    self.answered += 1
                else:
                    self.failures.append(f"status {status}")
                if headers.get("connection") == "close":
                    client.sock.close()
                    client = None
            except (OSError, AssertionError) as error:
                self.failures.append(f"{type(error).__name__}: {error}"[:200])
                client.sock.close()
                client = None
            time.sleep(pause * random.random() * 2)
        if client is not None:
            client.sock.close()

    def _stream(self) -> None:
        while not self.ending.is_set():
            client = self._connect()
            if client is None:
                continue
            try:
                with client:
                    client.post("/v1/chat/completions", STREAM)
                    status, headers = client.head()
                    body = client.body(headers)
                if status == 200 and body.endswith(b"data: [DONE]\n\n"):
                    self.streamed += 1
                else:
                    self.failures.append(f"stream: status {status}, ends {body[-120:]!r}")
            except (OSError, AssertionError) as error:
                self.failures.append(f"stream: {type(error).__name__}: {error}"[:200])


def answers_within(port: int, seconds: float) -> float:
    """Seconds until a fresh connection gets an answer; fails after `seconds`."""
    begun = time.monotonic()
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
                sock.sendall(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                if sock.recv(100).startswith(b"HTTP/1.1 200"):
                    return time.monotonic() - begun
        except OSError:
            pass
        assert time.monotonic() - begun < seconds, "no answer in time"
        time.sleep(0.005)
