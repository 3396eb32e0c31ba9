"""What a configuration may say and hardly means; keys and addresses as environments hand them over."""

from __future__ import annotations

import difflib
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.config import notes as config_notes
from edge.config.file import ConfigError, from_environment, parse, read, resolve
from edge.redis.url import redis_address
from edge.server.files import read_files

KEY = "{id: a, digests: ['sha256:" + "a" * 64 + "'], models: %s}"
KEYED = "auth: {keys: [" + KEY + "]}\n"
OWN = "providers: {openai: {dialect: openai, base_url: 'https://api.openai.com/v1', api_keys: [sk-1]}}\n"
LOCAL = "providers: {local: {dialect: openai, base_url: 'http://127.0.0.1:81/v1', models: ['llama-*', qwen]}}\n"
ALIAS = "models: {smart: {upstreams: [{to: %s}]}}\n"


def noted(tmp_path, text: str, env: dict[str, str] | None = None, **options) -> list[str]:
    path = tmp_path / "edge.yaml"
    path.write_text(text)
    return read(str(path), env or {}, **options).notes


def provider(
    base_url: str = "https://a.example/v1", keys: str = "[sk-1]", dialect: str = "openai", more: str = ""
) -> str:
    return f"providers: {{a: {{dialect: {dialect}, base_url: '{base_url}', api_keys: {keys}{more}}}}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (provider("http://a.example/v1"), "goes to a public host without TLS"),
        (provider("http://8.8.8.8/v1"), "goes to a public host without TLS"),
        (provider("https://a.example"), "has no path: /v1 is added; write https://a.example/v1"),
        (provider("https://a.example/"), "has no path: /v1 is added"),
        (provider("https://a.example/openai"), "has no /v1 at its end: requests go to https://a.example/openai/chat"),
        (provider("https://a.example/anthropic", dialect="anthropic"), "requests go to https://a.example/anthropic/mes"),
        (provider("https://a.example/v1/chat/completions"), "ends in /chat/completions, which is dropped: write https"),
        (provider("https://a.example/v1/messages/", dialect="anthropic"), "ends in /messages, which is dropped"),
        (provider("https://a.openai.azure.com/openai/deployments/d"), "each request needs a version: query: {api-version: "),
        (provider(keys="[$OPENAI_API_KEY]"), "has a variable that nothing replaces"),
        (provider(keys="['$(OPENAI_API_KEY)']"), "has a variable that nothing replaces"),
        (provider(keys="['%OPENAI_API_KEY%']"), "has a variable that nothing replaces"),
        (provider(keys="[os.environ/OPENAI_API_KEY]"), "has a variable that nothing replaces"),
        (provider(keys="['${OPENAI_API_KEY']"), "has a variable that nothing replaces"),
        (provider(keys="['{{ key }}']"), "has a space in it"),
        (provider(more=", headers: {x-team: $TEAM}"), "has a variable that nothing replaces"),
        (provider(keys="['${NOPE:-not-set}']"), "NOPE is not set: the default after ':-' is sent as the key"),
        (provider(keys="[not-set]"), "is a placeholder, not a key"),
        (KEYED % "[gtp-5]" + OWN, "auth.keys[0].models[0]: matches nothing"),
        (KEYED % "['claude-*']" + OWN, "auth.keys[0].models[0]: matches nothing"),
        (KEYED % "[smrt]" + LOCAL + ALIAS % "local/qwen", "did you mean smart?"),
        (KEYED % "['nowhere/*']" + LOCAL, "matches nothing"),
        (KEYED[:-2] % "[qwen]" + ", tenants: {b: {tokens_per_minute: 5}}}\n" + LOCAL, "auth.tenants.b: no key belongs"),
        (KEYED % "[]" + LOCAL, "is an empty list: the key may use no model at all"),
        (OWN[:-2] + ", b: {dialect: openai, base_url: 'https://b.example/v1', models: ['gpt-5*']}}\n", "providers.b.models[0]: is shadowed by 'gpt-*' of the provider 'openai'"),
        (LOCAL[:-2] + ", b: {dialect: openai, base_url: 'https://b.example/v1', models: [qwen]}}\n", "is shadowed by 'qwen'"),
        (LOCAL + "limits: {on_redis_loss: refuse}\n", "limits.on_redis_loss: has no effect without 'cache.redis'"),
        (LOCAL + "models: {m: {upstreams: [{to: local/a}, {to: local/b}, {to: local/a}]}}\n", "models.m.upstreams[2].to: is a duplicate"),
        (LOCAL.replace("qwen", "smart") + ALIAS % "local/llama-3", "is shadowed by the alias 'smart'"),
    ],
)  # fmt: skip
def test_what_is_hardly_meant_is_noted(tmp_path, text, expected):
    try:
        found = noted(tmp_path, text)
    except ConfigError as error:
        found = error.errors
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    "text",
    [
        provider("http://127.0.0.1:81/v1"),
        provider("http://10.0.0.7/v1"),
        provider("http://vllm:8000/v1"),
        provider("http://vllm.models.svc.cluster.local/v1"),
        provider("https://a.example/api/paas/v4"),
        provider("https://a.example/v1beta/openai"),
        provider("https://a.openai.azure.com/openai/v1/"),
        provider("https://a.openai.azure.com/openai/deployments/d", more=", query: {api-version: '2024-10-21'}"),
        provider(keys="['${KEY}']"),
        KEYED % "['gpt-*', 'o3', 'openai/*', '*']" + OWN,
        KEYED % "[smart, 'smart', 'local/x', 'llama-3*', 'll*']" + LOCAL + ALIAS % "local/qwen",
        KEYED % "['llama-*']" + LOCAL.replace(", models: ['llama-*', qwen]", ""),
        LOCAL + ALIAS.replace("smart", "qwen") % "local/qwen",
        LOCAL[:-2] + ", b: {dialect: anthropic, base_url: 'https://b.example/v1', models: [qwen]}}\n",
        OWN[:-2] + ", b: {dialect: openai, base_url: 'https://b.example/v1', models: ['gp*', 'g-*']}}\n",
    ],
)
def test_and_nothing_is_noted_of_what_is_sound(tmp_path, text):
    assert noted(tmp_path, text, {"KEY": "sk-1"}) == []


