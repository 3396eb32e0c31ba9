"""Answers that came compressed although nobody asked, and what else of an answer's head and framing is not as it should
be: header and bytes agree in what the client gets, or a cause is named.
"""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from tests.harness import Scripted, answer, running
from tests.http.streams import STREAMS, ask, scripted_edge
from tests.http.test_failed_answers import CHAT, MESSAGE


@pytest.fixture(scope="module")
def first():
    with Scripted() as made:
        yield made


@pytest.fixture(scope="module")
def second():
    with Scripted() as made:
        yield made


@pytest.fixture(scope="module")
def edge(first, second, front, tmp_path_factory):
    settings = {"resilience": {"first_content_s": 5, "attempt_s": 5, "total_s": 20}}
    made = scripted_edge(tmp_path_factory.mktemp("edge"), front, first.url, second.url, **settings)
    with running(made):
        yield made


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


BODIES = {
    200: (CHAT, MESSAGE),
    404: (
        {
            "error": {
                "message": "The model 'x' does not exist",
                "type": "invalid_request_error",
                "code": "model_not_found",
            }
        },
        {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}},
    ),
    500: (
        {"error": {"message": "It broke", "type": "server_error"}},
        {"type": "error", "error": {"type": "api_error", "message": "It broke"}},
    ),
}
READ = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "x-gzip": gzip.compress,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "identity, gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "": gzip.compress,
    "identity": lambda data: data,
    "gzip ": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]) + bytes(512),
}
"""By what the header says ("": there is none)."""
NOT_READ = {
    "br": lambda data: b"\x8b\x02\x80" + data,
    "zstd": lambda data: b"\x28\xb5\x2f\xfd" + data,
    "gzip": lambda data: data,
    "gzip, gzip": gzip.compress,
    "deflate": lambda data: b"\x00" * 20 + data,
    "x-gzip": lambda data: gzip.compress(data)[:-12],
    "gzip, gzip, gzip, gzip": gzip.compress,
}


@pytest.mark.parametrize("status", BODIES)
@pytest.mark.parametrize("encoding", READ)
def test_what_can_be_read_is(edge, first, status, encoding):
    for kind, body in zip(("", "-anthropic"), BODIES[status], strict=True):
        data = json.dumps(body).encode()
        headers = {"content_encoding": encoding} if encoding else {}
        first.script["packed"] = answer(READ[encoding](data), status, vary="accept-encoding", **headers)
        same, other = ("messages", "chat") if kind else ("chat", "messages")
        got_status, got_headers, got = ask(edge, same, f"a{kind}/packed", False)
        assert (got_status, got) == (status, data)
        assert got_headers["content-length"] == str(len(data))
        assert "content-encoding" not in got_headers
        got_status, got_headers, got = ask(edge, other, f"a{kind}/packed", False)
        assert got_status == status
        assert "content-encoding" not in got_headers
        said = {200: "ab", 404: "x", 500: "It broke"}[status]
        assert said in json.dumps(json.loads(got))


@pytest.mark.parametrize("status", BODIES)
@pytest.mark.parametrize("encoding", NOT_READ)
def test_what_cannot_is_a_failure_with_a_cause(edge, first, status, encoding):
    data = json.dumps(CHAT).encode()
    first.script["unreadable"] = answer(NOT_READ[encoding](data), status, content_encoding=encoding)
    for api in ("chat", "messages"):
        got_status, got_headers, got = ask(edge, api, "a/unreadable", False)
        assert got_status == 502
        assert "content-encoding" not in got_headers
        assert any(word in got for word in (b"encoding", b"compressed", b"broke off"))


