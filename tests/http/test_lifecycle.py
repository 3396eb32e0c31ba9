"""Starting, changing and ending under load: R15 and R16, in short forms that print their N."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import httpx2
import pytest

from tests.harness import WAIT_S, Client, Edge, Process, providers, running, until
from tests.load import STREAM, Swarm, answers_within

pytestmark = pytest.mark.early

WEDGE = """
import re, sys, time
from edge.server.asgi import EdgeApplication
serve = EdgeApplication.__call__
async def wedged(self, scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/health":
        if scope["query_string"] == b"sleep":
            time.sleep(60)
        if scope["query_string"] == b"gil":
            re.match("(a+)+$", "a" * 60 + "b")
    await serve(self, scope, receive, send)
EdgeApplication.__call__ = wedged
from edge.cli import main
main(sys.argv[1:])
"""


def children(pid: int) -> list[int]:
    got = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(line) for line in got.stdout.split()]


def settings(simulator, **server):
    return {
        "server": {"workers": 2, "drain_s": 8, **server},
        "providers": providers(simulator.url),
        "models": {"smart": {"upstreams": [{"to": "openai/gpt-4o"}]}},
    }


@pytest.fixture
def edge(simulator, tmp_path):
    made = Edge(tmp_path, settings(simulator))
    with running(made):
        yield made


def test_reload_under_load_fails_nothing_and_is_seen_by_every_worker(edge, simulator):
    workers = children(edge.process.pid)
    with Swarm(edge.port) as load:
        for turn in range(3):
            config = json.loads(edge.path.read_text())
            config["models"][f"new-{turn}"] = {"upstreams": [{"to": "openai/gpt-4o"}]}
            edge.path.write_text(json.dumps(config))
            edge.process.process.send_signal(signal.SIGHUP)

            def known(name: str = f"new-{turn}") -> bool:
                """To both workers, which fresh connections reach."""
                return all(name in httpx2.get(f"{edge.url}/v1/models").text for _ in range(20))

            until(known)
        until(lambda: load.done > 100)
    assert load.failures == []
    assert children(edge.process.pid) == workers, "no process ended"
    print(f"\nSIGHUP x 3: {load.done} requests ({load.streamed} streams), 0 failed")


def test_a_bad_file_keeps_the_old_configuration_and_says_why(edge):
    good = edge.path.read_text()
    edge.path.write_text(good.replace('"dialect"', '"dialekt"'))
    edge.process.process.send_signal(signal.SIGHUP)
    edge.process.wait_for(r"reload refused.*")
    assert "dialekt: unknown key, did you mean dialect?" in edge.process.output
    assert httpx2.get(f"{edge.url}/v1/models/smart").status_code == 200
    config = json.loads(good)
    config["server"]["workers"] = 3
    config["server"]["max_body_bytes"] = 1024
    edge.path.write_text(json.dumps(config))
    edge.process.process.send_signal(signal.SIGHUP)
    edge.process.wait_for(r'"needs_restart":\["server.workers"\]')
    until(lambda: httpx2.post(f"{edge.url}/v1/chat/completions", json={"x": "y" * 2000}).status_code == 413)
    assert len(children(edge.process.pid)) == 2


def test_replacing_workers_under_load_fails_nothing(edge):
    seen = set(children(edge.process.pid))
    with Swarm(edge.port) as load:
        for _ in range(3):
            before = set(children(edge.process.pid))
            edge.process.process.send_signal(signal.SIGUSR2)
            deadline = time.monotonic() + 60
            while before & set(children(edge.process.pid)):
                assert time.monotonic() < deadline, "the old workers are still there"
                time.sleep(0.05)
            seen |= set(children(edge.process.pid))
    assert load.failures == []
    assert len(seen) == 8
    print(f"\nSIGUSR2 x 3: {load.done} requests ({load.streamed} streams) over 8 processes, 0 failed")


def test_a_killed_worker_costs_its_own_requests_only_and_is_replaced_within_a_second(edge, stalls):
    took = []
    with Swarm(edge.port) as load:
        for _ in range(3):
            time.sleep(1)
            victims = children(edge.process.pid)
            os.kill(victims[0], signal.SIGKILL)
            begun = time.monotonic()
            while len(found := set(children(edge.process.pid))) < 2 or victims[0] in found:
                assert time.monotonic() - begun < 1 + stalls.granted_s
                time.sleep(0.005)
            # New connections are balanced over both listeners; ten in a row reach both with near certainty.
            for _ in range(10):
                answers_within(edge.port, WAIT_S)
            took.append(time.monotonic() - begun)
            assert took[-1] < 1 + stalls.granted_s
    # 16 connections, each with at most one request in flight.
    assert len(load.failures) <= 3 * 16
    assert load.done > 100
    print(f"\nkill -9 x 3: {load.done} done, {len(load.failures)} in flight lost, back in {max(took):.2f} s at most")


def test_sigterm_under_load_finishes_what_was_accepted(edge, stalls):
    with Swarm(edge.port) as load:
        time.sleep(3)  # in the middle of each thread's second stream
        begun = time.monotonic()
        edge.process.process.send_signal(signal.SIGTERM)
        load.ending.set()
        code = edge.process.process.wait(20)
        took = time.monotonic() - begun
    assert code == 0
    assert load.failures == []
    assert took < 8 + 1 + stalls.granted_s
    print(f"\nSIGTERM: {load.done} requests ({load.streamed} streams), 0 failed, ended after {took:.1f} s with code 0")


def test_what_outlasts_the_drain_ends_in_an_error_event(simulator, tmp_path, stalls):
    edge = Edge(tmp_path, settings(simulator, workers=1, drain_s=1))
    with running(edge), Client(edge.port) as stream, Client(edge.port) as waiting:
        stream.post("/v1/chat/completions", STREAM.replace(b"words-40-tps-20", b"words-400-tps-20"))
        stream.head()
        before = simulator.count()
        waiting.post("/v1/messages", b'{"model":"sim-hang","max_tokens":9,"messages":[{"role":"user","content":"x"}]}')
        until(lambda: simulator.count() > before)
        assert httpx2.get(f"{edge.url}/health/ready").status_code == 200
        begun = time.monotonic()
        edge.process.process.send_signal(signal.SIGTERM)
        rest = stream.body({})
        assert b"[DONE]" not in rest
        assert json.loads(rest.rstrip().split(b"data: ")[-1])["error"]["code"] == "shutting_down"
        status, headers = waiting.head()
        assert status == 503
        assert headers["connection"] == "close"
        assert edge.process.process.wait(10) == 0
        assert time.monotonic() - begun < 1 + 1 + stalls.granted_s


def test_readiness_goes_off_while_draining(simulator, tmp_path):
    edge = Edge(tmp_path, settings(simulator, workers=1))
    with running(edge), Client(edge.port) as stream, Client(edge.port) as probe:
        stream.post("/v1/chat/completions", STREAM)
        stream.head()

        def ready() -> int:
            probe.send(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
            status, headers = probe.head()
            assert probe.body(headers)
            return status

        assert ready() == 200
        edge.process.process.send_signal(signal.SIGTERM)
        # Asked without a pause: an idle connection is open for a second more.
        ends = time.monotonic() + WAIT_S
        while (status := ready()) == 200:
            assert time.monotonic() < ends
        assert status == 503
        assert stream.body({}).endswith(b"data: [DONE]\n\n")
        assert edge.process.process.wait(10) == 0


def test_a_second_signal_ends_at_once(simulator, tmp_path, stalls):
    edge = Edge(tmp_path, settings(simulator, workers=1))
    with running(edge), Client(edge.port) as stream:
        stream.post("/v1/chat/completions", STREAM)
        stream.head()
        edge.process.process.send_signal(signal.SIGINT)
        edge.process.wait_for('"event":"draining"')
        begun = time.monotonic()
        edge.process.process.send_signal(signal.SIGINT)
        edge.process.process.wait(WAIT_S)
        assert time.monotonic() - begun < 1 + stalls.granted_s


def test_workers_do_not_outlive_their_supervisor(edge):
    workers = children(edge.process.pid)
    edge.process.process.kill()
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", ["sleep", "gil", "stop"])
def test_a_wedged_worker_is_found_shown_and_replaced(simulator, tmp_path, how, stalls):
    path = tmp_path / "edge.json"
    path.write_text(json.dumps(settings(simulator)))
    process = Process(sys.executable, "-c", WEDGE, "serve", "-c", str(path), "--port", "0")
    asking: list[Client] = []
    try:
        url = process.wait_for(r'"address":"(http://[^"]+)"')[1]
        process.wait_for('"event":"ready"')
        port = int(url.rpartition(":")[2])
        wedged = Client(port)
        before = set(children(process.pid))
        begun = time.monotonic()
        if how == "stop":
            os.kill(min(before), signal.SIGSTOP)
        else:
            wedged.send(f"GET /health?{how} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        served = 0
        while before <= (now := set(children(process.pid))) or len(now) < 2:
            assert time.monotonic() - begun < 5 + stalls.granted_s, process.output
            # The other worker goes on, however late; what reaches the wedged one waits, and ends with it.
            asking.append(Client(port))
            asking[-1].send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            for told in select.select([client.sock for client in asking], [], [], 0.05)[0]:
                client = next(client for client in asking if client.sock is told)
                asking.remove(client)
                with client, suppress(OSError, AssertionError):
                    served += client.head()[0] == 200
        found = time.monotonic() - begun
        assert served > 3
        answers_within(port, 2 + stalls.granted_s)
        assert "worker stalled" in process.output
        if how != "stop":
            assert re.search(r'File ".*", line \d+ in wedged', process.output), "its stack was shown"
        print(f"\nwedged by {how}: replaced after {found:.1f} s, {served} answers by the other worker meanwhile")
    finally:
        for client in (wedged, *asking):
            client.sock.close()
        process.stop()
