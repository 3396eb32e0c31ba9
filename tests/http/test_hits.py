"""A request that is answered from memory again says what it said the first time, and counts as much."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from edge.guard.auth import new_key
from tests.harness import WAIT_S, Canned, Client, Edge, answer, providers, running, until
from tests.http.test_tls import certificate, trusting

CHAT, MESSAGES, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/messages", "/v1/completions", "/v1/embeddings"
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
FRESH = {"age", "cache-status", "date", "request-id", "server-timing", "x-edge-overhead-ms", "x-request-id"}
KEYS = {name: new_key(name) for name in ("admin", "a", "b", "minute", "one")}
MORE = {
    "admin": {"admin": True},
    "minute": {"requests_per_minute": 5},
    "one": {"concurrency": 1},
}


def config(simulator, *keys: str, **more) -> dict:
    """Without `keys`, open."""
    entries = [{"id": name, "digests": [KEYS[name][1]], **MORE.get(name, {})} for name in keys]
    auth = {"auth": {"keys": entries}} if entries else {}
    return {**auth, "providers": providers(simulator.url), "cache": {"mode": "all"}, **more}


@pytest.fixture(scope="module")
def open_edge(simulator, tmp_path_factory):
    made = Edge(tmp_path_factory.mktemp("open"), config(simulator), front="lane")
    with running(made):
        yield made


@pytest.fixture(scope="module")
def keyed(simulator, tmp_path_factory):
    made = Edge(tmp_path_factory.mktemp("keyed"), config(simulator, *KEYS), front="lane")
    with running(made):
        yield made


def body_for(path: str, **more) -> bytes:
    """A body that nobody has sent before."""
    said = f"nonce:t{random.getrandbits(64):016x}"
    model, asked = "gpt-4o", {"messages": [{"role": "user", "content": said}], "max_tokens": 40}
    if path == MESSAGES:
        model = "claude-sonnet-4-5"
    elif path == COMPLETIONS:
        asked = {"prompt": said}
    elif path == EMBEDDINGS:
        model, asked = "text-embedding-3-small", {"input": said}
    return json.dumps({"model": model, **asked, **more}).encode()


def key(name: str) -> str:
    return f"x-api-key: {KEYS[name][0]}"


def answered(client: Client) -> tuple[int, dict[str, str], bytes]:
    status, headers = client.head()
    return status, headers, client.body(headers)


def ask(client: Client, path: str, body: bytes, *headers: str) -> tuple[int, dict[str, str], bytes]:
    client.post(path, body, *headers)
    return answered(client)


def times(edge: Edge, count: int, body: bytes, *headers: str, path: str = CHAT) -> list[tuple[int, dict, bytes]]:
    """The answers to the same request, over one connection."""
    with Client(edge.port) as client:
        return [ask(client, path, body, *headers) for _ in range(count)]


def states(got: list[tuple[int, dict, bytes]]) -> list[str]:
    assert [status for status, _, _ in got] == [200] * len(got)
    return [headers["x-edge-cache"] for _, headers, _ in got]


def assert_same(second: tuple[int, dict, bytes], later: list[tuple[int, dict, bytes]]) -> None:
    status, headers, body = second
    for other_status, other_headers, other_body in later:
        assert (other_status, other_body) == (status, body)
        assert other_headers.keys() == headers.keys()
        fresh = FRESH | {name for name in headers if "ratelimit-" in name}
        assert {n: v for n, v in other_headers.items() if n not in fresh} == {
            n: v for n, v in headers.items() if n not in fresh
        }


FORMS = [
    *((path, born, form) for path in (CHAT, COMPLETIONS) for born in ({}, USAGE) for form in ({}, {"stream": True}, USAGE)),
    *((MESSAGES, born, form) for born in ({}, {"stream": True}) for form in ({}, {"stream": True})),
    (CHAT, {"stream": True}, {"stream": True}),
    (EMBEDDINGS, {}, {}),
]  # fmt: skip


@pytest.mark.parametrize("who", ["open", "keyed", "minute"])
def test_the_third_answer_is_the_second_but_for_what_is_fresh(open_edge, keyed, simulator, who):
    """All forms: asked for first as JSON or as a stream, and again as the other."""
    edge, headers = (open_edge, []) if who == "open" else (keyed, [key("b")])
    forms = FORMS
    if who == "minute":
        headers, forms = [key("minute")], FORMS[:1]
    for path, born, form in forms:
        stored = json.loads(body_for(path))
        before = simulator.count()
        with Client(edge.port) as client:
            ask(client, path, json.dumps({**stored, **born}).encode(), *headers)
            asked = json.dumps({**stored, **form}).encode()
            got = [ask(client, path, asked, *headers) for _ in range(4)]
        known = states(got)
        if known[0] == "miss":  # what was stored cannot tell this form
            got = got[1:]
        assert states(got) == ["memory"] * len(got), (path, born, form)
        assert simulator.count() == before + 1 + (known[0] == "miss")
        assert_same(got[0], got[1:])
        assert ("text/event-stream" in got[-1][1]["content-type"]) == ("stream" in form)
        assert int(got[-1][1]["content-length"]) == len(got[-1][2]) > 0
        assert len({headers["x-request-id"] for _, headers, _ in got}) == len(got)


def test_request_ids_are_new_each_time_or_the_clients_own(open_edge):
    for path in (CHAT, MESSAGES):
        body = body_for(path)
        random_ids = [headers["x-request-id"] for _, headers, _ in times(open_edge, 5, body, path=path)]
        assert len(set(random_ids)) == 5
        assert all(re.fullmatch("[0-9a-f]{32}", each) for each in random_ids)
        unfit = times(open_edge, 5, body, "x-request-id: two words", path=path)
        assert len({headers["x-request-id"] for _, headers, _ in unfit} | set(random_ids)) == 10
        given = times(open_edge, 4, body, "x-request-id: mine-7", path=path)
        assert [headers["x-request-id"] for _, headers, _ in given] == ["mine-7"] * 4
        for _, headers, _ in [*unfit, *given]:
            assert headers.get("request-id") == (headers["x-request-id"] if path == MESSAGES else None)


def test_age_grows_and_an_expired_answer_is_not_served(simulator, tmp_path):
    settings = config(simulator, cache={"mode": "all", "memory": {"ttl_s": 6}})
    made = Edge(tmp_path, settings, front="lane")
    body = body_for(CHAT)
    with running(made), Client(made.port) as client:
        assert states([ask(client, CHAT, body)]) == ["miss"]
        stored_by = time.monotonic()
        assert states([ask(client, CHAT, body)]) == ["memory"]
        early = ask(client, CHAT, body)
        time.sleep(1.3)
        late = ask(client, CHAT, body)
        assert states([early, late]) == ["memory"] * 2
        assert int(late[1]["age"]) > int(early[1]["age"])
        left = [int(got[1]["cache-status"].rpartition("ttl=")[2]) for got in (early, late)]
        assert left[1] < left[0] <= 6
        time.sleep(max(0, stored_by + 6.2 - time.monotonic()))
        assert states([ask(client, CHAT, body) for _ in range(3)]) == ["miss", "memory", "memory"]


def test_a_limit_of_requests_per_minute_is_kept_to_the_request(simulator, tmp_path):
    made = Edge(tmp_path, config(simulator, "minute", "b"), front="lane")
    with running(made):
        chat = body_for(CHAT)
        got = times(made, 8, chat, key("minute"))
        assert [status for status, _, _ in got] == [200] * 5 + [429] * 3
        assert [headers["x-ratelimit-remaining-requests"] for _, headers, _ in got] == list("43210000")
        assert {headers["x-ratelimit-limit-requests"] for _, headers, _ in got} == {"5"}
        resets = [int(headers["x-ratelimit-reset-requests"][:-1]) for _, headers, _ in got[:5]]
        assert resets == sorted(resets)
        assert 50 <= resets[4] <= 60
        assert json.loads(got[6][2])["error"]["code"] == "rate_limit_exceeded"
        status, headers, refusal = times(made, 1, body_for(MESSAGES), key("minute"), path=MESSAGES)[0]
        assert (status, json.loads(refusal)["error"]["type"]) == (429, "rate_limit_error")
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert states(times(made, 3, chat, key("b"))) == ["miss", "memory", "memory"]


def test_a_limit_is_told_in_the_words_of_anthropic_too(simulator, tmp_path):
    made = Edge(tmp_path, config(simulator, "minute"), front="lane")
    with running(made):
        got = times(made, 7, body_for(MESSAGES), key("minute"), path=MESSAGES)
    assert [status for status, _, _ in got] == [200] * 5 + [429] * 2
    assert [headers["anthropic-ratelimit-requests-remaining"] for _, headers, _ in got] == list("4321000")
    assert not any(name.startswith("x-ratelimit") for _, headers, _ in got for name in headers)
    assert json.loads(got[6][2])["error"]["type"] == "rate_limit_error"


def under_way(edge: Edge) -> float:
    """How many requests have come and have no answer yet."""
    text = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": KEYS["admin"][0]}).text
    return float(re.search(r"^edge_requests_in_flight (\S+)$", text, re.MULTILINE)[1])


def test_a_limit_at_a_time_holds_and_is_given_back(keyed, simulator):
    body = body_for(CHAT)
    assert states(times(keyed, 1, body, key("one"))) == ["miss"]
    until(lambda: under_way(keyed) == 0)  # its place is given back behind its last byte
    assert states(times(keyed, 30, body, key("one"))) == ["memory"] * 30
    hanging = body_for(CHAT, model="openai/sim-hang")
    with Client(keyed.port) as busy, Client(keyed.port) as client:
        before = simulator.count()
        busy.post(CHAT, hanging, key("one"))
        until(lambda: simulator.count() > before)
        for _ in range(3):
            status, _, refusal = ask(client, CHAT, body, key("one"))
            assert (status, json.loads(refusal)["error"]["code"]) == (429, "rate_limit_exceeded")
        busy.sock.close()
        until(lambda: under_way(keyed) == 0)
        assert states([ask(client, CHAT, body, key("one")) for _ in range(4)]) == ["memory"] * 4


def test_a_cleared_cache_answers_nothing(keyed):
    body = body_for(CHAT)
    with Client(keyed.port) as client:
        assert states([ask(client, CHAT, body, key("a")) for _ in range(3)]) == ["miss", "memory", "memory"]
        assert ask(client, "/admin/api/cache/clear", b"", key("admin"))[0] == 200
        assert states([ask(client, CHAT, body, key("a")) for _ in range(3)]) == ["miss", "memory", "memory"]


def test_a_reload_decides_at_once_who_is_answered_from_where(simulator, tmp_path):
    made = Edge(tmp_path, config(simulator, "a", "b"), front="lane")
    body = body_for(CHAT)

    def reload(number: int, *keys: str, **more) -> None:
        """Until the worker shows that it has it."""
        alias = {f"new-{number}": {"upstreams": [{"to": "openai/gpt-4o"}]}}
        made.path.write_text(json.dumps(config(simulator, *keys, models=alias, **more)))
        made.process.process.send_signal(signal.SIGHUP)
        shown = {"headers": {"x-api-key": KEYS["b"][0]}}
        until(lambda: httpx2.get(f"{made.url}/v1/models/new-{number}", **shown).status_code == 200)

    with running(made), Client(made.port) as first, Client(made.port) as second:
        for client, name in ((first, "a"), (second, "b")):
            assert states([ask(client, CHAT, body, key(name)) for _ in range(3)]) == ["miss", "memory", "memory"]
        reload(1, "b")
        assert ask(first, CHAT, body, key("a"))[0] == 401
        assert states([ask(second, CHAT, body, key("b")) for _ in range(3)]) == ["memory"] * 3
        reload(2, "b", cache={"mode": "off"})
        before = simulator.count()
        for _ in range(2):
            status, headers, _ = ask(second, CHAT, body, key("b"))
            assert (status, "x-edge-cache" in headers) == (200, False)
        assert simulator.count() == before + 2


def test_a_draining_worker_ends_its_connections(simulator, tmp_path):
    made = Edge(tmp_path, config(simulator), front="lane")
    body = body_for(CHAT)
    slow = body_for(CHAT, model="openai/sim-words-20-tps-20", stream=True)
    with running(made), Client(made.port) as idle, Client(made.port) as busy:
        assert states([ask(idle, CHAT, body) for _ in range(3)])[1:] == ["memory"] * 2
        busy.post(CHAT, slow)
        assert busy.head()[0] == 200
        made.process.process.send_signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""
        with pytest.raises((AssertionError, OSError)):
            busy.body({})
            ask(busy, CHAT, body)


def raw(body: bytes, *headers: str) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: localhost", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def test_however_they_are_cut_requests_are_answered_in_order(open_edge):
    bodies = [body_for(CHAT) for _ in range(3)]
    known = []
    with Client(open_edge.port) as client:
        for body in bodies:
            for _ in range(3):
                client.send(raw(body))
                said = answered(client)
            known.append(said[2])
        a, b, c = map(raw, bodies)
        for order in ((a, a), (a, a, a), (a, b, c, a), (c, b)):
            client.send(b"".join(order))
            assert [answered(client)[2] for _ in order] == [known[(a, b, c).index(each)] for each in order]
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in (1, 30, len(a) - len(bodies[0]), len(a) - 1):
            client.send(a[:at])
            time.sleep(0.03)
            client.send(a[at:] + b[:at])
            assert answered(client)[2] == known[0]
            client.send(b[at:])
            assert answered(client)[2] == known[1]
            client.send(a)
            assert answered(client)[2] == known[0]
        client.send(a + b"junk\r\n\r\n")
        assert answered(client)[2] == known[0]
        assert answered(client)[0] == 400
    for _ in range(3):
        with Client(open_edge.port) as client:
            client.send(raw(bodies[0], "connection: close"))
            status, headers, body = answered(client)
            assert (status, headers["connection"], body) == (200, "close", known[0])
            assert client.sock.recv(1) == b""


def test_known_requests_behind_a_slow_one_wait_for_it(tmp_path):
    def slowly(seen, _connection):
        time.sleep(0.3 if b"slow" in seen.body else 0)
        said = b"slow" if b"slow" in seen.body else b"fast"
        return answer(b'{"choices":[{"message":{},"finish_reason":"stop"}],"id":"%b"}' % said)

    with Canned(slowly) as upstream:
        made = Edge(tmp_path, {"providers": providers(upstream.url), "cache": {"mode": "all"}}, front="lane")
        fast = raw(b'{"model":"gpt-4o","messages":[]}')
        with running(made), Client(made.port) as client:
            for _ in range(3):
                client.send(fast)
                assert b"fast" in answered(client)[2]
            for number in range(3):
                client.send(raw(b'{"model":"gpt-4o","messages":[],"stop":"slow%d"}' % number))
                time.sleep(0.05)
                client.send(fast)
                client.send(fast)
                assert [json.loads(answered(client)[2])["id"] for _ in range(3)] == ["slow", "fast", "fast"]


def test_what_differs_has_its_own_answer(keyed, simulator):
    body = body_for(CHAT)
    other = body_for(CHAT)
    with Client(keyed.port) as client:
        mine = [ask(client, CHAT, body, key("a")) for _ in range(4)]
        assert states(mine) == ["miss", "memory", "memory", "memory"]
        assert states([ask(client, CHAT, body, key("b"))]) == ["miss"]
        assert states([ask(client, CHAT, other, key("a"))]) == ["miss"]
        assert states([ask(client, CHAT, body, key("a"), "cache-control: no-cache")]) == ["miss"]
        assert states([ask(client, CHAT, body, key("a"), "cache-control: no-store")]) == ["bypass"]
        assert ask(client, CHAT, body, key("a")[:-1] + "#")[0] == 401
        assert ask(client, CHAT, body)[0] == 401
        assert ask(client, CHAT, body, key("a"), "x-edge-timeout-ms: soon")[0] == 400
        assert ask(client, MESSAGES, body, key("a"))[2] != mine[0][2]
        assert ask(client, CHAT + "/none", body, key("a"))[0] == 404
        wanted = f"{CHAT}?a=b"
        assert states([ask(client, wanted, body, key("a")) for _ in range(3)])[1:] == ["memory"] * 2
        client.send(f"GET {CHAT} HTTP/1.1\r\nhost: x\r\n{key('a')}\r\n\r\n".encode())
        assert answered(client)[0] == 405
        for _ in range(2):
            assert ask(client, CHAT, body, key("a"))[0] == 200


def counted(edge: Edge) -> dict[str, float]:
    """The counters of requests, without those of durations but their number."""
    text = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": KEYS["admin"][0]}).text
    names = "edge_requests_total|edge_cache_requests_total|edge_saved_\\w+_total|edge_limit_decisions_total"
    found = re.findall(rf"^((?:{names}|edge_\w+_seconds_count){{[^}}]*}}) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: round(value - before.get(name, 0), 12) for name, value in after.items() if value != before.get(name)}


def test_each_hit_counts_as_much_as_the_first(simulator, tmp_path):
    made = Edge(tmp_path, config(simulator, "minute", "one", "admin"), front="lane")
    with running(made):
        for name, path, more in (("one", CHAT, {}), ("minute", MESSAGES, {}), ("one", CHAT, USAGE)):
            body = body_for(path, **more)
            with Client(made.port) as client:
                ask(client, path, body, key(name))
                figures = []
                for _ in range(3):
                    before = counted(made)
                    assert states([ask(client, path, body, key(name))]) == ["memory"]
                    figures.append(grown(before, counted(made)))
            assert figures[1:] == figures[:1] * 2
            for metric in ("requests_total", "cache_requests_total", "saved_tokens_total"):
                assert any(series.startswith(f"edge_{metric}{{") for series in figures[0]), (metric, figures[0])
            assert any(series.startswith("edge_request_duration_seconds_count") for series in figures[0])
            assert [n for series, n in figures[0].items() if "limit_decisions" in series] == [1.0]


def test_each_has_its_line_in_the_log(simulator, tmp_path):
    made = Edge(tmp_path, config(simulator, "a"), front="lane")
    with running(made):
        got = times(made, 4, body_for(CHAT, **USAGE), key("a"))
        lines = [made.process.wait_for(re.escape(headers["x-request-id"])).string for _, headers, _ in got]
    told = [json.loads(line) for line in lines]
    assert [line["cache"] for line in told] == ["miss", "memory", "memory", "memory"]
    fresh = ("request_id", "timestamp", "duration_ms", "overhead_ms")
    second, *later = told[1:]
    for line in later:
        assert list(line) == list(second)
        assert {n: v for n, v in line.items() if n not in fresh} == {n: v for n, v in second.items() if n not in fresh}
        assert 0 <= line["overhead_ms"] <= line["duration_ms"] < 1000


def test_many_connections_of_two_tenants_have_their_own_answers(keyed):
    body = body_for(CHAT)

    def asking(name: str) -> set[str]:
        got = times(keyed, 40, body, key(name), f"x-request-id: {name}")
        assert len({answer for _, _, answer in got}) == 1
        return {headers["x-request-id"] for _, headers, _ in got}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(asking, ["a", "b", "a", "b"])) == [{"a"}, {"b"}, {"a"}, {"b"}]


def test_a_client_that_reads_late_gets_every_answer(open_edge):
    """More than its socket and the gateway's buffer take, in separate segments."""
    body = body_for(CHAT, **USAGE)
    with Client(open_edge.port) as client:
        expected = [ask(client, CHAT, body) for _ in range(3)][2][2]
        request = raw(body)
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(lambda: [client.send(request) for _ in range(1000)])
            time.sleep(0.5)
            for _ in range(1000):
                assert answered(client)[2] == expected
            sending.result(WAIT_S)


def test_over_tls_it_is_the_same(simulator, tmp_path):
    certificate(tmp_path, "server")
    trust = trusting(tmp_path)
    tls = {"cert": f"{tmp_path}/server.pem", "key": f"{tmp_path}/server.key"}
    made = Edge(tmp_path, config(simulator, server={"tls": tls}), verify=trust, front="lane")
    body = body_for(CHAT)
    with running(made), Client(made.port) as client:
        client.sock = trust.wrap_socket(client.sock, server_hostname="localhost")
        got = [ask(client, CHAT, body) for _ in range(5)]
        assert states(got) == ["miss"] + ["memory"] * 4
        assert_same(got[1], got[2:])
