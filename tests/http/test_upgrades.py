"""New code on the old sockets, and an end that load balancers see coming."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest

from tests.harness import WAIT_S, Client, Edge, Process, clean_environment, running, until, wait_until_ready
from tests.http.test_lifecycle import children, settings
from tests.http.test_metrics import began, requests, totals
from tests.load import STREAM, Swarm

pytestmark = pytest.mark.heavy

PROGRAM = """
import sys
import edge
exec(open(sys.argv[1]).read())
del sys.argv[1]
from edge.cli import main
main()
"""
"""An edge whose code is in part that of a file, so that it can be exchanged."""


class Exchangeable:
    def __init__(self, folder, config) -> None:
        self.code, path = folder / "code.py", folder / "edge.json"
        self.becomes("1.0")
        path.write_text(json.dumps(config))
        self.path = path
        self.process = Process(
            sys.executable,
            "-c",
            PROGRAM,
            str(self.code),
            "serve",
            "-c",
            str(path),
            "--port",
            "0",
            env=clean_environment(),
        )
        self.url = self.process.wait_for(r'"address":"(http://[^"]+)"')[1]
        self.port = int(self.url.rpartition(":")[2])
        wait_until_ready(self.url)
        self.process.wait_for('"event":"ready"')

    def becomes(self, version: str) -> None:
        self.code.write_text(f"edge.__version__ = {version!r}\n")

    def upgrade(self) -> None:
        self.process.process.send_signal(signal.SIGUSR2)

    def version(self) -> str:
        return httpx2.get(f"{self.url}/health").json()["version"]


@pytest.fixture
def edge(simulator, tmp_path):
    made = Exchangeable(tmp_path, settings(simulator))
    with running(made):
        yield made


def all_replaced(edge, before) -> None:
    deadline = time.monotonic() + 40
    while set(before) & set(children(edge.process.pid)) or len(children(edge.process.pid)) != 2:
        assert time.monotonic() < deadline, edge.process.output
        time.sleep(0.05)


def test_an_upgrade_loads_new_code_and_refuses_and_loses_nothing(edge):
    pid = edge.process.pid
    since = began(edge.url)
    with Swarm(edge.port) as load:
        for version in ("2.0", "3.0"):
            before = children(pid)
            edge.becomes(version)
            edge.upgrade()
            all_replaced(edge, before)
            assert {edge.version() for _ in range(10)} == {version}
    assert load.failures == []
    assert load.refused == 0
    assert load.done > 20
    # What was counted before is counted still; the last one once its answer has gone out.
    until(lambda: requests(totals(edge.url)) >= load.done)
    assert began(edge.url) == since
    # The new program reloads, replaces and ends as any other.
    config = json.loads(edge.path.read_text())
    config["models"]["later"] = {"upstreams": [{"to": "openai/gpt-4o"}]}
    edge.path.write_text(json.dumps(config))
    edge.process.process.send_signal(signal.SIGHUP)
    until(lambda: httpx2.get(f"{edge.url}/v1/models/later").status_code == 200)
    victim = children(pid)[0]
    os.kill(victim, signal.SIGKILL)
    all_replaced(edge, [victim])
    edge.process.process.send_signal(signal.SIGTERM)
    assert edge.process.process.wait(15) == 0


@pytest.mark.parametrize(
    ("code", "config", "said"),
    [
        ("raise RuntimeError('half an upgrade')", None, "half an upgrade"),
        ("edge.__version__ = '2.0'", '{"providers": 1}', "providers"),
    ],
)
def test_what_cannot_start_leaves_the_old_program_as_it_is(edge, code, config, said):
    before = children(edge.process.pid)
    edge.code.write_text(code)
    if config is not None:
        edge.path.write_text(config)
    edge.upgrade()
    line = edge.process.wait_for(r".*upgrade refused.*", 30)[0]
    assert said in line
    assert children(edge.process.pid) == before
    assert edge.version() == "1.0"


def test_workers_that_cannot_start_leave_the_old_ones_in_service_until_a_better_upgrade(edge):
    before = children(edge.process.pid)
    edge.code.write_text(
        "import edge.server.launch\n"
        "def broken(*_):\n"
        "    raise RuntimeError('not in a worker')\n"
        "edge.server.launch.run_worker = broken\n"
    )
    edge.upgrade()
    edge.process.wait_for("no worker could start", 30)
    assert set(before) <= set(children(edge.process.pid))
    for _ in range(10):
        assert edge.version() == "1.0"
    edge.becomes("2.0")
    edge.upgrade()
    all_replaced(edge, before)
    assert edge.version() == "2.0"


def test_signals_during_an_upgrade_are_kept_for_the_new_program(edge):
    edge.becomes("2.0")
    edge.upgrade()
    edge.process.wait_for("executing the program anew")
    for _ in range(40):  # before, while and after it is executed
        edge.process.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    until(lambda: edge.version() == "2.0")
    assert edge.process.process.poll() is None


def test_an_upgrade_takes_other_numbers_of_workers(edge):
    old_port = edge.port
    config = json.loads(edge.path.read_text())
    config["server"] |= {"workers": 3}
    edge.path.write_text(json.dumps(config))
    before = children(edge.process.pid)
    edge.upgrade()
    deadline = time.monotonic() + 30
    while set(before) & set(now := children(edge.process.pid)) or len(now) != 3:
        assert time.monotonic() < deadline, edge.process.output
        time.sleep(0.05)
    before = now
    config["server"] |= {"workers": 1}
    edge.path.write_text(json.dumps(config))
    edge.upgrade()
    while set(before) & set(now := children(edge.process.pid)) or len(now) != 1:
        assert time.monotonic() < deadline + 30, edge.process.output
        time.sleep(0.05)
    for _ in range(20):  # no socket is left that nobody accepts from
        assert httpx2.get(f"http://127.0.0.1:{old_port}/health", timeout=30).status_code == 200


def test_before_the_end_readiness_goes_and_the_listener_later(simulator, tmp_path):
    delay_s = 3.0
    edge = Edge(tmp_path, settings(simulator, drain_delay_s=delay_s))
    with running(edge):
        ways = ["/health", "/health/live", "/healthz", "/livez"]
        assert {httpx2.get(edge.url + way).status_code for way in [*ways, "/health/ready", "/readyz"]} == {200}
        begun = time.monotonic()
        edge.process.process.send_signal(signal.SIGTERM)
        asked = ["/readyz", "/health/ready", "/v1/models/smart", *ways]
        told: dict[str, list[int]] = {way: [] for way in asked}
        # By both workers, on fresh connections. However long one takes on a busy machine: what is refused comes later
        # than the delay.
        try:
            while time.monotonic() - begun < delay_s:
                for way in asked:
                    told[way].append(httpx2.get(edge.url + way).status_code)
        except httpx2.ConnectError:
            assert time.monotonic() - begun >= delay_s
        assert edge.process.process.wait(15) == 0
        assert time.monotonic() - begun >= delay_s
        assert told["/readyz"][-1] == told["/health/ready"][-1] == 503
        assert {status for way in (*ways, "/v1/models/smart") for status in told[way]} == {200}


def test_a_second_signal_ends_the_delay_too(simulator, tmp_path):
    edge = Edge(tmp_path, settings(simulator, drain_delay_s=60))
    with running(edge):
        edge.process.process.send_signal(signal.SIGTERM)
        edge.process.wait_for("not ready any more")
        edge.process.process.send_signal(signal.SIGTERM)
        assert edge.process.process.wait(WAIT_S) == 0


def test_streams_that_are_under_way_at_an_upgrade_are_finished_by_the_old_workers(edge):
    with Client(edge.port) as stream:
        stream.post("/v1/chat/completions", STREAM)
        stream.head()
        before = children(edge.process.pid)
        edge.upgrade()
        assert stream.body({}).endswith(b"data: [DONE]\n\n")
    all_replaced(edge, before)


LISTENER = """
import os, socket, sys
socks = [socket.socket(fileno=int(n)) for n in sys.argv[1].split(",")]
numbers = []
for n, sock in enumerate(socks):
    sock = socket.socket(fileno=os.dup(sock.fileno()))
    numbers.append(sock.detach())
