"""``edge health``: what containers and load balancers are told."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.harness import Edge, clean_environment, free_port, providers


def edge_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", *arguments]
    return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=30)


def test_health_tells_by_its_exit_code_whether_an_edge_is_ready(edge):
    ready = edge_command("health", "--url", edge.url)
    assert (ready.returncode, ready.stdout) == (0, "ready\n")
    assert edge_command("health", "--live", "--url", edge.url).stdout == "ok\n"
    gone = edge_command("health", "--url", f"http://127.0.0.1:{free_port()}")
    assert gone.returncode == 1
    assert "no edge answers at" in gone.stderr
    assert "begins with http" in edge_command("health", "--url", "127.0.0.1:8080").stderr


def test_health_is_told_that_an_edge_drains_and_that_another_server_is_none(simulator, tmp_path):
    draining = {"providers": providers(simulator.url), "server": {"drain_delay_s": 20}}
    made = Edge(tmp_path, draining)
    try:
        made.process.process.send_signal(signal.SIGTERM)
        made.process.wait_for("drain")
        told = edge_command("health", "--url", made.url)
        assert (told.returncode, told.stdout) == (1, "draining\n")
        assert edge_command("health", "--live", "--url", made.url).returncode == 0
    finally:
        made.process.process.kill()
        made.process.stop()
    no_edge = edge_command("health", "--url", simulator.url)
    assert no_edge.returncode == 1
    assert "Error: " in no_edge.stderr
