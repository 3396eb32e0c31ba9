"""Forms that are larger than what is held: they go on while they come, no faster than the provider takes them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import openai
import pytest

from tests.harness import PATIENT, Client, Edge, answer, running, until
from tests.http.test_large_bodies import memory_of
from tests.listening import Listening, read_head

MIB = 1 << 20
BLOCK = random.Random(7).randbytes(MIB)
TEXT = b'{"text":"heard","usage":{"type":"tokens","input_tokens":11,"output_tokens":7,"total_tokens":18}}'
HEARD = answer(TEXT, connection="close")
PATH = "/v1/audio/transcriptions"
KIND = "content-type: multipart/form-data; boundary=b"


@dataclass
class Upload:
    """One request as it came to a provider: ``head``, how many bytes of the body, their digest; ``closed`` is when the
    connection ended, 0.0 before; ``whole``: the body has.
    """

    head: bytes = b""
    size: int = 0
    digest: bytes = b""
    last: bytes = b""
    whole: bool = False
    closed: float = 0.0


@dataclass
class Slow(Listening):
    """A provider that reads a body piece by piece while ``reads`` is set. ``early`` is answered before the body is, with
    the connection left open for as long as that still comes; ``model`` is the one that it answers that for, None for
    all.
    """

    early: bytes = b""
    answers: Callable[[Upload], bytes] = lambda _: HEARD
    uploads: list[Upload] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reads = threading.Event()
        self.reads.set()
        self.listen(buffer=65536)

    def __exit__(self, *_: object) -> None:
        self.reads.set()
        super().__exit__()

    def converse(self, connection: socket.socket) -> None:
        upload = Upload()
        try:
            self._receive(connection, upload)
        finally:
            upload.closed = time.monotonic()

    def _receive(self, connection: socket.socket, upload: Upload) -> None:
        found = read_head(connection)
        if found is None:
            return
        upload.head, buffer = found
        self.uploads.append(upload)
        if self.early:
            connection.sendall(self.early)
            while connection.recv(65536):
                pass
            return
        chunked = b"transfer-encoding: chunked" in upload.head.lower()
        length = 0 if chunked else int(upload.head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        digest = hashlib.sha256()
        source = connection.makefile("rb", buffering=65536)

        def read(size: int) -> bytes:
            nonlocal buffer
            self.reads.wait()
            took, buffer = buffer[:size], buffer[size:]
            while len(took) < size:
                more = source.read(min(size - len(took), 65536))
                if not more:
                    raise OSError
                took += more
            return took

        def line() -> bytes:
            got = b""
            while not got.endswith(b"\r\n"):
                got += read(1)
            return got

        def take(size: int) -> None:
            while size:
                data = read(min(size, 65536))
                digest.update(data)
                upload.size += len(data)
                upload.last = (upload.last + data)[-64:]
                size -= len(data)

        if chunked:
            while size := int(line(), 16):
                take(size)
                line()
            line()
        else:
            take(length)
        upload.digest, upload.whole = digest.digest(), True
        connection.sendall(self.answers(upload))
        while connection.recv(65536):
            pass


def config(*providers: Slow, **server: object) -> dict:
    names = [f"p{at}" for at in range(len(providers))]
    return {
        "providers": {
            name: {"dialect": "openai", "base_url": f"{each.url}/v1", "models": ["whisper-*"], "priced_as": "openai"}
            for name, each in zip(names, providers, strict=True)
        },
        "models": {"ears": {"strategy": "failover", "upstreams": [{"to": f"{name}/whisper-1"} for name in names]}},
        "resilience": {**PATIENT, "idle_s": 2, "attempt_s": 3},
        "server": {"max_body_bytes": 2 * MIB, "max_form_bytes": 256 * MIB, **server},
    }


@pytest.fixture(scope="module")
def provider() -> Iterator[Slow]:
    with Slow() as made:
        yield made


@pytest.fixture(scope="module")
def edge(provider, front, tmp_path_factory):
    made = Edge(tmp_path_factory.mktemp("edge"), config(provider), front=front)
    with running(made):
        yield made


@pytest.fixture
def connect() -> Iterator[Callable[[Edge], Client]]:
    """Makes clients, whose connections end with the test."""
    made: list[Client] = []

    def connected(edge: Edge) -> Client:
        made.append(Client(edge.port))
        return made[-1]

    yield connected
    for client in made:
        client.sock.close()


@pytest.fixture(autouse=True)
def fresh(provider) -> None:
    provider.uploads.clear()
    provider.reads.set()
    provider.early = b""


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'--b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name, more, value)


def parts(blocks: int, model: bytes = b"ears") -> Iterator[bytes]:
    """A form with the model before a file of so many MiB."""
    yield part(b"model", model) + part(b"file", b"", b'; filename="a.wav"')[:-2]
    for _ in range(blocks):
        yield BLOCK
    yield b"\r\n--b--\r\n"


def expected(blocks: int) -> tuple[int, bytes]:
    """The size and the digest of what the provider gets."""
    digest, size = hashlib.sha256(), 0
    for data in parts(blocks, b"whisper-1"):
        digest.update(data)
        size += len(data)
    return size, digest.digest()


def begun(client: Client, declared: int) -> Client:
    """It has sent the head and the beginning of a form of so many bytes."""
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\n{KIND}\r\ncontent-length: {declared}\r\n\r\n"
    client.send(head.encode() + next(parts(0)))
    return client


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_large_form_goes_through_while_it_comes_and_little_of_it_is_held(edge, provider, framing):
    blocks = 96
    whole = sum(map(len, parts(blocks)))
    before, most = memory_of(edge), 0

    def watched() -> Iterator[bytes]:
        nonlocal most
        for at, data in enumerate(parts(blocks)):
            if at == 40:
                until(lambda: provider.uploads and provider.uploads[0].size)  # asked long before all has come
            most = max(most, memory_of(edge) if at % 16 == 0 else 0)
            yield data

    headers = {"content-type": "multipart/form-data; boundary=b"}
    if framing == "length":
        headers["content-length"] = str(whole)
    got = httpx2.post(edge.url + PATH, content=watched(), headers=headers, timeout=60)
    assert got.status_code == 200, got.text
    assert got.json()["text"] == "heard"
    (upload,) = provider.uploads
    assert (upload.size, upload.digest) == expected(blocks)
    assert (b"transfer-encoding: chunked" in upload.head) == (framing == "chunks")
    print(f"{framing}: {whole >> 20} MiB, {(most - before) / MIB:.1f} MiB more held at most")
    assert most - before < 16 * MIB


def test_a_provider_that_takes_nothing_holds_its_client_back(connect, edge, provider):
    provider.reads.clear()
    client = begun(connect(edge), 64 * MIB)
    client.sock.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        for _ in range(60):
            client.sock.sendall(BLOCK)
            sent += 1
    assert sent < 30
    provider.reads.set()
    client.sock.close()


def test_a_client_that_leaves_in_the_middle_has_its_provider_left_at_once(connect, edge, provider, stalls):
    client = begun(connect(edge), 64 * MIB)
    client.send(BLOCK)
    until(lambda: provider.uploads and provider.uploads[0].size >= MIB)
    left = time.monotonic()
    client.sock.close()
    until(lambda: provider.uploads[0].closed)
    assert provider.uploads[0].closed - left <= 0.1 + stalls.granted_s
    assert not provider.uploads[0].whole


def test_a_client_that_leaves_while_it_is_held_back_is_seen_to(connect, edge, provider, stalls):
    """The soonest of three: what else runs on the machine makes none sooner."""
    took = []
    for _ in range(3):
        provider.reads.clear()
        client = begun(connect(edge), 64 * MIB)
        client.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            for _ in range(60):
                client.sock.sendall(BLOCK)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left = time.monotonic()
        client.sock.close()
        until(lambda: closed(provider))
        took.append(time.monotonic() - left)
        provider.reads.set()
    assert min(took) <= 0.2 + stalls.granted_s, took


def closed(provider: Slow) -> bool:
    """Whether nobody has a connection to the provider open, whatever that has not read."""
    port = int(provider.url.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    states = [line.split()[3] for line in lines if line.split()[2].endswith(f":{port:04X}")]
    return "01" not in states


@pytest.mark.parametrize("status", [401, 413, 400])
def test_who_answers_before_all_has_come_is_heard_at_once(connect, edge, provider, status):
    provider.early = answer(b'{"error":{"message":"no","type":"invalid_request_error"}}', status)
    client = begun(connect(edge), 64 * MIB)
    client.send(BLOCK)
    got, headers = client.head()
    assert got == (503 if status == 401 else status)
    assert headers["connection"] == "close"


def test_what_is_held_in_full_goes_to_another_upstream(connect, front, tmp_path):
    refuses, takes = Slow(early=answer(b'{"error":{"message":"busy"}}', 503)), Slow()
    edge = Edge(tmp_path, config(refuses, takes), front=front)
    with refuses, takes, running(edge):
        form = b"".join(parts(3))
        client = begun(connect(edge), len(form))
        client.send(BLOCK)
        until(lambda: takes.uploads and takes.uploads[0].size >= MIB)
        client.send(BLOCK + BLOCK + b"\r\n--b--\r\n")
        assert client.head()[0] == 200
        assert (takes.uploads[0].size, takes.uploads[0].digest) == expected(3)


def test_once_more_is_sent_than_is_kept_nobody_else_is_asked(front, tmp_path):
    refuses, takes = Slow(answers=lambda _: answer(b'{"error":{"message":"busy"}}', 503)), Slow()
    edge = Edge(tmp_path, config(refuses, takes), front=front)
    with refuses, takes, running(edge):
        got = httpx2.post(
            edge.url + PATH, content=parts(6), headers={"content-type": "multipart/form-data; boundary=b"}, timeout=60
        )
        assert got.status_code == 503
        assert got.json()["error"]["message"] == "busy"
        assert not takes.uploads


def test_a_model_behind_a_file_is_looked_for_as_far_as_a_body_may_be_long(edge, provider):
    headers = {"content-type": "multipart/form-data; boundary=b"}
    file = part(b"file", BLOCK, b'; filename="a.wav"')
    got = httpx2.post(edge.url + PATH, content=file + part(b"model", b"ears") + b"--b--", headers=headers)
    assert got.status_code == 200, got.text
    got = httpx2.post(edge.url + PATH, content=file * 3 + part(b"model", b"ears") + b"--b--", headers=headers)
    assert got.status_code == 413
    assert "before the file" in got.json()["error"]["message"]
    assert len(provider.uploads) == 1


@pytest.mark.parametrize("behind", [part(b"model", b"gpt-9"), b"--b--\r\nmore"])
def test_a_form_that_turns_out_to_be_unsound_never_gets_its_end(connect, edge, provider, behind):
    file = part(b"file", BLOCK, b'; filename="a.wav"')
    form = part(b"model", b"ears") + file + behind + b"--b--\r\n"
    client = connect(edge)
    client.send(f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\n{KIND}\r\ncontent-length: {len(form)}\r\n\r\n".encode())
    client.send(form[: 1 << 19])
    until(lambda: provider.uploads and provider.uploads[0].size > 100)
    client.send(form[1 << 19 :])
    status, headers = client.head()
    assert status == 400, client.body(headers)
    until(lambda: provider.uploads[0].closed)
    assert not provider.uploads[0].whole


def test_a_form_beyond_its_bound_is_a_413_whether_it_says_so_or_not(connect, edge, provider):
    client = begun(connect(edge), 257 * MIB)
    assert client.head()[0] == 413
    assert not provider.uploads


def test_one_in_chunks_is_broken_off_where_its_bound_is_passed(front, tmp_path):
    with Slow() as provider:
        edge = Edge(tmp_path, config(provider, max_form_bytes=6 * MIB), front=front)
        with running(edge), Client(edge.port) as client:
            head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\n{KIND}\r\ntransfer-encoding: chunked\r\n\r\n"
            client.send(head.encode())
            with contextlib.suppress(ConnectionError):
                for data in parts(8):
                    client.send(b"%x\r\n%b\r\n" % (len(data), data))
            assert client.head()[0] == 413
            until(lambda: provider.uploads[0].closed)
            assert not provider.uploads[0].whole


def test_who_expects_a_continue_gets_one_and_sends_the_rest(connect, edge, provider):
    client = connect(edge)
    form = b"".join(parts(2))
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\n{KIND}\r\ncontent-length: {len(form)}\r\n"
    client.send(f"{head}expect: 100-continue\r\n\r\n".encode())
    assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    client.send(form)
    assert client.head()[0] == 200
    assert (provider.uploads[0].size, provider.uploads[0].digest) == expected(2)


def test_a_provider_that_takes_nothing_more_is_given_up(connect, edge, provider):
    provider.reads.clear()
    client = begun(connect(edge), 64 * MIB)
    client.sock.settimeout(20)
    try:
        for _ in range(60):
            client.sock.sendall(BLOCK)
    except OSError:
        pass
    status, _ = client.head()
    assert status == 504


def test_a_client_that_takes_longer_than_an_answer_may_is_served(connect, edge, provider):
    form = b"".join(parts(1))
    client = begun(connect(edge), len(form))
    for at in range(0, MIB, MIB // 8):
        time.sleep(0.5)  # four seconds, where an attempt has three
        client.send(BLOCK[at : at + MIB // 8])
    client.send(b"\r\n--b--\r\n")
    assert client.head()[0] == 200


def test_openais_sdk_uploads_a_large_file_and_has_a_large_one_heard(edge, provider, tmp_path):
    path = tmp_path / "talk.wav"
    with path.open("wb") as file:
        for _ in range(24):
            file.write(BLOCK)
    client = openai.OpenAI(base_url=f"{edge.url}/v1", api_key="none", max_retries=0)
    with client, path.open("rb") as file:
        assert client.audio.transcriptions.create(model="ears", file=file).text == "heard"
    made = {"id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "talk.wav", "purpose": "batch"}
    provider.answers = lambda _: answer(json.dumps(made | {"status": "processed"}).encode(), connection="close")
    with openai.OpenAI(base_url=f"{edge.url}/v1", api_key="none", max_retries=0) as client, path.open("rb") as file:
        assert client.files.create(file=file, purpose="batch").id == "file-1"
    provider.answers = lambda _: HEARD
    assert all(upload.whole and upload.size > 24 * MIB for upload in provider.uploads)
    assert len(provider.uploads) == 2