def test_without_secrets_what_is_not_here_is_no_fault(tmp_path):
    text = provider(keys="['${NOPE}', 'file:/run/secrets/nope', '${NOPE:-x}']", more=", headers: {x-key: '${NOPE}'}")
    text += "cache: {redis: {url: 'redis://:${NOPE}@redis:6379/0', hmac_key: '${NOPE}'}}\n"
    assert not any("is not set" in line and "redis" in line for line in noted(tmp_path, text, secrets=False))
    with pytest.raises(ConfigError, match="5 problems"):
        noted(tmp_path, text)
    with pytest.raises(ConfigError, match=r"server\.port: the environment variable NOPE is not set"):
        noted(tmp_path, text + "server: {port: '${NOPE}'}\n", secrets=False)


BASE_URLS = {
    "http://h:1": "http://h:1/v1",
    "http://h:1/": "http://h:1/v1",
    "http://h:1/v1": "http://h:1/v1",
    "http://h:1/v1/": "http://h:1/v1",
    "http://h:1//v1": "http://h:1/v1",
    "http://h:1/v1/chat/completions": "http://h:1/v1",
    "http://h:1/v1/chat/completions/": "http://h:1/v1",
    "http://h:1/v1/messages": "http://h:1/v1",
    "http://h:1/chat/completions": "http://h:1/v1",
    "HTTP://H:1/v1": "http://h:1/v1",
    " http://h:1/v1 ": "http://h:1/v1",
    "http://h:1/openai/v1": "http://h:1/openai/v1",
}
NO_BASE_URLS = ("h:1/v1", "//h:1/v1", "http:///v1", "http://", "", "localhost", "http://h:1/v1/v1", "http://h:1/v1?a=b")


@pytest.mark.parametrize("given", BASE_URLS)
def test_each_form_of_a_base_url_leads_to_the_one_right_path(given):
    assert parse(provider(given), "edge.yaml", {}).providers["a"].base_url == BASE_URLS[given]
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": given, "ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": given}
    assert {each.base_url for each in resolve(None, env).config.providers.values()} == {BASE_URLS[given]}


@pytest.mark.parametrize("given", NO_BASE_URLS)
def test_or_is_refused(given):
    with pytest.raises(ConfigError, match=r"base_url: (must|has)"):
        parse(provider(given), "edge.yaml", {})


