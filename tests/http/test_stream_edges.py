"""Server-sent events as the standard has them, and as servers write them: every form, cut at every place."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from edge._fast import SSEDecoder
from tests.harness import Edge, Scripted, chunked, in_pieces, running
from tests.http.streams import APIS, COMPLETED, RESPONSE, STREAMS, ask, at_once, chunk, event, scripted_edge, typed

CHUNKS = [part for part in STREAMS["chat"] if b"[DONE]" not in part]
DIALECTS = {api: "-anthropic" if dialect == "anthropic" else "" for api, (_, dialect, _) in APIS.items()}


@pytest.fixture(scope="module")
def first():
    with Scripted() as made:
        yield made


@pytest.fixture(scope="module")
def edge(first, front, tmp_path_factory):
    settings = {"cache": {"mode": "all"}, "resilience": {"first_content_s": 5, "idle_s": 5, "total_s": 20}}
    made = scripted_edge(tmp_path_factory.mktemp("edge"), front, first.url, first.url, **settings)
    with running(made):
        yield made


def until_closed(body: bytes) -> bytes:
    """An answer whose end is that of its connection."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + body


def closing(reply: bytes):
    def send(_, connection):
        connection.sendall(reply)

    return send


def counted(edge: Edge, name: str) -> dict[str, float]:
    """A metric's series, by the value of the label that tells most."""
    text = httpx2.get(f"{edge.url}/metrics").text
    found: dict[str, float] = {}
    for labels, count in re.findall(rf"^{name}\{{([^}}]*)\}} (\S+)$", text, re.MULTILINE):
        kind = re.search(r'(?:error_type|type)="([^"]*)"', labels)[1]
        found[kind] = found.get(kind, 0) + float(count)
    return found


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {kind: count - before.get(kind, 0) for kind, count in after.items() if count != before.get(kind, 0)}


# The Responses API, which has no [DONE].

CREATED = typed({"type": "response.created", "sequence_number": 0, "response": RESPONSE})
KEEPALIVE = event({"type": "keepalive", "sequence_number": 1}, "keepalive")
DELTA = event(
    {
        "type": "response.output_text.delta",
        "sequence_number": 2,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "hi",
    },
    "response.output_text.delta",
)
UNKNOWN = typed({"type": "response.compaction.compacting", "sequence_number": 3})
BEGUN = CREATED + KEEPALIVE + DELTA + UNKNOWN


def ended(kind: str, **more: object) -> bytes:
    response = {**COMPLETED, "status": kind, "temperature": 1.0, **more}
    return typed({"type": f"response.{kind}", "sequence_number": 4, "response": response})


ERROR = typed({"type": "error", "sequence_number": 4, "code": "server_error", "message": "no", "param": None})
WHOLE = BEGUN + ended("completed")
RESPONSES = [
    ("whole", WHOLE, "memory", ""),
    ("without-blank-line", WHOLE[:-1], "memory", ""),
    ("without-line-end", WHOLE[:-2], "memory", ""),
    ("incomplete", BEGUN + ended("incomplete", incomplete_details={"reason": "max_output_tokens"}), "miss", ""),
    ("failed", BEGUN + ended("failed", error={"code": "server_error", "message": "no"}), "miss", "told"),
    ("error", BEGUN + ERROR, "miss", "told"),
    ("broken", BEGUN, "miss", "ours"),
    ("cut", BEGUN + ended("completed")[:-40], "miss", "ours"),
]


def test_each_end_of_a_response_is_what_it_is(edge, first):
    for framing in (lambda body: chunked([body]), until_closed):
        for name, body, second, error in RESPONSES:
            model = f"{name}-{framing is until_closed}"
            first.script[model] = closing(framing(body))
            failures, tokens = counted(edge, "edge_errors_total"), counted(edge, "edge_tokens_total")
            status, headers, got = ask(edge, "responses", f"a/{model}")
            assert status == 200
            if error == "ours":
                assert got.startswith(BEGUN)
                rest = got.removeprefix(BEGUN)
                assert rest.startswith(b"event: error\ndata: {")
                assert json.loads(rest.split(b"data: ")[1])["code"] == "upstream_stream_broken"
            else:
                assert got == body, "not a byte is changed or added"
            _, headers, again = ask(edge, "responses", f"a/{model}")
            assert headers["x-edge-cache"] == second, name
            assert error == "ours" or again == body
            new = grown(failures, counted(edge, "edge_errors_total"))
            assert set(new) == ({"provider_stream_broken"} if error else set()), name
            if second == "memory":
                used = {"input": 4.0, "cache_read": 4.0, "cache_write": 2.0, "output": 3.0, "reasoning": 1.0}
                assert grown(tokens, counted(edge, "edge_tokens_total")) == used


