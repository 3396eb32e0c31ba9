"""Bodies, keys and names that are refused, in both dialects, by each code of docs/errors.md that a request can bring about."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from tests.harness import answer
from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, COMPLETIONS, COUNT, EMBEDDINGS, MESSAGES, RESPONSES, body_for
from tests.replay.corpus.odd_answers import COMPLETION
from tests.replay.setups import key
from tests.replay.upstream import Exchange, Reply

TURNS = b'[{"role":"user","content":"hi"}]'
DEEP = b'{"model":"gpt-4o","messages":' + b"[" * 130 + b"]" * 130 + b"}"
BODIES: dict[str, bytes] = {
    "empty": b"",
    "no-json": b'{"model":',
    "array": b"[]",
    "text": b'"gpt-4o"',
    "null": b"null",
    "trailing": b'{"model":"gpt-4o","messages":%b}x' % TURNS,
    "comma": b'{"model":"gpt-4o","messages":%b,}' % TURNS,
    "nan": b'{"model":"gpt-4o","temperature":NaN,"messages":%b}' % TURNS,
    "byte-order-mark": b'\xef\xbb\xbf{"model":"gpt-4o","messages":%b}' % TURNS,
    "utf-16": '{"model":"gpt-4o"}'.encode("utf-16"),
    "broken-utf-8": b'{"model":"gpt-4o","messages":[{"role":"user","content":"\xff"}]}',
    "lone-surrogate": b'{"model":"gpt-4o","messages":[{"role":"user","content":"\\ud800"}]}',
    "deep": DEEP,
    "long-number": b'{"model":"gpt-4o","seed":%b,"messages":%b}' % (b"1" * 1001, TURNS),
    "many-keys": b'{"model":"gpt-4o",%b}' % b",".join(b'"k%d":1' % n for n in range(1001)),
    "key-twice": b'{"model":"gpt-4o","model":"gpt-4o","messages":%b}' % TURNS,
    "key-twice-below": b'{"model":"gpt-4o","messages":[{"role":"user","role":"user","content":"hi"}]}',
    "no-model": b'{"messages":%b}' % TURNS,
    "model-null": b'{"model":null,"messages":%b}' % TURNS,
    "model-number": b'{"model":4,"messages":%b}' % TURNS,
    "model-empty": b'{"model":"","messages":%b}' % TURNS,
    "model-long": b'{"model":"%b","messages":%b}' % (b"m" * 3000, TURNS),
    "model-odd": b'{"model":"gpt\\u0000\\n4o","messages":%b}' % TURNS,
    "model-unknown": b'{"model":"gpt4o","messages":%b}' % TURNS,
    "model-near": b'{"model":"smrt","messages":%b}' % TURNS,
    "model-of-nobody": b'{"model":"nobody/gpt-4o","messages":%b}' % TURNS,
    "model-escaped": b'{"model":"gpt\\u002d4o","messages":%b}' % TURNS,
    "stream-odd": b'{"model":"gpt-4o","stream":"yes","messages":%b}' % TURNS,
    "stream-null": b'{"model":"gpt-4o","stream":null,"messages":%b}' % TURNS,
    "no-messages": b'{"model":"gpt-4o"}',
    "messages-empty": b'{"model":"gpt-4o","messages":[]}',
    "messages-odd": b'{"model":"gpt-4o","messages":"hi"}',
    "spaces": b' {\n "model" : "gpt-4o" ,\t"messages" : %b } \r\n' % TURNS,
    "numbers": b'{"model":"gpt-4o","messages":%b,"a":1.0,"b":1e5,"c":-0,"d":123456789012345678901234567890}' % TURNS,
    "unknown-fields": b'{"model":"gpt-4o","messages":%b,"field_of_tomorrow":{"a":[1,null]}}' % TURNS,
}
TRANSLATED: dict[str, dict] = {
    "temperature-high": {"temperature": 3},
    "temperature-text": {"temperature": "hot"},
    "max-tokens-zero": {"max_tokens": 0},
    "max-tokens-text": {"max_tokens": "many"},
    "no-turns": {"messages": []},
    "turns-text": {"messages": "hi"},
    "turn-without-role": {"messages": [{"content": "hi"}]},
    "role-unknown": {"messages": [{"role": "wizard", "content": "hi"}]},
    "content-null": {"messages": [{"role": "user", "content": None}]},
    "content-odd": {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
    "system-turn": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]},
    "tools-odd": {"tools": [{"type": "function"}]},
    "tools-empty": {"tools": []},
    "tool-choice-odd": {"tool_choice": "sometimes"},
    "n-two": {"n": 2},
    "seed": {"seed": 7},
    "stop": {"stop": ["a", "b"], "stop_sequences": ["a"]},
    "unknown": {"field_of_tomorrow": 1},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000},
    "effort": {"reasoning_effort": "high", "output_config": {"effort": "low"}},
    "schema": {"response_format": {"type": "json_object"}},
    "image": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]
    },
    "thread": {"thread": {"id": "t"}},
    "container": {"container": "c"},
    "stored": {"store": True},
    "previous": {"previous_response_id": "resp_1"},
}  # fmt: skip


def posted(path: str, body: bytes, *fields: str, who: str = ""):
    def play(p: Play) -> None:
        client = p.client(who)
        got = client.post(path, body, *fields)
        if not got.trouble and "close" not in got.value("connection"):
            client.post(path, body, *fields)

    return play


def credentials(*lines: str, path: str = CHAT, model: str = "gpt-4o"):
    def play(p: Play) -> None:
        client = p.client()
        for _ in range(2):  # the second head is known
            client.post(path, body_for(path, model, p.said), *lines)

    return play


def keyed_cases() -> Iterator[tuple[str, object]]:
    some, other = key("any"), key("theirs")
    yield "none", credentials()
    yield "none-anthropic", credentials(path=MESSAGES)
    yield "bearer", credentials(f"authorization: Bearer {some}")
    yield "bearer-small", credentials(f"Authorization: bearer {some}")
    yield "x-api-key", credentials(f"x-api-key: {some}", path=MESSAGES, model="claude-sonnet-5")
    yield "basic", credentials("authorization: Basic YTpi")
    yield "unknown", credentials("authorization: Bearer sk-unknown-unknown-unknown")
    yield "unknown-anthropic", credentials("x-api-key: sk-unknown-unknown-unknown", path=MESSAGES)
    yield "short", credentials("authorization: Bearer a")
    yield "empty", credentials("authorization: Bearer ")
    yield "long", credentials(f"authorization: Bearer {'k' * 5000}")
    yield "both-same", credentials(f"authorization: Bearer {some}", f"x-api-key: {some}")
    yield "both-one-unknown", credentials("authorization: Bearer unused-unused-unused", f"x-api-key: {some}")
    yield "two-tenants", credentials(f"authorization: Bearer {some}", f"x-api-key: {other}")
    yield "twice", credentials(f"authorization: Bearer {some}", f"authorization: Bearer {other}")
    yield "narrow-alias", credentials(f"authorization: Bearer {key('narrow')}", model="smart")
    yield (
        "narrow-pattern",
        credentials(f"authorization: Bearer {key('narrow')}", path=MESSAGES, model="claude-sonnet-5"),
    )
    yield "narrow-denied", credentials(f"authorization: Bearer {key('narrow')}")
    yield "narrow-denied-anthropic", credentials(f"x-api-key: {key('narrow')}", path=MESSAGES, model="wise")
    yield "narrow-unknown", credentials(f"authorization: Bearer {key('narrow')}", model="smrt")
    yield "origin-with-key", credentials(f"authorization: Bearer {some}", "origin: https://a.example")
    yield "any-host", credentials(f"authorization: Bearer {some}", "content-type: text/plain")


def gets(p: Play, *who: str) -> None:
    p.volatile.append(r'"since": ?"([^"]+)"')
    for each in who:
        client = p.client(each)
        for target in (
            "/v1/models",
            "/v1/models/smart",
            "/v1/models/gpt-4o",
            "/anthropic/v1/models",
            "/admin/api/savings",
        ):
            client.ask("GET", target)
        client.ask("HEAD", "/v1/models")
        client.ask("POST", "/admin/api/cache/clear", b"{}")
        client.ask("GET", "/nothing")


def upload(size: int, sent: int, chunked: bool = False):
    """A body that is too large, of which some is sent before the answer is read."""

    def play(p: Play) -> None:
        client = p.client()
        if chunked:
            data = client.form("POST", CHAT, b"", "transfer-encoding: chunked")
            data += b"%x\r\n%b\r\n" % (sent, b" " * sent)
        else:
            data = client.form("POST", CHAT, b" " * sent, f"content-length: {size}")
        client.send(data)
        client.answer()

    return play


def full(p: Play) -> None:
    """As many as may be in flight, then more."""
    go = [p.event() for _ in range(3)]

    def waits(event: threading.Event) -> Reply:
        def reply(exchange: Exchange) -> None:
            exchange.wait(event)
            exchange.send(answer(COMPLETION))

        return reply

    p.script("openai", *map(waits, go), answer(COMPLETION))
    held = []
    for number in range(3):
        held.append(p.client())
        held[-1].send(held[-1].form("POST", CHAT, body_for(CHAT, "gpt-4o", p.said)))
        p.asked("openai", number + 1)
    p.client().post(CHAT, body_for(CHAT, "gpt-4o", p.said))
    p.client().post(MESSAGES, body_for(MESSAGES, "claude-sonnet-5", p.said))
    p.client().ask("GET", "/health")
    for client, event in zip(held, go, strict=True):
        event.set()
        client.answer()
    p.client().post(CHAT, body_for(CHAT, "gpt-4o", p.said))


def cases() -> Iterator[Case]:
    for name, body in BODIES.items():
        for route, path in (("chat", CHAT), ("messages", MESSAGES)):
            yield Case("plain", f"bodies/{route}/{name}", posted(path, body))
    for route, path in (
        ("responses", RESPONSES),
        ("embeddings", EMBEDDINGS),
        ("count", COUNT),
        ("completions", COMPLETIONS),
    ):
        for name in ("empty", "no-json", "key-twice", "no-model", "model-unknown", "no-messages", "unknown-fields"):
            yield Case("plain", f"bodies/{route}/{name}", posted(path, BODIES[name]))
    for name, more in TRANSLATED.items():
        for setup in ("plain", "small"):
            for route, path, model in (("chat", CHAT, "claude-sonnet-5"), ("messages", MESSAGES, "gpt-4o")):
                yield Case(setup, f"values/{route}/{name}", posted(path, body_for(path, model, "hi", **more)))
    for name, play in keyed_cases():
        yield Case("keyed", f"keys/{name}", play)
    yield Case("keyed", "keys/gets", lambda p: gets(p, "", "any", "narrow", "admin"))
    for name, play in {
        "declared": upload(3001, 0),
        "declared-sent": upload(3001, 3001),
        "just-fits": upload(3000, 3000),
        "declared-large": upload(10_000_000, 50_000),
        "chunked": upload(0, 4000, True),
        "chunked-large": upload(0, 200_000, True),
    }.items():
        yield Case("small", f"sizes/{name}", play)
    yield Case("small", "overloaded", full)
    yield Case("plain", "bodies/large-256k", posted(CHAT, body_for(CHAT, "gpt-4o", "x" * 262_144)))
    yield Case("plain", "bodies/large-2m", posted(CHAT, body_for(CHAT, "gpt-4o", "x" * 2_000_000)))
    yield Case("plain", "bodies/large-2m-translated", posted(CHAT, body_for(CHAT, "claude-sonnet-5", "x" * 2_000_000)))
    for name, model in (("azure", "azure/gpt-4o"), ("keyless", "keyless/gpt-4o"), ("priced", "priced/llama")):
        yield Case("plain", f"providers/{name}", posted(CHAT, body_for(CHAT, model, "hi")))
    betas = ("anthropic-beta: context-1,future-2", "anthropic-user-profile-id: u", "anthropic-version: 2023-01-01")
    for name in ("relay", "picky"):
        body = body_for(MESSAGES, f"{name}/claude-sonnet-5", "hi")
        yield Case("plain", f"providers/{name}", posted(MESSAGES, body, *betas))
