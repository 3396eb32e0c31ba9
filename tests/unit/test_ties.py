"""Which requests belong to an account."""

from __future__ import annotations

import pytest

from edge import config
from edge._fast import JSONScanner
from edge.guard.auth import ANYONE
from edge.payload import Payload
from edge.state import build_state
from edge.upstreams.choice import Candidates
from edge.upstreams.retry import is_kept
from edge.upstreams.ties import FREE, MAKES, NAMES, targets_of, tie_of
from tests.unit.calls import asked, unread

PATHS = {
    "responses": "/v1/responses",
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "embeddings": "/v1/embeddings",
}
CASES = [
    ("responses", b'{"input":"hi"}', MAKES),
    ("responses", b'{"input":"hi","store":false}', MAKES),
    ("responses", b'{"input":"hi","previous_response_id":null,"conversation":null}', MAKES),
    ("responses", b'{"input":"hi","previous_response_id":"resp_1"}', NAMES),
    ("responses", b'{"input":"hi","conversation":{"id":"conv_1"}}', NAMES),
    ("responses", b'{"prompt":{"id":"pmpt_1"}}', NAMES),
    ("responses", b'{"input":[{"type":"reasoning","id":"rs_1","encrypted_content":"gAAA"}]}', NAMES),
    ("responses", b'{"input":[{"type" : "item_reference","id":"msg_1"}]}', NAMES),
    ("responses", b'{"input":[{"content":[{"type":"input_file","file_id": "file-1"}]}]}', NAMES),
    ("responses", b'{"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}],"input":"x"}', NAMES),
    ("responses", b'{"tools":[{"type":"code_interpreter","container":"cntr_1"}],"input":"x"}', NAMES),
    ("responses", b'{"reasoning":{"effort":"low"},"input":"x"}', MAKES),
    ("responses", b'{"input":"say \\"file_id\\": \\"x\\""}', MAKES),
    ("responses", b'{"tools":[{"parameters":{"properties":{"file_id":{"type":"string"}}}}],"input":"x"}', MAKES),
    ("chat", b'{"messages":[{"content":"hi"}]}', FREE),
    ("chat", b'{"modalities":["text","audio"],"audio":{"voice":"x"},"messages":[]}', MAKES),
    ("chat", b'{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}', NAMES),
    ("chat", b'{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]}', NAMES),
    ("messages", b'{"messages":[]}', FREE),
    ("messages", b'{"container":null,"messages":[]}', FREE),
    ("messages", b'{"container":"container_1","messages":[]}', NAMES),
    ("messages", b'{"container":{"id":"container_1","skills":[]},"messages":[]}', NAMES),
    ("messages", b'{"messages":[{"content":[{"source":{"type":"file","file_id":"file_1"}}]}]}', NAMES),
    ("messages", b'{"tools":[{"type":"code_execution_20250825","name":"code_execution"}]}', MAKES),
    ("embeddings", b'{"input":"x"}', FREE),
]


@pytest.mark.parametrize(("api", "body", "tie"), CASES)
def test_a_request_is_tied_by_what_it_makes_or_names(api, body, tie):
    scan = JSONScanner(body)
    while not scan.step():
        pass
    call = unread(PATHS[api])
    call.payload = Payload(body, scan, "m", False, False, 0)
    assert tie_of(call) == tie


