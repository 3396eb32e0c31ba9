"""deploy/nginx and deploy/haproxy: the real programs take the files, and what goes through them is as it should be."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from tests.harness import Client, Edge, Process, free_port, providers, running, until
from tests.http.speaking import HANDSHAKE, hear, say, speak

DEPLOY = Path(__file__).parents[2] / "deploy"


def nginx(folder: Path, port: int, edges: list[int]) -> tuple[str, ...]:
    """A command that serves by edge.conf, but for where it listens and whom it asks."""
    text = (DEPLOY / "nginx/edge.conf").read_text().replace("listen 80;", f"listen 127.0.0.1:{port};")
    for number, edge in zip((8080, 8081), edges, strict=True):
        text = text.replace(f"server 127.0.0.1:{number} ", f"server 127.0.0.1:{edge} ")
    (folder / "edge.conf").write_text(text)
    bodies = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}"
    (folder / "nginx.conf").write_text(f"{whole} http {{ access_log off; {bodies} include {folder}/edge.conf; }}")
    return ("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"))


def haproxy(folder: Path, port: int, edges: list[int]) -> tuple[str, ...]:
    text = (DEPLOY / "haproxy/haproxy.cfg").read_text().replace("bind :80\n", f"bind 127.0.0.1:{port}\n")
    for number, edge in zip((8080, 8081), edges, strict=True):
        text = text.replace(f"127.0.0.1:{number}\n", f"127.0.0.1:{edge}\n")
    (folder / "haproxy.cfg").write_text(text)
    return ("haproxy", "-db", "-f", str(folder / "haproxy.cfg"))


PROXIES = {"nginx": (nginx, "-t"), "haproxy": (haproxy, "-c")}


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not here (Debian: {request.param})")
    return request.param


@pytest.fixture(scope="module")
def edges(proxy, simulator, tmp_path_factory) -> Iterator[list[Edge]]:
    made = [Edge(tmp_path_factory.mktemp(proxy), {"providers": providers(simulator.url)}) for _ in range(2)]
    with running(*made):
        yield made


@pytest.fixture(scope="module")
def front(proxy, edges, tmp_path_factory) -> Iterator[str]:
    """The address of the proxy before the edges."""
    port = free_port()
    command = PROXIES[proxy][0](tmp_path_factory.mktemp(proxy), port, [each.port for each in edges])
    process = Process(*command)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx2.get(f"{url}/health/ready").status_code == 200
        except httpx2.TransportError:
            return False

    try:
        until(ready)
        yield url
    finally:
        process.stop()


def test_the_program_takes_the_file(proxy, tmp_path):
    command = PROXIES[proxy][0](tmp_path, free_port(), [8080, 8081])
    done = subprocess.run([*command, PROXIES[proxy][1]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_answers_come_through_in_both_dialects(front):
    said = [{"role": "user", "content": "x" * 2_000_000}]
    openai = httpx2.post(f"{front}/v1/chat/completions", json={"model": "gpt-5-mini", "messages": said}, timeout=30)
    assert openai.status_code == 200, openai.text
    assert openai.headers["x-edge-provider"] == "openai"
    wise = {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
    assert httpx2.post(f"{front}/v1/messages", json=wise, timeout=30).json()["type"] == "message"


def test_a_stream_comes_event_by_event(front):
    """The simulator waits between events: one that is buffered comes at once, at the end."""
    asked = {"model": "openai/sim-words-30-tps-20", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with httpx2.stream("POST", f"{front}/v1/chat/completions", json=asked, timeout=30) as answer:
        assert answer.status_code == 200
        times = [time.monotonic() for line in answer.iter_lines() if line.startswith("data: {")]
    assert len(times) >= 4
    assert times[-1] - times[0] >= 0.8


def test_a_client_that_leaves_leaves_its_provider(front, simulator):
    before = simulator.count()
    asked = {"model": "openai/sim-words-400-tps-20", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with httpx2.stream("POST", f"{front}/v1/chat/completions", json=asked, timeout=30) as answer:
        next(answer.iter_lines())
    simulator.entry(before, lambda entry: entry["left"])


@pytest.mark.parametrize("target", ["/v1/realtime?model=gpt-realtime", "/v1/responses"])
def test_a_websocket_comes_through_and_its_close_goes_both_ways(front, simulator, target):
    before = simulator.count()
    asked = {} if "realtime" in target else {"model": "gpt-5-mini", "input": "hello", "store": False}
    with speak(front, target) as ws:
        for _ in range(2):
            say(ws, type="response.create", **asked)
            assert hear(ws, "response.done", "response.completed")["response"]["status"] == "completed"
        ws.close(4002)
    assert simulator.entry(before, lambda entry: entry["left"])["left"] == "close 4002"


def test_a_client_that_leaves_its_websocket_leaves_its_provider(front, simulator):
    before = simulator.count()
    with Client(int(front.rpartition(":")[2])) as client:
        client.send(HANDSHAKE.format("/v1/realtime?model=gpt-realtime").encode())
        assert client.head()[0] == 101
        client.read_until(b"session.created")
    assert simulator.entry(before, lambda entry: entry["left"])["left"] == "close 1001"


def test_a_refused_websocket_and_a_wish_for_something_else_are_answered(front):
    """The connections to the edges are kept: the next one is served."""
    with pytest.raises(InvalidStatus) as caught, speak(front, "/v1/realtime?model=claude-haiku-4-5"):
        pass
    assert (caught.value.response.status_code, json.loads(caught.value.response.body)["error"]["code"]) == (
        400,
        "unsupported_route",
    )
    for wish in ("h2c", "websocket2"):
        got = httpx2.get(f"{front}/health", headers={"upgrade": wish, "connection": "upgrade"})
        assert got.status_code == 200


def test_the_other_edge_answers_when_one_is_gone(front, edges):
    edges[0].process.stop()
    asked = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}]}
    codes = [httpx2.post(f"{front}/v1/chat/completions", json=asked, timeout=30).status_code for _ in range(8)]
    assert codes == [200] * 8
