"""A key from its first request to its last: issued, rotated, expired, revoked, refused. Row 56 of what breaks gateways."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from edge import keys
from tests.harness import Canned, Client, Edge, clean_environment, in_pieces, minimal, providers, running, until

pytestmark = pytest.mark.early

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
WITHIN_S = 5.0


def command(*arguments: str) -> str:
    got = subprocess.run(
        [sys.executable, "-m", "edge", "key", *arguments],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
        check=False,
    )
    assert got.returncode == 0, got.stderr
    return got.stdout


def token_of(said: str) -> str:
    return said.split("key (shown once): ")[1].split()[0]


@pytest.fixture
def keys_file(tmp_path):
    return str(tmp_path / "keys.json")


def settings(url: str, keys_file: str, **auth) -> dict:
    return {"providers": providers(url), "auth": {"keys_file": keys_file, "failures_per_minute": 1_000_000, **auth}}


def within(condition, stalls) -> None:
    """It is so within `WITHIN_S`."""
    begun = time.monotonic()
    until(condition)
    assert time.monotonic() - begun <= WITHIN_S + stalls.granted_s


class Kept:
    """A connection on which one key asks again and again with the same head."""

    def __init__(self, client: Client, token: str) -> None:
        self.client = client
        self.token = token

    def ask(self) -> int:
        self.client.post("/v1/chat/completions", BODY, f"authorization: Bearer {self.token}")
        status, headers = self.client.head()
        self.client.body(headers)
        return status


@pytest.fixture
def kept():
    """Makes a connection of a key's to an edge."""
    with ExitStack() as connections:
        yield lambda edge, token: Kept(connections.enter_context(Client(edge.port)), token)


def test_a_revoked_key_is_refused_by_all_workers_and_machines_on_connections_that_are_open(
    simulator, front, tmp_path, keys_file, stalls, kept
):
    doomed = token_of(command("new", "doomed", "--file", keys_file))
    staying = token_of(command("new", "staying", "--file", keys_file))
    config = settings(simulator.url, keys_file) | {"server": {"workers": 4}, "cache": {"mode": "all"}}
    machines = [Edge(tmp_path, config, front=front) for _ in range(2)]
    with running(*machines):
        asking = [kept(machine, doomed) for machine in machines for _ in range(16)]
        others = [kept(machine, staying) for machine in machines for _ in range(4)]
        for _ in range(3):
            assert [each.ask() for each in asking + others] == [200] * (len(asking) + len(others))
        assert "revoked 1 credential of doomed" in command("revoke", "doomed", "--file", keys_file)
        revoked = time.monotonic()
        asked = 0
        while True:
            begun = time.monotonic()
            got = [each.ask() for each in asking]
            asked += len(got)
            assert set(got) <= {200, 401}
            assert [each.ask() for each in others] == [200] * len(others)
            if set(got) == {401}:
                break
            assert begun - revoked <= WITHIN_S + stalls.granted_s
        print(f"2 edges of 4 workers, 32 open connections: all refuse {begun - revoked:.1f} s after, {asked} requests")
        assert [each.ask() for each in asking] == [401] * len(asking)


def test_after_a_rotation_both_keys_hold_until_the_old_one_is_revoked(
    simulator, front, tmp_path, keys_file, stalls, kept
):
    first = token_of(command("new", "a", "--file", keys_file))
    edge = Edge(tmp_path, settings(simulator.url, keys_file), front=front)
    with running(edge):
        old = kept(edge, first)
        assert old.ask() == 200
        new = kept(edge, token_of(command("rotate", "a", "-c", str(edge.path))))
        within(lambda: new.ask() == 200, stalls)
        assert old.ask() == 200
        command("revoke", "a", "--old", "-c", str(edge.path))
        within(lambda: old.ask() == 401, stalls)
        assert new.ask() == 200
        listed = command("list", "-c", str(edge.path), "--json")
        assert json.loads(listed)["id"] == "a"
        for token in (old.token, new.token):
            assert token not in edge.process.output + listed


