"""The turns of a connection under attack: what follows a closing answer, what is never read, who leaves when."""

from __future__ import annotations

import time

import pytest

from tests.harness import MINIMAL, Canned, Client, Edge, answer, minimal, providers, running, until
from tests.hurried import hurried

CHAT = b'{"model":"gpt-4o","messages":[]}'


@pytest.fixture(scope="module")
def upstream():
    with Canned() as canned:
        canned.reply = minimal
        yield canned


@pytest.fixture
def edge(upstream, front, tmp_path):
    config = {
        "providers": providers(upstream.url),
        "server": {"max_in_flight": 8, "max_body_bytes": 100_000},
        "resilience": {"connect_s": 1, "first_content_s": 20, "idle_s": 20, "total_s": 30},
    }
    made = Edge(tmp_path, config, front=front)
    with running(made):
        yield made


def post(body: bytes = CHAT, *headers: str, start: str = "POST /v1/chat/completions HTTP/1.1") -> bytes:
    lines = [start, "host: localhost", "content-type: application/json", *headers, f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def rest(client: Client) -> bytes:
    """All that comes until the connection ends."""
    data, client.buffer = client.buffer, b""
    while True:
        try:
            piece = client.sock.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


def has_capacity(edge) -> None:
    """Soon nothing is in flight: eight requests at once are admitted."""
    until(lambda: eight_at_once(edge) == [200] * 8)


def eight_at_once(edge) -> list[int]:
    clients = [Client(edge.port) for _ in range(8)]
    try:
        for client in clients:
            client.send(post(CHAT)[:-1])
        time.sleep(0.2)
        for client in clients:
            client.send(CHAT[-1:])
        return [client.head()[0] for client in clients]
    finally:
        for client in clients:
            client.sock.close()


def test_nothing_is_executed_after_an_answer_that_closes(edge, upstream):
    upstream.reply = minimal
    upstream.seen.clear()
    closing = post(CHAT, "connection: close")
    too_large = post(b"x" * 200_000)
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/x\r\n"
    chunks = f"{head}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".encode()
    for first in (too_large, chunks, closing):
        with Client(edge.port) as client:
            client.send(first + post(b'{"model":"gpt-4o","after":1}'))
            assert rest(client).count(b"HTTP/1.1 ") == 1
            time.sleep(0.3)
    assert not [seen for seen in upstream.seen if b"after" in seen.body]
    has_capacity(edge)


def test_clients_that_leave_as_an_answer_comes_free_their_place(edge, upstream):
    """With a second request waiting, whose task is made in the same moment."""

    def slow(_seen, _connection):
        time.sleep(0.02)
        return answer(MINIMAL["chat/completions"])

    upstream.reply = slow
    for i in range(120):
        client = Client(edge.port)
        client.send(post() + post() + post())
        time.sleep(0.018 + (i % 40) * 0.0001)
        client.reset() if i % 2 else client.sock.close()
    upstream.reply = minimal
    has_capacity(edge)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_wish_for_an_upgrade_does_not_change_the_version(edge, upstream, version):
    upstream.reply = minimal
    with Client(edge.port) as client:
        start = f"POST /v1/chat/completions HTTP/{version}"
        client.send(post(CHAT, "connection: upgrade", "upgrade: h2c", start=start))
        status, headers = client.head()
        assert status == (200 if version == "1.0" else 400)
        assert headers["connection"] == "close"
        assert "transfer-encoding" not in headers


def test_many_upgrades_in_one_segment_are_read_one_after_the_other(edge):
    wish = b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
    count = 3000
    with Client(edge.port) as client:
        client.sock.settimeout(60)
        client.send(wish * count)
        client.send(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert rest(client).count(b"HTTP/1.1 200") == count + 1
    assert "RecursionError" not in edge.process.output


@pytest.mark.parametrize("endless", [b"0\r\nx-late: ", b"1;x="], ids=["a trailer", "a chunk extension"])
def test_what_is_neither_head_nor_body_is_bounded(edge, endless):
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    with Client(edge.port) as client:
        client.send(head + b"1\r\n{\r\n" + endless + b"x" * 600_000)
        assert client.head()[0] == 431
    has_capacity(edge)


def test_an_answer_to_an_unfinished_upload_arrives(edge):
    """Ten at once: the connection is not reset over what the client is still sending."""
    for _ in range(10):
        with Client(edge.port) as client:
            client.send(post(b"x" * 3_000_000))
            status, headers = client.head()
            assert (status, headers["connection"]) == (413, "close")
            assert b"error" in client.body(headers)


def test_a_pipelined_request_that_expects_to_be_asked_waits_for_its_turn(upstream, front, tmp_path):
    """Longer than a body may take to come: nobody has asked for it yet."""
    edge = Edge(tmp_path, {"providers": providers(upstream.url)}, front=front, program=hurried(BODY_IDLE_S=3.0))

    def slow(seen, _connection):
        time.sleep(5 if b"slow" in seen.body else 0)
        return answer(MINIMAL["chat/completions"])

    upstream.reply = slow
    body = b'{"model":"gpt-4o","slow":1}'
    with running(edge), Client(edge.port) as client:
        client.sock.settimeout(60)
        client.send(post(body) + post(CHAT, "expect: 100-continue")[: -len(CHAT)])
        status, headers = client.head()
        client.body(headers)
        assert status == 200
        assert client.head()[0] == 100
        client.send(CHAT)
        assert client.head()[0] == 200


def test_a_request_that_breaks_before_it_is_asked_for_is_refused_and_forgotten(edge, upstream):
    upstream.reply = minimal
    head = post(CHAT, "expect: 100-continue", "transfer-encoding: chunked").partition(b"content-length")[0]
    for _ in range(8):
        with Client(edge.port) as client:
            client.send(head + b"\r\nno size\r\n")
            got = rest(client)
            assert b"HTTP/1.1 400 " in got
            assert b"HTTP/1.1 100 " not in got.partition(b"HTTP/1.1 400 ")[2]
    has_capacity(edge)
