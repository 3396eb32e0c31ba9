"""The simulator's HTTP server: an asyncio protocol on httptools that writes prebuilt bytes."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httptools

from edge.simulator import anthropic, openai
from edge.simulator.ledger import Entry, Ledger
from edge.simulator.plan import Plan, plan_for

__all__ = ["Simulator", "serve"]

Maker = Callable[[dict[str, Any], Plan], bytes]
StreamMaker = Callable[[dict[str, Any], Plan], list[bytes]]

APIS: dict[str, tuple[bool, Maker, StreamMaker | None]] = {
    "/v1/chat/completions": (False, openai.chat, openai.chat_stream),
    "/v1/completions": (False, openai.completion, openai.completion_stream),
    "/v1/responses": (False, openai.response, openai.response_stream),
    "/v1/embeddings": (False, openai.embeddings, None),
    "/v1/messages": (True, anthropic.message, anthropic.message_stream),
    "/v1/messages/count_tokens": (True, anthropic.token_count, None),
}
"""Path: whether it is Anthropic's, and what makes the answer and the stream."""

OPENAI_MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"]
ANTHROPIC_MODELS = ["claude-sonnet-5", "claude-haiku-4-5"]
REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 405: b"Method Not Allowed", 429: b"Too Many Requests"}
MAX_CACHED = 4096
LINGER_RESET = struct.pack("ii", 1, 0)


def head(status: int, content_type: bytes, extra: bytes = b"") -> bytes:
    """An answer's head up to where its length or framing goes."""
    reason = REASONS.get(status, b"Simulated")
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\nx-request-id: req_simulator\r\nrequest-id: req_simulator\r\n"
        b"openai-processing-ms: 1\r\n%b" % (status, reason, content_type, extra)
    )


def whole(status: int, body: bytes, extra: bytes = b"", content_type: bytes = b"application/json") -> bytes:
    return b"%bcontent-length: %d\r\n\r\n%b" % (head(status, content_type, extra), len(body), body)


STREAM_HEAD = head(200, b"text/event-stream; charset=utf-8", b"cache-control: no-cache\r\n")
STREAM_HEAD += b"transfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Answer:
    """What to write: ``events`` one by one as chunks after ``head``, or ``head`` alone.

    ``body_size`` is the size of the body within ``head`` for an answer that is no stream; ``at_once``: one write is
    all there is to it.
    """

    __slots__ = ("at_once", "body_size", "events", "head", "plan", "status")

    def __init__(self, status: int, data: bytes, body_size: int, plan: Plan, events: list[bytes] | None = None) -> None:
        self.status = status
        self.head = data
        self.body_size = body_size
        self.plan = plan
        self.events = events
        self.at_once = events is None and plan.plain


