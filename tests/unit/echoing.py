"""A worker that answers each request with its body, and ways to know heads."""

from __future__ import annotations

import asyncio

import msgspec

from edge.config import Auth
from edge.head import Head
from edge.reply_fields import JSON_TYPE
from edge.server.heads import Heads
from edge.state import build_state
from tests.unit.lanes import Worker

ODD = -1
CHAT = "POST /v1/chat/completions HTTP/1.1"


class Counting(Heads):
    """``used``: requests whose head was known."""

    def __init__(self) -> None:
        super().__init__()
        self.used = 0

    def find(self, known, data):
        found = super().find(known, data)
        self.used += found > 0
        return found

    def has(self, request: bytes) -> bool:
        """Whether a head that is known is that of this request."""
        return any(known.form.match(request) for known in self.by_key.values())


class Forgetful(Heads):
    """Each head is read anew."""

    def learn(self, read, match, target, query, headers):
        return Head(match, "POST", target, query, headers)


class Parsing:
    """In place of the scan: each head is llhttp's."""

    chunked = False

    def read(self, data):
        return ODD


class Echo(Worker):
    """``seen``: the calls that came to the gateway. None is answered while it ``holds``."""

    def __init__(self, *, auth: Auth | None = None, **server: int) -> None:
        super().__init__("http://127.0.0.1:9", **server)
        if auth is not None:
            changed = msgspec.structs.replace(self.config, auth=auth)
            self.gateway.state = build_state(changed, old=self.gateway.state)
        self.seen = []
        self.holds = False
        opens = self.gateway.open

        def seeing(call):
            self.seen.append(call)
            opens(call)

        self.gateway.open = seeing
        self.gateway.fetch = self.fetch

    def fetch(self, call) -> None:
        self.gateway.under_way.add(call)
        self.loop.call_soon(self._answer, call)

    def _answer(self, call) -> None:
        if call.settled:
            return
        if self.holds:
            self.loop.call_later(0.001, self._answer, call)
            return
        call.answer(200, [JSON_TYPE], call.body)
        self.gateway._settle(call)
        self.gateway._over(call, None)

    def run(self) -> None:
        """Let what is in flight come to its end."""
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    def ask(self, *segments: bytes):
        """A new connection that sends this."""
        made = self.connect()
        for segment in segments:
            made.data_received(segment)
        self.run()
        return made

    def close(self) -> None:
        self.holds = False
        self.run()
        self.loop.run_until_complete(self.gateway.close())
        self.loop.close()


def head_of(*lines: str, start: str = CHAT) -> bytes:
    return "\r\n".join([start, *lines, "", ""]).encode()


def facts(call) -> tuple:
    """What of an call follows from its request."""
    head = call.head
    given = call.varying.get(b"x-request-id", b"").decode("latin-1")
    answered = call.ledger.error is None
    return (
        (head.route, head.dialect, head.argument, head.method, head.target, head.query),
        (head.headers, list(head.index.items()), sorted(head.repeated), str(head.objection)),
        (sorted(call.varying.items()), getattr(call, "declared", None), call.peer, call.closes),
        (call.body, call.payload.model) if answered else call.ledger.error.code,
        given if call.request_id == given else len(call.request_id),
        [getattr(call, name, None) for name in ("chunks", "received")] if answered else None,
        (call.key and call.key.id, call.reply.status, call.admitted, call.settled, call.reply.state),
    )