@pytest.mark.parametrize("pack", ["flushed", "members", "unlabelled"])
@pytest.mark.parametrize("api", ["chat", "messages"])
def test_a_compressed_stream_is_read_event_by_event(edge, first, api, pack):
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in STREAMS[api]] + [packer.flush()]
    if pack == "members":
        pieces = [gzip.compress(part) for part in STREAMS[api]]
    label = b"" if pack == "unlabelled" else b"content-encoding: gzip\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%btransfer-encoding: chunked\r\n\r\n" % label
    body = b"".join(pieces)
    framed = b"".join(b"1\r\n%b\r\n" % body[at : at + 1] for at in range(len(body)))
    first.script["stream"] = head + framed + b"0\r\n\r\n"
    kind = "-anthropic" if api == "messages" else ""
    status, headers, got = ask(edge, api, f"a{kind}/stream")
    assert (status, got) == (200, b"".join(STREAMS[api]))
    assert "content-encoding" not in headers
    other = "chat" if api == "messages" else "messages"
    assert ask(edge, other, f"a{kind}/stream")[2].count(b"data: ") >= 4


def test_a_label_on_nothing_is_no_reason_to_fail(edge, first):
    first.script["nothing"] = answer(b"", 400, content_encoding="gzip")
    status, headers, got = ask(edge, "chat", "a/nothing", False)
    assert (status, got) == (400, b"")
    assert "content-encoding" not in headers


@pytest.mark.parametrize(
    "member",
    [gzip.compress(b""), gzip.compress(b"x")],
    ids=["empty", "tiny"],
)
def test_members_of_nothing_are_refused(edge, first, second, member):
    """Some millions of bytes of them are read no further than it takes to see what they are."""
    first.script["fault-0"] = answer(member * (4_000_000 // len(member)), content_encoding="gzip")
    second.script["fault-0"] = answer(json.dumps(CHAT).encode())
    first.script["members"] = first.script["fault-0"]
    status, _, got = ask(edge, "chat", "a/members", False)
    assert status == 502
    assert b"pieces of nothing" in got
    assert ask(edge, "chat", "fault-0", False)[0] == 200


@pytest.mark.parametrize("status", ["000", "001", "099", "600", "999"])
def test_a_status_that_does_not_exist_is_the_providers_failure(edge, first, second, status):
    """Below 100 too: it is no informational answer, after which another would come."""
    body = json.dumps(CHAT).encode()
    reply = b"HTTP/1.1 %b X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (
        status.encode(),
        len(body),
    )
    first.script["fault-1"] = first.script["status"] = reply + body
    second.script["fault-1"] = answer(body)
    got_status, _, got = ask(edge, "chat", "a/status", False)
    assert got_status == 502
    assert b"upstream_bad_response" in got
    got_status, headers, got = ask(edge, "chat", "fault-1", False)
    assert (got_status, got, headers["x-edge-attempts"]) == (200, body, "2")


def test_informational_answers_are_passed_over(edge, first):
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 3 + b"HTTP/1.1 100 Continue\r\n\r\n"
    body = json.dumps(CHAT).encode()
    first.script["hints"] = hints + answer(body)
    assert ask(edge, "chat", "a/hints", False)[::2] == (200, body)


WAITS = {
    "7": True,
    "0": True,
    "1.5": True,
    "Wed, 21 Oct 2026 07:28:00 GMT": True,
    "NaN": False,
    "nan": False,
    "inf": False,
    "-1": False,
    "1e3": False,
    "0x10": False,
    "1_000": False,
    "soon": False,
    "7, 8": False,
    "7s": False,
    "9" * 40: False,
    "Wed, 99 Foo": False,
}


UNDERSTOOD = {("retry-after", "7s"): "7"}
"""What is none as it stands, and clear all the same: it is passed on as RFC 9110 has it."""


@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
def test_a_time_to_wait_is_one_or_is_left_out(edge, first, name):
    for number, (value, passes) in enumerate(WAITS.items()):
        model = f"wait-{number}-{name}"  # of its own, since a key is left alone with the model that it is to wait with
        said = answer(b'{"error":{"message":"slow down"}}', 429, **{name.replace("-", "_"): value})
        first.script |= {f"{model}-{api}": said for api in ("chat", "messages")}
        for api in ("chat", "messages"):
            status, headers, _ = ask(edge, api, f"a/{model}-{api}", False)
            assert status == 429
            assert headers.get(name) == (value.lower() if passes else UNDERSTOOD.get((name, value))), value
