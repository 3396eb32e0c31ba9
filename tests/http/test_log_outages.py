"""Nothing that serves or supervises waits for a log, whatever stands behind the standard streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx2
import pytest

from tests.harness import clean_environment, free_port, providers, wait_until_ready
from tests.http.test_lifecycle import children

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


@contextmanager
def full_pipe():
    """The end to write to of a pipe that nobody reads, and that takes nothing more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


@contextmanager
def served(simulator, tmp_path, **streams):
    """An edge of two workers, without anybody who reads what it says."""
    path, port = tmp_path / "edge.json", free_port()
    path.write_text(json.dumps({"server": {"workers": 2, "drain_s": 5}, "providers": providers(simulator.url)}))
    command = [sys.executable, "-m", "edge", "serve", "-c", str(path), "--port", str(port)]
    process = subprocess.Popen(command, env=clean_environment(), **streams)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}")
        yield process, f"http://127.0.0.1:{port}", path
    finally:
        process.kill()
        process.wait()


def replaced(process, victim) -> None:
    deadline = time.monotonic() + 30
    while len(found := children(process.pid)) < 2 or victim in found:
        assert time.monotonic() < deadline, "the killed worker was not replaced"
        time.sleep(0.02)


def lives_a_full_life(stalls, process, url, path) -> None:
    """It answers, replaces a worker, reloads and ends when it is told."""
    for _ in range(5):
        assert httpx2.post(f"{url}/v1/chat/completions", json=CHAT).status_code == 200
    victim = children(process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    replaced(process, victim)
    config = json.loads(path.read_text())
    config["models"] = {"new": {"upstreams": [{"to": "openai/gpt-4o"}]}}
    path.write_text(json.dumps(config))
    process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while httpx2.get(f"{url}/v1/models/new").status_code != 200:
        assert time.monotonic() < deadline, "the new configuration is not served"
        time.sleep(0.05)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert time.monotonic() - begun < 5 + 3 + stalls.granted_s


def test_a_log_pipe_that_nobody_reads_holds_up_neither_workers_nor_their_supervisor(simulator, tmp_path, stalls):
    with full_pipe() as pipe, served(simulator, tmp_path, stdout=pipe, stderr=pipe) as edge:
        lives_a_full_life(stalls, *edge)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_with_a_full_disk_behind_its_streams_it_starts_serves_and_ends(simulator, tmp_path, stalls):
    with open("/dev/full", "w") as full, served(simulator, tmp_path, stdout=full, stderr=full) as edge:
        lives_a_full_life(stalls, *edge)


def test_with_closed_streams_it_starts_serves_and_ends(simulator, tmp_path, stalls):
    closed = (0, 1, 2)

    def close() -> None:
        for number in closed:
            os.close(number)

    with served(simulator, tmp_path, preexec_fn=close) as edge:
        process = edge[0]
        for number in closed:
            for pid in (process.pid, *children(process.pid)):
                assert os.readlink(f"/proc/{pid}/fd/{number}") == os.devnull, "no socket may have its number"
        lives_a_full_life(stalls, *edge)
