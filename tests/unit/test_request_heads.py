"""What a head says, and what there is against all requests that have it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from edge._fast.head_tables import HOLES
from edge.config import Auth, Key
from edge.guard.auth import new_key
from edge.head import Head, varying_of
from edge.routes import match
from edge.state import build_state
from tests.unit.echoing import Echo
from tests.unit.lanes import BODY, post, said

JSON = (b"content-type", b"application/json")
VERSION = (b"anthropic-version", b"2023-06-01")


def head(*fields, method="POST", target=b"/v1/chat/completions") -> Head:
    return Head(match(target), method, target, b"", list(fields))


def test_what_changes_from_request_to_request_is_not_in_a_head():
    fields = [(name, b"1") for name in HOLES]
    made = head(JSON, *fields, (b"a", b"1"), (b"a", b"2"))
    assert made.headers == [JSON, (b"a", b"1"), (b"a", b"2")]
    assert made.index == {b"content-type": b"application/json", b"a": b"1"}
    assert varying_of([JSON, *fields]) == dict.fromkeys(
        (b"authorization", b"x-api-key", b"x-request-id", b"traceparent", b"tracestate", b"x-edge-session"), b"1"
    )


def test_a_name_that_is_given_twice_has_no_only_value():
    made = head((b"host", b"a"), (b"host", b"a"), (b"authorization", b"a"), (b"authorization", b"b"), (b"origin", b"o"))
    assert made.repeated == {b"host", b"authorization"}
    assert (made.only(b"host"), made.only(b"origin"), made.only(b"none")) == (None, b"o", None)


def test_of_what_varies_the_first_value_counts_and_an_empty_one_is_none():
    assert varying_of([(b"x-api-key", b""), (b"x-api-key", b"1"), (b"x-api-key", b"2")]) == {b"x-api-key": b"1"}


OBJECTIONS = [
    (head(JSON), None),
    (head((b"content-encoding", b"Identity")), None),
    (head(method="OPTIONS"), None),
    (head(method="GET"), 405),
    (head(method="OPTIONS", target=b"/v1/uploads"), 404),
    (head(target=b"/v1/uploads"), 404),
    (head(target=b"/v1/images/generations"), None),
    (head(target=b"/v1/images/generations", method="GET"), 404),
    (head((b"content-type", b"Multipart/form-data; boundary=x")), 404),
    (head((b"content-encoding", b"GZIP")), None),
    (head((b"content-encoding", b"br")), 415),
    (head((b"content-encoding", b"gzip"), (b"content-encoding", b"gzip")), 415),
]


@pytest.mark.parametrize(("made", "status"), OBJECTIONS)
def test_what_there_is_against_a_head(made, status):
    assert (made.objection and made.objection.status) == status
    assert made.asks_methods == (status is None and made.method == "OPTIONS")


@pytest.mark.parametrize(
    ("made", "dialect"),
    [
        (head(VERSION), "openai"),
        (head(VERSION, method="GET"), "openai"),
        (head(VERSION, target=b"/v1/uploads"), "anthropic"),
        (head(VERSION, target=b"/v1/images/generations"), "openai"),
        (head(VERSION, target=b"/v1/images/generations", method="GET"), "anthropic"),
        (head(VERSION, target=b"/v1/models", method="GET"), "anthropic"),
        (head(target=b"/v1/models", method="GET"), "openai"),
        (head(target=b"/v1/messages"), "anthropic"),
    ],
)
def test_the_dialect_of_the_reply(made, dialect):
    assert made.dialect == dialect


def test_another_key_is_no_other_head():
    keys = {name: new_key(name) for name in ("a", "b")}
    auth = Auth(keys=[Key(id=name, digests=[digest]) for name, (_, digest) in keys.items()])
    worker = Echo(auth=auth)
    for token in [*(token for token, _ in keys.values()), "lea_nobody_0000000000000000"] * 2:
        for credential in (f"authorization: Bearer {token}", f"x-api-key: {token}"):
            (reply,) = said(worker.ask(post(BODY, credential)))
            known = next((name for name, (made, _) in keys.items() if made == token), "")
            assert reply.startswith(b"HTTP/1.1 200 " if known else b"HTTP/1.1 401 ")
            assert worker.seen[-1].key.id == known
    assert len({id(call.head) for call in worker.seen}) == 2  # one by each name of the credential
    worker.close()


def test_a_pipelined_request_is_answered_by_what_holds_when_its_turn_comes():
    token, digest = new_key("a")
    worker = Echo(auth=Auth(keys=[Key(id="a", digests=[digest])]))
    worker.holds = True
    one = post(BODY, f"authorization: Bearer {token}")
    client = worker.ask(one + one)
    _, other = new_key("b")
    changed = msgspec.structs.replace(worker.config, auth=Auth(keys=[Key(id="b", digests=[other])]))
    worker.gateway.state = build_state(changed, old=worker.gateway.state)
    worker.holds = False
    worker.loop.run_until_complete(asyncio.sleep(0.05))
    assert [reply[:13] for reply in said(client)] == [b"HTTP/1.1 200 ", b"HTTP/1.1 401 "]
    worker.close()
