"""OpenAI's Realtime API over WebSockets, through both fronts."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import time

import httpx2
import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edge.guard.auth import new_key
from tests.harness import PATIENT, WAIT_S, Client, Edge, clean_environment, providers, running, until
from tests.http import speaking
from tests.http.speaking import HANDSHAKE, hear, lines_of, say
from tests.http.test_clients import CLIENTS, python_of

KEYS = {
    name: new_key(name)
    for name in ("plain", "narrow", "masked", "tight", "poor", "single", "few", "routed", "detecting")
}
MORE = {
    "narrow": {"models": ["gpt-4o"]},
    "masked": {"pii": {"request": "mask"}},
    "detecting": {"pii": {"request": "detect"}},
    "tight": {"tokens_per_minute": 400},
    "poor": {"budget": {"usd": 0.000001, "per": "day"}},
    "single": {"concurrency": 1},
    "few": {"requests_per_minute": 2},
    "routed": {"allowed_routes": ["chat/completions"]},
}
UPDATE = {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}}


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    made = providers(simulator.url, priced_as="openai")
    made["spare"] = {**made["openai"], "models": [], "api_keys": ["sk-spare"]}
    made["gone"] = {**made["openai"], "models": [], "base_url": "http://127.0.0.1:9/v1"}
    made["azure"] = {**made["openai"], "models": [], "auth": "api-key", "query": {"api-version": "v1"}}
    config = {
        "auth": {
            "keys": [{"id": name, "digests": [key[1]], **MORE.get(name, {})} for name, key in KEYS.items()],
            "failures_per_minute": 1000,
        },
        "providers": made,
        "models": {
            "voice": {"upstreams": [{"to": "openai/gpt-realtime"}]},
            "failing": {
                "strategy": "failover",
                "upstreams": [{"to": "openai/sim-503-noretry"}, {"to": "spare/gpt-realtime"}],
            },
            "lost": {"strategy": "failover", "upstreams": [{"to": "gone/gpt-realtime"}, {"to": "spare/gpt-realtime"}]},
            "azured": {"upstreams": [{"to": "azure/gpt-realtime"}]},
            "dear": {"upstreams": [{"to": "openai/sim-tps-50-words-100"}], "price": {"input": 1, "output": 10}},
            "claude": {"upstreams": [{"to": "anthropic/claude-sonnet-5"}]},
        },
        "resilience": {**PATIENT, "connect_s": 2, "first_content_s": 2},
        "websockets": {"max_message_bytes": 1 << 20, "idle_s": 2.5, "max_s": 60},
    }
    edge = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(edge):
        yield edge


def speak(edge, model="voice", key="plain", **more):
    target = "/v1/realtime" + (f"?model={model}" if model else "")
    return speaking.speak(edge.url, target, KEYS[key][0] if key else "", **more)


def answered(ws, text="hello"):
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    say(ws, type="conversation.item.create", item=item)
    say(ws, type="response.create")
    return hear(ws, "response.done", "error")


def refusal(edge, model="voice", key="plain", **more):
    with pytest.raises(InvalidStatus) as caught, speak(edge, model, key, **more):
        pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"]["code"], response.headers


def test_a_session_with_openais_sdk(edge):
    async def talk():
        client = openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key=KEYS["plain"][0], max_retries=0)
        async with client.realtime.connect(model="voice") as connection:
            assert (await connection.recv()).type == "session.created"
            await connection.session.update(
                session={"type": "realtime", "model": "voice", "output_modalities": ["text"]}
            )
            assert (await connection.recv()).session.model == "gpt-realtime"
            content = [{"type": "input_text", "text": "hello"}]
            await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            await connection.response.create()
            text = ""
            async for event in connection:
                if event.type == "response.output_text.delta":
                    text += event.delta
                elif event.type == "response.done":
                    assert event.response.output[0].content[0].text == text
                    return event.response.usage.total_tokens
        return 0

    assert asyncio.run(asyncio.wait_for(talk(), WAIT_S)) > 10


def test_openai_agents_by_voice_does_what_its_users_do(edge):
    command = [python_of("agents"), str(CLIENTS / "agents_realtime.py"), edge.url, KEYS["plain"][0], "voice"]
    got = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=180)
    assert got.returncode == 0, got.stderr
    results = json.loads(got.stdout.splitlines()[-1])
    assert len(results) == 5
    assert {name: result for name, result in results.items() if result != "ok"} == {}


def test_a_tool_is_called_and_answered(edge):
    with speak(edge) as ws:
        tool = {"type": "function", "name": "now", "parameters": {"type": "object", "properties": {}}}
        say(ws, type="session.update", session={"type": "realtime", "tools": [tool]})
        say(ws, type="response.create")
        call = hear(ws, "response.done")["response"]["output"][0]
        assert call["name"] == "now"
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "12:00"}
        say(ws, type="conversation.item.create", item=output)
        say(ws, type="response.create")
        assert hear(ws, "response.done")["response"]["output"][0]["type"] == "message"


def test_what_a_connection_used_stands_in_one_line_of_the_log_and_in_the_metrics(edge):
    with speak(edge, headers={"x-request-id": "told-once"}) as ws:
        say(ws, **UPDATE)
        usages = [answered(ws, f"number {n}")["response"]["usage"] for n in range(3)]
    until(lambda: lines_of(edge, request_id="told-once"))
    (line,) = lines_of(edge, request_id="told-once")
    assert line["endpoint"] == "/v1/realtime (websocket)"
    assert (line["status"], line["responses"], line["ended_by"], line["close_code"]) == (101, 3, "client", 1000)
    assert line["input_tokens"] == sum(usage["input_tokens"] for usage in usages)
    assert line["output_tokens"] == sum(usage["output_tokens"] for usage in usages)
    assert line["cost_usd"] > 0
    assert (line["requested_model"], line["model"], line["key"]) == ("voice", "gpt-realtime", "plain")
    assert "kind" not in line


def test_sound_goes_through_and_is_charged_as_sound(edge):
    with speak(edge, headers={"x-request-id": "heard"}) as ws:
        say(
            ws,
            type="session.update",
            session={"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}},
        )
        hear(ws, "session.updated")
        sound = base64.b64encode(bytes(24_000)).decode()
        for _ in range(2):
            say(ws, type="input_audio_buffer.append", audio=sound)
        heard = hear(ws, "conversation.item.input_audio_transcription.completed")
        done = hear(ws, "response.done")["response"]["usage"]
    assert done["output_token_details"]["audio_tokens"] > 0
    until(lambda: lines_of(edge, request_id="heard"))
    (line,) = lines_of(edge, request_id="heard")
    assert line["input_tokens"] == done["input_tokens"] + heard["usage"]["input_tokens"]


def test_a_browser_gives_its_key_as_a_sub_protocol(edge, simulator):
    since = simulator.count()
    offered = ["realtime", f"openai-insecure-api-key.{KEYS['plain'][0]}", "openai-beta.realtime-v1"]
    with speak(edge, key="", subprotocols=offered) as ws:
        assert ws.subprotocol == "realtime"
        hear(ws, "session.created")
    headers = dict(simulator.entry(since)["headers"])
    assert headers["sec-websocket-protocol"] == "realtime"
    assert headers["openai-beta"] == "realtime=v1"
    assert headers["authorization"] == "Bearer sk-upstream-openai"
    assert KEYS["plain"][0] not in json.dumps(simulator.ledger(since)) + edge.process.output


def test_the_key_of_an_anthropic_client_counts_too(edge):
    with speak(edge, key="", headers={"x-api-key": KEYS["plain"][0]}) as ws:
        hear(ws, "session.created")


def test_the_provider_is_asked_as_it_wants_to_be(edge, simulator):
    since = simulator.count()
    with speak(edge, "azured&intent=conversation&secret=1", headers={"openai-beta": "x=1", "cookie": "c"}) as ws:
        hear(ws, "session.created")
    entry = simulator.entry(since)
    headers = dict(entry["headers"])
    assert entry["path"] == "/v1/realtime?api-version=v1&intent=conversation&model=gpt-realtime"
    assert (headers["api-key"], headers["openai-beta"]) == ("sk-upstream-openai", "x=1")
    assert not {"authorization", "cookie", "origin", "x-api-key"} & set(headers)


@pytest.mark.parametrize("model", ["failing", "lost"])
def test_another_upstream_takes_the_handshake_that_one_does_not(edge, model):
    with speak(edge, model) as ws:
        hear(ws, "session.created")
        assert ws.response.headers["x-edge-provider"] == "spare"
        assert ws.response.headers["x-edge-attempts"] == "2"


@pytest.mark.parametrize(
    ("model", "key", "status", "code"),
    [
        ("voice", "", 401, "invalid_api_key"),
        ("voice", "narrow", 403, "model_not_allowed"),
        ("voice", "routed", 403, "route_not_allowed"),
        ("voice", "masked", 403, "pii_blocked"),
        ("", "plain", 400, "missing_required_parameter"),
        ("voice&model=gpt-4o", "plain", 400, "invalid_value"),
        ("claude", "plain", 400, "unsupported_route"),
        ("sim-429-noretry", "plain", 429, "rate_limit_exceeded"),
        ("openai/sim-503-noretry", "plain", 503, "overloaded"),
        ("openai/sim-401", "plain", 503, "upstream_credentials_exhausted"),
        ("openai/sim-404", "plain", 502, "upstream_bad_response"),
        ("openai/sim-hang", "plain", 504, "timeout"),
        ("openai/sim-rst", "plain", 502, "upstream_stream_broken"),
        ("gone/x", "plain", 502, "upstream_unreachable"),
    ],
)
def test_what_refuses_a_handshake_is_an_answer(edge, model, key, status, code):
    assert refusal(edge, model, key)[:2] == (status, code)


def test_a_call_is_not_joined(edge):
    with (
        pytest.raises(InvalidStatus) as caught,
        speaking.speak(edge.url, "/v1/realtime?call_id=rtc_1", KEYS["plain"][0]),
    ):
        pass
    assert caught.value.response.status_code == 400


def test_detecting_alone_refuses_nothing(edge):
    with speak(edge, key="detecting") as ws:
        hear(ws, "session.created")


@pytest.mark.parametrize(
    ("without", "more", "status", "code"),
    [
        ("sec-websocket-key", "", 400, "invalid_http"),
        ("", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400, "invalid_http"),
        ("sec-websocket-version", "", 400, "invalid_http"),
        ("sec-websocket-version", "sec-websocket-version: 8\r\n", 426, "upgrade_required"),
        ("", "content-length: 3\r\n", 400, "invalid_http"),
        ("upgrade", "", 426, "upgrade_required"),
        ("upgrade", "upgrade: h2c\r\n", 426, "upgrade_required"),
    ],
)
def test_a_bad_handshake_gets_an_error_in_json(edge, without, more, status, code):
    lines = {
        "host": "127.0.0.1",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        "authorization": f"Bearer {KEYS['plain'][0]}",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if name != without)
    with Client(edge.port) as client:
        client.send(f"GET /v1/realtime?model=voice HTTP/1.1\r\n{head}{more}\r\n".encode())
        got, headers = client.head()
        assert (got, json.loads(client.body(headers))["error"]["code"]) == (status, code)
        assert ("sec-websocket-version" in headers) == ("8" in more)


def test_a_plain_request_is_told_to_upgrade(edge):
    got = httpx2.get(f"{edge.url}/v1/realtime?model=voice", headers={"authorization": f"Bearer {KEYS['plain'][0]}"})
    assert (got.status_code, got.headers["upgrade"]) == (426, "websocket")


def test_the_place_of_a_connection_is_held_as_long_as_it_lasts(edge):
    with speak(edge, key="single") as ws:
        hear(ws, "session.created")
        assert refusal(edge, key="single")[:2] == (429, "rate_limit_exceeded")
    until(lambda: refused_or_not(edge, "single") == 101)


def refused_or_not(edge, key):
    try:
        with speak(edge, key=key):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_each_response_is_a_request_of_its_key(edge):
    with speak(edge, key="few") as ws:
        say(ws, **UPDATE)
        assert answered(ws)["type"] == "response.done"
        refused = answered(ws)
        assert (refused["type"], refused["error"]["code"]) == ("error", "rate_limit_exceeded")
        say(ws, type="input_audio_buffer.clear")
        hear(ws, "input_audio_buffer.cleared")


def test_a_response_beyond_the_tokens_of_its_key_is_refused_by_an_event(edge):
    with speak(edge, key="tight") as ws:
        say(ws, **UPDATE)
        assert answered(ws)["type"] == "response.done"
        say(ws, type="response.create", event_id="mine")
        while (event := hear(ws, "error", "response.done"))["type"] != "error":
            say(ws, type="response.create", event_id="mine")
        assert (event["error"]["code"], event["error"]["event_id"]) == ("rate_limit_exceeded", "mine")


def test_a_response_that_begins_by_itself_beyond_the_budget_is_cancelled(edge, simulator):
    since = simulator.count()
    with speak(edge, "dear", key="poor") as ws:
        hear(ws, "session.created")
        say(ws, type="input_audio_buffer.append", audio=base64.b64encode(bytes(48_000)).decode())
        assert hear(ws, "error")["error"]["code"] == "insufficient_quota"
        assert hear(ws, "response.done")["response"]["status"] == "cancelled"
    assert "response.cancel" in simulator.ledger(since)[0]["body"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("no json", "invalid_json"),
        ('{"type":"a","type":"b"}', "duplicate_key"),
        ('{"no":"type"}', "invalid_value"),
        (b"\x00\x01", "invalid_value"),
        ('{"type":"session.update","session":{"type":"realtime","model":"gpt-6-astra"}}', "model_not_allowed"),
        ('{"type":"session.update","session":{"type":"realtime","model":"gpt-4o","model":"voice"}}', "duplicate_key"),
    ],
)
def test_events_that_nobody_can_take_get_an_error_and_go_nowhere(edge, simulator, said, code):
    since = simulator.count()
    with speak(edge) as ws:
        hear(ws, "session.created")
        ws.send(said)
        assert hear(ws, "error")["error"]["code"] == code
        say(ws, type="input_audio_buffer.clear")
        hear(ws, "input_audio_buffer.cleared")
    assert simulator.ledger(since)[0]["body"].count("\n") == 1


def test_the_providers_own_errors_pass_as_they_are(edge):
    with speak(edge) as ws:
        say(ws, type="no.such.event", event_id="e1")
        error = hear(ws, "error")["error"]
        assert (error["code"], error["event_id"]) == ("invalid_value", "e1")


def test_a_message_beyond_the_bound_ends_the_connection(edge):
    with speak(edge, headers={"x-request-id": "too-big"}) as ws:
        hear(ws, "session.created")
        with pytest.raises(ConnectionClosed):
            ws.send("x" * (1 << 20) + "x")
            ws.recv(timeout=10)
        assert ws.close_code in (1009, 1006)
    until(lambda: lines_of(edge, request_id="too-big"))
    assert lines_of(edge, request_id="too-big")[0]["ended_by"] == "violation"


def test_a_silent_connection_is_closed(edge, simulator):
    since = simulator.count()
    with speak(edge) as ws:
        hear(ws, "session.created")
        begun = time.monotonic()
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=10)
        assert ws.close_code == 1001
        assert time.monotonic() - begun >= 1.5
    assert simulator.entry(since, lambda entry: entry["left"])["left"] == "close 1001"


def test_the_codes_of_a_close_go_both_ways(edge, simulator):
    since = simulator.count()
    with speak(edge) as ws:
        hear(ws, "session.created")
        ws.close(4002, "enough")
    assert simulator.entry(since, lambda entry: entry["left"])["left"] == "close 4002"


def test_a_provider_that_leaves_is_told_as_an_event_and_a_close(edge):
    with speak(edge, "openai/sim-cut-3", headers={"x-request-id": "cut-off"}) as ws:
        say(ws, **UPDATE)
        say(ws, type="response.create")
        assert hear(ws, "error")["error"]["code"] == "upstream_stream_broken"
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=10)
        assert ws.close_code == 1011
    until(lambda: lines_of(edge, request_id="cut-off"))
    (line,) = lines_of(edge, request_id="cut-off")
    assert (line["kind"], line["estimated"], line["responses"]) == ("provider_stream_broken", True, 1)


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_client_that_leaves_is_told_to_its_provider_at_once(edge, simulator, stalls, how):
    since = simulator.count()
    ws = speak(edge, "openai/sim-tps-20-words-200")
    hear(ws, "session.created")
    say(ws, type="response.create")
    hear(ws, "response.output_audio_transcript.delta")
    if how == "rst":
        ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    left = time.monotonic()
    ws.socket.shutdown(socket.SHUT_RDWR) if how == "fin" else ws.socket.close()
    entry = simulator.entry(since, lambda entry: entry["left"])
    assert entry["left"] == "close 1001"
    assert entry["left_at"] - left <= 0.1 + stalls.granted_s


def test_leaving_during_the_handshake_leaves_the_provider(edge, simulator):
    since = simulator.count()
    with Client(edge.port) as client:
        head = HANDSHAKE.format("/v1/realtime?model=openai/sim-hang")
        client.send(head.replace("\r\n\r\n", f"\r\nauthorization: Bearer {KEYS['plain'][0]}\r\n\r\n").encode())
        simulator.entry(since)
    assert simulator.entry(since, lambda entry: entry["left"])["left"] == "fin"
