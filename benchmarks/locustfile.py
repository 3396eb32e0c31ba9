"""Behaviour under load, as users see it: ``locust -f benchmarks/locustfile.py --host http://127.0.0.1:8080``.

``--tags chat``, ``stream``, ``cached`` or ``tools`` asks for one kind alone; without, they are mixed. EDGE_KEY is sent
as the key, EDGE_MODEL and EDGE_CLAUDE are the models asked for. At the end it prints the time to the first token and
the tokens per second of streams, and the tokens per second of everything. Locust is a Python client and measures
itself first: for the cost of the gateway use ``make bench``. ``pip install locust`` gets it.
"""

from __future__ import annotations

import json
import os
import random
import time
from statistics import quantiles
from typing import Any

from locust import events, tag, task
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment

MODEL = os.environ.get("EDGE_MODEL", "gpt-5-mini")
CLAUDE = os.environ.get("EDGE_CLAUDE", "claude-haiku-4-5")
HEADERS = {"authorization": f"Bearer {os.environ.get('EDGE_KEY', 'unused')}"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


class Figures:
    """What locust's own table has no columns for: ``first_s`` and ``rates`` have a value for each stream, ``tokens``
    are those of all answers since ``begun``.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.begun = time.perf_counter()
        self.first_s: list[float] = []
        self.rates: list[float] = []
        self.tokens = 0

    def stream(self, begun: float, first: float, tokens: int) -> None:
        self.first_s.append(first - begun)
        self.tokens += tokens
        # A stream of one token has no speed.
        if tokens > 1:
            self.rates.append((tokens - 1) / max(time.perf_counter() - first, 1e-6))

    def say(self) -> None:
        for what, values, unit in (
            ("Time to first token", [value * 1000 for value in self.first_s], "ms"),
            ("Tokens per second of a stream", self.rates, ""),
        ):
            if len(values) > 1:
                shares = quantiles(values, n=100, method="inclusive")
                figures = ", ".join(f"p{share} {shares[share - 1]:.1f}" for share in (50, 95, 99))
                print(f"{what}: {figures} {unit}".rstrip() + f" ({len(values)} streams)")
        seconds = time.perf_counter() - self.begun
        print(f"Tokens per second of all answers: {self.tokens / seconds:.1f} ({self.tokens} in {seconds:.0f} s)")


figures = Figures()


@events.test_start.add_listener
def start(environment: Environment, **_: Any) -> None:
    figures.begin()


@events.quitting.add_listener
def stop(environment: Environment, **_: Any) -> None:
    figures.say()


class Chatter(FastHttpUser):
    """Chat, streams with their time to the first token, repeated questions, tools."""

    def ask(self, path: str, name: str, said: str, **more: object) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": said}], **more}
        with self.client.post(path, json=body, headers=HEADERS, name=name, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}: {response.text[:200]}")
                return
            usage = response.json()["usage"]
            figures.tokens += usage["output_tokens" if path == MESSAGES else "completion_tokens"]

    @tag("chat")
    @task(5)
    def chat(self) -> None:
        self.ask(CHAT, "chat", f"Question {random.random()}")

    @tag("chat")
    @task(1)
    def message(self) -> None:
        self.ask(MESSAGES, "message", f"Question {random.random()}", model=CLAUDE, max_tokens=100)

    @tag("cached")
    @task(3)
    def same_question(self) -> None:
        """A thousand questions, some of which many ask: the first is asked for half of the time."""
        self.ask(CHAT, "chat, few questions", f"Question {int(random.paretovariate(1.0)) % 1000}", temperature=0)

    @tag("tools")
    @task(1)
    def tools(self) -> None:
        self.ask(CHAT, "tools", f"Weather {random.random()}?", tools=TOOLS)

    @tag("stream")
    @task(3)
    def stream(self) -> None:
        said = [{"role": "user", "content": f"Tell {random.random()}"}]
        body = {"model": MODEL, "stream": True, "stream_options": {"include_usage": True}, "messages": said}
        begun = time.perf_counter()
        first, tokens, last = 0.0, 0, b""
        with self.client.post(
            CHAT, json=body, headers=HEADERS, name="stream", stream=True, catch_response=True
        ) as response:
            while response.status_code == 200 and (event := response.stream.readline(b"\n\n")):
                last = event
                if not first and b'"content":"' in event and b'"content":""' not in event:
                    first = time.perf_counter()
                if b'"completion_tokens":' in event:
                    tokens = json.loads(event.removeprefix(b"data: "))["usage"]["completion_tokens"]
            if b"[DONE]" not in last or not first:
                response.failure(f"status {response.status_code}, ended with {last[:80]!r}")
                return
        figures.stream(begun, first, tokens)
        self.environment.events.request.fire(
            request_type="SSE", name="time to first token", response_time=(first - begun) * 1000,
            response_length=0, exception=None, context={},
        )  # fmt: skip
