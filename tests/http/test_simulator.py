"""The simulator by itself."""

from __future__ import annotations

import json
import time

import httpx2
import pytest

from edge.simulator.server import EARLY
from tests.harness import WAIT_S, Client


def post(simulator, path, **body):
    return httpx2.post(simulator.url + path, json=body)


SAID = [{"role": "user", "content": "hi"}]


def test_answers_are_deterministic_and_depend_on_the_prompt(simulator):
    one = post(simulator, "/v1/chat/completions", model="m", messages=SAID).content
    assert post(simulator, "/v1/chat/completions", model="m", messages=SAID).content == one
    other = post(simulator, "/v1/chat/completions", model="m", messages=[{"role": "user", "content": "ho"}]).content
    assert other != one


def test_usage_adds_up_in_both_forms(simulator):
    whole = post(simulator, "/v1/chat/completions", model="sim-words-7", messages=SAID).json()
    assert whole["usage"]["completion_tokens"] == 7
    stream = post(
        simulator,
        "/v1/chat/completions",
        model="sim-words-7",
        messages=SAID,
        stream=True,
        stream_options={"include_usage": True},
    ).text
    events = [json.loads(event[6:]) for event in stream.split("\n\n") if event.startswith("data: {")]
    assert events[-1]["usage"] == whole["usage"]
    message = post(simulator, "/v1/messages", model="sim-words-7", max_tokens=100, messages=SAID).json()
    assert message["usage"]["output_tokens"] == 7
    counted = post(simulator, "/v1/messages/count_tokens", model="sim", messages=SAID).json()
    assert counted["input_tokens"] == message["usage"]["input_tokens"]


def test_the_token_limit_cuts_the_answer(simulator):
    got = post(simulator, "/v1/chat/completions", model="sim-words-9", messages=SAID, max_tokens=4).json()
    assert got["choices"][0]["finish_reason"] == "length"
    assert got["usage"]["completion_tokens"] == 4
    got = post(simulator, "/v1/messages", model="sim-words-9", messages=SAID, max_tokens=4).json()
    assert got["stop_reason"] == "max_tokens"


def chat_tool(name, schema):
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def responses_tool(name, schema, **more):
    return {"type": "function", "name": name, "parameters": schema, "strict": False, **more}


def messages_tool(name, schema, **more):
    return {"name": name, "input_schema": schema, **more}


CALLS = {
    "chat/completions": (
        chat_tool,
        {"messages": SAID},
        lambda a: a["choices"][0]["message"]["tool_calls"][0]["function"],
    ),
    "responses": (responses_tool, {"input": SAID}, lambda a: a["output"][0]),
    "messages": (messages_tool, {"messages": SAID, "max_tokens": 99}, lambda a: a["content"][0]),
}


@pytest.mark.parametrize("api", CALLS)
def test_the_tool_for_commands_is_called_and_none_whose_loading_is_deferred(simulator, api):
    tool, asked, call_in = CALLS[api]

    def called(*tools):
        return call_in(post(simulator, f"/v1/{api}", model="m", tools=tools, **asked).json())

    path, command = ({"type": "object", "properties": {name: {"type": "string"}}} for name in ("path", "command"))
    shell = called(tool("read", path), tool("shell", command))
    assert shell["name"] == "shell"
    assert shell.get("input") == {"command": "echo simulated"} or "echo simulated" in shell["arguments"]
    assert called(tool("read", path), tool("write", path))["name"] == "read"
    if api != "chat/completions":  # which has no such field
        assert called(tool("late", command, defer_loading=True), tool("read", path))["name"] == "read"


def test_tools_are_called_and_their_results_answered(simulator):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    call = post(simulator, "/v1/chat/completions", model="m", messages=SAID, tools=tools).json()["choices"][0]
    assert call["finish_reason"] == "tool_calls"
    arguments = json.loads(call["message"]["tool_calls"][0]["function"]["arguments"])
    assert set(arguments) == {"city", "days"}
    turn = [
        *SAID,
        call["message"],
        {"role": "tool", "tool_call_id": call["message"]["tool_calls"][0]["id"], "content": "sun"},
    ]
    assert post(simulator, "/v1/chat/completions", model="m", messages=turn, tools=tools).json()["choices"][0][
        "message"
    ]["content"]
    tools = [{"name": "weather", "input_schema": parameters}]
    got = post(simulator, "/v1/messages", model="m", max_tokens=9, messages=SAID, tools=tools).json()
    assert got["stop_reason"] == "tool_use"
    assert set(got["content"][0]["input"]) == {"city", "days"}