def test_nothing_that_is_unknown_is_content(edge, first):
    """So the error that follows it keeps its status."""
    for number, before in enumerate((KEEPALIVE, UNKNOWN, CREATED, KEEPALIVE + CREATED + UNKNOWN + b": x\n\n")):
        first.script[f"unknown-{number}"] = chunked([before, ERROR])
        assert ask(edge, "responses", f"a/unknown-{number}")[0] == 500
    first.script["unknown-messages"] = chunked(
        [typed({"type": "new_thing"}), typed({"type": "error", "error": {"type": "overloaded_error", "message": "no"}})]
    )
    assert ask(edge, "messages", "a-anthropic/unknown-messages")[0] == 529


# Forms.


def forms(api: str) -> dict[str, bytes]:
    """One stream as servers may write it."""
    events = STREAMS[api]
    plain = b"".join(events)
    return {
        "plain": plain,
        "bom": b"\xef\xbb\xbf" + plain,
        "crlf": plain.replace(b"\n", b"\r\n"),
        "cr": plain.replace(b"\n", b"\r"),
        "leading-line-end": b"\r\n" + plain,
        "no-blank-after-colon": plain.replace(b": ", b":"),
        "lines": plain.replace(b'data: {"', b'data: {\ndata: "'),
        "retry": b"retry: 3000\n\nid: 7\n" + plain.replace(b"data", b"id: 8\ndata", 1),
        "comments": b": hello\n\n: again\n" + b": x\n".join(events) + b": bye\n\n: bye\n",
        "without-blank-line": plain[:-2],
        "cr-without-blank-line": plain.replace(b"\n", b"\r")[:-1],
    }


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_each_form_passes_byte_by_byte_and_is_read(edge, first, api):
    """Sent in pieces of one byte: as it came where the dialects are one, and translated as the plain form is."""
    other = "messages" if api == "chat" else "chat"
    for name, body in forms(api).items():
        first.script[f"{api}-{name}"] = chunked([body[at : at + 1] for at in range(len(body))])
    kind = DIALECTS[api]
    expected = read(ask(edge, other, f"a{kind}/{api}-plain")[2])
    for name, body in forms(api).items():
        for _ in range(2):
            status, headers, got = ask(edge, api, f"a{kind}/{api}-{name}")
            assert (status, got) == (200, body), name
        assert headers["x-edge-cache"] == "memory", name
        assert read(ask(edge, other, f"a{kind}/{api}-{name}")[2]) == expected, name


def read(body: bytes) -> list[bytes]:
    """What a translated stream says, without what is its own."""
    decoder = SSEDecoder()
    events = decoder.feed(body)
    assert not decoder.pending
    return [re.sub(rb'"(created|id)":("[^"]*"|\d+)', b"", data) for _, data in events]


def test_a_last_event_without_its_blank_line_is_read(edge, first):
    """For relaying, usage, the cache and translation; complete if it says so, also where no [DONE] comes."""
    for end, framing in ((b"", chunked_whole), (b"\n", chunked_whole), (b"", until_closed)):
        body = b"".join(CHUNKS)[:-2] + end
        model = f"last-{len(end)}-{framing is until_closed}"
        first.script[model] = closing(framing(body))
        before = counted(edge, "edge_tokens_total")
        status, headers, got = ask(edge, "chat", f"a/{model}")
        assert (status, got) == (200, body)
        assert grown(before, counted(edge, "edge_tokens_total")) == {"input": 5.0, "output": 2.0}
        _, headers, got = ask(edge, "chat", f"a/{model}")
        assert (headers["x-edge-cache"], got) == ("memory", body)
        translated = ask(edge, "messages", f"a/{model}")[2]
        assert translated.endswith(b'"message_stop"}\n\n')
        assert b'"output_tokens":2' in translated


def chunked_whole(body: bytes) -> bytes:
    return chunked([body])


# Cuts.


