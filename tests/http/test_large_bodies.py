"""Large bodies: what they may have, how much is held of them, and what is left when they are gone. At both fronts."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.harness import Canned, Client, Edge, answer, chunked, providers, running, until

pytestmark = pytest.mark.heavy

MIB = 1 << 20
HEAD = b'{"model":"gpt-4o","max_tokens":9,"messages":['
ANSWER = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def upstream():
    with Canned(answer(ANSWER)) as made:
        yield made


@pytest.fixture(scope="module", params=["lane", "asgi"])
def edge(request, upstream, tmp_path_factory):
    limits = {"max_buffered_bytes": 48 * MIB}
    cache = {"mode": "all"}
    made = Edge(
        tmp_path_factory.mktemp("edge"),
        {"providers": providers(upstream.url), "server": limits, "cache": cache},
        front=request.param,
        forked=False,
    )
    with running(made):
        assert post(made, talk(b"warm")).status_code == 200
        yield made


def post(edge: Edge, body: bytes, path: str = "/v1/chat/completions") -> httpx2.Response:
    return httpx2.post(f"{edge.url}{path}", content=body, headers=JSON, timeout=60)


def talk(text: bytes, model: bytes = b"gpt-4o") -> bytes:
    return HEAD.replace(b"gpt-4o", model) + b'{"role":"user","content":"%b"}]}' % text


def memory_of(edge: Edge) -> int:
    """Bytes that the worker has in memory of its own."""
    found = subprocess.run(["pgrep", "-P", str(edge.process.pid)], capture_output=True, text=True, check=True)
    return sum(
        int(line.split()[1]) * 1024
        for pid in found.stdout.split()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("RssAnon")
    )


TOO_MUCH = {
    "keys": (lambda: HEAD + b'{"a":1},' * 4_000_000 + b"1]}", "more than 100000 keys below the top level"),
    "values": (lambda: HEAD + b"1," * 9_000_000 + b"1]}", "more than 1000000 values"),
    "top": (
        lambda: b'{"model":"gpt-4o"%b}' % b"".join(b',"%d":1' % i for i in range(1001)),
        "more than 1000 keys at the top",
    ),
}


@pytest.mark.parametrize("kind", TOO_MUCH)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_what_has_more_keys_or_values_than_are_read_is_refused(edge, kind, path, upstream):
    make, reason = TOO_MUCH[kind]
    before = len(upstream.seen)
    refused = post(edge, make(), path)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert reason in error["message"]
    assert (error.get("code") == "invalid_json") == (path == "/v1/chat/completions")
    assert len(upstream.seen) == before


def test_a_large_body_passes_as_it_came(edge, upstream):
    body = talk(b"x" * (20 * MIB))
    assert post(edge, body).json()["choices"]
    assert upstream.seen[-1].body == body


def test_what_a_translation_would_take_too_long_for_is_refused(edge):
    small = (
        HEAD.replace(b"gpt-4o", b"claude-sonnet-4-5") + b",".join([b'{"role":"user","content":"x"}'] * 30_000) + b"]}"
    )
    refused = post(edge, small)
    assert refused.status_code == 400
    assert "more than 65,536 values is not translated" in refused.json()["error"]["message"]


@pytest.mark.parametrize("size", [300_000, 20 * MIB])
def test_a_large_document_crosses_whole_in_both_directions(edge, upstream, size):
    data = os.urandom(size * 3 // 4 // 3 * 3).hex()[:size]
    block = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}
    body = HEAD + b'{"role":"user","content":[%b,{"type":"text","text":"What is it?"}]}]}' % json.dumps(block).encode()
    assert post(edge, body, "/v1/messages").status_code == 200
    url = f"data:application/pdf;base64,{data}"
    assert json.loads(upstream.seen[-1].body)["messages"][0]["content"][0]["file"]["file_data"] == url
    part = json.dumps({"type": "file", "file": {"filename": "a.pdf", "file_data": url}}).encode()
    chat = HEAD.replace(b"gpt-4o", b"claude-sonnet-4-5") + b'{"role":"user","content":[%b]}]}' % part
    post(edge, chat)
    assert json.loads(upstream.seen[-1].body)["messages"][0]["content"][0]["source"]["data"] == data


def test_a_large_answer_crosses_whole(tmp_path):
    text = "é\n" * (2 * MIB)
    said = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
    with Canned(answer(said.encode())) as upstream:
        edge = Edge(tmp_path, {"providers": providers(upstream.url)}, forked=False)
        with running(edge):
            got = post(edge, talk(b"x"), "/v1/messages").json()
    assert got["content"][0]["text"] == text
    assert got["usage"]["estimated"]


def test_the_model_of_a_large_body_is_spliced_in_and_nothing_else_changed(upstream, tmp_path):
    edge = Edge(
        tmp_path, {"providers": providers(upstream.url), "models": {"smart": {"upstreams": [{"to": "openai/gpt-4o"}]}}}
    )
    body = talk(os.urandom(2 * MIB).hex().encode(), b"smart")
    with running(edge):
        assert post(edge, body).status_code == 200
    assert upstream.seen[-1].body == body.replace(b'"smart"', b'"gpt-4o"')


def test_tokens_of_a_large_talk_are_estimated(edge):
    body = talk(b"four" * (2 * MIB))
    counted = post(edge, body, "/v1/messages/count_tokens")
    assert counted.headers["x-edge-estimated"] == "true"
    assert 2 * MIB <= counted.json()["input_tokens"] < 2 * MIB + 100


@pytest.mark.parametrize("size", [0, 1, 300_000, 3 * MIB])
def test_a_body_of_any_size_comes_together_again_in_any_pieces(edge, upstream, size):
    body = talk(os.urandom(size // 2 + 1).hex()[:size].encode())
    for piece in (len(body), 1 + len(body) // 2, 1 + len(body) // 77):
        with Client(edge.port) as client:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            client.send(head.encode())
            for at in range(0, len(body), piece):
                client.send(body[at : at + piece])
            assert client.head()[0] == 200
    assert {seen.body for seen in upstream.seen if len(seen.body) == len(body)} >= {body}


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
def test_chunks_of_two_bytes_take_what_they_are_and_what_was_taken_goes_back(edge):
    size = 8 * MIB
    body = talk(b"x" * size)
    pieces = b"".join(b"2\r\n%b\r\n" % body[at : at + 2] for at in range(0, len(body) - 1, 2))
    last = body[len(body) // 2 * 2 :]
    pieces += (b"1\r\n%b\r\n" % last if last else b"") + b"0\r\n\r\n"
    before = memory_of(edge)
    with Client(edge.port) as client:
        client.sock.settimeout(60)
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        client.send(b"transfer-encoding: chunked\r\n\r\n" + pieces[:-5])
        time.sleep(0.5)
        most = memory_of(edge)
        client.send(pieces[-5:])
        assert client.head()[0] == 200
    deadline = time.monotonic() + 30
    while (after := memory_of(edge)) > before + size // 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    print(
        f"\n{size / 1e6:.0f} MB in chunks of 2 bytes: {(most - before) / 1e6:.1f} MB more, {(after - before) / 1e6:.1f} after"
    )
    assert most - before < 4 * size
    assert after <= before + size // 2


def test_others_have_their_turn_while_one_sends_chunks_of_two_bytes(edge):
    """What comes at once is read in parts of 256 KiB, of which this is a hundred and more."""
    body = talk(b"x" * (8 * MIB))
    body += b" " * (len(body) % 2)
    chunks = b"".join(b"2\r\n%b\r\n" % body[at : at + 2] for at in range(0, len(body), 2)) + b"0\r\n\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    turns = 0
    with Client(edge.port) as client, Client(edge.port) as other, ThreadPoolExecutor(1) as thread:
        client.sock.settimeout(60)
        other.sock.settimeout(60)
        sending = thread.submit(client.send, head + b"transfer-encoding: chunked\r\n\r\n" + chunks)
        while not sending.done():
            other.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            other.body(other.head()[1])
            turns += 1
        sending.result()
        assert client.head()[0] == 200
    print(f"\n{turns} answers meanwhile")
    assert turns > 40


def test_bodies_are_bounded_in_sum_and_what_is_beyond_is_told_when_to_ask_again(edge, upstream):
    body = talk(b"x" * (20 * MIB))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    waiting = [Client(edge.port) for _ in range(2)]
    for client in waiting:
        client.send(head.encode() + body[:-1])
    until(lambda: post(edge, body).status_code == 503)  # once it has come, all that the two have sent
    refused = post(edge, body)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "overloaded"
    assert refused.headers["retry-after"]
    assert post(edge, talk(b"small")).status_code == 200
    for client in waiting:
        client.send(body[-1:])
        assert client.head()[0] == 200
        client.sock.close()
    for _ in range(5):  # all of it is free again
        assert post(edge, body).status_code == 200


def test_those_who_leave_hold_nothing(edge):
    body = talk(b"x" * (20 * MIB))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    for leave in (Client.reset, lambda client: client.sock.close()) * 3:
        client = Client(edge.port)
        client.send(head.encode() + body[: 15 * MIB])
        leave(client)
    until(lambda: post(edge, body).status_code == 200)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_large_answer_in_small_chunks_arrives_whole_and_its_tokens_are_counted(edge, upstream, path):
    text = b"y" * MIB
    whole = ANSWER.replace(b'"hi"', b'"%b"' % text)[:-1] + b',"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    upstream.reply = chunked([whole[at : at + 1000] for at in range(0, len(whole), 1000)], "application/json")
    try:
        got = post(edge, talk(b"large answer " + path.encode()), path)
    finally:
        upstream.reply = answer(ANSWER)
    assert text.decode() in got.text
    usage = got.json()["usage"]
    assert (usage.get("prompt_tokens") or usage.get("input_tokens")) == 3


def test_a_megabyte_of_error_is_told_in_short_where_it_is_translated(edge, upstream):
    body = b'{"error":{"message":"%b","type":"invalid_request_error"}}' % (b"sk-abcdefgh " * 90_000)
    upstream.reply = answer(body, status=400)
    try:
        as_it_is, told = post(edge, talk(b"an error")), post(edge, talk(b"an error"), "/v1/messages")
    finally:
        upstream.reply = answer(ANSWER)
    assert (as_it_is.status_code, as_it_is.content) == (400, body)
    assert told.status_code == 400
    assert told.json()["error"]["type"] == "invalid_request_error"
    assert len(told.content) < 10_000
    assert "abcdefgh" not in told.text