def test_pace_is_kept(simulator, stalls):
    took = []
    for _ in range(4):
        begun = time.monotonic()
        post(simulator, "/v1/chat/completions", model="sim-words-18-tps-100-ttft-200", messages=SAID, stream=True)
        took.append(time.monotonic() - begun)
    # 18 words, a role, a finish: 20 events at 10 ms after 200 ms, and the end. Many wakings add up on a busy machine.
    assert min(took) == pytest.approx(0.4, abs=0.15 + stalls.granted_s)


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503, 529])
def test_error_statuses_have_their_dialects_form(simulator, status):
    got = post(simulator, "/v1/chat/completions", model=f"sim-{status}", messages=SAID)
    assert got.status_code == status
    assert set(got.json()["error"]) == {"message", "type", "param", "code"}
    got = post(simulator, "/v1/messages", model=f"sim-{status}", messages=SAID, max_tokens=1)
    assert got.status_code == status
    assert got.json()["type"] == "error"


def test_the_ledger_holds_requests_and_departures(simulator):
    before = simulator.count()
    with Client(int(simulator.url.rpartition(":")[2])) as client:
        client.post(
            "/v1/chat/completions?x=1",
            b'{"model":"sim-words-50-tps-20","messages":[{"role":"user","content":"nonce:abcd1234"}],"stream":true}',
            "x-mark: 7",
        )
        client.head()
        client.read_until(b"delta")
    entry = simulator.entry(before, lambda entry: entry["left"])
    assert entry["path"] == "/v1/chat/completions?x=1"
    assert entry["complete"] is True
    assert ["x-mark", "7"] in entry["headers"]
    assert json.loads(entry["body"])["stream"] is True
    assert entry["left"] == "fin"
    assert 0 < entry["events"] < 50
    assert entry["nonce"] == "nonce:abcd1234"
    assert entry["generated"] > 0
    with Client(int(simulator.url.rpartition(":")[2])) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\ncontent-length: 10\r\n\r\n{")
        time.sleep(0.5)
        client.reset()
    entry = simulator.entry(before + 1, lambda entry: entry["left"])
    assert (entry["left"], entry["complete"]) == ("rst", False)


def plan(simulator, words, path="/v1/chat/completions", **more):
    body = {"model": "m", "messages": SAID, "max_tokens": 50, **more}
    return httpx2.post(simulator.url + path, json=body, headers={"x-sim-plan": words})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("429", {"retry-after": "1"}),
        ("429-retry-7", {"retry-after": "7"}),
        ("429-retryms-250", {"retry-after-ms": "250"}),
        ("503-noretry", {}),
    ],
)
def test_each_form_of_retry_after(simulator, words, expected):
    got = plan(simulator, words)
    assert {name: value for name, value in got.headers.items() if name.startswith("retry")} == expected


def test_retry_after_as_a_date(simulator):
    from email.utils import parsedate_to_datetime

    when = parsedate_to_datetime(plan(simulator, "429-retrydate-30").headers["retry-after"]).timestamp()
    assert 28 <= when - time.time() <= 31


