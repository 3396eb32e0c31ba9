"""The keys' file: what `edge key` makes of it, and what reading it says of what is wrong."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge import keys
from edge.cli import main
from edge.config import Key, Secret
from edge.config.file import ConfigError, parse, read, renewed, watched
from edge.guard.auth import Auth
from edge.server.watch import Watch

DIGEST = "sha256:" + "a" * 64
BASE = {"providers": {"p": {"dialect": "openai", "base_url": "http://127.0.0.1:1/v1", "api_keys": ["sk-1"]}}}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "keys.json")


def config_with(path, **auth):
    return json.dumps({**BASE, "auth": {"keys_file": path, **auth}})


def test_a_certificate_is_named_when_the_key_is_made(path):
    arguments = [
        "key",
        "new",
        "billing",
        "--file",
        path,
        "--certificate",
        "DNS:a.example",
        "--certificate",
        "IP:10.0.0.1",
    ]
    made = CliRunner().invoke(main, arguments)
    assert made.exit_code == 0, made.output
    (key,) = keys.read(path)
    assert key.certificates == ["DNS:a.example", "IP:10.0.0.1"]
    assert len(key.digests) == 1
    wrong = CliRunner().invoke(main, ["key", "new", "other", "--file", path, "--certificate", "whoever"])
    assert wrong.exit_code != 0
    assert [each.id for each in keys.read(path)] == ["billing"]


def test_a_key_that_is_a_certificate_is_listed_given_a_digest_and_revoked(path):
    Path(path).write_text('{"keys": [{"id": "c", "certificates": ["DNS:c.example.com", "URI:x:c"]}]}')
    (before,) = keys.known(keys.read(path), datetime.now(UTC))
    assert before.digests == ["DNS:c.example.com", "URI:x:c"]
    keys.rotate(path, "c")
    with pytest.raises(keys.KeysError):
        keys.revoke(path, "c", old=True)
    (after,) = keys.read(path)
    assert (len(after.digests), after.certificates) == (1, before.digests)
    assert keys.revoke(path, "c") == 3
    assert keys.read(path) == []


def test_a_key_is_issued_rotated_and_revoked(path):
    first = keys.issue(path, "a", {"tenant": "t", "models": ["gpt-*"], "allowed_routes": ["messages"]})
    second = keys.rotate(path, "a")
    third = keys.rotate(path, "a")
    read_ = parse(config_with(path), "x.json", {})

    def known(token):
        return Auth(read_.auth).key_of(sha256(token.encode()).digest())

    assert known(first) is None
    assert known(second).id == known(third).id == "a"
    assert (known(third).tenant, known(third).routes) == ("t", {"/v1/messages"})
    assert keys.revoke(path, "a", old=True) == 1
    read_ = parse(config_with(path), "x.json", {})
    assert known(second) is None
    assert known(third).id == "a"
    assert keys.revoke(path, "a") == 1
    read_ = parse(config_with(path), "x.json", {})
    assert known(third) is None
    assert not read_.auth.open, "nobody is let in by an empty file"


def test_what_cannot_be_done_leaves_the_file_as_it_is(path):
    keys.issue(path, "a", {})
    before = Path(path).read_bytes()
    for attempt in (
        lambda: keys.issue(path, "a", {}),
        lambda: keys.rotate(path, "b"),
        lambda: keys.revoke(path, "b"),
        lambda: keys.revoke(path, "a", old=True),
        lambda: keys.issue(path, "b", {"models": 1}),
        lambda: keys.issue(path, "No such id", {}),
    ):
        with pytest.raises((keys.KeysError, ValueError)):
            attempt()
    assert Path(path).read_bytes() == before
    Path(path).write_text('{"keys": [{"id": 1}]}')
    with pytest.raises(ValueError, match="id"):
        keys.issue(path, "b", {})
    assert Path(path).read_text() == '{"keys": [{"id": 1}]}'
    assert sorted(file.name for file in Path(path).parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_what_the_configuration_itself_has_is_not_issued_again(path):
    own = [Key(id="a", digests=["sha256:" + "0" * 64], certificates=["DNS:one.example"])]
    with pytest.raises(keys.KeysError, match="configuration itself has a key 'a'"):
        keys.issue(path, "a", {}, own)
    with pytest.raises(keys.KeysError, match="is a key already"):
        keys.issue(path, "b", {"certificates": ["DNS:ONE.example"]}, own)
    keys.issue(path, "b", {"certificates": ["DNS:two.example"]}, own)
    with pytest.raises(keys.KeysError, match="is a key already"):
        keys.issue(path, "c", {"certificates": ["DNS:two.example"]}, own)
    with pytest.raises(keys.KeysError, match="is a key already"):
        keys.issue(path, "c", {"certificates": ["DNS:three.example", "DNS:Three.example"]}, own)
    assert [key.id for key in keys.read(path)] == ["b"]


def test_a_configuration_names_the_file_that_its_first_key_is_written_to(path, tmp_path):
    configuration = tmp_path / "edge.json"
    configuration.write_text(
        json.dumps({**BASE, "auth": {"keys_file": path, "keys": [{"id": "own", "digests": [DIGEST]}]}})
    )

    def told(*arguments):
        got = CliRunner().invoke(main, [*arguments])
        return got.exit_code, got.output

    assert told("key", "new", "first", "-c", str(configuration))[0] == 0
    status, output = told("key", "new", "own", "-c", str(configuration))
    assert status == 1
    assert "the configuration itself has a key 'own'" in output
    assert told("check", str(configuration))[0] == 0
    Path(path).write_text("{bad")
    assert f"'{path}' cannot be read: JSON is malformed" in told("check", str(configuration))[1]


def test_the_file_keeps_its_mode_and_a_new_one_is_its_owners(path):
    keys.issue(path, "a", {})
    assert Path(path).stat().st_mode & 0o777 == 0o600
    Path(path).chmod(0o640)
    keys.issue(path, "b", {})
    assert Path(path).stat().st_mode & 0o777 == 0o640


def test_those_who_edit_at_the_same_time_lose_nothing(path):
    threads = [threading.Thread(target=keys.issue, args=(path, f"k{n}", {})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key.id for key in keys.read(path)) == sorted(f"k{n}" for n in range(20))


def test_whether_a_key_holds_is_shown(path):
    now = datetime(2027, 1, 1, tzinfo=UTC)
    keys.issue(path, "new", {"not_before": keys.moment("1d", now)})
    keys.issue(path, "old", {"expires": keys.moment("2026-12-31T23:00:00Z", now)})
    keys.issue(path, "now", {"expires": keys.moment("90d", now), "admin": True})
    shown = {each.id: each for each in keys.known(keys.read(path), now)}
    assert {name: each.state for name, each in shown.items()} == {"new": "not yet", "old": "expired", "now": "active"}
    assert shown["now"].expires == "2027-04-01T00:00:00Z"
    with pytest.raises(ValueError, match="timezone"):
        keys.moment("2027-01-01T00:00:00", now)


def test_what_is_wrong_in_the_file_is_told_with_its_place(path):
    said = {"keys": [{"id": "a", "digests": [DIGEST]}, {"id": "a", "digests": ["x"], "admn": True}]}
    Path(path).write_text(json.dumps(said))
    with pytest.raises(ConfigError) as raised:
        parse(config_with(path, keys=[{"id": "b", "digests": [DIGEST]}]), "x.json", {})
    told = "\n".join(raised.value.errors)
    assert f"{path}: keys[0].digests[0]: this digest is used twice" in told
    assert f"{path}: keys[1].digests[0]: must be 'sha256:'" in told
    assert f"{path}: keys[1].admn: unknown key, did you mean admin?" in told


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"keys": 1}', None])
def test_a_file_that_is_none_is_refused(path, content):
    if content is not None:
        Path(path).write_text(content)
    with pytest.raises(ConfigError, match="keys"):
        parse(config_with(path), "x.json", {})


def test_times_need_a_zone_and_an_order():
    told = []
    for begins, ends in (("2027-01-01T00:00:00", None), ("2027-01-02T00:00:00Z", "2027-01-01T00:00:00Z"), (5, None)):
        key = {"id": "a", "digests": [DIGEST], "not_before": begins, **({"expires": ends} if ends else {})}
        with pytest.raises(ConfigError) as raised:
            parse(json.dumps({**BASE, "auth": {"keys": [key]}}), "x.json", {})
        told += raised.value.errors
    assert "a time with its zone" in told[0]
    assert "not after 'not_before'" in told[1]
    assert "a time with its zone" in told[2]


def test_yaml_has_times_of_its_own(tmp_path):
    file = tmp_path / "edge.yaml"
    file.write_text(
        "providers: {p: {dialect: openai, base_url: 'http://127.0.0.1:1/v1'}}\n"
        f"auth: {{keys: [{{id: a, digests: ['{DIGEST}'], expires: 2027-01-31T18:00:00Z}}]}}\n"
    )
    assert read(str(file)).config.auth.keys[0].expires == datetime(2027, 1, 31, 18, tzinfo=UTC)


def test_what_files_say_is_read_again_and_nothing_else(path, tmp_path):
    secret, config = tmp_path / "secret", tmp_path / "edge.json"
    secret.write_text("sk-old\n")
    keys.issue(path, "a", {})
    own = [{"id": "own", "digests": [DIGEST]}]
    base = {"p": {**BASE["providers"]["p"], "api_keys": [f"file:{secret}", "sk-2"]}}
    config.write_text(json.dumps({"providers": base, "auth": {"keys_file": path, "keys": own}}))
    reading = read(str(config))
    assert watched(reading.config) == [path, str(secret)]
    config.write_text("nonsense")
    secret.write_text("sk-new\n")
    keys.issue(path, "b", {})
    again = renewed(reading.config, reading.config.auth.keys[:1])
    assert again.config.providers["p"].api_keys == [Secret("sk-new"), Secret("sk-2")]
    assert [key.id for key in again.config.auth.keys] == ["own", "a", "b"]
    assert again.issued == 2
    secret.write_text("sk bad")
    with pytest.raises(ConfigError, match="space"):
        renewed(reading.config, reading.config.auth.keys[:1])
    secret.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        renewed(reading.config, reading.config.auth.keys[:1])


def test_a_change_is_told_once_when_the_file_rests(tmp_path):
    file = tmp_path / "f"
    file.write_text("1")
    watch = Watch()
    watch.watch([str(file)], since=file.stat().st_mtime + 1)
    watch.look()
    assert not watch.changed()
    file.write_text("12")
    watch.look()
    assert not watch.changed(), "it may still be written to"
    watch.look()
    assert watch.changed()
    assert not watch.changed()
    file.replace(tmp_path / "g")
    watch.look()
    watch.look()
    assert watch.changed()


def test_what_changed_while_it_was_read_is_told_too(tmp_path):
    file = tmp_path / "f"
    file.write_text("1")
    watch = Watch()
    watch.watch([str(file)], since=file.stat().st_mtime - 1)
    watch.look()
    watch.look()
    assert watch.changed()
