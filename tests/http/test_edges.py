"""The edges of the process: what a connection may do in all, and what a body may be. R23 over the wire."""

from __future__ import annotations

import json
import time

import pytest

from tests.harness import Canned, Client, Edge, minimal, providers, running
from tests.unit.test_json_suite import VECTORS

SMALL = b'{"model":'
MOST = 10_000


@pytest.fixture(scope="module")
def upstream():
    with Canned(minimal) as made:
        yield made


@pytest.fixture(scope="module")
def own(upstream, front, tmp_path_factory):
    config = {"providers": providers(upstream.url), "server": {"max_messages": 20, "max_tools": 10, "max_images": 5}}
    edge = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(edge):
        yield edge


def test_a_connection_ends_with_its_ten_thousandth_answer(own):
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % len(SMALL) + SMALL
    )
    with Client(own.port) as client:
        asked = closed = 0
        while asked < MOST:
            many = min(50, MOST - asked)
            client.send(request * many)
            for _ in range(many):
                status, headers = client.head()
                client.body(headers)
                assert status == 400
                asked += 1
                closed += headers.get("connection") == "close"
                assert (asked == MOST) == (headers.get("connection") == "close")
        assert client.rest() == b""
    print(f"{asked} requests on one connection, then it ended")


def test_every_body_of_the_suite_gets_an_answer_that_is_no_500(own, upstream, stalls):
    taken = refused = 0
    slowest = 0.0
    with Client(own.port) as client:
        for name, text in VECTORS.items():
            body = b'{"model":"gpt-4o","messages":[],"extra":' + text.encode() + b"}"
            begun = time.monotonic()
            client.post("/v1/chat/completions", body)
            status, headers = client.head()
            said = client.body(headers)
            slowest = max(slowest, time.monotonic() - begun)
            assert status in (200, 400), (name, status, said)
            if name[0] == "y":
                assert status == 200, (name, said)
                assert upstream.seen[-1].body == body
            if name[0] == "n":
                assert status == 400, name
            taken += status == 200
            refused += status == 400
            if "connection" in headers:
                pytest.fail(f"the connection ended after {name}")
    print(f"{len(VECTORS)} bodies: {taken} passed to the provider, {refused} refused, slowest {slowest * 1000:.0f} ms")
    assert slowest < 1 + stalls.granted_s


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": "hi"}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}] * 21}, "messages"),
        ("/v1/chat/completions", {"messages": [], "tools": [{"type": "function"}] * 11}, "tools"),
        ("/v1/embeddings", {"input": 5}, "input"),
        ("/v1/responses", {"input": {}}, "input"),
        ("/v1/messages", {"messages": 5, "max_tokens": 5}, "messages"),
    ],
)
def test_what_has_not_the_shape_of_its_api_is_refused_with_the_field(own, upstream, path, body, param):
    asked = len(upstream.seen)
    with Client(own.port) as client:
        client.post(path, json.dumps({"model": "claude-x" if "messages" in path else "gpt-4o", **body}).encode())
        status, headers = client.head()
        error = json.loads(client.body(headers))["error"]
    assert status == 400
    assert param in error["message"] or error.get("param") == param
    assert len(upstream.seen) == asked, "nobody was asked"


@pytest.mark.parametrize("http2", [False, True])
def test_a_host_that_leads_to_a_clouds_metadata_is_never_asked(tmp_path, http2):
    pytest.importorskip("h2")
    provider = {"dialect": "openai", "base_url": "http://169.254.169.254/v1", "http2": http2}
    from edge.config.file import ConfigError, parse

    with pytest.raises(ConfigError, match="its own credentials"):
        parse(json.dumps({"providers": {"p": provider}}), "x.json", {})
