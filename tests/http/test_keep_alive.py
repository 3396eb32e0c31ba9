"""What keeps a stream alive: ours between whole events and before the first content; the provider's is no progress."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness import WAIT_S, Client, Edge, Scripted, answer, in_pieces, providers, running
from tests.http.streams import APIS, FAULTS, PREAMBLE, STREAMS, alive, ask, at_once, scripted_edge
from tests.stalls import Stalls

pytestmark = pytest.mark.early

SILENT_S = 1.6
"""So long an upstream is silent here, where a keep-alive is due after 0.3 s."""
CLOCK_S = 4
CROSSINGS = [(api, f"a{'-anthropic' if dialect == 'anthropic' else ''}/", api) for api, (_, dialect, _) in APIS.items()]
CROSSINGS += [("chat", "a-anthropic/", "messages"), ("messages", "a/", "chat")]
"""The client's API, the provider, and the API it is asked by: as they are, and translated both ways."""


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
    clocks = {
        "stream_keepalive_s": 0.3,
        "first_content_s": CLOCK_S,
        "attempt_s": CLOCK_S,
        "idle_s": CLOCK_S,
        "total_s": 20,
    }
    made = scripted_edge(tmp_path_factory.mktemp("edge"), front, first.url, second.url, resilience=clocks)
    with running(made):
        yield made


def leading(api: str, body: bytes) -> tuple[int, bytes]:
    """How many keep-alives a body begins with, and what comes after them."""
    count = 0
    while body.startswith(alive(api)):
        body = body[len(alive(api)) :]
        count += 1
    return count, body


def test_before_the_first_content_and_between_events(edge, first):
    """Nothing else changes: without them the stream is, to the byte, the one of a provider that does not hesitate."""
    for spoken, events in STREAMS.items():
        begun = PREAMBLE[spoken]
        first.script[f"quick-{spoken}"] = in_pieces(*events)
        first.script[f"slow-{spoken}"] = in_pieces(*events[:begun], SILENT_S, *events[begun:-1], SILENT_S, events[-1])
    at_once(lambda *case: check_silent_stream(edge, *case), CROSSINGS)


def check_silent_stream(edge: Edge, api: str, model: str, spoken: str) -> None:
    status, headers, got = ask(edge, api, f"{model}slow-{spoken}")
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-request-id"]
    count, rest = leading(api, got)
    assert count >= 2
    assert rest.count(alive(api)) >= 2
    expected = ask(edge, api, f"{model}quick-{spoken}")[2]
    said = got.replace(alive(api), b"")
    if api == spoken:
        assert said == expected == b"".join(STREAMS[api])
    else:  # a translated one has the time and the id of its own request
        shape = [[part.partition(b" ")[0] for part in text.split(b"\n")] for text in (said, expected)]
        assert shape[0] == shape[1]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("api", ["chat", "messages"])
def test_at_any_place_it_stands_between_two_events(edge, first, api, end):
    """The upstream is silent after any part of an event and of the blank line after it."""
    events = [part.replace(b"\n", end) for part in STREAMS[api]]
    whole = b"".join(events)
    start = whole.index(events[PREAMBLE[api] + 1])
    cuts = range(start - len(end) * 2 - 1, start + 2)
    model = "a/" if api == "chat" else "a-anthropic/"
    for cut in cuts:
        first.script[f"cut-{cut}"] = in_pieces(whole[:cut], 1.2, whole[cut:])
    with ThreadPoolExecutor(8) as pool:
        bodies = pool.map(lambda cut: ask(edge, api, f"{model}cut-{cut}")[2], cuts)
    for body in bodies:
        found = [form for form in (alive(api), alive(api).replace(b"\n", b"\r")) if form in body]
        assert len(found) == 1
        assert body.replace(found[0], b"") == whole
        before = body[: body.index(found[0])]
        assert before in [b"".join(events[:count]) for count in range(len(events))] or (
            # the LF of a CR LF is on its way: the line has ended at its CR
            end == b"\r\n" and before + b"\n" in [b"".join(events[:count]) for count in range(len(events))]
        )
        if before.endswith(b"\r"):
            assert found[0].endswith(b"\r")


def late(reply):
    """A reply that comes when the client has been sent a keep-alive."""

    def wait(seen, connection):
        time.sleep(1.2)
        return reply(seen, connection) if callable(reply) else reply

    return wait


