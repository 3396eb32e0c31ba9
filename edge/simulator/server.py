"""The simulator as a whole: answers from memory, scripts, the ledger, and the listening."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from edge.simulator import anthropic, openai
from edge.simulator.answers import Answer, make_answer, whole
from edge.simulator.connection import Connection
from edge.simulator.forms import FORMS, form_answer
from edge.simulator.kept import Kept
from edge.simulator.ledger import Ledger, RawHeaders
from edge.simulator.plan import Plan, PlanError, parse_plan, plan_for
from edge.simulator.threads import ThreadError, Threads
from edge.simulator.threads import error as thread_error

__all__ = ["Simulator", "serve"]

OPENAI_MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"]
ANTHROPIC_MODELS = ["claude-sonnet-5", "claude-haiku-4-5"]
MAX_CACHED = 4096
MAX_SCRIPTS = 1000


@dataclass(slots=True)
class Script:
    """A plan for the next ``times`` requests (None: all) whose path begins with ``path`` and whose body contains
    ``contains``.
    """

    plan: Plan
    path: bytes
    contains: bytes
    times: int | None


def has_thread(target: bytes, body: bytes) -> bool:
    """Whether a request may be of a conversation that is kept here."""
    return b'"thread"' in body and target.partition(b"?")[0].endswith(b"/messages")


EARLY = b'{"choices":[{"message":{"content":"early"},"text":"early"}],"content":[],"output":[],"data":[]}'
"""An answer of whichever API: what is asked is not read."""


class Simulator:
    """The state all connections share. ``make_protocol`` is a protocol factory for ``loop.create_server``."""

    def __init__(self, ttft_s: float = 0.0, tokens_per_second: float = 0.0, announced: str = "") -> None:
        token_s = 1 / tokens_per_second if tokens_per_second else 0.0
        self.default = Plan(ttft_s=ttft_s, token_s=token_s, announced=announced)
        self.ledger = Ledger()
        self.scripts: list[Script] = []
        self.threads = Threads()
        self.kept = Kept()
        # (target, body): the answer, and the request it was made for. An answer is a pure function of the two.
        self.known: dict[tuple[bytes, bytes], tuple[Answer, bytes, bytes, RawHeaders]] = {}

    def make_protocol(self) -> Connection:
        return Connection(self)

    def answer(self, target: bytes, headers: RawHeaders, body: bytes, plan: bytes = b"") -> Answer:
        """The answer to a POST: by the words of `plan`, else a script, else the model's name."""
        forced = self._forced(target, body, plan) if plan or self.scripts else None
        path = target.decode("latin-1").partition("?")[0]
        if path in FORMS and any(name.lower() == b"content-type" and b"multipart" in value for name, value in headers):
            return form_answer(path, headers, body)
        if has_thread(target, body):
            return self._threaded(path, headers, body, forced)
        answer = make_answer(path, body, self.default, forced)
        if path.endswith("/v1/responses") and answer.status == 200:
            data = json.loads(body)
            refusal = self.kept.refusal(headers, data)
            if refusal is not None:
                return Answer(404, refusal, at_once=True)
            if data.get("store") is not False or data.get("conversation"):
                made = openai.response(data, forced or plan_for(data["model"], self.default))
                self.kept.note(headers, json.loads(made), data)
        return answer

    def _threaded(self, path: str, headers: RawHeaders, body: bytes, forced: Plan | None) -> Answer:
        """The answer to a message of a conversation that is kept here."""
        try:
            data = json.loads(body)
            plan = forced or plan_for(data.get("model") or "", self.default)
            if not data.get("thread") or plan.status != 200:
                return make_answer(path, body, self.default, forced)
            betas = b",".join(value for name, value in headers if name.lower() == b"anthropic-beta")
            data = self.threads.whole(data, betas)
        except ThreadError as refusal:
            return Answer(refusal.status, whole(refusal.status, thread_error(refusal)), at_once=True)
        except (ValueError, AttributeError, TypeError):
            return make_answer(path, body, self.default, forced)
        answer = make_answer(path, openai.dumps(data), self.default, forced)
        if answer.status == 200:
            self.threads.keep(data, anthropic.message(data, plan))
        return answer

    def remember(self, target: bytes, body: bytes, headers: RawHeaders, answer: Answer) -> None:
        """Keep an answer for the requests that equal this one."""
        if has_thread(target, body) or target.endswith(b"/v1/responses"):
            return  # the same request has another answer the next time
        if len(self.known) >= MAX_CACHED:
            self.known.clear()
        if len(body) < 65536:
            self.known[(target, body)] = (answer, target, body, headers)

    def early_answer(self, target: bytes, plan: bytes) -> Answer | None:
        """An answer that must not wait for the body, if header or script want that."""
        forced = self._forced(target, b"", plan, only="early")
        return None if forced is None else Answer(200, whole(200, EARLY), at_once=True)

    def _forced(self, target: bytes, body: bytes, plan: bytes, only: str | None = None) -> Plan | None:
        if plan:
            try:
                found = parse_plan(plan.decode("latin-1"), self.default)
            except PlanError:
                return None
            return found if only is None or only in found.flags else None
        for script in self.scripts:
            if only is not None and only not in script.plan.flags:
                continue
            if target.startswith(script.path) and script.contains in body:
                if script.times is not None:
                    script.times -= 1
                    if script.times <= 0:
                        self.scripts.remove(script)
                return script.plan
        return None

    def control(self, method: str, path: str, query: str, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        """The whole answer to a request that is no POST to an API."""
        if path == "/ledger" and method == "GET":
            since = parse_qs(query).get("since", ["0"])[0]
            return whole(200, self.ledger.render(int(since) if since.isdigit() else 0))
        if path == "/ledger" and method == "DELETE":
            self.ledger.clear()
            return whole(200, b"{}")
        if path == "/script" and method == "POST":
            return self._add_script(body)
        if path == "/script" and method == "DELETE":
            self.scripts.clear()
            return whole(200, b"{}")
        if path == "/v1/models" and method == "GET":
            if any(name.lower() == b"anthropic-version" for name, _ in headers):
                return whole(200, anthropic.models(ANTHROPIC_MODELS))
            return whole(200, openai.models(OPENAI_MODELS))
        if path == "/health" and method == "GET":
            return whole(200, b'{"status":"ok"}')
        return whole(404, openai.error(404, f"Unknown request URL: {method} {path}.", code="unknown_url"))

    def _add_script(self, body: bytes) -> bytes:
        """``{"plan": "429-retry-3", "path": "/v1/messages", "contains": "text", "times": 2}``; only plan is needed."""
        try:
            data: dict[str, Any] = json.loads(body)
            plan = parse_plan(data["plan"], self.default)
            times = data.get("times")
            if times is not None and (not isinstance(times, int) or times < 1):
                raise ValueError("times must be a whole number from 1")
            script = Script(plan, data.get("path", "").encode(), data.get("contains", "").encode(), times)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return whole(400, openai.error(400, f"This is no script: {error}"))
        if len(self.scripts) >= MAX_SCRIPTS:
            return whole(400, openai.error(400, f"There are {MAX_SCRIPTS} scripts already."))
        self.scripts.append(script)
        return whole(200, openai.dumps({"scripts": len(self.scripts)}))


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
    announced: str = "",
    follow_stdin: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM; prints ``simulator on http://HOST:PORT`` when ready. Raises OSError.

    Every sentence that is answered begins with `announced`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
        simulator = Simulator(ttft_s, tokens_per_second, announced)
        # The ledger's entries live long and have no cycles: a full collection over them would only stall the answers.
        gc.freeze()
        gc.set_threshold(20_000, 50, 1000)
        try:
            import uvloop
        except ImportError:
            asyncio.run(_serve(simulator, sock, follow_stdin))
        else:
            uvloop.run(_serve(simulator, sock, follow_stdin))
