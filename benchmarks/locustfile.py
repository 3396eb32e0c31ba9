"""Behaviour under load, as users see it: ``locust -f benchmarks/locustfile.py --host http://127.0.0.1:8080``.

Locust is a Python client and measures itself first: for figures use ``make bench``. Not installed by ``make``:
``pip install locust``. EDGE_KEY is sent as the key, EDGE_MODEL and EDGE_CLAUDE are the models asked for.
"""

from __future__ import annotations

import json
import os
import random
import time

from locust import task
from locust.contrib.fasthttp import FastHttpUser

MODEL = os.environ.get("EDGE_MODEL", "gpt-5-mini")
CLAUDE = os.environ.get("EDGE_CLAUDE", "claude-haiku-4-5")
HEADERS = {"authorization": f"Bearer {os.environ.get('EDGE_KEY', 'unused')}"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Chatter(FastHttpUser):
    """Chat, streams with their time to the first token, repeated questions, tools."""

    def ask(self, path: str, name: str, **body):
        return self.client.post(path, json=body, headers=HEADERS, name=name)

    @task(5)
    def chat(self) -> None:
        said = [{"role": "user", "content": f"Question {random.random()}"}]
        self.ask("/v1/chat/completions", "chat", model=MODEL, messages=said)

    @task(3)
    def same_question(self) -> None:
        said = [{"role": "user", "content": f"Question {int(random.paretovariate(1.0)) % 1000}"}]
        self.ask("/v1/chat/completions", "chat, few questions", model=MODEL, messages=said)

    @task(1)
    def message(self) -> None:
        said = [{"role": "user", "content": f"Question {random.random()}"}]
        self.ask("/v1/messages", "message", model=CLAUDE, max_tokens=100, messages=said)

    @task(1)
    def tools(self) -> None:
        said = [{"role": "user", "content": f"Weather {random.random()}?"}]
        tools = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
        self.ask("/v1/chat/completions", "tools", model=MODEL, messages=said, tools=tools)

    @task(3)
    def stream(self) -> None:
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": f"Tell {random.random()}"}]}
        begun = time.perf_counter()
        first = None
        with self.client.post(
            "/v1/chat/completions", data=json.dumps(body), headers={**HEADERS, "content-type": "application/json"},
            name="stream", stream=True, catch_response=True,
        ) as response:  # fmt: skip
            last = b""
            while response.status_code == 200 and (event := response.stream.readline(b"\n\n")):
                last = event
                if first is None and b'"content":"' in event and b'"content":""' not in event:
                    first = time.perf_counter()
            if b"[DONE]" not in last:
                response.failure(f"status {response.status_code}, ended with {last[:80]!r}")
        if first is not None:
            self.environment.events.request.fire(
                request_type="SSE", name="time to first token", response_time=(first - begun) * 1000,
                response_length=0, exception=None, context={},
            )  # fmt: skip
