"""A 200 that is a failure is one: the next upstream is asked, nothing is stored, nothing is billed, and it is counted."""

from __future__ import annotations

import json
import re
import time

import httpx2
import pytest

from tests.harness import Edge, Scripted, answer, chunked, in_pieces, running
from tests.http.streams import APIS, COMPLETED, FAULTS, RESPONSE, STREAMS, ask, at_once, chunk, scripted_edge, typed

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "ab"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 2},
}
WHOLE = {
    "chat": CHAT,
    "completions": {**CHAT, "choices": [{"index": 0, "text": "ab", "finish_reason": "stop"}]},
    "responses": COMPLETED,
    "messages": MESSAGE,
}


def page(text: bytes = b"<!doctype html><title>Sign in</title>", kind: str = "text/html") -> bytes:
    return answer(text, 200, kind)


def said(data: dict) -> bytes:
    return answer(json.dumps(data).encode())


ERROR = {"message": "behind it all is down", "type": "server_error", "code": 502}
JSON_FAILURES = [
    said({"error": ERROR}),
    said({"error": ERROR, "choices": [], "user_id": "u"}),
    said({"error": "behind it all is down"}),
    said({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "content": None}),
    said({"object": "error", "message": "down", "type": "InternalServerError", "param": None, "code": 500}),
    said({**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "down"}}),
    page(),
    page(b"<html>", "application/json"),
    page(json.dumps(CHAT).encode()),
    page(b"", "application/json"),
    page(b" \n\n ", "application/json"),
    page(b"null", "application/json"),
    page(b'["no"]', "application/json"),
    said({}),
    said({"detail": "Not Found"}),
    said({"choices": None, "content": None, "output": None, "data": None}),
    said({"choices": [], "content": "", "output": {}, "data": 0}),
    said({"choices": [{}], "content": [None], "output": ["no"]}),
    said({"choices": [{"index": 0, "message": None, "text": None}], "content": {"type": "text"}}),
    said({"code": 0, "data": {"choices": CHAT["choices"], "content": MESSAGE["content"], "output": []}}),
    page(b'{"choices": [', "application/json"),
    page(b"upstream connect error", "text/plain"),
]
"""Whole answers of status 200, whatever API is asked; the last but one is of the right length."""
RESPONSES_ONLY = 5
EVENT_ERROR = b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"down"}}\n\n'
FAILED = typed(
    {"type": "response.failed", "response": {**RESPONSE, "error": {"code": "server_error", "message": "no"}}}
)
STREAM_FAILURES = [
    chunked([EVENT_ERROR, b"data: [DONE]\n\n"]),
    chunked([EVENT_ERROR + b"data: [DONE]\n\n"]),
    chunked([b'data: {"error":{"message":"down","code":502}}\n\n' + b"data: [DONE]\n\n"]),
    chunked([b"data: [DONE]\n\n"]),
    chunked([b": nothing\n\n"]),
    chunked([]),
    chunked([b'event: keepalive\ndata: {"type":"keepalive"}\n\n', EVENT_ERROR]),
    chunked([typed({"type": "something.new", "text": "x"}), FAILED]),
    chunked([b"<html>"], "text/html"),
    page(),
    page(b"", "text/event-stream"),
    page(b'{"error":{"message":"down","code":503}}', "application/json"),
    page(b'{"error":{"message":"down","code":503}}', "text/event-stream"),
    said({}),
    said({"choices": [], "content": None, "output": None}),
    page(b"{}", "text/event-stream"),
    chunked([b'data: {"id":"c","choices":[]}\n\n', b"data: [DONE]\n\n"]),
]


@pytest.fixture(scope="module")
def first():
    with Scripted() as made:
        yield made


@pytest.fixture(scope="module")
def second():
    with Scripted() as made:
        yield made


