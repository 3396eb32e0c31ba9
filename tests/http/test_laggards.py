"""Clients that share a stream and cannot keep up with it."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from tests.harness import Canned, Client, Edge, chunked, providers, running
from tests.http.test_crowds import CHAT, dechunked

CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,%b}]}\n\n'
DELTA = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}'
LAGGING = {
    "chat": (
        CHAT,
        "gpt-4o",
        CHUNK % b'"delta":{"content":"%b"},"finish_reason":null',
        CHUNK % b'"delta":{},"finish_reason":"stop"' + b"data: [DONE]\n\n",
        b'data: {"error":',
    ),
    "messages": (
        "/v1/messages",
        "claude-haiku-4-5",
        b"event: content_block_delta\ndata: " + DELTA + b"\n\n",
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        b'event: error\ndata: {"type":"error",',
    ),
}


def rest_of(client):
    """What is still to come of a chunked reply."""
    got = bytearray(client.buffer)
    while not got.endswith(b"\r\n0\r\n\r\n"):
        data = client.sock.recv(1 << 20)
        assert data, "the connection ended before the reply"
        got += data
    return dechunked(bytes(got))


@pytest.mark.parametrize("api", LAGGING)
def test_a_follower_that_is_let_go_is_told_so(api, front, tmp_path):
    path, model, event, end, error = LAGGING[api]
    go = threading.Event()
    more = chunked([event % (b"x" * 100_000)], end=False).partition(b"\r\n\r\n")[2]

    def upstream(_, connection):
        connection.sendall(chunked([event % b"first"], end=False))
        go.wait(20)
        for _ in range(240):
            connection.sendall(more)
        return chunked([end]).partition(b"\r\n\r\n")[2]

    with Canned(upstream) as canned:
        made = Edge(tmp_path, {"providers": providers(canned.url), "cache": {"mode": "all"}}, front=front)
        with running(made), Client(made.port) as fast, Client(made.port) as slow:
            slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            body = json.dumps({"model": model, "max_tokens": 9, "stream": True, "messages": []}).encode()
            fast.post(path, body)
            assert fast.head()[0] == 200
            slow.post(path, body)
            assert slow.head()[1]["x-edge-cache"] == "joined"
            go.set()
            assert rest_of(fast).endswith(end)
            slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            *_, last, nothing = rest_of(slow).split(b"\n\n")
            assert last.startswith(error)
            assert b"too slow" in last
            assert nothing == b""
        assert len(canned.seen) == 1
