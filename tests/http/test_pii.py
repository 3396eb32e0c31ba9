"""What providers, caches and logs get to see of personal data and secrets."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from edge import config
from edge.config.rules import problems
from edge.guard.auth import new_key
from edge.slices import LARGE
from tests.harness import Canned, Edge, answer, in_pieces, minimal, running, until

EMAIL, CARD = "canary.alice@example.com", "4111 1111 1111 1111"
KEYS = {name: new_key(name) for name in ("ops", "strict", "loose")}


@pytest.fixture(scope="module")
def provider():
    with Canned(minimal) as made:
        yield made


@pytest.fixture(scope="module")
def masking(provider, front, tmp_path_factory):
    base = {"base_url": f"{provider.url}/v1", "api_keys": ["k"]}
    told = {"ops": {"admin": True}, "strict": {"pii": {"request": "block"}}, "loose": {"pii": {"request": "off"}}}
    told_of = {
        "auth": {"keys": [{"id": name, "digests": [KEYS[name][1]], **more} for name, more in told.items()]},
        "providers": {"o": {"dialect": "openai", **base}, "a": {"dialect": "anthropic", **base}},
        "models": {
            "seen": {"upstreams": [{"to": "o/gpt-4o"}], "pii": {"request": "detect"}},
            "shut": {"upstreams": [{"to": "o/gpt-4o"}], "pii": {"request": "block"}},
            "falls": {"upstreams": [{"to": "o/gpt-4o"}], "fallbacks": ["shut"], "pii": {"request": "detect"}},
        },
        "pii": {"request": "mask", "allow": ["help@example.com"]},
        "cache": {"mode": "all"},
    }
    made = Edge(tmp_path_factory.mktemp("pii"), told_of, front=front)
    with running(made):
        yield made


def ask(edge, path="/v1/chat/completions", key="ops", **body):
    headers = {"authorization": f"Bearer {KEYS[key][0]}"}
    return httpx2.post(f"{edge.url}{path}", json={"model": "o/gpt-4o", **body}, headers=headers, timeout=30)


def said(content):
    return {"messages": [{"role": "user", "content": content}]}


ROUTES = {
    "/v1/chat/completions": ("o/gpt-4o", said(f"chat {EMAIL}")),
    "/v1/completions": ("o/gpt-4o", {"prompt": f"completions {EMAIL}"}),
    "/v1/embeddings": ("o/text-embedding-3-small", {"input": [f"embeddings {EMAIL}"]}),
    "/v1/responses": ("o/gpt-4o", {"input": f"responses {EMAIL}", "instructions": EMAIL, "store": False}),
    "/v1/messages": ("a/claude-sonnet-4-5", {**said(f"messages {EMAIL}"), "system": EMAIL, "max_tokens": 9}),
    "/v1/messages/count_tokens": ("a/claude-sonnet-4-5", said(f"counting {EMAIL}")),
}


@pytest.mark.parametrize("path", ROUTES)
def test_a_provider_sees_placeholders(masking, provider, path):
    model, body = ROUTES[path]
    before = len(provider.seen)
    answered = ask(masking, path, **{**body, "model": model})
    sent = provider.seen[before]
    assert answered.headers["x-edge-pii"].startswith("email=")
    assert json.loads(sent.body) == {**json.loads(json.dumps(body).replace(EMAIL, "[EMAIL]")), "model": model[2:]}
    assert sent.header("content-length") == str(len(sent.body))


def test_so_does_one_of_the_other_dialect(masking, provider):
    before = len(provider.seen)
    arguments = json.dumps({"to": EMAIL, "card": 4111111111111111})
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turns = [
        {"role": "user", "content": f"translated {EMAIL}"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": EMAIL},
    ]
    assert ask(masking, model="a/claude-sonnet-4-5", messages=turns).headers["x-edge-pii"] == "email=3,card=1"
    sent = provider.seen[before].body.decode()
    assert EMAIL not in sent
    assert "4111" not in sent
    assert '"input":{"to":"[EMAIL]","card":"[CARD]"}' in sent.replace(": ", ":").replace(", ", ",")


@pytest.mark.parametrize("size", [20_000, LARGE // 2, LARGE + 5, 5_000_000])
def test_a_large_body_is_another_one_whole(masking, provider, size):
    before = len(provider.seen)
    text = f"large {EMAIL} " + "words and more " * (size // 15) + f" {CARD}"
    answered = ask(masking, **said(text))
    assert answered.status_code == 200
    assert answered.headers["x-edge-pii"] == "email=1,card=1"
    expected = said(text.replace(EMAIL, "[EMAIL]").replace(CARD, "[CARD]"))
    assert json.loads(provider.seen[before].body) == {"model": "gpt-4o", **expected}


def test_what_is_masked_to_the_same_is_the_same_to_the_cache(masking, provider):
    before = len(provider.seen)
    assert ask(masking, **said("shared bob@example.org")).headers["x-edge-cache"] == "miss"
    again = ask(masking, **said(f"shared {EMAIL}"))
    assert (again.headers["x-edge-cache"], again.headers["x-edge-pii"]) == ("memory", "email=1")
    assert len(provider.seen) == before + 1


def test_what_another_policy_let_through_is_not_the_answer(masking, provider):
    before = len(provider.seen)
    for key in ("loose", "ops", "loose", "ops"):
        ask(masking, key=key, **said("no data at all, twice"))
    assert len(provider.seen) == before + 2


def test_a_key_and_an_alias_have_modes_of_their_own(masking, provider):
    before = len(provider.seen)
    loose = ask(masking, key="loose", **said(f"loose {EMAIL}"))
    assert "x-edge-pii" not in loose.headers
    assert ask(masking, model="seen", **said(f"seen {EMAIL}")).headers["x-edge-pii"] == "email=1"
    assert [EMAIL in seen.body.decode() for seen in provider.seen[before:]] == [True, True]
    for key, model in (
        ("strict", "o/gpt-4o"),
        ("strict", "seen"),
        ("ops", "shut"),
        ("ops", "falls"),
        ("loose", "shut"),
    ):
        refused = ask(masking, key=key, model=model, **said(f"{key} {model} {EMAIL} {CARD}"))
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "pii_blocked"
        assert refused.headers["x-edge-pii"] == "email=1,card=1"
        assert EMAIL not in refused.text
    assert len(provider.seen) == before + 2
    assert ask(masking, key="strict", **said("nothing to hide")).status_code == 200


def test_a_blocked_request_is_refused_in_its_dialect_and_however_large(masking, provider):
    before = len(provider.seen)
    body = {**said("x " * LARGE + EMAIL), "max_tokens": 9}
    refused = ask(masking, "/v1/messages", "strict", **{**body, "model": "a/claude-sonnet-4-5"})
    assert (refused.status_code, refused.json()["type"]) == (403, "error")
    assert refused.json()["error"]["type"] == "permission_error"
    assert len(provider.seen) == before


def test_an_allowed_value_goes_on(masking, provider):
    before = len(provider.seen)
    answered = ask(masking, **said("write to Help@example.com"))
    assert "x-edge-pii" not in answered.headers
    assert "Help@example.com" in provider.seen[before].body.decode()


def test_a_streams_head_tells_of_it_too(masking, simulator, tmp_path_factory, front):
    config = {
        "providers": {"o": {"dialect": "openai", "base_url": f"{simulator.url}/v1", "api_keys": ["k"]}},
        "pii": {"request": "mask"},
    }
    made = Edge(tmp_path_factory.mktemp("stream"), config, front=front)
    with running(made):
        body = {"model": "o/gpt-4o", "stream": True, **said(EMAIL)}
        answered = httpx2.post(f"{made.url}/v1/chat/completions", json=body)
    assert answered.headers["x-edge-pii"] == "email=1"
    assert answered.text.endswith("data: [DONE]\n\n")


def test_logs_and_metrics_have_counts_and_no_values(masking):
    auth = {"authorization": f"Bearer {KEYS['ops'][0]}"}
    ask(masking, **said(f"told {EMAIL} {CARD}"))
    ask(masking, key="strict", **said(f"told {EMAIL} {CARD}"))
    until(lambda: '"pii":"email=1,card=1"' in masking.process.output)
    metrics = httpx2.get(f"{masking.url}/metrics", headers=auth).text
    assert 'edge_pii_findings_total{kind="card",mode="mask",side="request"}' in metrics
    assert 'edge_pii_findings_total{kind="email",mode="block",side="request"}' in metrics
    for text in (metrics, masking.process.output):
        assert EMAIL not in text
        assert CARD not in text


@pytest.fixture(scope="module")
def echoing(front, tmp_path_factory):
    """An edge whose provider says what it was told, in pieces where a stream is asked for."""
    with Canned(echo) as made:
        base = {"base_url": f"{made.url}/v1", "api_keys": ["k"]}
        config = {
            "providers": {"o": {"dialect": "openai", **base}, "a": {"dialect": "anthropic", **base}},
            "pii": {"request": "pseudonymize"},
            "server": {"secret": "0123456789abcdef" * 2},
            "cache": {"mode": "all"},
        }
        edge = Edge(tmp_path_factory.mktemp("pseudonyms"), config, front=front)
        with running(edge):
            yield edge, made


class TestPseudonyms:
    def ask(self, edge, text, **more):
        body = {"model": "o/gpt-4o", **said(text), **more}
        return httpx2.post(f"{edge.url}/v1/chat/completions", json=body, timeout=30)

    def test_the_client_alone_gets_what_they_stand_for(self, echoing):
        edge, provider = echoing
        text = f"whole {EMAIL}, {CARD}"
        answered = self.ask(edge, text)
        assert answered.json()["choices"][0]["message"]["content"] == text
        assert answered.headers["x-edge-pii"] == "email=1,card=1"
        assert EMAIL not in provider.seen[-1].body.decode()
        again = self.ask(edge, text)
        assert again.headers["x-edge-cache"] == "memory"
        assert again.json()["choices"][0]["message"]["content"] == text

    def test_in_streams_and_stored_ones(self, echoing):
        edge, provider = echoing
        text = f"streamed {EMAIL} and {CARD}."
        for cache in ("miss", "memory"):
            answered = self.ask(edge, text, stream=True)
            assert answered.headers["x-edge-cache"] == cache
            chunks = [json.loads(line[6:]) for line in answered.text.split("\n") if line.startswith("data: {")]
            assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == text
            assert answered.text.endswith("data: [DONE]\n\n")
        assert EMAIL not in provider.seen[-1].body.decode()

    def test_those_who_share_a_call_each_have_their_own(self, echoing):
        edge, provider = echoing
        before = len(provider.seen)
        for stream in (False, True):
            text = f"slow {stream} {EMAIL}"
            with ThreadPoolExecutor(3) as pool:
                answers = list(
                    pool.map(lambda _, text=text, stream=stream: self.ask(edge, text, stream=stream), range(3))
                )
            assert sorted(each.headers["x-edge-cache"] for each in answers) == ["joined", "joined", "miss"]
            assert len({len(each.text) for each in answers}) == 1
            for each in answers:
                assert "[EMAIL_" not in each.text
                assert stream or EMAIL in each.text
        assert len(provider.seen) == before + 2

    def test_across_dialects(self, echoing):
        edge, provider = echoing
        body = {"model": "o/gpt-4o", "max_tokens": 9, **said(f"crossing {EMAIL}")}
        answered = httpx2.post(f"{edge.url}/v1/messages", json=body, timeout=30)
        assert answered.json()["content"][0]["text"] == f"crossing {EMAIL}"
        streamed = httpx2.post(f"{edge.url}/v1/messages", json={**body, "stream": True}, timeout=30)
        told = [json.loads(line[6:]) for line in streamed.text.split("\n") if line.startswith("data: {")]
        assert "".join(each["delta"].get("text", "") for each in told if "delta" in each) == f"crossing {EMAIL}"
        assert EMAIL not in provider.seen[-1].body.decode()

    def test_without_a_secret_there_are_none(self):
        settings = config.Config(
            providers={"o": config.Provider(dialect="openai", base_url="http://127.0.0.1:1/v1")},
            pii=config.Pii(request="pseudonymize"),
        )
        assert [where for where, _ in problems(settings)] == [("server", "secret")]


def echo(seen, connection):
    asked = json.loads(seen.body)
    text = asked["messages"][-1]["content"]
    if text.startswith("slow"):
        time.sleep(2)
    if not asked.get("stream"):
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return answer(json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}).encode())
    pieces = [text[at : at + 5] for at in range(0, len(text), 5)]
    deltas = [
        ({"role": "assistant", "content": ""}, None),
        *(({"content": each}, None) for each in pieces),
        ({}, "stop"),
    ]
    events = [
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        for delta, finish in deltas
    ]
    return in_pieces(*[f"data: {json.dumps(each)}\n\n".encode() for each in events], b"data: [DONE]\n\n")(
        seen, connection
    )


@pytest.fixture(scope="module")
def answering(front, tmp_path_factory):
    """An edge that looks answers through, of a provider that says what it was told."""
    with Canned(echo) as made:
        base = {"base_url": f"{made.url}/v1", "api_keys": ["k"]}
        told = {"ops": {"admin": True}, "strict": {"pii": {"response": "block"}}, "loose": {"pii": {"response": "off"}}}
        config = {
            "auth": {"keys": [{"id": name, "digests": [KEYS[name][1]], **more} for name, more in told.items()]},
            "providers": {"o": {"dialect": "openai", **base}, "a": {"dialect": "anthropic", **base}},
            "models": {"seen": {"upstreams": [{"to": "o/gpt-4o"}], "pii": {"response": "detect"}}},
            "pii": {"response": "mask"},
            "cache": {"mode": "all"},
        }
        edge = Edge(tmp_path_factory.mktemp("answers"), config, front=front)
        with running(edge):
            yield edge, made


def streamed_text(answered):
    chunks = [json.loads(line[6:]) for line in answered.text.split("\n") if line.startswith("data: {")]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if "choices" in chunk)


class TestAnswers:
    def test_what_is_told_and_stored_is_treated(self, answering):
        edge, provider = answering
        text = f"whole {EMAIL}, {CARD}"
        answered = ask(edge, **said(text))
        assert EMAIL in provider.seen[-1].body.decode()
        assert answered.json()["choices"][0]["message"]["content"] == "whole [EMAIL], [CARD]"
        assert answered.headers["x-edge-pii"] == "response.email=1,response.card=1"
        again = ask(edge, **said(text))
        assert (again.headers["x-edge-cache"], "x-edge-pii" in again.headers) == ("memory", False)
        assert again.json()["choices"][0]["message"]["content"] == "whole [EMAIL], [CARD]"

    def test_in_streams_and_stored_ones(self, answering):
        edge, _ = answering
        text = f"streamed {EMAIL} and {CARD}."
        for cache in ("miss", "memory"):
            answered = ask(edge, **said(text), stream=True)
            assert answered.headers["x-edge-cache"] == cache
            assert streamed_text(answered) == "streamed [EMAIL] and [CARD]."
            assert answered.text.endswith("data: [DONE]\n\n")

    def test_those_who_share_a_call_get_the_same(self, answering):
        edge, provider = answering
        before = len(provider.seen)
        for stream in (False, True):
            text = f"slow {stream} {EMAIL}"
            with ThreadPoolExecutor(3) as pool:
                answers = list(
                    pool.map(lambda _, text=text, stream=stream: ask(edge, **said(text), stream=stream), range(3))
                )
            assert sorted(each.headers["x-edge-cache"] for each in answers) == ["joined", "joined", "miss"]
            assert len({each.content for each in answers}) == 1
            assert "[EMAIL]" in answers[0].text
        assert len(provider.seen) == before + 2

    def test_across_dialects(self, answering):
        edge, _ = answering
        body = {"model": "o/gpt-4o", "max_tokens": 9, **said(f"crossing {EMAIL}")}
        answered = ask(edge, "/v1/messages", **body)
        assert answered.json()["content"][0]["text"] == "crossing [EMAIL]"
        streamed = ask(edge, "/v1/messages", **{**body, "stream": True})
        told = [json.loads(line[6:]) for line in streamed.text.split("\n") if line.startswith("data: {")]
        assert "".join(each["delta"].get("text", "") for each in told if "delta" in each) == "crossing [EMAIL]"

    def test_a_key_and_an_alias_have_modes_of_their_own(self, answering):
        edge, provider = answering
        before = len(provider.seen)
        text = f"modes {EMAIL}"
        loose = ask(edge, key="loose", **said(text))
        assert loose.json()["choices"][0]["message"]["content"] == text
        seen = ask(edge, model="seen", **said(text))
        assert seen.json()["choices"][0]["message"]["content"] == text
        assert seen.headers["x-edge-pii"] == "response.email=1"
        refused = ask(edge, key="strict", **said(text))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "pii_blocked")
        assert refused.json()["error"]["message"].endswith("email=1.")
        assert EMAIL not in refused.text
        assert "[EMAIL]" in ask(edge, **said(text)).text
        assert len(provider.seen) == before + 4

    def test_a_stream_that_is_blocked_ends_with_an_error(self, answering):
        edge, _ = answering
        answered = ask(edge, key="strict", **said(f"Everything before it. {EMAIL} and after"), stream=True)
        assert answered.status_code == 200
        assert streamed_text(answered) == "Everything before it. "
        assert '"code":"pii_blocked"' in answered.text.replace('": "', '":"')
        assert EMAIL not in answered.text
        for _ in range(3):  # it says nothing of the provider
            assert ask(edge, key="strict", **said("nothing to hide")).status_code == 200

    def test_with_what_was_put_out_of_the_request(self, echoing, tmp_path_factory, front):
        config = {
            "providers": {"o": {"dialect": "openai", "base_url": f"{echoing[1].url}/v1", "api_keys": ["k"]}},
            "pii": {"request": "pseudonymize", "response": "mask"},
            "server": {"secret": "0123456789abcdef" * 2},
        }
        edge = Edge(tmp_path_factory.mktemp("both"), config, front=front)
        with running(edge):
            for stream in (False, True):
                body = {"model": "o/gpt-4o", "stream": stream, **said(f"own {EMAIL} is mine")}
                answered = httpx2.post(f"{edge.url}/v1/chat/completions", json=body, timeout=30)
                text = streamed_text(answered) if stream else answered.json()["choices"][0]["message"]["content"]
                assert text == f"own {EMAIL} is mine"
                assert answered.headers["x-edge-pii"] == "email=1"
            until(lambda: '"pii":"email=1"' in edge.process.output)

    def test_metrics_have_counts_and_no_values(self, answering):
        edge, _ = answering
        ask(edge, **said(f"counted {EMAIL}"))
        ask(edge, **said(f"counted {EMAIL}"), stream=True)
        auth = {"authorization": f"Bearer {KEYS['ops'][0]}"}
        metrics = httpx2.get(f"{edge.url}/metrics", headers=auth).text
        assert 'edge_pii_findings_total{kind="email",mode="mask",side="response"}' in metrics
        assert EMAIL not in metrics
        assert EMAIL not in edge.process.output
