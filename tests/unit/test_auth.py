"""A key that was found by its header before is found again only where it would be found anew."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pytest

from edge import config
from edge.certificates import credentials_of, digest_of_name
from edge.errors import ConflictingCredentials
from edge.guard.auth import MAX_STRANGERS, Auth, Key, new_key
from tests.unit.calls import asked

CHAT = {"model": "gpt-4o", "messages": []}
TOKENS = dict(new_key(name)[0:2] for name in ("a", "b"))
(A, B), DIGESTS = TOKENS, list(TOKENS.values())


@pytest.fixture
def auth():
    keys = [config.Key(id=name, digests=[digest]) for name, digest in zip("ab", DIGESTS, strict=True)]
    made = Auth(config.Auth(keys=keys))
    assert identify(made, ("authorization", f"Bearer {A}")) == "a"
    return made


def identify(auth, *headers, certificate=()):
    call = asked(CHAT, headers=headers)
    key = auth.identify(call.head, call.varying, certificate)
    return key and key.id


def test_the_same_header_is_the_same_key_and_another_is_not(auth):
    assert identify(auth, ("authorization", f"Bearer {A}")) == "a"
    assert identify(auth, ("authorization", f"Bearer {B}")) == "b"
    for wrong in (f"Bearer {A}x", f"Basic {A}", A, ""):
        assert identify(auth, ("authorization", wrong)) is None


def test_a_known_header_beside_another_credential_is_looked_at_with_it(auth):
    known = ("authorization", f"Bearer {A}")
    with pytest.raises(ConflictingCredentials):
        identify(auth, known, ("x-api-key", B))
    assert identify(auth, known, ("authorization", f"Bearer {B}")) is None
    assert identify(auth, known, ("x-api-key", "somebody-elses-key")) == "a"


def test_a_padded_header_is_taken_each_time(auth):
    for _ in range(2):
        assert identify(auth, ("authorization", f"Bearer {' ' * 4000}{A}")) == "a"


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_a_key_holds_from_its_first_second_to_before_its_last_also_where_its_header_is_known():
    clock = Clock()
    keys = [config.Key(id="a", digests=[DIGESTS[0]], not_before=at(1_010), expires=at(1_020))]
    auth = Auth(config.Auth(keys=keys), clock=clock)
    held = []
    for clock.now in (1_000.0, 1_009.999, 1_010.0, 1_015.0, 1_019.999, 1_020.0, 2_000.0):
        held.append(identify(auth, ("authorization", f"Bearer {A}")))
        assert identify(auth, ("x-api-key", A)) == held[-1]
    assert held == [None, None, "a", "a", "a", None, None]


def test_a_credential_that_is_nobodys_is_known_by_a_hash_and_kept_nowhere(auth):
    wrong = ("authorization", "Bearer sk-somebody-elses-secret")
    assert [identify(auth, wrong) for _ in range(3)] == [None] * 3
    assert [type(known) for known in auth.strangers] == [int]
    assert identify(auth, wrong, ("x-api-key", A)) == "a"
    assert identify(auth, ("authorization", f"Bearer {A}")) == "a"
    assert len(auth.strangers) == 1


def test_a_flood_of_wrong_credentials_is_not_remembered_whole(auth):
    for number in range(2 * MAX_STRANGERS):
        assert identify(auth, ("authorization", f"Bearer wrong-{number:032}")) is None
        assert len(auth.strangers) <= MAX_STRANGERS
    assert identify(auth, ("authorization", f"Bearer {B}")) == "b"


def test_what_may_be_a_key_later_is_looked_up_each_time():
    clock = Clock()
    keys = [config.Key(id="a", digests=[DIGESTS[0]], not_before=at(1_010))]
    tokens = Tokens()
    early = Auth(config.Auth(keys=keys), clock=clock)
    issued = Auth(config.Auth(keys=keys), clock=clock, tokens=tokens)
    said = ("authorization", f"Bearer {A}"), ("authorization", f"Bearer {B}")
    assert identify(early, said[0]) is identify(issued, said[1]) is None
    assert not early.strangers
    assert not issued.strangers
    clock.now, tokens.key = 1_010.0, Key(id="jwt:b", tenant="b", models=None, admin=False)
    assert identify(early, said[0]) == "a"
    assert identify(issued, said[1]) == "jwt:b"


class Tokens:
    """Those of an issuer whose keys come later."""

    key: Key | None = None

    def find(self, token, digest):
        return self.key


def test_both_digests_of_a_key_are_the_key():
    auth = Auth(config.Auth(keys=[config.Key(id="a", digests=DIGESTS)]))
    assert identify(auth, ("x-api-key", A)) == identify(auth, ("x-api-key", B)) == "a"


def test_a_key_may_be_as_short_as_its_owner_likes_but_not_empty():
    digests = [f"sha256:{sha256(token).hexdigest()}" for token in (b"k", b"")]
    auth = Auth(config.Auth(keys=[config.Key(id="a", digests=digests)]))
    for name, value in (("x-api-key", "{}"), ("authorization", "Bearer {}")):
        assert identify(auth, (name, value.format("k"))) == "a"
        assert identify(auth, (name, value.format(""))) is None
        assert identify(auth, (name, value.format(" "))) is None


BILLING, NIGHTLY = credentials_of({"subjectAltName": (("URI", "spiffe://b"),)}), (digest_of_name("subject:CN=nightly"),)


@pytest.fixture
def certified():
    keys = [
        config.Key(id="a", tenant="t", digests=[DIGESTS[0]]),
        config.Key(id="b", tenant="other", digests=[DIGESTS[1]]),
        config.Key(id="billing", tenant="t", certificates=["URI:spiffe://b"]),
        config.Key(id="nightly", tenant="u", certificates=["subject:CN=nightly"], expires=at(1_020)),
    ]
    clock = Clock()
    clock.now = 1_000.0
    auth = Auth(config.Auth(keys=keys), clock=clock)
    return auth, clock


def test_a_certificate_is_its_key_where_no_valid_one_is_said(certified):
    auth, _ = certified
    assert identify(auth) is None
    assert identify(auth, certificate=BILLING) == "billing"
    assert identify(auth, ("x-api-key", "what-the-sdk-insists-on"), certificate=BILLING) == "billing"
    assert identify(auth, certificate=credentials_of({"subject": ((("commonName", "nobody"),),)})) is None
    assert identify(auth, certificate=(*credentials_of({"subject": ((("commonName", "x"),),)}), *BILLING)) == "billing"


def test_a_key_beside_a_certificate_is_of_its_tenant_also_where_its_header_is_known(certified):
    auth, _ = certified
    for _ in range(2):
        assert identify(auth, ("authorization", f"Bearer {A}")) == "a"
        assert identify(auth, ("authorization", f"Bearer {A}"), certificate=BILLING) == "a"
        with pytest.raises(ConflictingCredentials):
            identify(auth, ("authorization", f"Bearer {A}"), certificate=NIGHTLY)
        with pytest.raises(ConflictingCredentials):
            identify(auth, ("x-api-key", B), certificate=BILLING)
        assert identify(auth, ("x-api-key", B)) == "b"


def test_a_certificate_is_its_key_as_long_as_that_holds(certified):
    auth, clock = certified
    held = [identify(auth, certificate=NIGHTLY) for clock.now in (1_000.0, 1_019.9, 1_020.0)]
    assert held == ["nightly", "nightly", None]
    assert identify(auth, ("authorization", f"Bearer {A}"), certificate=NIGHTLY) == "a", "it is no credential any more"


def test_the_name_of_a_certificate_is_no_key(certified):
    auth, _ = certified
    for said in (
        "URI:spiffe://b",
        digest_of_name("URI:spiffe://b").hex(),
        digest_of_name("URI:spiffe://b").decode("latin-1"),
    ):
        assert identify(auth, ("authorization", f"Bearer {said}")) is None
        assert auth.identify(asked(CHAT).head, {b"x-api-key": said.encode("latin-1")}, ()) is None
