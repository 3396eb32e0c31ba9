"""What a test may take longer on a machine that has too much to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stalls import Stalls

pytestmark = pytest.mark.once

COMPUTES = "import time; ends = time.monotonic() + 1\nwhile time.monotonic() < ends: pass"


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not tell who waits for a core")
def test_what_those_that_were_started_wait_for_a_core_is_granted():
    """Two at each core: each of them waits half of the time."""
    cores = len(os.sched_getaffinity(0))
    with Stalls() as stalls:
        started = [subprocess.Popen([sys.executable, "-c", COMPUTES]) for _ in range(2 * cores)]
        alone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        seen = 0.0
        while any(process.poll() is None for process in started):
            seen = max(seen, stalls.granted_s)
        alone.communicate(b"\n")
    assert seen > 0.3 * cores


def test_what_was_waited_before_is_not_granted(monkeypatch):
    """Nor what is less than a thread has waited already, which is another's of the same number."""
    told = {"one": 70 * 10**9, "ended": 5, "other": 9 * 10**9}
    monkeypatch.setattr("tests.stalls.waits_ns", lambda: iter(told.items()))
    with Stalls() as stalls:
        del told["ended"]
        told |= {"one": 100 * 10**9, "new": 20 * 10**9, "other": 0}
        assert stalls.granted_s == 50.0
