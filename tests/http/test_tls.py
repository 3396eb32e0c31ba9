"""TLS towards clients, on real certificates."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import httpx2
import pytest

from tests.harness import Edge, providers, running, until
from tests.http.test_lifecycle import children

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def certificate(folder, name: str, issuer: str | None = None, *names: str) -> None:
    """``name.pem`` and ``name.key`` for localhost, and for `names`; self-signed without `issuer`."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += [
        "-subj",
        f"/CN={name}",
        "-addext",
        f"subjectAltName={','.join(('DNS:localhost', 'IP:127.0.0.1', *names))}",
    ]
    command += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"]
    if issuer is not None:
        command += ["-CA", f"{folder}/{issuer}.pem", "-CAkey", f"{folder}/{issuer}.key"]
    subprocess.run(command, check=True, capture_output=True)


def trusting(folder) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=f"{folder}/server.pem")


def serve(simulator, folder, verify: ssl.SSLContext | None = None, **tls):
    settings = {"cert": f"{folder}/server.pem", "key": f"{folder}/server.key", **tls}
    config = {"server": {"tls": settings}, "providers": providers(simulator.url)}
    return Edge(folder, config, verify=verify or trusting(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("tls")
    certificate(made, "server")
    certificate(made, "authority")
    certificate(made, "client", "authority")
    return made


@pytest.fixture(scope="module")
def edge(simulator, folder):
    made = serve(simulator, folder)
    with running(made):
        yield made


def shown(port: int) -> str:
    """The certificate the edge shows."""
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_requests_and_streams_pass_over_tls(edge, folder):
    with httpx2.Client(verify=trusting(folder)) as client:
        for _ in range(3):
            got = client.post(f"{edge.url}/v1/chat/completions", json=CHAT)
            assert got.status_code == 200
            assert got.json()["choices"]
        streamed = client.post(f"{edge.url}/v1/chat/completions", json={**CHAT, "stream": True})
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert client.get(f"{edge.url}/health").status_code == 200
        large = client.post(f"{edge.url}/v1/chat/completions", content=b'{"model":"' + b"x" * 40_000_000)
        assert large.status_code in (400, 413, 415)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(edge, folder, version):
    context = trusting(folder)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", edge.port)) as sock,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(sock, server_hostname="localhost")


def test_a_client_that_does_not_shake_hands_is_closed_after_ten_seconds(edge, stalls):
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", edge.port)) as sock:
        sock.sendall(b"\x16\x03\x01")
        sock.settimeout(15)
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass
    assert time.monotonic() - begun == pytest.approx(10, abs=1 + stalls.granted_s)


CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00"
"""How one begins."""


def left_open(sockets: list[socket.socket]) -> int:
    """How many of them the edge has not closed."""
    count = 0
    for sock in sockets:
        sock.setblocking(False)
        try:
            count += sock.recv(1) != b""
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("begun", [b"", CLIENT_HELLO], ids=["silent", "begun"])
def test_connections_are_bounded_before_anything_is_agreed(simulator, folder, tmp_path, front, tls, begun):
    """Handshakes that come to no end, like connections without a request, take no more than their share of the places,
    and go where others want these.
    """
    config = {"server": {"max_connections": 8, "max_connections_per_address": 4}, "providers": providers(simulator.url)}
    if tls:
        config["server"]["tls"] = {"cert": f"{folder}/server.pem", "key": f"{folder}/server.key"}
    edge = Edge(tmp_path, config, front=front, verify=trusting(folder))
    with running(edge), contextlib.ExitStack() as stack:
        held = []
        for _ in range(40):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", edge.port)))
            with contextlib.suppress(OSError):
                sock.sendall(begun if tls else begun and b"POST ")
            held.append(sock)
        deadline = time.monotonic() + 8  # a handshake that nobody closes has ten seconds
        while left_open(held) > (20 if begun and not tls else 4):
            assert time.monotonic() < deadline, left_open(held)
            time.sleep(0.02)
        assert left_open(held) > 0
        if tls or not begun:
            with httpx2.Client(verify=trusting(folder)) as client:
                assert client.post(f"{edge.url}/v1/chat/completions", json=CHAT).status_code == 200
                shed = client.get(f"{edge.url}/metrics").text
            assert 'edge_connections_shed_total{action="closed_idle"}' in shed


def test_who_comes_over_tls_when_all_places_are_taken_is_told_why(simulator, folder, tmp_path, front):
    config = {"server": {"max_connections": 8, "max_connections_per_address": 3}, "providers": providers(simulator.url)}
    config["server"]["tls"] = {"cert": f"{folder}/server.pem", "key": f"{folder}/server.key"}
    edge = Edge(tmp_path, config, front=front, verify=trusting(folder))
    long = {**CHAT, "model": "sim-words-60-tps-20", "stream": True}
    with running(edge), contextlib.ExitStack() as stack:
        streams = []
        for _ in range(3):
            client = stack.enter_context(httpx2.Client(verify=trusting(folder)))
            streams.append(stack.enter_context(client.stream("POST", f"{edge.url}/v1/chat/completions", json=long)))
        turned_away = [socket.create_connection(("127.0.0.1", edge.port)) for _ in range(3)]
        late = stack.enter_context(httpx2.Client(verify=trusting(folder)))
        got = late.post(f"{edge.url}/v1/chat/completions", json=CHAT)
        assert (got.status_code, got.headers["connection"]) == (503, "close")
        assert "more connections" in got.json()["error"]["message"]
        for stream in streams:
            assert stream.read().endswith(b"data: [DONE]\n\n"), "those that are in flight are not touched"
        for sock in turned_away:
            sock.close()


def test_what_comes_with_the_end_of_a_handshake_is_read(simulator, folder, tmp_path, front):
    """A client of TLS 1.3 sends its request behind its last message, in one segment."""
    config = {"providers": providers(simulator.url)}
    config["server"] = {"tls": {"cert": f"{folder}/server.pem", "key": f"{folder}/server.key"}}
    edge = Edge(tmp_path, config, front=front, verify=trusting(folder))
    request = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with running(edge):
        for _ in range(20):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = trusting(folder).wrap_bio(incoming, outgoing, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", edge.port)) as sock:
                sock.settimeout(10)
                while True:
                    try:
                        client.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        sock.sendall(outgoing.read())
                        incoming.write(sock.recv(65536))
                client.write(request)
                sock.sendall(outgoing.read())
                answer = b""
                while b"ok" not in answer:
                    try:
                        answer += client.read(65536)
                    except ssl.SSLWantReadError:
                        came = sock.recv(65536)
                        assert came
                        incoming.write(came)
                assert answer.startswith(b"HTTP/1.1 200")


def test_plain_http_on_a_tls_port_is_closed(edge):
    with socket.create_connection(("127.0.0.1", edge.port)) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        sock.settimeout(5)
        try:
            assert not sock.recv(1000).startswith(b"HTTP")
        except ConnectionResetError:
            pass


def test_sighup_exchanges_the_certificate_and_keeps_the_old_one_on_error(simulator, tmp_path):
    certificate(tmp_path, "server")
    edge = serve(simulator, tmp_path)
    with running(edge):
        first = shown(edge.port)
        certificate(tmp_path, "server")
        edge.process.process.send_signal(signal.SIGHUP)
        until(lambda: shown(edge.port) != first)
        second = shown(edge.port)
        assert second != first
        (tmp_path / "server.pem").write_text("no certificate")
        edge.process.process.send_signal(signal.SIGHUP)
        edge.process.wait_for("reload refused")
        assert shown(edge.port) == second


def test_a_certificate_and_an_authority_are_exchanged_when_their_files_change(simulator, tmp_path, stalls):
    """Without a signal (row 58); also for a worker that begins later, and with no trust left in the old authority."""
    for name in ("server", "authority", "other"):
        certificate(tmp_path, name)
    certificate(tmp_path, "client", "authority")
    certificate(tmp_path, "client2", "other")

    def by(name: str) -> ssl.SSLContext:
        context = trusting(tmp_path)
        context.load_cert_chain(f"{tmp_path}/{name}.pem", f"{tmp_path}/{name}.key")
        return context

    def served(context: ssl.SSLContext) -> bool:
        try:
            return httpx2.get(f"{edge.url}/health", verify=context).status_code == 200
        except httpx2.TransportError:
            return False

    (tmp_path / "ca.pem").write_bytes((tmp_path / "authority.pem").read_bytes())
    first, second = by("client"), by("client2")
    edge = serve(simulator, tmp_path, verify=first, client_ca=f"{tmp_path}/ca.pem")
    with running(edge):
        assert (served(first), served(second)) == (True, False)
        (tmp_path / "ca.pem").write_bytes((tmp_path / "other.pem").read_bytes())
        begun = time.monotonic()
        until(lambda: served(second))
        assert time.monotonic() - begun <= 5 + stalls.granted_s
        assert not served(first)
        (worker,) = children(edge.process.pid)
        os.kill(worker, signal.SIGKILL)
        until(lambda: served(second))
        assert not served(first), "a worker that begins later goes by the files of now"


def test_with_an_authority_for_clients_only_its_clients_are_served(simulator, folder):
    context = trusting(folder)
    context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
    edge = serve(simulator, folder, verify=context, client_ca=f"{folder}/authority.pem")
    with running(edge):
        with httpx2.Client(verify=trusting(folder)) as stranger, pytest.raises(httpx2.TransportError):
            stranger.get(f"{edge.url}/health")
        with httpx2.Client(verify=context) as known:
            assert known.post(f"{edge.url}/v1/chat/completions", json=CHAT).status_code == 200


def test_sigterm_drains_streams_over_tls(simulator, folder):
    edge = serve(simulator, folder)
    slow = {"model": "sim-words-20-tps-20", "messages": CHAT["messages"], "stream": True}
    with (
        httpx2.Client(verify=trusting(folder)) as client,
        client.stream("POST", f"{edge.url}/v1/chat/completions", json=slow) as got,
    ):
        chunks = got.iter_bytes()
        text = next(chunks)
        edge.process.process.send_signal(signal.SIGTERM)
        text += b"".join(chunks)
    assert text.endswith(b"data: [DONE]\n\n")
    assert edge.process.stop() == 0


def test_clients_that_keep_connections_do_not_hold_up_a_drain(simulator, folder, stalls):
    """One with a pool sees our goodbye, and answers it, when it next uses the connection."""
    edge = serve(simulator, folder)
    raw = socket.create_connection(("127.0.0.1", edge.port), timeout=10)
    with trusting(folder).wrap_socket(raw, server_hostname="localhost") as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        begun = time.monotonic()
        assert edge.process.stop() == 0
        assert time.monotonic() - begun < 10 + stalls.granted_s


@pytest.mark.parametrize("broken", ["missing", "mismatched"])
def test_files_that_do_not_fit_stop_the_start_with_a_reason(simulator, folder, tmp_path, broken):
    import sys

    from tests.harness import Process

    key = f"{folder}/nowhere.key" if broken == "missing" else f"{folder}/authority.key"
    path = tmp_path / "edge.json"
    tls = {"cert": f"{folder}/server.pem", "key": key}
    path.write_text(json.dumps({"server": {"tls": tls}, "providers": providers(simulator.url)}))
    process = Process(sys.executable, "-m", "edge", "serve", "-c", str(path), "--port", "0")
    process.wait_for("server.tls")
    assert process.stop() != 0