def test_a_key_that_is_revoked_while_a_body_comes_is_refused_and_an_answer_under_way_goes_on(
    front, tmp_path, keys_file, stalls, kept
):
    token = keys.issue(keys_file, "a", {})
    piece = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
    last = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    streaming = in_pieces(piece, *[part for _ in range(12) for part in (0.5, piece)], last)
    with Canned(
        lambda seen, connection: (streaming if b'"stream"' in seen.body else minimal)(seen, connection)
    ) as upstream:
        edge = Edge(tmp_path, settings(upstream.url, keys_file), front=front)
        with running(edge), Client(edge.port) as slow, Client(edge.port) as reading:
            body = json.dumps({**json.loads(BODY), "stream": True}).encode()
            reading.post("/v1/chat/completions", body, f"authorization: Bearer {token}")
            assert reading.head()[0] == 200
            slow.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (token.encode(), len(BODY)) + BODY[:9]
            )
            keys.revoke(keys_file, "a")
            asking = kept(edge, token)
            within(lambda: asking.ask() == 401, stalls)
            slow.send(BODY[9:])
            assert slow.head()[0] == 401
            assert b"[DONE]" in reading.read_until(b"[DONE]")


def test_a_key_expires_to_the_second_on_a_connection_that_is_open(simulator, tmp_path, keys_file, stalls, kept):
    """On either front, at the same time."""
    keys.issue(keys_file, "first", {})
    edges = [Edge(tmp_path, settings(simulator.url, keys_file), front=front) for front in ("lane", "asgi")]
    with running(*edges):
        now = datetime.now(UTC).replace(microsecond=0)
        soon, expires = now + timedelta(seconds=12), now + timedelta(seconds=15)
        beginning = keys.issue(keys_file, "beginning", {"not_before": soon})
        ending = keys.issue(keys_file, "ending", {"expires": expires})
        asked = [(kept(edge, ending), kept(edge, beginning)) for edge in edges]
        for ends, _ in asked:
            within(lambda ends=ends: ends.ask() == 200, stalls)  # and so the other is known too
        seen: list[tuple[int, int, float, float]] = []
        while time.time() < expires.timestamp() + 1:
            for ends, begins in asked:
                before = time.time()
                seen.append((ends.ask(), begins.ask(), before, time.time()))
            time.sleep(0.01)
    assert {status for status, _, _, after in seen if after < expires.timestamp()} == {200}
    assert {status for status, _, before, _ in seen if before >= expires.timestamp()} == {401}
    assert {status for _, status, _, after in seen if after < soon.timestamp()} == {401}
    assert {status for _, status, before, _ in seen if before >= soon.timestamp()} == {200}


def test_a_file_that_is_wrong_changes_nothing_and_is_told(simulator, front, tmp_path, keys_file, kept):
    token = keys.issue(keys_file, "a", {})
    edge = Edge(tmp_path, settings(simulator.url, keys_file), front=front)
    with running(edge):
        asking = kept(edge, token)
        assert asking.ask() == 200
        with open(keys_file, "a") as file:
            file.write("and more")
        edge.process.wait_for("keys_file.*reload refused")
        assert asking.ask() == 200


def test_a_providers_key_in_a_file_is_read_again_when_it_changes(front, tmp_path, stalls):
    secret = tmp_path / "secret"
    secret.write_text("sk-first-of-provider")
    with Canned(minimal) as upstream:
        config = {"providers": providers(upstream.url, api_keys=[f"file:{secret}"])}
        edge = Edge(tmp_path, config, front=front)
        with running(edge):

            def sent() -> str:
                assert httpx2.post(f"{edge.url}/v1/chat/completions", json=json.loads(BODY)).status_code == 200
                return upstream.seen[-1].header("authorization")

            assert sent() == "Bearer sk-first-of-provider"
            secret.write_text("sk-second-of-provider")
            within(lambda: sent() == "Bearer sk-second-of-provider", stalls)
            secret.write_text("not a key")
            edge.process.wait_for("has a space in it.*reload refused")
            assert sent() == "Bearer sk-second-of-provider"
            assert "of-provider" not in edge.process.output