for n, number in enumerate(numbers):
    os.dup2(number, 3 + n)
    os.set_inheritable(3 + n, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(numbers))}
os.execv(sys.executable, [sys.executable, "-m", "edge", *sys.argv[2:]])
"""
"""Does as systemd: opens the sockets, passes them on from 3 on, and executes."""


def activated(sockets, *arguments: str) -> subprocess.Popen:
    numbers = [sock.fileno() for sock in sockets]
    return subprocess.Popen(
        [sys.executable, "-c", LISTENER, ",".join(map(str, numbers)), *arguments],
        pass_fds=numbers,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sockets_of_systemd_are_served_also_after_an_upgrade(simulator, tmp_path):
    path = tmp_path / "edge.json"
    path.write_text(json.dumps(settings(simulator)))
    with socket.create_server(("127.0.0.1", 0), backlog=100) as one, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "edge.sock"))
        other.listen(100)
        process = activated([one, other], "serve", "-c", str(path), "--port", "1")
        try:
            url = f"http://127.0.0.1:{one.getsockname()[1]}"
            unix = httpx2.HTTPTransport(uds=str(tmp_path / "edge.sock"))
            wait_until_ready(url)
            with httpx2.Client(transport=unix) as client:
                assert client.get("http://localhost/v1/models/smart").status_code == 200
            before = set(children(process.pid))
            process.send_signal(signal.SIGUSR2)
            deadline = time.monotonic() + 40
            while before & (now := set(children(process.pid))) or len(now) != 2:
                assert time.monotonic() < deadline
                assert httpx2.get(f"{url}/health").status_code == 200
            for _ in range(10):
                assert httpx2.get(f"{url}/v1/models/smart").status_code == 200
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=15)[1]
            assert process.returncode == 0
            assert re.search(rf'"address":"{url}"', said)
        finally:
            process.kill()
            process.wait()


def test_sockets_that_others_reach_need_keys(simulator, tmp_path):
    path = tmp_path / "edge.json"
    path.write_text(json.dumps(settings(simulator)))
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        process = activated([everywhere], "serve", "-c", str(path))
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert "LISTEN_FDS" in said
    assert "--insecure" in said
