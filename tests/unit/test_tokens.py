"""Tokens in place of keys: which are taken, and that nothing else is."""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha256

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from edge import config
from edge.guard.auth import MAX_SAID, Auth, new_key
from edge.guard.tokens import SOONER_S, IssuerKeys, Tokens
from edge.memo import keep
from tests.unit.calls import asked

NOW = 1_800_000_000
CHAT = {"model": "gpt-4o", "messages": []}
ISSUER, AUDIENCE = "https://login.example.com/", "edge"
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "robot-1", "org": "team-a", "exp": NOW + 60, "llm": ["gpt-*"]}
SETTINGS = config.Jwt(
    issuer=ISSUER, audience=AUDIENCE, jwks_url="https://x/y", claims=config.JwtClaims(tenant="org", models="llm")
)


def described(key, kid: str, algorithm=RSAAlgorithm, **more) -> dict:
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


def document(*keys) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


ALL = document(
    described(RSA_KEY, "rsa"),
    described(EC_KEY, "ec", ECAlgorithm),
    described(ED_KEY, "ed", OKPAlgorithm),
    {"kty": "oct", "kid": "shared", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ"},
)


class Clock:
    now = float(NOW)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens():
    made = Tokens(SETTINGS, IssuerKeys())
    made.take(ALL)
    return made


@pytest.fixture
def auth(tokens, clock):
    return Auth(config.Auth(jwt=SETTINGS), tokens=tokens, clock=clock)


def signed(claims=None, key=RSA_KEY, algorithm="RS256", kid="rsa", **header) -> str:
    headers = {**({} if kid is None else {"kid": kid}), **header}
    return jwt.encode({**CLAIMS, **(claims or {})}, key, algorithm, headers=headers)


def without(name: str) -> str:
    return jwt.encode({k: v for k, v in CLAIMS.items() if k != name}, RSA_KEY, "RS256", headers={"kid": "rsa"})


def by_hand(header: dict, claims: dict, sign=lambda _: b"") -> str:
    first = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    return (first + b"." + base64.urlsafe_b64encode(sign(first)).rstrip(b"=")).decode()


def identify(auth, token, name="authorization"):
    call = asked(CHAT, headers=((name, f"Bearer {token}" if name == "authorization" else token),))
    return auth.identify(call.head, call.varying, ())


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [
        (RSA_KEY, "RS256", "rsa"),
        (RSA_KEY, "RS512", "rsa"),
        (RSA_KEY, "PS256", "rsa"),
        (EC_KEY, "ES256", "ec"),
        (ED_KEY, "EdDSA", "ed"),
    ],
)
@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_token_of_the_issuer_is_a_key_of_its_claims(auth, key, algorithm, kid, header):
    found = identify(auth, signed(key=key, algorithm=algorithm, kid=kid), header)
    assert (found.id, found.tenant, found.admin, found.ends) == ("jwt:robot-1", "team-a", False, NOW + 60)
    assert found.grants("gpt-4o")
    assert not found.grants("claude-x")


def signed_by_hand(claims: dict) -> str:
    """By the issuer's own key, of what no library of an issuer would sign."""
    sign = RSAAlgorithm(RSAAlgorithm.SHA256)
    return by_hand({"alg": "RS256", "kid": "rsa"}, {**CLAIMS, **claims}, lambda first: sign.sign(first, RSA_KEY))


def pretending(key: bytes):
    return lambda first: hmac.new(key, first, sha256).digest()


