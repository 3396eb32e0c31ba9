"""``edge health``: what containers and load balancers are told; and the way of all commands to an edge that runs."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest

from edge.cli_running import refusal
from tests.harness import Edge, clean_environment, free_port, providers, running
from tests.http.test_tls import certificate, trusting

COMMANDS = (("health",), ("usage",), ("logs",), ("cache", "clear"))


def edge_command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", *arguments]
    return subprocess.run(command, env=clean_environment(**env), capture_output=True, text=True, timeout=60)


def test_health_tells_by_its_exit_code_whether_an_edge_is_ready(edge):
    ready = edge_command("health", "--url", edge.url)
    assert (ready.returncode, ready.stdout) == (0, "ready\n")
    assert edge_command("health", "--live", "--url", edge.url).stdout == "ok\n"
    gone = edge_command("health", "--url", f"http://127.0.0.1:{free_port()}")
    assert gone.returncode == 1
    assert "no edge answers at" in gone.stderr
    assert "begins with http" in edge_command("health", "--url", "127.0.0.1:8080").stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
def test_over_tls_a_certificate_that_nobody_known_has_signed_is_none(simulator, tmp_path):
    certificate(tmp_path, "server")
    tls = {"cert": str(tmp_path / "server.pem"), "key": str(tmp_path / "server.key")}
    config = {"providers": providers(simulator.url), "server": {"tls": tls}}
    made = Edge(tmp_path, config, verify=trusting(tmp_path))
    with running(made):
        for command in COMMANDS:
            known = edge_command(*command, "--url", made.url, "--ca-file", str(tmp_path / "server.pem"))
            assert known.returncode == 0, known.stderr
            unknown = edge_command(*command, "--url", made.url)
            assert (unknown.returncode, unknown.stdout) == (1, ""), unknown.stdout
            assert re.search(r"no edge answers at .*: (SSLCertVerification|Connect)Error", unknown.stderr)
            missing = edge_command(*command, "--url", made.url, "--ca-file", str(tmp_path / "none.pem"))
            assert "none.pem: No such file" in missing.stderr
            key = edge_command(*command, "--url", made.url, "--ca-file", str(tmp_path / "server.key"))
            assert "server.key: has no certificates" in key.stderr


@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
def test_an_edge_is_asked_by_no_proxy_of_the_environment(edge, command):
    """Which would be told the administrator's key; and an edge on this host is nothing that a proxy can reach."""
    nobody = f"http://127.0.0.1:{free_port()}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    proxies = dict.fromkeys([*names, *map(str.lower, names)], nobody)
    told = edge_command(*command, "--url", edge.url, **proxies, NO_PROXY="", no_proxy="")
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("command", COMMANDS[1:], ids="-".join)
def test_a_key_that_no_header_can_say_is_refused_and_not_told(command):
    for given in ((*command, "--key", "schlüssel"), (*command, "--key", "two\nlines")):
        told = edge_command(*given)
        assert (told.returncode, told.stdout) == (2, ""), told.stderr
        assert "a key is printable ASCII" in told.stderr
        assert "Traceback" not in told.stderr
        assert given[-1] not in told.stderr
    assert edge_command(*command, EDGE_ADMIN_KEY="schlüssel").returncode == 2


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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"gone",
        b"[]",
        b'"x"',
        b'{"error": "gone"}',
        b'{"error": {}}',
        b'{"error": {"message": 5}}',
        b'{"\xff": {}}',
    ],
)
def test_another_server_s_refusal_is_told_by_its_status(body):
    assert refusal(404, body) == "status 404"


def test_commands_are_refused_in_words_by_a_server_that_is_no_edge():
    def serve(listener: socket.socket) -> None:
        for _ in range(3):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(
                    b'HTTP/1.1 404 Gone\r\nconnection: close\r\ncontent-length: 17\r\n\r\n{"error": "gone"}'
                )
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):  # else what is still being sent would be answered by a reset
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = threading.Thread(target=serve, args=(listener,), daemon=True)
        other.start()
        for command in (("usage",), ("logs",), ("cache", "clear")):
            told = edge_command(*command, "--url", f"http://127.0.0.1:{listener.getsockname()[1]}")
            assert (told.returncode, told.stderr) == (1, "Error: status 404\n")
        other.join()
