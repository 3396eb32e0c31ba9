"""The HTTP/1.1 pool: answers split at every byte, and what becomes of connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
import time

import pytest
import uvloop

from edge.errors import UpstreamStreamBroken, UpstreamUnreachable
from edge.upstreams.connection import Connection, Sending
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.transport import Pool
from tests.harness import Canned, answer, chunked
from tests.unit.receiving import Heard, ask

REQUEST = UpstreamRequest(b"POST", b"/v1/x", b"a: b\r\n", b"{}")
EOF = None

# name: bytes (EOF ends the connection), expected status and body or error code, whether the connection is kept
VECTORS = {
    "content-length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", (200, b"hello"), True),
    "content-length 0": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (200, b""), True),
    "no reason phrase": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", (200, b"ok"), True),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", (200, b"abcde"), True),
    "chunk extensions": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", (200, b"abc"), True),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n", (200, b"abc"), True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b""), True),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", (304, b""), True),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok"), True),
    "103 first": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok"), True),
    "two 1xx": (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 500 E\r\nContent-Length: 1\r\n\r\nx", (500, b"x"), True),
    "connection: close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", (200, b"ok"), False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok"), False),
    "1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", (200, b"ok"), True),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nall of it", EOF, (200, b"all of it"), False),
    "until the end, 1.0": (b"HTTP/1.0 200 OK\r\n\r\nall of it", EOF, (200, b"all of it"), False),
    "nothing until the end": (b"HTTP/1.1 200 OK\r\n\r\n", EOF, (200, b""), False),
    "ends before a byte": (EOF, "upstream_stream_broken", False),
    "ends in the head": (b"HTTP/1.1 200 OK\r\nContent-Le", EOF, "upstream_stream_broken", False),
    "ends in the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", EOF, "upstream_stream_broken", False),
    "ends in a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", EOF, "upstream_stream_broken", False),
    "ends between chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", EOF, "upstream_stream_broken", False),
    "ends before the last line": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", EOF, "upstream_stream_broken", False),
    "ends after a 100": (b"HTTP/1.1 100 Continue\r\n\r\n", EOF, "upstream_stream_broken", False),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "upstream_bad_response", False),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "upstream_bad_response", False),
    "HTML alone": (b"<html>\r\n\r\n", "upstream_bad_response", False),
    "bad length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", "upstream_bad_response", False),
    "negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "upstream_bad_response", False),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "upstream_bad_response", False),
    "length and chunks": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "upstream_bad_response", False),
    "bad chunk size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "upstream_bad_response", False),
    "space before the colon": (b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n", "upstream_bad_response", False),
    "head too large": (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", "upstream_bad_response", False),
    "unknown coding": (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx", "upstream_bad_response", False),
}  # fmt: skip


class Wire:
    """A transport that remembers what was done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False
        self.protocol: Connection | None = None

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def converse(pieces, *, ends):
    """What one call gives when its answer comes in `pieces`."""
    loop = asyncio.get_running_loop()
    pool = Pool("x", 80, tls=None, connect_s=1, max_connections=1)
    connection, wire = Connection(pool, loop), Wire()
    wire.protocol = connection
    pool._all.add(connection)
    connection.connection_made(wire)

    heard = Heard()
    connection.send(Sending(pool, REQUEST, heard))
    for piece in pieces:
        if wire.aborted:
            break
        connection.data_received(piece)
    if ends and not wire.aborted:
        connection.eof_received()
        connection.connection_lost(None)
    await asyncio.wait_for(heard.over.wait(), 30)
    got = heard.failure.code if heard.failure is not None else (heard.status, bytes(heard.data))
    await asyncio.sleep(0)
    kept = connection in pool._idle
    assert kept == (not wire.aborted and connection.usable)
    await pool.close()
    return got, kept


@pytest.mark.parametrize("name", VECTORS)
def test_an_answer_is_read_the_same_however_it_is_split(name):
    *parts, expected, kept = VECTORS[name]
    ends = parts[-1] is EOF
    data = b"".join(part for part in parts if part is not EOF)

    async def run():
        cuts = range(1, len(data)) if len(data) < 2000 else (1, 100, 40_000)
        splits = [[data], *([data[:cut], data[cut:]] for cut in cuts)]
        if len(data) < 2000:
            splits.append([data[i : i + 1] for i in range(len(data))])
        for pieces in splits:
            assert await converse([piece for piece in pieces if piece], ends=ends) == (expected, kept)

    asyncio.run(run())