@pytest.fixture(scope="module")
def edge(first, second, front, tmp_path_factory):
    settings = {"cache": {"mode": "all"}, "resilience": {"first_content_s": 5, "total_s": 20}}
    made = scripted_edge(tmp_path_factory.mktemp("edge"), front, first.url, second.url, **settings)
    with running(made):
        yield made


def by_spoken(reply: dict[str, bytes]):
    """A reply by the path that is asked."""

    def choose(seen, connection):
        path = seen.target.partition("?")[0]
        (spoken,) = (api for api, (asked, _, _) in APIS.items() if asked == path)
        return reply[spoken]

    return choose


@pytest.mark.parametrize(("failures", "stream"), [(JSON_FAILURES, False), (STREAM_FAILURES, True)])
def test_the_next_upstream_is_asked(edge, first, second, failures, stream):
    good = {api: chunked(STREAMS[api]) if stream else said(WHOLE[api]) for api in APIS}
    cases = []
    for index, (alias, reply) in enumerate(zip(FAULTS, failures, strict=False)):
        for kind in ("", "-anthropic"):
            first.script[alias + kind], second.script[alias + kind] = reply, by_spoken(good)
            for api, (_, dialect, _) in APIS.items():
                crosses = kind != ("-anthropic" if dialect == "anthropic" else "")
                if api in ("completions", "responses") and crosses:
                    continue
                if index == RESPONSES_ONLY and not stream and api != "responses":
                    continue
                cases.append((api, alias + kind, crosses))

    def check(api: str, alias: str, crosses: bool) -> None:
        status, headers, got = ask(edge, api, alias, stream, temperature=0.25 + stream / 2)  # else it is stored
        assert status == 200
        assert (headers["x-edge-provider"][:1], headers["x-edge-attempts"]) == ("b", "2")
        if not crosses:
            assert got == (b"".join(STREAMS[api]) if stream else json.dumps(WHOLE[api]).encode())

    at_once(check, cases)


@pytest.mark.parametrize(("failures", "stream"), [(JSON_FAILURES, False), (STREAM_FAILURES, True)])
def test_the_last_one_is_told_as_what_it_is_and_never_kept(edge, first, failures, stream):
    cases = []
    for index, reply in enumerate(failures):
        first.script[f"last-{index}"] = reply
        for api, (_, dialect, _) in APIS.items():
            if index == RESPONSES_ONLY and not stream and api != "responses":
                continue
            kinds = ("", "-anthropic") if api in ("chat", "messages") else ("",)
            cases += [(api, dialect, f"a{kind}/last-{index}") for kind in kinds]

    def check(api: str, dialect: str, model: str) -> None:
        for _ in range(2):
            status, headers, got = ask(edge, api, model, stream)
            assert status in (500, 502, 503, 529)
            assert headers["content-type"].startswith("application/json")
            assert headers.get("x-edge-cache") != "memory"
            assert "x-edge-cost-usd" not in headers
            error = json.loads(got)
            assert isinstance(error["error"]["message"], str)
            if dialect == "anthropic":
                assert error["type"] == "error"
                assert error["error"]["type"] in ("api_error", "overloaded_error")

    before = {name: count for name, count in figures(edge).items() if "edge_tokens_total" in name}
    at_once(check, cases)
    assert before == {name: count for name, count in figures(edge).items() if "edge_tokens_total" in name}


OWN = {
    "openai": {"message": "The server is busy.", "type": "server_error", "code": "server_is_overloaded"},
    "anthropic": {"type": "overloaded_error", "message": "Overloaded"},
}


def forms(error: dict, status: int) -> list[tuple[bytes, bool]]:
    """With its own status, with 200, and as the first event of a stream; and whether a stream is asked for."""
    body = json.dumps({"type": "error", "error": error}).encode()
    first = chunked([b"event: error\ndata: " + body + b"\n\n"])
    return [(answer(body, status), False), (answer(body, status), True), (answer(body), False), (first, True)]


