"""Frames of WebSockets, without sockets."""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import OP_BINARY, OP_CLOSE, OP_CONT, OP_PING, OP_PONG, OP_TEXT, Close, Frame
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from edge.errors import InvalidHTTP, UpgradeRequired
from edge.sockets.handshake import handshake, without_secrets
from edge.sockets.peer import SILENT, Closed, Message, Peer, sendable

GOOD = [
    (b"host", b"h"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"upgrade", b"WebSocket"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
]


def server(limit=1000) -> Peer:
    return Peer(ServerProtocol(state=OPEN, max_size=limit, logger=SILENT))


def client() -> Peer:
    return Peer(ClientProtocol(parse_uri("ws://h/"), state=OPEN, max_size=1000, logger=SILENT))


def masked(opcode, data=b"", fin=True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def told(data: bytes) -> tuple[int, str]:
    """The code and the reason of the close frame that is written last."""
    at = data.rindex(b"\x88")
    close = Close.parse(data[at + 2 :])
    return close.code, close.reason


SAID = b"".join(
    [
        masked(OP_TEXT, b'{"a":"'),
        masked(OP_TEXT, "ü".encode()[:1], False),
        masked(OP_PING, b"between"),
        masked(OP_CONT, b"", False),
        masked(OP_CONT, "ü".encode()[1:]),
        masked(OP_BINARY, bytes(range(200))),
        masked(OP_PONG, b"nobody asked"),
        masked(OP_TEXT, b""),
    ]
)
MEANT = [Message(b'{"a":"'), Message("ü".encode()), Message(bytes(range(200)), False), Message(b"")]


def test_messages_are_the_same_however_their_bytes_come():
    for at in range(len(SAID) + 1):
        peer = server()
        assert peer.feed(SAID[:at]) + peer.feed(SAID[at:]) == MEANT
        assert peer.take() == Frame(OP_PONG, b"between").serialize(mask=False)
        assert (peer.gone, peer.pending) == (None, 0)


def test_messages_come_byte_by_byte():
    peer = server()
    assert [message for n in range(len(SAID)) for message in peer.feed(SAID[n : n + 1])] == MEANT


def test_what_is_not_whole_is_counted():
    peer = server()
    peer.feed(masked(OP_TEXT, b"x" * 100, False) + masked(OP_CONT, b"y" * 50)[:20])
    assert 100 < peer.pending <= 120


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Frame(OP_TEXT, b"x").serialize(mask=False), 1002),
        (b"\xc1" + masked(OP_TEXT, b"x")[1:], 1002),
        (b"\x91" + masked(OP_TEXT, b"x")[1:], 1002),
        (b"\x83" + masked(OP_TEXT, b"x")[1:], 1002),
        (b"\x8b" + masked(OP_TEXT, b"x")[1:], 1002),
        (masked(OP_CONT, b"x"), 1002),
        (masked(OP_TEXT, b"x", False) + masked(OP_TEXT, b"y"), 1002),
        (b"\x89\xfe\x00\x7e" + bytes(4 + 126), 1002),
        (b"\x09\x81" + bytes(5), 1002),
        (masked(OP_CLOSE, b"\x03"), 1002),
        (masked(OP_CLOSE, b"\x03\xed"), 1002),
        (masked(OP_TEXT, b"\xff"), 1007),
        (masked(OP_TEXT, "ü".encode()[:1]), 1007),
        (masked(OP_TEXT, b"\xed\xa0\x80"), 1007),
        (masked(OP_TEXT, "ü".encode()[:1], False) + masked(OP_CONT, b"x"), 1007),
        (masked(OP_TEXT, b"x" * 1001), 1009),
        (b"\x81\xff" + b"\xff" * 8, 1009),
        (masked(OP_TEXT, b"x" * 600, False) + masked(OP_CONT, b"x" * 401), 1009),
    ],
    ids=map(str, range(18)),  # masks are drawn anew each time
)
def test_what_is_no_websocket_is_told_so_and_nothing_is_heard_behind_it(said, code):
    peer = server()
    assert peer.feed(said + masked(OP_TEXT, b"later")) == []
    assert peer.gone is not None
    assert (peer.gone.code, peer.gone.broke) == (code, True)
    assert told(peer.take())[0] == code
    assert peer.feed(masked(OP_TEXT, b"later")) == []
    peer.say(Message(b"nobody hears"))
    peer.close(1000)
    assert peer.take() == b""


