"""The keys of an issuer are fetched again and again, whatever has become of the time before."""

from __future__ import annotations

import asyncio
import errno
import http.client
from types import SimpleNamespace

import pytest

from edge import config
from edge.guard import jwks
from edge.guard.tokens import IssuerKeys, Tokens

URL = "http://127.0.0.1:9/keys"
SETTINGS = config.Jwt(issuer="https://issuer.example", audience="edge", jwks_url=URL)


class Log:
    def __init__(self) -> None:
        self.told: list[str] = []

    def error(self, event: str, *, keys: int, error: str) -> None:
        self.told.append(error)

    def info(self, event: str, *, keys: int) -> None:
        self.told.append(event)


def renewed(log: Log, times: int = 1) -> None:
    fetching, tokens = jwks.Fetching(lambda: None, log), Tokens(SETTINGS, IssuerKeys())
    for _ in range(times):
        asyncio.run(fetching._renew(tokens, URL))


@pytest.mark.parametrize("error", [ConnectionRefusedError("no"), ValueError("no"), http.client.BadStatusLine("no")])
def test_a_failure_is_told_once_and_ends_nothing(monkeypatch, error):
    def fails(url: str) -> bytes:
        raise error

    monkeypatch.setattr(jwks, "fetch", fails)
    log = Log()
    renewed(log, times=2)
    assert log.told == [f"{type(error).__name__}: {error}"]


def test_nor_does_it_that_the_library_which_is_read_when_it_is_first_asked_cannot_be(monkeypatch):
    class Unread:
        def __getattr__(self, name: str):
            raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(jwks, "http", SimpleNamespace(client=Unread()))
    log = Log()
    renewed(log)
    assert log.told == ["OSError: [Errno 24] Too many open files"]
