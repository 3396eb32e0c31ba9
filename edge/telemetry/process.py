"""What a worker takes of its machine, for the metrics: by the names that Prometheus' client libraries give it
(https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics), one series a worker.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from edge.hooks import Meter

__all__ = ["PERIOD_S", "Process"]

PERIOD_S = 2.0
"""Seconds between two looks. A look takes some ten microseconds."""
PROC = Path("/proc/self")
PAGE = resource.getpagesize()


class Process:
    """One worker's; ``look`` tells `meter` how it is now. Where there is no /proc (macOS), memory and files are what
    the system tells otherwise, or not there.
    """

    def __init__(self, meter: Meter, worker: str) -> None:
        self._cpu = meter.bind("process_cpu_seconds_total", worker)
        self._resident = meter.bind("process_resident_memory_bytes", worker)
        self._virtual = meter.bind("process_virtual_memory_bytes", worker)
        self._open = meter.bind("process_open_fds", worker)
        self._most = meter.bind("process_max_fds", worker)
        self._spent = 0.0
        meter.level("process_start_time_seconds", time.time(), worker)

    def look(self) -> None:
        spent = time.process_time()
        self._cpu.tell(spent - self._spent)
        self._spent = spent
        self._most.tell(float(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
        try:
            pages = (PROC / "statm").read_bytes().split()
            self._virtual.tell(float(int(pages[0]) * PAGE))
            self._resident.tell(float(int(pages[1]) * PAGE))
            # Since Linux 6.2 the directory's size is the number of its files, and they need not be listed.
            self._open.tell(float((PROC / "fd").stat().st_size or sum(1 for _ in (PROC / "fd").iterdir()) - 1))
        except OSError:
            if sys.platform == "darwin":
                self._resident.tell(float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