OF_EACH = ("date", "x-request-id", "server-timing", "x-edge-overhead-ms")
"""Fields that differ from one answer to the next, whatever was asked."""


def test_every_request_without_a_valid_key_gets_the_same_answer(simulator, front, tmp_path, keys_file):
    past = datetime.now(UTC) - timedelta(days=1)
    expired = keys.issue(keys_file, "expired", {"expires": past})
    early = keys.issue(keys_file, "early", {"not_before": past + timedelta(days=9)})
    revoked = keys.issue(keys_file, "revoked", {})
    keys.revoke(keys_file, "revoked")
    edge = Edge(tmp_path, settings(simulator.url, keys_file), front=front)
    with running(edge):
        answers = set()
        for token in (expired, early, revoked, "lea_nobody_" + "x" * 32, "short", "x" * 5000):
            for header in (f"authorization: Bearer {token}", f"x-api-key: {token}"):
                with Client(edge.port) as client:
                    client.post("/v1/chat/completions", BODY, header)
                    status, headers = client.head()
                    body = client.body(headers)
                    fields = {name: "" if name in OF_EACH else value for name, value in headers.items()}
                    answers.add((status, body, tuple(fields.items())))
        assert len(answers) == 1, answers
        assert next(iter(answers))[0] == 401


def test_who_fails_too_often_is_told_to_wait_and_who_has_a_key_is_served(simulator, front, tmp_path, keys_file, kept):
    token = keys.issue(keys_file, "a", {})
    edge = Edge(tmp_path, settings(simulator.url, keys_file, failures_per_minute=5), front=front)
    with running(edge):
        good = kept(edge, token)
        got = []
        for _ in range(12):
            with Client(edge.port) as client:
                client.post("/v1/chat/completions", BODY, "authorization: Bearer lea_nobody_xxxxxxxxxxxxxxxxxxx")
                status, headers = client.head()
                got.append(status)
                if status == 429:
                    assert 1 <= int(headers["retry-after"]) <= 12
                    assert headers["connection"] == "close"
                    assert json.loads(client.body(headers))["error"]["code"] == "too_many_failed_logins"
            assert good.ask() == 200
        assert got == [401] * 5 + [429] * 7
        admin = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": "lea_nobody_xxxxxxxxxxxxxxxxx"})
        assert admin.status_code == 429


ROUTES = {
    "chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "completions": {"prompt": "hi"},
    "embeddings": {"input": "hi"},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
    "messages/count_tokens": {"messages": [{"role": "user", "content": "hi"}]},
    "models": None,
    "other": {},
}


@pytest.mark.parametrize("allowed", [[], ["models"], ["chat/completions", "other"], list(ROUTES)])
def test_a_key_may_use_the_routes_that_it_names_and_no_others(simulator, front, tmp_path, keys_file, allowed):
    token = keys.issue(keys_file, "a", {"allowed_routes": allowed})
    edge = Edge(tmp_path, settings(simulator.url, keys_file), front=front)
    with running(edge), httpx2.Client(base_url=edge.url, headers={"x-api-key": token}) as client:
        for name, body in ROUTES.items():
            path = "/v1/moderations" if name == "other" else f"/v1/{name}"
            model = "claude-sonnet-5" if name.startswith("messages") else "gpt-4o"
            for prefix in ("", "/openai", "/anthropic"):
                if name == "other" and prefix == "/anthropic":
                    continue
                got = (
                    client.get(prefix + path)
                    if body is None
                    else client.post(prefix + path, json={"model": model, **body})
                )
                refused = got.status_code == 403 and "route" in got.text
                assert refused == (name not in allowed), (name, prefix, got.status_code, got.text)
        assert client.get("/v1/models/gpt-4o").status_code == (200 if "models" in allowed else 403)
