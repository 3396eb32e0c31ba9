"""How WebSockets live and end: drains, slow and hostile sides, and what is left of many."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import OP_CONT, OP_TEXT, Frame

from edge.guard.auth import new_key
from edge.sockets.rights import RIGHTS_S
from tests.harness import PATIENT, Client, Edge, providers, running, until
from tests.http import speaking
from tests.http.speaking import HANDSHAKE, hear, lines_of, say

pytestmark = pytest.mark.early

TARGET = "/v1/realtime?model=gpt-realtime"


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    config = {
        "providers": providers(simulator.url),
        "resilience": PATIENT,
        "websockets": {"max_message_bytes": 4 << 20, "idle_s": 60},
    }
    edge = Edge(tmp_path_factory.mktemp("edge"), config, front=front, forked=False)
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


def test_parts_of_messages_count_among_the_bytes_that_are_held(simulator, front, tmp_path):
    config = {
        "providers": providers(simulator.url),
        "server": {"max_buffered_bytes": 1 << 20, "max_body_bytes": 1 << 20},
        "resilience": PATIENT,
    }
    edge = Edge(tmp_path, config, front=front)
    with running(edge):
        for number in range(3):
            with Client(edge.port) as client:
                client.send(HANDSHAKE.format(TARGET).encode())
                assert client.head()[0] == 101
                client.read_until(b"session.created")
                with contextlib.suppress(OSError):  # it may be gone meanwhile
                    for opcode in (OP_TEXT, *[OP_CONT] * 11):
                        client.send(Frame(opcode, b"x" * (1 << 17), fin=False).serialize(mask=True))
                until(lambda number=number: len(lines_of(edge)) > number)
        told = {(line["ended_by"], line["close_code"], line["error"]) for line in lines_of(edge)}
        assert told == {("failed", 1013, "overloaded")}
        with speak(edge) as ws:  # nothing is left of it
            say(ws, type="input_audio_buffer.append", audio="AAAA" * (1 << 16))
            hear(ws, "input_audio_buffer.speech_started", "response.created", "error")


def test_a_drain_ends_what_is_open_when_its_time_is_over(simulator, front, tmp_path):
    config = {"providers": providers(simulator.url), "server": {"drain_s": 4}, "resilience": PATIENT}
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
        assert time.monotonic() - begun >= 3.0
        stopping.join()
        assert simulator.entry(since, lambda entry: entry["left"])["left"] == "close 1001"
        assert edge.process.process.wait(15) == 0
        edge.process.stop()
    assert any('"ended_by":"drain"' in line for line in edge.process.lines), edge.process.lines[-4:]


def reload(edge, config, secret, status) -> None:
    """From now on by another configuration, in which a request of this key for another model than gpt-4o is refused."""
    edge.path.write_text(json.dumps(config))
    edge.process.process.send_signal(signal.SIGHUP)
    asked = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "x"}]}
    headers = {"authorization": f"Bearer {secret}"}
    until(lambda: httpx2.post(f"{edge.url}/v1/chat/completions", json=asked, headers=headers).status_code == status, 20)


def told_why(ws) -> str:
    """The code of the error that a connection was closed for, which was by that of a policy."""
    code = hear(ws, "error")["error"]["code"]
    with pytest.raises(ConnectionClosed):
        ws.recv(timeout=10)
    assert ws.close_code == 1008
    return code


def test_a_key_that_is_no_more_or_may_less_ends_its_connections_whatever_they_say(simulator, front, tmp_path, stalls):
    """The clients say nothing meanwhile, and one is in the middle of an answer."""
    keys = {name: new_key(name) for name in ("gone", "narrow", "hearing", "stays")}
    listed = [{"id": name, "digests": [key[1]]} for name, key in keys.items()]
    config = {"providers": providers(simulator.url), "auth": {"keys": listed}, "resilience": PATIENT}
    edge = Edge(tmp_path, config, front=front)
    with running(edge):
        opened = {
            name: speak(edge, "sim-tps-20-words-400" if name == "hearing" else "gpt-realtime", key=key[0])
            for name, key in keys.items()
        }
        for ws in opened.values():
            hear(ws, "session.created")
        say(opened["hearing"], type="response.create")
        hear(opened["hearing"], "response.output_audio_transcript.delta")
        now = [{**listed[1], "models": ["gpt-4o"]}, {**listed[2], "models": ["gpt-4o"]}, listed[3]]
        reload(edge, {**config, "auth": {"keys": now}}, keys["gone"][0], 401)
        begun = time.monotonic()
        assert told_why(opened["gone"]) == "invalid_api_key"
        assert told_why(opened["narrow"]) == "model_not_allowed"
        assert told_why(opened["hearing"]) == "model_not_allowed"
        assert time.monotonic() - begun <= 2 * RIGHTS_S + stalls.granted_s
        say(opened["stays"], type="input_audio_buffer.clear")
        hear(opened["stays"], "input_audio_buffer.cleared")
        opened["stays"].close()


def test_a_key_that_expires_ends_its_connections(simulator, front, tmp_path, stalls):
    first, other = new_key("first")
    secret, digest = new_key("short")
    config = {"providers": providers(simulator.url), "resilience": PATIENT}
    keys = [{"id": "first", "digests": [other]}]
    edge = Edge(tmp_path, {**config, "auth": {"keys": keys}}, front=front)
    with running(edge):
        ends = datetime.now(UTC) + timedelta(seconds=8)  # from when the edge has started
        short = {"id": "short", "digests": [digest], "expires": ends.isoformat()}
        narrow = {"id": "first", "digests": [other], "models": ["gpt-4o"]}
        reload(edge, {**config, "auth": {"keys": [narrow, short]}}, first, 403)
        with speak(edge, key=secret) as ws:
            hear(ws, "session.created")
            assert told_why(ws) == "invalid_api_key"
            assert 0 <= (datetime.now(UTC) - ends).total_seconds() <= 2 * RIGHTS_S + stalls.granted_s


def test_each_response_is_asked_for_by_the_configuration_of_now(simulator, front, tmp_path):
    secret, digest = new_key("a")
    key = {"id": "a", "digests": [digest]}
    config = {"providers": providers(simulator.url), "auth": {"keys": [key]}, "resilience": PATIENT}
    edge = Edge(tmp_path, config, front=front)
    with running(edge), speaking.speak(edge.url, "/v1/responses", secret) as ws:
        asked = {"type": "response.create", "input": "x", "store": False}
        say(ws, **asked, model="gpt-5-mini")
        hear(ws, "response.completed")
        reload(edge, {**config, "auth": {"keys": [{**key, "models": ["gpt-4o"]}]}}, secret, 403)
        say(ws, **asked, model="gpt-5-mini")
        assert hear(ws, "error", "response.completed")["error"]["code"] == "model_not_allowed"
        say(ws, **asked, model="gpt-4o")
        hear(ws, "response.completed")
