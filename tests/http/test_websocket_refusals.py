"""A provider that takes the handshake, and only then says that it does not serve whoever has our key."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.server import serve

from tests.harness import Edge, running, until
from tests.http.speaking import hear, lines_of, say, speak

BAD, GOOD = "sk-bad-0123456789abcdef", "sk-good-0123456789abcdef"
SAID = "Incorrect API key provided: sk-bad-0*****cdef of org-secret."
UNKNOWN_KEY = {"type": "invalid_request_error", "code": "invalid_api_key", "message": SAID, "param": None}
NO_MONEY = {"type": "insufficient_quota", "code": "insufficient_quota", "message": SAID, "param": None}
TOO_FAST = {"type": "tokens", "code": "rate_limit_exceeded", "message": SAID, "param": None}
BROKEN = {"type": "server_error", "code": "server_error", "message": SAID, "param": None}
SESSION = {"type": "session.created", "session": {"type": "realtime", "model": "gpt-realtime"}}
CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
COMPLETED = {
    "type": "response.completed",
    "response": {"id": "resp_1", "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}},
}


class Provider:
    """Speaks as ``scripts`` say for the key that it is asked by: functions of a connection, and of what it has heard of
    it first where it waits for that. ``asked`` are the keys, in their order; ``heard`` what was said first.
    """

    def __init__(self) -> None:
        self.scripts: dict = {}
        self.asked: list[str] = []
        self.heard: list[tuple[str, dict]] = []
        silent = logging.Logger("silent")
        silent.addHandler(logging.NullHandler())
        self.server = serve(self._serve, "127.0.0.1", 0, compression=None, logger=silent)
        self.url = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def _serve(self, ws):
        key = ws.request.headers["authorization"].removeprefix("Bearer ")
        self.asked.append(key)
        try:
            if ws.request.path.startswith("/v1/responses"):
                self.heard.append((key, json.loads(ws.recv(timeout=20))))
            self.scripts[key](ws)
        except (ConnectionClosed, TimeoutError):
            pass


def says(*events, then=None):
    """A script: events, the seconds between them, and a close (`then`: code and reason) or an echo of what comes."""

    def script(ws):
        for event in events:
            if isinstance(event, dict):
                say(ws, **event)
            else:
                time.sleep(event)
        if then is not None:
            ws.close(*then)
            return
        for message in ws:
            ws.send(message)

    return script


def error(told, **more):
    return {"type": "error", **more, "error": told}


class Case:
    """Names for one test alone, since a key that was refused rests: ``pair`` is a provider of ours with a ``bad`` key and a
    ``good`` one, ``alone`` one with the bad one; ``alias`` is of alone and then of one with the good key.
    """

    def __init__(self, number: int) -> None:
        self.pair, self.alone, self.alias = f"pair{number}", f"alone{number}", f"alias{number}"
        self.bad, self.good = f"{BAD}-{number}", f"{GOOD}-{number}"

    def providers(self, url):
        at = {"dialect": "openai", "base_url": f"{url}/v1", "models": []}
        keys = {self.pair: [self.bad, self.good], self.alone: [self.bad], f"spare-{self.alone}": [self.good]}
        return {name: {**at, "api_keys": each} for name, each in keys.items()}

    def models(self):
        upstreams = [{"to": f"{self.alone}/gpt-realtime"}, {"to": f"spare-{self.alone}/gpt-realtime-mini"}]
        return {self.alias: {"strategy": "failover", "upstreams": upstreams}}


CASES = [Case(number) for number in range(40)]


@pytest.fixture(scope="module")
def provider():
    with Provider() as made:
        yield made


@pytest.fixture(scope="module")
def unused(edge):
    """Of one edge, which knows what it was refused."""
    return iter(CASES)


@pytest.fixture
def case(unused, provider):
    found = next(unused)
    provider.scripts[found.good] = says(SESSION)
    provider.asked.clear()
    provider.heard.clear()
    return found


@pytest.fixture(scope="module")
def edge(provider, front, tmp_path_factory):
    config = {
        "providers": {name: each for case in CASES for name, each in case.providers(provider.url).items()},
        "models": {name: each for case in CASES for name, each in case.models().items()},
        "resilience": {"retries": 0, "breaker": {"failures": 1_000_000}},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def voice(edge, name, **headers):
    model = name if name.startswith("alias") else f"{name}/gpt-realtime"
    return speak(edge.url, f"/v1/realtime?model={model}", headers=headers)


REFUSALS = {
    "an event": says(error(UNKNOWN_KEY), then=(3000, "invalid_request_error.invalid_api_key")),
    "an event alone": says(error(UNKNOWN_KEY)),
    "a close": says(then=(3000, "invalid_request_error.invalid_api_key")),
    "no money": says(error(NO_MONEY)),
    "no money, by a close": says(then=(3000, "insufficient_quota")),
}


@pytest.mark.parametrize("how", REFUSALS)
def test_a_key_that_is_refused_behind_the_handshake_is_followed_by_another(provider, edge, case, how):
    provider.scripts[case.bad] = REFUSALS[how]
    for _ in range(4):
        # Whose turn it is alternates, but one that was refused is left alone: it is asked once.
        with voice(edge, case.pair) as ws:
            assert json.loads(ws.recv(timeout=10)) == SESSION
    assert (provider.asked.count(case.bad), provider.asked.count(case.good)) == (1, 4)


@pytest.mark.parametrize("how", REFUSALS)
def test_a_key_that_is_refused_behind_the_handshake_is_an_answer_without_the_providers_words(provider, edge, case, how):
    provider.scripts[case.bad] = REFUSALS[how]
    with pytest.raises(InvalidStatus) as caught, voice(edge, case.alone):
        pass
    response = caught.value.response
    told = json.loads(response.body)["error"]
    assert (response.status_code, told["code"]) == (503, "upstream_credentials_exhausted")
    assert b"sk-bad" not in response.body
    assert b"org-secret" not in response.body
    assert response.headers["x-should-retry"] == "false"
    assert case.bad not in edge.process.output


@pytest.mark.parametrize(
    "script", [says(error(TOO_FAST)), says(error(BROKEN)), says(then=(1013, "")), says(then=(1012, "restart"))]
)
def test_who_has_no_room_behind_the_handshake_is_followed_by_another_provider(provider, edge, case, script):
    provider.scripts[case.bad] = script
    with voice(edge, case.alias) as ws:
        assert json.loads(ws.recv(timeout=10)) == SESSION
        assert ws.response.headers["x-edge-provider"] == f"spare-{case.alone}"
        assert ws.response.headers["x-edge-attempts"] == "2"


def test_a_provider_that_waits_for_its_client_to_speak_is_taken(provider, edge, case):
    provider.scripts[case.bad] = says()
    with voice(edge, case.alone) as ws:
        said = {"type": "input_audio_buffer.clear"}
        say(ws, **said)
        assert json.loads(ws.recv(timeout=10)) == said


LATE = {
    "an event": says(SESSION, 0.2, error(UNKNOWN_KEY)),
    "no money": says(SESSION, 0.2, error(NO_MONEY), 5.0),
    "a close": says(SESSION, 0.2, then=(3000, "invalid_request_error.invalid_api_key")),
}


@pytest.mark.parametrize("how", LATE)
def test_a_key_that_is_refused_later_ends_the_connection_without_the_providers_words(provider, edge, case, how):
    provider.scripts[case.bad] = LATE[how]
    while case.bad not in provider.asked:
        with voice(edge, case.pair, **{"x-request-id": case.pair}) as ws:
            hear(ws, "session.created")
            if case.bad in provider.asked:
                event = hear(ws, "error")
                with pytest.raises(ConnectionClosed) as caught:
                    ws.recv(timeout=10)
    assert event["error"]["code"] == "upstream_credentials_exhausted"
    assert ws.close_code == 1011
    for text in (json.dumps(event), caught.value.rcvd.reason):
        assert "sk-bad" not in text
        assert "invalid_api_key" not in text
        assert "org-secret" not in text
    until(lambda: any(line["ended_by"] == "provider" for line in lines_of(edge, request_id=case.pair)))
    for _ in range(3):  # it is left alone from then on
        with voice(edge, case.pair) as ws:
            hear(ws, "session.created")
    assert provider.asked.count(case.bad) == 1


def create(ws, model, **more):
    say(ws, type="response.create", model=model, input="hello", **more)
    return hear(ws, "response.completed", "error")


@pytest.mark.parametrize("told", [UNKNOWN_KEY, NO_MONEY])
@pytest.mark.parametrize("store", [False, True])
def test_a_response_that_our_key_is_refused_for_is_asked_for_by_another(provider, edge, case, told, store):
    refused = error(told, status=401 if told is UNKNOWN_KEY else 429)
    provider.scripts |= {case.bad: says(refused), case.good: says(COMPLETED)}
    for _ in range(2):
        with speak(edge.url, "/v1/responses", headers={"x-request-id": case.pair}) as ws:
            assert create(ws, f"{case.pair}/gpt-5", store=store) == COMPLETED
    # A tenant has one account, where it has been; nobody knows which.
    assert provider.asked.count(case.bad) <= 1
    assert {event["model"] for _, event in provider.heard} == {"gpt-5"}
    until(lambda: len(lines_of(edge, request_id=case.pair)) == 2)
    assert [line["output_tokens"] for line in lines_of(edge, request_id=case.pair)] == [7, 7]


def test_a_response_that_our_only_key_is_refused_for_says_so_without_the_providers_words(provider, edge, case):
    provider.scripts[case.bad] = says(error(UNKNOWN_KEY, status=401))
    with speak(edge.url, "/v1/responses", headers={"x-request-id": case.pair}) as ws:
        event = create(ws, f"{case.alone}/gpt-5", stream_id="s")
        assert (event["status"], event["stream_id"]) == (503, "s")
        assert event["error"]["code"] == "upstream_credentials_exhausted"
        assert "sk-bad" not in json.dumps(event)
    until(lambda: lines_of(edge, request_id=case.pair))
    assert "output_tokens" not in lines_of(edge, request_id=case.pair)[0]


@pytest.mark.parametrize(("store", "attempts"), [(False, 2), (True, 1)])
@pytest.mark.parametrize("created", [False, True])
def test_what_may_be_kept_is_not_asked_for_twice_where_it_may_have_begun(
    provider, edge, case, store, attempts, created
):
    failed = {"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "error": BROKEN}}
    provider.scripts[case.bad] = says(CREATED, failed) if created else says(error(BROKEN, status=500))
    provider.scripts[case.good] = says(COMPLETED)
    with speak(edge.url, "/v1/responses") as ws:
        event = create(ws, case.alias, store=store)
        assert len(provider.asked) == attempts
        assert event.get("status") == (None if attempts == 2 else 500)
        assert [each["model"] for _, each in provider.heard] == ["gpt-realtime", "gpt-realtime-mini"][:attempts]


def test_a_key_that_is_refused_for_a_later_response_ends_the_connection(provider, edge, case):
    def script(ws):
        say(ws, **COMPLETED)
        ws.recv(timeout=20)
        say(ws, **error(UNKNOWN_KEY, status=401, stream_id="two"))
        ws.recv(timeout=20)

    provider.scripts[case.bad] = script
    with speak(edge.url, "/v1/responses") as ws:
        assert create(ws, f"{case.alone}/gpt-5")["type"] == "response.completed"
        event = create(ws, f"{case.alone}/gpt-5", stream_id="two")
        assert (event["status"], event["error"]["code"]) == (503, "upstream_credentials_exhausted")
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=10)
        assert ws.close_code == 1011
