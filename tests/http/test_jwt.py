"""Tokens in place of keys, over the wire: their issuer's keys from a file and from an address."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from edge import keys
from tests.harness import Canned, Edge, answer, providers, running, until

FIRST, SECOND = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)


def document(*named) -> bytes:
    listed = [{**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid} for key, kid in named]
    return json.dumps({"keys": listed}).encode()


def signed(key=FIRST, kid="1", **more) -> str:
    claims = {"iss": "https://login.example.com", "aud": "edge", "sub": "robot", "exp": int(time.time()) + 60, **more}
    return jwt.encode(claims, key, "RS256", headers={"kid": kid})


def settings(simulator, **more) -> dict:
    said = {"issuer": "https://login.example.com", "audience": "edge", **more}
    return {"providers": providers(simulator.url), "auth": {"jwt": said}}


def status(edge, token, path="/v1/models") -> int:
    return httpx2.get(f"{edge.url}{path}", headers={"authorization": f"Bearer {token}"}).status_code


def test_a_file_of_keys_is_read_again_when_it_changes(simulator, front, tmp_path, stalls):
    file, keys_file = tmp_path / "jwks.json", str(tmp_path / "keys.json")
    file.write_bytes(document((FIRST, "1")))
    config = settings(simulator, jwks_file=str(file))
    config["auth"]["keys_file"] = keys_file
    own = keys.issue(keys_file, "a", {"admin": True})
    edge = Edge(tmp_path, config, front=front)
    with running(edge):
        token = signed()
        assert status(edge, token) == status(edge, own) == 200
        assert status(edge, signed(exp=int(time.time()) - 5)) == status(edge, signed(SECOND)) == 401
        assert status(edge, token, "/metrics") == 403, "a token is nobody's who administers"
        assert status(edge, own, "/metrics") == 200
        file.write_bytes(document((SECOND, "1")))
        until(lambda: status(edge, token) == 401, 5 + stalls.granted_s)
        assert status(edge, signed(SECOND)) == status(edge, own) == 200
        file.write_bytes(b"{}")
        edge.process.wait_for("jwks_file.*reload refused|reload refused.*jwks_file|errors.*reload refused")
        assert status(edge, signed(SECOND)) == 200
        assert token not in edge.process.output


def test_keys_are_fetched_beside_the_requests_and_again_for_one_that_is_not_among_them(
    simulator, front, tmp_path, stalls
):
    with Canned(answer(document((FIRST, "1")))) as issuer:
        edge = Edge(tmp_path, settings(simulator, jwks_url=f"{issuer.url}/keys?of=edge"), front=front)
        with running(edge):
            until(lambda: status(edge, signed()) == 200, 10 + stalls.granted_s)
            assert issuer.seen[0].target == "/keys?of=edge"
            fetched = len(issuer.seen)
            for number in range(50):
                assert status(edge, signed(kid=f"nobody-{number}")) == 401
            assert len(issuer.seen) - fetched <= 1 + stalls.granted_s // 30
            print(f"50 tokens with unknown key ids: {len(issuer.seen) - fetched} fetched")


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"{}", 500),
        answer(b"x" * 2_000_000),
        answer(b"", 302, location="http://127.0.0.9:1/"),
        b"nonsense\r\n\r\n",
    ],
    ids=["failed", "huge", "elsewhere", "no HTTP"],
)
def test_an_issuer_that_gives_no_keys_is_told_of_once_and_hinders_nobody(simulator, front, tmp_path, reply):
    keys_file = str(tmp_path / "keys.json")
    own = keys.issue(keys_file, "a", {})
    with Canned(reply, closes=True) as issuer:
        config = settings(simulator, jwks_url=f"{issuer.url}/keys")
        config["auth"]["keys_file"] = keys_file
        edge = Edge(tmp_path, config, front=front)
        with running(edge):
            edge.process.wait_for("the keys of auth.jwt cannot be fetched")
            assert (status(edge, own), status(edge, signed())) == (200, 401)


def test_without_the_extra_the_edge_says_how_to_install_it(simulator, tmp_path):
    file, jwks = tmp_path / "edge.json", tmp_path / "jwks.json"
    jwks.write_bytes(document((FIRST, "1")))
    file.write_text(json.dumps(settings(simulator, jwks_file=str(jwks))))
    program = "import sys; sys.modules['jwt'] = None; from edge.cli import main; main()"
    got = subprocess.run(
        [sys.executable, "-c", program, "check", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert got.returncode == 2
    assert "auth.jwt: needs the extra: pip install 'llm-edge-agent[jwt]'" in got.stderr