def test_spoiled_bodies(simulator):
    assert plan(simulator, "502-html").headers["content-type"] == "text/html"
    with pytest.raises(ValueError, match="codec"):
        plan(simulator, "garbage").json()
    assert plan(simulator, "empty").content == b""
    assert plan(simulator, "gzip").json()["choices"]
    assert plan(simulator, "redirect").status_code == 302
    assert "canary" in plan(simulator, "hostile").headers["set-cookie"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_faults_of_streams(simulator, path):
    whole = plan(simulator, "words-8", path, stream=True).content
    assert plan(simulator, "words-8-drip-50", path, stream=True).content == whole
    error = plan(simulator, "words-8-inband-4", path, stream=True).content
    assert b"Overloaded" in error
    assert b"[DONE]" not in error
    for words in ("words-8-cut-4", "words-8-half-4", "words-8-rst-500"):
        with pytest.raises(httpx2.TransportError):
            plan(simulator, words, path, stream=True)
    with pytest.raises(httpx2.ReadTimeout), httpx2.Client(timeout=httpx2.Timeout(WAIT_S, read=0.3)) as client:
        body = {"model": "sim-words-8-stall-4", "messages": SAID, "max_tokens": 50, "stream": True}
        client.post(simulator.url + path, json=body)


def test_surplus_bytes_follow_the_answer(simulator):
    with Client(int(simulator.url.rpartition(":")[2])) as client:
        client.post("/v1/chat/completions", json.dumps({"model": "sim-surplus", "messages": SAID}).encode())
        assert client.head()[0] == 200
        assert client.read_until(b"}HTTP/1.1 200 OK")


def test_an_early_answer_comes_before_the_body(simulator):
    with Client(int(simulator.url.rpartition(":")[2])) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-sim-plan: early\r\ncontent-length: 100\r\n\r\n{")
        status, headers = client.head()
        assert (status, client.body(headers)) == (200, EARLY)


def test_scripts_apply_to_the_next_requests_they_fit(simulator):
    def script(**data):
        return httpx2.post(f"{simulator.url}/script", json=data)

    try:
        assert script(plan="nonsense").status_code == 400
        assert script(plan="503", times=0).status_code == 400
        assert script(plan="503-retry-9", path="/v1/messages", contains="marked", times=2).status_code == 200
        ask = [
            ("/v1/messages", "x"),
            ("/v1/messages", "marked"),
            ("/v1/chat/completions", "marked"),
            ("/v1/messages", "marked"),
        ]
        got = [
            post(simulator, path, model="m", max_tokens=5, messages=[{"role": "user", "content": text}]).status_code
            for path, text in [*ask, ask[-1]]
        ]
        assert got == [200, 503, 200, 503, 200]
    finally:
        httpx2.delete(f"{simulator.url}/script")


def test_a_nonce_comes_back_in_every_form(simulator):
    said = [{"role": "user", "content": "say nonce:Xy12 please"}]
    for path in ("/v1/chat/completions", "/v1/messages"):
        for stream in (False, True):
            got = post(simulator, path, model="sim-words-3", max_tokens=50, messages=said, stream=stream).text
            assert "nonce:Xy12" in got


OPENAI_REFUSALS = [
    ({}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]}, "messages.[0].role"),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
                },
                *SAID,
            ]
        },
        None,
    ),
    ({"messages": SAID, "temperature": 3}, "temperature"),
    ({"messages": SAID, "tools": []}, "tools"),
    ({"messages": SAID, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    (
        {
            "messages": SAID,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}],
        },
        "tools[0].function.parameters",
    ),
    ({"messages": SAID, "tool_choice": "required"}, "tool_choice"),
    (
        {"messages": SAID, "response_format": {"type": "json_schema", "json_schema": {}}},
        "response_format.json_schema.name",
    ),
    ({"messages": SAID, "stream_options": {"include_usage": True}}, "stream_options"),
]
ANTHROPIC_REFUSALS = [
    ({"messages": SAID}, "max_tokens: Field required"),
    ({"max_tokens": 1}, "messages: Field required"),
    ({"max_tokens": 1, "messages": []}, "at least one message"),
    ({"max_tokens": 1, "messages": [{"role": "tool", "content": "x"}]}, "role: Input should be"),
    ({"max_tokens": 1, "messages": [{"role": "user", "content": " "}]}, "non-whitespace"),
    ({"max_tokens": 1, "messages": [{"role": "user", "content": []}]}, "non-empty content"),
    ({"max_tokens": 1, "messages": SAID, "system": [{"type": "text", "text": ""}]}, "system"),
    ({"max_tokens": 1, "messages": SAID, "frequency_penalty": 1}, "Extra inputs are not permitted"),
    ({"max_tokens": 1, "messages": SAID, "temperature": 1.5}, "temperature"),
    (
        {
            "max_tokens": 1,
            "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}],
        },
        "unexpected `tool_use_id`",
    ),
    (
        {
            "max_tokens": 1,
            "messages": [
                *SAID,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                *SAID,
            ],
        },
        "without `tool_result`",
    ),
    ({"max_tokens": 1, "messages": [*SAID, {"role": "assistant", "content": "so "}]}, "trailing whitespace"),
    ({"max_tokens": 1, "messages": SAID, "tools": [{"name": "f", "input_schema": {}}]}, "input_schema.type"),
    ({"max_tokens": 1, "messages": SAID, "tools": [{"name": "f", "input_schema": {"type": "object"}}] * 2}, "unique"),
    ({"max_tokens": 1, "messages": SAID, "tool_choice": {"type": "any"}}, "tool_choice"),
    ({"max_tokens": 2000, "messages": SAID, "thinking": {"type": "enabled", "budget_tokens": 5}}, "1024"),
    ({"max_tokens": 1024, "messages": SAID, "thinking": {"type": "enabled", "budget_tokens": 1024}}, "must be greater"),
]


