"""What Anthropic's clients say in headers reaches an Anthropic provider, whether we have heard of it or not."""

from __future__ import annotations

import json

import pytest

from tests.harness import Canned, Client, Edge, answer, providers, running

BODY = (
    b'{"model":"claude-sonnet-5","max_tokens":16,"messages":[{"role":"user","content":"hi"}],'
    b'"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"output_config":{"effort":"low"},'
    b'"field_of_tomorrow":{"a":[1,2.0,1e3]}}'
)
OPEN = [
    *(("anthropic-version", "2023-06-01"), ("anthropic-workspace-id", "wrkspc_test")),
    *(("anthropic-user-profile-id", "prof_test"), ("anthropic-future", "1")),
    *(("anthropic-beta", "context-management-2025-06-27,interleaved-thinking-2025-05-14"),),
    *(("anthropic-beta", "future-thing-2027-01-01"),),
]
OURS = ["x-api-key: sk-mine-mine-mine-mine", "x-claude-code-session-id: 11111111-2222-3333-4444-555555555555"]
MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}'
)
COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
)


@pytest.fixture(scope="module")
def upstream():
    def reply(seen, _):
        return answer(COMPLETION if "/chat/" in seen.target else MESSAGE)

    with Canned(reply) as canned:
        yield canned


