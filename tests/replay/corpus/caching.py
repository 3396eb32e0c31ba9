"""Stored answers of each tier, in either form, and crowds that share one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.harness import answer, chunked
from tests.http.streams import PREAMBLE, STREAMS
from tests.replay.bench import Case, Play
from tests.replay.client import Connection
from tests.replay.corpus.bodies import CHAT, COMPLETIONS, COUNT, EMBEDDINGS, MESSAGES, RESPONSES, body_for
from tests.replay.corpus.leaving import HEAD, framed
from tests.replay.corpus.odd_answers import COMPLETION
from tests.replay.upstream import Exchange

TOLD = {"stream": True, "stream_options": {"include_usage": True}}
FORMS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "chat": (CHAT, "gpt-4o", {}, {}),
    "chat-stream": (CHAT, "gpt-4o", TOLD, TOLD),
    "chat-born-json": (CHAT, "gpt-4o", {}, TOLD),
    "chat-born-stream": (CHAT, "gpt-4o", TOLD, {}),
    "chat-born-untold": (CHAT, "gpt-4o", {"stream": True}, {}),
    "chat-alias": (CHAT, "smart", {}, {}),
    "chat-tools": (
        CHAT,
        "gpt-4o",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        TOLD,
    ),
    "messages": (MESSAGES, "claude-sonnet-5", {}, {}),
    "messages-stream": (MESSAGES, "claude-sonnet-5", {"stream": True}, {"stream": True}),
    "messages-born-json": (MESSAGES, "claude-sonnet-5", {}, {"stream": True}),
    "messages-born-stream": (MESSAGES, "claude-sonnet-5", {"stream": True}, {}),
    "chat-translated": (CHAT, "claude-sonnet-5", {}, TOLD),
    "messages-translated": (MESSAGES, "gpt-4o", {"stream": True}, {}),
    "responses": (RESPONSES, "gpt-5-mini", {}, {"stream": True}),
    "responses-stream": (RESPONSES, "gpt-5-mini", {"stream": True}, {}),
    "responses-stored": (RESPONSES, "gpt-5-mini", {"store": True}, {"store": True}),
    "completions": (COMPLETIONS, "gpt-4o", {}, {}),
    "embeddings": (EMBEDDINGS, "text-embedding-3-small", {}, {}),
    "count": (COUNT, "claude-sonnet-5", {}, {}),
}
WRITES = 'edge_cache_writes_total{result="stored",tier="redis"}'


def stored(form: str, who: str = "a", tier: str = "memory"):
    """Asked as it is first, then thrice in the other form, then as at first, by other bytes, and by a head of its own."""
    path, model, born, then = FORMS[form]

    def play(p: Play) -> None:
        first, other = (body_for(path, model, p.said, **more) for more in (born, then))
        client = p.client(who)
        client.post(path, first)
        if tier == "redis" and form != "responses-stored":
            p.until_metric(WRITES, 1)
        for _ in range(3):
            client.post(path, other)
        client.post(path, first)
        client.post(path, first.replace(b",", b" , ", 1))
        p.client(who, own_id=False).post(path, other)

    return play


def asked(*steps: tuple[str, dict[str, Any], tuple[str, ...]], path: str = CHAT, model: str = "gpt-4o"):
    """Each step is who asks, what else is in the body, and the fields of its own."""

    def play(p: Play) -> None:
        for who, more, fields in steps:
            p.client(who).post(
                path,
                body_for(path, more.get("model", model), p.said, **{k: v for k, v in more.items() if k != "model"}),
                *fields,
            )

    return play


def twice(*fields: str, who: str = "a", **more: Any):
    return asked((who, more, fields), (who, more, fields), (who, more, ()))


def by_bytes(count: int):
    """The same bytes again and again in one segment, then a few others between."""

    def play(p: Play) -> None:
        client = p.client("a", own_id=False)
        body = body_for(CHAT, "gpt-4o", p.said)
        for _ in range(3):
            client.post(CHAT, body)
        client.send(client.form("POST", CHAT, body) * count)
        client.all_answers(count)
        one = client.form("POST", CHAT, body)
        client.send(one + client.form("GET", "/health/live", None) + client.form("POST", CHAT, b"{") + one)
        client.all_answers(4)

    return play


def http_1_0(p: Play) -> None:
    body = body_for(CHAT, "gpt-4o", p.said, **TOLD)
    for version in ("1.1", "1.0", "1.0"):
        p.client("a").ask("POST", CHAT, body, version=version)
    p.client("a").ask("POST", CHAT, body, "connection: close")


def cleared(p: Play) -> None:
    body = body_for(CHAT, "gpt-4o", p.said)
    client = p.client("a")
    client.post(CHAT, body)
    client.post(CHAT, body)
    p.client("admin").ask("POST", "/admin/api/cache/clear", b"{}")
    client.post(CHAT, body)


def not_kept(upstream_reply: bytes, stream: bool):
    def play(p: Play) -> None:
        p.script("openai", upstream_reply)
        client = p.client("a")
        for _ in range(2):
            client.post(CHAT, body_for(CHAT, "gpt-4o", p.said, **({"stream": True} if stream else {})))

    return play


class Crowd:
    """A stream of the upstream in three parts, each when the case says so, and clients that share it."""

    def __init__(self, p: Play, path: str, model: str, upstream: str, api: str, stream: bool) -> None:
        self.p, self.path, self.model, self.upstream = p, path, model, upstream
        self.more = {"stream": True} if stream else {}
        self.begin, self.go, self.end = p.event(), p.event(), p.event()
        events, first = STREAMS[api], PREAMBLE[api]

        def reply(exchange: Exchange) -> None:
            if not exchange.wait(self.begin):
                return
            if not stream:
                exchange.send(answer(COMPLETION))
                return
            exchange.send(HEAD + framed(*events[: first + 1]))
            if exchange.wait(self.go):
                exchange.send(framed(*events[first + 1 : -1]))
            if exchange.wait(self.end):
                exchange.send(framed(*events[-1:]) + b"0\r\n\r\n")

        p.script(upstream, reply)

    def join(self, who: str = "a", seen: int | None = None, **more: Any):
        client = self.p.client(who)
        client.send(client.form("POST", self.path, body_for(self.path, self.model, self.p.said, **self.more, **more)))
        if seen is not None:
            self.p.until(lambda: self.under_way() >= seen, "the request is in flight")
        return client

    def leave(self, client: Connection, left: int, how: str = "fin") -> None:
        """And wait until the edge has seen it: so many are in flight then."""
        client.leave(how)
        self.p.until(lambda: self.under_way() <= left, "the client is seen to leave")

    def under_way(self) -> int:
        return int(self.p.bench.scrape().get("edge_requests_in_flight", 0))


CROWDS = {
    "chat": (CHAT, "gpt-4o", "openai", "chat", False),
    "chat-stream": (CHAT, "gpt-4o", "openai", "chat", True),
    "messages-stream": (MESSAGES, "claude-sonnet-5", "anthropic", "messages", True),
    "messages-stream-translated": (MESSAGES, "gpt-4o", "openai", "chat", True),
}


def crowd(kind: str, story: str):
    shape = CROWDS[kind]

    def play(p: Play) -> None:
        made = Crowd(p, *shape)
        first = made.join(seen=1)
        p.asked(made.upstream)
        others = [made.join(seen=2 + n, who=("a", "a2", "a")[n]) for n in range(3)]
        stranger = made.join(who="b", seen=5) if story == "tenants" else None
        if story == "first-leaves":
            made.leave(first, 3)
        made.begin.set()
        if shape[-1]:
            for client in others:
                client.until(b"\n\n")
            others.append(made.join())  # in the middle of the stream: it gets what has come at once
            others[-1].until(b"\n\n")
            if story == "first-leaves-late":
                made.leave(first, 4, "rst")
            if story == "all-leave":
                for left, client in zip((4, 3, 2, 1, 0), (first, *others), strict=True):
                    made.leave(client, left)
                p.left(made.upstream)
            made.go.set()
            made.end.set()
        for client in (first, *others, *([stranger] if stranger else [])):
            if not client.left:
                client.answer()
        p.client("a").post(made.path, body_for(made.path, made.model, p.said, **made.more))

    return play


def cases() -> Iterator[Case]:
    for form in FORMS:
        yield Case("cached", f"stored/{form}", stored(form))
    for form in (
        "chat",
        "chat-stream",
        "chat-born-stream",
        "messages",
        "messages-born-stream",
        "messages-translated",
        "responses",
        "embeddings",
        "count",
    ):
        yield Case("redis", f"stored/{form}", stored(form, tier="redis"), ("lane", "asgi", "pure"))
        yield Case("tiers", f"stored/{form}", stored(form, tier="redis"), ("lane", "pure"))
    ones: dict[str, Callable[[Play], None]] = {
        "tenants": asked(("a", {}, ()), ("a2", {}, ()), ("b", {}, ()), ("b", {}, ())),
        "off-by-key": twice(who="uncached"),
        "off-by-model": twice(model="fresh"),
        "deterministic-no": twice(who="strict"),
        "deterministic-temperature": twice(who="strict", temperature=0),
        "deterministic-seed": twice(who="strict", seed=1),
        "no-store": twice("cache-control: no-store"),
        "no-cache": twice("cache-control: no-cache"),
        "only-if-cached": asked(("a", {}, ("cache-control: only-if-cached",)), ("a", {}, ()), ("a", {}, ("cache-control: only-if-cached",))),
        "ttl": twice("x-edge-cache-ttl: 60"),
        "ttl-zero": twice("x-edge-cache-ttl: 0"),
        "ttl-odd": twice("x-edge-cache-ttl: soon"),
        "user-does-not-count": asked(("a", {"user": "u"}, ()), ("a", {"user": "v"}, ()), ("a", {"metadata": {"a": 1}}, ())),
        "temperature-counts": asked(("a", {}, ()), ("a", {"temperature": 1}, ()), ("a", {"temperature": 1.0}, ())),
        "betas-count": asked(
            ("a", {}, ("anthropic-beta: x",)), ("a", {}, ()), ("a", {}, ("anthropic-beta: x",)),
            path=MESSAGES, model="claude-sonnet-5",
        ),
        "names-of-one-model": asked(("a", {}, ()), ("a", {"model": "openai/gpt-4o"}, ()), ("a", {"model": "smart"}, ())),
        "http-1.0": http_1_0,
        "by-bytes": by_bytes(9),
        "cleared": cleared,
    }  # fmt: skip
    for name, play in ones.items():
        yield Case("cached", f"cache/{name}", play)
    for fault in ("500", "429-noretry", "cut-3", "half-2", "inband-3", "refusal", "words-0", "empty"):
        for path, provider in ((CHAT, "openai"), (MESSAGES, "anthropic")):
            for more in ({}, {"stream": True}):
                title = f"not-kept{path.removeprefix('/v1')}{'-stream' * bool(more)}/{fault}"
                yield Case("cached", title, twice_faulty(path, f"{provider}/sim-{fault}", more))
    large = COMPLETION.replace(b'"hi"', b'"%b"' % (b"x" * 1_100_000))
    odd = {
        "unfinished": answer(COMPLETION.replace(b'"stop"', b"null")),
        "filtered": answer(COMPLETION.replace(b'"stop"', b'"content_filter"')),
        "cut-by-length": answer(COMPLETION.replace(b'"stop"', b'"length"')),
        "large": answer(large),
        "201": answer(COMPLETION, 201),
        "container": answer(COMPLETION.replace(b'"id"', b'"container":{"id":"x"},"id"', 1)),
        "kept": answer(COMPLETION, x_request_id="req_1", openai_processing_ms="7", x_ratelimit_limit_requests="9"),
    }
    for name, reply in odd.items():
        yield Case("cached", f"not-kept/odd/{name}", not_kept(reply, False))
    yield Case("cached", "not-kept/odd/stream-open", not_kept(chunked(STREAMS["chat"][:-2]), True))
    for kind, (*_, stream) in CROWDS.items():
        stories = ("stay", "tenants", "first-leaves") + (("first-leaves-late", "all-leave") if stream else ())
        for story in stories:
            yield Case("cached", f"crowd/{kind}/{story}", crowd(kind, story))


def twice_faulty(path: str, model: str, more: dict[str, Any]):
    def play(p: Play) -> None:
        client = p.client("a")
        for _ in range(2):
            client.post(path, body_for(path, model, p.said, **more))

    return play
