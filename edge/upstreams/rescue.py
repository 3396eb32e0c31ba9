"""A stream of plain text that breaks off, or stalls, is continued by another upstream.

What the client has been sent is kept, as long as it is short enough, and read only if it comes to that. The request is
asked once more with the text at its end, as the beginning of the answer; what comes of it goes behind what the client
has. Where that cannot be, the client is told of the first failure.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from edge._fast import JSONScanner
from edge.dialects.begun import Begun, read_text
from edge.dialects.continuation import Continued
from edge.dialects.crossing import Crossing, is_short
from edge.dialects.estimate import LIMITS
from edge.dialects.hosted_tools import has_hosted_tools
from edge.errors import UNREADABLE, ClientClosedRequest, ProviderError
from edge.hooks import Usage
from edge.inquiry import Inquiry
from edge.payload import Payload
from edge.upstreams.retry import is_kept
from edge.upstreams.router import Upstream

__all__ = ["Rescue", "rescue_for"]

MAX_SENT = 1 << 19
"""Bytes of events that are kept: text of some thousand tokens, read within a few milliseconds."""
MAX_TIMES = 3
NONE = (b"null", b"[]", b"{}", b"false")
NOT_WITH: dict[str, dict[bytes, tuple[bytes, ...]]] = {
    "chat": {
        b"tools": (),
        b"functions": (),
        b"response_format": (b'{"type":"text"}',),
        b"reasoning_effort": (b'"none"',),
        b"reasoning": (),
        b"thinking": (b'{"type":"disabled"}',),
        b"n": (b"1",),
        b"logprobs": (),
        b"modalities": (b'["text"]',),
        b"audio": (),
        b"prediction": (),
    },
    "messages": {
        b"tools": (),
        b"thinking": (b'{"type":"disabled"}',),
        b"output_config": (),
        b"output_format": (),
        b"thread": (),
    },
    "responses": {
        b"tools": (),
        b"text": (b'{"format":{"type":"text"}}',),
        b"reasoning": (b'{"effort":"none"}',),
        b"include": (),
        b"top_logprobs": (b"0",),
        b"prompt": (),
        b"previous_response_id": (),
        b"conversation": (),
    },
}
"""Fields at the top of a body with which an answer may be more than a text, but for these values."""


TALKS = {"chat": b"messages", "messages": b"messages", "responses": b"input"}
"""The field of a body that holds what was said so far."""
ASSISTANT = {"chat": ("assistant",), "messages": ("assistant",), "responses": ("assistant", "")}
"""The roles of what is not said to the model. Items of a response other than messages have none; after results of tools
there is no going on, since there are no tools."""


class _Said(msgspec.Struct):
    role: str = ""


_roles = msgspec.json.Decoder(list[_Said]).decode


def rescue_for(inquiry: Inquiry) -> Rescue | None:
    """What is needed to rescue the stream of this request; None where it cannot be."""
    route, payload = inquiry.head.route, inquiry.payload
    if not payload.stream or route.api not in NOT_WITH or not is_short(inquiry) or is_kept(inquiry):
        return None
    if inquiry.grant.watch() is not None:
        return None  # what looks through an answer has seen half of it
    for field, harmless in NOT_WITH[route.api].items():
        span = payload.span(field)
        if span is None:
            continue
        if payload.body[span[0] : span[1]].replace(b" ", b"") not in (*NONE, *harmless):
            return None
    return None if has_hosted_tools(route.api, payload) else Rescue(inquiry)


class Rescue:
    """``first`` is the failure that it began with, None before; ``begun`` what the client has been sent by then."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self._sent: bytearray | None = bytearray()
        self._before: Usage | None = None
        self._asks: Inquiry | None = None
        self._times = 0
        self.first: ProviderError | None = None
        self.begun: Begun | None = None

    def take(self, data: bytes) -> None:
        """The client has been sent this."""
        if self._sent is not None:
            self._sent += data
            if len(self._sent) > MAX_SENT:
                self._sent = None

    def begins(self, error: Exception) -> bool:
        """Whether the answer, which has failed with `error`, can be continued by who can continue a text."""
        if not self._inquiry.reply.has_answer() or isinstance(error, ClientClosedRequest):
            return False
        if self.first is None and isinstance(error, ProviderError):
            self.first = error
        if self.first is None or self._sent is None or self._times >= MAX_TIMES:
            return False
        self._times += 1
        self._before = self._inquiry.ledger.usage
        payload, api = self._inquiry.payload, self._inquiry.head.route.api
        self.begun = read_text(api, bytes(self._sent), include_usage=payload.include_usage)
        if self.begun is not None:
            self.begun.keeps(self._inquiry.keep)
        self._asks = None if self.begun is None else asked_with(self._inquiry, self.begun, self._before)
        return self._asks is not None

    def crossing(self, upstream: Upstream) -> Crossing:
        """How the request goes to an upstream that is to go on. Raises InvalidRequest."""
        assert self._asks is not None and self.begun is not None  # noqa: S101, PT018 - it has begun
        facts, vllm = upstream.facts, upstream.continues == "continue_final_message"
        if vllm:
            facts = msgspec.structs.replace(facts, apis=["chat"])  # the field is one of theirs
        inner = upstream.provider.crossing(self._asks, upstream.model, facts)
        return Continued(
            inner,
            self.begun,
            self._before,
            who=quote(upstream.names[0]),
            vllm=vllm,
        )

    def over(self, answered: bool) -> None:
        """One that was to go on has, or has failed. The tokens of the answer are those of all who have given a part of
        it.
        """
        ledger, before = self._inquiry.ledger, self._before
        if before is not None:
            if ledger.usage is not before:  # else it was not even asked
                ledger.usage = before if ledger.usage is None else before.plus(ledger.usage)
            self._before = None
        ledger.rescued = answered


def asked_with(inquiry: Inquiry, begun: Begun, used: Usage | None) -> Inquiry | None:
    """The request with the text at its end, and as many tokens less; None where there is no place for either."""
    payload, api = inquiry.payload, inquiry.head.route.api
    body, span = payload.body, payload.span(TALKS[api])
    if span is None:
        return None
    said = body[span[0] : span[1]]
    if api == "responses" and said.startswith(b'"'):
        said = b'[{"role":"user","content":' + said + b"}]"
    try:
        roles = _roles(said)
    except UNREADABLE:
        return None
    if not roles or roles[-1].role in ASSISTANT[api]:
        return None
    changed: list[tuple[int, int, bytes]] = []
    if begun.given:
        message = msgspec.json.encode({"role": "assistant", "content": begun.given})
        changed.append((*span, said[:-1] + b"," + message + b"]"))
    for name in LIMITS:
        limit = payload.span(name)
        if limit is not None and body[limit[0] : limit[1]].isdigit():
            left = int(body[limit[0] : limit[1]]) - (max(0, used.output) if used is not None else 0)
            if left < 1:
                return None
            changed.append((*limit, b"%d" % left))
    for start, end, value in sorted(changed, reverse=True):
        body = body[:start] + value + body[end:]
    scan = JSONScanner(body)
    while not scan.step():
        pass
    asked = Inquiry()
    longer = Payload(body, scan, payload.model, True, payload.include_usage, payload.deadline_ms)
    asked.asks(inquiry.head, inquiry.varying, inquiry.request_id, inquiry.state, inquiry.key, longer, inquiry.grant)
    return asked if is_short(asked) else None