CLAUDE = config.Provider(dialect="anthropic", base_url="http://127.0.0.1:1/v1", api_keys=[])
LOCAL = config.Provider(
    dialect="openai", base_url="http://127.0.0.1:1/v1", capabilities={"*": config.Capabilities(apis=["chat"])}
)
OPENAI = config.Provider(dialect="openai", base_url="http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    ("providers", "tie", "kept"),
    [((CLAUDE, LOCAL), FREE, False), ((CLAUDE, OPENAI), NAMES, True), ((OPENAI,), NAMES, True)],
)
def test_a_response_is_tied_to_nobody_where_all_are_asked_by_another_api(providers, tie, kept):
    named = {f"p{number}": provider for number, provider in enumerate(providers)}
    alias = config.Model(upstreams=[config.Target(to=f"{name}/m") for name in named])
    state = build_state(config.Config(providers=named, models={"smart": alias}))
    items = [{"role": "user", "content": "hi"}, {"type": "reasoning", "summary": [], "encrypted_content": "edge1t.x"}]
    call = asked({"model": "smart", "input": items}, "/v1/responses")
    call.grant = state.grant(ANYONE, "smart", call.head.route)
    assert tie_of(call) == tie
    assert is_kept(call) is kept


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "reasoning", "summary": [], "encrypted_content": "gAAAA-of-openai"}, ["openai/m"]),
        (
            {"type": "reasoning", "summary": [], "encrypted_content": "edge1t.of-claude"},
            ["claude/m", "local/m", "openai/m"],
        ),
    ],
)
def test_what_is_named_is_asked_for_where_it_can_be_known(item, expected):
    """A translation leaves out what its provider could not read: an answer would be one without it."""
    named = {"claude": CLAUDE, "local": LOCAL, "openai": OPENAI}
    alias = config.Model(upstreams=[config.Target(to=f"{name}/m") for name in named])
    state = build_state(config.Config(providers=named, models={"smart": alias}))
    call = asked({"model": "smart", "input": [{"role": "user", "content": "hi"}, item]}, "/v1/responses")
    call.grant = state.grant(ANYONE, "smart", call.head.route)
    assert [upstream.names[0] for upstream, _ in targets_of(call, "tenant")] == expected


def grants(*names, **providers):
    alias = config.Model(upstreams=[config.Target(to=name) for name in names])
    settings = config.Config(providers={"claude": CLAUDE, "openai": OPENAI, **providers}, models={"smart": alias})
    return build_state(settings)


def call_of(state, path, **fields):
    call = asked({"model": "smart", "max_tokens": 9, **fields}, path)
    call.grant = state.grant(ANYONE, "smart", call.head.route)
    return call


def test_of_two_kinds_of_thoughts_the_latest_says_who_is_asked_first():
    items = [
        {"type": "reasoning", "summary": [], "encrypted_content": "edge1t.of-claude"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA-of-openai"},
    ]
    state = grants("openai/gpt-6-astra", "claude/claude-opus-5")
    for order, first in ((items, "openai"), (items[::-1], "claude")):
        call = call_of(state, "/v1/responses", input=[{"role": "user", "content": "hi"}, *order])
        assert targets_of(call, "tenant")[0][0].provider.name == first


TOOLS = {"messages": [{"name": "look", "input_schema": {}}], "chat/completions": [{"type": "function"}]}


@pytest.mark.parametrize("api", TOOLS)
@pytest.mark.parametrize(
    ("model", "with_tools", "without"),
    [("gpt-6-astra", MAKES, FREE), ("gpt-5-codex", MAKES, MAKES), ("gpt-4o", FREE, FREE)],
)
def test_who_may_be_given_thoughts_of_openais_has_an_account_that_is_asked_again(api, model, with_tools, without):
    state = grants(f"openai/{model}", "claude/claude-opus-5")
    said = [{"role": "user", "content": "hi"}]
    assert tie_of(call_of(state, f"/v1/{api}", messages=said, tools=TOOLS[api])) == with_tools
    assert tie_of(call_of(state, f"/v1/{api}", messages=said)) == without


OWN, SEALED = (
    {"type": "thinking", "thinking": "Hm.", "signature": "Eq4B"},
    {"type": "redacted_thinking", "data": "edge1r.x"},
)


@pytest.mark.parametrize(
    ("thoughts", "first"), [([SEALED], 1), ([OWN, SEALED], 1), ([SEALED, OWN], 0), ([OWN], 0), ([], 0)]
)
def test_whose_thought_is_the_latest_is_asked_first_and_others_where_that_fails(thoughts, first):
    state = grants("claude/claude-opus-5", "openai/gpt-6-astra")
    turns = [{"role": "assistant", "content": [each, {"type": "text", "text": "."}]} for each in thoughts]
    said = [{"role": "user", "content": "hi"}, *turns, {"role": "user", "content": "and?"}]
    candidates = Candidates(call_of(state, "/v1/messages", messages=said, tools=TOOLS["messages"]))
    asked_ = []
    while candidates.next(1.0):
        asked_.append(candidates.upstream.provider.name)
    order = ["claude", "openai"]
    assert asked_ == (order[::-1] if first else order)
