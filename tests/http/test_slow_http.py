"""slowhttptest, which holds connections by slowness, against the lane: others are served all the while."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time

import httpx2
import pytest

from tests.harness import Client, Edge, providers, running, until

# It has to open its connections within its time.
pytestmark = [
    pytest.mark.pairs,
    pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="needs slowhttptest (Debian: slowhttptest)"),
]

CHAT = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
CONNECTIONS = 400
SECONDS = 8
ALL = ["-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-l", str(SECONDS), "-p", "5"]
MODES = {
    "headers": (["-H", "-i", "1", "-t", "POST"], "/v1/chat/completions"),
    "body": (["-B", "-i", "1", "-s", "100000", "-f", "application/json"], "/v1/chat/completions"),
    "read": (["-X", "-w", "1", "-y", "64", "-n", "1", "-z", "1", "-k", "8"], "/admin/static/uplot.iife.min.js"),
}
"""What is slow: its arguments, and of which path. A reader takes a byte a second of eight answers."""


@pytest.fixture(scope="module")
def edge(simulator, tmp_path_factory):
    made = Edge(tmp_path_factory.mktemp("edge"), {"providers": providers(simulator.url)}, front="lane")
    with running(made):
        yield made


def held(edge: Edge) -> int:
    """How many connections the edge has, but for the one that asks."""
    page = httpx2.get(f"{edge.url}/metrics").text
    return int(float(re.search(r"^edge_connections(?:\{[^}]*\})? (\S+)", page, re.MULTILINE)[1])) - 1


@pytest.mark.parametrize("mode", MODES)
def test_others_are_served_while_many_are_slow(edge, mode, stalls):
    arguments, path = MODES[mode]
    command = ["slowhttptest", *arguments, *ALL, "-u", f"http://127.0.0.1:{edge.port}{path}"]
    took: list[float] = []
    most = 0
    attack = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + SECONDS + 20
        while attack.poll() is None and time.monotonic() < deadline:
            begun = time.monotonic()
            with Client(edge.port) as client:
                client.post("/v1/chat/completions", CHAT)
                status, headers = client.head()
                assert client.body(headers)
            took.append(time.monotonic() - begun)
            assert status == 200
            most = max(most, held(edge))
            time.sleep(0.05)
    finally:
        attack.kill()
        told = COLOUR.sub("", attack.communicate()[0])
    print(
        f"\n{mode}: {most} slow connections for {SECONDS} s, {len(took)} requests served meanwhile, "
        f"the slowest in {max(took) * 1000:.0f} ms"
    )
    assert "Exit status: Hit test time limit" in told, told[-2000:]
    available = re.findall(r"service available:\s+(\w+)", told)
    assert set(available) == {"YES"}, "slowhttptest itself asks now and then, too"
    assert most >= CONNECTIONS * 0.9, "they were there"
    assert len(took) >= SECONDS
    took.sort()
    assert took[int(len(took) * 0.95)] < 0.5 + stalls.granted_s
    assert took[-1] < 5, "one may meet a moment in which the machine does something else"
    until(lambda: held(edge) < 10)