@pytest.mark.parametrize("surplus", [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1"])
def test_a_connection_with_bytes_after_its_answer_is_not_used_again(surplus):
    """Proxied extra data: together with the answer or on its own."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async def run():
        got, kept = await converse([whole + surplus], ends=False)
        assert got == (200, b"ok")
        assert not kept or surplus == b"\r\n"  # llhttp takes blank lines between messages for nothing
        got, kept = await converse([whole, surplus], ends=False)
        assert got == (200, b"ok")
        assert not kept

    asyncio.run(run())


# With real sockets.


def pool_for(canned, kind=Pool, **more):
    port = int(canned.url.rpartition(":")[2])
    return kind("127.0.0.1", port, tls=None, **{"connect_s": 0.5, "max_connections": 2, **more})


async def body_of(pool, request=REQUEST):
    return bytes((await ask(pool, request)).data)


def test_connections_are_kept_bounded_and_waited_for():
    lock, most, current = threading.Lock(), [0], [0]

    def slow(_seen, _connection):
        with lock:
            current[0] += 1
            most[0] = max(most[0], current[0])
        time.sleep(0.03)
        with lock:
            current[0] -= 1
        return answer(b"ok")

    async def run():
        with Canned(slow) as canned:
            pool = pool_for(canned, connect_s=5)
            bodies = await asyncio.gather(*(body_of(pool) for _ in range(20)))
            assert bodies == [b"ok"] * 20
            assert most[0] == 2
            assert len(pool._all) == 2
            await pool.close()

    asyncio.run(run())


def test_waiting_for_a_place_ends_in_a_503():
    async def run():
        with Canned(lambda _seen, _connection: time.sleep(2)) as canned:
            pool = pool_for(canned, max_connections=1, connect_s=0.2)
            first = asyncio.ensure_future(ask(pool, REQUEST))
            await asyncio.sleep(0.05)
            with pytest.raises(UpstreamUnreachable) as caught:
                await ask(pool, REQUEST)
            assert caught.value.status == 503
            assert caught.value.headers == [(b"retry-after", b"1")]
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await pool.close()

    asyncio.run(run())


def test_places_of_those_who_gave_up_come_back():
    """A hundred cancels at random moments with a pool of three; then three at once."""

    async def run():
        with Canned(lambda _seen, _connection: time.sleep(0.005) or answer(b"ok")) as canned:
            pool = pool_for(canned, max_connections=3, connect_s=2)

            for i in range(100):
                tasks = [asyncio.ensure_future(body_of(pool)) for _ in range(6)]
                await asyncio.sleep(0.0007 * (i % 17))
                for task in tasks[::2]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert await asyncio.gather(*(body_of(pool) for _ in range(3))) == [b"ok"] * 3
            await asyncio.sleep(0.05)
            assert len(pool._all) <= 3
            assert pool._opening == 0
            assert not pool._waiting
            await pool.close()

    asyncio.run(run())


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_once():
    counts = [0]

    def dies_after_one(_seen, connection):
        counts[0] += 1
        connection.sendall(answer(b"%d" % counts[0]))
        time.sleep(0.05)  # closed while idle, a little later

    async def run():
        with Canned(dies_after_one) as canned:
            pool = pool_for(canned)
            assert await body_of(pool) == b"1"
            await asyncio.sleep(0.1)
            assert await body_of(pool) == b"2"
            await pool.close()

    asyncio.run(run())


def test_a_request_that_a_kept_connection_swallows_is_asked_once_more_on_a_fresh_one():
    seen_on: list[int] = []

    def swallow(_seen, connection):
        seen_on.append(connection.getpeername()[1])
        if len(seen_on) == 2:
            connection.close()  # the second request, on the kept connection: closed without a byte
            return None
        return answer(b"ok")

    async def run():
        with Canned(swallow) as canned:
            pool = pool_for(canned)
            assert await body_of(pool) == b"ok"
            assert await body_of(pool) == b"ok"
            assert seen_on[0] == seen_on[1] != seen_on[2]
            await pool.close()

    asyncio.run(run())


def test_but_a_fresh_connection_that_swallows_it_is_not_tried_again():
    async def run():
        with Canned(lambda _seen, connection: connection.close()) as canned:
            pool = pool_for(canned)
            with pytest.raises(UpstreamStreamBroken):
                await ask(pool, REQUEST)
            assert len(canned.seen) == 1
            await pool.close()

    asyncio.run(run())


def test_an_answer_before_the_request_was_taken_closes_the_connection():
    big = UpstreamRequest(b"POST", b"/", b"", b"x" * (32 << 20))

    async def run():
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def early():
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer(b"too big", 413))
                    time.sleep(0.3)

            threading.Thread(target=early, daemon=True).start()
            pool = Pool("127.0.0.1", listener.getsockname()[1], tls=None, connect_s=1, max_connections=1)
            heard = await ask(pool, big)
            assert (heard.status, heard.data) == (413, b"too big")
            assert not pool._idle
            await pool.close()

    asyncio.run(run())


def test_a_reader_that_waits_holds_the_peer_back():
    sent = [0]

    def endless(_seen, connection):
        connection.sendall(chunked([], end=False))
        for _ in range(1500):
            connection.sendall(b"8000\r\n" + bytes(32768) + b"\r\n")
            sent[0] += 32768
        return b"0\r\n\r\n"

    async def run():
        with Canned(endless) as canned:
            pool = pool_for(canned)
            heard = Heard()
            wire = pool.send(REQUEST, heard)
            await heard.began.wait()
            wire.pause()
            await asyncio.sleep(0.5)
            assert sent[0] < 32 << 20, "bounded by buffers, not by the peer's appetite"
            assert len(heard.data) < 1 << 20
            wire.resume()
            assert len(await heard.whole()) == 1500 * 32768
            await pool.close()

    asyncio.run(run())


def test_the_next_address_is_tried_and_names_are_resolved_anew(monkeypatch):
    async def run():
        with Canned(answer(b"ok")) as canned:
            pool = pool_for(canned)
            loop = asyncio.get_running_loop()
            asked = []

            async def resolve(host, port, **_):
                asked.append(host)
                return [(socket.AF_INET, 0, 0, "", (address, port)) for address in ("127.0.0.77", "127.0.0.1")]

            monkeypatch.setattr(loop, "getaddrinfo", resolve)
            assert await body_of(pool) == b"ok"
            assert await body_of(pool) == b"ok"
            assert asked == ["127.0.0.1"]
            pool._origin._resolved_at = 0.0
            pool._idle.pop().abort()
            assert await body_of(pool) == b"ok"
            assert len(asked) == 2
            await pool.close()

    asyncio.run(run())


def test_tls_is_checked_against_the_providers_own_authority(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    names: list[str] = []
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    raw, _ = listener.accept()
                    with context.wrap_socket(raw, server_side=True) as connection:
                        connection.recv(65536)
                        connection.sendall(answer(b"secret"))
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]

        async def run():
            trusting = ssl.create_default_context(cafile=str(certificate))
            pool = Pool("localhost", port, tls=trusting, connect_s=2, max_connections=1)
            assert await body_of(pool) == b"secret"
            assert names == ["localhost"]
            await pool.close()
            pool = Pool("localhost", port, tls=ssl.create_default_context(), connect_s=2, max_connections=1)
            with pytest.raises(UpstreamUnreachable):
                await ask(pool, REQUEST)
            await pool.close()

        asyncio.run(run())


class TooLate(Pool):
    def give_back(self, connection):
        connection.abort()
        asyncio.get_running_loop().call_later(0.05, super().give_back, connection)


def test_a_connection_that_is_lost_while_it_is_handed_over_is_replaced():
    """It goes to the one who waits, and is closed before that one writes."""

    async def run():
        with Canned(lambda _seen, _connection: time.sleep(0.1) or answer(b"ok")) as canned:
            pool = pool_for(canned, TooLate, max_connections=1, connect_s=5)
            async with asyncio.timeout(5):
                bodies = await asyncio.gather(*(body_of(pool) for _ in range(6)))
            assert bodies == [b"ok"] * 6
            await pool.close()

    asyncio.run(run())
    uvloop.run(run())
