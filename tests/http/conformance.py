"""What HTTP says of requests that are odd, ambiguous or broken, as a table: of each the section, its bytes, and what a
server may do. Written from RFC 9110, RFC 9112 and RFC 3986.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["COMPLIANCE", "GROUPS", "MALFORMED", "NORMALISATION", "SMUGGLED", "SMUGGLING", "Row"]

Then = Literal["closes", "stays", "either"]


class Row(NamedTuple):
    """``statuses``: those that the first answer may have. ``then``: what becomes of the connection; one that stays has to
    answer an ordinary request next, and nothing else in between. ``asked``: how many requests the upstream may have seen.
    ``answers``: how many there are to be; ``fields``: which the first has to have.
    """

    name: str
    section: str
    request: bytes
    statuses: tuple[int, ...]
    then: Then = "closes"
    asked: int = 0
    answers: int = 1
    fields: tuple[str, ...] = ()


SMUGGLED = b"smuggled"
JSON = b"Content-Type: application/json\r\n"
CHAT = b'{"model":"gpt-4o","messages":[{"role":"user","content":"first"}]}'
LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
START = LINE + b"Host: localhost\r\n" + JSON
HIDDEN_BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"%b"}]}' % SMUGGLED
HIDDEN = START + b"Content-Length: %d\r\n\r\n" % len(HIDDEN_BODY) + HIDDEN_BODY
"""A request that must not be taken for one."""
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def sized(*fields: bytes, body: bytes = CHAT, start: bytes = START) -> bytes:
    """A request whose body has a length, with further fields before that."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return start + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def lengths(*values: bytes) -> bytes:
    """A request with these Content-Lengths; what is behind the head could be its body, or another request."""
    return START + b"".join(b"Content-Length: %b\r\n" % value for value in values) + b"\r\n" + HIDDEN


def coded(*lines: bytes) -> bytes:
    """A request with these lines in place of that which says it is chunked, and a body in chunks, behind which is more."""
    return START + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + LAST + HIDDEN


def chunks(data: bytes) -> bytes:
    return CHUNKED + data


def chunk(body: bytes = CHAT, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(body), extension, body)


