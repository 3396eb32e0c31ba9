"""Keys in one piece of memory are found as the configuration has them."""

from __future__ import annotations

import hashlib
import os

import pytest

from edge import config
from edge.certificates import digest_of_name
from edge.config import Provider, Secret
from edge.config.file import Reading
from edge.guard.auth import Auth
from edge.guard.key_table import KeyTable
from edge.server.memory import open_file
from edge.server.snapshot import read_snapshot, write_snapshot


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def key(name: str, *tokens: str, **more) -> config.Key:
    return config.Key(id=name, digests=[f"sha256:{digest(token).hex()}" for token in tokens], **more)


MANY = [key(f"k-{n}", f"token-{n}", f"older-{n}", requests_per_minute=n + 1) for n in range(500)]


@pytest.mark.parametrize("keys", [[], MANY[:1], MANY[:2], MANY])
def test_each_digest_finds_its_key_and_no_other_finds_one(keys):
    table = KeyTable.of(keys)
    assert len(table) == 2 * len(keys)
    for n, entry in enumerate(keys):
        assert table.find(digest(f"token-{n}")) == entry
        assert table.find(digest(f"older-{n}")) == entry
    for n in range(200):
        assert table.find(digest(f"nobody-{n}")) is None
    assert table.find(bytes(32)) is None
    assert table.find(b"\xff" * 32) is None


def test_names_of_certificates_find_their_key_beside_its_digests():
    both = key("a", "t", certificates=["DNS:A.example.com", "subject:CN=a"])
    alone = config.Key(id="b", certificates=["URI:spiffe://b"])
    table = KeyTable.of([both, alone])
    assert table.find(digest("t")) == table.find(digest_of_name("DNS:a.EXAMPLE.com")) == both
    assert table.find(digest_of_name("URI:spiffe://b")) == alone
    assert table.find(digest("URI:spiffe://b")) is None
    assert sorted(each.id for each in table.own()) == ["a", "b"]


def test_a_digest_that_begins_like_a_known_one_is_not_that():
    table = KeyTable.of(MANY[:1])
    known = digest("token-0")
    assert table.find(known[:31] + bytes([known[31] ^ 1])) is None


def test_the_table_tells_whether_a_key_has_answers_kept():
    assert not KeyTable.of([key("a", "t"), key("b", "u", cache="off")]).caches
    assert KeyTable.of([key("a", "t"), key("b", "u", cache="all")]).caches


def test_a_key_is_put_together_once_from_what_the_configuration_says():
    auth = Auth(
        config.Auth(keys=[key("a", "t", models=["gpt-*"], concurrency=3, admin=True), key("b", "u", tenant="x")])
    )
    found = auth.key_of(digest("t"))
    assert (found.id, found.tenant, found.concurrency, found.admin) == ("a", "a", 3, True)
    assert found.grants("gpt-4o")
    assert not found.grants("claude")
    assert auth.key_of(digest("t")) is found
    assert auth.key_of(digest("u")).tenant == "x"
    assert auth.key_of(digest("v")) is None


@pytest.mark.parametrize("keys", [[], MANY[:7]])
def test_a_configuration_comes_back_from_its_snapshot_and_its_keys_are_in_the_table(keys):
    provider = Provider(dialect="openai", base_url="http://127.0.0.1:1/v1", api_keys=[Secret("sk-1")], models=["a-*"])
    models = {f"a-{n}": config.Model(upstreams=[config.Target(to="p/m")], fallbacks=[]) for n in range(450)}
    settings = config.Config(auth=config.Auth(keys=keys), providers={"p": provider}, models=models)
    file = open_file("test")
    write_snapshot(file, Reading(settings, [], issued=len(keys) // 2), ["server.port"])
    got = read_snapshot(file)
    os.close(file)
    assert got.config.providers == settings.providers
    assert list(got.config.models.items()) == list(models.items())
    assert got.config.auth.open == settings.auth.open
    assert got.config.auth.keys == []
    assert got.needs_restart == ["server.port"]
    assert len(got.keys) == 2 * len(keys)
    assert got.keys.own() == keys[: len(keys) - len(keys) // 2]
    assert all(got.keys.find(digest(f"token-{n}")) == entry for n, entry in enumerate(keys))
