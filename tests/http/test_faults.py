"""Upstreams that fail, and clients that leave."""

from __future__ import annotations

import json
import socket
import time

import httpx2
import pytest

from tests.harness import MINIMAL, Canned, Client, Edge, answer, chunked, providers, running

pytestmark = pytest.mark.early

PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "completions": "/v1/completions",
}
TERMINALS = {
    "chat": b"[DONE]",
    "messages": b"message_stop",
    "responses": b"response.completed",
    "completions": b"[DONE]",
}


def body(api: str, model: str, stream: bool = False) -> bytes:
    said = [{"role": "user", "content": "hi"}]
    fields = {
        "chat": {"messages": said},
        "messages": {"messages": said, "max_tokens": 1000},
        "responses": {"input": "hi"},
        "completions": {"prompt": "hi"},
    }[api]
    return json.dumps({"model": model, "stream": stream, **fields}).encode()


def ask(edge, api, model, stream=False, *headers):
    with Client(edge.port) as client:
        client.post(PATHS[api], body(api, model, stream), *headers)
        status, got = client.head()
        return status, got, client.body(got)


def last_event(stream: bytes) -> tuple[str, dict]:
    lines = dict(line.split(": ", 1) for line in stream.decode().rstrip("\n").split("\n\n")[-1].split("\n"))
    return lines.get("event", "message"), json.loads(lines["data"])


def expect_in_band(api, stream, code="upstream_stream_broken", kind="api_error"):
    """The stream ends in an error event of its dialect, and nothing says that it is complete."""
    name, data = last_event(stream)
    assert TERMINALS[api] not in stream
    if api == "messages":
        assert (name, data["type"], data["error"]["type"]) == ("error", "error", kind)
        assert data["error"]["message"]
    elif api == "responses":
        assert (name, data["type"], data["code"]) == ("error", "error", code)
    else:
        assert (name, data["error"]["code"]) == ("message", code)


class TestBrokenStreams:
    @pytest.mark.parametrize("api", PATHS)
    @pytest.mark.parametrize("fault", ["cut-9", "rst-3000"])
    def test_an_upstream_that_dies_midway_ends_in_an_error_event(self, edge, api, fault):
        status, _, got = ask(edge, api, f"sim-words-40-{fault}", True)
        assert status == 200
        expect_in_band(api, got)
        assert got.count(b"\n\n") > 3, "what came before is there"

    @pytest.mark.parametrize("api", PATHS)
    def test_dying_before_the_first_content_is_a_true_502(self, edge, api):
        for fault in ("cut", "rst", "cut-1"):
            # A completion's first event is content already.
            if (api, fault) == ("completions", "cut-1"):
                continue
            status, headers, got = ask(edge, api, f"sim-{fault}", True)
            assert (status, headers["content-type"]) == (502, "application/json"), fault
            assert json.loads(got)["error"]["message"]

    @pytest.mark.parametrize("api", PATHS)
    def test_a_stream_cut_at_any_byte_is_never_taken_for_complete(self, simulator, tmp_path, api):
        with httpx2.Client() as client:
            whole = client.post(simulator.url + PATHS[api], content=body(api, "sim-words-6", True)).content
        terminal_at = whole.rindex(TERMINALS[api]) + len(TERMINALS[api])
        if api == "responses":
            terminal_at = len(whole.rstrip(b"\n"))
        cut = [0]

        def reply(_seen, connection):
            connection.sendall(chunked([whole[: cut[0]]], end=False))
            connection.close()

        with Canned(reply) as upstream:
            edge = Edge(tmp_path, {"providers": providers(upstream.url)})
            checked = 0
            with running(edge):
                for cut[0] in [*range(1, len(whole), 7), *range(terminal_at - 3, len(whole))]:
                    status, _, got = ask(edge, api, "gpt-4o" if api != "messages" else "claude-x", True)
                    if cut[0] < terminal_at:
                        if status == 200:
                            expect_in_band(api, got)
                            events = got[: got.rstrip(b"\n").rindex(b"\n\n") + 2]
                            assert whole.startswith(events), "whole events of the original, then the error"
                        else:
                            assert status == 502
                        checked += 1
                    elif cut[0] == len(whole):
                        assert got == whole, "all was said: only the framing of the end is missing"
        print(f"\n{api}: cut at {checked} places: 0 taken for complete")

    def test_a_clean_end_without_the_terminal_event_is_no_end(self, tmp_path):
        event = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
        finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        upstream = Canned(chunked([event, event]))
        with upstream:
            edge = Edge(tmp_path, {"providers": providers(upstream.url)})
            with running(edge):
                expect_in_band("chat", ask(edge, "chat", "gpt-4o", True)[2])
                upstream.reply = chunked([event, finish])
                assert ask(edge, "chat", "gpt-4o", True)[2] == event + finish, "a server that leaves [DONE] out"

    def test_an_error_inside_the_stream_passes_and_is_not_doubled(self, tmp_path):
        first = b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n'
        error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
        upstream = Canned(chunked([first, error]))
        with upstream:
            edge = Edge(tmp_path, {"providers": providers(upstream.url)})
            with running(edge):
                assert ask(edge, "messages", "claude-x", True)[2] == first + error
                # Before the first content it keeps its true status.
                start = (
                    b'event: message_start\ndata: {"type":"message_start","message":{}}\n\nevent: ping\ndata: {}\n\n'
                )
                upstream.reply = chunked([start, error])
                status, headers, got = ask(edge, "messages", "claude-x", True)
                assert (status, headers["content-type"]) == (529, "application/json")
                assert json.loads(got)["error"]["type"] == "overloaded_error"
                upstream.reply = chunked(
                    [b'data: {"error":{"message":"slow down","type":"rate_limit_error","code":null}}\n\n']
                )
                assert ask(edge, "chat", "gpt-4o", True)[0] == 429