@pytest.mark.parametrize(("body", "param"), OPENAI_REFUSALS)
def test_what_openai_refuses_is_refused(simulator, body, param):
    got = post(simulator, "/v1/chat/completions", model="m", **body)
    assert got.status_code == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert got.json()["error"]["param"] == param


@pytest.mark.parametrize(("body", "message"), ANTHROPIC_REFUSALS)
def test_what_anthropic_refuses_is_refused(simulator, body, message):
    got = post(simulator, "/v1/messages", model="m", **body)
    assert got.status_code == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert message in got.json()["error"]["message"]


def test_what_the_real_apis_accepted_is_accepted(simulator, recordings):
    accepted = 0
    with httpx2.Client() as client:
        for recording in recordings:
            got = client.post(simulator.url + recording.path, content=recording.body)
            if recording.status == 200:
                assert got.status_code == 200, (recording.name, got.text[:300])
                accepted += 1
    print(f"\n{accepted} recorded requests that the real APIs accepted: all accepted")


BETA = {"anthropic-beta": "message-threads-2026-08-12,fallback-credit-2026-07-01"}


class TestWhatAnthropicKeeps:
    def ask(self, simulator, betas=True, **fields):
        body = {"model": "sim-words-5", "max_tokens": 50, "messages": SAID, **fields}
        return httpx2.post(f"{simulator.url}/v1/messages", json=body, headers=BETA if betas else {})

    def test_a_thread_is_held_under_the_id_of_its_answer_and_continued_once(self, simulator):
        first = self.ask(simulator, thread={"type": "create"}).json()
        assert first["id"] != self.ask(simulator, thread={"type": "create"}).json()["id"]
        further = {"type": "continue", "previous_message_id": first["id"]}
        assert self.ask(simulator, thread=further).status_code == 200
        again = self.ask(simulator, thread=further)
        assert (again.status_code, again.json()["error"]["details"]["error_code"]) == (400, "thread_already_continued")

    @pytest.mark.parametrize(
        ("fields", "status", "code"),
        [
            ({"thread": {"type": "continue", "previous_message_id": "msg_x"}}, 404, "thread_not_found"),
            ({"thread": {"type": "create"}, "context_management": {"edits": []}}, 400, "thread_unsupported_request"),
            ({"thread": {"type": "create"}, "betas": False}, 400, None),
            ({"thread": {"type": "else"}}, 400, None),
        ],
    )
    def test_what_threads_refuse(self, simulator, fields, status, code):
        got = self.ask(simulator, **fields)
        assert got.status_code == status
        assert (got.json()["error"].get("details") or {}).get("error_code") == code

    def test_the_token_of_a_refusal_is_redeemed_by_the_same_request(self, simulator):
        refused = self.ask(simulator, model="sim-refusal").json()
        assert refused["stop_reason"] == "refusal"
        token = refused["stop_details"]["fallback_credit_token"]
        again = self.ask(simulator, fallback_credit_token=token).json()
        assert again["usage"]["fallback_credit"] == {"status": {"type": "redeemed"}}
        other = [{"role": "user", "content": "something else"}]
        assert self.ask(simulator, fallback_credit_token=token, messages=other).status_code == 400
        best = {"token": token, "mode": "best_effort"}
        served = self.ask(simulator, fallback_credit_token=best, messages=other).json()
        assert served["usage"]["fallback_credit"]["status"]["type"] == "not_applied"
        assert self.ask(simulator, fallback_credit_token="nonsense").status_code == 400