def test_after_one_another_upstream_may_still_answer(edge, first, second):
    failures = [
        answer(b'{"error":{"message":"no","type":"server_error"}}', 503),
        answer(b"<html>", 200, "text/html"),
        in_pieces(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\ndata: [DONE]\n\n'),
        lambda *_: None,
        lambda *_: time.sleep(2 * CLOCK_S),
    ]
    cases = []
    for alias, reply in zip(FAULTS, failures, strict=False):
        for kind, spoken in (("", "chat"), ("-anthropic", "messages")):
            first.script[alias + kind] = late(reply)
            second.script[alias + kind] = in_pieces(*STREAMS[spoken])
            cases += [(api, alias + kind, spoken) for api in ("chat", "messages")]
    at_once(lambda *case: check_next_answers(edge, *case), cases)


def check_next_answers(edge: Edge, api: str, model: str, spoken: str) -> None:
    status, headers, got = ask(edge, api, model)
    assert status == 200
    assert "x-edge-provider" not in headers, "nobody could know it when the head went out"
    count, rest = leading(api, got)
    assert count >= 1
    assert (b"[DONE]" in rest) == (api == "chat")
    assert b'"content":"a"' in rest or b'"text":"a"' in rest
    assert b'"error"' not in rest
    if spoken == api:
        assert rest == b"".join(STREAMS[api])


def test_a_last_failure_is_told_in_the_stream(edge, first):
    """A provider's own refusal, and an end without an answer."""
    for kind in ("", "-anthropic"):
        error = {"type": "invalid_request_error", "message": "too long", "code": "context_length_exceeded"}
        body = {"type": "error", "error": error} if kind else {"error": error}
        first.script[f"refuses{kind}"] = late(answer(json.dumps(body, indent=1).encode(), 400))
    first.script["broken"] = in_pieces(1.2, end=False)
    at_once(
        lambda *case: check_last_failure(edge, *case),
        [(*crossing[:2], *how) for crossing in CROSSINGS for how in LAST],
    )


LAST = (("refuses", "too long", "context_length_exceeded"), ("broken", "broke off", "upstream_stream_broken"))


def check_last_failure(edge: Edge, api: str, model: str, name: str, word: str, code: str) -> None:
    if name == "refuses" and "anthropic" in model:
        name += "-anthropic"
    status, headers, got = ask(edge, api, model + name)
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    count, rest = leading(api, got)
    assert count >= 1
    assert rest.endswith(b"\n\n")
    assert rest.count(b"\n\n") == 1
    assert b"[DONE]" not in rest
    lines = rest.decode().rstrip("\n").split("\n")
    assert (lines[0] == "event: error") == (api in ("messages", "responses"))
    data = json.loads(lines[-1].removeprefix("data: "))
    if api == "messages":
        assert data["type"] == "error"
        assert word in data["error"]["message"]
    elif api == "responses":
        assert (data["type"], data["code"]) == ("error", code)
        assert word in data["message"]
    else:
        assert data["error"]["code"] == code or (name == "refuses-anthropic" and data["error"]["code"] is None)
        assert word in data["error"]["message"]


def test_json_that_comes_instead_is_made_a_stream(edge, first):
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    message = {"role": "assistant", "content": "ab"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    body |= {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    first.script["json"] = late(answer(json.dumps(body).encode()))
    content = [{"type": "text", "text": "ab"}]
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
    body |= {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 2}}
    first.script["json-anthropic"] = late(answer(json.dumps(body).encode()))
    models = ("a/json", "a-anthropic/json-anthropic")
    at_once(
        lambda *case: check_json_as_stream(edge, *case),
        [(api, model) for api in ("chat", "messages") for model in models],
    )


def check_json_as_stream(edge: Edge, api: str, model: str) -> None:
    status, _, got = ask(edge, api, model)
    assert status == 200
    count, rest = leading(api, got)
    assert count >= 1
    assert b"ab" in rest
    assert rest.endswith(b"data: [DONE]\n\n" if api == "chat" else b'"message_stop"}\n\n')


@pytest.mark.parametrize("kind", ["", "-anthropic"])
def test_who_asks_the_same_waits_with_keep_alives_of_its_own(edge, first, kind):
    """One call upstream: who joins gets them from when it has waited, and the same answer or the same failure."""
    api = "messages" if kind else "chat"
    model = f"joined{kind}"
    other = json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}}).encode()

    def refuses(*_):
        time.sleep(SILENT_S)
        return answer(other, 400)

    for reply in (in_pieces(SILENT_S, *STREAMS[api]), refuses):
        first.script[model] = reply
        before = first.asked_for(model)
        bodies = []

        def join(bodies=bodies, seed=before):
            bodies.append(ask(edge, api, model, seed=seed, top_k=seed + 1)[2])

        threads = [threading.Thread(target=join) for _ in range(3)]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        for thread in threads:
            thread.join()
        assert first.asked_for(model) == before + 1
        rests = set()
        for body in bodies:
            count, rest = leading(api, body)
            assert count >= 2
            rests.add(rest)
        assert len(rests) == 1
        rest = rests.pop()
        assert rest == b"".join(STREAMS[api]) if reply is not refuses else b"too long" in rest
        assert b"\n\n\n" not in rest


