"""``edge doctor --reach`` on real servers: what keeps the edge from its Redis, each by its name."""

from __future__ import annotations

import socket
import threading

import pytest

from edge.config import Redis, Secret
from edge.doctor import reach_redis
from tests.harness import free_port
from tests.redis_harness import RedisCluster, RedisServer, stopping

PASSWORD = "p@ss/w:rd#1"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """With a password, and a user who may read and write the cache's keys, and one who may not."""
    made = RedisServer(tmp_path_factory.mktemp("redis"), password=PASSWORD)
    with stopping(made):
        made.cli("ACL", "SETUSER", "cache", "on", f">{PASSWORD}", "~edge:*", "+@all")
        made.cli("ACL", "SETUSER", "other", "on", f">{PASSWORD}", "~other:*", "+@all")
        yield made


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    with stopping(made):
        yield made


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"), password=PASSWORD, tls=True)
    with stopping(made):
        yield made


def told(url: str, **more) -> tuple[str, str]:
    _, text, verdict = reach_redis(Redis(url=Secret(url), **more))
    assert PASSWORD not in text
    return verdict, text


def test_a_login_that_is_right(guarded, bare):
    place = f"127.0.0.1:{guarded.port}"
    assert told(f"redis://:{PASSWORD}@{place}")[0] == "ok"
    assert told(f"redis://:{PASSWORD}@{place}/3")[0] == "ok"
    verdict, text = told(f"redis://cache:{PASSWORD}@{place}")
    assert (verdict, "as cache" in text) == ("ok", True)
    assert told(f"redis://127.0.0.1:{bare.port}")[0] == "ok"


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("", "authentication: a password is needed"),
        (":wrong@", "authentication: the user or the password is wrong"),
        (f"nobody:{PASSWORD}@", "authentication: the user or the password is wrong"),
        (f"other:{PASSWORD}@", "permission: the user may not do what the cache needs"),
    ],
)
def test_a_login_that_is_wrong(guarded, login, expected):
    verdict, text = told(f"redis://{login}127.0.0.1:{guarded.port}")
    assert (verdict, expected in text) == ("bad", True), text


def test_what_the_server_has_not(bare):
    assert "this Redis has none" in told(f"redis://:x@127.0.0.1:{bare.port}")[1]
    assert "no database of that number" in told(f"redis://127.0.0.1:{bare.port}/99")[1]
    assert "no cluster" in told(f"redis://127.0.0.1:{bare.port}", cluster=True)[1]


def test_tls_is_told_from_refusal_and_from_no_redis_at_all(secured, bare):
    ca_file = str(secured.certificate)
    verdict, text = told(f"rediss://:{PASSWORD}@127.0.0.1:{secured.port}", ca_file=ca_file)
    assert (verdict, "over TLS" in text) == ("ok", True), text
    assert "TLS: the certificate is not trusted" in told(f"rediss://:{PASSWORD}@127.0.0.1:{secured.port}")[1]
    assert "TLS: it closes where no TLS is spoken" in told(f"redis://:{PASSWORD}@127.0.0.1:{secured.port}")[1]
    assert "TLS: no TLS is spoken there" in told(f"rediss://127.0.0.1:{bare.port}")[1]
    assert "Connection refused" in told(f"redis://127.0.0.1:{free_port()}")[1]
    assert "no host has this name" in told("redis://nobody.invalid")[1]


def test_something_else_that_answers():
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        web = threading.Thread(target=serve, args=(listener,))
        web.start()
        assert "no Redis answers there" in told(f"redis://127.0.0.1:{listener.getsockname()[1]}")[1]
        web.join()


def test_an_answer_that_comes_in_parts_is_not_taken_for_that_to_the_next_command():
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        rest = b""
        with connection:
            while words := connection.recv(4096):
                if b"SLOTS" in words:
                    connection.sendall(b"*1\r\n*3\r\n")
                    rest = b":0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:6379\r\n"
                else:
                    connection.sendall(rest + (b"+PONG\r\n" if b"PING" in words else b"$-1\r\n"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        cluster = threading.Thread(target=serve, args=(listener,), daemon=True)
        cluster.start()
        verdict, text = told(f"redis://127.0.0.1:{listener.getsockname()[1]}", cluster=True)
        cluster.join()
    assert verdict == "ok", text


def test_a_server_that_says_nothing(monkeypatch):
    monkeypatch.setattr("edge.doctor.REACH_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "no answer in" in told(f"redis://{place}")[1]
        assert "TLS: no TLS is spoken there" in told(f"rediss://{place}")[1]


def test_a_cluster_is_told_from_one_server(tmp_path):
    made = RedisCluster(tmp_path, 3, 0)
    with stopping(made):
        (place, *_) = [f"redis://127.0.0.1:{server.port}" for server in made.servers]
        assert told(place, cluster=True)[0] == "ok"
        verdicts = [told(f"redis://127.0.0.1:{server.port}") for server in made.servers]
        assert any("it needs 'cluster: true'" in text for _, text in verdicts)
