"""Heads and chunks: what the strict scans take, llhttp takes and reads the same in it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import httptools

from edge._fast.head_tables import ASKED, METHODS

__all__ = ["fuzz_chunks", "fuzz_head"]

ODD, MORE = -1, 0

REQUEST_LINES = [
    b"POST /v1/chat/completions HTTP/1.1\r\n",
    b"GET /v1/models?a=b&c HTTP/1.1\r\n",
    b"DELETE / HTTP/1.1\r\n",
    b"OPTIONS /x HTTP/1.1\r\n",
    b"PATCH /%00\\^{} HTTP/1.1\r\n",
    b"GET  / HTTP/1.1\r\n",
    b"GET /#a HTTP/1.1\r\n",
    b"GET http://a/ HTTP/1.1\r\n",
    b"POST / HTTP/1.0\r\n",
    b"POST / HTTP/1.1\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
]
STATUS_LINES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\n",
    b"HTTP/1.1 500\r\n",
    b"HTTP/1.1 200 \r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 101 S\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 200OK\r\n",
    b"HTTP/1.1  200 OK\r\n",
]
FRAGMENTS = [
    b"Host: 127.0.0.1:8080\r\n",
    b"host: a\r\n",
    b"Content-Length: 2\r\n",
    b"content-length: 0\r\n",
    b"content-length: 0018\r\n",
    b"Content-Length:+1\r\n",
    b"content-length: 1, 1\r\n",
    b"content-length: 999999999999999999\r\n",
    b"content-length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: Chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b"Connection: keep-alive\r\n",
    b"connection: Keep-Alive\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\n",
    b"Connection:\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"TE: trailers\r\n",
    b"Trailer: a\r\n",
    b"Proxy-Connection: close\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"X-Request-ID: 7f\r\n",
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    b"authorization: Bearer sk-1\r\n",
    b"Content-Type: application/json\r\n",
    b"Content-Encoding: gzip\r\n",
    b"x-stainless-retry-count: 0\r\n",
    b"X-Ratelimit-Remaining-Tokens: 1\r\n",
    b"a-name-of-more-than-forty-eight-bytes-which-nobody-knows: b\r\n",
    b"\r\n",
    b": x\r\n",
    b"a : b\r\n",
    b" folded\r\n",
    b"\tfolded\r\n",
    b"a:\t b \t \r\n",
    b"a: \x80\xff\r\n",
    b"a: \x00\r\n",
    b"a: \x7f\r\n",
    b"a\r\n",
    b"a: b\r",
    b"a: b\n",
    b"\r",
    b"\n",
    b"x",
    b"Content-Length",
    b"content\x0dlength: 1\r\n",
    b"content_length: 1\r\n",
    b"Content-Length : 1\r\n",
    b"Content-Length: 1 \r\n",
    b"transfer-encoding\r\n: chunked\r\n",
    b"Trans\xe6er-Encoding: chunked\r\n",
]


class Reader:
    """What llhttp makes of a message."""

    def __init__(self, kind: type) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.head = self.whole = False
        self.keeps_alive = self.upgrades = False
        self.body = b""
        self.refused = False
        self.parser = kind(self)
        if kind is httptools.HttpRequestParser:
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.head = True
        self.keeps_alive = self.parser.should_keep_alive()
        self.upgrades = self.parser.should_upgrade()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True

    def feed(self, data: bytes) -> Reader:
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.refused = True
        return self


def made(data: bytes, lines: list[bytes]) -> bytes:
    """A head out of any bytes: nearly all of those would be none."""
    if not data or data[0] & 1:
        return data[1:]
    head = bytearray(lines[data[0] // 2 % len(lines)])
    at = 1
    while at < len(data):
        what = data[at]
        at += 1
        if what < 240:
            head += FRAGMENTS[what % len(FRAGMENTS)]
        elif what < 248:
            head += data[at : at + what - 239]
            at += what - 239
        elif head and at + 1 < len(data):
            head[data[at] * len(head) // 256] = data[at + 1]
            at += 2
    return bytes(head) + b"\r\n" * (data[0] >> 7)


def one(answers: Sequence[Any]) -> Any:
    for answer in answers[1:]:
        assert answer == answers[0], f"{answers[0]!r:.300} of the pure build, {answer!r:.300} of the compiled one"
    return answers[0]


def parts_of(head: Any) -> Any:
    """What a head that was read says."""
    told = head.fields(), head.content_length, bool(head.chunked), bool(head.keeps_alive), head.end
    if hasattr(head, "method"):
        return *told, METHODS[head.method], head.target
    return *told, head.status


def fuzz_head(modules: Sequence[ModuleType], data: bytes) -> None:
    """Both builds read the same; what they take, llhttp takes and reads the same in it; the lines of what they wait for
    more of, it has not refused; of what they take, no beginning is odd. What fits a known head is read as that is.

    The first byte says how the rest becomes a head, see `made`, and the last one where that is cut.
    """
    request = made(data, REQUEST_LINES)
    readers = [module.RequestHead(20, 400, 100) for module in modules]
    if check(readers, request, data[-1:], httptools.HttpRequestParser):
        check_known(modules, readers, request, data)
    answer = made(data, STATUS_LINES)
    check([module.ResponseHead(20, 400) for module in modules], answer, data[-1:], httptools.HttpResponseParser)


def check(heads: list[Any], data: bytes, where: bytes, kind: type) -> bool:
    """Whether `data` begins with a head of the common form."""
    cut = where[0] * len(data) // 256 if where else 0
    end = one([head.read(data) for head in heads])
    begun = one([head.read(data[:cut]) for head in heads])
    again = one([head.read(data, 0, cut) if begun == MORE else end for head in heads])
    if end == MORE:
        reader = Reader(kind).feed(data[: data.rfind(b"\n") + 1])
        assert not reader.refused
        assert not reader.head
        assert begun == MORE
    if end <= 0:
        return False
    assert begun == (MORE if cut < end else end)
    assert again == end
    assert one([head.read(b"\r\n" + data, 2) for head in heads]) == end + 2
    one([head.read(data) for head in heads])
    told = one([parts_of(head) for head in heads])
    fields, length, chunked, keeps_alive, at, *first = told
    assert at == end
    reader = Reader(kind).feed(data[: end - 1])
    assert not reader.head
    reader.feed(data[end - 1 : end])
    assert reader.head
    assert not reader.refused
    assert not reader.upgrades
    assert fields == reader.fields
    assert keeps_alive == reader.keeps_alive
    if kind is httptools.HttpRequestParser:
        assert first == [reader.parser.get_method(), reader.url]
    else:
        assert first == [reader.parser.get_status_code()]
    if chunked:
        assert not reader.whole
        reader.feed(b"1\r\nx\r\n0\r\n\r\n")
        assert reader.body == b"x"
    elif 0 < length < 1000:
        reader.feed(b"x" * (length - 1))
        assert not reader.whole
        reader.feed(b"x")
        assert len(reader.body) == length
    elif length > 0:
        reader.feed(b"x" * 1000)
        assert len(reader.body) == 1000
        assert not reader.whole
        return True
    assert reader.whole
    assert not reader.refused
    return True


def check_known(modules: Sequence[ModuleType], heads: list[Any], data: bytes, raw: bytes) -> None:
    """`data` begins with the head that `heads` have read. Another is made of it, by the last bytes of `raw`."""
    suffixes = ["_c" if module.__name__.endswith("_c") else "" for module in modules]
    kinds = [importlib.import_module(f"edge._fast._head_known{suffix}").KnownHead for suffix in suffixes]
    try:
        known = [kind(head) for kind, head in zip(kinds, heads, strict=True)]
    except ValueError:
        return
    one([each.key for each in known])
    end = heads[0].end
    assert one([each.match(data) for each in known]) == end
    assert one([each.match(b"GET" + data, 3) for each in known]) == end + 3
    assert one([each.match(data[: end - 1]) for each in known]) == 0
    other = bytearray(data)
    for at, byte in zip(raw[-4::2], raw[-3::2], strict=False):
        other[at * len(other) // 256] = byte
    changed = bytes(other)
    if one([each.match(changed) for each in known]):
        assert one([head.read(changed) for head in heads]) > 0
        told = parts_of(heads[0])
        assert known[0].content_length == told[1]
        for each in known:
            assert each.match(changed) == told[4]
        taken = one([each.take() for each in known])
        assert taken == {name: value for name, value in told[0] if name in ASKED and value}


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = [
    b"1\r\nx\r\n",
    b"0a\r\n0123456789\r\n",
    b"F;a=b\r\n",
    b"0\r\n",
    b"\r\n",
    b"3;a;b=c\r\nabc\r\n",
    b";",
    b"=",
    b"5",
]
PIECES += [
    b"5 \r\n",
    b"\n",
    b"\r",
    b"0000\r\n",
    b"10000000000000000\r\n",
    b"a: b\r\n",
    b'1;a="b"\r\nx\r\n',
    b"g",
    b"7\r\n1234567",
]


def decoded(module: ModuleType, pieces: Sequence[bytes]) -> tuple[bytes, int, int, bool]:
    """What came of a body, what was said last, after how many bytes, and whether the last chunk had come."""
    chunks = module.Chunks()
    body = bytearray()
    before = 0
    for piece in pieces:
        at = 0
        while (said := chunks.read(piece, at)) == 1:
            assert at <= chunks.at < chunks.end <= len(piece)
            body += piece[chunks.at : chunks.end]
            at = chunks.end
        if said:
            return bytes(body), said, before + chunks.end, bool(chunks.complete)
        assert chunks.end == len(piece)
        before += len(piece)
    return bytes(body), 0, before, bool(chunks.complete)


def fuzz_chunks(modules: Sequence[ModuleType], data: bytes) -> None:
    """Both builds decode the same, however it is cut; what they decode, llhttp does.

    The first byte says how the rest becomes a body, the next two where it is cut.
    """
    rest = data[3:]
    if data and data[0] & 1:
        rest = b"".join(PIECES[byte % len(PIECES)] if byte < 200 else bytes([byte - 128]) for byte in rest)
    whole = body, said, end, complete = one([decoded(module, [rest]) for module in modules])
    cuts = sorted(byte * len(rest) // 255 for byte in data[1:3])
    pieces = [rest[a:b] for a, b in zip([0, *cuts], [*cuts, len(rest)], strict=True)]
    for split in (pieces, [bytes([byte]) for byte in rest]):
        assert one([decoded(module, split) for module in modules]) == whole
    reader = Reader(httptools.HttpResponseParser).feed(CHUNKED).feed(rest if said == MORE else rest[:end])
    if said == ODD:
        assert reader.refused or reader.body == body
        return
    assert not reader.refused
    assert reader.body == body
    assert reader.whole == (said == 2)
    if said == 2:
        assert complete
        assert not Reader(httptools.HttpResponseParser).feed(CHUNKED).feed(rest[: end - 1]).whole


TARGETS: dict[str, Callable[[Sequence[ModuleType], bytes], None]] = {"chunks": fuzz_chunks, "head": fuzz_head}