KEYS = {
    "sk-test\n": "sk-test",
    "sk-test\r\n": "sk-test",
    " sk-test ": "sk-test",
    "\tsk-test": "sk-test",
    "\ufeffsk-test": None,
    "sk-tést": "is not ASCII",
    "sk\udce9": "is not ASCII",
    "sk te": "has a space in it",
    "sk\nte": "has a control character",
    "sk\x00te": "has a control character",
    '"sk-test"': "has quotation marks around it",
    "'sk-test'": "has quotation marks around it",
    "\u201csk-test\u201d": "has quotation marks around it",
}


@pytest.mark.parametrize("given", KEYS)
def test_keys_as_shells_and_secrets_hand_them_over(tmp_path, given):
    """White space around a key is no part of it; what no header can carry is refused by the name of the setting."""
    text = provider(keys="['${KEY}', '${OPENAI_API_KEY}']")
    env = {"KEY": given, "OPENAI_API_KEY": given}
    expected = KEYS[given]
    if expected == "sk-test":
        assert [key.reveal() for key in parse(text, "edge.yaml", env).providers["a"].api_keys] == ["sk-test"] * 2
        assert from_environment(env).providers["openai"].api_keys[0].reveal() == "sk-test"
    else:
        for reading in (lambda: parse(text, "edge.yaml", env), lambda: resolve(None, env)):
            with pytest.raises(ConfigError) as caught:
                reading()
            assert (expected or "is not ASCII") in caught.value.errors[0]
            assert "sk" not in "".join(caught.value.errors).replace("_key", "")
            assert "api_keys[0]" in caught.value.errors[0] or caught.value.errors[0].startswith("OPENAI_API_KEY: ")
    path = tmp_path / "key"
    path.write_text(given, encoding="utf-8", errors="surrogateescape", newline="")
    from_file = provider(keys=f"['file:{path}']")
    if expected == "sk-test" or given.startswith("\ufeff"):
        assert parse(from_file, "edge.yaml", {}).providers["a"].api_keys[0].reveal() == "sk-test"
    else:
        with pytest.raises(ConfigError) as caught:
            parse(from_file, "edge.yaml", {})
        assert "api_keys[0]: " in caught.value.errors[0]


@pytest.mark.parametrize("empty", ["", " ", "\n", "\r\n"])
def test_an_empty_key_counts_as_unset_and_takes_no_other_vendors_key(tmp_path, empty):
    env = {"OPENAI_API_KEY": empty, "ANTHROPIC_API_KEY": "sk-ant"}
    assert list(from_environment(env).providers) == ["anthropic"]
    with pytest.raises(ConfigError, match="the environment variable OPENAI_API_KEY is not set"):
        parse(provider(keys="['${OPENAI_API_KEY}']"), "edge.yaml", env)
    path = tmp_path / "key"
    path.write_text(empty, newline="")
    with pytest.raises(ConfigError, match=r"api_keys\[0\]: is empty"):
        parse(provider(keys=f"['file:{path}']"), "edge.yaml", env)


def test_the_variables_that_kubernetes_sets_for_services_mean_nothing():
    env = {"OPENAI_API_KEY": "k"}
    for service in (
        "EDGE",
        "EDGE_CONFIG",
        "EDGE_FRONT",
        "OPENAI",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "EDGE_PURE_PYTHON",
    ):
        env |= {f"{service}_PORT": "tcp://10.0.0.1:8080", f"{service}_SERVICE_HOST": "10.0.0.1"}
        env |= {f"{service}_SERVICE_PORT": "8080", f"{service}_PORT_8080_TCP": "tcp://10.0.0.1:8080"}
    assert resolve(None, env).config == resolve(None, {"OPENAI_API_KEY": "k"}).config


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", ("h", 6379, None, None, None)),
        ("redis://h:1/2", ("h", 1, None, None, 2)),
        ("redis://:pa/ss@h:1/0", ("h", 1, None, "pa/ss", 0)),
        ("redis://:p@ss@h:1", ("h", 1, None, "p@ss", None)),
        ("redis://me:a/b@c:d#e?f@h", ("h", 6379, "me", "a/b@c:d#e?f", None)),
        ("redis://me:a%2Fb%40c@h:1", ("h", 1, "me", "a/b@c", None)),
        ("redis://me@h", ("h", 6379, "me", None, None)),
        ("REDISS://:100%@[::1]:1", ("::1", 1, None, "100%", None)),
    ],
)
def test_passwords_in_redis_urls_are_what_stands_before_the_last_at(url, expected):
    at = redis_address(url)
    assert (at.host, at.port, at.username, at.password, at.database) == expected
    assert at.password is None or at.password not in repr(at)