@pytest.fixture(scope="module")
def edge(upstream, front, tmp_path_factory):
    def like(**more):
        model = {"models": [f"{more.pop('model')}-*"]}
        return {"dialect": "anthropic", "base_url": f"{upstream.url}/v1", "api_keys": ["sk-ours"], **model, **more}

    fine = "fine-grained-tool-streaming-2025-05-14"
    config = {
        "providers": {
            **providers(upstream.url),
            "beta": like(model="beta", headers={"Anthropic-Beta": f"{fine}, future-thing-2027-01-01"}),
            "picky": like(model="picky", drop_betas=["context-*", "FUTURE-?hing*"], drop_headers=["Anthropic-User-*"]),
            "bare": like(model="bare", drop_betas=["*"], drop_headers=["*"]),
            "pinned": like(model="pinned", headers={"anthropic-version": "2026-10-21"}),
        },
        "models": {"new-sonnet": {"upstreams": [{"to": "pinned/claude-sonnet-4-5"}]}},
        "cache": {"mode": "all"},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def ask(edge, body, *headers, path="/v1/messages?beta=true"):
    with Client(edge.port) as client:
        client.post(path, body, *headers)
        status, got = client.head()
        return status, got, client.body(got)


def lines(pairs):
    return [f"{name}: {value}" for name, value in pairs]


def of_anthropic(seen):
    return [pair for pair in seen.headers if pair[0].startswith("anthropic-")]


def model(name):
    return BODY.replace(b"claude-sonnet-5", name.encode())


def test_every_header_of_anthropics_passes_and_the_body_byte_for_byte(edge, upstream):
    assert ask(edge, BODY, *lines(OPEN), *OURS)[0] == 200
    seen = upstream.seen[-1]
    assert of_anthropic(seen) == OPEN
    assert seen.body == BODY
    assert "mine" not in seen.head.decode()
    assert "11111111" not in seen.head.decode()


def test_configured_betas_are_added_to_the_clients_each_once(edge, upstream):
    assert ask(edge, model("beta-x"), *lines(OPEN))[0] == 200
    seen = of_anthropic(upstream.seen[-1])
    assert [pair for pair in seen if pair[0] != "anthropic-beta"] == OPEN[:4]
    assert [value.split(",") for name, value in seen if name == "anthropic-beta"] == [
        [
            *("context-management-2025-06-27", "interleaved-thinking-2025-05-14", "future-thing-2027-01-01"),
            "fine-grained-tool-streaming-2025-05-14",
        ]
    ]
    ask(edge, model("beta-y"))
    assert (
        upstream.seen[-1].header("anthropic-beta") == "fine-grained-tool-streaming-2025-05-14,future-thing-2027-01-01"
    )


def test_single_headers_and_betas_can_be_held_back(edge, upstream):
    assert ask(edge, model("picky-x"), *lines(OPEN))[0] == 200
    seen = dict(of_anthropic(upstream.seen[-1]))
    assert seen.pop("anthropic-beta") == "interleaved-thinking-2025-05-14"
    assert seen == {"anthropic-version": "2023-06-01", "anthropic-workspace-id": "wrkspc_test", "anthropic-future": "1"}
    trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ask(edge, model("bare-x"), *lines([("anthropic-version", "2026-10-21"), *OPEN[1:]]), "openai-beta: x", trace)
    names = {name for name, _ in upstream.seen[-1].headers}
    assert names == {"host", "content-type", "anthropic-version", "x-api-key", "accept-encoding", "content-length"}
    assert upstream.seen[-1].header("anthropic-version") == "2023-06-01"


def test_there_is_an_end_to_an_open_list(edge, upstream):
    before = len(upstream.seen)
    for many in ([f"anthropic-x-{number}: 1" for number in range(70)], [f"anthropic-x: {'y' * 17000}"]):
        status, _, body = ask(edge, model("claude-bound"), *many)
        assert status == 431
        assert json.loads(body)["type"] == "error"
    assert len(upstream.seen) == before


def test_none_crosses_in_translation(edge, upstream):
    status, headers, _ = ask(edge, model("o4-mini"), *lines(OPEN), *OURS)
    assert status == 200
    seen = upstream.seen[-1]
    assert seen.target == "/v1/chat/completions"
    assert of_anthropic(seen) == []
    assert headers["x-edge-dropped"].split(", ") == ["context_management", "field_of_tomorrow"]


CHAT = b'{"model":"%b","messages":[{"role":"user","content":"%b"}],"temperature":0,"top_p":0.5}'


@pytest.mark.parametrize(
    ("name", "version", "dropped"),
    [
        ("new-sonnet", None, "temperature, top_p"),
        ("new-sonnet", "2023-06-01", "temperature, top_p"),
        ("anthropic/claude-sonnet-4-5", None, "top_p"),
        ("anthropic/claude-sonnet-4-5", "2023-06-01", "top_p"),
        ("anthropic/claude-sonnet-4-5", "2026-10-21", "temperature, top_p"),
        ("bare/claude-sonnet-4-5", "2026-10-21", "top_p"),
    ],
)
def test_the_version_in_force_decides_what_is_translated(edge, upstream, name, version, dropped):
    headers = [f"anthropic-version: {version}"] if version else []
    body = CHAT % (name.encode(), f"{name} {version}".encode())
    status, got, _ = ask(edge, body, *headers, path="/v1/chat/completions")
    assert status == 200
    assert got["x-edge-dropped"] == dropped
    seen = upstream.seen[-1]
    assert ("temperature" in json.loads(seen.body)) == ("temperature" not in dropped)
    in_force = "2026-10-21" if "temperature" in dropped else "2023-06-01"
    assert [value for key, value in seen.headers if key == "anthropic-version"] == [in_force]


def test_a_pass_through_of_any_version_is_left_alone(edge, upstream):
    body = b'{"model":"claude-sonnet-4-5","max_tokens":8,"temperature":0,"messages":[{"role":"user","content":"v"}]}'
    assert ask(edge, body, "anthropic-version: 2026-10-21")[0] == 200
    assert upstream.seen[-1].body == body
    assert upstream.seen[-1].header("anthropic-version") == "2026-10-21"


def test_answers_are_not_shared_across_versions_and_workspaces(edge, upstream):
    body = b'{"model":"claude-x","max_tokens":8,"messages":[{"role":"user","content":"who pays?"}]}'
    variants = [[], ["anthropic-version: 2026-10-21"], ["anthropic-workspace-id: a"], ["anthropic-workspace-id: b"]]
    first = [ask(edge, body, *headers)[1]["x-edge-cache"] for headers in variants]
    again = [ask(edge, body, *headers)[1]["x-edge-cache"] for headers in variants]
    assert (first, again) == (["miss"] * 4, ["memory"] * 4)
