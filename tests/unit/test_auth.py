"""A key that was found by its header before is found again only where it would be found anew."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edge import config
from edge.errors import ConflictingCredentials
from edge.guard.auth import Auth, new_key
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


def identify(auth, *headers):
    call = asked(CHAT, headers=headers)
    key = auth.identify(call.head, call.varying)
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


def test_both_digests_of_a_key_are_the_key():
    auth = Auth(config.Auth(keys=[config.Key(id="a", digests=DIGESTS)]))
    assert identify(auth, ("x-api-key", A)) == identify(auth, ("x-api-key", B)) == "a"