@pytest.mark.parametrize(
    ("api", "to", "statuses"), [("messages", "openai", (503, 529)), ("chat", "anthropic", (529, 503))]
)
def test_an_error_is_told_the_same_in_each_form_of_an_answer(edge, first, api, to, statuses):
    """Passed on, and translated."""
    own, translated = statuses
    kind = "-anthropic" if to == "anthropic" else ""
    passing = "messages" if to == "anthropic" else "chat"
    for index, (reply, stream) in enumerate(forms(OWN[to], own)):
        first.script[f"busy-{index}"] = reply
        assert ask(edge, passing, f"a{kind}/busy-{index}", stream)[0] == own
        status, _, got = ask(edge, api, f"a{kind}/busy-{index}", stream)
        error = json.loads(got)["error"]
        assert (status, error["type"]) == (translated, "overloaded_error" if api == "messages" else "server_error")
        assert error["message"] == OWN[to]["message"]


SPENT = [
    (
        "",
        429,
        {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"},
    ),
    ("", 400, {"message": "Billing hard limit has been reached", "type": "x", "code": "billing_hard_limit_reached"}),
    ("", 402, {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}),
    (
        "-anthropic",
        400,
        {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."},
    ),
    (
        "-anthropic",
        400,
        {"type": "invalid_request_error", "message": "You have reached your specified API usage limits."},
    ),
    ("-anthropic", 402, {"type": "billing_error", "message": "Pay first."}),
]
"""Accounts without money, by the provider's dialect."""


@pytest.mark.parametrize("case", range(len(SPENT)))
def test_an_account_without_money_is_the_operators_affair(edge, first, second, case):
    """However it is told, the next upstream is asked; after the last, the client can do nothing."""
    kind, own, error = SPENT[case]
    said_so = forms(error, own)
    if own == 402 and not kind:
        said_so = said_so[:2]  # that status says it, and nothing else
    for index, (reply, stream) in enumerate(said_so):
        first.script[f"spent-{index}"] = reply
        for number, api in enumerate(("chat", "messages")):
            # After a 429 an upstream is left alone for a second, so each has an alias of its own.
            alias = FAULTS[8 * (case % 3) + 2 * index + number] + kind
            first.script[alias] = reply
            second.script[alias] = by_spoken(
                {api: chunked(STREAMS[api]) if stream else said(WHOLE[api]) for api in APIS}
            )
            status, headers, _ = ask(edge, api, alias, stream, temperature=0.01 + case / 8)  # else it is stored
            assert (status, headers["x-edge-attempts"]) == (200, "2")
            status, headers, got = ask(edge, api, f"a{kind}/spent-{index}", stream)
            assert (status, headers["x-should-retry"]) == (503, "false")
            assert headers["content-type"].startswith("application/json")
            told = json.loads(got)["error"]
            assert error["message"] not in told["message"]
            assert "operator" in told["message"]
            if api == "chat":
                assert told["code"] == "upstream_credentials_exhausted"


def test_what_only_sounds_like_an_account_without_money_passes(edge, first):
    """Google says "quota" of the requests of a minute; what is quoted is from the request."""
    quota = {
        "code": 429,
        "message": "You exceeded your current quota, check your plan.",
        "status": "RESOURCE_EXHAUSTED",
    }
    quoted = {"type": "invalid_request_error", "message": "Not a role: 'Your credit balance is too low'"}
    for status, error in ((429, quota), (400, quoted)):
        first.script["sounds"] = answer(json.dumps({"error": error}).encode(), status)
        got = ask(edge, "chat", "a/sounds", False)
        assert (got[0], json.loads(got[2])["error"]) == (status, error)


def figures(edge: Edge) -> dict[str, float]:
    text = httpx2.get(f"{edge.url}/metrics").text
    return {name: float(count) for name, count in re.findall(r"^(\w+\{[^}]*\}|\w+) (\S+)$", text, re.MULTILINE)}


KINDS = [
    ("chat", False, said({"error": ERROR}), "provider_error"),
    ("chat", False, said({"error": {"message": "slow down", "type": "rate_limit_error"}}), "provider_rate_limited"),
    ("chat", False, said({"error": {"message": "slow down", "code": "429"}}), "provider_rate_limited"),
    ("chat", False, page(), "provider_bad_response"),
    ("chat", False, page(b"", "application/json"), "provider_bad_response"),
    ("messages", False, said({"type": "error", "error": {"type": "overloaded_error"}}), "provider_overloaded"),
    ("chat", True, chunked([b"data: [DONE]\n\n"]), "provider_bad_response"),
    ("chat", True, chunked([]), "provider_stream_broken"),
    ("responses", True, chunked([STREAMS["responses"][0], FAILED]), "provider_error"),
    ("responses", True, chunked([*STREAMS["responses"][:2], FAILED]), "provider_stream_broken"),
    ("responses", True, chunked([*STREAMS["responses"][:2], EVENT_ERROR]), "provider_stream_broken"),
    ("chat", False, said({"error": {"message": "no", "type": "invalid_request_error"}}), "client_invalid"),
]


def test_each_is_counted_by_its_kind(edge, first):
    for api, stream, reply, kind in KINDS:
        first.script["counted"] = reply
        before = figures(edge)
        ask(edge, api, f"a{'-anthropic' if api == 'messages' else ''}/counted", stream)
        deadline = time.monotonic() + 30
        while True:
            after = figures(edge)
            grown = [name for name, count in after.items() if count > before.get(name, 0)]
            found = [
                re.search(r'error_type="(\w+)"', name)[1] for name in grown if name.startswith("edge_errors_total")
            ]
            if found or time.monotonic() > deadline:
                break
        assert found == [kind], (api, stream, reply)


def test_what_has_an_answer_is_one(edge, first):
    """Beside an answer, an error is the provider's remark; numbers that are none do not make JSON something else, nor is
    an answer without words none.
    """
    remarks = [
        ("chat", {**CHAT, "error": {"message": "a remark"}}),
        ("messages", {**MESSAGE, "error": {"message": "a remark"}}),
        ("responses", {**COMPLETED, "error": None}),
        ("chat", {**CHAT, "error": {}}),
        ("chat", {**CHAT, "choices": [{**CHAT["choices"][0], "logprobs": float("nan")}]}),
        ("chat", {**CHAT, "usage": None, "x": "error"}),
        ("chat", {**CHAT, "choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1}]}),
        ("chat", {**CHAT, "usage": {"prompt_tokens": "many"}}),
        ("completions", {"choices": [{"text": ""}]}),
        ("messages", {**MESSAGE, "content": []}),
        ("responses", {**COMPLETED, "output": [], "status": "queued"}),
        ("responses", {**COMPLETED, "output": [{"type": "new", "action": 3}], "status": "new"}),
    ]
    for number, (api, data) in enumerate(remarks):
        body = b"\n\n  " + json.dumps(data).encode()
        first.script[f"remark-{number}"] = answer(body)
        kind = "-anthropic" if api == "messages" else ""
        status, _, got = ask(edge, api, f"a{kind}/remark-{number}", False)
        assert (status, got) == (200, body)


def test_an_error_after_content_passes_as_it_is_and_ends_the_stream(edge, first, stalls):
    """Also where the provider leaves the connection open, or says that all is well afterwards."""
    for name, end in (("open", (5.0,)), ("well", (b"data: [DONE]\n\n",))):
        first.script[f"late-{name}"] = in_pieces(chunk({"content": "a"}), EVENT_ERROR, *end)
        began = time.monotonic()
        for _ in range(2):
            status, headers, got = ask(edge, "chat", f"a/late-{name}")
            assert status == 200
            assert headers["x-edge-cache"] == "miss"
            assert got.startswith(chunk({"content": "a"}) + EVENT_ERROR)
            assert got.count(b"error") == EVENT_ERROR.count(b"error")
        assert time.monotonic() - began < 4 + stalls.granted_s
