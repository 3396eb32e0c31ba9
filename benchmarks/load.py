"""Load on a server, and what it cost: wrk for JSON, ``benchmarks.streams`` for streams."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from benchmarks.process import LOAD_CORE, CannotStart, Server, Watch, pin, wait_for_quiet

__all__ = ["CHAT", "FOUR_HEADERS", "SIXTEEN_HEADERS", "Load", "Paced", "streams", "wrk"]

CHAT = json.dumps(
    {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant that answers briefly."},
            {"role": "user", "content": "What is the tallest mountain between the two seas, and who climbed it first?"},
        ],
        "temperature": 0.7,
        "max_tokens": 100,
    }
)
FOUR_HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-benchmark-benchmark"}
"""With host and content-length, which wrk writes, four."""
SIXTEEN_HEADERS = {
    **FOUR_HEADERS,
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "user-agent": "OpenAI/Python 3.54.0",
    "x-stainless-lang": "python",
    "x-stainless-package-version": "3.54.0",
    "x-stainless-os": "Linux",
    "x-stainless-arch": "x64",
    "x-stainless-runtime": "CPython",
    "x-stainless-runtime-version": "3.11.7",
    "x-stainless-async": "false",
    "x-stainless-retry-count": "0",
    "x-stainless-read-timeout": "600",
}
"""What OpenAI's SDK sends; with host and content-length, sixteen."""
REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nREPORT {"requests": %d, "us": %d, "p50": %f, "p99": %f, "p999": %f, "failed": %d, "refused": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
"""


@dataclass(frozen=True)
class Load:
    """``cpu_us`` is the server's per unit (a request, or an event of a stream); latencies in milliseconds.

    For streams the latencies are the times to the first content, and ``late_ms`` says how late the events came after
    that, in order: p50, p99, p99.9.
    """

    units: int
    seconds: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    errors: int
    rss_kib: int
    load_core: float
    """How busy the core of the load and the upstream was, as a share: near 1, that core was the limit."""
    others: float
    """What other processes took of the machine meanwhile, in cores."""
    late_ms: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.units / self.seconds

    @property
    def server_core(self) -> float:
        """How busy the server kept its core, as a share."""
        return self.cpu_us * self.rate / 1e6


def wrk(
    server: Server,
    url: str,
    *,
    seconds: float,
    headers: dict[str, str] | None = None,
    refused: bool = False,
    connections: int = 64,
    body: str = CHAT,
) -> Load:
    """Post `body` to one URL for some seconds after a warm-up; with `refused`, a status below 400 is an error."""
    if shutil.which("wrk") is None:
        raise CannotStart("wrk is needed (Debian: apt-get install wrk)")
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(body)}"]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in (headers or FOUR_HEADERS).items()]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join(lines) + REPORT)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", "--timeout", "10s", "-s", script.name]
        subprocess.run([*command, "-d1", url], capture_output=True, preexec_fn=pin(LOAD_CORE), check=True)
        server.settle()
        wait_for_quiet()
        before, watch = server.cpu_s(), Watch()
        command = [*command, f"-d{max(1, round(seconds))}", url]
        got = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(LOAD_CORE), check=True)
        cpu_s, load_core, others = server.cpu_s() - before, watch.load_core(), watch.others()
    found = json.loads(re.search(r"^REPORT (.*)$", got.stdout, re.MULTILINE)[1])
    requests = max(1, found["requests"])
    p50, p99, p999 = (found[name] / 1000 for name in ("p50", "p99", "p999"))
    wrong = requests - found["refused"] if refused else found["refused"]
    return Load(
        requests,
        found["us"] / 1e6,
        cpu_s / requests * 1e6,
        p50,
        p99,
        p999,
        errors=found["failed"] + wrong,
        rss_kib=server.rss_kib(),
        load_core=load_core,
        others=others,
    )


@dataclass(frozen=True)
class Paced:
    """Streams of `words` words, `tps` a second each, `at_once` at a time, asked for over kept connections.

    ``spread_s``: they begin spread over that time, one after the other, so that they do not beat in step. `model`: one
    that everybody knows, for gateways that let no other pass; then the simulator must be told the plan (`script`).
    """

    words: int = 98
    tps: int = 200
    at_once: int = 32
    spread_s: float = 0.5
    model: str = ""

    @property
    def plan(self) -> str:
        return f"words-{self.words}-tps-{self.tps}"

    @property
    def body(self) -> str:
        model = self.model or f"sim-{self.plan}"
        return json.dumps({**json.loads(CHAT), "stream": True, "model": model, "max_tokens": 1000})


def streams(server: Server, url: str, paced: Paced, *, seconds: float, headers: dict[str, str] | None = None) -> Load:
    """Read streams for some seconds, from a process of its own; a unit is one event."""

    def ask(seconds: float, at_once: int) -> dict:
        job = {"url": url, "body": paced.body, "headers": headers or FOUR_HEADERS, "seconds": seconds}
        job |= {"at_once": at_once, "spread_s": paced.spread_s, "step_s": 1 / paced.tps}
        command = [sys.executable, "-m", "benchmarks.streams", json.dumps(job)]
        got = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(LOAD_CORE), check=True)
        return json.loads(got.stdout)

    ask(0.1, 4)
    server.settle()
    wait_for_quiet()
    before, watch = server.cpu_s(), Watch()
    found = ask(seconds, paced.at_once)
    cpu_s, load_core, others = server.cpu_s() - before, watch.load_core(), watch.others()
    units = max(1, found["events"])
    return Load(
        units,
        found["seconds"],
        cpu_s / units * 1e6,
        *found["first_ms"],
        errors=found["errors"],
        rss_kib=server.rss_kib(),
        load_core=load_core,
        others=others,
        late_ms=tuple(found["late_ms"]),
    )