FORGED = {
    "alg none": by_hand({"alg": "none", "kid": "rsa"}, CLAIMS),
    "alg NONE": by_hand({"alg": "NONE", "kid": "rsa"}, CLAIMS),
    "no alg": by_hand({"kid": "rsa"}, CLAIMS),
    "HS256 by the public key's PEM": by_hand({"alg": "HS256", "kid": "rsa"}, CLAIMS, pretending(PUBLIC_PEM)),
    "HS256 by its description": by_hand(
        {"alg": "HS256", "kid": "rsa"}, CLAIMS, pretending(json.dumps(described(RSA_KEY, "rsa")).encode())
    ),
    "HS256 by nothing": by_hand({"alg": "HS256", "kid": "rsa"}, CLAIMS, pretending(b"")),
    "a shared secret of the set": signed(key="secret-secret-secret-secret-1234", algorithm="HS256", kid="shared"),
    "another key": signed(key=OTHER_RSA),
    "another key that it brings along": signed(key=OTHER_RSA, jwk=described(OTHER_RSA, "rsa")),
    "another key that it says where to find": signed(
        key=OTHER_RSA, jku="http://127.0.0.1:1/", x5u="http://127.0.0.1:1/"
    ),
    "a key of another kind": signed(key=EC_KEY, algorithm="ES256", kid="rsa"),
    "an unknown key id": signed(kid="unknown"),
    "a key id that is no text": by_hand({"alg": "RS256", "kid": 5}, CLAIMS),
    "a path for a key id": signed(kid="../../dev/null"),
    "no key id, of several keys": signed(kid=None),
    "another issuer": signed({"iss": "https://login.example.com"}),
    "another audience": signed({"aud": "edge2"}),
    "other audiences": signed({"aud": ["a", "b"]}),
    "expired": signed({"exp": NOW - 1}),
    "expires now": signed({"exp": NOW}),
    "not yet": signed({"nbf": NOW + 1}),
    "ends never": signed({"exp": 1 << 60}),
    "an end that is no time": signed_by_hand({"exp": "soon"}),
    "an end that is true": signed_by_hand({"exp": True}),
    "several issuers": signed_by_hand({"iss": [ISSUER]}),
    "what must be understood": signed(crit=["exp"]),
    "unencoded": by_hand({"alg": "RS256", "kid": "rsa", "b64": False, "crit": ["b64"]}, CLAIMS),
    **{f"without {name}": without(name) for name in ("exp", "iss", "aud", "sub", "org")},
    "a tenant that is no text": signed({"org": ["team-a"]}),
    "an empty tenant": signed({"org": ""}),
    "a tenant with a line end": signed({"org": "a\nb"}),
    "a subject that is too long": signed({"sub": "x" * 200}),
    "models that are no names": signed({"llm": [5]}),
    "models that are a mapping": signed({"llm": {"gpt-4o": True}}),
    "three dots": signed() + ".x",
    "one dot": signed().rpartition(".")[0],
    "no signature": signed().rpartition(".")[0] + ".",
    "a signature of another token": signed({"sub": "x"}).rpartition(".")[0] + "." + signed().rpartition(".")[2],
    "nonsense": "a.b.c",
    "deep": "e" + "[" * 1000 + "." + "[" * 1000 + ".x",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_nothing_else_is(auth, token):
    assert identify(auth, signed()) is not None
    assert identify(auth, token) is None
    assert identify(auth, token, "x-api-key") is None


def test_how_many_forgeries_were_tried():
    print(f"{len(FORGED)} tokens that are none, 0 taken")
    assert len(FORGED) >= 40


def test_a_token_without_a_claim_for_models_may_use_none_where_there_is_to_be_one(auth):
    assert identify(auth, without("llm")).models == ()
    assert identify(auth, signed({"llm": "gpt-* claude-*"})).grants("claude-x")


def test_a_token_that_is_remembered_ends_with_its_time(auth, clock, tokens):
    token = signed({"nbf": NOW + 10})
    held = []
    for clock.now in (NOW + 9.9, NOW + 10, NOW + 59.9, NOW + 60):
        held.append(identify(auth, token) is not None)
    assert held == [False, True, True, False]
    assert len(tokens._known) == 1


def test_tokens_of_one_subject_with_other_claims_have_other_rights(auth):
    first, second = identify(auth, signed()), identify(auth, signed({"llm": ["claude-*"]}))
    assert first.id == second.id
    assert first.rights != second.rights
    assert identify(auth, signed({"exp": NOW + 99})).rights == first.rights


@pytest.mark.slow
def test_what_is_remembered_is_bounded(auth, tokens):
    key = identify(auth, signed())
    for number in range(5000):
        keep(tokens._known, number.to_bytes(32, "big"), key)
    assert len(tokens._known) <= 4096


def test_another_set_of_keys_takes_the_place_of_the_first_and_forgets_what_that_verified(auth, tokens):
    token = signed()
    assert identify(auth, token) is not None
    tokens.take(document(described(OTHER_RSA, "rsa")))
    assert identify(auth, token) is None
    assert identify(auth, signed(key=OTHER_RSA)) is not None
    for bad in (
        b"",
        b"[]",
        b'{"keys":5}',
        b'{"keys":[]}',
        b'{"keys":[{"kty":"RSA"}]}',
        b"\xff",
        b'{"keys":[{"kty":"oct","k":"eA"}]}',
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
            tokens.take(bad)
    assert identify(auth, signed(key=OTHER_RSA)) is not None, "those before stay"


def test_a_short_token_too_is_forgotten_with_the_key_that_signed_it(clock):
    """One that is short enough for its header to be remembered as those of keys are."""
    settings = config.Jwt(issuer="https://i", audience="a", jwks_url="https://x/y")
    tokens = Tokens(settings, IssuerKeys(document(described(ED_KEY, "k", OKPAlgorithm))))
    auth = Auth(config.Auth(jwt=settings), tokens=tokens, clock=clock)
    claims = {"iss": "https://i", "aud": "a", "sub": "u", "exp": NOW + 60}
    token = jwt.encode(claims, ED_KEY, "EdDSA", headers={"kid": "k", "typ": None})
    assert len(token) < MAX_SAID - len("Bearer ")
    assert identify(auth, token) is not None
    assert identify(auth, token) is not None
    tokens.take(document(described(ed25519.Ed25519PrivateKey.generate(), "k", OKPAlgorithm)))
    assert identify(auth, token) is None


def test_an_unknown_key_id_has_the_keys_fetched_once_however_often_it_comes(auth, tokens):
    keys = tokens.keys
    assert keys.is_due(0.0)
    keys.fetched(failed=False)
    due = []
    for now in range(1, 301):
        identify(auth, signed(kid=f"unknown-{now}"))
        due.append(keys.is_due(float(now)))
    assert sum(due) == 300 // int(SOONER_S)
    assert not keys.is_due(301.0)


def test_a_single_key_needs_no_id(clock):
    tokens = Tokens(SETTINGS, IssuerKeys(document(described(RSA_KEY, "rsa"))))
    assert identify(Auth(config.Auth(jwt=SETTINGS), tokens=tokens, clock=clock), signed(kid=None)) is not None


def test_keys_go_on_beside_tokens(tokens, clock):
    token, digest = new_key("a")
    auth = Auth(config.Auth(jwt=SETTINGS, keys=[config.Key(id="a", digests=[digest])]), tokens=tokens, clock=clock)
    assert identify(auth, token).id == "a"
    assert identify(auth, signed()).id == "jwt:robot-1"