class TestBrokenAnswers:
    @pytest.mark.parametrize("api", PATHS)
    @pytest.mark.parametrize("fault", ["cut", "cut-50", "rst", "rst-50"])
    def test_a_truncated_json_answer_is_a_502(self, edge, api, fault):
        status, headers, got = ask(edge, api, f"sim-{fault}")
        assert status == 502
        assert headers["content-type"] == "application/json"
        assert json.loads(got)["error"]["message"]

    def test_a_provider_that_is_not_there_is_a_502(self, tmp_path):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
            edge = Edge(tmp_path, {"providers": providers(f"http://127.0.0.1:{unused.getsockname()[1]}")})
            with running(edge):
                status, _, got = ask(edge, "chat", "gpt-4o")
                assert (status, json.loads(got)["error"]["code"]) == (502, "upstream_unreachable")

    def test_what_comes_after_an_answer_is_never_the_next_ones(self, tmp_path):
        """A second response on the same connection, or surplus bytes: whoever asks next must not get them."""
        mine = MINIMAL["chat/completions"]
        surplus = answer(mine) + answer(mine.replace(b'"id":"c"', b'"id":"of nobody"'))
        with Canned(surplus) as upstream:
            edge = Edge(tmp_path, {"providers": providers(upstream.url)})
            with running(edge):
                for _ in range(30):
                    status, _, got = ask(edge, "chat", "gpt-4o")
                    assert (status, got) == (200, mine) or status == 502

    @pytest.mark.parametrize(
        "reply",
        [
            b"",
            b"garbage\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        ],
    )
    def test_what_is_no_http_is_a_502(self, tmp_path, reply):
        with Canned(reply, closes=True) as upstream:
            edge = Edge(tmp_path, {"providers": providers(upstream.url)})
            with running(edge):
                assert ask(edge, "chat", "gpt-4o")[0] == 502

    def test_hostile_headers_do_not_cross(self, tmp_path):
        reply = b"HTTP/1.1 200 OK\r\nretry-after: 1\x00\r\nx-ratelimit-a: \xff\xfe\r\ncontent-type: a/b\x1b[31m\r\ncontent-length: 2\r\n\r\n{}"
        with Canned(reply) as upstream:
            edge = Edge(tmp_path, {"providers": providers(upstream.url)})
            with running(edge):
                status, headers, _ = ask(edge, "chat", "gpt-4o")
                assert status in (200, 502)
                assert "\x1b" not in str(headers)


class TestClocks:
    """connect 1 s, first content 1.5 s, idle 1 s, total 4 s; each tolerance 0.25 s, plus what CI needs to schedule."""

    def timed(self, edge, api, model, stream, *headers):
        begun = time.monotonic()
        result = ask(edge, api, model, stream, *headers)
        return time.monotonic() - begun, result

    @pytest.mark.parametrize("api", ["chat", "messages"])
    def test_silence_before_the_head_of_a_stream(self, edge, api, stalls):
        took, (status, _, _) = self.timed(edge, api, "sim-hang", True)
        assert status == 504
        assert took == pytest.approx(1.5, abs=0.25 + stalls.granted_s)

    def test_silence_before_the_first_content(self, edge, stalls):
        took, (status, _, _) = self.timed(edge, "messages", "sim-hang-2", True)
        assert status == 504
        assert took == pytest.approx(1.5, abs=0.25 + stalls.granted_s)

    @pytest.mark.parametrize("api", ["chat", "messages", "responses"])
    def test_silence_after_content(self, edge, api, stalls):
        took, (status, _, got) = self.timed(edge, api, "sim-words-30-hang-8", True)
        assert status == 200
        expect_in_band(api, got, "timeout", "timeout_error")
        assert took == pytest.approx(1.0, abs=0.25 + stalls.granted_s)

    def test_silence_instead_of_json(self, edge, stalls):
        took, (status, _, got) = self.timed(edge, "chat", "sim-hang", False)
        assert (status, json.loads(got)["error"]["code"]) == (504, "timeout")
        assert took == pytest.approx(4.0, abs=0.25 + stalls.granted_s)

    def test_a_stream_that_never_ends(self, edge, stalls):
        took, (status, _, got) = self.timed(edge, "chat", "sim-words-1000-tps-20", True)
        assert status == 200
        expect_in_band("chat", got, "timeout")
        assert took == pytest.approx(4.0, abs=0.25 + stalls.granted_s)

    def test_the_client_may_set_a_shorter_deadline(self, edge, stalls):
        took, (status, _, _) = self.timed(edge, "chat", "sim-hang", False, "x-edge-timeout-ms: 500")
        assert status == 504
        assert took == pytest.approx(0.5, abs=0.25 + stalls.granted_s)

    def test_but_not_a_longer_one(self, edge, stalls):
        took, (status, _, _) = self.timed(edge, "chat", "sim-hang", True, "x-edge-timeout-ms: 60000")
        assert status == 504
        assert took == pytest.approx(1.5, abs=0.25 + stalls.granted_s)


class TestDisconnects:
    """A client that leaves, however and whenever, closes its upstream within 100 ms."""

    @pytest.mark.parametrize("how", ["fin", "rst"])
    @pytest.mark.parametrize(
        ("model", "stream", "wait"),
        [
            ("sim-hang", False, False),
            ("sim-hang", True, False),
            ("sim-words-100-tps-20", True, True),
            ("sim-words-30-hang-9", True, True),
            ("sim-ttft-3000", True, False),
        ],
    )
    @pytest.mark.parametrize("api", ["chat", "messages"])
    def test_the_upstream_is_closed(self, edge, simulator, api, model, stream, wait, how, stalls):
        before = simulator.count()
        client = Client(edge.port)
        client.post(PATHS[api], body(api, model, stream))
        if wait:
            client.head()
        simulator.entry(before, lambda entry: entry["complete"])
        time.sleep(0.05)
        left_at = time.monotonic()
        if how == "rst":
            client.reset()
        else:
            client.sock.close()
        entry = simulator.entry(before, lambda entry: entry["left"])
        assert entry["left_at"] - left_at < 0.1 + stalls.granted_s
        assert entry["done_at"] is None

    def test_a_client_that_leaves_inside_its_body_starts_nothing(self, edge, simulator):
        before = simulator.count()
        with Client(edge.port) as client:
            client.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
            )
            time.sleep(0.1)
        time.sleep(0.2)
        assert simulator.count() == before

    def test_connections_are_not_lost_to_those_who_left(self, simulator, tmp_path):
        """A pool of 4, 40 clients that leave, then 4 at once: each gets its connection."""
        edge = Edge(tmp_path, {"providers": providers(simulator.url, max_connections=4)})
        with running(edge):
            for _ in range(40):
                with Client(edge.port) as client:
                    client.post(PATHS["chat"], body("chat", "sim-words-100-tps-50", True))
                    client.head()
            clients = [Client(edge.port) for _ in range(4)]
            for client in clients:
                client.post(PATHS["chat"], body("chat", "sim-ttft-200"))
            for client in clients:
                assert client.head()[0] == 200
                client.sock.close()


def test_every_record_of_a_failure_names_its_kind(simulator, tmp_path):
    """What the metrics say of failures: whose fault, in the closed vocabulary."""
    edge = Edge(tmp_path, {"providers": providers(simulator.url), "resilience": {"total_s": 2}})
    with running(edge):
        for model in ("sim-429", "sim-500", "sim-529", "sim-401", "sim-cut", "sim-hang"):
            ask(edge, "chat", model)
        ask(edge, "chat", "sim-words-30-cut-9", True)
        text = httpx2.get(f"{edge.url}/metrics").text
        found = {
            line.split('error_type="')[1].split('"')[0]
            for line in text.splitlines()
            if line.startswith("edge_errors_total{")
        }
        assert found == {
            "provider_rate_limited",
            "provider_error",
            "provider_overloaded",
            "provider_auth",
            "provider_stream_broken",
            "provider_timeout",
        }