class Simulator:
    """The state all connections share. ``make_protocol`` is a protocol factory for ``loop.create_server``."""

    def __init__(self, ttft_s: float = 0.0, tokens_per_second: float = 0.0) -> None:
        self.default = Plan(ttft_s=ttft_s, token_s=1 / tokens_per_second if tokens_per_second else 0.0)
        self.ledger = Ledger()
        self._cache: dict[tuple[bytes, bytes], Answer] = {}

    def make_protocol(self) -> Connection:
        return Connection(self)

    def answer(self, target: bytes, body: bytes) -> Answer:
        """The answer to a POST; a pure function of target and body, so it is made once."""
        answer = self._cache.get((target, body))
        if answer is None:
            answer = self._make(target.decode("latin-1").partition("?")[0], body)
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            if len(body) < 65536:
                self._cache[(target, body)] = answer
        return answer

    def _make(self, path: str, body: bytes) -> Answer:
        api = APIS.get(path)
        if api is None:
            return self._error(False, 404, f"Unknown request URL: POST {path}.")
        is_anthropic, make, make_stream = api
        try:
            data = json.loads(body)
            model = data["model"]
            plan = plan_for(model, self.default)
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._error(is_anthropic, 400, "We could not parse the JSON body of your request.")
        if plan.status != 200:
            return self._error(is_anthropic, plan.status, f"Simulated status {plan.status}.", plan)
        try:
            if data.get("stream") and make_stream is not None:
                return Answer(200, STREAM_HEAD, 0, plan, make_stream(data, plan))
            answer = make(data, plan)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            return self._error(is_anthropic, 400, f"The request could not be understood ({type(error).__name__}).")
        return Answer(200, whole(200, answer), len(answer), plan)

    @staticmethod
    def _error(is_anthropic: bool, status: int, message: str, plan: Plan | None = None) -> Answer:
        body = (anthropic if is_anthropic else openai).error(status, message)
        extra = b"retry-after: 1\r\n" if status in (429, 503, 529) else b""
        return Answer(status, whole(status, body, extra), len(body), plan or Plan())

    def control(self, method: str, path: str, query: str, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The whole answer to a request that is no POST to an API."""
        if path == "/ledger" and method == "GET":
            since = parse_qs(query).get("since", ["0"])[0]
            return whole(200, self.ledger.render(int(since) if since.isdigit() else 0))
        if path == "/ledger" and method == "DELETE":
            self.ledger.clear()
            return whole(200, b"{}")
        if path == "/v1/models" and method == "GET":
            if any(name.lower() == b"anthropic-version" for name, _ in headers):
                return whole(200, anthropic.models(ANTHROPIC_MODELS))
            return whole(200, openai.models(OPENAI_MODELS))
        if path == "/health" and method == "GET":
            return whole(200, b'{"status":"ok"}')
        return whole(404, openai.error(404, f"Unknown request URL: {method} {path}.", code="unknown_url"))


class Connection(asyncio.Protocol):
    """One client connection; answers its requests in order."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.loop = asyncio.get_running_loop()
        self.transport: Any = None
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.waiting: deque[tuple[Entry, Answer]] = deque()
        self.paused = False
        # The answer under way.
        self.current: Entry | None = None
        self.answering: Answer | None = None
        self.next_event = 0
        self.started_at = 0.0
        self.timer: asyncio.TimerHandle | None = None

    # Reading.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.transport.write(whole(400, openai.error(400, "Bad request."), b"connection: close\r\n"))
            self.transport.close()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        if value == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        url, self.url = self.url, b""
        method = self.parser.get_method()
        if method != b"POST":
            path, _, query = url.decode("latin-1").partition("?")
            self.transport.write(self.simulator.control(method.decode(), path, query, self.headers))
            return
        simulator = self.simulator
        body = self.body
        answer = simulator.answer(url, body)
        now = self.loop.time()
        if answer.at_once and self.current is None:
            self.transport.write(answer.head)
            simulator.ledger.add(now, url, self.headers, body, answer.status, answer.body_size)
            return
        entry = simulator.ledger.open(now, url, self.headers, body, complete=True)
        if self.current is None:
            self._begin(entry, answer)
        else:
            self.waiting.append((entry, answer))

    # Answering.

    def _begin(self, entry: Entry, answer: Answer) -> None:
        plan = answer.plan
        self.current = entry
        self.answering = answer
        self.next_event = 0
        self.started_at = self.loop.time()
        if plan.hang_after == -1:
            return
        if plan.rst_after == -1:
            self._reset()
            return
        if plan.ttft_s:
            self.timer = self.loop.call_later(plan.ttft_s, self._go)
        else:
            self._go()

    def _go(self) -> None:
        entry, answer = self.current, self.answering
        assert entry is not None  # noqa: S101
        assert answer is not None  # noqa: S101
        self.timer = None
        entry.status = answer.status
        if answer.events is not None:
            self.transport.write(answer.head)
            self._pump()
            return
        plan = answer.plan
        limit = plan.rst_after if plan.rst_after is not None else plan.cut_after
        if plan.hang_after is not None:
            limit = plan.hang_after
        if limit is None:
            self.transport.write(answer.head)
            entry.generated = answer.body_size
            self._finish()
            return
        sent = min(max(0, limit), answer.body_size)
        self.transport.write(answer.head[: len(answer.head) - answer.body_size + sent])
        entry.generated = sent
        if plan.rst_after is not None:
            self._reset()
        elif plan.cut_after is not None:
            self.transport.close()

    def _pump(self) -> None:
        """Write the events that are due, as long as the client takes them."""
        entry, answer = self.current, self.answering
        if entry is None or answer is None or answer.events is None:
            return
        plan, events = answer.plan, answer.events
        while self.next_event < len(events):
            if self.paused:
                return
            if self.next_event == plan.cut_after or (plan.cut_after == -1 and self.next_event == 0):
                self.transport.close()
                return
            if self.next_event == plan.hang_after:
                return
            event = events[self.next_event]
            if plan.token_s:
                due = self.started_at + plan.ttft_s + self.next_event * plan.token_s
                if due > self.loop.time():
                    self.timer = self.loop.call_at(due, self._pump)
                    return
            if plan.rst_after is not None and entry.generated + len(event) > plan.rst_after:
                part = event[: plan.rst_after - entry.generated]
                entry.generated += len(part)
                if part:
                    self.transport.write(b"%x\r\n%b" % (len(event), part))
                self.loop.call_later(0.01, self._reset)
                return
            self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            entry.generated += len(event)
            self.next_event += 1
            entry.events = self.next_event
        self.transport.write(LAST_CHUNK)
        self._finish()

    def _finish(self) -> None:
        assert self.current is not None  # noqa: S101
        self.current.done_at = self.loop.time()
        self.current = self.answering = None
        if self.waiting:
            self._begin(*self.waiting.popleft())

    def _reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self.transport.abort()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.timer is None:
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        now = self.loop.time()
        entry = self.current
        if entry is None and self.url and self.parser.get_method() == b"POST":
            entry = self.simulator.ledger.open(now, self.url, self.headers, self.body, complete=False)
        if entry is not None and entry.done_at is None:
            entry.left = "rst" if isinstance(exc, ConnectionResetError) else "fin"
            entry.left_at = now
        self.current = self.answering = None


async def _serve(simulator: Simulator, sock: socket.socket, follow_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    if follow_stdin:
        # Whoever started us holds the other end; when that process is gone, however it went, this reads the end.
        def follow() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                done.set()

        loop.add_reader(sys.stdin.fileno(), follow)
    server = await loop.create_server(simulator.make_protocol, sock=sock, backlog=2048)
    host, port = sock.getsockname()[:2]
    print(f"simulator on http://{host}:{port}", flush=True)  # noqa: T201
    await done.wait()
    server.close()


def serve(
    host: str,
    port: int,
    *,
    ttft_s: float = 0.0,
    tokens_per_second: float = 0.0,
    follow_stdin: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM; prints ``simulator on http://HOST:PORT`` when ready. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
        simulator = Simulator(ttft_s, tokens_per_second)
        # The ledger's entries live long and have no cycles: a full collection over them would only stall the answers.
        gc.freeze()
        gc.set_threshold(20_000, 50, 1000)
        try:
            import uvloop
        except ImportError:
            asyncio.run(_serve(simulator, sock, follow_stdin))
        else:
            uvloop.run(_serve(simulator, sock, follow_stdin))
