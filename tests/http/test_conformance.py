"""The table of `tests/http/conformance.py`, played against both fronts on raw sockets."""

from __future__ import annotations

import json
import re

import pytest

from tests.harness import PATIENT, Canned, Client, Edge, minimal, providers, running
from tests.http.conformance import GROUPS, SMUGGLED, Row

ORDINARY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"ordinary"}]}'


@pytest.fixture(scope="module")
def upstream():
    """Answers with another letter where what it is asked contains the word "ordinary"."""

    def reply(seen, _):
        return minimal(seen).replace(
            b'"content":"a"', b'"content":"b"' if b"ordinary" in seen.body else b'"content":"a"'
        )

    with Canned(reply) as made:
        yield made


@pytest.fixture(scope="module")
def edge(upstream, front, tmp_path_factory):
    made = Edge(
        tmp_path_factory.mktemp("edge"),
        {"providers": providers(upstream.url), "resilience": PATIENT},
        front=front,
    )
    with running(made):
        yield made


def answer(client: Client, method: bytes) -> tuple[int, dict[str, str], bytes]:
    """The next answer that is not an interim one."""
    status, headers = client.head()
    while status == 100:
        status, headers = client.head()
    return status, headers, b"" if method == b"HEAD" else client.body(headers)


def has_ended(client: Client) -> bool:
    """Whether the other side has closed, with nothing more to say."""
    client.sock.settimeout(5)
    try:
        return not client.buffer and client.sock.recv(1000) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def serves_on(client: Client) -> bool | None:
    """Whether the connection answers an ordinary request, and nothing else before it; None where it is closed."""
    try:
        client.post("/v1/chat/completions", ORDINARY)
        status, _, body = answer(client, b"POST")
    except (AssertionError, OSError):
        return None if not client.buffer else False
    return status == 200 and b'"content":"b"' in body


def played(edge: Edge, upstream: Canned, row: Row) -> list[str]:
    """What is wrong with what came of a row."""
    wrong: list[str] = []
    before = len(upstream.seen)
    method = re.match(rb"\s*([A-Z]*)", row.request)[1]
    with Client(edge.port) as client:
        client.sock.settimeout(5)
        try:
            client.send(row.request)
        except OSError:
            pass  # it is refused already
        try:
            for number in range(row.answers):
                status, headers, body = answer(client, method)
                if status not in row.statuses:
                    wrong.append(f"answered with {status} {body[:120]!r}")
                if status >= 400 and method != b"HEAD" and "error" not in json.loads(body):
                    wrong.append(f"the error is not told: {body[:120]!r}")
                needed = (*(row.fields if not number else ()), *(("date",) if status < 500 else ()))
                wrong += [f"without {name}" for name in needed if name not in headers]
                if row.then == "closes" and headers.get("connection") != "close" and b"HTTP/1.0" not in row.request:
                    wrong.append("it is not said that the connection closes")
        except (AssertionError, OSError, ValueError) as error:
            wrong.append(f"no answer: {error}")
        if row.then == "closes":
            if not has_ended(client):
                wrong.append("the connection stays, or says more")
        elif not wrong:
            goes_on = serves_on(client)
            if goes_on is False or (row.then == "stays" and goes_on is None):
                wrong.append("the connection closes" if goes_on is None else "another answer was on the connection")
    seen = [each for each in upstream.seen[before:] if b"ordinary" not in each.body]
    if len(seen) > row.asked:
        wrong.append(f"the upstream saw {len(seen)} requests")
    if any(SMUGGLED in each.head + each.body for each in seen):
        wrong.append("the upstream saw the request that was hidden")
    return wrong


@pytest.mark.parametrize("group", GROUPS)
def test_what_http_says_of_odd_requests_holds(edge, upstream, front, group):
    rows = GROUPS[group]
    failed = {f"{row.name} (RFC {row.section})": wrong for row in rows if (wrong := played(edge, upstream, row))}
    print(f"\n{front}: {group}: {len(rows)} cases, {len(failed)} fails")
    assert not failed, "\n".join(f"{name}: {'; '.join(wrong)}" for name, wrong in failed.items())


def test_no_row_stands_twice():
    for rows in GROUPS.values():
        assert len({row.name for row in rows}) == len({row.request for row in rows}) == len(rows)