BEATS = {
    "chat": [b": OPENROUTER PROCESSING\n\n", b": keep-alive\n", b"event: ping\ndata: ping\n\n", b'data: ""\n\n'],
    "messages": [b'event: ping\ndata: {"type":"ping"}\n\n', b": x\n\n", b'data: {"type": "ping"}\n\n'],
    "responses": [b'event: keepalive\ndata: {"type":"keepalive","sequence_number":1}\n\n', b": x\n\n"],
}


def test_a_provider_that_only_says_that_it_is_there_is_a_failed_attempt(edge, first, stalls):
    """Its comments and pings are no content, and no progress: each clock runs as if it were silent."""
    cases = []
    for api, beats in BEATS.items():
        for beat in beats:
            for events in ([], STREAMS[api][: PREAMBLE[api] + 1]):
                model = f"beats-{len(cases)}"
                first.script[model] = in_pieces(*events, *[part for _ in range(80) for part in (beat, 0.2)], end=False)
                kind = "-anthropic" if api == "messages" else ""
                cases.append((api, f"a{kind}/{model}", beat, b"".join(events)))
    at_once(lambda *case: check_beats(edge, stalls, *case), cases)


def check_beats(edge: Edge, stalls: Stalls, api: str, model: str, beat: bytes, said: bytes) -> None:
    began = time.monotonic()
    status, _, got = ask(edge, api, model)
    assert status == 200
    took = time.monotonic() - began
    assert CLOCK_S - 0.5 < took < 3 * CLOCK_S + stalls.granted_s, "4 s are the clock, 16 s the upstream's"
    assert b"in time" in got
    assert b"[DONE]" not in got
    assert b"message_stop" not in got
    assert got.startswith(said)
    if said:
        assert beat in got, "it passes as it is"


def test_of_a_provider_that_says_so_in_the_other_dialect_nothing_crosses(edge, first):
    for api, model, spoken in (("chat", "a-anthropic/", "messages"), ("messages", "a/", "chat")):
        events = [part for whole in STREAMS[spoken] for part in (*BEATS[spoken], whole)]
        first.script["noisy"] = in_pieces(*events)
        status, _, got = ask(edge, api, f"{model}noisy")
        assert status == 200
        assert b"ping" not in got
        assert b"PROCESSING" not in got
        assert b"error" not in got
        assert got.endswith(b"data: [DONE]\n\n" if api == "chat" else b'"message_stop"}\n\n')


def test_an_event_that_comes_slowly_is_progress(edge, first):
    events = STREAMS["chat"]
    long = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 20_000)
    pieces = [part for start in range(0, len(long), 4000) for part in (long[start : start + 4000], 0.8)]
    first.script["large"] = in_pieces(*events[:2], *pieces, *events[3:])
    _, _, got = ask(edge, "chat", "a/large")
    assert got.replace(alive("chat"), b"") == b"".join([*events[:2], long, *events[3:]])


def test_none_are_sent_where_they_are_switched_off(first, front, tmp_path):
    config = {"providers": providers(first.url), "resilience": {"stream_keepalive_s": 0}}
    first.script["gpt-4o"] = in_pieces(SILENT_S, *STREAMS["chat"])
    edge = Edge(tmp_path, config, front=front)
    with running(edge):
        status, headers, got = ask(edge, "chat", "gpt-4o")
        assert (status, got) == (200, b"".join(STREAMS["chat"]))
        assert headers["x-edge-provider"] == "openai"


def test_json_is_waited_for_in_silence(edge, first):
    first.script["json"] = lambda *_: time.sleep(0.8) or answer(b'{"error":{"message":"no"}}', 400)
    status, headers, _ = ask(edge, "chat", "a/json", stream=False)
    assert (status, headers["content-type"]) == (400, "application/json")


def test_a_client_that_leaves_after_one_closes_the_upstream(edge, first):
    left = threading.Event()

    def waits(_, connection):
        connection.settimeout(WAIT_S)
        if not connection.recv(1):
            left.set()

    first.script["waits"] = waits
    with Client(edge.port) as client:
        client.post(APIS["chat"][0], json.dumps({"model": "a/waits", "stream": True, **APIS["chat"][2]}).encode())
        client.read_until(b": keep-alive\n")
    assert left.wait(WAIT_S)
