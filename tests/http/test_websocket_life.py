"""How WebSockets live and end: drains, slow and hostile sides, and what is left of many."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import threading
import time

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import OP_TEXT, Frame

from edge.guard.auth import new_key
from tests.harness import PATIENT, Client, Edge, providers, running, until
from tests.http import speaking
from tests.http.speaking import HANDSHAKE, hear, say

TARGET = "/v1/realtime?model=gpt-realtime"


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    config = {
        "providers": providers(simulator.url),
        "resilience": PATIENT,
        "websockets": {"max_message_bytes": 4 << 20, "idle_s": 60},
    }
    edge = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(edge):
        yield edge


def speak(edge, model="gpt-realtime", **more):
    return speaking.speak(edge.url, f"/v1/realtime?model={model}", max_size=None, **more)


def gauge(edge, name: str) -> float:
    lines = httpx2.get(f"{edge.url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def worker_of(edge) -> int:
    children = f"/proc/{edge.process.pid}/task/{edge.process.pid}/children"
    with open(children) as file:
        return max(int(pid) for pid in file.read().split())


def test_nothing_is_left_of_many_connections_however_they_end(edge, simulator):
    with speak(edge) as ws:
        hear(ws, "session.created")
    until(lambda: gauge(edge, "edge_websockets") == 0)
    worker = worker_of(edge)
    before = descriptors(worker)
    since = simulator.count()
    for number in range(200):
        ws = speak(edge)
        if number % 4:
            hear(ws, "session.created")
        if number % 4 == 0:
            ws.socket.shutdown(socket.SHUT_RDWR)
        elif number % 4 == 1:
            say(ws, type="response.create")
            ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            ws.socket.close()
        elif number % 4 == 2:
            ws.send(b"\x00" * 10)
            ws.close(3000)
        else:
            ws.close()
    until(lambda: gauge(edge, "edge_websockets") == 0 and gauge(edge, "edge_requests_in_flight") == 0)
    until(lambda: descriptors(worker) <= before + 2)
    assert all(entry["left"] for entry in simulator.ledger(since))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Frame(OP_TEXT, b'{"type":"x"}').serialize(mask=False), 1002),
        (b"\xc1" + Frame(OP_TEXT, b"x").serialize(mask=True)[1:], 1002),
        (b"\x83\x80" + bytes(4), 1002),
        (b"\x81\x81" + bytes(4) + b"\xff", 1007),
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big") + bytes(4), 1009),
    ],
    ids=["unmasked", "reserved bit", "reserved opcode", "no UTF-8", "endless"],
)
def test_hostile_frames_end_the_connection_and_leave_the_provider(edge, simulator, said, code):
    since = simulator.count()
    with Client(edge.port) as client:
        client.send(HANDSHAKE.format(TARGET).encode())
        assert client.head()[0] == 101
        simulator.entry(since, lambda entry: entry["events"])
        client.send(said)
        got = client.rest()
    assert got[got.rindex(b"\x88") + 2 :][:2] == code.to_bytes(2, "big")
    assert simulator.entry(since, lambda entry: entry["left"])["left"] == "close 1001"


def test_frames_that_come_byte_by_byte_and_with_the_handshake(edge):
    frame = Frame(OP_TEXT, b'{"type":"input_audio_buffer.clear"}').serialize(mask=True)
    with Client(edge.port) as client:
        client.send(HANDSHAKE.format(TARGET).encode() + frame)
        for n in range(len(frame)):
            client.send(frame[n : n + 1])
        client.read_until(b"input_audio_buffer.cleared")
        client.read_until(b"input_audio_buffer.cleared")


def test_a_client_that_reads_nothing_has_its_provider_paused(edge):
    worker = worker_of(edge)
    with speak(edge, "sim-words-20000") as ws:
        hear(ws, "session.created")
        held = memory(worker)
        say(ws, type="response.create")  # 80 MB of sound
        time.sleep(1.5)
        assert memory(worker) - held < 40 << 20
        hear(ws, "response.output_audio.delta")


def memory(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_large_messages_go_through_whole(edge, simulator):
    since = simulator.count()
    sound = base64.b64encode(os.urandom(2 << 20)).decode()
    with speak(edge) as ws:
        off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        say(ws, type="session.update", session=off)
        hear(ws, "session.updated")
        say(ws, type="input_audio_buffer.append", audio=sound)
        say(ws, type="input_audio_buffer.commit")
        hear(ws, "input_audio_buffer.committed")
    assert sound in simulator.ledger(since)[0]["body"]


def test_a_drain_ends_what_is_open_when_its_time_is_over(simulator, front, tmp_path):
    config = {"providers": providers(simulator.url), "server": {"drain_s": 1.5}, "resilience": PATIENT}
    edge = Edge(tmp_path, config, front=front)
    since = simulator.count()
    with running(edge), speak(edge) as ws:
        hear(ws, "session.created")
        begun = time.monotonic()
        stopping = threading.Thread(target=edge.process.process.send_signal, args=[signal.SIGTERM])
        stopping.start()
        say(ws, type="input_audio_buffer.clear")
        hear(ws, "input_audio_buffer.cleared")  # it goes on meanwhile
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=20)
        assert ws.close_code == 1001
        assert time.monotonic() - begun >= 1.0
        stopping.join()
        assert simulator.entry(since, lambda entry: entry["left"])["left"] == "close 1001"
        assert edge.process.process.wait(15) == 0
        edge.process.stop()
    assert any('"ended_by":"drain"' in line for line in edge.process.lines), edge.process.lines[-4:]


def test_a_key_that_is_no_more_ends_its_connections(simulator, front, tmp_path):
    keys = {name: new_key(name) for name in ("gone", "stays")}
    listed = [{"id": name, "digests": [key[1]]} for name, key in keys.items()]
    config = {"providers": providers(simulator.url), "auth": {"keys": listed}, "resilience": PATIENT}
    edge = Edge(tmp_path, config, front=front)
    with running(edge):
        both = [speak(edge, key=key[0]) for key in keys.values()]
        edge.path.write_text(json.dumps({**config, "auth": {"keys": listed[1:]}}))
        edge.process.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        with pytest.raises(ConnectionClosed):
            while time.monotonic() < deadline:
                say(both[0], type="input_audio_buffer.clear")
                hear(both[0], "input_audio_buffer.cleared")
        assert both[0].close_code == 1008
        say(both[1], type="input_audio_buffer.clear")
        hear(both[1], "input_audio_buffer.cleared")
        both[1].close()
