"""The supervisor and its children, without an edge in them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.once

SLOW_TO_BEGIN = """
import mmap, os, signal, socket, sys, time
from edge.server.children import Slot
from edge.server.supervisor import Supervisor

real = os.fork

def fork():
    pid = real()
    if pid == 0:
        time.sleep(0.5)  # as a child that is not given the processor
    else:
        print("forked", flush=True)
    return pid

class Log:
    def info(self, *args, **more): pass
    warning = error = info

class Watcher:
    def workers(self, counts): pass

class Unchanged:
    def rewritten(self): return False
    def changed(self): return False

os.fork = fork
listener = socket.create_server(("127.0.0.1", 0))
supervisor = Supervisor(
    [Slot(0, [listener])],
    lambda orders: time.sleep(30),
    Log(),
    beats=mmap.mmap(-1, mmap.PAGESIZE),
    drain_s=20,
    configuration=Unchanged(),
    worker_gone=lambda place: None,
    watcher=Watcher(),
)
sys.exit(supervisor.run())
"""


def test_a_worker_that_is_told_to_end_before_it_has_begun_ends(stalls):
    process = subprocess.Popen([sys.executable, "-c", SLOW_TO_BEGIN], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"forked\n"
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - begun < 5 + stalls.granted_s
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


GIVES_WAY = """
import mmap, socket, sys, time
from edge.server.children import Slot
from edge.server.supervisor import Supervisor

class Log:
    def info(self, event, **more): print(event, flush=True)
    warning = error = info

class Watcher:
    def workers(self, counts): pass
    def reloaded(self, well): print("reloaded", well, flush=True)

class Keys:
    def __init__(self):
        self.at = None
    def rewritten(self):
        return False
    def changed(self):
        if self.at is None:
            self.at = time.monotonic() + 1.5
            print("running", flush=True)
        if time.monotonic() < self.at:
            return False
        self.at = float("inf")
        print("changed", flush=True)
        return True
    def read(self, file):
        print("reading", flush=True)
        time.sleep(60)
        return True
    def renew(self, file):
        print("renewing", flush=True)
        return True
    def adopt(self, file):
        print("adopted", flush=True)

listener = socket.create_server(("127.0.0.1", 0))
supervisor = Supervisor(
    [Slot(0, [listener])],
    lambda orders: time.sleep(60),
    Log(),
    beats=mmap.mmap(-1, mmap.PAGESIZE),
    drain_s=20,
    configuration=Keys(),
    worker_gone=lambda place: None,
    watcher=Watcher(),
)
sys.exit(supervisor.run())
"""


@pytest.mark.slow
def test_a_reading_that_takes_long_gives_way_to_keys_that_have_changed_and_begins_anew(stalls):
    process = subprocess.Popen([sys.executable, "-c", GIVES_WAY], stdout=subprocess.PIPE, text=True)

    def until(wanted):
        seen = []
        for line in process.stdout:
            seen.append(line.strip())
            if seen[-1] == wanted:
                return seen
        raise AssertionError(f"ended without {wanted}: {seen}")

    try:
        until("running")
        process.send_signal(signal.SIGHUP)
        until("reading")
        until("changed")
        begun = time.monotonic()
        assert until("adopted")[0] == "renewing"
        assert time.monotonic() - begun < 4 + stalls.granted_s
        assert "reloaded True" in until("reading"), "what gave way is wanted still, and was not refused"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