def got(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


def lines(*given: bytes) -> bytes:
    """A GET with these lines beside its host."""
    return GET + b"".join(line + b"\r\n" for line in given) + b"\r\n"


def hosts(*given: bytes) -> bytes:
    return b"GET /health HTTP/1.1\r\n" + b"".join(b"Host:%b\r\n" % value for value in given) + b"\r\n"


def posted(target: bytes) -> bytes:
    return sized(start=b"POST " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + JSON)


BOTH = b"Content-Length: 5", b"Transfer-Encoding: chunked"

SMUGGLING = (
    # Two framings at once.
    Row("a length and chunks", "9112 6.1", coded(*BOTH), (400,)),
    Row("chunks and a length", "9112 6.1", coded(*BOTH[::-1]), (400,)),
    Row("a length of 0 and chunks", "9112 6.1", coded(b"Content-Length: 0", BOTH[1]), (400,)),
    Row("an invalid length and chunks", "9112 6.1", coded(b"Content-Length: x", BOTH[1]), (400,)),
    Row("chunks in HTTP/1.0", "9112 6.1", CHUNKED.replace(b"1.1", b"1.0") + chunk() + LAST + HIDDEN, (400,)),
    Row("chunks in HTTP/1.0 that stays", "9112 6.1", coded(b"Connection: keep-alive", BOTH[1]).replace(b"1.1\r", b"1.0\r"), (400,)),
    # Content-Length.
    Row("two lengths", "9112 6.3", lengths(b"0", b"5"), (400,)),
    Row("two lengths, the larger first", "9112 6.3", lengths(b"5", b"0"), (400,)),
    Row("the same length twice", "9112 6.3", START + b"Content-Length: 0\r\n" * 2 + b"\r\n", (400,), "either"),
    Row("a list of one length", "9110 8.6", START + b"Content-Length: 0, 0\r\n\r\n", (400,), "either"),
    Row("a list of lengths", "9110 8.6", lengths(b"0, 5"), (400,)),
    Row("a length with a plus", "9110 8.6", lengths(b"+0"), (400,)),
    Row("a length below 0", "9110 8.6", lengths(b"-1"), (400,)),
    Row("a length in hexadecimal", "9110 8.6", lengths(b"0x0"), (400,)),
    Row("a length with a point", "9110 8.6", lengths(b"0.0"), (400,)),
    Row("a length with an exponent", "9110 8.6", lengths(b"0e1"), (400,)),
    Row("a length with an underscore", "9110 8.6", lengths(b"0_0"), (400,)),
    Row("a length with a blank in it", "9110 8.6", lengths(b"0 0"), (400,)),
    Row("a length in quotes", "9110 8.6", lengths(b'"0"'), (400,)),
    Row("a length with a semicolon", "9110 8.6", lengths(b"0;"), (400,)),
    Row("an empty length", "9110 8.6", lengths(b""), (400,)),
    Row("a length in digits of another script", "9110 8.6", lengths("\uff10".encode()), (400,)),
    Row("a length beyond 64 bits", "9110 8.6", lengths(b"18446744073709551616"), (400, 413)),
    Row("a length beyond any number", "9110 8.6", lengths(b"9" * 400), (400, 413)),
    Row("a length with a vertical tab", "9110 8.6", lengths(b"\x0b0"), (400,)),
    # Transfer-Encoding.
    Row("an unknown coding", "9112 6.1", coded(b"Transfer-Encoding: xchunked"), (400, 501)),
    Row("identity alone", "9112 6.1", coded(b"Transfer-Encoding: identity"), (400, 501)),
    Row("chunks that are not last", "9112 6.3", coded(b"Transfer-Encoding: chunked, identity"), (400, 501)),
    Row("chunks below gzip", "9112 6.3", coded(b"Transfer-Encoding: chunked, gzip"), (400, 501)),
    Row("gzip in chunks", "9112 6.1", coded(b"Transfer-Encoding: gzip, chunked"), (400, 501)),
    Row("chunks twice", "9112 7", coded(b"Transfer-Encoding: chunked, chunked"), (400, 501)),
    Row("chunks in two fields", "9112 7", coded(*[b"Transfer-Encoding: chunked"] * 2), (400, 501)),
    Row("chunks, and identity below", "9112 6.1", coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), (400, 501)),
    Row("identity, and chunks below", "9112 6.1", coded(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"), (400, 501)),
    Row("chunks with a parameter", "9112 7", coded(b"Transfer-Encoding: chunked;q=1"), (400, 501)),
    Row("chunks in quotes", "9112 7", coded(b'Transfer-Encoding: "chunked"'), (400, 501)),
    Row("a coding with a vertical tab", "9110 5.5", coded(b"Transfer-Encoding: \x0bchunked"), (400, 501)),
    Row("a coding with a NUL", "9110 5.5", coded(b"Transfer-Encoding: chunked\x00"), (400, 501)),
    Row("an empty coding", "9112 6.1", coded(b"Transfer-Encoding:"), (400, 501)),
    Row("a blank before the colon", "9112 5.1", coded(b"Transfer-Encoding : chunked"), (400,)),
    Row("a tab before the colon", "9112 5.1", coded(b"Transfer-Encoding\t: chunked"), (400,)),
    Row("a NUL in a name", "9110 5.1", coded(b"Transfer\x00-Encoding: chunked"), (400,)),
    Row("a name with a blank in it", "9110 5.1", coded(b"Transfer Encoding: chunked"), (400,)),
    Row("a coding on a folded line", "9112 5.2", coded(b"Transfer-Encoding:", b" chunked"), (400,)),
    Row("a field folded into another", "9112 5.2", coded(b"X: y", b" Transfer-Encoding: chunked"), (400,)),
    Row("a CR that ends a line", "9112 2.2", coded(b"X: y\rTransfer-Encoding: chunked"), (400,)),
    Row("a CR behind a coding", "9112 2.2", coded(b"Transfer-Encoding: chunked\rX: y"), (400,)),
    Row("a LF that ends a line", "9112 2.2", coded(b"Content-Length: 5\nTransfer-Encoding: chunked"), (400,)),
    Row("a blank before the first field", "9112 2.2", LINE + b" Transfer-Encoding: chunked\r\nHost: localhost\r\n\r\n" + HIDDEN, (400,)),
    Row("a length that the connection is said to need", "9110 7.6.1", sized(b"Connection: Content-Length", body=HIDDEN), (400,), "either"),
    Row("a length with an underscore in its name", "9110 5.1", START + b"Content_Length: 5\r\nContent-Length: 0\r\n\r\n", (400,), "either"),
    # Chunks.
    Row("a size with 0x", "9112 7.1", chunks(b"0x0\r\n\r\n" + HIDDEN), (400,)),
    Row("a size with a plus", "9112 7.1", chunks(b"+0\r\n\r\n" + HIDDEN), (400,)),
    Row("a size below 0", "9112 7.1", chunks(b"-1\r\n\r\n" + HIDDEN), (400,)),
    Row("a size with a blank before it", "9112 7.1", chunks(b" 0\r\n\r\n" + HIDDEN), (400,)),
    Row("a size with an underscore", "9112 7.1", chunks(b"0_0\r\n\r\n" + HIDDEN), (400,)),
    Row("no size", "9112 7.1", chunks(b"\r\n\r\n" + HIDDEN), (400,)),
    Row("a size that is none", "9112 7.1", chunks(b"xyz\r\n\r\n" + HIDDEN), (400,)),
    Row("a size beyond 64 bits", "9112 7.1", chunks(b"10000000000000000\r\n\r\n" + HIDDEN), (400, 413)),
    Row("a size whose line ends with a LF", "9112 7.1", chunks(b"0\n\r\n" + HIDDEN), (400,)),
    Row("a size whose line ends with a CR", "9112 7.1", chunks(b"0\r\r\n" + HIDDEN), (400,)),
    Row("a chunk that ends with a LF", "9112 7.1", chunks(b"1\r\n \n0\r\n\r\n" + HIDDEN), (400,)),
    Row("a chunk longer than its size", "9112 7.1", chunks(b"1\r\n  \r\n0\r\n\r\n" + HIDDEN), (400,)),
    Row("a chunk without its end", "9112 7.1", chunks(b"1\r\n 0\r\n\r\n" + HIDDEN), (400,)),
    Row("an extension with a LF in it", "9112 7.1.1", chunks(b"0;a\nb\r\n\r\n" + HIDDEN), (400,)),
    Row("an extension with a CR in it", "9112 7.1.1", chunks(b"0;a\rb\r\n\r\n" + HIDDEN), (400,)),
    Row("an extension with a NUL", "9112 7.1.1", chunks(b"0;a\x00b\r\n\r\n" + HIDDEN), (400,)),
    Row("the end of a body that ends with a LF", "9112 7.1", chunks(b"0\r\n\n" + HIDDEN), (400,)),
    Row("a trailer with a blank before its colon", "9112 7.1.2", chunks(b"0\r\nX : y\r\n\r\n" + HIDDEN), (400,)),
    Row("a trailer that gives a length", "9110 6.5.1", chunks(chunk() + b"0\r\nContent-Length: 5\r\n\r\n"), (200, 400), "either", 1),
    Row("a trailer that says chunked", "9110 6.5.1", chunks(chunk() + b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), (200, 400), "either", 1),
    # Bodies where few look for them, and requests behind the last.
    Row("a body of a GET", "9110 9.3.1", sized(body=HIDDEN, start=GET), (200, 400), "either"),
    Row("a body of a HEAD", "9110 9.3.2", sized(body=HIDDEN, start=GET.replace(b"GET", b"HEAD")), (200, 400), "either"),
    Row("a body of an OPTIONS", "9110 9.3.7", sized(body=HIDDEN, start=START.replace(b"POST", b"OPTIONS")), (200, 400), "either"),
    Row("a body of a DELETE", "9110 9.3.5", sized(body=HIDDEN, start=START.replace(b"POST", b"DELETE")), (405,), "either"),
    Row("a body in chunks of a GET", "9110 9.3.1", GET + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(HIDDEN) + LAST, (200, 400), "either"),
    Row("a body for what there is not", "9112 9.3", sized(body=HIDDEN, start=START.replace(b"/v1/chat/c", b"/v1/nothing/../c")), (404, 400), "either"),
    Row("a body of another type", "9112 9.3", sized(body=HIDDEN, start=START.replace(b"application/json", b"text/plain")), (415, 400), "either"),
    Row("a body that is a request", "9112 6", sized(body=HIDDEN), (400,), "either"),
    Row("a body that waits to be asked for", "9110 10.1.1", sized(b"Expect: 100-continue", body=HIDDEN), (400,), "either"),
    Row("a body larger than any", "9110 15.5.14", START + b"Content-Length: 99999999999\r\n\r\n" + HIDDEN, (413,)),
    Row("a request behind the last", "9112 9.6", sized(b"Connection: close") + HIDDEN, (200,), asked=1),
    Row("a request behind the last of HTTP/1.0", "9112 9.3", sized().replace(b"1.1\r", b"1.0\r") + HIDDEN, (200,), asked=1),
    Row("a request behind a CONNECT", "9110 9.3.6", b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n" + HIDDEN, (400, 405, 501)),
    Row("a request behind an upgrade to HTTP/2", "9110 7.8", sized(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAA", body=HIDDEN), (400,), "either"),
    Row("a request behind a preface of HTTP/2", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN, (400, 505)),
)  # fmt: skip

MALFORMED = (
    Row("words", "9112 3", b"GARBAGE\r\n\r\n", (400,)),
    Row("bytes", "9112 3", bytes(range(128, 256)) + b"\r\n\r\n", (400,)),
    Row("a NUL", "9112 3", b"\x00\r\n\r\n", (400,)),
    Row("the beginning of TLS", "9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
    Row("another protocol", "9112 3", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", (400,)),
    Row("an answer", "9112 2.1", b"HTTP/1.1 200 OK\r\nHost: localhost\r\n\r\n", (400,)),
    Row("a line of HTTP/0.9", "9112 3", b"GET /health\r\n\r\n", (400,)),
    Row("no target", "9112 3", b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
    Row("no method", "9112 3", b" /health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
    # "Recipients MAY instead parse on whitespace-delimited word boundaries."
    Row("two blanks", "9112 3", b"GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n", (200, 400), "either"),
    Row("two blanks before the version", "9112 3", b"GET /health  HTTP/1.1\r\nHost: localhost\r\n\r\n", (200, 400), "either"),
    Row("a tab for a blank", "9112 3", b"GET\t/health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
    Row("a blank behind the version", "9112 3", b"GET /health HTTP/1.1 \r\nHost: localhost\r\n\r\n", (400,)),
    Row("a blank in the target", "9112 3.2", got(b"/health HTTP/1.1 x"), (400,)),
    Row("a control character in the target", "9112 3.2", got(b"/health\x01"), (400,)),
    Row("a NUL in the target", "9112 3.2", got(b"/health\x00"), (400,)),
    Row("a DEL in the target", "9112 3.2", got(b"/health\x7f"), (400,)),
    Row("a CR in the target", "9112 3.2", got(b"/health\r"), (400,)),
    Row("bytes beyond ASCII in the target", "3986 2", got("/h\u00e9alth".encode()), (400,)),
    Row("a fragment in the target", "9112 3.2.1", got(b"/health#here"), (400,)),
    Row("a target that is too long", "9110 15.5.15", got(b"/" + b"x" * 9000), (414,)),
    Row("a method with a brace", "9110 9.1", b"G{T /health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 501)),
    Row("a method that is too long", "9110 9.1", b"G" * 10000 + b" /health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 405, 501)),
    Row("a version in small letters", "9112 2.3", b"GET /health http/1.1\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("a version of two digits", "9112 2.3", b"GET /health HTTP/1.10\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("a version with a zero before it", "9112 2.3", b"GET /health HTTP/01.1\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("a version of three parts", "9112 2.3", b"GET /health HTTP/1.1.1\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("a version with a comma", "9112 2.3", b"GET /health HTTP/1,1\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("a version with a blank", "9112 2.3", b"GET /health HTTP/ 1.1\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("half a version", "9112 2.3", b"GET /health HTTP/1\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("a version to come", "9110 15.6.6", b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("the name of another protocol", "9112 2.3", b"GET /health HTTPS/1.1\r\nHost: localhost\r\n\r\n", (400, 505)),
    Row("a line without a colon", "9112 5", lines(b"nothing"), (400,)),
    Row("a line without a name", "9110 5.1", lines(b": x"), (400,)),
    Row("a name with a parenthesis", "9110 5.1", lines(b"X(y): z"), (400,)),
    Row("a name with a blank", "9110 5.1", lines(b"X y: z"), (400,)),
    Row("a name beyond ASCII", "9110 5.1", lines(b"X\xe9: z"), (400,)),
    Row("a name with a control character", "9110 5.1", lines(b"X\x01: z"), (400,)),
    Row("a NUL in a value", "9110 5.5", lines(b"X: y\x00z"), (400,)),
    Row("a CR in a value", "9110 5.5", lines(b"X: y\rz"), (400,)),
    Row("a folded line", "9112 5.2", lines(b"X: y", b"\tz"), (400,)),
    Row("lines that end with a CR", "9112 2.2", got(b"/health").replace(b"\r\n", b"\r") + b"\r\n\r\n", (400,)),
    Row("fields that are too large", "6585 5", lines(b"X: " + b"y" * 33000), (431,)),
    Row("fields that are too many", "6585 5", lines(*[b"X: y"] * 200), (431,)),
    Row("a chunk's extension that is too large", "9112 7.1.1", chunks(chunk(extension=b";x=" + b"y" * 700_000) + LAST), (400, 413, 431)),
    Row("trailers that are too large", "9112 7.1.2", chunks(chunk() + b"0\r\nX: " + b"y" * 700_000 + b"\r\n\r\n"), (400, 413, 431)),
)  # fmt: skip

COMPLIANCE = (
    Row("an ordinary request", "9112 2.1", sized(), (200,), "stays", 1),
    Row("two requests in a row", "9112 9.3.2", sized() + sized(), (200,), "stays", 2, 2),
    Row("an empty line before it", "9112 2.2", b"\r\n" + sized(), (200,), "stays", 1),
    Row("names in either case", "9110 5.1", sized(b"hOST: localhost", start=LINE + JSON.upper().replace(b"APPLICATION/JSON", b"application/json")), (200,), "stays", 1),
    Row("values without a blank before them", "9112 5", sized().replace(b": ", b":", 2), (200,), "stays", 1),
    Row("values with blanks around them", "9112 5", sized(b"X: \t y \t"), (200,), "stays", 1),
    Row("a value beyond ASCII", "9110 5.5", sized("X: \u00e9".encode()), (200,), "stays", 1),
    Row("an empty value", "9110 5.5", sized(b"X:"), (200,), "stays", 1),
    Row("a length with blanks around it", "9112 5", START + b"Content-Length: \t%d \r\n\r\n" % len(CHAT) + CHAT, (200,), "stays", 1),
    Row("a length with zeros before it", "9110 8.6", START + b"Content-Length: 00%d\r\n\r\n" % len(CHAT) + CHAT, (200, 400), "either", 1),
    # Hosts.
    Row("no host", "9112 3.2", hosts(), (400,)),
    Row("no host in HTTP/1.0", "9112 3.2", b"GET /health HTTP/1.0\r\n\r\n", (200,)),
    Row("two hosts", "9112 3.2", hosts(b" localhost", b" other.example"), (400,)),
    Row("a host twice", "9112 3.2", hosts(b" localhost", b" localhost"), (400,)),
    Row("an empty host", "9112 3.2", hosts(b""), (400,)),
    Row("a host with a user", "9110 7.2", hosts(b" user@localhost"), (400,)),
    Row("a host with a path", "9110 7.2", hosts(b" localhost/x"), (400,)),
    Row("a host with a query", "9110 7.2", hosts(b" localhost?x"), (400,)),
    Row("a host with a scheme", "9110 7.2", hosts(b" http://localhost"), (400,)),
    Row("a list of hosts", "9110 7.2", hosts(b" localhost, other.example"), (400,)),
    Row("a host with a blank", "9110 7.2", hosts(b" local host"), (400,)),
    Row("a port that is no number", "9110 7.2", hosts(b" localhost:http"), (400,)),
    Row("a host with a port", "9110 7.2", hosts(b" localhost:80"), (200,), "stays"),
    Row("a host that is an address", "9110 7.2", hosts(b" [::1]:80"), (200,), "stays"),
    # Targets.
    Row("an absolute target", "9112 3.2.2", posted(b"http://localhost/v1/chat/completions"), (200,), "stays", 1),
    Row("an absolute target of another host than its field", "9112 3.2.2", posted(b"http://other.example/v1/chat/completions"), (200, 400, 403, 421), "either", 1),
    Row("an absolute target of another scheme", "9112 3.2.2", posted(b"ftp://localhost/v1/chat/completions"), (400, 404)),
    Row("a target without a slash", "9112 3.2.1", got(b"health"), (400,)),
    Row("an authority as the target of a GET", "9112 3.2.3", got(b"localhost:80"), (400,)),
    Row("an asterisk as the target of a GET", "9112 3.2.4", got(b"*"), (400,)),
    Row("an asterisk as the target of OPTIONS", "9112 3.2.4", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", (200, 204), "stays", fields=("allow",)),
    Row("a query", "9112 3.2.1", posted(b"/v1/chat/completions?a=b&c=%20"), (200,), "stays", 1),
    # Methods.
    Row("HEAD", "9110 9.3.2", b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n", (200,), "stays"),
    Row("OPTIONS of a route", "9110 9.3.7", START.replace(b"POST", b"OPTIONS") + b"\r\n", (200, 204), "stays", fields=("allow",)),
    Row("a method that a route has not", "9110 15.5.6", got(b"/v1/chat/completions"), (405,), "either", fields=("allow",)),
    Row("a method that a page has not", "9110 15.5.6", sized(start=START.replace(b"/v1/chat/completions", b"/health")), (405,), "either", fields=("allow",)),
    Row("TRACE", "9110 9.3.8", b"TRACE /health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 405, 501), "either"),
    Row("a method in small letters", "9110 9.1", b"get /health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 405, 501), "either"),
    Row("a method that there is not", "9110 9.1", b"FROBNICATE /health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 405, 501), "either"),
    # Connections.
    Row("the last request", "9112 9.6", sized(b"Connection: close"), (200,), asked=1, fields=("connection",)),
    Row("the last request in a list", "9110 7.6.1", sized(b"Connection: keep-alive, Close"), (200,), asked=1, fields=("connection",)),
    Row("the last request in two fields", "9110 7.6.1", sized(b"Connection: x", b"Connection: close"), (200,), asked=1, fields=("connection",)),
    Row("HTTP/1.0", "9112 9.3", sized().replace(b"1.1\r", b"1.0\r"), (200,), asked=1),
    Row("HTTP/1.0 that stays", "9112 9.3", sized(b"Connection: keep-alive").replace(b"1.1\r", b"1.0\r"), (200,), "stays", 1, fields=("connection",)),
    Row("a later minor version", "9110 2.5", b"GET /health HTTP/1.2\r\nHost: localhost\r\n\r\n", (200, 400, 505), "either"),
    Row("an upgrade that nobody knows", "9110 7.8", sized(b"Connection: Upgrade", b"Upgrade: other/1"), (200,), "stays", 1),
    Row("trailers that are welcome", "9110 10.1.4", sized(b"Connection: TE", b"TE: trailers"), (200,), "stays", 1),
    # Expectations.
    Row("a body that waits to be asked for", "9110 10.1.1", sized(b"Expect: 100-continue"), (200,), "stays", 1),
    Row("an expectation of HTTP/1.0", "9110 10.1.1", sized(b"Expect: 100-continue").replace(b"1.1\r", b"1.0\r"), (200,), asked=1),
    Row("another expectation", "9110 10.1.1", sized(b"Expect: more"), (200, 417), "either", 1),
    # Chunks and codings.
    Row("chunks", "9112 7.1", chunks(chunk() + LAST), (200,), "stays", 1),
    Row("chunks in capitals", "9112 7", (CHUNKED + chunk() + LAST).replace(b"chunked", b"CHUNKED"), (200,), "stays", 1),
    Row("sizes in capitals", "9112 7.1", chunks(b"%X\r\n%b\r\n" % (len(CHAT) + 9, CHAT + b" " * 9) + LAST), (200,), "stays", 1),
    Row("a size with zeros before it", "9112 7.1", chunks(b"000" + chunk() + b"000\r\n\r\n"), (200,), "stays", 1),
    Row("many chunks", "9112 7.1", chunks(b"".join(chunk(CHAT[i : i + 1]) for i in range(len(CHAT))) + LAST), (200,), "stays", 1),
    Row("an extension", "9112 7.1.1", chunks(chunk(extension=b";name=value") + LAST), (200,), "stays", 1),
    Row("an extension in quotes", "9112 7.1.1", chunks(chunk(extension=b';name="a;b"') + LAST), (200,), "stays", 1),
    Row("a trailer", "9112 7.1.2", chunks(chunk() + b"0\r\nX-Sum: y\r\n\r\n"), (200,), "stays", 1),
    Row("a body in an unknown coding", "9110 8.4", sized(b"Content-Encoding: other"), (415,), "either"),
    Row("a body that is not compressed as it says", "9110 8.4", sized(b"Content-Encoding: gzip"), (400,), "either"),
    Row("a body compressed in a way nobody knows", "9110 8.4", sized(b"Content-Encoding: compress"), (415,), "either"),
    Row("a type with a parameter", "9110 8.3.1", sized(start=START.replace(b"/json", b"/json; charset=utf-8")), (200,), "stays", 1),
    Row("a type in capitals", "9110 8.3.1", sized(start=START.replace(b"application/json", b"Application/JSON")), (200,), "stays", 1),
    Row("no body", "9112 6.3", START + b"\r\n", (400,), "stays"),
)  # fmt: skip

NORMALISATION = tuple(
    Row(name, section, posted(target), (400, 404, 405), "either")
    for name, section, target in (
        ("a step up", "3986 5.2.4", b"/v1/models/../chat/completions"),
        ("a step up beyond the top", "3986 5.2.4", b"/../v1/chat/completions"),
        ("a step that stays", "3986 5.2.4", b"/v1/./chat/completions"),
        ("a step up in percent signs", "3986 6.2.2.2", b"/v1/models/%2e%2e/chat/completions"),
        ("letters in percent signs", "3986 6.2.2.2", b"/%76%31/chat/completions"),
        ("a slash in percent signs", "3986 2.2", b"/v1/chat%2Fcompletions"),
        ("a NUL in percent signs", "3986 2.1", b"/v1/chat/completions%00"),
        ("a percent sign alone", "3986 2.1", b"/v1/chat/completions%"),
        ("percent signs before no number", "3986 2.1", b"/v1/chat/completions%zz"),
        ("percent signs twice", "3986 2.4", b"/v1/%252e%252e/chat/completions"),
        ("two slashes", "3986 3.3", b"//v1/chat/completions"),
        ("two slashes within", "3986 3.3", b"/v1//chat/completions"),
        ("a slash at the end", "3986 3.3", b"/v1/chat/completions/"),
        ("a backslash", "3986 3.3", b"/v1\\chat\\completions"),
        ("a parameter in the path", "3986 3.3", b"/v1/chat;x=y/completions"),
        ("capitals", "3986 6.2.2.1", b"/V1/Chat/Completions"),
        ("a page by a step up", "3986 5.2.4", b"/v1/../admin/api/cache/clear"),
        ("a page in percent signs", "3986 6.2.2.2", b"/%61dmin/api/cache/clear"),
        ("an overlong slash", "3986 2.5", b"/v1/chat%c0%afcompletions"),
    )
)

GROUPS: dict[str, tuple[Row, ...]] = {
    "smuggling": SMUGGLING,
    "malformed": MALFORMED,
    "compliance": COMPLIANCE,
    "normalisation": NORMALISATION,
}
