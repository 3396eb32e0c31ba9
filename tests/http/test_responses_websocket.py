"""OpenAI's Responses API over WebSockets, through both fronts."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edge.guard.auth import new_key
from tests.harness import PATIENT, WAIT_S, Edge, providers, running, until
from tests.http import speaking
from tests.http.speaking import hear, lines_of, say

KEYS = {name: new_key(name) for name in ("plain", "narrow", "masked", "few", "poor")}
MORE = {
    "narrow": {"models": ["gpt-4o"]},
    "masked": {"pii": {"request": "mask"}},
    "few": {"requests_per_minute": 2},
    "poor": {"budget": {"usd": 0.000001, "per": "day"}},
}


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    made = providers(simulator.url, priced_as="openai")
    made["spare"] = {**made["openai"], "models": []}
    made["local"] = {**made["openai"], "models": [], "capabilities": {"*": {"apis": ["chat"]}}}
    config = {
        "auth": {"keys": [{"id": name, "digests": [key[1]], **MORE.get(name, {})} for name, key in KEYS.items()]},
        "providers": made,
        "models": {
            "smart": {"upstreams": [{"to": "openai/gpt-5-mini"}], "price": {"input": 1, "output": 10}},
            "spared": {"upstreams": [{"to": "spare/gpt-5-mini"}]},
        },
        "resilience": {**PATIENT, "connect_s": 2, "first_content_s": 2},
        "server": {"max_messages": 20, "max_tools": 3},
    }
    edge = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(edge):
        yield edge


def speak(edge, key="plain", **headers):
    return speaking.speak(edge.url, "/v1/responses", KEYS[key][0] if key else "", headers)


def create(ws, text="hello", model="smart", **more):
    say(ws, type="response.create", **{"model": model, "input": text, "store": False, **more})


def answered(ws, *args, **more):
    create(ws, *args, **more)
    return hear(ws, "response.completed", "error")


def test_a_conversation_with_openais_sdk(edge):
    async def talk():
        client = openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key=KEYS["plain"][0], max_retries=0)
        texts, before = [], None
        async with client.beta.responses.connect() as connection:
            for text in ("one", "two"):
                more = {} if before is None else {"previous_response_id": before}
                await connection.response.create(model="smart", input=text, store=False, **more)
                async for event in connection:
                    assert event.type != "error", event
                    if event.type == "response.completed":
                        texts.append(event.response.output[-1].content[0].text)
                        before = event.response.id
                        break
        return texts

    first, second = asyncio.run(asyncio.wait_for(talk(), WAIT_S))
    assert first
    assert second


def test_a_second_turn_goes_on_where_the_first_was_and_one_line_tells_of_both(edge, simulator):
    since = simulator.count()
    with speak(edge, **{"x-request-id": "two-turns"}) as ws:
        first = answered(ws, "one")["response"]
        second = answered(ws, "two", previous_response_id=first["id"], stream_id="b")
        assert second["stream_id"] == "b"
    assert [entry["path"] for entry in simulator.ledger(since)] == ["/v1/responses"]
    assert json.loads(simulator.ledger(since)[0]["body"].split("\n")[0])["model"] == "gpt-5-mini"
    until(lambda: lines_of(edge, request_id="two-turns"))
    (line,) = lines_of(edge, request_id="two-turns")
    usages = [first["usage"], second["response"]["usage"]]
    assert (line["endpoint"], line["status"], line["responses"]) == ("/v1/responses (websocket)", 101, 2)
    assert line["output_tokens"] == sum(usage["output_tokens"] for usage in usages)
    assert line["input_tokens"] == sum(usage["input_tokens"] for usage in usages)
    assert line["cost_usd"] == pytest.approx((line["input_tokens"] + 10 * line["output_tokens"]) / 1e6)


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"model": "narrow-not"}, 403, "model_not_allowed"),
        ({}, 400, "missing_required_parameter"),
        ({"model": ""}, 400, "invalid_value"),
    ],
)
def test_a_response_that_its_key_may_not_have_is_refused_by_an_event(edge, said, status, code):
    with speak(edge, "narrow") as ws:
        say(ws, type="response.create", input="x", stream_id="s", **said)
        event = hear(ws, "error")
        assert (event["status"], event["error"]["code"], event["stream_id"]) == (status, code, "s")
        assert answered(ws, model="gpt-4o")["type"] == "response.completed"


@pytest.mark.parametrize(
    ("key", "model", "status", "code"),
    [
        ("masked", "smart", 403, "pii_blocked"),
        ("plain", "claude-sonnet-5", 400, "unsupported_route"),
        ("plain", "local/x", 400, "unsupported_route"),
        ("poor", "smart", 429, "insufficient_quota"),
        ("plain", "sim-429-noretry", 429, "rate_limit_exceeded"),
    ],
)
def test_what_cannot_be_answered_says_so(edge, key, model, status, code):
    with speak(edge, key) as ws:
        event = answered(ws, model=model)
        assert (event["type"], event["status"], event["error"]["code"]) == ("error", status, code)


def test_another_model_of_the_same_provider_is_answered_and_one_of_another_is_not(edge):
    with speak(edge) as ws:
        assert answered(ws)["type"] == "response.completed"
        assert answered(ws, model="gpt-4o")["response"]["model"] == "gpt-4o"
        refused = answered(ws, model="spared")
        assert (refused["status"], refused["error"]["code"]) == (400, "unsupported_route")
        assert answered(ws)["type"] == "response.completed"


def test_each_response_is_a_request_of_its_key(edge):
    with speak(edge, "few") as ws:
        assert answered(ws)["type"] == "response.completed"
        assert answered(ws)["error"]["code"] == "rate_limit_exceeded"


def test_errors_of_the_provider_pass_and_the_connection_goes_on(edge):
    with speak(edge) as ws:
        assert answered(ws, previous_response_id="resp_none")["error"]["code"] == "previous_response_not_found"
        assert answered(ws, max_output_tokens=1)["status"] == 400
        assert answered(ws)["type"] == "response.completed"


@pytest.mark.parametrize(("said", "code"), [("x", "invalid_json"), ('{"type":"response.steer"}', "invalid_request")])
def test_events_before_a_response(edge, said, code):
    with speak(edge) as ws:
        ws.send(said)
        assert hear(ws, "error")["error"]["code"] == code


def test_bounds_of_a_request_hold_for_a_response(edge):
    texts = [{"role": "user", "content": "x"}] * 21
    tools = [{"type": "function", "name": f"f{n}", "parameters": {}, "strict": False} for n in range(4)]
    with speak(edge) as ws:
        refused = answered(ws, texts)
        assert (refused["status"], refused["error"]["param"]) == (400, "input")
        refused = answered(ws, tools=tools)
        assert (refused["status"], refused["error"]["param"]) == (400, "tools")
        assert answered(ws, texts[:20], tools=tools[:3])["type"] == "response.completed"


def test_no_other_event_names_a_model(edge):
    with speak(edge, "narrow") as ws:
        assert answered(ws, model="gpt-4o")["type"] == "response.completed"
        say(ws, type="response.steer", model="narrow-not")
        refused = hear(ws, "error")
        assert (refused["status"], refused["error"]["param"]) == (400, "model")
        assert answered(ws, model="gpt-4o")["type"] == "response.completed"


def test_a_provider_that_leaves_is_told_and_what_it_wrote_is_charged(edge):
    with speak(edge, **{"x-request-id": "broke-off"}) as ws:
        create(ws, model="sim-words-50-cut-20")
        assert hear(ws, "error")["error"]["code"] == "upstream_stream_broken"
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=10)
    until(lambda: lines_of(edge, request_id="broke-off"))
    (line,) = lines_of(edge, request_id="broke-off")
    assert line["estimated"] is True
    assert line["output_tokens"] > 5


def test_a_handshake_needs_a_key(edge):
    with pytest.raises(InvalidStatus) as caught, speak(edge, ""):
        pass
    assert caught.value.response.status_code == 401
