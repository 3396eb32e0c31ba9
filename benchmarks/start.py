"""How long it takes until an edge serves, and the memory of its worker before anybody has asked it anything."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.process import START_S, CannotStart, answers, tree, tree_cpu_s
from benchmarks.subjects import free_port
from benchmarks.table import Report

__all__ = ["start_section"]

TURNS = 5
MOST_IMPORT_MS, MOST_READY_MS, MOST_RSS_MIB = 150, 1000, 43
IMPORT = """
import time
begun, busy = time.perf_counter(), time.process_time()
import edge.cli
print(1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - busy))
"""


def start_section(report: Report, seconds: float) -> None:
    """Medians of five starts, whatever `seconds` are."""
    report.section("Start", "| | ms | CPU ms | RSS MiB | of which files |\n|---|---|---|---|---|")
    imports = [imported() for _ in range(TURNS)]
    took, busy = (median(column) for column in zip(*imports, strict=True))
    report.say(f"| `import edge.cli` | {took:.0f} | {busy:.0f} | | |")
    report.target("import of edge.cli", MOST_IMPORT_MS, took, "ms")
    starts = [started() for _ in range(TURNS)]
    took, busy, rss, files = (median(column) for column in zip(*starts, strict=True))
    report.say(f"| `edge serve`, until its worker is ready | {took:.0f} | {busy:.0f} | {rss:.1f} | {files:.1f} |")
    report.target("edge serve is ready", MOST_READY_MS, took, "ms")
    report.target("memory of a worker at its start", MOST_RSS_MIB, rss, "MiB")


def imported() -> tuple[float, float]:
    """Milliseconds, and those of CPU."""
    told = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout
    took, busy = map(float, told.split())
    return took, busy


def started() -> tuple[float, float, float, float]:
    """Milliseconds until it is ready, those of CPU, and the MiB of its worker, and of them those of files."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge.json"
        provider = {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1"}
        path.write_text(json.dumps({"providers": {"openai": provider}, "telemetry": {"log": {"level": "error"}}}))
        begun = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "edge", "serve", "-c", str(path), "--port", str(port)], stdout=subprocess.DEVNULL
        )
        try:
            while not answers(f"http://127.0.0.1:{port}/health/ready"):
                if process.poll() is not None or time.monotonic() > begun + START_S:
                    raise CannotStart("edge serve did not get ready")
                time.sleep(0.005)
            took, busy = time.monotonic() - begun, tree_cpu_s(process.pid)
            worker = next(pid for pid in tree(process.pid) if pid != process.pid)
            status = Path(f"/proc/{worker}/status").read_text()
            rss, files = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("VmRSS", "RssFile"))
            return 1000 * took, 1000 * busy, rss, files
        finally:
            process.terminate()
            process.wait(START_S)