@pytest.mark.parametrize("url", ["h:1", "http://h", "redis://", "redis://h:0", "redis://h:99999", "redis://h/a", "redis://h?x=y", "redis://a b"])  # fmt: skip
def test_what_is_no_redis_url(url):
    with pytest.raises(ValueError, match=r"must be redis://|number of a database"):
        redis_address(url)


def test_suggestions_for_a_file_of_mistakes_are_few_and_of_few_names(tmp_path, monkeypatch):
    compared = []
    close_matches = difflib.get_close_matches
    monkeypatch.setattr(
        difflib,
        "get_close_matches",
        lambda word, known, **options: compared.append(len(known)) or close_matches(word, known, **options),
    )
    aliases = "".join(f"  alias-{n}: {{upstreams: [{{to: local/qwen}}]}}\n" for n in range(2000))
    patterns = [f"alais-{n}" for n in range(3000)]
    digest = "sha256:" + "%064x"
    keys = "".join(
        f"  - {{id: k{n}, digests: ['{digest % n}'], models: [{each}, gtp]}}\n" for n, each in enumerate(patterns)
    )
    found = noted(tmp_path, f"{LOCAL}models:\n{aliases}auth:\n  keys:\n{keys}")
    assert len(found) == 6000, "what matches nothing is told all the same"
    assert "did you mean alias-" in found[0]
    assert len(compared) == config_notes.SUGGESTIONS
    assert max(compared) <= config_notes.COMPARED


def test_what_an_edge_is_told_when_it_serves_has_an_end(tmp_path):
    path = tmp_path / "edge.yaml"
    keys = "".join(f"  - {{id: k{n}, digests: ['sha256:{n:064x}'], models: [x{n}]}}\n" for n in range(200))
    path.write_text(f"{LOCAL}auth:\n  keys:\n{keys}")
    assert len(read(str(path), {}).notes) == 200
    assert resolve(str(path), {}).notes == read(str(path), {}).notes[:50]
    assert (
        resolve(None, {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://a.example/v1"})
        .notes[0]
        .startswith("OPENAI_BASE_URL: goes to a public host without TLS")
    )


def test_files_that_are_not_there_are_named_all_at_once_as_the_start_would(tmp_path):
    absent = str(tmp_path / "absent.pem")
    text = (
        provider(more=f", ca_file: {absent}")
        + f"server: {{tls: {{cert: {absent}, key: {absent}, client_ca: {absent}}}}}\n"
    )
    path = tmp_path / "edge.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as told:
        read_files(read(str(path), {}).config)
    settings = ("server.tls.cert", "server.tls.key", "server.tls.client_ca", "providers.a.ca_file")
    assert told.value.errors == [f"{each}: '{absent}' cannot be read: No such file or directory" for each in settings]
    got = CliRunner().invoke(main, ["check", str(path)])
    assert (got.exit_code, "server.tls.key" in got.output) == (2, True)
    assert CliRunner().invoke(main, ["check", str(path), "--without-secrets"]).exit_code == 0


def test_files_of_authorities_without_any_are_named_all_at_once(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate\n")
    path = tmp_path / "edge.yaml"
    path.write_text(
        provider(more=f", ca_file: {empty}")
        + f"server: {{tls: {{cert: {empty}, key: {empty}, client_ca: {empty}}}}}\n"
        + f"cache: {{redis: {{url: 'rediss://127.0.0.1:1', ca_file: {empty}}}}}\n"
    )
    settings = ("server.tls.client_ca", "providers.a.ca_file", "cache.redis.ca_file")
    with pytest.raises(ConfigError) as told:
        read_files(read(str(path), {}).config)
    assert told.value.errors == [f"{each}: '{empty}' has no certificates in it, in PEM" for each in settings]
    got = CliRunner().invoke(main, ["check", str(path)])
    assert (got.exit_code, "cache.redis.ca_file" in got.output) == (2, True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_key_that_is_encrypted_is_an_error_and_no_question_at_the_terminal(tmp_path):
    cert, key, path = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "edge.yaml"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
    made = [*make, "-subj", "/CN=a", "-passout", "pass:secret", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    path.write_text(provider() + f"server: {{tls: {{cert: {cert}, key: {key}}}}}\n")
    with pytest.raises(ConfigError, match=r"server\.tls: the key is encrypted"):
        read_files(read(str(path), {}).config)