def test_a_close_is_answered_once_and_ends_what_is_heard():
    peer = server()
    data = Close(4001, "enough").serialize()
    assert peer.feed(masked(OP_TEXT, b"last") + masked(OP_CLOSE, data) + masked(OP_TEXT, b"more")) == [Message(b"last")]
    assert peer.gone == Closed(4001, "enough")
    assert told(peer.take()) == (4001, "enough")
    peer.close(1000)
    assert peer.take() == b""


def test_closing_from_both_sides_at_once():
    one, other = client(), server()
    one.close(1000, "mine")
    other.close(1001, "theirs")
    first, second = one.take(), other.take()
    assert (one.feed(second), other.feed(first)) == ([], [])
    assert (one.gone, other.gone) == (Closed(1001, "theirs"), Closed(1000, "mine"))
    assert one.take() + other.take() == b""


def test_a_client_masks_and_a_server_does_not():
    for said in (Message(b"text"), Message(b"\xff\x00", False), Message(b"x" * 70_000)):
        one, other = client(), server(1 << 20)
        one.say(said)
        written = one.take()
        assert written[1] & 0x80
        assert other.feed(written) == [said]
        other.say(said)
        assert not other.take()[1] & 0x80


def test_pings_of_who_does_not_read_are_not_answered():
    peer = server()
    peer.feed(masked(OP_PING, b"x") * 100)
    peer.say(Message(b"said"))
    assert peer.take(full=True) == Frame(OP_TEXT, b"said").serialize(mask=False)


@pytest.mark.parametrize(
    ("code", "told_as"),
    [(1000, 1000), (1005, None), (1006, 1011), (1015, 1011), (999, 1011), (2999, 1011), (3000, 3000), (4999, 4999)],
)
def test_codes_that_may_not_be_said_are_said_otherwise(code, told_as):
    assert sendable(code, "why")[0] == told_as
    assert len(sendable(4000, "ü" * 200)[1].encode()) <= 123


def test_a_sound_handshake():
    assert handshake(GOOD).accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3
    assert handshake([*GOOD, (b"sec-websocket-protocol", b"a, realtime")]).protocol == "realtime"
    assert handshake([*GOOD, (b"sec-websocket-protocol", b"other")]).protocol == ""
    assert handshake([*GOOD, (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits")])


@pytest.mark.parametrize(
    ("name", "values", "status"),
    [
        (b"sec-websocket-key", [], 400),
        (b"sec-websocket-key", [b"c2hvcnQ="], 400),
        (b"sec-websocket-key", [b"no base64"], 400),
        (b"sec-websocket-key", [GOOD[3][1]] * 2, 400),
        (b"sec-websocket-version", [], 400),
        (b"sec-websocket-version", [b"13", b"13"], 426),
        (b"sec-websocket-version", [b"14"], 426),
        (b"upgrade", [b"h2c"], 426),
        (b"upgrade", [b"websocket, h2c"], 426),
        (b"connection", [b"close"], 426),
        (b"content-length", [b"1"], 400),
        (b"transfer-encoding", [b"chunked"], 400),
        (b"sec-websocket-protocol", [b"a b"], 400),
    ],
)
def test_a_handshake_that_is_none(name, values, status):
    headers = [pair for pair in GOOD if pair[0] != name] + [(name, value) for value in values]
    with pytest.raises((InvalidHTTP, UpgradeRequired)) as caught:
        handshake(headers)
    assert caught.value.status == status


def test_a_key_among_the_sub_protocols_stands_where_keys_do_and_nowhere_else():
    line = (b"sec-websocket-protocol", b"realtime, openai-insecure-api-key.secret, openai-beta.realtime-v1")
    found = without_secrets([*GOOD, line])
    assert (b"authorization", b"Bearer secret") in found
    assert (b"openai-beta", b"realtime=v1") in found
    assert not [name for name, _ in found if name.startswith(b"sec-websocket")]
    assert (b"x-api-key", b"secret") in without_secrets([*GOOD, (b"authorization", b"Bearer x"), line])
    both = [(b"authorization", b"Bearer x"), (b"x-api-key", b"y")]
    assert b"secret" not in repr(without_secrets([*GOOD, *both, line])).encode()
