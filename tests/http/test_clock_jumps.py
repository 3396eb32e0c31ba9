"""R18: the machine's clock is turned by an hour, either way, under a running edge: libfaketime (Debian) shows it another one,
and leaves the monotonic clock as it is. What counts minutes goes by the latter, what counts days or says a date by the former.
"""

from __future__ import annotations

import json
import os
import time
from glob import glob

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.harness import Edge, clean_environment, running, until
from tests.http.test_quotas import COST, TOKENS, Provider, ask, body, configuration, key, left, token

LIBRARY = [*glob("/usr/lib/*/faketime/libfaketimeMT.so.1"), *glob("/usr/lib/faketime/libfaketimeMT.so.1")]
pytestmark = [
    pytest.mark.early,
    pytest.mark.skipif(not LIBRARY, reason="libfaketime is not here (Debian: libfaketime)"),
]
HOUR = 3600
DAY = 86400
SIGNS = rsa.generate_private_key(65537, 2048)


class Turned:
    """A clock that processes are shown, which a test turns; it begins at noon of today, UTC."""

    def __init__(self, folder) -> None:
        self.file = folder / "clock"
        self._noon = DAY // 2 - int(time.time()) % DAY
        self.turn(0)

    def turn(self, seconds: int) -> None:
        """So many seconds from where it would be."""
        told = self.file.with_suffix(".new")
        told.write_text(f"{self._noon + seconds:+d}\n")
        told.rename(self.file)
        self.by = seconds

    def now(self) -> float:
        return time.time() + self._noon + self.by

    def environment(self) -> dict[str, str]:
        told = {
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return {**clean_environment(), **told, "DONT_FAKE_MONOTONIC": "1", "LD_PRELOAD": LIBRARY[0]}


def at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@pytest.fixture
def provider(tmp_path):
    with Provider() as made:
        made.file = str(tmp_path / "spend.sqlite")
        yield made
        made.released.set()


@pytest.fixture
def clock(tmp_path):
    return Turned(tmp_path)


@pytest.fixture
def edge(provider, clock, front, tmp_path):
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [{**RSAAlgorithm.to_jwk(SIGNS.public_key(), as_dict=True), "kid": "1"}]}))
    half = clock.now() + HOUR / 2
    keys = [
        key("asks", requests_per_minute=4),
        key("reads", tokens_per_minute=2 * TOKENS + 2),
        key("pays", budget={"usd": 4.2 * COST, "per": "day"}),
        key("ends", expires=at(half)),
        key("begins", not_before=at(half)),
    ]
    issued = {"issuer": "https://login.example.com", "audience": "edge", "jwks_file": str(jwks)}
    config = configuration(provider, *keys, workers=2, auth={"jwt": issued})
    made = Edge(tmp_path, config, front=front, env=clock.environment())
    with running(made):
        yield made


def statuses(edge, name: str, count: int) -> list[int]:
    return [ask(edge, name).status_code for _ in range(count)]


def waited(edge, name: str) -> int:
    """What one who is refused is told to wait."""
    got = ask(edge, name)
    assert got.status_code == 429
    return int(got.headers["retry-after"])


TURNS = (HOUR, -HOUR, 0, HOUR)


def test_minutes_go_on_whatever_the_clock_says(edge, clock):
    begun = time.monotonic()
    assert statuses(edge, "asks", 4) == [200] * 4
    assert statuses(edge, "reads", 2) == [200] * 2
    for turn in TURNS:
        clock.turn(turn)
        gone = time.monotonic() - begun
        for name, interval_s in (("asks", 15), ("reads", 28)):
            if gone < interval_s - 2:
                assert 1 <= waited(edge, name) <= interval_s, (name, turn)
    until(lambda: ask(edge, "asks").status_code == 200, 20)
    gone = time.monotonic() - begun
    assert gone > 10, "none came back before its time"
    print(
        f"the clock was turned {len(TURNS)} times by an hour: limits of a minute gave the next after {gone:.1f} s of 15"
    )


def test_a_budget_is_that_of_its_day_wherever_in_it_the_clock_is(edge, clock):
    assert statuses(edge, "pays", 2) == [200] * 2
    before = left(edge, "pays")
    for turn in TURNS:
        clock.turn(turn)
        assert left(edge, "pays") == before
    assert statuses(edge, "pays", 3) == [200, 200, 429]
    for turn in TURNS:
        clock.turn(turn)
        seconds = waited(edge, "pays")
        assert seconds == pytest.approx(DAY / 2 - turn, abs=300), "until the day ends, by the clock as it is"
    clock.turn(DAY)
    assert ask(edge, "pays").status_code == 200, "another day has a budget of its own"
    clock.turn(0)
    assert ask(edge, "pays").status_code == 429, "and this one is spent"


def test_keys_and_tokens_hold_by_the_clock_as_it_is(edge, clock):
    claims = {"iss": "https://login.example.com", "aud": "edge", "sub": "robot", "exp": int(clock.now() + HOUR / 2)}
    signed = jwt.encode(claims, SIGNS, "RS256", headers={"kid": "1"})
    with httpx2.Client() as client:  # connections that stay open
        for turn in (0, *TURNS, -HOUR):
            clock.turn(turn)
            late = turn == HOUR
            assert ask(edge, "ends", client=client).status_code == (401 if late else 200), turn
            assert ask(edge, "begins", client=client).status_code == (200 if late else 401), turn
            headers = {"authorization": f"Bearer {signed}"}
            got = client.post(f"{edge.url}/v1/chat/completions", json=body(), headers=headers)
            assert got.status_code == (401 if late else 200), turn


def test_nothing_waits_for_the_clock_to_be_right_again(edge, clock, provider, stalls):
    """Deadlines, drains and what is written each second go by the monotonic clock."""
    for turn in TURNS:
        clock.turn(turn)
        begun = time.monotonic()
        assert ask(edge, "ends", "broken").status_code in (401, 500)
        assert ask(edge, "pays", "broken").status_code == 500
        assert time.monotonic() - begun < 20 + stalls.granted_s
    assert token("pays") not in edge.process.output
    assert os.path.exists(provider.file)
    begun = time.monotonic()
    edge.process.stop()
    assert time.monotonic() - begun < 30 + stalls.granted_s