@pytest.mark.parametrize("api", [*APIS, "chat-without-done"])
def test_wherever_a_stream_ends_half_an_event_is_never_part_of_ours(edge, first, api):
    """The connection ends, as an end that says nothing or as a broken body: what the client gets are whole events of the
    provider's and an error of its own, unless all was said.
    """
    api, without_done = api.removesuffix("-without-done"), api.endswith("-without-done")
    events = CHUNKS if without_done else STREAMS[api]
    body = b"".join(events)
    kind, finish = DIALECTS[api], len(body) - 2
    if api in ("chat", "completions"):
        finish = len(b"".join(CHUNKS if api == "chat" else STREAMS[api][:-1])) - 2
    ends = {len(b"".join(events[:count])) + near for count in range(1, len(events) + 1) for near in range(-3, 3)}
    cuts = sorted({*range(0, len(body), 7), *ends} & set(range(len(body))))
    for cut in cuts:
        first.script[f"cut-{api}-{without_done}-{cut}-0"] = closing(until_closed(body[:cut]))
        first.script[f"cut-{api}-{without_done}-{cut}-1"] = closing(chunked([body[:cut]], end=False))

    def check(cut: int, broken: int) -> None:
        status, _, got = ask(edge, api, f"a{kind}/cut-{api}-{without_done}-{cut}-{broken}")
        if status != 200:
            assert status == 502
            return
        if got == body[:cut] and cut >= (len(body) - 2 if broken else finish):
            return  # all was said
        decoder = SSEDecoder()
        said = decoder.feed(got)
        assert not decoder.pending
        sent = SSEDecoder().feed(body)
        assert said[:-1] == sent[: len(said) - 1]
        error = json.loads(said[-1][1])
        assert b"broke off" in said[-1][1]
        assert "error" in error or error["type"] == "error"
        assert b"[DONE]" not in got
        assert b"message_stop" not in got

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(check, cut, broken) for cut in cuts for broken in (0, 1)]:
            done.result()


@pytest.mark.parametrize(("api", "spoken"), [("chat", "messages"), ("messages", "chat")])
def test_text_that_is_no_utf8_is_the_providers_failure(edge, first, api, spoken):
    """In a translated stream: before the first content its status is 502, after it the error is an event."""
    kind = DIALECTS[spoken]
    bad = [part.replace(b'"a"', b'"\xff\xfe"').replace(b'"b"', b'"\xff\xfe"') for part in STREAMS[spoken]]
    good_then_bad = [STREAMS[spoken][0], STREAMS[spoken][1], STREAMS[spoken][2], *bad[-4:]]
    first.script["utf8-early"] = chunked(bad)
    first.script["utf8-late"] = in_pieces(*good_then_bad[:3], 0.2, *[part for part in bad if b"\xff" in part])
    status, _, got = ask(edge, api, f"a{kind}/utf8-early")
    assert status == 502
    assert b"api_error" in got or b"upstream_bad_response" in got
    status, _, got = ask(edge, api, f"a{kind}/utf8-late")
    assert status == 200
    assert b"cannot be read" in got
    assert b"[DONE]" not in got
    assert b"message_stop" not in got


def test_text_that_is_no_utf8_passes_where_it_is_not_translated(edge, first):
    for api in APIS:
        body = b"".join(STREAMS[api]).replace(b'"a"', b'"\xff\xfe"').replace(b'"hi"', b'"\xff"')
        first.script[f"utf8-{api}"] = chunked([body])
        status, _, got = ask(edge, api, f"a{DIALECTS[api]}/utf8-{api}")
        assert (status, got) == (200, body)


def test_heartbeats_of_any_form_change_nothing(edge, first):
    beats = [
        b"data:\n\n",
        b'data: ""\n\n',
        b"data: {}\n\n",
        b"event: ping\ndata: pong\n\n",
        b": x\n\n",
        b"event: x\n\n",
    ]
    for api, other in (("chat", "messages"), ("messages", "chat")):
        kind = DIALECTS[api]
        body = b"".join(part for whole in STREAMS[api] for part in (*beats, whole))
        first.script[f"beats-{api}"] = chunked([body])
        first.script[f"quiet-{api}"] = chunked(STREAMS[api])
        assert ask(edge, api, f"a{kind}/beats-{api}")[2] == body
        loud, quiet = (read(ask(edge, other, f"a{kind}/{name}-{api}")[2]) for name in ("beats", "quiet"))
        assert loud == quiet


def test_two_upstreams_of_one_error_each(edge, first):
    """An error is told in the client's dialect, whatever the provider's, and nothing comes after it."""
    errors = {
        "": b'data: {"error":{"message":"Overloaded","type":"server_error","code":"overloaded"}}\n\n',
        "-anthropic": typed({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    }
    begun = {"": chunk({"content": "a"}), "-anthropic": b"".join(STREAMS["messages"][:3])}
    for kind, error in errors.items():
        first.script[f"late-error{kind}"] = chunked([begun[kind], error + b"data: [DONE]\n\n"])

    def check(api: str, kind: str) -> None:
        got = ask(edge, api, f"a{kind}/late-error{kind}")[2]
        if DIALECTS[api] == kind:
            assert got == begun[kind] + error_of(kind) + b"data: [DONE]\n\n"
            return
        lines = got.rstrip(b"\n").split(b"\n\n")[-1].split(b"\n")
        assert (lines[0] == b"event: error") == (api == "messages")
        assert b"Overloaded" in lines[-1]
        assert b"[DONE]" not in got

    def error_of(kind: str) -> bytes:
        return errors[kind]

    at_once(check, [(api, kind) for api in ("chat", "messages") for kind in errors])
